"""The training process: `python -m nca.jobs.worker FOLDER`.

It writes only to its folder and the device locks beside it. SIGTERM, SIGINT, a file named `stop` or
the end of its parent end it after the current iteration, with everything saved. How it ended is in
`result.json` and in the exit code (`nca.jobs.spec.Exit`).
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path

from nca.config import BadInput
from nca.jobs.lock import FileLock, LocksUnsupported
from nca.jobs.progress import RESULT, Result, write_result
from nca.jobs.spec import DEVICE_LOCKS, FULL_DISK, LOCK, STOP, Exit, is_disk_full, read_spec
from nca.logs import job_logger, set_up_logging

log = logging.getLogger(__name__)

NICENESS = 10  # the page goes first, also on two shared cores
ORPHAN_GRACE = 120.0  # seconds an orphan may take for its last iteration before it is ended
PR_SET_PDEATHSIG = 1
LOG_BYTES = 1_000_000


class Stop:
    """Whether this process is to stop. Calling it is cheap enough for every iteration."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / STOP
        self._requested = threading.Event()

    def request(self, *_: object) -> None:
        """Request a stop; also a signal handler."""
        self._requested.set()

    def __call__(self) -> bool:
        """True as soon as a signal, the stop file or the parent's end requested it."""
        return self._requested.is_set() or self._file.exists()


def main(arguments: list[str] | None = None) -> int:
    """Run the training in a folder and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m nca.jobs.worker", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder with job.json and target.png")
    parser.add_argument("--parent", type=int, help="process to end with (the one that started it)")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()

    stop = Stop(folder)
    signal.signal(signal.SIGTERM, stop.request)
    signal.signal(signal.SIGINT, stop.request)
    _lower_priority()
    _follow(options.parent or os.getppid(), stop)
    set_up_logging()
    words = job_logger(log, folder.name)
    if not folder.is_dir():
        words.error("the job's folder is missing")
        return Exit.BUSY
    lock = FileLock(folder / LOCK)
    # Try for a second, because `holder` takes the lock for a moment.
    until = time.monotonic() + 1
    try:
        if not lock.acquire(lambda: time.monotonic() > until):
            words.error("another process trains in this folder")
            return Exit.BUSY
    except LocksUnsupported as error:
        write_result(folder, Result(outcome="failed", message=str(error)))
        return Exit.FAILED
    (folder / RESULT).unlink(missing_ok=True)
    for leftover in [*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")]:
        leftover.unlink(missing_ok=True)  # of a writer that was killed

    code, message = _train(folder, stop)
    words.info("ended: %s%s", code.name.lower(), f", {message}" if message else "")
    try:
        outcome = code.name.lower()
        write_result(folder, Result.model_validate({"outcome": outcome, "message": message}))
    except OSError:
        words.exception("the result could not be written")
        code = Exit.DISK_FULL
    return code


def _train(folder: Path, stop: Stop) -> tuple[Exit, str | None]:
    """Train; returns the exit code, and a sentence if something went wrong."""
    try:
        spec = read_spec(folder)
        # Imported here: torch takes seconds, and a stop must be noticed from the start.
        from nca.jobs.training import Training
        from nca.trainer import Diverged
    except BadInput as error:
        return Exit.FAILED, str(error)
    try:
        finished = Training(
            folder,
            spec,
            stop,
            on_report=lambda _: _bound_log(),
            device_lock=lambda name: folder.parent / DEVICE_LOCKS / f"{name}.lock",
        ).run()
        return (Exit.FINISHED if finished else Exit.PAUSED), None
    except (BadInput, Diverged) as error:
        return Exit.FAILED, str(error)
    except Exception as error:
        job_logger(log, folder.name).exception("training ended with an error")
        if is_disk_full(error):
            return Exit.DISK_FULL, FULL_DISK
        text = str(error).lower()
        if isinstance(error, MemoryError) or "out of memory" in text or "enough memory" in text:
            return Exit.FAILED, OUT_OF_MEMORY
        return Exit.FAILED, "Training stopped because of an error; the last snapshot is kept."


OUT_OF_MEMORY = "Memory ran out; try a smaller batch, pool, grid or network."


def _bound_log() -> None:
    """Empty the log when a library has filled it; this works because it is open for appending."""
    status = os.fstat(2)
    if stat.S_ISREG(status.st_mode) and status.st_size > LOG_BYTES:
        os.ftruncate(2, 0)


def _lower_priority() -> None:
    """Let the page go first, and let the system end this process first if memory runs out."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(max(0, NICENESS - os.nice(0)))
    try:
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    except OSError:
        pass  # not Linux, or not allowed: the system decides


def _follow(parent: int, stop: Stop) -> None:
    """Stop when the parent ends: at once by the kernel on Linux, else within a second.

    On Windows a process keeps its parent's number, so there the next server ends the worker.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        stop.request()
        time.sleep(ORPHAN_GRACE)
        os._exit(Exit.FAILED)  # hung, and nobody is left to end it; its files are atomic

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
