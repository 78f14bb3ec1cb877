"""The same calls through botocore, the SDK that Lambda includes."""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

from . import operations
from .client import Answer, Parameters, ignore
from .errors import MAX_ATTEMPTS, AwsError, AwsUnavailable, Busy, Fault, failure, pause_seconds

CONNECTIONS = 16
"""Maximum calls of a batch in flight. At 10 ms a call, 16 keep one vCPU busy with the SDK's own work;
more do not help."""

SINGLES = 8
"""Maximum single calls in flight: a scan's segments and a read beside a batch."""

CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS = 1, 2

# Read timeouts and closed connections are subclasses of the first. The last three stand for answers
# that cannot be read or trusted.
_OUTAGES = frozenset(
    [
        "HTTPClientError",
        "ConnectTimeoutError",
        "EndpointConnectionError",
        "IncompleteReadError",
        "ProxyConnectionError",
        "SSLError",
        "ChecksumError",
        "FlexibleChecksumError",
        "ResponseParserError",
    ]
)


class SdkClient:
    """Implements Client. Thread-safe; reads all other settings from the environment.

    botocore's timeouts are per `recv`, so a call may continue in its thread after its deadline.
    """

    def __init__(self, region: str) -> None:
        import botocore.session

        # Lambda sets the product's log level on the root logger, and botocore logs at INFO at each
        # cold start.
        logging.getLogger("botocore").setLevel(logging.WARNING)
        session = botocore.session.get_session()
        dynamodb = _client(session, "dynamodb", region)
        self._s3 = _client(
            session,
            "s3",
            region,
            # Without these, botocore may sign with SigV2 or for the global host, whose redirect
            # breaks the signature while a bucket is new.
            signature_version="s3v4",
            s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"},
        )
        events = dynamodb.meta.events
        events.register("before-parse.dynamodb.Scan", _take_items)
        events.register("before-parse.dynamodb.TransactWriteItems", _require_json)
        self._methods: dict[str, Callable[..., Any]] = {
            "GetItem": dynamodb.get_item,
            "UpdateItem": dynamodb.update_item,
            "Scan": dynamodb.scan,
            "TransactWriteItems": dynamodb.transact_write_items,
            "BatchGetItem": dynamodb.batch_get_item,
            "GetObject": self._s3.get_object,
            "PutObject": self._s3.put_object,
            "GetObjectTagging": self._s3.get_object_tagging,
            "PutObjectTagging": self._s3.put_object_tagging,
        }
        self._session, self._region = session, region
        self._starting = threading.Lock()
        self._batches = ThreadPoolExecutor(CONNECTIONS)
        self._singles = ThreadPoolExecutor(SINGLES)

    def call_each(
        self,
        operation: str,
        parameters: Iterable[Parameters],
        until: float,
        retried: Callable[[AwsError], None] = ignore,
    ) -> list[Answer]:
        todo = list(parameters)
        pool = self._singles if len(todo) == 1 else self._batches
        failed = threading.Event()
        calls = [pool.submit(self._call, operation, each, until, retried, failed) for each in todo]
        try:
            # Wait for all at once: a failure must not wait for slower calls before it.
            left = min(max(0, until - time.monotonic()), threading.TIMEOUT_MAX)
            _, pending = wait(calls, timeout=left, return_when=FIRST_EXCEPTION)
            failures = [error for call in calls if (error := _failure(call))]
            if not failures and pending:
                failures = [AwsUnavailable(operation, "no answer in time", without_effect=False)]
            if not failures:
                return [call.result() for call in calls]
        finally:
            failed.set()
            for call in calls:
                call.cancel()
            wait(calls, timeout=min(max(0, until - time.monotonic()), threading.TIMEOUT_MAX))
        if isinstance(failures[0], AwsError):
            done = [call for call in calls if call.done() and not call.cancelled()]
            failures[0].completed = sum(not call.exception() for call in done)
        raise failures[0]

    def presigned_url(self, parameters: Mapping[str, str], expires_seconds: int) -> str:
        url: str = self._s3.generate_presigned_url(
            "get_object", Params=dict(parameters), ExpiresIn=expires_seconds
        )
        return url

    def _call(
        self,
        operation: str,
        parameters: Parameters,
        until: float,
        retried: Callable[[AwsError], None],
        failed: threading.Event,
    ) -> Answer:
        """Retry throttled and conflicting calls until the deadline. botocore retries faults."""
        attempts = 0
        while True:
            if time.monotonic() >= until:
                raise AwsUnavailable(operation, "out of time")
            try:
                return self._answer(operation, parameters)
            except Exception as error:
                known = _translated(operation, error)
                if not known:
                    raise
                attempts += 1
                seconds = pause_seconds(known, attempts) if isinstance(known, Busy) else None
                if seconds is None or time.monotonic() + seconds >= until:
                    raise known from error
                retried(known)
                if failed.wait(seconds):
                    raise known from error

    def _method(self, operation: str) -> Callable[..., Any]:
        if operation not in self._methods:
            with self._starting:  # on first use: most requests need neither client
                # One attempt: botocore would retry calls that may have taken effect.
                once = {"retries": {"mode": "standard", "total_max_attempts": 1}}
                service = {"PutRecord": "kinesis", "SendMessage": "sqs"}[operation]
                client = _client(self._session, service, self._region, **once)
                self._methods["PutRecord" if service == "kinesis" else "SendMessage"] = (
                    client.put_record if service == "kinesis" else client.send_message
                )
        return self._methods[operation]

    def _answer(self, operation: str, parameters: Parameters) -> Answer:
        try:
            answer: Answer = self._method(operation)(**parameters)
        except Exception as error:
            response = getattr(error, "response", None) or {}
            code = response.get("Error", {}).get("Code")
            if code == operations.CONDITION_FAILED and "Item" in response:
                return {"Item": response["Item"]}
            raise
        if operation == "GetObject":
            answer = {**answer, "Body": answer["Body"].read()}
        if not operations.is_complete(operation, answer):
            raise AwsUnavailable(operation, "unreadable answer", without_effect=False)
        return answer


