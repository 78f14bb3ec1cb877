"""Concurrent publishes: how often they conflict and are retried, and that the report is exact."""

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from wordtally import handler
from wordtally.domain import ranking, words
from wordtally.work import Work

from bench.measure import table
from bench.timing.endpoint import Endpoint
from bench.timing.instance import SETTINGS

HOT = ("the cat sat", "the dog sat", "the cat and the dog", "sat the fox")
REQUESTS = 240  # in all
DELAY_MS = 20


def run(endpoint: Endpoint, clients: int) -> list[object]:
    """A row of the table. A request publishes nothing if the report has its totals already."""
    endpoint.reset(1_000, DELAY_MS)
    instances = [handler.application(SETTINGS) for _ in range(clients)]
    works: list[Work] = []
    took: list[float] = []
    start = threading.Barrier(clients)

    def client(number: int) -> None:
        start.wait()
        for turn in range(REQUESTS // clients):
            work = Work()
            began = time.perf_counter()
            counted = words.count(HOT[(number + turn) % len(HOT)])
            instances[number].ranking.tally(counted, work)
            took.append((time.perf_counter() - began) * 1000)
            works.append(work)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    seconds = time.perf_counter() - began
    total = len(works)
    cuts = statistics.quantiles(took, n=100)
    return [
        str(clients),
        sum(work.publishes for work in works) / total,
        sum(work.conflicts for work in works) / total,
        sum(work.publishes == 0 for work in works) / total,
        *(cuts[49], cuts[94], cuts[98]),
        total / seconds,
        "exact" if _is_exact() else "WRONG",
    ]


def _is_exact() -> bool:
    """Whether the report is the top ten of a full scan."""
    application = handler.application(SETTINGS)
    totals = {
        word: times
        for page in application.ranking._counts.scan(0, Work())
        for word, times in page.items()
    }
    report = application.reports.read(Work()).report
    return report is not None and report.top == ranking.top(totals.items())


def show(endpoint: Endpoint) -> None:
    rows = [run(endpoint, clients) for clients in (1, 2, 4, 8, 16, 32, 64)]
    print("\n## Contention\n")
    print(f"{REQUESTS} requests of three or four hot words. Each client is a separate instance;")
    print(
        f"all are in one process, {DELAY_MS} ms a call. With many clients, the CPU that they share here"
    )
    print("adds to their times; on AWS each instance has its own (docs/scale.md models that).")
    table(
        "concurrent | publishes a request | conflicts | nothing to publish | p50, ms | p95 | p99 "
        "| requests a second | report",
        rows,
    )
