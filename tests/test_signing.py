"""Signatures equal botocore's for generated requests, and equal those that AWS has published."""

import calendar
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from typing import Any
from unittest import mock
from urllib.parse import urlsplit
from xml.etree import ElementTree

import botocore.session
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.serialize import RestXMLSerializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wordtally.aws import operations
from wordtally.aws.connections import Response
from wordtally.aws.signing import Credentials, Signer, canonical_request, encode_query
from wordtally.aws.thin import ThinClient

REGION = "eu-west-3"

words = st.text(min_size=1, max_size=20)
# Header values that botocore accepts: printable ASCII, with spaces inside and around.
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
keys = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    # botocore's URL parsing takes these for relative paths.
    lambda key: not {".", ".."} & set(key.split("/"))
)
secrets = st.text("abcXYZ019+/=", min_size=1, max_size=40)
credentials = st.builds(
    Credentials, st.text("ABCDEFGHIJ234567", min_size=1, max_size=20), secrets, st.none() | secrets
)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1))

updates = st.builds(
    lambda word, times: {
        "TableName": "words",
        "Key": {"word": {"S": word}},
        "UpdateExpression": "ADD times :n",
        "ExpressionAttributeValues": {":n": {"N": str(times)}},
        "ReturnValues": "UPDATED_NEW",
    },
    words,
    st.integers(1, 10_000),
)
word_keys = words.map(lambda word: {"word": {"S": word}})
scans = st.fixed_dictionaries({"TableName": st.just("words"), "ExclusiveStartKey": word_keys})
transactions = st.fixed_dictionaries(
    {
        "ClientRequestToken": st.text("0123456789abcdef", min_size=1, max_size=32),
        "TransactItems": updates.map(lambda update: [{"Update": update}]),
    }
)
batches = st.lists(word_keys, min_size=1, max_size=5).map(
    lambda batch: {"RequestItems": {"words": {"Keys": batch}}}
)
etags = values.map(lambda value: f'"{value}"')
gets = st.fixed_dictionaries(
    {"Bucket": st.just("reports"), "Key": keys},
    optional={"VersionId": words, "IfMatch": etags, "IfNoneMatch": etags, "Range": values},
)
items = words.map(
    lambda key: {"TableName": "markers", "Key": {"key": {"S": key}}, "ConsistentRead": True}
)
tag_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
tags = st.lists(
    st.tuples(tag_texts, tag_texts).map(lambda tag: {"Key": tag[0], "Value": tag[1]}), max_size=3
)
taggings = st.fixed_dictionaries(
    {"Bucket": st.just("inbox"), "Key": keys}, optional={"VersionId": words}
)
tag_sets = st.fixed_dictionaries({"Tagging": st.fixed_dictionaries({"TagSet": tags})})
records = st.fixed_dictionaries(
    {"StreamName": st.just("texts"), "Data": st.binary(max_size=100), "PartitionKey": words}
)
messages = st.fixed_dictionaries(
    {"QueueUrl": st.just("https://sqs.eu-west-3.amazonaws.com/1/failures"), "MessageBody": words}
)
puts = st.fixed_dictionaries(
    {"Bucket": st.just("reports"), "Key": keys, "Body": st.binary(max_size=100)},
    optional={
        "CacheControl": values,
        "ContentDisposition": values,
        "ContentType": values,
        "IfMatch": etags,
        "IfNoneMatch": st.just("*"),
        "Metadata": st.dictionaries(names, values, max_size=3),
    },
)
PARAMETERS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "UpdateItem": updates,
    "Scan": scans,
    "TransactWriteItems": transactions,
    "BatchGetItem": batches,
    "GetObject": gets,
    "PutObject": puts,
    "GetItem": items,
    "GetObjectTagging": taggings,
    "PutObjectTagging": st.builds(lambda what, tagged: what | tagged, taggings, tag_sets),
    "PutRecord": records,
    "SendMessage": messages,
}
calls = st.one_of([st.tuples(st.just(name), each) for name, each in PARAMETERS.items()])


@contextmanager
def clock(moment: datetime) -> Iterator[float]:
    """Set botocore's clock, and return its time in seconds."""
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        yield calendar.timegm(moment.timetuple())


