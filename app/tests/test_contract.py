"""The fakes keep the contract that the adapters rely on."""

import unittest

from contract import CountsContract, ReportsContract
from fakes import FakeDynamoDB, FakeS3
from wordtally.counts import DynamoDBCounts
from wordtally.reports import S3Reports


class FakeCounts(CountsContract, unittest.TestCase):
    def setUp(self) -> None:
        self.counts = DynamoDBCounts(FakeDynamoDB(), "words")


class FakeReports(ReportsContract, unittest.TestCase):
    def setUp(self) -> None:
        self.client = FakeS3()
        self.reports = S3Reports(self.client, "reports", 600)
