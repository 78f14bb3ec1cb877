"""Writing a set of words exactly once, with one plain write per word, by fencing tokens.

A lane is a sequence of sets of words, of which one is written at a time. Each set has a token, larger
than all before it in its lane. The item of a word keeps, per lane, the largest token that has written
it, and DynamoDB refuses a write whose token is not larger. So a set can be written again after a crash,
by several instances at once, or by an instance that is late: each word is added once.

It takes somebody who makes sure that a set is written completely before the next one of its lane
begins: stream.Stream for the lanes of shards, the lanes of the inbox for files.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from wordtally.work import Work


@dataclass(frozen=True)
class Fence:
    lane: str
    """The attribute of a word's item that holds the largest token. Each lane enlarges the items, so it
    is short, and there are few."""
    token: int


class FencedCounts(Protocol):
    """The total of every word, shared by all function instances."""

    def add_fenced(self, fence: Fence, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """Add to the total of each word that the fence's lane has not written under this token or a
        larger one. Return the totals of all words, as new as that or newer."""


def next_token(last: int) -> int:
    """A token after `last`. The clock keeps tokens growing if whoever remembers `last` loses it."""
    return max(last + 1, int(time.time() * 1000))
