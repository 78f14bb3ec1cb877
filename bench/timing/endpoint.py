"""A fake AWS with very little overhead: bench/store.py behind HTTP, with a delay per call.

The overhead of a full emulator would hide the times that the bench measures. This one runs in a
separate process (`python -m bench.timing.endpoint` prints its address and ends when its standard input
is closed).

- `POST /_reset` with `{"words": …, "delay_ms": …}` empties the bucket and fills the table. With
  `"writes_per_second"`, DynamoDB throttles the writes above that rate.
- `POST /_repeat` multiplies the content of an object.
- `GET /_calls` returns the calls since the last `GET /_calls`, the bytes that they moved, the units that
  DynamoDB would charge, and the CPU time of the endpoint.
- `GET /_tls` returns the address of the same server over TLS, and a file with the certificates to trust:
  botocore's, so that loading them takes as long as on Lambda, and the server's own.
"""

import asyncio
import json
import math
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from functools import cache, partial
from pathlib import Path
from typing import Any

from fakes import cancelled, refused
from wordtally.aws.client import Answer
from wordtally.aws.errors import AwsError, Throttled
from wordtally.aws.operations import CONDITION_FAILED

from bench.store import Store
from bench.timing import corpus

METADATA = "x-amz-meta-"


@cache
def real_words() -> list[tuple[str, int]]:
    return list(corpus.table(1_000_000).items())


