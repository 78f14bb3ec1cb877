"""The deployed product: real Terraform and provider against an emulated AWS, then the deployed zip,
in a Lambda runtime, with the deployed environment, under the deployed role, behind the deployed
route. In three configurations: nothing optional, everything on, and that off again in place."""

import copy
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import terraform

from local import aws, deployed

KEY = "a-key-of-24-characters!!"
PREVIOUS_KEY = "the-key-before-that-one"
PAGE = "https://pages.example.com"

NOTHING = {"reconcile_schedule": ""}
EVERYTHING = {
    "name": "other",
    "alert_email": "ops@example.com",
    "api_key": KEY,
    "api_key_previous": PREVIOUS_KEY,
    "cors_allowed_origins": [PAGE],
    "enable_s3_versioning": True,
    "enable_xray": True,
    "domain_name": "words.example.com",
}

Serve = Callable[[Any], str]


@dataclass
class Deployment:
    terraform: terraform.Terraform
    variables: dict[str, Any]
    cloud: str
    applied: str = ""

    @property
    def name(self) -> str:
        return str(self.variables.get("name", "wordtally"))

    def client(self, service: str) -> Any:
        return aws.client(service, self.cloud)

    def apply(self, **variables: Any) -> None:
        self.applied = self.terraform.apply(**self.variables, **variables)

    def product(self) -> Any:
        return deployed.product(self.cloud, self.name)


def post(uri: str, text: str, key: str = KEY, **headers: str) -> requests.Response:
    headers["x-api-key"] = key
    return requests.post(uri, json={"parameter": text}, headers=headers, timeout=60)


@contextmanager
def deploying(directory: Path, variables: dict[str, Any], **at_first: Any) -> Iterator[Deployment]:
    """Applied to an emulated AWS of its own; `at_first` are variables of the first apply alone."""
    terraform.needed()
    with aws.running("local.whole_aws") as cloud:
        configuration = terraform.Terraform(directory, cloud)
        configuration.without_lifecycle()
        deployment = Deployment(configuration, variables, cloud)
        deployment.apply(**at_first)
        yield deployment


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deploying(tmp_path_factory.mktemp("nothing"), dict(NOTHING)) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    terraform.needed()
    with aws.running("local.whole_aws") as cloud:
        configuration = terraform.Terraform(tmp_path_factory.mktemp("everything"), cloud)
        zone = aws.client("route53", cloud).create_hosted_zone(
            Name="example.com", CallerReference="tests"
        )
        certificate = aws.client("acm", cloud).request_certificate(DomainName="words.example.com")
        variables = {
            **EVERYTHING,
            "domain_zone_id": zone["HostedZone"]["Id"].removeprefix("/hostedzone/"),
            "domain_certificate_arn": certificate["CertificateArn"],
        }
        deployment = Deployment(configuration, variables, cloud)
        deployment.apply()
        yield deployment


