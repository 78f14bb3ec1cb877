"""The unit tests with every supported Python on this machine and only the standard library."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import INTERPRETERS, ROOT

OLDEST = (3, 11)
NAMES = ["python3", *(f"python3.{minor}" for minor in range(11, 20))]
DESCRIBE = "import sys; print(*sys.version_info[:3], sys.executable)"


def executables() -> Iterator[str]:
    """Every file that looks like a Python, on the PATH and in the usual places of distributions and pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [*os.get_exec_path(), "/usr/local/bin", "/usr/bin", *pyenv.glob("versions/*/bin")]
    found = [shutil.which(name, path=str(folder)) for folder in folders for name in NAMES]
    yield from dict.fromkeys(os.path.realpath(file) for file in [sys.executable, *found] if file)


def interpreters() -> dict[str, str]:
    """Version to executable, oldest version first, one executable per version."""
    found: dict[tuple[int, ...], str] = {}
    for executable in executables():
        # A shim of pyenv fails if its version is not selected.
        described = subprocess.run([executable, "-c", DESCRIBE], capture_output=True, text=True)
        if described.returncode == 0:
            *version, path = described.stdout.strip().split(" ", 3)
            found.setdefault(tuple(map(int, version)), path)
    return {
        ".".join(map(str, version)): found[version]
        for version in sorted(found)
        if version >= OLDEST
    }


@pytest.mark.slow
def test_the_unit_tests_pass_under_each_interpreter(
    record_property: Callable[[str, object], None],
) -> None:
    found = interpreters()
    assert found
    for version, executable in found.items():
        # -E -s -S: ignore the environment, the user's packages and site-packages.
        run = subprocess.run(
            [executable, "-E", "-s", "-S", "-B", "-m", "unittest", "discover", "-s", "tests"],
            cwd=ROOT / "app",
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, f"Python {version} ({executable}):\n{run.stderr}"
        record_property(INTERPRETERS, f"{version} ({executable})")
