"""The product on one machine: the look-alike of the HTTP API, and `make run` as a process."""

import contextlib
import io
import json
import logging
import os
import shlex
import signal
import socket
import subprocess
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import requests
from conftest import MAKE_RUN, running_product
from wordtally import handler

from local.emulator import aws
from local.program import curl_line, started
from local.server import KEY, key_of_environment
from local.services import gateway
from local.services.deployed import Deployed
from local.services.gateway import Event, FunctionError, Gateway, Route, Throttle
from local.services.http_server import HttpServer
from local.services.instances import InProcessFunction, log_to_stdout
from local.services.runtime import RuntimeFunction

ROOT = Path(__file__).parents[1]

Serve = Callable[[Any], str]
MakeRun = Callable[..., subprocess.Popen[str]]
Lines = Callable[[], list[Any]]


class Recorder:
    """Implements gateway.Function: records its events, and returns or raises `result`."""

    def __init__(self, result: Any = None) -> None:
        self.events: list[Event] = []
        self.result = result

    def invoke(self, event: Event) -> Any:
        self.events.append(event)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


OK = {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": "{}"}


def exchange(url: str, sent: bytes) -> bytes:
    """The server's answer to `sent`, byte for byte."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


class TestEvents:
    @pytest.fixture
    def function(self) -> Recorder:
        return Recorder(OK)

    @pytest.fixture
    def url(self, serve: Serve, function: Recorder) -> str:
        return serve(Gateway({"POST /": Route(function)}))

    def test_payload_format_2(self, url: str, function: Recorder) -> None:
        requests.post(
            f"{url}?a=1&b=&a=2",
            data='{"parameter": "é"}'.encode(),
            headers={"Content-Type": "application/json; charset=utf-8", "X-Custom": "One"},
            cookies={"c": "d"},
            timeout=10,
        )
        (event,) = function.events
        assert event["version"] == "2.0"
        assert event["routeKey"] == "POST /"
        assert event["rawPath"] == "/"
        assert event["rawQueryString"] == "a=1&b=&a=2"
        assert event["queryStringParameters"] == {"a": "1,2", "b": ""}
        assert event["cookies"] == ["c=d"]
        assert event["headers"]["x-custom"] == "One"
        assert "cookie" not in event["headers"]
        assert all(name == name.lower() for name in event["headers"])
        assert event["requestContext"]["http"]["method"] == "POST"
        assert event["requestContext"]["stage"] == "$default"
        assert (event["body"], event["isBase64Encoded"]) == ('{"parameter": "é"}', False)

    @pytest.mark.parametrize(
        ("content_type", "is_text"),
        [
            ("application/json", True),
            ("text/plain", True),
            ("application/xml", True),
            ("application/javascript", True),
            ("application/x-www-form-urlencoded", False),
            ("application/octet-stream", False),
            (None, False),
        ],
    )
    def test_only_textual_bodies_are_text(
        self, url: str, function: Recorder, content_type: str | None, is_text: bool
    ) -> None:
        requests.post(url, data=b"hello", headers={"Content-Type": content_type}, timeout=10)
        (event,) = function.events
        expected = ("hello", False) if is_text else ("aGVsbG8=", True)
        assert (event["body"], event["isBase64Encoded"]) == expected

    def test_a_request_without_a_body_has_an_event_without_one(
        self, url: str, function: Recorder
    ) -> None:
        requests.post(url, timeout=10)
        assert "body" not in function.events[0]

    def test_a_body_over_10_mb_is_413_and_does_not_reach_the_function(
        self, url: str, function: Recorder
    ) -> None:
        limit = 10 * 1024 * 1024
        assert requests.post(url, data=b"x" * limit, timeout=10).status_code == 200
        answer = requests.post(url, data=b"x" * (limit + 1), timeout=10)
        assert (answer.status_code, answer.json()) == (413, {"message": "Request Entity Too Large"})
        chunks = (b"x" * 1024 for _ in range(10 * 1024 + 1))
        assert requests.post(url, data=chunks, timeout=10).status_code == 413
        assert len(function.events) == 1

    def test_unknown_routes_are_404(self, url: str, function: Recorder) -> None:
        for method, path in [("GET", ""), ("PUT", ""), ("POST", "other"), ("DELETE", "x/y")]:
            answer = requests.request(method, url + path, timeout=10)
            assert (answer.status_code, answer.text) == (404, '{"message":"Not Found"}')
        assert function.events == []

    @pytest.mark.parametrize(
        "body",
        [
            b"Transfer-Encoding: chunked\r\n\r\nhush-text\r\nPOST / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nhush-text\r\n",
            b"Content-Length: 100\r\n\r\nhush-text",
        ],
        ids=["malformed chunk", "absurdly large chunk", "cut off"],
    )
    def test_a_broken_body_gets_400_is_not_logged_and_ends_the_connection(
        self, url: str, function: Recorder, capfd: pytest.CaptureFixture[str], body: bytes
    ) -> None:
        answer = exchange(url, b"POST / HTTP/1.1\r\nHost: h\r\n" + body)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.endswith(b'{"message":"Bad Request"}')
        assert function.events == []
        assert "hush" not in "".join(capfd.readouterr())

    def test_an_answer_to_head_has_no_body(self, url: str) -> None:
        answer = exchange(url, b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert answer.endswith(b"\r\n\r\n")

    def test_duplicate_headers_are_joined_and_names_with_an_underscore_are_dropped(
        self, url: str, function: Recorder
    ) -> None:
        """WSGI cannot tell Idempotency_Key from Idempotency-Key."""
        head = (
            b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n"
            b"Idempotency-Key: one\r\nidempotency-key: two\r\nIdempotency_Key: three\r\n"
            b"Accept: text/html\r\nAccept: */*\r\nX-Custom: b, c\r\nx-custom: d\r\n"
            b"Cookie: first=1; second=2\r\nCookie: third=3\r\n\r\n"
        )
        assert exchange(url, head).startswith(b"HTTP/1.1 200 ")
        (event,) = function.events
        assert event["headers"]["idempotency-key"] == "one,two"
        assert event["headers"]["x-custom"] == "b, c,d"
        assert event["headers"]["accept"] == "text/html,*/*"
        assert event["cookies"] == ["first=1", "second=2", "third=3"]

    def test_the_api_times_out_if_the_function_does_not_answer(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answered = threading.Event()
        function = mock.Mock(invoke=lambda _: answered.wait(10))
        monkeypatch.setattr(gateway, "TIMEOUT_SECONDS", 0.1)
        url = serve(Gateway({"POST /": Route(function)}))
        answer = requests.post(url, timeout=5)
        answered.set()
        assert (answer.status_code, answer.text) == (503, '{"message":"Service Unavailable"}')


class TestAnswers:
    @pytest.mark.parametrize(
        ("result", "status", "body"),
        [
            ({"statusCode": "many"}, 500, '{"message":"Internal Server Error"}'),
            ({"statusCode": 418, "body": "short"}, 418, "short"),
            ({"statusCode": 200, "body": "aGk=", "isBase64Encoded": True}, 200, "hi"),
            ({"no": "status"}, 200, '{"no": "status"}'),
        ],
    )
    def test_results_become_answers(
        self, serve: Serve, result: Any, status: int, body: str
    ) -> None:
        url = serve(Gateway({"POST /": Route(Recorder(result))}))
        answer = requests.post(url, timeout=10)
        assert (answer.status_code, answer.text) == (status, body)


class TestAuthorizer:
    @pytest.mark.parametrize(
        ("key", "verdict", "status"),
        [
            (None, {"isAuthorized": True}, 401),
            ("wrong", {"isAuthorized": False}, 403),
            ("right", {"isAuthorized": True}, 200),
            ("right", FunctionError(), 500),
        ],
    )
    def test_the_function_is_called_only_if_the_authorizer_accepts_the_key(
        self, serve: Serve, key: str | None, verdict: Any, status: int
    ) -> None:
        """The authorizer gets the request without its body, and is not called if there is no key."""
        function, authorizer = Recorder(OK), Recorder(verdict)
        url = serve(Gateway({"POST /": Route(function, authorizer)}))
        headers = {"X-Api-Key": key} if key else {}
        answer = requests.post(url, json={"parameter": "a"}, headers=headers, timeout=10)
        assert answer.status_code == status
        assert len(function.events) == (status == 200)
        assert [event["identitySource"] for event in authorizer.events] == [[key]] * bool(key)
        assert all(event["type"] == "REQUEST" for event in authorizer.events)
        assert not any("body" in event for event in authorizer.events)


class TestThrottling:
    def test_the_bucket_accepts_a_burst_and_refills_at_its_rate(self) -> None:
        now = 0.0
        assert not Throttle(rate_per_second=0, burst=0).admits()
        bucket = Throttle(rate_per_second=2, burst=3, clock=lambda: now)
        assert [bucket.admits() for _ in range(4)] == [True, True, True, False]
        now = 0.4
        assert not bucket.admits()
        now = 0.5
        assert [bucket.admits(), bucket.admits()] == [True, False]
        now = 60.0  # the bucket holds no more than a burst
        assert [bucket.admits() for _ in range(4)] == [True, True, True, False]

    def test_concurrent_requests_share_the_tokens(self) -> None:
        bucket = Throttle(rate_per_second=1, burst=50, clock=lambda: 0.0)
        with ThreadPoolExecutor(8) as pool:
            admitted = list(pool.map(lambda _: bucket.admits(), range(200)))
        assert admitted.count(True) == 50

    def test_a_request_over_the_limits_is_429_and_calls_no_function(self, serve: Serve) -> None:
        function, authorizer = Recorder(OK), Recorder({"isAuthorized": True})
        throttle = Throttle(rate_per_second=1, burst=2, clock=lambda: 0.0)
        url = serve(Gateway({"POST /": Route(function, authorizer)}, throttle=throttle))
        headers = {"x-api-key": "key"}
        assert requests.get(url, timeout=10).status_code == 404  # no route, so no token is taken
        answers = [requests.post(url, headers=headers, timeout=10) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].text == '{"message":"Too Many Requests"}'
        assert len(function.events) == len(authorizer.events) == 2

    def test_make_stack_has_the_limits_of_the_stage_in_the_emulated_aws(self, serve: Serve) -> None:
        with aws.running("local.emulator.whole_aws") as cloud:
            apis = aws.client("apigatewayv2", cloud)
            api = apis.create_api(Name="wordtally", ProtocolType="HTTP")
            apis.create_stage(
                ApiId=api["ApiId"],
                StageName="$default",
                DefaultRouteSettings={"ThrottlingRateLimit": 0.01, "ThrottlingBurstLimit": 2},
            )
            deployed = Deployed(cloud, "wordtally").gateway()
        deployed.routes = {"POST /": Route(Recorder(OK))}
        url = serve(deployed)
        answers = [requests.post(url, timeout=10).status_code for _ in range(3)]
        assert answers == [200, 200, 429]


class TestLog:
    @pytest.fixture
    def lines(self, capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
        """Returns the lines of the log. Restores the logger that log_to_stdout changes."""
        logger = logging.getLogger("wordtally")
        handlers = list(logger.handlers)
        yield lambda: list(map(json.loads, capsys.readouterr().out.splitlines()))
        logger.handlers[:] = handlers

    def test_each_line_has_the_id_of_its_own_request(self, lines: Lines) -> None:
        """Four instances log at the same time."""
        together = threading.Barrier(4)
        logger = logging.getLogger("wordtally")

        def handle(event: Event, context: Any) -> str:
            together.wait(timeout=10)
            logger.info("request", extra={"number": event["number"]})
            together.wait(timeout=10)
            return str(context.aws_request_id)

        function = InProcessFunction(lambda: handle)
        log_to_stdout()
        logger.info("outside")
        with ThreadPoolExecutor(4) as pool:
            ids = list(pool.map(lambda number: function.invoke({"number": number}), range(8)))
        outside, *requests = lines()
        assert "requestId" not in outside
        assert len(set(ids)) == 8
        assert {line["number"]: line["requestId"] for line in requests} == dict(enumerate(ids))

    def test_the_id_in_the_answer_to_an_unexpected_error_is_in_the_log_with_the_trace(
        self, serve: Serve, lines: Lines
    ) -> None:
        log_to_stdout()
        broken = mock.Mock(side_effect=RuntimeError)
        function = InProcessFunction(lambda: partial(handler.handle, broken))
        url = serve(Gateway({"POST /": Route(function)}))
        answer = requests.post(url, json={"parameter": "a"}, timeout=10)
        assert answer.status_code == 500
        trace, summary = lines()
        assert trace["requestId"] == summary["requestId"] == answer.json()["request_id"]
        assert "trace" in trace


class TestRuntime:
    @pytest.fixture
    def function(self) -> Iterator[RuntimeFunction]:
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr(
                "greeter.py",
                "import os\n"
                "def greet(event, context):\n"
                "    print('greeting')\n"
                "    return os._exit(1) if event == 'die' else os.getpid()\n",
            )
        configuration = {
            "FunctionName": "greeter",
            "Version": "1",
            "Handler": "greeter.greet",
            "MemorySize": 128,
            "Timeout": 20,
        }
        function = RuntimeFunction(configuration, code.getvalue(), {})
        yield function
        function.stop()

    def test_an_instance_is_reused_and_its_output_is_kept_and_logged(
        self, function: RuntimeFunction, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "local.services.runtime")
        assert function.invoke({}) == function.invoke({})
        function.stop()
        assert function.log == ["greeting\n"] * 2
        assert caplog.messages == ["greeting"] * 2

    def test_when_an_instance_crashes_its_call_fails_and_the_next_call_gets_another(
        self, function: RuntimeFunction
    ) -> None:
        first: int = function.invoke({})
        with pytest.raises(FunctionError):
            function.invoke("die")  # type: ignore[arg-type]
        assert function.invoke({}) != first

    def test_after_a_crash_between_calls_the_next_call_gets_another_instance(
        self, function: RuntimeFunction
    ) -> None:
        first: int = function.invoke({})
        os.kill(first, signal.SIGKILL)
        function._idle[0]._reader.join()  # until the process has exited
        assert function.invoke({}) != first


class TestServer:
    def test_concurrent_clients_wait_their_turn(self) -> None:
        """No connection is refused or reset while it waits to be accepted."""
        server = HttpServer(Gateway({}))  # listens, but accepts no connection yet
        with contextlib.ExitStack() as stack:
            stack.callback(server.stop)
            for _ in range(100):
                stack.enter_context(socket.create_connection(server.bind_addr, timeout=5))


class TestProduct:
    def post(self, url: str, text: str) -> requests.Response:
        return requests.post(url, json={"parameter": text}, timeout=60)

    def test_concurrent_clients_get_an_exact_report(self, product: str) -> None:
        """8 clients with their own words make 15 requests each. The top ten contain only their words."""
        words = [f"shared{number}" for number in range(12)]

        def client(first: int) -> Counter[str]:
            sent: Counter[str] = Counter()
            for turn in range(15):
                text = [words[(first + turn + step) % 12] for step in range(4)] * 10
                assert self.post(product, " ".join(text)).status_code == 200
                sent.update(text)
            return sent

        with ThreadPoolExecutor(8) as pool:
            totals = sum(pool.map(client, range(8)), Counter[str]())
        report = requests.get(self.post(product, "last").json()["url"], timeout=10).json()
        expected = sorted(totals.items(), key=lambda entry: (-entry[1], entry[0]))[:10]
        assert [(entry["word"], entry["times"]) for entry in report["top10words"]] == expected

    def test_no_request_fails_while_requests_scan_the_table(self) -> None:
        with running_product() as product, ThreadPoolExecutor(32) as pool:
            assert self.post(product, " ".join(f"w{number}" for number in range(800))).ok
            answers = list(pool.map(lambda _: self.post(product, "scanned"), range(32)))
            assert [answer.status_code for answer in answers] == [200] * 32
            report = requests.get(self.post(product, "scanned").json()["url"], timeout=10).json()
        assert report["top10words"][0] == {"word": "scanned", "times": 33}


@pytest.fixture
def make_run() -> Iterator[MakeRun]:
    """Starts the program of `make run`."""
    with contextlib.ExitStack() as stack:

        def start(**variables: str) -> subprocess.Popen[str]:
            process = stack.enter_context(started(MAKE_RUN, **variables))
            stack.callback(process.kill)
            return process

        yield start


class TestMakeRun:
    @pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_it_exits_immediately_and_leaves_nothing_running(
        self, make_run: MakeRun, ending: signal.Signals
    ) -> None:
        process = make_run()
        curl_line(process)
        listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, check=True)
        emulator = int(listed.stdout)  # its only child
        process.send_signal(ending)
        assert process.wait(timeout=5) == (-ending if ending == signal.SIGKILL else 0)
        for _ in range(50):
            if not Path(f"/proc/{emulator}").exists():
                return
            time.sleep(0.1)
        raise AssertionError("the emulated AWS is still running")

    def test_the_printed_curl_line_works_as_pasted_and_its_url_opens(
        self, make_run: MakeRun
    ) -> None:
        line = curl_line(make_run(API_KEY="it's$HOME/and-more"))
        answer = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
        url = json.loads(answer.stdout)["url"]
        report = subprocess.run(["curl", "-s", url], capture_output=True, text=True, check=True)
        assert json.loads(report.stdout)["top10words"][0] == {"word": "hello", "times": 1}

    def test_proxies_and_aws_profiles_of_the_user_are_ignored(
        self, make_run: MakeRun, tmp_path: Path
    ) -> None:
        (tmp_path / "config").write_text("[default]\nignore_configured_endpoint_urls = true\n")
        nowhere = "http://127.0.0.1:9"
        process = make_run(
            HTTP_PROXY=nowhere,
            HTTPS_PROXY=nowhere,
            http_proxy=nowhere,
            AWS_CONFIG_FILE=str(tmp_path / "config"),
            AWS_PROFILE="absent",
        )
        url = shlex.split(curl_line(process))[-1]
        assert requests.post(url, json={"parameter": "a"}, timeout=10).status_code == 200

    def test_a_port_that_is_taken_and_a_key_that_terraform_would_reject_are_reported(
        self, make_run: MakeRun
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            for variables, sentence in [
                ({"PORT": port}, f"Port {port} is taken. Choose another one, such as PORT=9000."),
                ({"PORT": "65536"}, "PORT must be a number from 0 to 65535, not '65536'."),
                (
                    {"API_KEY": "short"},
                    "API_KEY must have 16 to 256 printable ASCII characters without spaces.",
                ),
            ]:
                process = make_run(**variables)
                output, _ = process.communicate(timeout=20)
                assert (output, process.returncode) == (f"{sentence}\n", 1)

    def test_only_the_key_is_accepted_and_the_log_has_one_line_without_key_and_text(
        self, make_run: MakeRun
    ) -> None:
        process = make_run(API_KEY="hush-key-of-24-characters")
        url = shlex.split(curl_line(process))[-1]
        for key, status in [
            ("", 401),
            ("Hush-key-of-24-characters", 403),
            ("hush-key-of-24-characters", 200),
        ]:
            headers = {"x-api-key": key, "x-other": "hush-header"}
            answer = requests.post(
                url, json={"parameter": "hush-text"}, headers=headers, timeout=10
            )
            assert answer.status_code == status
        process.terminate()
        output, _ = process.communicate(timeout=10)
        (line,) = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        assert (line["status"], line["words"], line["distinct"]) == (200, 2, 2)
        assert "hush" not in output


class TestKey:
    @pytest.mark.parametrize("key", ["", "!" * 16, "~" * 256])
    def test_keys_that_terraform_accepts(self, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("API_KEY", key)
        assert key_of_environment() == key

    @pytest.mark.parametrize(
        "key", [" " * 16, "x" * 15, "x" * 257, "two words, 24 letters", "é" * 16]
    )
    def test_keys_that_terraform_rejects(self, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("API_KEY", key)
        with pytest.raises(SystemExit, match="16 to 256 printable ASCII"):
            key_of_environment()

    def test_terraform_has_the_same_rule(self) -> None:
        assert f'regex("^{KEY}$", var.api_key)' in (ROOT / "outputs.tf").read_text()


class TestMake:
    @pytest.mark.parametrize("how", ["argument", "environment"])
    def test_a_dollar_sign_in_a_key_is_not_expanded(self, how: str, tmp_path: Path) -> None:
        (tmp_path / "show.mk").write_text("show:\n\t@printf '%s' \"$$API_KEY\"\n")
        key = "pa$$word$x'\"#"
        arguments = [f"API_KEY={key}"] if how == "argument" else []
        shown = subprocess.run(
            ["make", "-s", "-f", "Makefile", "-f", str(tmp_path / "show.mk"), "show", *arguments],
            cwd=ROOT,
            env={**os.environ, **({"API_KEY": key} if how == "environment" else {})},
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout == key
