"""The queue: one row per job in SQLite. Only the supervisor's process writes it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nca.files import write_atomic
from nca.jobs.spec import is_disk_full

State = Literal["queued", "running", "finished", "stopped", "failed", "interrupted"]
Request = Literal["stop", "yield", "delete"]
ACTIVE = ("queued", "running", "interrupted")
RESERVE_BYTES = 256 * 1024

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL, device TEXT NOT NULL,
  state TEXT NOT NULL, requested TEXT, position INTEGER NOT NULL, work REAL NOT NULL,
  iterations INTEGER NOT NULL, crashes INTEGER NOT NULL, created REAL NOT NULL,
  changed REAL NOT NULL, message TEXT, turns INTEGER NOT NULL DEFAULT 0
) STRICT
"""
_INDEXED = ("owner", "state", "position", "changed", "requested")
_FORMER_COLUMNS = {"wish": "requested", "place": "position"}  # of earlier versions


@dataclass(frozen=True)
class Row:
    """A job's row in the queue.

    Attributes:
        id: unguessable; also the folder's name.
        owner: SHA-256 of the visitor's key, hex.
        title: for display.
        device: the queue it waits in.
        state: one of `State`.
        requested: what to do with it when its worker has ended; None when nothing is.
        position: order in the queue; a smaller one goes first.
        work: cost of one iteration, see `JobSpec.work`.
        iterations: updates requested.
        crashes: how often in a row its worker ended without a result.
        created: seconds since 1970.
        changed: when its state changed last.
        message: a sentence about the state.
        turns: how often it was started since it was submitted or resumed.
    """

    id: str
    owner: str
    title: str
    device: str
    state: State
    position: int
    work: float
    iterations: int
    created: float
    changed: float
    requested: Request | None = None
    crashes: int = 0
    message: str | None = None
    turns: int = 0

    def work_left(self, done: int) -> float:
        """What is left after `done` iterations, in multiplications; see `JobSpec.work`."""
        return max(0, self.iterations - done) * self.work


def is_damaged(error: BaseException) -> bool:
    """Whether an error says that the file holds no database, or one with broken pages."""
    return type(error) is sqlite3.DatabaseError


def is_locked(error: BaseException) -> bool:
    """Whether an error says that another program keeps the database locked."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def move_aside(path: Path) -> Path:
    """Rename a damaged database and its -wal and -shm files; returns the new path."""
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    for end in ("", "-wal", "-shm"):
        part = path.with_name(path.name + end)
        if part.exists():
            part.replace(aside.with_name(aside.name + end))
    return aside


class Store:
    """The table of jobs.

    `with store.guard:` keeps other threads out; `with store.transaction():` also makes the
    writes atomic.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it.

        Raises:
            sqlite3.Error: it is damaged (`is_damaged`) or cannot be used.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.guard = threading.RLock()
        self._reserve = path.with_name("reserve")
        self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        try:
            self._prepare()
        except sqlite3.Error:
            self._db.close()
            raise
        self.keep_reserve()

    def keep_reserve(self) -> None:
        """Reserve room for the updates that must succeed on a full disk, if there is any."""
        if self._reserve.exists():
            return
        try:
            if shutil.disk_usage(self._reserve.parent).free > 8 * RESERVE_BYTES:
                write_atomic(self._reserve, os.urandom(RESERVE_BYTES))  # not compressible
        except OSError:
            pass

    def _free_reserve(self) -> bool:
        """Free the reserved room; False when there was none."""
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    def _prepare(self) -> None:
        if (found := self._db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(_TABLE)
        self._upgrade_columns()
        for column in _INDEXED:  # a busy garden keeps a hundred thousand finished jobs
            self._db.execute(f"CREATE INDEX IF NOT EXISTS jobs_{column} ON jobs ({column})")

    def _upgrade_columns(self) -> None:
        """Rename and add columns in a table of an earlier version."""
        if not self._columns() & _FORMER_COLUMNS.keys() and "turns" in self._columns():
            return
        with self.transaction():
            if "turns" not in self._columns():
                self._db.execute("ALTER TABLE jobs ADD COLUMN turns INTEGER NOT NULL DEFAULT 0")
            for former in self._columns() & _FORMER_COLUMNS.keys():
                name = _FORMER_COLUMNS[former]
                self._db.execute(f"ALTER TABLE jobs RENAME COLUMN {former} TO {name}")

    def _columns(self) -> set[str]:
        return {row["name"] for row in self._db.execute("PRAGMA table_info(jobs)")}

    @contextmanager
    def transaction(self) -> Generator[None]:
        """An atomic transaction that keeps other threads out; may be nested."""
        with self.guard:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite ends it by itself after some errors
                    self._db.execute("ROLLBACK")
                raise

    def add(self, row: Row) -> None:
        """Add a job."""
        values = vars(row)
        names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        with self.guard:
            self._db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", values)

    def update(self, job_id: str, **values: Any) -> None:
        """Change columns of a job."""
        changes = ", ".join(f"{name} = :{name}" for name in values)
        sql = f"UPDATE jobs SET {changes} WHERE id = :job"
        with self.guard:
            try:
                self._db.execute(sql, values | {"job": job_id})
            except sqlite3.Error as error:
                # The end of a job must be recorded even when the disk is full.
                if self._db.in_transaction or not is_disk_full(error) or not self._free_reserve():
                    raise
                self._db.execute(sql, values | {"job": job_id})

    def remove(self, job_id: str) -> None:
        """Delete a job's row."""
        with self.guard:
            self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def get(self, job_id: str) -> Row | None:
        """One job, None when there is none with this id."""
        return next(iter(self._select("id = ?", job_id)), None)

    def row(self, job_id: str) -> Row:
        """One job that must exist; KeyError when it does not."""
        if (row := self.get(job_id)) is None:
            raise KeyError(job_id)
        return row

    def of(self, owner: str) -> list[Row]:
        """All jobs of a visitor, newest first."""
        return sorted(self._select("owner = ?", owner), key=lambda row: -row.created)

    def active(self) -> list[Row]:
        """All jobs that run or wait, in their order."""
        return self._select("state IN (?, ?, ?)", *ACTIVE)

    def expired(self, before: float) -> list[Row]:
        """Jobs to delete: on request, or done and unchanged since `before`."""
        return self._select(
            "requested = 'delete' OR (changed < ? AND state NOT IN (?, ?, ?))", before, *ACTIVE
        )

    def latest(self) -> float:
        """When any state changed last, seconds since 1970; 0 without jobs."""
        with self.guard:
            return self._db.execute("SELECT coalesce(max(changed), 0) FROM jobs").fetchone()[0]

    def ids(self) -> set[str]:
        """The ids of all jobs."""
        with self.guard:
            return {row[0] for row in self._db.execute("SELECT id FROM jobs")}

    def next_position(self) -> int:
        """The position at the end of the queue."""
        with self.guard:
            return self._db.execute("SELECT coalesce(max(position), 0) + 1 FROM jobs").fetchone()[0]

    def _select(self, where: str, *values: Any) -> list[Row]:
        with self.guard:
            rows = self._db.execute(f"SELECT * FROM jobs WHERE {where} ORDER BY position", values)
            return [Row(**dict(row)) for row in rows]

    def close(self) -> None:
        """Close the file."""
        with self.guard:
            self._db.close()
