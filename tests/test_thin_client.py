"""The thin client: retries, batches, throttling, credentials and endpoints."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import botocore.session
import pytest
from hostile import (
    AT_MOST_ONCE_PARAMETERS,
    CREDENTIALS,
    SOON_SECONDS,
    UPDATE,
    MakeThin,
    Peer,
    answers,
    counted,
    dynamodb_error,
    one,
    response,
    serving,
    wait_until,
)
from wordtally.aws.connections import Host, NoResponse, Response
from wordtally.aws.environment import Endpoint, endpoint
from wordtally.aws.errors import MAX_ATTEMPTS, AwsError, AwsUnavailable
from wordtally.aws.operations import AT_MOST_ONCE
from wordtally.aws.thin import BUDGET, CONNECTIONS, FIRST_CONNECTIONS, RETRY_COST, ThinClient

PARAMETERS: dict[str, dict[str, Any]] = {
    "UpdateItem": UPDATE,
    "Scan": {"TableName": "words"},
    "TransactWriteItems": {"TransactItems": []},
    "BatchGetItem": {"RequestItems": {}},
    "GetObject": {"Bucket": "reports", "Key": "top.json"},
    "PutObject": {"Bucket": "reports", "Key": "top.json", "Body": b"{}"},
    "GetItem": {"TableName": "markers", "Key": {"key": {"S": "k"}, "chunk": {"N": "0"}}},
    "GetObjectTagging": {"Bucket": "inbox", "Key": "file"},
    "PutObjectTagging": {"Bucket": "inbox", "Key": "file", "Tagging": {"TagSet": []}},
    **AT_MOST_ONCE_PARAMETERS,
}
REPEATABLE = [name for name in PARAMETERS if name not in AT_MOST_ONCE]
S3 = ("GetObject", "PutObject", "GetObjectTagging", "PutObjectTagging")
GOOD = response(
    b'{"Items": [], "Responses": {}, "SequenceNumber": "1", "MessageId": "<TagSet/>"}',
    ETag='"etag"',
)
"""A response that suits any operation."""
BROKEN = "500 Internal Server Error"


def error(operation: str, code: str, s3_code: str, status: str) -> bytes:
    """An error response in the operation's protocol."""
    if operation not in S3:
        return dynamodb_error(code, status)
    return response(f"<?xml?><Error><Code>{s3_code}</Code></Error>".encode(), status)


def call(client: ThinClient, operation: str = "UpdateItem", seconds: float = 60) -> dict[str, Any]:
    return one(client, operation, PARAMETERS[operation], seconds)


@pytest.mark.parametrize("status", [BROKEN, "503 Service Unavailable", "502 Bad Gateway"])
@pytest.mark.parametrize("operation", REPEATABLE)
def test_a_fault_is_retried_a_few_times(operation: str, status: str, thin: MakeThin) -> None:
    """The answer with status 502 is an error page without an error code."""
    bad = error(operation, "InternalServerError", "InternalError", status)
    code = "InternalError" if operation in S3 else "InternalServerError"
    if status.startswith("502"):
        bad, code = response(b"<html>busy</html>", status), "502"
    with serving(answers(bad, bad, GOOD)) as server:
        call(thin(server.url), operation)
    assert len(server.requests) == 3
    # All attempts are identical, including a transaction's token: DynamoDB recognises a retry by it.
    assert len(set(server.requests)) == 1

    with serving(answers(bad)) as server, pytest.raises(AwsUnavailable) as caught:
        call(thin(server.url), operation)
    assert str(caught.value) == f"{operation}: {code}"
    assert caught.value.status == int(status[:3])
    assert not caught.value.without_effect
    assert len(server.requests) == MAX_ATTEMPTS


@pytest.mark.parametrize("operation", AT_MOST_ONCE_PARAMETERS)
def test_a_call_that_was_never_sent_is_retried(operation: str, thin: MakeThin) -> None:
    with serving(answers(GOOD)) as server:
        here = thin(server.url)
        failures = [NoResponse("connect timeout", sent=False)] * 2
        real = Host.exchange

        async def exchange(host: Host, request: bytes, until: float) -> Response:
            if failures:
                raise failures.pop()
            return await real(host, request, until)

        with mock.patch.object(Host, "exchange", exchange):
            call(here, operation)
    assert len(server.requests) == 1


