"""Three designs of the ranking, on the same fake AWS: this product, and common alternatives."""

import contextlib
import json
import os
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from wordtally import handler
from wordtally.domain import ranking, words
from wordtally.domain.once import Marker
from wordtally.settings import Settings
from wordtally.ways_in import http
from wordtally.work import Work

from bench.timing.instance import BOTOCORE, SETTINGS
from local.emulator import aws

Tally = Callable[[str], None]
"""A warm function instance that counts a text; raises unless the answer is 200."""


def product(settings: Settings = SETTINGS) -> Tally:
    return serving(handler.application(settings))


def scan_per_request() -> Tally:
    """This product's upserts and client, but every request reads the whole table."""
    return product(replace(SETTINGS, scan_up_to_words=ranking.ALWAYS))


def scan_per_request_one_after_the_other() -> Tally:
    """Sequential upserts by botocore, with a new client for each, as in public implementations."""
    application = handler.application(BOTOCORE)
    counts = OneAfterTheOther(application.ranking._counts)
    instance = ranking.Ranking(counts, application.reports, ranking.ALWAYS)
    return serving(replace(application, ranking=instance))


class OneAfterTheOther:
    """Implements ranking.Counts."""

    def __init__(self, counts: ranking.Counts) -> None:
        import botocore.session

        self._session: Any = botocore.session.get_session()  # for all clients, as in boto3.client()
        self.scan = counts.scan

    def add(self, words: Mapping[str, int], work: Work) -> dict[str, int]:
        totals: dict[str, int] = {}
        for word, times in words.items():
            answer = self._session.create_client("dynamodb").update_item(
                TableName=SETTINGS.words_table,
                Key={"word": {"S": word}},
                UpdateExpression="ADD times :n",
                ExpressionAttributeValues={":n": {"N": str(times)}},
                ReturnValues="UPDATED_NEW",
            )
            totals[word] = int(answer["Attributes"]["times"]["N"])
        work.upserts += len(totals)
        return totals

    def add_once(self, marker: Marker, words: Mapping[str, int], work: Work) -> dict[str, int]:
        raise NotImplementedError


def serving(application: handler.Application) -> Tally:
    """A whole request without its deadline, which a scan of a large table would miss."""

    def tally(text: str) -> None:
        request = http.request_of({"body": json.dumps({"parameter": text})})
        published = application.ranking.tally(words.count(request.text), Work())
        http.success(application.reports.url(published))

    return tally


@dataclass
class Seen:
    """The calls that the fake AWS received."""

    calls: dict[str, int]
    bytes: int
    read_units: float
    write_units: int
    cpu_ms: float
    """CPU time of the fake AWS. If it is well below the time of a request, the fake is no bottleneck."""

    def each_of(self, requests: int) -> "Seen":
        """The share of one of `requests` equal requests."""
        calls = {name: count // requests for name, count in self.calls.items()}
        return Seen(
            calls,
            self.bytes // requests,
            self.read_units / requests,
            self.write_units // requests,
            self.cpu_ms / requests,
        )

    def named(self) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in sorted(self.calls.items()))


TRANSPORTS = ("HTTP", "TLS")


class Endpoint:
    """The fake AWS, seen from outside. Clients created after this one use it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._tls = self._get("/_tls")
        os.environ.update(aws.environment(url))
        os.environ["AWS_SESSION_TOKEN"] = "token" * 200  # about as long as a function's

    @contextlib.contextmanager
    def tls(self) -> Iterator[None]:
        """Clients that are created inside the context use TLS; so do child processes."""
        changes = {"AWS_ENDPOINT_URL": self._tls["url"], "AWS_CA_BUNDLE": self._tls["bundle"]}
        with mock.patch.dict(os.environ, changes):
            yield

    def over(self, transport: str) -> contextlib.AbstractContextManager[None]:
        """The context for a name of TRANSPORTS: like `tls`, or without any effect."""
        return self.tls() if transport == "TLS" else contextlib.nullcontext()

    def reset(self, table_words: int, delay_ms: float, writes_per_second: int = 0) -> None:
        changes = {"words": table_words, "delay_ms": delay_ms}
        if writes_per_second:
            changes["writes_per_second"] = writes_per_second
        body = json.dumps(changes).encode()
        urllib.request.urlopen(f"{self.url}/_reset", data=body).close()

    def put(self, path: str, content: bytes, times: int = 1) -> None:
        """Put an object into the fake S3: the content, repeated `times` times."""
        request = urllib.request.Request(f"{self.url}/{path}", data=content, method="PUT")
        urllib.request.urlopen(request).close()
        if times > 1:
            body = json.dumps({"path": path, "times": times}).encode()
            urllib.request.urlopen(f"{self.url}/_repeat", data=body).close()

    def seen(self) -> Seen:
        """The calls since the last call of `seen`."""
        return Seen(**self._get("/_calls"))

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)
