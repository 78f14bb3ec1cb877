"""HTTP/1.1 to one host, over persistent connections, on one event loop.

An exchange returns a complete response or raises NoResponse. A connection is used again only if its
last response was complete, nothing followed it, and neither side is closing the connection.
"""

import asyncio
import random
import re
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024
"""DynamoDB returns at most 16 MB of items, which are larger as JSON."""

LOOKUP_SECONDS = 5
"""How long the result of a DNS lookup is kept, so that a batch needs only one lookup."""

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: .*)?")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_LENGTH = re.compile(r"[0-9]{1,9}")
_CHUNK_LENGTH = re.compile(rb"([0-9A-Fa-f]{1,7})[ \t]*(?:;.*)?")


class NoResponse(Exception):
    """A network failure; the message names its kind. Unless `sent`, the host received nothing."""

    def __init__(self, kind: str, *, sent: bool = True) -> None:
        super().__init__(kind)
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: Mapping[str, str]
    """Header names are in lowercase."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Timeouts:
    connect_seconds: float = 1
    """Limit for the DNS lookup, all addresses and the TLS handshake together."""
    answer_seconds: float = 2
    """Limit from sending a request to the last byte of its response."""
    idle_seconds: float = 30
    """How long an idle connection is kept. DynamoDB closes it after 60 to 90 s."""


def message(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Encode a request. Raise ValueError if a header's value is not one line of ASCII."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"content-length: {len(body)}", "accept-encoding: identity"]
    head = "\r\n".join(lines)
    if not head.isascii() or len(head.splitlines()) != len(lines):
        raise ValueError("a header's value must be one line of ASCII")
    return head.encode() + b"\r\n\r\n" + body


class _Connection(asyncio.Protocol):
    """Faster than asyncio's streams. It also knows whether unread bytes follow a response."""

    idle_since: float

    def __init__(self) -> None:
        self._received = bytearray()
        self._ended = False
        self._waiting: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > MAX_HEAD_BYTES + MAX_BODY_BYTES:
            self.drop()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, _: Exception | None) -> None:
        self.eof_received()

    def _wake(self) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)

    def is_clean(self) -> bool:
        """Whether everything was sent and read, and neither side has closed the connection."""
        unsent = self._transport.get_write_buffer_size()
        return not (self._received or unsent or self._ended or self._transport.is_closing())

    def drop(self) -> None:
        self._transport.abort()

    async def exchange(self, request: bytes) -> tuple[Response, bool]:
        """The response, and whether the host keeps the connection open after it."""
        self._transport.write(request)
        status = 100
        while status < 200:  # informational, such as 100 Continue, which no request here expects
            version, status, headers = _parse_head(await self._until(b"\r\n\r\n"))
        body = b"" if status in (204, 304) else await self._body(headers)
        if headers.get("x-amz-crc32", str(checksum := zlib.crc32(body))) != str(checksum):
            raise NoResponse("wrong checksum")
        close = "close" in headers.get("connection", "").lower()
        return Response(status, headers, body), version == 1 and not close

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        length, encoding = headers.get("content-length"), headers.get("transfer-encoding")
        if encoding is None and length is not None and _LENGTH.fullmatch(length):
            return await self._exactly(int(length))
        # AWS always sends a length. Without one, a truncated body would look complete.
        if encoding is None or encoding.lower() != "chunked" or length is not None:
            raise NoResponse("malformed response")
        body = bytearray()
        while True:
            line = _CHUNK_LENGTH.fullmatch(await self._until(b"\r\n"))
            if not line:
                raise NoResponse("malformed response")
            chunk_length = int(line[1], 16)
            if not chunk_length:
                break
            body += await self._exactly(chunk_length, len(body))
            if await self._exactly(2) != b"\r\n":
                raise NoResponse("malformed response")
        while await self._until(b"\r\n"):
            pass  # trailers
        return bytes(body)

    async def _until(self, end: bytes) -> bytes:
        while (at := self._received.find(end, 0, MAX_HEAD_BYTES)) < 0:
            if len(self._received) >= MAX_HEAD_BYTES:
                raise NoResponse("response too large")
            await self._receive()
        found = bytes(self._received[:at])
        del self._received[: at + len(end)]
        return found

    async def _exactly(self, length: int, before: int = 0) -> bytes:
        if before + length > MAX_BODY_BYTES:
            raise NoResponse("response too large")
        while len(self._received) < length:
            await self._receive()
        found = bytes(self._received[:length])
        del self._received[:length]
        return found

    async def _receive(self) -> None:
        if self._ended:
            raise NoResponse("connection closed")
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting


