"""In-memory stand-ins for the two clients, exact as far as contract.py checks them on moto.

Each can be broken on purpose: `client.faults[operation]` is a list of errors (None: no error) that
its next calls raise, one each, instead of taking effect.
"""

import io
import threading
from collections import defaultdict
from typing import Any


class ClientError(Exception):
    """Shaped like botocore's."""

    def __init__(self, operation: str, code: str, status: int = 400) -> None:
        super().__init__(f"An error occurred ({code}) when calling the {operation} operation")
        self.operation_name = operation
        self.response = {
            "Error": {"Code": code},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }


class HTTPClientError(Exception):
    """Named like botocore's base of all connection errors and time-outs."""


class ReadTimeoutError(HTTPClientError):
    pass


class EndpointConnectionError(Exception):
    """Named like botocore's, which does not derive from HTTPClientError."""


class FakeClient:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.faults: dict[str, list[Exception | None]] = defaultdict(list)
        self.lock = threading.Lock()

    def called(self, operation: str) -> None:
        """Note the call; raise the fault that is due."""
        self.calls.append(operation)
        if self.faults[operation]:
            fault = self.faults[operation].pop(0)
            if fault:
                raise fault


class FakeDynamoDB(FakeClient):
    """One table with the partition key `word`; scans in pages of `page_size` items."""

    page_size = 3

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, int] = {}

    def update_item(
        self,
        *,
        TableName: str,
        Key: dict[str, Any],
        UpdateExpression: str,
        ExpressionAttributeValues: dict[str, Any],
        ReturnValues: str,
    ) -> dict[str, Any]:
        with self.lock:
            self.called("UpdateItem")
            word = Key["word"]["S"]
            if not 1 <= len(word.encode()) <= 2048:
                raise ClientError("UpdateItem", "ValidationException")
            self.items[word] = self.items.get(word, 0) + int(ExpressionAttributeValues[":n"]["N"])
            return {"Attributes": {"times": {"N": str(self.items[word])}}}

    def scan(
        self,
        *,
        TableName: str,
        ProjectionExpression: str,
        ConsistentRead: bool,
        Limit: int,
        Segment: int,
        TotalSegments: int,
        ExclusiveStartKey: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        start = ExclusiveStartKey["word"]["S"] if ExclusiveStartKey else ""
        with self.lock:
            self.called("Scan")
            rest = [
                word
                for word in sorted(self.items)
                if word > start and len(word) % TotalSegments == Segment
            ]
            page = rest[: min(Limit, self.page_size)]
            answer: dict[str, Any] = {
                "Items": [
                    {"word": {"S": word}, "times": {"N": str(self.items[word])}} for word in page
                ]
            }
            if len(rest) > len(page):
                answer["LastEvaluatedKey"] = {"word": {"S": page[-1]}}
            return answer


class FakeS3(FakeClient):
    """One bucket; `versioned` turns versioning on."""

    def __init__(self, versioned: bool = False) -> None:
        super().__init__()
        self.versioned = versioned
        self.writes = 0
        self.objects: dict[str, dict[str, Any]] = {}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        with self.lock:
            self.called("GetObject")
            if Key not in self.objects:
                raise ClientError("GetObject", "NoSuchKey", 404)
            stored = self.objects[Key]
            return {**stored, "Body": io.BytesIO(stored["Body"])}

    def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: bytes,
        IfMatch: str | None = None,
        IfNoneMatch: str | None = None,
        **properties: Any,
    ) -> dict[str, Any]:
        with self.lock:
            self.called("PutObject")
            etag = self.objects.get(Key, {}).get("ETag")
            if IfMatch and not etag:
                raise ClientError("PutObject", "NoSuchKey", 404)
            if (IfMatch and IfMatch != etag) or (IfNoneMatch and etag):
                raise ClientError("PutObject", "PreconditionFailed", 412)
            self.writes += 1
            answer = {"ETag": f'"{self.writes}"'}
            if self.versioned:
                answer["VersionId"] = f"v{self.writes}"
            self.objects[Key] = {"Body": Body, **properties, **answer}
            return answer

    def generate_presigned_url(
        self, operation: str, *, Params: dict[str, str], ExpiresIn: int
    ) -> str:
        version = f"&versionId={Params['VersionId']}" if "VersionId" in Params else ""
        return f"https://{Params['Bucket']}.s3/{Params['Key']}?expires={ExpiresIn}{version}"
