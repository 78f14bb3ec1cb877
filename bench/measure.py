"""Measuring wall time and CPU time, limiting the CPU share as Lambda does, and printing tables."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

MEMORY_MB = 1_769  # main.tf
MB_PER_VCPU = 1_769  # Lambda's documentation: at 1,769 MB a function has one vCPU
_PERIOD = 0.02
"""Seconds. In each period, a function uses its share of CPU time and then waits for the next one."""


@dataclass
class Times:
    """Milliseconds, the minimum of several runs: other load on the machine can only add time."""

    wall: float
    cpu: float


def timed(run: Callable[[], object], times: int) -> Times:
    """The times of this process, with all its threads."""
    wall, cpu = [], []
    for _ in range(times):
        began, began_cpu = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
    return Times(min(wall) * 1000, min(cpu) * 1000)


def in_new_process(function: Callable[..., Any], *arguments: object, share: float = 1) -> Any:
    """Call a module's function in a new process, with that share of a CPU. A share below one needs Linux.

    Arguments and result are passed as JSON. The limit starts when the module is imported. As in a
    container, the process is stopped when it has used up its share of a period. Any excess is deducted
    from the next periods.
    """
    code = (
        f"import json, sys; from {function.__module__} import {function.__name__} as run\n"
        "print('ready', flush=True); print(json.dumps(run(*json.loads(sys.argv[1]))))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(arguments)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.readline()
    if share < 1:
        _hold_back(process, share)
    printed, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"exit {process.returncode}")
    return json.loads(printed)


def _hold_back(process: subprocess.Popen[str], share: float) -> None:
    budget, used, ends = 0.0, _cpu_seconds(process.pid, 0.0), time.perf_counter()
    while process.poll() is None:
        ends += _PERIOD
        budget = min(budget, 0) + share * _PERIOD
        while (now := time.perf_counter()) < ends and process.poll() is None:
            before, used = used, _cpu_seconds(process.pid, used)
            budget -= used - before
            if budget <= 0:
                process.send_signal(signal.SIGSTOP)
                time.sleep(ends - now)
                break
            time.sleep(min(0.0005, budget))
        if budget > -share * _PERIOD:
            process.send_signal(signal.SIGCONT)


def _cpu_seconds(pid: int, before: float) -> float:
    """CPU time of all threads of a process; `before` if the process has just ended."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3) on Linux
    except OSError:
        return before


def table(header: str, rows: Iterable[Iterable[object]]) -> None:
    """Print a Markdown table. `header` has the names between ` | `. Numbers are aligned to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    columns = range(len(header.split(" | ")))
    right = [all(_is_number(row[column]) for row in cells) for column in columns]
    print(f"\n| {header} |")
    print("|" + "|".join("---:" if number else "---" for number in right) + "|")
    for row in cells:
        print("| " + " | ".join(row) + " |")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return (
            f"{value:,.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
        )
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "").removesuffix("%").isdigit() or cell == "–"
