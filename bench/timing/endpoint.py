"""The fake AWS of bench/timing/server.py, seen from outside."""

import contextlib
import json
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

from local.emulator import aws


@dataclass
class Seen:
    """The calls that the fake AWS received."""

    calls: dict[str, int]
    bytes: int
    read_units: float
    write_units: int
    cpu_ms: float
    """CPU time of the fake AWS. If it is well below the time of a request, the fake is no bottleneck."""

    def each_of(self, requests: int) -> "Seen":
        """The share of one of `requests` equal requests."""
        calls = {name: count // requests for name, count in self.calls.items()}
        return Seen(
            calls,
            self.bytes // requests,
            self.read_units / requests,
            self.write_units // requests,
            self.cpu_ms / requests,
        )

    def named(self) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in sorted(self.calls.items()))


TRANSPORTS = ("HTTP", "TLS")


class Endpoint:
    """The fake AWS, seen from outside. Clients created after this one use it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._tls = self._get("/_tls")
        os.environ.update(aws.environment(url))
        os.environ["AWS_SESSION_TOKEN"] = "token" * 200  # about as long as a function's

    @contextlib.contextmanager
    def tls(self) -> Iterator[None]:
        """Clients that are created inside the context use TLS; so do child processes."""
        changes = {"AWS_ENDPOINT_URL": self._tls["url"], "AWS_CA_BUNDLE": self._tls["bundle"]}
        with mock.patch.dict(os.environ, changes):
            yield

    def over(self, transport: str) -> contextlib.AbstractContextManager[None]:
        """The context for a name of TRANSPORTS: like `tls`, or without any effect."""
        return self.tls() if transport == "TLS" else contextlib.nullcontext()

    def reset(self, table_words: int, delay_ms: float, writes_per_second: int = 0) -> None:
        changes = {"words": table_words, "delay_ms": delay_ms}
        if writes_per_second:
            changes["writes_per_second"] = writes_per_second
        body = json.dumps(changes).encode()
        urllib.request.urlopen(f"{self.url}/_reset", data=body).close()

    def put(self, path: str, content: bytes, times: int = 1) -> None:
        """Put an object into the fake S3: the content, repeated `times` times."""
        request = urllib.request.Request(f"{self.url}/{path}", data=content, method="PUT")
        urllib.request.urlopen(request).close()
        if times > 1:
            body = json.dumps({"path": path, "times": times}).encode()
            urllib.request.urlopen(f"{self.url}/_repeat", data=body).close()

    def seen(self) -> Seen:
        """The calls since the last call of `seen`."""
        return Seen(**self._get("/_calls"))

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)
