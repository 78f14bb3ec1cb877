"""schemathesis looks for requests whose answers are not in app/openapi.yaml."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from conftest import running_product
from description import PATH, RESPONSES, check
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

DESCRIPTION = schemathesis.openapi.from_path(str(PATH))

# unsupported_method expects 405, but the API answers 404 to a method without a route.
# positive_data_acceptance expects 200 for every text that fits the schema, but a schema cannot require
# that a text contains a word.
EXCLUDED = [unsupported_method, positive_data_acceptance]


@pytest.fixture(scope="module")
def product() -> Iterator[str]:
    """A separate server, as other tests expect to find only the texts that they posted."""
    with running_product() as url:
        yield url


@DESCRIPTION.parametrize()
def test_every_answer_conforms_to_the_contract(case: schemathesis.Case[Any], product: str) -> None:
    while (answer := case.call(base_url=product)).status_code == 429:
        time.sleep(0.1)
    case.validate_response(answer, excluded_checks=EXCLUDED)
    operation = f"{case.method} {case.path}"
    if operation not in RESPONSES:
        assert (answer.status_code, answer.json()) == (404, {"message": "Not Found"})
    elif operation == "GET /":
        assert answer.status_code in (200, 304)
    else:
        check(operation, answer.status_code, answer.json())
    if operation == "POST /" and answer.status_code >= 300 and is_positive(case):
        assert answer.json()["code"] in (
            "empty_parameter",
            "no_words",
            "word_too_long",
            "idempotency_key_reused",
        )


def is_positive(case: schemathesis.Case[Any]) -> bool:
    return bool(case.meta and case.meta.generation.mode.is_positive)
