"""A fake AWS that costs next to nothing: the four calls of a request, in memory, after a delay.

An emulator's own time would drown what the bench measures. This one runs in a process of its own
(`python -m bench.endpoint` prints its address and ends with its standard input) and is told what
to be by `POST /_reset` with `{"words": …, "delay_ms": …}`, which empties the bucket and fills the
table; `GET /_calls` says what was called since, how many bytes moved and what DynamoDB would charge.
"""

import asyncio
import hashlib
import json
import math
import sys
import threading
from collections import Counter
from functools import cache
from typing import Any

from bench import corpus

PAGE_BYTES = 1024 * 1024  # DynamoDB's limit for one page of a scan


@cache
def real_words() -> list[tuple[str, int]]:
    return list(corpus.table(1_000_000).items())


class Cloud:
    def __init__(self) -> None:
        self.reset(0, 0)

    def reset(self, words: int, delay_ms: float) -> None:
        self.table = dict(real_words()[:words]) if words else {}
        self.segments: dict[tuple[int, int], list[str]] = {}
        self.object: tuple[bytes, dict[str, str]] | None = None
        self.delay = delay_ms / 1000
        self.forget()

    def forget(self) -> None:
        self.calls: Counter[str] = Counter()
        self.moved = 0
        self.read_units = 0.0
        self.write_units = 0

    def dynamodb(self, operation: str, request: dict[str, Any]) -> str:
        self.calls[operation] += 1
        if operation == "UpdateItem":
            self.write_units += 1  # an item of up to 1 kB
            word = request["Key"]["word"]["S"]
            added = int(request["ExpressionAttributeValues"][":n"]["N"])
            self.table[word] = self.table.get(word, 0) + added
            return json.dumps({"Attributes": {"times": {"N": str(self.table[word])}}})
        return self.scan(request)

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
        etag = self.object[1]["etag"] if self.object else None
        if ("if-match" in headers and headers["if-match"] != etag) or (
            "if-none-match" in headers and etag
        ):
            return 412, {}, b"<Error><Code>PreconditionFailed</Code></Error>"
        kept = {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
        kept["etag"] = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        self.object = body, kept
        return 200, {"etag": kept["etag"]}, b""

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {}
                for line in head[1:-2]:
                    name, value = line.split(":", 1)
                    headers[name.lower()] = value.strip()
                if headers.get("expect") == "100-continue":
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                writer.write(await self.answer(method, path, headers, body))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        status, extra, content = 200, {}, b""
        if path == "/_reset":
            self.reset(**json.loads(body))
        elif path == "/_calls":
            seen = {"calls": self.calls, "bytes": self.moved}
            seen |= {"read_units": self.read_units, "write_units": self.write_units}
            content = json.dumps(seen).encode()
            self.forget()
        else:
            if self.delay:
                await asyncio.sleep(self.delay)
            if "x-amz-target" in headers:
                operation = headers["x-amz-target"].split(".")[1]
                content = self.dynamodb(operation, json.loads(body)).encode()
                extra["content-type"] = "application/x-amz-json-1.0"
            else:
                status, extra, content = self.s3(method, headers, body)
            self.moved += len(body) + len(content)
        lines = [f"HTTP/1.1 {status} -", f"content-length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in extra.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + content


async def main() -> None:
    server = await asyncio.start_server(Cloud().connection, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
