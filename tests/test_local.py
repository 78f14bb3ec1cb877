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
from pathlib import Path
from typing import Any
from unittest import mock

import hcl2
import pytest
import requests
from conftest import curl_line, running_product, start_product
from wordtally import handler

from local.emulator import aws
from local.server import KEY, default, key_of_environment
from local.services import gateway
from local.services.deployed import Deployed
from local.services.gateway import Event, FunctionError, FunctionTimeout, Gateway, Route, Throttle
from local.services.http_server import HttpServer
from local.services.instances import InProcessFunction, log_to_stdout
from local.services.runtime import RuntimeFunction

ROOT = Path(__file__).parents[1]


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
    def url(self, serve: Callable[[Any], str], function: Recorder) -> str:
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

    def test_no_body_is_no_body(self, url: str, function: Recorder) -> None:
        requests.post(url, timeout=10)
        assert "body" not in function.events[0]

    def test_a_body_over_10_mb_is_413_and_does_not_reach_the_function(
        self, url: str, function: Recorder
    ) -> None:
        limit = 10 * 1024 * 1024
        assert requests.post(url, data=b"x" * limit, timeout=10).status_code == 200
        answer = requests.post(url, data=b"x" * (limit + 1), timeout=10)
        assert (answer.status_code, answer.json()) == (
            413,
            {"message": "Request Entity Too Large"},
        )
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
        ids=["chunks that are none", "chunks beyond measure", "cut off"],
    )
    def test_a_broken_body_is_400_not_logged_and_the_connections_end(
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

    def test_duplicate_headers_are_joined_with_a_comma(self, url: str, function: Recorder) -> None:
        head = (
            b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n"
            b"Idempotency-Key: one\r\nidempotency-key: two\r\nX-Custom: a\r\n"
            b"Accept: text/html\r\nAccept: */*\r\nX-Custom: b, c\r\nx-custom: d\r\n"
            b"Cookie: first=1; second=2\r\nCookie: third=3\r\n\r\n"
        )
        assert exchange(url, head).startswith(b"HTTP/1.1 200 ")
        (event,) = function.events
        assert event["headers"]["idempotency-key"] == "one,two"
        assert event["headers"]["x-custom"] == "a,b, c,d"
        assert event["headers"]["accept"] == "text/html,*/*"
        assert event["cookies"] == ["first=1", "second=2", "third=3"]

    def test_an_underscore_in_a_name_does_not_count_as_a_hyphen(
        self, url: str, function: Recorder
    ) -> None:
        exchange(
            url,
            b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n"
            b"Idempotency_Key: one\r\n\r\n",
        )
        assert "idempotency-key" not in function.events[0]["headers"]

    def test_the_api_times_out_if_the_function_does_not_answer(
        self, serve: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
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
            (FunctionError("crashed"), 500, '{"message":"Internal Server Error"}'),
            (FunctionTimeout(), 503, '{"message":"Service Unavailable"}'),
            ({"statusCode": "many"}, 500, '{"message":"Internal Server Error"}'),
            ({"statusCode": 418, "body": "short"}, 418, "short"),
            ({"statusCode": 200, "body": "aGk=", "isBase64Encoded": True}, 200, "hi"),
            ({"no": "status"}, 200, '{"no": "status"}'),
        ],
    )
    def test_results_become_answers(
        self, serve: Callable[[Any], str], result: Any, status: int, body: str
    ) -> None:
        url = serve(Gateway({"POST /": Route(Recorder(result))}))
        answer = requests.post(url, timeout=10)
        assert (answer.status_code, answer.text) == (status, body)


class TestAuthorizer:
    def answer(self, serve: Callable[[Any], str], verdict: Any, key: str | None) -> Any:
        self.function, self.authorizer = Recorder(OK), Recorder(verdict)
        url = serve(Gateway({"POST /": Route(self.function, self.authorizer)}))
        headers = {"X-Api-Key": key} if key else {}
        return requests.post(url, json={"parameter": "a"}, headers=headers, timeout=10)

    def test_without_the_header_the_authorizer_is_not_called(
        self, serve: Callable[[Any], str]
    ) -> None:
        answer = self.answer(serve, {"isAuthorized": True}, None)
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
        assert self.authorizer.events == self.function.events == []

    def test_a_refusal_is_403(self, serve: Callable[[Any], str]) -> None:
        answer = self.answer(serve, {"isAuthorized": False}, "wrong")
        assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})
        assert self.function.events == []

    def test_the_authorizer_sees_the_request_without_its_body(
        self, serve: Callable[[Any], str]
    ) -> None:
        assert self.answer(serve, {"isAuthorized": True}, "right").status_code == 200
        (event,) = self.authorizer.events
        assert (event["type"], event["identitySource"]) == ("REQUEST", ["right"])
        assert "body" not in event

    def test_a_broken_authorizer_is_500(self, serve: Callable[[Any], str]) -> None:
        assert self.answer(serve, FunctionError(), "right").status_code == 500
        assert self.function.events == []


class TestThrottling:
    def test_the_bucket_accepts_a_burst_and_refills_at_its_rate(self) -> None:
        now = 0.0
        bucket = Throttle(rate_per_second=2, burst=3, clock=lambda: now)
        assert [bucket.admits() for _ in range(4)] == [True, True, True, False]
        now = 0.4
        assert not bucket.admits()
        now = 0.5
        assert [bucket.admits(), bucket.admits()] == [True, False]
        now = 60.0  # the bucket holds no more than a burst
        assert [bucket.admits() for _ in range(4)] == [True, True, True, False]

    def test_without_tokens_it_admits_nothing(self) -> None:
        assert not Throttle(rate_per_second=0, burst=0).admits()

    def test_concurrent_requests_share_its_tokens(self) -> None:
        bucket = Throttle(rate_per_second=1, burst=50, clock=lambda: 0.0)
        with ThreadPoolExecutor(8) as pool:
            admitted = list(pool.map(lambda _: bucket.admits(), range(200)))
        assert admitted.count(True) == 50

    def test_a_request_over_the_limits_is_429_and_reaches_nothing(
        self, serve: Callable[[Any], str]
    ) -> None:
        function, authorizer = Recorder(OK), Recorder({"isAuthorized": True})
        throttle = Throttle(rate_per_second=1, burst=2, clock=lambda: 0.0)
        url = serve(Gateway({"POST /": Route(function, authorizer)}, throttle=throttle))
        headers = {"x-api-key": "key"}
        assert requests.get(url, timeout=10).status_code == 404  # no route, so no token is taken
        answers = [requests.post(url, headers=headers, timeout=10) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].text == '{"message":"Too Many Requests"}'
        assert len(function.events) == len(authorizer.events) == 2

    def test_make_run_has_the_defaults_of_the_deployed_stage(self) -> None:
        with (ROOT / "variables.tf").open() as file:
            variables = {
                name.strip('"'): body
                for block in hcl2.load(file)["variable"]
                for name, body in block.items()
            }
        assert variables["throttle_rate_per_second"]["default"] == THROTTLE_RATE_PER_SECOND
        assert variables["throttle_burst"]["default"] == THROTTLE_BURST

    def test_make_stack_has_the_limits_of_the_stage_in_the_emulated_aws(
        self, serve: Callable[[Any], str]
    ) -> None:
        with aws.running("local.emulator.whole_aws") as cloud:
            apis = aws.client("apigatewayv2", cloud)
            api = apis.create_api(Name="wordtally", ProtocolType="HTTP")
            apis.create_stage(
                ApiId=api["ApiId"],
                StageName="$default",
                DefaultRouteSettings={"ThrottlingRateLimit": 0.01, "ThrottlingBurstLimit": 2},
            )
            gateway = Deployed(cloud, "wordtally").gateway()
        gateway.routes = {"POST /": Route(Recorder(OK))}
        url = serve(gateway)
        answers = [requests.post(url, timeout=10).status_code for _ in range(3)]
        assert answers == [200, 200, 429]


class TestLog:
    def test_each_line_has_the_id_of_its_own_request(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Four instances log at the same time."""
        together = threading.Barrier(4)
        logger = logging.getLogger("wordtally")

        def start() -> Any:
            def handle(event: Event, context: Any) -> str:
                together.wait(timeout=10)
                logger.info("request", extra={"number": event["number"]})
                together.wait(timeout=10)
                return str(context.aws_request_id)

            return handle

        function = InProcessFunction(start)
        handlers = list(logger.handlers)
        log_to_stdout()
        try:
            logger.info("outside")
            with ThreadPoolExecutor(4) as pool:
                ids = list(pool.map(lambda number: function.invoke({"number": number}), range(8)))
        finally:
            logger.handlers[:] = handlers
        outside, *lines = map(json.loads, capsys.readouterr().out.splitlines())
        assert "requestId" not in outside
        assert len(set(ids)) == 8
        assert {line["number"]: line["requestId"] for line in lines} == dict(enumerate(ids))

    def test_the_id_in_the_answer_to_an_unexpected_error_finds_its_trace(
        self, serve: Callable[[Any], str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        logger = logging.getLogger("wordtally")
        handlers = list(logger.handlers)
        log_to_stdout()

        def broken() -> Any:
            raise RuntimeError

        function = InProcessFunction(
            lambda: lambda event, context: handler.handle(broken, event, context)
        )
        url = serve(Gateway({"POST /": Route(function)}))
        try:
            answer = requests.post(url, json={"parameter": "a"}, timeout=10)
        finally:
            logger.handlers[:] = handlers
        lines = list(map(json.loads, capsys.readouterr().out.splitlines()))
        assert answer.status_code == 500
        assert [line["requestId"] for line in lines] == [answer.json()["request_id"]] * 2
        assert "trace" in lines[0]


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

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            (None, 400, "invalid_json"),
            (b"\xff\xfe", 400, "invalid_json"),
            (b"[" * 50_000, 400, "invalid_json"),
            (b'{"parameter": NaN}', 400, "invalid_json"),
            (b"[]", 400, "invalid_request"),
            (b"{}", 400, "missing_parameter"),
            (b'{"parameter": 5}', 400, "parameter_not_a_string"),
            (b'{"parameter": " "}', 400, "empty_parameter"),
            (b'{"parameter": "%s"}' % (b"a" * 10_001), 400, "parameter_too_long"),
            (b'{"parameter": "!!!"}', 400, "no_words"),
            (b'{"parameter": "%s"}' % (b"a" * 1_025), 400, "word_too_long"),
        ],
    )
    def test_bad_input(self, product: str, body: bytes | None, status: int, code: str) -> None:
        for content_type in ["application/json", "application/x-www-form-urlencoded"]:
            headers = {"Content-Type": content_type}
            answer = requests.post(product, data=body, headers=headers, timeout=10)
            assert (answer.status_code, answer.json()["code"]) == (status, code)

    def test_with_an_idempotency_key_a_text_is_counted_once(self, product: str) -> None:
        text = {"parameter": "keyed " * 100}
        key = {"Idempotency-Key": "tests/test_local.py"}

        def send(_: int) -> requests.Response:
            return requests.post(product, json=text, headers=key, timeout=30)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(send, range(16)))
        assert {answer.status_code for answer in answers} == {200}
        for answer in answers:
            report = requests.get(answer.json()["url"], timeout=10).json()["top10words"]
            assert {"word": "keyed", "times": 100} in report

    def test_concurrent_clients_get_an_exact_report(self, product: str) -> None:
        """8 clients with their own words make 15 requests each. All of the top ten are their words."""
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
def make_run() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the program of `make run`."""
    processes = []

    def start(**variables: str) -> subprocess.Popen[str]:
        processes.append(start_product(**variables))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True)
    pairs = [line.split() for line in listed.stdout.splitlines()[1:]]
    return [int(child) for child, parent in pairs if int(parent) == pid]


