"""The inbox's protocol under every schedule of notifications, crashes and lost answers.

The real Inbox and DynamoDBLanes run on the fake table. schedules.explore chooses the moment at which each
call takes effect. test_interleavings.py searches the report's own protocol; here a publish is one step.

S3 announces a file at any time and any number of times, even twice at once. A held lane counts as
abandoned either immediately, which is stricter than reality, or never. If never, a file that finds no free
lane fails.

In every state, no word is counted twice, and the words of a file are counted and in the report once a
notification of the file has succeeded. From every state, all deliveries are killed and Lambda retries the
files without success so far: then each file is counted exactly once and the report is exact.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

import schedules
from fakes import FakeDynamoDB
from schedules import Asks, Ends, Exploring, History, Step
from wordtally.aws.client import Answer, Parameters, ignore
from wordtally.aws.errors import AwsError, failure
from wordtally.domain import fence
from wordtally.domain.fence import Fence
from wordtally.stores import lanes
from wordtally.stores.calls import Calls
from wordtally.stores.counts import DynamoDBCounts
from wordtally.stores.lanes import DynamoDBLanes
from wordtally.stores.ledger import DynamoDBLedger
from wordtally.ways_in.inbox import Abandoned, Inbox, Upload
from wordtally.work import Work

Announcement = tuple[str, bool]
"""A file, and whether its words are written in reverse order: real writes are concurrent, in any order."""


@dataclass(frozen=True)
class World:
    table: str = json.dumps([{}, {}, []])
    """Words, fences, and the items in the table of markers, as JSON."""
    report: tuple[tuple[str, int], ...] = ()
    counted: frozenset[str] = frozenset()
    """Files with a notification that succeeded."""

    @property
    def words(self) -> dict[str, int]:
        words: dict[str, int] = json.loads(self.table)[0]
        return words

    def holders(self) -> set[str]:
        """The files that hold a lane."""
        items = [item for *_, item in json.loads(self.table)[2]]
        return {json.loads(item["upload"]["S"])["key"] for item in items if "upload" in item}

    def load(self) -> FakeDynamoDB:
        table = FakeDynamoDB()
        words, fences, markers = json.loads(self.table)
        table.items = words
        for word, tokens in fences.items():
            table.fences[word] = tokens
        table.markers = {(key, chunk): item for key, chunk, item in markers}
        return table

    def stored(self, table: FakeDynamoDB) -> "World":
        markers = [[*place, item] for place, item in sorted(table.markers.items())]
        return replace(self, table=json.dumps([table.items, table.fences, markers], sort_keys=True))


class Client:
    """Implements aws.client.Client. Each call gets its answer from the history of a delivery."""

    def __init__(self, history: History, backwards: bool) -> None:
        self.history = iter(history)
        self.backwards = backwards

    def do(self, *step: Any) -> Any:
        for _, result in self.history:
            return result
        raise Asks(step)

    def call_each(
        self,
        operation: str,
        parameters: Iterable[Parameters],
        until: float,
        retried: Callable[[AwsError], None] = ignore,
    ) -> list[Answer]:
        calls = list(parameters)
        answers: dict[int, Answer] = {}
        for index in sorted(range(len(calls)), reverse=self.backwards):
            result = json.loads(self.do(operation, json.dumps(calls[index])))
            if "reasons" in result:
                code = "TransactionCanceledException"
                raise failure(operation, code, 400, result["reasons"])
            answers[index] = result
        return [answers[index] for index in range(len(calls))]

    def presigned_url(self, parameters: Mapping[str, str], expires_seconds: int) -> str:
        raise NotImplementedError

    def include(self, write: Callable[[], dict[str, int]], work: Work) -> None:
        """Replaces ranking.Ranking.include: write, then publish."""
        self.do("publish", json.dumps(sorted(write())))


class Files:
    """Implements inbox.Files. Reading and tagging are not steps, as their timing does not matter."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files

    def read(self, upload: Upload, start: int, size: int, work: Work) -> tuple[bytes, int]:
        content = self.files[upload.key].encode()
        return content[start : start + size], len(content)

    def tag(self, upload: Upload, outcome: str, work: Work) -> None:
        assert outcome == "counted"


def no_pause(*_: Any) -> None:
    raise Ends


