"""The stream: valid records, and batches that are counted once, on fakes. tests/test_stream_protocol.py
searches every schedule."""

import json
import unittest
from unittest import mock

import events
from fakes import refused, stream_over
from fixtures import OnFakes
from wordtally.domain import once, words
from wordtally.errors import Rejected, Unavailable
from wordtally.stores.checkpoints import DynamoDBCheckpoints
from wordtally.ways_in import stream
from wordtally.ways_in.stream import Malformed, Plan, Record, decode, encode, total
from wordtally.work import Work

MARKER = once.marker("key", "text", asked_at=1_000, valid_until=4_600)
LONGEST_LIFE = 8_760 * 3_600


def lines(*documents: object) -> bytes:
    return "\n".join(json.dumps(document, ensure_ascii=False) for document in documents).encode()


def marked(*marker: object) -> bytes:
    return lines({"words": {"a": 1}, "marker": marker})


class Decode(unittest.TestCase):
    def assert_malformed(self, data: bytes, code: str) -> None:
        with self.subTest(data=data[:60]):
            with self.assertRaises((Malformed, Rejected)) as raised:
                decode(data)
            error = raised.exception
            self.assertEqual(error.code if isinstance(error, Rejected) else str(error), code)

    def test_a_producers_text(self) -> None:
        for data in [
            b'{"parameter": "The cat, the dog"}',
            b'\xef\xbb\xbf{"parameter": "The cat, the dog"}\r\n',
            b'\n {"other": [1e999], "parameter": "The cat, the dog"} \n\n',
        ]:
            self.assertEqual(decode(data), ({"the": 2, "cat": 1, "dog": 1}, None))

    def test_several_texts_one_per_line(self) -> None:
        data = lines({"parameter": "a b"}, {"parameter": "b\nc"})
        self.assertEqual(decode(data), ({"a": 1, "b": 2, "c": 1}, None))

    def test_it_is_the_inverse_of_encode(self) -> None:
        for counted in [{"b": 2, "a": 1}, {"don't": 1, "हिन्दी": 3, "\U00020000": 1}]:
            for marker in (None, MARKER):
                found, found_marker = decode(encode(counted, marker))
                self.assertEqual(list(found.items()), list(counted.items()))
                self.assertEqual(found_marker, marker)

    def test_a_record_has_the_words_and_not_the_text(self) -> None:
        record = encode({"world": 1, "hello": 2}, None)
        self.assertEqual(record, b'{"words":{"world":1,"hello":2}}')

    def test_every_text_that_can_be_posted_fits(self) -> None:
        ideographs = "".join(map(chr, range(0x20000, 0x20000 + 10_000)))
        # U+FDFA is 18 characters in NFKC, and joins the letters beside it.
        scripts = [*range(0x12000, 0x1239A), *range(0x13000, 0x1342F), *range(0x14400, 0x14647)]
        scripts += [*range(0x16800, 0x16A39), *range(0x10600, 0x10737), *range(0xAC00, 0xB700)]
        expanding = "".join(f"{chr(code)}\ufdfa" for code in scripts[:5_000])
        for text in (ideographs, expanding):
            counted = words.count(text)
            self.assertEqual(decode(encode(counted, None)), (counted, None))
            self.assertEqual(decode(encode(counted, MARKER)), (counted, MARKER))

    def test_data_that_is_not_json(self) -> None:
        self.assert_malformed(b"\xff", "not_utf8")
        self.assert_malformed(b"\xf3\x89\x9a\xc2 aggregated by the KPL", "not_utf8")
        for data in [b"", b"\n \n", b"hello", b'{"parameter": "a"', b'{"parameter": NaN}']:
            self.assert_malformed(data, "invalid_json")
        self.assert_malformed(b"[" * 100_000, "invalid_json")
        self.assert_malformed(b'{"parameter": "a"}\nrubbish', "invalid_json")

    def test_texts_that_post_would_reject(self) -> None:
        for document, code in [
            (["a"], "invalid_request"),
            ({}, "missing_parameter"),
            ({"parameter": 5}, "parameter_not_a_string"),
            ({"parameter": " "}, "empty_parameter"),
            ({"parameter": "!"}, "no_words"),
            ({"parameter": "a" * 1_025}, "word_too_long"),
            ({"parameter": "a " * 5_001}, "parameter_too_long"),
        ]:
            self.assert_malformed(lines(document), code)
            self.assert_malformed(lines({"parameter": "good"}, document), code)

    def test_words_that_post_cannot_have_written(self) -> None:
        unlike: list[object] = [
            {},
            [],
            "a",
            None,
            {"a": 0},
            {"a": -1},
            {"a": 1.0},
            {"a": True},
            {"a": "1"},
            {"a": None},
            {"A": 1},
            {"a b": 1},
            {"": 1},
            {"!": 1},
            {"\ud800": 1},
        ]
        for counted in unlike:
            self.assert_malformed(json.dumps({"words": counted}).encode(), "invalid_words")
        self.assert_malformed(lines({"words": {"a" * 1_025: 1}}), "word_too_long")

    def test_numbers_that_dynamodb_would_refuse(self) -> None:
        for times in (10**12, 10**38, 10**4_000):
            self.assert_malformed(lines({"words": {"a": times}}), "invalid_words")

    def test_markers_that_post_cannot_have_written(self) -> None:
        key, digest = MARKER.key, MARKER.digest
        unlike: list[list[object]] = [
            [],
            [key, digest, 4_600],
            [key, digest, 4_600, 1_000, 0],
            ["", digest, 4_600, 1_000],
            ["k" * 3_000, digest, 4_600, 1_000],
            [key.upper(), digest, 4_600, 1_000],
            [key, None, 4_600, 1_000],
            [key, digest, "4600", 1_000],
            [key, digest, 4_600, 1_000.0],
            [key, digest, True, False],
            [key, digest, 10**40, 1_000],
            [key, digest, 10**40, 10**40 - 1],
            [key, digest, 1_000 + LONGEST_LIFE + 1, 1_000],
            # Invalid from the start: each retry would count the text again.
            [key, digest, 999, 1_000],
            [key, digest, 0, -1],
        ]
        for marker in unlike:
            self.assert_malformed(marked(*marker), "invalid_marker")
        for other in (5, "abcd", {"key": key}):
            self.assert_malformed(lines({"words": {"a": 1}, "marker": other}), "invalid_marker")
        longest = 1_000 + LONGEST_LIFE
        self.assertEqual(decode(marked(key, digest, longest, 1_000))[0], {"a": 1})

    def test_more_words_than_a_plan_can_hold(self) -> None:
        long = [{"parameter": f"{number}" + "x" * 1_000} for number in range(400)]
        self.assert_malformed(lines(*long), "too_many_words")
        many = {f"{number}" + "x" * 1_000: 1 for number in range(400)}
        self.assert_malformed(encode(many, None), "too_many_words")


