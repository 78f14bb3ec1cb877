"""Behaviour that both clients of AWS share (retries, batches, deadlines), and the translation of botocore's
errors.
test_contract_on_moto.py and test_faults.py also run on both clients."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from botocore import exceptions
from botocore.parsers import ResponseParserError
from hostile import (
    AT_MOST_ONCE_PARAMETERS,
    PATIENT,
    SOON_SECONDS,
    UPDATE,
    Conversation,
    MakeThin,
    Peer,
    answers,
    counted,
    dynamodb_error,
    one,
    response,
    sends,
    serving,
    silence,
    upsert,
)
from wordtally.aws import sdk
from wordtally.aws.client import Client
from wordtally.aws.connections import Timeouts
from wordtally.aws.errors import MAX_ATTEMPTS, AwsError, AwsUnavailable, Fault, Throttled
from wordtally.aws.sdk import SdkClient

from local.emulator import aws

MakeClient = Callable[..., Client]

GOOD = response(b'{"SequenceNumber": "1", "MessageId": "1"}')
THROTTLE = dynamodb_error("ThrottlingException")
FAULT = dynamodb_error("InternalFailure", "500 Internal Server Error")


@pytest.fixture(scope="module")
def session() -> Any:
    """Shared, as each session loads the service models again."""
    return botocore.session.Session()


@pytest.fixture(params=["thin", "botocore"])
def client(
    request: pytest.FixtureRequest,
    patient: None,
    thin: MakeThin,
    session: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> MakeClient:
    """Makes a client for a URL. Its default timeouts are long enough for a busy machine."""

    def make(url: str, answer_seconds: float = PATIENT.answer_seconds) -> Client:
        if request.param == "thin":
            return thin(url, Timeouts(PATIENT.connect_seconds, answer_seconds))
        monkeypatch.setattr("botocore.session.get_session", lambda: session)
        monkeypatch.setattr(sdk, "READ_TIMEOUT_SECONDS", answer_seconds)
        for name, value in aws.environment(url).items():
            monkeypatch.setenv(name, value)
        return SdkClient(aws.REGION)

    return make


AMBIGUOUS: dict[str, Conversation] = {
    "silence": silence,
    "closed without an answer": sends(),
    "cut off": sends(GOOD[:-1]),
    "500": answers(FAULT),
    "503": answers(dynamodb_error("InternalFailure", "503 Service Unavailable")),
    "an error page": answers(response(b"<html>busy</html>", "502 Bad Gateway")),
    "no JSON": answers(response(b"<html>busy</html>")),
    "a missing field": answers(response(b"{}")),
}
"""After these responses, a client cannot know whether its PutRecord or SendMessage took effect."""


@pytest.mark.parametrize("operation", AT_MOST_ONCE_PARAMETERS)
class TestAtMostOnce:
    def call(self, client: Client, operation: str) -> None:
        one(client, operation, AT_MOST_ONCE_PARAMETERS[operation])

    @pytest.mark.parametrize("bad", AMBIGUOUS)
    def test_a_call_that_may_have_taken_effect_is_not_retried(
        self, operation: str, bad: str, client: MakeClient
    ) -> None:
        with serving(AMBIGUOUS[bad], answers(GOOD)) as server:
            with pytest.raises(AwsUnavailable) as caught:
                self.call(client(server.url, answer_seconds=1), operation)
            assert not caught.value.without_effect
        assert len(server.requests) == 1

    def test_a_throttled_call_that_fails_in_its_second_attempt_is_not_retried(
        self, operation: str, client: MakeClient
    ) -> None:
        with serving(answers(THROTTLE, FAULT, GOOD)) as server, pytest.raises(AwsUnavailable):
            self.call(client(server.url), operation)
        assert len(server.requests) == 2

    @pytest.mark.parametrize(
        "code",
        [
            "ThrottlingException",
            "ProvisionedThroughputExceededException",
            "RequestThrottled",  # from SQS
            "KMSThrottlingException",  # from the stream's key
        ],
    )
    def test_a_throttled_call_is_retried(
        self, operation: str, code: str, client: MakeClient
    ) -> None:
        with serving(answers(*[dynamodb_error(code)] * MAX_ATTEMPTS, GOOD)) as server:
            self.call(client(server.url), operation)
        assert len(server.requests) == MAX_ATTEMPTS + 1


def test_throttled_calls_are_retried_until_the_deadline_and_reported(client: MakeClient) -> None:
    retried: list[AwsError] = []
    # More attempts than botocore itself makes.
    with serving(answers(*[THROTTLE] * (MAX_ATTEMPTS + 1), GOOD)) as server:
        until = time.monotonic() + 60
        client(server.url).call_each("UpdateItem", [UPDATE], until, retried.append)
    assert len(server.requests) == MAX_ATTEMPTS + 2
    assert {type(error) for error in retried} == {Throttled}

    started = time.monotonic()
    with serving(answers(THROTTLE)) as server:
        with pytest.raises(AwsUnavailable, match=r"^UpdateItem: "):
            one(client(server.url), "UpdateItem", UPDATE, 2)
        assert time.monotonic() - started < SOON_SECONDS


def number_of(request: bytes) -> int:
    return int(json.loads(request)["Key"]["word"]["S"])


def test_the_calls_of_a_batch_are_concurrent_and_their_answers_are_in_order(
    client: MakeClient,
) -> None:
    together = threading.Barrier(16)  # breaks unless the calls are concurrent

    def echo(peer: Peer) -> None:
        while True:
            number = number_of(peer.request())
            together.wait(SOON_SECONDS)
            peer.send(response(counted(number)))

    with serving(echo) as server:
        batch = [upsert(str(number)) for number in range(96)]
        found = client(server.url).call_each("UpdateItem", batch, time.monotonic() + 60)
    assert [int(answer["Attributes"]["times"]["N"]) for answer in found] == list(range(96))


def test_a_failure_cancels_pending_calls_and_awaits_those_in_flight(client: MakeClient) -> None:
    ended: list[int] = []

    def fails_at_ten(peer: Peer) -> None:
        while True:
            number = number_of(peer.request())
            if number == 10:
                peer.send(dynamodb_error("AccessDeniedException"))
            else:
                time.sleep(0.1)
                ended.append(number)
                peer.send(response(counted(number)))

    with serving(fails_at_ten) as server:
        batch = [upsert(str(number)) for number in range(1_000)]
        with pytest.raises(AwsError, match=r"^UpdateItem: AccessDeniedException$") as caught:
            client(server.url).call_each("UpdateItem", batch, time.monotonic() + 120)
        completed = caught.value.completed
        assert 10 <= completed == len(ended) < 200
        time.sleep(0.2)
        assert len(server.requests) == completed + 1


@pytest.mark.parametrize(
    "error",
    [
        exceptions.EndpointConnectionError(endpoint_url="https://aws"),
        exceptions.ConnectTimeoutError(endpoint_url="https://aws"),
        exceptions.ProxyConnectionError(proxy_url="http://proxy"),
        exceptions.SSLError(endpoint_url="https://aws", error=OSError("handshake")),
        exceptions.ReadTimeoutError(endpoint_url="https://aws"),
        exceptions.ConnectionClosedError(endpoint_url="https://aws"),
        exceptions.ResponseStreamingError(error="cut"),
        exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        exceptions.FlexibleChecksumError(error_msg="crc32"),
        exceptions.ChecksumError(checksum_type="crc32", expected_checksum="1", actual_checksum="2"),
        ResponseParserError("garbage"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_connection_errors_and_unreadable_answers_are_faults(error: Exception) -> None:
    known = sdk._translated("Scan", error)
    assert isinstance(known, Fault)
    assert (str(known), known.without_effect) == (f"Scan: {type(error).__name__}", False)


@pytest.mark.parametrize(
    "error",
    [exceptions.NoCredentialsError(), exceptions.ParamValidationError(report="a value")],
    ids=lambda error: type(error).__name__,
)
def test_missing_credentials_and_invalid_parameters_are_not_faults(error: Exception) -> None:
    assert sdk._translated("Scan", error) is None


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDeniedException", 400, AwsError),
        ("ThrottlingException", 400, Throttled),
        ("InternalServerError", 500, Fault),
    ],
)
def test_refusals_keep_their_code_and_become_errors_of_the_right_class(
    code: str, status: int, kind: type[AwsError]
) -> None:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    known = sdk._translated("Scan", exceptions.ClientError(answer, "Scan"))
    assert (type(known), str(known)) == (kind, f"Scan: {code}")
