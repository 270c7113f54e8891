"""What a server does about a database that is damaged or lost: no training goes with it."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from pathlib import Path

from nca.config import BadInput
from nca.jobs.lock import FileLock
from nca.jobs.progress import read_progress
from nca.jobs.spec import OWNER, RESUME, SPEC, read_spec
from nca.jobs.store import Row, Store, is_damaged, move_aside
from nca.logs import job_logger

log = logging.getLogger(__name__)

DATABASE = "garden.sqlite3"
LEAD = "garden.lock"  # held by the server that supervises the home
REBUILT = "The server's list of trainings was damaged; press Resume to go on with this one."


def open_store(home: Path) -> Store:
    """The database; a damaged one is renamed, and a new one is filled from the folders.

    Raises:
        OSError, sqlite3.Error: it cannot be opened, or is damaged while another server uses it.
    """
    path = home / DATABASE
    try:
        return Store(path)
    except sqlite3.DatabaseError as error:
        lock = FileLock(home / LEAD)
        if not is_damaged(error) or not lock.acquire():
            raise
        try:
            aside = move_aside(path)
            log.error("%s is damaged (%s); it is now %s", path, error, aside.name)
            return Store(path)
        finally:
            lock.release()


def add_or_delete(store: Store, folder: Path, now: float) -> None:
    """Handle a folder without a row: either the row was never written, or the database is new.

    A training that has saved a resume file is never deleted.

    Args:
        store: the database.
        folder: of a job.
        now: seconds since 1970.
    """
    words = job_logger(log, folder.name)
    if not (folder / RESUME).exists():
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        spec, owner = read_spec(folder), (folder / OWNER).read_text(encoding="ascii")
    except (BadInput, OSError, ValueError):
        words.warning("the database does not know this training, and nothing says whose it is")
        return
    progress = read_progress(folder)
    finished = progress.iteration >= spec.train.iterations
    store.add(
        Row(
            id=folder.name,
            owner=owner,
            title=spec.title,
            device=(progress.device or "cpu").partition(":")[0],
            state="finished" if finished else "stopped",
            position=store.next_position(),
            work=spec.work,
            iterations=spec.train.iterations,
            created=(folder / SPEC).stat().st_mtime,
            changed=now,
            message=None if finished else REBUILT,
        )
    )
    words.warning("the database did not know this training; it is in it again")
