"""Cold starts, and the effect of memory: a function's share of a CPU is proportional to its memory."""

import subprocess
import sys
from dataclasses import dataclass

from bench import prices
from bench.measure import MB_PER_VCPU, in_new_process, table
from bench.timing import corpus
from bench.timing.endpoint import Endpoint
from bench.timing.instance import first_and_warm_requests

# These programs are strings, so that a new process imports nothing else.
_CPU = "import time\n"
_PRINT = "\nimport sys; print(time.process_time(), len(sys.modules))"
_FLOOR = """
import botocore.session
session = botocore.session.get_session()
clients = [session.create_client(name, region_name="eu-west-3") for name in ("dynamodb", "s3")]
"""
_READY = """
from wordtally import handler
from wordtally.settings import Settings
settings = Settings("eu-west-3", "words", "reports", 600, 1000, "markers", 24, "CLIENT")
application = handler.application(settings)
"""
_FIRST = f"""
import json
from types import SimpleNamespace
{_READY}
context = SimpleNamespace(aws_request_id="", get_remaining_time_in_millis=lambda: 30_000)
event = {{"body": json.dumps({{"parameter": {corpus.NINE_WORDS!r}}})}}
event["requestContext"] = {{"timeEpoch": int(time.time() * 1000)}}
assert handler.handle(lambda: application, event, context)["statusCode"] == 200
"""
FLOOR = "`import botocore`, two clients (the floor)"


def _starts() -> dict[str, tuple[str, str]]:
    """For each name, the transport and the code."""
    starts = {
        "an empty process": ("HTTP", "pass"),
        FLOOR: ("HTTP", _FLOOR),
        "`import wordtally.handler`": ("HTTP", "import wordtally.handler"),
    }
    for client in ("thin", "botocore"):
        ready = _READY.replace("CLIENT", client)
        first = _FIRST.replace("CLIENT", client)
        starts[f"{client}: ready for the first request"] = "HTTP", ready
        starts[f"{client}: with its first answer"] = "HTTP", first
        starts[f"{client}: with its first answer, over TLS"] = "TLS", first
    return starts


def show(endpoint: Endpoint) -> None:
    print("\n## Cold start\n")
    print(
        "CPU time of new processes; the minimum of 11 rounds. The first answer is to a text of nine words,"
    )
    print("with no delay. The floor creates no TLS context and sends nothing.")
    endpoint.reset(10_000, 0)
    starts = _starts()
    turns = [[_start(endpoint, *start) for start in starts.values()] for _ in range(11)]
    least = dict(zip(starts, map(min, zip(*turns, strict=True)), strict=True))
    floor = least[FLOOR][0]
    table(
        "what | CPU ms | modules | × the floor",
        ([name, cpu, modules, cpu / floor] for name, (cpu, modules) in least.items()),
    )


def _start(endpoint: Endpoint, transport: str, code: str) -> tuple[float, int]:
    """CPU time in ms, and the number of loaded modules."""
    with endpoint.over(transport):
        printed = subprocess.check_output([sys.executable, "-c", _CPU + code + _PRINT])
    cpu, modules = printed.split()
    return float(cpu) * 1000, int(modules)


@dataclass
class Size:
    memory_mb: int
    first: float
    """Milliseconds, like the next four."""
    first_long: float
    """The next request, of 500 words: it opens the other connections."""
    warm: float
    p95: float
    long: float

    def usd_per_million(self, milliseconds: float) -> float:
        """Lambda's charge for the duration alone."""
        gigabyte_seconds = self.memory_mb / 1024 * milliseconds / 1000
        return gigabyte_seconds * prices.LAMBDA_ARM64_GB_SECOND * 1e6


def sizes(endpoint: Endpoint) -> list[Size]:
    endpoint.reset(10_000, 5)
    found = []
    with endpoint.tls():
        for memory in (128, 256, 512, 768, 1024, 1536, MB_PER_VCPU):
            share = min(1, memory / MB_PER_VCPU)
            milliseconds = in_new_process(
                first_and_warm_requests, corpus.NINE_WORDS, corpus.distinct(500), share=share
            )
            found.append(Size(memory, *milliseconds))
    return found


def show_sizes(found: list[Size]) -> None:
    print("\n## Memory\n")
    print(
        "A process limited to the share of a CPU that Lambda gives for each memory size, in periods of 20 ms,"
    )
    print("after it has imported the handler, which Lambda does on a whole vCPU. Over TLS, 5 ms a")
    print(
        "call. Prices are those of arm64, assumed to be as fast as this machine. The first request creates the"
    )
    print("TLS context; the second one, of 500 words, opens the other connections.")
    table(
        "MB | first request, ms | then 500 words, ms | 9 words, ms | p95, ms | 500 words, ms "
        "| USD per million of 9 words | of 500 words",
        (
            [
                size.memory_mb,
                size.first,
                size.first_long,
                size.warm,
                size.p95,
                size.long,
                size.usd_per_million(size.warm),
                size.usd_per_million(size.long),
            ]
            for size in found
        ),
    )
