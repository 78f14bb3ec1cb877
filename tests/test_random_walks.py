"""Random walks: requests, links, crashes, lost answers, reconciliations, deletions of the report and of
words, and new versions in any order, against a model of what may be counted. On the fakes, which keep
the contract of the real clients, so that thousands of steps are quick; and, shorter, with each client
of AWS on the fakes' wire."""

import itertools
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import fake_aws
import pytest
from botocore.retries.standard import ExponentialBackoff
from fake_aws import Effect, FakeAws
from fakes import FakeClient, FakeDynamoDB, FakeS3, counts_over, reports_over, timed_out
from faults import Killed, cut, cut_afterwards
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from on_fakes import stored
from wordtally import handler, once, ranking
from wordtally.aws.client import Answer, Client, Parameters, ignore
from wordtally.aws.errors import AwsError
from wordtally.ranking import Ranking
from wordtally.reports import KEY
from wordtally.settings import Settings
from wordtally.work import Work

from local import aws
from local.instances import Context

WORDS = [f"w{number}" for number in range(13)]  # more than the report shows
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6)

FAULTS = st.one_of(
    st.none(), st.tuples(st.integers(1, 9), st.sampled_from(["outage", "kill"]), st.booleans())
)
"""None, or at which call of the request, what, and whether after the call took effect."""

Fault = tuple[int, str, bool]


class Plan:
    """The fault of the request in flight; shared by the clients of an instance."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.calls = 0
        self.lock = threading.Lock()

    def due(self) -> Fault | None:
        """Count a call, and return the fault if it happens to this one."""
        with self.lock:
            self.calls += 1
            return self.fault if self.fault and self.fault[0] == self.calls else None


class Faulty:
    """Implements aws.client.Client: each call of a batch goes through a plan."""

    def __init__(self, client: Client, plan: Plan) -> None:
        self._client, self._plan = client, plan

    def call_each(
        self,
        operation: str,
        parameters: Iterable[Parameters],
        until: float,
        retried: Callable[[AwsError], None] = ignore,
    ) -> list[Answer]:
        allowed: list[Parameters] = []
        error: BaseException | None = None
        for each in parameters:
            fault = self._plan.due()
            if fault:
                error = Killed() if fault[1] == "kill" else timed_out(operation)
            if not fault or fault[2]:
                allowed.append(each)
            if error:
                break
        answers = self._client.call_each(operation, allowed, until, retried) if allowed else []
        if error:
            raise error
        return answers

    def presigned_url(self, parameters: Any, expires_seconds: int) -> str:
        return self._client.presigned_url(parameters, expires_seconds)


class Instance:
    """On the fakes: both kinds of fault happen in the client."""

    def __init__(self, table: FakeClient, bucket: FakeClient, scan_up_to_words: int) -> None:
        self.plan = Plan()

        def faulty(client: FakeClient) -> Any:
            return Faulty(client, self.plan)

        reports = reports_over(faulty(bucket))
        self.ranking = Ranking(
            counts_over(faulty(table)), reports, scan_up_to_words, pause=lambda attempt: None
        )
        self.application = handler.Application(self.ranking, reports, 24)


class Walk(RuleBasedStateMachine):
    keyed = Bundle("keyed")

    @initialize(scan_up_to_words=st.sampled_from([0, 5, 100]), versioned=st.booleans())
    def begin(self, scan_up_to_words: int, versioned: bool) -> None:
        self.table, self.bucket = FakeDynamoDB(), FakeS3(versioned)
        self.scan_up_to_words = scan_up_to_words
        self.instances = [self.new_instance() for _ in range(2)]
        self.least: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.names = itertools.count()
        self.sent: set[str] = set()  # keys whose texts may be counted
        self.done: set[str] = set()  # keys that were answered 200
        self.behind = False  # whether a failed request may have left the report behind
        self.chunks = mock.patch.object(once, "CHUNK_WORDS", 2)
        self.chunks.start()

    def new_instance(self) -> Instance:
        return Instance(self.table, self.bucket, self.scan_up_to_words)

    def plan(self, instance: Any, fault: Fault | None) -> None:
        """Let `fault` happen to the next request."""
        instance.plan.fault, instance.plan.calls = fault, 0

    def send(self, number: int, text: list[str], key: str | None, fault: Any) -> int | None:
        """The status, or None if the function was killed, and its instance with it."""
        instance = self.instances[number]
        self.plan(instance, fault)
        event: dict[str, Any] = {"body": json.dumps({"parameter": " ".join(text)})}
        if key:
            event["headers"] = {"idempotency-key": key}
        try:
            answer = handler.handle(lambda: instance.application, event, Context())
        except Killed:
            self.instances[number] = self.new_instance()
            self.behind = True
            return None
        status: int = answer["statusCode"]
        assert status in (200, 422, 503)
        if status == 503:
            assert fault
            self.behind = True
        if status == 200 and not self.behind:
            self.report_is_right()
        return status

    @rule(number=st.integers(0, 1), text=TEXTS, fault=FAULTS)
    def post(self, number: int, text: list[str], fault: Any) -> None:
        self.most.update(text)
        if self.send(number, text, None, fault) == 200:
            self.least.update(text)

    @rule(target=keyed, number=st.integers(0, 1), text=TEXTS, fault=FAULTS)
    def post_with_a_key(self, number: int, text: list[str], fault: Any) -> tuple[str, list[str]]:
        request = f"key {next(self.names)}", text
        self.send_again(request, number, fault)
        return request

    @rule(request=keyed, number=st.integers(0, 1), fault=FAULTS)
    def send_again(self, request: tuple[str, list[str]], number: int, fault: Any) -> None:
        key, text = request
        if key not in self.sent:
            self.most.update(text)
            self.sent.add(key)
        if self.send(number, text, key, fault) == 200 and key not in self.done:
            self.least.update(text)
            self.done.add(key)

    @rule(request=keyed, number=st.integers(0, 1), text=TEXTS)
    def use_a_key_for_another_text(
        self, request: tuple[str, list[str]], number: int, text: list[str]
    ) -> None:
        key, first = request
        if key in self.done and text != first:
            before = dict(self.table.items)
            assert self.send(number, text, key, None) == 422
            assert self.table.items == before

    @rule(number=st.integers(0, 1), fault=FAULTS)
    def link(self, number: int, fault: Any) -> None:
        """The link opens a report that includes every text answered before. Nothing is written."""
        instance = self.instances[number]
        self.plan(instance, fault)
        before = stored(self.table, self.bucket)
        try:
            answer = handler.handle(
                lambda: instance.application, {"routeKey": "GET /report"}, Context()
            )
        except Killed:
            self.instances[number] = self.new_instance()
            return
        finally:
            assert stored(self.table, self.bucket) == before
        there = self.bucket.objects.get(KEY)
        if answer["statusCode"] == 503:
            assert fault
            return
        assert answer["statusCode"] == (200 if there else 404)
        if there:
            url = urlsplit(json.loads(answer["body"])["url"])
            assert dict(parse_qsl(url.query)).get("versionId") == there.get("VersionId")
            self.report_includes_what_was_answered()
            if not self.behind:
                self.report_is_right()

    @rule(number=st.integers(0, 1))
    def reconcile(self, number: int) -> None:
        self.plan(self.instances[number], None)
        self.instances[number].ranking.reconcile(Work())
        self.behind = False
        self.report_is_right()

    @rule()
    def delete_the_report(self) -> None:
        self.bucket.objects.pop(KEY, None)

    @rule(word=st.sampled_from(WORDS), number=st.integers(0, 1))
    def delete_a_word(self, word: str, number: int) -> None:
        """The way that the README tells operators."""
        self.table.items.pop(word, None)
        self.table.markers.clear()
        self.bucket.objects.pop(KEY, None)
        self.least[word] = self.most[word] = 0
        self.sent.clear()
        self.done.clear()
        self.reconcile(number)

    @rule(number=st.integers(0, 1))
    def deploy_a_new_version(self, number: int) -> None:
        self.instances[number] = self.new_instance()

    @invariant()
    def nothing_is_lost_and_nothing_counted_twice(self) -> None:
        for word in WORDS:
            times = self.table.items.get(word, 0)
            assert self.least[word] <= times <= self.most[word]

    def report(self) -> ranking.Report:
        report = reports_over(self.bucket).read(Work()).report
        assert report is not None
        return report

    def report_includes_what_was_answered(self) -> None:
        report = self.report()
        assert report.top == ranking.top(ranking.merge(report.top, +self.least))

    def report_is_right(self) -> None:
        assert self.report().top == ranking.top(self.table.items.items())

    def teardown(self) -> None:
        self.chunks.stop()


TestRandomWalks = Walk.TestCase


class WireInstance:
    """With a client of AWS on the fakes' wire: outages happen there, kills in the client."""

    def __init__(self, server: FakeAws, client: Client, scan_up_to_words: int) -> None:
        self.plan = Plan()
        chosen = Settings(aws.REGION, "words", "reports", 600, scan_up_to_words, "markers", 24)
        self.application = handler.assembled(chosen, Faulty(client, self.plan))
        self.ranking = self.application.ranking


