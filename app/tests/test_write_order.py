"""Plans and files are written in the order of their words.

Two transactions that share a word conflict, and every long text has the frequent words. In the order of
the words, two writers meet only while both are in the same part of the alphabet; in the order of first
occurrence, each chunk of one meets most chunks of the other (bench/streamed.py has it in figures).
"""

import random
import unittest
from typing import Any

from wordtally import inbox, stream
from wordtally.inbox import Upload
from wordtally.stream import SEQUENCE_DIGITS, Record
from wordtally.work import Work

WORDS = random.Random(0).sample([f"word{number}" for number in range(1_000)], 1_000)


class OneFile:
    def read(self, upload: Upload, start: int, size: int, work: Work) -> tuple[bytes, int]:
        content = " ".join(WORDS).encode()
        return content[start : start + size], len(content)


class WriteOrderTest(unittest.TestCase):
    def test_of_a_plan(self) -> None:
        records = [
            Record(str(number).zfill(SEQUENCE_DIGITS), {word: 1})
            for number, word in enumerate(WORDS)
        ]
        self.assertEqual(list(stream.total(records)), sorted(WORDS))

    def test_of_a_file(self) -> None:
        files: Any = OneFile()
        counted = inbox.words_of(files, Upload("bucket", "key"), 1_000, Work())
        self.assertEqual(list(counted), sorted(WORDS))
