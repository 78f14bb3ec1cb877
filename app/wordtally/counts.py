"""The words table in DynamoDB: partition key `word` (S), total `times` (N)."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from wordtally import aws, once
from wordtally.ledger import DynamoDBLedger
from wordtally.once import Marker
from wordtally.settings import Settings
from wordtally.work import Work, jittered_pause

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WORKERS = 16
"""Calls under way at once. With 10 ms a call, 16 keep one vCPU busy with the SDK's own work; more
do not help (`make bench`)."""

SEGMENTS = 4
"""Parts in which a large table is scanned at the same time."""

PAGE_WORDS = 10_000
"""A page at the most: about 250 kB of the 1 MB that DynamoDB would send, to hold the memory down."""


class DynamoDBCounts:
    """Implements ranking.Counts. Throttling and outages raise Unavailable."""

    def __init__(self, client: "DynamoDBClient", table: str, ledger: DynamoDBLedger) -> None:
        self._client = client
        self._table = table
        self._ledger = ledger
        self._pool = ThreadPoolExecutor(WORKERS)  # starts its threads when they are needed

    def add(
        self, words: Mapping[str, int], work: Work, marker: Marker | None = None
    ) -> dict[str, int]:
        """One atomic ADD per word, up to WORKERS at a time; with a marker, transactions of them.

        The first failure calls off what has not begun and waits for what has, so nothing is still
        being written when the request is answered.
        """
        if marker:
            once.add(self._ledger, marker, words, work)
            return self._ledger.totals(words, work)
        upserts = {
            word: self._pool.submit(self._upsert, word, times, work)
            for word, times in words.items()
        }
        try:
            # Not one after the other: a failure must not wait for slow ones before it.
            wait(upserts.values(), return_when=FIRST_EXCEPTION)
            return {word: upsert.result() for word, upsert in upserts.items() if upsert.done()}
        finally:
            for upsert in upserts.values():
                upsert.cancel()
            wait(upserts.values())
            work.upserts += sum(
                not upsert.cancelled() and not upsert.exception() for upsert in upserts.values()
            )

    def _upsert(self, word: str, occurrences: int, work: Work) -> int:
        attempt = 0
        while True:
            work.go_on()
            with aws.translated_errors():
                try:
                    answer = self._client.update_item(
                        TableName=self._table,
                        Key={"word": {"S": word}},
                        UpdateExpression="ADD times :n",
                        ExpressionAttributeValues={":n": {"N": str(occurrences)}},
                        ReturnValues="UPDATED_NEW",
                    )
                    return int(answer["Attributes"]["times"]["N"])
                except Exception as error:
                    # A transaction is writing this word; this write was not done.
                    if aws.error_code(error) != "TransactionConflictException":
                        raise
            attempt += 1
            work.write_conflicts += 1  # from many threads: a log line may miss one
            jittered_pause(attempt)

    def scan(self, expected: int | None, work: Work) -> Iterator[dict[str, int]]:
        """Consistent reads: an eventual one could miss what `add` has just written.

        A table of more than one page is read in SEGMENTS at a time, of each of which one page is
        held at the most.
        """
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
        with aws.translated_errors():
            answer = self._client.scan(
                TableName=self._table,
                ProjectionExpression="word, times",
                ConsistentRead=True,
                Limit=PAGE_WORDS,
                **where,
            )
        words = {item["word"]["S"]: int(item["times"]["N"]) for item in answer["Items"]}
        end = answer.get("LastEvaluatedKey")
        return words, {**where, "ExclusiveStartKey": end} if end else None


def connect(settings: Settings) -> DynamoDBCounts:
    """Make the one client of this function instance."""
    client = aws.client("dynamodb", settings.region, max_pool_connections=WORKERS)
    client.meta.events.register("before-parse.dynamodb.Scan", _take_items)
    ledger = DynamoDBLedger(client, settings.words_table, settings.markers_table)
    return DynamoDBCounts(client, settings.words_table, ledger)


def _take_items(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Spare botocore the items of a page: of strings and numbers it would make what DynamoDB has
    sent, in four times the time that all else takes (`make bench`)."""
    if response_dict["status_code"] == 200:
        answer = json.loads(response_dict["body"])
        customized_response_dict["Items"] = answer.pop("Items")
        response_dict["body"] = json.dumps(answer).encode()
