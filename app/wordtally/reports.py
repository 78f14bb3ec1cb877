"""The report in S3: the object `top.json` of the reports bucket."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wordtally import aws
from wordtally.ranking import Conflict, Published, Report
from wordtally.settings import Settings
from wordtally.work import Work

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "top.json"

_WORDS_IN_TABLE = "words-in-table"  # user metadata: what the last full scan found

# 412: another etag is there. 409: another conditional write is under way. NoSuchKey: the object
# that If-Match names has been deleted.
_CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")


class S3Reports:
    """Implements ranking.Reports. Throttling and outages raise Unavailable."""

    def __init__(self, client: "S3Client", bucket: str, url_expiry_seconds: int) -> None:
        self._client = client
        self._bucket = bucket
        self._url_expiry_seconds = url_expiry_seconds

    def read(self, work: Work) -> Published:
        with aws.translated_errors("GetObject"):
            try:
                answer, body = self._get(work)
            except Exception as error:
                if aws.error_code(error) == "NoSuchKey":
                    return Published()
                raise
        with aws.reading("GetObject"):
            return Published(
                report=_decode(body, answer.get("Metadata", {})),
                etag=answer["ETag"],
                version_id=_version_id(answer),
            )

    def _get(self, work: Work) -> tuple[Mapping[str, Any], bytes]:
        work.go_on()
        answer = self._client.get_object(Bucket=self._bucket, Key=KEY)
        try:
            return answer, answer["Body"].read()
        except Exception:  # noqa: BLE001 - once more: the body is no part of what the SDK retries
            work.go_on()
            answer = self._client.get_object(Bucket=self._bucket, Key=KEY)
            return answer, answer["Body"].read()

    def publish(self, report: Report, etag: str | None) -> Published:
        condition: dict[str, Any] = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        with aws.translated_errors("PutObject"):
            try:
                answer = self._client.put_object(
                    Bucket=self._bucket,
                    Key=KEY,
                    Body=encode(report),
                    ContentType="application/json",
                    # Browsers show it and never take it for a page: JSON they do not sniff.
                    ContentDisposition=f'inline; filename="{KEY}"',
                    CacheControl="no-cache",
                    Metadata={_WORDS_IN_TABLE: str(report.words_in_table)},
                    **condition,
                )
            except Exception as error:
                if aws.error_code(error) in _CONFLICTS:
                    raise Conflict from error
                raise
        with aws.reading("PutObject"):
            return Published(report, answer["ETag"], _version_id(answer))

    def url(self, published: Published) -> str:
        """A presigned URL (SigV4, regional virtual-host endpoint) of that very version."""
        version = {"VersionId": published.version_id} if published.version_id else {}
        return self._client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self._bucket, "Key": KEY, **version},
            ExpiresIn=self._url_expiry_seconds,
        )


def _version_id(answer: Mapping[str, Any]) -> str | None:
    version_id = answer.get("VersionId")
    # Where versioning is suspended, what is written is "null", and each write replaces the last.
    return None if version_id == "null" else version_id


def connect(settings: Settings) -> S3Reports:
    """Make the one client of this function instance."""
    return S3Reports(
        aws.client(
            "s3",
            settings.region,
            # Without these botocore may sign with SigV2 or for the global host, whose redirect
            # breaks the signature while a bucket is young.
            signature_version="s3v4",
            s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"},
        ),
        settings.reports_bucket,
        settings.presigned_url_expiry_seconds,
    )


def encode(report: Report) -> bytes:
    """The report's JSON in UTF-8."""
    entries = [{"word": word, "times": times} for word, times in report.top]
    return json.dumps({"top10words": entries}, ensure_ascii=False).encode()


def _decode(body: bytes, metadata: dict[str, str]) -> Report | None:
    """None for anything that `publish` did not write: a scan then builds the report anew."""
    try:
        entries = json.loads(body)["top10words"]
        report = Report(
            tuple((str(entry["word"]), int(entry["times"])) for entry in entries),
            int(metadata[_WORDS_IN_TABLE]),
        )
        return report if encode(report) == body else None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
