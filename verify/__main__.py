"""`make verify`: deploys the product with everything on, checks its behaviour, and destroys it.

It uses the operator's AWS credentials and region, and a random name. YES=1 skips the question. EMAIL is
the address for the alarms; AWS sends it a request for confirmation. With AWS_ENDPOINT_URL, everything
runs against the emulated AWS at that address (`python -m local.emulator.whole_aws` prints one).
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.terraform import ROOT, Missing, TerraformError, init_arguments
from verify import checks
from verify.checks import Check, brief
from verify.places import Account, Emulated, Place

WORK = ROOT / "build" / "verify"

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

NOTHING_LEFT = "nothing is left"

ONLY_AN_ACCOUNT = "only a real account can show this"

QUESTION = """\
make verify deploys Wordtally, checks it and destroys it again.

  account  {account}
  region   {region}
  name     {name}
  cost     at most 0.40 USD (README, Prove it on your account)
  time     about 10 minutes (an estimate)

Type yes to continue: """

CONFIRMATION = "wordtally-verify@example.com"
"""AWS sends this address a request for confirmation. The domain receives no mail (RFC 2606)."""


class Row(NamedTuple):
    verdict: str
    check: str
    expected: str
    seen: str


def verify(place: Place, todo: Iterable[Check], only_an_account: Iterable[Check]) -> list[Row]:
    """Apply, run the checks, and destroy even if a check fails. Return a row for each step.

    Ctrl-C, SIGTERM and SIGHUP stop the checks. They do not stop the destroy.
    """
    rows: list[Row] = []
    handlers = {each: signal.getsignal(each) for each in ENDING}
    try:
        with interruptible():
            rows.extend(applied(place))
            for check in todo:
                rows.append(run(check, place))
                differs = f": {rows[-1].seen}" if rows[-1].verdict == "DIFFERS" else ""
                say(f"{rows[-1].verdict:>8}  {check.name}{differs}")
    except KeyboardInterrupt:
        rows.append(Row("STOPPED", "The checks run to the end", "yes", "interrupted"))
        say("\nInterrupted.")
    except Exception as error:  # noqa: BLE001 - after any error, there is something to destroy
        rows.append(Row("DIFFERS", "Terraform applies everything", "complete", brief(str(error))))
        say(str(error))
    finally:
        rows.extend(
            Row("-", each.name, str(each.expected), ONLY_AN_ACCOUNT) for each in only_an_account
        )
        rows.append(destroyed(place))
        for each, handler in handlers.items():
            signal.signal(each, handler)
    return rows


def applied(place: Place) -> Iterator[Row]:
    say("Applying …")
    started = time.monotonic()
    place.apply()
    seconds = round(time.monotonic() - started)
    warned = "a warning" if "Warning" in place.applied else "no warning"
    yield Row(
        "ok" if warned == "no warning" else "DIFFERS",
        "Terraform applies everything",
        "complete, no warning",
        f"complete, {warned}",
    )
    yield Row("figure", "Seconds that the apply takes", "60 to 300, not enforced", str(seconds))


def run(check: Check, place: Place) -> Row:
    try:
        seen = check.see(place)
        figure = isinstance(check.expected, checks.Figure)
        verdict = "figure" if figure else "ok" if check.agrees(seen) else "DIFFERS"
    except Exception as error:  # noqa: BLE001 - after any error, the other checks still run
        seen = f"{type(error).__name__}: {brief(str(error))}"
        verdict = "DIFFERS"
    return Row(verdict, check.name, str(check.expected), str(seen))


def destroyed(place: Place) -> Row:
    """Destroy. If that fails, destroy once more."""
    say("Destroying takes a few minutes. Ctrl-C does not stop it …")
    seen = ""
    for _ in range(2):
        try:
            place.destroy()
            remaining = place.eventually(lambda: checks.left(place, place.name), lambda it: not it)
            seen = f"left: {brief(str(remaining))}" if remaining else NOTHING_LEFT
            break
        except Exception as error:  # noqa: BLE001 - after any error, main says where the state is
            seen = brief(str(error))
            say(str(error))
    verdict = "ok" if seen == NOTHING_LEFT else "DIFFERS"
    return Row(verdict, "Everything is destroyed", NOTHING_LEFT, seen)


@contextmanager
def interruptible() -> Iterator[None]:
    """The first signal in the context raises KeyboardInterrupt. Later signals only print a message."""
    raising = True

    def interrupt(*_: object) -> None:
        nonlocal raising
        if raising:
            raising = False
            say("\nWaiting for Terraform to finish its current step, then destroying …")
            raise KeyboardInterrupt
        say("\nStill destroying. Remaining resources cost money, so please wait.")

    for each in ENDING:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        raising = False


def say(text: str) -> None:
    """Print. Neither a closed terminal nor a signal during another print may stop a destroy."""
    try:
        print(text, flush=True)
    except RuntimeError:
        pass  # the signal handler printed during a print of the main program
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process


def table(rows: list[Row], secret: dict[str, str]) -> str:
    """A Markdown table to paste into an issue, with each key of `secret` replaced by its value."""

    def shown(cell: str) -> str:
        for value, instead in secret.items():
            cell = cell.replace(value, instead)
        return cell.replace("|", "\\|")

    lines = [list(map(shown, row)) for row in [Row("", "check", "expected", "seen"), *rows]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)


def variables(name: str, region: str, email: str) -> dict[str, Any]:
    """Turn on every option that needs no domain."""
    return {
        "name": name,
        "aws_region": region,
        "alert_email": email,
        "api_key": secrets.token_hex(24),
        "api_key_previous": secrets.token_hex(24),
        "enable_s3_versioning": True,
        "enable_xray": True,
        "cors_allowed_origins": [checks.PAGE],
        "enable_inbox": True,
        "stream_shards": 1,
        "stream_window_seconds": 1,
        "log_retention_days": 1,
    }


def anomaly_monitor(cost_explorer: Any) -> str:
    """The ARN of the account's monitor of all services, "" if it has none. Raise ClientError."""
    page: dict[str, str] = {}
    while True:
        answer = cost_explorer.get_anomaly_monitors(**page)
        for monitor in answer["AnomalyMonitors"]:
            if monitor.get("MonitorDimension") == "SERVICE":
                return str(monitor["MonitorArn"])
        if not answer.get("NextPageToken"):
            return ""
        page = {"NextPageToken": answer["NextPageToken"]}


