"""The order of the report, and the calls of one request. test_interleavings.py tests concurrent
requests."""

import json
import threading
import unittest
from collections.abc import Iterator
from typing import Any
from unittest import mock

from fakes import FakeDynamoDB, FakeS3, counts_over, refused, reports_over, timed_out
from fixtures import OnFakes
from wordtally.domain import ranking
from wordtally.domain.ranking import Ranking, Report
from wordtally.errors import Unavailable
from wordtally.stores.reports import KEY
from wordtally.work import Work


class Top(unittest.TestCase):
    def test_most_frequent_first_ties_in_code_point_order(self) -> None:
        totals = [("b", 1), ("é", 1), ("a", 1), ("z", 1), ("c", 2)]
        self.assertEqual(ranking.top(totals), (("c", 2), ("a", 1), ("b", 1), ("z", 1), ("é", 1)))

    def test_at_most_ten_and_the_tenth_by_code_point(self) -> None:
        totals = [(chr(code), 1) for code in range(ord("z"), ord("a") - 1, -1)]
        self.assertEqual("".join(word for word, _ in ranking.top(totals)), "abcdefghij")

    def test_memory_does_not_grow_with_the_table(self) -> None:
        alive = 0
        most = 0

        class Word(str):
            def __new__(cls, value: str) -> "Word":
                nonlocal alive, most
                alive += 1
                most = max(most, alive)
                return super().__new__(cls, value)

            def __del__(self) -> None:
                nonlocal alive
                alive -= 1

        def table() -> Iterator[tuple[str, int]]:
            for number in range(5_000):
                yield Word(number), number % 97

        self.assertEqual(len(ranking.top(table())), ranking.TOP)
        self.assertLess(most, 3 * ranking.TOP)


class Merge(unittest.TestCase):
    def test_takes_the_larger_total_of_each_word(self) -> None:
        merged = ranking.merge([("a", 5), ("b", 1)], {"b": 3, "a": 2, "c": 1})
        self.assertEqual(dict(merged), {"a": 5, "b": 3, "c": 1})


class Requests(OnFakes):
    def setUp(self) -> None:
        super().setUp()
        self.work = Work()

    def tally(
        self, words: dict[str, int], scan_up_to_words: int = 0, instance: Ranking | None = None
    ) -> Report:
        """By default, by an instance that has not served a request yet."""
        self.work = Work()
        report = (instance or self.ranking(scan_up_to_words)).tally(words, self.work).report
        assert report
        return report

    def calls_of(
        self, words: dict[str, int], scan_up_to_words: int = 0, instance: Ranking | None = None
    ) -> list[str]:
        self.forget_calls()
        self.tally(words, scan_up_to_words, instance)
        return self.calls()


