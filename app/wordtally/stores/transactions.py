"""DynamoDB's transactions: conflicts and throttling are retried until the deadline."""

from collections.abc import Callable
from typing import Any

from wordtally.aws.client import Answer
from wordtally.aws.errors import AwsError
from wordtally.errors import Unavailable
from wordtally.stores.calls import Calls
from wordtally.work import Work, jittered_pause

THROTTLED_PAUSE_SECONDS = 1.0
"""The longest pause after a throttled attempt."""

_THROTTLED = frozenset(["ProvisionedThroughputExceeded", "ThrottlingError"])

Action = dict[str, Any]
"""An entry of TransactItems."""


class Transactions:
    """Raises Unavailable for throttling and outages."""

    def __init__(self, calls: Calls, pause: Callable[..., None] = jittered_pause) -> None:
        self._calls = calls
        self._pause = pause

    def write(self, actions: list[Action], work: Work) -> list[Any] | None:
        """Write all items or none. Return None on success. If a condition failed, return a list
        with an entry for each action: None if its condition held; otherwise the item that did not
        meet the condition, or {} if the action did not request the item."""
        attempt = 0
        while True:
            try:
                self._calls.one("TransactWriteItems", {"TransactItems": actions}, work, _nothing)
            except AwsError as error:
                if error.code != "TransactionCanceledException":
                    raise
                reasons = error.reasons
            else:
                return None
            try:
                codes = {str(reason["Code"]) for reason in reasons} - {"None"}
                if "ConditionalCheckFailed" in codes:
                    return [_refused(reason) for reason in reasons]
            except (LookupError, TypeError, AttributeError) as error:
                raise Unavailable("TransactWriteItems: unreadable answer") from error
            code = ", ".join(sorted(codes)) or "no reason"
            if not codes:
                raise Unavailable(f"TransactWriteItems: {code}")
            if codes - _THROTTLED - {"TransactionConflict"}:
                raise AwsError("TransactWriteItems", code)
            work.write_conflicts += "TransactionConflict" in codes
            attempt += 1
            if codes & _THROTTLED:
                work.throttled += 1
                self._pause(attempt, THROTTLED_PAUSE_SECONDS)
            else:
                self._pause(attempt)


def _nothing(_: Answer) -> None:
    """The answer to a committed transaction is empty."""


def _refused(reason: dict[str, Any]) -> Any:
    return reason.get("Item", {}) if reason["Code"] == "ConditionalCheckFailed" else None
