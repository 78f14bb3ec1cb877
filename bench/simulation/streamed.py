"""The stream as built, under load: the product's own code from a batch of records to the report.

The model, in virtual time, includes AWS and Lambda's polling of the shards. A throttled write is
retried after the client's pause.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from unittest import mock

from wordtally import handler
from wordtally.aws.client import Answer, Parameters, ignore
from wordtally.aws.errors import AwsError, failure, pause_seconds
from wordtally.domain import ranking
from wordtally.domain.ranking import Report, top
from wordtally.stores.calls import Calls
from wordtally.stores.reports import S3Reports, encode
from wordtally.ways_in.stream import SEQUENCE_DIGITS, Record, Stream
from wordtally.work import Work

from bench import prices
from bench.simulation import workload
from bench.simulation.cloud import (
    DEFAULT_LIMITS,
    DEFAULT_TIMING,
    Limits,
    Throttled,
    TokenBucket,
    concurrently,
    simulated,
)
from bench.simulation.synchronous import quantile
from bench.simulation.virtual import Aside, Clock, Resume
from bench.store import Store
from bench.timing.designs import SETTINGS

WINDOW_SECONDS = 5
"""variables.tf: stream_window_seconds."""

SHARD_TEXTS = 800
"""Texts a second planned for a shard. Kinesis accepts 1,000."""

MAX_BATCH = 10_000
"""Maximum number of records in a batch that Lambda delivers."""

POLL_SECONDS = 1.0
"""Lambda polls each shard once a second."""

APPEND_SECONDS = 0.010
"""Time to append to a stream; an assumption."""

TICK_SECONDS = 0.25
"""The model bundles the texts that arrive at a shard within this time."""

CPU_PER_ACCEPTED = 1.6e-3
"""Seconds of a vCPU to accept a text. For this and the next two, see docs/bench.md, The stream."""

CPU_PER_RECORD = {10: 70e-6, 50: 250e-6}
"""Seconds to decode a record, by the number of words in its text."""

CPU_PER_UPSERT = 0.25e-3
"""Seconds for each distinct word that is written."""

EVENT_BYTES = {10: 705, 50: 1_148}
"""Bytes of a record in the event, by the number of words in its text."""

PAYLOAD_BYTES = 6_000_000
"""Lambda's quota for an event."""

COUNT_WITHIN_SECONDS = 300
"""The function's timeout."""


@dataclass(frozen=True)
class Feed:
    """`rate` texts a second on `shards` shards."""

    rate: float
    shards: int
    words: int = workload.WORDS_PER_TEXT
    """Words of a text."""

    @staticmethod
    def of(rate: float) -> "Feed":
        """A feed with the number of shards planned for the rate."""
        return Feed(rate, math.ceil(rate / SHARD_TEXTS))


@dataclass(frozen=True)
class Outcome:
    """The results of a feed."""

    feed: Feed
    age_p50: float
    """Seconds from the POST until the report shows the text."""
    age_p99: float
    write_units: float
    """Per text, like the next six."""
    read_units: float
    words_written: float
    hottest: float
    """Writes of the hottest item."""
    throttled: float
    gets: float
    puts: float
    seconds: float
    """Function seconds per text to count it."""
    batches: float
    """Per text."""
    busy: float
    """Share of the time during which a shard's function runs."""
    slowest_batch: float
    """Seconds."""
    exact: bool
    """Whether, at the end, the table holds the sum of all texts and the report shows its top ten."""

    @property
    def cost(self) -> dict[str, float]:
        """USD per million texts, by service."""
        return prices.usd(
            invocations=1 + self.batches,
            seconds=CPU_PER_ACCEPTED + APPEND_SECONDS + self.seconds,
            put_units=1,
            shard_seconds=self.feed.shards / self.feed.rate,
            write_units=self.write_units,
            read_units=self.read_units,
            puts=self.puts,
            gets=self.gets,
            logs=1 + self.batches,
        )


class _Aws:
    """The state that all instances share."""

    def __init__(self, clock: Clock, rng: random.Random, limits: Limits) -> None:
        self.clock = clock
        self.rng = rng
        self.store = Store(workload.totals())
        self.table = TokenBucket(clock, limits.table_writes)
        reports = S3Reports(Calls(self.store), "reports", 600)
        reports.publish(Report(top(self.store.items.items()), len(self.store.items)), None, Work())
        self.store.forget()

    def seconds(self, median: float) -> float:
        """A sample of a log-normal time."""
        return median * math.exp(self.rng.gauss(0, DEFAULT_TIMING.spread))


