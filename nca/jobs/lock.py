"""Locks that die with their holder, so that a crash never leaves anything locked."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path


class FileLock:
    """An exclusive lock on a file, held by this process until `release` or its end.

    The holder's process id is written into the file, which stays when the lock is released.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._handle is not None

    def acquire(self, give_up: Callable[[], bool] = lambda: True, every: float = 0.1) -> bool:
        """Take the lock, trying again until `give_up()` says so; False when another keeps it."""
        while not self._try():
            if give_up():
                return False
            time.sleep(every)
        return True

    def _try(self) -> bool:
        if self.held:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        os.ftruncate(handle, 0)
        os.pwrite(handle, b"%d\n" % os.getpid(), 0)
        self._handle = handle
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def holder(path: Path) -> int | None:
    """The process that holds the lock at `path`: None when it is free, 0 when nobody can tell."""
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(handle, 20, 0).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(handle)
    return None
