"""Every result of docs/scale.md.

Nothing here is measured on AWS: docs/scale.md lists the assumptions.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bench import measure, prices
from bench.simulation import streamed, synchronous, workload
from bench.simulation.cloud import DEFAULT_LIMITS, DEFAULT_TIMING, Limits, Timing
from bench.simulation.streamed import Feed, Outcome
from bench.simulation.synchronous import Row

RATES = (1, 10, 50, 100, 200, 400, 800, 1_200)
NEW_ACCOUNT = Limits(concurrency=10)
NEW_TABLE = Limits(table_writes=4_000)  # as is the default of max_writes_per_second
SLOW_S3 = Timing(get=0.100, put=0.150)

FEEDS = (
    Feed(1_000, shards=1),
    Feed.of(1_000),
    Feed(1_000, shards=4),
    Feed(1_000, shards=4, words=50),
    Feed.of(10_000),
    Feed(10_000, shards=20),
)

THROTTLE = 50  # variables.tf: throttle_rate_per_second
API_REQUESTS = 10_000
LAMBDA_REQUESTS_PER_INSTANCE = 10


def sweep(
    rates: Sequence[float] = RATES, limits: Limits = DEFAULT_LIMITS, timing: Timing = DEFAULT_TIMING
) -> list[Row]:
    """Posts at each rate (requests a second), each with its own cloud."""
    # At least a hundred requests: enough for a median; the percentiles of low rates are coarse.
    return [synchronous.run(rate, max(1.5, 400 / (rate + 3)), limits, timing) for rate in rates]


def table(title: str, columns: Mapping[str, Callable[[Any], str]], rows: Iterable[object]) -> None:
    """Print a table. `columns` has the headings, and the functions that return the cells of a row."""
    print(f"\n{title}")
    measure.table(" | ".join(columns), ([cell(row) for cell in columns.values()] for row in rows))


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1_000:,.0f}"


def yes(condition: bool) -> str:
    return "yes" if condition else "no"


LOAD: dict[str, Callable[[Row], str]] = {
    "requests/s": lambda row: f"{row.rate:,}",
    "answered/s": lambda row: f"{row.answered:,.0f}",
    "p50 ms": lambda row: milliseconds(row.p50),
    "p95 ms": lambda row: milliseconds(row.p95),
    "p99 ms": lambda row: milliseconds(row.p99),
    "conflicts": lambda row: f"{row.conflicts:.2f}",
    "publishes": lambda row: f"{row.publishes:.2f}",
    "throttled": lambda row: f"{row.throttled:.2f}",
    "503": lambda row: f"{row.unavailable:.1%}",
    "no instance": lambda row: f"{row.refused:.1%}",
    "at once": lambda row: f"{row.at_once:,}",
    "USD a million": lambda row: f"{sum(row.cost.values()):.2f}",
    "exact": lambda row: yes(row.exact),
}


Ceiling = tuple[str, float, float]
"""A limit's name, the limit, and how much of it a request or a text takes."""


def show_ceilings(title: str, what: str, ceilings: Iterable[Ceiling]) -> None:
    """Print each limit with the resulting rate of `what`."""
    print(f"\n{title}")
    measure.table(
        f"ceiling | limit | a {what} takes | {what}s/s",
        (
            (
                name,
                f"{limit:,.0f}",
                f"{each:.2g}" if each < 0.1 else f"{each:.2f}",
                f"{limit / each:,.0f}",
            )
            for name, limit, each in ceilings
        ),
    )


def ceilings(busy: Row) -> list[Ceiling]:
    """The ceilings of posts, by what a request takes in `busy`."""
    limits, words = DEFAULT_LIMITS, workload.WORDS_PER_TEXT
    lambda_requests = LAMBDA_REQUESTS_PER_INSTANCE * limits.concurrency
    return [
        ("this project's throttle (a variable)", THROTTLE, 1.0),
        ("instances of a new account", NEW_ACCOUNT.concurrency, busy.busy),
        ("writes of a new table, and this project's bound", NEW_TABLE.table_writes, words),
        ("writes of one item", limits.item_writes, 1.0),
        ("PUTs on one prefix", limits.prefix_puts, busy.puts),
        ("GETs on one prefix", limits.prefix_gets, busy.gets),
        ("instances of an account", limits.concurrency, busy.busy),
        ("writes of a table, account quota", limits.table_writes, words),
        ("requests to the HTTP APIs of an account", API_REQUESTS, 1.0),
        ("requests to the functions of an account", lambda_requests, 1.0),
    ]


