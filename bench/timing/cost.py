"""USD per million requests, from counted calls and list prices."""

from bench import prices
from bench.measure import MB_PER_VCPU, MEMORY_MB, Times, table
from bench.prices import LOG_BYTES
from bench.timing import corpus, designs
from bench.timing.designs import Endpoint, Seen
from bench.timing.growth import SIZES, measured

DELAY_MS = 5

DESIGNS = {
    "this product": designs.product,
    "a scan per request": designs.scan_per_request,
}


def usd_per_million(seen: Seen, times: Times) -> dict[str, float]:
    """By service. On a share of a vCPU, the same CPU time takes longer, and the request waits for it."""
    share = min(1, MEMORY_MB / MB_PER_VCPU)
    milliseconds = times.wall + times.cpu * (1 / share - 1)
    calls = {"PutObject": 0, "GetObject": 0} | seen.calls
    return {
        "DynamoDB": seen.write_units * prices.DYNAMODB_WRITE_UNIT
        + seen.read_units * prices.DYNAMODB_READ_UNIT,
        "S3": calls["PutObject"] * prices.S3_PUT + calls["GetObject"] * prices.S3_GET,
        "Lambda": prices.LAMBDA_REQUEST
        + MEMORY_MB / 1024 * milliseconds / 1000 * prices.LAMBDA_ARM64_GB_SECOND * 1e6,
        "API": prices.HTTP_API_REQUEST,
        "logs": LOG_BYTES / 1e9 * prices.LOGS_INGESTED_GB * 1e6,
    }


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
                usd = usd_per_million(seen, times)
                rows.append([words, design, size, *usd.values(), sum(usd.values())])
    table(
        ["words", "design", "words in the table", "DynamoDB", "S3", "Lambda", "API", "logs", "USD"],
        rows,
    )
