"""What a request does, and the time it has for it."""

import math
import random
import time
from dataclasses import dataclass

from wordtally.errors import Unavailable


@dataclass
class Work:
    """What a request did so far, for its log line, and until when it may begin another call."""

    until: float = math.inf
    """On the clock of time.monotonic()."""
    upserts: int = 0
    write_conflicts: int = 0
    """Writes that gave way to another one of the same word, and were done again."""
    scanned_pages: int = 0
    conflicts: int = 0
    publishes: int = 0

    def go_on(self) -> None:
        """Raise Unavailable if there is no time for another call."""
        if time.monotonic() > self.until:
            raise Unavailable("out of time")

    def figures(self) -> dict[str, int]:
        """What was done, by name."""
        return {name: value for name, value in vars(self).items() if name != "until"}


def jittered_pause(attempt: int) -> None:
    """Full jitter, up to 40 ms before the second attempt, about what a write takes, then 80 and 160.

    Shorter ones lose more writes and answer no sooner (bench/simulation.py).
    """
    time.sleep(random.uniform(0, 0.04 * 2 ** min(attempt - 1, 2)))