@pytest.mark.parametrize("operation", PARAMETERS)
class TestAnyOperation:
    @pytest.mark.parametrize("status", ["400 Bad Request", "503 Slow Down", "429 Too Many"])
    def test_a_throttled_call_is_retried_more_often(
        self, operation: str, status: str, thin: MakeThin
    ) -> None:
        bad = error(operation, "ThrottlingException", "SlowDown", status)
        if status.startswith("429"):
            bad = response(b"", status)
        with serving(answers(*[bad] * MAX_ATTEMPTS, GOOD)) as server:
            call(thin(server.url), operation)
        assert len(server.requests) == MAX_ATTEMPTS + 1

    def test_a_throttled_call_is_not_retried_after_its_deadline(
        self, operation: str, thin: MakeThin
    ) -> None:
        code = "SlowDown" if operation in S3 else "ThrottlingException"
        with (
            serving(answers(error(operation, code, code, "400 Bad Request"))) as server,
            mock.patch("wordtally.aws.thin.pause_seconds", return_value=3_600),
            pytest.raises(AwsUnavailable) as caught,
        ):
            call(thin(server.url), operation)
        assert caught.value.code == code
        assert caught.value.without_effect
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("status", "code"),
        [*((status, "AnyCode") for status in (400, 403, 404)), (304, ""), (404, ""), (412, "")],
    )
    def test_a_refusal_is_final(
        self, operation: str, status: int, code: str, thin: MakeThin
    ) -> None:
        """If the answer has no body, its status serves as the error code."""
        bad = error(operation, code, code, f"{status} -") if code else response(b"", f"{status} -")
        with serving(answers(bad)) as server, pytest.raises(AwsError) as caught:
            call(thin(server.url), operation)
        assert not isinstance(caught.value, AwsUnavailable)
        assert str(caught.value) == f"{operation}: {code or status}"
        assert caught.value.status == status
        assert caught.value.without_effect
        assert len(server.requests) == 1


def test_after_a_304_the_client_waits_for_no_body(thin: MakeThin) -> None:
    not_modified = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n"
    with serving(answers(not_modified, GOOD)) as server:
        here = thin(server.url)
        with pytest.raises(AwsError, match="GetObject: 304"):
            call(here, "GetObject")
        call(here, "GetObject")
    assert server.connections == 1


def test_a_refusal_after_an_uncertain_attempt_leaves_the_effect_uncertain(thin: MakeThin) -> None:
    bad = dynamodb_error("InternalServerError", BROKEN)
    refusal = dynamodb_error("ValidationException")
    with serving(answers(bad, refusal)) as server, pytest.raises(AwsError) as caught:
        call(thin(server.url))
    assert caught.value.code == "ValidationException"
    assert not caught.value.without_effect


@pytest.mark.parametrize(
    ("code", "without_effect"),
    [("TransactionConflictException", True), ("TransactionInProgressException", False)],
)
def test_a_conflict_with_a_transaction_is_retried(
    code: str, without_effect: bool, thin: MakeThin
) -> None:
    seen: list[AwsError] = []
    with serving(answers(*[dynamodb_error(code)] * 5, GOOD)) as server:
        here = thin(server.url)
        here.call_each("UpdateItem", [UPDATE], time.monotonic() + 30, seen.append)
    assert [error.code for error in seen] == [code] * 5
    assert {error.without_effect for error in seen} == {without_effect}


def test_the_error_of_a_cancelled_transaction_has_the_reasons(thin: MakeThin) -> None:
    reasons = [{"Code": "ConditionalCheckFailed", "Item": {"a": {"S": "b"}}}, {"Code": "None"}]
    cancelled = dynamodb_error("TransactionCanceledException", CancellationReasons=reasons)
    with serving(answers(cancelled)) as server, pytest.raises(AwsError) as caught:
        call(thin(server.url), "TransactWriteItems")
    assert caught.value.code == "TransactionCanceledException"
    assert caught.value.reasons == reasons
    assert caught.value.without_effect
    assert len(server.requests) == 1
    assert len(json.loads(server.requests[0])["ClientRequestToken"]) == 32


