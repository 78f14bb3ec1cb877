"""The fakes keep the contract that the adapters need."""

import unittest

from contract import (
    CheckpointsContract,
    CountsContract,
    FencesContract,
    FilesContract,
    LanesContract,
    LedgerContract,
    QueuesContract,
    ReportsContract,
)
from fakes import (
    FakeDynamoDB,
    FakeKinesis,
    FakeS3,
    FakeSqs,
    counts_over,
    files_over,
    lanes_over,
    reports_over,
)
from wordtally.stores.calls import Calls
from wordtally.stores.checkpoints import DynamoDBCheckpoints
from wordtally.stores.queues import FailureQueue, KinesisStream


class FakeCounts(CountsContract, unittest.TestCase):
    def setUp(self) -> None:
        self.counts = counts_over(FakeDynamoDB())


class FakeLedger(LedgerContract, unittest.TestCase):
    def setUp(self) -> None:
        self.counts = counts_over(FakeDynamoDB())


class FakeFences(FencesContract, unittest.TestCase):
    def setUp(self) -> None:
        self.counts = counts_over(FakeDynamoDB())


class FakeReports(ReportsContract, unittest.TestCase):
    def setUp(self) -> None:
        self.bucket = FakeS3()
        self.reports = reports_over(self.bucket)


class FakeCheckpoints(CheckpointsContract, unittest.TestCase):
    def setUp(self) -> None:
        self.checkpoints = DynamoDBCheckpoints(Calls(FakeDynamoDB()), "markers")


class FakeLanes(LanesContract, unittest.TestCase):
    def setUp(self) -> None:
        self.lanes = lanes_over(FakeDynamoDB())


class FakeFiles(FilesContract, unittest.TestCase):
    def setUp(self) -> None:
        self.bucket = FakeS3(versioned=True)
        self.files = files_over(self.bucket)


class FakeQueues(QueuesContract, unittest.TestCase):
    def setUp(self) -> None:
        kinesis, queue = FakeKinesis(), FakeSqs()
        self.producer = KinesisStream(Calls(kinesis), "texts")
        self.failures = FailureQueue(Calls(queue), "https://sqs.example/failures")
        self.records, self.messages = lambda: kinesis.records, lambda: queue.messages
