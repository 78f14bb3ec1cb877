"""A fake AWS that costs next to nothing: the four calls of a request, in memory, after a delay.

An emulator's own time would drown what the bench measures. This one runs in a process of its own
(`python -m bench.endpoint` prints its address and ends with its standard input).
`POST /_reset` with `{"words": …, "delay_ms": …}` empties the bucket and fills the table; with
`"writes_per_second"` too, DynamoDB throttles the upserts above that rate. `GET /_calls` returns the calls
since the last one, the bytes they moved, what DynamoDB would charge and the CPU that the endpoint
used. `GET /_tls` returns the address of the same server behind TLS, and a file with the certificates
to trust: botocore's, so that loading them takes as long as on Lambda, and the server's own.
"""

import asyncio
import hashlib
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

from bench import corpus

PAGE_BYTES = 1024 * 1024  # DynamoDB's limit for one page of a scan


@cache
def real_words() -> list[tuple[str, int]]:
    return list(corpus.table(1_000_000).items())


class Cloud:
    def __init__(self) -> None:
        self.tls: dict[str, str] = {}
        self.reset(0, 0)

    def reset(self, words: int, delay_ms: float, writes_per_second: float = math.inf) -> None:
        self.table = dict(real_words()[:words]) if words else {}
        self.segments: dict[tuple[int, int], list[str]] = {}
        self.object: tuple[bytes, dict[str, str]] | None = None
        self.delay = delay_ms / 1000
        self.writes_per_second = writes_per_second
        self.written_until = 0.0
        self.forget()

    def forget(self) -> None:
        self.calls: Counter[str] = Counter()
        self.moved = 0
        self.read_units = 0.0
        self.write_units = 0
        self.cpu_seconds = time.process_time()

    def is_throttled(self) -> bool:
        """Whether another write exceeds the rate; a tenth of a second's worth may come at once."""
        now = time.monotonic()
        start = max(self.written_until, now - 0.1)
        if start + 1 / self.writes_per_second > now:
            return True
        self.written_until = start + 1 / self.writes_per_second
        return False

    def dynamodb(self, operation: str, request: dict[str, Any]) -> tuple[int, str]:
        if operation == "UpdateItem":
            if self.is_throttled():
                self.calls["throttled"] += 1
                return 400, '{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"}'
            self.calls[operation] += 1
            self.write_units += 1  # an item of up to 1 kB
            word = request["Key"]["word"]["S"]
            added = int(request["ExpressionAttributeValues"][":n"]["N"])
            self.table[word] = self.table.get(word, 0) + added
            return 200, f'{{"Attributes": {{"times": {{"N": "{self.table[word]}"}}}}}}'
        self.calls[operation] += 1
        return 200, self.scan(request)

    def scan(self, request: dict[str, Any]) -> str:
        part = request.get("Segment", 0), request.get("TotalSegments", 1)
        start = int(request.get("ExclusiveStartKey", {}).get("word", {}).get("S", 0))
        if not start:
            self.segments[part] = list(self.table)[part[0] :: part[1]]
        words = self.segments[part]
        items, size, end = [], 0, start
        last = min(len(words), start + request.get("Limit", len(words)))
        while end < last and size < PAGE_BYTES:
            word = words[end]
            times = str(self.table[word])
            # By hand, as these words need no escapes: json.dumps would take longer than all else.
            items.append(f'{{"word": {{"S": "{word}"}}, "times": {{"N": "{times}"}}}}')
            size += len("wordtimes") + len(word.encode()) + len(times) // 2 + 2
            end += 1
        self.read_units += math.ceil(size / 4096)  # a consistent read
        more = f', "LastEvaluatedKey": {{"word": {{"S": "{end}"}}}}' if end < len(words) else ""
        return f'{{"Items": [{", ".join(items)}], "Count": {len(items)}{more}}}'

    def s3(
        self, method: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        self.calls["GetObject" if method == "GET" else "PutObject"] += 1
        if method == "GET":
            if self.object is None:
                return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
            return 200, self.object[1], self.object[0]
        if headers.get("transfer-encoding") == "chunked":  # botocore over TLS, with a checksum
            body = joined(joined(body))
        etag = self.object[1]["etag"] if self.object else None
        if ("if-match" in headers and headers["if-match"] != etag) or (
            "if-none-match" in headers and etag
        ):
            return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
        kept = {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
        kept["etag"] = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        self.object = body, kept
        return 200, {"etag": kept["etag"]}, b""

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        status, extra, content = 200, {}, b""
        if path == "/_reset":
            self.reset(**json.loads(body))
        elif path == "/_calls":
            seen = {"calls": self.calls, "bytes": self.moved}
            seen |= {"read_units": self.read_units, "write_units": self.write_units}
            seen |= {"cpu_ms": (time.process_time() - self.cpu_seconds) * 1000}
            content = json.dumps(seen).encode()
            self.forget()
        elif path == "/_tls":
            content = json.dumps(self.tls).encode()
        else:
            if "x-amz-target" in headers:
                operation = headers["x-amz-target"].split(".")[1]
                status, text = self.dynamodb(operation, json.loads(body))
                content = text.encode()
                extra["content-type"] = "application/x-amz-json-1.0"
            else:
                status, extra, content = self.s3(method, headers, body)
            self.moved += len(body) + len(content)
        lines = [f"HTTP/1.1 {status} -", f"content-length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in extra.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + content


def joined(chunks: bytes) -> bytes:
    """The content of a chunked body."""
    content = b""
    while length := int(chunks.partition(b"\r\n")[0], 16):
        start = chunks.index(b"\r\n") + 2
        content += chunks[start : start + length]
        chunks = chunks[start + length + 2 :]
    return content


class Connection(asyncio.Protocol):
    """Not asyncio's streams: they would take as long for a call as the client under test."""

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
