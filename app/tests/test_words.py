"""Splitting texts into words."""

import hashlib
import unicodedata
import unittest
from itertools import cycle

from wordtally.domain import words
from wordtally.errors import NoWords, WordTooLong

# The table of the contract, then cases that it leaves to the standard.
EXAMPLES = {
    "The the THE": ["the", "the", "the"],
    "cat, cat. (cat)": ["cat", "cat", "cat"],
    "Don't stop — don’t!": ["don't", "stop", "don't"],
    "'quoted' rock 'n' roll O'Brien's": ["quoted", "rock", "n", "roll", "o'brien's"],
    "state-of-the-art": ["state", "of", "the", "art"],
    "na\u00efve nai\u0308ve": ["na\u00efve", "na\u00efve"],
    "Straße STRASSE": ["strasse", "strasse"],
    "हिन्दी में": ["हिन्दी", "में"],
    "می\u200cخواهم": ["می\u200cخواهم"],
    "3.14 1,000 user@example.com snake_case": [
        "3.14",
        "1,000",
        "user",
        "example.com",
        "snake_case",
    ],
    "你好 мир": ["你", "好", "мир"],
    "ภาษาไทย": ["ภาษาไทย"],
    "e.g. a:b l'avion": ["e.g", "a:b", "l'avion"],
    "🎉 !!! …": [],
    "": [],
    "ひらがなカタカナ": ["ひ", "ら", "が", "な", "カタカナ"],
    "스무 살": ["스무", "살"],
    "ภาษา\u200bไทย ລາວ ខ្មែរ မြန်မာ": ["ภาษา", "ไทย", "ລາວ", "ខ្មែរ", "မြန်မာ"],
    "ไทย2ไทย": ["ไทย", "2", "ไทย"],
    "צה\"ל צ'יפס ג' ג'5": ['צה"ל', "צ'יפס", "ג'", "ג'", "5"],
    "፲፱": ["፲", "፱"],
    "__init__ _ ___ a_1": ["__init__", "a_1"],
    "1,000,000.5 1. .5 1,a 1a2b": ["1,000,000.5", "1", "5", "1", "a", "1a2b"],
    "٣\u066b١٤ \u066b": ["٣\u066b١٤"],
    "a..b a.'b 'a''b'": ["a", "b", "a", "b", "a", "b"],
    "１２３ ﬁn ｶﾞ ½": ["123", "fin", "ガ", "1\u20442"],
    "co\u00adoperate hello\u200e \u2068hello\u2069": ["cooperate", "hello", "hello"],
    "e\u034f\u0301 a\u00ad\u0301 a\u200d\u0301": ["é", "á", "á"],
    "葛\U000e0100 \u3164 a\u3164b a.\u3164.b": ["葛", "ab", "a", "b"],
    "क्\u200dष র\u200d্য a\u200db": ["क्\u200dष", "র\u200d্য", "a\u200db"],
    "\u200da\u200d a\u200d1 l'\u200davion a\u200c你": ["a", "a1", "l'avion", "a", "你"],
    "a\u200d\u200db a\u200d\u200c\u200db": ["a\u200db", "a\u200d\u200c\u200db"],
    "Was. \"It: was'": ["was", "it", "was"],
    "אב' אא'ב א\u05b0'": ["אב'", "אא'ב", "א\u05b0'"],
    "a\u1acf\U0001e030b \U00031350\U000323b0": ["a", "b", "\U00031350", "\U000323b0"],
    "a\u0000b\ud800c\ufffdd": ["a", "b", "c", "d"],
    "\u0301a 🎉\u200db": ["a", "b"],
    "İI": ["i\u0307i"],
}


class Split(unittest.TestCase):
    def test_examples(self) -> None:
        for text, expected in EXAMPLES.items():
            with self.subTest(text=ascii(text)):
                self.assertEqual(words.split(text), expected)

    def test_a_word_is_the_same_word_when_split_again(self) -> None:
        for expected in EXAMPLES.values():
            for word in expected:
                with self.subTest(word=ascii(word)):
                    self.assertEqual(words.split(word), [word])

    def test_ten_thousand_ideographs_are_ten_thousand_words(self) -> None:
        self.assertEqual(
            len(words.split("".join(map(chr, range(0x4E00, 0x4E00 + 10_000))))), 10_000
        )

    def test_every_unicode_version_gives_the_same_words(self) -> None:
        digest = hashlib.sha256()
        for start in [
            *range(0, 0x40000, 0x1000),
            0xE0000,
        ]:  # the rest is unassigned or for private use
            characters = map(chr, range(start, start + 0x1000))
            found = words.split("\n".join(f"a{character}b" for character in characters))
            digest.update("\n".join(found).encode())
        self.assertEqual(
            digest.hexdigest(), "3230f16aba7d3f9557bace82b0eb5bf7bed1ca2a97dff5283deab8b0695acdd1"
        )

    def test_no_markup_gets_into_a_word(self) -> None:
        for character in "&<>﹠﹤﹥＆＜＞":  # all characters that NFKC maps to &, < or >
            for text in [f"a{character}b", f"1{character}2", f"א{character}ב", f"_{character}_"]:
                self.assertFalse(set("&<>") & set("".join(words.split(text))), text)


