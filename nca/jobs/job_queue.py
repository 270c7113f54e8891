"""What a visitor can do with jobs. Every call takes the visitor's key and checks it."""

from __future__ import annotations

import hmac
import secrets
import shutil
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nca.config import BadInput, Limits, checked
from nca.files import write_atomic
from nca.jobs.admission import check_fine, check_initial, check_target, explain, explained
from nca.jobs.executor import Executor, LocalProcess
from nca.jobs.health import Health, health
from nca.jobs.keys import NOT_YOURS, is_key, key_hash, new_key
from nca.jobs.lock import FileLock, LocksUnsupported
from nca.jobs.metrics import MetricsReader
from nca.jobs.progress import read_progress
from nca.jobs.recovery import open_store
from nca.jobs.spec import (
    INITIAL,
    LOCK,
    METRICS,
    OWNER,
    PICTURE,
    SHARPEN_ITERATIONS,
    SPEC,
    TARGET,
    JobSpec,
    is_disk_full,
    read_spec,
)
from nca.jobs.store import ACTIVE, Row
from nca.jobs.supervisor import Supervisor
from nca.jobs.views import JobView, Views

_READERS = 64  # metrics readers kept in memory


class _NonDecreasingClock:
    """A clock that stands still while the machine's is behind a time already recorded.

    Otherwise a job that ends while the machine's clock is behind would count as old, and be
    deleted, as soon as the clock is right again.
    """

    def __init__(self, clock: Callable[[], float], latest: float) -> None:
        self._clock, self._latest = clock, latest

    def __call__(self) -> float:
        self._latest = max(self._latest, self._clock())
        return self._latest


