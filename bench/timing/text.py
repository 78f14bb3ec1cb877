"""The CPU cost of a text before any call: splitting and counting its words."""

from functools import partial

from wordtally.domain import words

from bench.measure import table, timed
from bench.timing import corpus
from bench.timing.endpoint import Endpoint


def show(_: Endpoint) -> None:
    print("\n## Text\n")
    print("Splitting and counting on one core, the best of seven runs.")
    rows = []
    for name, text in [("ASCII prose", corpus.ALICE), ("18 languages", corpus.mixed_scripts())]:
        if name == "ASCII prose":
            text = text.encode("ascii", "ignore").decode()
        words.count(text)
        milliseconds = timed(partial(words.count, text), 7).cpu
        size = len(text.encode())
        rows.append([name, size, len(words.split(text)), size / 1e3 / milliseconds])
    table("text | bytes | words | MB/s", rows)
