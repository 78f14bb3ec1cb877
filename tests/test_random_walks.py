"""Random walks: requests, crashes, lost answers, reconciliations, deletions of the report and of
words, and new versions in any order, against a model of what may be counted. On the fakes, which keep
the contract of the real clients, so that thousands of steps are quick."""

import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest import mock

from fakes import FakeDynamoDB, FakeS3, ReadTimeoutError, counts_over
from faults import Killed
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from wordtally import handler, once, ranking
from wordtally.ranking import Ranking
from wordtally.reports import KEY, S3Reports
from wordtally.work import Work

from local.instances import Context

WORDS = [f"w{number}" for number in range(13)]  # more than the report shows
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6)

FAULTS = st.one_of(
    st.none(),
    st.tuples(st.integers(1, 9), st.sampled_from([ReadTimeoutError, Killed]), st.booleans()),
)
"""None, or at which call of the request, what, and whether after the call took effect."""


class Plan:
    """The fault of the request under way; shared by the clients of an instance."""

    def __init__(self) -> None:
        self.fault: tuple[int, type[BaseException], bool] | None = None
        self.calls = 0
        self.lock = threading.Lock()

    def call(self, run: Callable[[], Any]) -> Any:
        with self.lock:
            self.calls += 1
            due = self.fault is not None and self.fault[0] == self.calls
        if due and self.fault and not self.fault[2]:
            raise self.fault[1]
        answer = run()
        if due and self.fault:
            raise self.fault[1]
        return answer


class Faulty:
    """A client whose calls go through a plan."""

    def __init__(self, client: Any, plan: Plan) -> None:
        self._client, self._plan = client, plan

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name == "generate_presigned_url":  # calls nobody
            return method
        return lambda **arguments: self._plan.call(lambda: method(**arguments))


class Instance:
    def __init__(self, table: FakeDynamoDB, bucket: FakeS3, scan_up_to_words: int) -> None:
        self.plan = Plan()
        faulty: Any = Faulty(table, self.plan)
        reports = S3Reports(Faulty(bucket, self.plan), "reports", 600)  # type: ignore[arg-type]
        self.ranking = Ranking(
            counts_over(faulty), reports, scan_up_to_words, pause=lambda attempt: None
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

    def send(self, number: int, text: list[str], key: str | None, fault: Any) -> int | None:
        """The status, or None if the function was killed, and its instance with it."""
        instance = self.instances[number]
        instance.plan.fault, instance.plan.calls = fault, 0
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

    @rule(number=st.integers(0, 1))
    def reconcile(self, number: int) -> None:
        self.instances[number].plan.fault = None
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

    def report_is_right(self) -> None:
        report = S3Reports(self.bucket, "reports", 600).read(Work()).report  # type: ignore[arg-type]
        assert report is not None
        assert report.top == ranking.top(self.table.items.items())

    def teardown(self) -> None:
        self.chunks.stop()


TestRandomWalks = Walk.TestCase
