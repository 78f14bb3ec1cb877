"""`make audit`: known vulnerabilities of the pinned packages, from the package index's advisories.

It fails for a vulnerability. Without the network it says so, and fails only if the audit is required
(REQUIRE_AUDIT, set by CI). It is not part of `make test`, because its result depends on the day, not on
the commit.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def findings(report: str, errors: str) -> tuple[list[str], list[str]]:
    """From pip-audit's JSON: a line per vulnerability, and the packages that it could not audit."""
    try:
        packages = json.loads(report)["dependencies"]
    except ValueError:  # it prints nothing if it cannot connect
        reason = (errors.strip().splitlines() or ["no answer"])[-1]
        return [], [f"everything ({reason})"]
    vulnerable = [
        f"{package['name']} {package['version']}: {found['id']}, "
        f"fixed in {', '.join(found['fix_versions']) or 'no version yet'}"
        for package in packages
        for found in package.get("vulns", [])
    ]
    return vulnerable, [package["name"] for package in packages if "skip_reason" in package]


def verdict(vulnerable: list[str], skipped: list[str], required: bool) -> str | None:
    """The argument for sys.exit; None for success."""
    if skipped:
        print(f"!!! NOT AUDITED: {', '.join(skipped)} !!!", file=sys.stderr)
    if vulnerable:
        return "\n".join(vulnerable)
    if skipped and required:
        return "The audit is required here (REQUIRE_AUDIT)."
    return None


def main() -> None:
    files = sorted(ROOT.glob("*/*requirements.txt"))
    outcome = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off"),
            *("--disable-pip", "--no-deps"),  # the files list every package with its version
            *(f"--requirement={file}" for file in files),
        ],
        capture_output=True,
        text=True,
    )
    vulnerable, skipped = findings(outcome.stdout, outcome.stderr)
    failure = verdict(vulnerable, skipped, bool(os.environ.get("REQUIRE_AUDIT")))
    if failure:
        sys.exit(failure)
    if not skipped:
        print(f"No known vulnerabilities in what {len(files)} files pin.")


if __name__ == "__main__":
    main()
