"""Serves the fakes of app/tests over AWS's HTTP protocols, with faults on the wire.

Both AWS clients can use the server, so the same faults happen to each of them.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from aws_protocols import ON_S3, Connection, Reply, Request, answer, call_of, refusal
from fakes import FakeClient, FakeDynamoDB, FakeKinesis, FakeS3, FakeSqs
from wordtally.settings import Settings

from local.emulator import aws

INBOX = "inbox"
"""Name of the bucket `FakeAws.files`. Any other name means `FakeAws.bucket`."""

SETTINGS = Settings(
    *(aws.REGION, "words", "reports", 600, 0, "markers", 24),
    stream_name="texts",
    failure_queue_url="https://sqs.example/1/failures",
)
"""The settings of a function on a FakeAws."""

Effect = Callable[["Exchange"], None]
"""A fault's effect on a request, instead of the normal answer."""


class FakeAws:
    """The fakes at `url`. `fault` returns the fault of each request, None for a normal answer."""

    def __init__(self) -> None:
        self.empty()
        self.fault: Callable[[str], Effect | None] = lambda operation: None
        self.url = ""
        self.connections: set[Connection] = set()
        self._tokens: dict[str, Reply] = {}

    def empty(self) -> None:
        self.table, self.bucket, self.files = FakeDynamoDB(), FakeS3(), FakeS3(versioned=True)
        self.kinesis, self.queue = FakeKinesis(), FakeSqs()

    def _fake(self, operation: str, parameters: dict[str, Any]) -> FakeClient:
        if operation in ON_S3:
            return self.files if parameters["Bucket"] == INBOX else self.bucket
        return {"PutRecord": self.kinesis, "SendMessage": self.queue}.get(operation, self.table)

    def environment(self) -> dict[str, str]:
        return aws.environment(self.url)

    def answer(self, operation: str, parameters: dict[str, Any]) -> Reply:
        token = parameters.pop("ClientRequestToken", None)
        if token in self._tokens:
            return self._tokens[token]
        reply = answer(self._fake(operation, parameters).call, operation, parameters)
        if token and reply[0] == 200:
            self._tokens[token] = reply
        return reply


class Exchange(Connection):
    """A connection with the request in flight, and the actions that a fault can take."""

    operation: str
    parameters: dict[str, Any]

    def __init__(self, server: FakeAws) -> None:
        super().__init__()
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._server.connections.discard(self)

    def respond(self, request: Request) -> None:
        self.operation, self.parameters = call_of(request)
        effect = self._server.fault(self.operation)
        if effect:
            effect(self)
        else:
            self.reply(*self.take_effect())

    @property
    def speaks_json(self) -> bool:
        return self.operation not in ON_S3

    def take_effect(self) -> Reply:
        return self._server.answer(self.operation, self.parameters)

    def refuse(self, status: int, json_code: str, s3_code: str) -> None:
        self.reply(*refusal(self.operation, status, json_code if self.speaks_json else s3_code))

    def say_nothing(self) -> None:
        """The client's timeout ends the exchange."""

    def cut(self) -> None:
        self.transport.abort()


@contextlib.contextmanager
def serving() -> Iterator[FakeAws]:
    server, loop = FakeAws(), asyncio.new_event_loop()
    listening = loop.run_until_complete(
        loop.create_server(partial(Exchange, server), "127.0.0.1", 0)
    )
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listening.close()
        for connection in server.connections:
            connection.transport.abort()
        loop.run_until_complete(asyncio.sleep(0))  # the loop closes their sockets
        loop.close()