@pytest.fixture(params=["nothing", "everything"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    found: Deployment = request.getfixturevalue(request.param)
    return found


class TestBoth:
    def test_a_second_plan_is_empty_also_where_the_zip_was_never_built(
        self, deployment: Deployment
    ) -> None:
        for file in (deployment.terraform.directory / "build").iterdir():
            file.unlink()
        deployment.terraform.plan_is_empty(**deployment.variables)

    def test_nothing_is_deprecated(self, deployment: Deployment) -> None:
        assert "Warning" not in deployment.applied

    def test_it_counts_publishes_and_links(self, deployment: Deployment, serve: Serve) -> None:
        secret = f"zz{uuid.uuid4().hex}"  # sorts last
        with deployment.product() as product:
            uri = serve(product.gateway())
            for text in ["The cat and the dog.", f"the DOG {secret}"]:
                answer = post(uri, text)
                assert answer.status_code == 200, product.functions[deployment.name].log
            url = answer.json()["url"]
            refused = requests.post(uri, data="hello", headers={"x-api-key": KEY}, timeout=30)
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_json")
            assert requests.get(uri, timeout=30).json() == {"message": "Not Found"}
            lines = [json.loads(line) for line in product.functions[deployment.name].log]
        report = requests.get(url, timeout=30)
        assert report.headers["content-type"] == "application/json"
        assert report.json()["top10words"][:3] == [
            {"word": "the", "times": 3},
            {"word": "dog", "times": 2},
            {"word": "and", "times": 1},
        ]
        versioned = deployment.variables.get("enable_s3_versioning", False)
        assert ("versionId=" in url) == versioned

        summaries = [line for line in lines if line["message"] == "request"]
        assert [line["status"] for line in summaries] == [200, 200, 400]
        assert summaries[0]["distinct"] == 4
        assert "requestId" in summaries[0]
        assert secret not in str(lines)
        assert KEY not in str(lines)

    def test_under_an_idempotency_key_a_text_is_counted_once(
        self, deployment: Deployment, serve: Serve
    ) -> None:
        word = f"00{uuid.uuid4().hex}"
        key = {"idempotency-key": word}
        with deployment.product() as product:
            uri = serve(product.gateway())
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda _: post(uri, word, **key), range(4)))
            assert {answer.status_code for answer in answers} == {200}
            reused = post(uri, f"{word} and more", **key)
            assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
        dynamodb = deployment.client("dynamodb")
        table = deployment.terraform.outputs()["words_table"]
        stored = dynamodb.get_item(TableName=table, Key={"word": {"S": word}})["Item"]
        assert stored["times"]["N"] == "1"

    def test_markers_expire(self, deployment: Deployment) -> None:
        ttl = deployment.client("dynamodb").describe_time_to_live(
            TableName=f"{deployment.name}-idempotency-keys"
        )["TimeToLiveDescription"]
        assert ttl == {"AttributeName": "expires_at", "TimeToLiveStatus": "ENABLED"}

    def test_each_permission_is_needed(self, deployment: Deployment, serve: Serve) -> None:
        """Each action of the role's policy but those for logs and traces, which moto does not
        receive, is taken away in turn; the product fails each time."""
        iam, s3 = deployment.client("iam"), deployment.client("s3")
        policy = {"RoleName": deployment.name, "PolicyName": "function"}
        whole = iam.get_role_policy(**policy)["PolicyDocument"]
        bucket = deployment.terraform.outputs()["reports_bucket"]
        taken = set()

        def works(product_uri: str) -> bool:
            """A whole life: the first report, the next one, the URL of both kinds."""
            s3.delete_object(Bucket=bucket, Key="top.json")
            for headers in [{}, {}, {"idempotency-key": uuid.uuid4().hex}]:
                answer = post(product_uri, "a text", **headers)
                if answer.status_code != 200:
                    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
                    return False
            return requests.get(answer.json()["url"], timeout=30).status_code == 200

        with deployment.product() as product:
            uri = serve(product.gateway())
            assert works(uri)
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
                    assert not works(uri), f"{action} is allowed, but nothing needs it"
                    taken.add(action)
            iam.put_role_policy(**policy, PolicyDocument=json.dumps(whole))
            assert works(uri)
        assert {
            "dynamodb:UpdateItem",
            "dynamodb:BatchGetItem",
            "dynamodb:PutItem",
            "dynamodb:Scan",
            "s3:PutObject",
            "s3:ListBucket",
        } <= taken

    def test_outputs_say_what_an_operator_needs(self, deployment: Deployment) -> None:
        outputs = deployment.terraform.outputs()
        assert outputs["public_uri"].endswith("/")
        assert outputs["api_key"] == deployment.variables.get("api_key", "")
        assert outputs["reports_bucket"] == f"{deployment.name}-reports-123456789012-eu-west-3"
        assert f"dashboards:name={deployment.name}" in outputs["dashboard_url"]

    def test_alarms_notify_exactly_when_there_is_an_address(self, deployment: Deployment) -> None:
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
    def test_nobody_needs_a_key(self, nothing: Deployment, serve: Serve) -> None:
        with nothing.product() as product:
            uri = serve(product.gateway())
            assert requests.post(uri, json={"parameter": "a"}, timeout=30).status_code == 200
            assert list(product.functions) == ["wordtally"]
            assert product.run_schedules() == []

    def test_destroy_leaves_nothing(self, nothing: Deployment) -> None:
        nothing.terraform.destroy(**nothing.variables)
        assert left(nothing) == {}


