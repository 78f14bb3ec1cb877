"""Makes moto's DynamoDB fast enough for tables of thousands of words, and stops its memory leak: for
`make run` and `make stack`."""

import copy
import json
from typing import Any


def skip_serialisation_of_items() -> None:
    """moto's serialiser looks up each key of each item by several names, which takes most of a scan."""
    from moto.dynamodb.responses import DynamoResult

    execute = DynamoResult.execute_result

    def execute_result(self: Any, context: Any) -> Any:
        if context.operation_model.name not in ("BatchGetItem", "Scan", "UpdateItem"):
            return execute(self, context)
        return 200, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(self.result)

    DynamoResult.execute_result = execute_result


def copy_only_what_a_transaction_writes() -> None:
    """moto copies the whole table for each action. With the words of a book, that takes seconds per text."""
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


def free_copies() -> None:
    """moto never frees the objects it creates, including every previous version of an item."""
    from moto.core.common_models import BaseModel

    BaseModel.__new__ = lambda cls, *_, **__: object.__new__(cls)
