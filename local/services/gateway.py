"""An HTTP API (API Gateway v2) look-alike: turns WSGI requests into payload 2.0 events for a function of
`make run` or `make stack`.

To callers and the function it behaves as the real API does. Only bodies of textual content types are
text, header names are lower-case, and the API itself answers requests that do not reach the function
or that the function fails to answer.
"""

import base64
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import responses
from typing import Any, Protocol
from urllib.parse import parse_qsl

MAX_BODY_BYTES = 10 * 1024 * 1024
"""Maximum payload of an HTTP API."""

TIMEOUT_SECONDS = 30.0
"""Maximum integration timeout of an HTTP API. The function continues to run after it."""

CALLS_AT_ONCE = 4
"""Limit on concurrent calls of the function; more calls wait. The emulated AWS serves one request at a
time, so with more calls in flight a request to AWS could exceed its timeout."""

_TEXT = ("text/", "application/json", "application/xml", "application/javascript")

Event = dict[str, Any]


class FunctionError(Exception):
    """The function raised an exception or crashed. Its log has the details."""


class FunctionTimeout(FunctionError):
    """The function did not answer within the integration's timeout."""


class Function(Protocol):
    def invoke(self, event: Event) -> Any:
        """Return the function's result. Raise FunctionError."""


@dataclass(frozen=True)
class Route:
    function: Function
    authorizer: Function | None = None
    identity_header: str = "x-api-key"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]


def _message(status: int, message: str, **headers: str) -> Answer:
    """An answer of the API itself."""
    body = json.dumps({"message": message}, separators=(",", ":")).encode()
    return Answer(status, body, {"content-type": "application/json", **headers})


@dataclass(frozen=True)
class Cors:
    """Pages that may call the API from a browser. Without origins, CORS is off."""

    origins: frozenset[str] = frozenset()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    max_age_seconds: int | None = None

    def headers_for(self, environ: dict[str, Any], preflight: bool) -> dict[str, str]:
        """CORS headers for an answer to a page of an allowed origin; none for other origins."""
        origin = environ.get("HTTP_ORIGIN", "")
        if not origin or not self.origins & {origin, "*"}:
            return {}
        answer = {"access-control-allow-origin": "*" if "*" in self.origins else origin}
        if preflight:
            answer["access-control-allow-methods"] = ",".join(self.methods)
            answer["access-control-allow-headers"] = ",".join(self.headers)
            if self.max_age_seconds:
                answer["access-control-max-age"] = str(self.max_age_seconds)
        return answer


