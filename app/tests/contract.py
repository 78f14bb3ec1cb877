"""What DynamoDB and S3 must do for the adapters, as tests: run on the fakes by test_contract.py
and on moto by tests/test_contract_on_moto.py, so that the fakes cannot lie."""

# mypy: disable-error-code="attr-defined"

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from wordtally import once
from wordtally.counts import PAGE_WORDS, DynamoDBCounts
from wordtally.errors import IdempotencyKeyReused
from wordtally.once import Marker
from wordtally.ranking import Conflict, Published, Report
from wordtally.reports import KEY, S3Reports
from wordtally.work import Work

ONE = Report((("a", 1),), 1)
TWO = Report((("a", 2),), 1)
NOW = int(time.time())
LATER = NOW + 3600
MARKER = once.marker("key", "text", NOW, LATER)


class CountsContract:
    """A TestCase beside it provides `self.counts`, over an empty table."""

    counts: DynamoDBCounts

    def everything(self) -> dict[str, int]:
        return {word: times for page in self.counts.scan(0, Work()) for word, times in page.items()}

    def add(self, words: dict[str, int]) -> dict[str, int]:
        return self.counts.add(words, Work())

    def test_add_returns_the_new_totals(self) -> None:
        self.assertEqual(self.add({"a": 2, "b": 1}), {"a": 2, "b": 1})
        self.assertEqual(self.add({"a": 3}), {"a": 5})

    def test_an_empty_table_scans_as_nothing(self) -> None:
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

    def test_adds_at_the_same_time_all_count(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.add, [{"a": 1, "b": 2, "c": 3}] * 40))
        self.assertEqual(self.everything(), {"a": 40, "b": 80, "c": 120})


class LedgerContract:
    """A TestCase beside it provides `self.counts`, over empty tables."""

    counts: DynamoDBCounts

    def add(self, marker: Marker | None, words: dict[str, int]) -> dict[str, int]:
        if marker is None:
            return self.counts.add(words, Work())
        return self.counts.add_once(marker, words, Work())

    def test_under_a_marker_words_are_added_once_and_the_totals_are_read_back(self) -> None:
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

    def test_texts_of_more_words_than_a_transaction_takes(self) -> None:
        words = {f"w{number:03}": number + 1 for number in range(250)}
        for _ in range(2):
            self.assertEqual(self.add(MARKER, words), words)

    def test_an_invalid_marker_is_replaced_although_it_is_still_there(self) -> None:
        self.add(once.marker("key", "text", 0, valid_until=1), {"a": 2})
        self.assertEqual(self.add(once.marker("key", "Text", NOW, LATER), {"a": 1}), {"a": 3})

    def test_all_chunks_are_valid_as_long_as_the_first(self) -> None:
        words = {f"w{number:03}": 1 for number in range(100)}
        first = MARKER
        self.counts._ledger.write(first, dict(list(words.items())[:99]), Work())
        self.add(replace(first, valid_until=LATER + 9_999), words)
        found = self.counts._ledger.write(replace(first, chunk=1), {"w099": 1}, Work())
        self.assertEqual(found, replace(first, chunk=1))

    def test_a_request_during_which_the_markers_become_invalid_counts_nothing_again(self) -> None:
        words = {f"w{number:03}": 1 for number in range(250)}
        self.add(replace(MARKER, asked_at=0, valid_until=1), words)
        self.assertEqual(self.add(replace(MARKER, asked_at=1), words), words)
        self.assertEqual(self.add(replace(MARKER, asked_at=2), words), dict.fromkeys(words, 2))

    def test_the_same_text_at_the_same_time_is_counted_once(self) -> None:
        words = {f"w{number:03}": 2 for number in range(120)}
        with ThreadPoolExecutor(8) as pool:
            for totals in pool.map(lambda _: self.add(MARKER, words), range(8)):
                self.assertEqual(totals, words)


class ReportsContract:
    """A TestCase beside it provides `self.reports`, over an empty bucket, and `self.bucket`, which can put an object."""

    reports: S3Reports

    def test_nothing_is_read_before_the_first_publish(self) -> None:
        self.assertEqual(self.reports.read(Work()), Published())

    def test_what_is_published_is_read(self) -> None:
        report = Report((("don't", 3), ("हिन्दी", 3), ("好", 1)), 7)
        published = self.reports.publish(report, None, Work())
        self.assertEqual(self.reports.read(Work()), published)
        self.assertEqual(published.report, report)

    def test_the_first_publish_conflicts_with_another_first(self) -> None:
        self.reports.publish(ONE, None, Work())
        with self.assertRaises(Conflict):
            self.reports.publish(TWO, None, Work())
        self.assertEqual(self.reports.read(Work()).report, ONE)

    def test_a_publish_against_the_read_etag_replaces(self) -> None:
        self.reports.publish(ONE, None, Work())
        self.reports.publish(TWO, self.reports.read(Work()).etag, Work())
        self.assertEqual(self.reports.read(Work()).report, TWO)

    def test_a_publish_against_an_older_etag_conflicts(self) -> None:
        old = self.reports.publish(ONE, None, Work()).etag
        self.reports.publish(TWO, old, Work())
        with self.assertRaises(Conflict):
            self.reports.publish(ONE, old, Work())
        self.assertEqual(self.reports.read(Work()).report, TWO)

    def test_what_this_product_did_not_write_is_no_report_but_can_be_replaced(self) -> None:
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
            self.bucket.put_object(Bucket="reports", Key=KEY, Body=body, Metadata=metadata)
            published = self.reports.read(Work())
            self.assertIsNone(published.report)
            self.assertEqual(self.reports.publish(ONE, published.etag, Work()).report, ONE)
