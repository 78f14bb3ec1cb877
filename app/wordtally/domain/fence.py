"""Fencing tokens: they let a set of words be written exactly once with one write per word.

A lane is a sequence of sets of words. Each set has a token, which is larger than all earlier tokens of
its lane. The item of a word stores, for each lane, the largest token that has written the word, and
DynamoDB refuses a write whose token is not larger. A set can therefore be written again after a crash, by
several instances at the same time, or by an instance that was delayed: each word is added once.

The caller must write a set completely before the next set of the lane begins. The checkpoint of a shard
ensures this for the stream, and the lock on a lane for the inbox.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from wordtally.work import Work


@dataclass(frozen=True)
class Fence:
    lane: str
    """Name of the item's attribute that holds the largest token. Every lane enlarges the items, so the
    names are short and the lanes are few."""
    token: int


class FencedCounts(Protocol):
    """The total of every word, shared by all function instances."""

    def add_fenced(self, fence: Fence, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """Add to the total of each word that the lane has not yet written with this or a larger token.
        Return totals of all words that are at least as new as the additions."""


def next_token(last: int) -> int:
    """A token after `last`, at least the current time in milliseconds. Tokens therefore keep growing even
    if the table that stores `last` is lost."""
    return max(last + 1, int(time.time() * 1000))
