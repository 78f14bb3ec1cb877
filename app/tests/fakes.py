"""In-memory stand-ins for the two clients, exact as far as contract.py checks them on moto.

Each can be broken on purpose: `client.faults[operation]` is a list of errors (None: no error) that
its next calls raise, one each, instead of taking effect.
"""

import io
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from wordtally.counts import DynamoDBCounts
from wordtally.ledger import DynamoDBLedger


class ClientError(Exception):
    """Shaped like botocore's."""

    def __init__(
        self, operation: str, code: str, status: int = 400, reasons: list[Any] | None = None
    ) -> None:
        super().__init__(f"An error occurred ({code}) when calling the {operation} operation")
        self.operation_name = operation
        self.response: dict[str, Any] = {
            "Error": {"Code": code},
            "ResponseMetadata": {"HTTPStatusCode": status},
        } | ({} if reasons is None else {"CancellationReasons": reasons})


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
        self.notice: Callable[[str], None] = lambda operation: None

    def called(self, operation: str) -> None:
        """Note the call; raise the fault that is due."""
        self.calls.append(operation)
        self.notice(operation)
        if self.faults[operation]:
            fault = self.faults[operation].pop(0)
            if fault:
                raise fault


def cancelled(*codes: str) -> ClientError:
    """A cancelled transaction; a code per action."""
    reasons = [{"Code": code} for code in codes]
    return ClientError("TransactWriteItems", "TransactionCanceledException", reasons=reasons)


class FakeDynamoDB(FakeClient):
    """A table of words, scanned in pages of `page_size` items, and a table of markers.

    `malformed` are items that somebody else put there: word to its attribute `times`, None without.
    """

    page_size = 3
    batch_size = 100

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, int] = {}
        self.malformed: dict[str, dict[str, str] | None] = {}
        self.markers: dict[tuple[str, int], dict[str, Any]] = {}

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
            added = int(ExpressionAttributeValues[":n"]["N"])
            if number := (self.malformed.get(word) or {}).get("N"):
                self.malformed[word] = {"N": str(float(number) + added)}
                return {"Attributes": {"times": self.malformed[word]}}
            self.items[word] = self.items.get(word, 0) + added
            return {"Attributes": {"times": {"N": str(self.items[word])}}}

    def item(self, word: str) -> dict[str, Any]:
        if word in self.malformed:
            times = self.malformed[word]
            return {"word": {"S": word}} | ({"times": times} if times else {})
        return {"word": {"S": word}, "times": {"N": str(self.items[word])}}

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> dict[str, Any]:
        with self.lock:
            self.called("TransactWriteItems")
            if len(TransactItems) > 100:
                raise ClientError("TransactWriteItems", "ValidationException")
            put, *updates = (action for entry in TransactItems for action in entry.values())
            marker = put["Item"]
            where = marker["key"]["S"], int(marker["chunk"]["N"])
            now = int(put["ExpressionAttributeValues"][":now"]["N"])
            there = self.markers.get(where)
            if there and int(there["valid_until"]["N"]) >= now:
                error = cancelled("ConditionalCheckFailed", *["None"] * len(updates))
                error.response["CancellationReasons"][0]["Item"] = there
                raise error
            self.markers[where] = marker
            for update in updates:
                word = update["Key"]["word"]["S"]
                added = int(update["ExpressionAttributeValues"][":n"]["N"])
                self.items[word] = self.items.get(word, 0) + added
            return {}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self.called("BatchGetItem")
            ((table, request),) = RequestItems.items()
            words = [key["word"]["S"] for key in request["Keys"]]
            if len(words) > 100:
                raise ClientError("BatchGetItem", "ValidationException")
            now, later = words[: self.batch_size], words[self.batch_size :]
            found = [self.item(word) for word in now if word in self.items | self.malformed]
            unprocessed = {"Keys": [{"word": {"S": word}} for word in later]}
            return {
                "Responses": {table: found},
                "UnprocessedKeys": {table: unprocessed} if later else {},
            }

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
                for word in sorted(self.items | self.malformed)
                if word > start and len(word) % TotalSegments == Segment
            ]
            page = rest[: min(Limit, self.page_size)]
            answer: dict[str, Any] = {"Items": [self.item(word) for word in page]}
            if len(rest) > len(page):
                answer["LastEvaluatedKey"] = {"word": {"S": page[-1]}}
            return answer


class CutOff(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise ReadTimeoutError


class FakeS3(FakeClient):
    """One bucket; `versioned` turns versioning on."""

    def __init__(self, versioned: bool = False) -> None:
        super().__init__()
        self.versioned = versioned
        self.broken_bodies = 0
        self.writes = 0
        self.objects: dict[str, dict[str, Any]] = {}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        with self.lock:
            self.called("GetObject")
            if Key not in self.objects:
                raise ClientError("GetObject", "NoSuchKey", 404)
            stored = self.objects[Key]
            body = io.BytesIO(stored["Body"])
            if self.broken_bodies:
                self.broken_bodies -= 1
                body = CutOff()
            return {**stored, "Body": body}

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


def counts_over(table: FakeDynamoDB) -> DynamoDBCounts:
    """The adapter over a fake; what it would wait for is over at once."""
    ledger = DynamoDBLedger(table, "words", "markers", pause=lambda attempt: None)
    return DynamoDBCounts(table, "words", ledger)