class WireWalk(Walk):
    client: str

    @initialize(scan_up_to_words=st.sampled_from([0, 5, 100]), versioned=st.booleans())
    def begin(self, scan_up_to_words: int, versioned: bool) -> None:
        self.stack = ExitStack()
        self.server = self.stack.enter_context(fake_aws.serving())
        self.stack.enter_context(mock.patch.dict(os.environ, self.server.environment()))
        self.stack.enter_context(
            mock.patch.object(ExponentialBackoff, "delay_amount", return_value=0)
        )
        chosen = Settings(aws.REGION, "words", "reports", 600, 0, "markers", 24, self.client)
        self.clients = itertools.cycle([handler.client(chosen) for _ in range(2)])
        super().begin(scan_up_to_words, versioned)
        self.server.table, self.server.bucket = self.table, self.bucket

    def new_instance(self) -> Any:
        return WireInstance(self.server, next(self.clients), self.scan_up_to_words)

    def plan(self, instance: Any, fault: Fault | None) -> None:
        outage = fault if fault and fault[1] == "outage" else None
        super().plan(instance, None if outage else fault)
        calls = itertools.count(1)

        def effect(operation: str) -> Effect | None:
            """The network fails at one call, and does not come back during the request."""
            if not outage or (call := next(calls)) < outage[0]:
                return None
            return cut_afterwards if call == outage[0] and outage[2] else cut

        self.server.fault = effect

    def teardown(self) -> None:
        super().teardown()
        self.stack.close()


class ThinWalk(WireWalk):
    client = "thin"


class BotocoreWalk(WireWalk):
    client = "botocore"


TestThinWalks = pytest.mark.slow(ThinWalk.TestCase)
TestThinWalks.settings = settings(max_examples=5)
TestBotocoreWalks = pytest.mark.slow(BotocoreWalk.TestCase)
TestBotocoreWalks.settings = settings(max_examples=3)
