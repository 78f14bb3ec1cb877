"""Every call of a request, met by every fault: what is answered, what is counted, and what a retry
and the reconciliation make of it. README.md has the table of what can happen without a key."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from faults import FAULTS, Killed, injected
from wordtally import handler, ranking
from wordtally.settings import Settings
from wordtally.work import Work

from local import aws
from local.instances import Context

BEFORE = {"old": 9}
TEXT = {"a": 1, "b": 2, "c": 1}
POSTED = " ".join(word for word, times in TEXT.items() for _ in range(times))


class Product:
    """Two function instances on tables and a bucket of their own."""

    def __init__(self, cloud: str) -> None:
        name = uuid.uuid4().hex
        self.storage = (cloud, f"words-{name}", f"reports-{name}", f"markers-{name}")
        _, words, reports, markers = self.storage
        aws.create_storage(*self.storage)
        self.settings = Settings(aws.REGION, words, reports, 600, 0, markers, 24)
        self.dynamodb = aws.client("dynamodb", cloud)
        self.one, self.other = (handler.application(self.settings) for _ in range(2))

    def send(
        self, instance: handler.Application, text: str, key: str | None = None
    ) -> tuple[int, str | None] | None:
        """Status and code, None if the function was killed."""
        event: dict[str, Any] = {"body": json.dumps({"parameter": text})}
        if key is not None:
            event["headers"] = {"idempotency-key": key}
        try:
            answer = handler.respond(lambda: instance, event, Context())
        except Killed:
            return None
        return answer["statusCode"], json.loads(answer["body"]).get("code")

    def table(self) -> dict[str, int]:
        items = self.dynamodb.scan(TableName=self.settings.words_table)["Items"]
        return {item["word"]["S"]: int(item["times"]["N"]) for item in items}

    def report_is_right(self) -> bool:
        report = self.other.reports.read().report
        return report is not None and report.top == ranking.top(self.table().items())


@pytest.fixture
def product(cloud: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Product]:
    for name, value in aws.environment(cloud).items():
        monkeypatch.setenv(name, value)
    product = Product(cloud)
    yield product
    aws.delete_storage(*product.storage)


def plus(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {word: one.get(word, 0) + other.get(word, 0) for word in one | other}


OK = (200, None)
BUSY = (503, "unavailable")

ALL, NONE, PART, TWICE = "all of it", "nothing", "a part of it", "one word twice"


def expected(operation: str, fault: str, keyed: bool) -> tuple[Any, set[str], bool | None]:
    """The answer, what may be counted, and whether the report shows it (None: it may)."""
    adding = operation in ("UpdateItem", "TransactWriteItems")
    if fault == "throttled always":
        return BUSY, {NONE} if adding else {ALL}, adding
    if fault.startswith("killed"):
        if operation == "TransactWriteItems":
            return None, {ALL} if "after" in fault else {NONE}, "before" in fault
        if operation == "UpdateItem":
            return None, {PART, NONE, ALL} if "before" in fault else {PART, ALL}, None
        return None, {ALL}, operation == "PutObject" and "after" in fault
    if operation == "UpdateItem" and "after it took effect" in fault:
        return OK, {TWICE}, True
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
    False: ["UpdateItem", "GetObject", "PutObject"],
    True: ["TransactWriteItems", "BatchGetItem", "GetObject", "PutObject"],
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("operation", "keyed"),
    [(operation, keyed) for keyed, operations in CALLS.items() for operation in operations],
)
def test_fault(product: Product, operation: str, keyed: bool, fault: str) -> None:
    assert product.send(product.other, "old " * 9) == OK
    key = "key" if keyed else None
    status, may_be_counted, shown = expected(operation, fault, keyed)

    store: Any = (
        product.one.reports if operation.endswith("Object") else product.one.ranking._counts
    )
    with injected(store._client, operation, FAULTS[fault]) as injector:
        assert product.send(product.one, POSTED, key) == status
    assert injector.happened
    table = product.table()
    assert counted(table) in may_be_counted
    if shown is not None:
        assert product.report_is_right() == shown

    if keyed:
        # A retry counts what is missing and nothing twice, and repairs the report itself.
        assert product.send(product.other, POSTED, key) == OK
        assert product.table() == plus(BEFORE, TEXT)
        assert product.report_is_right()
    else:
        # A retry is another request.
        assert product.send(product.other, POSTED) == OK
        assert product.table() == plus(table, TEXT)
    product.other.ranking.reconcile(Work())
    assert product.report_is_right()
