"""The ten most frequent words: their order, and the protocol that keeps their report exact.

Counts only grow. The top ten after a request are therefore among the top ten before it and the
words it just counted, whose new totals its own upserts returned: the published report is its own
index, and a request need not read the table. Why each step stands where it does is written in
docs/decisions/0001-report-protocol.md and checked exhaustively in tests/test_interleavings.py.
"""

import heapq
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from wordtally.errors import Unavailable

TOP = 10

ALWAYS = 10**18
"""As `scan_up_to_words`: scan whatever the size of the table."""

MAX_CONFLICTS = 100
"""Lost publications after which a request gives up. Each lost one is another request's won one, so
this many in a row means more than a hundred requests publishing at the same moment."""


@dataclass(frozen=True)
class Report:
    top: tuple[tuple[str, int], ...]
    """Word and total, most frequent first, ties in code point order; TOP at the most."""
    words_in_table: int
    """How many distinct words the last full scan found."""


@dataclass(frozen=True)
class Published:
    """What the bucket holds: the report, unless there is none or it cannot be read."""

    report: Report | None = None
    etag: str | None = None
    version_id: str | None = None
    """Set in a versioned bucket only."""


class Conflict(Exception):
    """Somebody else published since the etag was read."""


class Counts(Protocol):
    """The total of every word, shared by all requests."""

    def add(self, words: Mapping[str, int]) -> dict[str, int]:
        """Add to the total of each word, atomically word by word; the new totals."""

    def scan(self) -> Iterator[Mapping[str, int]]:
        """Every word with its total, page by page; a total is as new as its page or newer."""


class Reports(Protocol):
    """The one published report."""

    def read(self) -> Published: ...

    def publish(self, report: Report, etag: str | None) -> Published:
        """Replace what was read under `etag` (None: there was nothing). Raise Conflict if that is
        no longer what is there."""


@dataclass
class Work:
    """What a request did, for its log line; grows while the request runs."""

    scanned_pages: int = 0
    conflicts: int = 0
    publishes: int = 0


def top(totals: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """The TOP most frequent words, in one pass that holds no more than TOP of them."""
    return tuple(heapq.nsmallest(TOP, totals, key=lambda entry: (-entry[1], entry[0])))


def merge(totals: Iterable[tuple[str, int]], known: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Both together, the larger total of each word: counts only grow, so it is the later one."""
    missing = dict(known)
    for word, times in totals:
        yield word, max(times, missing.pop(word, 0))
    yield from missing.items()


def tally(
    counts: Counts,
    reports: Reports,
    words: Mapping[str, int],
    scan_up_to_words: int,
    work: Work,
    pause: Callable[[int], None] | None = None,
) -> Published:
    """Count `words` and see that the published report shows them.

    Without words and with ALWAYS as `scan_up_to_words` it repairs the report from the table.

    A request scans the whole table when there is no report, and when the last scan found at most
    `scan_up_to_words` words (its first attempt only: a scan is older than the etag read after a
    conflict). `pause` waits before attempt n, for a random time unless given.
    Raise Unavailable when a store is away or MAX_CONFLICTS publications were lost.
    """
    totals = counts.add(words)
    while True:
        published = reports.read()
        current = published.report
        if current is None or (work.conflicts == 0 and current.words_in_table <= scan_up_to_words):
            fresh = _rank_by_scan(counts, totals, work)
        else:
            fresh = Report(top(merge(current.top, totals)), current.words_in_table)
        if fresh == current:
            return published
        try:
            published = reports.publish(fresh, published.etag)
        except Conflict:
            work.conflicts += 1
            if work.conflicts == MAX_CONFLICTS:
                raise Unavailable("too many requests publish at once") from None
            # The scan is older than the next etag, so it must not be published as it is; but what
            # it found can be merged like any other observation, and repairs the report still.
            totals = dict(merge(fresh.top, totals))
            (pause or _pause)(work.conflicts)
        else:
            work.publishes += 1
            return published


def _rank_by_scan(counts: Counts, totals: Mapping[str, int], work: Work) -> Report:
    found = 0

    def entries() -> Iterator[tuple[str, int]]:
        nonlocal found
        for page in counts.scan():
            work.scanned_pages += 1
            found += len(page)
            yield from page.items()

    return Report(top(merge(entries(), totals)), found)


def _pause(attempt: int) -> None:
    """Full jitter, up to 10 ms after the first conflict and doubling to 160 ms."""
    time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt - 1, 4)))
