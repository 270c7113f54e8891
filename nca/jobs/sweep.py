"""Many trainings from one command: which they are, and running them, some at a time.

Each has a folder of its own, so the same command goes on where an earlier one ended.
"""

from __future__ import annotations

import itertools
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emoji as emoji_list

from nca.config import BadInput
from nca.jobs.executor import Executor, Running
from nca.jobs.initial import InitialCheckpoint
from nca.jobs.local import prepare
from nca.jobs.lock import FileLock, LocksUnsupported
from nca.jobs.progress import RESULT, read_progress, read_result
from nca.jobs.spec import LOCK, SHARPEN_ITERATIONS, STOP, Exit, JobSpec, Target, read_spec

MOST = 500  # trainings of one sweep
POLL_SECONDS = 0.2
LOSSES = 3  # of its machine, after which a training is not started again
_ENDED_BADLY = "Its process ended unexpectedly; the same command goes on from the last save."


@dataclass(frozen=True)
class SweepRun:
    """One training of a sweep.

    Attributes:
        name: what tells it from the others; the name of its folder.
        folder: of the training.
        spec: all its settings.
        png: its target.
        weights: of the initial checkpoint, if there is one.
        picture: its fine picture, if that is not an emoji.
    """

    name: str
    folder: Path
    spec: JobSpec
    png: bytes
    weights: bytes | None = None
    picture: bytes | None = None

    @property
    def finished(self) -> bool:
        """Whether it has reached the last iteration of its spec."""
        result, done = read_result(self.folder), read_progress(self.folder).iteration
        if result is None or result.outcome != "finished" or done < self.spec.train.iterations:
            return False
        return read_spec(self.folder).sharpen >= self.spec.sharpen  # else its decoder is missing

    @property
    def problem(self) -> str | None:
        """Why it ended early, a sentence; None if it did not, or was stopped."""
        result = read_result(self.folder)
        if result is None or result.outcome in ("finished", "paused"):
            return None
        return result.message or _ENDED_BADLY