def in_blocks(text: str, *sizes: int) -> list[str]:
    """The words of a text that arrives in blocks of these sizes, repeated to its end."""
    splitter, start = words.Splitter(), 0
    found: list[str] = []
    for size in cycle(sizes):
        if start >= len(text):
            return found + splitter.end()
        found += splitter.feed(text[start : start + size])
        start += size
    raise AssertionError


class InBlocks(unittest.TestCase):
    def test_any_two_blocks_have_the_words_of_the_whole(self) -> None:
        whole = " ".join(EXAMPLES)
        expected = words.split(whole)
        for end in range(len(whole) + 1):
            splitter = words.Splitter()
            found = splitter.feed(whole[:end]) + splitter.feed(whole[end:]) + splitter.end()
            self.assertEqual(found, expected, end)

    def test_blocks_of_any_size_have_the_words_of_the_whole(self) -> None:
        whole = "".join(EXAMPLES)
        for sizes in [(1,), (2,), (3,), (7,), (1, 0, 5), (64,)]:
            self.assertEqual(in_blocks(whole, *sizes), words.split(whole))

    def test_nothing_composes_or_joins_across_a_cut(self) -> None:
        """Tries each character before which a text is cut, after each kind of neighbour."""
        before = [
            "a",
            "א",
            "1",
            "カ",
            "_",
            "a.",
            "1,",
            "a'",
            'א"',
            "a\u200d",
            "ก",
            "a\u0301",
            "\u1100",
        ]
        cuts = [char for char in map(chr, range(0x30000)) if words._begins_anew(char)]
        self.assertGreater(len(cuts), 100_000)
        followed = [f"{char}{after}" for char in cuts[::397] for after in ("a", "\u0301a", "'1")]
        for start in before:
            apart = [words.split(start) + words.split(each) for each in followed]
            self.assertEqual([words.split(start + each) for each in followed], apart)
        composing = {
            decomposed[-1]
            for char in map(chr, range(0x30000))
            if len(decomposed := unicodedata.normalize("NFD", char)) > 1
        }
        self.assertFalse(composing & set(cuts))

    def test_complete_words_are_returned_immediately(self) -> None:
        splitter = words.Splitter()
        self.assertEqual(splitter.feed("the quick bro"), ["the", "quick"])
        self.assertEqual(splitter.feed("wn"), [])
        self.assertEqual(splitter.feed(" fox"), ["brown"])
        self.assertEqual(splitter.end(), ["fox"])
        self.assertEqual(splitter.end(), [])

    def test_a_text_that_cannot_be_cut_is_rejected_before_it_grows_long(self) -> None:
        fed = 0
        splitter = words.Splitter()
        with self.assertRaises(WordTooLong):
            while True:
                splitter.feed("x" * 1_000)
                fed += 1_000
        self.assertLessEqual(fed, words.MAX_STRETCH)
        splitter = words.Splitter()
        splitter.feed("x" * words.MAX_STRETCH)
        self.assertEqual(splitter.feed(" "), ["x" * words.MAX_STRETCH])


class Count(unittest.TestCase):
    def test_counts_each_word(self) -> None:
        self.assertEqual(words.count("b A a c A"), {"b": 1, "a": 3, "c": 1})

    def test_a_text_without_words_is_rejected(self) -> None:
        for text in ["!!! …", "🎉", "_", "\ud800", "\u0000", "\u0301"]:
            with self.subTest(text=ascii(text)), self.assertRaises(NoWords):
                words.count(text)

    def test_a_word_has_at_most_1024_bytes(self) -> None:
        self.assertEqual(words.count("a " + "é" * 512), {"a": 1, "é" * 512: 1})
        for word in ["é" * 512 + "e", "e" * 1025]:
            with self.assertRaises(WordTooLong):
                words.count("a " + word)
