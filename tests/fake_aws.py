"""Serves the fakes of app/tests over AWS's HTTP protocols, with faults on the wire.

Both AWS clients can use the server, so the same faults happen to each of them.
"""

import contextlib
import json
import re
import socket
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from html import escape, unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from fakes import FakeClient, FakeDynamoDB, FakeKinesis, FakeS3, FakeSqs
from wordtally.aws.errors import AwsError
from wordtally.aws.operations import CONDITION_FAILED

from local.emulator import aws

INBOX = "inbox"
"""Name of the bucket `FakeAws.files`. Any other name means `FakeAws.bucket`."""

SECONDS_OF_SILENCE = 5
"""Longer than the timeout of every client here."""

Reply = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""

Effect = Callable[["Exchange"], None]
"""A fault's effect on a request, instead of the normal answer."""


def _on_s3(operation: str) -> bool:
    return operation.endswith(("Object", "Tagging"))


def _error(operation: str, status: int, code: str, **more: Any) -> Reply:
    if _on_s3(operation):
        body = f"<Error><Code>{code}</Code></Error>".encode()
        return status, {"content-type": "application/xml"}, body
    return _json({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", **more}, status)


def _json(content: dict[str, Any], status: int = 200) -> Reply:
    return status, {"content-type": "application/x-amz-json-1.0"}, json.dumps(content).encode()


class FakeAws(ThreadingHTTPServer):
    """The fakes at `url`. `fault` returns the fault of each request, None for a normal answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.empty()
        self.fault: Callable[[str], Effect | None] = lambda operation: None
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._tokens: dict[str, Reply] = {}

    def empty(self) -> None:
        self.table, self.bucket, self.files = FakeDynamoDB(), FakeS3(), FakeS3(versioned=True)
        self.kinesis, self.queue = FakeKinesis(), FakeSqs()

    def _fake(self, operation: str, parameters: dict[str, Any]) -> FakeClient:
        if _on_s3(operation):
            return self.files if parameters["Bucket"] == INBOX else self.bucket
        return {"PutRecord": self.kinesis, "SendMessage": self.queue}.get(operation, self.table)

    def environment(self) -> dict[str, str]:
        return aws.environment(self.url)

    def answer(self, operation: str, parameters: dict[str, Any]) -> Reply:
        token = parameters.pop("ClientRequestToken", None)
        if token in self._tokens:
            return self._tokens[token]
        try:
            found = self._fake(operation, parameters).call(operation, parameters)
        except AwsError as error:
            reasons = {"CancellationReasons": error.reasons} if error.reasons else {}
            return _error(operation, error.status, error.code, **reasons)
        if operation == "UpdateItem" and "Item" in found:
            return _error(operation, 400, CONDITION_FAILED, **found)
        if _on_s3(operation):
            return _s3_answer(found)
        if token:
            self._tokens[token] = _json(found)
        return _json(found)


def _s3_answer(found: dict[str, Any]) -> Reply:
    names = {"ETag": "etag", "VersionId": "x-amz-version-id", "ContentRange": "content-range"}
    headers = {names[name]: value for name, value in found.items() if name in names}
    metadata = found.get("Metadata", {})
    headers |= {f"x-amz-meta-{name}": value for name, value in metadata.items()}
    if "TagSet" in found:
        tags = "".join(
            f"<Tag><Key>{escape(tag['Key'])}</Key><Value>{escape(tag['Value'])}</Value></Tag>"
            for tag in found["TagSet"]
        )
        return 200, headers, f"<Tagging><TagSet>{tags}</TagSet></Tagging>".encode()
    return 206 if "ContentRange" in found else 200, headers, found.get("Body", b"")


_TAG = re.compile("<Tag><Key>(.*?)</Key><Value>(.*?)</Value></Tag>")


class Exchange(BaseHTTPRequestHandler):
    """A request on the wire, with the actions that a fault can take."""

    server: FakeAws
    protocol_version = "HTTP/1.1"
    operation: str
    parameters: dict[str, Any]

    @property
    def speaks_json(self) -> bool:
        return not _on_s3(self.operation)

    def take_effect(self) -> Reply:
        return self.server.answer(self.operation, self.parameters)

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def refuse(self, status: int, json_code: str, s3_code: str) -> None:
        self.reply(*_error(self.operation, status, json_code if self.speaks_json else s3_code))

    def say_nothing(self) -> None:
        """Wait until the client disconnects."""
        with contextlib.suppress(OSError):
            self.connection.settimeout(SECONDS_OF_SILENCE)
            self.connection.recv(1)
        self.close_connection = True

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def do_POST(self) -> None:
        operation = self.headers["X-Amz-Target"].rsplit(".", 1)[1]
        parameters = json.loads(self._body())
        if "Data" in parameters:
            parameters["Data"] = b64decode(parameters["Data"])
        self._respond(operation, parameters)

    def do_GET(self) -> None:
        if self._is_tagging:
            self._respond("GetObjectTagging", self._object())
        else:
            self._respond("GetObject", self._object("Range"))

    def do_PUT(self) -> None:
        body = self._body()
        if self._is_tagging:
            tags = [
                {"Key": unescape(key), "Value": unescape(value)}
                for key, value in _TAG.findall(body.decode())
            ]
            self._respond("PutObjectTagging", self._object() | {"Tagging": {"TagSet": tags}})
            return
        prefix = "x-amz-meta-"
        metadata = {
            name.lower().removeprefix(prefix): value
            for name, value in self.headers.items()
            if name.lower().startswith(prefix)
        }
        conditions = self._object("If-Match", "If-None-Match")
        self._respond("PutObject", conditions | {"Body": body, "Metadata": metadata})

    @property
    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    @property
    def _is_tagging(self) -> bool:
        return "tagging" in self._query

    def _object(self, *headers: str) -> dict[str, Any]:
        """The parameters from the URL and from these headers."""
        _, bucket, key = unquote(urlsplit(self.path).path).split("/", 2)
        version = self._query.get("versionId")
        given = {
            name.replace("-", ""): self.headers[name] for name in headers if name in self.headers
        }
        where = {"Bucket": bucket, "Key": key}
        return where | given | ({"VersionId": version[0]} if version else {})

    def _body(self) -> bytes:
        if "100-continue" in self.headers.get("Expect", ""):
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _respond(self, operation: str, parameters: dict[str, Any]) -> None:
        self.operation, self.parameters = operation, parameters
        effect = self.server.fault(operation)
        if effect:
            effect(self)
        else:
            self.reply(*self.take_effect())

    def handle_expect_100(self) -> bool:
        return True  # `_body` sends 100 Continue, as the client may not wait for it

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
