"""A whole request through the handler, on fakes."""

import json
import logging
import os
import subprocess
import sys
import time
import types
import unittest
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import fixtures
from events import notification, parameter, post, records
from fakes import FakeDynamoDB, inbox_over, refused, reports_over, stream_over, timed_out
from wordtally import __version__, handler, page
from wordtally.errors import Unavailable
from wordtally.stores.reports import KEY
from wordtally.ways_in import http, stream


def context(remaining_seconds: float = 300) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        aws_request_id="request-1", get_remaining_time_in_millis=lambda: remaining_seconds * 1000
    )


CONTEXT = context()


class OnFakes(fixtures.OnFakes):
    scan_up_to_words = 1_000

    def setUp(self) -> None:
        super().setUp()
        ranking = self.ranking(self.scan_up_to_words)
        self.application = handler.Application(ranking, reports_over(self.bucket), 24)
        self.logged: list[dict[str, Any]] = []

    def respond(self, event: dict[str, Any], remaining_seconds: float = 300) -> http.Answer:
        with self.assertLogs() as logs:
            answer = handler.handle(lambda: self.application, event, context(remaining_seconds))
        self.logged = [vars(record) for record in logs.records]
        return answer

    def send(self, text: str, **event: Any) -> tuple[int, dict[str, Any]]:
        answer = self.respond({**post(parameter(text)), **event})
        return answer["statusCode"], json.loads(answer["body"])

    def figures(self) -> dict[str, Any]:
        """The fields that the only log line has in addition to those of every line."""
        (line,) = self.logged
        figures = {name: value for name, value in line.items() if name not in ALWAYS_LOGGED}
        self.assertGreaterEqual(figures.pop("milliseconds"), 0)
        self.assertEqual(figures.pop("version"), __version__)
        return figures

    def deliver(self, event: dict[str, Any]) -> Any:
        """Invoke the function as Lambda does."""
        with (
            mock.patch.object(handler, "_application", return_value=self.application),
            self.assertLogs() as logs,
        ):
            try:
                return handler.lambda_handler(event, CONTEXT)
            finally:
                self.logged = [vars(record) for record in logs.records]


