"""Unauthorised callers are refused: the deployed product against each visitor in docs/security.md."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
import requests
import terraform
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from terraform import KEY, PREVIOUS_KEY, deploying

from local.emulator import aws
from local.emulator.permissions import ACCOUNT
from verify.checks import signed
from verify.places import Emulated

EXPIRY_SECONDS = 300


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """A deployment with two keys."""
    variables = {
        "presigned_url_expiry": EXPIRY_SECONDS,
        "api_key": KEY,
        "api_key_previous": PREVIOUS_KEY,
    }
    with (
        terraform.whole_cloud() as cloud,
        deploying(tmp_path_factory.mktemp("guarded"), cloud, variables) as deployment,
    ):
        yield deployment


@pytest.fixture
def report(guarded: Emulated) -> str:
    """The report's address without its signature, after a text was posted. It contains the bucket's name."""
    assert guarded.post("hello world").status_code == 200
    return f"{guarded.cloud}/{guarded.outputs['reports_bucket']}/top.json"


def stolen(guarded: Emulated) -> Credentials:
    """The function's credentials, as a thief would have them."""
    role = guarded.client("iam").get_role(RoleName=guarded.name)["Role"]
    found = guarded.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="thief")
    return Credentials(
        found["Credentials"]["AccessKeyId"],
        found["Credentials"]["SecretAccessKey"],
        found["Credentials"]["SessionToken"],
    )


class TestAnonymous:
    def test_the_bucket_is_closed_to_the_public(self, guarded: Emulated, report: str) -> None:
        assert requests.get(report, timeout=10).status_code == 403
        terraform.assert_private_and_encrypted(guarded.cloud, guarded.outputs["reports_bucket"])


class TestUrl:
    """URLs signed with the role's credentials, with any lifetime."""

    @pytest.mark.parametrize(
        ("age_seconds", "status"), [(EXPIRY_SECONDS - 10, 200), (EXPIRY_SECONDS + 1, 403)]
    )
    def test_a_url_signed_for_a_week_expires_like_the_products_own(
        self, guarded: Emulated, report: str, age_seconds: int, status: int
    ) -> None:
        signer = S3SigV4QueryAuth(stolen(guarded), "s3", aws.REGION, expires=604_800)
        request = signed(signer, report, age_seconds)
        assert requests.get(str(request.url), timeout=10).status_code == status

    def test_a_signature_in_the_header_has_no_age_limit(
        self, guarded: Emulated, report: str
    ) -> None:
        """The function can read its report, whatever age S3 assigns to a signature in a header."""
        signer = S3SigV4Auth(stolen(guarded), "s3", aws.REGION)
        request = signed(signer, report, EXPIRY_SECONDS + 1)
        answer = requests.get(report, headers=dict(request.headers), timeout=10)
        assert answer.status_code == 200


class TestRole:
    def test_it_names_two_tables_one_object_its_bucket_and_its_log(self, guarded: Emulated) -> None:
        iam, outputs = guarded.client("iam"), guarded.outputs
        bucket = f"arn:aws:s3:::{outputs['reports_bucket']}"
        here = f"{aws.REGION}:{ACCOUNT}"
        log = f"arn:aws:logs:{here}:log-group:/aws/lambda/"
        expected = {
            guarded.name: {
                f"arn:aws:dynamodb:{here}:table/{outputs['words_table']}",
                f"arn:aws:dynamodb:{here}:table/{guarded.name}-idempotency-keys",
                bucket,
                f"{bucket}/top.json",
                f"{log}{guarded.name}:*",
            },
            f"{guarded.name}-authorizer": {f"{log}{guarded.name}-authorizer:*"},
        }
        for role, resources in expected.items():
            assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["function"]
            assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
            policy = iam.get_role_policy(RoleName=role, PolicyName="function")["PolicyDocument"]
            assert {one for each in policy["Statement"] for one in each["Resource"]} == resources
            assert not [one for each in policy["Statement"] for one in each["Action"] if "*" in one]

    def test_it_can_delete_nothing_and_write_no_other_object(self, guarded: Emulated) -> None:
        outputs = guarded.outputs
        bucket, table = outputs["reports_bucket"], outputs["words_table"]
        key = stolen(guarded)
        session = boto3.Session(key.access_key, key.secret_key, key.token, aws.REGION)
        s3 = session.client("s3", endpoint_url=guarded.cloud)
        dynamodb = session.client("dynamodb", endpoint_url=guarded.cloud)
        hello = {"word": {"S": "hello"}}
        refused: list[Callable[[], object]] = [
            lambda: s3.put_object(Bucket=bucket, Key="other.html"),
            lambda: s3.get_object(Bucket=bucket, Key="other.html"),
            lambda: s3.delete_object(Bucket=bucket, Key="top.json"),
            lambda: s3.delete_bucket_policy(Bucket=bucket),
            lambda: dynamodb.put_item(TableName=table, Item=hello),
            lambda: dynamodb.delete_item(TableName=table, Key=hello),
            lambda: dynamodb.delete_table(TableName=table),
            lambda: dynamodb.scan(TableName="another"),
        ]
        for call in refused:
            with pytest.raises(ClientError, match="AccessDenied"):
                call()


