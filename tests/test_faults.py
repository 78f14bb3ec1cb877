"""Each fault in each call of a post, a link, a file, a batch and an accepted text, with either client of AWS:
the answer, the counts, and the effect of a retry and of the reconciliation. docs/api.md has the table of
outcomes without a key."""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import fake_aws
import pytest
from botocore.retries.quota import RetryQuota
from botocore.retries.standard import ExponentialBackoff
from events import notification, records
from fake_aws import SETTINGS, FakeAws
from faults import FAULTS, KillableClient, Killed, ShortTimeout, injected
from on_fakes import stored
from wordtally import handler
from wordtally.aws import sdk, thin
from wordtally.aws.connections import Timeouts
from wordtally.domain import ranking
from wordtally.errors import Unavailable
from wordtally.ways_in import http
from wordtally.ways_in.stream import encode
from wordtally.work import Work

from local.services.instances import Context

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
BEFORE = {"old": 9}
TEXT = {"a": 1, "b": 2, "c": 1}
POSTED = " ".join(word for word, times in TEXT.items() for _ in range(times))


class Product:
    """Function instances on one fake AWS. Their clients are reused, as they are slow to create.

    Only `one` and `scanning` can be killed."""

    def __init__(self, server: FakeAws, client: str) -> None:
        self.server = server
        self.client = client
        settings = replace(SETTINGS, aws_client=client)
        self.clients = [KillableClient(handler.client(settings)) for _ in range(2)]

    def begin(self) -> None:
        """Start with empty storage and new instances."""
        self.context: type[Context] = Context
        self.server.empty()
        self.one, self.other = (handler.assembled(SETTINGS, client) for client in self.clients)
        scanning = replace(SETTINGS, scan_up_to_words=1000)
        self.scanning = handler.assembled(scanning, self.clients[0])

    def send(
        self, instance: handler.Application, text: str, key: str | None = None
    ) -> tuple[int, str | None] | None:
        """Return status and code, None if the function was killed."""
        event: dict[str, Any] = {"body": json.dumps({"parameter": text})}
        if key is not None:
            event["headers"] = {"idempotency-key": key}
        return self.respond(instance, event)

    def link(self, instance: handler.Application) -> tuple[int, str | None] | None:
        """Send GET /report. Return the same as `send`."""
        return self.respond(instance, {"routeKey": "GET /report"})

    def respond(
        self, instance: handler.Application, event: dict[str, Any]
    ) -> tuple[int, str | None] | None:
        try:
            answer = handler.handle(lambda: instance, event, self.context())
        except Killed:
            return None
        return answer["statusCode"], json.loads(answer["body"]).get("code")

    @contextlib.contextmanager
    def fault_in(self, operation: str, fault: str, skip: int = 0) -> Iterator[None]:
        """Inject the fault into `operation` in this context. Fail if the fault does not happen."""
        if FAULTS[fault].always:
            self.context = ShortTimeout  # throttled calls are retried until the deadline
        with injected(self.server, self.clients[0], operation, FAULTS[fault], skip) as injector:
            yield
        self.context = Context
        assert injector.happened

    def invoke(self, instance: handler.Application, event: dict[str, Any]) -> bool:
        """Count files or records, and return whether that succeeded. Lambda retries after an error."""
        stream = event["Records"][0]["eventSource"] == "aws:kinesis"
        count = handler.count_records if stream else handler.count_files
        try:
            count(instance, event, self.context())
        except (Unavailable, Killed):
            return False
        return True

    def invoke_with_fault(
        self, event: dict[str, Any], operation: str, skip: int, fault: str
    ) -> None:
        """Invoke the function with a fault. If it is killed or always throttled, it must not succeed."""
        with self.fault_in(operation, fault, skip):
            succeeded = self.invoke(self.one, event)
        if fault == "throttled always" or fault.startswith("killed"):
            assert not succeeded

    def table(self) -> dict[str, int]:
        return dict(self.server.table.items)

    def report_is_right(self) -> bool:
        report = self.other.reports.read(Work()).report
        return report is not None and report.top == ranking.top(self.table().items())


QUICK = Timeouts(connect_seconds=1, answer_seconds=0.5)


@pytest.fixture(scope="module", params=["thin", "botocore"])
def shared(request: pytest.FixtureRequest) -> Iterator[Product]:
    with (
        fake_aws.serving() as server,
        mock.patch.dict(os.environ, server.environment()),
        mock.patch.object(sdk, "READ_TIMEOUT_SECONDS", QUICK.answer_seconds),
        mock.patch.object(thin, "TIMEOUTS", QUICK),
        mock.patch.object(ExponentialBackoff, "delay_amount", return_value=0),
        # "throttled always" would use up the client's quota for the tests that follow.
        mock.patch.object(RetryQuota, "acquire", return_value=True),
    ):
        yield Product(server, request.param)


