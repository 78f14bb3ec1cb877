"""The stream's protocol under every schedule of deliveries, crashes and lost answers.

The real `stream.Stream` runs on fake ports. schedules.explore chooses the moment at which each step takes
effect. test_interleavings.py searches the report's own protocol; here a publish is one step.

Lambda is the adversary, within its guarantees. A delivery has consecutive records of a shard and begins at
or before the first unacknowledged record. The children of a shard wait for their parent. Up to two
deliveries run at once, of the same shard or of two.

In every state, nothing is counted twice, and every acknowledged record is counted and in the report, or is
set aside. From every state, all deliveries are killed and Lambda delivers the remaining records again: then
each record is counted exactly once and the report is exact.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import schedules
from schedules import Asks, Exploring, History, Step, Words, added
from wordtally.domain import fence, once
from wordtally.domain.fence import Fence, next_token
from wordtally.domain.once import Marker
from wordtally.ways_in import stream
from wordtally.ways_in.stream import Checkpoint, Plan, Record, Stream, Superseded, lane_of, total
from wordtally.work import Work

Kept = tuple[str, Words, int]
"""A plan as a hashable value."""

Cut = tuple[str, int, int]
"""A delivery: shard, index of the first record, end."""
LOSABLE = ("transaction", "fenced", "propose", "finish")
"""Steps whose answer may be lost. Lost answers to a publish belong to the report's protocol."""
CONDITIONAL = ("propose", "finish", "fenced")


def plan_of(kept: Kept | None) -> Plan | None:
    return kept and Plan(kept[0], dict(kept[1]), kept[2])


@dataclass(frozen=True)
class World:
    """The tables, the report, the queue and Lambda's position, as one hashable value."""

    table: Words = ()
    report: Words = ()
    markers: frozenset[Marker] = frozenset()
    checkpoints: tuple[tuple[str, str, Kept | None, int], ...] = ()
    """Shard, `done`, plan, last token."""
    fences: tuple[tuple[tuple[str, str], int], ...] = ()
    """Word and lane to the largest token."""
    set_aside: frozenset[tuple[str, str, str]] = frozenset()
    acknowledged: tuple[tuple[str, int], ...] = ()
    """The number of acknowledged records per shard."""

    def checkpoint(self, shard: str) -> tuple[str, Kept | None, int]:
        return next((found[1:] for found in self.checkpoints if found[0] == shard), ("", None, 0))

    def moved(self, shard: str, done: str, plan: Kept | None) -> "World":
        others = {found for found in self.checkpoints if found[0] != shard}
        token = plan[2] if plan else self.checkpoint(shard)[2]
        moved = others | {(shard, done, plan, token)}
        return replace(self, checkpoints=tuple(sorted(moved, key=str)))

    def fenced(self, place: tuple[str, str], token: int, times: int) -> "World":
        fences = dict(self.fences) | {place: token}
        table = added(self.table, ((place[0], times),))
        return replace(self, table=table, fences=tuple(sorted(fences.items())))

    def after(self, step: Step, conditional: Collection[str]) -> tuple["World", Any]:
        """The world after a step, and the step's result."""
        match step:
            case ("read", shard):
                return self, self.checkpoint(shard)
            case ("propose", shard, done, plan):
                if step[0] in conditional and self.checkpoint(shard)[:2] != (done, None):
                    return self, Superseded
                return self.moved(shard, done, plan), None
            case ("finish", shard, upto):
                found = self.checkpoint(shard)[1]
                if step[0] in conditional and not (found and found[0] == upto):
                    return self, Superseded
                return self.moved(shard, upto, None), None
            case ("transaction", marker, words):
                for there in self.markers:
                    if (there.key, there.chunk) == (marker.key, marker.chunk):
                        return self, there
                return replace(
                    self, table=added(self.table, words), markers=self.markers | {marker}
                ), None
            case ("fenced", lane, token, word, times):
                last = dict(self.fences).get((word, lane), 0)
                if step[0] in conditional and last >= token:
                    return self, None
                return self.fenced((word, lane), token, times), None
            case ("publish", words):
                shown, table = dict(self.report), dict(self.table)
                shown |= {word: table[word] for word in words}
                return replace(self, report=tuple(sorted(shown.items()))), None
            case ("set aside", shard, sequence, reason):
                aside = self.set_aside | {(shard, sequence, reason)}
                return replace(self, set_aside=aside), None
        raise AssertionError(step)

    def acknowledged_of(self, shard: str) -> int:
        return dict(self.acknowledged).get(shard, 0)


