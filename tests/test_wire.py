"""The thin client on a hostile network: no wrong answer, no hang, and no effect on the next call."""

import contextlib
import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hostile import (
    CREDENTIALS,
    PATIENT,
    QUICK,
    SOON_SECONDS,
    UPDATE,
    Conversation,
    MakeThin,
    Peer,
    answers,
    counted,
    forever,
    one,
    response,
    sends,
    serving,
    silence,
    well_behaved,
)
from wordtally.aws import environment
from wordtally.aws.connections import MAX_BODY_BYTES, Timeouts, message
from wordtally.aws.errors import MAX_ATTEMPTS, AwsError, AwsUnavailable
from wordtally.aws.thin import ThinClient

from local.certificate import certificate


def update(client: ThinClient, seconds: float = 60) -> int:
    answer = one(client, "UpdateItem", UPDATE, seconds)
    return int(answer["Attributes"]["times"]["N"])


def update_at_once(client: ThinClient) -> int:
    """Call UpdateItem without a retry."""
    retried: list[AwsError] = []
    answers = client.call_each("UpdateItem", [UPDATE], time.monotonic() + 60, retried.append)
    assert not retried
    return int(answers[0]["Attributes"]["times"]["N"])


GOOD = response(counted(7))
HEAD, BODY = GOOD.split(b"\r\n\r\n")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"".join(b"%x;name=value\r\n%c\r\n" % (1, byte) for byte in BODY)
CRC = str(zlib.crc32(BODY))

READABLE: dict[str, Conversation] = {
    "byte by byte": sends(*[bytes([byte]) for byte in GOOD], every=0.001),
    "chunked": sends(CHUNKED + CHUNKS + b"0\r\n\r\n"),
    "chunked, byte by byte": sends(
        *[bytes([byte]) for byte in CHUNKED + CHUNKS + b"0\r\nTrailer: x\r\n\r\n"]
    ),
    "100 Continue first": sends(
        b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 \r\nA: b\r\n\r\n", GOOD
    ),
    "Connection: close, and it stays open": sends(response(BODY, connection="close"), stays=True),
    "HTTP/1.0, and it stays open": sends(response(BODY, version="1.0"), stays=True),
    "Connection: close": sends(response(BODY, connection="close")),
    "HTTP/1.0": sends(response(BODY, version="1.0")),
    "no reason phrase": sends(b"HTTP/1.1 200\r\n" + GOOD.split(b"\r\n", 1)[1]),
    "right checksum": sends(response(BODY, x_amz_crc32=CRC)),
    "longer than announced": sends(GOOD + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "an unsolicited response follows": sends(GOOD, response(counted(1_000)), every=0.05),
}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, dict[str, str]]:
    """A server's TLS context, and the variables of a client that trusts it."""
    context, bundle = certificate(tmp_path_factory.mktemp("tls"), "DNS:localhost")
    return context, {"AWS_CA_BUNDLE": str(bundle)}


@pytest.mark.parametrize("secure", [False, True], ids=["HTTP", "HTTPS"])
@pytest.mark.parametrize("name", READABLE)
def test_it_reads_unusual_but_valid_responses(
    name: str, secure: bool, thin: MakeThin, tls: Any
) -> None:
    context, trusting = tls
    with serving(READABLE[name], well_behaved, tls=context if secure else None) as server:
        here = thin(server.url, variables=trusting)
        assert update_at_once(here) == 7
        assert server.first_ended.wait(SOON_SECONDS)
        time.sleep(0.1)
        assert update_at_once(here) == 1  # on another connection, without bytes of the first
        assert update_at_once(here) == 2
    assert server.connections == 2
    assert len(server.requests) == 3


def reset(peer: Peer) -> None:
    peer.request()
    peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


