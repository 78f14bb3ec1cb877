"""The behaviour that the adapters need from AWS, as tests. test_contract.py runs them on the fakes,
tests/test_contract_on_moto.py on moto, so that the fakes cannot lie."""

import json
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest import mock

from wordtally.domain import once
from wordtally.domain.fence import Fence, next_token
from wordtally.domain.once import Marker
from wordtally.domain.ranking import Conflict, Published, Report
from wordtally.errors import IdempotencyKeyReused, Unavailable
from wordtally.stores import lanes
from wordtally.stores.checkpoints import DynamoDBCheckpoints
from wordtally.stores.counts import PAGE_WORDS, DynamoDBCounts
from wordtally.stores.files import S3Files
from wordtally.stores.lanes import LANES, DynamoDBLanes
from wordtally.stores.queues import FailureQueue, KinesisStream
from wordtally.stores.reports import KEY, S3Reports
from wordtally.ways_in.inbox import Abandoned, Gone, Upload
from wordtally.ways_in.stream import Checkpoint, Plan, Superseded
from wordtally.work import Work

ONE = Report((("a", 1),), 1)
TWO = Report((("a", 2),), 1)
NOW = int(time.time())
LATER = NOW + 3600
MARKER = once.marker("key", "text", NOW, LATER)


class Environment(unittest.TestCase):
    """The adapters, on empty tables, buckets, stream and queue. A subclass provides them in `setUp`."""

    counts: DynamoDBCounts
    reports: S3Reports
    checkpoints: DynamoDBCheckpoints
    lanes: DynamoDBLanes
    files: S3Files
    producer: KinesisStream
    failures: FailureQueue
    s3: Any
    """A client that can put objects into the bucket of the reports, and put and delete objects in
    the bucket `inbox`, which is versioned."""

    def records(self) -> list[bytes]:
        """The contents of the stream."""
        raise NotImplementedError

    def messages(self) -> list[str]:
        """The contents of the failure queue."""
        raise NotImplementedError


class CountsContract(Environment):
    def everything(self) -> dict[str, int]:
        return {word: times for page in self.counts.scan(0, Work()) for word, times in page.items()}

    def add(self, words: dict[str, int]) -> dict[str, int]:
        return self.counts.add(words, Work())

    def test_add_returns_the_new_totals(self) -> None:
        self.assertEqual(self.add({"a": 2, "b": 1}), {"a": 2, "b": 1})
        self.assertEqual(self.add({"a": 3}), {"a": 5})

    def test_a_scan_of_an_empty_table_finds_nothing(self) -> None:
        self.assertEqual(self.everything(), {})

    def test_scan_finds_every_word_whatever_its_script(self) -> None:
        words = dict.fromkeys(["don't", "हिन्दी", "好", "é", "x" * 1024], 1)
        self.add(words)
        self.assertEqual(self.everything(), words)

    def test_a_scan_in_segments_finds_every_word_once(self) -> None:
        words = {"x" * length: length for length in range(1, 60)}
        self.add(words)
        pages = list(self.counts.scan(PAGE_WORDS + 1, Work()))
        self.assertGreater(len(pages), 1)
        self.assertEqual(sum(map(len, pages)), len(words))
        self.assertEqual({word: times for page in pages for word, times in page.items()}, words)

    def test_concurrent_adds_all_count(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.add, [{"a": 1, "b": 2, "c": 3}] * 40))
        self.assertEqual(self.everything(), {"a": 40, "b": 80, "c": 120})


