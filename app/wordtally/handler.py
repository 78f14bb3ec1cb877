"""The Lambda entry point and the composition root: settings, clients, the order of a request."""

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from wordtally import aws, counts, http, once, reports, words
from wordtally.ranking import Published, Ranking, Reports
from wordtally.settings import Settings
from wordtally.work import Work

ANSWER_WITHIN_SECONDS = 29
"""The HTTP API gives up on the function after 30."""

logger = logging.getLogger("wordtally")


class LinkableReports(Reports, Protocol):
    def url(self, published: Published) -> str: ...


@dataclass(frozen=True)
class Application:
    """One function instance; serves one request at a time, as Lambda does."""

    ranking: Ranking
    reports: LinkableReports
    idempotency_hours: int

    def marker(self, key: str, text: str) -> once.Marker:
        now = int(time.time())
        return once.marker(key, text, now, now + self.idempotency_hours * 3600)


RECONCILE = {"task": "reconcile"}
"""The event of the scheduled reconciliation. No request looks like it: what a caller sends is in the
values of an HTTP event, never in its top-level names."""


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    """`POST /` of the HTTP API (payload format 2.0), or RECONCILE."""
    if event == RECONCILE:
        reconcile(_application(), context)
        return None
    return respond(_application, event, context)


def respond(
    application: Callable[[], Application], event: dict[str, Any], context: Any
) -> http.Answer:
    """Count the words of the text, see to the report and answer with its URL.

    Everything is checked before the first write, and before `application` makes its clients.
    """

    def tally(text: str, key: str | None, summary: dict[str, Any]) -> str:
        counted = words.count(text)
        summary.update(words=sum(counted.values()), distinct=len(counted))
        work = Work(until)
        instance = application()
        marker = instance.marker(key, text) if key is not None else None
        try:
            published = instance.ranking.tally(counted, work, marker)
        finally:
            summary.update(work.figures())
        return instance.reports.url(published)

    until = _until(context, ANSWER_WITHIN_SECONDS)
    return http.respond(event, context.aws_request_id, tally)


def reconcile(application: Application, context: Any) -> None:
    """Rebuild the report from the table: a crash between a request's upserts and its publish
    leaves the report behind. Raises what fails, so that Lambda counts and retries it."""
    started = time.perf_counter()
    work = Work(_until(context))
    try:
        application.ranking.reconcile(work)
    finally:
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        logger.info("reconciliation", extra={**work.figures(), "milliseconds": milliseconds})


def _until(context: Any, seconds: float = math.inf) -> float:
    """When the last call to AWS must begin, on the clock of time.monotonic(), so that even the
    slowest one leaves a second to answer before Lambda ends the function or the API gives up."""
    seconds = min(seconds, context.get_remaining_time_in_millis() / 1000 - 1)
    return time.monotonic() + seconds - aws.SLOWEST_CALL_SECONDS


def application(settings: Settings) -> Application:
    """An instance of its own, with its own clients."""
    published = reports.connect(settings)
    ranking = Ranking(counts.connect(settings), published, settings.scan_up_to_words)
    return Application(ranking, published, settings.idempotency_hours)


@cache
def _application() -> Application:
    return application(Settings.from_environment(os.environ))
