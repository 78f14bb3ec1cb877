"""What a cold start loads: a budget in modules, which are the same on every machine."""

import json
import os
import subprocess
import sys

import pytest
from test_settings import GOOD as SETTINGS

from local import aws

BUDGETS = {"thin": 200, "botocore": 360}
"""Modules, the interpreter's own included; `import boto3` and two clients are 395."""

UNUSED = {
    "thin": {"botocore", "boto3", "urllib3", "http.client", "xml", "decimal", "multiprocessing"},
    "botocore": {"boto3", "s3transfer", "aws_xray_sdk", "asyncio", "multiprocessing"},
}

# What one request leaves in sys.modules, on an AWS that is not there.
ONE_REQUEST = """
import json, sys
from types import SimpleNamespace
from wordtally import handler
context = SimpleNamespace(aws_request_id="", get_remaining_time_in_millis=lambda: 300_000)
answer = handler.lambda_handler({"body": json.dumps({"parameter": "a text"})}, context)
assert answer["statusCode"] == 503, answer
print(json.dumps(sorted(sys.modules)))
"""


def modules_of_one_request(client: str) -> set[str]:
    environment = {
        **aws.environment("http://127.0.0.1:9"),
        **SETTINGS,
        "AWS_CLIENT": client,
        "PYTHONPATH": "app",
        "PATH": os.environ["PATH"],
    }
    run = subprocess.run(
        [sys.executable, "-c", ONE_REQUEST], env=environment, capture_output=True, check=True
    )
    return set(json.loads(run.stdout))


@pytest.mark.parametrize("client", BUDGETS)
def test_a_first_request_loads_what_it_uses_and_no_more(client: str) -> None:
    loaded = modules_of_one_request(client)
    assert len(loaded) <= BUDGETS[client]
    assert not loaded & UNUSED[client]
    assert not {"wordtally.page", "wordtally.inbox", "wordtally.stream"} & loaded
