"""moto keeps the contract of app/tests/contract.py, with either client of AWS. The fakes of the unit tests
keep it too."""

import os
import unittest
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from contract import (
    MARKER,
    CheckpointsContract,
    CountsContract,
    FencesContract,
    FilesContract,
    LanesContract,
    LedgerContract,
    QueuesContract,
    ReportsContract,
)
from wordtally import handler
from wordtally.settings import Settings
from wordtally.stores.calls import Calls
from wordtally.stores.checkpoints import DynamoDBCheckpoints
from wordtally.stores.counts import DynamoDBCounts
from wordtally.stores.files import S3Files
from wordtally.stores.lanes import DynamoDBLanes
from wordtally.stores.queues import FailureQueue, KinesisStream
from wordtally.stores.reports import S3Reports
from wordtally.work import Work

from local.emulator import aws

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
    def test_a_large_table_is_scanned_in_several_pages(self) -> None:
        words = {f"{number:04}{'x' * 1000}": 1 for number in range(1200)}  # over 1 MB
        self.counts.add(words, Work())
        pages = list(self.counts.scan(1200, Work()))
        self.assertEqual(len(pages), 2)
        self.assertEqual({word for page in pages for word in page}, set(words))


class MotoLedger(LedgerContract, OnMoto):
    def test_a_transaction_on_a_table_of_4000_words_ends_before_the_clients_timeout(self) -> None:
        book = [{"word": {"S": f"w{number}"}, "times": {"N": "1"}} for number in range(4_000)]
        for start in range(0, len(book), 25):
            puts: Any = [{"PutRequest": {"Item": item}} for item in book[start : start + 25]]
            service("dynamodb").batch_write_item(RequestItems={TABLE: puts})
        words = {f"w{number}": 1 for number in range(99)}
        self.assertEqual(self.add(MARKER, words), dict.fromkeys(words, 2))


class MotoFences(FencesContract, OnMoto):
    pass


class MotoReports(ReportsContract, OnMoto):
    def setUp(self) -> None:
        super().setUp()
        self.bucket = service("s3")


class MotoCheckpoints(CheckpointsContract, OnMoto):
    def setUp(self) -> None:
        super().setUp()
        calls = Calls(handler.client(replace(SETTINGS, aws_client=self.client)))
        self.checkpoints = DynamoDBCheckpoints(calls, MARKERS)


class MotoLanes(LanesContract, OnMoto):
    def setUp(self) -> None:
        super().setUp()
        calls = Calls(handler.client(replace(SETTINGS, aws_client=self.client)))
        self.lanes = DynamoDBLanes(calls, MARKERS)


class MotoFiles(FilesContract, OnMoto):
    def setUp(self) -> None:
        super().setUp()
        self.files = S3Files(Calls(handler.client(replace(SETTINGS, aws_client=self.client))))
        self.bucket = service("s3")
        self.bucket.create_bucket(
            Bucket="inbox", CreateBucketConfiguration={"LocationConstraint": aws.REGION}
        )
        self.bucket.put_bucket_versioning(
            Bucket="inbox", VersioningConfiguration={"Status": "Enabled"}
        )

    def tearDown(self) -> None:
        aws.delete_bucket(self.bucket, "inbox")


class MotoQueues(QueuesContract, OnMoto):
    def setUp(self) -> None:
        super().setUp()
        self.kinesis, self.queue = service("kinesis"), service("sqs")
        self.kinesis.create_stream(StreamName="texts", ShardCount=1)
        self.url = self.queue.create_queue(QueueName="failures")["QueueUrl"]
        calls = Calls(handler.client(replace(SETTINGS, aws_client=self.client)))
        self.producer = KinesisStream(calls, "texts")
        self.failures = FailureQueue(calls, self.url)

    def tearDown(self) -> None:
        self.kinesis.delete_stream(StreamName="texts")
        self.queue.delete_queue(QueueUrl=self.url)

    def records(self) -> list[bytes]:
        (shard,) = self.kinesis.list_shards(StreamName="texts")["Shards"]
        iterator = self.kinesis.get_shard_iterator(
            StreamName="texts", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        found = self.kinesis.get_records(ShardIterator=iterator)["Records"]
        return [record["Data"] for record in found]

    def messages(self) -> list[str]:
        found = self.queue.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        return [message["Body"] for message in found.get("Messages", [])]


class BotocoreCounts(MotoCounts):
    client = "botocore"


class BotocoreLedger(MotoLedger):
    client = "botocore"


class BotocoreFences(MotoFences):
    client = "botocore"


class BotocoreReports(MotoReports):
    client = "botocore"


class BotocoreCheckpoints(MotoCheckpoints):
    client = "botocore"


class BotocoreLanes(MotoLanes):
    client = "botocore"


class BotocoreFiles(MotoFiles):
    client = "botocore"


class BotocoreQueues(MotoQueues):
    client = "botocore"
