"""The report's protocol under every schedule of concurrent requests.

The real `ranking.Ranking` runs on ports. schedules.explore chooses the moment at which each step takes
effect: one word's ADD, one read, one page of a scan, one publish.

A schedule is wrong if the report at any moment lacks a text that has been answered, or if it is not the
top ten of the table after every request has been answered. `GET /report` reads the report once, so its
link opens a report that includes every text answered before.
"""

import unittest
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import chain
from types import SimpleNamespace
from typing import Any
from unittest import mock

import schedules
from schedules import Asks, Exploring, History, Step, Words, added, explore
from wordtally.domain import once, ranking
from wordtally.domain.once import Marker
from wordtally.domain.ranking import Conflict, Published, Ranking, Report
from wordtally.work import Work

PAGE = 6  # words per page of a scan
NOTHING = Published()

# Ten words, so that an eleventh must compete, with a tie for the tenth place.
TEN: Words = (*((word, 4) for word in "bcdefghi"), ("x", 2), ("y", 2))


@dataclass(frozen=True)
class World:
    """The table and the bucket, as one hashable value."""

    table: Words
    published: Published = NOTHING
    markers: frozenset[Marker] = frozenset()
    publishes: int = 0
    deleted: bool = False
    """Whether an operator ever deleted the report."""
    answered: frozenset[tuple[int, int]] = frozenset()
    """Instance and number of each request that has been answered."""

    def after(self, step: Step, conditional: bool) -> tuple["World", Any]:
        """The world after a step, and the step's result."""
        match step:
            case ("add", word, occurrences):
                table = added(self.table, ((word, occurrences),))
                return replace(self, table=table), dict(table)[word]
            case ("total", word):
                return self, dict(self.table)[word]
            case ("transaction", marker, words):
                place = marker.key, marker.chunk
                there = {m for m in self.markers if (m.key, m.chunk) == place}
                for found in there:
                    if found.valid_until >= marker.asked_at:
                        return self, found
                markers = self.markers - there | {marker}
                return replace(self, table=added(self.table, words), markers=markers), None
            case ("scan", start):
                return self, tuple(entry for entry in self.table if entry[0] > start)[:PAGE]
            case ("read",):
                return self, self.published
            case ("publish", report, etag):
                if conditional and etag != self.published.etag:
                    return self, Conflict
                published = Published(report, etag=str(self.publishes + 1))
                world = replace(self, published=published, publishes=self.publishes + 1)
                return world, published
            case ("expire", key, chunk, now):
                kept = {
                    m
                    for m in self.markers
                    if (m.key, m.chunk) != (key, chunk) or m.expires_at >= now
                }
                return replace(self, markers=frozenset(kept)), None
            case ("delete",):
                return replace(self, published=NOTHING, deleted=True), None
            case ("answer", instance, number):
                return replace(self, answered=self.answered | {(instance, number)}), None
        raise AssertionError(step)

    def is_right(self) -> bool:
        report = self.published.report
        if report is None:
            return self.deleted  # an operator may have deleted it after the last read
        return report.top == ranking.top(self.table)

    def includes(self, totals: Words) -> bool:
        """Whether the report shows these totals or larger ones, as far as they are in the top ten."""
        report = self.published.report
        if report is None:
            return self.deleted or not totals
        shown = dict(report.top)
        larger = {word: max(times, shown.get(word, 0)) for word, times in totals}
        return report.top == ranking.top((shown | larger).items())


class Ports(Executor):
    """Implements ranking.Counts, ranking.Reports and the executor of concurrent reads of an instance, on
    its history."""

    def __init__(self, history: History, instance: int) -> None:
        self.history = iter(history)
        self.instance = instance
        self.aside: Step | None = None  # a concurrent read that may take effect at any moment
        self.early: Published | None = None  # its result, once it has taken effect

    def do(self, *step: Any) -> Any:
        for done, result in self.history:
            if done == self.aside and done != step:
                self.aside, self.early = None, result
            elif result is Conflict:
                raise Conflict
            else:
                return result
        raise Asks(step, *([self.aside] if self.aside and self.aside != step else []))

    def answer(self, number: int) -> None:
        """Answer this request of the instance."""
        self.do("answer", self.instance, number)

    def add(self, words: Mapping[str, int], work: Work) -> dict[str, int]:
        return {word: self.do("add", word, occurrences) for word, occurrences in words.items()}

    def add_once(self, marker: Marker, words: Mapping[str, int], work: Work) -> dict[str, int]:
        once.add(self, marker, words, work)
        return {word: self.do("total", word) for word in words}

    def write(self, marker: Marker, words: Mapping[str, int], work: Work) -> Marker | None:
        found: Marker | None = self.do("transaction", marker, tuple(words.items()))
        return found

    def scan(self, expected: int | None, work: Work) -> Iterator[dict[str, int]]:
        start: str | None = ""
        while start is not None:
            page = self.do("scan", start)
            yield dict(page)
            start = page[-1][0] if len(page) == PAGE else None

    def everything(self) -> dict[str, int]:
        return {word: times for page in self.scan(None, Work()) for word, times in page.items()}

    def submit(self, read: Callable[[Work], Published], work: Work) -> Any:  # type: ignore[override]
        self.aside = ("read",)
        return SimpleNamespace(result=lambda: read(work), exception=lambda: None)

    def read(self, work: Work) -> Published:
        published, self.early = self.early, None
        if published is None:
            self.aside = None
            published = self.do("read")
        return published

    def publish(self, report: Report, etag: str | None, work: Work) -> Published:
        published: Published = self.do("publish", report, etag)
        return published


