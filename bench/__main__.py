"""`make bench`: what a request costs, as the table grows and as the network slows down.

Every figure comes from one run on one machine; compare rows with each other, not with other runs.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from wordtally import handler, words
from wordtally.settings import Settings

from local import aws

ROOT = Path(__file__).parents[1]
NINE_WORDS = "the quick brown fox jumps over a lazy dog"
SIZES = (1_000, 10_000, 100_000)
ALWAYS = 10**9

Tally = Callable[[str], None]


def long_text() -> str:
    """10,000 characters of prose with about 1,500 distinct words."""
    prose = (ROOT / "examples/alice.txt").read_text(encoding="utf-8")
    distinct = [word for word in dict.fromkeys(words.split(prose)) if len(word) < 8]
    text = ""
    for word in distinct:
        if len(text) + len(word) >= 10_000:
            break
        text += word + " "
    return text


class Endpoint:
    def __init__(self, url: str) -> None:
        self.url = url

    def reset(self, table_words: int, delay_ms: float) -> None:
        body = json.dumps({"words": table_words, "delay_ms": delay_ms}).encode()
        urllib.request.urlopen(f"{self.url}/_reset", data=body).close()

    def calls(self) -> dict[str, Any]:
        """Calls by name and bytes moved, since last asked."""
        with urllib.request.urlopen(f"{self.url}/_calls") as answer:
            found: dict[str, Any] = json.load(answer)
            return found


def product(scan_up_to_words: int) -> Tally:
    """A warm instance of the function; takes a text."""
    settings = Settings(aws.REGION, "words", "reports", 600, scan_up_to_words)
    application = handler.application(settings)

    def tally(text: str) -> None:
        event = {"body": json.dumps({"parameter": text})}
        context = SimpleNamespace(aws_request_id="bench")
        answer = handler.respond(lambda: application, event, context)
        assert answer["statusCode"] == 200, answer

    return tally


def measure(endpoint: Endpoint, tally: Tally, text: str, times: int) -> tuple[float, float, Any]:
    """Median wall and CPU milliseconds of a request, and the calls of the last one."""
    tally(text)  # the first one finds no report, and warms everything
    wall, cpu = [], []
    for _ in range(times):
        endpoint.calls()
        began, began_cpu = time.perf_counter(), time.process_time()
        tally(text)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
    return statistics.median(wall) * 1000, statistics.median(cpu) * 1000, endpoint.calls()


def named(calls: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(calls.items()))


def growth(endpoint: Endpoint) -> None:
    print("\nGrowth: a 9-word request, 0 ms a call (fake endpoint)\n")
    print(
        "| words in the table | design | AWS calls | bytes | ms | CPU ms | times the 1,000-word row |"
    )
    print("|---:|---|---|---:|---:|---:|---:|")
    for design, limit, times in [("this product", 1_000, 40), ("a scan per request", ALWAYS, 8)]:
        first = None
        for size in SIZES:
            endpoint.reset(size, 0)
            wall, cpu, seen = measure(endpoint, product(limit), NINE_WORDS, times)
            first = first or wall
            print(
                f"| {size:,} | {design} | {named(seen['calls'])} | {seen['bytes']:,} "
                f"| {wall:,.1f} | {cpu:,.1f} | {wall / first:.2f} |"
            )


def latency(endpoint: Endpoint) -> None:
    text = long_text()
    distinct = len(words.count(text))
    print(f"\nLatency: {len(text):,} characters with {distinct:,} distinct words, and nine words\n")
    print("| request | ms a call | AWS calls | ms | CPU ms | one call after the other would wait |")
    print("|---|---:|---|---:|---:|---:|")
    for name, body, times in [("9 words", NINE_WORDS, 20), (f"{distinct:,} words", text, 3)]:
        for delay in (0, 5):
            endpoint.reset(100_000, delay)
            wall, cpu, seen = measure(endpoint, product(1_000), body, times)
            waits = sum(seen["calls"].values()) * delay
            print(
                f"| {name} | {delay} | {named(seen['calls'])} | {wall:,.1f} | {cpu:,.1f} "
                f"| {waits:,} ms |"
            )


_CLIENTS = "import boto3; [boto3.client(s, region_name='eu-west-3') for s in ('dynamodb', 's3')]"
_HANDLER = (
    "from wordtally import handler; from wordtally.settings import Settings;"
    "handler.application(Settings('eu-west-3', 'words', 'reports', 600, 1000))"
)


def cold_start() -> None:
    print("\nCold start: a fresh process, less an empty one\n")
    print("| what | ms | CPU ms | times the floor |")
    print("|---|---:|---:|---:|")
    nothing = _fresh_process("pass")
    floor = None
    for name, code in [
        ("`import boto3` and two clients (the floor)", _CLIENTS),
        ("`import wordtally.handler` alone", "import wordtally.handler"),
        ("the function, ready for its first request", _HANDLER),
    ]:
        wall, cpu = (a - b for a, b in zip(_fresh_process(code), nothing, strict=True))
        floor = floor or cpu
        print(f"| {name} | {wall:.0f} | {cpu:.0f} | {cpu / floor:.2f} |")


def _fresh_process(code: str) -> tuple[float, float]:
    """Median wall and CPU milliseconds of a process that runs `code`."""
    wall, cpu = [], []
    for _ in range(7):
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - began)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(wall) * 1000, statistics.median(cpu) * 1000


def main() -> None:
    with aws.running("bench.endpoint") as url:
        os.environ.update(aws.environment(url))
        endpoint = Endpoint(url)
        growth(endpoint)
        latency(endpoint)
        cold_start()


if __name__ == "__main__":
    main()