class Tally(Requests):
    def test_the_first_request_scans_and_publishes(self) -> None:
        self.table.items = {"old": 7, "k": 1}
        report = self.tally({"k": 2, "l": 1})
        self.assertEqual(report, Report((("old", 7), ("k", 3), ("l", 1)), words_in_table=3))
        self.assertEqual(self.work, Work(upserts=2, scanned_pages=1, publishes=1))

    def test_a_later_request_makes_its_adds_one_get_and_one_put(self) -> None:
        self.table.items = {f"w{number}": 1 for number in range(100)}
        self.tally({"k": 2})
        self.assertEqual(
            self.calls_of({"k": 1, "l": 9}), ["UpdateItem", "UpdateItem", "GetObject", "PutObject"]
        )

    def test_deleting_the_report_rebuilds_it_from_the_table(self) -> None:
        self.tally({"k": 2})
        del self.bucket.objects[KEY]
        self.table.items["elsewhere"] = 5
        self.assertEqual(self.tally({"l": 1}).top, (("elsewhere", 5), ("k", 2), ("l", 1)))

    def test_an_unreadable_report_is_rebuilt_from_the_table(self) -> None:
        self.tally({"k": 2})
        self.bucket.objects[KEY]["Body"] = b"{"
        self.assertEqual(self.tally({"l": 1}).top, (("k", 2), ("l", 1)))

    def test_a_small_table_is_scanned_up_to_the_limit(self) -> None:
        self.tally({"a": 1, "b": 1, "c": 1})
        self.assertNotIn("Scan", self.calls_of({"a": 1}, scan_up_to_words=2))
        self.assertIn("Scan", self.calls_of({"a": 1}, scan_up_to_words=3))

    def test_zero_never_scans_while_there_is_a_report(self) -> None:
        self.tally({"a": 1})
        self.assertNotIn("Scan", self.calls_of({"a": 1}, scan_up_to_words=0))

    def test_a_table_that_outgrows_the_limit_below_the_top_ten_is_not_scanned_forever(self) -> None:
        self.tally({f"frequent{number}": 9 for number in range(10)}, scan_up_to_words=12)
        self.tally({f"rare{number}": 1 for number in range(5)}, scan_up_to_words=12)
        self.assertNotIn("Scan", self.calls_of({"rare9": 1}, scan_up_to_words=12))

    def test_a_request_that_changes_nothing_at_the_top_writes_no_report(self) -> None:
        self.tally({f"frequent{number}": 9 for number in range(10)})
        self.assertEqual(self.calls_of({"rare": 1}), ["UpdateItem", "GetObject"])
        self.assertEqual(self.work.publishes, 0)

    def test_after_a_conflict_it_merges_with_what_the_other_published(self) -> None:
        self.tally({"k": 1})
        self.bucket.faults["PutObject"] = [refused("PutObject", "PreconditionFailed", 412)]
        calls = self.calls_of({"k": 1}, scan_up_to_words=10)
        self.assertEqual(calls.count("Scan"), 1, "only the first attempt scans")
        self.assertEqual(calls.count("PutObject"), 2)
        self.assertEqual(self.work, Work(upserts=1, scanned_pages=1, conflicts=1, publishes=1))

    def test_concurrent_conditional_writes_and_deletions_are_conflicts_too(self) -> None:
        self.tally({"k": 1})
        for code, status in [("ConditionalRequestConflict", 409), ("NoSuchKey", 404)]:
            self.bucket.faults["PutObject"] = [refused("PutObject", code, status)]
            self.tally({"k": 1})
            self.assertEqual(self.work.conflicts, 1)

    def test_it_gives_up_after_too_many_conflicts(self) -> None:
        lost = refused("PutObject", "PreconditionFailed", 412)
        self.bucket.faults["PutObject"] = [lost] * ranking.MAX_CONFLICTS
        with self.assertRaises(Unavailable):
            self.tally({"k": 1})

    def test_it_waits_longer_after_each_conflict_up_to_160_ms(self) -> None:
        lost = refused("PutObject", "PreconditionFailed", 412)
        self.bucket.faults["PutObject"] = [lost] * 6
        with (
            mock.patch("wordtally.work.time.sleep") as sleep,
            mock.patch("wordtally.work.random.uniform", side_effect=lambda low, high: high),
        ):
            Ranking(counts_over(self.table), reports_over(self.bucket), 0).tally(
                {"k": 1}, self.work
            )
        waits = [round(call.args[0] * 1000) for call in sleep.call_args_list]
        self.assertEqual(waits, [40, 80, 160, 160, 160, 160])

    def test_nothing_begins_after_the_deadline(self) -> None:
        self.tally({"k": 1})

        class Late(FakeDynamoDB):
            def update_item(self, **arguments: Any) -> dict[str, Any]:
                work.until = 0
                return super().update_item(**arguments)

        self.table, work = Late(), Work()
        with self.assertRaisesRegex(Unavailable, "out of time"):
            self.ranking().tally({"k": 1}, work)
        self.assertEqual(work.publishes, 0)

    def test_neither_a_publish_nor_a_read_begins_after_the_deadline(self) -> None:
        for late, calls in [("Scan", ["GetObject"]), ("PutObject", ["GetObject", "PutObject"])]:
            work = Work()
            table, bucket = FakeDynamoDB(), FakeS3()

            def called(operation: str, late: str = late, work: Work = work) -> None:
                if operation == late:
                    work.until = 0

            table.notice = bucket.notice = called
            bucket.faults["PutObject"] = [refused("PutObject", "PreconditionFailed", 412)]
            instance = Ranking(counts_over(table), reports_over(bucket), 0)
            with self.assertRaisesRegex(Unavailable, "out of time"):
                instance.tally({"k": 1}, work)
            self.assertEqual(bucket.calls, calls)

    def test_the_read_and_the_upserts_are_concurrent(self) -> None:
        self.tally({"k": 1})
        together = threading.Barrier(2)  # breaks unless the calls are concurrent

        class MeetingTable(FakeDynamoDB):
            def update_item(self, **arguments: Any) -> dict[str, Any]:
                together.wait(timeout=10)
                return super().update_item(**arguments)

        class MeetingBucket(FakeS3):
            def get_object(self, **arguments: Any) -> dict[str, Any]:
                together.wait(timeout=10)
                return super().get_object(**arguments)

        self.table, self.bucket = MeetingTable(), MeetingBucket()
        self.tally({"k": 1})

    def test_a_failed_read_waits_for_the_upserts_and_vice_versa(self) -> None:
        self.tally({"k": 1})
        for client, operation in [(self.table, "UpdateItem"), (self.bucket, "GetObject")]:
            client.faults[operation] = [refused(operation, "Throttling")]
            with self.assertRaisesRegex(Unavailable, operation):
                self.tally({"k": 1})
        self.assertEqual(self.table.items, {"k": 2}, "the second request's upsert took effect")


