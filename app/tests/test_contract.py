"""The fakes keep the contract that the adapters rely on."""

import unittest

from contract import CountsContract, LedgerContract, ReportsContract
from fakes import FakeDynamoDB, FakeS3, counts_over, reports_over


class FakeCounts(CountsContract, unittest.TestCase):
    def setUp(self) -> None:
        self.counts = counts_over(FakeDynamoDB())


class FakeLedger(LedgerContract, unittest.TestCase):
    def setUp(self) -> None:
        self.counts = counts_over(FakeDynamoDB())


class FakeReports(ReportsContract, unittest.TestCase):
    def setUp(self) -> None:
        self.bucket = FakeS3()
        self.reports = reports_over(self.bucket)
