"""The page that `GET /` serves: one HTML document, built from the files in this directory.

`index.html` refers to its style sheet and scripts as any page does. They are inlined, so that the
browser fetches nothing else. The Content-Security-Policy allows only them, by their hashes.
"""

import base64
import gzip
import hashlib
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from wordtally.ways_in.http import Answer

_FILES = Path(__file__).parent
_LINKED = re.compile(
    r'<link rel="stylesheet" href="(?P<style>[a-z.]+)">|<script src="(?P<script>[a-z.]+)"></script>'
)


@dataclass(frozen=True)
class Document:
    html: bytes
    policy: str
    """The Content-Security-Policy."""
    compressed: bytes = field(repr=False)
    """`html`, compressed by gzip. The bytes are always the same."""
    etag: str
    """A weak ETag, as both encodings share it. It covers the policy too, which a 304 does not update."""


def answer(event: dict[str, Any], reports_origin: str) -> Answer:
    """The response to `GET /`. `reports_origin` is the origin of the presigned URLs."""
    headers = event.get("headers") or {}
    document = _document(reports_origin)
    common = {
        "cache-control": "no-cache",  # revalidate, as each deployment may change the page
        "etag": document.etag,
        "vary": "accept-encoding",
        "content-security-policy": document.policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    if _matches(headers.get("if-none-match", ""), document.etag):
        return {"statusCode": 304, "headers": common, "body": ""}
    common["content-type"] = "text/html; charset=utf-8"
    if not _takes_gzip(headers.get("accept-encoding", "")):
        return {"statusCode": 200, "headers": common, "body": document.html.decode()}
    return {
        "statusCode": 200,
        "headers": {**common, "content-encoding": "gzip"},
        "body": base64.b64encode(document.compressed).decode(),
        "isBase64Encoded": True,
    }


@cache
def _document(reports_origin: str) -> Document:
    hashes: dict[str, list[str]] = {"style": [], "script": []}

    def inline(link: re.Match[str]) -> str:
        kind = str(link.lastgroup)
        source = f"\n{_read(link[kind])}"
        digest = hashlib.sha256(source.encode()).digest()
        hashes[kind].append(f"'sha256-{base64.b64encode(digest).decode()}'")
        return f"<{kind}>{source}</{kind}>"

    html = _LINKED.sub(inline, _read("index.html")).encode()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(hashes['script'])}",
            f"style-src {' '.join(hashes['style'])}",
            f"connect-src 'self' {reports_origin}",
            "img-src data:",  # the icon
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",  # no string becomes markup
        ]
    )
    etag = f'W/"{hashlib.sha256(html + policy.encode()).hexdigest()[:32]}"'
    return Document(html, policy, gzip.compress(html, mtime=0), etag)


def _read(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")


def _matches(if_none_match: str, etag: str) -> bool:
    """The weak comparison of RFC 9110, section 13.1.2."""
    tags = re.findall('"[^"]*"', if_none_match)  # tags may contain commas
    return if_none_match.strip() == "*" or etag.removeprefix("W/") in tags


def _takes_gzip(accept_encoding: str) -> bool:
    """RFC 9110, section 12.5.3, except that a preference for no encoding over gzip is ignored."""
    weights = {}
    for coding in re.sub(r"\s", "", accept_encoding.lower()).split(","):
        name, _, weight = coding.partition(";")
        weights[name] = weight
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return not re.fullmatch(r"q=0(\.0*)?", weight)
