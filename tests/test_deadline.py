"""With either client, a request is answered by its deadline, whatever AWS's servers do."""

import json
import os
import time
from unittest import mock

import pytest
from hostile import (
    SOON_SECONDS,
    Conversation,
    Peer,
    response,
    sends,
    sends_and_stays,
    serving,
)
from wordtally import handler
from wordtally.settings import Settings

from local.emulator import aws
from local.services.instances import Context

pytestmark = pytest.mark.slow

DEADLINE_SECONDS = 2.0


class Soon(Context):
    """The context of a call that times out a second after DEADLINE_SECONDS."""

    def get_remaining_time_in_millis(self) -> int:
        return int((DEADLINE_SECONDS + 1) * 1000)


def endless(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:  # until the client disconnects
        peer.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
        time.sleep(0.005)


def throttles(peer: Peer) -> None:
    """Throttles, and requests a longer pause than the deadline allows."""
    body = b'{"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"}'
    while True:
        peer.request()
        peer.send(response(body, "400 Bad Request", x_amz_retry_after="60000", retry_after="60"))


SERVERS: dict[str, Conversation] = {
    "silent": sends_and_stays(b""),
    "trickling": sends(b"HTTP/1.1 200 OK\r\n", *[b"X"] * 400, every=0.1),
    "endless": endless,
    "asking for a long pause": throttles,
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
        answer = handler.handle(lambda: instance, event, Soon())
        took = time.monotonic() - started
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (503, "unavailable")
    assert took < SOON_SECONDS
