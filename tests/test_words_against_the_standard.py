"""Compares word boundaries with uniseg's, an implementation of UAX #29 with the Unicode database.

tests/prose has the Universal Declaration of Human Rights (United Nations, free to copy), its
preamble and first articles, in 18 languages and 9 scripts.
"""

import unicodedata
from pathlib import Path

import pytest
import regex
from uniseg import wordbreak
from wordtally.domain import words

PROSE = sorted((Path(__file__).parent / "prose").glob("*.txt"))


IGNORABLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}--\u200c\u200d]", regex.V1)
SUPERFLUOUS_JOINER = regex.compile(
    r"(?<!\p{L}[\p{M}\p{Cf}]*)[\u200c\u200d]"  # no letter before it
    r"|[\u200c\u200d](?![\p{M}\p{Cf}]*\p{L})"  # no letter after it
    r"|([\u200c\u200d])(?=\1)"
)
HANGUL_FILLERS = dict.fromkeys([0x115F, 0x1160], "\u2060")


def standard(text: str) -> list[str]:
    """The words of `text` according to uniseg: segments with a letter or digit, normalised like ours."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    # In the standard, fillers are letters. Here they are format characters, as they are invisible.
    segments = wordbreak.words(folded.translate(HANGUL_FILLERS))
    return [visible(s) for s in segments if any(map(str.isalnum, s))]


def visible(word: str) -> str:
    """`word` without its invisible characters."""
    word = SUPERFLUOUS_JOINER.sub("", IGNORABLE.sub("", word))
    return unicodedata.normalize("NFKC", word).replace("’", "'")


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