@pytest.mark.parametrize("code", ["<script>", "a" * 101, "", 'Access"Denied', 7, None, {}])
def test_an_invalid_error_code_is_not_quoted(code: Any, thin: MakeThin) -> None:
    with (
        serving(answers(response(json.dumps({"__type": code}).encode(), "400 -"))) as server,
        pytest.raises(AwsError) as caught,
    ):
        call(thin(server.url))
    assert str(caught.value) in (
        "UpdateItem: unreadable answer",
        "UpdateItem: 7",
        "UpdateItem: None",
    )


def test_unknown_operations_and_parameters_are_rejected(thin: MakeThin) -> None:
    here = thin("http://127.0.0.1:9")
    with pytest.raises(ValueError, match="unknown operation: DeleteTable"):
        one(here, "DeleteTable", {})
    with pytest.raises(ValueError, match="unknown parameter of PutObject: ACL"):
        one(here, "PutObject", {"Bucket": "b", "Key": "k", "ACL": "x"})


def test_the_retry_budget_ends_retries(thin: MakeThin) -> None:
    with serving(answers(dynamodb_error("InternalServerError", BROKEN))) as server:
        here = thin(server.url)
        calls = BUDGET // RETRY_COST
        for _ in range(calls):
            with pytest.raises(AwsUnavailable):
                call(here)
    assert len(server.requests) == calls + BUDGET // RETRY_COST


def test_success_pays_into_the_budget(thin: MakeThin) -> None:
    bad = dynamodb_error("InternalServerError", BROKEN)
    with serving(answers(bad, bad, GOOD)) as server:
        here = thin(server.url)
        call(here)
        assert here.budget == BUDGET - RETRY_COST
        call(here)
        assert here.budget == BUDGET - RETRY_COST + 1


