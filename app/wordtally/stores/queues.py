"""The stream as a producer sees it, and the queue for records that cannot be counted."""

import json
import os

from wordtally.stores.calls import Calls
from wordtally.work import Work


class KinesisStream:
    """Appends records. Throttling and outages raise Unavailable."""

    def __init__(self, calls: Calls, name: str) -> None:
        self._calls = calls
        self._name = name

    def append(self, record: bytes, work: Work) -> None:
        """Append one record. If this raises, the record may have been appended: the client does not
        retry a call that may have taken effect."""
        parameters = {
            "StreamName": self._name,
            "Data": record,
            "PartitionKey": os.urandom(8).hex(),  # any shard
        }
        self._calls.one("PutRecord", parameters, work, lambda answer: answer["SequenceNumber"])


class FailureQueue:
    """Implements stream.SetAside."""

    def __init__(self, calls: Calls, url: str) -> None:
        self._calls = calls
        self._url = url

    def __call__(self, shard: str, sequence: str, reason: str, work: Work) -> None:
        stream, _, shard_id = shard.partition("\n")
        message = {
            "stream": stream,
            "shard": shard_id,
            "sequence": sequence.lstrip("0"),
            "reason": reason,
        }
        parameters = {"QueueUrl": self._url, "MessageBody": json.dumps(message)}
        self._calls.one("SendMessage", parameters, work, lambda answer: answer["MessageId"])
        work.set_aside += 1