class _Client:
    """Implements aws.client.Client for one instance, whose vCPU processes one call at a time."""

    def __init__(self, aws: _Aws) -> None:
        self.done: Counter[str] = Counter()
        self._aws = aws
        self._cpu_free_at = 0.0

    def call_each(
        self,
        operation: str,
        parameters: Iterable[Parameters],
        until: float,  # noqa: ARG002
        retried: Callable[[AwsError], None] = ignore,  # noqa: ARG002
    ) -> list[Answer]:
        def call(request: Parameters, resume: Resume) -> None:
            self._call(operation, request, resume)

        return concurrently(self._aws.clock, list(parameters), call)

    def presigned_url(self, parameters: Parameters, expires_seconds: int) -> str:
        raise NotImplementedError("no batch links to the report")

    def _call(self, operation: str, request: Parameters, resume: Resume) -> None:
        aws, clock = self._aws, self._aws.clock
        # The key of an S3 object is a string.
        key = request.get("Key", {})
        word = key.get("word", {}).get("S") if isinstance(key, dict) else None
        self.done["hottest"] += word == workload.HOT
        medians = {"GetObject": DEFAULT_TIMING.get, "PutObject": DEFAULT_TIMING.put}
        median = medians.get(operation, DEFAULT_TIMING.update)

        def attempt(number: int) -> None:
            cpu = CPU_PER_UPSERT if word else DEFAULT_TIMING.cpu_per_call
            self._cpu_free_at = max(clock.now, self._cpu_free_at) + cpu
            takes = aws.seconds(median)
            clock.after(
                self._cpu_free_at - clock.now + takes / 2, lambda: arrive(number, takes / 2)
            )

        def arrive(number: int, rest: float) -> None:
            try:
                aws.table.take(1 if word else 0)
            except Throttled:
                self.done["throttled"] += 1
                pause = pause_seconds(failure(operation, "ThrottlingException", 400), number)
                assert pause is not None
                clock.after(rest + pause, lambda: attempt(number + 1))
            else:
                reply = self._effect(operation, request)
                clock.after(rest, lambda: resume(reply))

        attempt(1)

    def _effect(self, operation: str, request: Parameters) -> Answer | AwsError:
        store = self._aws.store
        writes, reads = store.write_units, store.read_units
        try:
            return store.call(operation, request)
        except AwsError as error:
            return error
        finally:
            self.done[operation] += 1
            self.done["write_units"] += store.write_units - writes
            self.done["read_units"] += store.read_units - reads


@dataclass(frozen=True)
class _Bundle:
    """Texts that arrived together."""

    arrived: float
    records: list[Record]


@dataclass(frozen=True)
class _Done:
    """A batch that was counted."""

    began: float
    texts: int
    seconds: float
    figures: Counter[str]


