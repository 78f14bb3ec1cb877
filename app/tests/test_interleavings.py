"""The report's protocol under every schedule of concurrent requests.

The real `ranking.Ranking` runs against ports whose every step (one word's ADD, one read, one page of
a scan, one publish) takes effect at a moment the explorer chooses. An instance is deterministic given
the order and the results of its steps, so it is run again from the start on the recorded ones until
it asks for the next one; no thread is needed, and states that two schedules share are explored once.

A schedule is wrong if, with every request answered, the report is not the top ten of the table.
"""

import unittest
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

from wordtally import ranking
from wordtally.ranking import Conflict, Published, Ranking, Report, Work

Step = tuple[Any, ...]
History = tuple[Any, ...]
Words = tuple[tuple[str, int], ...]
PAGE = 6  # words per page of a scan
NOTHING = Published()

# Ten words, so that an eleventh has to compete, and ties at the tenth place.
TEN: Words = (*((word, 4) for word in "bcdefghi"), ("x", 2), ("y", 2))


@dataclass(frozen=True)
class World:
    """The table and the bucket, as one hashable value."""

    table: Words
    published: Published = NOTHING
    publishes: int = 0
    deleted: bool = False
    """Whether an operator ever deleted the report."""

    def after(self, step: Step, conditional: bool) -> tuple["World", Any]:
        """The world after a step, and the step's result."""
        match step:
            case ("add", word, occurrences):
                totals = dict(self.table)
                totals[word] = totals.get(word, 0) + occurrences
                return replace(self, table=tuple(sorted(totals.items()))), totals[word]
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
            case ("delete",):
                return replace(self, published=NOTHING, deleted=True), None
        raise AssertionError(step)

    def is_right(self) -> bool:
        report = self.published.report
        if report is None:
            return self.deleted  # after the last request has looked
        return report.top == ranking.top(self.table)


class Asks(BaseException):
    """A request has used up its history and asks for the result of one of these steps."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps


class Ports(Executor):
    """Implements ranking.Counts, ranking.Reports and what runs a read aside, on a recorded history
    of steps and results."""

    def __init__(self, history: History) -> None:
        self.history = iter(history)
        self.aside: Step | None = None  # may take effect at any moment from now on
        self.early: Published | None = None  # and has

    def do(self, *step: Any) -> Any:
        for done, result in self.history:
            if done == self.aside and done != step:
                self.aside, self.early = None, result
            elif result is Conflict:
                raise Conflict
            else:
                return result
        raise Asks((step, self.aside) if self.aside and self.aside != step else (step,))

    def add(self, words: Mapping[str, int], work: Work) -> dict[str, int]:
        return {word: self.do("add", word, occurrences) for word, occurrences in words.items()}

    def scan(self, expected: int | None, work: Work) -> Iterator[dict[str, int]]:
        start: str | None = ""
        while start is not None:
            page = self.do("scan", start)
            yield dict(page)
            start = page[-1][0] if len(page) == PAGE else None

    def everything(self) -> dict[str, int]:
        return {word: times for page in self.scan(None, Work()) for word, times in page.items()}

    def submit(self, read: Callable[[], Published]) -> Any:  # type: ignore[override]
        self.aside = ("read",)
        return SimpleNamespace(result=read, exception=lambda: None)

    def read(self) -> Published:
        published, self.early = self.early, None
        if published is None:
            self.aside = None
            published = self.do("read")
        return published

    def publish(self, report: Report, etag: str | None) -> Published:
        published: Published = self.do("publish", report, etag)
        return published


Protocol = Callable[[Ports, tuple[Words, ...], int], object]


def crashing(ports: Ports, requests: tuple[Words, ...], scan_up_to_words: int) -> None:
    """Every request dies after its upserts."""
    for words in requests:
        ports.add(dict(words), Work())


def real(ports: Ports, requests: tuple[Words, ...], scan_up_to_words: int) -> None:
    instance = Ranking(ports, ports, scan_up_to_words, aside=ports, pause=lambda attempt: None)
    for words in requests:
        if words == RECONCILE:
            instance.reconcile(Work())
        elif words == DELETE:
            ports.do("delete")
        else:
            instance.tally(dict(words), Work())


RECONCILE: Words = (("reconcile", 0),)
DELETE: Words = (("delete", 0),)


@dataclass(frozen=True)
class Scenario:
    table: Words
    instances: tuple[tuple[Words, ...], ...]
    """The requests that each serves, one after the other."""
    scan_up_to_words: tuple[int, ...]
    """Per instance: 0 merges, a large number scans."""
    published: bool = True
    """Whether a right report exists when the requests begin."""

    def world(self) -> World:
        table = tuple(sorted(self.table))
        if not self.published:
            return World(table)
        return World(table, Published(Report(ranking.top(table), len(table)), etag="0"))


def each(*requests: Words) -> tuple[tuple[Words, ...], ...]:
    """An instance per request."""
    return tuple((words,) for words in requests)


class Numbers:
    """A number for each different value, so that states are quick to compare."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.numbers: dict[Any, int] = {}

    def of(self, value: Any) -> int:
        if value not in self.numbers:
            self.numbers[value] = len(self.values)
            self.values.append(value)
        return self.numbers[value]


