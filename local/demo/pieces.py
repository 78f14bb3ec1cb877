"""A text in pieces, each with the Idempotency-Key under which it is counted once, for `make demo` and the
bench."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from wordtally.domain import words
from wordtally.ways_in.http import MAX_CHARACTERS


@dataclass(frozen=True)
class Piece:
    key: str
    """Depends only on the whole text and the piece's number, so a second run sends the same keys."""

    text: str
    words: int


def pieces_of(text: str) -> list[Piece]:
    """The pieces of `text` that have words, in order."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    pieces = [
        Piece(f"demo-{digest}-{number}", part, len(words.split(part)))
        for number, part in enumerate(cut(text), 1)
    ]
    return [piece for piece in pieces if piece.words]


def cut(text: str, most: int = MAX_CHARACTERS) -> Iterator[str]:
    """Parts of `text`, in order, of at most `most` characters each, cut before white space.

    If there is no white space among `most` characters, the cut is after them.
    """
    start = 0
    while len(text) - start > most:
        last = start + most
        end = next((i for i in range(last, start, -1) if text[i].isspace()), last)
        yield text[start:end]
        start = end
    yield text[start:]