class Request(OnFakes):
    def test_counts_publishes_and_answers_with_the_url(self) -> None:
        status, answer = self.send("The cat and the dog")
        self.assertEqual(status, 200)
        self.assertEqual(answer, {"url": "https://reports.s3/top.json?expires=600"})
        self.assertNotIn("reports.s3", str(self.logged))
        self.assertEqual(self.report(), [("the", 2), ("and", 1), ("cat", 1), ("dog", 1)])

    def test_an_event_without_a_route_key_is_a_post(self) -> None:
        for route in [{}, {"routeKey": "POST /"}]:
            status, _ = self.send("a", **route)
            self.assertEqual((status, self.logged[0]["route"]), (200, "POST /"))
        self.assertEqual(self.report(), [("a", 2)])

    def test_adds_to_what_was_posted_before(self) -> None:
        self.send("a b b")
        self.send("b c")
        self.assertEqual(self.report(), [("b", 3), ("a", 1), ("c", 1)])

    def test_a_rejected_text_changes_nothing(self) -> None:
        for text, code in {
            "": "empty_parameter",
            "!!! …": "no_words",
            "fine words " + "x" * 1025: "word_too_long",
            "a" * 10_001: "parameter_too_long",
        }.items():
            status, answer = self.send(text)
            self.assertEqual((status, answer["code"]), (400, code))
        self.assertEqual(self.calls(), [])

    def test_a_rejected_text_makes_no_client(self) -> None:
        def never() -> handler.Application:
            raise AssertionError("it is not needed")

        for body in ["", "{}", parameter("!!!"), parameter("x" * 1025)]:
            answer = handler.handle(never, post(body), CONTEXT)
            self.assertEqual(answer["statusCode"], 400)

    def test_ten_thousand_different_ideographs(self) -> None:
        status, _ = self.send("".join(map(chr, range(0x4E00, 0x4E00 + 10_000))))
        self.assertEqual(status, 200)
        self.assertEqual(len(self.table.items), 10_000)

    def test_any_throttled_or_unavailable_call_is_503(self) -> None:
        for client, operation in [
            (self.table, "UpdateItem"),
            (self.table, "Scan"),
            (self.bucket, "GetObject"),
            (self.bucket, "PutObject"),
        ]:
            for error, cause in [
                (refused(operation, "ThrottlingException"), "ThrottlingException"),
                (timed_out(operation), "read timeout"),
            ]:
                client.faults[operation] = [error]
                with self.subTest(operation=operation, error=error):
                    status, answer = self.send("a b")
                    self.assertEqual((status, answer["code"]), (503, "unavailable"))
                    self.assertEqual(answer["request_id"], "request-1")
                    self.assertIn("may count them twice", answer["error"])
                    line = self.logged[0]
                    self.assertEqual((line["words"], line["status"]), (2, 503))
                    self.assertEqual(line["cause"], f"{operation}: {cause}")

    def test_with_a_key_the_answer_says_that_a_retry_is_safe(self) -> None:
        self.table.faults["TransactWriteItems"] = [timed_out("TransactWriteItems")]
        status, answer = self.send("a", headers={"idempotency-key": "1"})
        self.assertEqual(status, 503)
        self.assertIn("nothing is counted twice", answer["error"])

    def test_one_malformed_item_does_not_fail_the_requests_of_a_small_table(self) -> None:
        self.table.malformed = {"broken": None, "half": {"N": "1.5"}}
        status, _ = self.send("a half")
        self.assertEqual(status, 200)
        self.assertEqual(self.report(), [("a", 1)])
        self.assertEqual(self.logged[0]["malformed_items"], 3)
        self.assertNotIn("broken", str(self.logged))

    def test_an_unexpected_error_is_logged_with_its_trace_but_without_its_message(self) -> None:
        error = ValueError("secret text")
        error.__cause__ = KeyError("secret text")
        self.table.faults["UpdateItem"] = [error]
        status, answer = self.send("a")
        self.assertEqual((status, answer["code"]), (500, "internal_error"))
        unexpected, line = self.logged
        self.assertEqual(unexpected["trace"][0], "ValueError")
        self.assertIn("KeyError", unexpected["trace"])
        self.assertIn("fakes.py", str(unexpected["trace"]))
        self.assertEqual((line["status"], line["code"]), (500, "internal_error"))
        self.assertNotIn("secret", str(self.logged))

    def test_a_missing_permission_is_500_and_the_log_says_which(self) -> None:
        self.table.faults["UpdateItem"] = [refused("UpdateItem", "AccessDeniedException")]
        status, answer = self.send("a")
        self.assertEqual((status, answer["code"]), (500, "internal_error"))
        self.assertEqual(answer["request_id"], "request-1")
        self.assertIn("AwsError: UpdateItem: AccessDeniedException", self.logged[0]["trace"])

    def test_one_log_line_says_what_the_request_did(self) -> None:
        self.send("a b b")
        (line,) = self.logged
        expected = {"version": __version__, "status": 200, "words": 3, "distinct": 2}
        expected |= {"upserts": 2, "scanned_pages": 1, "conflicts": 0, "publishes": 1}
        expected |= {"write_conflicts": 0, "throttled": 0, "malformed_items": 0}
        self.assertEqual({name: line[name] for name in expected}, expected)
        self.assertGreaterEqual(line["milliseconds"], 0)

    def test_answers_503_before_the_function_times_out_and_logs_its_progress(self) -> None:
        late = 1 + 0.1  # leaves a tenth of a second for upserts
        with (
            mock.patch.dict(self.table.operations, {"UpdateItem": self.slowly}),
            self.assertLogs() as logs,
        ):
            answer = handler.handle(
                lambda: self.application,
                post(parameter(" ".join(f"w{number}" for number in range(1000)))),
                context(late),
            )
        self.assertEqual(answer["statusCode"], 503)
        self.assertEqual(answer["headers"]["retry-after"], "1")
        line = vars(logs.records[0])
        self.assertEqual((line["cause"], line["distinct"]), ("UpdateItem: out of time", 1000))
        self.assertEqual(line["upserts"], len(self.table.items))
        self.assertTrue(0 < line["upserts"] < 1000)

    def slowly(self, **arguments: Any) -> dict[str, Any]:
        time.sleep(0.01)
        return FakeDynamoDB.update_item(self.table, **arguments)

    def seconds_left(self, remaining: float, event: dict[str, Any]) -> float:
        return handler._request_deadline(event, context(remaining)) - time.monotonic()

    def test_the_api_times_out_before_lambda_does(self) -> None:
        for remaining, within in [(300, 28), (30, 28), (10, 9)]:
            self.assertAlmostEqual(self.seconds_left(remaining, {}), within, delta=0.5)

    def test_the_deadline_includes_the_cold_start(self) -> None:
        for waited, within in [(4, 24), (-5, 28), (0, 28), (3600, 18)]:
            event = {"requestContext": {"timeEpoch": int((time.time() - waited) * 1000)}}
            self.assertAlmostEqual(self.seconds_left(300, event), within, delta=0.5, msg=waited)

    def test_with_a_key_a_text_is_counted_once(self) -> None:
        keyed = {"headers": {"idempotency-key": "1"}}
        for _ in range(3):
            status, answer = self.send("a b b", **keyed)
            self.assertEqual((status, list(answer)), (200, ["url"]))
        self.assertEqual(self.report(), [("b", 2), ("a", 1)])

    def test_the_same_key_with_another_text_is_422_and_changes_nothing(self) -> None:
        keyed = {"headers": {"idempotency-key": "1"}}
        self.send("a b b", **keyed)
        status, answer = self.send("a b b b", **keyed)
        self.assertEqual((status, answer["code"]), (422, "idempotency_key_reused"))
        self.assertEqual(self.table.items, {"a": 1, "b": 2})

    def test_a_key_expires_after_the_configured_time(self) -> None:
        with mock.patch.object(handler.time, "time", return_value=1_000.5):
            marker = self.application.marker(http.Request("text", "key"))
        assert marker
        self.assertEqual((marker.asked_at, marker.valid_until), (1_000, 1_000 + 24 * 3600))

    def test_with_an_api_key_a_key_belongs_to_it(self) -> None:
        for api_key in ["one", "other", "one"]:
            headers = {"idempotency-key": "1", "x-api-key": api_key}
            status, _ = self.send(f"{api_key} counted", headers=headers)
            self.assertEqual(status, 200)
        self.assertEqual(self.report(), [("counted", 2), ("one", 1), ("other", 1)])

    def test_neither_text_nor_headers_are_ever_logged(self) -> None:
        headers = {"x-api-key": "hush-key", "idempotency-key": "hush-hush"}
        secrets = {"headers": headers, "rawQueryString": "q=hush-query"}
        for fault in [None, refused("UpdateItem", "Nope"), ValueError("hush-word")]:
            for body in [parameter("hush-word"), "{hush-body", '{"parameter": ["hush-list"]}']:
                self.table.faults["UpdateItem"] = [fault]
                self.send("", body=body, **secrets)
                self.assertNotIn("hush", str(self.logged))