class BatchesOf(unittest.TestCase):
    def test_sequence_numbers_compare_as_numbers(self) -> None:
        sequences = ["9", "10", "49" + "0" * 54]
        found = stream.batches_of(
            events.records(*((each, b'{"parameter":"a"}') for each in sequences))
        )
        ((shard, records),) = found.items()
        self.assertEqual(shard.split("\n")[1], "shardId-000000000001")
        padded = [record.sequence for record in records]
        self.assertEqual(padded, sorted(padded))
        self.assertEqual({len(each) for each in padded}, {stream.SEQUENCE_DIGITS})
        self.assertEqual([each.lstrip("0") for each in padded], sequences)

    def test_each_record_has_its_words_or_its_problem(self) -> None:
        data = [encode({"a": 2}, MARKER), b"rubbish", b"\xff", b'{"parameter": "!"}']
        found = stream.batches_of(events.records(*((str(n), each) for n, each in enumerate(data))))
        (records,) = found.values()
        self.assertEqual((records[0].words, records[0].marker), ({"a": 2}, MARKER))
        problems = [record.problem for record in records]
        self.assertEqual(problems, [None, "invalid_json", "not_utf8", "no_words"])
        self.assertEqual([dict(record.words) for record in records[1:]], [{}] * 3)

    def test_records_are_grouped_by_shard(self) -> None:
        one, other = (
            events.records(("1", b'{"parameter":"a"}'), shard=shard) for shard in ("s-1", "s-2")
        )
        found = stream.batches_of({"Records": one["Records"] + other["Records"]})
        self.assertEqual(len(found), 2)

    def test_words_do_not_show_in_a_trace(self) -> None:
        self.assertNotIn("secret", repr(Record("1", {"secret": 1})))
        self.assertNotIn("secret", repr(stream.Plan("1", {"secret": 1}, 0)))


