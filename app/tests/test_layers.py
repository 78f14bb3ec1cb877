"""The layers of the package: each imports only what it may, as in docs/architecture.md."""

import ast
import unittest
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "wordtally"
COMMON = {"errors", "work"}
MAY_IMPORT = {
    "aws": set[str](),
    "domain": COMMON,
    "ways_in": COMMON | {"domain"},
    "stores": COMMON | {"domain", "ways_in", "aws"},
    "page": {"ways_in"},
}


def imported(file: Path) -> Iterator[str]:
    """The parts of the package that a file imports, such as `domain`. Relative imports stay within
    a part."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
            if node.module == "wordtally":
                names = [f"wordtally.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "wordtally":
                yield rest.partition(".")[0]


class Layers(unittest.TestCase):
    def test_each_imports_only_what_it_may(self) -> None:
        for layer, allowed in MAY_IMPORT.items():
            for file in sorted((PACKAGE / layer).glob("*.py")):
                with self.subTest(file.relative_to(PACKAGE).as_posix()):
                    self.assertLessEqual(set(imported(file)), allowed | {layer})

    def test_every_folder_is_a_layer(self) -> None:
        folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
        self.assertEqual(folders, set(MAY_IMPORT))

    def test_what_all_layers_share_imports_no_layer(self) -> None:
        for name in COMMON:
            self.assertLessEqual(set(imported(PACKAGE / f"{name}.py")), COMMON)