SECRETS = {
    "headers": {"x-api-key": "hush-key", "idempotency-key": "hush", "if-none-match": "hush"},
    "rawQueryString": "q=hush-query",
    **post(parameter("hush")),
}
"""Extra input that a caller may send with a GET. It must be neither counted nor logged."""

ALWAYS_LOGGED = {*vars(logging.makeLogRecord({})), "message", "taskName"}


class Visit(OnFakes):
    """A GET."""

    route: str

    def visit(self, **event: Any) -> http.Answer:
        return self.respond({"routeKey": self.route, **event})


class Link(Visit):
    route = "GET /report"

    def look(self, **event: Any) -> tuple[int, dict[str, Any]]:
        answer = self.visit(**event)
        self.assertEqual(answer["headers"]["content-type"], "application/json")
        return answer["statusCode"], json.loads(answer["body"])

    def test_links_to_the_report_without_counting(self) -> None:
        self.send("a b b")
        for event in [{}, SECRETS]:
            self.forget_calls()
            answered = self.look(**event)
            self.assertEqual(answered, (200, {"url": "https://reports.s3/top.json?expires=600"}))
            self.assertEqual(self.calls(), ["GetObject"])

    def test_reads_the_report_even_if_the_instance_remembers_it(self) -> None:
        for _ in range(3):
            self.send("a b b")
        self.bucket.objects.clear()
        status, _ = self.look()
        self.assertEqual(status, 404)

    def test_links_between_posts_do_not_affect_the_counts(self) -> None:
        for _ in range(3):
            self.send("a b b")
            self.look()
        self.assertEqual(self.report(), [("b", 6), ("a", 3)])

    def test_before_the_first_text_there_is_no_report(self) -> None:
        status, answer = self.look()
        self.assertEqual((status, answer["code"]), (404, "no_report"))
        self.assertRegex(
            answer["error"], r"^There is no report yet\. POST a text to / first, .*\.$"
        )
        self.assertEqual(set(answer), {"error", "code"})
        self.assertEqual(self.calls(), ["GetObject"])
        self.assertEqual(self.bucket.objects, {})

    def test_an_object_that_this_product_did_not_write_is_no_report(self) -> None:
        for body in [b"", b"<html>", b'{"top10words": []}']:
            self.bucket.put_object(Bucket="reports", Key=KEY, Body=body)
            status, answer = self.look()
            self.assertEqual((status, answer["code"]), (404, "no_report"))
            self.assertEqual(self.bucket.objects[KEY]["Body"], body)
        self.assertEqual(set(self.calls()), {"GetObject"})

    def test_is_503_with_its_own_sentence_if_s3_is_throttling_or_unavailable(self) -> None:
        self.send("a")
        for fault, cause in [
            (refused("GetObject", "SlowDown", 503), "GetObject: SlowDown"),
            (timed_out("GetObject"), "GetObject: read timeout"),
        ]:
            self.bucket.faults["GetObject"] = [fault]
            answer = self.visit()
            self.assertEqual(answer["statusCode"], 503)
            self.assertEqual(answer["headers"]["retry-after"], "1")
            expected = {
                "error": "The service is busy. Send the request again in a moment.",
                "code": "unavailable",
                "request_id": "request-1",
            }
            self.assertEqual(json.loads(answer["body"]), expected)
            figures = self.figures()
            self.assertEqual((figures.pop("status"), figures.pop("route")), (503, self.route))
            self.assertEqual(figures, {"code": "unavailable", "cause": cause})

    def test_is_503_if_no_time_is_left(self) -> None:
        answer = self.respond({"routeKey": self.route}, remaining_seconds=1)
        self.assertEqual(answer["statusCode"], 503)
        self.assertEqual(self.figures()["cause"], "out of time")
        self.assertEqual(self.calls(), [])

    def test_an_unexpected_error_is_500_with_the_request_id(self) -> None:
        for fault, trace in [
            (refused("GetObject", "AccessDenied", 403), "AwsError: GetObject: AccessDenied"),
            (ZeroDivisionError("hush"), "ZeroDivisionError"),
        ]:
            self.bucket.faults["GetObject"] = [fault]
            status, answer = self.look()
            self.assertEqual((status, answer["code"]), (500, "internal_error"))
            self.assertEqual(answer["request_id"], "request-1")
            self.assertEqual(self.logged.pop(0)["trace"][0], trace)
            expected = {"route": self.route, "status": 500, "code": "internal_error"}
            self.assertEqual(self.figures(), expected)

    def test_the_log_has_route_status_and_code_and_nothing_of_the_caller(self) -> None:
        self.look(**SECRETS)
        self.assertEqual(self.figures(), {"route": self.route, "status": 404, "code": "no_report"})
        self.send("a")
        self.look(**SECRETS)
        self.assertEqual(self.figures(), {"route": self.route, "status": 200})


