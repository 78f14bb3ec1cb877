"""`make demo`: its requests, its retries and its output."""

import email.utils
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import requests
from cheroot.errors import FatalSSLAlert
from conftest import running_product

from local.demo import chart, posting
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


class Time:
    """A clock that only sleep() advances."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def now(self) -> float:
        return sum(self.pauses)


class Scripted:
    """A WSGI application that gives `answers` in turn and repeats the last one."""

    DROPPED = 0
    CUT_OFF = 1

    def __init__(self, *answers: int | tuple[int, str] | str) -> None:
        """An answer is a status, a status with a Retry-After, one of the constants above, or a body."""
        self.answers = list(answers)
        self.requests: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.requests.append({**environ, "body": json.loads(environ["wsgi.input"].read())})
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            start_response("200 OK", [])
            return [answer.encode()]
        status, retry_after = answer if isinstance(answer, tuple) else (answer, "")
        if status == self.DROPPED:
            raise FatalSSLAlert  # cheroot closes the connection without an answer
        headers = [("Retry-After", retry_after)] if retry_after else []
        if status == self.CUT_OFF:
            start_response("200 OK", [("Content-Length", "100"), ("connection", "close")])
            return [b'{"url"']
        body = {"url": "the report"} if status == 200 else {"error": "A sentence.", "code": "code"}
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [json.dumps(body).encode()]


class TestPieces:
    def test_they_are_cut_between_words_and_lose_nothing(self) -> None:
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
        self.time = Time()
        self.notices: list[str] = []
        return Poster(url, "a key", self.notices.append, self.time.sleep, self.time.now)

    def test_it_retries_with_the_same_key_until_the_text_is_counted(self, serve: Serve) -> None:
        api = Scripted(429, 503, 500, 502, 504, Scripted.DROPPED, Scripted.CUT_OFF, 200)
        poster = self.poster(serve(api))
        assert poster.post("a text", "its key") == "the report"
        assert poster.retries == 7
        assert len(api.requests) == 8
        for request in api.requests:
            assert request["body"] == {"parameter": "a text"}
            assert request["HTTP_IDEMPOTENCY_KEY"] == "its key"
            assert request["HTTP_X_API_KEY"] == "a key"
        assert self.notices[0].startswith("429 Too Many Requests, retry in ")
        assert self.notices[-1] == ""

    def test_pauses_grow_are_bounded_and_differ(self, serve: Serve) -> None:
        poster = self.poster(serve(Scripted(*[503] * 9, 200)))
        poster.post("a text", "key")
        for failures, pause in enumerate(self.time.pauses):
            longest = min(0.5 * 2**failures, 20)
            assert longest / 2 <= pause <= longest
        assert len(set(self.time.pauses)) == 9

    @pytest.mark.parametrize(
        ("retry_after", "least", "most"),
        [
            ("7", 7, 7),
            ("0", 0.25, 0.5),
            ("a date", 50, 60),
            ("soon", 0.25, 0.5),
            ("-1", 0.25, 0.5),
        ],
    )
    def test_retry_after_is_respected(
        self, serve: Serve, retry_after: str, least: float, most: float
    ) -> None:
        if retry_after == "a date":
            retry_after = email.utils.formatdate(time.time() + 60, usegmt=True)
        poster = self.poster(serve(Scripted((429, retry_after), 200)))
        poster.post("a text", "key")
        (pause,) = self.time.pauses
        assert least <= pause <= most

    @pytest.mark.parametrize(
        ("answer", "patience_seconds"),
        [
            (429, posting.PATIENCE_SECONDS),
            (503, posting.PATIENCE_SECONDS),
            (500, posting.PATIENCE_WITH_ERRORS_SECONDS),
            (504, posting.PATIENCE_WITH_ERRORS_SECONDS),
        ],
    )
    def test_it_gives_up_when_the_time_is_up(
        self, serve: Serve, answer: int, patience_seconds: float
    ) -> None:
        poster = self.poster(serve(Scripted(answer)))
        with pytest.raises(Stopped, match=rf"Still {answer} .* after \d+ attempts in \d+ s\."):
            poster.post("a text", "key")
        assert patience_seconds - posting.LONGEST_PAUSE_SECONDS < self.time.now() < patience_seconds

    @pytest.mark.parametrize(
        ("answer", "sentence"),
        [
            ((429, "3600"), r"requested a pause of 3,600 s\."),
            *((code, rf"answered {code}: A sentence\.") for code in (400, 401, 403, 404, 413, 422)),
            *((body, "Is it Wordtally") for body in ("[]", "<html>", "{}", '{"message": "OK"}')),
        ],
    )
    def test_it_stops_at_once_if_a_retry_cannot_help(
        self, serve: Serve, answer: int | tuple[int, str] | str, sentence: str
    ) -> None:
        api = Scripted(answer)
        with pytest.raises(Stopped, match=sentence):
            self.poster(serve(api)).post("a text", "key")
        assert len(api.requests) == 1
        assert self.time.pauses == []

    def test_it_gives_up_soon_on_a_server_that_never_answered(self) -> None:
        poster = self.poster("http://127.0.0.1:9/")
        with pytest.raises(Stopped, match="Is the URL right"):
            poster.post("a text", "key")
        assert self.time.now() < posting.PATIENCE_AT_FIRST_SECONDS

    def test_it_waits_longer_for_a_server_that_has_answered_before(self, serve: Serve) -> None:
        poster = self.poster(serve(Scripted(200, Scripted.DROPPED)))
        poster.post("a text", "key")
        with pytest.raises(Stopped, match="Still no answer"):
            poster.post("another", "other key")
        assert self.time.now() > 60

    @pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://host/"])
    def test_a_malformed_url_is_reported_in_a_sentence(self, url: str) -> None:
        with pytest.raises(Stopped, match="cannot be called"):
            self.poster(url).post("a text", "key")
        assert self.time.pauses == []


class TestChart:
    ENTRIES = [  # noqa: RUF012 - never changed
        ("the", 1_642),
        ("שלום", 800),
        ("漢字", 400),
        ("हिन्दी", 200),
        ("a" * 60, 2),
    ]

    @pytest.mark.parametrize("columns", [20, 40, 80, 200])
    @pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
    def test_lines_fit_and_are_aligned(self, columns: int, encoding: str) -> None:
        lines = list(chart.chart(self.ENTRIES, columns, encoding))
        block = "█" if encoding == "utf-8" else "#"
        assert max(map(chart.width, lines)) <= columns
        starts = {line.index(block) for line in lines}
        words = {line.rindex(" ") for line in lines}
        assert starts == {len("1,642 ")}
        assert len(words) == 1
        bars = [line.count(block) for line in lines]
        assert bars == sorted(bars, reverse=True)
        assert bars[-1] == 1
        assert lines[1].endswith(" שלום")

    def test_a_long_word_is_shortened(self) -> None:
        assert chart.shortened("abcdef", 6, "…") == "abcdef"
        assert chart.shortened("abcdefg", 6, "…") == "abcde…"
        assert chart.shortened("漢字漢字", 6, "…") == "漢字…"
        assert chart.shortened("e\u0301" * 7, 6, "…") == "e\u0301" * 5 + "…"
        assert chart.shortened("abcdefg", 6, "...") == "abc..."

    def test_width_counts_cells(self) -> None:
        words = ["abc", "漢字", "e\u0301", "می\u200cخواهم"]
        assert list(map(chart.width, words)) == [3, 4, 1, 7]

    def test_without_entries_it_is_empty(self) -> None:
        assert list(chart.chart([], 80, "utf-8")) == []


class TestDemo:
    def test_without_a_url_it_serves_the_product_itself_and_ends_in_a_chart_of_plain_text(
        self, tmp_path: Path
    ) -> None:
        text = tmp_path / "long.txt"
        text.write_text("demonstration " * 2_000 + "encore " * 1_900)
        code, output, errors = demo(text, "", PYTHONIOENCODING="ascii")
        assert (code, errors) == (0, "")
        assert "the counts are lost at the end" in output
        assert "Sent 5 pieces with 3,900 words (41,300 characters) in " in output
        assert " 0 retries." in output
        first, second = output.split("\n\n")[-1].splitlines()
        assert first.split()[::2] == ["2,000", "demonstration"]
        assert second.split()[::2] == ["1,900", "encore"]
        assert set(first.split()[1]) == {"#"}
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
            assert "Interrupted.\n2 of 6 pieces are counted. Run the same command again" in errors
            for _ in range(2):
                code, output, errors = demo(text, url)
                assert (code, errors) == (0, "")
                assert "This text is counted once, however often" in output
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
        assert "answered 422: A sentence.\n1 of 3 pieces are counted. Run the same" in errors
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
