"""The words table in DynamoDB: partition key `word` (S), total `times` (N)."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wordtally import aws, once
from wordtally.ledger import DynamoDBLedger, totals_of, whole
from wordtally.once import Marker
from wordtally.settings import Settings
from wordtally.work import Work, jittered_pause

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WORKERS = 16
"""Calls in flight at once. With 10 ms a call, 16 keep one vCPU busy with the SDK's own work; more
do not help (`make bench`)."""

SEGMENTS = 4
"""Parts of a large table that are scanned concurrently."""

PAGE_WORDS = 10_000
"""Words in a page at most: about 250 kB of the 1 MB that DynamoDB would send, to save memory."""


class DynamoDBCounts:
    """Implements ranking.Counts. Throttling and outages raise Unavailable."""

    def __init__(self, client: "DynamoDBClient", table: str, ledger: DynamoDBLedger) -> None:
        self._client = client
        self._table = table
        self._ledger = ledger
        self._pool = ThreadPoolExecutor(WORKERS)  # starts threads on demand

    def add(self, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """One atomic ADD per word, up to WORKERS concurrently.

        On the first failure, pending upserts are cancelled and those in flight are awaited, so
        nothing is being written any more when the request is answered.
        """
        upserts = {
            word: self._pool.submit(self._upsert, word, times, work)
            for word, times in words.items()
        }
        try:
            # Not one after the other: a failure must not wait for slow ones before it.
            wait(upserts.values(), return_when=FIRST_EXCEPTION)
            totals = {word: upsert.result() for word, upsert in upserts.items() if upsert.done()}
        finally:
            for upsert in upserts.values():
                upsert.cancel()
            wait(upserts.values())
            work.upserts += sum(
                not upsert.cancelled() and not upsert.exception() for upsert in upserts.values()
            )
        known = {word: total for word, total in totals.items() if total is not None}
        work.malformed_items += len(totals) - len(known)
        return known

    def add_once(self, marker: Marker, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """Transactions of a marker and up to once.CHUNK_WORDS words, one after the other."""
        once.add(self._ledger, marker, words, work)
        return self._ledger.totals(words, work)

    def _upsert(self, word: str, occurrences: int, work: Work) -> int | None:
        """The new total, None if it is not a whole number."""
        attempt = 0
        while True:
            work.go_on()
            with aws.translated_errors("UpdateItem"):
                try:
                    answer = self._client.update_item(
                        TableName=self._table,
                        Key={"word": {"S": word}},
                        UpdateExpression="ADD times :n",
                        ExpressionAttributeValues={":n": {"N": str(occurrences)}},
                        ReturnValues="UPDATED_NEW",
                    )
                    break
                except Exception as error:
                    # A transaction is writing this word, and this upsert had no effect.
                    if aws.error_code(error) != "TransactionConflictException":
                        raise
            attempt += 1
            work.write_conflicts += 1  # from many threads: a log line may miss one
            jittered_pause(attempt)
        with aws.reading("UpdateItem"):
            return whole(answer["Attributes"]["times"]["N"])

    def scan(self, expected: int | None, work: Work) -> Iterator[dict[str, int]]:
        """Consistent reads: an eventually consistent one could miss what `add` has just written.

        A table of more than one page is read in SEGMENTS concurrently, holding at most one page of
        each.
        """
        whole = {"Segment": 0, "TotalSegments": 1}
        if expected is None:
            # Usually there is nothing in the table yet; if there is more, one page was read twice.
            words, rest = self._page(whole, work)
            if not rest:
                yield words
                return
        small = expected is not None and expected <= PAGE_WORDS
        segments = 1 if small else SEGMENTS
        pages = {
            self._pool.submit(self._page, {"Segment": segment, "TotalSegments": segments}, work)
            for segment in range(segments)
        }
        try:
            while pages:
                done, pages = wait(pages, return_when=FIRST_COMPLETED)
                for page in done:
                    words, rest = page.result()
                    if rest:
                        pages.add(self._pool.submit(self._page, rest, work))
                    yield words
        finally:
            for page in pages:
                page.cancel()
            wait(pages)

    def _page(
        self, where: dict[str, Any], work: Work
    ) -> tuple[dict[str, int], dict[str, Any] | None]:
        """One page, and where the next one of its segment begins."""
        work.go_on()
        with aws.translated_errors("Scan"):
            answer = self._client.scan(
                TableName=self._table,
                ProjectionExpression="word, times",
                ConsistentRead=True,
                Limit=PAGE_WORDS,
                **where,
            )
        with aws.reading("Scan"):
            words = totals_of(answer["Items"], work)
            end = answer.get("LastEvaluatedKey")
            return words, {**where, "ExclusiveStartKey": end} if end else None


def connect(settings: Settings) -> DynamoDBCounts:
    """Make the one client of this function instance."""
    client = aws.client("dynamodb", settings.region, max_pool_connections=WORKERS)
    client.meta.events.register("before-parse.dynamodb.Scan", _take_items)
    client.meta.events.register("before-parse.dynamodb.TransactWriteItems", _require_json)
    ledger = DynamoDBLedger(client, settings.words_table, settings.markers_table)
    return DynamoDBCounts(client, settings.words_table, ledger)


def _take_items(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Skip botocore's parsing of the items: it would only rebuild the JSON that DynamoDB sent, in four
    times the time that everything else takes (`make bench`)."""
    if response_dict["status_code"] != 200:
        return
    with suppress(ValueError, LookupError, TypeError):  # unreadable: botocore says so
        answer = json.loads(response_dict["body"])
        customized_response_dict["Items"] = answer.pop("Items")
        response_dict["body"] = json.dumps(answer).encode()


def _require_json(response_dict: dict[str, Any], **_: Any) -> None:
    """botocore takes whatever comes with status 200 for a commit: the answer has no members."""
    if response_dict["status_code"] == 200:
        with aws.reading("TransactWriteItems"):
            json.loads(response_dict["body"])
