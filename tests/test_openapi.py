"""app/openapi.yaml agrees with the product."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

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
    resolved,
    validate,
)
from on_fakes import Product
from openapi_spec_validator import OpenAPIV31SpecValidator
from wordtally import __version__, errors, handler
from wordtally.settings import Settings
from wordtally.ways_in import http

from local import server
from local.services.gateway import Event, Function, FunctionError, FunctionTimeout, Gateway, Route
from local.services.instances import InProcessFunction

GOOD = b'{"parameter": "hello world"}'


def test_it_is_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DESCRIPTION).validate()


def test_its_version_is_that_of_the_code() -> None:
    assert DESCRIPTION["info"]["version"] == __version__


def test_its_error_codes_are_those_of_errors_py() -> None:
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


def test_its_limit_on_a_text_is_that_of_the_code() -> None:
    assert SCHEMAS["Text"]["properties"]["parameter"]["maxLength"] == http.MAX_CHARACTERS


class Failing:
    """Implements gateway.Function: every call fails with `error`."""

    def __init__(self, error: FunctionError) -> None:
        self.error = error

    def invoke(self, event: Event) -> Any:
        raise self.error


def everywhere(function: Function) -> dict[str, Route]:
    return dict.fromkeys(RESPONSES, Route(function))


def broken(error: str) -> dict[str, Route]:
    """Routes to the product's function. AWS answers its first call with `error`."""
    return everywhere(Product(error).function)


def misconfigured() -> dict[str, Route]:
    """Routes to the product's function without its settings."""

    def handle(event: Event, context: Any) -> http.Answer:
        return handler.handle(
            lambda: handler.application(Settings.from_environment({})), event, context
        )

    return everywhere(InProcessFunction(lambda: handle))


def after_another_text(key: str) -> dict[str, Route]:
    product = Product()
    product.respond({"headers": {"idempotency-key": key}, "body": '{"parameter": "another text"}'})
    return everywhere(product.function)


def without_the_page() -> dict[str, Route]:
    routes = server.routes("")
    del routes["GET /"]
    return routes


SITUATIONS: dict[str, Callable[[], dict[str, Route]]] = {
    "accepted": lambda: everywhere(Product(with_stream=True).function),
    "unauthorized": lambda: server.routes("the right key"),
    "forbidden": lambda: server.routes("the right key"),
    "no_page": without_the_page,
    "no_report": lambda: everywhere(Product().function),
    "idempotency_key_reused": lambda: after_another_text("of another text"),
    "internal_error": misconfigured,
    "unavailable": lambda: broken("ThrottlingException"),
    "unavailable_with_a_key": lambda: broken("ThrottlingException"),
    "internal_server_error": lambda: everywhere(Failing(FunctionError())),
    "service_unavailable": lambda: everywhere(Failing(FunctionTimeout())),
}
"""For answers that depend on more than the request: the routes of an API that gives the answer, by the
name of the example."""


def test_its_operations_are_the_routes_and_those_with_security_need_a_key() -> None:
    routes = server.routes("the right key")
    assert set(RESPONSES) == set(routes)
    for operation, responses in RESPONSES.items():
        method, path = operation.split()
        security = DESCRIPTION["paths"][path][method.lower()]["security"]
        guarded = routes[operation].authorizer is not None
        assert guarded == ({"apiKey": []} in security) == ({401, 403} <= set(responses))


@pytest.mark.parametrize(
    "example",
    # A single request never gets 429. TestThrottling in test_local.py sends several.
    [example for example in EXAMPLES if example.status not in (200, 429)],
    ids=str,
)
def test_each_example_of_an_answer_is_a_real_answer(
    example: Example, product: str, serve: Callable[[Any], str]
) -> None:
    situation = SITUATIONS.get(example.name)
    assert situation or example.request, "no request and no situation gets this answer"
    request = example.request or {}
    body = GOOD if example.operation == "POST /" and example.body is None else example.body
    answer = requests.request(
        example.method,
        urljoin(serve(Gateway(situation())) if situation else product, example.path),
        data=body,
        headers={"Content-Type": "application/json", **request.get("headers", {})},
        timeout=10,
    )
    # The request id differs each time.
    replaced = {"request_id": example.answer["request_id"]} if "request_id" in answer.json() else {}
    assert (answer.status_code, {**answer.json(), **replaced}) == (example.status, example.answer)
    described = RESPONSES[example.operation][example.status].get("headers", {})
    for name, header in described.items():
        always = header.get("required", False)
        assert (name in answer.headers) == (always or "code" in example.answer)
        if value := answer.headers.get(name):
            validate(int(value) if value.isdigit() else value, resolved(header)["schema"])


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_examples_of_answers_match_their_schemas(example: Example) -> None:
    check(example.operation, example.status, example.answer)


@pytest.mark.parametrize("path", DESCRIPTION["paths"])
def test_head_is_not_found(path: str, product: str) -> None:
    assert requests.head(urljoin(product, path), timeout=10).status_code == 404


def test_the_page_has_the_headers_of_its_description_and_is_sent_once(product: str) -> None:
    full = requests.get(product, timeout=10)
    described = RESPONSES["GET /"][full.status_code]["content"]["text/html"]
    assert full.headers["Content-Type"].startswith("text/html;")
    validate(full.text, described["schema"])
    again = requests.get(product, headers={"If-None-Match": full.headers["ETag"]}, timeout=10)
    assert (full.status_code, again.status_code, again.content) == (200, 304, b"")
    for answer in [full, again]:
        for name, header in RESPONSES["GET /"][answer.status_code]["headers"].items():
            validate(answer.headers[name], header["schema"])


def test_every_header_of_the_page_is_in_its_description() -> None:
    sent = Product().respond({"routeKey": "GET /"})["headers"].keys() - {"content-type"}
    assert sent == {name.lower() for name in RESPONSES["GET /"][200]["headers"]}


@pytest.mark.parametrize("name", REQUESTS)
def test_examples_of_requests_are_counted_and_the_link_opens_a_report(
    name: str, product: str
) -> None:
    body = REQUESTS[name]["value"]
    validate(body, SCHEMAS["Text"])
    answer = requests.post(product, json=body, timeout=10)
    assert answer.status_code == 200
    check("POST /", 200, answer.json())
    report = requests.get(answer.json()["url"], timeout=10)
    validate(report.json(), SCHEMAS["Report"])
    link = requests.get(urljoin(product, "report"), timeout=10)
    assert link.status_code == 200
    check("GET /report", 200, link.json())
    assert requests.get(link.json()["url"], timeout=10).json() == report.json()
