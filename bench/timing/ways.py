"""The three ways in compared: the cost of a text posted in pieces, as a file, and by the stream."""

import gzip
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import mean

from wordtally import handler
from wordtally.domain import once, words
from wordtally.ways_in import stream
from wordtally.ways_in.inbox import Upload
from wordtally.work import Work

from bench import prices
from bench.measure import in_new_process, table
from bench.store import Store
from bench.timing import corpus, instance
from bench.timing.endpoint import Endpoint
from bench.timing.events import drawn_records, events_of
from bench.timing.instance import SETTINGS
from bench.timing.throttling import NEW_TABLE
from local.demo.pieces import Piece, pieces_of

DELAY_MS = 5
BIG = 10_000_000
"""Size of the large text in bytes."""

SHARD_RECORDS, SHARD_BYTES = 800, 800_000
"""Per second: four fifths of the capacity of a shard."""


@dataclass
class Counted:
    """The cost of one way in, from counted calls."""

    store: Store
    requests: int
    """Requests to the HTTP API."""
    invocations: int
    record_sizes: list[int]

    @property
    def put_units(self) -> int:
        return sum(math.ceil(size / 25_600) for size in self.record_sizes)

    def usd(self, seconds: float) -> float:
        """The cost in USD, for `seconds` of run time of the function."""
        calls, store = Counter(self.store.calls), self.store
        puts = calls["PutObject"] + calls["PutObjectTagging"]
        gets = calls["GetObject"] + calls["GetObjectTagging"]
        shard_seconds = max(
            len(self.record_sizes) / SHARD_RECORDS, sum(self.record_sizes) / SHARD_BYTES
        )
        million = prices.usd(
            requests=self.requests,
            invocations=self.invocations,
            seconds=seconds,
            write_units=store.write_units,
            read_units=store.read_units,
            puts=puts,
            gets=gets,
            put_units=self.put_units,
            shard_seconds=shard_seconds,
            logs=max(self.requests, self.invocations),
        )
        return sum(million.values()) / 1e6


def marker_of(piece: Piece) -> once.Marker:
    now = int(time.time())
    return once.marker(piece.key, piece.text, now, now + 86_400)


Way = Callable[[handler.Application, list[Piece]], None]


def post(application: handler.Application, pieces: list[Piece]) -> None:
    for piece in pieces:
        application.ranking.tally(words.count(piece.text), Work())


def post_under_keys(application: handler.Application, pieces: list[Piece]) -> None:
    for piece in pieces:
        application.ranking.tally(words.count(piece.text), Work(), marker_of(piece))


def count_file(application: handler.Application, _: object) -> None:
    assert application.inbox
    application.inbox().count(Upload("inbox", "text", None, "etag"), Work())


def append(application: handler.Application, pieces: list[Piece]) -> None:
    assert application.stream
    for piece in pieces:
        application.stream().append(words.count(piece.text), None, Work())


def count_records(application: handler.Application, event: str) -> None:
    assert application.stream
    for shard, records in stream.batches_of(json.loads(event)).items():
        application.stream().count(shard, records, Work())


WAYS: dict[str, Way] = {"posts": post, "posts under keys": post_under_keys, "a file": count_file}
BY_STREAM = "the stream"


def counted(text: str, pieces: list[Piece]) -> dict[str, Counted]:
    """Each way on a separate store, without a network. The figures are the same in every run."""
    found = {}
    for name, way in WAYS.items():
        store, application = _warm()
        store.bucket.put_object(Bucket="inbox", Key="text", Body=text.encode())
        way(application, pieces)
        requests = 0 if way is count_file else len(pieces)
        found[name] = Counted(store, requests, max(1, requests), [])
    store, application = _warm()
    append(application, pieces)
    events = list(events_of(store.kinesis.records))
    for event in events:
        count_records(application, event)
    sizes = [len(record) for record in store.kinesis.records]
    found[BY_STREAM] = Counted(store, len(pieces), len(pieces) + len(events), sizes)
    return found


def _warm() -> tuple[Store, handler.Application]:
    """A single instance that has published before, on a table in use."""
    store = Store({f"earlier{number}": 1 for number in range(2_000)})
    application = handler.assembled(SETTINGS, store)
    for _ in range(2):
        application.ranking.tally({"earlier0": 1}, Work())
    store.forget()
    return store, application