class _Shard:
    """A shard, Lambda's poller in front of it, and the one instance that counts its batches."""

    def __init__(self, name: str, feed: Feed, aws: _Aws) -> None:
        self.done: list[_Done] = []
        self.ages: list[tuple[float, float]] = []
        """For each bundle, when it arrived and how many seconds later the report showed it."""
        self._name = name
        self._feed = feed
        self._aws = aws
        self._client = _Client(aws)
        self._stream = _stream(self._client, aws.clock)
        self._most = min(MAX_BATCH, PAYLOAD_BYTES // EVENT_BYTES[feed.words])
        self._waiting: list[_Bundle] = []
        self._sequence = 0
        self._gathering = 0
        """Number of the batch being gathered, 0 if there is none."""
        self._batches = 0
        self._busy = False

    def put(self, arrived: float, texts: list[dict[str, int]]) -> None:
        records = []
        for words in texts:
            self._sequence += 1
            records.append(Record(str(self._sequence).zfill(SEQUENCE_DIGITS), words))
        self._waiting.append(_Bundle(arrived, records))
        if not self._busy and not self._gathering:
            self._gather()
        elif self._gathering and self._is_full():
            self._begin(self._gathering)

    def _is_full(self) -> bool:
        return sum(len(bundle.records) for bundle in self._waiting) >= self._most

    def _gather(self) -> None:
        """The window begins when the poller finds a record, but never while the function runs."""
        self._batches += 1
        number = self._gathering = self._batches
        wait = self._aws.rng.random() * POLL_SECONDS + WINDOW_SECONDS
        if number == 1:
            wait *= self._aws.rng.random()  # otherwise all shards would begin at the same time
        self._aws.clock.after(0 if self._is_full() else wait, lambda: self._begin(number))

    def _begin(self, number: int) -> None:
        if number != self._gathering:
            return  # the batch was full before its window ended
        self._gathering = 0
        self._busy = True
        batch: list[_Bundle] = []
        size = 0
        while self._waiting and (not batch or size + len(self._waiting[0].records) <= self._most):
            size += len(self._waiting[0].records)
            batch.append(self._waiting.pop(0))
        self._aws.clock.start(lambda: self._work(batch))

    def _work(self, batch: list[_Bundle]) -> None:
        clock = self._aws.clock
        began, before = clock.now, self._client.done.copy()
        records = [record for bundle in batch for record in bundle.records]
        clock.sleep(len(records) * CPU_PER_RECORD[self._feed.words])
        work = Work(clock.now + COUNT_WITHIN_SECONDS)
        self._stream.count(self._name, records, work)
        self.ages += [(bundle.arrived, clock.now - bundle.arrived) for bundle in batch]
        figures = self._client.done - before
        figures["upserts"] = work.upserts
        self.done.append(_Done(began, len(records), clock.now - began, figures))
        self._busy = False
        if self._waiting:
            self._gather()


def _stream(client: _Client, clock: Clock) -> Stream:
    """The stream of an instance that reads the report in virtual time."""
    with mock.patch.object(ranking, "ThreadPoolExecutor", return_value=Aside(clock)):
        stream = handler.assembled(SETTINGS, client).stream
    assert stream
    return stream()


def run(feed: Feed, limits: Limits = DEFAULT_LIMITS, windows: int = 4) -> Outcome:
    """Simulate texts for `windows` windows after a warm-up of two, until all are counted."""
    clock, rng = Clock(), random.Random(1)
    aws = _Aws(clock, rng, limits)
    expected = Counter(aws.store.items)
    shards = [_Shard(f"shard{number}", feed, aws) for number in range(feed.shards)]
    mean = feed.rate / feed.shards * TICK_SECONDS
    warm = 2 * (WINDOW_SECONDS + POLL_SECONDS)
    end = warm + windows * WINDOW_SECONDS

    def arrive(shard: _Shard) -> None:
        if clock.now > end:
            return
        clock.after(TICK_SECONDS, lambda: arrive(shard))
        texts = []
        for _ in range(max(1, round(rng.gauss(mean, math.sqrt(mean))))):
            words = Counter(workload.passage(rng, feed.words - 1))
            words[workload.HOT] += 1
            expected.update(words)
            texts.append(dict(words))
        shard.put(clock.now - TICK_SECONDS / 2, texts)

    for shard in shards:
        clock.after(rng.random() * TICK_SECONDS, lambda shard=shard: arrive(shard))  # type: ignore[misc]
    with simulated(clock, rng), mock.patch("wordtally.domain.fence.time", clock):
        clock.run()

    # The first and the last batch of each shard are incomplete.
    whole = [done for shard in shards for done in shard.done[1:-1] or shard.done]
    texts = sum(done.texts for done in whole)
    figures: Counter[str] = Counter()
    for done in whole:
        figures.update(done.figures)
    ages = [age for shard in shards for arrived, age in shard.ages if warm < arrived <= end]
    seconds = sum(done.seconds for done in whole) / texts
    report = aws.store.bucket.objects["top.json"]["Body"]
    return Outcome(
        feed=feed,
        age_p50=quantile(ages, 0.50),
        age_p99=quantile(ages, 0.99),
        write_units=figures["write_units"] / texts,
        read_units=figures["read_units"] / texts,
        words_written=figures["upserts"] / texts,
        hottest=figures["hottest"] / texts,
        throttled=figures["throttled"] / texts,
        gets=figures["GetObject"] / texts,
        puts=figures["PutObject"] / texts,
        seconds=seconds,
        batches=len(whole) / texts,
        busy=seconds * feed.rate / feed.shards,
        slowest_batch=max(done.seconds for done in whole),
        exact=aws.store.items == expected
        and report == encode(Report(top(expected.items()), len(expected))),
    )
