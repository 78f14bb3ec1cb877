"""Transactions of words and markers. Tests that also run on moto are in contract.py.
test_interleavings.py runs every schedule."""

import time
from dataclasses import replace
from typing import Any
from unittest import mock

from fakes import cancelled, refused, timed_out
from fixtures import OnFakes
from wordtally.aws.errors import AwsError
from wordtally.domain import once
from wordtally.errors import Unavailable
from wordtally.stores.calls import Calls
from wordtally.stores.ledger import DynamoDBLedger
from wordtally.work import Work

MARKER = once.marker("key", "text", 0, 3600)


class Transactions(OnFakes):
    def setUp(self) -> None:
        super().setUp()
        self.work = Work()

    def add(self, words: dict[str, int]) -> dict[str, int]:
        return self.counts.add_once(MARKER, words, self.work)

    def test_a_transaction_has_99_words_and_the_marker(self) -> None:
        self.add({f"w{number}": 1 for number in range(199)})
        self.assertEqual(self.table.calls.count("TransactWriteItems"), 3)
        self.assertEqual(self.table.calls.count("BatchGetItem"), 2)
        self.assertEqual((len(self.table.markers), self.work.upserts), (3, 199))

    def test_the_marker_holds_digests_only(self) -> None:
        self.add({"a": 1})
        self.assertNotIn("text", str(self.table.markers))
        ((key, chunk),) = self.table.markers
        self.assertRegex(key, "^[0-9a-f]{64}$")
        self.assertEqual(chunk, 0)

    def test_the_ttl_has_a_separate_attribute_a_day_after_the_marker_becomes_invalid(self) -> None:
        self.add({"a": 1})
        (item,) = self.table.markers.values()
        self.assertEqual(item["valid_until"], {"N": "3600"})
        self.assertEqual(item["expires_at"], {"N": str(3600 + 24 * 3600)})

    def test_a_marker_of_an_earlier_version_keeps_its_validity(self) -> None:
        self.add({"a": 1})
        (item,) = self.table.markers.values()
        old = {name: value for name, value in item.items() if name != "valid_until"}
        error = cancelled("ConditionalCheckFailed", "None")
        error.reasons[0]["Item"] = {**old, "expires_at": {"N": "77"}}
        self.table.faults["TransactWriteItems"] = [error]
        found = self.counts._ledger.write(MARKER, {"a": 1}, self.work)
        self.assertEqual(found, replace(MARKER, valid_until=77))

    def test_conflicting_and_throttled_transactions_are_retried_and_counted_separately(
        self,
    ) -> None:
        self.table.faults["TransactWriteItems"] = [
            cancelled("None", "TransactionConflict"),
            cancelled("TransactionConflict", "None"),
            cancelled("None", "ProvisionedThroughputExceeded"),
            cancelled("None", "ThrottlingError"),
            *[cancelled("None", "TransactionConflict")] * 20,
        ]
        self.assertEqual(self.add({"a": 1}), {"a": 1})
        self.assertEqual((self.work.write_conflicts, self.work.throttled), (22, 2))

    def test_a_cancellation_without_reasons_is_no_commit(self) -> None:
        cases: list[Any] = [[], None, "garbage", [{}], [{"Code": "None"}], [{"Code": None}]]
        for reasons in cases:
            error = refused("TransactWriteItems", "TransactionCanceledException", reasons=reasons)
            self.table.faults["TransactWriteItems"] = [error]
            with self.subTest(reasons=reasons), self.assertRaises(Unavailable) as raised:
                self.add({"a": 1})
            self.assertRegex(str(raised.exception), "^TransactWriteItems: ")
        self.assertEqual((self.table.items, self.work.upserts), ({}, 0))

    def test_a_failed_condition_without_the_marker_that_failed_it_is_unreadable(self) -> None:
        self.table.faults["TransactWriteItems"] = [cancelled("ConditionalCheckFailed", "None")]
        with self.assertRaisesRegex(Unavailable, "^TransactWriteItems: unreadable answer$"):
            self.add({"a": 1})

    def test_transactions_are_retried_until_the_deadline(self) -> None:
        for code in ("TransactionConflict", "ThrottlingError"):
            self.table.faults["TransactWriteItems"] = [cancelled("None", code)] * 10**6
            self.work.until = time.monotonic() + 0.05
            with self.assertRaisesRegex(Unavailable, "out of time"):
                self.add({"a": 1})
        self.assertGreater(self.work.write_conflicts, 0)
        self.assertGreater(self.work.throttled, 0)

    def test_any_other_reason_is_an_aws_error(self) -> None:
        self.table.faults["TransactWriteItems"] = [cancelled("None", "ValidationError")]
        with self.assertRaisesRegex(AwsError, "^TransactWriteItems: ValidationError$"):
            self.add({"a": 1})

    def test_throttling_and_outages_are_unavailable(self) -> None:
        for operation in ["TransactWriteItems", "BatchGetItem"]:
            for error in [
                refused(operation, "ThrottlingException"),
                refused(operation, "TransactionInProgressException"),
                refused(operation, "InternalServerError", 500),
                timed_out(operation),
            ]:
                self.table.faults[operation] = [error]
                with self.subTest(error=error), self.assertRaises(Unavailable):
                    self.add({"a": 1})

    def test_words_that_a_batch_left_out_are_requested_again(self) -> None:
        self.table.batch_size = 40
        words = {f"w{number}": 1 for number in range(150)}
        self.assertEqual(self.add(words), words)
        self.assertEqual((self.work.throttled, self.work.write_conflicts), (3, 0))

    def test_many_batches_are_requested_concurrently(self) -> None:
        at_once: list[int] = []
        call_each = self.table.call_each

        def counting(operation: str, parameters: Any, *rest: Any) -> Any:
            calls = list(parameters)
            if operation == "BatchGetItem":
                at_once.append(len(calls))
            return call_each(operation, calls, *rest)

        words = {f"w{number}": 1 for number in range(1_650)}
        with mock.patch.object(self.table, "call_each", counting):
            self.assertEqual(self.add(words), words)
        self.assertEqual(at_once, [16, 1])

    def test_batches_that_return_nothing_are_requested_again_until_the_deadline(self) -> None:
        self.table.batch_size = 0
        self.work.until = time.monotonic() + 0.05
        with self.assertRaisesRegex(Unavailable, "out of time$"):
            self.add({"a": 1, "b": 1})
        self.assertEqual(self.work.throttled, self.table.calls.count("BatchGetItem"))

    def test_pauses_after_throttling_grow_to_a_second_and_after_conflicts_to_160_ms(self) -> None:
        waits: list[float] = []
        ledger = DynamoDBLedger(Calls(self.table), "words", "markers")
        for code, most in [("ThrottlingError", 1.0), ("TransactionConflict", 0.16)]:
            self.table.faults["TransactWriteItems"] = [cancelled("None", code)] * 9
            with (
                mock.patch("wordtally.work.time.sleep", waits.append),
                mock.patch("wordtally.work.random.uniform", lambda low, high: high),
            ):
                ledger.write(replace(MARKER, key=code), {"a": 1}, self.work)
            self.assertEqual((waits[0], waits[1], max(waits)), (0.04, 0.08, most))
            waits.clear()

    def test_words_with_malformed_totals_are_left_out(self) -> None:
        self.table.malformed = {"b": {"N": "1.5"}, "c": None}
        self.table.items["b"] = self.table.items["c"] = 0  # the fake needs a total to add to
        self.assertEqual(self.add({"a": 1, "b": 1, "c": 1}), {"a": 1})
        self.assertEqual(self.work.malformed_items, 2)

    def test_an_unreadable_answer_is_an_outage(self) -> None:
        answers: list[Any] = [{}, {"Responses": []}, {"Responses": {"words": [{}]}}]
        self.assert_unreadable("BatchGetItem", answers, lambda: self.add({"a": 1}))
