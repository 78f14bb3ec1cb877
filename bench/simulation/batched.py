"""The design that lifts the ceiling: texts are accepted immediately and counted in batches.

    POST ─▶ accept ─▶ stream of texts ─▶ [combine ─▶ stream of sums ─▶] count ─▶ table, report
             202       (Kinesis)          per shard   by word

`accept` validates and counts a text and appends its words to a stream. `count` runs the product's own
protocol once per batch: one ADD per distinct word, one publish. With one level, `count` reads the texts,
and each counter writes the rare words again. With two levels, `combine` adds up the texts of its shard
and passes the sums on by word. Each word has one counter, which writes it once per window, whatever the
number of texts.
"""

import functools
import itertools
import math
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from wordtally.work import Work

from bench import prices
from bench.measure import MB_PER_VCPU
from bench.prices import LOG_BYTES
from bench.simulation import workload
from bench.simulation.cloud import (
    DEFAULT_LIMITS,
    DEFAULT_TIMING,
    Cloud,
    Instance,
    Timing,
    simulated,
)
from bench.simulation.synchronous import product, quantile
from bench.simulation.virtual import Clock

SHARD_TEXTS = 800
"""Texts a second planned for a shard. Kinesis accepts 1,000."""

MAX_BATCH = 10_000
"""Maximum number of records in a batch that Lambda delivers."""

POLL_SECONDS = 1.0
"""Lambda polls each shard once a second."""

APPEND_SECONDS = 0.010
"""Time to append to a stream; an assumption."""

CPU_PER_TEXT = 20e-6
"""Seconds of a vCPU to decode the ten words of a text and add them up; an assumption."""

CPU_PER_ENTRY = 1e-6
"""The same for one word of a sum."""

TICK_SECONDS = 0.25
"""The model bundles the texts that arrive at a reader within this time."""

BATCHING_TIMING = Timing(memory_mb=MB_PER_VCPU)
"""A whole vCPU: CPU time dominates the duration of a batch."""

Record = TypeVar("Record")


@dataclass(frozen=True)
class Plan:
    """How many functions read `rate` texts a second, and for how long each gathers a batch."""

    rate: float
    counters: int
    window: float
    """Seconds."""
    combiners: int = 0
    """0 means one level: the counters read the texts."""
    combine_window: float = 0.0

    @property
    def shards(self) -> int:
        """Shards of both streams."""
        return math.ceil(self.rate / SHARD_TEXTS) + (self.counters if self.combiners else 0)


@dataclass(frozen=True)
class Flow:
    """The results of a plan in its steady state."""

    plan: Plan
    staleness_p50: float
    """Seconds from the POST until the report shows the text."""
    staleness_p99: float
    upserts: float
    """Per text, like the next three."""
    gets: float
    puts: float
    conflicts: float
    counters_busy: float
    """Share of the time; at 1 they fall behind."""
    batches: float
    """Per text, of both levels."""
    batch_seconds: float
    """Function seconds per text in these batches."""
    throttled: float
    """Per text."""
    exact: bool
    """Whether, at the end, the table holds the sum of all texts and the report shows its top ten."""

    @property
    def cost(self) -> dict[str, float]:
        """USD per million texts, by service."""
        accept = (DEFAULT_TIMING.cpu_wait + APPEND_SECONDS) * DEFAULT_TIMING.memory_mb / 1_024
        count = self.batch_seconds * BATCHING_TIMING.memory_mb / 1_024
        sums = self.batches * self.plan.counters if self.plan.combiners else 0
        shard_hours = self.plan.shards / self.plan.rate * 1e6 / 3_600
        return {
            "HTTP API": prices.HTTP_API_REQUEST,
            "Lambda": (1 + self.batches) * prices.LAMBDA_REQUEST
            + (accept + count) * prices.LAMBDA_ARM64_GB_SECOND * 1e6,
            "Kinesis": (1 + sums) * prices.KINESIS_PUT_UNIT
            + shard_hours * prices.KINESIS_SHARD_HOUR,
            "DynamoDB": self.upserts * prices.DYNAMODB_WRITE_UNIT,
            "S3": self.puts * prices.S3_PUT + self.gets * prices.S3_GET,
            "logs": LOG_BYTES * 1e6 / 1e9 * prices.LOGS_INGESTED_GB,
        }


