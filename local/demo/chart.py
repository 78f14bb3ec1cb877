"""The bar chart that `make demo` draws in the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text


def chart(entries: Sequence[tuple[str, int]]) -> str:
    """A line for each word, at most as wide as the terminal: its total, a bar, the word.

    `entries` begin with the most frequent word. The word comes last, so that nothing else moves if a
    terminal reorders right-to-left words or draws a character wider than expected.
    """
    columns = Column(justify="right"), Column(ratio=2), Column(ratio=1, no_wrap=True)
    table = Table.grid(*columns, padding=(0, 1), expand=True)
    console = Console(color_system=None)  # with colours, a grey line would follow each bar
    for word, times in entries:
        most = entries[0][1]
        completed = max(times, 3 * most / console.width)  # so that each bar has a cell
        table.add_row(f"{times:,}", ProgressBar(total=most, completed=completed), Text(word))
    with console.capture() as drawn:
        console.print(table)
    # Without the padding of the last column: after a word that is wider than expected, it would wrap.
    return "\n".join(line.rstrip() for line in drawn.get().splitlines())
