"""Runs the queue: one training per slot of the executor, by the rules of `nca.jobs.schedule`.

Exactly one server process supervises a home; the others wait to take over. After a crash of the
server, rows, locks and `result.json` hold all that the next one needs to continue.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from nca.config import BadInput, Limits
from nca.jobs.executor import Executor, Running, kill_worker
from nca.jobs.lock import FileLock, holder
from nca.jobs.progress import PROGRESS, RESULT, read_progress, read_result
from nca.jobs.recovery import LEAD, add_or_delete
from nca.jobs.schedule import Place, next_place, turn_is_over
from nca.jobs.spec import FULL_DISK, LOCK, STOP, Exit
from nca.jobs.store import ACTIVE, Row, Store
from nca.logs import job_logger

log = logging.getLogger(__name__)

TICK = 0.2  # seconds between two polls of a running worker
IDLE = 30.0  # seconds between two polls when there is none; new jobs wake the thread
STUCK_SECONDS = IDLE + 30.0  # a thread that has not polled for so long hangs
ORPHAN_SECONDS = 3.0  # how long a dead server's worker may go on saving
START_SECONDS = 300.0  # how long a worker may take to start before its turn counts anyway
STEADY_SECONDS = 600.0  # a crash after so long does not repeat the one before
BUSY_LIMIT = 5  # starts in a row that find another process in the folder, or lose their machine
ONCE_MORE = "The training process ended unexpectedly; it goes on from the last snapshot."
TAKEN = "Another process keeps this training's folder in use; end that process, then press Resume."
LOST = "The machine that it trained on was lost; it goes on from the last snapshot."
LOST_OFTEN = "Machine after machine was lost in this training; press Resume to try again."
MISSING = "The files of this training are gone; please delete it and start again."


@dataclass
class _Child:
    """A training that the executor runs for us."""

    job: str
    device: str
    running: Running
    started: float
    progress_before: int  # when the progress file was last written before its start, ns
    trains: float | None = None  # when training began
    stopping: float | None = None  # when it was asked to stop


class Supervisor:
    """Starts, ends and continues workers, in a thread of its own.

    Args:
        home: where the queue and the job folders are.
        store: the queue.
        limits: `turn_seconds` and `job_days`.
        executor: where trainings run.
        clock: seconds since 1970, for the rows.
        ticks: seconds that never go back, for turns.
        thread: run by itself; without, call `look` again and again, as a simulation does.
    """

    def __init__(
        self,
        home: Path,
        store: Store,
        limits: Limits,
        executor: Executor,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        thread: bool = True,
    ) -> None:
        self.folders = home / "jobs"
        self.folders.mkdir(parents=True, exist_ok=True)
        self._store, self._limits, self._clock = store, limits, clock
        self._executor, self._ticks = executor, ticks
        self._lock = FileLock(home / LEAD)
        self._children: dict[str, _Child] = {}  # by job
        self._lent: set[str] = set()  # jobs that somebody else trains for now, see `lend`
        self._orphans: dict[str, float] = {}  # by job: when the wait for its worker began
        self._busy: dict[str, int] = {}  # by job: starts in a row that ended BUSY or LOST
        self._new_in_a_row: Counter[str] = Counter()  # by device: turns that new jobs had
        self._wake, self._closing = threading.Event(), threading.Event()
        self._looked = time.monotonic()  # when the thread last polled
        self._lead()
        self._thread = threading.Thread(target=self._loop, name="garden", daemon=True)
        if thread:
            self._thread.start()

    @property
    def leads(self) -> bool:
        """Whether this process is the one that supervises this home."""
        return self._lock.held and not self._closing.is_set()

    @property
    def alive(self) -> bool:
        """Whether the thread still runs and polls."""
        return self._thread.is_alive() and time.monotonic() - self._looked < STUCK_SECONDS

    def works(self, job: str) -> bool:
        """Whether a worker process of this supervisor runs a job."""
        child = self._children.get(job)
        return job in self._lent or (child is not None and child.running.poll() is None)

    def wake(self) -> None:
        """Look at the queue now; rows have changed."""
        self._wake.set()

    def close(self, timeout: float = 10.0) -> None:
        """Let all workers save and end, and wait for them; the next server continues their jobs.

        A worker that needs longer goes on saving by itself, and the next server waits for it.
        """
        self._closing.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout + 5)
        until = time.monotonic() + timeout
        for child in self._children.values():
            child.running.stop()
        while self._children and time.monotonic() < until:
            with self._store.guard:
                self._poll()
            time.sleep(0.05)
        self._executor.close()
        self._lock.release()

    def end_worker(self, job: str) -> None:
        """Kill the worker of a job that is being deleted, and wait until it writes no more."""
        with self._store.guard:
            if (child := self._children.get(job)) is None:
                return
            child.running.kill()
            until = time.monotonic() + 10
            while child.running.poll() is None and time.monotonic() < until:
                time.sleep(0.02)

    @contextmanager
    def lend(self, job: str, timeout: float) -> Generator[Path]:
        """Let the caller train in a job's folder; see `JobQueue.lend`."""
        with self._store.guard:
            if job in self._lent:
                raise BadInput("This training already runs there.")
            self._lent.add(job)
        try:
            until = time.monotonic() + timeout
            while not self._hand_over(job):
                if time.monotonic() > until:
                    raise BadInput("This training takes long to save; please try again.")
                time.sleep(0.05)
            yield self.folders / job
        finally:
            with self._store.guard:
                self._lent.discard(job)
            self.wake()

    def _hand_over(self, job: str) -> bool:
        """Whether nothing of ours trains a lent job any more; a worker is asked to end."""
        with self._store.guard:
            row = self._store.get(job)  # none if it was deleted while this waited
            if row is None or row.state not in ACTIVE or row.requested in ("stop", "delete"):
                raise BadInput("This training does not run; please resume it first.")
            if job in self._children or not self._is_free(row):
                if row.requested is None:
                    self._store.update(job, requested="yield")
                    self.wake()
                return False
            for name in (RESULT, STOP):
                (self.folders / job / name).unlink(missing_ok=True)
            self._set(row, "running", None)
            return True

    def _loop(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            self._looked = time.monotonic()
            try:
                pause = self.look()
            except Exception:
                log.exception("the supervisor goes on after an error")
                pause = 2.0
            self._wake.wait(pause)

    def look(self) -> float:
        """Do all that is due now; returns after how many seconds to look again."""
        if not self._lead():
            return 1.0
        with self._store.guard:
            self._poll()
            self._delete_expired()
            self._start()
            self._store.keep_reserve()
            return TICK if self._children or self._orphans or self._lent else IDLE

    def _lead(self) -> bool:
        """Become the supervisor if no other process is, and take over what the last one left."""
        if self._lock.held:
            return True
        if not self._lock.acquire():
            return False
        with self._store.guard:
            for row in self._store.active():
                if row.state == "running":
                    self._set(
                        row, "interrupted", "The server was restarted; going on.", row.requested
                    )
            known = self._store.ids()
            for folder in self.folders.iterdir():
                if not folder.name.startswith(".") and folder.name not in known:
                    add_or_delete(self._store, folder, self._clock())
        return True

    def _set(self, row: Row, state: str, message: str | None, requested: str | None = None) -> None:
        now = self._clock()
        self._store.update(row.id, state=state, message=message, requested=requested, changed=now)
        job_logger(log, row.id).info("%s%s", state, f": {message}" if message else "")

    # ------------------------------------------------------------------ running workers

    def _poll(self) -> None:
        """Check every running worker: whether it has ended, and whether it must."""
        for child in list(self._children.values()):
            row = self._store.row(child.job)
            code = child.running.poll()
            if code is not None:
                del self._children[child.job]
                self._finish(row, code, self._ticks() - child.started)
                self.wake()
            elif row.requested is not None:
                self._end(child, row)
            elif self._turn_is_over(child, row):
                self._store.update(row.id, requested="yield")
        for job in self._lent:
            row = self._store.get(job)
            folder = self.folders / job
            if row and row.requested and job not in self._children and folder.is_dir():
                (folder / STOP).touch()

    def _turn_is_over(self, child: _Child, row: Row) -> bool:
        now, folder = self._ticks(), self.folders / row.id
        if child.trains is None and _written(folder / PROGRESS) != child.progress_before:
            child.trains = now
        # From the first progress on, so that every turn makes progress, however slow the start.
        since = child.started + START_SECONDS if child.trains is None else child.trains
        if self._limits.turn_seconds is None or now - since < self._limits.turn_seconds:
            return False
        waiting = [
            other.turns
            for other in self._store.active()
            if other.device == row.device
            and other.requested is None
            and other.id not in self._children
            and other.id not in self._lent
        ]
        left = read_progress(folder).seconds_left if waiting else None
        return turn_is_over(self._limits.turn_seconds, now - since, left, waiting)

    def _end(self, child: _Child, row: Row) -> None:
        """End a worker: by a request, or by force if its job is deleted or it takes too long."""
        now = self._ticks()
        if row.requested == "delete":
            child.running.kill()
        elif child.stopping is None:
            child.stopping = now
            child.running.stop()
        else:
            speed = read_progress(self.folders / row.id).iterations_per_second or 0.05
            if now - child.stopping > 30 + 3 / speed:
                child.running.kill()  # hung; the last resume file is complete

    def _finish(self, row: Row, code: int | None, seconds: float = 0.0) -> None:
        """A worker has ended: decide what becomes of the job. `code` is None after a restart."""
        result = read_result(self.folders / row.id)
        outcome, message = (result.outcome, result.message) if result else (None, None)
        again = code in (Exit.BUSY, Exit.LOST)
        before = 0 if code is None else self._busy.pop(row.id, 0)
        busy = before + 1 if again else 0
        if row.requested == "delete":
            return
        if outcome == "finished":
            self._set(row, "finished", message)
        elif outcome in ("failed", "disk_full") or code == Exit.DISK_FULL:
            self._set(row, "failed", message or FULL_DISK)
        elif row.requested == "stop":
            # After its last iteration only the decoder is missing, which Stop leaves out.
            done = read_progress(self.folders / row.id).iteration >= row.iterations
            self._set(row, "finished" if done else "stopped", message)
        elif row.requested == "yield":
            self._store.update(row.id, position=self._store.next_position())
            self._set(row, "queued", None)
        elif busy >= BUSY_LIMIT:
            self._set(row, "failed", TAKEN if code == Exit.BUSY else LOST_OFTEN)
        elif code is None or again or self._closing.is_set():
            if busy:
                self._busy[row.id] = busy
            self._set(row, "interrupted", LOST if code == Exit.LOST else row.message)
        elif row.crashes == 0 or seconds > STEADY_SECONDS:
            self._store.update(row.id, crashes=1)
            self._set(row, "interrupted", ONCE_MORE)
        else:
            self._set(row, "failed", _explain_exit(code))

    # ------------------------------------------------------------------ starting

    def _start(self) -> None:
        """Give every free slot to the job whose turn it is."""
        free = Counter(self._executor.slots)
        free.subtract(child.device for child in self._children.values())
        waiting: dict[str, list[Row]] = {}
        for row in self._store.active():
            if row.id in self._children or row.id in self._lent or row.requested == "delete":
                continue
            if row.device not in free:  # of another machine, or of a card that is gone
                row = replace(row, device=next(iter(self._executor.slots)))
                self._store.update(row.id, device=row.device)
            if row.state == "queued":
                waiting.setdefault(row.device, []).append(row)
            elif free[row.device] > 0:  # a worker has used its folder, and may still
                free[row.device] -= 1
                if self._is_free(row):
                    self._finish(row, None)
                    row = self._store.row(row.id)
                    if row.state == "interrupted":
                        self._spawn(row)
                    else:
                        self.wake()
        for device, rows in waiting.items():
            while rows and free[device] > 0:
                free[device] -= 1
                row = self._next(device, rows)
                rows.remove(row)
                self._spawn(row)

    def _next(self, device: str, rows: list[Row]) -> Row:
        """Whose turn it is of these, which all wait for the device."""
        if len(rows) > 1:
            places = [Place(row.id, row.position, row.turns, self._work_left(row)) for row in rows]
            chosen = next_place(places, self._new_in_a_row[device])
            row = next(row for row in rows if chosen and row.id == chosen.id)
        else:
            row = rows[0]
        self._new_in_a_row[device] = 0 if row.turns else self._new_in_a_row[device] + 1
        return row

    def _work_left(self, row: Row) -> float:
        return row.work_left(read_progress(self.folders / row.id).iteration)

    def _is_free(self, row: Row) -> bool:
        """Whether no process writes the job's folder; an orphaned worker gets time to save."""
        process = holder(self.folders / row.id / LOCK)
        if process is None:
            self._orphans.pop(row.id, None)
            return True
        since = self._orphans.setdefault(row.id, self._ticks())
        if self._ticks() - since > ORPHAN_SECONDS or row.requested == "delete":
            kill_worker(process)
        return False

    def _spawn(self, row: Row) -> None:
        folder = self.folders / row.id
        if not folder.is_dir():
            self._set(row, "failed", MISSING)
            return
        for name in (RESULT, STOP):
            (folder / name).unlink(missing_ok=True)
        before = _written(folder / PROGRESS)
        try:
            running = self._executor.start(folder, row.device)
        except OSError:
            job_logger(log, row.id).exception("its worker could not be started")
            self._set(row, "failed", "The training process could not be started.")
            return
        self._children[row.id] = _Child(row.id, row.device, running, self._ticks(), before)
        self._store.update(row.id, turns=row.turns + 1)
        self._set(row, "running", None)

    # ------------------------------------------------------------------ deleting

    def _delete_expired(self) -> None:
        """Delete what was requested and what is too old: first the folder, then the row."""
        for row in self._store.expired(self._clock() - self._limits.job_days * 86_400):
            if row.id in self._children or not self._is_free(row):
                continue
            folder = self.folders / row.id
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                self._store.remove(row.id)
                self._busy.pop(row.id, None)
                job_logger(log, row.id).info("deleted")


def _written(path: Path) -> int:
    """When a file was written, in nanoseconds; 0 when there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _explain_exit(code: int) -> str:
    """A sentence for a worker that could not write a result."""
    if code == -9:  # SIGKILL, which Windows has no name for
        return (
            "The training process was ended by the system twice, most likely because memory ran "
            "out; try a smaller batch, pool, grid or network. The last snapshot is kept."
        )
    return "The training process crashed twice; the last snapshot is kept."
