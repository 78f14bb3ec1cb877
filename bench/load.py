"""`make load`: many concurrent callers for a limited time, against `make run`, `make stack`, or URL=.

Every answer must keep the contract. At the end, the report must include every counted word, including
those that a stream counts later. The server's memory must not grow by more than a tenth in the second
half. Exits with 1 if one of these fails.
"""

import os
import random
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any

import gevent
import psutil
from locust import HttpUser, constant, task
from locust.env import Environment

from bench.measure import table
from local import program, terraform

USERS = int(os.environ.get("USERS", "32"))
SECONDS = int(os.environ.get("SECONDS", "60"))
API_KEY = os.environ.get("API_KEY", "")
QUARTERS = 4

SERVERS = {
    "make run": [".venv/run/bin/python", "-m", "local"],
    "make stack": [".venv/test/bin/python", "-m", "local.stack"],
}

HEADER = "on | s | requests | a second | by stream | p50, ms | p95 | p99 | wrong | report | MB"

STREAM_SECONDS = 120
"""Time limit for the last texts to reach the report: a window, a batch, and a retry."""

# Words that no other run posts, so that their totals in the report are this run's. The rare ones make
# the table larger than the size up to which requests scan it.
RUN = uuid.uuid4().hex[:8]
WORDS = [f"{RUN}x{number}" for number in range(15)]
RARE = [f"{RUN}y{number}" for number in range(3_000)]


class Caller(HttpUser):  # type: ignore[misc]
    """Posts texts of a few words. Of ten, three have a key, two prefer an asynchronous answer, and one has
    no words."""

    wait_time = constant(0)
    counted: Counter[str]
    later: list[str]
    """Accepted texts, which a stream will count."""

    def post(self, text: str, key: str = "", expected: int = 200, prefer: str = "") -> bool:
        """Whether the answer is the expected one: False if the API throttles or the answer is wrong."""
        body, headers = {"parameter": text}, {"x-api-key": API_KEY}
        if key:
            headers["Idempotency-Key"] = key
        if prefer:
            headers["Prefer"] = prefer
        with self.client.post("", json=body, headers=headers, catch_response=True) as answer:
            if prefer and answer.status_code == 202:
                expected = 202
                self.later.append(text)
            if answer.status_code in (expected, 429):
                answer.success()
            else:
                what = answer.error or answer.text[:200]
                answer.failure(f"{answer.status_code or 'nothing'} instead of {expected}: {what}")
            return bool(answer.status_code == expected)

    @task(4)
    def counts(self) -> None:
        text = _text()
        if self.post(text):
            self.counted.update(text.split())

    @task(3)
    def counts_once(self) -> None:
        """Sent twice, counted once."""
        text, key = _text(), uuid.uuid4().hex
        if self.post(text, key) | self.post(text, key):
            self.counted.update(text.split())

    @task(2)
    def counts_later(self) -> None:
        """Counted by the stream if there is one, otherwise at once."""
        text = _text()
        if self.post(text, prefer="respond-async"):
            self.counted.update(text.split())

    @task(1)
    def is_refused(self) -> None:
        self.post("!!!", expected=400)


def _text() -> str:
    # 20 times, so that the report shows this run's words even if the table is in use.
    return " ".join(random.choices(WORDS, k=random.randint(1, 6)) * 20 + random.sample(RARE, 3))


@dataclass
class Outcome:
    total: Any  # locust's statistics of all requests
    seconds: float
    memory: list[float]
    """MB after each quarter of the time; empty for a server that this run did not start."""
    later: int
    """Texts that a stream counted."""
    exact: bool
    problems: list[str]

    def row(self, name: str) -> list[object]:
        return [
            name,
            self.seconds,
            self.total.num_requests,
            self.total.num_requests / self.seconds,
            self.later,
            *(self.total.get_response_time_percentile(share) for share in (0.5, 0.95, 0.99)),
            self.total.num_failures,
            "exact" if self.exact else "wrong",
            ", ".join(f"{mb:.0f}" for mb in self.memory) or "–",
        ]


