"""Faults of a call on its way to AWS and back, and of the function during a call."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fake_aws import Effect, Exchange, FakeAws
from wordtally.aws.client import Answer, Client, Parameters, ignore
from wordtally.aws.errors import AwsError

from local.services.instances import Context


class Killed(BaseException):
    """Lambda killed the function at this point."""


def throttled(exchange: Exchange) -> None:
    exchange.refuse(400 if exchange.speaks_json else 503, "ThrottlingException", "SlowDown")


def broken(exchange: Exchange) -> None:
    exchange.refuse(500, "InternalServerError", "InternalError")


def afterwards(effect: Effect) -> Effect:
    """The same fault after the call took effect."""

    def after(exchange: Exchange) -> None:
        exchange.take_effect()
        effect(exchange)

    return after


def unreadable(exchange: Exchange) -> None:
    """The call takes effect, but the response is not in AWS's format."""
    exchange.take_effect()
    exchange.reply(200, {"content-type": "text/html"}, b"<html>garbage")


@dataclass(frozen=True)
class Fault:
    effect: Effect | None
    """None if the function is killed instead."""
    always: bool = False
    """Whether every attempt of every call fails, or only the first attempt of the first call."""
    afterwards: bool = False
    """For a kill: whether the call takes effect before it."""


FAULTS = {
    "throttled once": Fault(throttled),
    "throttled always": Fault(throttled, always=True),
    "500 once": Fault(broken),
    "timeout before it took effect": Fault(Exchange.say_nothing),
    "timeout after it took effect": Fault(afterwards(Exchange.say_nothing)),
    "connection cut": Fault(Exchange.cut),
    "connection cut after it took effect": Fault(afterwards(Exchange.cut)),
    "unreadable answer": Fault(unreadable),
    "killed before it took effect": Fault(None),
    "killed after it took effect": Fault(None, afterwards=True),
}


class ShortTimeout(Context):
    """The context of an invocation that times out in 2.5 seconds."""

    def get_remaining_time_in_millis(self) -> int:
        return 2_500


@dataclass
class Injector:
    """Injects a fault into one operation, on the wire or, for a kill, in the client."""

    operation: str
    fault: Fault
    skip: int = 0
    """Number of earlier calls of the operation without a fault."""
    happened: int = 0
    """Number of faults injected so far."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_due(self, operation: str) -> bool:
        with self.lock:
            due = operation == self.operation and (self.fault.always or not self.happened)
            if due and self.skip:
                self.skip -= 1
                return False
            self.happened += due
            return due

    def on_the_wire(self, operation: str) -> Effect | None:
        return self.fault.effect if self.is_due(operation) else None


class KillableClient:
    """Implements aws.client.Client: passes calls to `client` until the injector's fault kills the function."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.injector: Injector | None = None

    def call_each(
        self,
        operation: str,
        parameters: Iterable[Parameters],
        until: float,
        retried: Callable[[AwsError], None] = ignore,
    ) -> list[Answer]:
        todo = list(parameters)
        if injector := self.injector:
            for index in range(len(todo)):
                if injector.is_due(operation):
                    sent = todo[: index + injector.fault.afterwards]
                    # It may fail, for example because an object does not exist.
                    with contextlib.suppress(AwsError):
                        self._client.call_each(operation, sent, until, retried)
                    raise Killed
        return self._client.call_each(operation, todo, until, retried)

    def presigned_url(self, parameters: Any, expires_seconds: int) -> str:
        return self._client.presigned_url(parameters, expires_seconds)


@contextlib.contextmanager
def injected(
    server: FakeAws, client: KillableClient, operation: str, fault: Fault, skip: int = 0
) -> Iterator[Injector]:
    injector = Injector(operation, fault, skip)
    if fault.effect:
        server.fault = injector.on_the_wire
    else:
        client.injector = injector
    try:
        yield injector
    finally:
        server.fault = lambda operation: None
        client.injector = None
