"""A fake AWS with very little overhead: bench/store.py behind HTTP, with a delay per call.

The overhead of a full emulator would hide the times that the bench measures. This one runs in a
separate process (`python -m bench.timing.server` prints its address and ends when its standard input
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
import sys
import tempfile
import threading
import time
from collections import Counter
from functools import cache, partial
from pathlib import Path
from typing import Any

import botocore
from aws_protocols import Connection, Reply, Request, answer, call_of, json_reply
from fakes import cancelled, refused
from wordtally.aws.client import Answer

from bench.store import Store
from bench.timing import corpus
from local.certificate import certificate


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
        """Whether `units` more exceed the rate; if so, count a throttled call. Bursts of a tenth of a
        second's worth are allowed."""
        now = time.monotonic()
        start = max(self.written_until, now - 0.1)
        if start + units / self.writes_per_second > now:
            self.store.calls.append("throttled")
            return True
        self.written_until = start + units / self.writes_per_second
        return False

    def call(self, operation: str, parameters: dict[str, Any]) -> Answer:
        if operation == "UpdateItem" and self.is_throttled(1):
            raise refused(operation, "ThrottlingException")
        if operation == "TransactWriteItems":
            actions = parameters["TransactItems"]
            if self.is_throttled(2 * len(actions)):
                raise cancelled(*["ThrottlingError"] * len(actions))
            parameters.pop("ClientRequestToken", None)
        return self.store.call(operation, parameters)

    def answer(self, request: Request) -> Reply:
        """AWS's answer."""
        reply = answer(self.call, *call_of(request))
        self.moved += len(request.body) + len(reply[2])
        return reply

    def control(self, request: Request) -> Reply:
        """The answer to one of the requests that this module's docstring lists."""
        content: dict[str, Any] = {}
        if request.target == "/_reset":
            self.reset(**json.loads(request.body))
        elif request.target == "/_repeat":
            self.repeat(**json.loads(request.body))
        elif request.target == "/_calls":
            content = {"calls": Counter(self.store.calls), "bytes": self.moved}
            content |= {"read_units": self.store.read_units, "write_units": self.store.write_units}
            content |= {"cpu_ms": (time.process_time() - self.cpu_seconds) * 1000}
            self.forget()
        elif request.target == "/_tls":
            content = self.tls
        return json_reply(content)


class Exchange(Connection):
    """A connection whose replies are delayed, except those to control requests."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self._cloud = cloud

    def respond(self, request: Request) -> None:
        if request.target.startswith("/_"):
            self.reply(*self._cloud.control(request))
        elif not self._cloud.delay:
            self._answer(request)
        else:
            asyncio.get_running_loop().call_later(self._cloud.delay, self._answer, request)

    def _answer(self, request: Request) -> None:
        self.reply(*self._cloud.answer(request))


async def main(folder: Path) -> None:
    cloud, loop = Cloud(), asyncio.get_running_loop()
    context, own = certificate(folder, "IP:127.0.0.1")
    bundle = folder / "bundle.pem"
    bundle.write_bytes(
        Path(botocore.__file__).with_name("cacert.pem").read_bytes() + own.read_bytes()
    )
    connection = partial(Exchange, cloud)
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
