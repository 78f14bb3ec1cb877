"""The program `make verify` on the emulated AWS: from its question to its table, with an interruption, and
with checks and destroys that fail. test_deployment.py tests the checks themselves."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import terraform

import verify.__main__ as program
from local.emulator import aws
from local.emulator.permissions import ACCOUNT
from local.terraform import TerraformError
from verify import checks
from verify.checks import Between, Check, Figure
from verify.places import Account, Emulated

WORKING_COPY = re.compile(r"(build/verify/wordtally-verify-[0-9a-f]{6}) ")


@pytest.fixture(scope="module")
def whole_cloud() -> Iterator[str]:
    with terraform.whole_cloud() as url:
        yield url


def start(cloud: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "verify"],
        cwd=terraform.ROOT,
        env={**os.environ, "PYTHONPATH": "app", **aws.environment(cloud), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left(cloud: str) -> dict[str, list[str]]:
    place: Any = SimpleNamespace(client=lambda name: aws.client(name, cloud), account=ACCOUNT)
    return checks.left(place, "")


def rows(output: str) -> dict[str, tuple[str, str, str]]:
    """For each check's name: the verdict, what was expected and what was seen."""
    lines = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line] for line in lines[2:]]
    return {check: (verdict, expected, seen) for verdict, check, expected, seen in found}


class TestProgram:
    def test_without_a_yes_it_deploys_nothing(self, whole_cloud: str) -> None:
        process = start(whole_cloud)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        for shown in [ACCOUNT, aws.REGION, "wordtally-verify-", "USD", "minutes"]:
            assert shown in output
        assert "Nothing was deployed" in output
        assert left(whole_cloud) == {}

    def test_an_interrupted_apply_is_destroyed(self, whole_cloud: str) -> None:
        process = start(whole_cloud, YES="1")
        tables = aws.client("dynamodb", whole_cloud)
        while not tables.list_tables()["TableNames"]:
            assert process.poll() is None
            time.sleep(0.2)
        assert process.stdout
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
        output = ""
        while "Destroying" not in output:
            output += process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        output += process.communicate(timeout=300)[0]
        assert process.returncode == 1
        assert "Still destroying" in output
        assert rows(output)["The checks run to the end"] == ("STOPPED", "yes", "interrupted")
        assert rows(output)["Everything is destroyed"][0] == "ok"
        assert left(whole_cloud) == {}
        assert not (terraform.ROOT / WORKING_COPY.findall(output)[0]).exists()

    def test_it_deploys_checks_destroys_and_shows_a_table(self, whole_cloud: str) -> None:
        process = start(whole_cloud, YES="1")
        output, _ = process.communicate(timeout=900)
        table = rows(output)
        assert {name for name, row in table.items() if row[0] == "DIFFERS"} == set(), output
        assert process.returncode == 0, output
        groups = [checks.FIRST, checks.ALWAYS, checks.OPTIONS, checks.CHANGES]
        run = {check.name for group in groups for check in group}
        assert {name for name, row in table.items() if row[0] in ("ok", "figure")} - run == {
            "Terraform applies everything",
            "Seconds that the apply takes",
            "Everything is destroyed",
        }
        assert {name for name, row in table.items() if row[0] == "-"} == {
            check.name for check in checks.ACCOUNT_ONLY
        }
        shown = "\n".join(line for line in output.splitlines() if line.startswith("|"))
        assert ACCOUNT not in shown
        assert "@" not in shown
        assert left(whole_cloud) == {}
        assert not (terraform.ROOT / WORKING_COPY.findall(output)[0]).exists()


