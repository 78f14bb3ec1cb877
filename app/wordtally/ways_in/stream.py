"""The stream: counts each Kinesis record exactly once and writes each word once per batch.

Lambda delivers each record of a shard at least once: first in order, then possibly again, in a batch
with other boundaries, or to two function instances at once. Sequence numbers only grow within a shard.
So each shard has a checkpoint, up to which every record is counted. Before a delivery writes words,
it records them in the checkpoint as a plan. Any delivery that finds an unfinished plan finishes
exactly that plan. The writes of a plan are fenced (fence.py), so several instances may repeat them.
docs/decisions/0008-inbox-and-stream.md gives the reasons for the order of the steps;
tests/test_stream_protocol.py checks it exhaustively.
"""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from wordtally.domain import words
from wordtally.domain.fence import Fence, FencedCounts, next_token
from wordtally.domain.once import MAX_VALID_HOURS, Marker
from wordtally.errors import IdempotencyKeyReused, Rejected
from wordtally.ways_in import http
from wordtally.work import Work

SEQUENCE_DIGITS = 60
"""Sequence numbers have up to 56 digits, too many for a DynamoDB number. Padded, they compare as text."""

MAX_PLAN_BYTES = 300_000
"""Maximum size of a plan's words as JSON in UTF-8. A DynamoDB item may have 400 kB, and the words of a
text that `POST /` accepts take less than half of this."""

MAX_TIMES = 18 * http.MAX_CHARACTERS
"""Maximum occurrences of a word in a posted text: NFKC replaces a character with at most 18."""

_DIGEST = re.compile("[0-9a-f]{64}")  # SHA-256
_END_OF_TIME = 10**11  # in seconds; DynamoDB's numbers have 38 digits


class Malformed(Exception):
    """A record that cannot be counted; `str(error)` is a code that says why, never its content."""


@dataclass(frozen=True)
class Record:
    """One record of a shard."""

    sequence: str
    """The sequence number, padded to SEQUENCE_DIGITS."""
    words: Mapping[str, int] = field(repr=False, default_factory=dict)
    marker: Marker | None = None
    """Set if the text was posted under an idempotency key."""
    problem: str | None = None
    """Why the record is set aside instead of counted."""


@dataclass(frozen=True)
class Plan:
    """The words about to be written for the records after `Checkpoint.done` up to `upto`."""

    upto: str
    words: Mapping[str, int] = field(repr=False)
    token: int
    """Larger than the tokens of all earlier plans of the shard."""


@dataclass(frozen=True)
class Checkpoint:
    done: str = ""
    """Every record up to this sequence number is counted or set aside; empty if none is."""
    plan: Plan | None = None
    token: int = 0
    """Token of the last plan."""


class Superseded(Exception):
    """Another delivery has changed the checkpoint since it was read."""


class Checkpoints(Protocol):
    """A checkpoint per shard."""

    def read(self, shard: str, work: Work) -> Checkpoint: ...

    def propose(self, shard: str, done: str, plan: Plan, work: Work) -> None:
        """Record the plan. Raise Superseded unless the checkpoint is at `done` and without a plan."""

    def finish(self, shard: str, plan: Plan, work: Work) -> None:
        """Move the checkpoint to the end of the plan and remove the plan. Raise Superseded unless the
        checkpoint holds this plan."""