def _parse_head(head: bytes) -> tuple[int, int, dict[str, str]]:
    """The minor version, the status and the headers."""
    status_line, *lines = head.split(b"\r\n")
    status = _STATUS.fullmatch(status_line)
    if not status:
        raise NoResponse("malformed response")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        name, value = name.lower(), value.strip()
        if not _NAME.fullmatch(name):
            raise NoResponse("malformed response")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(status[1]), int(status[2]), headers


class Host:
    """One host, for any number of concurrent exchanges."""

    def __init__(
        self, name: str, port: int, tls: ssl.SSLContext | None, timeouts: Timeouts
    ) -> None:
        self._name = name
        self._port = port
        self._tls = tls
        self._timeouts = timeouts
        self._idle: list[_Connection] = []
        self._lookup: asyncio.Future[list[Any]] | None = None
        self._looked_up = 0.0

    async def exchange(self, request: bytes, until: float) -> Response:
        """Return the response to the request. `until` is the deadline by the loop's clock."""
        connection = self._take() or await self._connect(until)
        keep = False
        try:
            async with asyncio.timeout_at(_earlier(until, self._timeouts.answer_seconds)):
                response, keep = await connection.exchange(request)
        except TimeoutError:
            raise NoResponse("read timeout") from None
        finally:
            if keep and connection.is_clean():
                connection.idle_since = time.time()
                self._idle.append(connection)
            else:
                connection.drop()
        return response

    def close(self) -> None:
        while self._idle:
            self._idle.pop().drop()

    def _take(self) -> _Connection | None:
        """Return the most recently used connection that is still usable.

        Idle time is measured by the wall clock: Lambda freezes the process between requests, which may
        stop the monotonic clock.
        """
        while self._idle:
            connection = self._idle.pop()
            idle = time.time() - connection.idle_since
            if connection.is_clean() and 0 <= idle <= self._timeouts.idle_seconds:
                return connection
            connection.drop()
        return None

    async def _connect(self, until: float) -> _Connection:
        try:
            async with asyncio.timeout_at(_earlier(until, self._timeouts.connect_seconds)):
                return await self._open()
        except TimeoutError:
            raise NoResponse("connect timeout", sent=False) from None
        except OSError as error:  # such as gaierror or SSLCertVerificationError
            raise NoResponse(type(error).__name__, sent=False) from None

    async def _open(self) -> _Connection:
        """Connect to the first address that accepts. A retry tries the addresses in another order."""
        addresses, failure = await self._addresses(), OSError()
        for address in random.sample(addresses, len(addresses)):
            try:
                _, connection = await asyncio.get_running_loop().create_connection(
                    _Connection,
                    address,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._name if self._tls else None,
                )
            except OSError as error:
                failure = error
            else:
                return connection
        raise failure

    async def _addresses(self) -> list[str]:
        if not self._lookup or not 0 <= time.time() - self._looked_up <= LOOKUP_SECONDS:
            self._looked_up = time.time()
            self._lookup = asyncio.get_running_loop().run_in_executor(
                None, partial(socket.getaddrinfo, self._name, self._port, type=socket.SOCK_STREAM)
            )
        try:
            # Shielded: other connections wait for the same lookup.
            return [str(found[4][0]) for found in await asyncio.shield(self._lookup)]
        except OSError:
            self._lookup = None
            raise


def _earlier(until: float, seconds: float) -> float:
    return min(until, asyncio.get_running_loop().time() + seconds)
