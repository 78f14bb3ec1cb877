"""HTTP API events (payload format 2.0) in, answers out; the one place where errors get a status."""

import base64
import json
import logging
import re
import time
import traceback
from collections.abc import Callable
from typing import Any

from wordtally.errors import (
    EmptyParameter,
    InvalidIdempotencyKey,
    InvalidJson,
    InvalidRequest,
    MissingParameter,
    ParameterNotAString,
    ParameterTooLong,
    WordtallyError,
)

MAX_CHARACTERS = 10_000
"""Code points of `parameter`."""

Answer = dict[str, Any]
"""An HTTP API response: statusCode, headers, body."""

logger = logging.getLogger("wordtally")


Tally = Callable[[str, str | None, dict[str, Any]], str]


def respond(event: dict[str, Any], request_id: str, tally: Tally) -> Answer:
    """Answer one request and log one summary line for it.

    `tally` takes the text and the idempotency key, if any, and returns the report's URL; what it
    puts into the dict it is given goes into the summary, also when it fails. Neither text nor
    headers are ever logged: of an unforeseen error the log gets the types and the stack, not the
    messages, which may quote them.
    """
    started = time.perf_counter()
    summary: dict[str, Any] = {}
    try:
        answer = _answer(200, {"url": tally(text_of(event), idempotency_key_of(event), summary)})
    except WordtallyError as error:
        answer = _answer(error.status, {"error": error.message, "code": error.code})
        summary["code"] = error.code
        if str(error):
            summary["cause"] = str(error)
    except Exception as error:  # noqa: BLE001 - the boundary
        sentence = "Something went wrong here. Report it with this request id if it happens again."
        answer = _answer(
            500, {"error": sentence, "code": "internal_error", "request_id": request_id}
        )
        summary["code"] = "internal_error"
        logger.error("unforeseen error", extra={"trace": trace(error)})
    if answer["statusCode"] == 503:
        answer["headers"]["retry-after"] = "1"
    summary["status"] = answer["statusCode"]
    summary["milliseconds"] = round((time.perf_counter() - started) * 1000, 1)
    logger.info("request", extra=summary)
    return answer


def text_of(event: dict[str, Any]) -> str:
    """The text of a request. Raise a Rejected error for anything but a good one."""
    document = _json_of(event)
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


def idempotency_key_of(event: dict[str, Any]) -> str | None:
    """The header, None without one. Raise InvalidIdempotencyKey for one that cannot be a key."""
    key = (event.get("headers") or {}).get("idempotency-key")  # the API makes names lower case
    if key is None:
        return None
    if not re.fullmatch(r"[ -~]{1,255}", key):
        raise InvalidIdempotencyKey
    return str(key)


def _json_of(event: dict[str, Any]) -> object:
    body = event.get("body") or ""
    try:
        if event.get("isBase64Encoded"):
            body = base64.b64decode(body, validate=True).decode()
        return json.loads(
            body.removeprefix("\ufeff"),  # some editors begin a file with a byte order mark
            parse_int=float,  # no number is ever used; int() refuses one of over 4,300 digits
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError) as error:
        # `from None`: the original error quotes the body.
        raise InvalidJson(type(error).__name__) from None


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


def _answer(status: int, body: dict[str, Any]) -> Answer:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }


def trace(error: BaseException) -> list[str]:
    """Types and stack frames of an error and of what caused it, outermost first."""
    lines = []
    cause: BaseException | None = error
    while cause is not None:
        lines.append(type(cause).__name__ + _detail(cause))
        frames = traceback.extract_tb(cause.__traceback__)
        lines += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        cause = cause.__cause__ or cause.__context__
    return lines


def _detail(error: BaseException) -> str:
    """The message of our own errors, which are made to be logged."""
    return f": {error}" if type(error).__module__.startswith("wordtally.") else ""
