"""A model of AWS in virtual time: how long each call takes, and which calls each service refuses.

`Limits` has every quota, `Timing` every assumption; docs/scale.md gives their sources. A call takes
effect halfway between its start and its answer. So does a conditional write: it holds no lock on its
key, and fails if another write took effect since the etag was read.
"""

import contextlib
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import mock

from wordtally.aws import errors
from wordtally.aws.thin import CONNECTIONS
from wordtally.domain.once import Marker
from wordtally.domain.ranking import Conflict, Published, Report, top
from wordtally.errors import Unavailable
from wordtally.work import Work

from bench.simulation.virtual import Clock, Resume

Request = TypeVar("Request")


@dataclass(frozen=True)
class Limits:
    """Per second, except the concurrency. `math.inf` means no limit."""

    item_writes: float = 1_000
    table_writes: float = 40_000
    prefix_puts: float = 3_500
    prefix_gets: float = 5_500
    concurrency: float = 1_000


@dataclass(frozen=True)
class Timing:
    """Medians of log-normal distributions, in seconds. The 99th percentile is 2.5 times the median."""

    update: float = 0.005
    get: float = 0.020
    put: float = 0.040
    spread: float = 0.4
    cpu_per_call: float = 0.0003
    """The thin client's CPU time for a call over TLS, on the function's whole vCPU. See docs/bench.md, Latency, for
    texts of 10 and of 1,500 words."""


DEFAULT_LIMITS = Limits()
DEFAULT_TIMING = Timing()


@contextlib.contextmanager
def simulated(clock: Clock, rng: random.Random) -> Iterator[None]:
    """In the context, the product's code uses `rng` and `clock`."""
    with (
        mock.patch.multiple("wordtally.work", time=clock, random=rng),
        mock.patch.object(errors, "random", rng),
    ):
        yield


class Throttled(Exception):
    """A service refused a call above its rate limit. The client retries the call."""


class TokenBucket:
    """Holds the tokens of one second and begins with one token, as under sustained load."""

    def __init__(self, clock: Clock, rate: float) -> None:
        self._clock = clock
        self._rate = rate
        self._tokens = 1.0
        self._filled_at = clock.now

    def take(self, tokens: float = 1.0) -> None:
        if self._rate == math.inf:
            return
        gained = (self._clock.now - self._filled_at) * self._rate
        self._tokens = min(self._rate, self._tokens + gained)
        self._filled_at = self._clock.now
        if self._tokens < tokens:
            raise Throttled
        self._tokens -= tokens


class Cloud:
    """The table and the bucket of one deployment after years of use."""

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        totals: Mapping[str, int],
        limits: Limits,
        timing: Timing,
    ) -> None:
        self.clock = clock
        self.rng = rng
        self.timing = timing
        self.totals = dict(totals)
        self.published = Published(Report(top(totals.items()), len(totals)), etag="0")
        self.done: Counter[str] = Counter()
        """`get`: admitted GETs; `throttled`: refused calls."""
        self._limits = limits
        self._items: dict[str, TokenBucket] = {}
        self._table = TokenBucket(clock, limits.table_writes)
        self._puts = TokenBucket(clock, limits.prefix_puts)
        self._gets = TokenBucket(clock, limits.prefix_gets)
        self._etags = itertools.count(1)

    def update(self, word: str, times: int) -> int:
        item = self._items.get(word)
        if item is None:
            item = self._items[word] = TokenBucket(self.clock, self._limits.item_writes)
        item.take()
        self._table.take()
        self.totals[word] = self.totals.get(word, 0) + times
        return self.totals[word]

    def get(self) -> Published:
        self._gets.take()
        self.done["get"] += 1
        return self.published

    def put(self, report: Report, etag: str | None) -> Published:
        self._puts.take()
        if etag != self.published.etag:
            raise Conflict
        self.published = Published(report, etag=str(next(self._etags)))
        return self.published

    def report_is_exact(self) -> bool:
        """Whether the report is the table's top ten now."""
        assert self.published.report
        return self.published.report.top == top(self.totals.items())


