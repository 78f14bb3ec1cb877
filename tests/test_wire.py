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
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from hostile import (
    CREDENTIALS,
    PATIENT,
    QUICK,
    SOON_SECONDS,
    UPDATE,
    Conversation,
    Peer,
    certificate,
    counted,
    one,
    response,
    sends,
    sends_and_stays,
    sends_once_and_stays,
    serving,
    well_behaved,
)
from wordtally.aws import environment
from wordtally.aws.connections import MAX_BODY_BYTES, Timeouts, message
from wordtally.aws.errors import MAX_ATTEMPTS, AwsError, AwsUnavailable
from wordtally.aws.thin import ThinClient


def update(client: ThinClient, seconds: float = 60) -> int:
    answer = one(client, "UpdateItem", UPDATE, time.monotonic() + seconds)
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
    "Connection: close, and it stays open": sends_once_and_stays(
        response(BODY, connection="close")
    ),
    "HTTP/1.0, and it stays open": sends_once_and_stays(response(BODY, version="1.0")),
    "Connection: close": sends(response(BODY, connection="close")),
    "HTTP/1.0": sends(response(BODY, version="1.0")),
    "no reason phrase": sends(b"HTTP/1.1 200\r\n" + GOOD.split(b"\r\n", 1)[1]),
    "right checksum": sends(response(BODY, x_amz_crc32=CRC)),
    "longer than announced": sends(GOOD + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "an unasked response follows": sends(GOOD, response(counted(1_000)), every=0.05),
}


@pytest.mark.parametrize("name", READABLE)
def test_it_reads(name: str, thin: Callable[..., ThinClient]) -> None:
    with serving(READABLE[name], well_behaved) as server:
        here = thin(server.url)
        assert update_at_once(here) == 7
        assert server.first_ended.wait(SOON_SECONDS)
        time.sleep(0.1)
        assert update_at_once(here) == 1  # on another connection, without bytes of the first
        assert update_at_once(here) == 2
    assert server.connections == 2
    assert len(server.requests) == 3


def forever(part: bytes, first: bytes = b"", every: float = 0) -> Conversation:
    def conversation(peer: Peer) -> None:
        peer.request()
        peer.send(first)
        while True:
            peer.send(part)
            time.sleep(every)

    return conversation


def silence(peer: Peer) -> None:
    peer.request()
    peer.wait_for_close()


def reset(peer: Peer) -> None:
    peer.request()
    peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


