"""Files: announced by S3, read in blocks, counted once, tagged with the outcome."""

import gzip
import tracemalloc
import unittest
import zlib
from unittest import mock

import fixtures
from events import notification
from fakes import inbox_over, refused
from wordtally.errors import Unavailable
from wordtally.stores import lanes
from wordtally.ways_in import inbox
from wordtally.ways_in.inbox import Gone, Inbox, Refused, Upload, uploads_of
from wordtally.work import Work

TEXT = "The cat, the naïve dog — 好好 don’t!\n" * 3
COUNTED = {"the": 6, "cat": 3, "naïve": 3, "dog": 3, "好": 6, "don't": 3}


class OnFakes(fixtures.OnFakes):
    def setUp(self) -> None:
        super().setUp()
        self.inbox = self.instance()

    def instance(self, max_words: int = 1_000) -> Inbox:
        return inbox_over(self.table, self.ranking(), self.files, max_words)

    def put(self, body: bytes, key: str = "file") -> Upload:
        answer = self.files.put_object(Bucket="inbox", Key=key, Body=body, Tagging="mine=1")
        return Upload("inbox", key, answer["VersionId"], answer["ETag"])

    def tags(self, upload: Upload) -> dict[str, str]:
        return dict(self.files.versions[upload.key, upload.version_id or ""]["tags"])

    def delete(self, upload: Upload) -> None:
        self.files.delete_object(
            Bucket=upload.bucket, Key=upload.key, VersionId=upload.version_id or ""
        )

    def assert_refused(self, body: bytes, code: str) -> None:
        upload = self.put(body)
        with self.assertRaises(Refused) as raised:
            self.inbox.count(upload, Work())
        self.assertEqual(raised.exception.code, code)
        self.assertEqual(self.tags(upload), {"mine": "1", "wordtally": code})
        self.assertEqual(self.calls(), [])

    def assert_counted(self, body: bytes, counted: dict[str, int]) -> None:
        self.setUp()
        upload = self.put(body)
        self.assertEqual(self.inbox.count(upload, Work()), counted)
        self.assertEqual(self.table.items, counted)
        self.assertEqual(self.tags(upload), {"mine": "1", "wordtally": "counted"})


