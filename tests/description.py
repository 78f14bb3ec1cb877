"""app/openapi.yaml, as the tests use it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator.readers import read_from_filename

PATH = Path(__file__).parents[1] / "app/openapi.yaml"

Json = dict[str, Any]

DESCRIPTION: Json = dict(read_from_filename(str(PATH))[0])
OPERATION: Json = DESCRIPTION["paths"]["/"]["post"]
REQUESTS: Json = OPERATION["requestBody"]["content"]["application/json"]["examples"]
RESPONSES: Json = OPERATION["responses"]
SCHEMAS: Json = DESCRIPTION["components"]["schemas"]


@dataclass(frozen=True)
class Example:
    """An answer, and how its request deviates from a good one (None: no request does it)."""

    status: int
    name: str
    request: Json | None
    answer: Json

    @property
    def body(self) -> bytes | None:
        """The request's own body, `a×3` written out."""
        body = (self.request or {}).get("body")
        if body is None:
            return None
        return re.sub("(.)×([0-9]+)", lambda match: match[1] * int(match[2]), body).encode()


EXAMPLES = [
    Example(int(status), name, example.get("x-request"), example["value"])
    for status, response in RESPONSES.items()
    for name, example in response["content"]["application/json"]["examples"].items()
]

ERRORS = {
    example.answer["code"]: example.status for example in EXAMPLES if "code" in example.answer
}
"""The status of each code."""


def validate(value: object, schema: Json) -> None:
    """Raise a ValidationError unless `value` is what `schema`, a part of the description, says."""
    OAS31Validator(
        {**schema, "components": DESCRIPTION["components"]}, format_checker=oas31_format_checker
    ).validate(value)


def check(status: int, answer: Json) -> None:
    """Fail unless the description has this answer under this status."""
    assert str(status) in RESPONSES, f"status {status} is not in the description"
    validate(answer, RESPONSES[str(status)]["content"]["application/json"]["schema"])
    if "code" in answer:
        assert ERRORS[answer["code"]] == status