@settings(max_examples=2_000, suppress_health_check=[HealthCheck.too_slow])
@given(calls, credentials, moments)
def test_every_operation_is_signed_as_botocore_signs_it(
    call: tuple[str, Mapping[str, Any]], who: Credentials, moment: datetime
) -> None:
    request = operations.request(*call)
    host = f"{request.service}.{REGION}.amazonaws.com"
    url = f"https://{host}{request.path}" + (f"?{request.query}" if request.query else "")
    theirs = AWSRequest(request.method, url, dict(request.headers), request.body)
    kind = S3SigV4Auth if request.service == "s3" else SigV4Auth
    signer = kind(BotocoreCredentials(who.key_id, who.secret, who.token), request.service, REGION)
    with clock(moment) as now:
        signer.add_auth(theirs)
    headers = {"host": host, **request.headers}
    us = Signer(who, REGION, request.service, now)
    ours = us.headers(request.method, request.path, request.query, headers, request.body)
    authorization = ours.pop("authorization")
    added = {name.lower(): value for name, value in theirs.headers.items()}
    assert authorization == added.pop("authorization")
    assert ours == {"host": host, **added}
    del theirs.headers["Authorization"]
    canonical, _ = canonical_request(
        request.method, request.path, request.query, ours, signer.payload(theirs)
    )
    assert canonical == signer.canonical_request(theirs)
    assert us.string_to_sign(canonical) == signer.string_to_sign(theirs, canonical)


@pytest.fixture(scope="module")
def session() -> Any:
    return botocore.session.Session()


def botocore_client(session: Any, service: str, region: str, url: str | None) -> Any:
    return session.create_client(
        service,
        region,
        endpoint_url=url,
        aws_access_key_id="KEYID",
        aws_secret_access_key="secret",
        aws_session_token="a/token+=",
        config=Config(
            signature_version="s3v4" if service == "s3" else "v4",
            user_agent="",
            s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"},
        ),
    )


@pytest.mark.parametrize(
    ("region", "url", "bucket"),
    [
        ("eu-west-3", None, "reports"),
        ("eu-west-3", None, "dotted.reports"),
        ("us-east-1", None, "reports"),
        ("us-gov-west-1", None, "reports"),
        ("cn-north-1", None, "reports"),
        ("cn-north-1", None, "dotted.reports"),
        ("eu-west-3", "https://example.com", "reports"),
        ("eu-west-3", "https://example.com", "dotted.reports"),
        ("eu-west-3", "http://localhost:4566/base", "reports"),
        ("eu-west-3", "http://localhost:4566/base", "dotted.reports"),
        # No bucket with a dot in its name: botocore would prepend the name to the IP address.
        ("eu-west-3", "http://127.0.0.1:4566", "reports"),
        ("eu-west-3", "http://[::1]:4566", "reports"),
    ],
)
def test_a_presigned_url_equals_botocores(
    session: Any, region: str, url: str | None, bucket: str
) -> None:
    theirs = botocore_client(session, "s3", region, url)
    environment = {
        "AWS_ACCESS_KEY_ID": "KEYID",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "a/token+=",
        "AWS_ENDPOINT_URL": url or "",
    }
    ours = ThinClient(region, environment)

    @settings(max_examples=60)
    @given(keys, st.none() | words, st.integers(1, 604_800), moments)
    def compare(key: str, version_id: str | None, seconds: int, moment: datetime) -> None:
        what = {"Bucket": bucket, "Key": key}
        if version_id is not None:
            what["VersionId"] = version_id
        with clock(moment) as now, mock.patch.object(time, "time", return_value=now):
            expected = theirs.generate_presigned_url("get_object", Params=what, ExpiresIn=seconds)
            assert ours.presigned_url(what, seconds) == expected

    compare()


@pytest.mark.parametrize(
    ("service", "operation", "method"),
    [
        ("dynamodb", "UpdateItem", "update_item"),
        ("dynamodb", "GetItem", "get_item"),
        ("kinesis", "PutRecord", "put_record"),
        ("sqs", "SendMessage", "send_message"),
    ],
)
def test_botocores_client_sends_the_same_request(
    session: Any, service: str, operation: str, method: str
) -> None:
    sent: list[AWSPreparedRequest] = []

    def capture(request: AWSPreparedRequest, **_: Any) -> Any:
        sent.append(request)
        raise InterruptedError

    client = botocore_client(session, service, REGION, None)
    client.meta.events.register(f"before-send.{service}", capture)
    who = Credentials("KEYID", "secret", "a/token+=")

    @settings(max_examples=100)
    @given(PARAMETERS[operation], moments)
    def compare(parameters: Any, moment: datetime) -> None:
        sent.clear()
        with clock(moment) as now, pytest.raises(InterruptedError):
            getattr(client, method)(**parameters)
        theirs = sent[0]
        ours = operations.request(operation, parameters)
        assert ours.body == theirs.body
        assert (ours.method, ours.path) == (theirs.method, urlsplit(theirs.url).path)
        # Only botocore sends this header. It is for SQS's former protocol, which the product does not use.
        more = {"x-amzn-query-mode": "true"} if service == "sqs" else {}
        headers = Signer(who, REGION, service, now).headers(
            ours.method,
            ours.path,
            "",
            {"host": f"{service}.{REGION}.amazonaws.com", **ours.headers, **more},
            ours.body,
        )
        assert headers["authorization"].encode() == theirs.headers["Authorization"]

    compare()


