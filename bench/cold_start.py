"""A cold start, and what memory buys: a function's share of a CPU is proportional to it."""

import json
import statistics
from dataclasses import dataclass

from bench import corpus, prices
from bench.designs import Endpoint
from bench.measure import MB_PER_VCPU, output, table

_CPU = "import time\n"
_PRINT = "\nimport sys; print(time.process_time(), len(sys.modules))"
_READY = """
from wordtally import handler
from wordtally.settings import Settings
application = handler.application(Settings("eu-west-3", "words", "reports", 600, 1000, "markers", 24))
"""
STARTS = {
    "an empty process": "pass",
    "`import boto3`, two clients (the floor)": (
        "import boto3; [boto3.client(s, region_name='eu-west-3') for s in ('dynamodb', 's3')]"
    ),
    "`import wordtally.handler`": "import wordtally.handler",
    "ready for the first request": _READY,
}


def show() -> None:
    print("\n## Cold start\n")
    print("CPU of fresh processes on one core, in turns, as clocks change; the median of 15 turns.")
    turns = [[_start(code) for code in STARTS.values()] for _ in range(15)]
    empty, floor = ([turn[kind][0] for turn in turns] for kind in (0, 1))
    table(
        ["what", "CPU ms", "modules", "× the floor"],
        (
            [
                name,
                statistics.median(cpu for cpu, _ in starts),
                starts[0][1],
                statistics.median(
                    (cpu - least) / (most - least)
                    for (cpu, _), least, most in zip(starts, empty, floor, strict=True)
                ),
            ]
            for name, starts in zip(STARTS, zip(*turns, strict=True), strict=True)
        ),
    )


def _start(code: str) -> tuple[float, int]:
    """CPU in ms, and how many modules are loaded."""
    cpu, modules = output(_CPU + code.strip() + _PRINT).split()
    return float(cpu) * 1000, int(modules)


# A function instance: its cold start and first request, then warm ones; milliseconds as JSON.
_INSTANCE = f"""
import time; began = time.perf_counter()
{_READY}
import json
from types import SimpleNamespace
context = SimpleNamespace(aws_request_id="", get_remaining_time_in_millis=lambda: 300_000)
def post(text):
    event = {{"body": json.dumps({{"parameter": text}})}}
    answer = handler.handle(lambda: application, event, context)
    assert answer["statusCode"] == 200, answer
def milliseconds(text):
    began = time.perf_counter(); post(text); return (time.perf_counter() - began) * 1000
post({corpus.NINE_WORDS!r})
cold = (time.perf_counter() - began) * 1000
from bench import corpus
import statistics
warm = [milliseconds(corpus.NINE_WORDS) for _ in range(33)][3:]
text = corpus.distinct(500)
long = [milliseconds(text) for _ in range(2)]
print(json.dumps([cold, statistics.median(warm), sorted(warm)[28], min(long)]))
"""


@dataclass
class Size:
    memory_mb: int
    cold: float
    warm: float
    p95: float
    long: float

    def usd_per_million(self, milliseconds: float) -> float:
        """What Lambda charges for the duration alone."""
        gigabyte_seconds = self.memory_mb / 1024 * milliseconds / 1000
        return gigabyte_seconds * prices.LAMBDA_ARM64_GB_SECOND * 1e6


def sizes(endpoint: Endpoint) -> list[Size]:
    endpoint.reset(10_000, 5)
    return [
        Size(memory, *json.loads(output(_INSTANCE, share=min(1, memory / MB_PER_VCPU))))
        for memory in (256, 512, 768, 1024, 1536, MB_PER_VCPU)
    ]


def show_sizes(found: list[Size]) -> None:
    print("\n## Memory\n")
    print(
        "A process held to the share of a CPU that so much memory comes with, in periods of 20 ms;"
    )
    print("5 ms a call; arm64's prices, its speed taken to be this machine's. Lambda may lend more")
    print("CPU to a cold start than it does here.")
    table(
        [
            "MB",
            "cold start and first request, ms",
            "9 words, ms",
            "p95, ms",
            "500 words, ms",
            "USD per million of 9 words",
            "of 500 words",
        ],
        (
            [
                str(size.memory_mb),
                size.cold,
                size.warm,
                size.p95,
                size.long,
                size.usd_per_million(size.warm),
                size.usd_per_million(size.long),
            ]
            for size in found
        ),
    )
