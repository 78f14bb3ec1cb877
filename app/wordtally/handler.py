"""The Lambda entry point and the composition root: settings, clients, the order of a request."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Protocol

from wordtally import counts, http, ranking, reports, words
from wordtally.settings import Settings


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


def lambda_handler(event: dict[str, Any], context: Any) -> http.Answer:
    """`POST /` of the HTTP API, payload format 2.0."""
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
