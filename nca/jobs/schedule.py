"""Who trains next on a device, and for how long: rules without a clock, a disk or a process.

A training that has not had a turn yet goes before those that had one; of several, the one with the
least work left. So a short training waits for about one turn, however long the others are. The
others take turns in a circle. After a few new ones in a row it is one of the others' turn, so that
a crowd of new trainings never holds an old one up for good.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, replace

NEW_IN_A_ROW = 3  # turns of new trainings between two turns of others
LONG_TURNS = 4  # turns in one go while only trainings wait that have had one
CHANGE_SECONDS = 4.0  # what a change of turns costs: saving, a new process, loading
ROUNDS = 2000  # turns that a forecast looks ahead


@dataclass(frozen=True)
class Place:
    """A training in a device's queue.

    Attributes:
        id: the job.
        position: order among those that have had a turn; a smaller one goes first.
        turns: how many it has begun since it was submitted or resumed.
        left: what is left of it, in seconds or any other unit that all share.
    """

    id: str
    position: int
    turns: int
    left: float


def next_place(waiting: Iterable[Place], new_in_a_row: int) -> Place | None:
    """Whose turn it is; None when nobody waits.

    Args:
        waiting: the trainings that wait for the device.
        new_in_a_row: how many of the last turns in a row went to new trainings.
    """
    places = list(waiting)
    new = min((p for p in places if not p.turns), key=_least_left, default=None)
    others = min((p for p in places if p.turns), key=lambda p: p.position, default=None)
    if new is not None and (others is None or new_in_a_row < NEW_IN_A_ROW):
        return new
    return others


def turn_is_over(
    turn: float | None, elapsed: float, left: float | None, waiting: Iterable[int]
) -> bool:
    """Whether a running training should save and let another one train.

    Args:
        turn: seconds of a turn; None for no turns at all.
        elapsed: seconds that it has trained in this turn.
        left: seconds until it is finished; None when nothing is known.
        waiting: for each training that waits for the device, how many turns it has had.
    """
    counts = list(waiting)
    if turn is None or not counts:
        return False
    length = turn if 0 in counts else LONG_TURNS * turn
    if elapsed < length:
        return False
    # One that is nearly finished ends sooner than a change takes and costs nobody much.
    return left is None or left > turn / 2 or elapsed > length + turn / 2


@dataclass(frozen=True)
class Forecast:
    """When a training is expected to train next and to be finished, in seconds from now."""

    begins: float
    ends: float


def forecast(
    running: Iterable[Place], waiting: Iterable[Place], slots: int, turn: float | None
) -> dict[str, Forecast]:
    """Expect what the rules above will do if nobody else comes; `left` in seconds.

    The turns are played through; what is left after `ROUNDS` of them is shared out evenly.
    """
    running, waiting = list(running), list(waiting)
    new = [(p.left, p.position, p) for p in waiting if not p.turns]
    old = [(p.position, p) for p in waiting if p.turns]
    heapq.heapify(new)
    heapq.heapify(old)
    last = max((p.position for p in [*running, *waiting]), default=0)
    begins: dict[str, float] = {p.id: 0.0 for p in running}
    ends: dict[str, float] = {}
    # Every slot with the time when it is free, and what trains there until then.
    busy: list[tuple[float, int, Place | None]] = []
    in_a_row = 0

    def start(now: float, place: Place) -> None:
        alone = turn is None or not (new or old)
        length = place.left if alone else (turn or 0) * (1 if new else LONG_TURNS)
        if place.left <= length + (turn or 0) / 2:
            length = place.left
        begins.setdefault(place.id, now)
        nonlocal last
        last += 1
        rest = replace(place, left=place.left - length, turns=place.turns + 1, position=last)
        heapq.heappush(busy, (now + length, last, rest))

    for place in running:
        start(0.0, place)
    for _ in range(slots - len(busy)):
        last += 1
        busy.append((0.0, last, None))
    heapq.heapify(busy)
    now = 0.0
    for _ in range(ROUNDS):
        if not busy:
            break
        now, _, ended = heapq.heappop(busy)
        if ended is not None and ended.left > 0:
            heapq.heappush(old, (ended.position, ended))
        elif ended is not None:
            ends[ended.id] = now
        if new and (not old or in_a_row < NEW_IN_A_ROW):
            in_a_row += 1
            start(now + (CHANGE_SECONDS if ended else 0.0), heapq.heappop(new)[2])
        elif old:
            in_a_row = 0
            following = heapq.heappop(old)[1]
            same = ended is not None and following.id == ended.id
            start(now + (0.0 if same else CHANGE_SECONDS), following)
    rest = [p for _, _, p in busy if p and p.id not in ends]
    rest += [p for *_, p in new] + [p for _, p in old]
    for place in rest:
        ends[place.id] = now + sum(min(other.left, place.left) for other in rest) / max(1, slots)
        begins.setdefault(place.id, now)
    return {job: Forecast(begins[job], ends[job]) for job in ends}


def _least_left(place: Place) -> tuple[float, int]:
    return place.left, place.position