@dataclass(frozen=True)
class _Bundle:
    """Texts that arrived together."""

    arrived: float
    texts: int
    words: list[str]


@dataclass
class _Batch:
    """Bundles. The report shows them when all of their counters have published."""

    bundles: list[_Bundle]
    counters: int

    def words(self) -> Counter[str]:
        words = Counter(itertools.chain.from_iterable(bundle.words for bundle in self.bundles))
        words[workload.HOT] = self.texts
        return words

    @property
    def texts(self) -> int:
        return sum(bundle.texts for bundle in self.bundles)


@dataclass(frozen=True)
class _Sum:
    """The share of a batch for one counter."""

    words: dict[str, int]
    cpu_seconds: float
    """CPU time to decode the sum."""
    batch: _Batch


@dataclass(frozen=True)
class _Done:
    """The results of one or several batches."""

    texts: float
    """For a counter on two levels, a tenth of the words that it counted."""
    distinct_words: int
    """Distinct words of each batch, added up."""
    seconds: float
    batches: int = 1

    @staticmethod
    def sum(parts: Iterable["_Done"]) -> "_Done":
        whole = list(parts)
        return _Done(
            sum(part.texts for part in whole),
            sum(part.distinct_words for part in whole),
            sum(part.seconds for part in whole),
            len(whole),
        )


class _Reader(Generic[Record]):
    """A function that reads its part of a stream in order, one batch at a time."""

    def __init__(
        self, clock: Clock, rng: random.Random, window: float, read: Callable[[list[Record]], _Done]
    ) -> None:
        self.done: list[_Done] = []
        self._clock = clock
        self._rng = rng
        self._window = window
        self._read = read
        self._waiting: list[Record] = []
        self._due = 0.0
        self._busy = False

    def put(self, record: Record) -> None:
        self._waiting.append(record)
        if len(self._waiting) == 1:
            gather = self._window + self._rng.random() * POLL_SECONDS
            if not self.done and not self._busy:
                gather *= self._rng.random()  # otherwise all readers would begin at the same time
            self._due = self._clock.now + gather
            if not self._busy:
                self._wait()

    def _wait(self) -> None:
        self._busy = True
        self._clock.after(max(0.0, self._due - self._clock.now), self._begin)

    def _begin(self) -> None:
        batch, self._waiting = self._waiting, []
        self._clock.start(lambda: self._work(batch))

    def _work(self, batch: list[Record]) -> None:
        self.done.append(self._read(batch))
        self._busy = False
        if self._waiting:
            self._wait()


