"""The thin client: sends calls, many concurrently, and retries them until their deadline.

The first call starts a daemon thread, whose event loop does all the work while callers wait.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from . import operations
from .client import Answer, Parameters, ignore
from .connections import Host, NoResponse, Timeouts, message
from .environment import Endpoint, credentials, endpoint, tls_context
from .errors import MAX_ATTEMPTS, AwsError, AwsUnavailable, Fault, Throttled, pause_seconds
from .signing import Signer

CONNECTIONS = 64
"""Maximum number of a batch's calls in flight."""

FIRST_CONNECTIONS = 16
"""Number of a batch's calls in flight at its start; each success adds one. With little CPU, concurrent
TLS handshakes of all connections would exceed the connect timeout."""

BUDGET, RETRY_COST = 500, 5
"""Retry budget, as in the SDKs' standard mode: a retry after a fault costs 5, which its success refunds;
any other success refunds 1. If most calls fail, the client soon stops retrying."""

TIMEOUTS = Timeouts()

GRACE_SECONDS = 0.5
"""How long a caller waits for the event loop after the deadline."""

_T = TypeVar("_T")


class ThinClient:
    """Implements Client on this package's own connections. Thread-safe.

    It reads the credentials from `environment` again for every call. Creating a client does no network
    I/O, but creates the TLS context.
    """

    def __init__(
        self,
        region: str,
        environment: Mapping[str, str],
        *,
        connections: int = CONNECTIONS,
        timeouts: Timeouts | None = None,
    ) -> None:
        timeouts = timeouts or TIMEOUTS
        self._endpoints = {
            service: endpoint(service, region, environment)
            for service in ("dynamodb", "s3", "kinesis", "sqs")
        }
        secure = any(place.scheme == "https" for place in self._endpoints.values())
        self._tls = tls_context(environment) if secure else None
        self._region = region
        self._timeouts = timeouts
        self._environment = environment
        self._hosts: dict[Endpoint, Host] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()
        self.connections = connections
        self.budget = BUDGET

    def call_each(
        self,
        operation: str,
        parameters: Iterable[Parameters],
        until: float,
        retried: Callable[[AwsError], None] = ignore,
    ) -> list[Answer]:
        batch = _Batch(self, operation, parameters, until, retried)
        return self._wait(batch.run(), operation, until)

    def presigned_url(self, parameters: Mapping[str, str], expires_seconds: int) -> str:
        place = self._endpoints["s3"].of_bucket(parameters["Bucket"])
        path = place.base_path + operations.object_path(parameters["Key"])
        version = operations.version_query(parameters.get("VersionId"))
        signer = Signer(credentials(self._environment), self._region, "s3", time.time())
        query = signer.query(place.host, path, version, expires_seconds)
        return f"{place.scheme}://{place.host}{path}?{query}"

    def close(self) -> None:
        """Close all connections and end the thread. No call may be in flight."""
        if self._loop:
            asyncio.run_coroutine_threadsafe(self._close_hosts(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = None

    async def _close_hosts(self) -> None:
        for host in self._hosts.values():
            host.close()
        await asyncio.sleep(0)  # the loop closes their sockets in its next iteration

    def _wait(self, work: Coroutine[Any, Any, _T], operation: str, until: float) -> _T:
        with self._starting:
            if not self._loop:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
                self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        seconds = max(0, until - time.monotonic()) + GRACE_SECONDS
        try:
            return future.result(min(seconds, threading.TIMEOUT_MAX))
        except TimeoutError:
            raise AwsUnavailable(operation, "no answer in time", without_effect=False) from None
        finally:
            future.cancel()  # no effect if the call is done

    async def send(self, operation: str, request: operations.Request, until: float) -> Answer:
        """Make one attempt, signed with the current time and credentials."""
        place = self._endpoints[request.service]
        if request.bucket is not None:
            place = place.of_bucket(request.bucket)
        host = self._hosts.get(place)
        if not host:
            host = self._hosts[place] = place.connect(self._tls, self._timeouts)
        path = place.base_path + request.path
        signer = Signer(credentials(self._environment), self._region, request.service, time.time())
        headers = signer.headers(
            request.method,
            path,
            request.query,
            {"host": place.host, **request.headers},
            request.body,
        )
        target = f"{path}?{request.query}" if request.query else path
        sending = message(request.method, target, headers, request.body)
        try:
            response = await host.exchange(sending, until)
        except NoResponse as failure:
            raise Fault(operation, str(failure), 0, not failure.sent) from failure
        return operations.answer(operation, response)


class _Batch:
    """The concurrent calls of one `call_each`.

    Each worker makes one call after another. The limit on workers adapts like TCP's congestion window:
    each success adds one. A throttled call halves the limit; from then on it grows by one after as many
    successes as there are workers.
    """

    def __init__(
        self,
        client: ThinClient,
        operation: str,
        parameters: Iterable[Parameters],
        until: float,
        retried: Callable[[AwsError], None],
    ) -> None:
        self._client = client
        self._operation = operation
        self._calls = enumerate(parameters)
        self._until = until
        self._retried = retried
        self._answers: dict[int, Answer] = {}
        self._failure: Exception | None = None
        self._failed = asyncio.Event()
        self._workers = 0
        self._limit: float = min(FIRST_CONNECTIONS, client.connections)
        self._halved_at = 0.0

    async def run(self) -> list[Answer]:
        async with asyncio.TaskGroup() as self._group:
            self._add_worker()
        if isinstance(self._failure, AwsError):
            self._failure.completed = len(self._answers)
        if self._failure:
            raise self._failure
        return [self._answers[index] for index in range(len(self._answers))]

    def _add_worker(self) -> None:
        self._workers += 1
        self._group.create_task(self._work())

    async def _work(self) -> None:
        """Make calls until none is left, one has failed, or there are too many workers."""
        try:
            for index, parameters in self._calls:
                if self._failure:
                    break
                if self._workers + 1 <= self._limit:
                    self._add_worker()  # the new worker takes the next call, and adds another worker
                self._answers[index] = await self._call(parameters)
                more = 1 / self._limit if self._halved_at else 1
                self._limit = min(self._client.connections, self._limit + more)
                if self._workers > self._limit:
                    break
        except Exception as failure:  # noqa: BLE001 - `run` raises it after all workers have ended
            self._failure = self._failure or failure
            self._failed.set()
        finally:
            self._workers -= 1

    async def _call(self, parameters: Parameters) -> Answer:
        request = operations.request(self._operation, parameters)
        attempts = faults = 0
        without_effect = True
        while True:
            if time.monotonic() >= self._until:
                raise AwsUnavailable(self._operation, "out of time", without_effect=without_effect)
            sent_at = time.monotonic()
            try:
                answer = await self._client.send(self._operation, request, self._until)
            except AwsError as error:
                attempts += 1
                faults += isinstance(error, Fault)
                without_effect = error.without_effect = without_effect and error.without_effect
                if isinstance(error, Throttled):
                    self._slow_down(sent_at)
                if not await self._pause(error, attempts, faults):
                    raise
            else:
                refund = RETRY_COST if faults else 1
                self._client.budget = min(BUDGET, self._client.budget + refund)
                return answer

    def _slow_down(self, sent_at: float) -> None:
        """Calls that were in flight when the limit was halved do not halve it again."""
        if sent_at > self._halved_at:
            self._halved_at = time.monotonic()
            self._limit = max(1, min(self._limit, self._workers) / 2)

    async def _pause(self, error: AwsError, attempts: int, faults: int) -> bool:
        """Wait before a retry, with full jitter. Return False if a retry is not allowed."""
        seconds = pause_seconds(error, attempts)
        if seconds is None or self._failure or faults == MAX_ATTEMPTS:
            return False
        if self._operation in operations.AT_MOST_ONCE and not error.without_effect:
            return False
        if time.monotonic() + seconds >= self._until:
            return False
        if isinstance(error, Fault):
            if self._client.budget < RETRY_COST:
                return False
            self._client.budget -= RETRY_COST
        self._retried(error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._failed.wait(), seconds)
        return not self._failure
