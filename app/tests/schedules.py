"""Every schedule of deliveries, crashes and lost answers, for code whose steps take effect one at a time.

A delivery is a run of the code: an invocation of the function, or an instance that serves requests. No
threads are needed: the explorer reruns the code from the start with the recorded results of its steps, until
the code requests the next step. States that schedules share are explored once.

A delivery may be killed at any step. If the answer to a write is lost, the write has taken effect or takes
effect at any later moment; the delivery is killed, or its client retries the write.
"""

import unittest
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Generic, TypeVar

Step = tuple[Any, ...]
History = Sequence[tuple[Step, Any]]
"""The first steps of a delivery, with their results."""

Words = tuple[tuple[str, int], ...]
"""Words with their totals, sorted, as a hashable value."""

World = TypeVar("World", bound=Hashable)
Delivery = TypeVar("Delivery", bound=Hashable)
_T = TypeVar("_T")

MOST_STEPS = 200
"""Maximum for an undisturbed delivery."""


def added(table: Words, words: Words) -> Words:
    totals = Counter(dict(table))
    totals.update(dict(words))
    return tuple(sorted(totals.items()))


class Asks(BaseException):
    """A delivery has used up its history and needs the result of one of these steps."""

    def __init__(self, *steps: Step) -> None:
        self.steps = steps


class Ends(BaseException):
    """A delivery ends without success."""


class Scenario(Generic[World, Delivery]):
    deliveries: int = 0
    """Maximum number of deliveries that begin during a schedule. It does not include the deliveries
    that run from the start, nor those that deliver the remaining records at the end."""
    at_once: int = 0
    lost_answers: int = 0

    @property
    def start(self) -> World:
        raise NotImplementedError

    def running(self) -> Iterable[Delivery]:
        """The deliveries that run from the start."""
        return ()

    def possible(self, world: World) -> Iterable[Delivery]:
        """The deliveries that are possible next."""
        return ()

    def may_be_killed(self, delivery: Delivery) -> bool:
        return True

    def run(self, delivery: Delivery, history: History) -> None:
        """Deliver, with the results of the first steps. Raise Asks for the next step, or Ends.

        A step named "answer" tells the world that a request has been answered. It is taken immediately
        after the step before it, because the world must show the effect of the request from
        then on.
        """
        raise NotImplementedError

    def after(self, world: World, step: Step) -> tuple[World, Any]:
        """The world after a step, and the step's result."""
        raise NotImplementedError

    def is_write(self, step: Step) -> bool:
        """Whether the step's answer may be lost."""
        return False

    def acknowledge(self, world: World, delivery: Delivery) -> World:
        return world

    def left(self, world: World) -> Delivery | None:
        """A delivery that is still to come, None if everything is acknowledged."""
        return None

    def problem(self, world: World) -> str | None:
        """A problem that no world may have at any moment."""
        raise NotImplementedError

    def problem_at_the_end(self, world: World) -> str | None:
        raise NotImplementedError


@dataclass(frozen=True)
class Found:
    states: int
    problem: str | None


class _Numbers(Generic[_T]):
    """Numbers for distinct values, so that states can be compared quickly."""

    def __init__(self) -> None:
        self.values: list[_T] = []
        self.numbers: dict[_T, int] = {}

    def of(self, value: _T) -> int:
        if value not in self.numbers:
            self.numbers[value] = len(self.values)
            self.values.append(value)
        return self.numbers[value]


