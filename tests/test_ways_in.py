"""Each way in counts a whole book exactly: table and report have the words that uniseg finds."""

import gzip
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import fake_aws
import pytest
from events import notification, records
from fake_aws import SETTINGS, FakeAws
from standard import standard
from wordtally import handler
from wordtally.domain import ranking
from wordtally.work import Work

from local.demo.pieces import cut
from local.services.instances import Context

BOOK = (Path(__file__).parents[1] / "examples/alice.txt").read_text(encoding="utf-8")
TRUTH = Counter(standard(BOOK))


@pytest.fixture
def server(patient: None) -> Iterator[FakeAws]:
    with fake_aws.serving() as server, mock.patch.dict(os.environ, server.environment()):
        server.table.page_size = 1_000
        yield server


def post(server: FakeAws, application: handler.Application) -> None:
    for text in cut(BOOK):
        request = {"body": json.dumps({"parameter": text})}
        assert handler.handle(lambda: application, request, Context())["statusCode"] == 200


def post_under_keys(server: FakeAws, application: handler.Application) -> None:
    for number, text in enumerate(cut(BOOK)):
        headers = {"idempotency-key": f"piece {number}"}
        request = {"headers": headers, "body": json.dumps({"parameter": text})}
        for _ in range(2):
            assert handler.handle(lambda: application, request, Context())["statusCode"] == 200


def upload(server: FakeAws, application: handler.Application) -> None:
    uploaded = server.files.put_object(
        Bucket=fake_aws.INBOX, Key="book.gz", Body=gzip.compress(BOOK.encode())
    )
    event = notification("book.gz", versionId=uploaded["VersionId"])
    for _ in range(2):
        handler.count_files(application, event, Context())


def append(server: FakeAws, application: handler.Application) -> None:
    for text in cut(BOOK):
        headers = {"prefer": "respond-async"}
        request = {"headers": headers, "body": json.dumps({"parameter": text})}
        assert handler.handle(lambda: application, request, Context())["statusCode"] == 202
    sent = [(str(number), each) for number, each in enumerate(server.kinesis.records, 1)]
    for start, end in [(0, 4), (2, 9), (4, len(sent)), (0, len(sent))]:
        handler.count_records(application, records(*sent[start:end]), Context())


def produce(server: FakeAws, application: handler.Application) -> None:
    lines = "\n".join(json.dumps({"parameter": text}) for text in cut(BOOK))
    for _ in range(2):
        handler.count_records(application, records(("1", lines.encode())), Context())


@pytest.mark.parametrize("way", [post, post_under_keys, upload, append, produce])
def test_a_book_is_counted_exactly(
    server: FakeAws, way: Callable[[FakeAws, handler.Application], None]
) -> None:
    application = handler.application(SETTINGS)
    way(server, application)
    assert server.table.items == TRUTH
    report = application.reports.read(Work()).report
    assert report
    assert report.top == ranking.top(TRUTH.items())
