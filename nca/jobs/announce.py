"""Times as visitors are told them: round numbers that count down and are seldom corrected."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass

# Rounded up to one of these, in seconds; beyond them to whole hours.
STEPS = (10, 20, 30, 45, 60, 90, 120, 180, 240, 300, 420, 600, 900, 1200, 1800, 2700, 3600, 5400)
HOUR = 3600.0
SLACK = 0.35  # a promise is kept while it is wrong by less than this share
SLACK_SECONDS = 20.0  # and some seconds
SMOOTHING = 15.0  # seconds over which estimates are averaged


def round_up(seconds: float) -> float:
    """The next larger of `STEPS`, or whole hours."""
    for step in STEPS:
        if seconds <= step:
            return float(step)
    return HOUR * -(-seconds // HOUR)


@dataclass
class _Promise:
    until: float  # by the clock
    told: float  # the last answer
    estimate: float  # by the clock, smoothed
    estimated: float  # when the last estimate came


class Announcer:
    """Remembers what was promised, and corrects it only when it turns out clearly wrong.

    Every estimate of the queue moves with each newcomer and each iteration. A promise counts down
    by itself meanwhile; so a visitor sees a number that falls. Safe to use from any thread.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._guard = clock, threading.Lock()
        self._promises: dict[tuple[str, str], _Promise] = {}

    def tell(self, job: str, what: str, seconds: float | None) -> float | None:
        """What to say now.

        Args:
            job: whose time it is.
            what: which of its times, any text.
            seconds: the newest estimate; None when nothing is known, which keeps a promise.

        Returns:
            Rounded seconds; None when nothing was ever known.
        """
        with self._guard:
            now, promise = self._clock(), self._promises.get((job, what))
            if promise is None:
                if seconds is None:
                    return None
                promise = _Promise(now + seconds, round_up(seconds), now + seconds, now)
                self._promises[job, what] = promise
            elif seconds is not None:
                share = 1 - math.exp(-(now - promise.estimated) / SMOOTHING)
                promise.estimate += share * (now + seconds - promise.estimate)
                promise.estimated = now
                expected, promised = promise.estimate - now, promise.until - now
                if abs(expected - promised) > SLACK_SECONDS + SLACK * max(expected, promised):
                    promise.until, promise.told = promise.estimate, round_up(expected)
            # What was told only rises when it is corrected.
            promise.told = min(promise.told, round_up(max(0.0, promise.until - now)))
            return promise.told

    def forget(self, keep: Container[str]) -> None:
        """Drop the promises about all jobs but these."""
        with self._guard:
            for job, what in [key for key in self._promises if key[0] not in keep]:
                del self._promises[job, what]