@pytest.fixture
def product(shared: Product) -> Iterator[Product]:
    with mock.patch.dict(os.environ, shared.server.environment()):  # conftest.py has deleted it
        shared.begin()
        yield shared


def plus(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {word: one.get(word, 0) + other.get(word, 0) for word in one | other}


OK = (200, None)
MISSING = (404, "no_report")
BUSY = (503, "unavailable")
KILLED = None  # the API answers 500

ALL, NONE, PART, TWICE = "all of it", "nothing", "a part of it", "one word twice"


def documented() -> dict[str, list[str]]:
    """The outcomes without a key: answer, counted, in the report."""
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    lines = text[text.index("| without a key |") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: cells for name, *cells in rows}


def row_of(operation: str, fault: str) -> str:
    """The row of the fault in docs/api.md."""
    adding = operation == "UpdateItem"
    on_s3 = operation.endswith("Object")
    if fault in ("throttled always", "unreadable answer"):
        store = "S3" if on_s3 else "DynamoDB"
        return f"{store} is throttling or unavailable, or its answer is unreadable"
    if fault.startswith("killed"):
        return "the function is killed " + ("while it counts" if adding else "afterwards")
    if "after it took effect" in fault:
        what = "an upsert" if adding else "a read or publish"
        return f"{what} took effect, but its answer was lost"
    return "a call is throttled, fails or is cut off, once"


ANSWERS = {"200": OK, "503": BUSY, "500": KILLED}
COUNTED = {"all": {ALL}, "one word twice": {TWICE}, "a part": {NONE, PART, ALL}}


def without_a_key(operation: str, fault: str) -> tuple[Any, set[str], bool]:
    """The answer, the possible counts, and whether the report must show them."""
    answer, count, shown = documented()[row_of(operation, fault)]
    return ANSWERS[answer], COUNTED[count], shown == "yes"


def with_a_key(operation: str, fault: str) -> tuple[Any, set[str], bool]:
    """Like `without_a_key`, for a text with a key, before the retry."""
    adding = operation == "TransactWriteItems"
    if fault == "throttled always":
        return BUSY, {NONE if adding else ALL}, adding
    if fault == "unreadable answer":
        return BUSY, {ALL}, False
    if fault.startswith("killed"):
        return KILLED, {NONE if adding and "before" in fault else ALL}, False
    return OK, {ALL}, True


def counted(table: dict[str, int]) -> str:
    added = {word: table.get(word, 0) - BEFORE.get(word, 0) for word in TEXT | BEFORE}
    assert added.pop("old") == 0
    if added == TEXT:
        return ALL
    if not any(added.values()):
        return NONE
    if all(added[word] in (0, times) for word, times in TEXT.items()):
        return PART
    doubled = [word for word, times in TEXT.items() if added[word] == 2 * times]
    assert len(doubled) == 1
    assert all(added[word] == times for word, times in TEXT.items() if word not in doubled)
    return TWICE


CALLS = {
    False: ["UpdateItem", "Scan", "GetObject", "PutObject"],
    True: ["TransactWriteItems", "BatchGetItem", "GetObject", "PutObject"],
}


def test_each_row_of_the_table_is_tested() -> None:
    tested = {row_of(operation, fault) for operation in CALLS[False] for fault in FAULTS}
    assert set(documented()) == tested


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("operation", "keyed"),
    [(operation, keyed) for keyed, operations in CALLS.items() for operation in operations],
)
def test_fault_of_a_post(product: Product, operation: str, keyed: bool, fault: str) -> None:
    assert product.send(product.other, "old " * 9) == OK
    key = "key" if keyed else None
    expected = with_a_key if keyed else without_a_key
    status, may_be_counted, shown = expected(operation, fault)

    one = product.scanning if operation == "Scan" else product.one
    with product.fault_in(operation, fault):
        answered = product.send(one, POSTED, key)
    # botocore retries after an unreadable answer of S3. The retry then finds its own write.
    assert answered == status or (
        fault == "unreadable answer"
        and operation == "PutObject"
        and (product.client, answered) == ("botocore", OK)
    )
    table = product.table()
    assert counted(table) in may_be_counted
    assert product.report_is_right() or not shown

    if keyed:
        # A retry counts only the missing words, and repairs the report.
        assert product.send(product.other, POSTED, key) == OK
        assert product.table() == plus(BEFORE, TEXT)
        assert product.report_is_right()
    else:
        # A retry without a key counts the text again.
        assert product.send(product.other, POSTED) == OK
        assert product.table() == plus(table, TEXT)
    product.other.ranking.reconcile(Work())
    assert product.report_is_right()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("good", [OK, MISSING], ids=["a report", "no report"])
