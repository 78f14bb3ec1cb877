"""Virtual time: when a task waits, the clock jumps to the next event.

The simulated code is synchronous, so each task is a greenlet. `Clock.run` runs the events, one at a time;
an event may resume a task, which then runs until it next waits. The order depends only on the events, so every run is
the same.
"""

import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

from greenlet import getcurrent, greenlet

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Resume = Callable[[], object]
"""Resumes a waiting task. Only an event may call it, and only once."""


class Clock:
    """Owns the time, in seconds. Replaces the module `time` in the code that it runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()  # simultaneous events keep their order of scheduling
        self._waiting = 0

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Run `action` `seconds` from now, outside all tasks. `action` must not wait."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), action))

    def start(self, work: Callable[[], None]) -> None:
        """Run `work` as a task, starting now."""
        # The event creates the greenlet, because a task must return to `run`, not to another task.
        self.after(0, lambda: greenlet(work).switch())

    def wait_for(self, begin: Callable[[Resume], object]) -> None:
        """Suspend the current task. `begin` gets a function that resumes the task, and must schedule an event that
        calls it."""
        task = getcurrent()
        begin(task.switch)
        self._waiting += 1
        task.parent.switch()  # to `run`
        self._waiting -= 1

    def run(self) -> None:
        """Run all events and tasks. Raises the exception of a task."""
        while self._events:
            self.now, _, action = heapq.heappop(self._events)
            action()
        assert not self._waiting, "a task waits for an event that never happens"

    def sleep(self, seconds: float) -> None:
        self.wait_for(lambda resume: self.after(seconds, resume))

    def monotonic(self) -> float:
        return self.now

    time = monotonic


class VirtualExecutor(Executor):
    """Runs submitted functions as tasks of a clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        future: _Awaited[Result] = _Awaited(self._clock)

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - raised in the task that awaits it
                future.set_exception(error)

        self._clock.start(work)
        self._clock.sleep(0)  # the submitted task begins before this one continues
        return future


class _Awaited(Future[Result]):
    """A future whose result is awaited in virtual time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def result(self, timeout: float | None = None) -> Result:
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        assert timeout is None, "timeouts are not supported"
        if not self.done():
            self._clock.wait_for(
                lambda resume: self.add_done_callback(lambda _: self._clock.after(0, resume))
            )
