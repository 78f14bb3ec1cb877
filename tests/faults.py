"""Faults between the function and the emulated AWS, put there by botocore's own events."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from botocore.retries.standard import ExponentialBackoff

Effect = Callable[[AWSPreparedRequest], AWSResponse]
"""What becomes of an attempt to call, instead of its answer; it may raise."""


class Killed(BaseException):
    """Lambda ended the function at this point."""


class _Body:
    """An answer's, as far as botocore reads urllib3's."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._content


def answered(status: int, dynamodb_code: str, s3_code: str) -> Effect:
    def effect(request: AWSPreparedRequest) -> AWSResponse:
        if "X-Amz-Target" in request.headers:
            kind, body = "application/x-amz-json-1.0", f'{{"__type": "{dynamodb_code}"}}'
        else:
            kind, body = "application/xml", f"<Error><Code>{s3_code}</Code></Error>"
        headers = HTTPHeaders.from_dict({"content-type": kind})
        return AWSResponse(request.url, status, headers, _Body(body.encode()))

    return effect


def failed(error: Callable[[str], BaseException], after: bool) -> Effect:
    """Before the call took effect, or after."""

    def effect(request: AWSPreparedRequest) -> AWSResponse:
        if after:
            with contextlib.closing(URLLib3Session()) as session:
                session.send(request)
        raise error(request.url)

    return effect


def unreadable(request: AWSPreparedRequest) -> AWSResponse:
    """The call took effect, but something else than AWS's answer arrives."""
    with contextlib.closing(URLLib3Session()) as session:
        session.send(request)
    headers = HTTPHeaders.from_dict({"content-type": "text/html"})
    return AWSResponse(request.url, 200, headers, _Body(b"<html>garbage"))


def timed_out(url: str) -> BaseException:
    return ReadTimeoutError(endpoint_url=url)


def cut(url: str) -> BaseException:
    return ConnectionClosedError(endpoint_url=url)


def killed(url: str) -> BaseException:
    return Killed(url)


@dataclass(frozen=True)
class Fault:
    effect: Effect
    always: bool = False
    """Every attempt of every call of the operation, instead of the first one's first."""


THROTTLED = answered(400, "ThrottlingException", "SlowDown")
BROKEN = answered(500, "InternalServerError", "InternalError")

FAULTS = {
    "throttled once": Fault(THROTTLED),
    "throttled always": Fault(THROTTLED, always=True),
    "500 once": Fault(BROKEN),
    "time-out before it took effect": Fault(failed(timed_out, after=False)),
    "time-out after it took effect": Fault(failed(timed_out, after=True)),
    "connection cut": Fault(failed(cut, after=False)),
    "connection cut after it took effect": Fault(failed(cut, after=True)),
    "unreadable answer": Fault(unreadable),
    "killed before it took effect": Fault(failed(killed, after=False)),
    "killed after it took effect": Fault(failed(killed, after=True)),
}


@dataclass
class Injector:
    """Puts a fault into one operation of a client."""

    fault: Fault
    happened: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        with self.lock:
            if self.happened and not self.fault.always:
                return None
            self.happened += 1
        return self.fault.effect(request)


@contextmanager
def injected(client: Any, operation: str, fault: Fault) -> Iterator[Injector]:
    """The SDK's pauses between attempts are left out meanwhile."""
    service = client.meta.service_model.service_id.hyphenize()
    injector = Injector(fault)
    event = f"before-send.{service}.{operation}"
    client.meta.events.register(event, injector)
    try:
        with mock.patch.object(ExponentialBackoff, "delay_amount", return_value=0):
            yield injector
    finally:
        client.meta.events.unregister(event, injector)
