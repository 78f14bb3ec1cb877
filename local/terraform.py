"""Runs Terraform and its real provider on a copy of the configuration, for `make stack`, `make verify` and
the tests."""

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

from local.emulator import aws

ROOT = Path(__file__).parents[1]

PROVIDER = "registry.terraform.io/hashicorp/aws"

_EMULATED = f"""
provider "aws" {{
  access_key                  = "{aws.ACCESS_KEY_ID}"
  secret_key                  = "{aws.SECRET_ACCESS_KEY}"
  max_retries                 = 3 # fail fast on calls that the emulator does not support
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}}
"""
"""The keys are valid only for the emulated AWS. Terraform reads the address of the emulated AWS from the
environment."""


class TerraformError(Exception):
    """A command failed or had an unexpected exit code. The message is its output."""


class Missing(Exception):
    """Terraform is not installed, or its provider is unavailable."""


def environment(own_aws: bool = False) -> dict[str, str]:
    """This machine's environment without the operator's Terraform variables, and without the
    operator's AWS credentials unless `own_aws`."""
    removed = ("TF_",) if own_aws else ("AWS_", "TF_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    if plugin_cache := os.environ.get("TF_PLUGIN_CACHE_DIR"):
        kept["TF_PLUGIN_CACHE_DIR"] = plugin_cache
    configuration = os.environ.get("TF_CLI_CONFIG_FILE")
    if configuration:
        found = Path(configuration).exists()
        kept["TF_CLI_CONFIG_FILE"] = configuration if found else os.devnull
    if not own_aws:
        kept["AWS_CONFIG_FILE"] = kept["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    return {**kept, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}


def mirrors() -> list[Path]:
    """Filesystem mirrors in /opt that hold the provider. Terraform itself searches its default directories."""
    places = [*sorted(Path("/opt").glob("*")), *sorted(Path("/opt").glob("*/*"))]
    return [place for place in places if (place / PROVIDER).is_dir()]


@functools.cache
def init_arguments() -> tuple[str, ...]:
    """Arguments with which `terraform init` finds the provider: a mirror's directory, or no arguments.

    Raise Missing if Terraform or its provider is unavailable.
    """
    if not shutil.which("terraform"):
        raise Missing("terraform is not installed")
    # Prefer a mirror: without a network, Terraform would retry downloads for minutes.
    for mirror in mirrors():
        return (f"-plugin-dir={mirror}",)
    probe = ROOT / "build" / "probe"
    probe.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "versions.tf", probe)
    shutil.copy(ROOT / ".terraform.lock.hcl", probe)
    outcome = subprocess.run(
        ["terraform", "init", "-input=false", "-no-color"],
        cwd=probe,
        env=environment(),
        capture_output=True,
        text=True,
    )
    if outcome.returncode:
        raise Missing(f"terraform cannot get the provider {PROVIDER}:\n{outcome.stderr}")
    return ()


class Terraform:
    """A copy of the configuration in `directory`, which uses the emulated AWS at `cloud`.

    With an `account` instead, Terraform uses the operator's credentials and refuses every other
    account.
    """

    def __init__(
        self,
        directory: Path,
        cloud: str | None = None,
        root: Path = ROOT,
        account: str | None = None,
    ) -> None:
        self.directory = directory
        self._environment = environment(own_aws=account is not None)
        for pattern in ["*.tf", "tests/*.tftest.hcl", ".terraform.lock.hcl"]:
            for file in root.glob(pattern):
                if file.name == "backend.tf":
                    continue  # the operator's own state must stay untouched
                copy = directory / file.relative_to(root)
                copy.parent.mkdir(exist_ok=True)
                shutil.copy(file, copy)
        for part in ["modules", "app/wordtally"]:
            if (root / part).exists():
                shutil.copytree(root / part, directory / part, dirs_exist_ok=True)
        if cloud:
            self._environment["AWS_ENDPOINT_URL"] = cloud
            (directory / "emulated_override.tf").write_text(_EMULATED)
        if account:
            (directory / "account_override.tf").write_text(
                f'provider "aws" {{\n  allowed_account_ids = ["{account}"]\n}}\n'
            )
        self.run("init", "-input=false", "-lockfile=readonly", *init_arguments())

    def run(self, *arguments: str, expect: int = 0) -> str:
        """Return the command's output. Raise TerraformError if its exit code is not `expect`.

        Terraform runs in a separate session, so that Ctrl-C reaches only this process. If this process
        is interrupted, the command still runs to its end: an interrupted apply can leave resources
        behind that are not in its state.
        """
        with subprocess.Popen(
            ["terraform", arguments[0], "-no-color", *arguments[1:]],
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate()
            except BaseException:
                process.communicate()
                raise
        if process.returncode != expect:
            raise TerraformError(f"terraform {arguments[0]}:\n{output}")
        return output

    def apply(self, refresh: bool = True, **variables: object) -> str:
        """Apply. Without `refresh` Terraform trusts its state, which takes half the time."""
        refreshing = [] if refresh else ["-refresh=false"]
        return self.run("apply", "-input=false", "-auto-approve", *refreshing, *flags(variables))

    def plan_is_empty(self) -> str:
        """Plan. A plan with changes has exit code 2, so it raises TerraformError."""
        return self.run("plan", "-input=false", "-detailed-exitcode")

    def destroy(self) -> str:
        return self.run("destroy", "-input=false", "-auto-approve")

    def without_lifecycle(self) -> None:
        """Omit the buckets' lifecycle rules, as the provider waits 55 s for each bucket that has them."""
        for module, bucket in [("storage", "reports"), ("inbox", "inbox")]:
            (self.directory / "modules" / module / "fast_override.tf").write_text(
                f'resource "aws_s3_bucket_lifecycle_configuration" "{bucket}" {{\n  count = 0\n}}\n'
            )

    def outputs(self) -> dict[str, str]:
        return {
            name: output["value"]
            for name, output in json.loads(self.run("output", "-json")).items()
        }


def flags(variables: dict[str, object]) -> list[str]:
    return [
        f"-var={name}={json.dumps(value) if not isinstance(value, str) else value}"
        for name, value in variables.items()
    ]
