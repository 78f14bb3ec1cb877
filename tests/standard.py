"""The words of a text according to uniseg, an implementation of UAX #29 with the Unicode database."""

import unicodedata

import regex
from uniseg import wordbreak

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
