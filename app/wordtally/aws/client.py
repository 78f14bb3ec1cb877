"""The port: takes an operation's name and parameters, returns its answer, both in botocore's terms."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from .errors import AwsError

Answer = dict[str, Any]
Parameters = Mapping[str, Any]


def ignore(_: AwsError) -> None:
    """Ignore a retry."""


class Client(Protocol):
    """Calls DynamoDB, S3, Kinesis and SQS. Deadlines (`until`) are `time.monotonic()` values.

    Raises AwsError, or its subclass AwsUnavailable for throttling, outages, unreadable answers and
    missed deadlines.
    """

    def call_each(
        self,
        operation: str,
        parameters: Iterable[Parameters],
        until: float,
        retried: Callable[[AwsError], None] = ignore,
    ) -> list[Answer]:
        """The answers to many concurrent calls, in order.

        On the first failure, pending calls are cancelled, those in flight are awaited, and the
        failure is raised; its `completed` is the number of calls that succeeded. Other threads may
        iterate over `parameters`, and call `retried` with each failure that is retried.
        """

    def presigned_url(self, parameters: Mapping[str, str], expires_seconds: int) -> str:
        """A presigned URL of an object. `parameters` are GetObject's Bucket, Key and VersionId."""
