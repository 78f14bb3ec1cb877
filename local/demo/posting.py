"""Posts a text for `make demo` until it is counted: retries with exponential backoff, jitter and a deadline.

urllib3.util.Retry has neither a deadline nor a way to tell the user about a pause, and it retries
the first failure without a pause. Only its parser of Retry-After is used here.
"""

import contextlib
import itertools
import random
import time
from collections.abc import Callable

import requests
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

PATIENCE_SECONDS = 180.0
"""Give up on a text after this many seconds of throttling, 503 or lost connections."""

PATIENCE_WITH_ERRORS_SECONDS = 60.0
"""Give up on a text after this many seconds of 500, 502 or 504, which may be permanent errors."""

PATIENCE_AT_FIRST_SECONDS = 10.0
"""Give up on a server after this many seconds without any answer. The URL may be wrong."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 20.0

_NO_ANSWER = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,  # the answer is cut off
)


class Stopped(Exception):
    """A sentence that says why posting stopped."""


class _Failure(Exception):
    """An attempt failed, and another one may succeed."""

    def __init__(self, what: str, patience_seconds: float, retry_after_seconds: float = 0) -> None:
        super().__init__(what)
        self.patience_seconds = patience_seconds
        self.retry_after_seconds = retry_after_seconds


class Poster:
    """Posts to `url`. `tell` gets a line before each pause and an empty string after it."""

    def __init__(
        self,
        url: str,
        api_key: str,
        tell: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.retries = 0
        self._sleep = sleep
        self._clock = clock
        self._url = url
        self._headers = {"x-api-key": api_key} if api_key else {}
        self._tell = tell
        self._session = requests.Session()
        self._answered = False

    def post(self, text: str, key: str) -> str:
        """Return the report's URL. Raise Stopped if the text is refused or the time is up."""
        began = self._clock()
        for failures in itertools.count():
            try:
                return self._attempt(text, key)
            except _Failure as failure:
                pause = max(_backoff(failures), failure.retry_after_seconds)
                spent = self._clock() - began
                if spent + pause > failure.patience_seconds:
                    raise Stopped(self._given_up(failure, failures + 1, spent)) from None
                self._tell(f"{failure}, retry in {pause:.0f} s")
            self._sleep(pause)
            self.retries += 1
            self._tell("")
        raise AssertionError("unreachable")

    def _attempt(self, text: str, key: str) -> str:
        try:
            answer = self._session.post(
                self._url,
                json={"parameter": text},
                headers={**self._headers, "Idempotency-Key": key},
                timeout=60,
                allow_redirects=False,  # a redirected POST becomes a GET
            )
        except _NO_ANSWER:
            patience = PATIENCE_SECONDS if self._answered else PATIENCE_AT_FIRST_SECONDS
            raise _Failure("no answer", patience) from None
        except requests.RequestException as error:
            raise Stopped(f"{self._url} cannot be called: {error}") from None
        self._answered = True
        status = f"{answer.status_code} {answer.reason}"
        if answer.status_code == 200:
            return self._report_of(answer)
        if answer.status_code in (429, 503):
            raise _Failure(status, PATIENCE_SECONDS, _retry_after(answer))
        if answer.status_code >= 500:
            raise _Failure(status, PATIENCE_WITH_ERRORS_SECONDS, _retry_after(answer))
        raise Stopped(f"{self._url} answered {answer.status_code}: {_sentence(answer)}")

    def _report_of(self, answer: requests.Response) -> str:
        try:
            return str(answer.json()["url"])
        except (ValueError, LookupError, TypeError):
            raise Stopped(f"{self._url} answered 200 without a report. Is it Wordtally?") from None

    def _given_up(self, failure: _Failure, attempts: int, spent: float) -> str:
        if not self._answered:
            return f"{self._url} gave {failure}. Is the URL right, and is the product running?"
        if failure.retry_after_seconds > failure.patience_seconds:
            return (
                f"{self._url} answered {failure} and requested a pause of"
                f" {failure.retry_after_seconds:,.0f} s."
            )
        return f"Still {failure} after {attempts} attempts in {spent:.0f} s."


def _backoff(failures: int) -> float:
    """Seconds to wait after `failures` earlier failures. Jitter spreads clients out."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**failures)
    return random.uniform(longest / 2, longest)


def _retry_after(answer: requests.Response) -> float:
    """Seconds, from a number or a date. 0 if the header is missing or malformed."""
    with contextlib.suppress(InvalidHeader, ValueError, OverflowError):
        return Retry().parse_retry_after(answer.headers.get("Retry-After", "0"))
    return 0.0


def _sentence(answer: requests.Response) -> str:
    """The text of an error: `error` from the function or `message` from the API."""
    with contextlib.suppress(ValueError, AttributeError):
        body = answer.json()
        if said := body.get("error") or body.get("message"):
            return str(said)
    return answer.text.strip()[:200]


def top_words(report: str) -> list[tuple[str, int]]:
    """Return the words and totals in the report at a URL. Raise Stopped if it cannot be read."""
    try:
        entries = requests.get(report, timeout=60).json()["top10words"]
        return [(entry["word"], entry["times"]) for entry in entries]
    except (requests.RequestException, LookupError, TypeError) as error:
        raise Stopped(f"The report cannot be read: {type(error).__name__}.") from None
