"""The words table in DynamoDB: partition key `word` (S), total `times` (N)."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from wordtally import aws
from wordtally.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WORKERS = 16
"""Upserts under way at once. With 5 ms a call, 16 keep one vCPU busy with the SDK's own work."""


class DynamoDBCounts:
    """Implements ranking.Counts. Throttling and outages raise Unavailable."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def add(self, words: Mapping[str, int]) -> dict[str, int]:
        """One atomic ADD per word, up to WORKERS at a time.

        The first failure calls off what has not begun and waits for what has, so nothing is still
        being written when the request is answered.
        """
        with ThreadPoolExecutor(max(1, min(WORKERS, len(words)))) as pool:
            return dict(pool.map(self._add_word, words.items()))

    def _add_word(self, entry: tuple[str, int]) -> tuple[str, int]:
        word, occurrences = entry
        with aws.translated_errors():
            answer = self._client.update_item(
                TableName=self._table,
                Key={"word": {"S": word}},
                UpdateExpression="ADD times :n",
                ExpressionAttributeValues={":n": {"N": str(occurrences)}},
                ReturnValues="UPDATED_NEW",
            )
        return word, int(answer["Attributes"]["times"]["N"])

    def scan(self) -> Iterator[dict[str, int]]:
        """Consistent reads: an eventual one could miss what `add` has just written."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table, ConsistentRead=True
        )
        with aws.translated_errors():
            for page in pages:
                yield {item["word"]["S"]: int(item["times"]["N"]) for item in page["Items"]}


def connect(settings: Settings) -> DynamoDBCounts:
    """Make the one client of this function instance."""
    return DynamoDBCounts(
        aws.client("dynamodb", settings.region, max_pool_connections=WORKERS),
        settings.words_table,
    )
