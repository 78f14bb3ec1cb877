"""Transactions over the words table and the table of markers: partition key `key` (S, a digest),
sort key `chunk` (N), `digest` (S), and `expires_at` (N, seconds since 1970), DynamoDB's TTL."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wordtally import aws
from wordtally.errors import Unavailable
from wordtally.once import Marker
from wordtally.work import Work, jittered_pause

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BATCH_KEYS = 100
"""DynamoDB's limit for one BatchGetItem."""

# The SDK does not try these again, as they are reasons of another error.
_THROTTLED = frozenset(["ProvisionedThroughputExceeded", "ThrottlingError"])


class DynamoDBLedger:
    """Implements once.Ledger, and reads the totals back. Throttling and outages raise Unavailable."""

    def __init__(
        self,
        client: "DynamoDBClient",
        words_table: str,
        markers_table: str,
        pause: Callable[[int], None] = jittered_pause,
    ) -> None:
        self._client = client
        self._words_table = words_table
        self._markers_table = markers_table
        self._pause = pause

    def write(self, marker: Marker, words: Mapping[str, int], work: Work) -> Marker | None:
        """Transactions that meet on a word are tried again for as long as there is time, throttled
        ones MAX_ATTEMPTS times."""
        actions = [self._put(marker), *(self._add(*entry) for entry in words.items())]
        attempt = throttled = 0
        while True:
            work.go_on()
            reasons = self._transact(actions)
            if not reasons:
                work.upserts += len(words)
                return None
            if reasons[0]["Code"] == "ConditionalCheckFailed":
                return _found(marker, reasons[0]["Item"])
            codes = {reason["Code"] for reason in reasons} - {"None"}
            cause = f"TransactWriteItems: {', '.join(sorted(codes))}"
            if codes - _THROTTLED - {"TransactionConflict"}:
                raise aws.AwsError(cause)
            throttled += bool(codes & _THROTTLED)
            if throttled == aws.MAX_ATTEMPTS:
                raise Unavailable(cause)
            attempt += 1
            work.write_conflicts += 1
            self._pause(attempt)

    def _transact(self, actions: list[Any]) -> list[Any]:
        """Why the transaction was called off, action by action; empty if it was not."""
        with aws.translated_errors():
            try:
                self._client.transact_write_items(TransactItems=actions)
            except Exception as error:
                if aws.error_code(error) != "TransactionCanceledException":
                    raise
                reasons: list[Any] = error.response["CancellationReasons"]  # type: ignore[attr-defined]
                return reasons
        return []

    def _put(self, marker: Marker) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._markers_table,
                "Item": {
                    "key": {"S": marker.key},
                    "chunk": {"N": str(marker.chunk)},
                    "digest": {"S": marker.digest},
                    "expires_at": {"N": str(marker.expires_at)},
                },
                # The TTL deletes some time after it is due.
                "ConditionExpression": "attribute_not_exists(digest) OR expires_at < :now",
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
        """Read consistently: a transaction does not return what it made of a word."""
        missing = [{"word": {"S": word}} for word in words]
        found: dict[str, int] = {}
        attempt = 0
        while missing:
            work.go_on()
            batch, rest = missing[:BATCH_KEYS], missing[BATCH_KEYS:]
            with aws.translated_errors():
                answer = self._client.batch_get_item(
                    RequestItems={
                        self._words_table: {
                            "Keys": batch,
                            "ConsistentRead": True,
                            "ProjectionExpression": "word, times",
                        }
                    }
                )
            for item in answer["Responses"][self._words_table]:
                found[item["word"]["S"]] = int(item["times"]["N"])
            unprocessed: Any = answer.get("UnprocessedKeys", {}).get(self._words_table, {})
            if throttled := unprocessed.get("Keys", []):
                attempt += 1
                self._pause(attempt)
            missing = [*throttled, *rest]
        return found


def _found(ours: Marker, item: dict[str, Any]) -> Marker:
    """The marker in the place of ours."""
    return replace(ours, digest=item["digest"]["S"], expires_at=int(item["expires_at"]["N"]))
