"""A request's work so far, and its deadline."""

import math
import random
import time
from dataclasses import dataclass

from wordtally.errors import Unavailable


@dataclass
class Work:
    """Counters for a request's log line, and its deadline."""

    until: float = math.inf
    """Deadline for starting another call, as a `time.monotonic()` value."""
    upserts: int = 0
    write_conflicts: int = 0
    """Writes that conflicted with another write of the same word and were retried."""
    throttled: int = 0
    """Calls that AWS throttled, in whole or in part, and that were retried; every attempt counts."""
    scanned_pages: int = 0
    malformed_items: int = 0
    """Items that were skipped because their total is not a whole number. This product never writes them."""
    conflicts: int = 0
    publishes: int = 0
    set_aside: int = 0
    """Records of the stream that were set aside, as they cannot be counted."""

    def go_on(self) -> None:
        """Raise Unavailable if there is no time for another call."""
        if time.monotonic() > self.until:
            raise Unavailable("out of time")

    def figures(self) -> dict[str, int]:
        """All counters by name."""
        return {name: value for name, value in vars(self).items() if name != "until"}


def jittered_pause(attempt: int, most_seconds: float = 0.16) -> None:
    """Sleep with full jitter: up to 40 ms before attempt 2 (about the time of a write), then 80 and 160.

    Shorter pauses cause more conflicts without faster answers. Throttling needs longer pauses.
    """
    time.sleep(random.uniform(0, min(most_seconds, 0.04 * 2 ** min(attempt - 1, 9))))