def concurrently(
    clock: Clock, requests: Sequence[Request], call: Callable[[Request, Resume], None]
) -> list[Any]:
    """In a task: call `call` with each request, wait for its answers, and return them in order.

    Like the thin client: up to CONNECTIONS calls are in flight. A failure cancels pending calls, and is
    raised when those in flight have ended. Not modelled: the client begins with fewer connections, and
    reduces them when it is throttled.
    """
    waiting = iter(enumerate(requests))
    answers: dict[int, Any] = {}
    failures: list[BaseException] = []
    in_flight = 0

    def begin(resume: Resume) -> None:
        nonlocal in_flight
        following = None if failures else next(waiting, None)
        if following:
            index, request = following
            in_flight += 1
            call(request, lambda answer: answered(index, answer, resume))
        elif not in_flight:
            resume(failures[0] if failures else [answers[index] for index in range(len(answers))])

    def answered(index: int, answer: Any, resume: Resume) -> None:
        nonlocal in_flight
        in_flight -= 1
        if isinstance(answer, BaseException):
            failures.append(answer)
        answers[index] = answer
        begin(resume)

    def begin_all(resume: Resume) -> None:
        for _ in range(max(1, min(CONNECTIONS, len(requests)))):
            begin(resume)

    found: list[Any] = clock.wait_for(begin_all)
    return found


class Instance:
    """One instance of a function. Implements ranking.Counts and ranking.Reports on the model."""

    def __init__(self, cloud: Cloud) -> None:
        self.clock = cloud.clock
        self._cloud = cloud
        self._cpu_free_at = 0.0

    def add(self, words: Mapping[str, int], work: Work) -> dict[str, int]:
        cloud = self._cloud

        def add_one(entry: tuple[str, int], resume: Resume) -> None:
            self._call(cloud.timing.update, lambda: cloud.update(*entry), work.until, resume)

        totals = concurrently(self.clock, list(words.items()), add_one)
        work.upserts += len(totals)
        return dict(zip(words, totals, strict=True))

    def add_once(self, marker: Marker, words: Mapping[str, int], work: Work) -> dict[str, int]:
        raise NotImplementedError("no request of the simulation has a key")

    def scan(self, expected: int | None, work: Work) -> Iterator[Mapping[str, int]]:
        raise NotImplementedError("no request of the simulation scans: the report exists")

    def read(self, work: Work) -> Published:
        work.go_on()
        result: Published = self.clock.wait_for(
            lambda resume: self._call(self._cloud.timing.get, self._cloud.get, work.until, resume)
        )
        return result

    def publish(self, report: Report, etag: str | None, work: Work) -> Published:
        result: Published = self.clock.wait_for(
            lambda resume: self._call(
                self._cloud.timing.put, lambda: self._cloud.put(report, etag), work.until, resume
            )
        )
        return result

    def _call(
        self,
        median: float,
        effect: Callable[[], Any],
        until: float,
        resume: Resume,
        attempt: int = 1,
    ) -> None:
        """One call of the thin client. Throttled calls are retried until the deadline."""
        cloud, clock = self._cloud, self.clock
        leaves = max(clock.now, self._cpu_free_at) + cloud.timing.cpu_per_call
        self._cpu_free_at = leaves
        half = cloud.rng.lognormvariate(math.log(median), cloud.timing.spread) / 2

        def happen() -> None:
            try:
                result = effect()
            except (Throttled, Conflict) as error:
                result = error
            clock.after(half, lambda: answer(result))

        def answer(result: Any) -> None:
            if not isinstance(result, Throttled):
                resume(result)
                return
            cloud.done["throttled"] += 1
            pause = errors.pause_seconds(errors.Throttled("a call", "throttled"), attempt)
            assert pause is not None
            if clock.now + pause >= until:
                resume(Unavailable("throttled"))
                return
            clock.after(pause, lambda: self._call(median, effect, until, resume, attempt + 1))

        clock.after(leaves - clock.now + half, happen)
