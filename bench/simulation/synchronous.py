"""Today's design under load: each request counts its words and updates the report.

Requests arrive at random at a given rate. They run the product's own code (wordtally.domain.ranking) on
the model of AWS in bench/simulation/cloud.py, in virtual time.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from wordtally import handler
from wordtally.domain import ranking
from wordtally.errors import Unavailable
from wordtally.work import Work

from bench import prices
from bench.simulation import workload
from bench.simulation.cloud import (
    DEFAULT_LIMITS,
    DEFAULT_TIMING,
    Cloud,
    Instance,
    Limits,
    Timing,
    simulated,
)
from bench.simulation.virtual import Aside, Clock
from bench.timing.designs import SETTINGS

WARM_UP_SECONDS = 2.0
"""Earlier requests are not counted: token buckets begin with a single token, and the first requests have
no concurrent ones."""


Tally = Callable[[Mapping[str, int], Work], object]


def product(instance: Instance) -> Tally:
    """The product's code on an instance of the model. Only this function depends on Ranking's signature."""
    aside = Aside(instance.clock)
    return ranking.Ranking(instance, instance, SETTINGS.scan_up_to_words, aside).tally


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
    """Per request, like the next five; without throttled calls."""
    gets: float
    conflicts: float
    publishes: float
    skipped: float
    """Requests whose totals were already published."""
    throttled: float
    """Calls that DynamoDB or S3 refused."""
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
            seconds=self.busy,
            write_units=self.upserts,
            puts=self.conflicts + self.publishes,
            gets=self.gets,
        )


@dataclass
class _Seen:
    """Results of the requests that arrived after the warm-up."""

    works: list[Work] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
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
    clock, rng = Clock(), random.Random(seed)
    cloud = Cloud(clock, rng, workload.totals(), limits, timing)
    until = WARM_UP_SECONDS + seconds
    idle: list[Tally] = []
    busy = at_once = 0
    seen = _Seen()
    before: Counter[str] = Counter()

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
        tally = idle.pop() if idle else product(Instance(cloud))
        words = workload.text(rng)
        clock.start(lambda: serve(tally, words, counted))

    def serve(tally: Tally, words: dict[str, int], counted: bool) -> None:
        nonlocal busy
        began, answered = clock.now, True
        work = Work(began + handler.ANSWER_WITHIN_SECONDS)
        try:
            tally(words, work)
        except Unavailable:
            answered = False
        busy -= 1
        idle.append(tally)
        seen.answered += answered and WARM_UP_SECONDS < clock.now <= until
        if counted:
            seen.works.append(work)
            seen.busy += clock.now - began
            seen.unavailable += not answered
            if answered:
                seen.seconds.append(clock.now - began)

    clock.after(0, arrive)
    clock.after(WARM_UP_SECONDS, lambda: before.update(cloud.done))
    with simulated(clock, rng):
        clock.run()

    done = cloud.done - before
    requests = len(seen.works)
    return Row(
        rate=rate,
        answered=seen.answered / seconds,
        p50=quantile(seen.seconds, 0.50),
        p95=quantile(seen.seconds, 0.95),
        p99=quantile(seen.seconds, 0.99),
        busy=seen.busy / requests,
        at_once=at_once,
        upserts=sum(work.upserts for work in seen.works) / requests,
        gets=done["get"] / requests,
        conflicts=sum(work.conflicts for work in seen.works) / requests,
        publishes=sum(work.publishes for work in seen.works) / requests,
        skipped=sum(not work.publishes for work in seen.works) / requests,
        throttled=done["throttled"] / requests,
        unavailable=seen.unavailable / (requests + seen.refused),
        refused=seen.refused / (requests + seen.refused),
        exact=cloud.report_is_exact(),
    )


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that is not exceeded by at least `share` of the values."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan
