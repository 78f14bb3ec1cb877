"""A stream's event source mapping, for `make stack`: reads the shards and calls the function as Lambda's
pollers do.

Each record is delivered at least once, and first deliveries are in order. A failed batch is bisected and
retried, and some batches begin with the last records of the one before. After a shard is split or
merged, its children are read once all of its records are delivered.
"""

import base64
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.emulator import aws
from local.services.failures import failure
from local.services.gateway import Event, Function, FunctionError

MAX_BATCH_BYTES = 4_500_000
"""Limit on the data of a batch. Lambda's limit is an event of 6 MB, which has the data in base64."""

DUPLICATES_EVERY = 3
"""Every third batch of a shard begins with the last records of the batch before."""

LONGEST_PAUSE_SECONDS = 2.0
"""Longest pause before a batch is retried."""

IDLE_SECONDS = 0.2
"""Pause between two reads of a shard. Kinesis allows five reads per second."""

Record = dict[str, Any]
"""A record as GetRecords returns it."""

logger = logging.getLogger(__name__)


@dataclass
class _Batch:
    records: list[Record]
    retries: int = 0


@dataclass
class _Shard:
    id: str
    iterator: str
    gathered: list[Record] = field(default_factory=list)
    gathering_since: float = 0
    todo: list[_Batch] = field(default_factory=list)
    """The batch that is being delivered, as the parts into which it was bisected."""
    not_before: float = 0
    batches: int = 0
    last: list[Record] = field(default_factory=list)
    is_closed: bool = False
    """Whether the shard was split or merged."""
    is_at_end: bool = False
    """Whether the last read found no records."""

    @property
    def is_done(self) -> bool:
        return self.is_closed and self.is_at_end and not self.gathered and not self.todo


class EventSourceMapping:
    """`mapping` is the answer of Lambda's GetEventSourceMapping. `kinesis` is a client with the
    permissions of the function's role. `send` sends a message to the on-failure destination, if any."""

    def __init__(
        self,
        mapping: Mapping[str, Any],
        function: Function,
        kinesis: Any,
        send: Callable[[Event], object],
    ) -> None:
        self._mapping = mapping
        self._stream = {"StreamARN": mapping["EventSourceArn"]}
        self._function = function
        self._kinesis = kinesis
        self._send = send
        self._shards: dict[str, _Shard] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Deliver from now on. Raise ClientError if the role may not read the stream."""
        self._kinesis.describe_stream(**self._stream)
        self._kinesis.describe_stream_summary(**self._stream)
        self._find_shards()
        for shard in self._shards.values():
            self._read(shard)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the call in flight. Records that are not yet delivered will be read again."""
        self._stopping.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(IDLE_SECONDS):
            try:
                self.step()
            except Exception:  # after any error, Lambda continues to poll
                logger.exception("the stream could not be read")

    def step(self) -> None:
        """Read each shard at most once, and make at most one call for it."""
        self._find_shards()
        for shard in self._shards.values():
            if not shard.todo:
                self._read(shard)
                self._gather(shard)
            if shard.todo and time.monotonic() >= shard.not_before:
                self._deliver(shard)

    def _find_shards(self) -> None:
        """Add the new shards whose parents are done."""
        answer = self._kinesis.list_shards(**self._stream)
        for found in answer["Shards"]:
            name = found["ShardId"]
            parents = {found.get("ParentShardId"), found.get("AdjacentParentShardId")}
            known = [self._shards.get(parent) for parent in parents - {None}]
            if name not in self._shards and all(shard and shard.is_done for shard in known):
                answer = self._kinesis.get_shard_iterator(
                    **self._stream,
                    ShardId=name,
                    ShardIteratorType=self._mapping["StartingPosition"],
                )
                self._shards[name] = _Shard(name, answer["ShardIterator"])
            if name in self._shards:
                ends = "EndingSequenceNumber" in found["SequenceNumberRange"]
                self._shards[name].is_closed = ends

    def _read(self, shard: _Shard) -> None:
        was_closed = shard.is_closed  # a closed shard gets no more records
        answer = self._kinesis.get_records(**self._stream, ShardIterator=shard.iterator)
        shard.iterator = answer["NextShardIterator"]
        shard.is_at_end = was_closed and not answer["Records"]
        if answer["Records"] and not shard.gathered:
            shard.gathering_since = time.monotonic()
        shard.gathered += answer["Records"]

    def _gather(self, shard: _Shard) -> None:
        """Make a batch of the gathered records, if they fill one or have waited long enough."""
        batch: list[Record] = []
        size = 0
        for record in shard.gathered[: self._mapping["BatchSize"]]:
            size += len(record["Data"])
            if batch and size > MAX_BATCH_BYTES:
                break
            batch.append(record)
        full = len(batch) == self._mapping["BatchSize"] or len(batch) < len(shard.gathered)
        waited = time.monotonic() - shard.gathering_since
        if not batch or not (full or waited >= self._mapping["MaximumBatchingWindowInSeconds"]):
            return
        del shard.gathered[: len(batch)]
        shard.batches += 1
        again = shard.last[-2:] if shard.batches % DUPLICATES_EVERY == 0 else []
        shard.last = batch
        shard.todo = [_Batch(again + batch)]

    def _deliver(self, shard: _Shard) -> None:
        """Call the function with the first batch. On an error, bisect the batch, retry it or give up."""
        batch = shard.todo.pop(0)
        oldest = time.time() - self._mapping["MaximumRecordAgeInSeconds"]
        expired = [each for each in batch.records if _arrived_at(each) < oldest]
        if expired:
            self._give_up(shard, expired, "RecordAgeExceeded", batch.retries)
            batch.records = batch.records[len(expired) :]
        if not batch.records:
            return
        try:
            self._function.invoke(self._event(shard, batch.records))
        except FunctionError:
            most = self._mapping["MaximumRetryAttempts"]
            if self._mapping["BisectBatchOnFunctionError"] and len(batch.records) > 1:
                middle = len(batch.records) // 2  # splitting uses up no retries
                halves = batch.records[:middle], batch.records[middle:]
                shard.todo = [*(_Batch(half, batch.retries) for half in halves), *shard.todo]
            elif 0 <= most <= batch.retries:
                self._give_up(shard, batch.records, "RetryAttemptsExhausted", batch.retries + 1)
            else:
                pause = min(0.1 * 2 ** min(batch.retries, 9), LONGEST_PAUSE_SECONDS)
                shard.not_before = time.monotonic() + pause
                shard.todo.insert(0, _Batch(batch.records, batch.retries + 1))

    def _give_up(self, shard: _Shard, records: list[Record], condition: str, calls: int) -> None:
        batch = {
            "shardId": shard.id,
            "startSequenceNumber": records[0]["SequenceNumber"],
            "endSequenceNumber": records[-1]["SequenceNumber"],
            "batchSize": len(records),
            "streamArn": self._mapping["EventSourceArn"],
        }
        arn = self._mapping["FunctionArn"]
        self._send(failure(arn, condition, calls, KinesisBatchInfo=batch))

    def _event(self, shard: _Shard, records: list[Record]) -> Event:
        return {
            "Records": [
                {
                    "eventID": f"{shard.id}:{record['SequenceNumber']}",
                    "eventName": "aws:kinesis:record",
                    "eventSource": "aws:kinesis",
                    "eventSourceARN": self._mapping["EventSourceArn"],
                    "eventVersion": "1.0",
                    "awsRegion": aws.REGION,
                    "kinesis": {
                        "kinesisSchemaVersion": "1.0",
                        "partitionKey": record["PartitionKey"],
                        "sequenceNumber": record["SequenceNumber"],
                        "data": base64.b64encode(record["Data"]).decode(),
                        "approximateArrivalTimestamp": _arrived_at(record),
                    },
                }
                for record in records
            ]
        }


