"""moto keeps the contract of app/tests/contract.py with either client of AWS, and so do the fakes of the
unit tests."""

import os
import unittest
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from contract import MARKER, CountsContract, LedgerContract, ReportsContract
from wordtally import handler
from wordtally.counts import DynamoDBCounts
from wordtally.reports import S3Reports
from wordtally.settings import Settings
from wordtally.work import Work

from local import aws

TABLE, BUCKET = "contract-words", "reports"
MARKERS = "contract-markers"
SETTINGS = Settings(aws.REGION, TABLE, BUCKET, 600, 1000, MARKERS, 24)


@pytest.fixture(autouse=True)
def _storage(cloud: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty table and an empty bucket."""
    for name, value in aws.environment(cloud).items():
        monkeypatch.setenv(name, value)
    aws.create_storage(cloud, TABLE, BUCKET, MARKERS)
    yield
    aws.delete_storage(cloud, TABLE, BUCKET, MARKERS)


def service(name: str) -> Any:
    return aws.client(name, os.environ["AWS_ENDPOINT_URL"])


class OnMoto(unittest.TestCase):
    client = "thin"
    counts: DynamoDBCounts
    reports: S3Reports

    def setUp(self) -> None:
        instance: Any = handler.application(replace(SETTINGS, aws_client=self.client))
        self.counts, self.reports = instance.ranking._counts, instance.reports


class MotoCounts(CountsContract, OnMoto):
    def test_a_scan_takes_as_many_pages_as_it_needs(self) -> None:
        words = {f"{number:04}{'x' * 1000}": 1 for number in range(1200)}  # over 1 MB
        self.counts.add(words, Work())
        pages = list(self.counts.scan(1200, Work()))
        self.assertEqual(len(pages), 2)
        self.assertEqual({word for page in pages for word in page}, set(words))


class MotoLedger(LedgerContract, OnMoto):
    def test_a_transaction_on_the_table_of_a_book_is_done_before_the_client_gives_up(self) -> None:
        book = [{"word": {"S": f"w{number}"}, "times": {"N": "1"}} for number in range(4_000)]
        for start in range(0, len(book), 25):
            puts: Any = [{"PutRequest": {"Item": item}} for item in book[start : start + 25]]
            service("dynamodb").batch_write_item(RequestItems={TABLE: puts})
        words = {f"w{number}": 1 for number in range(99)}
        self.assertEqual(self.add(MARKER, words), dict.fromkeys(words, 2))


class MotoReports(ReportsContract, OnMoto):
    def setUp(self) -> None:
        super().setUp()
        self.bucket = service("s3")


class BotocoreCounts(MotoCounts):
    client = "botocore"


class BotocoreLedger(MotoLedger):
    client = "botocore"


class BotocoreReports(MotoReports):
    client = "botocore"
