"""The Lambda entry point and the composition root: settings, clients, the order of a request."""

import logging
import math
import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from wordtally import __version__
from wordtally.aws.client import Client
from wordtally.domain import once, words
from wordtally.domain.ranking import Published, Ranking, Reports
from wordtally.errors import NoReport, Unavailable, WordtallyError
from wordtally.settings import Settings
from wordtally.stores.calls import Calls
from wordtally.stores.counts import DynamoDBCounts
from wordtally.stores.ledger import DynamoDBLedger
from wordtally.stores.reports import S3Reports
from wordtally.ways_in import http
from wordtally.work import Work

if TYPE_CHECKING:
    from wordtally.ways_in.inbox import Inbox
    from wordtally.ways_in.stream import Stream

ANSWER_WITHIN_SECONDS = 28
"""The deadline of a request, counted from its arrival. The HTTP API times out after 30."""

SLOWEST_START_SECONDS = 10
"""The longest time that Lambda allows a cold start. If a request seems to have waited longer, the
clocks disagree, and its wait is taken to be this long."""

logger = logging.getLogger("wordtally")


class LinkableReports(Reports, Protocol):
    @property
    def origin(self) -> str:
        """Scheme and host of every URL."""

    def url(self, published: Published) -> str: ...


@dataclass(frozen=True)
class Application:
    """One function instance. Lambda sends it one request at a time."""

    ranking: Ranking
    reports: LinkableReports
    idempotency_hours: int
    inbox: Callable[[], "Inbox"] | None = None
    stream: Callable[[], "Stream"] | None = None
    """None if no stream is deployed."""

    def tally(self, request: http.Request, counted: Mapping[str, int], work: Work) -> str:
        """Count the words of `request` and return the URL of a report that includes them."""
        return self.reports.url(self.ranking.tally(counted, work, self.marker(request)))

    def accept(self, request: http.Request, counted: Mapping[str, int], work: Work) -> str:
        """Append the words to the stream. Return a URL that always opens the newest report."""
        assert self.stream
        self.stream().append(counted, self.marker(request), work)
        return self.reports.url(Published())

    def link(self, work: Work) -> str:
        """The URL of the current report. Raise NoReport if there is none. Writes nothing."""
        published = self.reports.read(work)
        if published.report is None:
            raise NoReport
        return self.reports.url(published)

    def marker(self, request: http.Request) -> once.Marker | None:
        """The first marker of a request with an idempotency key."""
        key = request.idempotency_key
        if key is None:
            return None
        now = int(time.time())
        until = now + self.idempotency_hours * 3600
        return once.marker(key, request.text, now, until, request.api_key)


RECONCILE = {"task": "reconcile"}
"""The event of the scheduled reconciliation. No request can look like it: a caller controls
the values of an HTTP event, never its top-level names."""


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    """Handle an event: a request to the HTTP API (payload format 2.0), files in the inbox, records
    of the stream, or RECONCILE."""
    if event == RECONCILE:
        return reconcile(_application(), context)
    if "Records" in event:
        stream = event["Records"][0]["eventSource"] == "aws:kinesis"
        return (count_records if stream else count_files)(_application(), event, context)
    return handle(_application, event, context)


def handle(
    application: Callable[[], Application], event: dict[str, Any], context: Any
) -> http.Answer:
    """Answer the request and log one summary line. The API has no other routes than these:

    `POST /` counts the words of the text, updates the report and links to it. Everything is checked
    before the first write, and before `application` creates its clients.
    `GET /report` links to the current report.
    `GET /` is the page.

    Neither text nor headers are ever logged.
    """
    started = time.perf_counter()
    work = Work(_request_deadline(event, context))
    route = event.get("routeKey", "POST /")
    summary: dict[str, Any] = {"route": route}
    busy = Unavailable.message
    try:
        if route == "GET /":
            from wordtally import page  # here, so that other requests need not load it

            answer = page.answer(event, application().reports.origin)
        elif route == "GET /report":
            answer = http.success(application().link(work))
        else:
            request = http.request_of(event)
            busy = request.sentence_when_busy
            counted = words.count(request.text)
            summary.update(words=sum(counted.values()), distinct=len(counted))
            if request.prefers_async and application().stream:
                answer = http.accepted(application().accept(request, counted, work))
            else:
                answer = http.success(application().tally(request, counted, work))
    except Exception as error:  # noqa: BLE001 - the boundary
        answer = http.failure(error, context.aws_request_id, busy)
        summary.update(_explained(error))
    summary["status"] = answer["statusCode"]
    if "words" in summary:  # only a validated POST has figures
        summary.update(work.figures())
    _log("request", summary, started)
    return answer


def count_files(application: Application, event: dict[str, Any], context: Any) -> None:
    """Count each file that an S3 notification announces, tag it with the outcome and log one summary
    line. Neither name nor text of a file is ever logged.

    Errors are raised, so that Lambda retries the notification; words that are already counted are not
    counted again.
    """
    from wordtally.ways_in.inbox import Gone, Refused, uploads_of

    assert application.inbox
    for upload in uploads_of(event):
        started = time.perf_counter()
        work = Work(_deadline(context))
        summary: dict[str, Any] = {"object_version": upload.version_id}
        try:
            counted = application.inbox().count(upload, work)
            summary |= {"words": sum(counted.values()), "distinct": len(counted)}
            summary["outcome"] = "counted"
        except Refused as refused:
            summary["outcome"] = refused.code
        except Gone:
            summary["outcome"] = "gone"
        except Exception as error:
            summary |= {"outcome": "failed", **_explained(error)}
            raise
        finally:
            _log("file", summary | work.figures(), started)


