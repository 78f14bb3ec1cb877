"""The cost of a request as the table grows, compared with designs that read the whole table."""

from dataclasses import dataclass

from bench.measure import Times, table, timed
from bench.timing import corpus, designs
from bench.timing.designs import Tally
from bench.timing.endpoint import Endpoint, Seen

SIZES = (1_000, 10_000, 100_000, 1_000_000)
REQUESTS = {"9 words": corpus.NINE_WORDS, "10,000 characters": corpus.prose(10_000)}
DESIGNS = {
    "this product": designs.product,
    "a scan per request": designs.scan_per_request,
    "… one after the other, a botocore client per word": designs.scan_per_request_one_after_the_other,
}


@dataclass
class Row:
    request: str
    design: str
    size: int
    times: Times
    seen: Seen


def measured(
    endpoint: Endpoint, tally: Tally, text: str, repeat: int, warm_up: int = 3
) -> tuple[Times, Seen]:
    """Measure a warm instance: its first request finds no report, the second one reads the report again."""
    for _ in range(warm_up):
        tally(text)
    endpoint.seen()
    times = timed(lambda: tally(text), repeat)
    return times, endpoint.seen().each_of(repeat)


def run(endpoint: Endpoint) -> list[Row]:
    rows = []
    for request, text in REQUESTS.items():
        for design, make in DESIGNS.items():
            for size in SIZES:
                endpoint.reset(size, 0)
                slow = design != "this product" and size > 10_000
                repeat, warm_up = (1, 1) if slow else (20, 3) if request == "9 words" else (3, 2)
                found = measured(endpoint, make(), text, repeat, warm_up)
                rows.append(Row(request, design, size, *found))
    return rows


def show(rows: list[Row]) -> None:
    print("\n## Growth\n")
    print("A single warm instance, real words in the table, 0 ms a call (fake endpoint).")
    for request in REQUESTS:
        print(f"\n### {request}")
        table(
            "design | words in the table | AWS calls | bytes | ms | CPU ms | × 1,000 words",
            (
                [
                    row.design,
                    row.size,
                    row.seen.named(),
                    row.seen.bytes,
                    row.times.wall,
                    row.times.cpu,
                    row.times.wall / _smallest(rows, row),
                ]
                for row in rows
                if row.request == request
            ),
        )


def _smallest(rows: list[Row], like: Row) -> float:
    return next(
        row.times.wall
        for row in rows
        if (row.request, row.design, row.size) == (like.request, like.design, SIZES[0])
    )