class Undeployed(Emulated):
    """Applies and destroys nothing; `broken` makes each destroy fail."""

    broken = False
    destroys = 0

    def __init__(self, directory: Path, variables: dict[str, Any], cloud: str) -> None:
        self.terraform: Any = SimpleNamespace(directory=directory)
        self.variables = variables
        self.applied = ""

    def apply(self, refresh: bool = True, **changes: Any) -> None:
        self._write(self.variables)

    def close(self) -> None:
        pass

    def destroy(self) -> None:
        Undeployed.destroys += 1
        if self.broken:
            raise RuntimeError(f"the key {self.variables['api_key']} of {ACCOUNT} is in the way")


@pytest.fixture
def run(
    cloud: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., str | int | None]:
    """Runs the program with these checks, and returns its exit code."""

    def start(*todo: Check, broken: bool = False) -> str | int | None:
        for name, value in {**aws.environment(cloud), "YES": "1"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(program, "init_arguments", lambda: ())
        monkeypatch.setattr(program, "Emulated", Undeployed)
        monkeypatch.setattr(program, "ROOT", tmp_path)
        monkeypatch.setattr(program, "WORK", tmp_path / "build/verify")
        monkeypatch.setattr(checks, "left", lambda *_: {})
        for group in ["FIRST", "OPTIONS", "CHANGES", "ACCOUNT_ONLY"]:
            monkeypatch.setattr(checks, group, [])
        monkeypatch.setattr(checks, "ALWAYS", list(todo))
        monkeypatch.setattr(Undeployed, "broken", broken)
        monkeypatch.setattr(Undeployed, "destroys", 0)
        with contextlib.suppress(SystemExit):
            program.main()
            return 0
        return 1

    return start


FINE = Check("A fine one", Between(1, 3), lambda _: 2)


class TestEnding:
    def test_the_other_checks_run_after_one_that_differs_or_fails(
        self, run: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        wrong = Check("A wrong one", "200", lambda _: "404")
        failing = Check("A failing one", "200", lambda place: place.variables["absent"])
        assert run(wrong, failing, FINE) == 1
        table = rows(capsys.readouterr().out)
        assert table["A wrong one"] == ("DIFFERS", "200", "404")
        assert table["A failing one"] == ("DIFFERS", "200", "KeyError: 'absent'")
        assert table["A fine one"] == ("ok", "1 to 3", "2")
        assert Undeployed.destroys == 1
        assert list((tmp_path / "build/verify").iterdir()) == []

    def test_a_figure_never_fails_the_run(
        self, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(Check("Slow", Figure("below 3"), lambda _: 99)) == 0
        assert rows(capsys.readouterr().out)["Slow"] == ("figure", "below 3, not enforced", "99")

    @pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_ends_the_checks_but_not_the_destroy(
        self, run: Callable[..., int], capsys: pytest.CaptureFixture[str], ending: int
    ) -> None:
        assert run(Check("Killed", "", lambda _: signal.raise_signal(ending)), FINE) == 1
        table = rows(capsys.readouterr().out)
        assert "A fine one" not in table
        assert table["The checks run to the end"][2] == "interrupted"
        assert Undeployed.destroys == 1
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_a_failed_destroy_is_retried_and_then_says_what_to_do(
        self, run: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        assert run(FINE, broken=True) == 1
        output = capsys.readouterr().out
        assert Undeployed.destroys == 2
        (kept,) = (tmp_path / "build/verify").iterdir()
        assert f"terraform -chdir=build/verify/{kept.name} destroy" in output
        verdict, _, seen = rows(output)["Everything is destroyed"]
        assert (verdict, seen) == ("DIFFERS", "the key <api_key> of <account> is in the way")
        assert (kept / "terraform.tfvars.json").stat().st_mode & 0o077 == 0

    def test_without_cost_explorer_nothing_notifies(
        self, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """local.emulator.aws does not support cost anomalies, unlike local.emulator.whole_aws."""
        seen: dict[str, Any] = {}
        assert run(Check("Variables", "None", lambda place: str(seen.update(place.variables)))) == 0
        assert seen["alert_email"] == ""
        verdict, _, told = rows(capsys.readouterr().out)["Alarms, budget and cost anomalies notify"]
        assert verdict == "-"
        assert told.endswith("so alert_email stays empty")


class TestAccount:
    """The place for a real account, connected to the emulated AWS."""

    @pytest.fixture
    def account(
        self, whole_cloud: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> Callable[[str], Account]:
        def make(number: str) -> Account:
            for name, value in aws.environment(whole_cloud).items():
                monkeypatch.setenv(name, value)
            session = boto3.Session(region_name=aws.REGION)
            return Account(tmp_path, {"name": "verified"}, session, number)

        return make

    def test_terraform_uses_the_operators_credentials_on_no_other_account(
        self, account: Callable[[str], Account]
    ) -> None:
        with pytest.raises(TerraformError, match=f"AWS account ID not allowed: {ACCOUNT}"):
            account("999999999999").apply()

    def test_it_reads_the_functions_log(self, account: Callable[[str], Account]) -> None:
        place = account(ACCOUNT)
        names = {"logGroupName": "/aws/lambda/verified", "logStreamName": "one"}
        logs = place.client("logs")
        logs.create_log_group(logGroupName=names["logGroupName"])
        logs.create_log_stream(**names)
        line = {"timestamp": int(time.time() * 1000), "message": '{"words": 1}'}
        logs.put_log_events(**names, logEvents=[line])
        assert place.log("verified") == ['{"words": 1}']
        logs.delete_log_group(logGroupName=names["logGroupName"])

    def test_it_calls_the_target_of_the_schedule(
        self, account: Callable[[str], Account], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = account(ACCOUNT)
        events = place.client("events")
        alias = f"arn:aws:lambda:{aws.REGION}:{ACCOUNT}:function:verified:live"
        events.put_rule(Name="verified-reconcile", ScheduleExpression="rate(1 day)")
        events.put_targets(
            Rule="verified-reconcile", Targets=[{"Id": "1", "Arn": alias, "Input": '{"a": 1}'}]
        )
        calls = []

        class Lambda:
            def invoke(self, **call: str) -> dict[str, Any]:
                calls.append(call)
                return {"Payload": io.BytesIO(b"null")}

        client = place.client
        monkeypatch.setattr(
            place, "client", lambda name: Lambda() if name == "lambda" else client(name)
        )
        assert place.run_schedules() == [None]
        assert calls == [{"FunctionName": alias, "Payload": '{"a": 1}'}]
        events.remove_targets(Rule="verified-reconcile", Ids=["1"])
        events.delete_rule(Name="verified-reconcile")

    def test_it_looks_until_the_time_is_up(
        self, account: Callable[[str], Account], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = account(ACCOUNT)
        monkeypatch.setattr("time.sleep", lambda _: None)
        later = iter([0, 0, 1, 2])
        assert place.eventually(lambda: next(later), bool) == 1
        monkeypatch.setattr(place, "patience_seconds", 0)
        assert place.eventually(lambda: 0, bool) == 0


def test_the_table_shows_the_relevant_part_of_terraforms_output() -> None:
    drifted = "Refreshing …\n\n  # module.api.x will be updated in-place\n  ~ resource {}\n"
    assert checks.brief(drifted) == "module.api.x will be updated in-place"
    failed = "Plan: 9 to add\n╷\n│ Error: creating x: denied\n│\n│   with x,\n"
    assert checks.brief(failed) == "Error: creating x: denied with x,"
    assert len(checks.brief("long " * 100)) == 302


def test_an_existing_anomaly_monitor_is_used(whole_cloud: str) -> None:
    costs = aws.client("ce", whole_cloud)
    assert program.anomaly_monitor(costs) == ""
    arn = costs.create_anomaly_monitor(
        AnomalyMonitor={
            "MonitorName": "the account's own",
            "MonitorType": "DIMENSIONAL",
            "MonitorDimension": "SERVICE",
        }
    )["MonitorArn"]
    assert program.anomaly_monitor(costs) == arn
