"""The fakes keep the contract that the adapters need."""

import contract
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


class OnFakes(contract.Environment):
    def setUp(self) -> None:
        table, self.s3 = FakeDynamoDB(), FakeS3(versioned=True)
        self.counts, self.reports = counts_over(table), reports_over(self.s3)
        self.lanes, self.files = lanes_over(table), files_over(self.s3)
        self.checkpoints = DynamoDBCheckpoints(Calls(table), "markers")
        self.kinesis, self.queue = FakeKinesis(), FakeSqs()
        self.producer = KinesisStream(Calls(self.kinesis), "texts")
        self.failures = FailureQueue(Calls(self.queue), "https://sqs.example/failures")

    def records(self) -> list[bytes]:
        return self.kinesis.records

    def messages(self) -> list[str]:
        return self.queue.messages


globals().update(contract.cases(OnFakes))