def _arrived_at(record: Record) -> float:
    return float(record["ApproximateArrivalTimestamp"].timestamp())


def fix_kinesis() -> None:
    """moto numbers the records of each shard from 1, and calls functions itself, in Docker. Here the
    sequence numbers have 56 digits and grow with time, even if a stream is deleted and created again.

    moto drops the tags of a new stream, so every plan would have changes. When a shard is split or
    merged, moto moves its records to the children, under new numbers, and still appends to the closed
    shard."""
    from moto.awslambda.models import LambdaBackend
    from moto.kinesis.models import Record as Stored
    from moto.kinesis.models import Shard, Stream
    from moto.kinesis.responses import KinesisResponse

    create = KinesisResponse.create_stream

    def create_stream(self: Any) -> Any:
        answer = create(self)
        tags = self._get_param("Tags") or {}
        self.kinesis_backend.streams[self._get_param("StreamName")].tags.update(tags)
        return answer

    def put_record(self: Any, partition_key: str, data: str, explicit_hash_key: str) -> str:
        after = next(reversed(self.records), 0)
        number = max(after + 1, time.time_ns() * 10**37)
        self.records[number] = Stored(partition_key, data, number, explicit_hash_key)
        return str(number)

    def keeping_records(reshard: Callable[..., None]) -> Callable[..., None]:
        def keep(self: Any, *named: str) -> None:
            shards = [self.shards[name] for name in named if name in self.shards]
            records = [shard.records for shard in shards]
            for shard in shards:
                shard.records = OrderedDict()
            reshard(self, *named)
            for shard, kept in zip(shards, records, strict=True):
                shard.records = kept

        return keep

    find = Stream.get_shard_for_key

    def get_shard_for_key(self: Any, *key: str) -> Any:
        every = self.shards
        self.shards = {name: shard for name, shard in every.items() if shard.is_open}
        try:
            return find(self, *key)
        finally:
            self.shards = every

    Stream.get_shard_for_key = get_shard_for_key
    Stream.split_shard = keeping_records(Stream.split_shard)
    Stream.merge_shards = keeping_records(Stream.merge_shards)
    KinesisResponse.create_stream = create_stream
    Shard.put_record = put_record
    LambdaBackend.send_kinesis_message = lambda *_, **__: None
