"""The deployed product. Real Terraform with its real provider applies it to an emulated AWS. The deployed
zip then runs in a Lambda runtime with the deployed environment, role and routes.

The tests run in order on one deployment: with every option on, then with every option off again in place.
test_security.py and test_bootstrap.py start with few options. test_verify.py destroys a deployment with
every option on, after a canary."""

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import browser
import pytest
import requests
import terraform
from botocore.exceptions import ClientError
from browser import Visitor
from playwright.sync_api import expect
from terraform import KEY, PREVIOUS_KEY, deploying

from local.emulator import aws
from local.services import deployed
from local.services.deployed import DeploymentError
from local.services.gateway import FunctionError
from verify import checks
from verify.checks import Check
from verify.places import Emulated

NOTHING = {"name": "other", "reconcile_schedule": "", "enable_page": False}
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
    "enable_inbox": True,
    "stream_shards": 2,
    "stream_window_seconds": 1,
}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    with terraform.whole_cloud() as cloud:
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


@pytest.fixture(scope="module")
def nothing(everything: Emulated) -> Emulated:
    """`everything`, after an apply that turns every option off and keeps the API."""
    apis = everything.client("apigatewayv2")
    (before,) = apis.get_apis()["Items"]
    everything.variables = NOTHING
    everything.apply()
    assert [api["ApiId"] for api in apis.get_apis()["Items"]] == [before["ApiId"]]
    return everything


@contextmanager
def changed_policy(
    deployment: Emulated,
) -> Iterator[tuple[list[Any], Callable[[list[Any]], object]]]:
    """The statements of the function's policy, and a function that allows only other statements."""
    iam = deployment.client("iam")
    policy = {"RoleName": deployment.name, "PolicyName": "function"}
    whole = iam.get_role_policy(**policy)["PolicyDocument"]

    def allow(statements: list[Any]) -> None:
        document = json.dumps({**whole, "Statement": statements})
        iam.put_role_policy(**policy, PolicyDocument=document)

    try:
        yield whole["Statement"], allow
    finally:
        allow(whole["Statement"])


def callers(deployment: Emulated, service: str) -> list[Any]:
    """The statements that let `service` call the alias."""
    policy = deployment.client("lambda").get_policy(**alias(deployment))["Policy"]
    principal = {"Service": f"{service}.amazonaws.com"}
    return [each for each in json.loads(policy)["Statement"] if each["Principal"] == principal]


@contextmanager
def revoked(deployment: Emulated, statement: Any) -> Iterator[None]:
    """In this context, the alias's policy lacks `statement`, which is one that `callers` returned."""
    functions, condition = deployment.client("lambda"), statement["Condition"]
    statement_id = {**alias(deployment), "StatementId": statement["Sid"]}
    functions.remove_permission(**statement_id)
    yield
    account = condition.get("StringEquals", {}).get("AWS:SourceAccount")
    functions.add_permission(
        **statement_id,
        Action=statement["Action"],
        Principal=statement["Principal"]["Service"],
        SourceArn=condition["ArnLike"]["AWS:SourceArn"],
        **({"SourceAccount": account} if account else {}),
    )


def alias(deployment: Emulated) -> dict[str, str]:
    return {"FunctionName": deployment.name, "Qualifier": "live"}


def put(deployment: Emulated, text: str, records: int = 1) -> None:
    """Put `text` on the stream `records` times, under different partition keys."""
    data = json.dumps({"parameter": text}).encode()
    deployment.client("kinesis").put_records(
        StreamName=deployment.outputs["stream_name"],
        Records=[{"Data": data, "PartitionKey": str(number)} for number in range(records)],
    )


