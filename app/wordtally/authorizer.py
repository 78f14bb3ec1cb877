"""The authorizer's Lambda entry point: REQUEST type, payload format 2.0, simple response.

The variable API_KEY_SHA256 holds SHA-256 digests of the accepted keys, in hexadecimal and separated by
commas; no variable holds a key. The API itself answers 401 to a request without the header.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Any


def lambda_handler(event: dict[str, Any], _context: Any) -> dict[str, bool]:
    return authorize(event, os.environ)


def authorize(event: dict[str, Any], environment: Mapping[str, str]) -> dict[str, bool]:
    """`{"isAuthorized": bool}` for the request's `x-api-key`.

    With no digests configured, every request is refused.
    """
    key = (event.get("headers") or {}).get("x-api-key") or ""
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    accepted = [known for known in environment.get("API_KEY_SHA256", "").split(",") if known]
    # Compare with every digest in constant time, so that timing reveals nothing.
    matches = [hmac.compare_digest(digest, known) for known in accepted]
    return {"isAuthorized": any(matches)}