def count_records(application: Application, event: dict[str, Any], context: Any) -> None:
    """Count the records of a Kinesis event and log one summary line a shard.

    Errors are raised, so that Lambda retries the batch; words that are already counted are not counted
    again.
    """
    from wordtally.ways_in.stream import batches_of

    assert application.stream
    for shard, records in batches_of(event).items():
        started = time.perf_counter()
        work = Work(_deadline(context))
        summary: dict[str, Any] = {"records": len(records)}
        try:
            application.stream().count(shard, records, work)
        except Exception as error:
            summary |= _explained(error)
            raise
        finally:
            _log("batch", summary | work.figures(), started)


def reconcile(application: Application, context: Any) -> None:
    """Rebuild the report from the table: a crash between a request's upserts and its publish
    leaves the report behind. Errors are raised, so that Lambda counts and retries them."""
    started = time.perf_counter()
    work = Work(_deadline(context))
    try:
        application.ranking.reconcile(work)
    finally:
        _log("reconciliation", work.figures(), started)


def _request_deadline(event: Mapping[str, Any], context: Any) -> float:
    """Deadline of the last call to AWS, as a `time.monotonic()` value.

    The API's timeout starts when the request arrives; a cold start may have used some of it.
    """
    arrived_at = (event.get("requestContext") or {}).get("timeEpoch")  # milliseconds since 1970
    waited = time.time() - arrived_at / 1000 if isinstance(arrived_at, int) else 0.0
    return _deadline(context, ANSWER_WITHIN_SECONDS - min(max(waited, 0), SLOWEST_START_SECONDS))


def _deadline(context: Any, seconds: float = math.inf) -> float:
    """Deadline `seconds` from now, or a second before Lambda's timeout if that is earlier."""
    left: float = context.get_remaining_time_in_millis() / 1000 - 1
    return time.monotonic() + min(seconds, left)


def _log(message: str, summary: Mapping[str, Any], started: float) -> None:
    """Write a summary line. `started` is a `time.perf_counter()` value."""
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    extra = {"version": __version__, **summary, "milliseconds": milliseconds}
    logger.info(message, extra=extra)


def _explained(error: Exception) -> dict[str, str]:
    """`code` and `cause` for the summary line. An unexpected error gets a line of its own, with the
    types and stack frames but without the messages, which may quote the text."""
    if not isinstance(error, WordtallyError):
        logger.error("unexpected error", extra={"trace": _trace(error)})
        return {"code": "internal_error"}
    return {"code": error.code} | ({"cause": str(error)} if str(error) else {})


def _trace(error: BaseException) -> list[str]:
    """Types and stack frames of an error and of its causes, outermost first."""
    lines = []
    cause: BaseException | None = error
    while cause is not None:
        # Only our own errors have messages that are safe to log.
        ours = type(cause).__module__.startswith("wordtally.")
        lines.append(type(cause).__name__ + (f": {cause}" if ours else ""))
        frames = traceback.extract_tb(cause.__traceback__)
        lines += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        cause = cause.__cause__ or cause.__context__
    return lines


def application(settings: Settings) -> Application:
    """A new instance with its own AWS client."""
    return assembled(settings, client(settings))


def assembled(settings: Settings, client: Client) -> Application:
    calls = Calls(client)
    ledger = DynamoDBLedger(calls, settings.words_table, settings.markers_table)
    counts = DynamoDBCounts(calls, settings.words_table, ledger)
    published = S3Reports(calls, settings.reports_bucket, settings.presigned_url_expiry_seconds)
    ranking = Ranking(counts, published, settings.scan_up_to_words)

    # Imported on first use, since most requests need neither.
    @cache
    def inbox() -> "Inbox":
        from wordtally.stores.files import S3Files
        from wordtally.stores.lanes import DynamoDBLanes
        from wordtally.ways_in.inbox import Inbox

        lanes = DynamoDBLanes(calls, settings.markers_table)
        return Inbox(S3Files(calls), lanes, counts, ranking, settings.max_file_words)

    @cache
    def stream() -> "Stream":
        from wordtally.stores.checkpoints import DynamoDBCheckpoints
        from wordtally.stores.queues import FailureQueue, KinesisStream
        from wordtally.ways_in.stream import Stream

        return Stream(
            KinesisStream(calls, settings.stream_name),
            DynamoDBCheckpoints(calls, settings.markers_table),
            counts,
            ranking,
            FailureQueue(calls, settings.failure_queue_url),
        )

    return Application(
        ranking,
        published,
        settings.idempotency_hours,
        inbox,
        stream if settings.stream_name else None,
    )


def client(settings: Settings) -> Client:
    """The client that the settings choose. Credentials and endpoints come from the environment."""
    # Imported here: each client is most of what a cold start loads.
    if settings.aws_client == "botocore":
        from wordtally.aws.sdk import SdkClient

        return SdkClient(settings.region)
    from wordtally.aws.thin import ThinClient

    return ThinClient(settings.region, os.environ)


@cache
def _application() -> Application:
    return application(Settings.from_environment(os.environ))
