"""Compares word boundaries with those of the standard.

tests/prose has the Universal Declaration of Human Rights (United Nations, free to copy), its
preamble and first articles, in 18 languages and 9 scripts.
"""

import unicodedata
from pathlib import Path

import pytest
from standard import standard
from wordtally.domain import words

PROSE = sorted((Path(__file__).parent / "prose").glob("*.txt"))


@pytest.mark.parametrize("file", PROSE, ids=lambda file: file.stem)
def test_prose(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(words.split(text)) > 300
    assert words.split(text) == standard(text)


def test_enough_languages_and_scripts_are_tested() -> None:
    letters = {file: file.read_text(encoding="utf-8")[0] for file in PROSE}
    scripts = {unicodedata.name(letter).split()[0] for letter in letters.values()}
    assert len(PROSE) >= 8
    assert len(scripts) >= 5


def test_the_book() -> None:
    text = (Path(__file__).parents[1] / "examples/alice.txt").read_text(encoding="utf-8")
    assert words.split(text) == standard(text)
