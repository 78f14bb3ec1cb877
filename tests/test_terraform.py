"""The Terraform files: format, validity, the package, the table's schema."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import hcl2
import pytest
import terraform
from terraform import ROOT

import local.terraform
from local.emulator import aws

PACKAGE = ROOT / "modules/function/package.py"
SOURCE = ROOT / "app/wordtally"
STRAY = [
    "__pycache__/words.cpython-312.pyc",
    "loose.js",
    "page/node_modules/axe.js",
    "page/page.js.orig",
    "page/tsconfig.json",
]


def hcl(path: str) -> dict[str, Any]:
    with (ROOT / path).open() as file:
        found: dict[str, Any] = hcl2.load(file)
        return found


def test_it_is_formatted() -> None:
    terraform.needed()
    for where in [["."], ["-recursive", "modules", "bootstrap", "tests"]]:
        subprocess.run(["terraform", "fmt", "-check", "-diff", *where], cwd=ROOT, check=True)


def test_it_is_valid(tmp_path: Path) -> None:
    assert "Warning" not in terraform.Terraform(tmp_path).run("validate")


def test_options_turn_resources_on_and_off(tmp_path: Path) -> None:
    """Run tests/switches.tftest.hcl, which needs mocks."""
    configuration = terraform.Terraform(tmp_path)
    version = json.loads(configuration.run("version", "-json"))["terraform_version"]
    if tuple(map(int, version.split(".")[:2])) < (1, 7):
        terraform.missing(f"terraform test with mocks needs 1.7, this is {version}")
    assert " 0 failed" in configuration.run("test")


BAD_VALUES: list[dict[str, tuple[object, str]]] = [
    {
        "aws_region": ("paris", "such as eu-west-3"),
        "presigned_url_expiry": (0, "from 1 to 604800"),
        "log_retention_days": (2, "one that CloudWatch offers"),
        "alert_email": ("nobody", "an e-mail address"),
        "monthly_cost_budget_usd": ("lots", "an amount above zero"),
        "name": ("Word_Tally", "lower-case letters, digits or hyphens"),
        "scan_up_to_words": (-1, "0 or more"),
        "idempotency_hours": (0.5, "from 1 to 8,760"),
        "throttle_rate_per_second": (0, "throttle_rate_per_second must be at least 1"),
        "throttle_burst": (0, "throttle_burst must be a whole number"),
        "max_writes_per_second": (0, "max_writes_per_second must be a whole number"),
        "inbox_retention_days": (0, "inbox_retention_days must be a whole number of days"),
        "stream_shards": (-1, "stream_shards must be a whole number from 0"),
        "stream_window_seconds": (301, "stream_window_seconds must be a whole number of seconds"),
        "live_version": ("latest", "the number of a published version"),
        "canary_share": (1, "canary_share must be 0 or more and less than 1"),
        "reconcile_schedule": ("rate(1 days)", "an EventBridge expression such as rate(1 day)"),
        "anomaly_monitor_arn": ("monitor", "must look like arn:aws:ce::123456789012"),
        "cors_allowed_origins": (["example.com/page"], "origins without a path"),
        "aws_client": ("boto", "must be thin or botocore"),
    },
    {
        "inbox_retention_days": (1.5, "inbox_retention_days must be a whole number of days"),
        "stream_shards": (0.5, "stream_shards must be a whole number from 0"),
        "stream_window_seconds": (-1, "stream_window_seconds must be a whole number of seconds"),
        "presigned_url_expiry": (604801, "from 1 to 604800"),
        "monthly_cost_budget_usd": ("0", "an amount above zero"),
    },
    {"presigned_url_expiry": (1.5, "from 1 to 604800")},
]


@pytest.mark.parametrize("bad", BAD_VALUES, ids=lambda bad: f"{len(bad)} variables")
def test_bad_values_are_refused_with_a_sentence(
    bad: dict[str, tuple[object, str]], tmp_path: Path
) -> None:
    configuration = terraform.Terraform(tmp_path, "http://127.0.0.1:9")
    said = terraform.refusal(configuration, {name: value for name, (value, _) in bad.items()})
    for _, sentence in bad.values():
        assert sentence in said
    assert said.count("Invalid value for variable") == len(bad)


def test_only_one_provider_is_used() -> None:
    files = [ROOT / "versions.tf", *ROOT.glob("modules/*/versions.tf")]
    assert len({file.read_text() for file in files}) == 1
    (required,) = hcl("versions.tf")["terraform"][0]["required_providers"]
    assert {name for name in required if not name.startswith("__")} == {"aws"}


def test_the_tables_of_make_run_are_the_modules_tables() -> None:
    tables = {}
    for resource in hcl("modules/storage/main.tf")["resource"]:
        for name, body in resource.get('"aws_dynamodb_table"', {}).items():
            types = {each["name"].strip('"'): each["type"].strip('"') for each in body["attribute"]}
            keys = {"HASH": body["hash_key"], "RANGE": body.get("range_key")}
            tables[name.strip('"')] = {
                key.strip('"'): (role, types.pop(key.strip('"')))
                for role, key in keys.items()
                if key
            }
            assert not types
    assert tables == {"words": aws.WORDS_KEY, "markers": aws.MARKERS_KEY}


class TestPackage:
    def expected(self) -> list[str]:
        page = [path for kind in ("html", "css", "js") for path in SOURCE.glob(f"page/*.{kind}")]
        assert {file.suffix for file in page} == {".html", ".css", ".js"}
        files = [*SOURCE.rglob("*.py"), *page]
        return sorted(file.relative_to(SOURCE).as_posix() for file in files)

    def copied(self, directory: Path) -> Path:
        """A copy with other file modes, and with files that do not belong to the package."""
        copy = directory / "wordtally"
        for name in self.expected():
            twin = copy / name
            twin.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            twin.write_bytes((SOURCE / name).read_bytes())
            twin.chmod(0o600)
        for name in STRAY:
            (copy / name).parent.mkdir(exist_ok=True)
            (copy / name).write_text("stray")
        return copy

    def build(self, source: Path, target: Path) -> str:
        subprocess.run([sys.executable, PACKAGE, source, target], check=True)
        return hashlib.sha256(target.read_bytes()).hexdigest()

    def test_it_is_the_same_everywhere(self, tmp_path: Path) -> None:
        one = self.build(SOURCE, tmp_path / "one.zip")
        copy = self.copied(tmp_path / "elsewhere")
        assert self.build(copy, tmp_path / "deeper/two.zip") == one

    def test_it_contains_only_the_package(self, tmp_path: Path) -> None:
        self.build(SOURCE, tmp_path / "one.zip")
        with zipfile.ZipFile(tmp_path / "one.zip") as archive:
            names = archive.namelist()
        assert names == sorted(f"wordtally/{name}" for name in self.expected())
        # 170 kB of code and 30 kB of page, neither compressed.
        assert (tmp_path / "one.zip").stat().st_size < 210_000

    def test_terraform_hashes_the_files_of_the_zip(self, tmp_path: Path) -> None:
        """A change of any of these files is deployed, and a change of any other file is not."""
        terraform.needed()
        module = tmp_path / "module"
        shutil.copytree(ROOT / "modules/function", module)
        shutil.copy(ROOT / ".terraform.lock.hcl", module)
        (tmp_path / "staged").mkdir()
        directory = terraform.Terraform(tmp_path / "staged", root=module).directory
        source = self.copied(tmp_path)

        def hashed() -> dict[str, Any]:
            output = subprocess.run(
                ["terraform", "console", f"-var=source_dir={source}"],
                cwd=directory,
                env=local.terraform.environment(),
                input="jsonencode({ files = local.files, hash = local.source_hash })",
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            found: dict[str, Any] = json.loads(json.loads(output))
            return found

        before = hashed()
        assert before["files"] == self.expected()
        script = source / "page/page.js"
        script.write_bytes(script.read_bytes() + b"\n")
        assert hashed()["hash"] != before["hash"]


def test_the_operators_own_deployment_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_VAR_name", "production")
    monkeypatch.setenv("TF_WORKSPACE", "production")
    monkeypatch.setenv("AWS_PROFILE", "production")
    environment = local.terraform.environment()
    assert "production" not in environment.values()
    assert (
        environment["AWS_CONFIG_FILE"] == environment["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    )
    root, copy = tmp_path / "root", tmp_path / "copy"
    for directory in (root, copy):
        directory.mkdir()
    for name in ["versions.tf", "backend.tf", "secret.tfvars", ".terraform.lock.hcl"]:
        (root / name).write_bytes((ROOT / name).read_bytes() if (ROOT / name).exists() else b"")
    terraform.Terraform(copy, root=root)
    assert {file.name for file in copy.iterdir()} == {
        "versions.tf",
        ".terraform",
        ".terraform.lock.hcl",
    }
