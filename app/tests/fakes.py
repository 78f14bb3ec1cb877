"""In-memory fakes of the client of AWS. contract.py checks that they behave like moto.

Each can be broken on purpose: `client.faults[operation]` is a list with an error or None for each of
the next calls. A call with an error raises it and has no effect.
"""

import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from wordtally.aws.client import Answer, Parameters
from wordtally.aws.errors import AwsError, AwsUnavailable, Fault, failure
from wordtally.domain.ranking import Ranking
from wordtally.stores.calls import Calls
from wordtally.stores.checkpoints import DynamoDBCheckpoints
from wordtally.stores.counts import DynamoDBCounts
from wordtally.stores.files import S3Files
from wordtally.stores.lanes import DynamoDBLanes
from wordtally.stores.ledger import DynamoDBLedger
from wordtally.stores.queues import FailureQueue, KinesisStream
from wordtally.stores.reports import S3Reports
from wordtally.ways_in.inbox import Inbox
from wordtally.ways_in.stream import Stream


def refused(operation: str, code: str, status: int = 400, reasons: Any = None) -> AwsError:
    """The error that a client raises for AWS's error code."""
    return failure(operation, code, status, reasons)


def timed_out(operation: str) -> AwsError:
    return Fault(operation, "read timeout", without_effect=False)


def cancelled(*codes: str) -> AwsError:
    """A cancelled transaction, with a code per action."""
    reasons = [{"Code": code} for code in codes]
    return refused("TransactWriteItems", "TransactionCanceledException", reasons=reasons)


