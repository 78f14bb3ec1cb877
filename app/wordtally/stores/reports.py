"""The report in S3: the object `top.json` of the reports bucket."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from wordtally.aws.client import Answer
from wordtally.aws.errors import AwsError
from wordtally.domain.ranking import Conflict, Published, Report
from wordtally.stores.calls import Calls
from wordtally.work import Work

KEY = "top.json"

_WORDS_IN_TABLE = "words-in-table"  # user metadata: number of words in the last full scan

# 412: the etag has changed. 409: another conditional write is in flight. NoSuchKey: the object that
# If-Match refers to has been deleted.
_CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")


class S3Reports:
    """Implements ranking.Reports. Throttling and outages raise Unavailable."""

    def __init__(self, calls: Calls, bucket: str, url_expiry_seconds: int) -> None:
        self._calls = calls
        self._object = {"Bucket": bucket, "Key": KEY}
        self._url_expiry_seconds = url_expiry_seconds

    def read(self, work: Work) -> Published:
        def read(answer: Answer) -> Published:
            report = _decode(answer["Body"], answer.get("Metadata", {}))
            return Published(report, answer["ETag"], _version_id(answer))

        try:
            return self._calls.one("GetObject", self._object, work, read)
        except AwsError as error:
            if error.code == "NoSuchKey":
                return Published()
            raise

    def publish(self, report: Report, etag: str | None, work: Work) -> Published:
        parameters = {
            **self._object,
            "Body": encode(report),
            "ContentType": "application/json",
            # Browsers do not sniff JSON, so they never take the report for a page.
            "ContentDisposition": f'inline; filename="{KEY}"',
            "CacheControl": "no-cache",
            "Metadata": {_WORDS_IN_TABLE: str(report.words_in_table)},
            **({"IfMatch": etag} if etag else {"IfNoneMatch": "*"}),
        }
        try:
            return self._calls.one(
                "PutObject",
                parameters,
                work,
                lambda answer: Published(report, answer["ETag"], _version_id(answer)),
            )
        except AwsError as error:
            if error.code in _CONFLICTS:
                raise Conflict from error
            raise

    @property
    def origin(self) -> str:
        """Scheme and host of every URL, such as `https://reports.s3.eu-west-3.amazonaws.com`."""
        url = urlsplit(self.url(Published()))
        return f"{url.scheme}://{url.netloc}"

    def url(self, published: Published) -> str:
        """A presigned URL (SigV4, regional virtual-hosted endpoint) of exactly this version."""
        version = {"VersionId": published.version_id} if published.version_id else {}
        return self._calls.presigned_url({**self._object, **version}, self._url_expiry_seconds)


def _version_id(answer: Mapping[str, Any]) -> str | None:
    version_id = answer.get("VersionId")
    # While versioning is suspended, every write replaces the version "null".
    return None if version_id == "null" else version_id


def encode(report: Report) -> bytes:
    """The report's JSON in UTF-8."""
    entries = [{"word": word, "times": times} for word, times in report.top]
    return json.dumps({"top10words": entries}, ensure_ascii=False).encode()


def _decode(body: bytes, metadata: dict[str, str]) -> Report | None:
    """Return None for anything that `publish` did not write; a scan then rebuilds the report."""
    try:
        entries = json.loads(body)["top10words"]
        report = Report(
            tuple((str(entry["word"]), int(entry["times"])) for entry in entries),
            int(metadata[_WORDS_IN_TABLE]),
        )
        return report if encode(report) == body else None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