class LinkToAVersion(Visit):
    route = "GET /report"
    versioned = True

    def test_opens_the_version_that_was_read(self) -> None:
        for version in ["v1", "v2"]:
            self.send("a")
            self.assertRegex(self.visit()["body"], rf"versionId={version}\b")

    def test_opens_that_version_even_if_another_is_written_after_the_read(self) -> None:
        self.send("a")

        def overtaken(**arguments: Any) -> dict[str, Any]:
            found = self.bucket.get_object(**arguments)
            self.bucket.put_object(**arguments, Body=b"a newer one")
            return found

        with mock.patch.dict(self.bucket.operations, {"GetObject": overtaken}):
            self.assertRegex(self.visit()["body"], r"versionId=v1\b")
        self.assertEqual(self.bucket.writes, 2)


class Page(Visit):
    route = "GET /"

    def test_is_the_page_for_the_origin_of_the_reports(self) -> None:
        for headers in [{}, {"accept-encoding": "gzip"}]:
            found = self.visit(headers=headers)
            self.assertEqual(found, page.answer({"headers": headers}, "https://reports.s3"))
            self.assertEqual(found["statusCode"], 200)
            self.assertEqual(self.figures(), {"route": "GET /", "status": 200})

    def test_is_not_sent_again_to_a_browser_that_has_cached_it(self) -> None:
        tag = self.visit()["headers"]["etag"]
        self.assertEqual(self.visit(headers={"if-none-match": tag})["statusCode"], 304)
        self.assertEqual(self.figures(), {"route": "GET /", "status": 304})

    def test_calls_nothing_and_logs_nothing_of_the_caller(self) -> None:
        self.visit(**SECRETS)
        self.assertEqual(self.figures(), {"route": "GET /", "status": 200})
        self.assertEqual(self.calls(), [])