class FakeClient:
    """Implements aws.client.Client without retries. The calls of a batch run in sequence."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.faults: dict[str, list[BaseException | None]] = defaultdict(list)
        self.lock = threading.RLock()
        self.operations: dict[str, Callable[..., Answer]] = {}
        self.notice: Callable[[str], None] = lambda operation: None

    def call_each(
        self,
        operation: str,
        parameters: Iterable[Parameters],
        until: float,
        retried: Callable[[AwsError], None] = lambda _: None,
    ) -> list[Answer]:
        answers: list[Answer] = []
        try:
            for each in parameters:
                if time.monotonic() >= until:
                    raise AwsUnavailable(operation, "out of time")
                answers.append(self.call(operation, each))
        except AwsError as error:
            error.completed = len(answers)
            raise
        return answers

    def call(self, operation: str, parameters: Parameters) -> Answer:
        """Record the call, and raise its fault if there is one."""
        with self.lock:
            self.calls.append(operation)
            self.notice(operation)
            if self.faults[operation]:
                fault = self.faults[operation].pop(0)
                if fault:
                    raise fault
            return self.operations[operation](**parameters)

    def presigned_url(self, parameters: Parameters, expires_seconds: int) -> str:
        version = f"&versionId={parameters['VersionId']}" if "VersionId" in parameters else ""
        where = f"{parameters['Bucket']}.s3/{parameters['Key']}"
        return f"https://{where}?expires={expires_seconds}{version}"


class FakeDynamoDB(FakeClient):
    """A table of words, scanned in pages of `page_size` items, and a table of markers and checkpoints.

    `malformed` has items that another program wrote: word to the attribute `times`, None if missing.
    """

    page_size = 3
    batch_size = 100

    def __init__(self) -> None:
        super().__init__()
        self.operations = {
            "GetItem": self.get_item,
            "UpdateItem": self.update_item,
            "TransactWriteItems": self.transact_write_items,
            "BatchGetItem": self.batch_get_item,
            "Scan": self.scan,
        }
        self.items: dict[str, int] = {}
        self.fences: dict[str, dict[str, int]] = defaultdict(dict)
        """Word to the last token of each lane."""
        self.malformed: dict[str, dict[str, str] | None] = {}
        self.markers: dict[tuple[str, int], dict[str, Any]] = {}

    def get_item(
        self, *, TableName: str, Key: dict[str, Any], ConsistentRead: bool
    ) -> dict[str, Any]:
        item = self.markers.get((Key["key"]["S"], int(Key["chunk"]["N"])))
        return {"Item": dict(item)} if item else {}

    def update_item(
        self,
        *,
        TableName: str,
        Key: dict[str, Any],
        UpdateExpression: str,
        ExpressionAttributeValues: dict[str, Any],
        ConditionExpression: str = "",
        ExpressionAttributeNames: dict[str, str] | None = None,
        ReturnValues: str = "NONE",
        ReturnValuesOnConditionCheckFailure: str = "NONE",
    ) -> dict[str, Any]:
        if "key" in Key:
            place = Key["key"]["S"], int(Key["chunk"]["N"])
            item = self.markers.get(place, {})
            if not holds(ConditionExpression, item, ExpressionAttributeValues):
                raise refused("UpdateItem", "ConditionalCheckFailedException")
            changed = updated(UpdateExpression, item, ExpressionAttributeValues)
            self.markers[place] = Key | changed
            return {}
        word = Key["word"]["S"]
        if not 1 <= len(word.encode()) <= 2048:
            raise refused("UpdateItem", "ValidationException")
        if ExpressionAttributeNames:
            lane, token = (
                ExpressionAttributeNames["#lane"],
                int(ExpressionAttributeValues[":token"]["N"]),
            )
            assert ConditionExpression == "attribute_not_exists(#lane) OR #lane < :token"
            assert ReturnValuesOnConditionCheckFailure == "ALL_OLD"
            if self.fences[word].get(lane, -1) >= token:
                return {"Item": self.item(word)}
            self.fences[word][lane] = token
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
        if len(TransactItems) > 100:
            raise refused("TransactWriteItems", "ValidationException")
        actions = [action for entry in TransactItems for action in entry.values()]
        found = [self.markers.get(place_of(action), {}) for action in actions]
        if not all(map(meets, actions, found)):
            codes = [
                "None" if meets(action, item) else "ConditionalCheckFailed"
                for action, item in zip(actions, found, strict=True)
            ]
            error = cancelled(*codes)
            for reason, action, item in zip(error.reasons, actions, found, strict=True):
                if not meets(action, item) and "ReturnValuesOnConditionCheckFailure" in action:
                    reason["Item"] = item
            raise error
        for action, item in zip(actions, found, strict=True):
            if "Item" in action:
                self.markers[place_of(action)] = action["Item"]
            elif "key" in action["Key"]:
                change, values = action["UpdateExpression"], action["ExpressionAttributeValues"]
                self.markers[place_of(action)] = action["Key"] | updated(change, item, values)
            else:
                word = action["Key"]["word"]["S"]
                added = int(action["ExpressionAttributeValues"][":n"]["N"])
                self.items[word] = self.items.get(word, 0) + added
        return {}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:
        ((table, request),) = RequestItems.items()
        words = [key["word"]["S"] for key in request["Keys"]]
        if len(words) > 100:
            raise refused("BatchGetItem", "ValidationException")
        now, later = words[: self.batch_size], words[self.batch_size :]
        found = [self.item(word) for word in now if word in self.items or word in self.malformed]
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


def place_of(action: Mapping[str, Any]) -> tuple[str, int]:
    """Key and chunk of the item of a marker; the same value for the items of all words."""
    key = action.get("Key") or action["Item"]
    return (key["key"]["S"], int(key["chunk"]["N"])) if "key" in key else ("", 0)


def meets(action: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    condition = action.get("ConditionExpression", "")
    return holds(condition, item, action.get("ExpressionAttributeValues", {}))


def holds(condition: str, item: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether the item meets a condition of the form `a AND (b OR c)`, or `a OR b`."""

    def term(text: str) -> bool:
        if there := re.fullmatch(r"attribute_(not_)?exists\((\w+)\)", text):
            return (there[2] in item) != bool(there[1])
        name, operator, value = text.split()
        if name not in item:
            return False
        found, given = item[name], values[value]
        return found == given if operator == "=" else int(found["N"]) < int(given["N"])

    clauses = [re.sub(r"^\((.*)\)$", r"\1", clause) for clause in condition.split(" AND ")]
    return not condition or all(any(map(term, clause.split(" OR "))) for clause in clauses)


