"""The deployed product: real Terraform and provider against an emulated AWS, then the deployed zip,
in a Lambda runtime, with the deployed environment, under the deployed role, behind the deployed
route. In three configurations: nothing optional, everything on, and that off again in place.
test_verify.py destroys everything on, after a canary."""

import copy
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import browser
import pytest
import requests
import terraform
from botocore.exceptions import ClientError
from browser import Visitor
from playwright.sync_api import expect

from local import aws, deployed
from local.deployed import DeploymentError
from verify import checks
from verify.checks import Check
from verify.places import Emulated

KEY = "a-key-of-24-characters!!"
PREVIOUS_KEY = "the-key-before-that-one"

NOTHING = {"reconcile_schedule": "", "enable_page": False}
EVERYTHING = {
    "name": "other",
    "alert_email": "ops@example.com",
    "api_key": KEY,
    "api_key_previous": PREVIOUS_KEY,
    "cors_allowed_origins": [checks.PAGE],
    "enable_s3_versioning": True,
    "enable_xray": True,
    "aws_client": "botocore",
    "domain_name": "words.example.com",
}


@contextmanager
def deploying(directory: Path, cloud: str, variables: dict[str, Any]) -> Iterator[Emulated]:
    deployment = Emulated(directory, variables, cloud)
    try:
        deployment.apply()
        yield deployment
    finally:
        deployment.close()


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    terraform.needed()
    with (
        aws.running("local.whole_aws") as cloud,
        deploying(tmp_path_factory.mktemp("nothing"), cloud, dict(NOTHING)) as deployment,
    ):
        yield deployment


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    terraform.needed()
    with aws.running("local.whole_aws") as cloud:
        zone = aws.client("route53", cloud).create_hosted_zone(
            Name="example.com", CallerReference="tests"
        )
        certificate = aws.client("acm", cloud).request_certificate(DomainName="words.example.com")
        variables = {
            **EVERYTHING,
            "domain_zone_id": zone["HostedZone"]["Id"].removeprefix("/hostedzone/"),
            "domain_certificate_arn": certificate["CertificateArn"],
        }
        with deploying(tmp_path_factory.mktemp("everything"), cloud, variables) as deployment:
            yield deployment


@pytest.fixture(params=["nothing", "everything"])
def deployment(request: pytest.FixtureRequest) -> Emulated:
    found: Emulated = request.getfixturevalue(request.param)
    return found