PREFER = {"prefer": "respond-async"}


class WithBoth(OnFakes):
    """An application with an inbox and a stream."""

    def setUp(self) -> None:
        super().setUp()
        ranking = self.application.ranking
        inbox = inbox_over(self.table, ranking, self.files, max_words=100)
        both = stream_over(self.table, ranking, self.kinesis, self.queue)
        self.application = replace(self.application, inbox=lambda: inbox, stream=lambda: both)


class Accept(WithBoth):
    def accept(self, text: str, **headers: str) -> http.Answer:
        return self.respond({**post(parameter(text)), "headers": {**PREFER, **headers}})

    def appended(self) -> dict[str, Any]:
        """The records of the stream, as Lambda delivers them."""
        return records(*((str(n), each) for n, each in enumerate(self.kinesis.records, 1)))

    def test_a_text_is_appended_and_answered_with_202_and_the_newest_report(self) -> None:
        answer = self.accept("The cat and the dog")
        self.assertEqual(answer["statusCode"], 202)
        self.assertEqual(answer["headers"]["preference-applied"], "respond-async")
        self.assertEqual(
            json.loads(answer["body"]), {"url": "https://reports.s3/top.json?expires=600"}
        )
        self.assertEqual(self.calls(), [])
        (record,) = self.kinesis.records
        self.assertEqual(stream.decode(record), ({"the": 2, "cat": 1, "and": 1, "dog": 1}, None))

    def test_it_is_counted_exactly_once_when_lambda_delivers_it(self) -> None:
        self.accept("a b")
        self.accept("a")
        for _ in range(2):
            self.deliver(self.appended())
        self.assertEqual(self.report(), [("a", 2), ("b", 1)])

    def test_the_record_has_the_key_so_that_a_retry_is_counted_once(self) -> None:
        for _ in range(2):
            self.accept("a b", **{"idempotency-key": "1"})
        self.send("a b", headers={"idempotency-key": "1"})
        self.deliver(self.appended())
        self.assertEqual(self.report(), [("a", 1), ("b", 1)])
        _, marker = stream.decode(self.kinesis.records[0])
        self.assertEqual(marker and marker.valid_until - marker.asked_at, 24 * 3600)

    def test_a_text_that_would_be_rejected_is_rejected_at_once(self) -> None:
        for text, status in [("", 400), ("!", 400), ("x" * 1_025, 400)]:
            self.assertEqual(self.accept(text)["statusCode"], status)
        self.assertEqual(self.kinesis.calls, [])

    def test_without_a_stream_the_preference_is_ignored(self) -> None:
        self.application = replace(self.application, stream=None)
        answer = self.accept("a")
        self.assertEqual(answer["statusCode"], 200)
        self.assertNotIn("preference-applied", answer["headers"])
        self.assertEqual(self.report(), [("a", 1)])

    def test_without_the_preference_it_is_counted_at_once(self) -> None:
        self.assertEqual(self.send("a", headers={"prefer": "wait=10"})[0], 200)
        self.assertEqual(self.kinesis.calls, [])

    def test_a_stream_that_is_throttling_or_unavailable_is_503(self) -> None:
        throttle = refused("PutRecord", "ProvisionedThroughputExceededException")
        for fault in (throttle, refused("PutRecord", "500", 500), timed_out("PutRecord")):
            for key, sentence in [
                ({}, "count them twice"),
                ({"idempotency-key": "1"}, "nothing is"),
            ]:
                self.kinesis.faults["PutRecord"] = [fault]
                answer = self.accept("a", **key)
                self.assertEqual(
                    (answer["statusCode"], self.logged[0]["code"]), (503, "unavailable")
                )
                self.assertIn(sentence, json.loads(answer["body"])["error"])
                self.assertNotIn("preference-applied", answer["headers"])

    def test_the_log_says_what_was_accepted_and_nothing_of_the_caller(self) -> None:
        self.accept("hush hush word", **{"idempotency-key": "hush", "x-api-key": "hush"})
        figures = self.figures()
        self.assertEqual((figures["status"], figures["words"], figures["distinct"]), (202, 3, 2))
        self.assertNotIn("hush", str(self.logged))


