"""moto keeps the contract of app/tests/contract.py, with either client of AWS. The fakes of the unit tests
keep it too."""

from dataclasses import replace
from typing import Any

import contract
import pytest
from wordtally import handler
from wordtally.settings import Settings
from wordtally.stores.calls import Calls
from wordtally.stores.checkpoints import DynamoDBCheckpoints
from wordtally.stores.files import S3Files
from wordtally.stores.lanes import DynamoDBLanes
from wordtally.stores.queues import FailureQueue, KinesisStream
from wordtally.work import Work

from local.emulator import aws

TABLE, BUCKET, INBOX = "contract-words", "reports", "inbox"
MARKERS = "contract-markers"
SETTINGS = Settings(aws.REGION, TABLE, BUCKET, 600, 1000, MARKERS, 24)


class OnMoto(contract.Environment):
    client = "thin"

    @pytest.fixture(autouse=True)
    def _environment(self, cloud: str, patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in aws.environment(cloud).items():
            monkeypatch.setenv(name, value)
        self.url = cloud

    def service(self, name: str) -> Any:
        return aws.client(name, self.url)

    def setUp(self) -> None:
        aws.create_storage(self.url, TABLE, BUCKET, MARKERS)
        self.addCleanup(aws.delete_storage, self.url, TABLE, BUCKET, MARKERS)
        self.s3 = self.service("s3")
        place = {"LocationConstraint": aws.REGION}
        self.s3.create_bucket(Bucket=INBOX, CreateBucketConfiguration=place)
        self.addCleanup(aws.delete_bucket, self.s3, INBOX)
        for bucket in (BUCKET, INBOX):
            self.s3.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        self.kinesis, self.queue = self.service("kinesis"), self.service("sqs")
        self.kinesis.create_stream(StreamName="texts", ShardCount=1)
        self.addCleanup(self.kinesis.delete_stream, StreamName="texts")
        queue = self.queue.create_queue(QueueName="failures")["QueueUrl"]
        self.addCleanup(self.queue.delete_queue, QueueUrl=queue)

        client = handler.client(replace(SETTINGS, aws_client=self.client))
        instance: Any = handler.assembled(SETTINGS, client)
        calls = Calls(client)
        self.counts, self.reports = instance.ranking._counts, instance.reports
        self.checkpoints = DynamoDBCheckpoints(calls, MARKERS)
        self.lanes, self.files = DynamoDBLanes(calls, MARKERS), S3Files(calls)
        self.producer = KinesisStream(calls, "texts")
        self.failures = FailureQueue(calls, queue)

    def records(self) -> list[bytes]:
        (shard,) = self.kinesis.list_shards(StreamName="texts")["Shards"]
        iterator = self.kinesis.get_shard_iterator(
            StreamName="texts", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        found = self.kinesis.get_records(ShardIterator=iterator)["Records"]
        return [record["Data"] for record in found]

    def messages(self) -> list[str]:
        (queue,) = self.queue.list_queues()["QueueUrls"]
        found = self.queue.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        return [message["Body"] for message in found.get("Messages", [])]


class OnBotocore(OnMoto):
    client = "botocore"


globals().update(contract.cases(OnMoto) | contract.cases(OnBotocore))


class LargeTables(OnMoto):
    """Tests of large tables, which the fakes need not pass."""

    def test_a_large_table_is_scanned_in_several_pages(self) -> None:
        words = {f"{number:04}{'x' * 1000}": 1 for number in range(1200)}  # over 1 MB
        self.counts.add(words, Work())
        pages = list(self.counts.scan(1200, Work()))
        self.assertEqual(len(pages), 2)
        self.assertEqual({word for page in pages for word in page}, set(words))

    def test_a_transaction_on_a_table_of_4000_words_ends_before_the_clients_timeout(self) -> None:
        book = [{"word": {"S": f"w{number}"}, "times": {"N": "1"}} for number in range(4_000)]
        for start in range(0, len(book), 25):
            puts: Any = [{"PutRequest": {"Item": item}} for item in book[start : start + 25]]
            self.service("dynamodb").batch_write_item(RequestItems={TABLE: puts})
        words = {f"w{number}": 1 for number in range(99)}
        totals = self.counts.add_once(contract.MARKER, words, Work())
        self.assertEqual(totals, dict.fromkeys(words, 2))


class LargeTablesOnBotocore(LargeTables):
    client = "botocore"