def updated(change: str, item: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The item after a change of the form `SET a = :a, b = :b REMOVE c, d`, or one half of it."""
    setting, _, removing = change.partition("REMOVE ")
    parts = setting.removeprefix("SET ").strip().split(", ")
    names = dict(part.split(" = ") for part in parts if part)
    kept = {name: value for name, value in item.items() if name not in removing.split(", ")}
    return kept | {name: values[value] for name, value in names.items()}


class FakeS3(FakeClient):
    """One bucket; `versioned` turns versioning on."""

    def __init__(self, versioned: bool = False) -> None:
        super().__init__()
        self.operations = {
            "GetObject": self.get_object,
            "PutObject": self.put_object,
            "GetObjectTagging": self.get_object_tagging,
            "PutObjectTagging": self.put_object_tagging,
        }
        self.versioned = versioned
        self.writes = 0
        self.objects: dict[str, dict[str, Any]] = {}
        """The latest version of each object."""
        self.versions: dict[tuple[str, str], dict[str, Any]] = {}

    def _object(self, operation: str, key: str, version_id: str | None) -> dict[str, Any]:
        found = self.versions.get((key, version_id)) if version_id else self.objects.get(key)
        if not found:
            raise refused(operation, "NoSuchVersion" if version_id else "NoSuchKey", 404)
        return found

    def get_object(
        self, *, Bucket: str, Key: str, VersionId: str | None = None, Range: str | None = None
    ) -> dict[str, Any]:
        found = dict(self._object("GetObject", Key, VersionId))
        if Range:
            first, last = map(int, Range.removeprefix("bytes=").split("-"))
            size = len(found["Body"])
            if first >= size:
                raise refused("GetObject", "InvalidRange", 416)
            found["Body"] = found["Body"][first : last + 1]
            found["ContentRange"] = f"bytes {first}-{min(last, size - 1)}/{size}"
        return found

    def get_object_tagging(
        self, *, Bucket: str, Key: str, VersionId: str | None = None
    ) -> dict[str, Any]:
        tags = self._object("GetObjectTagging", Key, VersionId).get("tags", {})
        return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def put_object_tagging(
        self, *, Bucket: str, Key: str, Tagging: dict[str, Any], VersionId: str | None = None
    ) -> dict[str, Any]:
        found = self._object("PutObjectTagging", Key, VersionId)
        found["tags"] = {tag["Key"]: tag["Value"] for tag in Tagging["TagSet"]}
        return {}

    def delete_object(self, *, Bucket: str, Key: str, VersionId: str) -> None:
        """Delete a version permanently, as the lifecycle rule does."""
        deleted = self.versions.pop((Key, VersionId))
        if self.objects[Key] is deleted:
            del self.objects[Key]

    def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: bytes,
        IfMatch: str | None = None,
        IfNoneMatch: str | None = None,
        Tagging: str = "",
        **properties: Any,
    ) -> dict[str, Any]:
        etag = self.objects.get(Key, {}).get("ETag")
        if IfMatch and not etag:
            raise refused("PutObject", "NoSuchKey", 404)
        if (IfMatch and IfMatch != etag) or (IfNoneMatch and etag):
            raise refused("PutObject", "PreconditionFailed", 412)
        self.writes += 1
        answer = {"ETag": f'"{self.writes}"'}
        if self.versioned:
            answer["VersionId"] = f"v{self.writes}"
        self.objects[Key] = {"Body": Body, **properties, **answer}
        if Tagging:
            self.objects[Key]["tags"] = dict(parse_qsl(Tagging))
        if self.versioned:
            self.versions[Key, answer["VersionId"]] = self.objects[Key]
        return answer


class FakeKinesis(FakeClient):
    """One stream with one shard."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = {"PutRecord": self.put_record}
        self.records: list[bytes] = []

    def put_record(self, *, StreamName: str, Data: bytes, PartitionKey: str) -> dict[str, Any]:
        if not PartitionKey or len(Data) > 1024 * 1024:
            raise refused("PutRecord", "ValidationException")
        self.records.append(Data)
        return {"SequenceNumber": str(len(self.records)), "ShardId": "shardId-000000000000"}


class FakeSqs(FakeClient):
    """One queue."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = {"SendMessage": self.send_message}
        self.messages: list[str] = []

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> dict[str, Any]:
        self.messages.append(MessageBody)
        return {"MessageId": str(len(self.messages))}


def counts_over(table: FakeClient) -> DynamoDBCounts:
    """The adapter on a fake, without pauses."""
    calls = Calls(table)
    ledger = DynamoDBLedger(calls, "words", "markers", pause=lambda *_: None)
    return DynamoDBCounts(calls, "words", ledger)


def reports_over(bucket: FakeClient) -> S3Reports:
    return S3Reports(Calls(bucket), "reports", url_expiry_seconds=600)


def lanes_over(table: FakeClient) -> DynamoDBLanes:
    return DynamoDBLanes(Calls(table), "markers", pause=lambda *_: None)


def inbox_over(
    table: FakeClient, ranking: Ranking, files: FakeClient, max_words: int = 1_000
) -> Inbox:
    return Inbox(files_over(files), lanes_over(table), counts_over(table), ranking, max_words)


def files_over(bucket: FakeClient) -> S3Files:
    return S3Files(Calls(bucket))


def stream_over(
    table: FakeClient, ranking: Ranking, kinesis: FakeClient, queue: FakeClient
) -> Stream:
    return Stream(
        KinesisStream(Calls(kinesis), "texts"),
        DynamoDBCheckpoints(Calls(table), "markers"),
        counts_over(table),
        ranking,
        FailureQueue(Calls(queue), "https://sqs.example/failures"),
    )
