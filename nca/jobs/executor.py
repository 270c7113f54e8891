"""Where a training runs: what every executor offers, and the one that uses this machine.

The job's folder is the contract: whatever can run `nca.jobs.run.run_folder` on a folder can train.
The supervisor decides what runs when; an executor only starts, polls, stops and kills.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from nca.config import BadInput
from nca.jobs.environment import clean_environment
from nca.jobs.spec import LOG, STOP
from nca.jobs.threads import VARIABLES, thread_count


class Running(Protocol):
    """A training that an executor has started. It alone writes the folder until `poll` answers."""

    def poll(self) -> int | None:
        """None while it runs; then how it ended, an `nca.jobs.spec.Exit` or any other number."""
        ...

    def stop(self) -> None:
        """Let it save and end; returns at once."""
        ...

    def kill(self) -> None:
        """End it without saving; returns at once, and `poll` soon says that it has ended."""
        ...


class Executor(Protocol):
    """Starts trainings. The supervisor calls all of it from one thread."""

    @property
    def slots(self) -> Mapping[str, int]:
        """How many trainings may run at once on each device, the default device first.

        A device is a name that visitors choose by, such as "cpu"; each has a queue of its own.
        """
        ...

    def start(self, folder: Path, device: str) -> Running:
        """Start or continue the training in a folder.

        Args:
            folder: a job's folder, on the disk of this process. What the training writes is
                there when `poll` answers, and appears there meanwhile.
            device: one of `slots`.

        Raises:
            OSError: it cannot be started.
        """
        ...

    def close(self) -> None:
        """Give back what the executor holds; called when no training runs any more."""
        ...


def find_devices(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The devices that a worker process on this machine can use, the best first.

    On ZeroGPU torch claims a card in the server, but a process that it starts has none.
    """
    import torch

    has_card = torch.cuda.is_available() and not environ.get("SPACES_ZERO_GPU")
    return ("cuda", "cpu") if has_card else ("cpu",)


def executor_named(name: str) -> Executor:
    """The executor that NCA_GARDEN_EXECUTOR names.

    Raises:
        BadInput: there is none of this name, or it cannot be used here.
    """
    if name == "local":
        return LocalProcess()
    if name == "ray":
        from nca.jobs.ray_executor import RayExecutor

        return RayExecutor()
    raise BadInput("Please let NCA_GARDEN_EXECUTOR be local or ray.")


class LocalProcess:
    """Runs trainings as processes of this machine, by default one for each device.

    Args:
        devices: what may train here, the default first; found when None.
        at_once: how many may train on a device; they share its cores and do not wait for each
            other's turn.
    """

    def __init__(self, devices: Sequence[str] | None = None, at_once: int = 1) -> None:
        self.slots: Mapping[str, int] = dict.fromkeys(devices or find_devices(), at_once)
        self._options: list[str] = []
        self._environment: dict[str, str] = {}
        if at_once > 1:
            self._options = ["--no-device-lock"]
            threads = str(max(1, thread_count() // at_once))
            self._environment = dict.fromkeys(VARIABLES, threads)

    def start(self, folder: Path, device: str) -> Worker:
        """Start a worker process; it ends with this process. See `Executor.start`."""
        # -P: nothing is imported from the working folder. That folder stays the server's, so that
        # relative paths in the environment mean the same to the worker.
        command = [sys.executable, "-P", "-m", "nca.jobs.worker", str(folder)]
        with (folder / LOG).open("ab") as log_file:
            process = subprocess.Popen(
                [*command, "--parent", str(os.getpid()), *self._options],
                env=clean_environment(os.environ) | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                # Ctrl-C in a terminal is for the server only.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        return Worker(folder, process)

    def close(self) -> None:
        """Nothing is held between trainings."""


class Worker:
    """A worker process of this machine; see `Running`."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self._folder, self._process = folder, process

    def poll(self) -> int | None:
        """Its exit code, negative after a signal; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Let it save and end."""
        if sys.platform == "win32":  # where `terminate` would end it at once
            (self._folder / STOP).touch()
        else:
            self._process.terminate()

    def kill(self) -> None:
        """End it without saving."""
        self._process.kill()


def kill_worker(process: int) -> None:
    """Kill a worker that another server started, but no other process that has its id now."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        command = b"" if Path("/proc/self").exists() else b"nca.jobs.worker"
    if process > 1 and b"nca.jobs.worker" in command:
        try:
            os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))
        except OSError:  # it has just ended
            pass
