"""`make load`: many clients at once for a bounded time, against `make run` or any URL= that answers.

Every answer must be one of the contract, no counted word may be missing from the report at the end,
and the memory of what serves must not grow. Exits with 1 if one of these fails.
"""

import os
import random
import shlex
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
from locust import HttpUser, constant, events, task
from locust.env import Environment

from bench.measure import table

USERS = int(os.environ.get("USERS", "32"))
SECONDS = int(os.environ.get("SECONDS", "60"))
API_KEY = os.environ.get("API_KEY", "")

# Words that no other run posts: the ten most frequent ones are all of this run's.
RUN = uuid.uuid4().hex[:8]
WORDS = [f"{RUN}x{number}" for number in range(15)]

sent: Counter[str] = Counter()


class Caller(HttpUser):  # type: ignore[misc]
    """Posts texts of a few words, a third of them under a key, and each tenth badly."""

    wait_time = constant(0)

    def post(self, text: str, expected: int, **headers: str) -> None:
        headers["x-api-key"] = API_KEY
        body = {"parameter": text}
        with self.client.post("", json=body, headers=headers, catch_response=True) as answer:
            if answer.status_code == expected:
                answer.success()
            else:
                what = answer.error or answer.text[:200]
                answer.failure(f"{answer.status_code} instead of {expected}: {what}")
            if answer.status_code == 200:
                sent.update(text.split())

    @task(6)
    def counts(self) -> None:
        self.post(_text(), 200)

    @task(3)
    def counts_once(self) -> None:
        """Sent twice, counted once."""
        text, key = _text(), {"Idempotency-Key": uuid.uuid4().hex}
        self.post(text, 200, **key)
        self.post(text, 200, **key)
        sent.subtract(text.split())

    @task(1)
    def is_refused(self) -> None:
        self.post("!!!", 400)


def _text() -> str:
    # 20 times, so that this run's words are the most frequent ones also on a table in use.
    return " ".join(random.choices(WORDS, k=random.randint(1, 6)) * 20)


def resident_mb(process: subprocess.Popen[str]) -> float:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("it has ended")


def start() -> tuple[subprocess.Popen[str], str]:
    """What `make run` starts, and its URL."""
    process = subprocess.Popen(
        [".venv/run/bin/python", "-m", "local"],
        env={**os.environ, "PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if line.startswith("  curl"):
            gevent.spawn(process.stdout.read)  # or its log would fill the pipe
            return process, shlex.split(line)[-1]
    raise RuntimeError("it did not start")


def main() -> None:
    url = os.environ.get("URL") or ""
    process = None
    if not url:
        process, url = start()
    environment = Environment(user_classes=[Caller], events=events, host=url, stop_timeout=30)
    runner = environment.create_local_runner()
    runner.start(USERS, spawn_rate=USERS)
    memory = []
    began = time.monotonic()
    while time.monotonic() - began < SECONDS:
        gevent.sleep(SECONDS / 4)
        if process:
            memory.append(resident_mb(process))
    runner.stop()  # each caller ends with the answer it waits for
    ok = report(environment, time.monotonic() - began, memory)
    if process:
        process.terminate()
        process.wait(timeout=10)
    sys.exit(0 if ok else 1)


def report(environment: Any, seconds: float, memory: list[float]) -> bool:
    import requests

    # Once more, as each URL may pin the version that its request wrote.
    last = requests.post(
        environment.host,
        json={"parameter": WORDS[0]},
        headers={"x-api-key": API_KEY},
        timeout=30,
    ).json()
    sent[WORDS[0]] += 1
    top = requests.get(last["url"], timeout=10).json()["top10words"]
    shown = {entry["word"]: entry["times"] for entry in top}
    total = environment.stats.total
    expected = dict(sorted(sent.items(), key=lambda entry: (-entry[1], entry[0]))[:10])
    exact = shown == expected
    table(
        [
            "callers",
            "s",
            "requests",
            "a second",
            "wrong answers",
            "p50, ms",
            "p95",
            "p99",
            "report",
        ],
        [
            [
                USERS,
                seconds,
                total.num_requests,
                total.num_requests / seconds,
                total.num_failures,
                *(total.get_response_time_percentile(p) for p in (0.5, 0.95, 0.99)),
                "exact" if exact else f"{shown} instead of {expected}",
            ]
        ],
    )
    for error in environment.stats.errors.values():
        print(error.error, error.occurrences)
    if memory:
        print("\nMB of memory after each quarter: " + ", ".join(f"{mb:.0f}" for mb in memory))
    return exact and not total.num_failures


if __name__ == "__main__":
    main()
