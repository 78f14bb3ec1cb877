"""DynamoDB, S3, Kinesis and SQS in memory: the product's calls, and the units that AWS charges.

Supports only the calls that `wordtally` makes. `call` uses the parameters and answers of
aws.client.Client.
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

LANE_BYTES = 21
"""Size of an item's attribute for a lane of the stream: its name, and a number of 13 digits."""

Item = dict[str, dict[str, str]]


class Store:
    """`words` is the table of words. All other items are in `markers`."""

    def __init__(self, words: dict[str, int] | None = None) -> None:
        self.words = words or {}
        self.lanes: dict[str, dict[str, int]] = {}
        """For each word, the last token of each lane that has written it."""
        self.markers: dict[tuple[str, str], Item] = {}
        self.objects: dict[tuple[str, str], tuple[bytes, dict[str, str], str]] = {}
        """Content, metadata and etag."""
        self.tags: dict[tuple[str, str], list[dict[str, str]]] = {}
        self.records: list[bytes] = []
        self._segments: dict[tuple[int, int], list[str]] = {}
        self.forget()

    def forget(self) -> None:
        """Reset the figures."""
        self.calls: Counter[str] = Counter()
        self.read_units = 0
        self.write_units = 0

    def call(self, operation: str, parameters: Parameters) -> Answer:
        self.calls[operation] += 1
        answer: Answer = getattr(self, f"_{operation}")(parameters)
        return answer

    def _UpdateItem(self, request: Parameters) -> Answer:  # noqa: N802 - the operation's name
        if "word" not in request["Key"]:
            refused = self._write([request], 1)
            if refused:
                raise failure("UpdateItem", "ConditionalCheckFailedException", 400)
            return {}
        word, values = request["Key"]["word"]["S"], request["ExpressionAttributeValues"]
        self.write_units += units(word, len(self.lanes.get(word, ())))
        if ":token" in values:
            lane, token = request["ExpressionAttributeNames"]["#lane"], int(values[":token"]["N"])
            lanes = self.lanes.setdefault(word, {})
            if lanes.get(lane, 0) >= token:
                return {"Item": {"word": {"S": word}, "times": {"N": str(self.words[word])}}}
            lanes[lane] = token
        return {"Attributes": {"times": {"N": str(self._add(request))}}}

    def _add(self, request: Parameters) -> int:
        word = request["Key"]["word"]["S"]
        added = int(request["ExpressionAttributeValues"][":n"]["N"])
        total = self.words[word] = self.words.get(word, 0) + added
        return total

    def _TransactWriteItems(self, request: Parameters) -> Answer:  # noqa: N802
        """Costs two units for each kilobyte of an item, even if a condition fails."""
        actions = [action for entry in request["TransactItems"] for action in entry.values()]
        words = [each for each in actions if "word" in each.get("Key", {})]
        others = [each for each in actions if "word" not in each.get("Key", {})]
        names = [each["Key"]["word"]["S"] for each in words]
        self.write_units += 2 * sum(units(name, len(self.lanes.get(name, ()))) for name in names)
        refused = self._write(others, 2)
        if refused:
            raise cancelled([*refused, *[{"Code": "None"}] * len(words)])
        for each in words:
            self._add(each)
        return {}

    def _write(self, actions: list[Parameters], factor: int) -> list[dict[str, Any]]:
        """Write to the table of markers. If a condition fails, write nothing and return the reasons.

        Costs `factor` units for each kilobyte of the item before or after the write, whichever is larger.
        """
        found, changed = [], []
        for action in actions:
            before = self.markers.get(_key(action.get("Key") or action["Item"]), {})
            after = _after(action, before)
            found.append(before)
            changed.append(after)
            largest = before if after is None else max(before, after, key=size)
            self.write_units += factor * kilobytes(largest)
        if None in changed:
            return [
                {"Code": "None"} if after is not None else _refused(action, before)
                for action, before, after in zip(actions, found, changed, strict=True)
            ]
        for after in changed:
            assert after
            self.markers[_key(after)] = after
        return []

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


def units(word: str, lanes: int = 0) -> int:
    """Write units of the item of a word that `lanes` lanes have written, outside transactions."""
    if len(word) < 100 and lanes < 20:
        return 1
    return math.ceil((len(word.encode()) + 30 + lanes * LANE_BYTES) / 1024)


def _after(action: Parameters, before: Item) -> Item | None:
    """The item after an action on the table of markers, None if the condition fails."""
    values = action.get("ExpressionAttributeValues", {})

    def number(value: Mapping[str, str]) -> int:
        return int(value["N"])

    match action.get("ConditionExpression"):
        case None:
            met = True
        case "attribute_not_exists(digest) OR valid_until < :now":
            met = not before or number(before["valid_until"]) < number(values[":now"])
        case "attribute_not_exists(upto) AND (attribute_not_exists(done) OR done = :done)":
            met = "upto" not in before and before.get("done", values[":done"]) == values[":done"]
        case "upto = :upto":
            met = before.get("upto") == values[":upto"]
        case "attribute_not_exists(lane)":
            met = "lane" not in before
        case "attribute_not_exists(upload) AND (attribute_not_exists(fence) OR fence < :token)":
            free = "upload" not in before
            met = free and number(before.get("fence", {"N": "0"})) < number(values[":token"])
        case "fence = :token AND attribute_exists(upload)":
            met = before.get("fence") == values[":token"] and "upload" in before
        case condition:
            raise NotImplementedError(condition)
    if not met:
        return None
    if "Item" in action:
        item: Item = action["Item"]
        return item
    setting, _, removing = action["UpdateExpression"].partition("REMOVE ")
    kept = {name: value for name, value in before.items() if name not in removing.split(", ")}
    for part in setting.removeprefix("SET ").strip().split(", ") if setting else []:
        name, value = part.split(" = ")
        kept[name] = values[value]
    return {**action["Key"], **kept}


def _refused(action: Parameters, before: Item) -> dict[str, Any]:
    asked = "ReturnValuesOnConditionCheckFailure" in action
    return {"Code": "ConditionalCheckFailed", **({"Item": before} if asked and before else {})}


def size(item: Item) -> int:
    """Bytes of an item: names, texts in UTF-8, and for a number one byte per two digits, and one more."""
    return sum(
        len(name) + (len(value["S"].encode()) if "S" in value else len(value["N"]) // 2 + 2)
        for name, value in item.items()
    )


def kilobytes(item: Item) -> int:
    """Write units of an item, outside transactions."""
    return max(1, math.ceil(size(item) / 1024))


def _key(key: Item) -> tuple[str, str]:
    return key["key"]["S"], key["chunk"]["N"]


def error_body(error: AwsError, more: Answer | None = None) -> bytes:
    """The error as DynamoDB's JSON."""
    document: dict[str, Any] = {"__type": f"com.amazonaws.dynamodb.v20120810#{error.code}"}
    document |= more or {}
    if error.reasons:
        document["CancellationReasons"] = error.reasons
    return json.dumps(document).encode()
