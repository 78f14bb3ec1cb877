"""The stream's records as Lambda passes them to the function."""

import base64
import json
from collections.abc import Iterable, Iterator

from wordtally.domain import words
from wordtally.ways_in import stream

from bench.timing import corpus

PAYLOAD_BYTES = 6_000_000
"""Maximum size of an event that Lambda passes to a function."""

MAX_RECORDS = 10_000
"""Maximum number of records in a batch."""


def drawn_records(texts: int, words_each: int) -> list[bytes]:
    """The data of a record for each text, of words drawn from English."""
    rest = iter(corpus.drawn(texts * words_each * 7, lines=False).split())
    drawn = (" ".join(next(rest) for _ in range(words_each)) for _ in range(texts))
    return [stream.encode(words.count(text), None) for text in drawn]


def event_of(records: Iterable[bytes]) -> str:
    """One event, even if it is larger than Lambda allows."""
    return _event([_record(number, data) for number, data in enumerate(records)])


def events_of(records: Iterable[bytes]) -> Iterator[str]:
    """The records of one shard in as few events as Lambda allows."""
    batch: list[str] = []
    size = 0
    for number, data in enumerate(records):
        record = _record(number, data)
        if batch and (size + len(record) > PAYLOAD_BYTES or len(batch) == MAX_RECORDS):
            yield _event(batch)
            batch, size = [], 0
        batch.append(record)
        size += len(record) + 1
    yield _event(batch)


def _event(records: list[str]) -> str:
    return f'{{"Records": [{",".join(records)}]}}'


def _record(number: int, data: bytes) -> str:
    sequence = f"49{number:054}"
    kinesis = {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "0123456789abcdef",
        "sequenceNumber": sequence,
        "data": base64.b64encode(data).decode(),
        "approximateArrivalTimestamp": 1_790_000_000.123,
    }
    record = {
        "kinesis": kinesis,
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000000:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/wordtally",
        "awsRegion": "eu-west-3",
        "eventSourceARN": "arn:aws:kinesis:eu-west-3:123456789012:stream/wordtally",
    }
    return json.dumps(record)