class FencesContract(Environment):
    def add(self, words: dict[str, int], token: int, lane: str = "lane") -> dict[str, int]:
        return self.counts.add_fenced(Fence(lane, token), words, Work())

    def test_a_lane_writes_a_set_once_and_returns_the_totals(self) -> None:
        self.assertEqual(self.add({"a": 2, "b": 1}, 5), {"a": 2, "b": 1})
        self.assertEqual(self.add({"a": 2, "b": 1, "c": 1}, 5), {"a": 2, "b": 1, "c": 1})
        self.assertEqual(self.add({"a": 2, "b": 1}, 5), {"a": 2, "b": 1})

    def test_a_larger_token_is_written_and_a_smaller_one_is_refused(self) -> None:
        self.add({"a": 1}, 9)
        self.assertEqual(self.add({"a": 1}, 10), {"a": 2})
        for late in (2, 9, 10):
            self.assertEqual(self.add({"a": 1}, late), {"a": 2})

    def test_lanes_and_unfenced_writes_do_not_affect_each_other(self) -> None:
        self.counts.add({"a": 1}, Work())
        self.assertEqual(self.add({"a": 1}, 9), {"a": 2})
        self.assertEqual(self.add({"a": 1}, 1, "other"), {"a": 3})
        self.assertEqual(self.counts.add({"a": 1}, Work()), {"a": 4})
        self.counts.add_once(MARKER, {"a": 1}, Work())
        self.assertEqual(self.add({"a": 1}, 9), {"a": 5})
        pages = self.counts.scan(0, Work())
        self.assertEqual([dict(page) for page in pages if page], [{"a": 5}])

    def test_tokens_are_milliseconds_since_1970_or_more(self) -> None:
        self.add({"a": 1}, next_token(0))
        self.assertEqual(self.add({"a": 1}, next_token(10**15)), {"a": 2})

    def test_concurrent_writes_of_a_set_add_it_once(self) -> None:
        words = {f"w{number:03}": 2 for number in range(20)}
        with ThreadPoolExecutor(8) as pool:
            for totals in pool.map(lambda _: self.add(words, 1), range(8)):
                self.assertEqual(totals, words)


class LedgerContract(Environment):
    def add(self, marker: Marker | None, words: dict[str, int]) -> dict[str, int]:
        if marker is None:
            return self.counts.add(words, Work())
        return self.counts.add_once(marker, words, Work())

    def test_with_a_marker_words_are_added_once_and_the_totals_are_returned(self) -> None:
        self.assertEqual(self.add(MARKER, {"a": 2, "b": 1}), {"a": 2, "b": 1})
        self.assertEqual(self.add(None, {"a": 5}), {"a": 7})
        self.assertEqual(self.add(MARKER, {"a": 2, "b": 1}), {"a": 7, "b": 1})

    def test_another_key_is_another_request(self) -> None:
        for key in ("key", "Key"):
            self.add(once.marker(key, "text", NOW, LATER), {"a": 2})
        self.assertEqual(self.add(None, {"a": 1}), {"a": 5})

    def test_equal_keys_of_different_api_keys_are_different_keys(self) -> None:
        for api_key in ("", "one", "other"):
            self.add(once.marker("key", f"text {api_key}", NOW, LATER, api_key), {"a": 2})
        self.assertEqual(self.add(None, {"a": 1}), {"a": 7})

    def test_another_text_under_the_key_is_refused_and_adds_nothing(self) -> None:
        self.add(MARKER, {"a": 2})
        with self.assertRaises(IdempotencyKeyReused):
            self.add(once.marker("key", "Text", NOW, LATER), {"a": 1, "b": 1})
        self.assertEqual(self.add(None, {"a": 1, "b": 1}), {"a": 3, "b": 1})

    def test_a_text_of_more_words_than_a_transaction_allows(self) -> None:
        words = {f"w{number:03}": number + 1 for number in range(250)}
        for _ in range(2):
            self.assertEqual(self.add(MARKER, words), words)

    def test_an_invalid_marker_is_replaced_before_it_is_deleted(self) -> None:
        self.add(once.marker("key", "text", 0, valid_until=1), {"a": 2})
        self.assertEqual(self.add(once.marker("key", "Text", NOW, LATER), {"a": 1}), {"a": 3})

    def test_all_chunks_are_valid_as_long_as_the_first(self) -> None:
        words = {f"w{number:03}": 1 for number in range(100)}
        first = MARKER
        self.counts._ledger.write(first, dict(list(words.items())[:99]), Work())
        self.add(replace(first, valid_until=LATER + 9_999), words)
        found = self.counts._ledger.write(replace(first, chunk=1), {"w099": 1}, Work())
        self.assertEqual(found, replace(first, chunk=1))

    def test_markers_that_become_invalid_during_a_request_still_prevent_double_counting(
        self,
    ) -> None:
        words = {f"w{number:03}": 1 for number in range(250)}
        self.add(replace(MARKER, asked_at=0, valid_until=1), words)
        self.assertEqual(self.add(replace(MARKER, asked_at=1), words), words)
        self.assertEqual(self.add(replace(MARKER, asked_at=2), words), dict.fromkeys(words, 2))

    def test_concurrent_requests_with_the_same_text_count_it_once(self) -> None:
        words = {f"w{number:03}": 2 for number in range(120)}
        with ThreadPoolExecutor(8) as pool:
            for totals in pool.map(lambda _: self.add(MARKER, words), range(8)):
                self.assertEqual(totals, words)


