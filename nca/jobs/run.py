"""Run the training in a job's folder, in the calling process, as every executor does in the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from nca.config import BadInput
from nca.jobs.lock import FileLock, LocksUnsupported
from nca.jobs.progress import RESULT, Result, write_result
from nca.jobs.spec import FULL_DISK, LOCK, STOP, Exit, is_disk_full, read_spec
from nca.logs import job_logger

log = logging.getLogger(__name__)

OUT_OF_MEMORY = "Memory ran out; try a smaller batch, pool, grid or network."


class Stop:
    """Whether a training is to stop. Calling it is cheap enough for every iteration.

    Args:
        folder: of the job; a file named `stop` in it is a request too.
        seconds: request it by itself after so long, counted from now; None for never.
    """

    def __init__(self, folder: Path, seconds: float | None = None) -> None:
        self._file = folder / STOP
        self._requested = threading.Event()
        self._until = float("inf") if seconds is None else time.monotonic() + seconds

    def request(self, *_: object) -> None:
        """Request a stop; also a signal handler."""
        self._requested.set()

    def __call__(self) -> bool:
        """True as soon as `request`, the file or the time requested it."""
        late = time.monotonic() >= self._until
        return late or self._requested.is_set() or self._file.exists()


def run_folder(
    folder: Path,
    stop: Callable[[], bool],
    *,
    device: str | None = None,
    device_lock: Callable[[str], Path | None] = lambda name: None,
    on_iteration: Callable[[], object] = lambda: None,
    keep_lock: bool = False,
    sharpens: bool = True,
) -> Exit:
    """Train in a folder until the training is finished or `stop` is true; everything is saved.

    Called again and again with a `stop` that ends each call after some seconds, it gives on the
    CPU the same weights, bit for bit, as one call without. How it ended is also in `result.json`.

    Args:
        folder: holds job.json and target.png; all else is written here.
        stop: called before every iteration; True saves and ends.
        device: where to train, as torch names it; None for what the spec says.
        device_lock: the lock file of a device, from its name; None, the default, trains without.
            One training at a time holds it: for executors that give no device to two trainings,
            it is of no use.
        on_iteration: called after every iteration.
        keep_lock: keep the folder locked until this process ends, so that no other process can
            train in it before this one is gone.
        sharpens: False leaves fitting the decoder, which needs no graphics card, to another call.

    Returns:
        FINISHED, PAUSED when `stop` ended it or the decoder is left, BUSY when another process
        trains in the folder, DISK_FULL, or FAILED; a sentence in `result.json` says why.
    """
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
    try:
        (folder / RESULT).unlink(missing_ok=True)
        for leftover in [*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")]:
            leftover.unlink(missing_ok=True)  # of a writer that was killed
        code, message = _train(folder, stop, device, device_lock, on_iteration, sharpens)
        words.info("ended: %s%s", code.name.lower(), f", {message}" if message else "")
        try:
            outcome = code.name.lower()
            write_result(folder, Result.model_validate({"outcome": outcome, "message": message}))
        except OSError:
            words.exception("the result could not be written")
            code = Exit.DISK_FULL
        return code
    finally:
        if not keep_lock:
            lock.release()


def _train(
    folder: Path,
    stop: Callable[[], bool],
    device: str | None,
    device_lock: Callable[[str], Path | None],
    on_iteration: Callable[[], object],
    sharpens: bool,
) -> tuple[Exit, str | None]:
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
            on_report=lambda _: on_iteration(),
            device_lock=device_lock,
            device=device,
            on_sharpen=lambda _: on_iteration(),
            sharpens=sharpens,
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