class TestBatches:
    def test_it_starts_with_few_connections(self, thin: MakeThin) -> None:
        released = threading.Event()

        def waits(peer: Peer) -> None:
            while True:
                peer.request()
                released.wait(SOON_SECONDS)
                peer.send(GOOD)

        with serving(waits) as server:
            here, until = thin(server.url), time.monotonic() + 60
            thread = threading.Thread(target=here.call_each, args=("Scan", [{}] * 500, until))
            thread.start()
            wait_until(lambda: server.connections >= FIRST_CONNECTIONS)
            time.sleep(0.3)
            at_first = server.connections
            released.set()
            thread.join()
        assert at_first == FIRST_CONNECTIONS < server.connections <= CONNECTIONS

    def test_an_empty_batch(self, thin: MakeThin) -> None:
        assert thin("http://127.0.0.1:9").call_each("UpdateItem", [], time.monotonic() + 1) == []

    def test_a_failure_ends_the_pauses_of_others(
        self, thin: MakeThin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("random.uniform", lambda _, __: 2 * SOON_SECONDS)
        lock, seen = threading.Lock(), Counter[int]()

        def talk(peer: Peer) -> None:
            while True:
                number = json.loads(peer.request())["n"]
                with lock:
                    seen[number] += 1
                if number:
                    peer.send(dynamodb_error("ThrottlingException"))
                else:
                    wait_until(lambda: len(seen) == 4)
                    peer.send(dynamodb_error("ValidationException"))

        with serving(talk) as server:
            here = thin(server.url, connections=4)
            started = time.monotonic()
            with pytest.raises(AwsError, match="ValidationException"):
                here.call_each("UpdateItem", ({"n": n} for n in range(50)), started + 60)
            assert time.monotonic() - started < SOON_SECONDS
        assert seen == Counter(range(4))  # no attempt after the failure

    def test_an_exception_from_the_parameters_is_raised(self, thin: MakeThin) -> None:
        def parameters() -> Iterator[dict[str, Any]]:
            yield UPDATE
            raise LookupError("no more")

        with serving(answers(GOOD)) as server, pytest.raises(LookupError, match="no more"):
            thin(server.url).call_each("UpdateItem", parameters(), time.monotonic() + 5)

    def test_many_threads(self, thin: MakeThin) -> None:
        with serving(answers(response(counted(3)))) as server, ThreadPoolExecutor(8) as pool:
            here = thin(server.url)
            found = list(pool.map(lambda _: call(here), range(160)))
        assert [answer["Attributes"]["times"]["N"] for answer in found] == ["3"] * 160


def test_a_throttle_halves_the_calls_in_flight(
    thin: MakeThin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 16 initial calls are throttled at the same time. The limit is halved once, not for each."""
    monkeypatch.setattr("random.uniform", lambda _, __: 0.0)
    barrier, lock, first = threading.Barrier(FIRST_CONNECTIONS), threading.Lock(), True
    at_once, seen = 0, list[int]()

    def talk(peer: Peer) -> None:
        nonlocal at_once, first
        while True:
            peer.request()
            with lock:
                at_once += 1
                seen.append(at_once)
            throttled = first
            if throttled:
                barrier.wait(SOON_SECONDS)
                first = False
            else:
                time.sleep(0.1)
            with lock:
                at_once -= 1
            peer.send(dynamodb_error("ThrottlingException") if throttled else GOOD)

    with serving(talk) as server:
        until = time.monotonic() + 60
        thin(server.url, connections=16).call_each("Scan", [{}] * 100, until)
    assert max(seen[34:44]) in range(8, 12)


class TestCredentials:
    def test_a_change_of_the_environment_takes_effect(self) -> None:
        variables = {**CREDENTIALS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
        here = ThinClient("eu-west-3", variables)
        what = {"Bucket": "reports", "Key": "top.json"}
        assert "Credential=key-id%2F" in here.presigned_url(what, 60)
        variables.update(AWS_ACCESS_KEY_ID="other", AWS_SESSION_TOKEN="a token")
        url = here.presigned_url(what, 60)
        assert "Credential=other%2F" in url
        assert "X-Amz-Security-Token=a%20token" in url

    def test_no_credentials_configured(self) -> None:
        here = ThinClient("eu-west-3", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
        with pytest.raises(RuntimeError, match="no AWS credentials"):
            call(here)
        here.close()


class TestEndpoints:
    @pytest.mark.parametrize(
        ("variables", "expected"),
        [
            ({}, "https://s3.eu-west-3.amazonaws.com"),
            ({"AWS_ENDPOINT_URL": "http://a:1"}, "http://a:1"),
            (
                {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://b:80/c/"},
                "http://b/c",
            ),
            ({"AWS_ENDPOINT_URL_DYNAMODB": "http://a"}, "https://s3.eu-west-3.amazonaws.com"),
            (
                {"AWS_ENDPOINT_URL": "http://a", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "True"},
                "https://s3.eu-west-3.amazonaws.com",
            ),
            ({"AWS_ENDPOINT_URL": "https://[::1]:443"}, "https://[::1]"),
        ],
    )
    def test_variables(self, variables: Mapping[str, str], expected: str) -> None:
        found = endpoint("s3", "eu-west-3", variables)
        assert f"{found.scheme}://{found.host}{found.base_path}" == expected

    @pytest.mark.parametrize("service", ["dynamodb", "s3"])
    def test_every_region_of_every_partition_has_the_host_that_botocore_knows(
        self, service: str
    ) -> None:
        session: Any = botocore.session.get_session()
        regions = {
            region: partition
            for partition in session.get_available_partitions()
            for region in session.get_available_regions("dynamodb", partition)
        }
        assert len(regions) > 35
        resolver = session._get_internal_component("endpoint_resolver")
        for region, partition in regions.items():
            suffix = resolver.get_partition_dns_suffix(partition)
            host = endpoint(service, region, {}).host
            assert host == f"{service}.{region}.{suffix}"

    @pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "/path"])
    def test_invalid_urls(self, url: str) -> None:
        with pytest.raises(ValueError, match="an endpoint's URL"):
            Endpoint.parse(url)
