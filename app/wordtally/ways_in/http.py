"""HTTP API events (payload format 2.0) become requests; results and errors become answers.

Each error's status is set on its class in errors.py; only the 500 of unexpected ones is set here.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wordtally.errors import (
    EmptyParameter,
    InvalidIdempotencyKey,
    InvalidJson,
    InvalidRequest,
    MissingParameter,
    ParameterNotAString,
    ParameterTooLong,
    Unavailable,
    WordtallyError,
)

MAX_CHARACTERS = 10_000
"""Maximum code points of `parameter`."""

HEADERS = {
    "content-type": "application/json",
    "cache-control": "no-store",  # whoever has a link can read the report
    "x-content-type-options": "nosniff",
}
"""Headers of every answer except the page."""

Answer = dict[str, Any]
"""An HTTP API response: statusCode, headers, body."""

_ASYNC = re.compile(r"(^|,)\s*respond-async\s*(=\s*(\"\")?\s*)?(;|,|$)", re.IGNORECASE)
_QUOTED = re.compile(r"\"([^\"\\]|\\.)+\"")  # not "", which RFC 7240 equates with no value
_GZIP_MAGIC = b"\x1f\x8b"
_FORM = re.compile(r"[\w.%+-]+=|--")  # URL-encoded, or the boundary of multipart/form-data


@dataclass(frozen=True)
class Request:
    """A request to count a text. Everything is validated except its words."""

    text: str = field(repr=False)
    idempotency_key: str | None = field(default=None, repr=False)
    api_key: str = field(default="", repr=False)
    """The header x-api-key; empty if it was not sent."""
    prefers_async: bool = field(default=False, repr=False)
    """`Prefer: respond-async` (RFC 7240)."""

    @property
    def sentence_when_busy(self) -> str:
        """The message for Unavailable. It says what a retry does."""
        if self.idempotency_key is None:
            return Unavailable.message_without_key
        return Unavailable.message_with_key


def request_of(event: dict[str, Any]) -> Request:
    """The request in `event`. Raise a Rejected error if it is invalid."""
    # The API makes header names lower case.
    headers: Mapping[str, str] = event.get("headers") or {}
    return Request(
        text=text_of(_json_of(event, headers)),
        idempotency_key=_idempotency_key_of(headers),
        api_key=headers.get("x-api-key", ""),
        prefers_async=_ASYNC.search(_QUOTED.sub("quoted", headers.get("prefer", ""))) is not None,
    )


def success(url: str) -> Answer:
    """The answer that links to the report."""
    return _answer(200, {"url": url})


def accepted(url: str) -> Answer:
    """The answer to a request that will be counted within seconds."""
    return _answer(202, {"url": url}, {"preference-applied": "respond-async"})


def failure(error: Exception, request_id: str, busy: str = Unavailable.message) -> Answer:
    """The answer to a request that ended in `error`. `busy` is the message for Unavailable: it
    says what a retry does.

    Responses with a status of 500 and above include the request id, so that the operator can find
    the request in the log.
    """
    status, code = 500, "internal_error"
    sentence = "Something went wrong here. Report it with this request id if it happens again."
    if isinstance(error, WordtallyError):
        status, code, sentence = error.status, error.code, error.message
    unavailable = isinstance(error, Unavailable)
    body = {"error": busy if unavailable else sentence, "code": code}
    if status >= 500:
        body["request_id"] = request_id
    return _answer(status, body, {"retry-after": "1"} if unavailable else None)


def text_of(document: object) -> str:
    """The text in a JSON document. Raise a Rejected error if there is no valid one."""
    if not isinstance(document, dict):
        raise InvalidRequest
    if "parameter" not in document:
        raise MissingParameter
    text = document["parameter"]
    if not isinstance(text, str):
        raise ParameterNotAString
    if not text.strip():
        raise EmptyParameter
    if len(text) > MAX_CHARACTERS:
        raise ParameterTooLong
    return text


def _idempotency_key_of(headers: Mapping[str, str]) -> str | None:
    """The header, or None if there is none. Raise InvalidIdempotencyKey if it is invalid.

    The API joins headers of the same name with a comma, so a comma may mean two keys.
    """
    key = headers.get("idempotency-key")
    if key is not None and not re.fullmatch(
        r"[ -+\--~]{1,255}", key
    ):  # from space to ~, without the comma
        raise InvalidIdempotencyKey
    return key


def _json_of(event: dict[str, Any], headers: Mapping[str, str]) -> object:
    # Errors are raised `from None`: the original ones quote the body.
    body = _body_of(event, headers)
    if not body.strip():
        raise InvalidJson("The request has no body.")
    try:
        return json.loads(
            body,
            parse_int=float,  # numbers are never used, and int() refuses more than 4,300 digits
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        if _FORM.match(body):
            raise InvalidJson("The body is form data, not JSON.") from None
        where = f"{error.msg} (line {error.lineno}, column {error.colno})"
        raise InvalidJson(f"The body is not JSON: {where}.") from None
    except RecursionError:
        raise InvalidJson("The body is JSON that is nested too deeply.") from None


def _body_of(event: dict[str, Any], headers: Mapping[str, str]) -> str:
    """The body as text, decoded if it is base64, without a byte order mark."""
    body: str = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            octets = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidJson("The body is not the base64 that it is declared to be.") from None
        encoding = headers.get("content-encoding", "identity")
        if octets.startswith(_GZIP_MAGIC) or (octets and encoding.lower() != "identity"):
            raise InvalidJson("The body is compressed.")
        try:
            body = octets.decode()
        except UnicodeDecodeError as error:
            raise InvalidJson(f"The body is not UTF-8 at byte {error.start + 1}.") from None
    return body.removeprefix("\ufeff")  # some editors begin a file with a byte order mark


def _refuse_constant(name: str) -> None:
    raise InvalidJson(f"The body is not JSON: it contains {name}.")


def _answer(status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    return {
        "statusCode": status,
        "headers": {**HEADERS, **(headers or {})},
        "body": json.dumps(body),
    }