class Cloud:
    def __init__(self) -> None:
        self.tls: dict[str, str] = {}
        self.reset(0, 0)

    def reset(self, words: int, delay_ms: float, writes_per_second: float = math.inf) -> None:
        self.store = Store(dict(real_words()[:words]) if words else {})
        self.delay = delay_ms / 1000
        self.writes_per_second = writes_per_second
        self.written_until = 0.0
        self.forget()

    def forget(self) -> None:
        self.store.forget()
        self.moved = 0
        self.cpu_seconds = time.process_time()

    def repeat(self, path: str, times: int) -> None:
        self.store.bucket.objects[path.partition("/")[2]]["Body"] *= times

    def is_throttled(self, units: int) -> bool:
        """Whether `units` more exceed the rate. Bursts of a tenth of a second's worth are allowed."""
        now = time.monotonic()
        start = max(self.written_until, now - 0.1)
        if start + units / self.writes_per_second > now:
            return True
        self.written_until = start + units / self.writes_per_second
        return False

    def json_service(self, operation: str, request: dict[str, Any]) -> tuple[int, bytes]:
        """DynamoDB, Kinesis or SQS."""
        try:
            if operation == "UpdateItem" and self.is_throttled(1):
                raise refused(operation, "ThrottlingException")
            if operation == "TransactWriteItems":
                actions = request["TransactItems"]
                if self.is_throttled(2 * len(actions)):
                    raise cancelled(*["ThrottlingError"] * len(actions))
                request.pop("ClientRequestToken", None)
            answer = self.store.call(operation, request)
            if operation == "UpdateItem" and "Item" in answer:
                return 400, error_body(refused(operation, CONDITION_FAILED), answer)
            return 200, json.dumps(answer).encode()
        except AwsError as error:
            throttled = isinstance(error, Throttled) or (
                error.reasons and error.reasons[0]["Code"] == "ThrottlingError"
            )
            if throttled:
                self.store.calls.append("throttled")
            return 400, error_body(error)

    def s3(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        path, _, query = path.partition("?")
        bucket, _, key = path.lstrip("/").partition("/")  # path style, as for any IP address
        operation = ("GetObject" if method == "GET" else "PutObject") + (
            "Tagging" if query.startswith("tagging") else ""
        )
        if headers.get("transfer-encoding") == "chunked":  # botocore over TLS, with a checksum
            body = joined(joined(body))
        request: dict[str, Any] = {"Bucket": bucket, "Key": key}
        for parameter in ("If-Match", "If-None-Match", "Range"):
            if parameter.lower() in headers:
                request[parameter.replace("-", "")] = headers[parameter.lower()]
        if operation == "PutObject":
            metadata = {
                name.removeprefix(METADATA): value
                for name, value in headers.items()
                if name.startswith(METADATA)
            }
            request |= {"Body": body, "Metadata": metadata}
        if operation == "PutObjectTagging":
            request["Tagging"] = {"TagSet": [{"Key": "as", "Value": "sent"}]}
        try:
            answer = self.store.call(operation, request)
        except AwsError as error:
            return error.status, {}, f"<Error><Code>{error.code}</Code></Error>".encode()
        if operation == "GetObjectTagging":
            return 200, {}, b"<Tagging><TagSet></TagSet></Tagging>"
        extra = {METADATA + name: value for name, value in answer.get("Metadata", {}).items()}
        for name, parameter in (("etag", "ETag"), ("content-range", "ContentRange")):
            if parameter in answer:
                extra[name] = answer[parameter]
        status = 206 if "ContentRange" in answer else 200
        return status, extra, answer.get("Body", b"")

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        status, extra, content = 200, {}, b""
        if path == "/_reset":
            self.reset(**json.loads(body))
        elif path == "/_repeat":
            self.repeat(**json.loads(body))
        elif path == "/_calls":
            seen = {"calls": Counter(self.store.calls), "bytes": self.moved}
            seen |= {"read_units": self.store.read_units, "write_units": self.store.write_units}
            seen |= {"cpu_ms": (time.process_time() - self.cpu_seconds) * 1000}
            content = json.dumps(seen).encode()
            self.forget()
        elif path == "/_tls":
            content = json.dumps(self.tls).encode()
        else:
            if "x-amz-target" in headers:
                operation = headers["x-amz-target"].split(".")[1]
                status, content = self.json_service(operation, json.loads(body))
                extra["content-type"] = "application/x-amz-json-1.0"
            else:
                status, extra, content = self.s3(method, path, headers, body)
            self.moved += len(body) + len(content)
        lines = [f"HTTP/1.1 {status} -", f"content-length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in extra.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + content


def error_body(error: AwsError, more: Answer | None = None) -> bytes:
    """The error as DynamoDB's JSON."""
    document: Answer = {"__type": f"com.amazonaws.dynamodb.v20120810#{error.code}", **(more or {})}
    if error.reasons:
        document["CancellationReasons"] = error.reasons
    return json.dumps(document).encode()


def joined(chunks: bytes) -> bytes:
    """The content of a chunked body."""
    content = b""
    while length := int(chunks.partition(b"\r\n")[0], 16):
        start = chunks.index(b"\r\n") + 2
        content += chunks[start : start + length]
        chunks = chunks[start + length + 2 :]
    return content


class Connection(asyncio.Protocol):
    """A protocol: asyncio's streams would take as long per call as the client under test."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.received = b""
        self.continued = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        chunked = headers.get("transfer-encoding") == "chunked"
        if len(body) < int(headers.get("content-length", 0)) or (
            chunked and not body.endswith(b"\r\n0\r\n\r\n")
        ):
            if headers.get("expect") == "100-continue" and not self.continued:
                self.continued = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self.received, self.continued = b"", False
        if path.startswith("/_") or not self.cloud.delay:
            self.answer(method, path, headers, body)
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(self.cloud.delay, self.answer, method, path, headers, body)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        answer = self.cloud.answer(method, path, headers, body)
        if not self.transport.is_closing():
            self.transport.write(answer)


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1, and the file of certificates to trust."""
    import botocore

    own, key, bundle = folder / "own.pem", folder / "key.pem", folder / "bundle.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench"
    extensions = ["subjectAltName=IP:127.0.0.1", "keyUsage=critical,digitalSignature,keyCertSign"]
    subprocess.run(
        ["openssl", *request.split(), "-keyout", str(key), "-out", str(own)]
        + [part for extension in extensions for part in ("-addext", extension)],
        check=True,
        capture_output=True,
    )
    public = Path(botocore.__file__).with_name("cacert.pem")
    bundle.write_bytes(public.read_bytes() + own.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, key)
    return context, bundle


async def main(folder: Path) -> None:
    cloud, loop = Cloud(), asyncio.get_running_loop()
    context, bundle = certificate(folder)
    connection = partial(Connection, cloud)
    plain = await loop.create_server(connection, "127.0.0.1", 0, backlog=1024)
    secure = await loop.create_server(connection, "127.0.0.1", 0, backlog=1024, ssl=context)
    url = f"127.0.0.1:{secure.sockets[0].getsockname()[1]}"
    cloud.tls = {"url": f"https://{url}", "bundle": str(bundle)}
    print(f"http://127.0.0.1:{plain.sockets[0].getsockname()[1]}", flush=True)
    ended = asyncio.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
