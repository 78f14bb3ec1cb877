"""Random walks: requests, links, files, records of the stream, crashes, lost answers, reconciliations,
deletions of the report and of words, and new versions, in any order, checked against a model of the counts.

They run on the fakes, which keep the contract of the real clients, so thousands of steps are quick.
tests/test_faults.py injects the faults of the wire into each client of AWS."""

import gzip
import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

from events import notification, records
from fake_aws import INBOX
from fakes import (
    FakeClient,
    FakeDynamoDB,
    FakeKinesis,
    FakeS3,
    FakeSqs,
    counts_over,
    inbox_over,
    reports_over,
    stream_over,
    timed_out,
)
from faults import Killed
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from on_fakes import stored
from wordtally import handler
from wordtally.aws.client import Answer, Client, Parameters, ignore
from wordtally.aws.errors import AwsError
from wordtally.domain import once, ranking
from wordtally.domain.ranking import Ranking
from wordtally.errors import Unavailable
from wordtally.stores import lanes
from wordtally.stores.reports import KEY
from wordtally.ways_in import stream
from wordtally.work import Work

from local.services.instances import Context

WORDS = [f"w{number}" for number in range(13)]  # more words than the report shows
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6)

FAULTS = st.one_of(
    st.none(), st.tuples(st.integers(1, 9), st.sampled_from(["outage", "kill"]), st.booleans())
)
"""None, or the number of the call, the fault, and whether the call takes effect before it."""

Fault = tuple[int, str, bool]


