"""Transactions over the words table and the table of markers: partition key `key` (S, a digest),
sort key `chunk` (N), `digest` (S), and in seconds since 1970 `valid_until` (N) and `expires_at` (N),
DynamoDB's TTL.

Only the TTL uses `expires_at`. DynamoDB may delete an item at any moment after it, even between two
chunks of a request, so a condition on the same attribute could change its outcome during a request.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from wordtally.aws.client import Answer
from wordtally.domain.once import Marker
from wordtally.errors import Unavailable
from wordtally.stores.calls import Calls
from wordtally.stores.transactions import THROTTLED_PAUSE_SECONDS, Transactions
from wordtally.work import Work, jittered_pause

BATCH_KEYS = 100
"""DynamoDB's limit for one BatchGetItem."""

BATCHES_AT_ONCE = 16
"""Maximum BatchGetItem calls in flight. Sequential calls would take too long for a text of
thousands of words."""


class DynamoDBLedger:
    """Implements once.Ledger, and reads the totals back. Throttling and outages raise Unavailable."""

    def __init__(
        self,
        calls: Calls,
        words_table: str,
        markers_table: str,
        pause: Callable[..., None] = jittered_pause,
    ) -> None:
        self._calls = calls
        self._words_table = words_table
        self._markers_table = markers_table
        self._transactions = Transactions(calls, pause)
        self._pause = pause

    def write(self, marker: Marker, words: Mapping[str, int], work: Work) -> Marker | None:
        actions = [self._put(marker), *(self._add(*entry) for entry in words.items())]
        refused = self._transactions.write(actions, work)
        if refused is None:
            work.upserts += len(words)
            return None
        try:
            return _found(marker, refused[0])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable("TransactWriteItems: unreadable answer") from error

    def _put(self, marker: Marker) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._markers_table,
                "Item": {
                    "key": {"S": marker.key},
                    "chunk": {"N": str(marker.chunk)},
                    "digest": {"S": marker.digest},
                    "valid_until": {"N": str(marker.valid_until)},
                    "expires_at": {"N": str(marker.expires_at)},
                },
                "ConditionExpression": "attribute_not_exists(digest) OR valid_until < :now",
                "ExpressionAttributeValues": {":now": {"N": str(marker.asked_at)}},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _add(self, word: str, occurrences: int) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": self._words_table,
                "Key": {"word": {"S": word}},
                "UpdateExpression": "ADD times :n",
                "ExpressionAttributeValues": {":n": {"N": str(occurrences)}},
            }
        }

    def totals(self, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """Read consistently: a transaction does not return the new totals.

        Words that DynamoDB leaves out because it is throttling are requested again until the
        deadline.
        """
        missing = [{"word": {"S": word}} for word in words]
        found: dict[str, int] = {}
        attempt = 0
        while missing:
            most = BATCHES_AT_ONCE * BATCH_KEYS
            wanted, rest = missing[:most], missing[most:]
            left_out: list[Any] = []
            for totals, keys in self._batches(wanted, work):
                found |= totals
                left_out += keys
                work.throttled += bool(keys)
            missing = [*left_out, *rest]
            if left_out:
                attempt = attempt + 1 if len(left_out) == len(wanted) else 1
                self._pause(attempt, THROTTLED_PAUSE_SECONDS)
        return found

    def _batches(self, keys: list[Any], work: Work) -> list[tuple[dict[str, int], list[Any]]]:
        """For each BATCH_KEYS of `keys`, the totals found and the keys that DynamoDB left out."""

        def request(keys: list[Any]) -> dict[str, Any]:
            table = {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "word, times"}
            return {"RequestItems": {self._words_table: table}}

        def read(answer: Answer) -> tuple[dict[str, int], list[Any]]:
            items = answer["Responses"].get(self._words_table, [])
            left_out = answer.get("UnprocessedKeys", {}).get(self._words_table, {})
            return totals_of(items, work), list(left_out.get("Keys", []))

        starts = range(0, len(keys), BATCH_KEYS)
        requests = (request(keys[start : start + BATCH_KEYS]) for start in starts)
        return self._calls.each("BatchGetItem", requests, work, read)


def _found(ours: Marker, item: dict[str, Any]) -> Marker:
    """The existing marker with our key and chunk."""
    # Markers of earlier versions of this product have only `expires_at`.
    valid_until = item.get("valid_until") or item["expires_at"]
    return replace(ours, digest=item["digest"]["S"], valid_until=int(valid_until["N"]))


def whole(number: str) -> int | None:
    """A DynamoDB number as an int, or None if it is not whole (this product writes no others).
    Raise ValueError for anything that is not a number."""
    try:
        return int(number)
    except ValueError:
        float(number)
        return None


def totals_of(items: list[dict[str, Any]], work: Work) -> dict[str, int]:
    """Word to total. Items without a whole total are left out and counted in `work`."""
    try:
        return {item["word"]["S"]: int(item["times"]["N"]) for item in items}
    except (LookupError, ValueError):  # rare
        numbers = {item["word"]["S"]: item.get("times", {}).get("N", "nan") for item in items}
        totals = {word: whole(number) for word, number in numbers.items()}
        known = {word: total for word, total in totals.items() if total is not None}
        work.malformed_items += len(totals) - len(known)
        return known