class Ports:
    """Implements all ports of stream.Stream. Each step gets its result from the history of a delivery."""

    def __init__(self, history: History, backwards: bool) -> None:
        self.history = iter(history)
        self.backwards = backwards

    def do(self, *step: Any) -> Any:
        for _, result in self.history:
            if result is Superseded:
                raise Superseded
            return result
        raise Asks(step)

    def read(self, shard: str, work: Work) -> Checkpoint:
        done, plan, token = self.do("read", shard)
        return Checkpoint(done, plan_of(plan), token)

    def propose(self, shard: str, done: str, plan: Plan, work: Work) -> None:
        kept = plan.upto, tuple(plan.words.items()), plan.token
        self.do("propose", shard, done, kept)

    def finish(self, shard: str, plan: Plan, work: Work) -> None:
        self.do("finish", shard, plan.upto)

    def include(self, write: Callable[[], dict[str, int]], work: Work) -> None:
        self.do("publish", tuple(write()))

    def add_once(self, marker: Marker, words: Mapping[str, int], work: Work) -> dict[str, int]:
        once.add(self, marker, words, work)
        return dict(words)  # only the words matter, not their totals

    def add_fenced(self, fence: Fence, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """The order depends on the delivery, as the real writes are concurrent."""
        for word in sorted(words, reverse=self.backwards):
            self.do("fenced", fence.lane, fence.token, word, words[word])
        return dict(words)

    def write(self, marker: Marker, words: Mapping[str, int], work: Work) -> Marker | None:
        found: Marker | None = self.do("transaction", marker, tuple(words.items()))
        return found

    def set_aside(self, shard: str, sequence: str, reason: str, work: Work) -> None:
        self.do("set aside", shard, sequence, reason)


def text(number: int, *words: str, **more: Any) -> Record:
    return Record(f"{number:02}", Counter(words), **more)


def malformed(number: int) -> Record:
    return Record(f"{number:02}", problem="not_utf8")


def keyed(number: int, key: str, *words: str) -> Record:
    """Records with the same words and key have the same text."""
    return text(number, *words, marker=once.marker(key, " ".join(words), 0, 9))


@dataclass(frozen=True)
class Scenario(schedules.Scenario[World, Cut]):
    shards: Mapping[str, Sequence[Record]]
    parents: Mapping[str, str] = field(default_factory=dict)
    """For each child shard, the parent that was split."""
    deliveries: int = 3
    at_once: int = 2
    lost_answers: int = 1
    chunk_words: int = once.CHUNK_WORDS
    plan_bytes: int = stream.MAX_PLAN_BYTES
    any_order: bool = False
    """Whether Lambda may deliver records before earlier ones are acknowledged."""
    protocol: type[Stream] = Stream
    conditional: Collection[str] = CONDITIONAL
    """Steps whose condition is checked."""
    start = World()

    def totals(self, numbers: Mapping[str, int]) -> dict[str, int]:
        """The table when `numbers` records of each shard are counted."""
        totals: Counter[str] = Counter()
        keys: set[str] = set()
        for shard, records in self.shards.items():
            for record in records[: numbers.get(shard, 0)]:
                key = record.marker and record.marker.key
                if key not in keys:
                    totals.update(record.words)
                if key:
                    keys.add(key)
        return totals

    def set_aside(self, numbers: Mapping[str, int]) -> set[tuple[str, str]]:
        """Of `numbers` records of each shard, those that cannot be counted: shard and sequence number."""
        aside: set[tuple[str, str]] = set()
        digests: dict[str, str] = {}
        for shard, records in self.shards.items():
            for record in records[: numbers.get(shard, 0)]:
                marker = record.marker
                reused = marker and digests.setdefault(marker.key, marker.digest) != marker.digest
                if record.problem or reused:
                    aside.add((shard, record.sequence))
        return aside

    def everything(self) -> dict[str, int]:
        return {shard: len(records) for shard, records in self.shards.items()}

    def is_open(self, world: World, shard: str) -> bool:
        parent = self.parents.get(shard)
        return not parent or world.acknowledged_of(parent) == len(self.shards[parent])

    def possible(self, world: World) -> Iterator[Cut]:
        for shard, records in self.shards.items():
            if self.is_open(world, shard):
                latest = len(records) if self.any_order else world.acknowledged_of(shard) + 1
                for first in range(min(latest, len(records))):
                    for end in range(first + 1, len(records) + 1):
                        yield shard, first, end

    def run(self, delivery: Cut, history: History) -> None:
        shard, first, end = delivery
        ports = Ports(history, backwards=first > 0 or end == 1)
        instance = self.protocol(ports, ports, ports, ports, ports.set_aside)
        with (
            mock.patch.object(once, "CHUNK_WORDS", self.chunk_words),
            mock.patch.object(stream, "MAX_PLAN_BYTES", self.plan_bytes),
            mock.patch.object(fence, "time", SimpleNamespace(time=lambda: 0)),
        ):
            instance.count(shard, self.shards[shard][first:end], Work())

    def after(self, world: World, step: Step) -> tuple[World, Any]:
        return world.after(step, self.conditional)

    def is_write(self, step: Step) -> bool:
        return step[0] in LOSABLE

    def acknowledge(self, world: World, delivery: Cut) -> World:
        shard, _, end = delivery
        most = max(end, world.acknowledged_of(shard))
        acknowledged = dict(world.acknowledged) | {shard: most}
        return replace(world, acknowledged=tuple(sorted(acknowledged.items())))

    def left(self, world: World) -> Cut | None:
        for shard, records in self.shards.items():
            done = world.acknowledged_of(shard)
            if done < len(records):
                return shard, done, len(records)
        return None

    def problem(self, world: World) -> str | None:
        acknowledged = dict(world.acknowledged)
        table, most = dict(world.table), self.totals(self.everything())
        for word, times in self.totals(acknowledged).items():
            if table.get(word, 0) < times:
                return f"{word} of an acknowledged record is not counted"
            if dict(world.report).get(word, 0) < times:
                return f"{word} of an acknowledged record is not in the report"
        for word, times in table.items():
            if times > most[word]:
                return f"{word} is counted twice"
        aside = {found[:2] for found in world.set_aside}
        if not self.set_aside(acknowledged) <= aside <= self.set_aside(self.everything()):
            return "the wrong records are set aside"
        return None

    def problem_at_the_end(self, world: World) -> str | None:
        if world.table != world.report:
            return "the report is not exact"
        return self.problem(world)


ONE_WORD_EACH = [text(1, "a"), text(2, "b"), text(3, "c"), text(4, "d")]
SHARED_WORD = [text(1, "a", "k"), text(2, "b", "k")]

SCENARIOS = {
    "batches cut anywhere": Scenario({"s": SHARED_WORD}),
    "of three records": Scenario({"s": ONE_WORD_EACH[:3]}, deliveries=2),
    "of four records": Scenario({"s": ONE_WORD_EACH}, deliveries=2, lost_answers=0),
    "one after another": Scenario({"s": ONE_WORD_EACH[:3]}, deliveries=4, at_once=1),
    "two answers lost": Scenario({"s": ONE_WORD_EACH[:2]}, deliveries=2, lost_answers=2),
    "plans of one record": Scenario({"s": ONE_WORD_EACH[:2]}, deliveries=2, plan_bytes=10),
    "plans of one record, one delivery after another": Scenario(
        {"s": ONE_WORD_EACH[:3]}, at_once=1, plan_bytes=10, lost_answers=2
    ),
    "malformed records": Scenario({"s": [malformed(1), text(2, "b"), malformed(3)]}, deliveries=2),
    "a key twice": Scenario(
        {"s": [keyed(1, "x", "a", "k"), keyed(2, "x", "a", "k")]}, deliveries=2
    ),
    "a key twice, and a text": Scenario(
        {"s": [keyed(1, "x", "a"), text(2, "k"), keyed(3, "x", "a")]}, deliveries=2
    ),
    "a key with another text": Scenario(
        {"s": [keyed(1, "x", "a", "k"), keyed(2, "x", "b")]}, deliveries=2
    ),
    "keyed texts in two transactions": Scenario(
        {"s": [keyed(1, "x", "a", "k"), text(2, "b")]}, chunk_words=1, deliveries=2
    ),
    # A child's sequence numbers are larger than its parent's, but the protocol does not rely on this.
    "a split": Scenario(
        {"parent": [text(2, "a")], "left": [text(1, "b")], "right": [text(2, "k")]},
        {"left": "parent", "right": "parent"},
    ),
    "a split, shared word": Scenario(
        {"parent": SHARED_WORD, "child": [text(1, "b", "k")]}, {"child": "parent"}
    ),
}


class EverySchedule(Exploring):
    def test_counts_each_record_exactly_once(self) -> None:
        self.assert_all_right(SCENARIOS, more_than=1_000, in_all=500_000)


class MovesTheCheckpointFirst(Stream):
    def _carry_out(self, shard: str, plan: Plan, work: Work) -> None:
        self.checkpoints.finish(shard, plan, work)
        if plan.words:
            self.ranking.include(partial(self._write, shard, plan, work), work)

    def _write(self, shard: str, plan: Plan, work: Work) -> dict[str, int]:
        return self.counts.add_fenced(Fence(lane_of(shard), plan.token), plan.words, work)


class PublishesLast(MovesTheCheckpointFirst):
    def _carry_out(self, shard: str, plan: Plan, work: Work) -> None:
        totals = self._write(shard, plan, work)
        self.checkpoints.finish(shard, plan, work)
        self.ranking.include(lambda: totals, work)


class KeepsNoWords(Stream):
    """A plan has only its end; its words are taken from the current batch."""

    def count(self, shard: str, records: Sequence[Record], work: Work) -> None:
        while True:
            checkpoint = self.checkpoints.read(shard, work)
            plan = checkpoint.plan
            if not plan:
                return super().count(shard, records, work)
            planned = [r for r in records if checkpoint.done < r.sequence <= plan.upto]
            with suppress(Superseded):
                self._carry_out(shard, replace(plan, words=total(planned)), work)


class KeepsNoPlan(MovesTheCheckpointFirst):
    """Has only the checkpoint, which moves after the batch is counted."""

    def count(self, shard: str, records: Sequence[Record], work: Work) -> None:
        while True:
            checkpoint = self.checkpoints.read(shard, work)
            with suppress(Superseded):
                if checkpoint.plan:
                    self.checkpoints.finish(shard, checkpoint.plan, work)
                    continue
                fresh = self._fresh(shard, records, checkpoint.done, work)
                if not fresh:
                    return
                plan = Plan(fresh[-1].sequence, total(fresh), next_token(checkpoint.token))
                self.ranking.include(partial(self._write, shard, plan, work), work)
                self.checkpoints.propose(shard, checkpoint.done, replace(plan, words={}), work)


class CountsKeyedTextsLast(Stream):
    def _count_keyed(self, shard: str, records: list[Record], work: Work) -> None:
        self._later[:] = records

    def _carry_out(self, shard: str, plan: Plan, work: Work) -> None:
        super()._carry_out(shard, plan, work)
        later, self._later[:] = self._later[:], []
        super()._count_keyed(shard, later, work)

    @cached_property
    def _later(self) -> list[Record]:
        return []


class BrokenProtocols(Exploring):
    """Each rule is needed: without it, the explorer finds a wrong state."""

    def assert_caught(self, scenario: str, **broken: Any) -> None:
        self.assert_wrong(SCENARIOS[scenario], **broken)

    def test_variants_of_the_code_are_caught(self) -> None:
        for variant, scenario in {
            MovesTheCheckpointFirst: "batches cut anywhere",
            PublishesLast: "batches cut anywhere",
            KeepsNoWords: "batches cut anywhere",
            KeepsNoPlan: "batches cut anywhere",
            CountsKeyedTextsLast: "a key with another text",
        }.items():
            with self.subTest(variant.__name__):
                self.assert_caught(scenario, protocol=variant)

    def test_a_checkpoint_without_compare_and_swap_is_caught(self) -> None:
        for missing in (["propose"], ["finish"], ["propose", "finish"]):
            with self.subTest(missing):
                conditional = frozenset(CONDITIONAL) - frozenset(missing)
                self.assert_caught("of three records", conditional=conditional)

    def test_writes_without_their_condition_are_caught(self) -> None:
        conditional = frozenset(["propose", "finish"])
        self.assert_caught("batches cut anywhere", conditional=conditional)

    def test_a_token_that_does_not_grow_is_caught(self) -> None:
        with mock.patch.object(stream, "next_token", return_value=1):
            self.assert_caught("batches cut anywhere")

    def test_a_lane_shared_by_two_shards_is_caught(self) -> None:
        with mock.patch.object(stream, "lane_of", return_value="s"):
            self.assert_caught("a split, shared word")

    def test_a_keyed_text_counted_without_its_marker_is_caught(self) -> None:
        def all_words(records: Sequence[Record]) -> dict[str, int]:
            return dict(sum((Counter(record.words) for record in records), Counter[str]()))

        with mock.patch.object(stream, "total", all_words):
            self.assert_caught("a key twice")

    def test_delivery_out_of_order_is_not_supported(self) -> None:
        """Lambda must deliver a shard in order, so `parallelization_factor` must stay 1."""
        self.assert_wrong(Scenario({"s": SHARED_WORD}, any_order=True))