class TestBoth:
    @pytest.mark.parametrize("check", checks.ALWAYS, ids=str)
    def test_what_every_deployment_does(self, deployment: Emulated, check: Check) -> None:
        assert check.agrees(seen := check.see(deployment)), seen

    def test_nothing_is_deprecated(self, deployment: Emulated) -> None:
        assert "Warning" not in deployment.applied

    def test_markers_expire(self, deployment: Emulated) -> None:
        ttl = deployment.client("dynamodb").describe_time_to_live(
            TableName=f"{deployment.name}-idempotency-keys"
        )["TimeToLiveDescription"]
        assert ttl == {"AttributeName": "expires_at", "TimeToLiveStatus": "ENABLED"}

    def test_each_permission_is_needed(self, deployment: Emulated) -> None:
        """Each action of the role's policy but those for logs and traces, which moto does not
        receive, is taken away in turn; the product fails each time."""
        iam, s3 = deployment.client("iam"), deployment.client("s3")
        policy = {"RoleName": deployment.name, "PolicyName": "function"}
        whole = iam.get_role_policy(**policy)["PolicyDocument"]
        bucket = deployment.outputs["reports_bucket"]
        taken = set()

        def works() -> bool:
            """A whole life: no report, the first one, the next one, the URL of both kinds."""
            s3.delete_object(Bucket=bucket, Key="top.json")
            once = {"idempotency-key": uuid.uuid4().hex}
            life: list[tuple[int, Callable[[], requests.Response]]] = [
                (404, deployment.link),
                (200, lambda: deployment.post("a text")),
                (200, lambda: deployment.post("a text")),
                (200, lambda: deployment.post("a text", **once)),
                (200, deployment.link),
            ]
            for expected, ask in life:
                answer = ask()
                if answer.status_code != expected:
                    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
                    return False
            return requests.get(answer.json()["url"], timeout=30).status_code == 200

        assert works()
        for index, statement in enumerate(whole["Statement"]):
            if statement["Sid"] in ("WriteLogs", "SendTraces"):
                continue
            for action in statement["Action"]:
                reduced = copy.deepcopy(whole)
                actions = reduced["Statement"][index]["Action"]
                actions.remove(action)
                if not actions:
                    del reduced["Statement"][index]
                iam.put_role_policy(**policy, PolicyDocument=json.dumps(reduced))
                if action == "s3:GetObjectVersion" and not deployment.variables.get(
                    "enable_s3_versioning"
                ):
                    continue
                assert not works(), f"{action} is allowed, but nothing needs it"
                taken.add(action)
        iam.put_role_policy(**policy, PolicyDocument=json.dumps(whole))
        assert works()
        assert {
            "dynamodb:UpdateItem",
            "dynamodb:BatchGetItem",
            "dynamodb:PutItem",
            "dynamodb:Scan",
            "s3:PutObject",
            "s3:ListBucket",
        } <= taken

    def test_a_link_needs_no_permission_to_write(self, deployment: Emulated) -> None:
        iam = deployment.client("iam")
        policy = {"RoleName": deployment.name, "PolicyName": "function"}
        whole = iam.get_role_policy(**policy)["PolicyDocument"]
        assert deployment.post("a text").status_code == 200
        reads = ("s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket")
        statements = [
            {**statement, "Action": kept}
            for statement in whole["Statement"]
            if (kept := [action for action in statement["Action"] if action in reads])
        ]
        reading = {**whole, "Statement": statements}
        iam.put_role_policy(**policy, PolicyDocument=json.dumps(reading))
        link, posted = deployment.link(), deployment.post("a text")
        opened = requests.get(link.json()["url"], timeout=30)
        iam.put_role_policy(**policy, PolicyDocument=json.dumps(whole))
        assert (link.status_code, opened.status_code, posted.status_code) == (200, 200, 500)

    def test_each_route_is_called_under_a_permission_of_its_own(self, deployment: Emulated) -> None:
        alias = {"FunctionName": deployment.name, "Qualifier": "live"}
        functions = deployment.client("lambda")
        statements = json.loads(functions.get_policy(**alias)["Policy"])["Statement"]
        permissions = {
            statement["Condition"]["ArnLike"]["AWS:SourceArn"].split("/*/")[1]: statement
            for statement in statements
            if statement["Principal"] == {"Service": "apigateway.amazonaws.com"}
        }
        page = set() if deployment.variables.get("enable_page") is False else {"GET/"}
        assert permissions.keys() == {"POST/", "GET/report"} | page
        for route, statement in permissions.items():
            functions.remove_permission(**alias, StatementId=statement["Sid"])
            with (
                deployed.product(deployment.cloud, deployment.name) as product,
                pytest.raises(DeploymentError, match=f"{route} may not call {deployment.name}"),
            ):
                product.gateway()
            functions.add_permission(
                **alias,
                StatementId=statement["Sid"],
                Action=statement["Action"],
                Principal="apigateway.amazonaws.com",
                SourceArn=statement["Condition"]["ArnLike"]["AWS:SourceArn"],
            )

    def test_outputs_say_what_an_operator_needs(self, deployment: Emulated) -> None:
        outputs = deployment.outputs
        assert outputs["public_uri"].endswith("/")
        assert outputs["api_key"] == deployment.variables.get("api_key", "")
        assert outputs["reports_bucket"] == f"{deployment.name}-reports-123456789012-eu-west-3"
        assert f"dashboards:name={deployment.name}" in outputs["dashboard_url"]

    def test_alarms_notify_exactly_when_there_is_an_address(self, deployment: Emulated) -> None:
        alarms = deployment.client("cloudwatch").describe_alarms()["MetricAlarms"]
        names = {alarm["AlarmName"].removeprefix(f"{deployment.name}-") for alarm in alarms}
        expected = {"function-errors", "function-slow", "function-throttles", "api-5xx"}
        expected |= {"table-throttles"}
        if deployment.name == "other":
            expected |= {"authorizer-errors", "reconciliation-failures"}
        assert names == expected
        for alarm in alarms:
            assert alarm["TreatMissingData"] == "notBreaching"
            assert bool(alarm["AlarmActions"]) == ("alert_email" in deployment.variables)


class TestNothingOptional:
    def test_nobody_needs_a_key(self, nothing: Emulated) -> None:
        answer = requests.post(nothing.uri, json={"parameter": "a"}, timeout=30)
        assert answer.status_code == 200
        assert list(nothing.product.functions) == ["wordtally"]
        assert nothing.run_schedules() == []

    def test_there_is_no_page_and_no_bucket_cors(self, nothing: Emulated) -> None:
        assert checks.without_the_page(nothing) == checks.NO_PAGE
        with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
            nothing.client("s3").get_bucket_cors(Bucket=nothing.outputs["reports_bucket"])