def timed(endpoint: Endpoint, text: str, pieces: list[Piece]) -> dict[str, tuple[float, float]]:
    """Seconds and CPU seconds of the function for each way, over TLS. If there are many pieces, a sample
    is timed, and its times are scaled up."""
    sample = pieces[:: max(1, len(pieces) // 20)]
    scale = len(pieces) / len(sample)
    found = {}
    for name, way in WAYS.items():
        with _ready(endpoint, text) as application:
            seconds, cpu = _seconds(partial(way, application, sample))
            factor = 1.0 if way is count_file else scale
            found[name] = seconds * factor, cpu * factor
    records = [stream.encode(words.count(piece.text), None) for piece in pieces]
    with _ready(endpoint, text) as application:
        accepting = _seconds(partial(append, application, sample))
        counting = [
            _seconds(partial(count_records, application, event)) for event in events_of(records)
        ]
    found[BY_STREAM] = (
        accepting[0] * scale + sum(seconds for seconds, _ in counting),
        accepting[1] * scale + sum(cpu for _, cpu in counting),
    )
    return found


@contextmanager
def _ready(endpoint: Endpoint, text: str) -> Iterator[handler.Application]:
    endpoint.reset(10_000, DELAY_MS)
    endpoint.put("inbox/text", text.encode())
    with endpoint.tls():
        application = handler.application(SETTINGS)
        for _ in range(2):
            application.ranking.tally(words.count(corpus.NINE_WORDS), Work())
        yield application


def _seconds(run: Callable[[], None]) -> tuple[float, float]:
    began, began_cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - began, time.process_time() - began_cpu


def show(endpoint: Endpoint) -> None:
    print("\n## Three ways in\n")
    print(
        "The same text by each way. Calls and units are counted and are the same in every run. Seconds are"
    )
    print(
        f"those of a single function instance, over TLS, {DELAY_MS} ms a call. The book is examples/alice.txt."
    )
    print(
        f"The {BIG // 10**6} MB are words drawn at random by their frequency in English (wordfreq), which gives more"
    )
    print("distinct words than prose, per piece and in all. Pieces have up to 10,000 characters.")
    print(
        "USD as in Cost. The stream's shard is assumed to run at four fifths of its capacity. The upload of the file is a PUT."
    )
    rows = []
    for name, text in {"the book": corpus.ALICE, f"{BIG // 10**6} MB": corpus.drawn(BIG)}.items():
        pieces = pieces_of(text)
        total = sum(piece.words for piece in pieces)
        seconds = timed(endpoint, text, pieces)
        costs = counted(text, pieces)
        keyed = costs["posts under keys"].store.write_units
        for way, cost in costs.items():
            calls = len(cost.store.calls)
            units = cost.store.write_units
            rows.append(
                [
                    *[name, total, way, calls, units, f"{units / keyed:.3f}"],
                    *[cost.store.read_units, *seconds[way]],
                    cost.usd(seconds[way][0]) / total * 1e6,
                ]
            )
    table(
        "text | words | way | calls | write units | × under keys | read units | s | CPU s "
        "| USD per million words",
        rows,
    )
    show_files(endpoint)
    show_stream(endpoint)


def show_files(endpoint: Endpoint) -> None:
    print("\n### A file\n")
    print(
        f"Read over TLS from the fake S3 and counted, in a separate process, {DELAY_MS} ms a call."
    )
    endpoint.reset(10_000, DELAY_MS)
    text = corpus.drawn(BIG).encode()
    endpoint.put("inbox/10", text)
    endpoint.put("inbox/100", text, times=10)
    endpoint.put("inbox/100.gz", gzip.compress(text, 6), times=10)
    many = list(corpus.table(250_000))
    endpoint.put("inbox/many", "\n".join(many).encode())
    rows = []
    for name, key, size in (
        ("10 MB", "10", len(text)),
        ("100 MB", "100", 10 * len(text)),
        ("100 MB, gzip", "100.gz", 10 * len(text)),
        ("250,000 words once", "many", len("\n".join(many).encode())),
    ):
        with endpoint.tls():
            total, distinct, seconds, cpu, memory = in_new_process(instance.read_file, key)
        rows.append(
            [name, total, distinct, seconds, cpu, size / 1e6 / seconds, size / 1e6 / cpu, memory]
        )
    table(
        "file | words | distinct | s to read | CPU s | MB/s | MB per CPU s | MB of memory at the most",
        rows,
    )
    rows, some = [], 20_000
    print(
        f"\nCounting a file of {some:,} distinct words, in the same setup. The table accepts that many write"
    )
    print("units a second, in bursts of up to a tenth of a second's worth.")
    for writes in (0, NEW_TABLE):
        endpoint.reset(10_000, DELAY_MS, writes)
        endpoint.put("inbox/some", "\n".join(many[:some]).encode())
        with endpoint.tls():
            seconds, throttled = in_new_process(instance.count_file, "some")
        a_minute = round(some / seconds * 60)
        rows.append([writes or "any", seconds, throttled, a_minute])
    table("write units a second | s | throttled | distinct words a minute", rows)


def show_stream(endpoint: Endpoint) -> None:
    print("\n### The stream\n")
    print(
        f"Accepting a text over TLS, {DELAY_MS} ms a call, on a warm instance: CPU time of `POST /` without and with"
    )
    print("`Prefer: respond-async`.")
    prose, sizes = corpus.drawn(1_000, lines=False).split(), (10, 50)
    endpoint.reset(10_000, DELAY_MS)
    with endpoint.tls():
        found = in_new_process(instance.accept, [" ".join(prose[:each]) for each in sizes])
    table(
        "words a text | bytes of its record | CPU ms, counted at once | CPU ms, accepted",
        (
            [str(each), round(mean(map(len, drawn_records(1_000, each)))), *milliseconds]
            for each, milliseconds in zip(sizes, found, strict=True)
        ),
    )
    print(
        "\nCounting a batch, in the same setup. Decoding includes parsing the event's JSON. Texts a second is the"
    )
    print(
        "rate for the whole batch, by wall time and by CPU time alone. Above that rate, a shard's backlog grows."
    )
    rows = []
    for texts, each in ((1_000, 10), (10_000, 10), (1_000, 50), (10_000, 50)):
        endpoint.reset(10_000, DELAY_MS)
        endpoint.seen()
        with endpoint.tls():
            result = in_new_process(instance.count_batch, texts, each)
        records, event_bytes, decoded, cpu, seconds, written, distinct = result
        seen = endpoint.seen()
        plans = (seen.calls["UpdateItem"] - 2 - written) // 2
        rows.append(
            [
                *[records, str(each), round(event_bytes / records), distinct, plans, written],
                *[seen.write_units - 2, decoded / records * 1e6, cpu / written * 1e6],
                *[(decoded + cpu) / records * 1e6, seconds],
                *[round(records / seconds), round(records / (decoded + cpu))],
            ]
        )
    table(
        "records | words each | bytes each in the event | distinct words | plans | words written "
        "| write units | CPU µs a record to decode | CPU µs a word written | CPU µs a record in all "
        "| s | texts a second | by CPU alone",
        rows,
    )