class AnyDeployment:
    """Tests for every configuration. A subclass provides the fixture `deployment`."""

    @pytest.mark.parametrize("check", checks.ALWAYS, ids=str)
    def test_checks_of_every_deployment(self, deployment: Emulated, check: Check) -> None:
        assert check.agrees(seen := check.see(deployment)), seen

    def test_nothing_is_deprecated(self, deployment: Emulated) -> None:
        assert "Warning" not in deployment.applied

    def test_markers_expire(self, deployment: Emulated) -> None:
        ttl = deployment.client("dynamodb").describe_time_to_live(
            TableName=f"{deployment.name}-idempotency-keys"
        )["TimeToLiveDescription"]
        assert ttl == {"AttributeName": "expires_at", "TimeToLiveStatus": "ENABLED"}

    def test_each_permission_is_needed(self, deployment: Emulated) -> None:
        """Without any one of the actions in the role's policy, the product fails. Actions for logs and
        traces are left out, as moto does not receive them."""
        s3 = deployment.client("s3")
        bucket = deployment.outputs["reports_bucket"]
        versioned = deployment.variables.get("enable_s3_versioning")
        taken = set()

        def works() -> bool:
            """Use every permission: request a link without and with a report, publish a first and a second
            report, post under a key, open the link, and use the inbox and the stream if they are on."""
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
            if requests.get(answer.json()["url"], timeout=30).status_code != 200:
                return False
            return not deployment.outputs["stream_name"] or other_ways_work(deployment, version)

        version = ""
        if deployment.outputs["inbox_bucket"]:
            checks.upload(deployment, FILE, b"a file")
            assert checks.tags(deployment, FILE) == {"wordtally": "counted"}
            version = s3.head_object(Bucket=deployment.outputs["inbox_bucket"], Key=FILE)[
                "VersionId"
            ]
        assert works()
        with changed_policy(deployment) as (statements, allow):
            for statement in statements:
                if statement["Sid"] in ("WriteLogs", "SendTraces"):
                    continue
                others = [each for each in statements if each != statement]
                for action in statement["Action"]:
                    if action == "s3:GetObjectVersion" and not versioned:
                        continue
                    kept = [each for each in statement["Action"] if each != action]
                    allow([*others, {**statement, "Action": kept}] if kept else others)
                    assert not works(), f"{action} is allowed, but nothing needs it"
                    taken.add(action)
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
        assert deployment.post("a text").status_code == 200
        reads = ("s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket")
        with changed_policy(deployment) as (statements, allow):
            allow(
                [
                    {**statement, "Action": kept}
                    for statement in statements
                    if (kept := [action for action in statement["Action"] if action in reads])
                ]
            )
            link, posted = deployment.link(), deployment.post("a text")
            opened = requests.get(link.json()["url"], timeout=30)
        assert (link.status_code, opened.status_code, posted.status_code) == (200, 200, 500)

    def test_each_route_is_called_under_a_permission_of_its_own(self, deployment: Emulated) -> None:
        permissions = {
            statement["Condition"]["ArnLike"]["AWS:SourceArn"].split("/*/")[1]: statement
            for statement in callers(deployment, "apigateway")
        }
        page = set() if deployment.variables.get("enable_page") is False else {"GET/"}
        assert permissions.keys() == {"POST/", "GET/report"} | page
        for route, statement in permissions.items():
            with (
                revoked(deployment, statement),
                deployed.product(deployment.cloud, deployment.name) as product,
                pytest.raises(DeploymentError, match=f"{route} may not call {deployment.name}"),
            ):
                product.gateway()

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
        if "stream_shards" in deployment.variables:
            expected |= {"authorizer-errors", "failures", "stream-behind"}
        assert names == expected
        for alarm in alarms:
            assert alarm["TreatMissingData"] == "notBreaching"
            assert bool(alarm["AlarmActions"]) == ("alert_email" in deployment.variables)


FILE = "a file.txt"


def other_ways_work(deployment: Emulated, version: str) -> bool:
    """Whether the function counts a file (again) and a batch, skips a deleted file and accepts a text, and
    whether Lambda may read the stream for the function. `version` is FILE's."""
    function = deployment.product.functions[deployment.name]
    bucket = {"name": deployment.outputs["inbox_bucket"]}
    stream = f"arn:aws:kinesis:eu-west-3:123456789012:stream/{uuid.uuid4().hex}"

    def uploaded(key: str) -> dict[str, Any]:
        announced = {"bucket": bucket, "object": {"key": key, "versionId": version}}
        return {"Records": [{"eventSource": "aws:s3", "s3": announced}]}

    def record(sequence: str, data: bytes) -> dict[str, Any]:
        return {
            "eventSource": "aws:kinesis",
            "eventSourceARN": stream,
            "eventID": f"shardId-000000000000:{sequence}",
            "kinesis": {"sequenceNumber": sequence, "data": base64.b64encode(data).decode()},
        }

    try:
        function.invoke(uploaded(FILE))
        function.invoke(uploaded("deleted"))
        function.invoke(
            {"Records": [record("1", b'{"parameter": "a text"}'), record("2", b"none")]}
        )
        with deployed.product(deployment.cloud, deployment.name) as product:
            product.listen()
    except (FunctionError, ClientError):
        return False
    return deployment.post("a text", prefer="respond-async").status_code == 202


