"""The texts of the simulation, whose words are distributed as in prose.

`the` is in every text. Posts have ten different words; in texts of the stream, words may repeat. The other
words are drawn by Zipf's law: the frequency of the word of rank r is
proportional to 1/r. Prose has fewer rare words, so the simulation overestimates their cost.
"""

import random
from functools import cache
from itertools import accumulate

VOCABULARY = 50_000
WORDS_PER_TEXT = 10
HOT = "the"


@cache
def _others() -> tuple[list[str], list[float]]:
    """The words of rank 2 and beyond, and their cumulative weights."""
    ranks = range(2, VOCABULARY + 1)
    return [f"word{rank}" for rank in ranks], list(accumulate(1 / rank for rank in ranks))


@cache
def _prose() -> list[str]:
    """Two million words without HOT. They include 99 % of the vocabulary."""
    others, weights = _others()
    return random.Random(0).choices(others, cum_weights=weights, k=2_000_000)


def passage(rng: random.Random, words: int) -> list[str]:
    """`words` consecutive words of prose, without HOT."""
    prose = _prose()
    start = rng.randrange(len(prose) - words)
    return prose[start : start + words]


def text(rng: random.Random) -> dict[str, int]:
    """A text's words, as words.count would return them."""
    found = {HOT: 1}
    while len(found) < WORDS_PER_TEXT:
        for word in passage(rng, 12):
            found[word] = 1
            if len(found) == WORDS_PER_TEXT:
                break
    return found


def totals() -> dict[str, int]:
    """A table after years of use: every word of the vocabulary. The totals differ enough to keep the ranks."""
    return {word: 10**9 // rank for rank, word in enumerate((HOT, *_others()[0]), 1)}
