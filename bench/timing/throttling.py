"""The longest texts, 10,000 different words: alone, throttled, and two at once."""

import json
from concurrent.futures import ThreadPoolExecutor

from bench.measure import output, table
from bench.timing.cold_start import POST, READY
from bench.timing.designs import Endpoint

DELAY_MS = 5
NEW_TABLE = 4_000
"""Writes a second: variables.tf, max_writes_per_second."""

_LONG_TEXT = f"""
{READY}
{POST}
application = handler.application(settings)
post("warm", lambda: application)
began = time.perf_counter()
status = post("".join(chr(0x4E00 + number) for number in range(10_000)), lambda: application)
print(json.dumps([
    status, time.perf_counter() - began, time.process_time(),
    int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024,
]))
"""

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
    code = _LONG_TEXT.replace("CLIENT", client)
    with endpoint.tls(), ThreadPoolExecutor(texts) as pool:
        printed = list(pool.map(output, [code] * texts))
    calls = endpoint.seen().calls
    counted = calls["UpdateItem"] - texts  # the warm-up's
    return [
        [
            *[client, writes or "any", str(texts), str(status), seconds, cpu, memory],
            *[calls.get("throttled", 0), counted],
        ]
        for status, seconds, cpu, memory in map(json.loads, printed)
    ]