class TestEverythingOn(AnyDeployment):
    @pytest.fixture
    def deployment(self, everything: Emulated) -> Emulated:
        return everything

    @pytest.mark.parametrize("check", checks.OPTIONS, ids=str)
    def test_checks_of_the_options(self, everything: Emulated, check: Check) -> None:
        assert check.agrees(seen := check.see(everything)), seen

    def test_files_and_records_count_once_however_often_they_are_delivered(
        self, everything: Emulated
    ) -> None:
        """Every third upload is announced twice. A new poller reads the stream from the beginning."""
        mark = uuid.uuid4().hex
        texts = [f"{mark}{number} both{mark}" for number in range(6)]
        for text in texts[:3]:
            checks.upload(everything, text, text.encode())
        for text in texts[3:]:
            put(everything, text)
        expected = {f"{mark}{number}": 1 for number in range(6)} | {f"both{mark}": 6}

        def counted() -> dict[str, int]:
            return {word: n for word, n in checks.words(everything).items() if mark in word}

        assert everything.eventually(counted, lambda seen: seen == expected) == expected
        for text in texts[:3]:
            assert checks.tags(everything, text) == {"wordtally": "counted"}
        everything.restart()
        later = f"later{mark}"
        put(everything, later, 20)  # some for each of the two shards
        expected |= {later: 20}
        assert everything.eventually(counted, lambda seen: later in seen and seen[later] >= 20)
        assert counted() == expected

    def test_an_upload_that_keeps_failing_ends_in_the_queue(self, everything: Emulated) -> None:
        word = f"failing{uuid.uuid4().hex}"
        with changed_policy(everything) as (statements, allow):
            allow([each for each in statements if each["Sid"] != "CountOnce"])
            checks.upload(everything, word, word.encode())
            message = json.loads(checks.failure(everything, lambda body: word in body))
        context = message["requestContext"]
        assert context["condition"] == "RetriesExhausted"
        assert context["approximateInvokeCount"] == 3
        assert word not in checks.words(everything)
        everything.product.functions[everything.name].invoke(message["requestPayload"])
        assert checks.words(everything)[word] == 1
        assert checks.tags(everything, word) == {"wordtally": "counted"}

    def test_a_bucket_that_may_not_call_the_function_announces_nothing(
        self, everything: Emulated
    ) -> None:
        s3, bucket = everything.client("s3"), everything.outputs["inbox_bucket"]
        (statement,) = callers(everything, "s3")
        condition = statement["Condition"]
        assert condition["ArnLike"] == {"AWS:SourceArn": f"arn:aws:s3:::{bucket}"}
        assert condition["StringEquals"] == {"AWS:SourceAccount": "123456789012"}
        configuration = s3.get_bucket_notification_configuration(Bucket=bucket)
        (told,) = configuration["LambdaFunctionConfigurations"]
        assert told["LambdaFunctionArn"].endswith(f":function:{everything.name}:live")
        again = {
            "Bucket": bucket,
            "NotificationConfiguration": {"LambdaFunctionConfigurations": [told]},
        }
        with revoked(everything, statement), pytest.raises(ClientError, match="Unable to validate"):
            s3.put_bucket_notification_configuration(**again)
        s3.put_bucket_notification_configuration(**again)

    def test_inbox_stream_and_queue_are_private_and_encrypted(self, everything: Emulated) -> None:
        s3, outputs = everything.client("s3"), everything.outputs
        terraform.assert_private_and_encrypted(everything.cloud, outputs["inbox_bucket"])
        assert s3.get_bucket_versioning(Bucket=outputs["inbox_bucket"])["Status"] == "Enabled"
        checks.upload(everything, "secret", b"secret")
        address = f"{everything.cloud}/{outputs['inbox_bucket']}/secret"
        assert requests.get(address, timeout=30).status_code == 403
        assert requests.put(address, b"other", timeout=30).status_code == 403
        stream = everything.client("kinesis").describe_stream(StreamName=outputs["stream_name"])[
            "StreamDescription"
        ]
        assert (stream["EncryptionType"], stream["KeyId"]) == ("KMS", "alias/aws/kinesis")
        assert (len(stream["Shards"]), stream["RetentionPeriodHours"]) == (2, 24)
        queue = everything.client("sqs").get_queue_attributes(
            QueueUrl=outputs["failure_queue_url"], AttributeNames=["All"]
        )["Attributes"]
        assert (queue["SqsManagedSseEnabled"], queue["MessageRetentionPeriod"]) == (
            "true",
            "1209600",
        )
        terraform.assert_tls_only(queue["Policy"])

    def test_a_file_may_have_250_000_words_and_takes_15_minutes_at_most(
        self, everything: Emulated
    ) -> None:
        functions = everything.client("lambda")
        found = functions.get_function_configuration(FunctionName=everything.name)
        assert (found["Timeout"], found["Environment"]["Variables"]["MAX_FILE_WORDS"]) == (
            900,
            "250000",
        )

    def test_the_event_source_mapping_has_the_right_settings(self, everything: Emulated) -> None:
        lambda_ = everything.client("lambda")
        (mapping,) = lambda_.list_event_source_mappings()["EventSourceMappings"]
        expected = {
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": 10_000,
            "MaximumBatchingWindowInSeconds": 1,
            "BisectBatchOnFunctionError": True,
            "MaximumRetryAttempts": 10_000,
            "MaximumRecordAgeInSeconds": 72_000,
            "ParallelizationFactor": 1,
        }
        assert {name: mapping[name] for name in expected} == expected
        assert mapping["FunctionArn"].endswith(f":function:{everything.name}:live")
        queue = mapping["DestinationConfig"]["OnFailure"]["Destination"]
        assert queue.endswith(f":{everything.name}-failures")

    def test_the_page_in_a_browser(self, everything: Emulated) -> None:
        """With the key, a versioned bucket and the CORS configuration from Terraform."""
        with browser.running() as chromium:
            here = Visitor(chromium, everything.uri).open()
            here.page.fill("#key", KEY)
            here.page.click("#key-form button")
            here.page.fill("#text", "browser " * 1_000)
            here.page.click("#post")
            expect(here.page.locator("#outcome")).to_contain_text("Counted: 8,000 characters")
            row = here.page.locator("#report tbody tr").filter(has_text="browser")
            expect(row).to_contain_text("1,000")
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
            ({"canary_share": 0.1, "live_version": newest}, "already the newest version"),
            ({"live_version": "9"}, "has not been published yet"),
        ]
        for variables, sentence in mistakes:
            assert sentence in terraform.refusal(
                everything.terraform, everything.variables | variables
            )

    def test_with_more_shards_each_record_still_counts_once(self, everything: Emulated) -> None:
        word = f"resharded{uuid.uuid4().hex}"
        put(everything, word, 10)
        everything.apply(refresh=False, stream_shards=4)
        put(everything, word, 10)
        assert everything.product
        assert everything.eventually(lambda: checks.words(everything).get(word), lambda n: n == 20)
        everything.restart()
        put(everything, word, 10)
        seen = everything.eventually(lambda: checks.words(everything)[word], lambda n: n >= 30)
        assert seen == 30


