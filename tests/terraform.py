"""Real Terraform for the tests. Without Terraform, they are skipped, or fail if REQUIRE_TERRAFORM is set."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local import terraform
from local.emulator import aws
from local.terraform import ROOT, flags
from verify.places import Emulated

__all__ = ["NOT_TESTED", "ROOT", "Terraform", "flags", "missing", "needed"]

NOT_TESTED = "TERRAFORM WAS NOT TESTED"

KEY = "a-key-of-24-characters!!"
PREVIOUS_KEY = "the-key-before-that-one"


def missing(reason: str) -> None:
    """Skip the test, or fail if REQUIRE_TERRAFORM is set, as in CI."""
    if os.environ.get("REQUIRE_TERRAFORM"):
        pytest.fail(f"Terraform tests are required here, but {reason}")
    pytest.skip(f"{NOT_TESTED}: {reason}")


def needed() -> None:
    """Skip the test unless Terraform and its provider are available."""
    try:
        terraform.init_arguments()
    except terraform.Missing as error:
        missing(str(error))


@contextmanager
def whole_cloud() -> Iterator[str]:
    """The address of an emulated AWS to which Terraform can deploy."""
    needed()
    with aws.running("local.emulator.whole_aws") as url:
        yield url


class Terraform(terraform.Terraform):
    def __init__(self, directory: Path, cloud: str | None = None, root: Path = ROOT) -> None:
        needed()
        super().__init__(directory, cloud, root)


@contextmanager
def deploying(directory: Path, cloud: str, variables: dict[str, Any]) -> Iterator[Emulated]:
    deployment = Emulated(directory, variables, cloud)
    try:
        deployment.apply()
        yield deployment
    finally:
        deployment.close()


def refusal(configuration: terraform.Terraform, variables: dict[str, Any]) -> str:
    """The output, on one line, of a plan that must fail."""
    output = configuration.run(
        "plan", "-input=false", "-refresh=false", *flags(variables), expect=1
    )
    return " ".join(output.replace("│", " ").split())


def assert_private_and_encrypted(cloud: str, bucket: str) -> None:
    s3 = aws.client("s3", cloud)
    blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert list(blocked.values()) == [True] * 4
    (ownership,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert ownership == {"ObjectOwnership": "BucketOwnerEnforced"}
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    (rule,) = encryption["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert_tls_only(s3.get_bucket_policy(Bucket=bucket)["Policy"])


def assert_tls_only(policy: str) -> None:
    """Fail unless the first statement of the policy of a bucket or a queue refuses plain HTTP."""
    statement = json.loads(policy)["Statement"][0]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
