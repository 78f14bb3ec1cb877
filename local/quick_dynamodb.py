"""moto's DynamoDB, made quick enough for tables of thousands of words and small enough to stay up."""

import copy
import json
from typing import Any


def answer_with_items_as_they_are() -> None:
    """moto's serialiser looks each key of each item up by several names: most of a scan's time."""
    from moto.dynamodb.responses import DynamoResult

    execute = DynamoResult.execute_result

    def execute_result(self: Any, context: Any) -> Any:
        if context.operation_model.name not in ("BatchGetItem", "Scan", "UpdateItem"):
            return execute(self, context)
        return 200, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(self.result)

    DynamoResult.execute_result = execute_result


def copy_only_what_a_transaction_writes() -> None:
    """moto copies the whole table for each action: seconds for a text, on the table of a book."""
    from moto.dynamodb.models import DynamoDBBackend
    from moto.dynamodb.models.table import Table

    transact = DynamoDBBackend.transact_write_items

    def transact_write_items(self: Any, actions: list[dict[str, Any]]) -> None:
        before = []
        for (action,) in (operation.values() for operation in actions):
            table = self.get_table(action["TableName"])
            key = self.get_keys_value(table, action.get("Key") or action["Item"])
            before.append((table, key, copy.deepcopy(table.get_item(*key))))
        try:
            transact(self, actions)
        except Exception:
            for table, key, item in before:
                put_back(table, key, item)
            raise

    def put_back(table: Any, key: tuple[Any, Any], item: Any) -> None:
        hash_key, range_key = key
        if item is None:
            table.delete_item(hash_key, range_key)
        elif range_key:
            table.items[hash_key][range_key] = item
        else:
            table.items[hash_key] = item

    Table.__deepcopy__ = lambda table, _: table
    DynamoDBBackend.transact_write_items = transact_write_items


def forget_copies() -> None:
    """moto keeps everything that it ever made, each item as it was before an update among it."""
    from moto.core.common_models import BaseModel

    BaseModel.__new__ = lambda cls, *_, **__: object.__new__(cls)
