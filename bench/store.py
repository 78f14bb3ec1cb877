"""DynamoDB, S3, Kinesis and SQS in memory: the product's calls, and what AWS charges for them.

Only what `wordtally` sends is understood. `call` takes and returns what aws.client.Client does.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from wordtally.aws.client import Answer, Parameters, ignore
from wordtally.aws.errors import AwsError, failure

PAGE_BYTES = 1024 * 1024  # DynamoDB's limit for one page of a scan

Item = dict[str, dict[str, str]]


class Store:
    """`words` is the table of words, all other items are in `markers`."""

    def __init__(self, words: dict[str, int] | None = None) -> None:
        self.words = words or {}
        self.markers: dict[tuple[str, str], Item] = {}
        self.objects: dict[tuple[str, str], tuple[bytes, dict[str, str], str]] = {}
        """Content, metadata and etag."""
        self.tags: dict[tuple[str, str], list[dict[str, str]]] = {}
        self.records: list[bytes] = []
        self._segments: dict[tuple[int, int], list[str]] = {}
        self.forget()

    def forget(self) -> None:
        """The figures begin anew."""
        self.calls: Counter[str] = Counter()
        self.read_units = 0
        self.write_units = 0

    def call(self, operation: str, parameters: Parameters) -> Answer:
        self.calls[operation] += 1
        answer: Answer = getattr(self, f"_{operation}")(parameters)
        return answer

    def _UpdateItem(self, request: Parameters) -> Answer:  # noqa: N802 - the operation's name
        if "word" not in request["Key"]:
            return self._change(request)
        word = request["Key"]["word"]["S"]
        self.write_units += units(word)
        return {"Attributes": {"times": {"N": str(self._add(request))}}}

    def _add(self, request: Parameters) -> int:
        word = request["Key"]["word"]["S"]
        added = int(request["ExpressionAttributeValues"][":n"]["N"])
        total = self.words[word] = self.words.get(word, 0) + added
        return total

    def _change(self, request: Parameters) -> Answer:
        """Of a checkpoint. The larger of the item before and after it is charged."""
        key, values = _key(request["Key"]), request["ExpressionAttributeValues"]
        before = self.markers.get(key, {})
        if request["UpdateExpression"].startswith("SET done = :done, upto = :upto,"):
            free = "upto" not in before and before.get("done", values[":done"]) == values[":done"]
            names = {"upto": ":upto", "planned_at": ":at", "words": ":words", "done": ":done"}
            after = before | {name: values[value] for name, value in names.items()}
        elif request["UpdateExpression"] == "SET done = :upto REMOVE upto, planned_at, words":
            free = before.get("upto") == values[":upto"]
            kept = {k: v for k, v in before.items() if k not in ("upto", "planned_at", "words")}
            after = kept | {"done": values[":upto"]}
        else:
            raise NotImplementedError(request["UpdateExpression"])
        self.write_units += kilobytes(before if not free else max(before, after, key=size))
        if not free:
            raise failure("UpdateItem", "ConditionalCheckFailedException", 400)
        self.markers[key] = request["Key"] | after
        return {}

    def _TransactWriteItems(self, request: Parameters) -> Answer:  # noqa: N802
        """Two units for each kilobyte of an item, also if a condition fails."""
        actions = request["TransactItems"]
        put, *updates = actions
        if not ("Put" in put and all("word" in each["Update"]["Key"] for each in updates)):
            raise NotImplementedError(actions)
        item, now = put["Put"]["Item"], put["Put"]["ExpressionAttributeValues"][":now"]["N"]
        self.write_units += 2 * kilobytes(item)
        self.write_units += 2 * sum(units(each["Update"]["Key"]["word"]["S"]) for each in updates)
        found = self.markers.get(_key(item))
        if found and int(found["valid_until"]["N"]) >= int(now):
            reasons = [{"Code": "ConditionalCheckFailed", "Item": found}]
            reasons += [{"Code": "None"}] * len(updates)
            raise cancelled(reasons)
        self.markers[_key(item)] = item
        for each in updates:
            self._add(each["Update"])
        return {}

    def _GetItem(self, request: Parameters) -> Answer:  # noqa: N802
        item = self.markers.get(_key(request["Key"]), {})
        self.read_units += math.ceil(max(1, size(item)) / 4096)
        return {"Item": item} if item else {}

    def _BatchGetItem(self, request: Parameters) -> Answer:  # noqa: N802
        ((table, wanted),) = request["RequestItems"].items()
        names = [key["word"]["S"] for key in wanted["Keys"]]
        self.read_units += len(names)  # of up to 4 kB each
        items = [
            {"word": {"S": word}, "times": {"N": str(self.words[word])}}
            for word in names
            if word in self.words
        ]
        return {"Responses": {table: items}, "UnprocessedKeys": {}}

    def _Scan(self, request: Parameters) -> Answer:  # noqa: N802
        part = request.get("Segment", 0), request.get("TotalSegments", 1)
        start = int(request.get("ExclusiveStartKey", {}).get("word", {}).get("S", 0))
        if not start:
            self._segments[part] = list(self.words)[part[0] :: part[1]]
        words = self._segments[part]
        items, bytes_read, end = [], 0, start
        last = min(len(words), start + request.get("Limit", len(words)))
        while end < last and bytes_read < PAGE_BYTES:
            item = {"word": {"S": words[end]}, "times": {"N": str(self.words[words[end]])}}
            items.append(item)
            bytes_read += size(item)
            end += 1
        self.read_units += math.ceil(bytes_read / 4096)  # a consistent read
        more = {"LastEvaluatedKey": {"word": {"S": str(end)}}} if end < len(words) else {}
        return {"Items": items, **more}

    def _GetObject(self, request: Parameters) -> Answer:  # noqa: N802
        place = request["Bucket"], request["Key"]
        if place not in self.objects:
            raise failure("GetObject", "NoSuchKey", 404)
        body, metadata, etag = self.objects[place]
        part = {}
        if "Range" in request:
            first, last = map(int, request["Range"].removeprefix("bytes=").split("-"))
            whole, body = len(body), body[first : last + 1]
            part = {"ContentRange": f"bytes {first}-{first + len(body) - 1}/{whole}"}
        return {"Body": body, "Metadata": metadata, "ETag": etag, **part}

    def _PutObject(self, request: Parameters) -> Answer:  # noqa: N802
        place, body = (request["Bucket"], request["Key"]), request["Body"]
        etag = self.objects[place][2] if place in self.objects else None
        if ("IfMatch" in request and request["IfMatch"] != etag) or (
            "IfNoneMatch" in request and etag
        ):
            raise failure("PutObject", "PreconditionFailed", 412)
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        self.objects[place] = body, dict(request.get("Metadata", {})), etag
        return {"ETag": etag}

    def _GetObjectTagging(self, request: Parameters) -> Answer:  # noqa: N802
        return {"TagSet": self.tags.get((request["Bucket"], request["Key"]), [])}

    def _PutObjectTagging(self, request: Parameters) -> Answer:  # noqa: N802
        self.tags[request["Bucket"], request["Key"]] = request["Tagging"]["TagSet"]
        return {}

    def _PutRecord(self, request: Parameters) -> Answer:  # noqa: N802
        self.records.append(request["Data"])
        return {"SequenceNumber": str(len(self.records)), "ShardId": "shardId-000000000000"}

    def _SendMessage(self, request: Parameters) -> Answer:  # noqa: N802, ARG002
        return {"MessageId": str(self.calls["SendMessage"])}


class StoreClient:
    """Implements aws.client.Client: every call is answered at once, without a network."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def call_each(
        self,
        operation: str,
        parameters: Iterable[Parameters],
        until: float,  # noqa: ARG002
        retried: Callable[[AwsError], None] = ignore,  # noqa: ARG002
    ) -> list[Answer]:
        return [self._store.call(operation, each) for each in parameters]

    def presigned_url(self, parameters: Mapping[str, str], expires_seconds: int) -> str:
        return f"https://{parameters['Bucket']}/{parameters['Key']}?expires={expires_seconds}"


def cancelled(reasons: list[dict[str, Any]]) -> AwsError:
    return failure("TransactWriteItems", "TransactionCanceledException", 400, reasons)


def units(word: str) -> int:
    """Write units of the item of a word, in a write that is no transaction."""
    return 1 if len(word) < 200 else math.ceil((len(word.encode()) + 30) / 1024)


def size(item: Item) -> int:
    """Bytes of an item: names, texts in UTF-8, two digits of a number a byte, and one more."""
    return sum(
        len(name) + (len(value["S"].encode()) if "S" in value else len(value["N"]) // 2 + 2)
        for name, value in item.items()
    )


def kilobytes(item: Item) -> int:
    """Write units of an item, in a write that is no transaction."""
    return max(1, math.ceil(size(item) / 1024))


def _key(key: Item) -> tuple[str, str]:
    return key["key"]["S"], key["chunk"]["N"]


def error_body(error: AwsError) -> bytes:
    """As DynamoDB's JSON."""
    document = {"__type": f"com.amazonaws.dynamodb.v20120810#{error.code}"}
    if error.reasons:
        document["CancellationReasons"] = error.reasons
    return json.dumps(document).encode()
