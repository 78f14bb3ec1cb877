"""Every schedule of deliveries, crashes and lost answers, for code whose steps take effect one at a time.

The explorer reruns the code from the start with the recorded results of its steps, until the code requests
the next step. A delivery may be killed at any step. If the answer to a write is lost, the write has taken
effect or takes effect at any later moment; the delivery is killed, or its client retries the write.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

Step = tuple[Any, ...]
World = TypeVar("World", bound=Hashable)
Delivery = TypeVar("Delivery", bound=Hashable)
_T = TypeVar("_T")

MOST_STEPS = 200
"""Maximum for an undisturbed delivery."""


class Asks(BaseException):
    """A delivery has used up its results and needs the result of this step."""

    def __init__(self, step: Step) -> None:
        self.step = step


class Ends(BaseException):
    """A delivery ends without success."""


_ENDED: Step = ("ended",)


class Scenario(Protocol[World, Delivery]):
    @property
    def start(self) -> World: ...

    @property
    def deliveries(self) -> int:
        """Deliveries in all, without those that deliver the remaining records at the end."""

    @property
    def at_once(self) -> int: ...

    @property
    def lost_answers(self) -> int: ...

    def possible(self, world: World) -> Iterable[Delivery]:
        """The deliveries that are possible next."""

    def run(self, delivery: Delivery, results: Sequence[Any]) -> None:
        """Deliver, with the results of the first steps. Raise Asks for the next step, or Ends."""

    def after(self, world: World, step: Step) -> tuple[World, Any]:
        """The world after a step, and the step's result."""

    def is_write(self, step: Step) -> bool:
        """Whether the step's answer may be lost."""

    def acknowledge(self, world: World, delivery: Delivery) -> World: ...

    def left(self, world: World) -> Delivery | None:
        """A delivery that is still to come, None if everything is acknowledged."""

    def problem(self, world: World) -> str | None:
        """A problem that no world may have at any moment."""

    def problem_at_the_end(self, world: World) -> str | None: ...


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

    The scenario looks for a problem in every state. From every state, it also looks for one after all
    deliveries are killed and the remaining records are delivered without disturbance.
    """
    worlds: _Numbers[tuple[World, tuple[Step, ...]]] = _Numbers()
    """Each world has the late writes, which take effect at some later moment."""
    histories: _Numbers[tuple[Any, ...]] = _Numbers()
    empty = histories.of(())

    @cache
    def next_step(delivery: Delivery, history: int) -> Step | None:
        """The next step, None if the delivery has succeeded."""
        try:
            scenario.run(delivery, histories.values[history])
        except Asks as asks:
            return asks.step
        except Ends:
            return _ENDED
        return None

    @cache
    def after(place: int, step: Step) -> tuple[int, Any]:
        world, late = worlds.values[place]
        changed, result = scenario.after(world, step)
        return worlds.of((changed, late)), result

    @cache
    def acknowledged(place: int, delivery: Delivery) -> int:
        world, late = worlds.values[place]
        return worlds.of((scenario.acknowledge(world, delivery), late))

    @cache
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

    def longer(history: int, result: Any) -> int:
        return histories.of((*histories.values[history], result))

    @cache
    def problem(place: int) -> str | None:
        if found := scenario.problem(worlds.values[place][0]):
            return found
        while (delivery := scenario.left(worlds.values[place][0])) is not None:
            history, steps = empty, 0
            while step := next_step(delivery, history):
                if step is _ENDED:
                    return f"{delivery} does not succeed"
                place, result = after(place, step)
                history = longer(history, result)
                steps += 1
                if steps > MOST_STEPS:
                    return f"{delivery} is blocked"
            place = acknowledged(place, delivery)
        ends = {place}
        while ends:
            place = ends.pop()
            if found := scenario.problem_at_the_end(worlds.values[place][0]):
                return found
            ends.update(landed(place))
        return None

    # Place, running deliveries with their histories, and the deliveries and lost answers still allowed.
    start: tuple[int, tuple[tuple[Delivery, int], ...], int, int] = (
        worlds.of((scenario.start, ())),
        (),
        scenario.deliveries,
        scenario.lost_answers,
    )
    seen = {start}
    waiting = [start]

    def reach(
        place: int, running: Iterable[tuple[Delivery, int]], deliveries: int, losses: int
    ) -> None:
        state = place, tuple(sorted(running)), deliveries, losses
        if state not in seen:
            seen.add(state)
            waiting.append(state)

    while waiting:
        place, running, deliveries, losses = waiting.pop()
        if found := problem(place):
            return Found(len(seen), found)
        for changed in landed(place):
            reach(changed, running, deliveries, losses)
        if deliveries and len(running) < scenario.at_once:
            for delivery in scenario.possible(worlds.values[place][0]):
                reach(place, (*running, (delivery, empty)), deliveries - 1, losses)
        for index, (delivery, history) in enumerate(running):
            others = running[:index] + running[index + 1 :]
            reach(place, others, deliveries, losses)  # killed
            step = next_step(delivery, history)
            if step is _ENDED:
                continue
            if step is None:
                reach(acknowledged(place, delivery), others, deliveries, losses)
                continue
            changed, result = after(place, step)
            going_on = (*others, (delivery, longer(history, result)))
            reach(changed, going_on, deliveries, losses)
            if losses and scenario.is_write(step):
                reach(plus_late(place, step), others, deliveries, losses - 1)
                reach(plus_late(changed, step), going_on, deliveries, losses - 1)
                again, second = after(changed, step)  # the result of the client's retry
                repeated = (*others, (delivery, longer(history, second)))
                reach(again, repeated, deliveries, losses - 1)
    return Found(len(seen), None)
