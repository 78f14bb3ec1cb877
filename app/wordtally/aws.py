"""How this function talks to AWS: the clients' settings and the meaning of their errors."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from wordtally.errors import Unavailable

CONNECT_TIMEOUT_SECONDS = 1
READ_TIMEOUT_SECONDS = 2
MAX_ATTEMPTS = 3
"""Both services answer within tens of milliseconds. Standard retries back off with jitter and stop
retrying at all when most calls fail."""

SLOWEST_CALL_SECONDS = MAX_ATTEMPTS * (CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS) + 1 + 2
"""Every attempt timed out, and the longest backoff after the first and after the second."""

_BUSY = frozenset(
    [
        "InternalServerError",
        "InternalError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TransactionInProgressException",
        "TooManyRequestsException",
    ]
)

# botocore's. Read timeouts and closed connections derive from the first; the others derive from bases
# that they share with errors of our own making.
_OUTAGES = frozenset(
    [
        "HTTPClientError",
        "ConnectTimeoutError",
        "EndpointConnectionError",
        "IncompleteReadError",
        "ProxyConnectionError",
        "SSLError",
        # An answer that cannot be read or trusted.
        "ChecksumError",
        "FlexibleChecksumError",
        "ResponseParserError",
    ]
)


class AwsError(Exception):
    """AWS refused a call, and retrying will not change that: a missing permission, say.

    The message names the operation and AWS's error code, never a value.
    """


@cache
def _session() -> Any:
    """One for all clients: it keeps what they load. botocore's, since boto3 adds nothing to a
    client but a fifth of the modules that a cold start imports."""
    import botocore.session

    # Lambda sets the product's log level on the root logger, and botocore logs at INFO at each
    # cold start.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    return botocore.session.get_session()


def client(service: str, region: str, **config: Any) -> Any:
    """A client with deliberate timeouts and retries. Nothing else here imports the SDK."""
    from botocore.config import Config

    return _session().create_client(
        service,
        region_name=region,
        config=Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
            # Both save a sixth of the CPU of a call: botocore would compose its own name for each
            # call, and validate what the type checker has checked.
            user_agent="wordtally",
            parameter_validation=False,
            **config,
        ),
    )


@contextmanager
def translated_errors(operation: str) -> Iterator[None]:
    """Around a call: raise Unavailable for throttling and outages, AwsError for any other refusal.

    Works on the shape of botocore's errors (`response`), not on their classes, so that nothing has
    to import botocore.
    """
    try:
        yield
    except Exception as error:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            code = error_code(error)
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in _BUSY or status >= 500 or status == 429:
                raise Unavailable(f"{operation}: {code}") from error
            raise AwsError(f"{operation}: {code}") from error
        if any(kind.__name__ in _OUTAGES for kind in type(error).__mro__):
            raise Unavailable(f"{operation}: {type(error).__name__}") from error
        raise


@contextmanager
def reading(operation: str) -> Iterator[None]:
    """Around the reading of an answer: raise Unavailable for one that lacks what AWS documents.

    Such an answer does not tell whether the call took effect.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable(f"{operation}: unreadable answer") from error


def error_code(error: Exception) -> str:
    """AWS's code of a botocore ClientError, such as `PreconditionFailed`; else an empty string."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return ""
    return str(response.get("Error", {}).get("Code", ""))
