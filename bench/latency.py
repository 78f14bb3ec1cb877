"""Wall time against the lower bound: waits that depend on each other, and the SDK's own CPU."""

from unittest import mock

from wordtally import counts
from wordtally.work import Work

from bench import corpus, designs
from bench.designs import Endpoint
from bench.growth import measured
from bench.measure import table, timed

CHAIN = 2
"""Calls of which each needs the result of the one before: the upserts, the publish."""


def sdk_milliseconds(endpoint: Endpoint) -> float:
    """CPU of one upsert, nothing beside it."""
    endpoint.reset(1_000, 0)
    table_of_words = counts.connect(designs.SETTINGS)

    def one_by_one() -> None:
        for number in range(100):
            table_of_words.add({f"word{number}": 1}, Work())

    one_by_one()
    return timed(one_by_one, 7).cpu / 100


def show(endpoint: Endpoint) -> None:
    sdk = sdk_milliseconds(endpoint)
    print("\n## Latency\n")
    print(
        f"The bound: {CHAIN} calls that wait for each other, and {sdk:.2f} ms of CPU for each call,"
    )
    print("which is what one upsert alone takes of the SDK's.")
    rows = []
    for words, repeat in [(10, 30), (1_500, 5)]:
        for delay in (2, 5, 10):
            endpoint.reset(10_000, delay)
            times, seen = measured(endpoint, designs.product(), corpus.distinct(words), repeat)
            calls = sum(seen.calls.values())
            bound = CHAIN * delay + calls * sdk
            rows.append([words, delay, calls, bound, times.wall, times.wall / bound, calls * delay])
    table(
        ["words", "ms a call", "AWS calls", "bound, ms", "ms", "× bound", "waits in a row, ms"],
        rows,
    )


def show_workers(endpoint: Endpoint) -> None:
    print("\n## Workers\n")
    print(f"1,500 words with so many upserts under way at once (the product has {counts.WORKERS}).")
    rows = []
    for workers in (4, 8, 16, 24, 32, 64):
        row: list[object] = [workers]
        for delay in (2, 5, 10):
            endpoint.reset(10_000, delay)
            with mock.patch.object(counts, "WORKERS", workers):
                tally = designs.product()
            times, _ = measured(endpoint, tally, corpus.distinct(1_500), 3, 1)
            row.append(times.wall)
        rows.append(row)
    table(["workers", "2 ms a call", "5 ms a call", "10 ms a call"], rows)
