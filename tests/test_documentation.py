"""The Markdown files agree with the code."""

import ast
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import hcl2
import pytest
from description import ERRORS, RESPONSES
from wordtally import __version__
from wordtally.work import Work

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for pattern in ("*.md", "docs/**/*.md")
    for path in sorted(ROOT.glob(pattern))
}
"""The text of every Markdown file, by its path."""


def section(file: str, title: str) -> str:
    """The text under a heading, up to the next heading."""
    after = re.split(rf"^#+ {re.escape(title)}\n", DOCUMENTS[file], maxsplit=1, flags=re.M)[1]
    return re.split(r"^#+ ", after, maxsplit=1, flags=re.M)[0]


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


def test_inputs_are_those_of_the_code_in_its_groups_and_order() -> None:
    table = rows(section("docs/operate.md", "Inputs"))
    documented = [(name.strip("*`"), default.strip("`")) for name, default, _ in table]
    code = blocks("variables.tf", "variable")
    text = (ROOT / "variables.tf").read_text(encoding="utf-8")
    assert documented == [
        (group, "") if group else (name, plain(code[name]["default"]))
        for group, name in re.findall(r'^# (.*)|^variable "(\w+)"', text, flags=re.M)
    ]


def test_outputs_are_those_of_the_code() -> None:
    documented = [name.strip("`") for name, _ in rows(section("docs/operate.md", "Outputs"))]
    assert documented == list(blocks("outputs.tf", "output"))


def test_alarms_are_those_of_the_code() -> None:
    documented = {name.strip("`") for name, _, _ in rows(section("docs/operate.md", "Alarms"))}
    code = (ROOT / "modules/monitoring/main.tf").read_text(encoding="utf-8")
    of_one_metric = re.findall(r"^ +([a-z0-9-]+) += merge\(local\.any_event", code, flags=re.M)
    others = re.findall(r'alarm_name += "\$\{var.name\}-([a-z-]+)"', code)
    assert documented == {*of_one_metric, *others}


def test_routes_are_those_of_the_api() -> None:
    routes = rows(section("docs/api.md", "Routes"))
    assert {route.strip("`") for route, _ in routes} == set(RESPONSES)


def test_every_answer_of_the_api_is_documented() -> None:
    """The table has the answers of app/openapi.yaml, which test_openapi.py compares with the code."""
    text = section("docs/api.md", "Answers")
    answers = [(int(status), code.strip("`")) for status, code, _ in rows(text)]
    assert [status for status, code in answers if code == "—"] == [200, 202]
    assert {code: status for status, code in answers if code != "—"} == ERRORS
    named = {int(status) for status in re.findall(r"\b[1-5]\d\d\b", text)}
    assert {status for responses in RESPONSES.values() for status in responses} <= named


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    found: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"^#{1,6} (.*)$", without_code(text), flags=re.M):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if found[name] else name)
        found[name] += 1
    return names


LINKS = [
    (file, link)
    for file, text in DOCUMENTS.items()
    for link in sorted(set(re.findall(r"\]\((?!https?:)([^)\s]+)\)", without_code(text))))
]