def test_fault_of_a_link(product: Product, good: tuple[int, str | None], fault: str) -> None:
    if good == OK:
        assert product.send(product.other, "old " * 9, "key") == OK
    before = stored(product.server.table, product.server.bucket)
    product.server.table.calls.clear()
    product.server.bucket.calls.clear()
    with product.fault_in("GetObject", fault):
        answered = product.link(product.one)
    # The same status as for a read without a key, in the table of docs/api.md.
    status, _, _ = without_a_key("GetObject", fault)
    assert answered == (good if status == OK else status)
    assert product.link(product.one) == good
    assert stored(product.server.table, product.server.bucket) == before
    assert product.server.table.calls == []
    assert set(product.server.bucket.calls) == {"GetObject"}


def no_word_is_partial(table: dict[str, int], text: dict[str, int]) -> bool:
    """Whether each word of a text is in the table completely or not at all."""
    return all(table.get(word, 0) in (0, times) for word, times in text.items())


FILE = {"tea": 2, "cup": 1, "x": 3}
CALLS_OF_A_FILE = [
    ("GetObject", 0),  # the file
    ("TransactWriteItems", 0),  # takes a lane
    ("UpdateItem", 0),
    ("UpdateItem", 1),
    ("GetObject", 1),  # the report
    ("PutObject", 0),
    ("TransactWriteItems", 1),  # releases the lane
    ("GetObjectTagging", 0),
    ("PutObjectTagging", 0),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("operation", "skip"), CALLS_OF_A_FILE)
def test_fault_of_a_file(product: Product, operation: str, skip: int, fault: str) -> None:
    uploaded = product.server.files.put_object(
        Bucket=fake_aws.INBOX, Key="a file", Body=b"Tea: x x x, tea cup", Tagging="mine=1"
    )
    event = notification("a+file", versionId=uploaded["VersionId"])
    product.invoke_with_fault(event, operation, skip, fault)
    assert no_word_is_partial(product.table(), FILE)
    for instance in (product.other, product.one):
        assert product.invoke(instance, event)
        assert product.table() == FILE
        assert product.report_is_right()
        assert product.server.files.objects["a file"]["tags"] == {
            "mine": "1",
            "wordtally": "counted",
        }


KEYED, PLAIN = {"k": 1, "y": 2}, {"p": 4, "q": 1}
CALLS_OF_A_BATCH = [
    ("GetItem", 0),
    ("SendMessage", 0),
    ("TransactWriteItems", 0),  # of the text with a key
    ("BatchGetItem", 0),
    ("GetObject", 0),
    ("PutObject", 0),
    ("UpdateItem", 0),  # records the plan
    ("UpdateItem", 1),
    ("UpdateItem", 2),
    ("PutObject", 1),
    ("UpdateItem", 3),  # moves the checkpoint
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("operation", "skip"), CALLS_OF_A_BATCH)
def test_fault_of_a_batch(product: Product, operation: str, skip: int, fault: str) -> None:
    marker = product.one.marker(http.Request("a text", "key"))
    data = [encode(PLAIN, None), b"rubbish", encode(KEYED, marker), encode(PLAIN, None)]
    sent = [(str(number), each) for number, each in enumerate(data, 9)]
    plain = {word: 2 * times for word, times in PLAIN.items()}
    product.invoke_with_fault(records(*sent), operation, skip, fault)
    assert no_word_is_partial(product.table(), KEYED | plain)
    # A retry may have other boundaries.
    for cut in (sent[:2], sent[:3], sent, sent[1:]):
        assert product.invoke(product.other, records(*cut))
    assert product.table() == plain | KEYED
    assert product.report_is_right()
    reasons = {(m["sequence"], m["reason"]) for m in map(json.loads, product.server.queue.messages)}
    assert reasons == {("10", "invalid_json")}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_a_text_that_is_accepted(product: Product, fault: str) -> None:
    """A client appends a record at most once. A text with a key is counted once even if the caller
    retries."""
    headers = {"prefer": "respond-async", "idempotency-key": "key"}
    event = {"headers": headers, "body": json.dumps({"parameter": POSTED})}
    with product.fault_in("PutRecord", fault):
        answered = product.respond(product.one, event)
    accepted = (202, None)
    if fault.startswith("killed"):
        assert answered is KILLED
    else:
        assert answered == (accepted if fault == "throttled once" else BUSY)
    assert len(product.server.kinesis.records) <= 1
    assert product.respond(product.one, event) == accepted
    sent = [(str(number), each) for number, each in enumerate(product.server.kinesis.records)]
    assert product.invoke(product.one, records(*sent))
    assert product.table() == TEXT
    assert product.report_is_right()
