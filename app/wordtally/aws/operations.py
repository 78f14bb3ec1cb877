"""The operations: build the request of a call, and interpret AWS's response. No I/O.

Parameters and answers use botocore's names.
"""

import json
import os
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from .errors import AwsUnavailable, failure
from .signing import encode_path, encode_query

if TYPE_CHECKING:
    from .connections import Response

_FIELDS = {
    "GetItem": None,
    "UpdateItem": None,
    "TransactWriteItems": None,
    "Scan": "Items",
    "BatchGetItem": "Responses",
    "GetObject": "ETag",
    "PutObject": "ETag",
    "GetObjectTagging": "TagSet",
    "PutObjectTagging": None,
    "PutRecord": "SequenceNumber",
    "SendMessage": "MessageId",
}
"""The operations, each with a field that every successful answer has."""

_JSON_SERVICES = {
    "PutRecord": ("kinesis", "1.1", "Kinesis_20131202"),
    "SendMessage": ("sqs", "1.0", "AmazonSQS"),
}
"""Service, version of its JSON protocol and prefix of its targets; the default is DynamoDB."""

AT_MOST_ONCE = frozenset(["PutRecord", "SendMessage"])
"""A client never retries these after an attempt that may have taken effect."""

CONDITION_FAILED = "ConditionalCheckFailedException"
"""If an UpdateItem requests the item on a failed condition (ReturnValuesOnConditionCheckFailure), its
answer is that `Item`. Otherwise this is an error like any other."""

_S3_METHODS = {
    "GetObject": "GET",
    "PutObject": "PUT",
    "GetObjectTagging": "GET",
    "PutObjectTagging": "PUT",
}
_S3_HEADERS = {
    "CacheControl": "cache-control",
    "ContentDisposition": "content-disposition",
    "ContentType": "content-type",
    "IfMatch": "if-match",
    "IfNoneMatch": "if-none-match",
    "Range": "range",
}
_METADATA = "x-amz-meta-"

_CODE = re.compile(r"[A-Za-z0-9.]{1,100}")
# Regular expressions instead of an XML parser, which every cold start would have to import. They
# read only AWS's answers.
_XML_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,100})</Code>")
_XML_TAG = re.compile(r"<Tag>\s*<Key>([^<]*)</Key>\s*<Value>([^<]*)</Value>\s*</Tag>")


@dataclass(frozen=True, slots=True)
class Request:
    service: str
    bucket: str | None
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def request(operation: str, parameters: Mapping[str, Any]) -> Request:
    """The HTTP request of a call. Raises ValueError for an unknown operation or parameter."""
    if operation not in _FIELDS:
        raise ValueError(f"unknown operation: {operation}")
    if operation in _S3_METHODS:
        return _s3_request(operation, dict(parameters))
    if operation == "TransactWriteItems":
        # As in the SDKs: DynamoDB applies a transaction once, however often it is retried.
        parameters = {"ClientRequestToken": os.urandom(16).hex(), **parameters}
    service, version, target = _JSON_SERVICES.get(
        operation, ("dynamodb", "1.0", "DynamoDB_20120810")
    )
    headers = {
        "content-type": f"application/x-amz-json-{version}",
        "x-amz-target": f"{target}.{operation}",
    }
    body = json.dumps(parameters, default=_base64).encode()
    return Request(service, None, "POST", "/", "", headers, body)


def _base64(data: bytes) -> str:
    """Bytes in JSON."""
    return b64encode(data).decode()


def _s3_request(operation: str, rest: dict[str, Any]) -> Request:
    bucket, path, body = rest.pop("Bucket"), object_path(rest.pop("Key")), rest.pop("Body", b"")
    query = version_query(rest.pop("VersionId", None))
    headers = {_METADATA + name: value for name, value in rest.pop("Metadata", {}).items()}
    if operation.endswith("Tagging"):
        query["tagging"] = ""
    if operation == "PutObjectTagging":
        body = _tagging(rest.pop("Tagging")["TagSet"])
        # S3 requires a checksum of the tags.
        headers["x-amz-checksum-sha256"] = b64encode(sha256(body).digest()).decode()
    for parameter, value in rest.items():
        if parameter not in _S3_HEADERS:
            raise ValueError(f"unknown parameter of {operation}: {parameter}")
        headers[_S3_HEADERS[parameter]] = value
    method = _S3_METHODS[operation]
    return Request("s3", bucket, method, path, encode_query(query), headers, body)


def object_path(key: str) -> str:
    return "/" + encode_path(key)


def version_query(version_id: str | None) -> dict[str, str]:
    return {"versionId": version_id} if version_id is not None else {}


def answer(operation: str, response: "Response") -> dict[str, Any]:
    """The answer in a response. Raises an AwsError if the response is not a good answer."""
    content: dict[str, Any] | None = {}
    good = response.status in (200, 206)  # 206 for a part of an object
    if operation in _S3_METHODS:
        if good:
            content = _tags(response) if "Tagging" in operation else _object(response)
        code = _XML_CODE.search(response.body[:4096])
        error_code = code[1].decode() if code else ""
    else:
        content = _json_object(response.body)
        error_code = str(content.get("__type", "") if content else "").rpartition("#")[2]
    if good and is_complete(operation, content):
        return content or {}
    if error_code == CONDITION_FAILED and content and "Item" in content:
        return {"Item": content["Item"]}
    if _CODE.fullmatch(error_code):
        reasons = (content or {}).get("CancellationReasons")
        raise failure(operation, error_code, response.status, reasons)
    if response.status < 300 or (response.status < 500 and response.body):
        raise AwsUnavailable(operation, "unreadable answer", response.status, without_effect=False)
    raise failure(operation, str(response.status), response.status)  # as botocore does


def is_complete(operation: str, content: Mapping[str, Any] | None) -> bool:
    """Whether the content of an answer with status 200 has what AWS always sends."""
    field = _FIELDS[operation]
    return content is not None and (not field or field in content)


def _object(response: "Response") -> dict[str, Any]:
    headers = response.headers
    named = {
        "ETag": headers.get("etag"),
        "VersionId": headers.get("x-amz-version-id"),
        "ContentRange": headers.get("content-range"),
    }
    return {
        "Body": response.body,
        "Metadata": {
            name.removeprefix(_METADATA): value
            for name, value in headers.items()
            if name.startswith(_METADATA)
        },
        **{name: value for name, value in named.items() if value is not None},
    }


def _tagging(tags: list[dict[str, str]]) -> bytes:
    from html import escape  # here, as API requests do not need it

    parts = [
        f"<Tag><Key>{escape(tag['Key'])}</Key><Value>{escape(tag['Value'])}</Value></Tag>"
        for tag in tags
    ]
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<Tagging xmlns="{namespace}"><TagSet>{"".join(parts)}</TagSet></Tagging>'.encode()


def _tags(response: "Response") -> dict[str, Any]:
    from html import unescape

    if b"<TagSet" not in response.body:
        return {}
    found = _XML_TAG.findall(response.body.decode())
    return {"TagSet": [{"Key": unescape(key), "Value": unescape(value)} for key, value in found]}


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
