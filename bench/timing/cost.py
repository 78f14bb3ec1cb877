"""USD per million requests, from counted calls and list prices."""

from bench import prices
from bench.measure import MEMORY_MB, Times, table
from bench.timing import corpus, designs
from bench.timing.endpoint import Endpoint, Seen
from bench.timing.growth import SIZES, measured

DELAY_MS = 5
SERVICES = ("DynamoDB", "S3", "Lambda", "HTTP API", "logs")

DESIGNS = {"this product": designs.product, "a scan per request": designs.scan_per_request}


def usd_per_million(seen: Seen, times: Times) -> list[float]:
    """USD by service, in the order of SERVICES, and their sum. The function has a whole vCPU, like the
    measured process."""
    usd = prices.usd(
        seconds=times.wall / 1000,
        write_units=seen.write_units,
        read_units=seen.read_units,
        puts=seen.calls.get("PutObject", 0),
        gets=seen.calls.get("GetObject", 0),
    )
    return [*(usd[service] for service in SERVICES), sum(usd.values())]


def show(endpoint: Endpoint) -> None:
    print("\n## Cost\n")
    print(
        "USD per million requests: calls as counted here, the function's time as measured here with"
    )
    print(
        f"{DELAY_MS} ms a call and charged as {MEMORY_MB:,} MB on arm64, list prices of bench/prices.py."
    )
    rows = []
    for words in (10, 500):
        for design, make in DESIGNS.items():
            for size in SIZES:
                endpoint.reset(size, DELAY_MS)
                repeat, warm_up = (5, 3) if design == "this product" else (1, 1)
                text = corpus.distinct(words)
                times, seen = measured(endpoint, make(), text, repeat, warm_up)
                rows.append([words, design, size, *usd_per_million(seen, times)])
    table(" | ".join(["words", "design", "words in the table", *SERVICES, "USD"]), rows)