class Counting(OnFakes):
    def setUp(self) -> None:
        super().setUp()
        self.stream = stream_over(self.table, self.ranking(), self.kinesis, self.queue)

    def count(self, *records: Record, shard: str = "stream\nshard") -> Work:
        work = Work()
        self.stream.count(shard, records, work)
        return work


class Batches(Counting):
    def test_a_batch_is_written_once_per_word(self) -> None:
        texts = [Record(f"{number}", {"the": 3, f"w{number}": 1}) for number in range(9)]
        work = self.count(*texts)
        expected = {"the": 27, **{f"w{number}": 1 for number in range(9)}}
        self.assertEqual(self.table.items, expected)
        self.assertEqual(dict(self.report()), expected)
        self.assertEqual((work.upserts, work.publishes), (10, 1))
        self.assertEqual(self.table.calls.count("UpdateItem"), 10 + 2)  # two for the checkpoint

    def test_counted_records_are_skipped(self) -> None:
        one, two, three = (Record(str(number), {"a": 1, f"w{number}": 1}) for number in (1, 2, 3))
        self.count(one, two)
        self.count(one, two)
        work = self.count(three, two)
        self.assertEqual(self.table.items, {"a": 3, "w1": 1, "w2": 1, "w3": 1})
        self.assertEqual(work.upserts, 2)
        self.assertEqual(self.count(one, two, three).upserts, 0)

    def test_a_batch_that_exceeds_a_plan_is_counted_in_several(self) -> None:
        with mock.patch.object(stream, "MAX_PLAN_BYTES", 20):
            work = self.count(*(Record(str(number), {f"w{number}": 1}) for number in range(5)))
        self.assertEqual(len(self.table.items), 5)
        self.assertGreater(work.publishes, 1)

    def test_a_plan_is_measured_as_it_is_stored(self) -> None:
        counted = {"é" * 300 + str(number): 1 for number in range(300)}  # 183 kB, escaped 543 kB
        self.count(Record("1", counted))
        self.assertEqual(self.table.items, counted)
        self.assertEqual(stream.decode(encode(counted, None)), (counted, None))

    def test_a_text_with_a_key_is_counted_once_across_both_ways_in(self) -> None:
        self.ranking().tally({"a": 1}, Work(), MARKER)
        self.count(Record("1", {"a": 1}, MARKER), Record("2", {"a": 5}))
        self.count(Record("3", {"a": 1}, MARKER))
        self.assertEqual(self.table.items, {"a": 6})
        self.assertEqual(dict(self.report()), {"a": 6})

    def test_another_text_under_the_key_is_set_aside(self) -> None:
        other = once.marker("key", "other", 1_000, 4_600)
        work = self.count(Record("1", {"a": 1}, MARKER), Record("2", {"b": 1}, other))
        self.assertEqual(self.table.items, {"a": 1})
        self.assertEqual(self.reasons(), {"2": "idempotency_key_reused"})
        self.assertEqual(work.set_aside, 1)

    def test_malformed_records_are_set_aside_and_block_nothing(self) -> None:
        work = self.count(
            Record("1", problem="not_utf8"), Record("2", {"a": 1}), Record("3", problem="no_words")
        )
        self.assertEqual(self.table.items, {"a": 1})
        self.assertEqual(self.reasons(), {"1": "not_utf8", "3": "no_words"})
        self.assertEqual(work.set_aside, 2)
        self.count(Record("4", problem="not_utf8"))
        self.assertEqual(self.count(Record("4", problem="not_utf8")).set_aside, 0)

    def reasons(self) -> dict[str, str]:
        messages = map(json.loads, self.queue.messages)
        return {message["sequence"]: message["reason"] for message in messages}

    def test_nothing_is_counted_while_the_queue_is_unavailable(self) -> None:
        self.queue.faults["SendMessage"] = [Unavailable("SendMessage: 503")]
        batch = [Record("1", problem="not_utf8"), Record("2", {"a": 1})]
        with self.assertRaises(Unavailable):
            self.count(*batch)
        self.assertEqual(self.table.items, {})
        self.count(*batch)
        self.assertEqual(self.table.items, {"a": 1})

    def test_each_shard_has_its_own_checkpoint(self) -> None:
        for shard in ("stream\none", "stream\nother"):
            self.count(Record("1", {"a": 1}), shard=shard)
        self.assertEqual(self.table.items, {"a": 2})

    def test_each_shard_has_its_own_lane(self) -> None:
        shards = [f"stream\nshardId-{number:012}" for number in range(100)]
        self.assertEqual(len({stream.lane_of(shard) for shard in shards}), 100)
        self.assertLessEqual(max(len(stream.lane_of(shard)) for shard in shards), 13)

    def test_an_interrupted_plan_is_finished_by_a_batch_with_other_boundaries(self) -> None:
        batch = [Record(str(number), {f"w{number}": 1, "the": 1}) for number in range(6)]
        for client, operation, calls in [("table", "UpdateItem", 8), ("bucket", "PutObject", 1)]:
            for call in range(calls):
                with self.subTest(operation=operation, call=call):
                    self.setUp()
                    fault = refused(operation, "Broken", 503)
                    getattr(self, client).faults[operation] = [*[None] * call, fault]
                    with self.assertRaises(Unavailable):
                        self.count(*batch[:5])
                    self.count(*batch[:3])
                    self.count(*batch)
                    expected = {"the": 6, **{f"w{number}": 1 for number in range(6)}}
                    self.assertEqual(self.table.items, expected)
                    self.assertEqual(dict(self.report()), expected)


