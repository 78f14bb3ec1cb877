"""The stream as built, under load: the product's own code from a batch of records to the report.

It runs on the model of AWS in bench/simulation/cloud.py, in virtual time. Lambda's polling of the shards is
modelled here.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from wordtally.ways_in.stream import SEQUENCE_DIGITS, Record
from wordtally.work import Work

from bench import prices
from bench.simulation import workload
from bench.simulation.cloud import DEFAULT_LIMITS, Cloud, Instance, Limits, Timing
from bench.simulation.synchronous import means, quantile
from bench.timing.events import MAX_RECORDS, PAYLOAD_BYTES

WINDOW_SECONDS = 5
"""variables.tf: stream_window_seconds."""

SHARD_TEXTS = 800
"""Texts a second planned for a shard. Kinesis accepts 1,000."""

POLL_SECONDS = 1.0
"""Lambda polls each shard once a second."""

APPEND_SECONDS = 0.010
"""Time to append to a stream; an assumption."""

TICK_SECONDS = 0.25
"""The model bundles the texts that arrive at a shard within this time."""

CPU_PER_ACCEPTED = 1.6e-3
"""Seconds of a vCPU to accept a text. For this and the next three, see docs/bench.md, The stream."""

CPU_PER_RECORD = {10: 70e-6, 50: 250e-6}
"""Seconds to decode a record, by the number of words in its text."""

TIMING = Timing(cpu_per_upsert=0.25e-3)
"""In a batch, an upsert takes less CPU time than in a short request."""

EVENT_BYTES = {10: 705, 50: 1_148}
"""Bytes of a record in the event, by the number of words in its text."""

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


@dataclass(frozen=True)
class _Bundle:
    """Texts that arrived together at a shard. A batch may include them from `at` on."""

    at: float
    records: list[Record]


@dataclass(frozen=True)
class _Batch:
    """A batch that was counted."""

    texts: int
    seconds: float
    figures: Counter[str]


class _Shard:
    """A shard, Lambda's poller in front of it, and the one instance that counts its batches."""

    def __init__(self, name: str, feed: Feed, cloud: Cloud, end: float) -> None:
        self.done: list[_Batch] = []
        self.ages: list[tuple[float, float]] = []
        """For each bundle, when it arrived and how many seconds later the report showed it."""
        self.arrived: Counter[str] = Counter()
        """The words of all texts."""
        self._name = name
        self._feed = feed
        self._cloud = cloud
        self._end = end
        self._instance = Instance(cloud)

    def serve(self) -> None:
        """A task: gather the texts that arrive until `end` into batches, and count them."""
        clock, rng = self._cloud.clock, self._cloud.rng
        most = min(MAX_RECORDS, PAYLOAD_BYTES // EVENT_BYTES[self._feed.words])
        arriving = self._bundles()
        following = next(arriving, None)
        while following:
            # The window begins when the poller finds a record, but never while the function runs.
            opens = max(clock.now, following.at)
            wait = rng.random() * POLL_SECONDS + WINDOW_SECONDS
            if not self.done:
                wait *= rng.random()  # otherwise all shards would begin at the same time
            closes = opens + wait
            batch, following = [following], next(arriving, None)
            size = len(batch[0].records)
            while following and following.at <= closes:
                size += len(following.records)
                if size > most:
                    closes = max(opens, following.at)  # the batch is full before its window ends
                    break
                batch.append(following)
                following = next(arriving, None)
            clock.sleep(closes - clock.now)
            self._count(batch)

    def _bundles(self) -> Iterator[_Bundle]:
        rng = self._cloud.rng
        mean = self._feed.rate / self._feed.shards * TICK_SECONDS
        at = rng.random() * TICK_SECONDS
        sequences = itertools.count(1)
        while at <= self._end:
            records = []
            for _ in range(max(1, round(rng.gauss(mean, math.sqrt(mean))))):
                words = Counter(workload.passage(rng, self._feed.words - 1))
                words[workload.HOT] += 1
                self.arrived.update(words)
                records.append(Record(str(next(sequences)).zfill(SEQUENCE_DIGITS), words))
            yield _Bundle(at, records)
            at += TICK_SECONDS

    def _count(self, batch: list[_Bundle]) -> None:
        clock, instance = self._cloud.clock, self._instance
        assert instance.application.stream
        began = clock.now
        records = [record for bundle in batch for record in bundle.records]
        clock.sleep(len(records) * CPU_PER_RECORD[self._feed.words])
        work = Work(clock.now + COUNT_WITHIN_SECONDS)
        instance.done.clear()
        instance.application.stream().count(self._name, records, work)
        for bundle in batch:
            arrived = bundle.at - TICK_SECONDS / 2  # on average
            self.ages.append((arrived, clock.now - arrived))
        figures = Counter(work.figures()) + instance.done
        self.done.append(_Batch(len(records), clock.now - began, figures))


def run(feed: Feed, limits: Limits = DEFAULT_LIMITS, windows: int = 4) -> Outcome:
    """Simulate texts for `windows` windows after a warm-up of two, until all are counted."""
    cloud = Cloud(limits, TIMING)
    warm = 2 * (WINDOW_SECONDS + POLL_SECONDS)
    end = warm + windows * WINDOW_SECONDS
    with cloud.simulated():
        shards = [_Shard(f"shard{number}", feed, cloud, end) for number in range(feed.shards)]
        for shard in shards:
            cloud.clock.start(shard.serve)
        cloud.clock.run()

    # The first and the last batch of each shard are incomplete.
    whole = [batch for shard in shards for batch in shard.done[1:-1] or shard.done]
    texts = sum(batch.texts for batch in whole)
    each = means(sum((batch.figures for batch in whole), Counter()), texts)
    ages = [age for shard in shards for arrived, age in shard.ages if warm < arrived <= end]
    seconds = sum(batch.seconds for batch in whole) / texts
    expected = sum((shard.arrived for shard in shards), Counter(workload.totals()))
    return Outcome(
        feed=feed,
        age_p50=quantile(ages, 0.50),
        age_p99=quantile(ages, 0.99),
        write_units=each("write_units"),
        read_units=each("read_units"),
        words_written=each("upserts"),
        hottest=each("hottest"),
        throttled=each("throttled"),
        gets=each("GetObject"),
        puts=each("PutObject"),
        seconds=seconds,
        batches=len(whole) / texts,
        busy=seconds * feed.rate / feed.shards,
        slowest_batch=max(batch.seconds for batch in whole),
        exact=cloud.store.items == expected and cloud.report_is_exact(),
    )
