"""The ten most frequent words: their order, and the protocol that keeps their report exact.

Counts only grow. The top ten after a request are therefore among the previous top ten and the words
that the request counted. The published report holds the totals of the former, and the upserts
return the totals of the latter, so a request need not read the table.
docs/decisions/0001-report-protocol.md gives the reason for each step, and
app/tests/test_interleavings.py checks the order of the steps exhaustively.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from wordtally.domain.once import Marker
from wordtally.errors import Unavailable
from wordtally.work import Work, jittered_pause

TOP = 10

ALWAYS = 10**18
"""Value for `scan_up_to_words` that scans a table of any size."""

MAX_CONFLICTS = 100
"""Give up after this many failed conditional writes. Each failure means that another request succeeded,
so this many in a row mean that more than a hundred requests are publishing at the same time."""


@dataclass(frozen=True)
class Report:
    top: tuple[tuple[str, int], ...]
    """At most TOP words with their totals, most frequent first, ties in code point order."""
    words_in_table: int
    """Number of distinct words that the last full scan found."""


@dataclass(frozen=True)
class Published:
    """The bucket's contents. `report` is None if there is no report or it is malformed."""

    report: Report | None = None
    etag: str | None = None
    version_id: str | None = None
    """Set only in a versioned bucket."""


class Conflict(Exception):
    """Another request published after the etag was read."""


class Counts(Protocol):
    """The total of every word, shared by all requests."""

    def add(self, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """Add to the total of each word, atomically per word. Return the new totals."""

    def add_once(self, marker: Marker, words: Mapping[str, int], work: Work) -> dict[str, int]:
        """Add those words of a text that were not yet added under its marker. Return totals of all its
        words that are at least as new as the additions."""

    def scan(self, expected: int | None, work: Work) -> Iterator[Mapping[str, int]]:
        """Every word with its total, page by page, in no particular order. A total is at least as new
        as the call for its page. `expected` is the approximate number of words, if known."""


class Reports(Protocol):
    """The one published report."""

    def read(self, work: Work) -> Published: ...

    def publish(self, report: Report, etag: str | None, work: Work) -> Published:
        """Replace the report that was read under `etag` (None if there was none). Raise Conflict if the
        bucket's report has changed since."""


def top(totals: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """The TOP most frequent words, in one pass that keeps only TOP of them in memory."""
    return tuple(heapq.nsmallest(TOP, totals, key=lambda entry: (-entry[1], entry[0])))


def merge(totals: Iterable[tuple[str, int]], known: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Merge both. Of two totals for a word, keep the larger: counts only grow, so it is the newer."""
    missing = dict(known)
    for word, times in totals:
        yield word, max(times, missing.pop(word, 0))
    yield from missing.items()


class Ranking:
    """One function instance's part in the protocol. It serves one request at a time.

    `aside` runs the read concurrently with the upserts. `pause(n)` waits after the nth conflict, by
    default for a random time.
    """

    def __init__(
        self,
        counts: Counts,
        reports: Reports,
        scan_up_to_words: int,
        aside: Executor | None = None,
        pause: Callable[[int], None] | None = None,
    ) -> None:
        self._counts = counts
        self._reports = reports
        self._scan_up_to_words = scan_up_to_words
        self._aside = aside or ThreadPoolExecutor(1)
        self._pause = pause or jittered_pause
        self._last = Published()
        # Whether the last read found this instance's own report, with no failure since. If so, the next
        # publish needs no read before it. While other instances publish too, skipping the read would
        # cost more in conflicts than it saves in reads.
        self._alone = False

    def tally(
        self, words: Mapping[str, int], work: Work, marker: Marker | None = None
    ) -> Published:
        """Count `words` (exactly once if a marker is given) and make sure that the published report
        includes them.

        A request scans the whole table if there is no report, or if the last scan found at most
        `scan_up_to_words` words. Raise Unavailable if a store is unavailable, after MAX_CONFLICTS
        failed publications, or if there is no time left.
        """
        return self.include(lambda: self._add(words, work, marker), work)

    def include(self, write: Callable[[], dict[str, int]], work: Work) -> Published:
        """Call `write`, which adds words and returns their new totals, and make sure that the published
        report includes them. Raise the errors of `tally` and of `write`."""
        return self._include(write, work, self._scan_up_to_words)

    def reconcile(self, work: Work) -> Published:
        """Repair the report from a table of any size. Raise the errors of `tally`."""
        return self._include(dict, work, ALWAYS)

    def _include(
        self, write: Callable[[], dict[str, int]], work: Work, scan_up_to_words: int
    ) -> Published:
        remembered, self._alone = self._alone, False
        if remembered:
            published, totals = self._last, write()
        else:
            published, totals = self._read_and(write, work)
        alone = self._left(published)
        first = True
        while True:
            current = published.report
            if current is None or (first and current.words_in_table <= scan_up_to_words):
                fresh = self._rank_by_scan(totals, current, work)
                # After a conflict, the scan is older than the new etag, so it must not be published
                # unchanged. Its totals can be merged like any others, and still repair the report.
                totals = dict(merge(fresh.top, totals))
            else:
                fresh = Report(top(merge(current.top, totals)), current.words_in_table)
            work.go_on()
            if fresh != current:
                try:
                    self._last = self._reports.publish(fresh, published.etag, work)
                except Conflict:
                    work.conflicts += 1
                    if work.conflicts == MAX_CONFLICTS:
                        raise Unavailable("too many requests publish at once") from None
                    self._pause(work.conflicts)
                else:
                    work.publishes += 1
                    self._alone = alone
                    return self._last
            elif not remembered:
                self._last, self._alone = published, alone
                return published
            # The remembered report may have been deleted, so read before returning its URL.
            published, remembered, first = self._reports.read(work), False, False
            alone = self._left(published)

    def _left(self, published: Published) -> bool:
        """Whether `published` is the report that this instance last published or read."""
        return published.etag is not None and published.etag == self._last.etag

    def _read_and(
        self, write: Callable[[], dict[str, int]], work: Work
    ) -> tuple[Published, dict[str, int]]:
        reading = self._aside.submit(self._reports.read, work)
        try:
            totals = write()
        except BaseException:
            reading.exception()  # waits, so that no call is in flight when the request is answered
            raise
        return reading.result(), totals

    def _add(self, words: Mapping[str, int], work: Work, marker: Marker | None) -> dict[str, int]:
        if marker is None:
            return self._counts.add(words, work)
        return self._counts.add_once(marker, words, work)

    def _rank_by_scan(
        self, totals: Mapping[str, int], current: Report | None, work: Work
    ) -> Report:
        found = 0

        def entries() -> Iterator[tuple[str, int]]:
            nonlocal found
            for page in self._counts.scan(current.words_in_table if current else None, work):
                work.scanned_pages += 1
                found += len(page)
                yield from page.items()

        return Report(top(merge(entries(), totals)), found)
