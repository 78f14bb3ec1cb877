"""Posts under load: each request counts its words and updates the report.

Requests arrive at random at a given rate. They run the product's own code on the model of AWS in
bench/simulation/cloud.py, in virtual time.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from wordtally import handler
from wordtally.errors import Unavailable
from wordtally.work import Work

from bench import prices
from bench.simulation import workload
from bench.simulation.cloud import DEFAULT_LIMITS, DEFAULT_TIMING, Cloud, Instance, Limits, Timing

WARM_UP_SECONDS = 2.0
"""Earlier requests are not counted: token buckets begin with a single token, and the first requests have
no concurrent ones."""


@dataclass(frozen=True)
class Row:
    """The results of requests that arrived at `rate` a second."""

    rate: float
    answered: float
    """Answers with status 200 per second."""
    p50: float
    """Seconds in the function, of requests with status 200; also p95 and p99."""
    p95: float
    p99: float
    busy: float
    """Function seconds per request."""
    at_once: int
    """Maximum number of instances busy at the same time."""
    upserts: float
    """Per request, like the next six; without throttled calls."""
    write_units: float
    gets: float
    puts: float
    conflicts: float
    publishes: float
    throttled: float
    """Calls that DynamoDB or S3 refused, and that were retried."""
    unavailable: float
    """Share of the requests that ended in 503."""
    refused: float
    """Share of the requests for which Lambda had no instance."""
    exact: bool
    """Whether the report is the table's top ten at the end."""

    @property
    def cost(self) -> dict[str, float]:
        """USD per million requests, by service."""
        return prices.usd(
            seconds=self.busy, write_units=self.write_units, puts=self.puts, gets=self.gets
        )


@dataclass
class _Seen:
    """Results of the requests that arrived after the warm-up."""

    seconds: list[float] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)
    """Sums over the requests."""
    requests: int = 0
    busy: float = 0.0
    answered: int = 0
    unavailable: int = 0
    refused: int = 0


def run(
    rate: float,
    seconds: float,
    limits: Limits = DEFAULT_LIMITS,
    timing: Timing = DEFAULT_TIMING,
    seed: int = 1,
) -> Row:
    """Simulate arrivals at `rate` a second for `seconds` after the warm-up, until all have ended."""
    cloud = Cloud(limits, timing, seed)
    clock, rng = cloud.clock, cloud.rng
    until = WARM_UP_SECONDS + seconds
    idle: list[Instance] = []
    busy = at_once = 0
    seen = _Seen()

    def arrive() -> None:
        nonlocal busy, at_once
        if clock.now > until:
            return
        clock.after(rng.expovariate(rate), arrive)
        counted = clock.now > WARM_UP_SECONDS
        if busy >= limits.concurrency:
            seen.refused += counted
            return
        busy += 1
        at_once = max(at_once, busy)
        instance = idle.pop() if idle else Instance(cloud)
        words = workload.text(rng)
        clock.start(lambda: serve(instance, words, counted))

    def serve(instance: Instance, words: Mapping[str, int], counted: bool) -> None:
        nonlocal busy
        began, answered = clock.now, True
        work = Work(began + handler.ANSWER_WITHIN_SECONDS)
        instance.done.clear()
        try:
            instance.application.ranking.tally(words, work)
        except Unavailable:
            answered = False
        busy -= 1
        idle.append(instance)
        seen.answered += answered and WARM_UP_SECONDS < clock.now <= until
        if counted:
            seen.requests += 1
            seen.figures.update(work.figures())
            seen.figures.update(instance.done)
            seen.busy += clock.now - began
            seen.unavailable += not answered
            if answered:
                seen.seconds.append(clock.now - began)

    clock.after(0, arrive)
    with cloud.simulated():
        clock.run()

    arrived = seen.requests + seen.refused
    each = means(seen.figures, seen.requests)
    return Row(
        rate=rate,
        answered=seen.answered / seconds,
        p50=quantile(seen.seconds, 0.50),
        p95=quantile(seen.seconds, 0.95),
        p99=quantile(seen.seconds, 0.99),
        busy=seen.busy / seen.requests,
        at_once=at_once,
        upserts=each("upserts"),
        write_units=each("write_units"),
        gets=each("GetObject"),
        puts=each("PutObject"),
        conflicts=each("conflicts"),
        publishes=each("publishes"),
        throttled=each("throttled"),
        unavailable=seen.unavailable / arrived,
        refused=seen.refused / arrived,
        exact=cloud.report_is_exact(),
    )


def means(figures: Counter[str], number: int) -> Callable[[str], float]:
    """A function that returns the mean of a figure by name."""
    return lambda name: figures[name] / number


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan
