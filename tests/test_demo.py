"""`make demo`: its requests, its retries and its output."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from cheroot.errors import FatalSSLAlert
from conftest import running_product
from rich.cells import cell_len

from local.demo.chart import chart
from local.demo.pieces import cut, pieces_of
from local.demo.posting import Poster, Stopped

ROOT = Path(__file__).parents[1]

Serve = Callable[[Any], str]


def started(file: Path | str, url: str, **variables: str) -> subprocess.Popen[str]:
    """The program of `make demo`."""
    return subprocess.Popen(
        [sys.executable, "-m", "local.demo"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "app", "FILE": str(file), "URL": url, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def demo(file: Path | str, url: str, **variables: str) -> tuple[int, str, str]:
    """Run `make demo`. Return its exit code, its output and its errors."""
    with started(file, url, **variables) as process:
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, in seconds. They take no time, and only they advance the clock."""
    pauses: list[float] = []
    clock = SimpleNamespace(sleep=pauses.append, monotonic=lambda: sum(pauses), time=lambda: 0)
    for module in ("tenacity", "tenacity.nap", "urllib3.util.retry"):
        monkeypatch.setattr(f"{module}.time", clock)
    return pauses


class Scripted:
    """A WSGI application that gives `answers` in turn and repeats the last one."""

    DROPPED = 0
    CUT_OFF = 1

    def __init__(self, *answers: int | tuple[int, str, str] | str) -> None:
        """An answer is a status, a status with a header, one of the constants above, or a body."""
        self.answers = list(answers)
        self.requests: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.requests.append({**environ, "body": json.loads(environ["wsgi.input"].read())})
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            start_response("200 OK", [])
            return [answer.encode()]
        status, *header = answer if isinstance(answer, tuple) else (answer,)
        if status == self.DROPPED:
            raise FatalSSLAlert  # cheroot closes the connection without an answer
        if status == self.CUT_OFF:
            start_response("200 OK", [("Content-Length", "100"), ("connection", "close")])
            return [b'{"url"']
        body = {"url": "the report"} if status == 200 else {"error": "A sentence.", "code": "code"}
        start_response(f"{status} {HTTPStatus(status).phrase}", [tuple(header)] if header else [])
        return [json.dumps(body).encode()]


class TestPieces:
    def test_they_are_cut_at_white_space_if_possible_and_lose_nothing(self) -> None:
        for text in ["", "a", "ab cd ef", "abcdefghijk", " a  b\nc ", "abcd efgh", "abcde fgh"]:
            parts = list(cut(text, 5))
            assert "".join(parts) == text
            assert all(len(part) <= 5 for part in parts)
        assert list(cut("ab cd ef", 5)) == ["ab cd", " ef"]

    def test_keys_differ_by_piece_and_by_text_and_are_the_same_in_a_second_run(self) -> None:
        text = "word " * 5_000
        keys = [piece.key for piece in pieces_of(text)]
        others = [piece.key for piece in pieces_of(text + "more")]
        assert len(keys) == 3
        assert len({*keys, *others}) == 6
        assert keys == [piece.key for piece in pieces_of(text)]

    def test_a_piece_without_words_is_left_out(self) -> None:
        (piece,) = pieces_of("!" * 10_000 + " three more words")
        assert (piece.text, piece.words) == (" three more words", 3)


class TestPosting:
    def poster(self, url: str) -> Poster:
        self.notices: list[str] = []
        return Poster(url, "a key", self.notices.append)

    def test_it_retries_with_the_same_key_until_the_text_is_counted(
        self, serve: Serve, pauses: list[float]
    ) -> None:
        api = Scripted(429, 503, 500, 502, 504, Scripted.DROPPED, Scripted.CUT_OFF, 200)
        poster = self.poster(serve(api))
        assert poster.post("a text", "its key") == "the report"
        assert poster.retries == 7
        assert len(api.requests) == 8
        for request in api.requests:
            assert request["body"] == {"parameter": "a text"}
            assert request["HTTP_IDEMPOTENCY_KEY"] == "its key"
            assert request["HTTP_X_API_KEY"] == "a key"
        assert re.fullmatch(r"429 Too Many Requests, retry in \d s", self.notices[1])
        assert self.notices[::2] == [""] * 8

    def test_pauses_grow_are_bounded_and_differ(self, serve: Serve, pauses: list[float]) -> None:
        self.poster(serve(Scripted(*[503] * 8, 200))).post("a text", "key")
        for pause, limit in zip(pauses, [0.5, 1, 2, 4, 8, 16, 20, 20], strict=True):
            assert limit / 2 <= pause <= limit
        assert len(set(pauses)) == 8

    @pytest.mark.parametrize(
        ("retry_after", "least", "most"),
        [
            ("7", 7, 7),
            ("0", 0.25, 0.5),
            ("Thu, 01 Jan 1970 00:01:00 GMT", 60, 60),
            ("soon", 0.25, 0.5),
            ("-1", 0.25, 0.5),
        ],
    )
    def test_retry_after_is_respected(
        self, serve: Serve, pauses: list[float], retry_after: str, least: float, most: float
    ) -> None:
        self.poster(serve(Scripted((429, "Retry-After", retry_after), 200))).post("a text", "key")
        (pause,) = pauses
        assert least <= pause <= most

    @pytest.mark.parametrize(
        ("answer", "what", "limit"),
        [
            (429, "429 Too Many Requests", 180),
            (503, "503 Service Unavailable", 180),
            (500, "500 Internal Server Error", 60),
            (504, "504 Gateway Timeout", 60),
            (Scripted.DROPPED, "no answer", 180),
        ],
    )
    def test_it_gives_up_when_the_time_is_up(
        self, serve: Serve, pauses: list[float], answer: int, what: str, limit: int
    ) -> None:
        poster = self.poster(serve(Scripted(200, answer)))
        poster.post("a text", "key")
        with pytest.raises(Stopped, match=rf"^Still {what} after \d+ attempts in \d+ s\.$"):
            poster.post("another", "other key")
        assert limit - 20 <= sum(pauses) < limit

    def test_it_gives_up_soon_on_a_server_that_never_answered(self, pauses: list[float]) -> None:
        with pytest.raises(Stopped, match=r"gave no answer\. Is the URL right"):
            self.poster("http://127.0.0.1:9/").post("a text", "key")
        assert sum(pauses) < 10

    @pytest.mark.parametrize(
        ("answer", "sentence"),
        [
            ((429, "Retry-After", "3600"), r"requested a pause of 3,600 s\."),
            ((302, "Location", "/"), r"answered 302: A sentence\."),
            *((code, rf"answered {code}: A sentence\.") for code in (400, 401, 403, 404, 413, 422)),
            *((body, "Is it Wordtally") for body in ("[]", "<html>", "{}", '{"message": "OK"}')),
        ],
    )
    def test_it_stops_at_once_if_a_retry_cannot_help(
        self,
        serve: Serve,
        pauses: list[float],
        answer: int | tuple[int, str, str] | str,
        sentence: str,
    ) -> None:
        api = Scripted(answer)
        with pytest.raises(Stopped, match=sentence):
            self.poster(serve(api)).post("a text", "key")
        assert len(api.requests) == 1
        assert pauses == []

    @pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://host/"])
    def test_a_malformed_url_is_reported_in_a_sentence(self, pauses: list[float], url: str) -> None:
        with pytest.raises(Stopped, match="cannot be called"):
            self.poster(url).post("a text", "key")
        assert pauses == []


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_a_line_of_the_chart_has_a_total_a_bar_and_a_word_at_the_same_columns(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    entries = [("the", 1_642), ("שלום", 800), ("漢字" * 60, 400), ("हिन्दी", 200), ("a" * 80, 2)]
    lines = chart(entries).splitlines()
    totals, bars, words = zip(*(line.split(maxsplit=2) for line in lines), strict=True)
    assert totals == ("1,642", "800", "400", "200", "2")
    assert words[:2] == ("the", "שלום")
    assert re.fullmatch("a+…", words[-1])
    assert {line.index(bar) for line, bar in zip(lines, bars, strict=True)} == {len("1,642 ")}
    assert len({line.index(word) for line, word in zip(lines, words, strict=True)}) == 1
    assert max(map(cell_len, lines)) == columns
    assert sorted(bars, key=len, reverse=True) == list(bars)


class TestDemo:
    def test_without_a_url_it_serves_the_product_itself_and_ends_in_a_chart_of_plain_text(
        self, tmp_path: Path
    ) -> None:
        text = tmp_path / "long.txt"
        text.write_text("demonstration " * 2_000 + "été " * 1_900, encoding="utf-8")
        code, output, errors = demo(text, "", PYTHONIOENCODING="ascii")
        assert (code, errors) == (0, "")
        assert "the counts are lost at the end" in output
        assert "Sent 4 pieces with 3,900 words (35,600 characters) in " in output
        assert " 0 retries." in output
        first, second = output.split("\n\n")[-1].splitlines()
        assert first.split()[::2] == ["2,000", "demonstration"]
        assert second.split()[::2] == ["1,900", "?t?"]
        assert set(first.split()[1]) == {"-"}
        assert "\r" not in output

    def test_interrupted_and_run_again_it_counts_the_text_exactly_once(
        self, serve: Serve, tmp_path: Path
    ) -> None:
        chance = random.Random(0)
        words = chance.choices([f"word{number}" for number in range(12)], range(1, 13), k=8_000)
        text = tmp_path / "text.txt"
        text.write_text(" ".join(words))
        keys: list[str] = []
        running: list[subprocess.Popen[str]] = []

        def interrupting(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            """Forwards requests to the product, and interrupts the demo during the third."""
            body = environ["wsgi.input"].read()
            keys.append(environ["HTTP_IDEMPOTENCY_KEY"])
            if len(keys) == 3:
                running[0].send_signal(signal.SIGINT)
            answer = requests.post(
                product,
                data=body,
                headers={"Idempotency-Key": keys[-1], "Content-Type": "application/json"},
                timeout=30,
            )
            self.report = answer.json()["url"]
            start_response(f"{answer.status_code} {answer.reason}", [])
            return [answer.content]

        with running_product() as product:
            url = serve(interrupting)
            with started(text, url) as process:
                running.append(process)
                _, errors = process.communicate(timeout=60)
            assert process.returncode == 130
            assert "Traceback" not in errors
            assert "Interrupted.\n2 of 6 pieces were counted. Run the same command again" in errors
            for _ in range(2):
                code, output, errors = demo(text, url)
                assert (code, errors) == (0, "")
                assert "Within idempotency_hours, this server counts this text once" in output
            report = requests.get(self.report, timeout=10).json()["top10words"]
        assert len(set(keys)) == 6
        assert keys[3:9] == keys[9:]
        expected = sorted(Counter(words).items(), key=lambda entry: (-entry[1], entry[0]))[:10]
        assert [(entry["word"], entry["times"]) for entry in report] == expected
        shown = [line.split()[::2] for line in output.splitlines()[-10:]]
        assert shown == [[f"{times:,}", word] for word, times in expected]

    def test_if_it_stops_early_it_reports_its_progress(self, serve: Serve, tmp_path: Path) -> None:
        text = tmp_path / "text.txt"
        text.write_text("word " * 5_000)
        code, _, errors = demo(text, serve(Scripted(200, 422)))
        assert code == 1
        assert "answered 422: A sentence.\n1 of 3 pieces were counted. Run the same" in errors
        assert "Traceback" not in errors

    @pytest.mark.parametrize(
        ("content", "variables", "sentence"),
        [
            (b"word", {"URL": "nonsense"}, "nonsense cannot be called: "),
            (None, {}, "{} cannot be read: No such file or directory.\n"),
            (b"", {}, "{} contains no words.\n"),
            (b"!!!", {}, "{} contains no words.\n"),
            (b"caf\xe9", {}, "{} is not UTF-8 text: byte 3 is 0xe9.\n"),
            (b"word", {"FILE": "docs"}, "docs cannot be read: Is a directory.\n"),
            (b"word", {"API_KEY": "漢字"}, "API_KEY must have 16 to 256 printable ASCII "),
            (b"word", {"API_KEY": "漢字", "URL": ""}, "API_KEY must have 16 to 256 "),
        ],
    )
    def test_unusable_input_is_reported_in_one_sentence_without_advice_to_resume(
        self, tmp_path: Path, content: bytes | None, variables: dict[str, str], sentence: str
    ) -> None:
        file = tmp_path / "text.txt"
        if content is not None:
            file.write_bytes(content)
        given = {"FILE": str(file), "URL": "http://127.0.0.1:9/", **variables}
        code, _, errors = demo(given.pop("FILE"), given.pop("URL"), **given)
        assert code == 1
        assert errors.startswith(sentence.format(file))
        assert errors.count("\n") == 1
