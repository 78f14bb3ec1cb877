"""The files of the inbox in S3: read in ranges, tagged with the outcome."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from wordtally.aws.client import Answer
from wordtally.aws.errors import AwsError
from wordtally.stores.calls import Calls
from wordtally.ways_in.inbox import Gone, Upload
from wordtally.work import Work

_T = TypeVar("_T")

TAG = "wordtally"

_GONE = ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed")  # the last one for a delete marker
_EMPTY = "InvalidRange"  # an empty file has no valid range


class S3Files:
    """Implements inbox.Files. Throttling and outages raise Unavailable."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def read(self, upload: Upload, start: int, size: int, work: Work) -> tuple[bytes, int]:
        where = {**_object(upload), "Range": f"bytes={start}-{start + size - 1}"}
        try:
            return self._call("GetObject", where, work, _range)
        except AwsError as error:
            if error.code == _EMPTY:
                return b"", start
            raise

    def tag(self, upload: Upload, outcome: str, work: Work) -> None:
        """S3 replaces all tags of an object at once, so the other tags are read first."""
        where = _object(upload)
        tags = [
            tag for tag in self._call("GetObjectTagging", where, work, _tags) if tag["Key"] != TAG
        ]
        tags.append({"Key": TAG, "Value": outcome})
        self._call("PutObjectTagging", {**where, "Tagging": {"TagSet": tags}}, work, lambda _: None)

    def _call(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        work: Work,
        read: Callable[[Answer], _T],
    ) -> _T:
        try:
            return self._calls.one(operation, parameters, work, read)
        except AwsError as error:
            if error.code in _GONE:
                raise Gone from error
            raise


def _object(upload: Upload) -> dict[str, str]:
    version = {"VersionId": upload.version_id} if upload.version_id else {}
    return {"Bucket": upload.bucket, "Key": upload.key, **version}


def _range(answer: Answer) -> tuple[bytes, int]:
    # bytes 0-1048575/26000000
    return answer["Body"], int(answer["ContentRange"].rpartition("/")[2])


def _tags(answer: Answer) -> list[dict[str, str]]:
    return list(answer["TagSet"])
