"""Lambda for `make run`, in this process: each instance serves one request at a time, and new instances
start when all are busy."""

import json
import logging
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from local.services.gateway import Event, FunctionError

Handler = Callable[[Event, Any], Any]

TIMEOUT_SECONDS = 900

_request_id: ContextVar[str] = ContextVar("request_id")
"""ID of the request that this thread is serving. Lambda adds it to every log line."""


class Context:
    """The parts of a Lambda handler's context that the product uses."""

    def __init__(self) -> None:
        self.aws_request_id = str(uuid.uuid4())
        self._ends = time.monotonic() + TIMEOUT_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        return int((self._ends - time.monotonic()) * 1000)


class InProcessFunction:
    """Implements gateway.Function. `start` creates an instance: a handler with its own clients."""

    def __init__(self, start: Callable[[], Handler]) -> None:
        self._start = start
        self._starting = threading.Lock()  # botocore cannot create clients concurrently
        self._idle: list[Handler] = []

    def invoke(self, event: Event) -> Any:
        try:
            instance = self._idle.pop()
        except IndexError:
            with self._starting:
                instance = self._start()
        context = Context()
        serving = _request_id.set(context.aws_request_id)
        try:
            # Convert to JSON and back, as the API and Lambda do.
            result = instance(json.loads(json.dumps(event)), context)
            return json.loads(json.dumps(result))
        except Exception as error:
            traceback.print_exc()
            raise FunctionError from error
        finally:
            _request_id.reset(serving)
            self._idle.append(instance)


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object per line, as in Lambda's JSON log format."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        if request_id := _request_id.get(None):
            line["requestId"] = request_id
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        return json.dumps(line, ensure_ascii=False)


def log_to_stdout() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("wordtally")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