def plan(
    out: Path,
    targets: Sequence[Target],
    varied: Mapping[str, Sequence[Any]],
    seeds: Sequence[int],
    *,
    recipe: str,
    changes: Mapping[str, Any],
    device: str = "auto",
    initial: InitialCheckpoint | None = None,
    sharpen: int = SHARPEN_ITERATIONS,
) -> list[SweepRun]:
    """Every target with every combination of the varied settings and every seed.

    Args:
        out: the folder that holds a folder for each.
        targets: at least one.
        varied: setting -> values; "recipe" is one of them, if named.
        seeds: of weights and draws.
        recipe: where "recipe" is not varied.
        changes: settings that are the same in all.
        device: auto, cpu, cuda or cuda:N.
        initial: the initial checkpoint of all.
        sharpen: iterations of fitting each one's decoder; 0 for none.

    Raises:
        BadInput: a setting cannot be used, two trainings would be the same, or there are more
            than 500.
    """
    runs: list[SweepRun] = []
    settings = [dict(zip(varied, v, strict=True)) for v in itertools.product(*varied.values())]
    named = zip(targets, _names([(target.title, target.png) for target in targets]), strict=True)
    for (target, title), seed, chosen in itertools.product(named, seeds, settings):
        own = dict(chosen)
        name = _name(title, own, seed if len(seeds) > 1 else None)
        spec = JobSpec.from_recipe(
            str(own.pop("recipe", recipe)),
            target,
            seed=seed,
            device=device,
            initial=initial,
            changes={**changes, **own},
            sharpen=sharpen,
        )
        weights = initial and initial.weights
        runs.append(SweepRun(name, out / name, spec, target.png, weights, target.picture))
        if len(runs) > MOST:
            raise BadInput(f"This sweep has more than {MOST} trainings; please vary less.")
    names = [run.name for run in runs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(
            f"Two trainings of this sweep would be called {twice}; please give each picture and "
            "each value once."
        )
    return runs


def run_all(
    runs: Sequence[SweepRun],
    executor: Executor,
    device: str,
    at_once: int,
    stop: Callable[[], bool],
    on_poll: Callable[[], object] = lambda: None,
    on_notice: Callable[[str], object] = lambda words: None,
) -> bool:
    """Train all that have not finished; a training that fails does not end the others.

    One whose machine was lost goes on, at most twice. One that another process trains, such as the
    worker of a sweep that was killed a moment ago, waits until that has ended.

    Args:
        runs: from `plan`.
        executor: where they train.
        device: one of the executor's.
        at_once: how many at a time.
        stop: polled; True lets those that run save and end.
        on_poll: called several times a second.
        on_notice: called with a sentence, once for each training that waits for another process.

    Returns:
        False when `stop` ended it.

    Raises:
        BadInput: a folder holds a training with other settings; nothing has started then.
    """
    waiting = [run for run in runs if not run.finished]
    for run in runs:
        run.folder.mkdir(parents=True, exist_ok=True)
        prepare(run.folder, run.spec, run.png, run.weights, run.picture)
    running: dict[str, tuple[SweepRun, Running]] = {}
    lost: list[str] = []
    told: set[str] = set()
    try:
        while waiting or running:
            stopping = stop()
            for name, (run, one) in list(running.items()):
                if (code := one.poll()) is None:
                    continue
                del running[name]
                if code == Exit.BUSY and not stopping:
                    waiting.append(run)
                if code == Exit.LOST and not stopping:  # goes on from what came back
                    lost.append(name)
                    if lost.count(name) < LOSSES:
                        waiting.append(run)
            while len(running) < at_once and not stopping:
                run = next((run for run in waiting if not _is_locked(run.folder)), None)
                if run is None:
                    break
                waiting.remove(run)
                for left in (RESULT, STOP):
                    (run.folder / left).unlink(missing_ok=True)
                running[run.name] = run, executor.start(run.folder, device)
            if stopping:
                waiting.clear()
                for _, one in running.values():
                    one.stop()
            for run in waiting if len(running) < at_once else ():
                if run.name not in told:
                    told.add(run.name)
                    on_notice(f"Another process trains in {run.folder}; waiting until it ends.")
            on_poll()
            time.sleep(POLL_SECONDS if running or waiting else 0)
    except BaseException:
        for _, one in running.values():
            one.stop()
        raise
    return not stop()


def _is_locked(folder: Path) -> bool:
    """Whether another process trains in a folder."""
    lock = FileLock(folder / LOCK)
    try:
        free = lock.acquire()
    except LocksUnsupported:  # the worker says what that means
        return False
    lock.release()
    return not free


def _names(pictures: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    """A name for each title and picture; different pictures of one name are numbered."""
    known: dict[str, list[bytes]] = {}
    for title, png in pictures:
        name = _plain_name(emoji_list.demojize(title, delimiters=("", " ")))
        others = known.setdefault(name, [])
        others += [] if png in others else [png]
        yield name if png == others[0] else f"{name}-{others.index(png) + 1}"


def _name(title: str, varied: Mapping[str, Any], seed: int | None) -> str:
    """The name of a folder: lizard-batch=4-seed=1."""
    parts = [title, *(_plain_name(f"{k}={_plain(v)}") for k, v in varied.items())]
    return _cut("-".join(parts + ([] if seed is None else [f"seed={seed}"])), 200)


def _plain_name(words: str) -> str:
    """Letters of any alphabet, digits and a few signs, at most 60 bytes."""
    words = re.sub(r"[^\w.=,]+", "-", unicodedata.normalize("NFC", words)).strip("-.")
    return _cut(words, 60) or "picture"


def _cut(words: str, most: int) -> str:
    """At most so many bytes: file systems allow 255 in a name."""
    return words.encode()[:most].decode(errors="ignore")


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