class Plan:
    """The fault of the request in flight, shared by the clients of an instance."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.calls = 0
        self.lock = threading.Lock()

    def due(self) -> Fault | None:
        """Count a call, and return its fault if there is one."""
        with self.lock:
            self.calls += 1
            return self.fault if self.fault and self.fault[0] == self.calls else None


class Faulty:
    """Implements aws.client.Client. A plan decides whether a call of a batch fails."""

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
    """An instance on the fakes. Both kinds of fault happen in the client."""

    def __init__(self, walk: "Walk") -> None:
        self.plan = Plan()

        def faulty(client: FakeClient) -> Any:
            return Faulty(client, self.plan)

        table, reports = faulty(walk.table), reports_over(faulty(walk.bucket))
        self.ranking = Ranking(
            counts_over(table), reports, walk.scan_up_to_words, pause=lambda attempt: None
        )
        inbox = inbox_over(table, self.ranking, faulty(walk.files))
        streaming = stream_over(table, self.ranking, faulty(walk.kinesis), faulty(walk.queue))
        self.application = handler.Application(
            self.ranking, reports, 24, lambda: inbox, lambda: streaming
        )


class Walk(RuleBasedStateMachine):
    keyed = Bundle("keyed")
    uploads = Bundle("uploads")

    @initialize(scan_up_to_words=st.sampled_from([0, 5, 100]), versioned=st.booleans())
    def begin(self, scan_up_to_words: int, versioned: bool) -> None:
        self.table, self.bucket = FakeDynamoDB(), FakeS3(versioned)
        self.files, self.kinesis, self.queue = FakeS3(versioned=True), FakeKinesis(), FakeSqs()
        self.scan_up_to_words = scan_up_to_words
        self.instances = [Instance(self) for _ in range(2)]
        self.least: Counter[str] = Counter()  # lower bound of each total
        self.most: Counter[str] = Counter()  # upper bound of each total
        self.names = itertools.count()
        # Names of texts: keys, files and records.
        self.may_be_counted: set[str] = set()
        self.surely_counted: set[str] = set()
        self.behind = False  # whether a failed request may have left the report behind
        self.texts: list[tuple[str, list[str]]] = []  # per record: key or other name, words
        self.delivered = 0  # records of the stream that Lambda need not deliver again
        self.small = ExitStack()
        self.small.enter_context(mock.patch.object(once, "CHUNK_WORDS", 2))
        self.small.enter_context(mock.patch.object(stream, "MAX_PLAN_BYTES", 100))
        # Only killed functions hold lanes between two steps. Once they hold all lanes, the next file must
        # not wait for a quarter of an hour.
        self.small.enter_context(mock.patch.object(lanes, "LEASE_SECONDS", -1))

    def plan(self, instance: Instance, fault: Fault | None) -> None:
        """Inject `fault` into the next request."""
        instance.plan.fault, instance.plan.calls = fault, 0

    def send(
        self, number: int, text: list[str], key: str | None, fault: Any, **headers: str
    ) -> int | None:
        """Return the status, or None if the function and its instance were killed."""
        instance = self.instances[number]
        self.plan(instance, fault)
        event: dict[str, Any] = {"body": json.dumps({"parameter": " ".join(text)})}
        event["headers"] = headers | ({"idempotency-key": key} if key else {})
        try:
            answer = handler.handle(lambda: instance.application, event, Context())
        except Killed:
            self.instances[number] = Instance(self)
            self.behind = True
            return None
        status: int = answer["statusCode"]
        assert status in (200, 202, 422, 503)
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
        self.may_count(key, text)
        if self.send(number, text, key, fault) == 200:
            self.has_counted(key, text)

    @rule(request=keyed, number=st.integers(0, 1), text=TEXTS)
    def use_a_key_for_another_text(
        self, request: tuple[str, list[str]], number: int, text: list[str]
    ) -> None:
        key, first = request
        if key in self.surely_counted and text != first:
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
            self.instances[number] = Instance(self)
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

    def invoke(self, number: int, event: dict[str, Any], fault: Any) -> bool:
        """Return whether the function succeeded. If not, Lambda retries."""
        instance = self.instances[number]
        self.plan(instance, fault)
        of_files = event["Records"][0]["eventSource"] == "aws:s3"
        count = handler.count_files if of_files else handler.count_records
        try:
            count(instance.application, event, Context())
        except (Killed, Unavailable) as error:
            assert fault
            if isinstance(error, Killed):
                self.instances[number] = Instance(self)
            self.behind = True
            return False
        # If nothing is counted, a deleted report is not restored.
        if not self.behind and KEY in self.bucket.objects:
            self.report_is_right()
        return True

    @rule(target=uploads, number=st.integers(0, 1), text=TEXTS, fault=FAULTS)
    def upload(self, number: int, text: list[str], fault: Any) -> tuple[str, list[str], str]:
        name = f"file {next(self.names)}"
        answer = self.files.put_object(
            Bucket=INBOX, Key=name, Body=gzip.compress("\n".join(text).encode())
        )
        uploaded = name, text, answer["VersionId"]
        self.announce_again(uploaded, number, fault)
        return uploaded

    @rule(uploaded=uploads, number=st.integers(0, 1), fault=FAULTS)
    def announce_again(self, uploaded: tuple[str, list[str], str], number: int, fault: Any) -> None:
        name, text, version = uploaded
        self.may_count(name, text)
        event = notification(name.replace(" ", "+"), versionId=version)
        if self.invoke(number, event, fault):
            self.has_counted(name, text)
            assert self.files.objects[name]["tags"] == {"wordtally": "counted"}

    def may_count(self, name: str, text: list[str]) -> None:
        if name not in self.may_be_counted:
            self.most.update(text)
            self.may_be_counted.add(name)

    def has_counted(self, name: str, text: list[str]) -> None:
        if name not in self.surely_counted:
            self.least.update(text)
            self.surely_counted.add(name)

    def append(self, number: int, text: list[str], key: str | None, fault: Any) -> None:
        """An appended record is counted, whatever the answer."""
        before = len(self.kinesis.records)
        status = self.send(number, text, key, fault, prefer="respond-async")
        appended = self.kinesis.records[before:]
        assert len(appended) <= 1
        assert appended or status != 202
        for _ in appended:
            self.texts.append((key or f"record {next(self.names)}", text))
            self.may_count(*self.texts[-1])

    @rule(number=st.integers(0, 1), text=TEXTS, fault=FAULTS)
    def post_to_the_stream(self, number: int, text: list[str], fault: Any) -> None:
        self.append(number, text, None, fault)

    @rule(request=keyed, number=st.integers(0, 1), fault=FAULTS)
    def send_again_to_the_stream(
        self, request: tuple[str, list[str]], number: int, fault: Any
    ) -> None:
        key, text = request
        self.append(number, text, key, fault)

    @rule(text=TEXTS, good=st.booleans())
    def produce(self, text: list[str], good: bool) -> None:
        """Append a record as another producer."""
        line = json.dumps({"parameter": " ".join(text)}).encode()
        data = line + b"\n" + line if good else b"rubbish"
        self.kinesis.put_record(StreamName="texts", Data=data, PartitionKey="1")
        self.texts.append((f"record {next(self.names)}", text * 2 if good else []))
        self.may_count(*self.texts[-1])

    @rule(number=st.integers(0, 1), before=st.integers(0, 3), size=st.integers(1, 5), fault=FAULTS)
    def deliver(self, number: int, before: int, size: int, fault: Any) -> None:
        """Deliver a batch that begins at the next record, or before it as a retry may."""
        start = max(0, self.delivered - before)
        cut = self.kinesis.records[start : start + size]
        if not cut:
            return
        event = records(*((str(n), each) for n, each in enumerate(cut, start + 1)))
        if self.invoke(number, event, fault):
            end = start + len(cut)
            for name, text in self.texts[self.delivered : end]:
                self.has_counted(name, text)
            self.delivered = max(self.delivered, end)

    def deliver_all(self, number: int) -> None:
        while self.delivered < len(self.kinesis.records):
            self.deliver(number, 1, 9, None)
        set_aside = {json.loads(message)["sequence"] for message in self.queue.messages}
        rubbish = {str(n) for n, (_, text) in enumerate(self.texts, 1) if not text}
        assert set_aside == rubbish

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
        """As *After the table was restored* in docs/operate.md, after the stream is empty. Checkpoints stay,
        because `deliver` repeats records that Lambda would not."""
        self.deliver_all(number)
        self.table.items.pop(word, None)
        markers = self.table.markers
        self.table.markers = {
            place: markers[place] for place in markers if "done" in markers[place]
        }
        self.bucket.objects.pop(KEY, None)
        self.least[word] = self.most[word] = 0
        self.may_be_counted.clear()
        self.surely_counted.clear()
        self.reconcile(number)

    @rule(number=st.integers(0, 1))
    def deploy_a_new_version(self, number: int) -> None:
        self.instances[number] = Instance(self)

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
        self.deliver_all(0)
        self.reconcile(0)
        self.nothing_is_lost_and_nothing_counted_twice()
        self.small.close()


TestRandomWalks = Walk.TestCase
