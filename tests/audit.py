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


def failure(report: str, errors: str, required: bool) -> str | None:
    """Why the audit fails, from pip-audit's JSON and its errors; None if it succeeds.

    Print the packages that it could not audit, or that nothing was found.
    """
    try:
        packages = json.loads(report)["dependencies"]
        skipped = [package["name"] for package in packages if "skip_reason" in package]
    except ValueError:  # it prints nothing if it cannot connect
        reason = (errors.strip().splitlines() or ["no answer"])[-1]
        packages, skipped = [], [f"everything ({reason})"]
    if skipped:
        print(f"!!! NOT AUDITED: {', '.join(skipped)} !!!", file=sys.stderr)
    vulnerable = [
        f"{package['name']} {package['version']}: {found['id']}, "
        f"fixed in {', '.join(found['fix_versions']) or 'no version yet'}"
        for package in packages
        for found in package.get("vulns", [])
    ]
    if not skipped and not vulnerable:
        print(f"No known vulnerabilities in {len(packages)} pinned packages.")
    if skipped and required:
        vulnerable.append("The audit is required here (REQUIRE_AUDIT).")
    return "\n".join(vulnerable) or None


def main() -> None:
    outcome = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off"),
            *("--disable-pip", "--no-deps"),  # the files list every package with its version
            *(f"--requirement={file}" for file in sorted(ROOT.glob("*/*requirements.txt"))),
        ],
        capture_output=True,
        text=True,
    )
    sys.exit(failure(outcome.stdout, outcome.stderr, bool(os.environ.get("REQUIRE_AUDIT"))))


if __name__ == "__main__":
    main()
