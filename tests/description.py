"""app/openapi.yaml, prepared for the tests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator.readers import read_from_filename

PATH = Path(__file__).parents[1] / "app/openapi.yaml"

Json = dict[str, Any]

DESCRIPTION: Json = dict(read_from_filename(str(PATH))[0])


def resolved(part: Json) -> Json:
    """Resolve a reference in `part`. Fields next to the reference override fields of its target."""
    if "$ref" not in part:
        return part
    found = DESCRIPTION
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return {**resolved(found), **{name: part[name] for name in part if name != "$ref"}}


RESPONSES: dict[str, dict[int, Json]] = {
    f"{method.upper()} {path}": {
        int(status): resolved(response) for status, response in operation["responses"].items()
    }
    for path, operations in DESCRIPTION["paths"].items()
    for method, operation in operations.items()
}
"""Responses by operation, such as `POST /`, and status."""

REQUESTS: Json = DESCRIPTION["paths"]["/"]["post"]["requestBody"]["content"]["application/json"][
    "examples"
]
SCHEMAS: Json = DESCRIPTION["components"]["schemas"]


@dataclass(frozen=True)
class Example:
    """An example of an answer. `request` is its x-request: how the request that gets this answer differs
    from a plain one. It is None if no single request gets this answer."""

    operation: str
    status: int
    name: str
    request: Json | None
    answer: Json

    @property
    def method(self) -> str:
        return str((self.request or {}).get("method", self.operation.split()[0]))

    @property
    def path(self) -> str:
        return self.operation.split()[1]

    @property
    def body(self) -> bytes | None:
        """The body in x-request, with `a×3` expanded to `aaa`."""
        body = (self.request or {}).get("body")
        if body is None:
            return None
        return re.sub("(.)×([0-9]+)", lambda match: match[1] * int(match[2]), body).encode()

    def __str__(self) -> str:
        return f"{self.operation} {self.name}"


def _examples(operation: str, status: int) -> Iterator[Example]:
    content = RESPONSES[operation][status].get("content", {})
    for name, part in content.get("application/json", {}).get("examples", {}).items():
        example = resolved(part)
        yield Example(operation, status, name, example.get("x-request"), example["value"])


EXAMPLES = [
    example
    for operation, responses in RESPONSES.items()
    for status in responses
    for example in _examples(operation, status)
]

ERRORS = {
    example.answer["code"]: example.status for example in EXAMPLES if "code" in example.answer
}
"""The status of each code."""


def validate(value: object, schema: Json) -> None:
    """Raise a ValidationError unless `value` matches `schema`, a part of the description."""
    OAS31Validator(
        {**schema, "components": DESCRIPTION["components"]}, format_checker=oas31_format_checker
    ).validate(value)


def check(operation: str, status: int, answer: Json) -> None:
    """Fail unless the description has this answer for this status."""
    responses = RESPONSES[operation]
    assert status in responses, f"status {status} of {operation} is not in the description"
    validate(answer, responses[status]["content"]["application/json"]["schema"])
    if "code" in answer:
        assert ERRORS[answer["code"]] == status