class TestLogAccess:
    def test_the_access_log_has_neither_headers_nor_bodies(self, guarded: Emulated) -> None:
        logged = json.loads(stage_of(guarded)["AccessLogSettings"]["Format"])
        assert set(logged.values()) == {
            "$context.requestId",
            "$context.requestTime",
            "$context.identity.sourceIp",
            "$context.routeKey",
            "$context.status",
            "$context.responseLength",
            "$context.responseLatency",
            "$context.integrationErrorMessage",
            "$context.authorizer.error",
        }


class TestFlood:
    def test_api_and_table_have_limits_by_default(self, guarded: Emulated) -> None:
        throttling = stage_of(guarded)["DefaultRouteSettings"]
        assert (throttling["ThrottlingRateLimit"], throttling["ThrottlingBurstLimit"]) == (50, 100)
        assert limits(guarded) == {"MaxWriteRequestUnits": 4000}


def stage_of(guarded: Emulated) -> dict[str, Any]:
    apis = guarded.client("apigatewayv2")
    (api,) = apis.get_apis()["Items"]
    (stage,) = apis.get_stages(ApiId=api["ApiId"])["Items"]
    found: dict[str, Any] = stage
    return found


def limits(guarded: Emulated) -> dict[str, int]:
    table = guarded.outputs["words_table"]
    described = guarded.client("dynamodb").describe_table(TableName=table)["Table"]
    found: dict[str, int] = described["OnDemandThroughput"]
    return found


@pytest.fixture(scope="module")
def changed(guarded: Emulated) -> Emulated:
    """One apply revokes a key and lowers the table's limit."""
    del guarded.variables["api_key_previous"]
    guarded.variables["max_writes_per_second"] = 20
    guarded.apply()
    return guarded


class TestChangedInPlace:
    def test_the_next_plan_is_empty(self, changed: Emulated) -> None:
        assert limits(changed) == {"MaxWriteRequestUnits": 20}
        changed.plan_is_empty()

    def test_a_revoked_key_is_refused(self, changed: Emulated) -> None:
        assert changed.post("a", PREVIOUS_KEY).status_code == 403
        assert changed.post("a", KEY).status_code == 200
        apis = changed.client("apigatewayv2")
        (api,) = apis.get_apis()["Items"]
        routes = apis.get_routes(ApiId=api["ApiId"])["Items"]
        (authorizer,) = {route["AuthorizerId"] for route in routes if route["RouteKey"] != "GET /"}
        names = {"ApiId": api["ApiId"], "AuthorizerId": authorizer}
        assert apis.get_authorizer(**names)["AuthorizerResultTtlInSeconds"] == 30

    def test_an_invalid_key_is_refused_and_not_shown(self, changed: Emulated) -> None:
        mistaken = {
            "api_key": "fifteen-letters",
            "api_key_previous": "nearly a key that one could take",
        }
        said = terraform.refusal(changed.terraform, changed.variables | mistaken)
        for name, value in mistaken.items():
            assert f"{name} must have 16 to 256 printable ASCII characters without spaces" in said
            assert value not in said

    def test_over_the_tables_limit_a_request_slows_down(self, changed: Emulated) -> None:
        words = [f"flood{number}" for number in range(60)]  # three seconds' worth
        assert changed.post(" ".join(words)).status_code == 200

        def summaries() -> list[dict[str, Any]]:
            lines = map(json.loads, changed.log(changed.name))
            return [line for line in lines if line.get("distinct") == len(words)]

        (line,) = changed.eventually(summaries, bool)
        assert line["throttled"] > 0
        assert line["upserts"] == len(words)
