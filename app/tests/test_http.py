"""From HTTP API events to answers: the table of the contract."""

import gzip
import json
import unittest
from typing import Any

from events import parameter, post
from wordtally import errors
from wordtally.ways_in import http

URL = "https://reports.example/top.json"


class Requests(unittest.TestCase):
    def assert_rejected(
        self, body: str | bytes | None, code: str, problem: str = "", **headers: str
    ) -> None:
        with self.assertRaises(errors.Rejected) as raised:
            http.request_of({**post(body), "headers": headers})
        answer = http.failure(raised.exception, "request-1")
        found = json.loads(answer["body"])
        self.assertEqual((answer["statusCode"], found["code"]), (400, code), ascii(body)[:60])
        self.assertRegex(found["error"], r"^\S.*\.$")
        self.assertIn(problem, found["error"])
        self.assertEqual(set(found), {"error", "code"})
        self.assertEqual(answer["headers"], http.HEADERS)

    def assert_accepted(self, body: str | bytes, text: str) -> None:
        self.assertEqual(http.request_of(post(body)), http.Request(text))

    def test_a_text(self) -> None:
        self.assert_accepted(parameter("hello world"), "hello world")

    def test_a_base64_body_is_decoded(self) -> None:
        self.assert_accepted('{"parameter": "naïve 好"}'.encode(), "naïve 好")

    def test_a_byte_order_mark_is_ignored(self) -> None:
        self.assert_accepted("\ufeff" + parameter("a"), "a")
        self.assert_accepted(b"\xef\xbb\xbf" + parameter("a").encode(), "a")

    def test_nul_and_lone_surrogates_are_characters_like_others(self) -> None:
        self.assert_accepted(r'{"parameter": "a\u0000b\ud800c"}', "a\u0000b\ud800c")

    def test_other_members_are_ignored(self) -> None:
        self.assert_accepted('{"parameter": "a", "n": [1e999, -0, %s]}' % ("9" * 5000), "a")

    def test_invalid_json(self) -> None:
        bodies: list[str | bytes | None] = [None, "", " ", "hello", "{", "{'parameter': 'a'}", "\0"]
        bodies += [parameter("a") + "x", '{"parameter": "a\nb"}', "parameter=a", "undefined"]
        bodies += ['{"parameter": NaN}', "NaN", "[Infinity]", "-Infinity", "[" * 100_000]
        bodies += ['{"a":' * 100_000, b"\xff", b'{"parameter": "\xe9"}', b"", "a\ud800"]
        bodies += [parameter("a").encode("utf-16")]
        for body in bodies:
            with self.subTest(body=ascii(body)[:60]):
                self.assert_rejected(body, "invalid_json", 'such as {"parameter": ')

    def test_the_sentence_says_what_is_wrong_with_the_body(self) -> None:
        compressed = gzip.compress(parameter("a").encode())
        cases: list[tuple[str | bytes | None, str]] = [
            (None, "The request has no body."),
            (b"", "The request has no body."),
            (b'{"parameter": "\xe9"}', "The body is not UTF-8 at byte 16."),
            (parameter("a").encode("utf-16"), "The body is not UTF-8 at byte 1."),
            (compressed, "The body is compressed. Send a JSON body in UTF-8"),
            ("parameter=hello+world", "The body is form data, not JSON."),
            (b"parameter=hello&a=b", "The body is form data, not JSON."),
            (b"--boundary\r\nContent-Disposition: form-data", "The body is form data, not JSON."),
            (
                '{\n  "parameter": hello\n}',
                "The body is not JSON: Expecting value (line 2, column ",
            ),
            ("hello", "The body is not JSON: Expecting value (line 1, column 1)."),
            ("[NaN]", "The body is not JSON: it contains NaN."),
            ("[" * 100_000, "The body is JSON that is nested too deeply."),
        ]
        for body, problem in cases:
            with self.subTest(body=ascii(body)[:60]):
                self.assert_rejected(body, "invalid_json", problem)
        declared = {"content-encoding": "br"}
        self.assert_rejected(b"\x0b\x02", "invalid_json", "The body is compressed.", **declared)

    def test_the_sentence_does_not_quote_the_body(self) -> None:
        bodies: list[str | bytes] = ["secret", '{"secret": secret}', b"secret\xff", '["\\secret"]']
        for body in [*bodies, "secret=secret"]:
            with self.assertRaises(errors.InvalidJson) as raised:
                http.request_of(post(body))
            self.assertNotIn("secret", raised.exception.message + str(raised.exception))
            self.assertIsNone(raised.exception.__cause__)

    def test_a_json_body_is_json_whatever_its_content_type_says(self) -> None:
        event = post(parameter("a").encode())  # what curl -d sends, as the API passes it on
        event["headers"] = {"content-type": "application/x-www-form-urlencoded"}
        self.assertEqual(http.request_of(event).text, "a")

    def test_a_body_that_is_declared_as_base64_but_is_not(self) -> None:
        for body in [parameter("a"), "naïve"]:
            with self.assertRaises(errors.InvalidJson):
                http.request_of({"body": body, "isBase64Encoded": True})

    def test_not_an_object(self) -> None:
        for body in ["[]", "5", '"parameter"', "null", "true", '["parameter"]']:
            self.assert_rejected(body, "invalid_request")

    def test_no_parameter(self) -> None:
        for body in ["{}", '{"Parameter": "a"}', '{"text": "a"}']:
            self.assert_rejected(body, "missing_parameter")

    def test_parameter_not_a_string(self) -> None:
        for value in [None, 5, 1.5, True, [], ["a"], {"a": "b"}]:
            self.assert_rejected(parameter(value), "parameter_not_a_string")
        self.assert_rejected('{"parameter": %s}' % ("9" * 5000), "parameter_not_a_string")

    def test_empty_parameter(self) -> None:
        for value in ["", " ", "\t\r\n", "\u00a0\u2003\u3000", " " * 20_000]:
            self.assert_rejected(parameter(value), "empty_parameter")

    def test_at_most_ten_thousand_code_points(self) -> None:
        for letter in ["a", "好", "😀"]:
            self.assert_accepted(parameter(letter * 10_000), letter * 10_000)
            self.assert_rejected(parameter(letter * 10_001), "parameter_too_long")

    def request(self, **headers: str) -> http.Request:
        return http.request_of({**post(parameter("a")), "headers": headers})

    def test_an_idempotency_key_is_1_to_255_printable_ascii_characters(self) -> None:
        for key in ["k", "8e03978e-40d5-43dd-bc93-6894a57f9324", "+ a key; with = -.~", "k" * 255]:
            self.assertEqual(self.request(**{"idempotency-key": key}).idempotency_key, key)
        for key in ["", "k" * 256, "schlüssel", "a\tb", "\x7f", "a\n"]:
            with self.assertRaises(errors.InvalidIdempotencyKey, msg=ascii(key)):
                self.request(**{"idempotency-key": key})

    def test_two_idempotency_keys_are_refused_as_the_api_joins_them_with_a_comma(self) -> None:
        for key in ["one,two", "one, two", ","]:
            with self.assertRaises(errors.InvalidIdempotencyKey, msg=key):
                self.request(**{"idempotency-key": key})

    def test_without_the_headers_there_are_no_keys(self) -> None:
        self.assertEqual(self.request(), http.Request("a", None, ""))
        self.assertEqual(http.request_of({**post(parameter("a")), "headers": None}).api_key, "")

    def test_the_api_key_is_the_header(self) -> None:
        self.assertEqual(self.request(**{"x-api-key": "an api key"}).api_key, "an api key")

    def test_prefer_respond_async(self) -> None:
        for value in [
            "respond-async",
            "Respond-Async",
            " respond-async ",
            "respond-async, wait=10",
            "wait=10,respond-async",
            "return=minimal; a=b , respond-async",
            "respond-async; a=b",
            "respond-async;",
            'respond-async=""',
            'respond-async = ""; a',
            "respond-async=",
            'foo="a \\" b", respond-async',
        ]:
            self.assertTrue(self.request(prefer=value).prefers_async, value)
        for value in [
            "",
            "respond",
            "respond-asynchronously",
            "x-respond-async",
            "wait=respond-async",
            "foo; respond-async",
            "respond-async=no",
            'respond-async="yes"',
            'foo="a, respond-async, b"',
            'foo="a \\", respond-async, b"',
            "respond-async wait=10",
        ]:
            self.assertFalse(self.request(prefer=value).prefers_async, value)
        self.assertFalse(self.request().prefers_async)

    def test_the_repr_of_a_request_contains_no_input_of_the_caller(self) -> None:
        secrets = {"x-api-key": "hush", "idempotency-key": "hush", "prefer": "respond-async; hush"}
        request = self.request(**secrets)
        self.assertEqual(repr(request), "Request()")


