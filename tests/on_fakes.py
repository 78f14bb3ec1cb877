"""The product's own function, on the fakes of app/tests."""

import copy
from typing import Any

from fakes import (
    FakeDynamoDB,
    FakeKinesis,
    FakeS3,
    FakeSqs,
    counts_over,
    refused,
    reports_over,
    stream_over,
)
from wordtally import handler
from wordtally.domain.ranking import Ranking
from wordtally.ways_in import http

from local.services.gateway import Event
from local.services.instances import Context, InProcessFunction


def stored(table: FakeDynamoDB, bucket: FakeS3) -> dict[str, Any]:
    """A copy of the contents of the table and the bucket."""
    return copy.deepcopy(
        {"words": table.items, "markers": table.markers, "objects": bucket.objects}
    )


class Product:
    """One function instance with an empty table and bucket. The first write to the table and the first
    read of the report fail with `error`, an error code of AWS."""

    def __init__(self, error: str | None = None, *, with_stream: bool = False) -> None:
        self.table, self.bucket = FakeDynamoDB(), FakeS3()
        for client, operation in [
            (self.table, "UpdateItem"),
            (self.table, "TransactWriteItems"),
            (self.bucket, "GetObject"),
        ]:
            client.faults[operation] = [refused(operation, error) if error else None]
        self.kinesis = FakeKinesis()
        reports = reports_over(self.bucket)
        ranking = Ranking(counts_over(self.table), reports, 1000)
        stream = stream_over(self.table, ranking, self.kinesis, FakeSqs())
        self._application = handler.Application(
            ranking, reports, 24, stream=(lambda: stream) if with_stream else None
        )
        self.function = InProcessFunction(lambda: self._handle)

    def _handle(self, event: Event, context: object) -> http.Answer:
        return handler.handle(lambda: self._application, event, context)

    def respond(self, event: Event) -> http.Answer:
        return self._handle(event, Context())

    @property
    def calls(self) -> list[str]:
        """The calls to the table and the bucket."""
        return self.table.calls + self.bucket.calls
