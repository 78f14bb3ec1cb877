"""The look-alike of Lambda's pollers, with a stream of the emulated AWS."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.emulator import aws
from local.services.event_source_mapping import DUPLICATES_EVERY, EventSourceMapping
from local.services.gateway import Event, FunctionError

STREAM = "records"


class Stream:
    """A stream, and a function that fails for the records named in `fails`. The name of a record is its
    partition key."""

    def __init__(self, kinesis: Any) -> None:
        self.kinesis = kinesis
        self.calls: list[list[str]] = []
        self.fails: set[str] = set()
        self.queue: list[Event] = []
        """Messages to the on-failure destination."""

    def put(self, *names: str) -> str:
        """Append records. Return the last one's sequence number."""
        for name in names:
            put = self.kinesis.put_record(StreamName=STREAM, Data=b"data", PartitionKey=name)
        return str(put["SequenceNumber"])

    def invoke(self, event: Event) -> None:
        self.calls.append([record["kinesis"]["partitionKey"] for record in event["Records"]])
        if self.fails & set(self.calls[-1]):
            raise FunctionError

    def mapping(self, **settings: Any) -> EventSourceMapping:
        described = {
            "EventSourceArn": f"arn:aws:kinesis:{aws.REGION}:123456789012:stream/{STREAM}",
            "FunctionArn": "arn:aws:lambda:function:live",
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": 100,
            "MaximumBatchingWindowInSeconds": 0,
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": 2,
            "MaximumRecordAgeInSeconds": 3600,
            **settings,
        }
        return EventSourceMapping(described, self, self.kinesis, self.queue.append)


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    with aws.running("local.emulator.whole_aws") as url:
        yield url


@pytest.fixture
def stream(cloud: str) -> Iterator[Stream]:
    kinesis = aws.client("kinesis", cloud)
    kinesis.create_stream(StreamName=STREAM, ShardCount=1)
    yield Stream(kinesis)
    kinesis.delete_stream(StreamName=STREAM)


def steps(mapping: EventSourceMapping, done: Callable[[], bool]) -> None:
    while not done():
        mapping.step()


def test_records_come_in_batches_and_in_order(stream: Stream) -> None:
    stream.put("a", "b", "c")
    steps(stream.mapping(BatchSize=2), lambda: len(stream.calls) == 2)
    assert stream.calls == [["a", "b"], ["c"]]


def test_some_batches_begin_with_the_last_records_of_the_batch_before(stream: Stream) -> None:
    reader = stream.mapping()
    for number in range(DUPLICATES_EVERY):
        stream.put(str(number))
        reader.step()
    assert stream.calls == [["0"], ["1"], ["1", "2"]]


def test_within_the_window_records_are_gathered(stream: Stream) -> None:
    reader = stream.mapping(MaximumBatchingWindowInSeconds=300, BatchSize=3)
    for name in "ab":
        stream.put(name)
        reader.step()
    assert stream.calls == []
    stream.put("c")
    reader.step()
    assert stream.calls == [["a", "b", "c"]]


def test_a_failing_batch_is_bisected_and_the_bad_record_ends_in_the_queue(stream: Stream) -> None:
    stream.put("a", "b", "bad", "c")
    stream.fails = {"bad"}
    steps(stream.mapping(), lambda: ["c"] in stream.calls)
    tries = [["bad"]] * 3  # splitting uses up no retries
    parts = [["a", "b"], ["bad", "c"]]
    assert stream.calls == [["a", "b", "bad", "c"], *parts, *tries, ["c"]]
    (message,) = stream.queue
    assert message["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert message["KinesisBatchInfo"]["batchSize"] == 1
    assert "data" not in json.dumps(message)


def test_records_that_are_too_old_end_in_the_queue(stream: Stream) -> None:
    stream.put("a")
    steps(stream.mapping(MaximumRecordAgeInSeconds=-60), lambda: bool(stream.queue))
    assert stream.calls == []
    assert stream.queue[0]["requestContext"]["condition"] == "RecordAgeExceeded"


def test_the_children_of_a_shard_wait_for_their_parent(stream: Stream) -> None:
    stream.put("a", "b")
    stream.kinesis.split_shard(
        StreamName=STREAM, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**127)
    )
    stream.put("c", "d", "e")
    stream.fails = {"b"}
    reader = stream.mapping(MaximumRetryAttempts=-1)
    steps(reader, lambda: stream.calls.count(["b"]) == 2)
    stream.fails = set()
    steps(reader, lambda: {"c", "d", "e"} <= {name for call in stream.calls for name in call})
    assert stream.calls[:5] == [["a", "b"], ["a"], ["b"], ["b"], ["b"]]
    assert sorted(name for call in stream.calls[5:] for name in call) == ["c", "d", "e"]


def test_sequence_numbers_are_long_and_continue_to_grow_in_a_new_stream(stream: Stream) -> None:
    first, second = stream.put("a"), stream.put("a")
    stream.kinesis.delete_stream(StreamName=STREAM)
    stream.kinesis.create_stream(StreamName=STREAM, ShardCount=1)
    third = stream.put("a")
    assert first < second < third
    assert len(third) == 56
