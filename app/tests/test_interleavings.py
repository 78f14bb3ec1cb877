"""The report's protocol under every schedule of concurrent requests.

The real `ranking.tally` runs against ports whose every step (one word's ADD, one read, one page of
a scan, one publish) takes effect at a moment the explorer chooses. A request is deterministic given
the results of its steps, so it is run again from the start on the recorded results until it asks
for the next one; no thread is needed, and states that two schedules share are explored once.

A schedule is wrong if, with every request answered, the report is not the top ten of the table.
"""

import unittest
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from unittest import mock

from wordtally import ranking
from wordtally.ranking import Conflict, Published, Report

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
        raise AssertionError(step)

    def is_right(self) -> bool:
        report = self.published.report
        return report is not None and report.top == ranking.top(self.table)


class Asks(BaseException):
    """A request has used up its history and asks for the result of a step."""

    def __init__(self, step: Step) -> None:
        self.step = step


class Ports:
    """Implements ranking.Counts and ranking.Reports on a recorded history."""

    def __init__(self, history: History) -> None:
        self.results = iter(history)

    def do(self, *step: Any) -> Any:
        for result in self.results:
            if result is Conflict:
                raise Conflict
            return result
        raise Asks(step)

    def add(self, words: Mapping[str, int]) -> dict[str, int]:
        return {word: self.do("add", word, occurrences) for word, occurrences in words.items()}

    def scan(self) -> Iterator[dict[str, int]]:
        start = ""
        while page := self.do("scan", start):
            yield dict(page)
            start = page[-1][0]

    def read(self) -> Published:
        published: Published = self.do("read")
        return published

    def publish(self, report: Report, etag: str | None) -> Published:
        published: Published = self.do("publish", report, etag)
        return published


Protocol = Callable[[Ports, dict[str, int], int], object]


def crashing(ports: Ports, words: dict[str, int], scan_up_to_words: int) -> None:
    """A request that dies after its upserts."""
    ports.add(words)


def real(ports: Ports, words: dict[str, int], scan_up_to_words: int) -> None:
    ranking.tally(ports, ports, words, scan_up_to_words, ranking.Work(), pause=lambda attempt: None)


@dataclass(frozen=True)
class Scenario:
    table: Words
    requests: tuple[Words, ...]
    scan_up_to_words: tuple[int, ...]
    """Per request: 0 merges, a large number scans."""
    published: bool = True
    """Whether a right report exists when the requests begin."""

    def world(self) -> World:
        table = tuple(sorted(self.table))
        if not self.published:
            return World(table)
        return World(table, Published(Report(ranking.top(table), len(table)), etag="0"))


def explore(
    scenario: Scenario, protocol: Protocol = real, conditional: bool = True
) -> tuple[int, int]:
    """Run every schedule; the number of different final states, and how many of them are wrong."""

    @cache
    def next_step(request: int, history: History) -> Step | None:
        words = dict(scenario.requests[request])
        try:
            protocol(Ports(history), words, scenario.scan_up_to_words[request])
        except Asks as asks:
            return asks.step
        return None

    start = (scenario.world(), ((),) * len(scenario.requests))
    seen = {start}
    waiting = [start]
    ends = wrong = 0
    while waiting:
        world, histories = waiting.pop()
        ended = True
        for request, history in enumerate(histories):
            step = next_step(request, history)
            if step is None:
                continue
            ended = False
            after, result = world.after(step, conditional)
            longer = (*histories[:request], (*history, result), *histories[request + 1 :])
            if (after, longer) not in seen:
                seen.add((after, longer))
                waiting.append((after, longer))
        if ended:
            ends += 1
            wrong += not world.is_right()
    return ends, wrong


ALWAYS = 10**6

SCENARIOS = {
    "three merge, one new word each, at the tenth place": Scenario(
        TEN, ((("k", 3),), (("l", 3),), (("m", 3),)), (0, 0, 0)
    ),
    "three merge and share a word": Scenario(
        TEN, ((("x", 1), ("k", 3)), (("x", 1),), (("x", 1), ("l", 2))), (0, 0, 0)
    ),
    "three merge, ties decide": Scenario(
        TEN, ((("a", 2),), (("z", 2),), (("k", 2), ("y", 1))), (0, 0, 0)
    ),
    "three scan": Scenario(TEN, ((("k", 3),), (("k", 1),), (("a", 2),)), (ALWAYS,) * 3),
    "two scan, one merges, shared words": Scenario(
        TEN, ((("k", 1), ("x", 1)), (("k", 2),), (("x", 3),)), (ALWAYS, ALWAYS, 0)
    ),
    "one scans, two merge, ties": Scenario(
        TEN, ((("a", 2),), (("k", 2), ("a", 1)), (("y", 1),)), (ALWAYS, 0, 0)
    ),
    "three find no report": Scenario(
        TEN, ((("k", 3),), (("x", 1),), (("k", 1),)), (0, 0, ALWAYS), published=False
    ),
    "three begin with nothing at all": Scenario(
        (), ((("a", 1), ("b", 1)), (("a", 1),), (("c", 2),)), (0, 0, ALWAYS), published=False
    ),
    "four merge and scan": Scenario(
        TEN, ((("k", 3),), (("k", 1),), (("x", 1),), (("a", 2),)), (0, 0, 0, ALWAYS)
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
            scenario = Scenario(TEN, ((), *others), (ranking.ALWAYS, 0, 0))
            with mock.patch.object(Scenario, "world", return_value=behind):
                ends, wrong = explore(scenario)
            self.assertGreater(ends, 1)
            self.assertEqual(wrong, 0)

    def test_a_crash_is_a_wrong_report_without_it(self) -> None:
        scenario = Scenario(TEN, ((("k", 3),),), (0,))
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
        def scans_first(ports: Ports, words: dict[str, int], limit: int) -> None:
            totals = ports.add(words)
            while True:
                page = {word: times for page in ports.scan() for word, times in page.items()}
                etag = ports.read().etag
                fresh = Report(ranking.top(ranking.merge(page.items(), totals)), 0)
                try:
                    ports.publish(fresh, etag)
                    return
                except Conflict:
                    continue

        self.assert_caught(protocol=scans_first)

    def test_using_a_scan_again_after_a_conflict_is_caught(self) -> None:
        def scans_once(ports: Ports, words: dict[str, int], limit: int) -> None:
            totals = ports.add(words)
            etag = ports.read().etag
            page = {word: times for page in ports.scan() for word, times in page.items()}
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
