"""The report's adapter. What it shares with moto is in contract.py; the real presigned URL is
tested in tests/test_presigned_url.py, which needs boto3."""

import unittest
from typing import Any

from fakes import ClientError, FakeS3, ReadTimeoutError
from wordtally import aws, reports
from wordtally.errors import Unavailable
from wordtally.ranking import Report
from wordtally.reports import KEY, S3Reports
from wordtally.work import Work

REPORT = Report((("naïve", 2), ("don't", 1)), words_in_table=5)


class Published(unittest.TestCase):
    def test_the_object_is_the_report_in_json(self) -> None:
        bucket = FakeS3()
        S3Reports(bucket, "reports", 600).publish(REPORT, None)
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
    def test_a_body_that_is_cut_off_is_asked_for_again(self) -> None:
        bucket = FakeS3()
        adapter = S3Reports(bucket, "reports", 600)
        published = adapter.publish(REPORT, None)
        bucket.broken_bodies = 1
        self.assertEqual(adapter.read(Work()), published)
        bucket.broken_bodies = 2
        with self.assertRaises(Unavailable):
            adapter.read(Work())

    def test_but_not_after_the_deadline(self) -> None:
        work = Work()

        class Slow(FakeS3):
            def get_object(self, **arguments: Any) -> dict[str, Any]:
                work.until = 0
                return super().get_object(**arguments)

        bucket = Slow()
        adapter = S3Reports(bucket, "reports", 600)
        adapter.publish(REPORT, None)
        bucket.broken_bodies = 1
        with self.assertRaisesRegex(Unavailable, "out of time"):
            adapter.read(work)


class Url(unittest.TestCase):
    def test_is_valid_for_as_long_as_the_settings_say(self) -> None:
        adapter = S3Reports(FakeS3(), "reports", 77)
        self.assertIn("expires=77", adapter.url(adapter.publish(REPORT, None)))

    def test_pins_no_version_without_versioning(self) -> None:
        adapter = S3Reports(FakeS3(), "reports", 600)
        self.assertNotIn("versionId", adapter.url(adapter.publish(REPORT, None)))

    def test_pins_the_version_written_or_read(self) -> None:
        adapter = S3Reports(FakeS3(versioned=True), "reports", 600)
        first = adapter.publish(REPORT, None)
        adapter.publish(REPORT, first.etag)
        self.assertIn("versionId=v1", adapter.url(first))
        self.assertIn("versionId=v2", adapter.url(adapter.read(Work())))


class Errors(unittest.TestCase):
    def test_throttling_and_outages_are_unavailable(self) -> None:
        for error in [
            ClientError("GetObject", "SlowDown", 503),
            ClientError("GetObject", "InternalError", 500),
            ReadTimeoutError(),
        ]:
            bucket = FakeS3()
            bucket.faults["GetObject"] = [error]
            bucket.faults["PutObject"] = [error]
            adapter = S3Reports(bucket, "reports", 600)
            with self.subTest(error=error):
                self.assertRaises(Unavailable, adapter.read, Work())
                self.assertRaises(Unavailable, adapter.publish, REPORT, None)

    def test_a_missing_permission_is_not_taken_for_a_missing_report(self) -> None:
        bucket = FakeS3()
        bucket.faults["GetObject"] = [ClientError("GetObject", "AccessDenied", 403)]
        with self.assertRaisesRegex(aws.AwsError, "^GetObject: AccessDenied$"):
            S3Reports(bucket, "reports", 600).read(Work())
