"""Shared by the tests of the function's parts: new fakes for each test, and code that uses them."""

import unittest
from collections.abc import Callable, Iterable
from typing import Any
from unittest import mock

from fakes import FakeDynamoDB, FakeKinesis, FakeS3, FakeSqs, counts_over, reports_over
from wordtally.domain.ranking import Ranking
from wordtally.errors import Unavailable
from wordtally.work import Work


class OnFakes(unittest.TestCase):
    versioned = False
    """Whether the bucket of the report is versioned."""

    def setUp(self) -> None:
        self.table, self.bucket = FakeDynamoDB(), FakeS3(self.versioned)
        self.counts = counts_over(self.table)
        self.files, self.kinesis, self.queue = FakeS3(versioned=True), FakeKinesis(), FakeSqs()

    def ranking(self, scan_up_to_words: int = 0) -> Ranking:
        """The ranking of a new function instance, without pauses."""
        counts, reports = counts_over(self.table), reports_over(self.bucket)
        return Ranking(counts, reports, scan_up_to_words, pause=lambda attempt: None)

    def report(self) -> list[tuple[str, int]]:
        """The words of the report with their totals, in its order."""
        report = reports_over(self.bucket).read(Work()).report
        assert report
        return list(report.top)

    def calls(self) -> list[str]:
        """The calls to the table and to the bucket of the report."""
        return self.table.calls + self.bucket.calls

    def forget_calls(self) -> None:
        self.table.calls.clear()
        self.bucket.calls.clear()

    def assert_unreadable(
        self, operation: str, answers: Iterable[object], call: Callable[[], Any]
    ) -> None:
        """`call` raises Unavailable if the table gives one of these answers to the operation."""
        for answer in answers:
            answering = {operation: mock.Mock(return_value=answer)}
            patched = mock.patch.dict(self.table.operations, answering)
            with self.subTest(answer=answer), patched, self.assertRaises(Unavailable) as raised:
                call()
            self.assertEqual(str(raised.exception), f"{operation}: unreadable answer")
