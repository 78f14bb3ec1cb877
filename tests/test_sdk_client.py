"""The client on botocore: its errors and its deadline. test_contract_on_moto.py, test_faults.py and
test_random_walks.py have the tests that it shares with the thin client."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import fake_aws
import pytest
from botocore import exceptions
from botocore.parsers import ResponseParserError
from fake_aws import FakeAws
from faults import throttled
from hostile import (
    AMBIGUOUS,
    AT_MOST_ONCE_PARAMETERS,
    SOON_SECONDS,
    UPDATE,
    one,
    response,
    sends,
    sends_and_stays,
    serving,
)
from wordtally.aws import sdk
from wordtally.aws.errors import MAX_ATTEMPTS, AwsError, AwsUnavailable, Fault, Throttled, failure
from wordtally.aws.sdk import CONNECTIONS, SdkClient

from local.emulator import aws

WORDS = [
    {
        "TableName": "words",
        "Key": {"word": {"S": f"w{number}"}},
        "UpdateExpression": "ADD times :n",
        "ExpressionAttributeValues": {":n": {"N": "1"}},
        "ReturnValues": "UPDATED_NEW",
    }
    for number in range(200)
]


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
def test_errors_in_the_parameters_are_not(error: Exception) -> None:
    assert sdk._translated("Scan", error) is None


def test_refusals_keep_their_code_and_their_meaning() -> None:
    def translated(code: str, status: int = 400) -> AwsError | None:
        answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return sdk._translated("Scan", exceptions.ClientError(answer, "Scan"))

    assert type(translated("AccessDeniedException")) is AwsError
    assert type(translated("ThrottlingException")) is Throttled
    assert type(translated("InternalServerError", 500)) is Fault
    assert str(translated("AccessDeniedException")) == "Scan: AccessDeniedException"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    with fake_aws.serving() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def test_a_batch_is_answered_in_order(server: FakeAws) -> None:
    answers = SdkClient(aws.REGION).call_each("UpdateItem", WORDS[:40] * 2, time.monotonic() + 60)
    assert len(answers) == 80
    assert {answer["Attributes"]["times"]["N"] for answer in answers[:40]} <= {"1", "2"}
    assert set(server.table.items.values()) == {2}


def test_calls_of_a_batch_are_concurrent(server: FakeAws) -> None:
    together = threading.Barrier(CONNECTIONS)  # breaks unless the calls are concurrent

    def effect(exchange: fake_aws.Exchange) -> None:
        together.wait(timeout=10)
        exchange.reply(*exchange.take_effect())

    server.fault = lambda operation: effect
    client = SdkClient(aws.REGION)
    client.call_each("UpdateItem", WORDS[:CONNECTIONS], time.monotonic() + 60)


def test_a_failure_cancels_pending_calls_and_awaits_those_in_flight(server: FakeAws) -> None:
    def refuse(exchange: fake_aws.Exchange) -> None:
        exchange.refuse(400, "AccessDeniedException", "")

    fifth = iter([None] * 4 + [refuse])
    server.fault = lambda operation: next(fifth, None)
    with pytest.raises(AwsError, match=r"^UpdateItem: AccessDeniedException$") as raised:
        SdkClient(aws.REGION).call_each("UpdateItem", WORDS, time.monotonic() + 60)
    counted = len(server.table.items)
    assert raised.value.completed == counted < len(WORDS)
    time.sleep(0.1)
    assert len(server.table.items) == counted


def test_throttled_calls_are_retried_until_the_deadline_and_reported(server: FakeAws) -> None:
    retried: list[AwsError] = []
    # More than botocore's own attempts.
    first = iter([throttled] * (MAX_ATTEMPTS + 1))
    server.fault = lambda operation: next(first, None)
    client = SdkClient(aws.REGION)
    client.call_each("UpdateItem", WORDS[:1], time.monotonic() + 60, retried.append)
    assert server.table.items == {"w0": 1}
    assert {type(error) for error in retried} == {Throttled}

    server.fault = lambda operation: throttled
    started = time.monotonic()
    with pytest.raises(AwsUnavailable, match=r"^UpdateItem: "):
        client.call_each("UpdateItem", WORDS[:1], started + 2)
    assert time.monotonic() - started < SOON_SECONDS


@pytest.mark.parametrize("calls", [1, 40])
def test_the_deadline_holds_against_a_server_that_trickles(
    calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore's read timeout is per recv, so with it alone the call would never end."""
    with serving(sends(b"HTTP/1.1 200 OK\r\n", *[b"X"] * 1000, every=0.1)) as trickling:
        for name, value in aws.environment(trickling.url).items():
            monkeypatch.setenv(name, value)
        client, started = SdkClient(aws.REGION), time.monotonic()
        with pytest.raises(AwsUnavailable, match=r"^UpdateItem: no answer in time$"):
            client.call_each("UpdateItem", [UPDATE] * calls, started + 0.5)
        assert time.monotonic() - started < SOON_SECONDS


@pytest.mark.parametrize("operation", AT_MOST_ONCE_PARAMETERS)
class TestAtMostOnce:
    def call(self, url: str, operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in aws.environment(url).items():
            monkeypatch.setenv(name, value)
        client = SdkClient(aws.REGION)
        one(client, operation, AT_MOST_ONCE_PARAMETERS[operation], time.monotonic() + 10)

    @pytest.mark.parametrize("bad", AMBIGUOUS)
    def test_a_call_that_may_have_taken_effect_is_not_retried(
        self, operation: str, bad: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serving(AMBIGUOUS[bad]) as server, pytest.raises(AwsUnavailable) as caught:
            self.call(server.url, operation, monkeypatch)
        assert not caught.value.without_effect
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "code", ["ThrottlingException", "ProvisionedThroughputExceededException"]
    )
    def test_a_throttled_call_is_retried(
        self, operation: str, code: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        throttle = response(f'{{"__type": "com.amazonaws#{code}"}}'.encode(), "400 Bad Request")
        good = response(b'{"SequenceNumber": "1", "MessageId": "1"}')
        with serving(*[sends(throttle)] * MAX_ATTEMPTS, sends_and_stays(good)) as server:
            self.call(server.url, operation, monkeypatch)
        assert len(server.requests) == MAX_ATTEMPTS + 1


@pytest.mark.parametrize("code", ["RequestThrottled", "KMSThrottlingException"])
def test_throttling_by_the_queue_and_by_the_streams_key_is_throttling(code: str) -> None:
    assert type(failure("PutRecord", code, 400)) is Throttled