@settings(max_examples=100)
@given(tags)
def test_tags_are_written_as_botocore_writes_them(session: Any, tags: list[dict[str, str]]) -> None:
    description = session.get_service_model("s3")
    parameters = {"Bucket": "inbox", "Key": "key", "Tagging": {"TagSet": tags}}
    theirs = RestXMLSerializer().serialize_to_request(
        parameters, description.operation_model("PutObjectTagging")
    )
    ours = operations.request("PutObjectTagging", parameters)
    assert ElementTree.canonicalize(ours.body.decode()) == ElementTree.canonicalize(theirs["body"])
    written = Response(200, {}, ours.body)
    assert operations.answer("GetObjectTagging", written) == {"TagSet": tags}


# From AWS's Signature Version 4 test suite (Apache-2.0): the request and its published signature.
# The suite's tests of paths are left out, as they follow a rule that does not apply to S3.
EXAMPLE = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
FORM = {"content-type": "application/x-www-form-urlencoded", "content-length": "13"}
FORM["x-amz-content-sha256"] = sha256(b"Param1=value1").hexdigest()
VECTORS: dict[str, tuple[str, str, dict[str, str], bytes, str]] = {
    "get-vanilla": (
        *("GET", "", {}, b""),
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    "get-vanilla-empty-query-key": (
        *("GET", "Param1=value1", {}, b""),
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
    "get-vanilla-query-order-encoded": (
        *("GET", "Param-3=Value3&Param=Value2&%E1%88%B4=Value1", {}, b""),
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ),
    "get-vanilla-query-order-key-case": (
        *("GET", "Param2=value2&Param1=value1", {}, b""),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-query-unreserved": (
        *("GET", f"{UNRESERVED}={UNRESERVED}", {}, b""),
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    "get-vanilla-utf8-query": (
        *("GET", encode_query({"ሴ": "bar"}), {}, b""),
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    "get-header-value-trim": (
        *("GET", "", {"my-header1": " value1", "my-header2": ' "a   b   c"'}, b""),
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "get-vanilla-with-session-token": (
        *("GET", "", {"x-amz-security-token": TOKEN}, b""),
        "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
    ),
    "post-vanilla": (
        *("POST", "", {}, b""),
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    "post-vanilla-query": (
        *("POST", "Param1=value1", {}, b""),
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    "post-header-key-sort": (
        *("POST", "", {"my-header1": "value1"}, b""),
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    "post-header-value-case": (
        *("POST", "", {"my-header1": "VALUE1"}, b""),
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    "post-x-www-form-urlencoded": (
        *("POST", "", FORM, b"Param1=value1"),
        "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_signature_equals_that_of_the_aws_test_suite(name: str) -> None:
    method, query, headers, body, expected = VECTORS[name]
    now = calendar.timegm((2015, 8, 30, 12, 36, 0))
    all_headers = {"host": "example.amazonaws.com", **headers}
    signed = Signer(EXAMPLE, "us-east-1", "service", now).headers(
        method, "/", query, all_headers, body
    )
    assert signed["authorization"].endswith(f"Signature={expected}")


# The examples of the S3 API reference.
S3_EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
S3_TIME = calendar.timegm((2013, 5, 24, 0, 0, 0))
S3_HOST = "examplebucket.s3.amazonaws.com"
DATED = {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}


@pytest.mark.parametrize(
    ("method", "key", "headers", "body", "expected"),
    [
        (
            *("GET", "test.txt", {"range": "bytes=0-9"}, b""),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            *("PUT", "test$file.text", DATED, b"Welcome to Amazon S3."),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
    ],
)
def test_the_signature_equals_that_of_the_s3_api_reference(
    method: str, key: str, headers: dict[str, str], body: bytes, expected: str
) -> None:
    signer = Signer(S3_EXAMPLE, "us-east-1", "s3", S3_TIME)
    path = operations.object_path(key)
    signed = signer.headers(method, path, "", {"host": S3_HOST, **headers}, body)
    assert signed["authorization"].endswith(f"Signature={expected}")


def test_a_presigned_url_equals_that_of_the_s3_api_reference() -> None:
    signer = Signer(S3_EXAMPLE, "us-east-1", "s3", S3_TIME)
    query = signer.query(S3_HOST, "/test.txt", {}, 86_400)
    expected = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert query.endswith(f"&X-Amz-Signature={expected}")


def test_credentials_hide_their_secrets() -> None:
    assert "top" not in repr(Credentials("id", "topsecret", "toptoken"))
