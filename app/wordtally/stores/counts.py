"""The words table in DynamoDB: partition key `word` (S), total `times` (N) and, for each lane that
has written the word, the last token of that lane (N), see fence.py."""

from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

from wordtally.aws.client import Answer
from wordtally.domain import once
from wordtally.domain.fence import Fence
from wordtally.domain.once import Marker
from wordtally.stores.calls import Calls, completed
from wordtally.stores.ledger import DynamoDBLedger, totals_of, whole
from wordtally.work import Work

SEGMENTS = 4
"""Parts of a large table that are scanned concurrently."""

PAGE_WORDS = 10_000
"""Maximum words in a page. Saves memory: about 250 kB instead of DynamoDB's 1 MB."""


class DynamoDBCounts:
    """Implements ranking.Counts. Throttling and outages raise Unavailable."""

    def __init__(self, calls: Calls, table: str, ledger: DynamoDBLedger) -> None:
        self._calls = calls
        self._table = table
        self._ledger = ledger
        self._pool = ThreadPoolExecutor(SEGMENTS)  # starts threads on demand

    def add(self, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """One atomic ADD per word, many concurrently."""
        return self._update(words, (self._upsert(*entry) for entry in words.items()), work)

    def add_once(self, marker: Marker, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """Sequential transactions, each of a marker and up to once.CHUNK_WORDS words."""
        once.add(self._ledger, marker, words, work)
        return self._ledger.totals(words, work)

    def add_fenced(self, fence: Fence, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """Like `add`, but conditional on the token. A refused write returns the total, too."""
        upserts = (_fenced(self._upsert(*entry), fence) for entry in words.items())
        return self._update(words, upserts, work)

    def _upsert(self, word: str, occurrences: int) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Key": {"word": {"S": word}},
            "UpdateExpression": "ADD times :n",
            "ExpressionAttributeValues": {":n": {"N": str(occurrences)}},
            "ReturnValues": "UPDATED_NEW",
        }

    def _update(
        self, words: Mapping[str, int], upserts: Iterator[dict[str, Any]], work: Work
    ) -> dict[str, int]:
        try:
            totals = self._calls.each("UpdateItem", upserts, work, _total)
        except Exception as error:
            work.upserts += completed(error)
            raise
        work.upserts += len(totals)
        known = {
            word: total for word, total in zip(words, totals, strict=True) if total is not None
        }
        work.malformed_items += len(totals) - len(known)
        return known

    def scan(self, expected: int | None, work: Work) -> Iterator[dict[str, int]]:
        """Consistent reads: an eventually consistent one could miss what `add` has just written.

        A table of more than one page is read in SEGMENTS segments concurrently, with at most one
        page of each segment in memory.
        """
        whole_table = {"Segment": 0, "TotalSegments": 1}
        if expected is None:
            # Usually the table is empty. If it exceeds a page, the first page is read twice.
            words, rest = self._page(whole_table, work)
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

        def read(answer: Answer) -> tuple[dict[str, int], dict[str, Any] | None]:
            end = answer.get("LastEvaluatedKey")
            rest = {**where, "ExclusiveStartKey": end} if end else None
            return totals_of(answer["Items"], work), rest

        parameters = {
            "TableName": self._table,
            "ProjectionExpression": "word, times",
            "ConsistentRead": True,
            "Limit": PAGE_WORDS,
            **where,
        }
        return self._calls.one("Scan", parameters, work, read)


def _fenced(upsert: dict[str, Any], fence: Fence) -> dict[str, Any]:
    return {
        **upsert,
        "UpdateExpression": "ADD times :n SET #lane = :token",
        "ConditionExpression": "attribute_not_exists(#lane) OR #lane < :token",
        "ExpressionAttributeNames": {"#lane": fence.lane},
        "ExpressionAttributeValues": {
            **upsert["ExpressionAttributeValues"],
            ":token": {"N": str(fence.token)},
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _total(answer: Answer) -> int | None:
    """The total after an upsert, None if it is not a whole number. A failed condition returns `Item`."""
    item = answer["Item"] if "Item" in answer else answer["Attributes"]
    return whole(item["times"]["N"])
