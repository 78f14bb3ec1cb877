"""How `make audit` handles the output of pip-audit. The audit itself needs the network."""

import json

import audit
import pytest

FINE = {"name": "boto3", "version": "1.44.5", "vulns": []}
VULNERABLE = {
    "name": "flask",
    "version": "0.1",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.0"], "aliases": [], "description": "…"}],
}
UNKNOWN = {"name": "moto", "skip_reason": "not found"}


def failure(report: str, required: bool = False) -> str | None:
    return audit.failure(report, "ConnectionError: no network\n", required)


def of(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


@pytest.mark.parametrize("required", [True, False])
def test_no_vulnerability_is_a_success(required: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert failure(of(FINE), required) is None
    assert capsys.readouterr() == ("No known vulnerabilities in 1 pinned packages.\n", "")


@pytest.mark.parametrize("others", [(), (UNKNOWN,)])
def test_a_vulnerability_fails(others: tuple[object, ...]) -> None:
    assert failure(of(FINE, VULNERABLE, *others)) == "flask 0.1: PYSEC-1, fixed in 1.0"


@pytest.mark.parametrize(
    ("report", "what"),
    [("", "everything (ConnectionError: no network)"), (of(FINE, UNKNOWN), "moto")],
)
def test_an_incomplete_audit_is_reported_prominently_and_fails_if_required(
    report: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failure(report) is None
    printed = capsys.readouterr()
    assert f"!!! NOT AUDITED: {what}" in printed.err
    assert printed.out == ""
    assert "required" in str(failure(report, required=True))
