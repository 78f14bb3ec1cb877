"""A function instance for measurements: measure.in_new_process runs each public function in a new process.

Only what an instance needs is imported, because imports count towards its memory.
"""

import json
import statistics
import time
from dataclasses import replace
from types import SimpleNamespace

from wordtally import handler
from wordtally.settings import Settings
from wordtally.work import Work

SETTINGS = Settings("eu-west-3", "words", "reports", 600, 1000, "markers", 24, stream_name="stream")
BOTOCORE = replace(SETTINGS, aws_client="botocore")

_CONTEXT = SimpleNamespace(aws_request_id="", get_remaining_time_in_millis=lambda: 30_000)


def _post(text: str, application: handler.Application, **headers: str) -> int:
    """The status of the answer."""
    event = {
        "headers": headers,
        "body": json.dumps({"parameter": text}),
        "requestContext": {"timeEpoch": int(time.time() * 1000)},
    }
    status: int = handler.handle(lambda: application, event, _CONTEXT)["statusCode"]
    return status


def _peak_megabytes() -> float:
    """The most memory that this process has had."""
    with open("/proc/self/status") as status:
        return int(status.read().split("VmHWM:")[1].split()[0]) / 1024


def first_and_warm_requests(short: str, long: str) -> list[float]:
    """Milliseconds of the first request, of the next one with the long text, of warm requests with the short
    text (median and 95th percentile), and of the fastest of three with the long text."""
    applications: list[handler.Application] = []

    def milliseconds(text: str) -> float:
        began = time.perf_counter()
        if not applications:
            applications.append(handler.application(SETTINGS))
        assert _post(text, *applications) == 200
        return (time.perf_counter() - began) * 1000

    first, first_long = milliseconds(short), milliseconds(long)
    warm = sorted([milliseconds(short) for _ in range(33)][3:])
    fastest = min(milliseconds(long) for _ in range(3))
    return [first, first_long, statistics.median(warm), warm[28], fastest]


def post_longest_text(client: str) -> list[float]:
    """Status, seconds, CPU seconds of the whole process, and MB of memory."""
    application = handler.application(BOTOCORE if client == "botocore" else SETTINGS)
    _post("warm", application)
    began = time.perf_counter()
    status = _post("".join(chr(0x4E00 + number) for number in range(10_000)), application)
    return [status, time.perf_counter() - began, time.process_time(), _peak_megabytes()]


def reconcile(segments: int) -> list[float]:
    """Pages, seconds, CPU seconds, and MB of memory."""
    from wordtally.stores import counts

    counts.SEGMENTS = segments
    application, work = handler.application(SETTINGS), Work()
    began, began_cpu = time.perf_counter(), time.process_time()
    application.ranking.reconcile(work)
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return [work.scanned_pages, seconds, cpu, _peak_megabytes()]


def read_file(key: str) -> list[float]:
    """Words, distinct words, seconds and CPU seconds to read the file, and MB of memory."""
    from wordtally.ways_in import inbox

    application = handler.application(SETTINGS)
    assert application.inbox
    files, upload = application.inbox().files, inbox.Upload("inbox", key)
    began, began_cpu = time.perf_counter(), time.process_time()
    counted = inbox.words_of(files, upload, 250_000, Work())
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return [sum(counted.values()), len(counted), seconds, cpu, _peak_megabytes()]


def count_file(key: str) -> list[float]:
    """Seconds, and throttled calls."""
    from wordtally.ways_in import inbox

    application, work = handler.application(SETTINGS), Work()
    assert application.inbox
    began = time.perf_counter()
    application.inbox().count(inbox.Upload("inbox", key), work)
    return [time.perf_counter() - began, work.throttled]


def accept(texts: list[str]) -> list[list[float]]:
    """For each text, the CPU milliseconds of a request without and with `Prefer: respond-async`."""
    application = handler.application(SETTINGS)

    def milliseconds(text: str, status: int, **headers: str) -> float:
        for _ in range(20):
            assert _post(text, application, **headers) == status
        began = time.process_time()
        for _ in range(200):
            _post(text, application, **headers)
        return (time.process_time() - began) / 200 * 1000

    return [
        [milliseconds(text, 200), milliseconds(text, 202, prefer="respond-async")] for text in texts
    ]


def count_batch(texts: int, words_each: int) -> list[float]:
    """Records, bytes of the event, CPU seconds to decode and to count them, seconds to do both, words written,
    and distinct words."""
    from wordtally.ways_in import stream

    from bench.timing.events import drawn_records, event_of

    event = event_of(drawn_records(texts, words_each))
    application = handler.application(SETTINGS)
    assert application.stream
    for _ in range(2):
        application.ranking.tally({"warm": 1}, Work())
    began, began_cpu = time.perf_counter(), time.process_time()
    ((shard, records),) = stream.batches_of(json.loads(event)).items()
    decoded, work = time.process_time() - began_cpu, Work()
    application.stream().count(shard, records, work)
    seconds, counted = time.perf_counter() - began, time.process_time() - began_cpu - decoded
    distinct = len(stream.total(records))
    return [len(records), len(event), decoded, counted, seconds, work.upserts, distinct]
