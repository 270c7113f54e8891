"""Locks that end with their process, so that a crash never leaves anything locked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

_BINARY = getattr(os, "O_BINARY", 0)  # Windows


class LocksUnsupported(OSError):
    """The file system has no locks, like some network drives; the message is one sentence."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"The disk of {path.parent} cannot lock files, as some network drives cannot; "
            "please choose a folder on a local disk."
        )

    def __str__(self) -> str:
        return self.args[0]


class FileLock:
    """An exclusive lock on a file, held by this process until `release` or its end.

    It uses `flock` on Unix and `LockFileEx` on Windows. Child processes that `subprocess` starts
    do not inherit it; one made by `os.fork` shares it until both have closed it.

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
        """Take the lock; while another process holds it, try again until `give_up()` is true.

        Args:
            give_up: called after each attempt that failed.
            every: seconds between two attempts.

        Returns:
            Whether this object holds the lock now.

        Raises:
            LocksUnsupported: the file system has no locks.
            OSError: the file cannot be made or opened.
        """
        while not self._try():
            if give_up():
                return False
            time.sleep(every)
        return True

    def _try(self) -> bool:
        if self.held:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
        try:
            if not _lock(handle, self.path):
                os.close(handle)
                return False
            _write_process(handle, b" %d\n" % os.getpid())
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            try:
                unlock_descriptor(handle)
            finally:
                os.close(handle)


def holder(path: Path) -> int | None:
    """The process that holds the lock at `path`: None when it is free, 0 when it is not known.

    Raises:
        LocksUnsupported: the file system has no locks.
    """
    try:
        handle = os.open(path, os.O_RDWR | _BINARY)
    except FileNotFoundError:
        return None
    try:
        if _lock(handle, path):
            unlock_descriptor(handle)
            return None
        os.lseek(handle, 1, os.SEEK_SET)
        text = os.read(handle, 20).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> bool:
    """Lock an open file; False when another process holds it."""
    try:
        return lock_descriptor(handle, blocking=False)
    except OSError as error:  # ENOLCK, ENOSYS, EOPNOTSUPP: only "would block" means held
        raise LocksUnsupported(path) from error


def _write_process(handle: int, text: bytes) -> None:
    """Write the holder after the first byte: on Windows, a locked byte cannot be read."""
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, text)