class TestEverythingOn:
    @pytest.mark.parametrize("check", checks.OPTIONS, ids=str)
    def test_what_the_options_do(self, everything: Emulated, check: Check) -> None:
        assert check.agrees(seen := check.see(everything)), seen

    def test_the_page_in_a_browser(self, everything: Emulated) -> None:
        """With the key, in a versioned bucket, under the CORS configuration that Terraform made."""
        with browser.running() as chromium:
            here = Visitor(chromium, everything.uri).open()
            here.page.fill("#key", KEY)
            here.page.click("#key-form button")
            here.page.fill("#text", "browser " * 1_000)
            here.page.click("#post")
            expect(here.page.locator("#outcome")).to_contain_text("Counted: 8,000 characters")
            row = here.page.locator("#report tbody tr").filter(has_text="browser")
            expect(row).to_contain_text("1,000")
            here.picture("deployed")
            here.close()

    def test_refused_callers_run_nothing(self, everything: Emulated) -> None:
        functions = everything.product.functions
        before = [len(functions[name].log) for name in ("other", "other-authorizer")]
        assert requests.post(everything.uri, json={"parameter": "a"}, timeout=30).status_code == 401
        assert len(functions["other-authorizer"].log) == before[1]
        assert everything.post("a", "wrong").status_code == 403
        assert len(functions["other"].log) == before[0]

    def test_the_budget_and_the_anomalies_notify_the_topic(self, everything: Emulated) -> None:
        budgets, costs = everything.client("budgets"), everything.client("ce")
        names = {"AccountId": "123456789012", "BudgetName": "other-monthly"}
        notifications = budgets.describe_notifications_for_budget(**names)["Notifications"]
        kinds = {(found["NotificationType"], found["Threshold"]) for found in notifications}
        assert kinds == {("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100)}
        (subscription,) = costs.get_anomaly_subscriptions()["AnomalySubscriptions"]
        (topic,) = everything.client("sns").list_topics()["Topics"]
        assert [found["Address"] for found in subscription["Subscribers"]] == [topic["TopicArn"]]

    def test_the_domain_is_the_public_address(self, everything: Emulated) -> None:
        assert everything.outputs["public_uri"] == "https://words.example.com/"

    def test_pages_of_both_addresses_may_read_the_report(self, everything: Emulated) -> None:
        (api,) = everything.client("apigatewayv2").get_apis()["Items"]
        url = everything.link().json()["url"]
        for origin in ["https://words.example.com", api["ApiEndpoint"], checks.PAGE]:
            assert checks.reads(origin, url) == "allowed"

    def test_a_canary_needs_two_different_versions(self, everything: Emulated) -> None:
        newest = everything.outputs["function_version"]
        mistakes: list[tuple[dict[str, object], str]] = [
            ({"canary_share": 0.1}, "canary_share needs live_version"),
            ({"canary_share": 0.1, "live_version": newest}, "live_version is the newest version"),
            ({"live_version": "9"}, "has not been published yet"),
        ]
        for variables, sentence in mistakes:
            flags = terraform.flags({**everything.variables, **variables})
            output = everything.terraform.run(
                "plan", "-input=false", "-refresh=false", *flags, expect=1
            )
            assert sentence in " ".join(output.replace("│", " ").split())


class TestOffAgainInPlace:
    def test_everything_optional_goes_and_the_plan_is_empty(self, everything: Emulated) -> None:
        apis, s3 = everything.client("apigatewayv2"), everything.client("s3")
        (before,) = apis.get_apis()["Items"]
        everything.variables = {"name": "other", **NOTHING}
        everything.apply()
        everything.plan_is_empty()
        (api,) = apis.get_apis()["Items"]
        assert api["ApiId"] == before["ApiId"]
        routes = apis.get_routes(ApiId=api["ApiId"])["Items"]
        assert {route["RouteKey"] for route in routes} == {"POST /", "GET /report"}
        assert checks.without_the_page(everything) == checks.NO_PAGE
        with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
            s3.get_bucket_cors(Bucket=everything.outputs["reports_bucket"])
        remaining = checks.left(everything, "")
        assert remaining["functions"] == ["other"]
        assert not remaining.keys() & {"topics", "budgets", "anomalies", "rules", "domains"}
        answer = requests.post(everything.uri, json={"parameter": "a"}, timeout=30)
        assert answer.status_code == 200
        assert "versionId" not in answer.json()["url"]

    def test_destroy_leaves_nothing_of_versions_and_reports(self, everything: Emulated) -> None:
        everything.destroy()
        assert checks.left(everything, "") == {}
