"""Real Terraform for the tests, which are skipped without it unless it is required."""

import os
from pathlib import Path

import pytest

from local import terraform
from local.terraform import ROOT, flags

__all__ = ["NOT_TESTED", "ROOT", "Terraform", "flags", "missing", "needed"]

NOT_TESTED = "TERRAFORM WAS NOT TESTED"


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


class Terraform(terraform.Terraform):
    def __init__(self, directory: Path, cloud: str | None = None, root: Path = ROOT) -> None:
        needed()
        super().__init__(directory, cloud, root)