def main() -> None:
    try:
        init_arguments()
    except Missing as reason:
        sys.exit(str(reason))
    region = os.environ.get("AWS_REGION") or boto3.Session().region_name
    if not region:
        sys.exit("No region is set. Set AWS_REGION, or a region in your AWS profile.")
    session = boto3.Session(region_name=region)
    try:
        identity = session.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"AWS could not identify you: {error}")
    account = identity["Account"]
    name = f"wordtally-verify-{secrets.token_hex(3)}"
    if os.environ.get("YES") != "1":
        try:
            answer = input(QUESTION.format(account=account, region=region, name=name))
        except (EOFError, KeyboardInterrupt):
            answer = ""
        if answer.strip().lower() != "yes":
            sys.exit("Nothing was deployed. YES=1 answers yes.")

    given = variables(name, region, os.environ.get("EMAIL") or CONFIRMATION)
    notes: list[Row] = []
    try:
        if monitor := anomaly_monitor(session.client("ce")):
            given["anomaly_monitor_arn"] = monitor
    except ClientError as error:
        code = error.response["Error"]["Code"]
        seen = f"Cost Explorer answers {code}, so alert_email stays empty"
        notes.append(Row("-", "Alarms, budget and cost anomalies notify", "applied", seen))
        given["alert_email"] = ""

    directory = WORK / name
    directory.mkdir(parents=True)
    where = directory.relative_to(ROOT)
    say(f"The working copy and its state are in {where} until everything is destroyed.")
    emulated = os.environ.get("AWS_ENDPOINT_URL")
    place: Place
    try:
        if emulated:
            place = Emulated(directory, given, emulated)
        else:
            place = Account(directory, given, session, account)
    except TerraformError as error:
        sys.exit(f"Nothing was deployed: {error}")
    todo = [*checks.FIRST, *checks.ALWAYS, *checks.OPTIONS, *checks.CHANGES]
    started = time.monotonic()
    if emulated:
        rows = verify(place, todo, checks.ACCOUNT_ONLY)
    else:
        rows = verify(place, [*todo, *checks.ACCOUNT_ONLY], [])
    place.close()

    secret = {identity["Arn"]: "<you>", account: "<account>"} | {
        given[name]: f"<{name}>"
        for name in ["api_key", "api_key_previous", "alert_email"]
        if given[name]
    }
    minutes = round((time.monotonic() - started) / 60)
    where_it_ran = "the emulated AWS" if emulated else f"AWS, {region}"
    say(f"\n{commit()} on {where_it_ran}, in {minutes} minutes\n")
    say(table([*notes, *rows], secret))
    if rows[-1].seen == NOTHING_LEFT:
        shutil.rmtree(directory)
    else:
        say(
            f"\nNOT EVERYTHING WAS DESTROYED: the rest may cost money. Its state is in {where}."
            f"\nRun this command with the same AWS credentials until it succeeds:"
            f"\n\n  terraform -chdir={where} destroy\n"
            f"\nIf Terraform finds nothing to destroy, delete by hand the resources that the table"
            f" lists as left.\n"
        )
    if any(each.verdict == "DIFFERS" for each in rows):
        sys.exit("\nSomething differs. Please open an issue with the table; it names no account.")
    if any(each.verdict == "STOPPED" for each in rows):
        sys.exit(1)


def commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    return f"Wordtally {described.stdout.strip() or 'of unknown version'}"


if __name__ == "__main__":
    main()