class _Pipeline:
    """The readers of a plan, on the model of AWS."""

    def __init__(self, plan: Plan, clock: Clock, rng: random.Random) -> None:
        self.cloud = Cloud(clock, rng, workload.totals(), DEFAULT_LIMITS, BATCHING_TIMING)
        self.published: list[tuple[float, float]] = []
        """For each bundle, when it arrived and how many seconds later the report showed it."""
        self.counters = [
            _Reader(clock, rng, plan.window, self._counter()) for _ in range(plan.counters)
        ]
        self.combiners = [
            _Reader(clock, rng, plan.combine_window, self._combine) for _ in range(plan.combiners)
        ]
        self._clock = clock

    def put(self, bundle: _Bundle, reader: int) -> None:
        """Append to the part of the stream that the reader reads."""
        if self.combiners:
            self.combiners[reader].put(bundle)
        else:
            batch = _Batch([bundle], 1)
            cpu_seconds = bundle.texts * CPU_PER_TEXT
            self.counters[reader].put(_Sum(batch.words(), cpu_seconds, batch))

    def _combine(self, bundles: list[_Bundle]) -> _Done:
        """Add up the texts of a shard, and pass each word on to its counter."""
        began = self._clock.now
        batch = _Batch(bundles, len(self.counters))
        assert batch.texts <= MAX_BATCH
        words = batch.words()
        shares: list[dict[str, int]] = [{} for _ in self.counters]
        for word, times in words.items():
            shares[_owner(word, len(shares))][word] = times
        self._clock.sleep(batch.texts * CPU_PER_TEXT + BATCHING_TIMING.cpu_wait + APPEND_SECONDS)
        for counter, share in zip(self.counters, shares, strict=True):
            counter.put(_Sum(share, len(share) * CPU_PER_ENTRY, batch))
        return _Done(batch.texts, len(words), self._clock.now - began)

    def _counter(self) -> Callable[[list[_Sum]], _Done]:
        tally = product(Instance(self.cloud))

        def count(sums: list[_Sum]) -> _Done:
            began = self._clock.now
            words: Counter[str] = Counter()
            for part in sums:
                words.update(part.words)
            self._clock.sleep(sum(part.cpu_seconds for part in sums))
            tally(words, Work())
            for part in sums:
                part.batch.counters -= 1
                if not part.batch.counters:
                    self.published += [
                        (bundle.arrived, self._clock.now - bundle.arrived)
                        for bundle in part.batch.bundles
                    ]
            texts = words.total() / workload.WORDS_PER_TEXT
            return _Done(texts, len(words), self._clock.now - began)

        return count


@functools.cache
def _owner(word: str, counters: int) -> int:
    return zlib.crc32(word.encode()) % counters


def run(plan: Plan, seed: int = 1) -> Flow:
    """Simulate texts at the plan's rate for two windows, until all are counted.

    No batch may fail: retries and their double counting are not modelled.
    """
    clock, rng = Clock(), random.Random(seed)
    pipeline = _Pipeline(plan, clock, rng)
    expected = Counter(pipeline.cloud.totals)
    readers = plan.combiners or plan.counters
    mean = plan.rate / readers * TICK_SECONDS
    warm = plan.window + POLL_SECONDS + plan.combine_window
    end = warm + plan.window + POLL_SECONDS
    texts = 0

    def arrive(reader: int) -> None:
        nonlocal texts
        if clock.now > end:
            return
        clock.after(TICK_SECONDS, lambda: arrive(reader))
        arrived = max(0, round(rng.gauss(mean, math.sqrt(mean))))
        words = workload.passage(rng, (workload.WORDS_PER_TEXT - 1) * arrived)
        expected.update(words)
        expected[workload.HOT] += arrived
        texts += arrived
        pipeline.put(_Bundle(clock.now - TICK_SECONDS / 2, arrived, words), reader)

    for reader in range(readers):
        clock.after(TICK_SECONDS, functools.partial(arrive, reader))
    with simulated(clock, rng):
        clock.run()

    # The first and the last batch of each reader are incomplete.
    counted = _Done.sum(batch for reader in pipeline.counters for batch in reader.done[1:-1])
    combined = _Done.sum(batch for reader in pipeline.combiners for batch in reader.done[1:-1])
    staleness = [age for arrived, age in pipeline.published if arrived > warm]
    calls = pipeline.cloud.done
    return Flow(
        plan=plan,
        staleness_p50=quantile(staleness, 0.50),
        staleness_p99=quantile(staleness, 0.99),
        upserts=counted.distinct_words / counted.texts,
        gets=calls["get"] / texts,
        puts=calls["put"] / texts,
        conflicts=calls["conflict"] / texts,
        throttled=calls["throttled"] / texts,
        counters_busy=counted.seconds / counted.texts * plan.rate / plan.counters,
        batches=sum(done.batches / done.texts for done in (counted, combined) if done.batches),
        batch_seconds=sum(
            done.seconds / done.texts for done in (counted, combined) if done.batches
        ),
        exact=pipeline.cloud.totals == expected and pipeline.cloud.report_is_exact(),
    )
