"""Calls to AWS on behalf of a request: they keep the request's deadline, update its counters and
raise the product's errors."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from wordtally.aws.client import Answer, Client, Parameters
from wordtally.aws.errors import AwsError, AwsUnavailable, Throttled
from wordtally.errors import Unavailable
from wordtally.work import Work

_T = TypeVar("_T")


class Calls:
    """Wraps a client for the stores. Raises Unavailable for throttling, outages and incomplete
    answers, AwsError for any other refusal; both name the operation."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def one(
        self, operation: str, parameters: Parameters, work: Work, read: Callable[[Answer], _T]
    ) -> _T:
        """Make one call and return the result of `read` on its answer."""
        return self.each(operation, [parameters], work, read)[0]

    def each(
        self,
        operation: str,
        parameters: Iterable[Parameters],
        work: Work,
        read: Callable[[Answer], _T],
    ) -> list[_T]:
        """Make concurrent calls and return the results of `read` on their answers, in order.

        On the first failure, pending calls are cancelled and those in flight are awaited, so no call
        is in flight when the request is answered.
        """

        def retried(error: AwsError) -> None:
            if isinstance(error, Throttled):
                work.throttled += 1
            elif error.code == "TransactionConflictException":
                work.write_conflicts += 1

        work.go_on()
        try:
            answers = self._client.call_each(operation, parameters, work.until, retried)
        except AwsUnavailable as error:
            raise Unavailable(str(error)) from error
        try:
            return [read(answer) for answer in answers]
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable(f"{operation}: unreadable answer") from error

    def presigned_url(self, parameters: Mapping[str, str], expires_seconds: int) -> str:
        """A URL of the object that GetObject's parameters Bucket, Key and VersionId name."""
        return self._client.presigned_url(parameters, expires_seconds)


def completed(error: Exception) -> int:
    """How many calls succeeded in the batch that raised `error`."""
    failure = error.__cause__ if isinstance(error, Unavailable) else error
    return failure.completed if isinstance(failure, AwsError) else 0
