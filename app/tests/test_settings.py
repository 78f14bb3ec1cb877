"""The function's settings."""

import unittest

from wordtally.settings import Settings, SettingsError

GOOD = {
    "AWS_REGION": "eu-west-3",
    "WORDS_TABLE": "words",
    "REPORTS_BUCKET": "reports",
    "PRESIGNED_URL_EXPIRY_SECONDS": "600",
    "SCAN_UP_TO_WORDS": "1000",
    "MARKERS_TABLE": "markers",
    "IDEMPOTENCY_HOURS": "24",
    "AWS_CLIENT": "botocore",
}


class FromEnvironment(unittest.TestCase):
    def test_reads_every_variable(self) -> None:
        self.assertEqual(
            Settings.from_environment(GOOD),
            Settings("eu-west-3", "words", "reports", 600, 1000, "markers", 24, "botocore"),
        )

    def test_the_inbox_and_the_stream_have_defaults(self) -> None:
        settings = Settings.from_environment(GOOD)
        self.assertEqual((settings.stream_name, settings.failure_queue_url), ("", ""))
        self.assertEqual(settings.max_file_words, 250_000)
        more = {
            "STREAM_NAME": "texts",
            "FAILURE_QUEUE_URL": "https://sqs.example/1/failures",
            "MAX_FILE_WORDS": "1000",
        }
        settings = Settings.from_environment({**GOOD, **more})
        found = settings.stream_name, settings.failure_queue_url, str(settings.max_file_words)
        self.assertEqual(found, tuple(more.values()))
        self.assertEqual(
            Settings.from_environment({**GOOD, "MAX_FILE_WORDS": ""}).max_file_words, 250_000
        )

    def test_lists_every_missing_variable_in_one_error(self) -> None:
        with self.assertRaises(SettingsError) as raised:
            Settings.from_environment({})
        for name in GOOD.keys() - {"AWS_CLIENT"}:
            self.assertIn(f"{name} is not set", str(raised.exception))

    def test_the_client_is_thin_by_default_or_botocore(self) -> None:
        for value in ({}, {"AWS_CLIENT": ""}, {"AWS_CLIENT": "thin"}):
            settings = Settings.from_environment({**GOOD, "AWS_CLIENT": "", **value})
            self.assertEqual(settings.aws_client, "thin")
        with self.assertRaisesRegex(SettingsError, "^AWS_CLIENT must be thin or botocore$"):
            Settings.from_environment({**GOOD, "AWS_CLIENT": "boto3"})

    def test_refuses_numbers_out_of_range(self) -> None:
        for name, values in {
            "PRESIGNED_URL_EXPIRY_SECONDS": [
                "0",
                "604801",
                "-1",
                "1.5",
                "ten",
                "٣",
                "9" * 5000,
                "0" * 15 + "19",
            ],
            "IDEMPOTENCY_HOURS": ["0", "8761", "a day"],
            "MAX_FILE_WORDS": ["0", "250001", "many"],
            "SCAN_UP_TO_WORDS": ["-1", "many", "1e3", " 1"],
        }.items():
            for value in values:
                with self.subTest(name=name, value=value[:9]), self.assertRaises(SettingsError):
                    Settings.from_environment({**GOOD, name: value})
