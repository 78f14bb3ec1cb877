"""The HTTP protocols of DynamoDB, S3, Kinesis and SQS, by which the fakes can be called over a network.

It is here because two servers share it: tests/fake_aws.py adds faults on the wire; bench/timing/server.py
adds delays, throttling, TLS and figures.
"""

import asyncio
import json
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from html import escape, unescape
from typing import Any
from urllib.parse import parse_qs, unquote

from wordtally.aws.client import Answer
from wordtally.aws.errors import AwsError
from wordtally.aws.operations import CONDITION_FAILED

ON_S3 = frozenset(["GetObject", "PutObject", "GetObjectTagging", "PutObjectTagging"])

METADATA = "x-amz-meta-"

_REQUEST_HEADERS = {"if-match": "IfMatch", "if-none-match": "IfNoneMatch", "range": "Range"}
_ANSWER_HEADERS = {"ETag": "etag", "VersionId": "x-amz-version-id", "ContentRange": "content-range"}
_TAG = re.compile("<Tag><Key>(.*?)</Key><Value>(.*?)</Value></Tag>")

Reply = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


@dataclass(slots=True)
class Request:
    method: str
    target: str
    """Path and query."""
    headers: dict[str, str]
    """Header names are in lowercase."""
    body: bytes


def call_of(request: Request) -> tuple[str, dict[str, Any]]:
    """The operation and its parameters, in botocore's terms."""
    target = request.headers.get("x-amz-target")
    if target is None:
        return _s3_call_of(request)
    operation = target.rpartition(".")[2]
    parameters = json.loads(request.body)
    if operation == "PutRecord":
        parameters["Data"] = b64decode(parameters["Data"])
    return operation, parameters


def _s3_call_of(request: Request) -> tuple[str, dict[str, Any]]:
    path, _, query = request.target.partition("?")
    bucket, _, key = unquote(path[1:]).partition("/")  # path style, as for any IP address
    parameters: dict[str, Any] = {"Bucket": bucket, "Key": key}
    for name, parameter in _REQUEST_HEADERS.items():
        if name in request.headers:
            parameters[parameter] = request.headers[name]
    fields = parse_qs(query, keep_blank_values=True) if query else {}
    if "versionId" in fields:
        parameters["VersionId"] = fields["versionId"][0]
    operation = {"GET": "GetObject", "PUT": "PutObject"}[request.method]
    body = request.body
    if request.headers.get("transfer-encoding") == "chunked":
        body = _joined(_joined(body))  # botocore over TLS, with a checksum
    if "tagging" in fields:
        operation += "Tagging"
        if operation == "PutObjectTagging":
            tags = _TAG.findall(body.decode())
            pairs = [{"Key": unescape(key), "Value": unescape(value)} for key, value in tags]
            parameters["Tagging"] = {"TagSet": pairs}
    elif operation == "PutObject":
        metadata = {
            name.removeprefix(METADATA): value
            for name, value in request.headers.items()
            if name.startswith(METADATA)
        }
        parameters |= {"Body": body, "Metadata": metadata}
    return operation, parameters


def _joined(chunks: bytes) -> bytes:
    """The content of a chunked body."""
    content = b""
    while length := int(chunks.partition(b"\r\n")[0], 16):
        start = chunks.index(b"\r\n") + 2
        content += chunks[start : start + length]
        chunks = chunks[start + length + 2 :]
    return content


def answer(
    call: Callable[[str, dict[str, Any]], Answer], operation: str, parameters: dict[str, Any]
) -> Reply:
    """AWS's reply. `call` makes the call of a fake, such as `FakeClient.call`."""
    try:
        found = call(operation, parameters)
    except AwsError as error:
        reasons = {"CancellationReasons": error.reasons} if error.reasons else {}
        return refusal(operation, error.status, error.code, **reasons)
    # If a condition failed, a fake answers with the old item, and AWS with an error that has it.
    if operation == "UpdateItem" and "Item" in found:
        return refusal(operation, 400, CONDITION_FAILED, **found)
    return _s3_answer(found) if operation in ON_S3 else json_reply(found)


def refusal(operation: str, status: int, code: str, **more: Any) -> Reply:
    if operation in ON_S3:
        body = f"<Error><Code>{code}</Code></Error>".encode()
        return status, {"content-type": "application/xml"}, body
    return json_reply({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", **more}, status)


def json_reply(content: Answer, status: int = 200) -> Reply:
    return status, {"content-type": "application/x-amz-json-1.0"}, json.dumps(content).encode()


def _s3_answer(found: Answer) -> Reply:
    headers = {METADATA + name: value for name, value in found.get("Metadata", {}).items()}
    for parameter, name in _ANSWER_HEADERS.items():
        if parameter in found:
            headers[name] = found[parameter]
    if "TagSet" in found:
        tags = "".join(
            f"<Tag><Key>{escape(tag['Key'])}</Key><Value>{escape(tag['Value'])}</Value></Tag>"
            for tag in found["TagSet"]
        )
        return 200, headers, f"<Tagging><TagSet>{tags}</TagSet></Tagging>".encode()
    return 206 if "ContentRange" in found else 200, headers, found.get("Body", b"")


class Connection(asyncio.Protocol):
    """The server's end of a connection. A subclass implements `respond`.

    This is a protocol because asyncio's streams would take as long per call as the clients that the
    bench measures.
    """

    def __init__(self) -> None:
        self._received = b""
        self._continued = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        chunked = headers.get("transfer-encoding") == "chunked"
        if len(body) < int(headers.get("content-length", 0)) or (
            chunked and not body.endswith(b"\r\n0\r\n\r\n")
        ):
            if headers.get("expect") == "100-continue" and not self._continued:
                self._continued = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._received, self._continued = b"", False
        self.respond(Request(method, target, headers, body))

    def respond(self, request: Request) -> None:
        """Reply at once, later or never."""
        raise NotImplementedError

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        lines = [f"HTTP/1.1 {status} -", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if not self.transport.is_closing():
            self.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
