"""An HTTP or HTTPS server that misbehaves on purpose, built from plain sockets in threads."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from wordtally.aws.client import Answer, Client, Parameters
from wordtally.aws.connections import Timeouts
from wordtally.aws.thin import ThinClient

QUICK = Timeouts(connect_seconds=0.3, answer_seconds=0.3, idle_seconds=30)
"""Timeouts for tests that expect the client to time out."""
PATIENT = Timeouts(connect_seconds=20, answer_seconds=20, idle_seconds=30)
"""Timeouts for all other tests, long enough for a busy machine."""
SOON_SECONDS = 15
"""Limit for a call that ends after a timeout or deadline of a few seconds. The limit is generous, for a
busy machine; the faults that the tests look for take longer."""
AT_MOST_ONCE_PARAMETERS: dict[str, dict[str, Any]] = {
    "PutRecord": {"StreamName": "texts", "Data": b"{}", "PartitionKey": "1"},
    "SendMessage": {"QueueUrl": "https://sqs.example/1/failures", "MessageBody": "{}"},
}
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "secret"}

Conversation = Callable[["Peer"], None]
"""The server's behaviour on one connection, which is then closed."""
MakeThin = Callable[..., ThinClient]
"""The type of the fixture `thin` in conftest.py."""


def upsert(word: str) -> dict[str, Any]:
    """Parameters of UpdateItem."""
    return {
        "TableName": "words",
        "Key": {"word": {"S": word}},
        "UpdateExpression": "ADD times :n",
        "ExpressionAttributeValues": {":n": {"N": "1"}},
        "ReturnValues": "UPDATED_NEW",
    }


UPDATE = upsert("naïve")


def wait_until(condition: Callable[[], bool]) -> None:
    """Raises TimeoutError after SOON_SECONDS."""
    until = time.monotonic() + SOON_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.01)


def one(client: Client, operation: str, parameters: Parameters, seconds: float = 60) -> Answer:
    """A batch of one call, with a deadline `seconds` from now."""
    return client.call_each(operation, [parameters], time.monotonic() + seconds)[0]


class Peer:
    """One connection to the server. Adds the body of each request to `requests`."""

    def __init__(self, connection: socket.socket, requests: list[bytes]) -> None:
        self.connection = connection
        self._file = connection.makefile("rb")
        self._requests = requests

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def request(self) -> bytes:
        """Return the body of the next request. Raise EOFError if there is none."""
        length = 0
        while (line := self._file.readline()) != b"\r\n":
            if not line:
                raise EOFError
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self._requests.append(self._file.read(length))
        return self._requests[-1]

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def wait_for_close(self) -> None:
        while self._file.read(65_536):
            pass


def response(body: bytes, status: str = "200 OK", version: str = "1.1", **headers: str) -> bytes:
    """A complete response; `_` in a header's name stands for `-`."""
    lines = [
        f"HTTP/{version} {status}",
        *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()),
    ]
    if "transfer_encoding" not in headers and "content_length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def dynamodb_error(code: str, status: str = "400 Bad Request", **more: Any) -> bytes:
    kind = f"com.amazonaws.dynamodb.v20120810#{code}"
    return response(json.dumps({"__type": kind, "message": "secret text", **more}).encode(), status)


def counted(number: int) -> bytes:
    """UpdateItem's answer."""
    return json.dumps({"Attributes": {"times": {"N": str(number)}}}).encode()


class Server:
    """Holds the first conversation on the first connection, and so on. The last conversation repeats."""

    def __init__(self, *conversations: Conversation, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.first_ended = threading.Event()
        self._closed = False
        self.requests: list[bytes] = []
        self._conversations = conversations
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        # With an IP address, S3's URLs are in path style. With TLS, the certificate needs a name.
        self.url = f"https://localhost:{self.port}" if tls else f"http://127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._closed:
                connection.close()
                return
            at = min(self.connections, len(self._conversations) - 1)
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(
                target=self._talk, args=(connection, self._conversations[at]), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _talk(self, connection: socket.socket, conversation: Conversation) -> None:
        with contextlib.suppress(OSError, EOFError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with Peer(connection, self.requests) as peer:
                conversation(peer)
        connection.close()
        self.first_ended.set()

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            pass
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(5)


def well_behaved(peer: Peer) -> None:
    """Answers with the number of requests on this connection."""
    number = 0
    while True:
        peer.request()
        number += 1
        peer.send(response(counted(number)))


def sends(*parts: bytes, every: float = 0, stays: bool = False) -> Conversation:
    """Answers one request with these parts and a pause of `every` seconds after each. Then closes the
    connection, unless it `stays` open and further requests are ignored."""

    def conversation(peer: Peer) -> None:
        peer.request()
        for part in parts:
            peer.send(part)
            time.sleep(every)
        if stays:
            peer.wait_for_close()

    return conversation


silence = sends(stays=True)


def forever(part: bytes, first: bytes = b"", every: float = 0) -> Conversation:
    """Answers one request with `first`, and then with `part` until the client disconnects."""

    def conversation(peer: Peer) -> None:
        peer.request()
        peer.send(first)
        while True:
            peer.send(part)
            time.sleep(every)

    return conversation


def answers(*responses: bytes) -> Conversation:
    """Answers each request on a connection with the next response; the last response repeats."""

    def conversation(peer: Peer) -> None:
        left = list(responses)
        while True:
            peer.request()
            peer.send(left.pop(0) if len(left) > 1 else left[0])

    return conversation


@contextlib.contextmanager
def serving(*conversations: Conversation, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(*conversations, tls=tls)
    try:
        yield server
    finally:
        server.close()