class JobQueue:
    """All jobs of one home, and the supervisor that runs them. Safe to use from any thread.

    A second process on the same home reads but does not write; it takes over when the first ends.

    Args:
        home: created when missing; on a local disk, with room for a database.
        limits: on the queue, turns and days.
        devices: what may train on this machine, the default first; found when None.
        clock: seconds since 1970.
        executor: where trainings run; this machine when None.
        ticks: seconds that never go back, for turns.
        thread: let the supervisor run by itself, see `Supervisor`.

    Raises:
        BadInput: `home` cannot hold a queue; the sentence names it.
    """

    def __init__(
        self,
        home: Path,
        limits: Limits | None = None,
        devices: Sequence[str] | None = None,
        clock: Callable[[], float] = time.time,
        executor: Executor | None = None,
        ticks: Callable[[], float] = time.monotonic,
        thread: bool = True,
    ) -> None:
        # Absolute, because workers get it, and the server may change its working folder.
        self.home, self.limits = Path(home).expanduser().absolute(), limits or Limits()
        executor = executor or LocalProcess(devices)
        self.devices = tuple(executor.slots)
        try:
            self._store = open_store(self.home)
            self._clock = _NonDecreasingClock(clock, self._store.latest())
            self._supervisor = Supervisor(
                self.home, self._store, self.limits, executor, self._clock, ticks, thread
            )
        except LocksUnsupported as error:
            raise BadInput(f"{error} NCA_GARDEN_HOME names it.") from error
        except (OSError, sqlite3.Error) as error:
            if is_disk_full(error):
                raise BadInput(f"The disk of {self.home} is full; please make room.") from error
            raise BadInput(
                f"No queue can be kept in {self.home} ({error}); please let NCA_GARDEN_HOME name "
                "a folder on a local disk that can be written."
            ) from error
        self._views = Views(self._supervisor.folders, self.limits, executor.slots, ticks)
        self._readers: OrderedDict[str, MetricsReader] = OrderedDict()
        self._readers_guard = threading.Lock()

    def look(self) -> float:
        """Do now what the supervisor's thread would do, where there is none; see `thread`.

        Returns:
            After how many seconds to look again.
        """
        return self._supervisor.look()

    def close(self, timeout: float = 10.0) -> None:
        """Let running jobs save and end; the next server continues them."""
        self._supervisor.close(timeout)
        self._store.close()

    @staticmethod
    def new_key() -> str:
        """A key for a new visitor, 128 bits as hex; it is stored nowhere here."""
        return new_key()

    # ------------------------------------------------------------------ changing

    def submit(
        self,
        key: str,
        spec: JobSpec,
        target_png: bytes,
        initial: bytes | None = None,
        picture: bytes | None = None,
    ) -> str:
        """Put a training at the end of the queue and return its id.

        Args:
            key: the visitor's.
            spec: what to train.
            target_png: its target, a PNG of `spec.target.grid` pixels in width and height, or
                as many of them as there are kinds, one below the other.
            initial: the initial weights, as `nca.checkpoint.weights_to_bytes` writes them; given
                if and only if `spec.initial` names their source.
            picture: the fine picture of what was uploaded or drawn, see `nca.jobs.spec.Target`.

        Raises:
            BadInput: the spec, the picture or the weights do not fit, the visitor has an active
                job, or the queue or the disk is full.
        """
        self._check_lead()
        owner = key_hash(key)
        self._admit(owner)
        spec = checked(JobSpec, spec.model_dump() if isinstance(spec, JobSpec) else spec)
        check_target(target_png, spec, self.limits)
        check_fine(picture, spec, self.limits)
        check_initial(initial, spec, self.limits)
        job_id, now = secrets.token_hex(16), self._clock()
        device = self._device(spec.device)
        folder = self._supervisor.folders / job_id
        try:
            folder.mkdir(mode=0o700)
            write_atomic(folder / SPEC, spec.model_dump_json(indent=1).encode())
            write_atomic(folder / TARGET, target_png)
            write_atomic(folder / OWNER, owner.encode())
            if picture is not None:
                write_atomic(folder / PICTURE, picture)
            if initial is not None:
                write_atomic(folder / INITIAL, initial)
            with self._store.transaction():
                self._admit(owner)  # again, because another job may be new
                self._store.add(
                    Row(
                        id=job_id,
                        owner=owner,
                        title=spec.title,
                        device=device,
                        state="queued",
                        position=self._store.next_position(),
                        work=spec.work,
                        iterations=spec.train.iterations,
                        created=now,
                        changed=now,
                    )
                )
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if plain := explain(error):
                raise BadInput(plain) from error
            raise
        self._supervisor.wake()
        return job_id

    def stop(self, key: str, job_id: str) -> None:
        """End a training after its current iteration; it can be resumed."""
        self._check_lead()
        with explained(), self._store.transaction():
            row = self._owned(key, job_id)
            if row.state == "queued":
                self._store.update(row.id, state="stopped", message=None, changed=self._clock())
            elif row.state in ACTIVE:
                self._store.update(row.id, requested="stop")
        self._supervisor.wake()

    def resume(self, key: str, job_id: str, iterations: int | None = None) -> None:
        """Continue a stopped or failed training, at the end of the queue.

        Args:
            key: the visitor's.
            job_id: one of the visitor's jobs; nothing happens when it runs or waits.
            iterations: a new total; a finished training goes on only with more than it had.
        """
        self._check_lead()
        with explained(), self._store.transaction():
            row = self._owned(key, job_id)
            if row.state in ACTIVE:
                if row.requested == "stop":  # still stopping: continue after that
                    self._store.update(row.id, requested="yield")
                return
            folder = self._supervisor.folders / row.id
            spec = read_spec(folder)
            total = spec.train.iterations if iterations is None else iterations
            done = read_progress(folder).iteration
            if total <= done:
                raise BadInput(f"It has done {done} iterations; ask for more to go on.")
            values = spec.model_dump()
            values["train"]["iterations"] = total
            self._queue_again(row, spec, values)
        self._supervisor.wake()

    def sharpen(self, key: str, job_id: str) -> None:
        """Fit the decoder of a finished training that has none; it waits in the queue like one.

        Raises:
            BadInput: it has not finished, or the queue does not take it.
        """
        self._check_lead()
        with explained(), self._store.transaction():
            row = self._owned(key, job_id)
            if row.state in ACTIVE:
                return
            folder = self._supervisor.folders / row.id
            spec = read_spec(folder)
            if read_progress(folder).iteration < spec.train.iterations:
                raise BadInput("It can be drawn fine when its training has finished.")
            sharpen = spec.sharpen or SHARPEN_ITERATIONS
            self._queue_again(row, spec, spec.model_dump() | {"sharpen": sharpen})
        self._supervisor.wake()

    def _queue_again(self, row: Row, spec: JobSpec, values: dict[str, Any]) -> None:
        """Put a job that is done at the end of the queue, with the values of its new spec."""
        self._admit(row.owner)
        new = checked(JobSpec, values)
        if new != spec:
            folder = self._supervisor.folders / row.id
            write_atomic(folder / SPEC, new.model_dump_json(indent=1).encode())
        self._store.update(
            row.id,
            state="queued",
            requested=None,
            crashes=0,
            turns=0,
            message=None,
            iterations=new.train.iterations,
            position=self._store.next_position(),
            changed=self._clock(),
        )

    def rename(self, key: str, job_id: str, title: str) -> None:
        """Give a training another title; its checkpoint and model card get it, too.

        A worker that is running writes it with its next save. Snapshots keep theirs.
        """
        self._check_lead()
        with explained():
            # Together, or a `resume` in between would lose its number of iterations.
            with self._store.transaction():
                row = self._owned(key, job_id)
                folder = self._supervisor.folders / row.id
                spec = checked(JobSpec, read_spec(folder).model_dump() | {"title": title})
                write_atomic(folder / SPEC, spec.model_dump_json(indent=1).encode())
                self._store.update(row.id, title=spec.title)
            lock = FileLock(folder / LOCK)
            if row.state not in ACTIVE and lock.acquire():
                from nca.checkpoint import retitle  # torch takes seconds to import

                try:
                    retitle(folder, spec.title, self.limits)
                finally:
                    lock.release()

    def delete(self, key: str, job_id: str) -> None:
        """Delete a job and all its files at once, even while it trains.

        On a full disk the files are deleted first, because the database needs room to write.
        """
        self._check_lead()
        row = self._owned(key, job_id)
        try:
            self._store.update(row.id, requested="delete")
        except sqlite3.Error as error:
            if not is_disk_full(error):
                with explained():
                    raise
            self._supervisor.end_worker(row.id)
            shutil.rmtree(self._supervisor.folders / row.id, ignore_errors=True)
            with explained():
                self._store.update(row.id, requested="delete")
        self._supervisor.wake()

    @contextmanager
    def lend(self, key: str, job_id: str, timeout: float = 60.0) -> Generator[Path]:
        """Give a queued or running training out of the queue's hands for a while.

        Within the context the caller may train in the folder, as often as it likes, by
        `nca.jobs.run.run_folder(folder, Stop(folder, seconds))`: nothing else trains there, and a
        visitor's Stop or Delete ends it through the stop file. Afterwards the queue goes on by
        itself: it records a training that finished, and continues any other.

        Args:
            key: the visitor's.
            job_id: one of the visitor's jobs.
            timeout: seconds that its worker may take to save and end first.

        Raises:
            BadInput: the job is not this visitor's or not active, or its worker does not end.
        """
        self._check_lead()
        with self._supervisor.lend(self._owned(key, job_id).id, timeout) as folder:
            yield folder

    # ------------------------------------------------------------------ looking

    def jobs(self, key: str) -> list[JobView]:
        """The visitor's jobs, newest first."""
        rows = [row for row in self._store.of(key_hash(key)) if row.requested != "delete"]
        queue = self._store.active()
        return [self._views.view(row, queue) for row in rows]

    def view(self, key: str, job_id: str) -> JobView:
        """One job; BadInput when it is not there or not this visitor's."""
        return self._views.view(self._owned(key, job_id), self._store.active())

    def spec(self, key: str, job_id: str) -> JobSpec:
        """The spec of one of the visitor's jobs."""
        return read_spec(self._supervisor.folders / self._owned(key, job_id).id)

    def metrics(self, key: str, job_id: str, points: int = 300) -> list[tuple[int, float]]:
        """(iteration, log10 loss), at most `points`; cheap enough for every tick of a page."""
        return self._reader(key, job_id).read(points)

    def kind_metrics(
        self, key: str, job_id: str, points: int = 60
    ) -> list[list[tuple[int, float]]]:
        """The same of every kind's own loss; empty for an automaton without kinds."""
        return self._reader(key, job_id).read_kinds(points)

    def _reader(self, key: str, job_id: str) -> MetricsReader:
        row = self._owned(key, job_id)
        with self._readers_guard:
            reader = self._readers.pop(row.id, None)
            reader = reader or MetricsReader(self._supervisor.folders / row.id / METRICS)
            self._readers[row.id] = reader
            while len(self._readers) > _READERS:
                self._readers.popitem(last=False)
        return reader

    def health(self) -> Health:
        """The state of the queue; answers within seconds even when nothing else does."""
        return health(self.home, self._store, self._supervisor)

    # ------------------------------------------------------------------ within

    def _owned(self, key: str, job_id: str) -> Row:
        """The job, if it is this visitor's; the same refusal whether it exists or not."""
        owner = key_hash(key)
        row = self._store.get(job_id) if is_key(job_id) else None  # an id has a key's form
        theirs = row.owner if row is not None else "0" * len(owner)
        if not hmac.compare_digest(owner, theirs) or row is None or row.requested == "delete":
            raise BadInput(NOT_YOURS)
        return row

    def _check_lead(self) -> None:
        if not self._supervisor.leads:
            raise BadInput(
                "Another server process looks after these jobs; use that one, or try again soon."
            )

    def _admit(self, owner: str) -> None:
        """Refuse when this visitor has an active job or the queue is full."""
        active = [row for row in self._store.active() if row.requested != "delete"]
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
