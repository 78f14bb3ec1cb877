"""The modules that a cold start loads. Their number is the same on every machine, so it has a limit."""

import json
import os
import subprocess
import sys

import pytest
from test_settings import GOOD as SETTINGS

from local.emulator import aws

BUDGETS = {"thin": 200, "botocore": 360}
"""Limit on modules, including the interpreter's own. `import boto3` and two clients load 395."""

UNUSED = {
    "thin": {"botocore", "boto3", "urllib3", "http.client", "xml", "decimal", "multiprocessing"},
    "botocore": {"boto3", "s3transfer", "aws_xray_sdk", "asyncio", "multiprocessing"},
}

# The contents of sys.modules after one request, without a reachable AWS.
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
def test_a_first_request_loads_only_the_modules_that_it_uses(client: str) -> None:
    loaded = modules_of_one_request(client)
    assert len(loaded) <= BUDGETS[client]
    assert not loaded & UNUSED[client]
    assert not {"wordtally.page", "wordtally.ways_in.inbox", "wordtally.ways_in.stream"} & loaded