def show_posts() -> list[Row]:
    """Print the sweeps and ceilings of posts. Return the rows of the first sweep."""
    rows = sweep()
    table("Posts, an account with the default quotas", LOAD, rows)
    for title, others in (
        ("the 10 instances of a new account", sweep((5, 10, 20, 40), NEW_ACCOUNT)),
        (
            "the 4,000 writes/s of a new table and of this project's default",
            sweep((350, 450), NEW_TABLE),
        ),
        ("S3 at 100 ms a GET and 150 ms a PUT", sweep((1, 10, 100), timing=SLOW_S3)),
    ):
        table(f"The same, with {title}", LOAD, others)
    busy = rows[RATES.index(800)]
    title = f"Ceilings, by what a request takes at {busy.rate:,}/s"
    show_ceilings(title, "request", ceilings(busy))
    return rows


STREAM: dict[str, Callable[[Outcome], str]] = {
    "texts/s": lambda outcome: f"{outcome.feed.rate:,}",
    "words each": lambda outcome: str(outcome.feed.words),
    "shards": lambda outcome: str(outcome.feed.shards),
    "age p50 s": lambda outcome: f"{outcome.age_p50:.1f}",
    "age p99 s": lambda outcome: f"{outcome.age_p99:.1f}",
    "write units a text": lambda outcome: f"{outcome.write_units:.2f}",
    "write units/s": lambda outcome: f"{outcome.write_units * outcome.feed.rate:,.0f}",
    "hottest item, writes/s": lambda outcome: f"{outcome.hottest * outcome.feed.rate:.1f}",
    "words written a text": lambda outcome: f"{outcome.words_written:.2f}",
    "function s a million texts": lambda outcome: f"{outcome.seconds * 1e6:,.0f}",
    "functions busy": lambda outcome: f"{outcome.busy:.0%}",
    "slowest batch s": lambda outcome: f"{outcome.slowest_batch:.1f}",
    "USD a million": lambda outcome: f"{sum(outcome.cost.values()):.2f}",
    "exact": lambda outcome: yes(outcome.exact),
}


def stream_ceilings(outcomes: Sequence[Outcome]) -> list[Ceiling]:
    found = {outcome.feed: outcome for outcome in outcomes}
    alone, few, many = (found[feed] for feed in (Feed(1_000, 1), Feed.of(1_000), Feed.of(10_000)))
    table_writes = DEFAULT_LIMITS.table_writes
    return [
        (
            "writes of a new table, and this project's bound",
            NEW_TABLE.table_writes,
            few.write_units,
        ),
        ("records of a shard", 1_000, 1.0),
        ("the function of a shard: one batch at a time", 1, alone.busy / alone.feed.rate),
        ("writes of a table, account quota", table_writes, many.write_units),
        ("requests to the HTTP APIs of an account", API_REQUESTS, 1.0),
    ]


def show_stream() -> list[Outcome]:
    """Simulate FEEDS, and print and return the outcomes."""
    outcomes = [streamed.run(feed, windows=2 if feed.rate > 1_000 else 4) for feed in FEEDS]
    table("The stream, windows of 5 s", STREAM, outcomes)
    print("\nPosts at 1,000/s write the hottest item 1,000 times a second, and 10 units a text.")
    print("At 100 % busy, a function falls behind, and the age grows as long as the load lasts.")
    title = "Ceilings of the stream, by what a text takes"
    show_ceilings(title, "text", stream_ceilings(outcomes))
    return outcomes


def show_costs(designs: Sequence[tuple[str, float, dict[str, float]]]) -> None:
    """Print the costs of designs: name, rate, and USD per million texts by service."""
    services = list(designs[0][2])
    print("\nCost of a million texts of ten words in USD, words a day, and cost of a month")
    measure.table(
        " | ".join(["design", *services, "together", "S3", "DynamoDB", "words a day", "a month"]),
        (
            (
                name,
                *(f"{cost[service]:.2f}" for service in services),
                f"{sum(cost.values()):.2f}",
                f"{cost['S3'] / sum(cost.values()):.0%}",
                f"{cost['DynamoDB'] / sum(cost.values()):.0%}",
                f"{rate * workload.WORDS_PER_TEXT * 86_400 / 1e6:,.1f} million",
                f"{rate * prices.SECONDS_PER_MONTH / 1e6 * sum(cost.values()):,.0f}",
            )
            for name, rate, cost in designs
        ),
    )
    shard = prices.KINESIS_SHARD_HOUR * prices.HOURS_PER_MONTH
    print(f"\nAn idle shard costs {shard:.2f} USD a month.")


def main() -> None:
    rows = show_posts()
    outcomes = show_stream()
    posted = [(f"posts, {row.rate:,}/s", row.rate, row.cost) for row in rows]
    built = [
        (f"stream, {each.feed.rate:,}/s", each.feed.rate, each.cost)
        for each in outcomes
        if each.feed in (Feed.of(1_000), Feed.of(10_000))
    ]
    show_costs([entry for entry in posted if entry[1] in (1, 50, 800)] + built)
