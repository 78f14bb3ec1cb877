"""The look-alike of Lambda's pollers, with a stream of the emulated AWS."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.emulator import aws
from local.services.event_source_mapping import DUPLICATES_EVERY, EventSourceMapping
from local.services.gateway import Event, FunctionError

STREAM = "records"


class Recorder:
    """A function that fails for the records in `fails`."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fails: set[str] = set()

    def invoke(self, event: Event) -> None:
        self.calls.append([record["kinesis"]["partitionKey"] for record in event["Records"]])
        if self.fails & set(self.calls[-1]):
            raise FunctionError


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    with aws.running("local.emulator.whole_aws") as url:
        yield url


@pytest.fixture
def put(cloud: str) -> Iterator[Callable[..., None]]:
    kinesis = aws.client("kinesis", cloud)
    kinesis.create_stream(StreamName=STREAM, ShardCount=1)

    def put(*names: str) -> None:
        for name in names:
            kinesis.put_record(StreamName=STREAM, Data=b"data", PartitionKey=name)

    yield put
    kinesis.delete_stream(StreamName=STREAM)


@pytest.fixture
def function() -> Recorder:
    return Recorder()


@pytest.fixture
def queue() -> list[Event]:
    return []


@pytest.fixture
def mapping(
    cloud: str, put: Callable[..., None], function: Recorder, queue: list[Event]
) -> Callable[..., EventSourceMapping]:
    def make(**settings: Any) -> EventSourceMapping:
        arn = f"arn:aws:kinesis:{aws.REGION}:123456789012:stream/{STREAM}"
        described = {
            "EventSourceArn": arn,
            "FunctionArn": "arn:aws:lambda:function:live",
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": 100,
            "MaximumBatchingWindowInSeconds": 0,
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": 2,
            "MaximumRecordAgeInSeconds": 3600,
            **settings,
        }
        return EventSourceMapping(
            described, function, aws.client("kinesis", cloud), lambda it: queue.append(it)
        )

    return make


def steps(mapping: EventSourceMapping, done: Callable[[], bool]) -> None:
    while not done():
        mapping.step()


def test_records_come_in_batches_and_in_order(
    put: Callable[..., None], function: Recorder, mapping: Callable[..., EventSourceMapping]
) -> None:
    put("a", "b", "c")
    reader = mapping(BatchSize=2)
    steps(reader, lambda: len(function.calls) == 2)
    assert function.calls == [["a", "b"], ["c"]]


def test_some_batches_begin_with_the_last_records_of_the_batch_before(
    put: Callable[..., None], function: Recorder, mapping: Callable[..., EventSourceMapping]
) -> None:
    reader = mapping()
    for number in range(DUPLICATES_EVERY):
        put(str(number))
        reader.step()
    assert function.calls == [["0"], ["1"], ["1", "2"]]


def test_within_the_window_records_are_gathered(
    put: Callable[..., None], function: Recorder, mapping: Callable[..., EventSourceMapping]
) -> None:
    reader = mapping(MaximumBatchingWindowInSeconds=300, BatchSize=3)
    for name in "ab":
        put(name)
        reader.step()
    assert function.calls == []
    put("c")
    reader.step()
    assert function.calls == [["a", "b", "c"]]


def test_a_batch_that_fails_is_bisected_and_the_rest_ends_in_the_queue(
    put: Callable[..., None],
    function: Recorder,
    queue: list[Event],
    mapping: Callable[..., EventSourceMapping],
) -> None:
    put("a", "b", "bad", "c")
    function.fails = {"bad"}
    reader = mapping()
    steps(reader, lambda: ["c"] in function.calls)
    tries = [["bad"]] * 3  # splitting uses up no retries
    parts = [["a", "b"], ["bad", "c"]]
    assert function.calls == [["a", "b", "bad", "c"], *parts, *tries, ["c"]]
    (message,) = queue
    assert message["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert message["KinesisBatchInfo"]["batchSize"] == 1
    assert "data" not in json.dumps(message)


def test_records_that_are_too_old_end_in_the_queue(
    put: Callable[..., None],
    function: Recorder,
    queue: list[Event],
    mapping: Callable[..., EventSourceMapping],
) -> None:
    put("a")
    reader = mapping(MaximumRecordAgeInSeconds=-60)
    steps(reader, lambda: bool(queue))
    assert function.calls == []
    assert queue[0]["requestContext"]["condition"] == "RecordAgeExceeded"


def test_the_children_of_a_shard_wait_for_their_parent(
    cloud: str,
    put: Callable[..., None],
    function: Recorder,
    mapping: Callable[..., EventSourceMapping],
) -> None:
    put("a", "b")
    aws.client("kinesis", cloud).split_shard(
        StreamName=STREAM, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**127)
    )
    put("c", "d", "e")
    function.fails = {"b"}
    reader = mapping(MaximumRetryAttempts=-1)
    steps(reader, lambda: function.calls.count(["b"]) == 2)
    function.fails = set()
    steps(reader, lambda: {"c", "d", "e"} <= {name for call in function.calls for name in call})
    assert function.calls[:4] == [["a", "b"], ["a"], ["b"], ["b"]]
    assert function.calls[4] == ["b"]
    assert sorted(name for call in function.calls[5:] for name in call) == ["c", "d", "e"]


def test_sequence_numbers_are_long_and_continue_to_grow_in_a_new_stream(
    cloud: str, put: Callable[..., None]
) -> None:
    kinesis = aws.client("kinesis", cloud)

    def append() -> str:
        answer = kinesis.put_record(StreamName=STREAM, Data=b"data", PartitionKey="a")
        return str(answer["SequenceNumber"])

    first, second = append(), append()
    kinesis.delete_stream(StreamName=STREAM)
    kinesis.create_stream(StreamName=STREAM, ShardCount=1)
    third = append()
    assert first < second < third
    assert len(third) == 56