def load(url: str, server: psutil.Process | None) -> Outcome:
    counted: Counter[str] = Counter()
    later: list[str] = []
    caller = type("Caller", (Caller,), {"counted": counted, "later": later})
    environment = Environment(user_classes=[caller], host=url, stop_timeout=60)
    runner = environment.create_local_runner()
    runner.start(USERS, spawn_rate=USERS)
    memory, began = [], time.monotonic()
    for quarter in range(QUARTERS):
        gevent.sleep(began + SECONDS * (quarter + 1) / QUARTERS - time.monotonic())
        if server:
            memory.append(megabytes(server))
    runner.stop()  # each caller finishes its request in flight
    seconds = time.monotonic() - began
    problems = [
        f"{error.error} ({error.occurrences})" for error in environment.stats.errors.values()
    ]
    if wrong := difference(url, counted, STREAM_SECONDS if later else 0):
        problems.append(wrong)
    # All instances have started by the end of the second quarter.
    if memory and memory[-1] > 1.1 * memory[QUARTERS // 2 - 1]:
        problems.append("the server's memory has grown in the second half of the time")
    return Outcome(environment.stats.total, seconds, memory, len(later), not wrong, problems)


def megabytes(server: psutil.Process) -> float:
    """Memory of the server and its function instances, without the emulated AWS, which stores data."""
    processes = [
        process
        for process in [server, *server.children(recursive=True)]
        if not {"local.emulator.aws", "local.emulator.whole_aws"} & set(process.cmdline())
    ]
    resident: int = sum(process.memory_info().rss for process in processes)
    return resident / 2**20


def difference(url: str, counted: Counter[str], patience: float) -> str:
    """The difference between the report and the counted words, empty if there is none.

    Posts one more text first, because an older URL may pin an older version of the report. Waits up to
    `patience` seconds for the report to be complete.
    """
    import requests  # only now: locust must have let gevent patch the standard library before

    headers = {"x-api-key": API_KEY}
    until = time.monotonic() + patience
    try:
        last = requests.post(url, json={"parameter": WORDS[0]}, headers=headers, timeout=30)
        if last.status_code != 200:
            return f"there is no report: {last.status_code} {last.text[:200]}"
        counted[WORDS[0]] += 1
        link = last.json()["url"]
        while True:
            wrong = _difference(requests.get(link, timeout=10).json()["top10words"], counted)
            if not wrong or time.monotonic() > until:
                return wrong
            gevent.sleep(1)
            answer = requests.get(f"{url.rstrip('/')}/report", headers=headers, timeout=30)
            if answer.status_code == 200:
                link = answer.json()["url"]
    except requests.RequestException as error:
        return f"there is no report: {type(error).__name__}"


def _difference(top: list[dict[str, Any]], counted: Counter[str]) -> str:
    shown = [(entry["word"], entry["times"]) for entry in top if entry["word"] in counted]
    if not shown:
        return "the report has no words of this run"
    room = 10 - (len(top) - len(shown))  # words of other callers are not checked
    expected = sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))[:room]
    return "" if shown == expected else f"the report has {shown} instead of {expected}"


def on_its_own(command: list[str]) -> Outcome:
    with program.running(command) as (url, pid):
        return load(url, psutil.Process(pid))


def main() -> None:
    try:
        if url := os.environ.get("URL"):
            outcomes = {url: load(url, None)}
        else:
            outcomes = {name: on_its_own(command) for name, command in SERVERS.items() if can(name)}
    except program.NotStarted as output:
        sys.exit(str(output))
    print(
        f"\n{USERS} callers without a pause. Of ten texts, three are sent twice with a key. Two have"
    )
    print("Prefer: respond-async: if there is a stream, it counts them later.")
    table(HEADER, [outcome.row(name) for name, outcome in outcomes.items()])
    for name, outcome in outcomes.items():
        for problem in outcome.problems:
            print(f"\n{name}: {problem}")
    sys.exit(1 if any(outcome.problems for outcome in outcomes.values()) else 0)


def can(name: str) -> bool:
    try:
        if name == "make stack":
            terraform.init_arguments()
    except terraform.Missing as reason:
        print(f"Skipped {name}: {reason}")
        return False
    return True


if __name__ == "__main__":
    main()