class Count(OnFakes):
    def test_a_file_is_counted_reported_and_tagged(self) -> None:
        self.assert_counted(TEXT.encode(), COUNTED)
        self.assertEqual(dict(self.report()), COUNTED)

    def test_a_byte_order_mark_is_no_part_of_the_text(self) -> None:
        for body in (TEXT.encode("utf-8-sig"), gzip.compress(TEXT.encode("utf-8-sig"))):
            self.assert_counted(body, COUNTED)

    def test_a_compressed_file(self) -> None:
        whole = TEXT.encode()
        self.assert_counted(gzip.compress(whole), COUNTED)
        for end in range(0, len(whole), 7):
            members = gzip.compress(whole[:end]) + gzip.compress(whole[end:])
            self.assert_counted(members, COUNTED)
        self.assert_counted(b"".join(gzip.compress(bytes([each])) for each in whole), COUNTED)

    def test_blocks_may_end_within_a_word_a_character_or_a_gzip_header(self) -> None:
        for body in (TEXT.encode(), gzip.compress(TEXT.encode()) * 2):
            times = 1 if body[:2] != b"\x1f\x8b" else 2
            expected = {word: times * n for word, n in COUNTED.items()}
            for block, text in [(2, 2), (3, 2), (7, 3), (64, 5), (1_000, 64)]:
                with (
                    self.subTest(block=block, text=text),
                    mock.patch.object(inbox, "BLOCK_BYTES", block),
                    mock.patch.object(inbox, "TEXT_BYTES", text),
                ):
                    self.assert_counted(body, expected)

    def test_a_file_is_read_in_blocks(self) -> None:
        with mock.patch.object(inbox, "BLOCK_BYTES", 64):
            self.assert_counted(b"a b " * 40, {"a": 40, "b": 40})
        self.assertEqual(self.files.calls.count("GetObject"), 3)

    def test_a_file_is_counted_once_however_often_it_is_announced(self) -> None:
        upload = self.put(b"a b")
        for instance in (self.inbox, self.inbox, self.instance()):
            self.assertEqual(instance.count(upload, Work()), {"a": 1, "b": 1})
        self.assertEqual(self.table.items, {"a": 1, "b": 1})

    def test_each_upload_is_counted_even_with_the_same_text_and_name(self) -> None:
        for upload in (self.put(b"a"), self.put(b"a"), self.put(b"a", "other")):
            self.inbox.count(upload, Work())
        self.assertEqual(self.table.items, {"a": 3})

    def test_a_retry_finishes_a_file_after_a_failure(self) -> None:
        counted = {f"w{number:03}": 1 for number in range(250)}
        for operation, client, calls in [
            ("GetObject", "files", 1),
            ("TransactWriteItems", "table", 2),  # the lane
            ("UpdateItem", "table", 250),
            ("GetObject", "bucket", 1),
            ("PutObject", "bucket", 1),
            ("GetObjectTagging", "files", 1),
            ("PutObjectTagging", "files", 1),
        ]:
            for call in range(calls):
                with self.subTest(operation=operation, call=call):
                    self.setUp()
                    upload = self.put(" ".join(counted).encode())
                    fault = refused(operation, "Broken", 503)
                    getattr(self, client).faults[operation] = [*[None] * call, fault]
                    with self.assertRaises(Unavailable):
                        self.inbox.count(upload, Work())
                    self.inbox.count(upload, Work())
                    self.assertEqual(self.table.items, counted)
                    self.assertEqual(self.tags(upload)["wordtally"], "counted")

    def test_a_deleted_file_raises_gone_and_nothing_is_written(self) -> None:
        upload = self.put(b"a")
        self.delete(upload)
        with self.assertRaises(Gone):
            self.inbox.count(upload, Work())
        self.assertEqual(self.table.calls, [])

    def test_a_file_that_is_deleted_while_it_is_counted_stays_counted(self) -> None:
        upload = self.put(b"a")

        def delete(operation: str) -> None:
            if operation == "UpdateItem":
                self.delete(upload)

        self.table.notice = delete
        self.assertEqual(self.inbox.count(upload, Work()), {"a": 1})
        self.assertEqual(self.table.items, {"a": 1})

    def test_reading_stops_at_the_deadline(self) -> None:
        with self.assertRaises(Unavailable):
            self.inbox.count(self.put(b"a"), Work(until=0))
        self.assertEqual(self.table.calls, [])


class AbandonedFiles(OnFakes):
    """After a crash, a file still holds its lane, and Lambda has stopped retrying."""

    def setUp(self) -> None:
        super().setUp()
        self.enterContext(mock.patch.object(lanes, "LANES", ["i0"]))
        self.enterContext(mock.patch.object(lanes, "LEASE_SECONDS", -9))
        self.abandoned = self.put(b"a b c")
        self.table.faults["UpdateItem"] = [None, refused("UpdateItem", "Broken", 503)]
        with self.assertRaises(Unavailable):
            self.inbox.count(self.abandoned, Work())
        self.assertEqual(self.table.items, {"a": 1})

    def test_the_next_file_that_needs_the_lane_finishes_the_abandoned_file(self) -> None:
        self.instance().count(self.put(b"a d", "next"), Work())
        self.assertEqual(self.table.items, {"a": 2, "b": 1, "c": 1, "d": 1})
        self.assertEqual(self.tags(self.abandoned)["wordtally"], "counted")
        self.inbox.count(self.abandoned, Work())
        self.assertEqual(self.table.items, {"a": 2, "b": 1, "c": 1, "d": 1})
        self.assertEqual(dict(self.report()), self.table.items)

    def test_a_deleted_file_blocks_no_lane(self) -> None:
        self.delete(self.abandoned)
        self.inbox.count(self.put(b"a d", "next"), Work())
        self.assertEqual(self.table.items, {"a": 2, "d": 1})

    def test_a_retry_of_the_abandoned_file_finishes_it(self) -> None:
        self.instance().count(self.abandoned, Work())
        self.assertEqual(self.table.items, {"a": 1, "b": 1, "c": 1})
        self.inbox.count(self.put(b"a d", "next"), Work())
        self.assertEqual(self.table.items, {"a": 2, "b": 1, "c": 1, "d": 1})


