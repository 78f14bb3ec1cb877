"""The fakes of app/tests as one client that counts the units which AWS charges."""

import math
from collections.abc import Mapping
from typing import Any

from fakes import FakeDynamoDB, FakeKinesis, FakeS3, FakeSqs, place_of
from wordtally.aws.client import Answer

PAGE_BYTES = 1024 * 1024  # DynamoDB's limit for one page of a scan

LANE_BYTES = 21
"""Size of an item's attribute for a lane of the stream: its name, and a number of 13 digits."""


class Store(FakeDynamoDB):
    """DynamoDB, S3 (one bucket, whatever its name), Kinesis and SQS."""

    def __init__(self, words: dict[str, int] | None = None) -> None:
        super().__init__()
        self.items = words or {}
        self.bucket, self.kinesis, self.queue = FakeS3(), FakeKinesis(), FakeSqs()
        for fake in (self.bucket, self.kinesis, self.queue):
            self.operations |= fake.operations
        self._segments: dict[tuple[int, int], list[str]] = {}
        self.forget()

    def forget(self) -> None:
        """Reset the figures."""
        self.calls.clear()
        self.read_units = 0
        self.write_units = 0

    def get_item(self, **request: Any) -> Answer:
        answer = super().get_item(**request)
        self.read_units += math.ceil(max(1, size(answer.get("Item", {}))) / 4096)
        return answer

    def update_item(self, **request: Any) -> Answer:
        before = self._units(request)
        try:
            return super().update_item(**request)
        finally:
            self.write_units += max(before, self._units(request))

    def transact_write_items(self, **request: Any) -> Answer:
        """Costs twice the units of the single writes, even if a condition fails."""
        actions = [action for entry in request["TransactItems"] for action in entry.values()]
        before = [self._units(action) for action in actions]
        try:
            return super().transact_write_items(**request)
        finally:
            self.write_units += 2 * sum(map(max, before, map(self._units, actions)))

    def _units(self, action: Mapping[str, Any]) -> int:
        """Write units of the current size of the item that `action` writes. A write costs the larger of the
        units before and after it."""
        word = action.get("Key", {}).get("word")
        if not word:
            return max(1, math.ceil(size(self.markers.get(place_of(action), {})) / 1024))
        name, lanes = word["S"], len(self.fences.get(word["S"], ()))
        if len(name) < 100 and lanes < 20:
            return 1
        return math.ceil((len(name.encode()) + 30 + lanes * LANE_BYTES) / 1024)

    def batch_get_item(self, **request: Any) -> Answer:
        (wanted,) = request["RequestItems"].values()
        self.read_units += len(wanted["Keys"])  # of up to 4 kB each
        return super().batch_get_item(**request)

    def scan(self, **request: Any) -> Answer:
        """Return pages of up to 1 MB. The fake's own scan sorts the table for each page, which takes too long
        for a large table."""
        part = request["Segment"], request["TotalSegments"]
        start = int(request.get("ExclusiveStartKey", {}).get("word", {}).get("S", 0))
        if not start:
            self._segments[part] = list(self.items)[part[0] :: part[1]]
        words = self._segments[part]
        items: list[dict[str, Any]] = []
        bytes_read, end = 0, start
        last = min(len(words), start + request["Limit"])
        while end < last and bytes_read < PAGE_BYTES:
            items.append(self.item(words[end]))
            bytes_read += size(items[-1])
            end += 1
        self.read_units += math.ceil(bytes_read / 4096)  # a consistent read
        more = {"LastEvaluatedKey": {"word": {"S": str(end)}}} if end < len(words) else {}
        return {"Items": items, **more}


def size(item: Mapping[str, Mapping[str, str]]) -> int:
    """Bytes of an item: names, texts in UTF-8, and for a number one byte per two digits, and two more."""
    return sum(
        len(name) + (len(value["S"].encode()) if "S" in value else len(value["N"]) // 2 + 2)
        for name, value in item.items()
    )
