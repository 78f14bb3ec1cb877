"""README.md and docs/security.md say what is so."""

import ast
import re
import subprocess
from pathlib import Path
from typing import Any

import hcl2
import pytest
from description import ERRORS, RESPONSES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return re.split(r"^#+ ", README.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.M)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the first Markdown table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def blocks(file: str, kind: str) -> dict[str, dict[str, Any]]:
    with (ROOT / file).open() as opened:
        found = hcl2.load(opened)[kind]
    return {name.strip('"'): body for block in found for name, body in block.items()}


def plain(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f'"{text.strip(chr(34))}"' if isinstance(value, str) else text


def test_inputs_are_those_of_the_code() -> None:
    documented = {
        name.strip("`"): default.strip("`") for name, default, _ in rows(section("Inputs"))
    }
    code = blocks("variables.tf", "variable")
    assert documented == {name: plain(body["default"]) for name, body in code.items()}


def test_outputs_are_those_of_the_code() -> None:
    documented = [name.strip("`") for name, _ in rows(section("Outputs"))]
    assert documented == list(blocks("outputs.tf", "output"))


def test_routes_are_those_of_the_api() -> None:
    assert {route.strip("`") for route, _ in rows(section("The API"))} == set(RESPONSES)


def test_every_answer_of_the_api_is_documented() -> None:
    """As app/openapi.yaml has them, which test_openapi.py holds against the code."""
    answers = [(int(status), code.strip("`")) for status, code, _ in rows(section("Answers"))]
    assert [status for status, code in answers if code == "—"] == [200, 202]
    assert {code: status for status, code in answers if code != "—"} == ERRORS
    named = {int(status) for status in re.findall(r"\b[1-5]\d\d\b", section("Answers"))}
    assert {status for responses in RESPONSES.values() for status in responses} <= named


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_make_target_it_names_exists() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = set(re.findall(r"^make ([a-z-]+)", listed.stdout, flags=re.M))
    named = set(re.findall(r"`?make ([a-z-]+)", "\n".join(re.findall(r"`[^`]+`", README))))
    assert named <= targets
    assert {"run", "test", "demo", "bench", "help"} <= targets


SECURITY = (ROOT / "docs/security.md").read_text(encoding="utf-8")

TEST = re.compile(r"`((?:test_\w+|checks)\.py(?:::\w+)+)`")


@pytest.mark.parametrize("name", sorted(set(TEST.findall(SECURITY))))
def test_each_test_that_security_names_exists(name: str) -> None:
    file, *parts = name.split("::")
    (found,) = [
        path for where in ("tests", "app/tests", "verify") for path in ROOT.glob(f"{where}/{file}")
    ]
    node: Any = ast.parse(found.read_text(encoding="utf-8"))
    for part in parts:
        node = {getattr(child, "name", None): child for child in node.body}[part]


def test_actions_of_ci_are_pinned_by_commit() -> None:
    (workflow,) = ROOT.glob(".github/workflows/*.yml")
    for used in re.findall(r"uses: (.*)", workflow.read_text()):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[0-9.]+", used)


def test_security_says_nothing_without_a_test() -> None:
    table = rows(SECURITY)
    assert len(table) >= 8
    for visitor, _, _, tests in table:
        assert TEST.findall(tests), f"nothing shows what stops {visitor}"


FIGURE = r"\d+(?:,\d{3})*(?:\.\d+)?"


def measured() -> set[str]:
    return set(re.findall(FIGURE, (ROOT / "docs/bench.md").read_text(encoding="utf-8")))


def test_the_figures_are_those_of_the_last_bench() -> None:
    shown = re.findall(FIGURE, re.sub(r"\]\([^)]*\)|`[^`]*`", "", section("Measured")))
    assert set(shown) - measured() == set()


def test_the_results_of_the_simulation_are_those_it_prints() -> None:
    text = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    for title in ("Today's design under load", "The stream", "A hundred times more"):
        for row in rows(text.split(f"## {title}", 1)[1]):
            assert set(re.findall(FIGURE, " ".join(row))) - measured() == set()
