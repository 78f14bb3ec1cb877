"""The lanes of the inbox and its record of files, in the table of markers: partition key `key` (S, a
digest), sort key `chunk` (N, always 0).

- A lane: `fence` (N), its last token. While a file holds the lane: `upload` (S, JSON) and `held_until`
  (N, seconds since 1970).
- The record of a file that holds or held a lane: `lane` (S), `fence` (N) and, once the lane is released,
  DynamoDB's TTL `expires_at` (N).
"""

import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from wordtally.aws.client import Answer
from wordtally.domain.fence import Fence, next_token
from wordtally.stores.calls import Calls
from wordtally.stores.transactions import Action, Transactions
from wordtally.ways_in.inbox import Abandoned, Upload
from wordtally.work import Work, jittered_pause

LANES = tuple(f"i{number}" for number in range(8))
"""The number of lanes limits how many files are written at the same time. One file alone can use most of
the write capacity of a table."""

LEASE_SECONDS = 900
"""Lambda's longest timeout: after that, the function that took the lane has ended."""

VALID_SECONDS = 15 * 86_400
"""How long the record of a counted file is kept. The failure queue keeps a notification for 14 days."""

BUSY_PAUSE_SECONDS = 1.0
"""The longest pause while other files hold all lanes."""


Item = dict[str, Any]


class DynamoDBLanes:
    """Implements inbox.Lanes. Throttling and outages raise Unavailable."""

    def __init__(
        self, calls: Calls, markers_table: str, pause: Callable[..., None] = jittered_pause
    ) -> None:
        self._calls = calls
        self._table = markers_table
        self._transactions = Transactions(calls, pause)
        self._pause = pause

    def take(self, upload: Upload, work: Work) -> Fence | None:
        attempt = 0
        while True:
            expired = None
            for lane in random.sample(LANES, len(LANES)):
                found = self._try(lane, upload, work)
                if isinstance(found, Fence):
                    return found
                record, holder = found
                if record:
                    return self._held(record, work)
                if int(holder["held_until"]["N"]) < time.time():
                    expired = holder
            if expired:
                raise Abandoned(Upload(**json.loads(expired["upload"]["S"])))
            attempt += 1
            self._pause(attempt, BUSY_PAUSE_SECONDS)

    def release(self, upload: Upload, fence: Fence, work: Work) -> None:
        """Do nothing if the lane is already released. From now on the file's record can expire."""
        lane = {
            "Key": _lane_key(fence.lane),
            "UpdateExpression": "REMOVE upload, held_until",
            "ConditionExpression": "fence = :token AND attribute_exists(upload)",
            "ExpressionAttributeValues": {":token": {"N": str(fence.token)}},
        }
        record = {
            "Key": _file_key(upload),
            "UpdateExpression": "SET expires_at = :at",
            "ExpressionAttributeValues": {":at": {"N": str(int(time.time()) + VALID_SECONDS)}},
        }
        changes = [{"Update": {"TableName": self._table, **each}} for each in (lane, record)]
        self._transactions.write(changes, work)

    def _try(self, lane: str, upload: Upload, work: Work) -> Fence | tuple[Item | None, Item]:
        """Take the lane and return its fence. If the file already has a record, or another file
        holds the lane, return the items of the record and of the lane instead."""
        last = 0
        while True:
            fence = Fence(lane, next_token(last))
            refused = self._transactions.write(self._taking(fence, upload), work)
            if refused is None:
                return fence
            record, holder = refused
            if record or "upload" in holder:
                return record, holder
            last = int(holder["fence"]["N"])  # another instance's clock is ahead

    def _taking(self, fence: Fence, upload: Upload) -> list[Action]:
        token = {"N": str(fence.token)}
        return [
            {
                "Put": {
                    "TableName": self._table,
                    "Item": {**_file_key(upload), "lane": {"S": fence.lane}, "fence": token},
                    "ConditionExpression": "attribute_not_exists(lane)",
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            },
            {
                "Update": {
                    "TableName": self._table,
                    "Key": _lane_key(fence.lane),
                    "UpdateExpression": "SET fence = :token, upload = :upload, held_until = :until",
                    "ConditionExpression": "attribute_not_exists(upload)"
                    " AND (attribute_not_exists(fence) OR fence < :token)",
                    "ExpressionAttributeValues": {
                        ":token": token,
                        ":upload": {"S": json.dumps(asdict(upload))},
                        ":until": {"N": str(int(time.time()) + LEASE_SECONDS)},
                    },
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            },
        ]

    def _held(self, record: Item, work: Work) -> Fence | None:
        """The fence in a file's record, None if the lane has been released."""
        fence = Fence(record["lane"]["S"], int(record["fence"]["N"]))
        where = {"TableName": self._table, "Key": _lane_key(fence.lane), "ConsistentRead": True}

        def holds(answer: Answer) -> bool:
            lane = answer["Item"]
            return "upload" in lane and int(lane["fence"]["N"]) == fence.token

        return fence if self._calls.one("GetItem", where, work, holds) else None


def _lane_key(lane: str) -> Item:
    return _key("lane", lane)


def _file_key(upload: Upload) -> Item:
    """Unique to this version."""
    return _key("file", upload.bucket, upload.key, upload.version_id or upload.etag)


def _key(*names: str) -> Item:
    # No Idempotency-Key contains a line feed.
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).hexdigest()
    return {"key": {"S": digest}, "chunk": {"N": "0"}}
