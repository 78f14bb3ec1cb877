"""The plots that docs/performance.md shows: docs/plots/*.svg."""

from collections.abc import Iterable
from pathlib import Path

from bench.timing.cold_start import Size
from bench.timing.growth import DESIGNS, Row

FOLDER = Path(__file__).parents[2] / "docs/plots"


def growth(rows: Iterable[Row]) -> None:
    axes = _axes("A request of nine words", "words in the table", "milliseconds")
    for design in DESIGNS:
        points = [row for row in rows if row.design == design and row.request == "9 words"]
        axes.loglog(
            [row.size for row in points], [row.times.wall for row in points], "o-", label=design
        )
    axes.legend()
    _save(axes, "growth")


def memory(sizes: list[Size]) -> None:
    axes = _axes("Nine words, by the function's memory", "MB", "milliseconds")
    memory = [size.memory_mb for size in sizes]
    axes.plot(memory, [size.warm for size in sizes], "o-", label="a request")
    axes.plot(memory, [size.first for size in sizes], "o-", label="the first request")
    axes.set_yscale("log")
    prices = axes.twinx()
    prices.plot(memory, [size.usd_per_million(size.warm) for size in sizes], "s--", color="gray")
    prices.set_ylabel("USD per million requests, duration alone (dashed)")
    prices.set_ylim(bottom=0)
    axes.legend()
    _save(axes, "memory")


def _axes(title: str, x: str, y: str):  # type: ignore[no-untyped-def]
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "wordtally"  # the same plot gives the same file
    from matplotlib import pyplot

    _, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(visible=True, alpha=0.3)
    return axes


def _save(axes, name: str) -> None:  # type: ignore[no-untyped-def]
    FOLDER.mkdir(parents=True, exist_ok=True)
    axes.figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
