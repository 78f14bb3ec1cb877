"""Splits texts into words at the default word boundaries of Unicode UAX #29, with `unicodedata` alone.

A text is normalised (NFKC) and case-folded. Each character is then translated into a one-letter class
that stands for its Word_Break property, and one regular expression finds the words in the string of
classes. `unicodedata` lacks Word_Break, so the classes are derived from the general category and the
character's name. (By the Unicode stability policy, names never change.)

The standard leaves some cases open. This module decides them as follows:
- Thai, Lao, Khmer, Myanmar and similar scripts need a dictionary; here a run of their letters is a word.
- Each ideograph, hiragana letter and number that is not a digit (such as an Ethiopic one) is a word.
- ' and ’ are the same apostrophe.
- A segment without a letter or digit (punctuation, emoji, a lone _) is not a word.
- Rule WB3c, for emoji joined by ZWJ, is left out, as it joins nothing that is a word.
- Words that look the same are the same: Default_Ignorable_Code_Points (soft hyphen, bidi controls,
  variation selectors) are removed, except ZWNJ and ZWJ between two letters of a word.
- Characters that were added in Unicode 15 or later are not part of any word, except ideographs.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import groupby

from wordtally.errors import NoWords, WordTooLong

MAX_WORD_BYTES = 1024
"""Size in UTF-8: half of the 2,048 bytes that DynamoDB allows for a partition key."""

MAX_STRETCH = 65_536
"""Maximum characters without a place to cut; prose has a space about every ten characters.
Splitter rejects a longer stretch as a word that is too long, even if it consists of short words,
such as words joined by commas without spaces. The limit bounds the memory of `split`."""

_LETTER, _HEBREW, _DIGIT, _KATAKANA = "A", "H", "N", "K"
_JOINER = "_"  # ExtendNumLet: joins letters and digits, but is not a word by itself
_SINGLE, _RUN = "I", "S"  # each character is a word; each run is a word
_EXTEND = "x"  # Extend, Format and ZWJ: rule WB4 attaches them to the character before
_ZERO_WIDTH = "z"  # ZWNJ and ZWJ, which become _EXTEND after the superfluous ones are removed
_OTHER = " "

# Word_Break of characters whose category and name do not determine it (WordBreakProperty.txt of
# Unicode 17), without those that NFKC replaces.
_EXCEPTIONS = {
    "'": "'",
    '"': '"',
    **dict.fromkeys("\u00b7\u0387\u055f\u05f4\u2027:", ":"),  # MidLetter
    **dict.fromkeys("\u2018\u2019.", "."),  # MidNumLet
    **dict.fromkeys("\u0589\u060c\u060d\u066c\u07f8\u2044,;", ","),  # MidNum
    **dict.fromkeys("\u200c\u200d", _ZERO_WIDTH),
    "\u200b": _OTHER,  # ZERO WIDTH SPACE separates words, unlike every other format character
    "\u30fb": _OTHER,  # KATAKANA MIDDLE DOT
    # Letters or digits in the standard, but marks to readers: Armenian and Hebrew punctuation and
    # the signs that enclose Arabic numbers or are within them.
    **dict.fromkeys("\u055a\u055b\u055c\u055e\u058a\u05f3\u070f", _JOINER),
    **dict.fromkeys("\u0600\u0601\u0602\u0603\u0604\u0605\u066b\u06dd\u0890\u0891\u08e2", _JOINER),
    **dict.fromkeys("\u3031\u3032\u3033\u3034\u3035", _KATAKANA),  # kana repeat marks
}

_NAMES = {
    "HEBREW ": _HEBREW,
    "KATAKANA": _KATAKANA,
    **dict.fromkeys(["THAI ", "LAO ", "KHMER ", "MYANMAR ", "TAI ", "NEW TAI ", "AHOM "], _RUN),
    **dict.fromkeys(["CJK ", "KHITAN ", "NUSHU ", "TANGUT "], _SINGLE),
    **dict.fromkeys(["HIRAGANA ", "HENTAIGANA ", "HANGZHOU ", "IDEOGRAPHIC NUMBER "], _SINGLE),
    "IDEOGRAPHIC CLOSING ": _SINGLE,
}


def _class_of(char: str) -> str:
    if char in _EXCEPTIONS:
        return _EXCEPTIONS[char]
    if "\U00020000" <= char <= "\U00033fff":  # ideographs of every Unicode version
        return _SINGLE
    category = unicodedata.category(char)
    name = unicodedata.name(char, "")
    if category in ("Mn", "Mc", "Me", "Cf"):
        return _EXTEND
    if category == "Nd":
        return _DIGIT
    if category == "No":
        return _SINGLE
    if category == "Pc" or (category == "Sk" and name.startswith("MODIFIER LETTER ")):
        return _JOINER
    if category[0] == "L" or category == "Nl":
        if not name:  # unicodedata has no names for Tangut ideographs
            return _SINGLE
        return next((kind for start, kind in _NAMES.items() if name.startswith(start)), _LETTER)
    return _OTHER


class _Classes(dict[int, str]):
    """Maps code points to class letters for str.translate. Entries are added when first needed."""

    def __missing__(self, code_point: int) -> str:
        kind = self[code_point] = _class_of(chr(code_point))
        return kind


_CLASSES = _Classes()

# Python versions have different Unicode versions: 3.11 has Unicode 14, Lambda's 3.12 has 15. Characters
# that Unicode 15 to 18 added are therefore not part of any word. The list has only those that would
# be part of one. Its ranges include neighbours that are also unassigned in Unicode 14.
_NEWER_BELOW_U10000 = (
    r"\u0558\u058b\u058c\u05c8\u05c9\u088f\u0897\u0b53\u0b54\u0c5c\u0cdc\u0cf3\u0ece"
    r"\u1acf-\u1af0\u1c89\u1c8a\u208f\u209d-\u209f\ua7cb-\ua7cf\ua7d2\ua7d4\ua7da-\ua7f1"
    r"\uab6c\uab6d"
)
_NEWER_ABOVE = (
    r"\U000105c0-\U000105f3\U000107bb-\U000107bf\U00010940-\U00010959\U00010d40-\U00010d85"
    r"\U00010ec2-\U00010eff\U0001123f-\U00011241\U00011380-\U000113e2\U000116d0-\U000116e3"
    r"\U00011b0a-\U00011bf9\U00011db0-\U00011df1\U00011f00-\U00011f5a\U0001246f"
    r"\U00012475-\U0001247f\U00012550-\U00012686\U0001342f\U00013439-\U000143fa"
    r"\U00016100-\U00016139\U00016d40-\U00016d79\U00016ea0-\U00016ed3\U00016ff2-\U00016ff6"
    r"\U000187f8-\U000187ff\U00018cd6-\U00018cff\U00018d09-\U000191d2\U0001b123-\U0001b132"
    r"\U0001b155\U0001b168\U0001ccd6-\U0001ccf9\U0001d127\U0001d128\U0001d250-\U0001d2d3"
    r"\U0001d6a6\U0001df1f-\U0001dfff\U0001e030-\U0001e08f\U0001e4d0-\U0001e6ff"
    r"\U0003d000-\U0003fc3f"
)
# The first class rejects most characters fast; the second one has too many ranges for that.
_NEWER = re.compile(
    rf"[{_NEWER_BELOW_U10000}\U00010000-\U0010ffff](?<=[{_NEWER_BELOW_U10000}{_NEWER_ABOVE}])"
)

# Default_Ignorable_Code_Point (stable: its unassigned ranges are reserved). U+3164 and U+FFA0,
# which NFKC maps to U+1160, are included. ZWNJ, ZWJ and U+200B, which separates words, are not.
_IGNORABLE = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200e\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)

# Every x* is rule WB4. The pattern has no possessive quantifiers or atomic groups, because CPython
# before 3.11.5 backtracks into them (python/cpython#106052). Greedy quantifiers find the same words in
# linear time. After the first character everything is optional, so the match as a whole never fails.
# If an optional part fails, it can only backtrack within its own x*. That never helps, because every
# lookahead after an x* also fails at an x.
_LETTERS_AND_DIGITS = r"""
    (?: A[Ax]* (?: [:.']x*(?=[AH]) )?                                     # WB5, WB6, WB7
      | H[Hx]* (?! x | 'x*(?![xAH]) ) (?: [:.']x*(?=[AH]) | "x*(?=H) )?   # the same, WB7b, WB7c
      | N[Nx]* (?: [,.']x*(?=N) )?                                        # WB8, WB11, WB12
    )+                                                                    # WB9, WB10
"""
_WORD = re.compile(
    rf"""
    A[Ax]*(?![AxHN:.'_])                                                  # the common case, faster
    | (?=[AHNK_])
    (?: {_LETTERS_AND_DIGITS} | K[Kx]* )?                                 # WB13
    (?: _[_x]* (?: {_LETTERS_AND_DIGITS} | K[Kx]* )? )*                   # WB13a, WB13b
    (?: Hx*'x* )?                                                         # WB7a
    | Ix*
    | S[Sx]*
    """,
    re.VERBOSE,
)


# Combining marks and characters that decompose only into marks. The pattern also matches
# punctuation, which is harmless.
_MANY_MARKS = re.compile(r"[\W\uff9e\uff9f]{32,}")


def _nfkc(text: str) -> str:
    """NFKC in linear time.

    unicodedata sorts n combining marks in n² steps, or in n steps if they are already sorted.
    """
    return unicodedata.normalize("NFKC", _MANY_MARKS.sub(_sorted, text))


def _sorted(run: re.Match[str]) -> str:
    """Decompose the run, and put the marks between starters (class 0) into canonical order."""
    decomposed = "".join(unicodedata.normalize("NFKD", char) for char in run[0])
    stretches = groupby(decomposed, key=lambda char: unicodedata.combining(char) > 0)
    return "".join(
        char for _, chars in stretches for char in sorted(chars, key=unicodedata.combining)
    )


def _folded(text: str) -> str:
    """`text` in NFKC, case-folded, without ignorable characters and those of newer Unicode versions."""
    # Remove them before normalisation, so that a mark composes with the letter that it then follows.
    text = _IGNORABLE.sub("", _NEWER.sub(" ", text))
    # Normalise again, as case folding may produce text that is not NFKC (U+1E9B with a cedilla).
    return unicodedata.normalize("NFKC", _nfkc(text).casefold())


_ZERO_WIDTH_RUN = re.compile("z[xz]*")
_ONE_WORD = {"AA", "AH", "HA", "HH", "KK", "SS"}
_REPEATED = re.compile(r"([\u200c\u200d])\1*")


def _without_superfluous_joiners(text: str, classes: str) -> str:
    """Drop each ZWNJ or ZWJ that is not between two letters of a word, and each repeated one.

    Marks belong to the letter before them: Indic conjuncts have a virama before the ZWJ.
    """
    parts, copied = [], 0
    for run in _ZERO_WIDTH_RUN.finditer(classes):
        start, end = run.span()
        before = start - 1
        while before >= 0 and classes[before] == _EXTEND:
            before -= 1
        neighbours = classes[before : before + 1] + classes[end : end + 1]
        kept = r"\1" if neighbours in _ONE_WORD else ""
        parts += [text[copied:start], _REPEATED.sub(kept, text[start:end])]
        copied = end
    return "".join([*parts, text[copied:]])


def split(text: str) -> list[str]:
    """The words of `text` in order, normalised and case-folded, each as often as it occurs.

    Takes up to 400 bytes of memory per character of the longest word.
    """
    folded = text.lower() if text.isascii() else _folded(text)
    classes = folded.translate(_CLASSES)
    if _ZERO_WIDTH in classes:
        cleaned = _without_superfluous_joiners(folded, classes)
        if cleaned != folded:
            folded = _nfkc(cleaned)
            classes = folded.translate(_CLASSES)
        classes = classes.replace(_ZERO_WIDTH, _EXTEND)
    folded = folded.replace("\u2019", "'")
    return [
        folded[start:end]
        for start, end in map(re.Match.span, _WORD.finditer(classes))
        if classes[start] != _JOINER or classes[start:end].strip("_x")
    ]


class Splitter:
    """Splits a text that arrives in blocks of any size, into the same words as `split` does.

    The text is cut before characters that end every word and that normalisation does not change.
    Raises WordTooLong if MAX_STRETCH characters contain no such character.
    """

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, block: str) -> list[str]:
        """Add a block. Return the words that are now complete."""
        text = self._rest + block
        # The rest can be cut nowhere, except before its first character, so search the block only.
        for at in range(len(text) - 1, max(len(self._rest) - 1, 0), -1):
            if _begins_anew(text[at]):
                self._rest = text[at:]
                return split(text[:at])
        if len(text) > MAX_STRETCH:
            raise WordTooLong
        self._rest = text
        return []

    def end(self) -> list[str]:
        """Return the words of the remaining text."""
        rest, self._rest = self._rest, ""
        return split(rest)


@cache
def _begins_anew(char: str) -> bool:
    """Whether a text can be cut before this character: the two parts then have the same words as the
    whole."""
    return (
        char.translate(_CLASSES) in (_OTHER, _SINGLE)
        and unicodedata.combining(char) == 0
        and _folded(char) == char
    )


def count(text: str) -> dict[str, int]:
    """How often each distinct word of `text` occurs, in the order of first occurrence.

    Raise NoWords, or WordTooLong for a word over MAX_WORD_BYTES.
    """
    counted = Counter(split(text))
    if not counted:
        raise NoWords
    check(counted)
    return dict(counted)


def check(counted: Iterable[str]) -> None:
    """Raise WordTooLong for a word over MAX_WORD_BYTES."""
    if any(len(word.encode()) > MAX_WORD_BYTES for word in counted):
        raise WordTooLong