class ReportsContract(Environment):
    def test_there_is_no_report_before_the_first_publish(self) -> None:
        self.assertEqual(self.reports.read(Work()), Published())

    def test_a_published_report_can_be_read(self) -> None:
        """The reader finds the same version of the object, as the bucket is versioned."""
        report = Report((("don't", 3), ("हिन्दी", 3), ("好", 1)), 7)
        published = self.reports.publish(report, None, Work())
        self.assertIsNotNone(published.version_id)
        self.assertEqual(self.reports.read(Work()), published)
        self.assertEqual(published.report, report)

    def test_a_first_publish_conflicts_with_another_first_publish(self) -> None:
        self.reports.publish(ONE, None, Work())
        with self.assertRaises(Conflict):
            self.reports.publish(TWO, None, Work())
        self.assertEqual(self.reports.read(Work()).report, ONE)

    def test_a_publish_replaces_the_report_with_the_current_etag_only(self) -> None:
        old = self.reports.publish(ONE, None, Work()).etag
        self.reports.publish(TWO, old, Work())
        with self.assertRaises(Conflict):
            self.reports.publish(ONE, old, Work())
        self.assertEqual(self.reports.read(Work()).report, TWO)

    def test_an_object_of_another_program_is_no_report_but_can_be_replaced(self) -> None:
        good = b'{"top10words": [{"word": "a", "times": 1}]}'
        for body, metadata in [
            (b"", {}),
            (b"[" * 100_000, {"words-in-table": "1"}),
            (b'{"top10words": 5}', {"words-in-table": "1"}),
            (good, {}),
            (good, {"words-in-table": "many"}),
            (good.replace(b"1}", b"1e999}"), {"words-in-table": "1"}),
            (good.replace(b"1}", b"Infinity}"), {"words-in-table": "1"}),
            (good.replace(b'"a"', rb'"\ud800"'), {"words-in-table": "1"}),
            (good.replace(b"1}", b'1, "more": 2}'), {"words-in-table": "1"}),
        ]:
            self.s3.put_object(Bucket="reports", Key=KEY, Body=body, Metadata=metadata)
            published = self.reports.read(Work())
            self.assertIsNone(published.report)
            self.assertEqual(self.reports.publish(ONE, published.etag, Work()).report, ONE)


class CheckpointsContract(Environment):
    PLAN = Plan("04", {"b": 2, "a": 1, "हिन्दी": 1}, 7)

    def read(self, shard: str = "shard") -> Checkpoint:
        return self.checkpoints.read(shard, Work())

    def propose(self, done: str, plan: Plan, shard: str = "shard") -> None:
        self.checkpoints.propose(shard, done, plan, Work())

    def finish(self, plan: Plan, shard: str = "shard") -> None:
        self.checkpoints.finish(shard, plan, Work())

    def test_before_the_first_plan_the_checkpoint_is_empty(self) -> None:
        self.assertEqual(self.read(), Checkpoint())

    def test_a_plan_is_read_as_it_was_recorded_with_its_words_in_order(self) -> None:
        self.propose("", self.PLAN)
        self.assertEqual(self.read(), Checkpoint("", self.PLAN, 7))
        plan = self.read().plan
        self.assertEqual(list(plan.words) if plan else [], list(self.PLAN.words))

    def test_a_finished_plan_moves_the_checkpoint_and_the_next_one_begins_there(self) -> None:
        self.propose("", self.PLAN)
        self.finish(self.PLAN)
        self.assertEqual(self.read(), Checkpoint("04", None, 7))
        after = Plan("05", {}, 8)
        self.propose("04", after)
        self.assertEqual(self.read(), Checkpoint("04", after, 8))

    def test_a_plan_is_recorded_only_at_its_checkpoint_and_if_there_is_no_other(self) -> None:
        self.propose("", self.PLAN)
        for done in ("", "03", "04"):
            with self.assertRaises(Superseded):
                self.propose(done, Plan("05", {"c": 1}, 8))
        self.assertEqual(self.read(), Checkpoint("", self.PLAN, 7))
        self.finish(self.PLAN)
        for done in ("", "03", "05"):
            with self.assertRaises(Superseded):
                self.propose(done, Plan("05", {"c": 1}, 8))
        self.assertEqual(self.read(), Checkpoint("04", None, 7))

    def test_only_the_recorded_plan_can_be_finished(self) -> None:
        with self.assertRaises(Superseded):
            self.finish(self.PLAN)
        self.propose("", self.PLAN)
        with self.assertRaises(Superseded):
            self.finish(Plan("05", {}, 8))
        self.finish(self.PLAN)
        with self.assertRaises(Superseded):
            self.finish(self.PLAN)
        self.assertEqual(self.read(), Checkpoint("04", None, 7))

    def test_each_shard_has_its_own_checkpoint(self) -> None:
        self.propose("", self.PLAN)
        self.assertEqual(self.read("other"), Checkpoint())
        self.propose("", Plan("02", {}, 8), "other")
        self.assertEqual(self.read(), Checkpoint("", self.PLAN, 7))

    def test_of_many_concurrent_plans_one_is_recorded(self) -> None:
        def propose(number: int) -> bool:
            try:
                self.propose("", Plan(f"{number:02}", {"a": number}, 7))
            except Superseded:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            recorded = list(pool.map(propose, range(8)))
        self.assertEqual(sum(recorded), 1)
        number = recorded.index(True)
        self.assertEqual(self.read(), Checkpoint("", Plan(f"{number:02}", {"a": number}, 7), 7))


