"""The checkpoints of the stream's shards, in the table of markers: partition key `key` (S, a digest of
the shard's name), sort key `chunk` (N, always 0), `done` (S), `fence` (N, the token of the last plan)
and, while a plan is unfinished, `upto` (S) and `words` (S, JSON). They have no `expires_at`, so the TTL
never deletes them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from wordtally.aws.client import Answer
from wordtally.aws.errors import AwsError
from wordtally.stores.calls import Calls
from wordtally.ways_in.stream import Checkpoint, Plan, Superseded
from wordtally.work import Work


class DynamoDBCheckpoints:
    """Implements stream.Checkpoints. Throttling and outages raise Unavailable."""

    def __init__(self, calls: Calls, markers_table: str) -> None:
        self._calls = calls
        self._table = markers_table

    def read(self, shard: str, work: Work) -> Checkpoint:
        where = {"TableName": self._table, "Key": _key(shard), "ConsistentRead": True}
        return self._calls.one("GetItem", where, work, _checkpoint)

    def propose(self, shard: str, done: str, plan: Plan, work: Work) -> None:
        self._change(
            shard,
            "SET done = :done, upto = :upto, words = :words, fence = :token",
            "attribute_not_exists(upto) AND (attribute_not_exists(done) OR done = :done)",
            {
                ":done": {"S": done},
                ":upto": {"S": plan.upto},
                ":words": {"S": json.dumps(plan.words, ensure_ascii=False)},
                ":token": {"N": str(plan.token)},
            },
            work,
        )

    def finish(self, shard: str, plan: Plan, work: Work) -> None:
        self._change(
            shard,
            "SET done = :upto REMOVE upto, words",
            "upto = :upto",
            {":upto": {"S": plan.upto}},
            work,
        )

    def _change(
        self, shard: str, change: str, condition: str, values: Mapping[str, Any], work: Work
    ) -> None:
        """Write conditionally. A retry after a lost answer may find its own write and raise Superseded."""
        parameters = {
            "TableName": self._table,
            "Key": _key(shard),
            "UpdateExpression": change,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }
        try:
            self._calls.one("UpdateItem", parameters, work, lambda _: None)
        except AwsError as error:
            if error.code == "ConditionalCheckFailedException":
                raise Superseded from error
            raise


def _key(shard: str) -> dict[str, Any]:
    digest = hashlib.sha256(f"shard\n{shard}".encode()).hexdigest()
    return {"key": {"S": digest}, "chunk": {"N": "0"}}


def _checkpoint(answer: Answer) -> Checkpoint:
    item = answer.get("Item", {})
    token = int(item.get("fence", {}).get("N", 0))
    plan = None
    if "upto" in item:
        plan = Plan(item["upto"]["S"], json.loads(item["words"]["S"]), token)
    return Checkpoint(item.get("done", {}).get("S", ""), plan, token)