class Counts(FencedCounts, Protocol):
    def add_once(self, marker: Marker, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """See ranking.Counts."""


class Counting(Protocol):
    """Implemented by ranking.Ranking."""

    def include(self, write: Callable[[], dict[str, int]], work: Work) -> object:
        """Make sure that the published report includes the totals that `write` returns."""


class Producer(Protocol):
    """The stream as `POST /` sees it."""

    def append(self, record: bytes, work: Work) -> None:
        """Append a record. If this raises, the record may have been appended once."""


SetAside = Callable[[str, str, str, Work], None]
"""Reports a record that cannot be counted, at least once: shard, sequence number, reason."""


@dataclass(frozen=True)
class Stream:
    """Both ends of the stream."""

    producer: Producer
    checkpoints: Checkpoints
    counts: Counts
    ranking: Counting
    set_aside: SetAside

    def append(self, counted: Mapping[str, int], marker: Marker | None, work: Work) -> None:
        """Append the words of a text to the stream, which counts them within seconds."""
        self.producer.append(encode(counted, marker), work)

    def count(self, shard: str, records: Sequence[Record], work: Work) -> None:
        """Count the records of a batch that are not counted yet, in the order of their sequence
        numbers, and make sure that the report includes them."""
        while True:
            checkpoint = self.checkpoints.read(shard, work)
            try:
                if checkpoint.plan:
                    self._carry_out(shard, checkpoint.plan, work)
                    continue
                fresh = self._fresh(shard, records, checkpoint.done, work)
                if not fresh:
                    return
                self._count_keyed(shard, [each for each in fresh if each.marker], work)
                plan = Plan(fresh[-1].sequence, total(fresh), next_token(checkpoint.token))
                self.checkpoints.propose(shard, checkpoint.done, plan, work)
                self._carry_out(shard, plan, work)
            except Superseded:
                pass  # read the other delivery's checkpoint

    def _fresh(self, shard: str, records: Sequence[Record], done: str, work: Work) -> list[Record]:
        """Return the records after `done` that fit into a plan. Set the malformed ones aside."""
        fresh: list[Record] = []
        totals: dict[str, int] = {}
        size = 0
        for record in sorted(records, key=lambda each: each.sequence):
            if record.sequence <= done:
                continue
            size += _growth(totals, record)
            if fresh and size > MAX_PLAN_BYTES:
                break
            if record.problem:
                self.set_aside(shard, record.sequence, record.problem, work)
            fresh.append(record)
        return fresh

    def _count_keyed(self, shard: str, records: list[Record], work: Work) -> None:
        """Count each text under its own markers. They prevent double counting even if the plan is
        never written."""

        def write() -> dict[str, int]:
            totals: dict[str, int] = {}
            for record in records:
                assert record.marker
                try:
                    totals |= self.counts.add_once(record.marker, record.words, work)
                except IdempotencyKeyReused as reused:
                    self.set_aside(shard, record.sequence, reused.code, work)
            return totals

        if records:
            self.ranking.include(write, work)

    def _carry_out(self, shard: str, plan: Plan, work: Work) -> None:
        if plan.words:
            fence = Fence(lane_of(shard), plan.token)
            self.ranking.include(lambda: self.counts.add_fenced(fence, plan.words, work), work)
        self.checkpoints.finish(shard, plan, work)


def lane_of(shard: str) -> str:
    """A short name, unique to the shard."""
    return "s" + hashlib.sha256(shard.encode()).hexdigest()[:12]


def _growth(totals: dict[str, int], record: Record) -> int:
    """Add the words of a record to `totals`. Return by how many bytes their JSON grows.

    A text under a key is in no plan, but its size counts in full. This limits how much is written
    before the checkpoint moves on.
    """
    if record.marker:
        return _stored_bytes(record.words)
    growth = 0
    for word, times in record.words.items():
        before = totals.get(word)
        after = totals[word] = (before or 0) + times
        growth += len(str(after))
        if before is None:
            growth += len(json.dumps(word, ensure_ascii=False).encode()) + len(": , ")
        else:
            growth -= len(str(before))
    return growth


def total(records: Sequence[Record]) -> dict[str, int]:
    """How often each word occurs in the records without a key."""
    counted: Counter[str] = Counter()
    for record in records:
        if not record.marker:
            counted.update(record.words)
    return dict(counted)


def batches_of(event: Mapping[str, Any]) -> dict[str, list[Record]]:
    """The records of a Kinesis event by shard. The keys contain stream and shard."""
    batches: dict[str, list[Record]] = {}
    for found in event["Records"]:
        shard = f"{found['eventSourceARN']}\n{found['eventID'].partition(':')[0]}"
        batches.setdefault(shard, []).append(_record_of(found["kinesis"]))
    return batches


def _record_of(found: Mapping[str, Any]) -> Record:
    sequence = found["sequenceNumber"].zfill(SEQUENCE_DIGITS)
    try:
        counted, marker = decode(base64.b64decode(found["data"]))
        return Record(sequence, counted, marker)
    except Rejected as error:
        return Record(sequence, problem=error.code)
    except Malformed as error:
        return Record(sequence, problem=str(error))


def encode(counted: Mapping[str, int], marker: Marker | None) -> bytes:
    """The record of a posted text: `{"words": {word: times}}`, not the text itself. Under a key also
    `"marker": [key, digest, valid_until, asked_at]`."""
    record: dict[str, Any] = {"words": counted}
    if marker:
        record["marker"] = [marker.key, marker.digest, marker.valid_until, marker.asked_at]
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def decode(data: bytes) -> tuple[dict[str, int], Marker | None]:
    """The words of a record: the output of `encode`, or a producer's `{"parameter": text}`, one per line.

    Raise Malformed, or Rejected for a text that POST / would reject.
    """
    try:
        lines = [line for line in data.decode("utf-8-sig").split("\n") if line.strip()]
        documents = [json.loads(line, parse_constant=_refuse) for line in lines]
    except UnicodeDecodeError:
        raise Malformed("not_utf8") from None
    except (ValueError, RecursionError):
        raise Malformed("invalid_json") from None
    if not documents:
        raise Malformed("invalid_json")
    if len(documents) == 1 and isinstance(documents[0], dict) and "words" in documents[0]:
        return _encoded(documents[0])
    counted: Counter[str] = Counter()
    for document in documents:
        counted.update(words.count(http.text_of(document)))
    return _fitting(dict(counted)), None


def _encoded(document: dict[str, Any]) -> tuple[dict[str, int], Marker | None]:
    """The inverse of `encode`."""
    counted, marker = document["words"], document.get("marker")
    if not isinstance(counted, dict) or not counted:
        raise Malformed("invalid_words")
    for word, times in counted.items():
        number = type(times) is int and 1 <= times <= MAX_TIMES
        if not number or words.split(word) != [word]:
            raise Malformed("invalid_words")
    words.check(counted)
    if marker is None:
        return _fitting(counted), None
    return counted, _marker_of(marker)


def _marker_of(found: object) -> Marker:
    """The marker in a record. Raise Malformed for one that `encode` cannot have written: DynamoDB
    would refuse some of these on every retry."""
    match found:
        case [str(key), str(digest), int(valid_until), int(asked_at)] if (
            type(valid_until) is type(asked_at) is int  # excludes bool
            and _DIGEST.fullmatch(key)
            and _DIGEST.fullmatch(digest)
            and 0 <= asked_at < valid_until <= min(asked_at + MAX_VALID_HOURS * 3_600, _END_OF_TIME)
        ):
            return Marker(key, digest, valid_until, asked_at)
    raise Malformed("invalid_marker")


def _fitting(counted: dict[str, int]) -> dict[str, int]:
    if _stored_bytes(counted) > MAX_PLAN_BYTES:
        raise Malformed("too_many_words")
    return counted


def _stored_bytes(counted: Mapping[str, int]) -> int:
    return len(json.dumps(counted, ensure_ascii=False).encode())


def _refuse(constant: str) -> None:
    raise ValueError(constant)
