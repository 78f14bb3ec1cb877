"""An HTTP or HTTPS server that misbehaves on purpose, built from plain sockets in threads."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wordtally.aws.client import Answer, Client, Parameters
from wordtally.aws.connections import Timeouts

QUICK = Timeouts(connect_seconds=0.3, answer_seconds=0.3, idle_seconds=30)
"""Timeout that the test provokes."""
PATIENT = Timeouts(connect_seconds=20, answer_seconds=20, idle_seconds=30)
"""Timeout for everything else, which even a busy machine must not reach."""
SOON_SECONDS = 15
"""Limit for a call that ends after a timeout or deadline of a few seconds. The limit is generous, for a
busy machine; the faults that the tests look for take longer."""
UPDATE = {"TableName": "words", "Key": {"word": {"S": "naïve"}}}
AT_MOST_ONCE_PARAMETERS: dict[str, dict[str, Any]] = {
    "PutRecord": {"StreamName": "texts", "Data": b"{}", "PartitionKey": "1"},
    "SendMessage": {"QueueUrl": "https://sqs.example/1/failures", "MessageBody": "{}"},
}
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "secret"}

Conversation = Callable[["Peer"], None]
"""The server's behaviour on one connection, which is then closed."""


def wait_until(condition: Callable[[], bool]) -> None:
    """Raises TimeoutError after SOON_SECONDS."""
    until = time.monotonic() + SOON_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.01)


def one(client: Client, operation: str, parameters: Parameters, until: float) -> Answer:
    """A batch of one call."""
    return client.call_each(operation, [parameters], until)[0]


class Peer:
    """One connection to the server."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._file = connection.makefile("rb")

    def request(self) -> bytes:
        """Return the body of the next request. Raise EOFError if there is none."""
        length, line = 0, self._file.readline()
        if not line:
            raise EOFError
        while line != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            line = self._file.readline()
            if not line:
                raise EOFError
        return self._file.read(length)

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


def counted(number: int) -> bytes:
    """UpdateItem's answer."""
    return json.dumps({"Attributes": {"times": {"N": str(number)}}}).encode()


class Server:
    """Holds the first conversation on the first connection, and so on. The last one repeats."""

    def __init__(self, *conversations: Conversation, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.first_ended = threading.Event()
        self._closed = False
        self.requests: list[bytes] = []
        self._conversations = conversations
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
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
            peer = Peer(connection)
            original = peer.request

            def request() -> bytes:
                self.requests.append(original())
                return self.requests[-1]

            peer.request = request  # type: ignore[method-assign]
            with peer._file:
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


def sends(*parts: bytes, every: float = 0) -> Conversation:
    """Answers one request with these parts and closes the connection."""

    def conversation(peer: Peer) -> None:
        peer.request()
        for part in parts:
            peer.send(part)
            time.sleep(every)

    return conversation


def sends_once_and_stays(data: bytes) -> Conversation:
    """Answers one request, and ignores further ones on the same connection."""

    def conversation(peer: Peer) -> None:
        peer.request()
        peer.send(data)
        peer.wait_for_close()

    return conversation


def sends_and_stays(*parts: bytes) -> Conversation:
    """Answers each request with these parts."""

    def conversation(peer: Peer) -> None:
        while True:
            peer.request()
            for part in parts:
                peer.send(part)

    return conversation


def _silence(peer: Peer) -> None:
    peer.request()
    peer.wait_for_close()


_ANSWER = response(b'{"SequenceNumber": "1", "MessageId": "1"}')
_ERROR = b'{"__type": "com.amazonaws#InternalFailure"}'

AMBIGUOUS: dict[str, Conversation] = {
    "silence": _silence,
    "closed without an answer": sends(),
    "cut off": sends(_ANSWER[:-1]),
    "500": sends_and_stays(response(_ERROR, "500 Internal Server Error")),
    "503": sends_and_stays(response(_ERROR, "503 Service Unavailable")),
    "an error page": sends_and_stays(response(b"<html>busy</html>", "502 Bad Gateway")),
    "no JSON": sends_and_stays(response(b"<html>busy</html>")),
    "no such field": sends_and_stays(response(b"{}")),
}
"""Responses to a PutRecord or SendMessage that took effect."""


@contextlib.contextmanager
def serving(*conversations: Conversation, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(*conversations, tls=tls)
    try:
        yield server
    finally:
        server.close()


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for `name`, and the file with its issuer's certificate."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def issue(subject: str, issuer: str, key: Any, signing_key: Any, *, authority: bool) -> Any:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(signing_key, hashes.SHA256())
        )

    authority_key, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    pem = serialization.Encoding.PEM
    bundle, own = folder / "authority.pem", folder / "server.pem"
    authority = issue("authority", "authority", authority_key, authority_key, authority=True)
    bundle.write_bytes(authority.public_bytes(pem))
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    own.write_bytes(
        private + issue(name, "authority", key, authority_key, authority=False).public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    return context, bundle
