"""The training process: `python -m nca.jobs.worker FOLDER`.

It writes only to its folder and the device locks beside it. SIGTERM, SIGINT, a file named `stop` or
the end of its parent end it after the current iteration, with everything saved. How it ended is in
`result.json` and in the exit code (`nca.jobs.spec.Exit`).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path

from nca.jobs.run import Stop, run_folder
from nca.jobs.spec import DEVICE_LOCKS, Exit
from nca.logs import set_up_logging

NICENESS = 10  # the page goes first, also on two shared cores
ORPHAN_GRACE = 120.0  # seconds an orphan may take for its last iteration before it is ended
PR_SET_PDEATHSIG = 1
LOG_BYTES = 1_000_000


def main(arguments: list[str] | None = None) -> int:
    """Run the training in a folder and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m nca.jobs.worker", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder with job.json and target.png")
    parser.add_argument("--parent", type=int, help="process to end with (the one that started it)")
    parser.add_argument("--device", help="where to train, instead of what job.json says")
    parser.add_argument(
        "--no-device-lock", action="store_true", help="the caller gives no device to two trainings"
    )
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    locks = None if options.no_device_lock else folder.parent / DEVICE_LOCKS

    stop = Stop(folder)
    signal.signal(signal.SIGTERM, stop.request)
    signal.signal(signal.SIGINT, stop.request)
    _lower_priority()
    _follow(options.parent or os.getppid(), stop)
    set_up_logging()
    return run_folder(
        folder,
        stop,
        device=options.device,
        device_lock=lambda name: locks and locks / f"{name}.lock",
        on_iteration=_bound_log,
        keep_lock=True,
    )


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
    # Not sys.exit, which ends with 120 when a full disk does not take the last line of the log.
    os._exit(main())
