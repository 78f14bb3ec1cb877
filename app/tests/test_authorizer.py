"""The second entry point, which decides who may call."""

import hashlib
import hmac
import os
import unittest
from typing import Any
from unittest import mock

from wordtally import authorizer

KEYS = ["correct horse battery", "the key before it"]
ENVIRONMENT = {"API_KEY_SHA256": ",".join(hashlib.sha256(key.encode()).hexdigest() for key in KEYS)}


def event(key: str | None) -> dict[str, Any]:
    headers = {"host": "api.example"}
    return {"headers": headers if key is None else {**headers, "x-api-key": key}}


class Authorize(unittest.TestCase):
    def test_each_accepted_key_is_authorised(self) -> None:
        for key in KEYS:
            self.assertEqual(authorizer.authorize(event(key), ENVIRONMENT), {"isAuthorized": True})

    def test_no_other_key_is_authorised(self) -> None:
        digest = ENVIRONMENT["API_KEY_SHA256"].split(",")[0]
        for key in [None, "", "wrong", KEYS[0] + " ", KEYS[0].upper(), digest, "é", "\udce9"]:
            with self.subTest(key=ascii(key)):
                self.assertEqual(
                    authorizer.authorize(event(key), ENVIRONMENT), {"isAuthorized": False}
                )

    def test_every_digest_is_compared_in_constant_time(self) -> None:
        with mock.patch("hmac.compare_digest", wraps=hmac.compare_digest) as compare:
            authorizer.authorize(event(KEYS[0]), ENVIRONMENT)
        self.assertEqual(compare.call_count, len(KEYS))

    def test_with_no_digests_configured_every_request_is_refused(self) -> None:
        for environment in [{}, {"API_KEY_SHA256": ""}]:
            for key in [None, "", KEYS[0]]:
                self.assertEqual(
                    authorizer.authorize(event(key), environment), {"isAuthorized": False}
                )

    def test_an_event_without_headers_is_refused(self) -> None:
        events: list[dict[str, Any]] = [{}, {"headers": None}, {"headers": {"x-api-key": None}}]
        for without in events:
            self.assertEqual(authorizer.authorize(without, ENVIRONMENT), {"isAuthorized": False})

    def test_the_entry_point_reads_the_environment(self) -> None:
        with mock.patch.dict(os.environ, ENVIRONMENT):
            self.assertEqual(
                authorizer.lambda_handler(event(KEYS[0]), None), {"isAuthorized": True}
            )
