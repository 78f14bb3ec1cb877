"""`make bench`: measures all figures of the README and the docs in one run.

Compare rows with each other, not with other runs. Writes its output to docs/bench.md and the plots to
docs/plots. `python -m bench "Three ways in" Simulation` measures only these parts and replaces them in
docs/bench.md.
"""

import contextlib
import io
import platform
import sys
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

from bench.simulation import results
from bench.timing import (
    cold_start,
    contention,
    cost,
    growth,
    latency,
    plots,
    reconciliation,
    text,
    throttling,
    ways,
)
from bench.timing.endpoint import Endpoint
from local.emulator import aws

RECORD = Path(__file__).parents[1] / "docs/bench.md"

INTRODUCTION = """# Measured

Printed by `make bench`, each part one run, {run}
A fake AWS in a separate process answers at once, or after the delay that is stated.
Times are the minimum of several runs, unless a percentile is stated.
"""


class Both(io.TextIOBase):
    """Writes to the terminal and keeps a copy of the text."""

    def __init__(self) -> None:
        self.kept = io.StringIO()
        self.terminal = sys.stdout

    def write(self, text: str) -> int:
        self.terminal.write(text)
        self.terminal.flush()
        return self.kept.write(text)


def show_growth(endpoint: Endpoint) -> None:
    rows = growth.run(endpoint)
    growth.show(rows)
    plots.growth(rows)


def show_memory(endpoint: Endpoint) -> None:
    sizes = cold_start.sizes(endpoint)
    cold_start.show_sizes(sizes)
    plots.memory(sizes)


def show_simulation(_: Endpoint) -> None:
    print(
        "\n## Simulation\n\nThe results of docs/scale.md, in virtual time: the same on every machine."
    )
    results.main()


PARTS: dict[str, Callable[[Endpoint], None]] = {
    "Growth": show_growth,
    "Latency": latency.show,
    "Connections": latency.show_connections,
    "Long texts": throttling.show,
    "Contention": contention.show,
    "Cost": cost.show,
    "Reconciliation": reconciliation.show,
    "Cold start": cold_start.show,
    "Memory": show_memory,
    "Text": text.show,
    "Three ways in": ways.show,
    "Simulation": show_simulation,
}
"""The function that prints each section of docs/bench.md, by the section's heading."""


def measured(parts: Iterable[str], before: str = "", after: str = "") -> str:
    """Print the parts between `before` and `after`, and return all that was printed."""
    both = Both()
    with contextlib.redirect_stdout(both), aws.running("bench.timing.server") as url:
        print(before, end="")
        endpoint = Endpoint(url)
        for title in parts:
            PARTS[title](endpoint)
        print(after, end="")
    return both.kept.getvalue()


def replaced(record: str, title: str, part: str) -> str:
    """The record with the part of that title replaced. A new part is inserted before the last one."""
    start = record.find(f"\n## {title}\n")
    if start < 0:
        start = end = record.rindex("\n## ")
    else:
        end = record.find("\n## ", start + 1)
    return record[:start] + part + (record[end:] if end >= 0 else "")


def main() -> None:
    run = f"{date.today()}, Python {platform.python_version()}, {platform.machine()}."
    for title in sys.argv[1:]:
        part = measured([title], after=f"\nThis part was measured alone, {run}\n")
        record = RECORD.read_text(encoding="utf-8")
        RECORD.write_text(replaced(record, title, part), encoding="utf-8")
    if not sys.argv[1:]:
        everything = measured(PARTS, before=INTRODUCTION.format(run=run))
        RECORD.write_text(everything, encoding="utf-8")


if __name__ == "__main__":
    main()