BROKEN: dict[str, dict[str, Conversation]] = {
    "read timeout": {
        "silence": silence,
        "half, then silence": forever(b"", GOOD[:-1], 0.01),
        "a byte now and then": forever(b" ", HEAD.replace(b"42", b"99999"), 0.05),
        "endless 100 Continue": forever(b"HTTP/1.1 100 Continue\r\n\r\n", every=0.001),
    },
    "connection closed": {
        "closed without an answer": sends(),
        "reset": reset,
        "half a status line": sends(b"HTTP/1.1 2"),
        "cut off in the headers": sends(HEAD[:-4]),
        "cut off in the body": sends(GOOD[:-1]),
        "chunked, cut off": sends(CHUNKED + CHUNKS),
        "chunked, cut off in a chunk": sends(CHUNKED + CHUNKS[:-3]),
    },
    "malformed response": {
        "chunked, no number": sends(CHUNKED + b"-1\r\n"),
        "chunked, too long a chunk": sends(CHUNKED + b"1\r\nab\r\n0\r\n\r\n"),
        "chunked and a length": sends(
            response(BODY, transfer_encoding="chunked", content_length="9")
        ),
        "unknown encoding": sends(response(BODY, transfer_encoding="gzip")),
        "no length": sends(HEAD.split(b"\r\n")[0] + b"\r\n\r\n" + BODY),
        "negative length": sends(response(BODY, content_length="-1")),
        "two lengths": sends(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} "
        ),
        "absurdly large": sends(response(b"", content_length="9" * 30)),
        "no HTTP": sends(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        "HTTP/2": sends(b"HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
        "no header": sends(b"HTTP/1.1 200 OK\r\nno header\r\n\r\n"),
        "folded header": sends(b"HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\n\r\n"),
    },
    "response too large": {
        "endless headers": forever(b"a: b\r\n" * 1000, b"HTTP/1.1 200 OK\r\n"),
        "endless status line": forever(b"A" * 10_000),
        "endless chunks": forever(b"100000\r\n" + b" " * 0x100000 + b"\r\n", CHUNKED),
        "too large": sends(response(b"", content_length=str(MAX_BODY_BYTES + 1))),
    },
    "wrong checksum": {
        "wrong checksum": sends(response(BODY, x_amz_crc32="1")),
        "no checksum": sends(response(BODY, x_amz_crc32="crc")),
    },
}
"""Conversations, by the kind of failure that the client reports, and by name."""
BROKEN_OVER_TLS = ["cut off in the body", "reset", "endless chunks"]
CASES = [(kind, name, False) for kind, names in BROKEN.items() for name in names]


@pytest.mark.parametrize(
    ("kind", "name", "secure"),
    [*CASES, *((kind, name, True) for kind, name, _ in CASES if name in BROKEN_OVER_TLS)],
)
def test_it_retries_broken_responses_and_then_gives_up(
    kind: str, name: str, secure: bool, thin: MakeThin, tls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    conversation = BROKEN[kind][name]
    good = sends(response(counted(1), connection="close"))
    conversations = [conversation, good, *[conversation] * MAX_ATTEMPTS, well_behaved]
    context, trusting = tls
    with serving(*conversations, tls=context if secure else None) as server:
        timeouts = Timeouts(20, 1) if kind == "read timeout" else PATIENT
        here = thin(server.url, timeouts, variables=trusting)
        assert update(here) == 1
        started = time.monotonic()
        with pytest.raises(AwsUnavailable) as caught:
            update(here)
        assert kind != "read timeout" or time.monotonic() - started < SOON_SECONDS
        assert str(caught.value) == f"UpdateItem: {kind}"
        assert not caught.value.without_effect
        assert [update(here), update(here)] == [1, 2]
    assert server.connections == len(conversations)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


GARBAGE: dict[str, bytes] = {
    "no JSON": response(b"<html>busy</html>"),
    "half of it": response(BODY[:-1]),
    "no UTF-8": response(b'{"a": "\xff"}'),
    "no object": response(b"[]"),
    "too deep": response(b"[" * 30_000),
    "nothing": response(b""),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "an HTML error": response(b"<html>bad gateway</html>", "403 Forbidden"),
    "a redirect to a page": response(b"<html>login</html>", "302 Found"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_an_unreadable_answer_is_an_outage_and_is_not_retried(name: str, thin: MakeThin) -> None:
    with serving(answers(GARBAGE[name])) as server:
        with pytest.raises(AwsUnavailable, match=r"^UpdateItem: unreadable answer$") as caught:
            update(thin(server.url))
        assert not caught.value.without_effect
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [("Scan", {}), ("BatchGetItem", {}), ("GetObject", {"Bucket": "b", "Key": "k"})],
)
def test_a_missing_field_makes_an_answer_unreadable(
    operation: str, parameters: dict[str, str], thin: MakeThin
) -> None:
    unreadable = pytest.raises(AwsUnavailable, match="unreadable answer")
    with serving(answers(response(b"{}"))) as server, unreadable:
        one(thin(server.url), operation, parameters)


@pytest.mark.parametrize("seconds", [-1, 0, 0.05, 0.4])
@pytest.mark.parametrize("name", ["silence", "a byte now and then"])
def test_the_deadline_holds(name: str, seconds: float, thin: MakeThin) -> None:
    with serving(BROKEN["read timeout"][name]) as server:
        here = thin(server.url, Timeouts(60, 60))
        started = time.monotonic()
        with pytest.raises(AwsUnavailable):
            update(here, seconds)
        assert time.monotonic() - started < SOON_SECONDS
    assert len(server.requests) <= (seconds > 0)


def test_a_stuck_event_loop_does_not_hold_a_caller(thin: MakeThin) -> None:
    with serving(well_behaved) as server:
        here = thin(server.url)
        update(here)
        released = threading.Event()
        assert here._loop
        here._loop.call_soon_threadsafe(released.wait)
        started = time.monotonic()
        with pytest.raises(AwsUnavailable, match=r"^UpdateItem: no answer in time$"):
            update(here, 0.1)
        assert time.monotonic() - started < SOON_SECONDS
        released.set()
        assert update(here) == 2


def test_idle_time_is_measured_by_the_wall_clock(thin: MakeThin) -> None:
    with serving(well_behaved) as server:
        here = thin(server.url)
        assert update(here) == 1
        now = time.time()
        for jump in (3_600, -3_600):
            with mock.patch.object(time, "time", return_value=now + jump):
                assert update(here) == 1
        assert update(here) == 1
    assert server.connections == 4


def expect_unreachable(client: ThinClient, kind: str) -> None:
    """The call fails soon, and certainly has no effect."""
    started = time.monotonic()
    with pytest.raises(AwsUnavailable) as caught:
        update(client)
    assert time.monotonic() - started < SOON_SECONDS
    assert str(caught.value) == f"UpdateItem: {kind}"
    assert caught.value.without_effect


def test_a_refused_connection(thin: MakeThin) -> None:
    with serving(well_behaved) as server:
        pass
    expect_unreachable(thin(server.url), "ConnectionRefusedError")


def test_a_name_that_does_not_resolve(thin: MakeThin) -> None:
    with mock.patch.object(socket, "getaddrinfo", side_effect=socket.gaierror(-2, "unknown")):
        expect_unreachable(thin("http://name.invalid"), "gaierror")


def test_a_lookup_without_an_answer(thin: MakeThin) -> None:
    released = threading.Event()
    with mock.patch.object(socket, "getaddrinfo", side_effect=lambda *_, **__: released.wait(40)):
        expect_unreachable(thin("http://name.invalid", QUICK), "connect timeout")
        released.set()


def resolving_to(addresses: Iterable[str], port: int) -> Any:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]
    return mock.patch.object(socket, "getaddrinfo", return_value=found)


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """A port that accepts no further connections, like an address that drops every packet."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield listener.getsockname()[1]


def test_eight_addresses_that_do_not_answer(thin: MakeThin) -> None:
    with deaf() as port, resolving_to(["127.0.0.1"] * 8, port):
        expect_unreachable(thin(f"http://name.invalid:{port}", QUICK), "connect timeout")


def test_the_next_address_is_tried(thin: MakeThin) -> None:
    addresses = [f"127.0.0.{last}" for last in range(8, 0, -1)]
    with serving(well_behaved) as server, resolving_to(addresses, server.port):
        assert update(thin(f"http://name.invalid:{server.port}")) == 1


def test_a_batch_needs_one_lookup(thin: MakeThin) -> None:
    lookup = mock.patch.object(socket, "getaddrinfo", wraps=socket.getaddrinfo)
    with serving(well_behaved) as server, lookup as lookups:
        here = thin(server.url)
        answers = here.call_each("UpdateItem", [UPDATE] * 100, time.monotonic() + 10)
    assert len(answers) == 100
    assert lookups.call_count == 1
    assert server.connections <= 64


@pytest.mark.parametrize("refuses", [b"\r", b"\n", b"\x85", "é".encode()])
def test_a_header_cannot_end_early(refuses: bytes) -> None:
    with pytest.raises(ValueError, match="one line of ASCII"):
        message("GET", "/", {"x-amz-meta-name": f"value{refuses.decode('latin-1')}x: y"})


@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_of_the_wrong_name_or_issuer_is_refused(
    trusted: bool, thin: MakeThin, tmp_path: Path
) -> None:
    """The wrong name under a trusted issuer, or the right name under another issuer."""
    name = "elsewhere.example" if trusted else "localhost"
    context, bundle = certificate(tmp_path, f"DNS:{name}")
    with serving(well_behaved, tls=context) as server:
        here = thin(server.url, variables={"AWS_CA_BUNDLE": str(bundle)} if trusted else {})
        expect_unreachable(here, "SSLCertVerificationError")
    assert not server.requests


def test_a_handshake_without_an_answer(thin: MakeThin) -> None:
    with serving(lambda peer: peer.wait_for_close()) as server:
        here = thin(server.url.replace("http:", "https:"), QUICK)
        expect_unreachable(here, "connect timeout")


def test_no_certificates_are_reported_at_once(tmp_path: Path) -> None:
    nothing, empty = mock.Mock(capath=str(tmp_path)), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with (
        mock.patch.object(ssl, "create_default_context", return_value=empty),
        mock.patch.object(ssl, "get_default_verify_paths", return_value=nothing),
        pytest.raises(RuntimeError, match="no CA certificates"),
    ):
        environment.tls_context({})


FROZEN = """
import json, sys, time
from wordtally.aws.thin import ThinClient
from wordtally.aws.connections import Timeouts
client = ThinClient("eu-west-3", json.loads(sys.argv[1]), timeouts=Timeouts(2, 5, idle_seconds=1))
update = {"TableName": "words", "Key": {"word": {"S": "a"}}}
for _ in sys.stdin:
    answers = client.call_each("UpdateItem", [update] * 20, time.monotonic() + 10)
    print(len(answers), flush=True)
"""


@pytest.mark.parametrize("host_closes", [True, False], ids=["closed", "forgotten"])
def test_freeze_and_thaw(host_closes: bool) -> None:
    """The process is stopped for so long that the host closes the connection or forgets it."""

    def short_lived(peer: Peer) -> None:
        peer.connection.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while True:
                peer.request()
                peer.send(GOOD)
        if not host_closes:
            peer.connection.settimeout(None)
            peer.wait_for_close()

    with serving(short_lived) as server:
        variables = {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url}
        with subprocess.Popen(
            [sys.executable, "-c", FROZEN, json.dumps(variables)],
            env={**os.environ, "PYTHONPATH": "app"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            try:
                for _ in range(3):
                    process.stdin.write("\n")
                    process.stdin.flush()
                    assert process.stdout.readline() == "20\n"
                    os.kill(process.pid, signal.SIGSTOP)
                    time.sleep(1.5)
                    os.kill(process.pid, signal.SIGCONT)
            finally:
                process.stdin.close()
        # A request on a dead connection would have been sent twice.
        assert len(server.requests) == 60


def test_importing_does_no_io() -> None:
    watch = (
        "import sys; sys.addaudithook(lambda event, _: event.startswith('socket.') and sys.exit(event));"
        "import wordtally.aws.thin; import threading; assert threading.active_count() == 1"
    )
    subprocess.run(
        [sys.executable, "-c", watch], env={**os.environ, "PYTHONPATH": "app"}, check=True
    )
