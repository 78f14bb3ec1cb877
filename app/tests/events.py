"""The events that AWS passes to the function."""

import base64
import json
from typing import Any


def post(body: str | bytes | None) -> dict[str, Any]:
    """The event of a POST; bytes are sent as base64."""
    if isinstance(body, bytes):
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return {"isBase64Encoded": False} if body is None else {"body": body, "isBase64Encoded": False}


def parameter(value: object) -> str:
    return json.dumps({"parameter": value})


def notification(key: str, **more: str) -> dict[str, Any]:
    """The event of an upload, as S3 sends it."""
    file = {"key": key, "size": 1, "eTag": "abc", "sequencer": "0A1B", **more}
    return {
        "Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": "inbox"}, "object": file}}]
    }


def records(*sent: tuple[str, bytes], shard: str = "shardId-000000000001") -> dict[str, Any]:
    """The event of a batch of the stream: sequence numbers and data."""
    return {
        "Records": [
            {
                "eventSource": "aws:kinesis",
                "eventSourceARN": "arn:aws:kinesis:eu-west-3:1:stream/texts",
                "eventID": f"{shard}:{sequence}",
                "kinesis": {"sequenceNumber": sequence, "data": base64.b64encode(data).decode()},
            }
            for sequence, data in sent
        ]
    }
