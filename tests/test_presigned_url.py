"""The presigned URL: its form on AWS, and its use on the emulated AWS."""

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from wordtally import handler
from wordtally.domain import words
from wordtally.domain.ranking import Published, Report
from wordtally.settings import Settings
from wordtally.work import Work

from local.emulator import aws

BUCKET = "presigned-reports"
REPORT = Report((("naïve", 2),), 1)


@pytest.fixture(params=["thin", "botocore"])
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def application(
    client: str, region: str = aws.REGION, expiry_seconds: int = 600
) -> handler.Application:
    return handler.application(
        Settings(region, "words", BUCKET, expiry_seconds, 0, "markers", 24, client)
    )


@pytest.mark.parametrize("region", ["eu-west-3", "us-east-1"])
def test_on_aws_it_is_sigv4_on_the_regional_virtual_host(
    region: str, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    url = urlsplit(application(client, region, 77).reports.url(Published(REPORT, "etag")))
    query = parse_qs(url.query)
    assert (url.scheme, url.netloc) == ("https", f"presigned-reports.s3.{region}.amazonaws.com")
    assert url.path == "/top.json"
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["77"]
    assert f"/{region}/s3/aws4_request" in query["X-Amz-Credential"][0]
    assert "versionId" not in query


@pytest.fixture
def s3(cloud: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in aws.environment(cloud).items():
        monkeypatch.setenv(name, value)
    aws.create_storage(cloud, "words", BUCKET, "markers")
    yield aws.client("s3", cloud)
    aws.delete_storage(cloud, "words", BUCKET, "markers")


def test_it_opens(s3: Any, client: str) -> None:
    adapter = application(client).reports
    answer = requests.get(adapter.url(adapter.publish(REPORT, None, Work())), timeout=10)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.content.decode() == '{"top10words": [{"word": "naïve", "times": 2}]}'


def test_it_expires(s3: Any, client: str) -> None:
    adapter = application(client, expiry_seconds=1).reports
    url = adapter.url(adapter.publish(REPORT, None, Work()))
    time.sleep(2.1)
    assert requests.get(url, timeout=10).status_code == 403


def test_it_opens_no_other_object_and_its_lifetime_cannot_be_extended(s3: Any, client: str) -> None:
    adapter = application(client).reports
    url = adapter.url(adapter.publish(REPORT, None, Work()))
    s3.put_object(Bucket=BUCKET, Key="other.json", Body=b"secret")
    for tampered in [
        url.replace("top.json", "other.json"),
        url.replace("X-Amz-Expires=600", "X-Amz-Expires=6000"),
        url.replace("X-Amz-Signature=", "X-Amz-Signature=0"),
        url.replace("X-Amz-Expires=600&", ""),
        f"{url}&response-content-type=text/html",
    ]:
        assert tampered != url
        assert requests.get(tampered, timeout=10).status_code == 403


def test_hostile_text_arrives_as_json_without_markup(s3: Any, client: str) -> None:
    instance = application(client)
    text = '<script>alert(1)</script> ＜img onerror=alert(2)＞ &lt; \x1b[31m צה"ל'
    published = instance.ranking.tally(words.count(text), Work())
    answer = requests.get(instance.reports.url(published), timeout=10)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'inline; filename="top.json"'
    assert not set("<>&\x1b") & set(answer.text)
    top = [entry["word"] for entry in answer.json()["top10words"]]
    assert top[:2] == ["alert", "script"]
    assert 'צה"ל' in top  # the word contains a quotation mark


def set_versioning(s3: Any, status: str) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})


def test_with_versioning_it_pins_the_version_that_was_published(s3: Any, client: str) -> None:
    set_versioning(s3, "Enabled")
    adapter = application(client).reports
    first = adapter.publish(REPORT, None, Work())
    adapter.publish(Report((("naïve", 3),), 1), first.etag, Work())
    for published, times in [(first, 2), (adapter.read(Work()), 3)]:
        answer = requests.get(adapter.url(published), timeout=10)
        assert answer.json()["top10words"][0]["times"] == times


def test_with_suspended_versioning_it_pins_no_version(s3: Any, client: str) -> None:
    set_versioning(s3, "Enabled")
    set_versioning(s3, "Suspended")
    adapter = application(client).reports
    adapter.publish(REPORT, None, Work())
    assert "versionId" not in adapter.url(adapter.read(Work()))
