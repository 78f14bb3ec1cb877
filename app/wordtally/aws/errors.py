"""How a call can fail, what AWS's error codes mean, and how long to wait before another attempt."""

import random
from typing import Any

MAX_ATTEMPTS = 3
"""For faults. Throttling and conflicts with a transaction are retried until the deadline."""


class AwsError(Exception):
    """AWS refused a call, and a retry would not change the answer: a missing permission, say.

    The message names the operation and AWS's error code or the kind of network failure; it never
    holds a value, a host or text of the answer.
    """

    completed = 0
    """How many calls of the batch succeeded."""

    def __init__(
        self,
        operation: str,
        code: str,
        status: int = 0,
        without_effect: bool = True,
        reasons: Any = None,
    ) -> None:
        super().__init__(f"{operation}: {code}")
        self.operation = operation
        self.code = code
        """AWS's error code; the HTTP status of an answer without a body; or a kind of failure."""
        self.status = status
        """The HTTP status; 0 if there was no answer."""
        self.without_effect = without_effect
        """The call surely changed nothing, in any of its attempts."""
        self.reasons = reasons
        """Of TransactionCanceledException: DynamoDB's CancellationReasons, as they came."""


class AwsUnavailable(AwsError):
    """There was no usable answer in time. Only the subclasses are retried."""


class Fault(AwsUnavailable):
    """A network failure or a 5xx: retried a few times, within the retry budget."""


class Busy(AwsUnavailable):
    """A transaction is using the item: retried for as long as there is time."""


class Throttled(Busy):
    """Too many calls: retried likewise, with fewer calls in flight."""


_KINDS: dict[str, tuple[type[AwsError], bool]] = {
    # Without effect, as AWS documents; all but the first are in botocore's standard mode, too.
    **dict.fromkeys(
        [
            "KMSThrottlingException",  # by the key of the stream
            "LimitExceededException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",  # by SQS
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ],
        (Throttled, True),
    ),
    "TransactionConflictException": (Busy, True),
    "TransactionInProgressException": (Busy, False),  # the first attempt may still commit
    "RequestTimeout": (Fault, True),  # S3 answers 400 if the body does not arrive
}
"""The class of an error code, and whether the call surely had no effect."""


def failure(operation: str, code: str, status: int, reasons: Any = None) -> AwsError:
    """The error that AWS's error code and HTTP status stand for."""
    kind: tuple[type[AwsError], bool] = (AwsError, True)
    if status >= 500:
        kind = (Fault, False)
    if status == 429:
        kind = (Throttled, True)
    error, without_effect = _KINDS.get(code, kind)
    return error(operation, code, status, without_effect, reasons)


_PAUSES: dict[type[AwsError], tuple[float, float]] = {
    Fault: (0.025, 1.0),
    Throttled: (0.05, 1.0),
    Busy: (0.04, 0.16),  # a conflict lasts about as long as a write
}
"""The longest pause before the second attempt, doubled for each further one, and its maximum."""


def pause_seconds(error: AwsError, attempts: int) -> float | None:
    """With full jitter, after so many attempts; None for an error that must not be retried."""
    if type(error) not in _PAUSES:
        return None
    first, most = _PAUSES[type(error)]
    return random.uniform(0, min(most, first * 2 ** min(attempts - 1, 10)))
