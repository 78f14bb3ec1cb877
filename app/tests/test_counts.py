"""The words table's adapter. What it shares with moto is in contract.py."""

import threading
import time
import unittest
from typing import Any

from fakes import ClientError, EndpointConnectionError, FakeDynamoDB, ReadTimeoutError
from wordtally import aws
from wordtally.counts import WORKERS, DynamoDBCounts
from wordtally.errors import Unavailable


class Add(unittest.TestCase):
    def setUp(self) -> None:
        self.table = FakeDynamoDB()
        self.counts = DynamoDBCounts(self.table, "words")

    def test_one_upsert_per_distinct_word(self) -> None:
        self.counts.add({"a": 5, "b": 1, "c": 2})
        self.assertEqual(self.table.calls, ["UpdateItem"] * 3)

    def test_no_words_no_calls(self) -> None:
        self.assertEqual(self.counts.add({}), {})
        self.assertEqual(self.table.calls, [])

    def test_workers_run_at_the_same_time(self) -> None:
        together = threading.Barrier(WORKERS)  # breaks, and fails the test, if one has to wait

        class Meeting(FakeDynamoDB):
            def update_item(self, **arguments: Any) -> dict[str, Any]:
                together.wait(timeout=10)
                return super().update_item(**arguments)

        words = {f"w{number}": 1 for number in range(WORKERS)}
        self.assertEqual(DynamoDBCounts(Meeting(), "words").add(words), words)

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
        with self.assertRaises(Unavailable):
            DynamoDBCounts(table, "words").add({f"w{number}": 1 for number in range(1000)})
        self.assertEqual(under_way, 0)
        self.assertLess(len(table.calls), 500)


class Errors(unittest.TestCase):
    def setUp(self) -> None:
        self.table = FakeDynamoDB()
        self.counts = DynamoDBCounts(self.table, "words")

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
                self.counts.add({"a": 1})
            self.assertIs(raised.exception.__cause__, error)

    def test_the_detail_names_call_and_code(self) -> None:
        self.table.faults["Scan"] = [ClientError("Scan", "ThrottlingException")]
        with self.assertRaisesRegex(Unavailable, "^Scan: ThrottlingException$"):
            list(self.counts.scan())

    def test_other_refusals_are_errors_of_ours(self) -> None:
        self.table.faults["UpdateItem"] = [ClientError("UpdateItem", "AccessDeniedException")]
        with self.assertRaisesRegex(aws.AwsError, "^UpdateItem: AccessDeniedException$"):
            self.counts.add({"a": 1})

    def test_anything_else_passes_unchanged(self) -> None:
        self.table.faults["UpdateItem"] = [ZeroDivisionError()]
        with self.assertRaises(ZeroDivisionError):
            self.counts.add({"a": 1})
