"""The fakes of app/tests as a server that speaks DynamoDB's and S3's HTTP, with faults on the wire.

Both clients of AWS talk to it: whatever is put into the wire happens to each of them.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fakes import FakeDynamoDB, FakeS3
from wordtally.aws.errors import AwsError

from local import aws

SECONDS_OF_SILENCE = 5
"""Longer than any client here waits for an answer."""

Effect = Callable[["Exchange"], None]
"""What becomes of a request instead of its answer."""


class Exchange:
    """A request on the wire, with all that a fault may do to it."""

    def __init__(self, handler: "_Handler", operation: str, parameters: dict[str, Any]) -> None:
        self._handler = handler
        self.operation = operation
        self._parameters = parameters

    @property
    def is_dynamodb(self) -> bool:
        return not self.operation.endswith("Object")

    def take_effect(self) -> tuple[int, dict[str, str], bytes]:
        return self._handler.server.answer(self.operation, self._parameters)

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self._handler.reply(status, headers, body)

    def refuse(self, status: int, dynamodb_code: str, s3_code: str) -> None:
        self.reply(
            *_error(self.is_dynamodb, status, dynamodb_code if self.is_dynamodb else s3_code)
        )

    def say_nothing(self) -> None:
        """Until the client goes away."""
        with contextlib.suppress(OSError):
            self._handler.connection.settimeout(SECONDS_OF_SILENCE)
            self._handler.connection.recv(1)
        self._handler.close_connection = True

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self._handler.connection.shutdown(socket.SHUT_RDWR)
        self._handler.close_connection = True


def _error(is_dynamodb: bool, status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    if is_dynamodb:
        body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}"}).encode()
        return status, {"content-type": "application/x-amz-json-1.0"}, body
    return (
        status,
        {"content-type": "application/xml"},
        f"<Error><Code>{code}</Code></Error>".encode(),
    )


class FakeAws(ThreadingHTTPServer):
    """`table` and `bucket` at `url`; `fault` decides what becomes of each request (None: it takes
    effect and is answered)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.table, self.bucket = FakeDynamoDB(), FakeS3()
        self.fault: Callable[[str], Effect | None] = lambda operation: None
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._tokens: dict[str, tuple[int, dict[str, str], bytes]] = {}

    def environment(self) -> dict[str, str]:
        return aws.environment(self.url)

    def answer(
        self, operation: str, parameters: dict[str, Any]
    ) -> tuple[int, dict[str, str], bytes]:
        token = parameters.pop("ClientRequestToken", None)
        if token in self._tokens:
            return self._tokens[token]
        try:
            if operation.endswith("Object"):
                found = self.bucket.call(operation, parameters)
                headers = {"etag": found["ETag"]}
                if "VersionId" in found:
                    headers["x-amz-version-id"] = found["VersionId"]
                metadata = found.get("Metadata", {})
                headers |= {f"x-amz-meta-{name}": value for name, value in metadata.items()}
                return 200, headers, found.get("Body", b"")
            body = json.dumps(self.table.call(operation, parameters)).encode()
        except AwsError as error:
            status, headers, body = _error(
                not operation.endswith("Object"), error.status, error.code
            )
            if error.reasons:
                found = {**json.loads(body), "CancellationReasons": error.reasons}
                body = json.dumps(found).encode()
            return status, headers, body
        answered = 200, {"content-type": "application/x-amz-json-1.0"}, body
        if token:
            self._tokens[token] = answered
        return answered


class _Handler(BaseHTTPRequestHandler):
    server: FakeAws
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        operation = self.headers["X-Amz-Target"].rsplit(".", 1)[1]
        self._meet(operation, json.loads(self._body()))

    def do_GET(self) -> None:
        self._meet("GetObject", self._object())

    def do_PUT(self) -> None:
        parameters = self._object() | {"Body": self._body()}
        for parameter, name in [("IfMatch", "If-Match"), ("IfNoneMatch", "If-None-Match")]:
            if value := self.headers.get(name):
                parameters[parameter] = value
        prefix = "x-amz-meta-"
        parameters["Metadata"] = {
            name.lower().removeprefix(prefix): value
            for name, value in self.headers.items()
            if name.lower().startswith(prefix)
        }
        self._meet("PutObject", parameters)

    def _object(self) -> dict[str, Any]:
        _, bucket, key = self.path.split("?")[0].split("/", 2)
        return {"Bucket": bucket, "Key": key}

    def _body(self) -> bytes:
        if "100-continue" in self.headers.get("Expect", ""):
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _meet(self, operation: str, parameters: dict[str, Any]) -> None:
        exchange = Exchange(self, operation, parameters)
        effect = self.server.fault(operation)
        if effect:
            effect(exchange)
        else:
            self.reply(*exchange.take_effect())

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def handle_expect_100(self) -> bool:
        return True  # answered with the body, as the client may not wait for it

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[FakeAws]:
    server = FakeAws()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
