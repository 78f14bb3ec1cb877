"""The thin client: retries, batches, throttling, credentials and endpoints; and a comparison with boto3."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import botocore.session
import pytest
from botocore.exceptions import ClientError
from hostile import (
    AMBIGUOUS,
    AT_MOST_ONCE_PARAMETERS,
    CREDENTIALS,
    SOON_SECONDS,
    UPDATE,
    Conversation,
    Peer,
    counted,
    one,
    response,
    sends_and_stays,
    serving,
    wait_until,
)
from wordtally.aws.connections import Host, NoResponse, Response, Timeouts
from wordtally.aws.environment import Endpoint, endpoint
from wordtally.aws.errors import MAX_ATTEMPTS, AwsError, AwsUnavailable
from wordtally.aws.operations import AT_MOST_ONCE
from wordtally.aws.thin import (
    BUDGET,
    CONNECTIONS,
    FIRST_CONNECTIONS,
    RETRY_COST,
    ThinClient,
)

from local.emulator import aws


def dynamodb_error(code: str, status: str = "400 Bad Request", **more: Any) -> bytes:
    kind = f"com.amazonaws.dynamodb.v20120810#{code}"
    return response(json.dumps({"__type": kind, "message": "secret text", **more}).encode(), status)


def s3_error(code: str, status: str) -> bytes:
    return response(f"<?xml?><Error><Code>{code}</Code></Error>".encode(), status)


def answers(*responses: bytes) -> Conversation:
    """A conversation on one connection, which repeats the last response."""

    def conversation(peer: Peer) -> None:
        left = list(responses)
        while True:
            peer.request()
            peer.send(left.pop(0) if len(left) > 1 else left[0])

    return conversation


def url_of(server: Any) -> str:
    return f"http://127.0.0.1:{server.port}"


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


def error(operation: str, dynamodb: str, s3: str, status: str) -> bytes:
    return s3_error(s3, status) if operation in S3 else dynamodb_error(dynamodb, status)


def call(client: ThinClient, operation: str = "UpdateItem", seconds: float = 5) -> dict[str, Any]:
    return one(client, operation, PARAMETERS[operation], time.monotonic() + seconds)


@pytest.mark.parametrize("operation", REPEATABLE)
class TestRepeatableOperation:
    @pytest.mark.parametrize("status", [BROKEN, "503 Service Unavailable"])
    def test_a_fault_is_retried(
        self, operation: str, status: str, thin: Callable[..., ThinClient]
    ) -> None:
        bad = error(operation, "InternalServerError", "InternalError", status)
        with serving(answers(bad, bad, GOOD)) as server:
            call(thin(url_of(server)), operation)
        assert len(server.requests) == 3
        # Including a transaction's token, by which DynamoDB recognises a retry.
        assert len(set(server.requests)) == 1

    def test_faults_are_retried_a_few_times(
        self, operation: str, thin: Callable[..., ThinClient]
    ) -> None:
        bad = error(operation, "InternalServerError", "InternalError", BROKEN)
        with serving(sends_and_stays(bad)) as server, pytest.raises(AwsUnavailable) as caught:
            call(thin(url_of(server)), operation)
        code = "InternalError" if operation in S3 else "InternalServerError"
        assert str(caught.value) == f"{operation}: {code}"
        assert caught.value.status == 500
        assert not caught.value.without_effect
        assert len(server.requests) == MAX_ATTEMPTS

    def test_an_error_page_is_a_fault(
        self, operation: str, thin: Callable[..., ThinClient]
    ) -> None:
        page = response(b"<html>busy</html>", "502 Bad Gateway")
        with serving(answers(page, GOOD)) as server:
            call(thin(url_of(server)), operation)


@pytest.mark.parametrize("operation", AT_MOST_ONCE_PARAMETERS)
class TestAtMostOnce:
    @pytest.mark.parametrize("bad", AMBIGUOUS)
    def test_a_call_that_may_have_taken_effect_is_not_retried(
        self, operation: str, bad: str, thin: Callable[..., ThinClient]
    ) -> None:
        with serving(AMBIGUOUS[bad], answers(GOOD)) as server:
            here = thin(server.url, Timeouts(20, 1))
            with pytest.raises(AwsUnavailable) as caught:
                call(here, operation)
        assert not caught.value.without_effect
        assert len(server.requests) == 1

    def test_a_throttled_call_that_fails_in_its_second_attempt_is_not_retried(
        self, operation: str, thin: Callable[..., ThinClient]
    ) -> None:
        throttle = dynamodb_error("ThrottlingException")
        with (
            serving(answers(throttle, dynamodb_error("InternalFailure", BROKEN), GOOD)) as server,
            pytest.raises(AwsUnavailable),
        ):
            call(thin(url_of(server)), operation)
        assert len(server.requests) == 2

    def test_a_call_that_was_never_sent_is_retried(
        self, operation: str, thin: Callable[..., ThinClient]
    ) -> None:
        with serving(answers(GOOD)) as server:
            here = thin(url_of(server))
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
    @pytest.mark.parametrize("status", ["400 Bad Request", "503 Slow Down"])
    def test_a_throttled_call_is_retried_more_often(
        self, operation: str, status: str, thin: Callable[..., ThinClient]
    ) -> None:
        bad = error(operation, "ThrottlingException", "SlowDown", status)
        with serving(answers(*[bad] * MAX_ATTEMPTS, GOOD)) as server:
            call(thin(url_of(server)), operation)
        assert len(server.requests) == MAX_ATTEMPTS + 1

    def test_a_throttled_call_ends_at_its_deadline(
        self, operation: str, thin: Callable[..., ThinClient]
    ) -> None:
        started = time.monotonic()
        code = "SlowDown" if operation in S3 else "ThrottlingException"
        bad = error(operation, code, code, "400 Bad Request")
        with serving(sends_and_stays(bad)) as server, pytest.raises(AwsUnavailable) as caught:
            call(thin(url_of(server)), operation, 0.5)
        assert time.monotonic() - started < SOON_SECONDS
        # On a busy machine, the pause may end after the deadline.
        assert caught.value.code in (code, "out of time")
        assert caught.value.without_effect

    def test_429_is_a_throttle(self, operation: str, thin: Callable[..., ThinClient]) -> None:
        with serving(answers(response(b"", "429 Too Many"), GOOD)) as server:
            call(thin(url_of(server)), operation)

    @pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "404 Not Found"])
    def test_a_refusal_is_final(
        self, operation: str, status: str, thin: Callable[..., ThinClient]
    ) -> None:
        with (
            serving(sends_and_stays(error(operation, "AnyCode", "AnyCode", status))) as server,
            pytest.raises(AwsError) as caught,
        ):
            call(thin(url_of(server)), operation)
        assert not isinstance(caught.value, AwsUnavailable)
        assert str(caught.value) == f"{operation}: AnyCode"
        assert caught.value.without_effect
        assert len(server.requests) == 1

    @pytest.mark.parametrize("status", [304, 404, 412])
    def test_a_refusal_without_a_body_has_its_status_for_a_code(
        self, operation: str, status: int, thin: Callable[..., ThinClient]
    ) -> None:
        with (
            serving(sends_and_stays(response(b"", f"{status} -"))) as server,
            pytest.raises(AwsError, match=f"^{operation}: {status}$") as caught,
        ):
            call(thin(url_of(server)), operation)
        assert not isinstance(caught.value, AwsUnavailable)
        assert caught.value.status == status


def test_a_304_announces_the_length_of_a_body_that_does_not_follow(
    thin: Callable[..., ThinClient],
) -> None:
    not_modified = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n"
    with serving(answers(not_modified, GOOD)) as server:
        here = thin(url_of(server))
        with pytest.raises(AwsError, match="GetObject: 304"):
            call(here, "GetObject")
        call(here, "GetObject")
    assert server.connections == 1


def test_a_refusal_after_an_uncertain_attempt_leaves_the_effect_uncertain(
    thin: Callable[..., ThinClient],
) -> None:
    bad = dynamodb_error("InternalServerError", BROKEN)
    with (
        serving(answers(bad, dynamodb_error("ValidationException"))) as server,
        pytest.raises(AwsError, match="ValidationException") as caught,
    ):
        call(thin(url_of(server)))
    assert not caught.value.without_effect


@pytest.mark.parametrize(
    ("code", "without_effect"),
    [("TransactionConflictException", True), ("TransactionInProgressException", False)],
)
def test_a_conflict_with_a_transaction_is_retried(
    code: str, without_effect: bool, thin: Callable[..., ThinClient]
) -> None:
    seen: list[AwsError] = []
    with serving(answers(*[dynamodb_error(code)] * 5, GOOD)) as server:
        here = thin(url_of(server))
        here.call_each("UpdateItem", [UPDATE], time.monotonic() + 30, seen.append)
    assert [error.code for error in seen] == [code] * 5
    assert {error.without_effect for error in seen} == {without_effect}


def test_a_cancelled_transaction_has_its_reasons(thin: Callable[..., ThinClient]) -> None:
    reasons = [{"Code": "ConditionalCheckFailed", "Item": {"a": {"S": "b"}}}, {"Code": "None"}]
    cancelled = dynamodb_error("TransactionCanceledException", CancellationReasons=reasons)
    with (
        serving(sends_and_stays(cancelled)) as server,
        pytest.raises(AwsError, match="TransactionCanceledException") as caught,
    ):
        call(thin(url_of(server)), "TransactWriteItems")
    assert caught.value.reasons == reasons
    assert caught.value.without_effect
    assert len(server.requests) == 1
    assert len(json.loads(server.requests[0])["ClientRequestToken"]) == 32


@pytest.mark.parametrize("code", ["<script>", "a" * 101, "", 'Access"Denied', 7, None, {}])
def test_an_invalid_error_code_is_not_quoted(code: Any, thin: Callable[..., ThinClient]) -> None:
    with (
        serving(
            sends_and_stays(response(json.dumps({"__type": code}).encode(), "400 -"))
        ) as server,
        pytest.raises(AwsError) as caught,
    ):
        call(thin(url_of(server)))
    assert str(caught.value) in (
        "UpdateItem: unreadable answer",
        "UpdateItem: 7",
        "UpdateItem: None",
    )


def test_unknown_operations_and_parameters_are_rejected(thin: Callable[..., ThinClient]) -> None:
    here = thin("http://127.0.0.1:9")
    with pytest.raises(ValueError, match="unknown operation: DeleteTable"):
        one(here, "DeleteTable", {}, time.monotonic() + 1)
    with pytest.raises(ValueError, match="unknown parameter of PutObject: ACL"):
        one(here, "PutObject", {"Bucket": "b", "Key": "k", "ACL": "x"}, time.monotonic() + 1)


def test_the_retry_budget_ends_retries(thin: Callable[..., ThinClient]) -> None:
    with serving(sends_and_stays(dynamodb_error("InternalServerError", BROKEN))) as server:
        here = thin(url_of(server))
        calls = BUDGET // RETRY_COST
        for _ in range(calls):
            with pytest.raises(AwsUnavailable):
                call(here)
    assert len(server.requests) == calls + BUDGET // RETRY_COST


def test_success_pays_into_the_budget(thin: Callable[..., ThinClient]) -> None:
    bad = dynamodb_error("InternalServerError", BROKEN)
    with serving(answers(bad, bad, GOOD)) as server:
        here = thin(url_of(server))
        call(here)
        assert here.budget == BUDGET - RETRY_COST
        call(here)
        assert here.budget == BUDGET - RETRY_COST + 1


class TestBatches:
    def test_answers_are_in_order_and_concurrent(self, thin: Callable[..., ThinClient]) -> None:
        eight = threading.Barrier(8)

        def echo(peer: Peer) -> None:
            while True:
                number = json.loads(peer.request())["n"]
                eight.wait(SOON_SECONDS)
                peer.send(response(counted(number)))

        with serving(echo) as server:
            here = thin(url_of(server), connections=8)
            until = time.monotonic() + 60
            got = here.call_each("UpdateItem", ({"n": n} for n in range(96)), until)
        assert [int(answer["Attributes"]["times"]["N"]) for answer in got] == list(range(96))
        assert server.connections == 8

    def test_it_starts_with_few_connections(self, thin: Callable[..., ThinClient]) -> None:
        released = threading.Event()

        def waits(peer: Peer) -> None:
            while True:
                peer.request()
                released.wait(SOON_SECONDS)
                peer.send(GOOD)

        with serving(waits) as server:
            here, until = thin(url_of(server)), time.monotonic() + 60
            thread = threading.Thread(target=here.call_each, args=("Scan", [{}] * 500, until))
            thread.start()
            wait_until(lambda: server.connections >= FIRST_CONNECTIONS)
            time.sleep(0.3)
            at_first = server.connections
            released.set()
            thread.join()
        assert at_first == FIRST_CONNECTIONS < server.connections <= CONNECTIONS

    def test_an_empty_batch(self, thin: Callable[..., ThinClient]) -> None:
        assert thin("http://127.0.0.1:9").call_each("UpdateItem", [], time.monotonic() + 1) == []

    def test_the_first_failure_ends_it_after_the_calls_in_flight(
        self, thin: Callable[..., ThinClient]
    ) -> None:
        ended: list[int] = []

        def fails_at_ten(peer: Peer) -> None:
            while True:
                number = json.loads(peer.request())["n"]
                if number == 10:
                    peer.send(dynamodb_error("ValidationException"))
                else:
                    time.sleep(0.1)
                    ended.append(number)
                    peer.send(response(counted(number)))

        with serving(fails_at_ten) as server:
            here = thin(url_of(server), connections=4)
            with pytest.raises(AwsError, match="ValidationException") as caught:
                here.call_each(
                    "UpdateItem", ({"n": n} for n in range(1_000)), time.monotonic() + 120
                )
            completed = caught.value.completed
            assert 10 <= completed == len(ended) < 100
            time.sleep(0.2)
            assert len(server.requests) == completed + 1

    def test_a_failure_ends_the_pauses_of_others(
        self, thin: Callable[..., ThinClient], monkeypatch: pytest.MonkeyPatch
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
            here = thin(url_of(server), connections=4)
            started = time.monotonic()
            with pytest.raises(AwsError, match="ValidationException"):
                here.call_each("UpdateItem", ({"n": n} for n in range(50)), started + 60)
            assert time.monotonic() - started < SOON_SECONDS
        assert seen == Counter(range(4))  # no attempt after the failure

    def test_an_exception_from_the_parameters_is_raised(
        self, thin: Callable[..., ThinClient]
    ) -> None:
        def parameters() -> Iterator[dict[str, Any]]:
            yield UPDATE
            raise LookupError("no more")

        with serving(sends_and_stays(GOOD)) as server, pytest.raises(LookupError, match="no more"):
            thin(url_of(server)).call_each("UpdateItem", parameters(), time.monotonic() + 5)

    def test_many_threads(self, thin: Callable[..., ThinClient]) -> None:
        with serving(sends_and_stays(response(counted(3)))) as server:
            here = thin(url_of(server))
            got: list[int] = []
            threads = [
                threading.Thread(target=lambda: got.append(len([call(here) for _ in range(20)])))
                for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert got == [20] * 8


def test_a_throttle_halves_the_calls_in_flight(
    thin: Callable[..., ThinClient], monkeypatch: pytest.MonkeyPatch
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
        thin(url_of(server), connections=16).call_each("Scan", [{}] * 100, until)
    assert max(seen[34:44]) in range(8, 12)


class Limited:
    """A table that accepts a limited number of writes per second, served by a separate thread."""

    def __init__(self, writes_per_second: float, milliseconds: float) -> None:
        self._rate = writes_per_second
        self._delay = milliseconds / 1000
        self._tokens = writes_per_second / 10
        self._at = time.monotonic()
        self.items: Counter[str] = Counter()
        self.throttled = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._talk, "127.0.0.1", 0), self._loop
        ).result()
        self._server = server
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                request = json.loads(await reader.readexactly(length))
                await asyncio.sleep(self._delay)
                writer.write(self._answer(request["Key"]["word"]["S"]))
        except asyncio.IncompleteReadError:
            writer.close()

    def _answer(self, word: str) -> bytes:
        now = time.monotonic()
        self._tokens = min(self._rate / 10, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            self.throttled += 1
            return dynamodb_error("ThrottlingException")
        self._tokens -= 1
        self.items[word] += 1
        return response(counted(self.items[word]))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        time.sleep(0.1)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def test_a_batch_slows_down_to_the_tables_limit() -> None:
    """Two clients write 4,000 words concurrently to a table that accepts 1,500 writes per second."""
    table = Limited(1_500, 5)
    until = time.monotonic() + 60

    def count(prefix: str) -> None:
        here = ThinClient("eu-west-3", {**CREDENTIALS, "AWS_ENDPOINT_URL": table.url})
        words = ({"Key": {"word": {"S": f"{prefix}{n}"}}} for n in range(2_000))
        here.call_each("UpdateItem", words, until)
        here.close()

    threads = [threading.Thread(target=count, args=(prefix,)) for prefix in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table.close()
    assert len(table.items) == 4_000
    assert set(table.items.values()) == {1}
    assert table.throttled < 2_000


class TestCredentials:
    def test_a_change_of_the_environment_takes_effect(
        self, thin: Callable[..., ThinClient]
    ) -> None:
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


BUCKET, TABLE, MARKERS = "thin-reports", "thin-words", "thin-markers"


class TestOnMoto:
    """Each operation end to end, compared with boto3."""

    @pytest.fixture
    def here(self, cloud: str) -> Iterator[ThinClient]:
        aws.create_storage(cloud, TABLE, BUCKET, MARKERS)
        made = ThinClient(aws.REGION, aws.environment(cloud))
        yield made
        made.close()
        aws.delete_storage(cloud, TABLE, BUCKET, MARKERS)

    def upsert(self, word: str) -> dict[str, Any]:
        return {
            "TableName": TABLE,
            "Key": {"word": {"S": word}},
            "UpdateExpression": "ADD times :n",
            "ExpressionAttributeValues": {":n": {"N": "2"}},
            "ReturnValues": "UPDATED_NEW",
        }

    def until(self) -> float:
        return time.monotonic() + 20

    def same(self, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
        theirs.pop("ResponseMetadata")
        assert {name: ours[name] for name in theirs if name in ours} == {
            name: value for name, value in theirs.items() if name in ours
        }
        assert ours

    def test_dynamodb(self, here: ThinClient, cloud: str) -> None:
        theirs = aws.client("dynamodb", cloud)
        words = ["naïve", "你好", "🎉", "o'clock", "a", "b"]
        totals = here.call_each("UpdateItem", map(self.upsert, words), self.until())
        assert [total["Attributes"]["times"] for total in totals] == [{"N": "2"}] * len(words)
        assert theirs.update_item(**self.upsert("你好"))["Attributes"]["times"] == {"N": "4"}
        page = {"TableName": TABLE, "ConsistentRead": True, "Limit": 4}
        ours = one(here, "Scan", page, self.until())
        assert len(ours["Items"]) == 4
        self.same(ours, theirs.scan(**page))
        page["ExclusiveStartKey"] = ours["LastEvaluatedKey"]
        self.same(one(here, "Scan", page, self.until()), theirs.scan(**page))
        keys = [{"word": {"S": word}} for word in words]
        batch = {"RequestItems": {TABLE: {"Keys": keys, "ConsistentRead": True}}}
        self.same(one(here, "BatchGetItem", batch, self.until()), theirs.batch_get_item(**batch))

    def test_transactions(self, here: ThinClient, cloud: str) -> None:
        theirs = aws.client("dynamodb", cloud)
        put = {
            "TableName": MARKERS,
            "Item": {"key": {"S": "k"}, "chunk": {"N": "0"}},
            "ConditionExpression": "attribute_not_exists(chunk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        update = {
            name: value for name, value in self.upsert("ñandú").items() if name != "ReturnValues"
        }
        transaction = {"TransactItems": [{"Put": put}, {"Update": update}]}
        one(here, "TransactWriteItems", transaction, self.until())
        with pytest.raises(AwsError) as ours:
            one(here, "TransactWriteItems", transaction, self.until())
        with pytest.raises(ClientError) as expected:
            theirs.transact_write_items(**transaction)
        assert ours.value.code == expected.value.response["Error"]["Code"]
        assert ours.value.status == expected.value.response["ResponseMetadata"]["HTTPStatusCode"]
        assert [reason["Code"] for reason in ours.value.reasons] == [
            "ConditionalCheckFailed",
            "None",
        ]
        assert ours.value.reasons[0]["Item"] == put["Item"]

    @pytest.mark.parametrize("versioning", [False, True])
    def test_s3(self, versioning: bool, here: ThinClient, cloud: str) -> None:
        theirs = aws.client("s3", cloud)
        if versioning:
            enabled = {"Status": "Enabled"}
            theirs.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=enabled)
        place = {"Bucket": BUCKET, "Key": "a b/ñ+(~).json"}
        put = {
            **place,
            "Body": "naïve".encode(),
            "ContentType": "application/json",
            "ContentDisposition": 'inline; filename="top.json"',
            "CacheControl": "no-cache",
            "Metadata": {"words-in-table": "7"},
        }
        first = one(here, "PutObject", {**put, "IfNoneMatch": "*"}, self.until())
        got = theirs.get_object(**place)
        assert got["Body"].read() == put["Body"]
        for name in ("ContentType", "ContentDisposition", "CacheControl", "Metadata"):
            assert got[name] == put[name]
        for name in ("ETag", "VersionId"):
            assert got.get(name) == first.get(name)
        second = one(
            here, "PutObject", {**put, "Body": b"2", "IfMatch": first["ETag"]}, self.until()
        )
        assert ("VersionId" in second) is versioning
        ours = one(here, "GetObject", place, self.until())
        assert (ours["Body"], ours["ETag"], ours["Metadata"]) == (
            b"2",
            second["ETag"],
            put["Metadata"],
        )
        for condition in ({"IfMatch": first["ETag"]}, {"IfNoneMatch": "*"}):
            with pytest.raises(AwsError, match="PutObject: PreconditionFailed") as caught:
                one(here, "PutObject", {**put, **condition}, self.until())
            assert caught.value.status == 412
        with pytest.raises(AwsError, match="GetObject: 304"):
            one(here, "GetObject", {**place, "IfNoneMatch": second["ETag"]}, self.until())
        with pytest.raises(AwsError, match="GetObject: NoSuchKey"):
            one(here, "GetObject", {**place, "Key": "elsewhere"}, self.until())
        if versioning:
            place["VersionId"] = first["VersionId"]
            assert one(here, "GetObject", place, self.until())["Body"] == put["Body"]

    @pytest.mark.parametrize("versioning", [False, True])
    def test_a_presigned_url_opens(self, versioning: bool, here: ThinClient, cloud: str) -> None:
        import requests

        theirs = aws.client("s3", cloud)
        if versioning:
            enabled = {"Status": "Enabled"}
            theirs.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=enabled)
        place = {"Bucket": BUCKET, "Key": "top.json"}
        first = one(here, "PutObject", {**place, "Body": b"1"}, self.until())
        one(here, "PutObject", {**place, "Body": b"2"}, self.until())
        if versioning:
            place["VersionId"] = first["VersionId"]
        answer = requests.get(here.presigned_url(place, 60), timeout=5)
        assert answer.content == (b"1" if versioning else b"2")
        tampered = here.presigned_url(place, 60).replace("Expires=60", "Expires=61")
        assert requests.get(tampered, timeout=5).status_code == 403
