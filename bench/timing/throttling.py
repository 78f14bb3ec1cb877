"""The longest texts, 10,000 different words: alone, throttled, and two at once."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bench.measure import in_new_process, table
from bench.timing.endpoint import Endpoint
from bench.timing.instance import post_longest_text

DELAY_MS = 5
NEW_TABLE = 4_000
"""Writes a second: variables.tf, max_writes_per_second."""

CASES = (("thin", 0, 1), ("thin", NEW_TABLE, 1), ("thin", NEW_TABLE, 2), ("botocore", 0, 1))
"""Client, writes a second (0: any number), texts at once."""


def show(endpoint: Endpoint) -> None:
    print("\n## Long texts\n")
    print(
        "10,000 different ideographs in a text, over TLS, 5 ms a call, on warm instances (each in a"
    )
    print(
        "separate process, with a request's deadline of 28 s after its arrival). The table accepts"
    )
    print(
        "that many writes a second, in bursts of up to a tenth of a second's worth, and throttles the rest."
    )
    table(
        "client | writes a second | texts at once | status | s | CPU s | MB of memory at the most "
        "| throttled | upserts counted",
        (row for case in CASES for row in _rows(endpoint, *case)),
    )


def _rows(endpoint: Endpoint, client: str, writes: int, texts: int) -> list[list[object]]:
    endpoint.reset(10_000, DELAY_MS, writes)
    endpoint.seen()
    with endpoint.tls(), ThreadPoolExecutor(texts) as pool:
        found = list(pool.map(partial(in_new_process, post_longest_text), [client] * texts))
    calls = endpoint.seen().calls
    counted = calls["UpdateItem"] - texts  # the warm-up's
    return [
        [
            *[client, writes or "any", str(texts), str(status), seconds, cpu, memory],
            *[calls.get("throttled", 0), counted],
        ]
        for status, seconds, cpu, memory in found
    ]
