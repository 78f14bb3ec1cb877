"""Three ways to rank, on the same fake AWS: this product, and what others do."""

import json
import os
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from wordtally import counts, handler, http, ranking, words
from wordtally.once import Marker
from wordtally.settings import Settings
from wordtally.work import Work

from local import aws

Tally = Callable[[str], None]
"""A warm function instance that counts a text; raises unless the answer is 200."""

SETTINGS = Settings(aws.REGION, "words", "reports", 600, 1000, "markers", 24)


def product(settings: Settings = SETTINGS) -> Tally:
    return serving(handler.application(settings))


def scan_per_request() -> Tally:
    """This product's upserts and clients, but every request reads the whole table."""
    return product(replace(SETTINGS, scan_up_to_words=ranking.ALWAYS))


def scan_per_request_one_after_the_other() -> Tally:
    """The same with sequential upserts, and a new client for each: public implementations do so."""
    application = handler.application(SETTINGS)
    instance = ranking.Ranking(OneAfterTheOther(), application.reports, ranking.ALWAYS)
    return serving(replace(application, ranking=instance))


class OneAfterTheOther:
    """Implements ranking.Counts."""

    def add(self, words: Mapping[str, int], work: Work) -> dict[str, int]:
        totals: dict[str, int] = {}
        for word, times in words.items():
            totals |= counts.connect(SETTINGS).add({word: times}, work)
        return totals

    def add_once(self, marker: Marker, words: Mapping[str, int], work: Work) -> dict[str, int]:
        raise NotImplementedError

    def scan(self, expected: int | None, work: Work) -> Any:
        return counts.connect(SETTINGS).scan(expected, work)


def serving(application: handler.Application) -> Tally:
    """All of a request but the deadline, which a scan of a large table would miss."""

    def tally(text: str) -> None:
        request = http.request_of({"body": json.dumps({"parameter": text})})
        published = application.ranking.tally(words.count(request.text), Work())
        http.success(application.reports.url(published))

    return tally


@dataclass
class Seen:
    """What the fake AWS saw."""

    calls: dict[str, int]
    bytes: int
    read_units: float
    write_units: int

    def each_of(self, requests: int) -> "Seen":
        """What one of so many equal requests did."""
        calls = {name: count // requests for name, count in self.calls.items()}
        return Seen(
            calls,
            self.bytes // requests,
            self.read_units / requests,
            self.write_units // requests,
        )

    def named(self) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in sorted(self.calls.items()))


class Endpoint:
    """The fake AWS, seen from outside; whoever makes clients after this talks to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        os.environ.update(aws.environment(url))

    def reset(self, table_words: int, delay_ms: float) -> None:
        body = json.dumps({"words": table_words, "delay_ms": delay_ms}).encode()
        urllib.request.urlopen(f"{self.url}/_reset", data=body).close()

    def seen(self) -> Seen:
        """Since last asked."""
        with urllib.request.urlopen(f"{self.url}/_calls") as answer:
            return Seen(**json.load(answer))
