"""Errors of calls, the meaning of AWS's error codes, and the pause before a retry."""

import random
from typing import Any

MAX_ATTEMPTS = 3
"""Maximum attempts of a call that fails with faults. Throttling and conflicts with a transaction
are retried until the deadline."""


class AwsError(Exception):
    """AWS refused a call, and a retry would not change the answer, as with a missing permission.

    The message names the operation and AWS's error code or the kind of network failure. It never
    contains a value, a host or text from the answer.
    """

    completed = 0
    """Number of calls of the batch that succeeded."""

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
        """Whether it is certain that no attempt of the call had an effect."""
        self.reasons = reasons
        """DynamoDB's unchanged CancellationReasons, for TransactionCanceledException."""


class AwsUnavailable(AwsError):
    """There was no usable answer before the deadline. Only the subclasses are retried."""


class Fault(AwsUnavailable):
    """A network failure or a 5xx. Retried a few times, within the retry budget."""


class Busy(AwsUnavailable):
    """A transaction is using the item. Retried until the deadline."""


class Throttled(Busy):
    """Too many calls. Retried until the deadline, with fewer calls in flight."""


_KINDS: dict[str, tuple[type[AwsError], bool]] = {
    # AWS documents that calls refused with these codes have no effect. botocore's standard retry
    # mode also treats all of these codes but the first as throttling.
    **dict.fromkeys(
        [
            "KMSThrottlingException",  # from the stream's key
            "LimitExceededException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",  # from SQS
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
"""For each error code: its class, and whether it is certain that the call had no effect."""


def failure(operation: str, code: str, status: int, reasons: Any = None) -> AwsError:
    """The error for an AWS error code and an HTTP status."""
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
    """The pause before the next attempt, with full jitter; None if the error forbids a retry."""
    if type(error) not in _PAUSES:
        return None
    first, most = _PAUSES[type(error)]
    return random.uniform(0, min(most, first * 2 ** min(attempts - 1, 10)))