class TestEverythingOn:
    def test_only_a_right_key_gets_in(self, everything: Deployment, serve: Serve) -> None:
        with everything.product() as product:
            uri = serve(product.gateway())
            answer = requests.post(uri, json={"parameter": "a"}, timeout=30)
            assert answer.status_code == 401
            assert product.functions["other-authorizer"].log == []
            assert post(uri, "a", "wrong").status_code == 403
            assert product.functions["other"].log == []
            assert post(uri, "a", KEY).status_code == 200
            assert post(uri, "a", PREVIOUS_KEY).status_code == 200

    def test_no_key_is_anywhere_in_the_cloud(self, everything: Deployment) -> None:
        functions = json.dumps(everything.client("lambda").list_functions()["Functions"])
        assert KEY not in functions
        assert PREVIOUS_KEY not in functions

    def test_pages_of_the_allowed_origin_may_call(
        self, everything: Deployment, serve: Serve
    ) -> None:
        asks = {"Access-Control-Request-Method": "POST"}
        with everything.product() as product:
            uri = serve(product.gateway())
            allowed = requests.options(uri, headers={"Origin": PAGE, **asks}, timeout=30)
            other = requests.options(uri, headers={"Origin": "https://e.com", **asks}, timeout=30)
            headers = {"Origin": PAGE, "x-api-key": KEY}
            answer = requests.post(uri, json={"parameter": "a"}, headers=headers, timeout=30)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == PAGE
        assert "x-api-key" in allowed.headers["access-control-allow-headers"]
        assert "access-control-allow-origin" not in other.headers
        assert answer.headers["access-control-allow-origin"] == PAGE

    def test_the_schedule_repairs_the_report(self, everything: Deployment, serve: Serve) -> None:
        outputs = everything.terraform.outputs()
        with everything.product() as product:
            uri = serve(product.gateway())
            post(uri, "a b")
            everything.client("dynamodb").put_item(
                TableName=outputs["words_table"],
                Item={"word": {"S": "crashed"}, "times": {"N": "999"}},
            )
            assert product.run_schedules() == [None]
        report = everything.client("s3").get_object(
            Bucket=outputs["reports_bucket"], Key="top.json"
        )
        first = json.load(report["Body"])["top10words"][0]
        assert first == {"word": "crashed", "times": 999}

    def test_the_budget_and_the_anomalies_notify_the_topic(self, everything: Deployment) -> None:
        budgets, costs = everything.client("budgets"), everything.client("ce")
        names = {"AccountId": "123456789012", "BudgetName": "other-monthly"}
        notifications = budgets.describe_notifications_for_budget(**names)["Notifications"]
        kinds = {(found["NotificationType"], found["Threshold"]) for found in notifications}
        assert kinds == {("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100)}
        (subscription,) = costs.get_anomaly_subscriptions()["AnomalySubscriptions"]
        (topic,) = everything.client("sns").list_topics()["Topics"]
        assert [found["Address"] for found in subscription["Subscribers"]] == [topic["TopicArn"]]

    def test_the_domain_is_the_public_address(self, everything: Deployment) -> None:
        assert everything.terraform.outputs()["public_uri"] == "https://words.example.com/"

    def test_a_canary_is_shared_promoted_and_rolled_back_by_variables(
        self, everything: Deployment, serve: Serve
    ) -> None:
        source = everything.terraform.directory / "app/wordtally/errors.py"
        source.write_text(
            source.read_text().replace("Send a JSON body", "Canary: send a JSON body")
        )

        def answers() -> Counter[bool]:
            """How many of 100 answers come from the new code."""
            with everything.product() as product:
                uri = serve(product.gateway())
                return Counter(
                    "Canary" in requests.post(uri, headers={"x-api-key": KEY}, timeout=30).text
                    for _ in range(100)
                )

        everything.apply(live_version="1", canary_share=0.25)
        assert everything.terraform.outputs()["function_version"] == "2"
        assert 10 <= answers()[True] <= 40
        everything.terraform.plan_is_empty(
            **everything.variables, live_version="1", canary_share=0.25
        )
        everything.apply()
        assert answers() == {True: 100}
        everything.apply(live_version="1")
        assert answers() == {False: 100}

    def test_a_canary_needs_two_different_versions(self, everything: Deployment) -> None:
        newest = everything.terraform.outputs()["function_version"]
        for variables, sentence in [
            ({"canary_share": 0.1}, "canary_share needs live_version"),
            ({"canary_share": 0.1, "live_version": newest}, "live_version is the newest version"),
            ({"live_version": "9"}, "has not been published yet"),
        ]:
            changed: dict[str, object] = {**everything.variables, **variables}  # type: ignore[dict-item]
            flags = terraform.flags(changed)
            output = everything.terraform.run("plan", "-input=false", *flags, expect=1)
            assert sentence in " ".join(output.replace("│", " ").split())


class TestOffAgainInPlace:
    def test_everything_optional_goes_and_the_plan_is_empty(
        self, everything: Deployment, serve: Serve
    ) -> None:
        everything.variables = {"name": "other", **NOTHING}
        everything.apply()
        everything.terraform.plan_is_empty(**everything.variables)
        remaining = left(everything)
        assert remaining["functions"] == ["other"]
        assert not remaining.keys() & {"topics", "budgets", "anomalies", "rules", "domains"}
        with everything.product() as product:
            answer = requests.post(serve(product.gateway()), json={"parameter": "a"}, timeout=30)
            assert answer.status_code == 200
            assert "versionId" not in answer.json()["url"]

    def test_destroy_leaves_nothing_of_versions_and_reports(self, everything: Deployment) -> None:
        everything.terraform.destroy(**everything.variables)
        assert left(everything) == {}


def left(deployment: Deployment) -> dict[str, list[str]]:
    """What is in the cloud, by kind; kinds of which there is nothing are left out."""
    client = deployment.client
    budgets = client("budgets").describe_budgets(AccountId="123456789012")
    found = {
        "alarms": [a["AlarmName"] for a in client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "anomalies": client("ce").get_anomaly_monitors()["AnomalyMonitors"],
        "apis": [api["Name"] for api in client("apigatewayv2").get_apis()["Items"]],
        "buckets": [bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]],
        "budgets": [budget["BudgetName"] for budget in budgets.get("Budgets", [])],
        "dashboards": client("cloudwatch").list_dashboards()["DashboardEntries"],
        "domains": client("apigatewayv2").get_domain_names()["Items"],
        "functions": [f["FunctionName"] for f in client("lambda").list_functions()["Functions"]],
        "logs": [log["logGroupName"] for log in client("logs").describe_log_groups()["logGroups"]],
        "roles": [role["RoleName"] for role in client("iam").list_roles()["Roles"]],
        "rules": [rule["Name"] for rule in client("events").list_rules()["Rules"]],
        "tables": client("dynamodb").list_tables()["TableNames"],
        "topics": [topic["TopicArn"] for topic in client("sns").list_topics()["Topics"]],
    }
    return {kind: names for kind, names in found.items() if names}
