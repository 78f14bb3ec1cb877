"""The Lambda entry point and the composition root: settings, clients, the order of a request."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Protocol

from wordtally import counts, http, ranking, reports, words
from wordtally.settings import Settings

logger = logging.getLogger("wordtally")


class LinkableReports(ranking.Reports, Protocol):
    def url(self, published: ranking.Published) -> str: ...


@dataclass(frozen=True)
class Application:
    """One function instance; serves one request at a time, as Lambda does."""

    counts: ranking.Counts
    reports: LinkableReports
    scan_up_to_words: int

    def tally(self, text: str, summary: dict[str, Any]) -> str:
        """Count the words of `text`, see to the report and return its URL.

        Everything is checked before the first write. `summary` receives what the log line says.
        """
        counted = words.count(text)
        summary.update(words=sum(counted.values()), distinct=len(counted))
        work = ranking.Work()
        try:
            published = ranking.tally(
                self.counts, self.reports, counted, self.scan_up_to_words, work
            )
        finally:
            summary.update(asdict(work))
        return self.reports.url(published)

    def reconcile(self) -> None:
        """Rebuild the report from the table: a crash between a request's upserts and its publish
        leaves the report behind. Raises what fails, so that Lambda counts and retries it."""
        started = time.perf_counter()
        work = ranking.Work()
        ranking.tally(self.counts, self.reports, {}, ranking.ALWAYS, work)
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        logger.info("reconciliation", extra={**asdict(work), "milliseconds": milliseconds})


RECONCILE = {"task": "reconcile"}
"""The event of the scheduled reconciliation. No request looks like it: what a caller sends is in the
values of an HTTP event, never in its top-level names."""


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    """`POST /` of the HTTP API (payload format 2.0), or RECONCILE."""
    if event == RECONCILE:
        _application().reconcile()
        return None
    return respond(_application, event, context)


def respond(
    application: Callable[[], Application], event: dict[str, Any], context: Any
) -> http.Answer:
    """Answer with what `application` makes or keeps; if it cannot, that is a 500."""
    return http.respond(
        event,
        context.aws_request_id,
        lambda text, summary: application().tally(text, summary),
    )


def application(settings: Settings) -> Application:
    """An instance of its own, with its own clients."""
    return Application(
        counts.connect(settings), reports.connect(settings), settings.scan_up_to_words
    )


@cache
def _application() -> Application:
    return application(Settings.from_environment(os.environ))
