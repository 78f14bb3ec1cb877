"""The product's own function, on the fakes of app/tests."""

from types import SimpleNamespace

from fakes import ClientError, FakeDynamoDB, FakeS3
from wordtally import handler, http
from wordtally.counts import DynamoDBCounts
from wordtally.reports import S3Reports

from local.gateway import Event
from local.instances import InProcessFunction


class Product:
    """One function instance with an empty table and bucket; its first upsert raises `fault`."""

    def __init__(self, fault: ClientError | None = None) -> None:
        self.table = FakeDynamoDB()
        self.table.faults["UpdateItem"] = [fault]
        self.bucket = FakeS3()
        self._application = handler.Application(
            DynamoDBCounts(self.table, "words"), S3Reports(self.bucket, "reports", 600), 1000
        )
        self.function = InProcessFunction(lambda: self._handle)

    def _handle(self, event: Event, context: object) -> http.Answer:
        return handler.respond(lambda: self._application, event, context)

    def respond(self, event: Event) -> http.Answer:
        return self._handle(event, SimpleNamespace(aws_request_id="request-1"))

    @property
    def calls(self) -> list[str]:
        """What was asked of table and bucket."""
        return self.table.calls + self.bucket.calls