class Files(WithBoth):
    def upload(self, body: bytes, key: str = "hush name") -> dict[str, Any]:
        """The event that announces the file."""
        answer = self.files.put_object(Bucket="inbox", Key=key, Body=body)
        return notification(key.replace(" ", "+"), versionId=answer["VersionId"])

    def test_a_file_is_counted_and_one_line_says_so(self) -> None:
        event = self.upload(b"hush hush word")
        self.deliver(event)
        self.assertEqual(self.report(), [("hush", 2), ("word", 1)])
        figures = self.figures()
        self.assertEqual(self.logged[0]["msg"], "file")
        self.assertEqual((figures["words"], figures["distinct"]), (3, 2))
        self.assertEqual((figures["outcome"], figures["object_version"]), ("counted", "v1"))
        self.assertEqual((figures["upserts"], figures["publishes"]), (2, 1))
        self.assertNotIn("hush", str(self.logged))
        self.deliver(event)
        self.assertEqual(self.report(), [("hush", 2), ("word", 1)])

    def test_every_announced_file_is_counted(self) -> None:
        events = [self.upload(f"a w{number}".encode(), f"{number}") for number in range(3)]
        self.deliver({"Records": [each for event in events for each in event["Records"]]})
        self.assertEqual(dict(self.report())["a"], 3)
        self.assertEqual(len(self.logged), 3)

    def test_a_refused_or_deleted_file_is_no_error(self) -> None:
        self.deliver(self.upload(b"hush \xff"))
        self.assertEqual(self.figures()["outcome"], "not_utf8")
        self.assertNotIn("hush", str(self.logged))
        self.deliver(notification("hush", versionId="v9"))
        self.assertEqual(self.figures()["outcome"], "gone")
        self.assertNotIn("words", self.figures())
        self.assertNotIn("hush", str(self.logged))

    def test_a_failure_is_raised_so_that_lambda_retries_it(self) -> None:
        event = self.upload(b"hush words")
        for fault, raised, code in [
            (timed_out("TransactWriteItems"), Unavailable, "unavailable"),
            (ValueError("hush"), ValueError, "internal_error"),
        ]:
            self.table.faults["TransactWriteItems"] = [fault]
            with self.assertRaises(raised):
                self.deliver(event)
            self.assertEqual(
                (self.logged[-1]["outcome"], self.logged[-1]["code"]), ("failed", code)
            )
            self.assertNotIn("hush", str(self.logged))
        self.deliver(event)
        self.assertEqual(self.report(), [("hush", 1), ("words", 1)])


