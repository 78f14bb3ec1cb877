"""app/openapi.yaml says what is so."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
from description import (
    DESCRIPTION,
    ERRORS,
    EXAMPLES,
    REQUESTS,
    RESPONSES,
    SCHEMAS,
    Example,
    check,
    validate,
)
from on_fakes import Product
from openapi_spec_validator import OpenAPIV31SpecValidator
from wordtally import errors, http

from local import server
from local.gateway import Event, FunctionError, FunctionTimeout, Gateway, Route

GOOD = b'{"parameter": "hello world"}'


def test_it_is_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DESCRIPTION).validate()


def test_its_codes_are_those_of_the_code() -> None:
    code = {
        error.code: error.status
        for error in vars(errors).values()
        if isinstance(error, type)
        and issubclass(error, errors.WordtallyError)
        and "code" in vars(error)
    }
    assert code | {"internal_error": 500} == ERRORS
    for schema, statuses in [("Error", range(400, 500)), ("ServerError", range(500, 600))]:
        described = set(SCHEMAS[schema]["properties"]["code"]["enum"])
        assert described == {code for code, status in ERRORS.items() if status in statuses}


def test_its_limit_is_that_of_the_code() -> None:
    assert SCHEMAS["Text"]["properties"]["parameter"]["maxLength"] == http.MAX_CHARACTERS


class Failing:
    """Implements gateway.Function: every call fails with `error`."""

    def __init__(self, error: FunctionError) -> None:
        self.error = error

    def invoke(self, event: Event) -> Any:
        raise self.error


def broken(error: str) -> Route:
    """To the product's function, whose table answers every first write with `error`."""
    return Route(Product(error).function)


def after_another_text(key: str) -> Route:
    product = Product()
    product.respond({"headers": {"idempotency-key": key}, "body": '{"parameter": "another text"}'})
    return Route(product.function)


SITUATIONS: dict[str, Callable[[], Route]] = {
    "unauthorized": lambda: server.routes("the right key")["POST /"],
    "forbidden": lambda: server.routes("the right key")["POST /"],
    "idempotency_key_reused": lambda: after_another_text("of another text"),
    "internal_error": lambda: broken("AccessDeniedException"),
    "unavailable": lambda: broken("ThrottlingException"),
    "unavailable_with_a_key": lambda: broken("ThrottlingException"),
    "internal_server_error": lambda: Route(Failing(FunctionError())),
    "service_unavailable": lambda: Route(Failing(FunctionTimeout())),
}
"""Where an answer needs more than its request: the route that gives it."""


@pytest.mark.parametrize(
    "example",
    # 429 needs more requests than one: TestThrottling in test_local.py sends them.
    [example for example in EXAMPLES if example.status not in (200, 429)],
    ids=lambda example: example.name,
)
def test_the_example_of_an_answer_is_what_its_request_gets(
    example: Example, product: str, serve: Callable[[Any], str]
) -> None:
    situation = SITUATIONS.get(example.name)
    assert situation or example.request, "nothing makes this answer come"
    request = example.request or {}
    answer = requests.request(
        request.get("method", "POST"),
        serve(Gateway({"POST /": situation()})) if situation else product,
        data=GOOD if example.body is None else example.body,
        headers={"Content-Type": "application/json", **request.get("headers", {})},
        timeout=10,
    )
    # The request id is another one each time.
    replaced = {"request_id": example.answer["request_id"]} if "request_id" in answer.json() else {}
    assert (answer.status_code, {**answer.json(), **replaced}) == (example.status, example.answer)
    for name, header in RESPONSES[str(example.status)].get("headers", {}).items():
        assert (name in answer.headers) == ("code" in example.answer)
        if name in answer.headers:
            validate(int(answer.headers[name]), header["schema"])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_examples_of_answers_are_of_their_schemas(example: Example) -> None:
    check(example.status, example.answer)


@pytest.mark.parametrize("name", REQUESTS)
def test_examples_of_requests_are_counted_and_the_link_opens_a_report(
    name: str, product: str
) -> None:
    body = REQUESTS[name]["value"]
    validate(body, SCHEMAS["Text"])
    answer = requests.post(product, json=body, timeout=10)
    assert answer.status_code == 200
    check(200, answer.json())
    report = requests.get(answer.json()["url"], timeout=10)
    validate(report.json(), SCHEMAS["Report"])
