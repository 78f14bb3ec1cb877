"""Counting a text exactly once: a marker for each part of it, written with its words or not at all.

A retried ADD counts twice. Under an idempotency key the words are added in transactions, in a fixed
order of chunks, each with a marker that must not exist yet. Whoever sends the text again, at the
same time or after a crash, adds just the chunks that are missing.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from wordtally.errors import IdempotencyKeyReused
from wordtally.work import Work

CHUNK_WORDS = 99
"""With the marker the 100 actions that a DynamoDB transaction may have."""


@dataclass(frozen=True)
class Marker:
    """Says that a chunk of a text was counted."""

    key: str
    """SHA-256 of the caller's key."""
    digest: str
    """SHA-256 of the text."""
    expires_at: int
    """Seconds since 1970, the same for all chunks of a text."""
    asked_at: int
    """When the request came. One moment for all chunks, so that no marker expires between two."""
    chunk: int = 0


class Ledger(Protocol):
    """The words and the markers."""

    def write(self, marker: Marker, words: Mapping[str, int], work: Work) -> Marker | None:
        """Write the marker and add to the total of each word, all or nothing. None if that is
        done, or the marker that is there already and had not expired at `asked_at`: then nothing
        is."""


def marker(key: str, text: str, asked_at: int, expires_at: int) -> Marker:
    """The first marker of a text."""
    key_digest, digest = (
        hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest() for part in (key, text)
    )
    return Marker(key_digest, digest, expires_at, asked_at)


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
            # Or chunks would expire one by one, and those that have be counted again.
            ours = replace(ours, expires_at=found.expires_at)


def _chunks(words: Mapping[str, int]) -> Iterator[dict[str, int]]:
    entries = iter(words.items())
    while chunk := dict(islice(entries, CHUNK_WORDS)):
        yield chunk
