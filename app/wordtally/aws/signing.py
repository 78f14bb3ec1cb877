"""AWS Signature Version 4, in headers and in the query of a URL. It does no I/O and reads no clock."""

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(repr=False, default=None)


def encode_path(path: str) -> str:
    return quote(path, safe="/")


def encode_query(parameters: Mapping[str, str]) -> str:
    return "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters.items()
    )


def canonical_request(
    method: str, path: str, query: str, headers: Mapping[str, str], payload: str
) -> tuple[str, str]:
    """The canonical request, and the names of its headers for SignedHeaders.

    `path` and `query` are encoded, header names are lowercase. The path is signed unchanged. That is
    S3's rule; for other services, it is correct only for "/".
    """
    if query:
        query = "&".join(sorted(query.split("&"), key=lambda pair: pair.partition("=")))
    names = sorted(headers)
    lines = "".join([f"{name}:{' '.join(headers[name].split())}\n" for name in names])
    return f"{method}\n{path}\n{query}\n{lines}\n{';'.join(names)}\n{payload}", ";".join(names)


@lru_cache(maxsize=8)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The signing key. It is cached, as it is valid for a day and costs as much as four signatures."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


class Signer:
    """Signs requests to one service at one point in time (seconds since 1970)."""

    def __init__(self, credentials: Credentials, region: str, service: str, now: float) -> None:
        self._credentials = credentials
        self._region = region
        self._service = service
        self._time = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        self._scope = f"{self._time[:8]}/{region}/{service}/aws4_request"

    def string_to_sign(self, canonical: str) -> str:
        digest = sha256(canonical.encode()).hexdigest()
        return f"{_ALGORITHM}\n{self._time}\n{self._scope}\n{digest}"

    def _signature(self, canonical: str) -> str:
        key = _signing_key(self._credentials.secret, self._time[:8], self._region, self._service)
        return hmac.digest(key, self.string_to_sign(canonical).encode(), "sha256").hex()

    def headers(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> dict[str, str]:
        """Return `headers`, which must include `host`, and the headers that sign them."""
        payload = sha256(body).hexdigest()
        signed = {**headers, "x-amz-date": self._time}
        if self._credentials.token:
            signed["x-amz-security-token"] = self._credentials.token
        if self._service == "s3":
            signed["x-amz-content-sha256"] = payload
        canonical, names = canonical_request(method, path, query, signed, payload)
        signed["authorization"] = (
            f"{_ALGORITHM} Credential={self._credentials.key_id}/{self._scope}, "
            f"SignedHeaders={names}, Signature={self._signature(canonical)}"
        )
        return signed

    def query(
        self, host: str, path: str, parameters: Mapping[str, str], expires_seconds: int
    ) -> str:
        """The query of a presigned URL: anyone may GET `path` from S3 until the URL expires."""
        signed = {
            **parameters,
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self._credentials.key_id}/{self._scope}",
            "X-Amz-Date": self._time,
            "X-Amz-Expires": str(expires_seconds),
            "X-Amz-SignedHeaders": "host",
        }
        if self._credentials.token:
            signed["X-Amz-Security-Token"] = self._credentials.token
        query = encode_query(signed)
        canonical, _ = canonical_request("GET", path, query, {"host": host}, "UNSIGNED-PAYLOAD")
        return f"{query}&X-Amz-Signature={self._signature(canonical)}"
