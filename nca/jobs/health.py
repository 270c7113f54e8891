"""Whether the queue is well."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nca.jobs.store import Row, Store
from nca.jobs.supervisor import Supervisor

SPARE_BYTES = 20_000_000  # free disk that a training needs to save its files
DATABASE_SECONDS = 2.0  # how long the database may take to answer


@dataclass(frozen=True)
class Health:
    """The state of the queue and of its supervisor.

    Attributes:
        status: ok; standby while another server process leads; disk_full; or failing when the
            database or the supervisor does not answer.
        queue_length: trainings that run or wait, None when the database does not answer.
        worker_alive: whether every running training has its process; None when none runs.
        free_disk_bytes: on the disk of the home; None when unknown.
    """

    status: Literal["ok", "standby", "disk_full", "failing"]
    queue_length: int | None
    worker_alive: bool | None
    free_disk_bytes: int | None


def health(home: Path, store: Store, supervisor: Supervisor) -> Health:
    """Look; answers within seconds even when nothing else does."""
    try:
        free = shutil.disk_usage(home).free
    except OSError:
        free = None
    rows, alive = _active_soon(store), None
    if rows is not None and (running := [row for row in rows if row.state == "running"]):
        alive = all(supervisor.works(row.id) for row in running)
    if rows is None or free is None or not supervisor.alive:
        status = "failing"
    elif not supervisor.leads:
        status, alive = "standby", None
    else:
        status = "disk_full" if free < SPARE_BYTES else "ok"
    return Health(status, None if rows is None else len(rows), alive, free)


def _active_soon(store: Store) -> list[Row] | None:
    """The active rows; None when the database does not answer soon."""
    if not store.guard.acquire(timeout=DATABASE_SECONDS):
        return None
    try:
        return store.active()
    except sqlite3.Error:
        return None
    finally:
        store.guard.release()
