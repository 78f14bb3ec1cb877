"""Transactions of words and markers. What they share with moto is in contract.py, and their every
schedule in test_interleavings.py."""

import time
import unittest

from fakes import ClientError, FakeDynamoDB, ReadTimeoutError, cancelled, counts_over
from wordtally import aws, once
from wordtally.errors import Unavailable
from wordtally.work import Work

MARKER = once.marker("key", "text", 0, 3600)


class Transactions(unittest.TestCase):
    def setUp(self) -> None:
        self.table = FakeDynamoDB()
        self.counts = counts_over(self.table)
        self.work = Work()

    def add(self, words: dict[str, int]) -> dict[str, int]:
        return self.counts.add(words, self.work, MARKER)

    def test_99_words_and_the_marker_a_transaction(self) -> None:
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

    def test_transactions_that_meet_on_a_word_are_tried_again(self) -> None:
        self.table.faults["TransactWriteItems"] = [
            cancelled("None", "TransactionConflict"),
            cancelled("TransactionConflict", "None"),
            cancelled("None", "ProvisionedThroughputExceeded"),
            cancelled("None", "ThrottlingError"),
            *[cancelled("None", "TransactionConflict")] * 20,
        ]
        self.assertEqual(self.add({"a": 1}), {"a": 1})
        self.assertEqual(self.work.write_conflicts, 24)

    def test_throttled_ones_as_often_as_the_sdk_tries_a_call(self) -> None:
        throttled = cancelled("None", "ThrottlingError")
        self.table.faults["TransactWriteItems"] = [throttled] * 10
        with self.assertRaisesRegex(Unavailable, "^TransactWriteItems: ThrottlingError$"):
            self.add({"a": 1})
        self.assertEqual(self.table.calls, ["TransactWriteItems"] * aws.MAX_ATTEMPTS)

    def test_for_as_long_as_there_is_time(self) -> None:
        self.table.faults["TransactWriteItems"] = [cancelled("None", "TransactionConflict")] * 99
        self.work.until = time.monotonic() - 1
        with self.assertRaisesRegex(Unavailable, "out of time"):
            self.add({"a": 1})

    def test_any_other_reason_is_an_error_of_ours(self) -> None:
        self.table.faults["TransactWriteItems"] = [cancelled("None", "ValidationError")]
        with self.assertRaisesRegex(aws.AwsError, "^TransactWriteItems: ValidationError$"):
            self.add({"a": 1})

    def test_throttling_and_outages_are_unavailable(self) -> None:
        for operation in ["TransactWriteItems", "BatchGetItem"]:
            for error in [
                ClientError(operation, "ThrottlingException"),
                ClientError(operation, "TransactionInProgressException"),
                ClientError(operation, "InternalServerError", 500),
                ReadTimeoutError(),
            ]:
                self.table.faults[operation] = [error]
                with self.subTest(error=error), self.assertRaises(Unavailable):
                    self.add({"a": 1})

    def test_words_that_a_batch_left_out_are_asked_for_again(self) -> None:
        self.table.batch_size = 40
        words = {f"w{number}": 1 for number in range(150)}
        self.assertEqual(self.add(words), words)

    def test_a_plain_upsert_gives_way_to_a_transaction_and_is_done_again(self) -> None:
        conflict = ClientError("UpdateItem", "TransactionConflictException")
        self.table.faults["UpdateItem"] = [conflict, conflict]
        self.assertEqual(self.counts.add({"a": 1}, self.work), {"a": 1})
        self.assertEqual(self.work.write_conflicts, 2)
