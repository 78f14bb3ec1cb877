"""Starts the program of `make run` or `make stack`, for the tests and `make load`."""

import contextlib
import os
import shlex
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path


class NotStarted(Exception):
    """The program has exited. The message is its output."""


def started(command: list[str], **variables: str) -> subprocess.Popen[str]:
    """Start a program on any free port, unless `variables` has a PORT."""
    return subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": "app", "PORT": "0", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def curl_line(program: subprocess.Popen[str]) -> str:
    """The command that the program prints when it is ready. Its last word is the URL."""
    assert program.stdout
    printed = []
    for line in program.stdout:
        if line.startswith("  curl "):
            return line.strip()
        printed.append(line)
    raise NotStarted("".join(printed))


@contextlib.contextmanager
def running(command: list[str], **variables: str) -> Iterator[tuple[str, int]]:
    """Run a program for the duration of the context. Yield its URL and its process id."""
    with started(command, **variables) as program:
        url = shlex.split(curl_line(program))[-1]
        # The program logs a line per request. If nobody read the pipe, it would fill up and block it.
        reader = threading.Thread(target=deque, args=(program.stdout, 0))
        reader.start()
        try:
            yield url, program.pid
        finally:
            program.terminate()
            program.wait(timeout=30)
            reader.join()
