"""How many records of a batch fit into a plan of the stream: the size of their words decides."""

import json
import unittest
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wordtally.domain.fence import Fence
from wordtally.domain.once import Marker
from wordtally.ways_in import stream
from wordtally.ways_in.stream import MAX_PLAN_BYTES, Checkpoint, Plan, Record, Stream
from wordtally.work import Work


@dataclass
class Shard:
    """The ports of one undisturbed delivery: a checkpoint, the counts, and the plans recorded."""

    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    plans: list[Plan] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    keyed: list[int] = field(default_factory=list)
    """For each text with a key, the number of plans before it."""

    def read(self, shard: str, work: Work) -> Checkpoint:
        return self.checkpoint

    def propose(self, shard: str, done: str, plan: Plan, work: Work) -> None:
        self.plans.append(plan)
        self.checkpoint = Checkpoint(done, plan, plan.token)

    def finish(self, shard: str, plan: Plan, work: Work) -> None:
        self.checkpoint = Checkpoint(plan.upto, None, plan.token)

    def add_once(self, marker: Marker, words: Mapping[str, int], work: Work) -> dict[str, int]:
        self.keyed.append(len(self.plans))
        self.counted.update(words)
        return dict(self.counted)

    def add_fenced(self, fence: Fence, words: Mapping[str, int], work: Work) -> dict[str, int]:
        assert fence.token == self.plans[-1].token
        self.counted.update(words)
        return dict(self.counted)

    def include(self, write: Callable[[], dict[str, int]], work: Work) -> object:
        return write()


def counted(records: Sequence[Record]) -> Shard:
    shard = Shard()
    everything: Any = shard
    Stream(everything, everything, everything, everything, lambda *_: None).count(
        "shard", records, Work()
    )
    return shard


def record(number: int, words: Mapping[str, int], marker: Marker | None = None) -> Record:
    return Record(str(number).zfill(stream.SEQUENCE_DIGITS), words, marker)


class PlansTest(unittest.TestCase):
    def test_shared_words_take_space_once(self) -> None:
        words = {f"word{number}": 1 for number in range(50)}
        shard = counted([record(number, words) for number in range(10_000)])
        self.assertEqual(len(shard.plans), 1)
        self.assertEqual(shard.counted, dict.fromkeys(words, 10_000))

    def test_a_plan_is_nearly_full_and_never_too_large(self) -> None:
        records = [
            record(number, {f'{number}"é{each}': 10**each for each in range(9)} | {"the": 10**9})
            for number in range(10_000)
        ]
        shard = counted(records)
        sizes = [len(json.dumps(plan.words, ensure_ascii=False).encode()) for plan in shard.plans]
        self.assertGreater(len(sizes), 2)
        for size in sizes[:-1]:
            self.assertGreater(size, MAX_PLAN_BYTES - 1_000)
        self.assertLessEqual(max(sizes), MAX_PLAN_BYTES)
        self.assertEqual(shard.counted, stream.total(records))

    def test_a_longer_total_takes_more_space(self) -> None:
        words = [f"word{number}" for number in range(15_000)]
        shard = counted(
            [
                record(1, dict.fromkeys(words, 1)),
                record(2, dict.fromkeys(words, 10**30)),
            ]
        )
        self.assertEqual(len(shard.plans), 2)

    def test_texts_under_keys_count_in_full(self) -> None:
        """Their words are written immediately, so the checkpoint must follow closely."""
        words = {f"word{number}": 1 for number in range(1_000)}
        marker = Marker("key", "digest", 2, 1)
        shard = counted([record(number, words, marker) for number in range(100)])
        self.assertEqual(len(shard.keyed), 100)
        self.assertGreater(len(shard.plans), 3)