class LanesContract(Environment):
    def take(self, upload: Upload) -> Fence | None:
        return self.lanes.take(upload, Work())

    def test_a_file_holds_its_lane_until_it_releases_it(self) -> None:
        upload = Upload("inbox", "name é", "v1", "etag")
        fence = self.take(upload)
        assert fence
        self.assertEqual(self.take(upload), fence)
        self.lanes.release(upload, fence, Work())
        self.assertIsNone(self.take(upload))
        self.lanes.release(upload, fence, Work())
        self.assertIsNone(self.take(upload))

    def test_a_lane_is_held_by_one_file_and_its_tokens_grow(self) -> None:
        last: dict[str, int] = {}
        for number in range(3 * len(LANES)):
            upload = Upload("inbox", f"file {number}", "v1")
            fence = self.take(upload)
            assert fence
            self.assertGreater(fence.token, last.get(fence.lane, 0))
            last[fence.lane] = fence.token
            self.lanes.release(upload, fence, Work())
        together = [self.take(Upload("inbox", f"file {n}", "v2")) for n in range(len(LANES))]
        self.assertEqual({fence.lane for fence in together if fence}, set(LANES))

    def test_each_version_is_a_separate_file(self) -> None:
        uploads = [
            Upload("inbox", "key", "v1", "abc"),
            Upload("inbox", "key", "v2", "abc"),
            Upload("other", "key", "v1", "abc"),
            Upload("inbox", "other", "v1", "abc"),
            Upload("inbox", "key", None, "abc"),
            Upload("inbox", "key", None, "def"),
        ]
        self.assertEqual(len({self.take(upload) for upload in uploads}), len(uploads))

    def test_a_file_waits_while_all_lanes_are_held(self) -> None:
        held = [Upload("inbox", f"file {number}", "v1") for number in range(len(LANES))]
        fences = [self.take(upload) for upload in held]
        late = Upload("inbox", "late", "v1")
        with self.assertRaises(Unavailable):
            self.lanes.take(late, Work(time.monotonic() + 0.3))
        assert fences[3]
        self.lanes.release(held[3], fences[3], Work())
        found = self.take(late)
        self.assertEqual(found and found.lane, fences[3].lane)

    def test_a_file_that_has_held_the_last_lane_for_too_long_is_abandoned(self) -> None:
        with mock.patch.object(lanes, "LEASE_SECONDS", -9):
            self.take(Upload("inbox", "crashed", "v1", "etag"))
        for number in range(len(LANES) - 1):
            self.assertIsNotNone(self.take(Upload("inbox", f"file {number}", "v1")))
        with self.assertRaises(Abandoned) as raised:
            self.take(Upload("inbox", "late", "v1"))
        self.assertEqual(raised.exception.upload, Upload("inbox", "crashed", "v1", "etag"))

    def test_an_instance_whose_clock_is_behind_can_take_a_lane(self) -> None:
        ahead = Upload("inbox", "ahead", "v1")
        with (
            mock.patch.object(lanes, "LANES", ["i0"]),
            mock.patch("wordtally.domain.fence.time.time", return_value=10.0**10),
        ):
            first = self.take(ahead)
            assert first
            self.lanes.release(ahead, first, Work())
        with mock.patch.object(lanes, "LANES", ["i0"]):
            second = self.take(Upload("inbox", "behind", "v1"))
        self.assertEqual(second, replace(first, token=first.token + 1))

    def test_concurrent_files_hold_different_lanes(self) -> None:
        uploads = [Upload("inbox", f"file {number}", "v1") for number in range(len(LANES))]
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(self.take, uploads))
        self.assertEqual(len({fence.lane for fence in taken if fence}), len(LANES))

    def test_concurrent_notifications_of_a_file_hold_one_lane(self) -> None:
        upload = Upload("inbox", "key", "v1")
        with ThreadPoolExecutor(8) as pool:
            self.assertEqual(len(set(pool.map(self.take, [upload] * 8))), 1)


