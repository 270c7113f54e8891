"""A job as its owner sees it, with the times and the position that the queue gives it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nca.config import Limits
from nca.jobs.announce import Announcer
from nca.jobs.progress import Progress, read_progress
from nca.jobs.schedule import Forecast, Place, forecast
from nca.jobs.store import ACTIVE, Row

FORECAST_SECONDS = 2.0  # how long one forecast answers all pages
SURE_ITERATIONS = 20  # before these, the speed is that of a machine warming up
SURE_SECONDS = 10.0  # of training, after which fewer iterations tell enough


@dataclass(frozen=True)
class JobView:
    """A job as its owner sees it.

    Attributes:
        id: the job.
        title: for display.
        state: queued, running, finished, stopped, failed or interrupted.
        stopping: it was asked to stop and has not ended yet.
        ahead: jobs that train before it, 0 when it runs, takes turns or is done.
        turns_with: jobs that it takes turns with, 0 when it has the device for itself, has not
            begun or is done.
        wait_seconds: until it begins to train, rounded and steady; None when it has begun or
            nothing is known.
        iteration: updates done.
        iterations: updates requested.
        iterations_per_second: None before the first.
        loss: of the last iteration, None before the first.
        initial: title of its initial checkpoint, None for a new automaton.
        seconds_left: until it is finished, the turns of others included, rounded and steady;
            None when nothing is known, as in its first iterations.
        message: a sentence, or None.
        sharpening: how much of its decoder is fitted, 0 to 1; None before and after that.
        can_resume: whether `resume` would continue it without a larger number of iterations.
        created: seconds since 1970.
        deleted_at: when it will be deleted automatically, in seconds since 1970; None while it
            is active.
        folder: pictures, snapshots and the checkpoint, as far as they exist.
    """

    id: str
    title: str
    state: str
    stopping: bool
    ahead: int
    turns_with: int
    wait_seconds: float | None
    iteration: int
    iterations: int
    iterations_per_second: float | None
    loss: float | None
    initial: str | None
    seconds_left: float | None
    message: str | None
    sharpening: float | None
    can_resume: bool
    created: float
    deleted_at: float | None
    folder: Path

    @property
    def active(self) -> bool:
        """Whether it runs or waits."""
        return self.state in ACTIVE


class Views:
    """Makes views of jobs. Safe to use from any thread.

    Args:
        folders: where the job folders are.
        limits: `turn_seconds` and `job_days`.
        slots: how many trainings run at once on each device.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        folders: Path,
        limits: Limits,
        slots: Mapping[str, int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders, self._limits, self._slots, self._clock = folders, limits, slots, clock
        self._announcer = Announcer(clock)
        self._guard = threading.Lock()
        self._rates: dict[str, float] = {}  # work per second, by device
        self._forecasts: dict[str, Forecast] = {}
        self._key: object = None  # what the forecasts were made from

    def view(self, row: Row, queue: list[Row]) -> JobView:
        """One job.

        Args:
            row: the job.
            queue: all active jobs, see `Store.active`.
        """
        progress = read_progress(self._folders / row.id)
        active = row.state in ACTIVE
        expected = self._expect(queue) if active else {}
        ahead, turns_with = self._position(row, queue, expected) if active else (0, 0)
        mine = expected.get(row.id)
        begun = row.state == "running" or row.turns > 0
        wait = None if mine is None or begun else mine.begins
        left = None if mine is None or row.requested == "stop" else mine.ends
        kept = None if active else row.changed + self._limits.job_days * 86_400
        return JobView(
            id=row.id,
            title=row.title,
            state=row.state,
            stopping=active and row.requested == "stop",
            ahead=ahead,
            turns_with=turns_with,
            wait_seconds=None if begun or not active else self._tell(row, "wait", wait),
            iteration=progress.iteration,
            iterations=row.iterations,
            iterations_per_second=progress.iterations_per_second or None,
            loss=progress.loss,
            initial=progress.initial,
            seconds_left=self._tell(row, "left", left) if active else None,
            message=row.message or progress.message,
            sharpening=progress.sharpening if row.state == "running" else None,
            can_resume=not active and progress.iteration < row.iterations,
            created=row.created,
            deleted_at=kept,
            folder=self._folders / row.id,
        )

    def _tell(self, row: Row, what: str, seconds: float | None) -> float | None:
        # By its total: with more iterations, another promise.
        return self._announcer.tell(row.id, f"{what} {row.iterations}", seconds)

    def _position(
        self, row: Row, queue: list[Row], expected: Mapping[str, Forecast]
    ) -> tuple[int, int]:
        """Jobs before this one, and jobs that it takes turns with."""
        others = [r for r in queue if r.device == row.device and r.id != row.id]
        if row.turns and row.state != "running":
            return 0, len(others)
        if row.state == "running":
            return 0, len(others) if self._limits.turn_seconds is not None else 0
        if row.id in expected:
            begins = expected[row.id].begins
            before = [r for r in others if _order(r, expected) < (begins, row.position)]
        else:
            before = [r for r in others if r.state == "running" or r.position < row.position]
        return len(before), 0

    def _expect(self, queue: list[Row]) -> dict[str, Forecast]:
        """When each active job begins and ends; empty for devices whose speed is not known."""
        key = [(row.id, row.state, row.position, row.iterations, row.device) for row in queue]
        with self._guard:
            now = self._clock()
            stamp = (key, now // FORECAST_SECONDS)
            if stamp != self._key:
                self._key, self._forecasts = stamp, self._forecast(queue)
                self._announcer.forget({row.id for row in queue})
            return self._forecasts

    def _forecast(self, queue: list[Row]) -> dict[str, Forecast]:
        reports = {row.id: read_progress(self._folders / row.id) for row in queue}
        for row in sorted(queue, key=lambda row: row.state == "running"):  # those know best
            if rate := _rate(row, reports[row.id]):
                self._rates[row.device] = rate
        found: dict[str, Forecast] = {}
        for device in {row.device for row in queue}:
            rows = [row for row in queue if row.device == device]
            left = {row.id: self._left(row, reports[row.id]) for row in rows}
            places = {
                state: [
                    Place(row.id, row.position, row.turns, seconds)
                    for row in rows
                    if (row.state == "running") == state and (seconds := left[row.id]) is not None
                ]
                for state in (True, False)
            }
            if None not in left.values():
                slots = max(self._slots.get(device, 1), len(places[True]))
                turn = self._limits.turn_seconds
                found |= forecast(places[True], places[False], slots, turn)
        return found

    def _left(self, row: Row, progress: Progress) -> float | None:
        """Seconds of training left; None when nothing is known."""
        if progress.seconds_left is not None and _sure(progress):
            return progress.seconds_left
        rate = self._rates.get(row.device)
        return None if rate is None else row.work_left(progress.iteration) / rate


def _sure(progress: Progress) -> bool:
    return progress.iteration >= SURE_ITERATIONS or progress.seconds >= SURE_SECONDS


def _rate(row: Row, progress: Progress) -> float:
    """Work per second measured on this job; 0 when unknown."""
    return row.work * progress.iterations_per_second if _sure(progress) else 0.0


def _order(row: Row, expected: Mapping[str, Forecast]) -> tuple[float, int]:
    found = expected.get(row.id)
    return (0.0 if row.state == "running" or found is None else found.begins), row.position