class Plans(Counting):
    """The size of their words decides how many records fit into a plan."""

    def plans(self, *records: Record, max_bytes: int) -> list[Plan]:
        """The plans of one batch."""
        with (
            mock.patch.object(stream, "MAX_PLAN_BYTES", max_bytes),
            mock.patch.object(
                DynamoDBCheckpoints,
                "propose",
                autospec=True,
                side_effect=DynamoDBCheckpoints.propose,
            ) as propose,
        ):
            self.count(*records)
        return [call.args[3] for call in propose.call_args_list]

    def test_shared_words_take_space_once(self) -> None:
        words = {f"word{number}": 1 for number in range(50)}
        records = (Record(f"{number:05}", words) for number in range(10_000))
        self.assertEqual(len(self.plans(*records, max_bytes=1_000)), 1)
        self.assertEqual(self.table.items, dict.fromkeys(words, 10_000))

    def test_a_plan_is_nearly_full_and_never_too_large(self) -> None:
        records = [
            Record(
                f"{number:05}",
                {f'{number}"é{each}': 10**each for each in range(9)} | {"the": 10**9},
            )
            for number in range(1_000)
        ]
        plans = self.plans(*records, max_bytes=50_000)
        sizes = [len(json.dumps(plan.words, ensure_ascii=False).encode()) for plan in plans]
        self.assertGreater(len(sizes), 2)
        self.assertGreater(min(sizes[:-1]), 50_000 - 1_000)
        self.assertLessEqual(max(sizes), 50_000)
        self.assertEqual(self.table.items, total(records))

    def test_a_longer_total_takes_more_space(self) -> None:
        words = [f"word{number}" for number in range(100)]
        records = [Record("1", dict.fromkeys(words, 1)), Record("2", dict.fromkeys(words, 10**30))]
        self.assertEqual(len(self.plans(*records, max_bytes=2_000)), 2)

    def test_texts_under_keys_count_in_full(self) -> None:
        """Their words are written immediately, so the checkpoint must follow closely."""
        words = {f"word{number}": 1 for number in range(10)}
        records = (Record(f"{number:05}", words, MARKER) for number in range(100))
        self.assertGreater(len(self.plans(*records, max_bytes=3_000)), 3)
        self.assertEqual(self.table.items, words)
