"""The training process: `python -m nca.jobs.worker FOLDER`.

It touches only its folder and the device locks beside it. Asked to stop (SIGTERM, SIGINT, a file
named `stop`) or left by its parent, it ends after the current iteration, with everything saved.
How it ended is in `result.json` and in the exit code (`nca.jobs.spec.Exit`).
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import signal
import stat
import sys
import threading
import time
import traceback
from pathlib import Path

from nca.config import BadInput
from nca.files import write_atomic
from nca.jobs.lock import FileLock
from nca.jobs.spec import FULL_DISK, LOCK, RESULT, STOP, Exit, read_spec, to_json

NICENESS = 10  # the page goes first, also on two shared cores
LAST_WILL = 120.0  # seconds an orphan may take for its last iteration before it just ends
PR_SET_PDEATHSIG = 1
LOG_BYTES = 1_000_000


class Stop:
    """Whether this process was asked to stop. Calling it is cheap enough for every iteration."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / STOP
        self._asked = threading.Event()

    def ask(self, *_: object) -> None:
        """Ask for it; also a signal handler."""
        self._asked.set()

    def __call__(self) -> bool:
        """True as soon as a signal, the stop file or the parent's end asked for it."""
        return self._asked.is_set() or self._file.exists()


def main(arguments: list[str] | None = None) -> int:
    """Run the training in a folder and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m nca.jobs.worker", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder with job.json and target.png")
    parser.add_argument("--parent", type=int, help="process to end with (the one that started it)")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()

    stop = Stop(folder)
    signal.signal(signal.SIGTERM, stop.ask)
    signal.signal(signal.SIGINT, stop.ask)
    _be_modest()
    _follow(options.parent or os.getppid(), stop)
    lock = FileLock(folder / LOCK)
    # Patient for a second, because whoever asks who holds a lock holds it for a moment.
    until = time.monotonic() + 1
    if not folder.is_dir() or not lock.acquire(lambda: time.monotonic() > until):
        print("This folder is missing or another process trains in it.", file=sys.stderr)
        return Exit.BUSY
    (folder / RESULT).unlink(missing_ok=True)
    for leftover in [*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")]:
        leftover.unlink(missing_ok=True)  # of a writer that was killed

    code, message = _train(folder, stop)
    try:
        result = {"outcome": code.name.lower(), "message": message}
        write_atomic(folder / RESULT, to_json(result))
    except OSError:
        traceback.print_exc()
        code = Exit.DISK_FULL
    return code


def _train(folder: Path, stop: Stop) -> tuple[Exit, str | None]:
    """Train, and say in a sentence what went wrong if something did."""
    try:
        spec = read_spec(folder)
        # Here, because torch takes seconds to import and a stop should count from the start.
        from nca.jobs.training import Training
        from nca.trainer import Diverged
    except BadInput as error:
        return Exit.FAILED, str(error)
    try:
        finished = Training(folder, spec, stop, on_report=lambda _: _bound_log()).run()
        return (Exit.FINISHED if finished else Exit.PAUSED), None
    except (BadInput, Diverged) as error:
        return Exit.FAILED, str(error)
    except Exception as error:
        traceback.print_exc()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return Exit.DISK_FULL, FULL_DISK
        text = str(error).lower()
        if isinstance(error, MemoryError) or "out of memory" in text or "enough memory" in text:
            return Exit.FAILED, OUT_OF_MEMORY
        return Exit.FAILED, "Training stopped because of an error; the last snapshot is kept."


OUT_OF_MEMORY = "Memory ran out; try a smaller batch, pool, grid or network."


def _bound_log() -> None:
    """Start the log again when a library has filled it; it was opened for appending."""
    log = os.fstat(2)
    if stat.S_ISREG(log.st_mode) and log.st_size > LOG_BYTES:
        os.ftruncate(2, 0)


def _be_modest() -> None:
    """Let the page go first, and if memory runs out, let it be this process that ends."""
    os.nice(max(0, NICENESS - os.nice(0)))
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        pass  # not Linux, or not allowed: the system decides


def _follow(parent: int, stop: Stop) -> None:
    """Ask to stop when the parent ends: at once by the kernel on Linux, else within a second."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        stop.ask()
        time.sleep(LAST_WILL)
        os._exit(Exit.FAILED)  # hung, and nobody is left to end it; its files are atomic

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
