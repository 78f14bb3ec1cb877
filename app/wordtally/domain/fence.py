"""Fencing tokens: write a set of words exactly once, with one plain write per word.

A lane is a sequence of sets of words, written one at a time. Each set has a token, larger than all
earlier tokens of its lane. The item of a word stores, per lane, the largest token that has written it,
and DynamoDB refuses a write whose token is not larger. So a set can be written again after a crash, by
several instances at once, or by a delayed instance: each word is added once.

A set must be written completely before the next set of its lane begins. stream.Stream ensures this for
shards, inbox.Lanes for files.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from wordtally.work import Work


@dataclass(frozen=True)
class Fence:
    lane: str
    """The attribute of a word's item that holds the largest token. Each lane enlarges the items, so
    names are short and lanes are few."""
    token: int


class FencedCounts(Protocol):
    """The total of every word, shared by all function instances."""

    def add_fenced(self, fence: Fence, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """Add to the total of each word, unless the lane has written the word under this token or a
        larger one. Return the totals of all words, read at or after the write."""


def next_token(last: int) -> int:
    """A token after `last`. The clock keeps tokens growing even if `last` is lost."""
    return max(last + 1, int(time.time() * 1000))