def _client(session: Any, service: str, region: str, **config: Any) -> Any:
    from botocore.config import Config

    return session.create_client(
        service,
        region_name=region,
        config=Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            max_pool_connections=CONNECTIONS + SINGLES,
            # These two save a sixth of a call's CPU: botocore would build its user agent for each
            # call, and validate parameters that the type checker has checked.
            user_agent="wordtally",
            parameter_validation=False,
            **{"retries": {"mode": "standard", "total_max_attempts": MAX_ATTEMPTS}, **config},
        ),
    )


def _failure(call: "Future[Answer]") -> BaseException | None:
    return call.exception() if call.done() and not call.cancelled() else None


def _translated(operation: str, error: Exception) -> AwsError | None:
    """The error of this package for a botocore error, None for any other error.

    Compares class names, because botocore's common base class also covers mistakes in our own code.
    """
    if isinstance(error, AwsError):
        return error
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return failure(operation, code, status, response.get("CancellationReasons"))
    if any(kind.__name__ in _OUTAGES for kind in type(error).__mro__):
        return Fault(operation, type(error).__name__, without_effect=False)
    return None


def _take_items(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Skip botocore's parsing of the items: it would only rebuild the JSON that DynamoDB sent, and take
    four times as long as everything else."""
    if response_dict["status_code"] != 200:
        return
    with contextlib.suppress(ValueError, LookupError, TypeError):  # is_complete rejects it
        answer = json.loads(response_dict["body"])
        customized_response_dict["Items"] = answer.pop("Items")
        response_dict["body"] = json.dumps(answer).encode()


def _require_json(response_dict: dict[str, Any], **_: Any) -> None:
    """botocore accepts any response with status 200 as a commit, since the answer has no members."""
    if response_dict["status_code"] == 200:
        try:
            json.loads(response_dict["body"])
        except ValueError as error:
            raise AwsUnavailable("TransactWriteItems", "unreadable answer") from error
