"""Properties that every response has."""

import hashlib
import io
import json
import operator
from typing import Any

from description import check
from events import post
from hypothesis import given
from hypothesis import strategies as st
from on_fakes import Product, stored
from wordtally import authorizer
from wordtally.domain import words
from wordtally.ways_in import http

from local.services.gateway import Event, Gateway, Route

TEXTS = st.one_of(
    st.sampled_from(["", " \n", "!!! …", "a" * 1025, "好" * 342, "a " * 5000, "a " * 5001]),
    st.text(min_size=1),
    st.text(st.characters(), min_size=1),  # with lone surrogates
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
DOCUMENTS = st.builds(  # with NaN and Infinity
    json.dumps,
    st.fixed_dictionaries({"parameter": TEXTS}, optional={"more": JSON})
    | st.fixed_dictionaries({"parameter": JSON})
    | JSON,
    ensure_ascii=st.booleans(),
)
BODIES = DOCUMENTS | st.builds(operator.add, DOCUMENTS, st.text(max_size=2)) | st.text()
BYTES = st.builds(str.encode, BODIES, errors=st.just("surrogatepass")) | st.binary()
EVENTS = st.builds(post, BODIES | BYTES | st.none()) | st.fixed_dictionaries(
    {"body": BODIES, "isBase64Encoded": st.booleans()}
)
OTHERS = st.dictionaries(
    st.text().filter(lambda name: name not in ("headers", "requestContext", "routeKey")), JSON
)
"""Members of an event that the function does not read."""

HEADERS = st.none() | st.dictionaries(
    st.sampled_from(["if-none-match", "accept-encoding", "idempotency-key", "x-api-key"])
    | st.text(),
    st.sampled_from(["*", "gzip", "gzip;q=0", 'W/"a"', ","]) | st.text(),
)


def assert_conforms(product: Product, status: int, body: str) -> None:
    check("POST /", status, json.loads(body))
    assert status in (200, 400)
    assert bool(product.calls) == (status == 200)


@given(OTHERS, EVENTS)
def test_the_answer_to_any_event_conforms_to_the_contract(others: Event, event: Event) -> None:
    product = Product()
    answer = product.respond({**others, **event})
    assert_conforms(product, answer["statusCode"], answer["body"])
    assert answer["headers"] == http.HEADERS


@given(st.booleans(), OTHERS, EVENTS, HEADERS)
def test_a_request_for_a_link_writes_nothing_whatever_else_it_contains(
    posted: bool, others: Event, event: Event, headers: dict[str, str] | None
) -> None:
    product = Product()
    if posted:
        product.respond(post('{"parameter": "a b b"}'))
    before = stored(product.table, product.bucket)
    product.table.calls.clear()
    product.bucket.calls.clear()
    answer = product.respond({**others, **event, "headers": headers, "routeKey": "GET /report"})
    check("GET /report", answer["statusCode"], json.loads(answer["body"]))
    assert answer["statusCode"] == (200 if posted else 404)
    assert product.calls == ["GetObject"]
    assert stored(product.table, product.bucket) == before


@given(OTHERS, EVENTS, HEADERS)
def test_a_request_for_the_page_calls_nothing_whatever_else_it_contains(
    others: Event, event: Event, headers: dict[str, str] | None
) -> None:
    product = Product()
    answer = product.respond({**others, **event, "headers": headers, "routeKey": "GET /"})
    assert answer["statusCode"] in (200, 304)
    assert bool(answer["body"]) == (answer["statusCode"] == 200)
    assert product.calls == []


@given(
    BYTES,
    st.sampled_from(["", "application/json", "text/plain; charset=latin-1", "image/png"]),
    st.dictionaries(
        st.text(st.characters(codec="latin-1")), st.text(st.characters(codec="latin-1"))
    ),
)
def test_the_answer_to_any_bytes_conforms_to_the_contract(
    body: bytes, content_type: str, headers: dict[str, str]
) -> None:
    product = Product()
    status = 0

    def start_response(line: str, _headers: Any) -> None:
        nonlocal status
        status = int(line.split()[0])

    (answer,) = Gateway({"POST /": Route(product.function)})(
        {
            **{f"HTTP_{name}": value for name, value in headers.items()},
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/",
            "CONTENT_TYPE": content_type,
            "wsgi.input": io.BytesIO(body),
        },
        start_response,
    )
    assert_conforms(product, status, answer.decode())


@given(TEXTS)
def test_either_the_whole_text_is_counted_or_nothing(text: str) -> None:
    product = Product()
    answer = product.respond({"body": json.dumps({"parameter": text})})
    expected = words.count(text) if answer["statusCode"] == 200 else {}
    assert product.table.items == expected


@given(TEXTS)
def test_every_other_key_is_refused(key: str) -> None:
    digests = {"API_KEY_SHA256": hashlib.sha256(b"the right key").hexdigest()}
    answer = authorizer.authorize({"headers": {"x-api-key": key}}, digests)
    assert answer == {"isAuthorized": False}
