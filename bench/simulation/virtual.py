"""Virtual time: when a task waits, the clock jumps to the next event.

The simulated code is synchronous, so each task has a thread. Exactly one thread runs at any moment:
the one that has the turn. When its task waits, that thread runs the next events, until one of them
gives the turn to a task. The order depends only on the events, so every run is the same.
"""

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Resume = Callable[[Any], None]
"""Resumes a waiting task with a value, or raises an exception in it."""

threading.stack_size(256 * 1024)  # a thousand tasks may wait at the same time


class _Place:
    """A place where tasks run, one after the other. Its lock is free while it has the turn."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.turn.acquire()
        self.work: Callable[[], None] | None = None
        self.result: Any = None


class Clock:
    """Owns the time, in seconds, and the turn. Replaces the module `time` in the code that it runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()  # simultaneous events keep their order of scheduling
        self._main = self._running = _Place()
        self._ready: deque[_Place] = deque()
        self._idle: list[_Place] = []
        self._places = 0
        self._failure: BaseException | None = None

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` `seconds` from now, outside all tasks. It must not wait."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), action))

    def start(self, work: Callable[[], None]) -> None:
        """Run `work` as a task, starting now."""
        if self._idle:
            place = self._idle.pop()
        else:
            place = _Place()
            self._places += 1
            threading.Thread(target=self._serve, args=[place], daemon=True).start()
        place.work = work
        self._ready.append(place)

    def wait_for(self, begin: Callable[[Resume], None]) -> Any:
        """In a task: call `begin`, wait until its callback is called, and return the callback's value."""
        place = self._running

        def resume(result: Any) -> None:
            place.result = result
            self._ready.append(place)

        begin(resume)
        self._go_on_until_turn_of(place)
        if isinstance(place.result, BaseException):
            raise place.result
        return place.result

    def run(self) -> None:
        """Run all events and tasks; callable once. Raises the exception of a task."""
        self._go_on_until_turn_of(self._main)
        if self._failure:
            raise self._failure
        assert len(self._idle) == self._places, "a task waits for an event that never happens"
        for place in self._idle:
            place.turn.release()  # no work: its thread ends

    def sleep(self, seconds: float) -> None:
        self.wait_for(lambda resume: self.after(seconds, lambda: resume(None)))

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def _go_on_until_turn_of(self, here: _Place) -> None:
        while not self._ready and self._events and not self._failure:
            self.now, _, action = heapq.heappop(self._events)
            action()
        next_one = self._ready.popleft() if self._ready and not self._failure else self._main
        if next_one is not here:
            next_one.turn.release()
            here.turn.acquire()
        self._running = here

    def _serve(self, place: _Place) -> None:
        place.turn.acquire()
        self._running = place
        try:
            while place.work:
                work, place.work = place.work, None
                work()
                self._idle.append(place)
                self._go_on_until_turn_of(place)
        except BaseException as error:  # noqa: BLE001 - raised again in `run`
            self._failure = error
            self._main.turn.release()


class Aside(Executor):
    """Runs submitted functions as tasks of a clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def submit(
        self,
        fn: Callable[Arguments, Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
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
            self._clock.wait_for(lambda resume: self.add_done_callback(lambda _: resume(None)))
