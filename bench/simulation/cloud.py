"""A model of AWS in virtual time: how long each call takes, and which calls each service refuses.

`Limits` has the quotas of DynamoDB, S3 and the function's concurrency, and `Timing` how long calls take;
streamed.py adds what concerns only the stream. docs/scale.md gives the sources. A call takes effect halfway between its start and its answer. So does a conditional write: it holds no lock on its
key, and fails if another write took effect since the etag was read.
"""

import contextlib
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from unittest import mock

from wordtally import handler
from wordtally.aws.client import Answer, Parameters, ignore
from wordtally.aws.errors import AwsError, Throttled, pause_seconds
from wordtally.aws.thin import CONNECTIONS
from wordtally.domain.ranking import Report, top
from wordtally.stores.calls import Calls
from wordtally.stores.reports import KEY, S3Reports, encode
from wordtally.work import Work

from bench.simulation import workload
from bench.simulation.virtual import Clock, VirtualExecutor
from bench.store import Store
from bench.timing.instance import SETTINGS


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
    """Seconds. Those of calls are medians of log-normal distributions, whose 99th percentile is 2.5 times
    the median."""

    update: float = 0.005
    get: float = 0.020
    put: float = 0.040
    spread: float = 0.4
    cpu_per_call: float = 0.0003
    """The thin client's CPU time for a call over TLS, on the function's whole vCPU. See docs/bench.md, Latency, for
    texts of 10 and of 1,500 words."""
    cpu_per_upsert: float = 0.0003
    """The same for a write of a word."""


DEFAULT_LIMITS = Limits()
DEFAULT_TIMING = Timing()


class TokenBucket:
    """Holds the tokens of one second and begins with one token, as under sustained load."""

    def __init__(self, clock: Clock, rate: float) -> None:
        self._clock = clock
        self._rate = rate
        self._tokens = 1.0
        self._filled_at = clock.now

    def take(self) -> bool:
        """Take a token, if there is one."""
        if self._rate == math.inf:
            return True
        gained = (self._clock.now - self._filled_at) * self._rate
        self._tokens = min(self._rate, self._tokens + gained)
        self._filled_at = self._clock.now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Cloud:
    """What all instances share: the table and the bucket of one deployment after years of use, the quotas
    of AWS, the time and the random numbers."""

    def __init__(
        self, limits: Limits = DEFAULT_LIMITS, timing: Timing = DEFAULT_TIMING, seed: int = 1
    ) -> None:
        self.clock = Clock()
        self.rng = random.Random(seed)
        self.timing = timing
        self.store = Store(workload.totals())
        reports = S3Reports(Calls(self.store), SETTINGS.reports_bucket, 600)
        reports.publish(Report(self._top(), len(self.store.items)), None, Work())
        self._items: dict[str, TokenBucket] = defaultdict(
            lambda: TokenBucket(self.clock, limits.item_writes)
        )
        self._table = TokenBucket(self.clock, limits.table_writes)
        self._prefix = {
            "GetObject": TokenBucket(self.clock, limits.prefix_gets),
            "PutObject": TokenBucket(self.clock, limits.prefix_puts),
        }

    @contextlib.contextmanager
    def simulated(self) -> Iterator[None]:
        """In the context, the product's code uses this cloud's time, tasks and random numbers."""
        executor = VirtualExecutor(self.clock)
        with (
            mock.patch.multiple("wordtally.work", time=self.clock, random=self.rng),
            mock.patch("wordtally.aws.errors.random", self.rng),
            mock.patch("wordtally.domain.fence.time", self.clock),
            mock.patch("wordtally.domain.ranking.ThreadPoolExecutor", return_value=executor),
        ):
            yield

    def admits(self, operation: str, word: str | None) -> bool:
        """Whether the limits allow a call to take effect now. `word` is the word that it writes, if any."""
        if word:
            return self._items[word].take() and self._table.take()
        return operation not in self._prefix or self._prefix[operation].take()

    def report_is_exact(self) -> bool:
        """Whether the report is the table's top ten now."""
        body: bytes = self.store.bucket.objects[KEY]["Body"]
        return body == encode(Report(self._top(), len(self.store.items)))

    def _top(self) -> tuple[tuple[str, int], ...]:
        return top(self.store.items.items())


class Instance:
    """One instance of a function: the product on a client whose vCPU processes one call at a time.

    Implements aws.client.Client. Not modelled: the thin client begins with fewer connections, and
    reduces them when it is throttled.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.done: Counter[str] = Counter()
        """Admitted calls by operation, `write_units`, `read_units`, and `hottest`, the writes of the hottest
        item."""
        self.application = handler.assembled(SETTINGS, self)
        self._cloud = cloud
        self._clock = cloud.clock
        self._cpu_free_at = 0.0

    def call_each(
        self,
        operation: str,
        parameters: Iterable[Parameters],
        until: float,
        retried: Callable[[AwsError], None] = ignore,
    ) -> list[Answer]:
        requests = list(parameters)
        calls = enumerate(requests)
        answers: dict[int, Answer] = {}
        failures: list[AwsError] = []

        def work() -> None:
            for index, request in calls:
                try:
                    answers[index] = self._call(operation, request, until, retried)
                except AwsError as error:
                    failures.append(error)
                if failures:
                    return

        executor = VirtualExecutor(self._clock)
        workers = [executor.submit(work) for _ in range(min(CONNECTIONS, len(requests)))]
        for worker in workers:
            worker.result()
        if failures:
            failures[0].completed = len(answers)
            raise failures[0]
        return [answers[index] for index in range(len(answers))]

    def presigned_url(self, parameters: Parameters, expires_seconds: int) -> str:
        return self._cloud.store.presigned_url(parameters, expires_seconds)

    def _call(
        self, operation: str, request: Parameters, until: float, retried: Callable[[AwsError], None]
    ) -> Answer:
        """One call. Throttled calls are retried until the deadline."""
        attempts = 0
        while True:
            try:
                return self._attempt(operation, request)
            except Throttled as error:
                attempts += 1
                pause = pause_seconds(error, attempts)
                assert pause is not None
                if self._clock.now + pause >= until:
                    raise
                retried(error)
                self._clock.sleep(pause)

    def _attempt(self, operation: str, request: Parameters) -> Answer:
        timing = self._cloud.timing
        word = _written_word(operation, request)
        cpu = timing.cpu_per_upsert if word else timing.cpu_per_call
        self._cpu_free_at = max(self._clock.now, self._cpu_free_at) + cpu
        median = {"GetObject": timing.get, "PutObject": timing.put}.get(operation, timing.update)
        half = self._cloud.rng.lognormvariate(math.log(median), timing.spread) / 2
        self._clock.sleep(self._cpu_free_at - self._clock.now + half)
        try:
            return self._effect(operation, request, word)
        finally:
            self._clock.sleep(half)

    def _effect(self, operation: str, request: Parameters, word: str | None) -> Answer:
        if not self._cloud.admits(operation, word):
            raise Throttled(operation, "throttled")
        store = self._cloud.store
        store.forget()
        try:
            return store.call(operation, request)
        finally:
            self.done[operation] += 1
            self.done["write_units"] += store.write_units
            self.done["read_units"] += store.read_units
            self.done["hottest"] += word == workload.HOT


def _written_word(operation: str, request: Parameters) -> str | None:
    """The word that the call writes; None if it writes anything else, or nothing."""
    if operation != "UpdateItem" or "word" not in request["Key"]:
        return None
    word: str = request["Key"]["word"]["S"]
    return word
