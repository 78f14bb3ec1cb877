"""Counting a text exactly once: each chunk has a marker, written atomically with the chunk's words.

A retried ADD counts twice. Under an idempotency key, the words are added in transactions, in a fixed
order of chunks, each with a marker that must not exist yet. A request that sends the text again,
concurrently or after a crash, adds only the missing chunks.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from wordtally.errors import IdempotencyKeyReused
from wordtally.work import Work

CHUNK_WORDS = 99
"""Words per transaction: with the marker, the 100 actions that DynamoDB allows."""

KEPT_SECONDS = 86_400
"""How long a marker stays in the table after it has become invalid: much longer than a request can
run and clocks can differ together. A request that arrived while the markers of its text were valid
must still find them when it comes to the last chunk."""


MAX_VALID_HOURS = 8_760
"""The longest validity of a marker: a year."""


@dataclass(frozen=True)
class Marker:
    """Says that a chunk of a text was counted."""

    key: str
    """SHA-256 of the caller's key, combined with the API key if there is one."""
    digest: str
    """SHA-256 of the text."""
    valid_until: int
    """Seconds since 1970, the same for all chunks of a text."""
    asked_at: int
    """Arrival time of the request, at which it evaluates the validity of all markers: no marker of a
    text may become invalid between two of its chunks."""
    chunk: int = 0

    @property
    def expires_at(self) -> int:
        """When DynamoDB's TTL may delete the marker, in seconds since 1970."""
        return self.valid_until + KEPT_SECONDS


class Ledger(Protocol):
    """The words and the markers."""

    def write(self, marker: Marker, words: Mapping[str, int], work: Work) -> Marker | None:
        """Write the marker and add to the total of each word, all or nothing, and return None. If a
        marker exists that was still valid at `asked_at`, write nothing and return that marker."""


def marker(key: str, text: str, asked_at: int, valid_until: int, api_key: str = "") -> Marker:
    """The first marker of a text. Equal keys under different API keys are different keys."""
    owned = f"{api_key}\n{key}" if api_key else key  # no header contains a line feed
    key_digest, digest = (
        hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest() for part in (owned, text)
    )
    return Marker(key_digest, digest, valid_until, asked_at)


def add(ledger: Ledger, first: Marker, words: Mapping[str, int], work: Work) -> None:
    """Add the words of a text that are not in the table yet.

    Raise IdempotencyKeyReused, before anything is written, if the key belongs to another text.
    """
    ours = first
    for number, chunk in enumerate(_chunks(words)):
        found = ledger.write(replace(ours, chunk=number), chunk, work)
        if found and found.digest != first.digest:
            raise IdempotencyKeyReused
        if found:
            # Otherwise chunks would become invalid one by one, and be counted again.
            ours = replace(ours, valid_until=found.valid_until)


def _chunks(words: Mapping[str, int]) -> Iterator[dict[str, int]]:
    entries = iter(words.items())
    while chunk := dict(islice(entries, CHUNK_WORDS)):
        yield chunk