class Throttle:
    """A token bucket, like that of an HTTP API's stage. `clock` returns seconds."""

    def __init__(
        self, rate_per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate_per_second = rate_per_second
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._filled_at = clock()
        self._lock = threading.Lock()

    def admits(self) -> bool:
        """Take a token for a request. Return whether there was one."""
        with self._lock:
            now = self._clock()
            refill = (now - self._filled_at) * self._rate_per_second
            self._tokens = min(self._burst, self._tokens + refill)
            self._filled_at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class Gateway:
    """A WSGI application. `routes` maps route keys such as `POST /`."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        cors: Cors | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        self.routes = routes
        self._cors = cors or Cors()
        self._throttle = throttle
        self._calls = ThreadPoolExecutor(CALLS_AT_ONCE)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        request_id = uuid.uuid4().hex
        preflight = bool(
            self._cors.origins
            and environ["REQUEST_METHOD"] == "OPTIONS"
            and environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
        )
        answer = Answer(204, b"", {}) if preflight else self._answer(environ, request_id)
        headers = {**answer.headers, **self._cors.headers_for(environ, preflight)}
        headers["apigw-requestid"] = request_id
        headers["content-length"] = str(len(answer.body))
        start_response(
            f"{answer.status} {responses.get(answer.status, 'Unknown')}",
            [(name, str(value)) for name, value in headers.items()],
        )
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _answer(self, environ: dict[str, Any], request_id: str) -> Answer:
        try:
            body = _read(environ)
        except (ValueError, OverflowError):
            # The start of the next request on this connection is unknown.
            return _message(400, "Bad Request", connection="close")
        if body is None:
            return _message(413, "Request Entity Too Large")
        route_key = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO'] or '/'}"
        route = self.routes.get(route_key)
        if route is None:
            return _message(404, "Not Found")
        if self._throttle and not self._throttle.admits():
            return _message(429, "Too Many Requests")
        event = event_of(environ, route_key, request_id)
        if route.authorizer:
            refusal = _authorize(route.authorizer, route.identity_header, event)
            if refusal:
                return refusal
        call = self._calls.submit(route.function.invoke, _with_body(event, body))
        try:
            return _translated(call.result(TIMEOUT_SECONDS))
        except (FunctionTimeout, TimeoutError):
            call.cancel()  # if it is still waiting
            return _message(503, "Service Unavailable")
        except FunctionError:
            return _message(500, "Internal Server Error")


def _read(environ: dict[str, Any]) -> bytes | None:
    """Return the body, or None if it is too large. Even then, read all that the client sends.

    Raise ValueError or OverflowError if the body is cut off or its chunks are malformed.
    """
    stream = environ["wsgi.input"]
    chunks, size = [], 0
    while chunk := stream.read(65_536):
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
    if size < int(environ.get("CONTENT_LENGTH") or 0):
        raise ValueError("the client has disconnected")
    return b"".join(chunks) if size <= MAX_BODY_BYTES else None


def event_of(environ: dict[str, Any], route_key: str, request_id: str) -> Event:
    """The event of a request, in payload format 2.0, without the body."""
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or (name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value)
    }
    cookies = headers.pop("cookie", None)
    path = environ["PATH_INFO"] or "/"
    query = environ.get("QUERY_STRING", "")
    now = time.time()
    event: Event = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": headers.get("host", ""),
            "domainPrefix": headers.get("host", "").split(".")[0],
            "http": {
                "method": environ["REQUEST_METHOD"],
                "path": path,
                "protocol": environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
                "sourceIp": environ.get("REMOTE_ADDR", ""),
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": route_key,
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = [cookie.strip() for cookie in cookies.split(";")]
    if query:
        parameters: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
        event["queryStringParameters"] = parameters
    return event


def _with_body(event: Event, body: bytes) -> Event:
    """Add the body: as text for textual content types, in base64 for others or if there is no type."""
    if not body:
        return event
    if event["headers"].get("content-type", "").lower().startswith(_TEXT):
        try:
            return {**event, "body": body.decode()}
        except UnicodeDecodeError:
            pass  # it is not UTF-8 text, despite its content type
    return {**event, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def _authorize(authorizer: Function, identity_header: str, event: Event) -> Answer | None:
    """Call a REQUEST authorizer with simple responses. Return the refusal, or None if it accepts."""
    identity = event["headers"].get(identity_header)
    if not identity:
        return _message(401, "Unauthorized")
    method, path = event["routeKey"].split(" ")
    request = {
        **{name: value for name, value in event.items() if name != "isBase64Encoded"},
        "type": "REQUEST",
        "routeArn": f"arn:aws:execute-api:eu-west-3:123456789012:local/$default/{method}{path}",
        "identitySource": [identity],
    }
    try:
        result = authorizer.invoke(request)
    except FunctionError:
        return _message(500, "Internal Server Error")
    if isinstance(result, dict) and result.get("isAuthorized") is True:
        return None
    return _message(403, "Forbidden")


def _translated(result: Any) -> Answer:
    """The answer for a function's result. A result without statusCode becomes the JSON body."""
    if not isinstance(result, dict) or "statusCode" not in result:
        return Answer(200, json.dumps(result).encode(), {"content-type": "application/json"})
    try:
        body = result.get("body") or ""
        return Answer(
            int(result["statusCode"]),
            base64.b64decode(body) if result.get("isBase64Encoded") else body.encode(),
            {name.lower(): value for name, value in result.get("headers", {}).items()},
        )
    except (ValueError, TypeError, AttributeError):
        return _message(500, "Internal Server Error")
