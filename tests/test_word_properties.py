"""Properties of the words of any text."""

import re
import time
import unicodedata
from collections import Counter, defaultdict
from itertools import filterfalse

import regex
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from standard import standard
from test_words import in_blocks
from wordtally.domain import words

AWKWARD = "aßאゝアก好1٣_'’\"·.,:-! \n\u0301\u0323\u0344\uff9e\u0f73\u200b\u200c\u200d\u00ad\u034f\u202e\u3164\ufe0fﬃﷺΐ가\ud800🎉"
"""Characters of each kind that words.py distinguishes, and those that are slowest to normalise."""

TEXTS = st.text() | st.text(AWKWARD)

BASIC_PLANE = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x10000)]))

ALPHABETIC = re.compile(
    "ADLAM|ARABIC|ARMENIAN|BENGALI|CHEROKEE|COPTIC|CYRILLIC|DEVANAGARI|ETHIOPIC|GEORGIAN|GREEK|GUJARATI|"
    "GURMUKHI|HANGUL|HEBREW|LATIN|MONGOLIAN|NKO|SINHALA|SYRIAC|TAMIL|TELUGU|THAANA|TIBETAN"
)
"""Scripts for which words.py follows the standard, unlike Thai, ideographs and similar scripts."""


def letters() -> dict[str, str]:
    """Letters, marks and digits of each script, without those newer than Unicode 14."""
    found: dict[str, str] = defaultdict(str)
    for char in filterfalse(words._NEWER.match, map(chr, range(0x20000))):
        script = ALPHABETIC.match(unicodedata.name(char, ""))
        if script and unicodedata.category(char) in (
            "Lu",
            "Ll",
            "Lt",
            "Lm",
            "Lo",
            "Mn",
            "Mc",
            "Nd",
        ):
            found[script[0]] += char
    return found


BETWEEN = " \n.,:;'’\"·-_/@!?()0\u00ad\u034f\u200b\u200c\u200d\u202e\u3164\ufe0f"


def prose(scripts: tuple[str, str]) -> st.SearchStrategy[str]:
    """Text that alternates between two scripts, with every character that joins or separates words."""
    pieces = [st.text(script, min_size=1, max_size=3) for script in scripts]
    return st.lists(st.one_of(*pieces, st.text(BETWEEN, min_size=1, max_size=2)), min_size=40).map(
        "".join
    )


LETTERS = st.sampled_from(sorted(letters().values()))
PROSE = st.tuples(LETTERS, LETTERS).flatmap(prose)
BETWEEN_LETTERS = regex.findall(r"[\p{WB=ML}\p{WB=MN}\p{WB=MB}\p{WB=SQ}\p{WB=DQ}]", BASIC_PLANE)
"""Characters that join letters or digits under UAX #29, but are not words on their own."""

DENSE = st.lists(
    st.tuples(
        st.sampled_from(["a", "é", "א", "1", "٣", "カ", "ゝ", "_", "."]),
        st.sampled_from(["", "\u0301", "\u00ad"]),
        st.sampled_from(["", "", *BETWEEN_LETTERS]),
        st.sampled_from(["", "", "\u0301", "\u200d"]),
    ).map("".join),
    min_size=40,
).map("".join)

MARKS = st.text("\u0301\u0316\u0323\u0344\u0345\u05b0\u0f73\uff9e", min_size=40)


@given(PROSE)
def test_texts_in_alphabetic_scripts_split_as_the_standard_says(text: str) -> None:
    assert words.split(text) == standard(text)


@settings(max_examples=2 * settings().max_examples)
@given(DENSE)
def test_characters_between_letters_and_digits_join_them_as_the_standard_says(text: str) -> None:
    assert words.split(text) == standard(text)


@given(MARKS)
def test_any_number_of_marks_is_normalised_as_the_standard_says(marks: str) -> None:
    assert words.split(f"ά{marks}.b") == standard(f"ά{marks}.b")


@given(TEXTS)
def test_splitting_the_words_again_gives_the_same_words(text: str) -> None:
    found = words.split(text)
    assert words.split(" ".join(found)) == found


@given(TEXTS)
def test_the_only_invisible_characters_in_words_are_joiners_within(text: str) -> None:
    for word in words.split(text):
        assert not regex.search(r"\p{Default_Ignorable_Code_Point}", word[0] + word[-1])
        assert {*regex.findall(r"\p{Default_Ignorable_Code_Point}", word)} <= {"\u200c", "\u200d"}


@given(TEXTS, TEXTS)
def test_two_joined_texts_count_like_the_separate_texts_in_either_order(one: str, two: str) -> None:
    apart = Counter(words.split(one)) + Counter(words.split(two))
    assert Counter(words.split(f"{one} {two}")) == apart
    assert Counter(words.split(f"{two} {one}")) == apart


WITHOUT_SPACES = st.text("กขา่ລ່ខ្မြ好ゝひカ가가\u200b\u200d,.'、。", min_size=1)


@given(TEXTS | PROSE | WITHOUT_SPACES, st.lists(st.integers(1, 12), min_size=1))
def test_a_text_in_blocks_has_the_words_of_the_whole(text: str, sizes: list[int]) -> None:
    assert in_blocks(text, *sizes) == words.split(text)


@given(TEXTS)
def test_words_are_the_same_in_any_normal_form(text: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert words.split(unicodedata.normalize(form, text)) == words.split(text)


def process_seconds(text: str) -> float:
    """CPU time of this process: the minimum of three runs, as other processes can slow a run down."""

    def once() -> float:
        started = time.process_time()
        words.split(text)
        return time.process_time() - started

    return min(once() for _ in range(3))


@given(st.text(AWKWARD, max_size=3), st.text(AWKWARD, min_size=1, max_size=4))
@example("", "\u0301\u0323")
@example("", "\uff9e\u0323")
@example("", "\u0f73\u0323")
@settings(phases=[Phase.explicit, Phase.generate])  # shrinking would measure for minutes
def test_the_time_is_linear(start: str, unit: str) -> None:
    """A test cannot count steps, so it measures CPU time. For 16 times the text, linear code takes 16 times
    as long and quadratic code 256 times. The limit is 64, the geometric mean."""
    size = 500
    few, many = (process_seconds(start + unit * (n // len(unit))) for n in (size, 16 * size))
    assert many < 64 * few