class TestOffAgainInPlace(AnyDeployment):
    @pytest.fixture
    def deployment(self, nothing: Emulated) -> Emulated:
        return nothing

    def test_everything_optional_is_deleted(self, nothing: Emulated) -> None:
        apis = nothing.client("apigatewayv2")
        (api,) = apis.get_apis()["Items"]
        routes = apis.get_routes(ApiId=api["ApiId"])["Items"]
        assert {route["RouteKey"] for route in routes} == {"POST /", "GET /report"}
        remaining = checks.left(nothing, "")
        assert remaining["functions"] == ["other"]
        gone = {"topics", "budgets", "anomalies", "rules", "domains", "queues", "streams"}
        assert not remaining.keys() & gone
        assert remaining["buckets"] == [nothing.outputs["reports_bucket"]]

    def test_no_key_is_needed(self, nothing: Emulated) -> None:
        answer = requests.post(nothing.uri, json={"parameter": "a"}, timeout=30)
        assert answer.status_code == 200
        assert list(nothing.product.functions) == ["other"]
        assert nothing.run_schedules() == []

    def test_neither_inbox_nor_stream_exists(self, nothing: Emulated) -> None:
        outputs = ["inbox_bucket", "stream_name", "failure_queue_url"]
        assert [nothing.outputs[name] for name in outputs] == ["", "", ""]
        answer = nothing.post("not later", prefer="respond-async")
        assert (answer.status_code, answer.headers.get("preference-applied")) == (200, None)
        assert checks.words(nothing)["later"] == 1

    def test_there_is_no_page_and_no_bucket_cors(self, nothing: Emulated) -> None:
        assert checks.without_the_page(nothing) == checks.NO_PAGE
        with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
            nothing.client("s3").get_bucket_cors(Bucket=nothing.outputs["reports_bucket"])