@dataclass(frozen=True)
class Keyed:
    """A request with an idempotency key."""

    key: str
    words: Words
    may_be_killed: bool = False
    """Whether the instance may be killed at any step, along with its later requests."""
    asked_at: int = 0
    """In seconds. The markers that this request writes are valid for VALID_SECONDS from then on."""


VALID_SECONDS = 1


@dataclass(frozen=True)
class Expire:
    """DynamoDB's TTL at the time `now`. It deletes the expired markers of a text one by one, each at any
    moment."""

    key: str
    chunks: int
    now: int


Request = Words | Keyed | Expire
Protocol = Callable[[Ports, tuple[Request, ...], int], object]

RECONCILE: Words = (("reconcile", 0),)
DELETE: Words = (("delete", 0),)


def crashing(ports: Ports, requests: tuple[Request, ...], scan_up_to_words: int) -> None:
    """Every request is killed after its upserts."""
    for words in requests:
        assert not isinstance(words, Keyed)
        ports.add(dict(words), Work())


def real(ports: Ports, requests: tuple[Request, ...], scan_up_to_words: int) -> None:
    instance = Ranking(ports, ports, scan_up_to_words, aside=ports, pause=lambda attempt: None)
    for number, request in enumerate(requests):
        if isinstance(request, Expire):
            digest = once.marker(request.key, "", 0, 0).key
            for chunk in range(request.chunks):
                ports.do("expire", digest, chunk, request.now)
        elif request == DELETE:
            ports.do("delete")
        else:
            if isinstance(request, Keyed):
                until = request.asked_at + VALID_SECONDS
                marker = once.marker(request.key, str(request.words), request.asked_at, until)
                instance.tally(dict(request.words), Work(), marker)
            elif request == RECONCILE:
                instance.reconcile(Work())
            else:
                instance.tally(dict(request), Work())
            ports.answer(number)


@dataclass(frozen=True)
class Scenario(schedules.Scenario[World, int]):
    """Its deliveries are instances."""

    table: Words
    instances: tuple[tuple[Request, ...], ...]
    """The requests of each instance, in sequence."""
    scan_up_to_words: tuple[int, ...]
    """Per instance: 0 merges, a large number scans."""
    published: bool = True
    """Whether a correct report exists when the requests begin."""
    behind: Words = ()
    """Words that a crash left in the table but not in the report."""
    protocol: Protocol = real
    conditional: bool = True
    """Whether a publish requires that the report is unchanged."""

    @property
    def start(self) -> World:
        table = added(self.table, self.behind)
        if not self.published:
            return World(table)
        report = Report(ranking.top(self.table), len(self.table))
        return World(table, Published(report, etag="0"))

    def totals(self) -> Words:
        """The table at the end: the words of all requests, once for each valid key."""
        totals = Counter(dict(self.table + self.behind))
        valid_until: dict[str, int] = {}
        for request in chain(*self.instances):
            if isinstance(request, Keyed):
                if request.asked_at > valid_until.get(request.key, -1):
                    valid_until[request.key] = request.asked_at + VALID_SECONDS
                    totals.update(dict(request.words))
            elif not isinstance(request, Expire) and request not in (RECONCILE, DELETE):
                totals.update(dict(request))
        return tuple(sorted(totals.items()))

    def promised(self, answered: Iterable[tuple[int, int]]) -> Words:
        """The totals that the report must include once these requests have been answered."""
        if not answered and not self.published:
            return ()
        promised = self.table
        keyed = {}
        for instance, number in answered:
            request = self.instances[instance][number]
            if isinstance(request, Keyed):
                keyed[request.key] = request.words
            elif request == RECONCILE:
                promised = added(promised, self.behind)
            elif isinstance(request, tuple):
                promised = added(promised, request)
        for words in keyed.values():
            promised = added(promised, words)
        return promised

    def running(self) -> Iterable[int]:
        return range(len(self.instances))

    def may_be_killed(self, delivery: int) -> bool:
        requests = self.instances[delivery]
        return any(isinstance(each, Keyed) and each.may_be_killed for each in requests)

    def run(self, delivery: int, history: History) -> None:
        ports = Ports(history, delivery)
        self.protocol(ports, self.instances[delivery], self.scan_up_to_words[delivery])

    def after(self, world: World, step: Step) -> tuple[World, Any]:
        return world.after(step, self.conditional)

    def problem(self, world: World) -> str | None:
        if not world.includes(self.promised(world.answered)):
            return "the report lacks a text that was answered"
        return None

    def problem_at_the_end(self, world: World) -> str | None:
        if not world.is_right() or world.table != self.totals():
            return "the report or the table is wrong"
        return None