def explore(scenario: Scenario[World, Delivery]) -> Found:
    """Run every schedule, up to the first problem.

    The scenario looks for a problem in every state. From every state in which all running deliveries may be
    killed, it also looks for one after they are killed and the remaining records are delivered without
    disturbance.
    """
    worlds: _Numbers[tuple[World, tuple[Step, ...]]] = _Numbers()
    """Worlds, each with its late writes, which take effect at some later moment. The number of a
    world with its late writes is called a place."""
    runs: _Numbers[tuple[Any, ...]] = _Numbers()
    """A run is a delivery that begins, or the number of an earlier run with its next step and the
    result of that step."""

    @cache
    def delivery_of(run: int) -> Delivery:
        value = runs.values[run]
        return delivery_of(value[0]) if len(value) > 1 else value[0]

    def history_of(run: int) -> History:
        history = []
        while len(value := runs.values[run]) > 1:
            run, *done = value
            history.append(tuple(done))
        return history[::-1]

    @cache
    def next_steps(run: int) -> tuple[Step, ...] | None:
        """The possible next steps. There are none if the delivery has failed; None if it has succeeded."""
        try:
            scenario.run(delivery_of(run), history_of(run))
        except Asks as asks:
            return asks.steps
        except Ends:
            return ()
        return None

    @cache
    def after(place: int, step: Step) -> tuple[int, Any]:
        world, late = worlds.values[place]
        changed, result = scenario.after(world, step)
        return worlds.of((changed, late)), result

    def acknowledged(place: int, run: int) -> int:
        world, late = worlds.values[place]
        return worlds.of((scenario.acknowledge(world, delivery_of(run)), late))

    def plus_late(place: int, step: Step) -> int:
        world, late = worlds.values[place]
        return worlds.of((world, (*late, step)))

    @cache
    def landed(place: int) -> tuple[int, ...]:
        """The worlds in which one of the late writes has taken effect."""
        world, late = worlds.values[place]
        found = []
        for index, step in enumerate(late):
            rest = late[:index] + late[index + 1 :]
            found.append(after(worlds.of((world, rest)), step)[0])
        return tuple(found)

    @cache
    def moves(place: int, run: int, may_lose: bool) -> tuple[tuple[int, tuple[int, ...], int], ...]:
        """Everything that may happen to a run next: for each possibility, the place after it, the
        run if it goes on, and the number of answers that are lost."""
        return tuple(_moves(place, run, may_lose))

    def _moves(place: int, run: int, may_lose: bool) -> Iterator[tuple[int, tuple[int, ...], int]]:
        if may_be_killed(run):
            yield place, (), 0
        steps = next_steps(run)
        if steps is None:
            yield acknowledged(place, run), (), 0
        for step in steps or ():
            changed, result = after(place, step)
            going_on = runs.of((run, step, result))
            yield *settled(changed, going_on), 0
            if may_lose and scenario.is_write(step):
                yield plus_late(place, step), (), 1
                yield *settled(plus_late(changed, step), going_on), 1
                again, second = after(changed, step)  # the result of the client's retry
                yield *settled(again, runs.of((run, step, second))), 1

    def settled(place: int, run: int) -> tuple[int, tuple[int, ...]]:
        """The place and the run after the steps named "answer" that come next. The run is left out
        if it has succeeded and cannot be killed before it is acknowledged."""
        steps = next_steps(run)
        if steps is None and not may_be_killed(run):
            return acknowledged(place, run), ()
        if steps and steps[0][0] == "answer":
            place, result = after(place, steps[0])
            return settled(place, runs.of((run, steps[0], result)))
        return place, (run,)

    @cache
    def may_be_killed(run: int) -> bool:
        return scenario.may_be_killed(delivery_of(run))

    @cache
    def problem(place: int) -> str | None:
        return scenario.problem(worlds.values[place][0])

    @cache
    def problem_at_the_end(place: int) -> str | None:
        while (delivery := scenario.left(worlds.values[place][0])) is not None:
            run = runs.of((delivery,))
            for _ in range(MOST_STEPS):
                steps = next_steps(run)
                if not steps:
                    break
                place, result = after(place, steps[0])
                run = runs.of((run, steps[0], result))
            if steps is not None:
                return f"{delivery} is blocked" if steps else f"{delivery} does not succeed"
            place = acknowledged(place, run)
        ends = {place}
        while ends:
            place = ends.pop()
            if found := scenario.problem_at_the_end(worlds.values[place][0]):
                return found
            ends.update(landed(place))
        return None

    waiting: list[tuple[int, tuple[int, ...], int, int]] = []
    """Place, runs, and the deliveries and lost answers still allowed."""
    seen = set()

    def reach(place: int, running: Iterable[int], deliveries: int, losses: int) -> None:
        state = place, tuple(sorted(running)), deliveries, losses
        if state not in seen:
            seen.add(state)
            waiting.append(state)

    begun = [runs.of((delivery,)) for delivery in scenario.running()]
    reach(worlds.of((scenario.start, ())), begun, scenario.deliveries, scenario.lost_answers)
    while waiting:
        place, running, deliveries, losses = waiting.pop()
        found = problem(place)
        if not found and all(map(may_be_killed, running)):
            found = problem_at_the_end(place)
        if found:
            return Found(len(seen), found)
        for changed in landed(place):
            reach(changed, running, deliveries, losses)
        if deliveries and len(running) < scenario.at_once:
            for delivery in scenario.possible(worlds.values[place][0]):
                reach(place, (*running, runs.of((delivery,))), deliveries - 1, losses)
        for index, run in enumerate(running):
            others = running[:index] + running[index + 1 :]
            for changed, going_on, lost in moves(place, run, losses > 0):
                reach(changed, others + going_on, deliveries, losses - lost)
    return Found(len(seen), None)


class Exploring(unittest.TestCase):
    def assert_right(self, scenario: Scenario[Any, Any], more_than: int) -> int:
        """All states are right, and there are more than `more_than`. Return their number."""
        found = explore(scenario)
        self.assertIsNone(found.problem)
        self.assertGreater(found.states, more_than, "the deliveries did not interleave")
        return found.states

    def assert_all_right(
        self, scenarios: Mapping[str, Scenario[Any, Any]], more_than: int, in_all: int
    ) -> None:
        states = 0
        for name, scenario in scenarios.items():
            with self.subTest(name):
                states += self.assert_right(scenario, more_than)
        self.assertGreater(states, in_all)

    def assert_wrong(self, scenario: Any, **broken: Any) -> None:
        """The explorer finds a problem in the scenario with these changes."""
        self.assertIsNotNone(explore(replace(scenario, **broken)).problem)
