"""The deployed product: real Terraform and provider against an emulated AWS, then the deployed zip,
in a Lambda runtime with the deployed environment, behind the deployed route."""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import terraform

from local import aws, deployed

KEY = "a-key-of-24-characters!!"


@dataclass
class Deployment:
    terraform: terraform.Terraform
    variables: dict[str, Any]
    cloud: str
    applied: str

    def client(self, service: str) -> Any:
        return aws.client(service, self.cloud)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param({}, id="defaults"),
        pytest.param({"api_key": KEY, "enable_s3_versioning": True, "name": "other"}, id="options"),
    ],
)
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    terraform.init_arguments()
    with aws.running("local.whole_aws") as cloud:
        configuration = terraform.Terraform(tmp_path_factory.mktemp("deployment"), cloud)
        applied = configuration.apply(**request.param)
        yield Deployment(configuration, request.param, cloud, applied)


def test_a_second_plan_changes_nothing(deployment: Deployment) -> None:
    deployment.terraform.plan_is_empty(**deployment.variables)


def test_a_plan_is_empty_also_where_the_zip_was_never_built(deployment: Deployment) -> None:
    for file in (deployment.terraform.directory / "build").iterdir():
        file.unlink()
    deployment.terraform.plan_is_empty(**deployment.variables)


def test_nothing_is_deprecated(deployment: Deployment) -> None:
    assert "Warning" not in deployment.applied


def test_the_deployed_function_counts_publishes_and_links(
    deployment: Deployment, serve: Callable[[Any], str]
) -> None:
    headers = {"x-api-key": KEY} if "api_key" in deployment.variables else {}
    name = deployment.variables.get("name", "wordtally")
    secret = f"zz{uuid.uuid4().hex}"  # sorts last
    with deployed.gateway(deployment.cloud, name) as (gateway, stack):
        uri = serve(gateway)
        for text in ["The cat and the dog.", f"the DOG {secret}"]:
            answer = requests.post(uri, json={"parameter": text}, headers=headers, timeout=30)
            assert answer.status_code == 200, (answer.text, stack.functions[name].log)
            url = answer.json()["url"]
        refused = requests.post(uri, data="hello", headers=headers, timeout=30)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_json")
        assert requests.get(uri, timeout=30).json() == {"message": "Not Found"}

        report = requests.get(url, timeout=30)
        assert report.headers["content-type"] == "application/json"
        assert report.json()["top10words"][:3] == [
            {"word": "the", "times": 3},
            {"word": "dog", "times": 2},
            {"word": "and", "times": 1},
        ]
        assert ("versionId=" in url) == deployment.variables.get("enable_s3_versioning", False)

        lines = [json.loads(line) for line in stack.functions[name].log]
    summaries = [line for line in lines if line["message"] == "request"]
    assert [line["status"] for line in summaries] == [200, 200, 400]
    assert summaries[0]["distinct"] == 4
    assert "requestId" in summaries[0]
    assert secret not in str(lines)
    assert KEY not in str(lines)


def test_only_the_right_key_gets_in(deployment: Deployment, serve: Callable[[Any], str]) -> None:
    with deployed.gateway(deployment.cloud, deployment.variables.get("name", "wordtally")) as (
        gateway,
        stack,
    ):
        uri = serve(gateway)

        def status(headers: dict[str, str]) -> int:
            return requests.post(
                uri, json={"parameter": "a"}, headers=headers, timeout=30
            ).status_code

        if "api_key" in deployment.variables:
            assert status({}) == 401
            assert stack.functions["other-authorizer"].log == []
            assert status({"x-api-key": "wrong"}) == 403
            assert stack.functions["other"].log == []
            assert status({"X-Api-Key": KEY}) == 200
        else:
            assert status({}) == 200
            assert list(stack.functions) == ["wordtally"]


def test_the_key_itself_is_nowhere_in_the_cloud(deployment: Deployment) -> None:
    functions = deployment.client("lambda").list_functions()["Functions"]
    assert KEY not in json.dumps(functions)


def test_a_change_of_code_is_published_and_goes_live(
    deployment: Deployment, serve: Callable[[Any], str]
) -> None:
    name = deployment.variables.get("name", "wordtally")
    source = deployment.terraform.directory / "app/wordtally/errors.py"
    original = source.read_text()
    source.write_text(original.replace("Send a JSON body", "Do send a JSON body"))
    deployment.terraform.apply(**deployment.variables)
    try:
        assert deployment.terraform.outputs()["function_version"] == "2"
        with deployed.gateway(deployment.cloud, name) as (gateway, _):
            headers = {"x-api-key": KEY}
            answer = requests.post(serve(gateway), data="hello", headers=headers, timeout=30)
            assert answer.json()["error"].startswith("Do send")
    finally:
        source.write_text(original)


def test_outputs_say_what_an_operator_needs(deployment: Deployment) -> None:
    outputs = deployment.terraform.outputs()
    assert outputs["public_uri"].startswith("https://")
    assert outputs["public_uri"].endswith("/")
    assert outputs["api_key"] == deployment.variables.get("api_key", "")
    name = deployment.variables.get("name", "wordtally")
    assert outputs["reports_bucket"] == f"{name}-reports-123456789012-eu-west-3"


def test_z_destroy_leaves_nothing(deployment: Deployment) -> None:
    """Last, by its name: reports, versions and words are in there."""
    deployment.terraform.destroy(**deployment.variables)
    client = deployment.client
    left = {
        "functions": client("lambda").list_functions()["Functions"],
        "tables": client("dynamodb").list_tables()["TableNames"],
        "buckets": client("s3").list_buckets()["Buckets"],
        "apis": client("apigatewayv2").get_apis()["Items"],
        "roles": client("iam").list_roles()["Roles"],
        "logs": client("logs").describe_log_groups()["logGroups"],
    }
    assert left == {name: [] for name in left}
