"""Wall time compared with the network alone, and CPU per call, for both clients over HTTP and TLS."""

import os
from functools import partial

from wordtally import handler
from wordtally.aws import sdk, thin
from wordtally.aws.thin import ThinClient

from bench.measure import Times, table, timed
from bench.timing import corpus, designs
from bench.timing.endpoint import TRANSPORTS, Endpoint
from bench.timing.growth import measured
from bench.timing.instance import BOTOCORE, SETTINGS

CHAIN = 2
"""Sequential calls: the publish needs the results of the upserts."""

CASES = ((9, (5,)), (10, (2, 5, 10)), (1_500, (2, 5, 10)))
"""Words, and the delays of a call in milliseconds."""

CONNECTIONS = (8, 16, 32, 64, 128)


def show(endpoint: Endpoint) -> None:
    print("\n## Latency\n")
    print(f"The bound is the network alone: {CHAIN} sequential calls, times the delay.")
    print(
        "CPU a call is the CPU time of the request, including its text, divided by its calls. The endpoint's"
    )
    print(
        "CPU time for a request of the thin client, on another core, must stay below the time of the request."
    )
    table(
        "over | words | ms a call | AWS calls | bound, ms | thin, ms | × bound | CPU a call "
        "| endpoint's CPU, ms | botocore, ms | × bound | CPU a call | botocore / thin, time | CPU",
        (
            _row(endpoint, transport, words, delay)
            for transport in TRANSPORTS
            for words, delays in CASES
            for delay in delays
        ),
    )


def _row(endpoint: Endpoint, transport: str, words: int, delay: int) -> list[object]:
    repeat, repeat_botocore = (30, 30) if words < 100 else (7, 2)
    bound = CHAIN * delay
    endpoint.reset(10_000, delay)
    with endpoint.over(transport):
        text = corpus.distinct(words)
        ours, seen = measured(endpoint, designs.product(), text, repeat)
        theirs, _ = measured(endpoint, designs.product(BOTOCORE), text, repeat_botocore, warm_up=1)
    calls = sum(seen.calls.values())

    def figures(times: Times) -> list[object]:
        return [times.wall, times.wall / bound, times.cpu / calls]

    ratios = [theirs.wall / ours.wall, theirs.cpu / ours.cpu]
    return [
        *[transport, words, delay, calls, float(bound)],
        *[*figures(ours), seen.cpu_ms, *figures(theirs), *ratios],
    ]


def show_connections(endpoint: Endpoint) -> None:
    print("\n## Connections\n")
    print(
        f"1,500 words with up to this many upserts in flight (the product allows {thin.CONNECTIONS},"
    )
    print(
        f"botocore {sdk.CONNECTIONS}), in milliseconds. First: the first request of a client, which"
    )
    print(
        f"begins with {thin.FIRST_CONNECTIONS} connections and opens one more after each success; includes the handshakes."
    )
    delays = (2, 5, 10)
    kinds = [f"{kind}, {delay} ms a call" for delay in delays for kind in ("first", "warm")]
    table(
        " | ".join(["over", "connections", *kinds]),
        (
            [
                transport,
                str(connections),
                *(
                    milliseconds
                    for delay in delays
                    for milliseconds in _batches(endpoint, transport, connections, delay)
                ),
            ]
            for transport in TRANSPORTS
            for connections in CONNECTIONS
        ),
    )


def _batches(
    endpoint: Endpoint, transport: str, connections: int, delay: int
) -> tuple[float, float]:
    """Milliseconds of a first request and of a later one."""
    endpoint.reset(10_000, delay)
    text = corpus.distinct(1_500)
    first, warm = [], []
    for _ in range(2):
        with endpoint.over(transport):
            client = ThinClient(SETTINGS.region, os.environ, connections=connections)
        tally = designs.serving(handler.assembled(SETTINGS, client))
        first.append(timed(partial(tally, text), 1).wall)
        warm.append(timed(partial(tally, text), 2).wall)
        client.close()
    return min(first), min(warm)