def each(*requests: Request) -> tuple[tuple[Request, ...], ...]:
    """An instance per request."""
    return tuple((request,) for request in requests)


ALWAYS = 10**6

SCENARIOS = {
    "three merge, one new word each, at the tenth place": Scenario(
        TEN, each((("k", 3),), (("l", 3),), (("m", 3),)), (0, 0, 0)
    ),
    "three merge and share a word": Scenario(
        TEN, each((("x", 1), ("k", 3)), (("x", 1),), (("x", 1), ("l", 2))), (0, 0, 0)
    ),
    "three merge, ties decide": Scenario(
        TEN, each((("a", 2),), (("z", 2),), (("k", 2), ("y", 1))), (0, 0, 0)
    ),
    "three scan": Scenario(TEN, each((("k", 3),), (("k", 1),), (("a", 2),)), (ALWAYS,) * 3),
    "two scan, one merges, shared words": Scenario(
        TEN, each((("k", 1), ("x", 1)), (("k", 2),), (("x", 3),)), (ALWAYS, ALWAYS, 0)
    ),
    "one scans, two merge, ties": Scenario(
        TEN, each((("a", 2),), (("k", 2), ("a", 1)), (("y", 1),)), (ALWAYS, 0, 0)
    ),
    "three find no report": Scenario(
        TEN, each((("k", 3),), (("x", 1),), (("k", 1),)), (0, 0, ALWAYS), published=False
    ),
    "three begin with nothing at all": Scenario(
        (), each((("a", 1), ("b", 1)), (("a", 1),), (("c", 2),)), (0, 0, ALWAYS), published=False
    ),
    "four merge and scan": Scenario(
        TEN, each((("k", 3),), (("k", 1),), (("x", 1),), (("a", 2),)), (0, 0, 0, ALWAYS)
    ),
    "instances remember, two of them": Scenario(
        TEN,
        (((("k", 1),), (("x", 1),), (("k", 2),), (("y", 1),)), ((("a", 2),), (("k", 1),))),
        (0, 0),
    ),
    "instances remember what is deleted": Scenario(
        TEN, (((("k", 1),), (("x", 1),), (("k", 2),), (("y", 1),)), (DELETE,)), (0, 0)
    ),
    "instances remember and scan": Scenario(
        TEN, (((("k", 1),), (("x", 1),), (("k", 2),)), ((("a", 2),), (("x", 1),))), (ALWAYS, 0)
    ),
}


class EverySchedule(Exploring):
    def test_of_the_real_protocol_ends_with_the_correct_report(self) -> None:
        self.assert_all_right(SCENARIOS, more_than=200, in_all=150_000)