@pytest.mark.parametrize(("file", "link"), LINKS)
def test_links_lead_somewhere(file: str, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (ROOT / file).parent / path if path else ROOT / file
    assert target.exists()
    if anchor:
        name = target.resolve().relative_to(ROOT.resolve()).as_posix()
        assert anchor in anchors(DOCUMENTS[name])


def test_every_document_is_in_an_index() -> None:
    linked = {(ROOT / file).parent / link.partition("#")[0] for file, link in LINKS}
    paths = {path.resolve() for path in linked}
    assert [file for file in DOCUMENTS if (ROOT / file).resolve() not in paths] == []


def test_the_readme_is_short_and_links_to_the_table_of_edits() -> None:
    readme = DOCUMENTS["README.md"]
    assert len(readme.splitlines()) <= 200
    assert "(CONTRIBUTING.md#to-change-x-edit-y)" in readme
    first_block = readme.split("```sh\n", 1)[1].split("```")[0]
    assert re.findall("^make [a-z]+", first_block, flags=re.M) == ["make run", "make test"]


def test_every_make_target_that_is_named_exists() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = set(re.findall(r"^make ([a-z-]+)", listed.stdout, flags=re.M))
    for file, text in DOCUMENTS.items():
        code = [*re.findall(r"`make ([a-z-]+)", text), *re.findall(r"^make ([a-z-]+)", text, re.M)]
        assert set(code) <= targets, file
    readme = DOCUMENTS["README.md"]
    assert {"run", "test", "demo", "stack", "verify"} <= set(re.findall("make ([a-z]+)", readme))


def names_of(file: str) -> set[str]:
    """The names that documents may use as `file::name`: dotted names of Python, blocks and locals of Terraform,
    constants of JavaScript, variables of CSS."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".py"):
        return set(_names_in(ast.parse(text)))
    if file.endswith(".tf"):
        resources = re.findall(r'^resource "(\w+)" "(\w+)" \{', text, flags=re.M)
        others = re.findall(r'^(?:variable|module) "(\w+)" \{', text, flags=re.M)
        local = re.findall(r"^  (\w+) += ", text, flags=re.M)
        return {".".join(resource) for resource in resources} | {*others, *local}
    if file.endswith(".js"):
        return set(re.findall(r"^(?:const|class|(?:async )?function) (\w+)", text, flags=re.M))
    return set(re.findall(r"^  (--[\w-]+):", text, flags=re.M))


def _names_in(node: ast.Module | ast.ClassDef) -> Iterator[str]:
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield child.name
        if isinstance(child, ast.ClassDef):
            yield from (f"{child.name}.{name}" for name in _names_in(child))
        if isinstance(child, ast.Assign | ast.AnnAssign):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


CHANGES = rows(section("CONTRIBUTING.md", "To change X, edit Y"))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change[0])
def test_each_file_and_symbol_to_edit_exists(change: list[str]) -> None:
    _, edit, tests = change
    places = re.findall(r"`([\w/.-]+\.\w+)(?:::([\w.-]+))?`", edit)
    assert places
    for file, name in places:
        assert (ROOT / file).is_file()
        assert not name or name in names_of(file)
    assert all((ROOT / test.strip("`")).is_file() for test in tests.split(", "))


def test_the_table_has_the_changes_that_readers_look_for() -> None:
    assert [change for change, _, _ in CHANGES if change.startswith("the status of an error")]
    changes = " ".join(change for change, _, _ in CHANGES)
    for sought in ("ten", "slow requests", "colours", "markers", "format of the stream"):
        assert sought in changes


def test_files_that_contributing_and_architecture_name_exist() -> None:
    for file in ("CONTRIBUTING.md", "docs/architecture.md"):
        for name in re.findall(r"`([\w/]+\.(?:py|tf|md|yaml))`", DOCUMENTS[file]):
            places = [ROOT / name, ROOT / "app/wordtally" / name]
            assert any(place.is_file() for place in places), name


def test_the_newest_release_is_the_version_of_the_code() -> None:
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\S+)$", DOCUMENTS["CHANGELOG.md"], re.M)
    assert released[0][0] == __version__
    assert [date.fromisoformat(day).isoformat() for _, day in released] == sorted(
        (day for _, day in released), reverse=True
    )
    assert DOCUMENTS["CHANGELOG.md"].index("## [Unreleased]") < DOCUMENTS["CHANGELOG.md"].index(
        f"## [{__version__}]"
    )


def test_the_example_of_a_log_line_has_this_version_and_all_figures() -> None:
    text = section("docs/operate.md", "Log")
    (line,) = re.findall(r"^```json\n(.*)\n```$", text, flags=re.M)
    example = json.loads(line)
    assert example["version"] == __version__
    assert set(Work().figures()) <= example.keys()


SECURITY = DOCUMENTS["docs/security.md"]

TEST = re.compile(r"`((?:test_\w+|checks)\.py(?:::\w+)+)`")


@pytest.mark.parametrize("name", sorted(set(TEST.findall(SECURITY))))
def test_each_test_that_security_names_exists(name: str) -> None:
    file, *parts = name.split("::")
    folders = [each for each in ("tests", "app/tests", "verify") if (ROOT / each / file).is_file()]
    assert [".".join(parts) in names_of(f"{folder}/{file}") for folder in folders] == [True]


def test_actions_of_ci_are_pinned_by_commit() -> None:
    (workflow,) = ROOT.glob(".github/workflows/*.yml")
    for used in re.findall(r"uses: (.*)", workflow.read_text()):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[0-9.]+", used)


def test_each_row_of_security_names_a_test() -> None:
    table = rows(SECURITY)
    assert len(table) >= 8
    for visitor, _, _, tests in table:
        assert TEST.findall(tests), f"no test is named for {visitor}"


FIGURE = r"\d+(?:,\d{3})*(?:\.\d+)?"


def measured() -> set[str]:
    return set(re.findall(FIGURE, DOCUMENTS["docs/bench.md"]))


def test_the_figures_in_performance_are_those_of_the_last_bench() -> None:
    text = section("docs/performance.md", "Measured")
    shown = re.findall(FIGURE, re.sub(r"\]\([^)]*\)|`[^`]*`", "", text))
    assert len(shown) > 50
    assert set(shown) - measured() == set()


def test_the_results_in_scale_are_those_that_the_simulation_printed() -> None:
    text = DOCUMENTS["docs/scale.md"]
    for title in ("Posts under load", "The stream"):
        for row in rows(text.split(f"## {title}", 1)[1]):
            assert set(re.findall(FIGURE, " ".join(row))) - measured() == set()
