"""Settings from environment variables: the endpoints, the CA certificates, the credentials."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .connections import Host, Timeouts
from .signing import Credentials

_IP_ADDRESS = re.compile(r"[0-9.]+|\[.*\]")


@dataclass(frozen=True, slots=True)
class Endpoint:
    scheme: str
    host: str
    """Value of the Host header, without the scheme's default port."""
    base_path: str

    @classmethod
    def parse(cls, url: str) -> "Endpoint":
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an endpoint's URL must be http://… or https://…")
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        default = parts.port in (None, 443 if parts.scheme == "https" else 80)
        return cls(
            parts.scheme, name if default else f"{name}:{parts.port}", parts.path.rstrip("/")
        )

    def of_bucket(self, bucket: str) -> "Endpoint":
        """The bucket's endpoint, in virtual-hosted style. IP addresses, and buckets whose names a wildcard
        certificate does not cover, need path style."""
        name = re.sub(r":[0-9]+$", "", self.host)
        if _IP_ADDRESS.fullmatch(name) or ("." in bucket and self.scheme == "https"):
            return Endpoint(self.scheme, self.host, f"{self.base_path}/{bucket}")
        return Endpoint(self.scheme, f"{bucket}.{self.host}", self.base_path)

    def connect(self, tls: ssl.SSLContext | None, timeouts: Timeouts) -> Host:
        parts = urlsplit(f"//{self.host}")
        secure = self.scheme == "https"
        port = parts.port or (443 if secure else 80)
        return Host(parts.hostname or "", port, tls if secure else None, timeouts)


_DNS_SUFFIXES = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
}
"""Keyed by the prefix of a region's name. All other partitions have amazonaws.com."""


def endpoint(service: str, region: str, environment: Mapping[str, str]) -> Endpoint:
    """The endpoint of a service, such as `dynamodb`, configured by the same variables as in the SDKs."""
    url = None
    if environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        own = environment.get(f"AWS_ENDPOINT_URL_{service.upper()}")
        url = own or environment.get("AWS_ENDPOINT_URL")
    suffixes = (name for start, name in _DNS_SUFFIXES.items() if region.startswith(start))
    return Endpoint.parse(url or f"https://{service}.{region}.{next(suffixes, 'amazonaws.com')}")


def tls_context(environment: Mapping[str, str]) -> ssl.SSLContext:
    """A context that verifies hosts against AWS_CA_BUNDLE or the system's certificates. Creating it takes
    tens of milliseconds of CPU. Raise RuntimeError if no certificates exist, as every handshake would
    fail."""
    context = ssl.create_default_context(cafile=environment.get("AWS_CA_BUNDLE") or None)
    directory = ssl.get_default_verify_paths().capath  # OpenSSL reads its files on demand
    if not context.cert_store_stats()["x509_ca"] and not (
        directory and any(Path(directory).iterdir())
    ):
        raise RuntimeError("no CA certificates found: set AWS_CA_BUNDLE or SSL_CERT_FILE")
    return context


def credentials(environment: Mapping[str, str]) -> Credentials:
    """The credentials that Lambda gives a function. Raise RuntimeError if there are none."""
    key_id = environment.get("AWS_ACCESS_KEY_ID")
    secret = environment.get("AWS_SECRET_ACCESS_KEY")
    if not key_id or not secret:
        raise RuntimeError("no AWS credentials in the environment")
    return Credentials(key_id, secret, environment.get("AWS_SESSION_TOKEN"))
