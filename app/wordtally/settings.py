"""The function's settings, read once from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from wordtally.domain.once import MAX_VALID_HOURS


class SettingsError(Exception):
    """Environment variables are missing or invalid. The message lists all of them."""


@dataclass(frozen=True)
class Settings:
    region: str
    """AWS region of all resources, such as `eu-west-3`."""
    words_table: str
    reports_bucket: str
    presigned_url_expiry_seconds: int
    """1 to 604,800, the range that SigV4 allows."""
    scan_up_to_words: int
    """A request scans the table if the last scan found at most this many words, or if there is no
    report."""
    markers_table: str
    idempotency_hours: int
    """Hours for which a text that is sent again under its Idempotency-Key is not counted again."""
    aws_client: str = "thin"
    """`thin` or `botocore`: docs/decisions/0006-thin-client.md."""
    max_file_words: int = 250_000
    """Maximum distinct words of a file in the inbox: they must fit into memory, and their writes
    into the 15 minutes of a call."""
    stream_name: str = ""
    """Kinesis stream for `Prefer: respond-async`; empty if there is none."""
    failure_queue_url: str = ""
    """Queue for records of the stream that cannot be counted."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raise SettingsError, listing every problem at once."""
        problems: list[str] = []

        def text(name: str) -> str:
            value = environment.get(name, "")
            if not value:
                problems.append(f"{name} is not set")
            return value

        def number(name: str, least: int, most: int, default: int | None = None) -> int:
            if default is not None and not environment.get(name):
                return default
            value = text(name)
            if not value:
                return least
            digits = value.isascii() and value.isdigit() and len(value) <= 16
            if not (digits and least <= int(value) <= most):
                problems.append(f"{name} must be a whole number from {least} to {most}")
                return least
            return int(value)

        def choice(name: str, choices: tuple[str, ...]) -> str:
            value = environment.get(name) or choices[0]
            if value not in choices:
                problems.append(f"{name} must be {' or '.join(choices)}")
            return value

        settings = cls(
            region=text("AWS_REGION"),
            words_table=text("WORDS_TABLE"),
            reports_bucket=text("REPORTS_BUCKET"),
            presigned_url_expiry_seconds=number("PRESIGNED_URL_EXPIRY_SECONDS", 1, 604_800),
            scan_up_to_words=number("SCAN_UP_TO_WORDS", 0, 10**15),
            markers_table=text("MARKERS_TABLE"),
            idempotency_hours=number("IDEMPOTENCY_HOURS", 1, MAX_VALID_HOURS),
            max_file_words=number("MAX_FILE_WORDS", 1, 250_000, cls.max_file_words),
            stream_name=environment.get("STREAM_NAME", ""),
            failure_queue_url=environment.get("FAILURE_QUEUE_URL", ""),
            aws_client=choice("AWS_CLIENT", ("thin", "botocore")),
        )
        if problems:
            raise SettingsError("; ".join(problems))
        return settings
