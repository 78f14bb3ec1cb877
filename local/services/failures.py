"""Lambda's on-failure destinations, for `make stack`: a queue for events whose calls keep failing."""

import json
from collections.abc import Callable
from typing import Any

from local.services.gateway import Event


def failure(function_arn: str, condition: str, calls: int, **details: Any) -> Event:
    """The message for an event that Lambda gives up after `calls` calls of the function."""
    context = {"functionArn": function_arn, "condition": condition, "approximateInvokeCount": calls}
    return {"version": "1.0", "requestContext": context, **details}


def send_to(sqs: Any, settings: dict[str, Any]) -> Callable[[Event], object]:
    """A function that sends a message to the on-failure queue in `settings`: Lambda's settings of
    asynchronous calls or of an event source mapping. If there is no queue, messages are dropped."""
    queue_arn = settings.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    if not queue_arn:
        return lambda _: None
    account, name = queue_arn.split(":")[4:]
    url = f"{sqs.meta.endpoint_url}/{account}/{name}"
    return lambda message: sqs.send_message(QueueUrl=url, MessageBody=json.dumps(message))