class ExactlyOnce(Exploring):
    """Texts with an idempotency key, in chunks of one word each."""

    TEXT: Words = (("k", 3), ("x", 1), ("a", 2))

    def setUp(self) -> None:
        self.enterContext(mock.patch.object(once, "CHUNK_WORDS", 1))

    def explore(self, *instances: tuple[Request, ...], scan_up_to_words: int = 0) -> None:
        limits = (scan_up_to_words,) * len(instances)
        self.assert_right(Scenario(TEN, instances, limits), more_than=200)

    def test_a_text_sent_twice_concurrently_is_counted_once(self) -> None:
        for limit in (0, ALWAYS):
            self.explore(
                *each(Keyed("1", self.TEXT), Keyed("1", self.TEXT)), scan_up_to_words=limit
            )

    def test_with_concurrent_requests_that_have_no_key_or_another_key(self) -> None:
        self.explore(
            *each(Keyed("1", self.TEXT[:2]), Keyed("1", self.TEXT[:2]), (("k", 1), ("x", 2)))
        )
        self.explore(*each(Keyed("1", self.TEXT[:2]), Keyed("2", self.TEXT[:2])))

    def test_a_retry_finishes_a_text_after_a_crash_at_any_step(self) -> None:
        killed = Keyed("1", self.TEXT, may_be_killed=True)
        self.explore(*each(killed, Keyed("1", self.TEXT)))
        self.explore(*each(killed, Keyed("1", self.TEXT), (("x", 1),)))

    def test_instances_with_a_cached_report_count_keys_once_too(self) -> None:
        text = self.TEXT[:1]
        self.explore((Keyed("1", text), Keyed("2", text), Keyed("1", text)), ((("x", 1),),))

    def resent_as_it_expires(self, chunks: int = 2) -> Scenario:
        """A retry arrives in the last second in which the markers are valid. It is still running when
        DynamoDB's TTL deletes them: much later, but within the margin."""
        text = self.TEXT[:chunks]
        first = Keyed("1", text)
        retry = Keyed("1", text, asked_at=VALID_SECONDS)
        later = VALID_SECONDS + once.KEPT_SECONDS
        return Scenario(
            TEN, ((first, retry, Keyed("2", text)), (Expire("1", chunks, later),)), (0, 0)
        )

    def test_a_retry_still_finds_markers_that_expire_while_it_runs(self) -> None:
        for chunks in (2, 3):
            self.assert_right(self.resent_as_it_expires(chunks), more_than=100)

    def test_a_text_sent_again_after_its_markers_expired_is_counted_again_completely(self) -> None:
        text = self.TEXT
        again = Keyed("1", text, asked_at=VALID_SECONDS + 1)
        after = Keyed("1", text, asked_at=2 * VALID_SECONDS + 1)
        expire = Expire("1", len(text), VALID_SECONDS + 1 + once.KEPT_SECONDS)
        self.explore((Keyed("1", text), again, after), (expire,))

    def test_a_ttl_without_a_margin_is_caught(self) -> None:
        scenario = self.resent_as_it_expires()
        with mock.patch.object(once, "KEPT_SECONDS", -1):
            self.assert_wrong(scenario)

    def test_counting_without_a_marker_is_caught(self) -> None:
        twice = Scenario(TEN, each(Keyed("1", self.TEXT), Keyed("1", self.TEXT)), (0, 0))
        with mock.patch.object(once, "add", lambda ports, _, words, work: ports.add(words, work)):
            self.assert_wrong(twice)


class Reconciliation(Exploring):
    def test_repairs_the_report_after_a_crash_despite_concurrent_publishes(self) -> None:
        for others in [((("k", 3),), (("x", 1),)), ((("crashed", 1),), (("a", 2), ("z", 2)))]:
            scenario = Scenario(TEN, each(RECONCILE, *others), (0, 0, 0), behind=(("crashed", 9),))
            self.assert_right(scenario, more_than=200)

    def test_without_it_a_crash_leaves_a_wrong_report(self) -> None:
        self.assert_wrong(Scenario(TEN, each((("k", 3),)), (0,), protocol=crashing))


class BrokenProtocols(unittest.TestCase):
    """Each rule is needed: without it, the explorer finds wrong reports."""

    def assert_caught(self, **broken: Any) -> None:
        self.assertTrue(
            any(explore(replace(each, **broken)).problem for each in SCENARIOS.values()),
            "no schedule ended with a wrong report",
        )

    def test_a_plain_put_is_caught(self) -> None:
        self.assert_caught(conditional=False)

    def test_scanning_before_reading_the_etag_is_caught(self) -> None:
        def scans_first(ports: Ports, requests: tuple[Words, ...], limit: int) -> None:
            totals = ports.add(dict(requests[0]), Work())
            while True:
                page = ports.everything()
                etag = ports.read(Work()).etag
                fresh = Report(ranking.top(ranking.merge(page.items(), totals)), 0)
                try:
                    ports.publish(fresh, etag, Work())
                    return
                except Conflict:
                    continue

        self.assert_caught(protocol=scans_first)

    def test_reusing_a_scan_after_a_conflict_is_caught(self) -> None:
        def scans_once(ports: Ports, requests: tuple[Words, ...], limit: int) -> None:
            totals = ports.add(dict(requests[0]), Work())
            etag = ports.read(Work()).etag
            page = ports.everything()
            fresh = Report(ranking.top(ranking.merge(page.items(), totals)), 0)
            while True:
                try:
                    ports.publish(fresh, etag, Work())
                    return
                except Conflict:
                    etag = ports.read(Work()).etag

        self.assert_caught(protocol=scans_once)

    def test_answering_before_the_report_is_published_is_caught(self) -> None:
        def answers_first(ports: Ports, requests: tuple[Request, ...], limit: int) -> None:
            for number in range(len(requests)):
                ports.answer(number)
            real(ports, requests, limit)

        self.assert_caught(protocol=answers_first)

    def test_merging_by_anything_but_the_maximum_is_caught(self) -> None:
        def own_wins(
            totals: Iterator[tuple[str, int]], known: Mapping[str, int]
        ) -> Iterator[tuple[str, int]]:
            return iter({**dict(totals), **known}.items())

        with mock.patch.object(ranking, "merge", own_wins):
            self.assert_caught()
