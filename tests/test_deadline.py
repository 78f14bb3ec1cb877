"""With either client, a request is answered by its deadline, whatever AWS's servers do."""

import json
import os
import time
from unittest import mock

import pytest
from faults import ShortTimeout
from hostile import SOON_SECONDS, Conversation, answers, forever, response, sends, serving
from wordtally import handler
from wordtally.settings import Settings

from local.emulator import aws

pytestmark = pytest.mark.slow

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
THROTTLE = response(
    b'{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"}',
    "400 Bad Request",
    x_amz_retry_after="60000",
    retry_after="60",
)
"""Requests a longer pause than the deadline allows."""

SERVERS: dict[str, Conversation] = {
    "silent": answers(b""),
    "trickling": sends(b"HTTP/1.1 200 OK\r\n", *[b"X"] * 400, every=0.1),
    "endless": forever(b"400\r\n" + b"x" * 1024 + b"\r\n", CHUNKED, every=0.005),
    "asking for a long pause": answers(THROTTLE),
    "closing": sends(b""),
}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("key", [None, "a key"])
@pytest.mark.parametrize("client", ["thin", "botocore"])
def test_the_answer_is_503_by_the_deadline(server: str, key: str | None, client: str) -> None:
    event = {"body": json.dumps({"parameter": "a text of some words"})}
    if key:
        event["headers"] = {"idempotency-key": key}  # type: ignore[assignment]
    with (
        serving(SERVERS[server]) as running,
        mock.patch.dict(os.environ, aws.environment(running.url)),
    ):
        chosen = Settings(aws.REGION, "words", "reports", 600, 0, "markers", 24, client)
        instance = handler.application(chosen)
        started = time.monotonic()
        answer = handler.handle(lambda: instance, event, ShortTimeout())
        took = time.monotonic() - started
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (503, "unavailable")
    assert took < SOON_SECONDS
