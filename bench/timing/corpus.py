"""Real words and real prose for the measurements."""

import random
from functools import cache
from itertools import accumulate
from pathlib import Path

from wordtally.domain import words

ROOT = Path(__file__).parents[2]
LANGUAGES = ("en", "de", "fr", "es", "pl")

NINE_WORDS = "the quick brown fox jumps over a lazy dog"
ALICE = (ROOT / "examples/alice.txt").read_text(encoding="utf-8")


def table(size: int) -> dict[str, int]:
    """The `size` most frequent words of LANGUAGES (over a million in all). The total of a word is its
    occurrences in a thousand million words."""
    import wordfreq

    totals: dict[str, int] = {}
    for language in LANGUAGES:
        for word, share in wordfreq.get_frequency_dict(language, "large").items():
            totals[word] = max(totals.get(word, 0), max(1, round(share * 1e9)))
    frequent = sorted(totals, key=lambda word: (-totals[word], word))[:size]
    if len(frequent) < size:
        raise ValueError(f"there are only {len(frequent)} words")
    return {word: totals[word] for word in frequent}


def prose(characters: int) -> str:
    """The beginning of a book, cut after a word."""
    return ALICE[: ALICE.index(" ", characters - 20)]


def mixed_scripts() -> str:
    """Prose in 18 languages and nine scripts, from the tests."""
    files = sorted((ROOT / "tests/prose").glob("*.txt"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def distinct(number: int) -> str:
    """A text of `number` different words of the book, at most 10,000 characters long."""
    short = (word for word in dict.fromkeys(words.split(ALICE)) if len(word) < 8)
    chosen = [word for word, _ in zip(short, range(number), strict=False)]
    text = " ".join(chosen)
    if len(chosen) < number or len(text) > 10_000:
        raise ValueError(f"no text of {number} different words")
    return text


@cache
def _frequencies() -> tuple[list[str], list[float]]:
    """English words and their cumulative frequencies."""
    import wordfreq

    shares = wordfreq.get_frequency_dict("en", "large")
    names = sorted(shares, key=lambda word: (-shares[word], word))
    return names, list(accumulate(shares[word] for word in names))


@cache
def drawn(size: int, lines: bool = True) -> str:
    """At least `size` bytes of words drawn by the frequencies of English, the same every time. The text
    has more distinct words than prose of that size, because prose repeats itself."""
    names, cumulated = _frequencies()
    rng, parts = random.Random(0), []
    left = size
    while left > 0:
        part = " ".join(rng.choices(names, cum_weights=cumulated, k=14))
        parts.append(part)
        left -= len(part.encode()) + 1
    return ("\n" if lines else " ").join(parts) + "\n"
