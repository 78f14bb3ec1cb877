"""Posts a text for `make demo` until it is counted: retries with exponential backoff, jitter and a deadline."""

import contextlib
from collections.abc import Callable
from typing import NoReturn

import requests
import tenacity
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

PATIENCE_SECONDS = 180.0
"""Give up on a text after this many seconds of throttling, 503 or lost connections."""

PATIENCE_WITH_ERRORS_SECONDS = 60.0
"""Give up on a text after this many seconds of 500, 502 or 504, which may be permanent errors."""

PATIENCE_AT_FIRST_SECONDS = 10.0
"""Give up on a server after this many seconds without any answer. The URL may be wrong."""

_NO_ANSWER = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,  # the answer is cut off
)


_BACKOFF = tenacity.wait_exponential(0.25, max=10) + tenacity.wait_random_exponential(0.25, max=10)
"""At most 0.5 s, doubling up to 20 s. Half of it is random, to spread clients out."""


class Stopped(Exception):
    """Posting stopped. The message is a sentence that says why."""


class _Failure(Exception):
    """An attempt failed, and another one may succeed."""

    def __init__(self, what: str, patience_seconds: float, retry_after_seconds: float = 0) -> None:
        super().__init__(what)
        self.patience_seconds = patience_seconds
        self.retry_after_seconds = retry_after_seconds


class Poster:
    """Posts to `url`. `tell` gets a line before each pause and an empty string before each attempt."""

    def __init__(self, url: str, api_key: str, tell: Callable[[str], None]) -> None:
        self.retries = 0
        self._url = url
        self._headers = {"x-api-key": api_key} if api_key else {}
        self._tell = tell
        self._session = requests.Session()
        self._answered = False
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Failure),
            wait=lambda state: max(_BACKOFF(state), _failure(state).retry_after_seconds),
            stop=lambda state: tenacity.stop_before_delay(_failure(state).patience_seconds)(state),
            before=lambda _: tell(""),
            before_sleep=self._before_pause,
            retry_error_callback=self._give_up,
        )

    def post(self, text: str, key: str) -> str:
        """Return the report's URL. Raise Stopped if the text is refused or the time is up."""
        return self._retrying(self._attempt, text, key)

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

    def _before_pause(self, state: tenacity.RetryCallState) -> None:
        self.retries += 1
        self._tell(f"{_failure(state)}, retry in {state.upcoming_sleep:.0f} s")

    def _give_up(self, state: tenacity.RetryCallState) -> NoReturn:
        failure, attempts, spent = _failure(state), state.attempt_number, state.seconds_since_start
        if not self._answered:
            said = f"{self._url} gave {failure}. Is the URL right, and is the product running?"
        elif failure.retry_after_seconds > failure.patience_seconds:
            pause = f"{failure.retry_after_seconds:,.0f} s"
            said = f"{self._url} answered {failure} and requested a pause of {pause}."
        else:
            said = f"Still {failure} after {attempts} attempts in {spent:.0f} s."
        raise Stopped(said)


def _failure(state: tenacity.RetryCallState) -> _Failure:
    failure = state.outcome and state.outcome.exception()
    assert isinstance(failure, _Failure)
    return failure


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