@dataclass(frozen=True)
class Scenario(schedules.Scenario[World, Announcement]):
    files: Mapping[str, str] = field(default_factory=dict)
    lanes: int = 1
    abandoned: bool = True
    """Whether every held lane counts as abandoned."""
    deliveries: int = 3
    at_once: int = 2
    lost_answers: int = 1
    inbox: type[Inbox] = Inbox
    start = World()

    def totals(self, files: Iterable[str]) -> Counter[str]:
        return Counter(word for name in files for word in self.files[name].split())

    def possible(self, world: World) -> Iterator[Announcement]:
        for name in self.files:
            yield name, False
            yield name, True

    def run(self, delivery: Announcement, history: History) -> None:
        name, backwards = delivery
        client = Client(history, backwards)
        calls = Calls(client)
        ledger = DynamoDBLedger(calls, "words", "markers")
        counts = DynamoDBCounts(calls, "words", ledger)
        inbox = self.inbox(
            Files(self.files), DynamoDBLanes(calls, "markers", no_pause), counts, client, 100
        )
        clock = SimpleNamespace(time=lambda: 0)
        with ExitStack() as stack:
            for place, attribute, value in [
                (lanes, "time", clock),
                (fence, "time", clock),
                (lanes, "LANES", [f"i{number}" for number in range(self.lanes)]),
                (lanes, "LEASE_SECONDS", -1 if self.abandoned else 1),
                (lanes, "random", SimpleNamespace(sample=lambda every, _: every)),
            ]:
                stack.enter_context(mock.patch.object(place, attribute, value))
            try:
                inbox.count(Upload("inbox", name), Work())
            except Abandoned:
                raise Ends from None

    def after(self, world: World, step: Step) -> tuple[World, Any]:
        operation, request = step[0], json.loads(step[1])
        if operation == "publish":
            words = world.words
            shown = dict(world.report) | {word: words[word] for word in request}
            return replace(world, report=tuple(sorted(shown.items()))), None
        table = world.load()
        try:
            answer: Any = table.call(operation, request)
        except AwsError as error:
            answer = {"reasons": error.reasons}
        return world.stored(table), json.dumps(answer)

    def is_write(self, step: Step) -> bool:
        return step[0] in ("TransactWriteItems", "UpdateItem")

    def acknowledge(self, world: World, delivery: Announcement) -> World:
        return replace(world, counted=world.counted | {delivery[0]})

    def left(self, world: World) -> Announcement | None:
        """Files that hold a lane come first: the others may have to wait for them."""
        names = sorted(self.files, key=lambda name: name not in world.holders())
        return next(((name, False) for name in names if name not in world.counted), None)

    def problem(self, world: World) -> str | None:
        words, report, most = world.words, dict(world.report), self.totals(self.files)
        for word, times in self.totals(world.counted).items():
            if words.get(word, 0) < times:
                return f"{word} of a file that was tagged is not counted"
            if report.get(word, 0) < times:
                return f"{word} of a file that was tagged is not in the report"
        for word, times in words.items():
            if times > most[word]:
                return f"{word} is counted twice"
        return None

    def problem_at_the_end(self, world: World) -> str | None:
        if world.words != dict(world.report):
            return "the report is not exact"
        return self.problem(world)


TWO = {"one": "a k", "two": "b k"}
SCENARIOS = {
    "a file announced again and again": Scenario({"one": "a a b"}, deliveries=4),
    "two files that share a lane": Scenario(TWO, deliveries=2),
    "two files, one announced again": Scenario({"one": "k", "two": "k b"}, lost_answers=0),
    "two files that wait for each other": Scenario(TWO, abandoned=False, deliveries=2),
    "two files on two lanes": Scenario({"one": "a k", "two": "k"}, lanes=2, deliveries=2),
    "three files": Scenario({"one": "k", "two": "k", "three": "k"}, lanes=2, lost_answers=0),
}


class EverySchedule(Exploring):
    def test_counts_each_file_exactly_once(self) -> None:
        self.assert_all_right(SCENARIOS, more_than=1_000, in_all=300_000)


class ReleasesFirst(Inbox):
    """Releases the lane before the report shows the words."""

    def _write(self, upload: Upload, fence: Fence, counted: Mapping[str, int], work: Work) -> None:
        totals = self.counts.add_fenced(fence, counted, work)
        self.lanes.release(upload, fence, work)
        self.ranking.include(lambda: totals, work)


class TakesALaneFromItsHolder(Inbox):
    """A file that finds no free lane takes one from a file that is unfinished."""

    def _finish(self, upload: Upload, work: Work) -> None:
        fence = self.lanes.take(upload, work)
        if fence:
            self.lanes.release(upload, fence, work)


class BrokenProtocols(Exploring):
    """Each rule is needed: without it, the explorer finds a wrong state."""

    def assert_caught(self, scenario: str, **broken: Any) -> None:
        self.assert_wrong(SCENARIOS[scenario], **broken)

    def test_variants_of_the_code_are_caught(self) -> None:
        for variant in (ReleasesFirst, TakesALaneFromItsHolder):
            with self.subTest(variant.__name__):
                self.assert_caught("two files that share a lane", inbox=variant)

    def test_a_lane_or_a_record_written_without_its_condition_is_caught(self) -> None:
        taking = DynamoDBLanes._taking
        for index, scenario in [
            (0, "a file announced again and again"),
            (1, "two files that share a lane"),
        ]:

            def unconditional(*arguments: Any, index: int = index) -> Any:
                actions = taking(*arguments)
                for action in actions[index].values():
                    action.pop("ConditionExpression")
                return actions

            with self.subTest(index), mock.patch.object(DynamoDBLanes, "_taking", unconditional):
                self.assert_caught(scenario)

    def test_writes_without_their_condition_are_caught(self) -> None:
        def add(self: Any, fence: Fence, words: Mapping[str, int], work: Work) -> dict[str, int]:
            return dict(self.add(words, work))

        with mock.patch.object(DynamoDBCounts, "add_fenced", add):
            self.assert_caught("a file announced again and again")

    def test_a_token_that_does_not_grow_is_caught(self) -> None:
        with mock.patch.object(lanes, "next_token", return_value=1):
            self.assert_caught("two files that wait for each other")