class Memory(Requests):
    """While only one instance publishes, it need not read its own report again."""

    def setUp(self) -> None:
        super().setUp()
        self.one = self.ranking()
        self.other = self.ranking()

    def test_an_instance_reads_until_it_has_found_its_own_report_unchanged(self) -> None:
        self.tally({"k": 1}, instance=self.one)
        self.assertIn("GetObject", self.calls_of({"k": 1}, instance=self.one))
        for _ in range(3):
            self.assertEqual(
                self.calls_of({"k": 1}, instance=self.one), ["UpdateItem", "PutObject"]
            )

    def test_instances_that_take_turns_read_and_have_no_conflict(self) -> None:
        conflicts = 0
        for _ in range(5):
            for instance in (self.one, self.other):
                self.tally({"k": 1}, instance=instance)
                conflicts += self.work.conflicts
        self.assertEqual(conflicts, 0)

    def test_a_publish_by_another_instance_costs_one_conflict_and_never_a_count(self) -> None:
        for _ in range(3):
            self.tally({"k": 1}, instance=self.one)
        self.tally({"l": 2}, instance=self.other)
        self.assertEqual(self.tally({"k": 1}, instance=self.one).top, (("k", 4), ("l", 2)))
        self.assertEqual(self.work.conflicts, 1)
        self.tally({"l": 2}, instance=self.other)
        self.tally({"k": 1}, instance=self.one)
        self.assertEqual(self.work.conflicts, 0, "it reads again while others publish")

    def test_returns_no_url_of_a_report_that_it_has_not_read(self) -> None:
        frequent = {f"frequent{number}": 9 for number in range(10)}
        for _ in range(3):
            self.tally(frequent, instance=self.one)
        self.assertEqual(
            self.calls_of({"rare": 1}, instance=self.one), ["UpdateItem", "GetObject"], "unchanged"
        )
        del self.bucket.objects[KEY]
        self.tally({"rare": 1}, instance=self.one)
        self.assertIn(KEY, self.bucket.objects)

    def test_a_deleted_report_is_rebuilt_from_the_table_despite_the_memory(self) -> None:
        for _ in range(3):
            self.tally({"k": 1}, instance=self.one)
        del self.bucket.objects[KEY]
        self.table.items["elsewhere"] = 9
        report = self.tally({"k": 1}, instance=self.one)
        self.assertEqual(report.top, (("elsewhere", 9), ("k", 4)))

    def test_totals_that_were_deleted_from_the_table_do_not_return_from_memory(self) -> None:
        for _ in range(3):
            self.tally({"deleted": 9, "restored": 4}, instance=self.one)
        del self.table.items["deleted"], self.bucket.objects[KEY]
        self.table.items["restored"] = 5
        self.other.reconcile(Work())
        report = self.tally({"k": 1}, instance=self.one)
        self.assertEqual(report.top, (("restored", 5), ("k", 1)))

    def test_a_request_that_scans_need_not_read_its_own_report_either(self) -> None:
        small = self.ranking(scan_up_to_words=100)
        for _ in range(3):
            self.tally({"k": 1}, instance=small)
        self.table.items["crashed"] = 9
        self.assertEqual(
            self.calls_of({"k": 1}, instance=small), ["UpdateItem", "Scan", "PutObject"]
        )
        self.assertEqual(json.loads(self.bucket.objects[KEY]["Body"])["top10words"][0]["times"], 9)

    def test_after_a_failure_it_reads_again_and_misses_nothing(self) -> None:
        for client, operation, word, times in [
            (self.table, "UpdateItem", "upserted", 4),
            (self.bucket, "PutObject", "published", 5),
        ]:
            for _ in range(3):
                self.tally({word: 1}, instance=self.one)
            client.faults[operation] = [timed_out(operation)]
            with self.assertRaises(Unavailable):
                self.tally({word: 1}, instance=self.one)
            self.assertIn("GetObject", self.calls_of({word: 1}, instance=self.one), operation)
            self.assertIn((word, times), self.tally({"other": 1}, instance=self.one).top)