def explore(
    scenario: Scenario, protocol: Protocol = real, conditional: bool = True
) -> tuple[int, int]:
    """Run every schedule; the number of different final states, and how many of them are wrong."""
    worlds, histories = Numbers(), Numbers()

    @cache
    def next_steps(instance: int, history: int) -> tuple[Step, ...]:
        requests = scenario.instances[instance]
        try:
            protocol(
                Ports(histories.values[history]), requests, scenario.scan_up_to_words[instance]
            )
        except Asks as asks:
            return asks.steps
        return ()

    @cache
    def after(world: int, step: Step, history: int) -> tuple[int, int]:
        changed, result = worlds.values[world].after(step, conditional)
        longer = (*histories.values[history], (step, result))
        return worlds.of(changed), histories.of(longer)

    start = (worlds.of(scenario.world()), (histories.of(()),) * len(scenario.instances))
    seen = {start}
    waiting = [start]
    ends = wrong = 0
    while waiting:
        world, state = waiting.pop()
        ended = True
        for instance, history in enumerate(state):
            for step in next_steps(instance, history):
                ended = False
                changed, longer = after(world, step, history)
                following = (changed, (*state[:instance], longer, *state[instance + 1 :]))
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
        if ended:
            ends += 1
            wrong += not worlds.values[world].is_right()
    return ends, wrong


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


class EverySchedule(unittest.TestCase):
    def test_of_the_real_protocol_ends_with_the_right_report(self) -> None:
        for name, scenario in SCENARIOS.items():
            with self.subTest(name):
                ends, wrong = explore(scenario)
                self.assertGreater(ends, 1, "the requests did not interleave")
                self.assertEqual(wrong, 0)


class Reconciliation(unittest.TestCase):
    def test_repairs_what_a_crash_left_whatever_else_is_published_meanwhile(self) -> None:
        behind = World(
            tuple(sorted((*TEN, ("crashed", 9)))),
            Published(Report(ranking.top(TEN), len(TEN)), etag="0"),
        )
        for others in [
            ((("k", 3),), (("x", 1),)),
            ((("crashed", 1),), (("a", 2), ("z", 2))),
        ]:
            scenario = Scenario(TEN, each(RECONCILE, *others), (0, 0, 0))
            with mock.patch.object(Scenario, "world", return_value=behind):
                ends, wrong = explore(scenario)
            self.assertGreater(ends, 1)
            self.assertEqual(wrong, 0)

    def test_a_crash_is_a_wrong_report_without_it(self) -> None:
        scenario = Scenario(TEN, each((("k", 3),)), (0,))
        self.assertEqual(explore(scenario, crashing)[1], 1)


class BrokenProtocols(unittest.TestCase):
    """Each rule is needed: without it the explorer finds wrong reports."""

    def assert_caught(self, **broken: Any) -> None:
        self.assertTrue(
            any(explore(scenario, **broken)[1] for scenario in SCENARIOS.values()),
            "no schedule ended with a wrong report",
        )

    def test_a_plain_put_is_caught(self) -> None:
        self.assert_caught(conditional=False)

    def test_scanning_before_reading_the_etag_is_caught(self) -> None:
        def scans_first(ports: Ports, requests: tuple[Words, ...], limit: int) -> None:
            totals = ports.add(dict(requests[0]), Work())
            while True:
                page = ports.everything()
                etag = ports.read().etag
                fresh = Report(ranking.top(ranking.merge(page.items(), totals)), 0)
                try:
                    ports.publish(fresh, etag)
                    return
                except Conflict:
                    continue

        self.assert_caught(protocol=scans_first)

    def test_using_a_scan_again_after_a_conflict_is_caught(self) -> None:
        def scans_once(ports: Ports, requests: tuple[Words, ...], limit: int) -> None:
            totals = ports.add(dict(requests[0]), Work())
            etag = ports.read().etag
            page = ports.everything()
            fresh = Report(ranking.top(ranking.merge(page.items(), totals)), 0)
            while True:
                try:
                    ports.publish(fresh, etag)
                    return
                except Conflict:
                    etag = ports.read().etag

        self.assert_caught(protocol=scans_once)

    def test_merging_by_anything_but_the_maximum_is_caught(self) -> None:
        def own_wins(
            totals: Iterator[tuple[str, int]], known: Mapping[str, int]
        ) -> Iterator[tuple[str, int]]:
            return iter({**dict(totals), **known}.items())

        with mock.patch.object(ranking, "merge", own_wins):
            self.assert_caught()
