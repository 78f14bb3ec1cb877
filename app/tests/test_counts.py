"""The adapter of the words table. Tests that also run on moto are in contract.py."""

import threading
import time
from typing import Any

from fakes import FakeDynamoDB, counts_over, refused, timed_out
from fixtures import OnFakes
from wordtally.aws.errors import AwsError
from wordtally.errors import Unavailable
from wordtally.stores.counts import PAGE_WORDS, SEGMENTS
from wordtally.work import Work


class Add(OnFakes):
    def test_one_upsert_per_distinct_word(self) -> None:
        work = Work()
        self.counts.add({"a": 5, "b": 1, "c": 2}, work)
        self.assertEqual(self.table.calls, ["UpdateItem"] * 3)
        self.assertEqual(work.upserts, 3)

    def test_no_words_need_no_calls(self) -> None:
        self.assertEqual(self.counts.add({}, Work()), {})
        self.assertEqual(self.table.calls, [])

    def test_after_a_failure_the_log_has_the_progress(self) -> None:
        for error in [refused("UpdateItem", "Throttling"), refused("UpdateItem", "AccessDenied")]:
            self.table.faults["UpdateItem"] = [None, None, error]
            work = Work()
            with self.assertRaises((Unavailable, AwsError)):
                self.counts.add({f"w{number}": 1 for number in range(9)}, work)
            self.assertEqual(work.upserts, 2)

    def test_retried_calls_are_counted_for_the_request(self) -> None:
        class Retrying(FakeDynamoDB):
            def call_each(self, operation: str, parameters: Any, until: float, retried: Any) -> Any:  # type: ignore[override]
                for code in ["Throttling", "Throttling", "TransactionConflictException"]:
                    retried(refused(operation, code))
                retried(timed_out(operation))
                return super().call_each(operation, parameters, until, retried)

        work = Work()
        counts_over(Retrying()).add({"a": 1}, work)
        self.assertEqual((work.throttled, work.write_conflicts), (2, 1))

    def test_a_word_with_a_malformed_total_is_left_out_and_counted(self) -> None:
        self.table.malformed = {"b": {"N": "1.5"}}
        work = Work()
        self.assertEqual(self.counts.add({"a": 1, "b": 1}, work), {"a": 1})
        self.assertEqual((work.upserts, work.malformed_items), (2, 1))

    def test_an_unreadable_answer_is_an_outage(self) -> None:
        attributes: list[Any] = [{}, {"times": {"S": "1"}}, {"times": {"N": "many"}}]
        answers = [{}, *({"Attributes": each} for each in attributes)]
        self.assert_unreadable("UpdateItem", answers, lambda: self.counts.add({"a": 1}, Work()))

    def test_no_upsert_begins_after_the_deadline(self) -> None:
        work = Work(until=time.monotonic() - 1)
        with self.assertRaisesRegex(Unavailable, "out of time"):
            self.counts.add({"a": 1}, work)
        self.assertEqual(self.table.calls, [])


class Scan(OnFakes):
    def setUp(self) -> None:
        super().setUp()
        self.table.items = {"x" * length: 1 for length in range(1, 30)}

    def test_a_small_table_is_scanned_in_one_segment_and_a_possibly_large_one_in_several(
        self,
    ) -> None:
        self.table.page_size = 100
        for expected, calls in [(29, 1), (PAGE_WORDS, 1), (PAGE_WORDS + 1, 4)]:
            self.table.calls.clear()
            list(self.counts.scan(expected, Work()))
            self.assertEqual(len(self.table.calls), calls, expected)

    def test_a_table_of_unknown_size_is_segmented_only_if_it_exceeds_a_page(self) -> None:
        for page_size, calls in [(100, 1), (29, 1), (28, 1 + SEGMENTS)]:
            self.table.page_size = page_size
            self.table.calls.clear()
            found = [word for page in self.counts.scan(None, Work()) for word in page]
            self.assertEqual(sorted(found), sorted(self.table.items))
            self.assertEqual(len(self.table.calls), calls, page_size)

    def test_an_empty_table_of_unknown_size_takes_one_call(self) -> None:
        self.table.items = {}
        self.assertEqual(list(self.counts.scan(None, Work())), [{}])
        self.assertEqual(self.table.calls, ["Scan"])

    def test_malformed_items_are_left_out_and_counted(self) -> None:
        self.table.malformed = {"a": None, "b": {"N": "1.5"}, "c": {"S": "7"}}
        work = Work()
        found = {word: n for page in self.counts.scan(29, work) for word, n in page.items()}
        self.assertEqual(found, self.table.items)
        self.assertEqual(work.malformed_items, 3)

    def test_an_unreadable_answer_is_an_outage(self) -> None:
        answers: list[Any] = [{}, {"Items": 5}, {"Items": [{}]}, {"Items": [{"word": {"N": "1"}}]}]
        self.assert_unreadable("Scan", answers, lambda: list(self.counts.scan(29, Work())))

    def test_segments_are_read_concurrently(self) -> None:
        together = threading.Barrier(SEGMENTS)

        class Meeting(FakeDynamoDB):
            def call(self, operation: str, parameters: Any) -> Any:
                together.wait(timeout=10)
                return super().call(operation, parameters)

        self.assertEqual(len(list(counts_over(Meeting()).scan(PAGE_WORDS + 1, Work()))), SEGMENTS)

    def test_no_page_is_requested_after_the_deadline(self) -> None:
        work = Work()
        with self.assertRaisesRegex(Unavailable, "out of time"):
            for _ in self.counts.scan(29, work):
                work.until = time.monotonic() - 1
        self.assertLessEqual(len(self.table.calls), 2)

    def test_a_failure_leaves_nothing_in_flight(self) -> None:
        self.table.faults["Scan"] = [None, refused("Scan", "ThrottlingException")]
        with self.assertRaises(Unavailable):
            list(self.counts.scan(PAGE_WORDS + 1, Work()))
        calls = len(self.table.calls)
        time.sleep(0.02)
        self.assertEqual(len(self.table.calls), calls)


class Errors(OnFakes):
    def test_throttling_and_outages_are_unavailable(self) -> None:
        for error in [
            refused("UpdateItem", "ProvisionedThroughputExceededException"),
            refused("UpdateItem", "ThrottlingException"),
            refused("UpdateItem", "RequestLimitExceeded"),
            refused("UpdateItem", "InternalServerError", 500),
            refused("UpdateItem", "SomethingNew", 503),
            timed_out("UpdateItem"),
        ]:
            self.table.faults["UpdateItem"] = [error]
            with self.subTest(error=error), self.assertRaises(Unavailable) as raised:
                self.counts.add({"a": 1}, Work())
            self.assertIs(raised.exception.__cause__, error)

    def test_the_detail_names_call_and_code(self) -> None:
        self.table.faults["Scan"] = [refused("Scan", "ThrottlingException"), timed_out("Scan")]
        for detail in ("ThrottlingException", "read timeout"):
            with self.assertRaisesRegex(Unavailable, f"^Scan: {detail}$"):
                list(self.counts.scan(0, Work()))

    def test_other_refusals_are_aws_errors(self) -> None:
        self.table.faults["UpdateItem"] = [refused("UpdateItem", "AccessDeniedException")]
        with self.assertRaisesRegex(AwsError, "^UpdateItem: AccessDeniedException$"):
            self.counts.add({"a": 1}, Work())

    def test_other_exceptions_pass_unchanged(self) -> None:
        self.table.faults["UpdateItem"] = [ZeroDivisionError()]
        with self.assertRaises(ZeroDivisionError):
            self.counts.add({"a": 1}, Work())