class TestMakeRun:
    @pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_it_exits_immediately_and_leaves_nothing_running(
        self, make_run: Callable[..., subprocess.Popen[str]], ending: signal.Signals
    ) -> None:
        process = make_run(PORT="0")
        curl_line(process)
        (emulator,) = children(process.pid)
        process.send_signal(ending)
        assert process.wait(timeout=5) == (-ending if ending == signal.SIGKILL else 0)
        for _ in range(50):
            if not Path(f"/proc/{emulator}").exists():
                return
            time.sleep(0.1)
        raise AssertionError("the emulated AWS is still running")

    def test_the_printed_curl_line_works_as_pasted_and_its_url_opens(
        self, make_run: Callable[..., subprocess.Popen[str]]
    ) -> None:
        line = curl_line(make_run(PORT="0", API_KEY="it's$HOME/and-more"))
        answer = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
        url = json.loads(answer.stdout)["url"]
        report = subprocess.run(["curl", "-s", url], capture_output=True, text=True, check=True)
        assert json.loads(report.stdout)["top10words"][0] == {"word": "hello", "times": 1}

    def test_with_a_key_it_is_401_and_403_without(
        self, make_run: Callable[..., subprocess.Popen[str]]
    ) -> None:
        url = shlex.split(curl_line(make_run(PORT="0", API_KEY="a-secret-of-24-characters")))[-1]
        assert requests.post(url, json={"parameter": "a"}, timeout=10).status_code == 401
        headers = {"x-api-key": "A-secret-of-24-characters"}
        assert requests.post(url, headers=headers, timeout=10).status_code == 403

    def test_a_key_that_terraform_would_reject_is_rejected(
        self, make_run: Callable[..., subprocess.Popen[str]]
    ) -> None:
        process = make_run(PORT="0", API_KEY="short")
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 1
        assert output == "API_KEY must have 16 to 256 printable ASCII characters without spaces.\n"

    def test_neither_a_proxy_nor_a_profile_of_the_user_is_in_the_way(
        self, make_run: Callable[..., subprocess.Popen[str]], tmp_path: Path
    ) -> None:
        (tmp_path / "config").write_text("[default]\nignore_configured_endpoint_urls = true\n")
        nowhere = "http://127.0.0.1:9"
        process = make_run(
            PORT="0",
            HTTP_PROXY=nowhere,
            HTTPS_PROXY=nowhere,
            http_proxy=nowhere,
            AWS_CONFIG_FILE=str(tmp_path / "config"),
            AWS_PROFILE="absent",
        )
        url = shlex.split(curl_line(process))[-1]
        assert requests.post(url, json={"parameter": "a"}, timeout=10).status_code == 200

    def test_a_port_that_is_taken_is_reported_in_a_sentence(
        self, make_run: Callable[..., subprocess.Popen[str]]
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            process = make_run(PORT=str(taken.getsockname()[1]))
            output, _ = process.communicate(timeout=20)
        assert process.returncode == 1
        assert "such as PORT=9000" in output
        assert "Traceback" not in output

    def test_logs_are_one_json_line_per_request_without_the_text(
        self, make_run: Callable[..., subprocess.Popen[str]]
    ) -> None:
        process = make_run(PORT="0", API_KEY="hush-key-of-24-characters")
        url = shlex.split(curl_line(process))[-1]
        headers = {"x-api-key": "hush-key-of-24-characters", "x-other": "hush-header"}
        requests.post(url, json={"parameter": "hush-text"}, headers=headers, timeout=10)
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
    def test_a_dollar_in_a_key_is_a_dollar(self, how: str, tmp_path: Path) -> None:
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
