"""Three designs of the ranking, on the same fake AWS: this product, and common alternatives."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from wordtally import handler
from wordtally.domain import ranking, words
from wordtally.domain.once import Marker
from wordtally.settings import Settings
from wordtally.ways_in import http
from wordtally.work import Work

from bench.timing.instance import BOTOCORE, SETTINGS

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
