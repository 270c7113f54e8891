"""What a visitor can do with jobs. Every call takes the visitor's key and checks it."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import shutil
import sqlite3
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nca.config import BadInput, Limits, checked
from nca.files import write_atomic
from nca.jobs.metrics import MetricsReader
from nca.jobs.spec import (
    FULL_DISK,
    METRICS,
    PROGRESS,
    SPEC,
    START,
    TARGET,
    JobSpec,
    read_json,
    read_spec,
)
from nca.jobs.store import ACTIVE, Row, Store
from nca.jobs.supervisor import Supervisor

NOT_YOURS = "There is no such job, or it is not yours; it may have been deleted."
_KEY = re.compile(r"[0-9a-f]{32}")
_READERS = 64  # metrics files remembered


@dataclass(frozen=True)
class JobView:
    """A job as its owner sees it.

    Attributes:
        id: the job.
        title: for people.
        state: queued, running, finished, stopped, failed or interrupted.
        stopping: it was asked to stop and still saves.
        ahead: jobs before it on its device, 0 when it runs or is done.
        wait_seconds: expected wait in the queue; None when nothing is known.
        iteration: updates done.
        iterations: updates wanted.
        iterations_per_second: None before the first.
        loss: of the last iteration, None before the first.
        base: title of the checkpoint it began with, None for a new automaton.
        seconds_left: None before the first iteration.
        message: a sentence, or None.
        can_resume: whether `resume` would go on, without more iterations.
        created: seconds since 1970.
        deleted_at: when it will be deleted by itself, seconds since 1970; None while it is active.
        folder: pictures, snapshots and the checkpoint, as far as they exist.
    """

    id: str
    title: str
    state: str
    stopping: bool
    ahead: int
    wait_seconds: float | None
    iteration: int
    iterations: int
    iterations_per_second: float | None
    loss: float | None
    base: str | None
    seconds_left: float | None
    message: str | None
    can_resume: bool
    created: float
    deleted_at: float | None
    folder: Path

    @property
    def active(self) -> bool:
        """Whether it runs or waits."""
        return self.state in ACTIVE


def find_devices() -> tuple[str, ...]:
    """The devices of this machine, the best first; each has a queue of its own."""
    import torch

    return ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",)


class JobQueue:
    """All jobs of one home, and the supervisor that runs them. Safe to use from any thread.

    A second process on the same home reads but does not write; it takes over when the first ends.

    Args:
        home: made when missing; on a local disk.
        limits: queue, turns, days.
        devices: what may train here, the default first; found when None.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        home: Path,
        limits: Limits | None = None,
        devices: Sequence[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.home, self.limits = Path(home), limits or Limits()
        self.devices = tuple(devices or find_devices())
        self._clock = clock
        self._store = Store(self.home / "garden.sqlite3")
        self._supervisor = Supervisor(self.home, self._store, self.limits, clock)
        self._readers: OrderedDict[str, MetricsReader] = OrderedDict()
        self._readers_guard = threading.Lock()

    def close(self, timeout: float = 10.0) -> None:
        """Let running jobs save and end; the next start goes on with them."""
        self._supervisor.close(timeout)
        self._store.close()

    @staticmethod
    def new_key() -> str:
        """A key for a new visitor, 128 bits as hex; it is stored nowhere here."""
        return secrets.token_hex(16)

    # ------------------------------------------------------------------ changing

    def submit(self, key: str, spec: JobSpec, target_png: bytes, start: bytes | None = None) -> str:
        """Put a training at the end of the queue and return its id.

        Args:
            key: the visitor's.
            spec: what to train.
            target_png: on what, the spec's grid large.
            start: the weights to begin with, as `nca.checkpoint.weights_to_bytes` writes them;
                together with `spec.base`, which says whose they are.

        Raises:
            BadInput: the spec, the picture or the weights do not fit, the visitor has an active
                job, or the queue is full.
        """
        self._check_lead()
        owner = _owner(key)
        self._admit(owner)
        spec = checked(JobSpec, spec.model_dump() if isinstance(spec, JobSpec) else spec)
        _check_target(target_png, spec.target.grid, self.limits)
        _check_start(start, spec, self.limits)
        job_id, now = secrets.token_hex(16), self._clock()
        device = self._device(spec.device)
        folder = self._supervisor.folders / job_id
        try:
            folder.mkdir(mode=0o700)
            write_atomic(folder / SPEC, spec.model_dump_json(indent=1).encode())
            write_atomic(folder / TARGET, target_png)
            if start is not None:
                write_atomic(folder / START, start)
            with self._store.transaction():
                self._admit(owner)  # again, because others came meanwhile
                self._store.add(
                    Row(
                        id=job_id,
                        owner=owner,
                        title=spec.title,
                        device=device,
                        state="queued",
                        place=self._store.next_place(),
                        work=spec.work,
                        iterations=spec.train.iterations,
                        created=now,
                        changed=now,
                    )
                )
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, (OSError, sqlite3.OperationalError)):
                raise BadInput(FULL_DISK) from error
            raise
        self._supervisor.wake()
        return job_id

    def stop(self, key: str, job_id: str) -> None:
        """End a training after its current iteration; it can be resumed."""
        self._check_lead()
        with self._store.transaction():
            row = self._owned(key, job_id)
            if row.state == "queued":
                self._store.update(row.id, state="stopped", message=None, changed=self._clock())
            elif row.state in ACTIVE:
                self._store.update(row.id, wish="stop")
        self._supervisor.wake()

    def resume(self, key: str, job_id: str, iterations: int | None = None) -> None:
        """Go on with a stopped or failed training, at the end of the queue.

        Args:
            key: the visitor's.
            job_id: one of the visitor's jobs; nothing happens when it runs or waits.
            iterations: a new total; a finished training goes on only with more than it had.
        """
        self._check_lead()
        with self._store.transaction():
            row = self._owned(key, job_id)
            if row.state in ACTIVE:
                if row.wish == "stop":  # stopping still: go on after that
                    self._store.update(row.id, wish="yield")
                return
            folder = self._supervisor.folders / row.id
            spec = read_spec(folder)
            total = spec.train.iterations if iterations is None else iterations
            done = int((read_json(folder / PROGRESS) or {}).get("iteration", 0))
            if total <= done:
                raise BadInput(f"It has done {done} iterations; ask for more to go on.")
            self._admit(row.owner)
            if total != spec.train.iterations:
                values = spec.model_dump()
                values["train"]["iterations"] = total
                spec = checked(JobSpec, values)
                write_atomic(folder / SPEC, spec.model_dump_json(indent=1).encode())
            self._store.update(
                row.id,
                state="queued",
                wish=None,
                crashes=0,
                message=None,
                iterations=total,
                place=self._store.next_place(),
                changed=self._clock(),
            )
        self._supervisor.wake()

    def delete(self, key: str, job_id: str) -> None:
        """Delete a job with its picture and all it has grown, at once, also while it trains."""
        self._check_lead()
        row = self._owned(key, job_id)
        self._store.update(row.id, wish="delete")
        self._supervisor.wake()

    # ------------------------------------------------------------------ looking

    def jobs(self, key: str) -> list[JobView]:
        """The visitor's jobs, newest first."""
        rows = [row for row in self._store.of(_owner(key)) if row.wish != "delete"]
        queue = self._store.active()
        return [self._view(row, queue) for row in rows]

    def view(self, key: str, job_id: str) -> JobView:
        """One job; BadInput when it is not there or not this visitor's."""
        return self._view(self._owned(key, job_id), self._store.active())

    def spec(self, key: str, job_id: str) -> JobSpec:
        """What was asked for."""
        return read_spec(self._supervisor.folders / self._owned(key, job_id).id)

    def metrics(self, key: str, job_id: str, points: int = 300) -> list[tuple[int, float]]:
        """(iteration, log10 loss), at most `points`; cheap enough for every tick of a page."""
        row = self._owned(key, job_id)
        with self._readers_guard:
            reader = self._readers.pop(row.id, None)
            reader = reader or MetricsReader(self._supervisor.folders / row.id / METRICS)
            self._readers[row.id] = reader
            while len(self._readers) > _READERS:
                self._readers.popitem(last=False)
        return reader.read(points)

    # ------------------------------------------------------------------ within

    def _owned(self, key: str, job_id: str) -> Row:
        """The job, if it is this visitor's; the same refusal whether it exists or not."""
        owner = _owner(key)
        row = self._store.get(job_id) if isinstance(job_id, str) else None
        theirs = row.owner if row is not None else "0" * len(owner)
        if not hmac.compare_digest(owner, theirs) or row is None or row.wish == "delete":
            raise BadInput(NOT_YOURS)
        return row

    def _check_lead(self) -> None:
        if not self._supervisor.leads:
            raise BadInput(
                "Another server process looks after these jobs; use that one, or try again soon."
            )

    def _admit(self, owner: str) -> None:
        """Refuse when this visitor has an active job or the queue is full."""
        active = [row for row in self._store.active() if row.wish != "delete"]
        if any(row.owner == owner for row in active):
            raise BadInput("You already have a training in the queue; stop it or wait for it.")
        if len(active) >= self.limits.queue_length:
            raise BadInput("The queue is full; please try again in a few minutes.")

    def _device(self, wanted: str) -> str:
        if wanted == "auto":
            return self.devices[0]
        if wanted not in self.devices:
            raise BadInput(f"This garden cannot train on {wanted}; choose the automatic device.")
        return wanted

    def _view(self, row: Row, queue: list[Row]) -> JobView:
        folder = self._supervisor.folders / row.id
        progress = read_json(folder / PROGRESS) or {}
        waits = row.state in ("queued", "interrupted")
        ahead = [
            other
            for other in queue
            if other.device == row.device
            and other.id != row.id
            and (other.state == "running" or other.place < row.place)
        ]
        done = int(progress.get("iteration", 0))
        kept = None if row.state in ACTIVE else row.changed + self.limits.job_days * 86_400
        return JobView(
            id=row.id,
            title=row.title,
            state=row.state,
            stopping=row.state in ACTIVE and row.wish == "stop",
            ahead=len(ahead) if waits else 0,
            wait_seconds=self._wait(ahead) if waits else None,
            iteration=done,
            iterations=row.iterations,
            iterations_per_second=progress.get("iterations_per_second"),
            loss=progress.get("loss"),
            base=progress.get("base"),
            seconds_left=progress.get("seconds_left"),
            message=row.message or progress.get("message"),
            can_resume=row.state not in ACTIVE and done < row.iterations,
            created=row.created,
            deleted_at=kept,
            folder=folder,
        )

    def _wait(self, ahead: list[Row]) -> float | None:
        """Seconds until these jobs are done or have had their turn, from the running one's speed.

        None while nothing runs long enough to know.
        """
        told = [read_json(self._supervisor.folders / row.id / PROGRESS) or {} for row in ahead]
        rates = [_rate(row, p) for row, p in zip(ahead, told, strict=True)]
        known = [rate for rate in rates if rate]
        if ahead and not known:
            return None
        turn, total = self.limits.turn_seconds or float("inf"), 0.0
        for row, progress in zip(ahead, told, strict=True):
            left = (row.iterations - int(progress.get("iteration", 0))) * row.work / known[0]
            total += min(turn, max(0.0, left))
        return round(total, 1)


