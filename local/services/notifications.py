"""Notifications of uploads, for `make stack`: the emulated AWS announces them as S3 does, and this process
makes the calls.

S3 announces an upload at least once and calls the function asynchronously. Lambda retries a failed call
and finally sends it to the on-failure destination.
"""

import itertools
import json
import logging
import threading
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from local.emulator import aws, permissions
from local.services.failures import failure
from local.services.gateway import Event, Function, FunctionError

DUPLICATES_EVERY = 3
"""Every third announcement is delivered twice."""

RETRY_PAUSE_SECONDS = 0.1
"""Pause before the first retry of a call; it doubles after that. Lambda waits one and two minutes."""

_PATH = "/announcements"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A function that a bucket calls asynchronously."""

    function: Function
    retries: int
    send: Callable[[Event], object]
    """Sends a message to the on-failure destination, if there is one."""


class Announcements:
    """Calls functions for the uploads that the emulated AWS at `cloud` announces.

    `target_of` takes the ARNs of an alias and a bucket, and returns the Target for the alias. It raises
    an exception if the bucket may not call the alias.
    """

    def __init__(self, cloud: str, target_of: Callable[[str, str], Target]) -> None:
        self._cloud = cloud
        self._target_of = target_of
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._calls = ThreadPoolExecutor(2)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more announcements, and finish the calls in flight."""
        self._stopping.set()
        self._thread.join()
        self._calls.shutdown()

    def _listen(self) -> None:
        while not self._stopping.wait(0.1):
            for announced in take(self._cloud):
                times = 1 if next(self._numbers) % DUPLICATES_EVERY else 2
                for _ in range(times):
                    self._calls.submit(self._call, announced["function"], announced["event"])

    def _call(self, function_arn: str, event: Event) -> None:
        bucket_arn = event["Records"][0]["s3"]["bucket"]["arn"]
        try:
            self._call_asynchronously(
                self._target_of(function_arn, bucket_arn), function_arn, event
            )
        except Exception:  # nobody waits for this call, so any error ends here
            logger.exception("an announced upload reached neither function nor destination")

    def _call_asynchronously(self, target: Target, function_arn: str, event: Event) -> None:
        for attempt in range(target.retries + 1):
            if attempt:
                self._stopping.wait(RETRY_PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                target.function.invoke(event)
                return
            except FunctionError as error:
                message = failure(
                    function_arn,
                    "RetriesExhausted",
                    attempt + 1,
                    requestPayload=event,
                    responseContext={"statusCode": 200, "functionError": "Unhandled"},
                    responsePayload={"errorMessage": str(error)},
                )
        target.send(message)


def take(cloud: str) -> list[dict[str, Any]]:
    """The announcements since the last call, each with the ARN of a `function` and an `event`."""
    request = urllib.request.Request(cloud + _PATH, b"", method="POST")
    with urllib.request.urlopen(request) as opened:  # nosec B310 # always http://127.0.0.1
        announced: list[dict[str, Any]] = json.load(opened)
    return announced


def announcing_uploads(application: aws.Wsgi) -> aws.Wsgi:
    """Serve `POST /announcements` for `take`. moto would call the functions itself, in Docker.

    As on S3, a notification is rejected if the bucket may not call its function.
    """
    from moto.awslambda.models import lambda_backends
    from moto.s3 import notifications
    from moto.s3.exceptions import S3ClientError
    from moto.s3.models import FakeBucket

    waiting: list[dict[str, Any]] = []
    numbers = itertools.count(1)
    event_of, configure = (notifications._get_s3_event, FakeBucket.set_notification_configuration)

    def get_event(event_name: str, bucket: Any, key: Any, notification_id: str) -> Event:
        event: Event = event_of(event_name, bucket, key, notification_id)
        announced = event["Records"][0]["s3"]["object"]
        announced["sequencer"] = f"{next(numbers):016X}"
        if bucket.is_versioned:
            announced["versionId"] = key.version_id
        return event

    def announce(_: str, event: Event, function_arn: str, __: str) -> None:
        waiting.append({"function": function_arn, "event": event})

    def set_notification_configuration(self: Any, configuration: dict[str, Any] | None) -> None:
        configure(self, configuration)
        for each in self.notification_configuration.cloud_function if configuration else []:
            name, alias = each.arn.split(":")[6:]
            functions = lambda_backends[permissions.ACCOUNT][aws.REGION]
            policy = json.loads(functions.get_policy(name, alias))["Policy"]
            if not permissions.lets_call(policy, "s3.amazonaws.com", self.arn):
                self.notification_configuration = None
                raise S3ClientError("InvalidArgument", "Unable to validate the destination")

    notifications._get_s3_event = get_event
    notifications._invoke_awslambda = announce
    FakeBucket.set_notification_configuration = set_notification_configuration

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != _PATH:
            return application(environ, start_response)
        taken = [waiting.pop(0) for _ in range(len(waiting))]
        return aws.answer(start_response, json.dumps(taken).encode())

    return serve
