"""The words table's adapter. What it shares with moto is in contract.py."""

import threading
import time
import unittest
from typing import Any

from fakes import ClientError, EndpointConnectionError, FakeDynamoDB, ReadTimeoutError, counts_over
from wordtally import aws
from wordtally.counts import PAGE_WORDS, SEGMENTS, WORKERS
from wordtally.errors import Unavailable
from wordtally.work import Work


class Add(unittest.TestCase):
    def setUp(self) -> None:
        self.table = FakeDynamoDB()
        self.counts = counts_over(self.table)

    def test_one_upsert_per_distinct_word(self) -> None:
        work = Work()
        self.counts.add({"a": 5, "b": 1, "c": 2}, work)
        self.assertEqual(self.table.calls, ["UpdateItem"] * 3)
        self.assertEqual(work.upserts, 3)

    def test_no_words_no_calls(self) -> None:
        self.assertEqual(self.counts.add({}, Work()), {})
        self.assertEqual(self.table.calls, [])

    def test_workers_run_at_the_same_time(self) -> None:
        together = threading.Barrier(WORKERS)  # breaks, and fails the test, if one has to wait

        class Meeting(FakeDynamoDB):
            def update_item(self, **arguments: Any) -> dict[str, Any]:
                together.wait(timeout=10)
                return super().update_item(**arguments)

        words = {f"w{number}": 1 for number in range(WORKERS)}
        self.assertEqual(counts_over(Meeting()).add(words, Work()), words)

    def test_a_failure_calls_off_the_rest_and_leaves_nothing_under_way(self) -> None:
        under_way = 0

        class Slow(FakeDynamoDB):
            def update_item(self, **arguments: Any) -> dict[str, Any]:
                nonlocal under_way
                under_way += 1
                try:
                    answer = super().update_item(**arguments)
                    time.sleep(0.01)
                    return answer
                finally:
                    under_way -= 1

        table = Slow()
        table.faults["UpdateItem"] = [ClientError("UpdateItem", "ThrottlingException")]
        work = Work()
        with self.assertRaises(Unavailable):
            counts_over(table).add({f"w{number}": 1 for number in range(1000)}, work)
        self.assertEqual(under_way, 0)
        self.assertLess(len(table.calls), 500)
        self.assertEqual(work.upserts, len(table.items), "the log says how far it got")

    def test_no_upsert_begins_after_the_deadline(self) -> None:
        late = 3

        class Slow(FakeDynamoDB):
            def update_item(self, **arguments: Any) -> dict[str, Any]:
                if len(self.calls) == late:
                    work.until = time.monotonic() - 1
                return super().update_item(**arguments)

        table, work = Slow(), Work()
        with self.assertRaisesRegex(Unavailable, "out of time"):
            counts_over(table).add({f"w{number}": 1 for number in range(1000)}, work)
        self.assertLessEqual(len(table.calls), late + WORKERS)
        self.assertEqual(work.upserts, len(table.items))


class Scan(unittest.TestCase):
    def setUp(self) -> None:
        self.table = FakeDynamoDB()
        self.table.items = {"x" * length: 1 for length in range(1, 30)}
        self.counts = counts_over(self.table)

    def test_a_small_table_is_one_segment_and_one_that_may_be_large_is_several(self) -> None:
        self.table.page_size = 100
        for expected, calls in [(29, 1), (PAGE_WORDS, 1), (PAGE_WORDS + 1, 4), (None, 4)]:
            self.table.calls.clear()
            list(self.counts.scan(expected, Work()))
            self.assertEqual(len(self.table.calls), calls, expected)

    def test_segments_are_read_at_the_same_time(self) -> None:
        together = threading.Barrier(SEGMENTS)

        class Meeting(FakeDynamoDB):
            def scan(self, **arguments: Any) -> dict[str, Any]:
                together.wait(timeout=10)
                return super().scan(**arguments)

        self.assertEqual(len(list(counts_over(Meeting()).scan(None, Work()))), SEGMENTS)

    def test_no_page_is_asked_for_after_the_deadline(self) -> None:
        work = Work()
        with self.assertRaisesRegex(Unavailable, "out of time"):
            for _ in self.counts.scan(29, work):
                work.until = time.monotonic() - 1
        self.assertLessEqual(len(self.table.calls), 2)

    def test_a_failure_leaves_nothing_under_way(self) -> None:
        self.table.faults["Scan"] = [None, ClientError("Scan", "ThrottlingException")]
        with self.assertRaises(Unavailable):
            list(self.counts.scan(None, Work()))
        calls = len(self.table.calls)
        time.sleep(0.02)
        self.assertEqual(len(self.table.calls), calls)


class Errors(unittest.TestCase):
    def setUp(self) -> None:
        self.table = FakeDynamoDB()
        self.counts = counts_over(self.table)

    def test_throttling_and_outages_are_unavailable(self) -> None:
        for error in [
            ClientError("UpdateItem", "ProvisionedThroughputExceededException"),
            ClientError("UpdateItem", "ThrottlingException"),
            ClientError("UpdateItem", "RequestLimitExceeded"),
            ClientError("UpdateItem", "InternalServerError", 500),
            ClientError("UpdateItem", "SomethingNew", 503),
            ReadTimeoutError(),
            EndpointConnectionError(),
        ]:
            self.table.faults["UpdateItem"] = [error]
            with self.subTest(error=error), self.assertRaises(Unavailable) as raised:
                self.counts.add({"a": 1}, Work())
            self.assertIs(raised.exception.__cause__, error)

    def test_the_detail_names_call_and_code(self) -> None:
        self.table.faults["Scan"] = [ClientError("Scan", "ThrottlingException")]
        with self.assertRaisesRegex(Unavailable, "^Scan: ThrottlingException$"):
            list(self.counts.scan(0, Work()))

    def test_other_refusals_are_errors_of_ours(self) -> None:
        self.table.faults["UpdateItem"] = [ClientError("UpdateItem", "AccessDeniedException")]
        with self.assertRaisesRegex(aws.AwsError, "^UpdateItem: AccessDeniedException$"):
            self.counts.add({"a": 1}, Work())

    def test_anything_else_passes_unchanged(self) -> None:
        self.table.faults["UpdateItem"] = [ZeroDivisionError()]
        with self.assertRaises(ZeroDivisionError):
            self.counts.add({"a": 1}, Work())
