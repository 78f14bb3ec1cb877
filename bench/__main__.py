"""`make bench`: measures all figures of the README and the docs in one run.

Compare rows with each other, not with other runs. Writes its output to docs/bench.md and the plots to
docs/plots. `python -m bench "Three ways in" Simulation` measures only these parts and replaces them in
docs/bench.md.
"""

import contextlib
import io
import platform
import sys
from collections.abc import Callable
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
from bench.timing.designs import Endpoint
from local.emulator import aws

RECORD = Path(__file__).parents[1] / "docs/bench.md"


class Both(io.TextIOBase):
    """Writes to the terminal and keeps a copy of the text."""

    def __init__(self) -> None:
        self.kept = io.StringIO()
        self.terminal = sys.stdout

    def write(self, text: str) -> int:
        self.terminal.write(text)
        self.terminal.flush()
        return self.kept.write(text)


def measure() -> None:
    python, machine = platform.python_version(), platform.machine()
    print(
        f"# Measured\n\nPrinted by `make bench`, each part one run, {date.today()}, Python {python}, {machine}."
    )
    print("A fake AWS in a separate process answers at once, or after the delay that is stated.")
    print("Times are the minimum of several runs, unless a percentile is stated.")
    with aws.running("bench.timing.endpoint") as url:
        endpoint = Endpoint(url)
        rows = growth.run(endpoint)
        growth.show(rows)
        plots.growth(rows)
        latency.show(endpoint)
        latency.show_connections(endpoint)
        throttling.show(endpoint)
        contention.show(endpoint)
        cost.show(endpoint)
        reconciliation.show(endpoint)
        sizes = cold_start.sizes(endpoint)
        cold_start.show(endpoint)
        cold_start.show_sizes(sizes)
        plots.memory(sizes)
        text.show()
        ways.show(endpoint)
    show_simulation()


def show_simulation(*_: Endpoint) -> None:
    print(
        "\n## Simulation\n\nThe results of docs/scale.md, in virtual time: the same on every machine."
    )
    results.main()


PARTS: dict[str, Callable[[Endpoint], None]] = {
    "Three ways in": ways.show,
    "Simulation": show_simulation,
}
"""Parts that can be measured alone."""


def measure_part(title: str) -> None:
    with aws.running("bench.timing.endpoint") as url:
        PARTS[title](Endpoint(url))
    python, machine = platform.python_version(), platform.machine()
    print(f"\nThis part was measured alone, {date.today()}, Python {python}, {machine}.")


def replaced(record: str, title: str, part: str) -> str:
    """The record with the part of that title replaced. A new part is inserted before the last one."""
    start = record.find(f"\n## {title}\n")
    if start < 0:
        start = end = record.rindex("\n## ")
    else:
        end = record.find("\n## ", start + 1)
    return record[:start] + part + (record[end:] if end >= 0 else "")


def main() -> None:
    for title in sys.argv[1:]:
        both = Both()
        with contextlib.redirect_stdout(both):
            measure_part(title)
        record = RECORD.read_text(encoding="utf-8")
        RECORD.write_text(replaced(record, title, both.kept.getvalue()), encoding="utf-8")
    if sys.argv[1:]:
        return
    both = Both()
    with contextlib.redirect_stdout(both):
        measure()
    RECORD.write_text(both.kept.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    main()