def _rate(row: Row, progress: dict[str, Any]) -> float:
    """Work per second as measured on this job, 0 when it was not."""
    return row.work * (progress.get("iterations_per_second") or 0.0)


def _owner(key: str) -> str:
    """What is stored of a key: its SHA-256. BadInput for what cannot be a key."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise BadInput(NOT_YOURS)
    return hashlib.sha256(key.encode()).hexdigest()


def _check_target(png: bytes, grid: int, limits: Limits) -> None:
    """The picture comes from our own code; still, only a PNG of the right size gets in."""
    fits = (
        isinstance(png, bytes)
        and len(png) <= limits.upload_bytes
        and png.startswith(b"\x89PNG\r\n\x1a\n")
        and len(png) > 33
        and struct.unpack(">II", png[16:24]) == (grid, grid)
    )
    if not fits:
        raise BadInput("The target picture does not fit the settings; please choose it again.")


def _check_start(start: bytes | None, spec: JobSpec, limits: Limits) -> None:
    """Whoever's weights they are, only sound ones of the architecture asked for get in."""
    if (start is None) != (spec.base is None):
        raise BadInput("Please choose again which automaton to begin with.")
    if start is not None:
        from nca.checkpoint import weights_from_bytes  # torch takes seconds to import

        if weights_from_bytes(start, limits)[0].config != spec.nca:
            raise BadInput("A training that begins with a checkpoint keeps its architecture.")
