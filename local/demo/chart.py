"""The bar chart that `make demo` draws in the terminal."""

import unicodedata
from collections.abc import Iterator, Sequence


def chart(entries: Sequence[tuple[str, int]], columns: int, encoding: str) -> Iterator[str]:
    """A line for each word, at most `columns` cells wide: its total, a bar, the word.

    The word comes last, so that nothing else moves if a terminal reorders right-to-left words or draws
    a character wider than expected.
    """
    block, ellipsis = ("█", "…") if _can_encode("█…", encoding) else ("#", "...")
    totals = [f"{times:,}" for _, times in entries]
    digits = max(map(len, totals), default=0)
    longest_word = max((width(word) for word, _ in entries), default=0)
    word_cells = min(longest_word, max(columns // 3, len(ellipsis) + 1))
    bar_cells = max(columns - digits - word_cells - 2, 1)
    most = max((times for _, times in entries), default=1)
    for (word, times), total in zip(entries, totals, strict=True):
        bar = block * max(1, round(bar_cells * times / most))
        yield f"{total:>{digits}} {bar:{bar_cells}} {shortened(word, word_cells, ellipsis)}"


def width(text: str) -> int:
    """Terminal cells: two for a wide character, none for a combining mark or a joiner."""
    return sum(map(_cells, text))


def shortened(text: str, cells: int, ellipsis: str) -> str:
    """`text`, or its beginning and an ellipsis if `text` is wider than `cells`."""
    if width(text) <= cells:
        return text
    room = cells - len(ellipsis)
    kept = ""
    for character in text:
        room -= _cells(character)
        if room < 0:
            break
        kept += character
    return kept + ellipsis


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
