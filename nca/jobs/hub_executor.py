"""Hugging Face Jobs as an executor: for sweeps, whose price has been agreed to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nca.config import BadInput
from nca.hub import Hub
from nca.jobs.hub_job import HubTraining
from nca.jobs.progress import Result, write_result
from nca.jobs.spec import TARGET, Exit, is_disk_full, read_initial, read_spec

log = logging.getLogger(__name__)

DEVICE = "jobs"


class HubExecutor:
    """Runs each training as a job on Hugging Face Jobs; see `nca.jobs.executor.Executor`.

    Args:
        hub: the Hub.
        flavor: the hardware.
        seconds: of hardware for each training, at most.
        at_once: how many trainings at a time.
        on_notice: called with sentences that the user should read, in another thread.
        options: further ones of `HubTraining`.
    """

    def __init__(
        self,
        hub: Hub,
        flavor: str,
        seconds: float,
        at_once: int = 1,
        on_notice: Callable[[str], object] = lambda sentence: None,
        **options: Any,
    ) -> None:
        self.slots: Mapping[str, int] = {DEVICE: at_once}
        self._hub, self._flavor, self._seconds = hub, flavor, seconds
        self._options: dict[str, Any] = {"on_notice": on_notice, **options}

    def start(self, folder: Path, device: str) -> HubRunning:
        """Start or follow the job of a folder. See `Executor.start`."""
        stop = threading.Event()
        training = HubTraining(folder, self._hub, stop=stop.is_set, **self._options)
        return HubRunning(training, self._flavor, self._seconds, stop)

    def close(self) -> None:
        """Nothing is held between trainings."""


class HubRunning:
    """A job, followed by a thread of this process; see `Running`."""

    def __init__(
        self, training: HubTraining, flavor: str, seconds: float, stop: threading.Event
    ) -> None:
        self._training, self._flavor, self._seconds = training, flavor, seconds
        self._stop, self._code = stop, int(Exit.FAILED)
        self._thread = threading.Thread(target=self._follow, name="hub-job", daemon=True)
        self._thread.start()

    def poll(self) -> int | None:
        """None while it runs; then its exit code."""
        return None if self._thread.is_alive() else self._code

    def stop(self) -> None:
        """Cancel the job and fetch what it has saved."""
        self._stop.set()

    def kill(self) -> None:
        """The same: a job can only be cancelled."""
        self._stop.set()

    def _follow(self) -> None:
        folder = self._training.folder
        try:
            done = self._training.run(
                read_spec(folder), (folder / TARGET).read_bytes(), read_initial(folder),
                self._flavor, self._seconds, lambda offer: True,
            )  # fmt: skip
            self._code = int(Exit.FINISHED if done else Exit.PAUSED)
        except BadInput as problem:
            write_result(folder, Result(outcome="failed", message=str(problem)))
        except OSError as problem:  # of the folder here; what was trained is on the Hub
            log.warning("The files of a job could not be written: %s", problem)
            self._code = int(Exit.DISK_FULL if is_disk_full(problem) else Exit.FAILED)