class FilesContract(Environment):
    def put(self, body: bytes, key: str = "a file+é&<.txt", **more: str) -> Upload:
        answer = self.s3.put_object(Bucket="inbox", Key=key, Body=body, **more)
        return Upload("inbox", key, answer["VersionId"], answer["ETag"])

    def tags(self, upload: Upload) -> dict[str, str]:
        where = {"Bucket": "inbox", "Key": upload.key, "VersionId": upload.version_id}
        return {tag["Key"]: tag["Value"] for tag in self.s3.get_object_tagging(**where)["TagSet"]}

    def test_a_range_comes_with_the_size_of_the_file(self) -> None:
        upload = self.put(bytes(range(10)))
        for start, size in [(0, 4), (4, 4), (8, 4), (0, 10), (0, 100), (9, 1)]:
            expected = bytes(range(10))[start : start + size], 10
            self.assertEqual(self.files.read(upload, start, size, Work()), expected)

    def test_an_empty_file_has_no_bytes(self) -> None:
        self.assertEqual(self.files.read(self.put(b""), 0, 4, Work()), (b"", 0))

    def test_the_announced_version_is_read_even_after_a_newer_upload(self) -> None:
        old = self.put(b"old")
        new = self.put(b"newer")
        self.assertEqual(self.files.read(old, 0, 9, Work()), (b"old", 3))
        self.assertEqual(self.files.read(new, 0, 9, Work()), (b"newer", 5))
        latest = Upload("inbox", old.key)
        self.assertEqual(self.files.read(latest, 0, 9, Work()), (b"newer", 5))

    def test_the_outcome_is_a_tag_and_the_other_tags_stay(self) -> None:
        upload = self.put(b"a", Tagging="mine=1&a%3Ab=c+%3D+d%2F%40")
        for outcome in ("no_words", "counted"):
            self.files.tag(upload, outcome, Work())
            expected = {"mine": "1", "a:b": "c = d/@", "wordtally": outcome}
            self.assertEqual(self.tags(upload), expected)

    def test_each_version_has_its_own_tag(self) -> None:
        old, new = self.put(b"old"), self.put(b"new")
        self.files.tag(old, "counted", Work())
        self.assertEqual((self.tags(old), self.tags(new)), ({"wordtally": "counted"}, {}))

    def test_a_deleted_file_raises_gone(self) -> None:
        upload = self.put(b"a")
        self.s3.delete_object(Bucket="inbox", Key=upload.key, VersionId=upload.version_id)
        with self.assertRaises(Gone):
            self.files.read(upload, 0, 4, Work())
        with self.assertRaises(Gone):
            self.files.tag(upload, "counted", Work())
        with self.assertRaises(Gone):
            self.files.read(Upload("inbox", "never"), 0, 4, Work())


class QueuesContract(Environment):
    def test_a_record_arrives_as_it_was_appended(self) -> None:
        sent = ['{"words":{"é":1}}'.encode(), bytes(range(256))]
        for record in sent:
            self.producer.append(record, Work())
        self.assertEqual(sorted(self.records()), sorted(sent))

    def test_a_record_that_is_set_aside_is_reported_and_counted(self) -> None:
        work = Work()
        self.failures("arn:aws:kinesis:stream/texts\nshardId-1", "0" * 40 + "49", "not_utf8", work)
        self.assertEqual(work.set_aside, 1)
        (message,) = self.messages()
        expected = {
            "stream": "arn:aws:kinesis:stream/texts",
            "shard": "shardId-1",
            "sequence": "49",
            "reason": "not_utf8",
        }
        self.assertEqual(json.loads(message), expected)


CONTRACTS = [
    CountsContract,
    FencesContract,
    LedgerContract,
    ReportsContract,
    CheckpointsContract,
    LanesContract,
    FilesContract,
    QueuesContract,
]


def cases(environment: type[Environment]) -> dict[str, type[unittest.TestCase]]:
    """A TestCase for each contract in an environment, by name."""
    found: dict[str, type[unittest.TestCase]] = {}
    for contract in CONTRACTS:
        name = f"{contract.__name__}{environment.__name__}"
        found[name] = type(name, (contract, environment), {"__module__": environment.__module__})
    return found
