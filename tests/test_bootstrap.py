"""Remote state: applies bootstrap/, then moves the root's local state into it, with locking."""

from pathlib import Path

import requests
import terraform
from terraform import ROOT

from local.emulator import aws
from local.terraform import init_arguments

NAME = "wordtally-state-123456789012"
STATE = "wordtally/terraform.tfstate"


def backend_flags(cloud: str) -> str:
    """Settings that make the S3 backend use the emulated AWS."""
    return f"""
access_key                  = "{aws.ACCESS_KEY_ID}"
secret_key                  = "{aws.SECRET_ACCESS_KEY}"
endpoints                   = {{ s3 = "{cloud}", dynamodb = "{cloud}", iam = "{cloud}", sts = "{cloud}" }}
use_path_style              = true
skip_credentials_validation = true
skip_metadata_api_check     = true
skip_requesting_account_id  = true
"""


def test_the_roots_state_moves_into_the_bucket_and_is_locked_there(tmp_path: Path) -> None:
    with terraform.whole_cloud() as cloud:
        for folder in ["bootstrap", "root"]:
            (tmp_path / folder).mkdir()
        bootstrap = terraform.Terraform(tmp_path / "bootstrap", cloud, ROOT / "bootstrap")
        (bootstrap.directory / "terraform.tfvars").write_text(f'state_bucket_name = "{NAME}"')
        assert "Warning" not in bootstrap.apply()
        bootstrap.plan_is_empty()
        outputs = bootstrap.outputs()
        assert (outputs["state_bucket"], outputs["lock_table"]) == (NAME, f"{NAME}-lock")
        assert "prevent_destroy" in bootstrap.run("destroy", "-auto-approve", expect=1)

        s3 = aws.client("s3", cloud)
        assert s3.get_bucket_versioning(Bucket=NAME)["Status"] == "Enabled"
        terraform.assert_private_and_encrypted(cloud, NAME)

        root = terraform.Terraform(tmp_path / "root", cloud)
        root.without_lifecycle()
        root.apply()
        (root.directory / "backend.tf").write_text(outputs["backend"])
        (root.directory / "emulated.tfbackend").write_text(backend_flags(cloud))
        migrated = root.run(
            "init",
            "-migrate-state",
            "-force-copy",
            "-input=false",
            "-backend-config=emulated.tfbackend",
            *init_arguments(),
        )
        assert "Warning" not in migrated
        stored = s3.get_object(Bucket=NAME, Key=STATE)["Body"].read()
        assert b"aws_lambda_function" in stored
        assert requests.get(f"{cloud}/{NAME}/{STATE}", timeout=10).status_code == 403
        local_state = root.directory / "terraform.tfstate"
        assert not local_state.exists() or local_state.stat().st_size == 0
        assert "Warning" not in root.plan_is_empty()

        s3.put_object(Bucket=NAME, Key=f"{STATE}.tflock", Body=b'{"ID": "somebody-else"}')
        locked = root.run("plan", "-input=false", "-lock-timeout=0s", expect=1)
        assert "Error acquiring the state lock" in locked


def test_the_example_is_what_bootstrap_prints() -> None:
    example = (ROOT / "backend.tf.example").read_text()
    printed = (ROOT / "bootstrap/outputs.tf").read_text()
    for setting in ["encrypt = true", "use_lockfile = true", f'key     = "{STATE}"']:
        assert setting in example
        assert setting in printed