class Refusals(OnFakes):
    def test_a_file_that_is_not_utf8(self) -> None:
        late = b"good words " * 10_000
        for body in [b"\xff", "naïve".encode("latin-1"), "a".encode("utf-16"), late + b"\xc3"]:
            self.assert_refused(body, "not_utf8")
            self.assert_refused(gzip.compress(body), "not_utf8")
        self.assert_refused(b"\xed\xa0\x80", "not_utf8")  # a surrogate

    def test_a_file_without_words(self) -> None:
        for body in [b"", b" \n", b"!", b"\xef\xbb\xbf", "🎉".encode()]:
            self.assert_refused(body, "no_words")
            self.assert_refused(gzip.compress(body), "no_words")

    def test_a_word_that_is_too_long(self) -> None:
        for word in ["x" * 1_025, "é" * 513, "x" * 70_000, "x" * 300_000]:
            self.assert_refused(f"good {word} words".encode(), "word_too_long")

    def test_too_many_words(self) -> None:
        self.inbox = self.instance(max_words=3)
        self.assert_refused(b"a b c d", "too_many_words")
        self.assert_refused(b"a b c d " * 100_000, "too_many_words")
        self.assertEqual(self.files.calls.count("GetObject"), 2)
        self.inbox.count(self.put(b"a b c a b c"), Work())

    def test_a_file_that_is_too_large_is_refused_after_its_first_block(self) -> None:
        with mock.patch.object(inbox, "MAX_BYTES", 100), mock.patch.object(inbox, "BLOCK_BYTES", 9):
            self.assert_refused(b"a" * 101, "too_large")
            self.assertEqual(self.files.calls.count("GetObject"), 1)
            self.inbox.count(self.put(b"ab " * 33 + b"c"), Work())

    def test_a_small_file_that_decompresses_to_too_much_is_refused_with_little_memory(self) -> None:
        bomb = zlib.compressobj(wbits=31)
        body = bomb.compress(b"\n" * 16_000_001) + bomb.flush()
        self.assertLess(len(body), 20_000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        with mock.patch.object(inbox, "MAX_BYTES", 16_000_000):
            self.assert_refused(body, "too_large")
        self.assertLess(tracemalloc.get_traced_memory()[1], 2_000_000)

    def test_damaged_gzip(self) -> None:
        good = gzip.compress(TEXT.encode())
        for end in [2, 3, 9, 10, 11, len(good) // 2, len(good) - 1]:
            self.assert_refused(good[:end], "damaged_gzip")
            self.assert_refused(good + good[:end], "damaged_gzip")
        self.assert_refused(good + b"rubbish", "damaged_gzip")
        self.assert_refused(good[:-5] + b"\0" + good[-4:], "damaged_gzip")  # its checksum

    def test_a_refused_file_is_refused_even_if_it_is_deleted_meanwhile(self) -> None:
        self.files.faults["GetObjectTagging"] = [refused("GetObjectTagging", "NoSuchVersion", 404)]
        with self.assertRaises(Refused):
            self.inbox.count(self.put(b"!"), Work())

    def test_reason_and_upload_show_nothing_of_the_file(self) -> None:
        upload = self.put(b"secret \xff", "secret name")
        with self.assertRaises(Refused) as raised:
            self.inbox.count(upload, Work())
        self.assertNotIn("secret", f"{raised.exception!r} {upload!r}")


class Notifications(unittest.TestCase):
    def test_names_are_decoded_like_form_fields(self) -> None:
        for encoded, key in {
            "book.txt": "book.txt",
            "a+b%2Bc": "a b+c",
            "%E5%A5%BD/%C3%A9.gz": "好/é.gz",
            "100%25": "100%",
        }.items():
            (upload,) = uploads_of(notification(encoded, versionId="v1"))
            self.assertEqual(upload, Upload("inbox", key, "v1", "abc"))

    def test_without_versions_an_upload_is_identified_by_its_etag(self) -> None:
        (upload,) = uploads_of(notification("key"))
        self.assertEqual(upload, Upload("inbox", "key", None, "abc"))