class Answers(unittest.TestCase):
    def test_success_is_the_url(self) -> None:
        answer = http.success(URL)
        self.assertEqual((answer["statusCode"], json.loads(answer["body"])), (200, {"url": URL}))

    def test_accepted_says_which_preference_was_honoured(self) -> None:
        answer = http.accepted(URL)
        self.assertEqual((answer["statusCode"], json.loads(answer["body"])), (202, {"url": URL}))
        expected = {**http.HEADERS, "preference-applied": "respond-async"}
        self.assertEqual(answer["headers"], expected)

    def failure(self, error: Exception, busy: str = "") -> tuple[int, dict[str, Any]]:
        answer = http.failure(error, "request-1", busy)
        if answer["statusCode"] == 503:
            self.assertEqual(answer["headers"]["retry-after"], "1")
        return answer["statusCode"], json.loads(answer["body"])

    def test_unavailable_says_whether_a_retry_is_safe(self) -> None:
        error = errors.Unavailable("UpdateItem: ThrottlingException")
        for request, sentence in [
            (http.Request("a"), "may count them twice"),
            (http.Request("a", "key"), "nothing is counted twice"),
        ]:
            status, body = self.failure(error, request.sentence_when_busy)
            self.assertEqual((status, body["code"]), (503, "unavailable"))
            self.assertEqual(body["request_id"], "request-1")
            self.assertIn(sentence, body["error"])
            self.assertNotIn("Throttling", str(body))

    def test_an_unexpected_error_is_500_with_the_request_id(self) -> None:
        status, body = self.failure(ValueError("secret text"))
        self.assertEqual((status, body["code"]), (500, "internal_error"))
        self.assertEqual(body["request_id"], "request-1")
        self.assertNotIn("secret", str(body))