BROKEN: dict[str, tuple[Conversation, str]] = {
    "silence": (silence, "read timeout"),
    "closed without an answer": (sends(), "connection closed"),
    "reset": (reset, "connection closed"),
    "half a status line": (sends(b"HTTP/1.1 2"), "connection closed"),
    "cut off in the headers": (sends(HEAD[:-4]), "connection closed"),
    "cut off in the body": (sends(GOOD[:-1]), "connection closed"),
    "half, then silence": (forever(b"", GOOD[:-1], 0.01), "read timeout"),
    "chunked, cut off": (sends(CHUNKED + CHUNKS), "connection closed"),
    "chunked, cut off in a chunk": (sends(CHUNKED + CHUNKS[:-3]), "connection closed"),
    "chunked, no number": (sends(CHUNKED + b"-1\r\n"), "malformed response"),
    "chunked, too long a chunk": (sends(CHUNKED + b"1\r\nab\r\n0\r\n\r\n"), "malformed response"),
    "chunked and a length": (
        sends(response(BODY, transfer_encoding="chunked", content_length="9")),
        "malformed response",
    ),
    "unknown encoding": (sends(response(BODY, transfer_encoding="gzip")), "malformed response"),
    "no length": (sends(HEAD.split(b"\r\n")[0] + b"\r\n\r\n" + BODY), "malformed response"),
    "negative length": (sends(response(BODY, content_length="-1")), "malformed response"),
    "two lengths": (
        sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} "),
        "malformed response",
    ),
    "no HTTP": (sends(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), "malformed response"),
    "HTTP/2": (sends(b"HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\n{}"), "malformed response"),
    "no header": (sends(b"HTTP/1.1 200 OK\r\nno header\r\n\r\n"), "malformed response"),
    "folded header": (sends(b"HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\n\r\n"), "malformed response"),
    "endless headers": (forever(b"a: b\r\n" * 1000, b"HTTP/1.1 200 OK\r\n"), "response too large"),
    "endless status line": (forever(b"A" * 10_000), "response too large"),
    "endless 100 Continue": (
        forever(b"HTTP/1.1 100 Continue\r\n\r\n", every=0.001),
        "read timeout",
    ),
    "endless chunks": (
        forever(b"100000\r\n" + b" " * 0x100000 + b"\r\n", CHUNKED),
        "response too large",
    ),
    "too large": (
        sends(response(b"", content_length=str(MAX_BODY_BYTES + 1))),
        "response too large",
    ),
    "absurdly large": (sends(response(b"", content_length="9" * 30)), "malformed response"),
    "a byte now and then": (forever(b" ", HEAD.replace(b"42", b"99999"), 0.05), "read timeout"),
    "wrong checksum": (sends(response(BODY, x_amz_crc32="1")), "wrong checksum"),
    "no checksum": (sends(response(BODY, x_amz_crc32="crc")), "wrong checksum"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_it_gives_up_on(
    name: str, thin: Callable[..., ThinClient], caplog: pytest.LogCaptureFixture
) -> None:
    conversation, kind = BROKEN[name]
    with serving(conversation, conversation, conversation, well_behaved) as server:
        here = thin(server.url, Timeouts(20, 1) if kind == "read timeout" else PATIENT)
        started = time.monotonic()
        with pytest.raises(AwsUnavailable) as caught:
            update(here)
        assert kind != "read timeout" or time.monotonic() - started < SOON_SECONDS
        assert str(caught.value) == f"UpdateItem: {kind}"
        assert not caught.value.without_effect
        assert [update(here), update(here)] == [1, 2]
    assert server.connections == MAX_ATTEMPTS + 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("name", BROKEN)
def test_it_retries_after(name: str, thin: Callable[..., ThinClient]) -> None:
    conversation, kind = BROKEN[name]
    with serving(conversation, well_behaved) as server:
        here = thin(server.url, Timeouts(20, 1) if kind == "read timeout" else PATIENT)
        assert update(here) == 1
    assert server.connections == 2


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
def test_an_unreadable_answer_is_an_outage_and_is_not_retried(
    name: str, thin: Callable[..., ThinClient]
) -> None:
    with serving(sends_and_stays(GARBAGE[name])) as server:
        with pytest.raises(AwsUnavailable, match=r"^UpdateItem: unreadable answer$") as caught:
            update(thin(server.url))
        assert not caught.value.without_effect
    assert len(server.requests) == 1


def test_a_missing_field_makes_an_answer_unreadable(
    thin: Callable[..., ThinClient],
) -> None:
    with serving(sends_and_stays(response(b"{}"))) as server:
        here = thin(server.url.replace("localhost", "127.0.0.1"))
        for operation, parameters in [
            ("Scan", {}),
            ("BatchGetItem", {}),
            ("GetObject", {"Bucket": "b", "Key": "k"}),
        ]:
            with pytest.raises(AwsUnavailable, match="unreadable answer"):
                one(here, operation, parameters, time.monotonic() + 5)


@pytest.mark.parametrize("seconds", [-1, 0, 0.05, 0.4])
@pytest.mark.parametrize("name", ["silence", "a byte now and then"])
def test_the_deadline_holds(name: str, seconds: float, thin: Callable[..., ThinClient]) -> None:
    with serving(BROKEN[name][0]) as server:
        here = thin(server.url, Timeouts(60, 60))
        until = time.monotonic() + seconds
        with pytest.raises(AwsUnavailable):
            one(here, "UpdateItem", UPDATE, until)
        assert time.monotonic() - until < SOON_SECONDS
    assert len(server.requests) <= (seconds > 0)


def test_a_stuck_event_loop_does_not_hold_a_caller(thin: Callable[..., ThinClient]) -> None:
    with serving(well_behaved) as server:
        here = thin(server.url)
        update(here)
        released = threading.Event()
        assert here._loop
        here._loop.call_soon_threadsafe(released.wait)
        started = time.monotonic()
        with pytest.raises(AwsUnavailable, match=r"^UpdateItem: no answer in time$"):
            one(here, "UpdateItem", UPDATE, time.monotonic() + 0.1)
        assert time.monotonic() - started < SOON_SECONDS
        released.set()
        assert update(here) == 2


def test_connections_are_reused(thin: Callable[..., ThinClient]) -> None:
    with serving(well_behaved) as server:
        here = thin(server.url)
        assert [update(here) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert server.connections == 1


def test_a_host_that_closes_after_each_answer(thin: Callable[..., ThinClient]) -> None:
    with serving(sends(response(counted(1), connection="close"))) as server:
        here = thin(server.url)
        for _ in range(5):
            assert update_at_once(here) == 1
            time.sleep(0.02)
    assert server.connections == len(server.requests) == 5


@pytest.mark.parametrize("silently", [False, True])
def test_a_connection_that_was_lost_while_idle(
    silently: bool, thin: Callable[..., ThinClient]
) -> None:
    """The host closes the connection, or only stops answering, as after a freeze."""

    def once(peer: Peer) -> None:
        peer.request()
        peer.send(GOOD)
        if silently:
            peer.wait_for_close()

    with serving(once, well_behaved) as server:
        here = thin(server.url, Timeouts(20, 20, idle_seconds=0.2))
        assert update(here) == 7
        time.sleep(0.4)
        assert update_at_once(here) == 1
    assert len(server.requests) == 2


def test_idle_time_is_measured_by_the_wall_clock(thin: Callable[..., ThinClient]) -> None:
    with serving(well_behaved) as server:
        here = thin(server.url)
        assert update(here) == 1
        now = time.time()
        for jump in (3_600, -3_600):
            with mock.patch.object(time, "time", return_value=now + jump):
                assert update(here) == 1
        assert update(here) == 1
    assert server.connections == 4


def test_a_refused_connection(thin: Callable[..., ThinClient]) -> None:
    with serving(well_behaved) as server:
        pass
    with pytest.raises(AwsUnavailable, match=r"^UpdateItem: ConnectionRefusedError$") as caught:
        update(thin(server.url))
    assert caught.value.without_effect


def test_a_name_that_does_not_resolve(thin: Callable[..., ThinClient]) -> None:
    with mock.patch.object(socket, "getaddrinfo", side_effect=socket.gaierror(-2, "unknown")):
        with pytest.raises(AwsUnavailable, match=r"^UpdateItem: gaierror$") as caught:
            update(thin("http://name.invalid"))
        assert caught.value.without_effect


def test_a_lookup_without_an_answer(thin: Callable[..., ThinClient]) -> None:
    released = threading.Event()
    with mock.patch.object(socket, "getaddrinfo", side_effect=lambda *_, **__: released.wait(40)):
        started = time.monotonic()
        with pytest.raises(AwsUnavailable, match=r"^UpdateItem: connect timeout$"):
            update(thin("http://name.invalid", QUICK))
        assert time.monotonic() - started < SOON_SECONDS
        released.set()


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


def test_eight_addresses_that_do_not_answer(thin: Callable[..., ThinClient]) -> None:
    with deaf() as port:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 8
        with mock.patch.object(socket, "getaddrinfo", return_value=found):
            started = time.monotonic()
            with pytest.raises(AwsUnavailable, match=r"^UpdateItem: connect timeout$") as caught:
                update(thin(f"http://name.invalid:{port}", QUICK))
        assert time.monotonic() - started < SOON_SECONDS
        assert caught.value.without_effect


def test_the_next_address_is_tried(thin: Callable[..., ThinClient]) -> None:
    with serving(well_behaved) as server:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", server.port))
            for last in range(8, 0, -1)
        ]
        with mock.patch.object(socket, "getaddrinfo", return_value=found):
            assert update(thin(f"http://name.invalid:{server.port}")) == 1


def test_a_batch_needs_one_lookup(thin: Callable[..., ThinClient]) -> None:
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


class TestTls:
    @pytest.fixture(autouse=True)
    def _quiet(self) -> Iterator[None]:
        # The server's error for a refused handshake.
        with mock.patch.object(threading, "excepthook"):
            yield

    def test_a_known_issuer_and_the_right_name(
        self, thin: Callable[..., ThinClient], tmp_path: Path
    ) -> None:
        tls, bundle = certificate(tmp_path, "localhost")
        with serving(well_behaved, tls=tls) as server:
            here = thin(server.url, variables={"AWS_CA_BUNDLE": str(bundle)})
            assert [update(here), update(here)] == [1, 2]
        assert server.connections == 1

    @pytest.mark.parametrize("name", READABLE)
    def test_it_reads(self, name: str, thin: Callable[..., ThinClient], tmp_path: Path) -> None:
        tls, bundle = certificate(tmp_path, "localhost")
        with serving(READABLE[name], well_behaved, tls=tls) as server:
            here = thin(server.url, variables={"AWS_CA_BUNDLE": str(bundle)})
            assert update_at_once(here) == 7
            assert server.first_ended.wait(SOON_SECONDS)
            time.sleep(0.1)
            assert [update_at_once(here), update_at_once(here)] == [1, 2]

    @pytest.mark.parametrize("name", ["cut off in the body", "reset", "endless chunks"])
    def test_it_gives_up_on(
        self, name: str, thin: Callable[..., ThinClient], tmp_path: Path
    ) -> None:
        tls, bundle = certificate(tmp_path, "localhost")
        conversation, kind = BROKEN[name]
        with serving(conversation, tls=tls) as server:
            here = thin(server.url, variables={"AWS_CA_BUNDLE": str(bundle)})
            with pytest.raises(AwsUnavailable, match=f"^UpdateItem: {kind}$"):
                update(here)

    def test_the_wrong_name_is_refused(
        self, thin: Callable[..., ThinClient], tmp_path: Path
    ) -> None:
        tls, bundle = certificate(tmp_path, "elsewhere.example")
        with serving(well_behaved, tls=tls) as server:
            here = thin(server.url, variables={"AWS_CA_BUNDLE": str(bundle)})
            with pytest.raises(AwsUnavailable, match=r"SSLCertVerificationError$") as caught:
                update(here)
            assert caught.value.without_effect
        assert not server.requests

    def test_an_unknown_issuer_is_refused(
        self, thin: Callable[..., ThinClient], tmp_path: Path
    ) -> None:
        tls, _ = certificate(tmp_path, "localhost")
        refused = pytest.raises(AwsUnavailable, match=r"SSLCertVerificationError$")
        with serving(well_behaved, tls=tls) as server, refused:
            update(thin(server.url))
        assert not server.requests

    def test_a_handshake_without_an_answer(self, thin: Callable[..., ThinClient]) -> None:
        with serving(lambda peer: peer.wait_for_close()) as server:
            started = time.monotonic()
            with pytest.raises(AwsUnavailable, match=r"^UpdateItem: connect timeout$"):
                update(thin(server.url.replace("http:", "https:"), QUICK))
            assert time.monotonic() - started < SOON_SECONDS

    def test_no_certificates_are_reported_at_once(self, tmp_path: Path) -> None:
        nothing = mock.Mock(capath=str(tmp_path))
        with (
            mock.patch.object(
                ssl, "create_default_context", return_value=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            ),
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


def test_no_failure_names_a_value_or_a_host(thin: Callable[..., ThinClient]) -> None:
    body = b'{"__type": "com.amazonaws#ValidationException", "message": "naive text"}'
    refused = pytest.raises(AwsError, match=r"^UpdateItem: ValidationException$")
    with serving(sends_and_stays(response(body, "400 Bad Request"))) as server, refused as caught:
        update(thin(server.url))
    assert not isinstance(caught.value, AwsUnavailable)
