"""The report's adapter. contract.py has the tests that also run on moto; tests/test_presigned_url.py,
which needs boto3, tests the real presigned URL."""

import unittest

from fakes import FakeS3, refused, reports_over, timed_out
from wordtally.aws.errors import AwsError
from wordtally.domain.ranking import Report
from wordtally.errors import Unavailable
from wordtally.stores import reports
from wordtally.stores.calls import Calls
from wordtally.stores.reports import KEY, S3Reports
from wordtally.work import Work

REPORT = Report((("naïve", 2), ("don't", 1)), words_in_table=5)


class Published(unittest.TestCase):
    def test_the_object_is_the_report_in_json(self) -> None:
        bucket = FakeS3()
        reports_over(bucket).publish(REPORT, None, Work())
        stored = bucket.objects[KEY]
        self.assertEqual(
            stored["Body"].decode(),
            '{"top10words": [{"word": "naïve", "times": 2}, {"word": "don\'t", "times": 1}]}',
        )
        self.assertEqual(stored["ContentType"], "application/json")
        self.assertEqual(stored["ContentDisposition"], 'inline; filename="top.json"')
        self.assertEqual(stored["Metadata"], {"words-in-table": "5"})

    def test_no_words_is_an_empty_list(self) -> None:
        self.assertEqual(reports.encode(Report((), 0)), b'{"top10words": []}')


class Read(unittest.TestCase):
    def test_an_answer_without_an_etag_is_an_outage(self) -> None:
        bucket = FakeS3()
        adapter = reports_over(bucket)
        adapter.publish(REPORT, None, Work())
        del bucket.objects[KEY]["ETag"]
        with self.assertRaisesRegex(Unavailable, "^GetObject: unreadable answer$"):
            adapter.read(Work())

    def test_nothing_is_read_or_published_after_the_deadline(self) -> None:
        bucket, late = FakeS3(), Work(until=0)
        with self.assertRaisesRegex(Unavailable, "out of time"):
            reports_over(bucket).read(late)
        with self.assertRaisesRegex(Unavailable, "out of time"):
            reports_over(bucket).publish(REPORT, None, late)
        self.assertEqual(bucket.calls, [])


class Url(unittest.TestCase):
    def test_is_valid_for_the_configured_time(self) -> None:
        adapter = S3Reports(Calls(FakeS3()), "reports", 77)
        self.assertIn("expires=77", adapter.url(adapter.publish(REPORT, None, Work())))

    def test_pins_no_version_without_versioning(self) -> None:
        adapter = reports_over(FakeS3())
        self.assertNotIn("versionId", adapter.url(adapter.publish(REPORT, None, Work())))

    def test_pins_the_version_written_or_read(self) -> None:
        adapter = reports_over(FakeS3(versioned=True))
        first = adapter.publish(REPORT, None, Work())
        adapter.publish(REPORT, first.etag, Work())
        self.assertIn("versionId=v1", adapter.url(first))
        self.assertIn("versionId=v2", adapter.url(adapter.read(Work())))


class Errors(unittest.TestCase):
    def test_throttling_and_outages_are_unavailable(self) -> None:
        for error in [
            refused("GetObject", "SlowDown", 503),
            refused("GetObject", "InternalError", 500),
            timed_out("GetObject"),
        ]:
            bucket = FakeS3()
            bucket.faults["GetObject"] = [error]
            bucket.faults["PutObject"] = [error]
            adapter = reports_over(bucket)
            with self.subTest(error=error):
                self.assertRaises(Unavailable, adapter.read, Work())
                self.assertRaises(Unavailable, adapter.publish, REPORT, None, Work())

    def test_a_missing_permission_is_not_taken_for_a_missing_report(self) -> None:
        bucket = FakeS3()
        bucket.faults["GetObject"] = [refused("GetObject", "AccessDenied", 403)]
        with self.assertRaisesRegex(AwsError, "^GetObject: AccessDenied$"):
            reports_over(bucket).read(Work())
