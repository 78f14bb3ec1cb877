"""The product's own function, on the fakes of app/tests."""

import copy
from typing import Any

from fakes import FakeDynamoDB, FakeS3, counts_over, refused, reports_over
from wordtally import handler, http
from wordtally.ranking import Ranking

from local.gateway import Event
from local.instances import Context, InProcessFunction


def stored(table: FakeDynamoDB, bucket: FakeS3) -> dict[str, Any]:
    """What table and bucket hold, as a copy."""
    return copy.deepcopy(
        {"words": table.items, "markers": table.markers, "objects": bucket.objects}
    )


class Product:
    """One function instance with an empty table and bucket; the first write to the table and the first
    read of the report fail with `error`, an error code of AWS's."""

    def __init__(self, error: str | None = None) -> None:
        self.table, self.bucket = FakeDynamoDB(), FakeS3()
        for client, operation in [
            (self.table, "UpdateItem"),
            (self.table, "TransactWriteItems"),
            (self.bucket, "GetObject"),
        ]:
            client.faults[operation] = [refused(operation, error) if error else None]
        reports = reports_over(self.bucket)
        self._application = handler.Application(
            Ranking(counts_over(self.table), reports, 1000), reports, 24
        )
        self.function = InProcessFunction(lambda: self._handle)

    def _handle(self, event: Event, context: object) -> http.Answer:
        return handler.handle(lambda: self._application, event, context)

    def respond(self, event: Event) -> http.Answer:
        return self._handle(event, Context())

    @property
    def calls(self) -> list[str]:
        """What was asked of table and bucket."""
        return self.table.calls + self.bucket.calls