class Batches(WithBoth):
    def test_a_batch_is_counted_and_one_line_says_so(self) -> None:
        event = records(("1", b'{"parameter": "hush hush"}'), ("2", b"hush"), ("3", b"\xff"))
        self.deliver(event)
        self.assertEqual(self.report(), [("hush", 2)])
        figures = self.figures()
        self.assertEqual(self.logged[0]["msg"], "batch")
        self.assertEqual((figures["records"], figures["set_aside"]), (3, 2))
        self.assertEqual((figures["upserts"], figures["publishes"]), (1, 1))
        self.assertNotIn("hush", str(self.logged))
        self.assertNotIn("hush", str(self.queue.messages))
        self.deliver(event)
        self.assertEqual(self.figures()["upserts"], 0)

    def test_a_failure_is_raised_so_that_lambda_retries_it(self) -> None:
        event = records(("1", b'{"parameter": "hush words"}'))
        for operation, call in [("GetItem", 0), ("UpdateItem", 0), ("UpdateItem", 1)]:
            self.table.faults[operation] = [*[None] * call, timed_out(operation)]
            with self.assertRaises(Unavailable):
                self.deliver(event)
            self.assertEqual(self.figures()["code"], "unavailable")
        self.table.faults["GetItem"] = [ValueError("hush")]
        with self.assertRaises(ValueError):
            self.deliver(event)
        self.assertNotIn("hush", str(self.logged))
        self.deliver(event)
        self.assertEqual(self.report(), [("hush", 1), ("words", 1)])

    def test_no_request_looks_like_a_batch_or_a_file(self) -> None:
        for event in (records(("1", b'{"parameter": "a"}')), notification("a")):
            answer = self.respond(post(json.dumps(event)))
            self.assertEqual(answer["statusCode"], 400)
        self.assertEqual(self.table.calls, [])


class Reconcile(OnFakes):
    scan_up_to_words = 0

    def test_the_scheduled_event_rebuilds_the_report(self) -> None:
        self.send("a b b")
        self.table.items["crashed"] = 7
        self.assertIsNone(self.deliver({"task": "reconcile"}))
        self.assertEqual(self.report(), [("crashed", 7), ("b", 2), ("a", 1)])
        self.assertEqual(self.logged[0]["msg"], "reconciliation")
        self.assertEqual(self.figures()["publishes"], 1)

    def test_a_correct_report_is_not_written_again(self) -> None:
        self.send("a b b")
        writes = self.bucket.writes
        self.deliver({"task": "reconcile"})
        self.assertEqual(self.bucket.writes, writes)

    def test_a_failure_is_raised_so_that_lambda_sees_it(self) -> None:
        self.table.faults["Scan"] = [refused("Scan", "ThrottlingException")]
        with self.assertRaises(Unavailable):
            self.deliver({"task": "reconcile"})

    def test_no_request_can_ask_for_it(self) -> None:
        answer = self.deliver(post('{"task": "reconcile"}'))
        self.assertEqual(answer["statusCode"], 400)
        self.assertEqual(self.table.calls, [])


class EntryPoint(unittest.TestCase):
    def tearDown(self) -> None:
        handler._application.cache_clear()

    def test_missing_settings_are_a_500_and_all_of_them_are_in_the_log(self) -> None:
        handler._application.cache_clear()
        for route in ["POST /", "GET /report", "GET /"]:
            with mock.patch.dict(os.environ, clear=True), self.assertLogs() as logs:
                event = {**post(parameter("a")), "routeKey": route}
                answer = handler.lambda_handler(event, CONTEXT)
            self.assertEqual(answer["statusCode"], 500)
            self.assertEqual(json.loads(answer["body"])["code"], "internal_error")
            trace = str(vars(logs.records[0])["trace"])
            for name in ["AWS_REGION", "WORDS_TABLE", "REPORTS_BUCKET"]:
                self.assertIn(f"{name} is not set", trace)

    def test_importing_it_loads_no_sdk_and_starts_nothing(self) -> None:
        code = (
            "import sys, threading, wordtally.handler, wordtally.authorizer\n"
            "assert not {'boto3', 'botocore'} & set(sys.modules), 'the SDK was imported'\n"
            "assert threading.active_count() == 1"
        )
        app = Path(handler.__file__).parents[1]
        subprocess.run([sys.executable, "-c", code], cwd=app, env={}, check=True)
