"""HTTP API events in, answers out: the table of the contract."""

import base64
import json
import unittest
from typing import Any

from wordtally import errors, http

URL = "https://reports.example/top.json"


def post(body: str | bytes | None) -> dict[str, Any]:
    """The event of a POST; bytes are sent as base64."""
    if isinstance(body, bytes):
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return {"isBase64Encoded": False} if body is None else {"body": body, "isBase64Encoded": False}


def parameter(value: object) -> str:
    return json.dumps({"parameter": value})


class Answers(unittest.TestCase):
    def setUp(self) -> None:
        self.texts: list[str] = []
        self.keys: list[str | None] = []

    def respond(self, body: str | bytes | None, **headers: str) -> tuple[int, dict[str, Any]]:
        def tally(text: str, key: str | None, summary: dict[str, Any]) -> str:
            self.texts.append(text)
            self.keys.append(key)
            return URL

        with self.assertLogs("wordtally"):
            answer = http.respond({**post(body), "headers": headers}, "request-1", tally)
        self.assertEqual(answer["headers"]["content-type"], "application/json")
        return answer["statusCode"], json.loads(answer["body"])

    def assert_rejected(self, body: str | bytes | None, code: str) -> None:
        status, answer = self.respond(body)
        self.assertEqual((status, answer["code"]), (400, code), ascii(body)[:60])
        self.assertRegex(answer["error"], r"^\S.*\.$")
        self.assertEqual(set(answer), {"error", "code"})
        self.assertEqual(self.texts, [])

    def assert_accepted(self, body: str | bytes, text: str) -> None:
        self.assertEqual(self.respond(body), (200, {"url": URL}))
        self.assertEqual(self.texts.pop(), text)

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
                self.assert_rejected(body, "invalid_json")

    def test_a_body_that_claims_to_be_base64_and_is_not(self) -> None:
        with self.assertLogs("wordtally"):
            answer = http.respond(
                {"body": parameter("a"), "isBase64Encoded": True},
                "1",
                lambda text, key, summary: URL,
            )
        self.assertEqual(answer["statusCode"], 400)
        self.assertEqual(json.loads(answer["body"])["code"], "invalid_json")

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

    def test_ten_thousand_code_points_and_no_more(self) -> None:
        for letter in ["a", "好", "😀"]:
            self.assert_accepted(parameter(letter * 10_000), letter * 10_000)
            self.assert_rejected(parameter(letter * 10_001), "parameter_too_long")

    def test_an_idempotency_key_is_1_to_255_printable_ascii_characters(self) -> None:
        for key in ["k", "8e03978e-40d5-43dd-bc93-6894a57f9324", "a key, with = ~", "k" * 255]:
            self.respond(parameter("a"), **{"idempotency-key": key})
            self.assertEqual(self.keys.pop(), key)
        self.texts.clear()
        for key in ["", "k" * 256, "schlüssel", "a\tb", "\x7f", "a\n"]:
            status, answer = self.respond(parameter("a"), **{"idempotency-key": key})
            self.assertEqual((status, answer["code"]), (400, "invalid_idempotency_key"), key)
        self.assertEqual(self.texts, [])

    def test_without_the_header_there_is_no_key(self) -> None:
        self.respond(parameter("a"))
        self.assertEqual(self.keys, [None])


class Failures(unittest.TestCase):
    def respond(self, error: Exception) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The answer, and the attributes of the log records."""

        def tally(text: str, key: str | None, summary: dict[str, Any]) -> str:
            summary["words"] = 2
            raise error

        with self.assertLogs("wordtally") as logs:
            answer = http.respond(post(parameter("secret text")), "request-1", tally)
        return answer, [vars(record) for record in logs.records]

    def test_unavailable_asks_to_try_again(self) -> None:
        answer, (line,) = self.respond(errors.Unavailable("UpdateItem: ThrottlingException"))
        self.assertEqual(answer["statusCode"], 503)
        self.assertEqual(answer["headers"]["retry-after"], "1")
        self.assertEqual(json.loads(answer["body"])["code"], "unavailable")
        self.assertEqual(line["cause"], "UpdateItem: ThrottlingException")
        self.assertEqual((line["status"], line["code"], line["words"]), (503, "unavailable", 2))

    def test_the_unforeseen_gets_the_request_id_and_the_log_gets_the_trace(self) -> None:
        answer, (trace, line) = self.respond(ValueError("secret text"))
        self.assertEqual(answer["statusCode"], 500)
        body = json.loads(answer["body"])
        self.assertEqual(body["code"], "internal_error")
        self.assertEqual(body["request_id"], "request-1")
        self.assertNotIn("secret", answer["body"])
        self.assertEqual(trace["trace"][0], "ValueError")
        self.assertIn("test_http.py", trace["trace"][-1])
        self.assertEqual((line["status"], line["code"]), (500, "internal_error"))

    def test_no_message_of_a_foreign_error_is_logged_not_even_of_a_cause(self) -> None:
        error = ValueError("secret text")
        error.__cause__ = KeyError("secret text")
        _, lines = self.respond(error)
        self.assertNotIn("secret", str(lines))
