"""Train on the machines of a Ray cluster: one training per graphics card, or per two cores.

The cluster shares no disk with the server; its nodes have this package installed. A task takes the
files of a job's folder with it, runs the worker on them, and sends back what has changed, about
once a second; so the folder here is as if the worker ran here. When a node is lost, the queue goes
on with what came back before.

    NCA_GARDEN_EXECUTOR=ray RAY_ADDRESS=10.0.0.1:6379 nca serve
"""

from __future__ import annotations

import contextlib
import importlib
import tempfile
import threading
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from nca.config import BadInput
from nca.files import write_atomic
from nca.jobs.executor import LocalProcess
from nca.jobs.lock import FileLock
from nca.jobs.spec import LOCK, OWNER, STOP, Exit

CORES = 2  # of a training without a card
SEND_SECONDS = 1.0  # between two looks at what has changed
HERE = (LOCK, OWNER, STOP)  # files that stay where they are
Files = Mapping[str, bytes | None]  # by path; None for a file that is gone


class RayExecutor:
    """Runs trainings on a Ray cluster; see `nca.jobs.executor.Executor`.

    Args:
        address: of the cluster; None for what RAY_ADDRESS says, else a cluster of this machine.

    Raises:
        BadInput: Ray is not installed, or no cluster answers.
    """

    def __init__(self, address: str | None = None) -> None:
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError:
            raise BadInput(
                "NCA_GARDEN_EXECUTOR=ray needs Ray; please run pip install 'nca-garden[ray]'."
            ) from None
        try:
            if not self._ray.is_initialized():
                self._ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError):
            raise BadInput(
                "No Ray cluster answers; please start one with `ray start --head`, or correct "
                "RAY_ADDRESS."
            ) from None

    @property
    def slots(self) -> Mapping[str, int]:
        """One training per card, and one per two of the other cores; changes with the nodes."""
        there = self._ray.cluster_resources()
        cards, cores = int(there.get("GPU", 0)), int(there.get("CPU", 0)) // CORES
        return ({"cuda": cards} if cards else {}) | {"cpu": max(1, cores)}

    def start(self, folder: Path, device: str) -> RayTraining:
        """Start a task with the folder's files. See `Executor.start`."""
        wants = {"num_gpus": 1, "num_cpus": 1} if device == "cuda" else {"num_cpus": CORES}
        remote = self._ray.remote(max_retries=0, num_returns="streaming", **wants)(train_files)
        stop = self._ray.remote(num_cpus=0)(_Flag).remote()
        return RayTraining(self._ray, folder, device, remote, stop)

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()


class RayTraining:
    """A training on the cluster, followed by a thread of this process; see `Running`."""

    def __init__(self, ray: Any, folder: Path, device: str, remote: Any, flag: Any) -> None:
        self._ray, self._folder, self._flag = ray, folder, flag
        self._code: int | None = None
        self._killed = False
        self._lock = FileLock(folder / LOCK)
        until = time.monotonic() + 1  # `holder` takes it for a moment
        if not self._lock.acquire(lambda: time.monotonic() > until):
            raise OSError("another process uses the folder")
        try:
            self._stream = remote.remote(read_files(folder), device, flag)
        except BaseException:
            self._lock.release()
            raise
        self._thread = threading.Thread(target=self._follow, name="ray", daemon=True)
        self._thread.start()

    def poll(self) -> int | None:
        """None while it runs; then its exit code."""
        return None if self._thread.is_alive() else self._code

    def stop(self) -> None:
        """Let it save and end."""
        self._flag.request.remote()

    def kill(self) -> None:
        """End it without saving."""
        self._killed = True
        self._ray.cancel(self._stream, force=True)

    def _follow(self) -> None:
        """Put what the task sends into the folder until it ends."""
        code = int(Exit.LOST)
        try:
            for reference in self._stream:
                files, ended = self._ray.get(reference)
                if self._killed or not self._folder.is_dir():
                    break
                write_files(self._folder, files)
                code = int(Exit.LOST) if ended is None else ended
        except self._ray.exceptions.RayError:
            code = int(Exit.LOST)  # a node was lost, or the task was cancelled
        except OSError:
            code = int(Exit.DISK_FULL)
        finally:
            self._code = code
            self._lock.release()
            self._ray.kill(self._flag)


class _Flag:
    """A flag on the cluster that the server raises and a task reads."""

    def __init__(self) -> None:
        self._raised = False

    def request(self) -> None:
        self._raised = True

    def is_raised(self) -> bool:
        return self._raised


# ---------------------------------------------------------------------------- on a node


def train_files(files: Files, device: str, flag: Any) -> Generator[tuple[Files, int | None]]:
    """Train on a node; yields files that are new, changed or gone, and at last how it ended.

    Args:
        files: of the job's folder, by path.
        device: cpu or cuda.
        flag: a `_Flag` that asks the training to stop.
    """
    ray: Any = importlib.import_module("ray")
    with tempfile.TemporaryDirectory(prefix="nca-", ignore_cleanup_errors=True) as top:
        folder = Path(top) / "job"
        folder.mkdir()
        write_files(folder, files)
        sent = _stamps(folder)
        running = LocalProcess((device,)).start(folder, device)
        try:
            stopping, ended = False, None
            while ended is None:
                time.sleep(SEND_SECONDS)
                ended = running.poll()
                if not stopping and ray.get(flag.is_raised.remote()):
                    stopping = True
                    running.stop()
                now = _stamps(folder)
                changed = [name for name, stamp in now.items() if sent.get(name) != stamp]
                gone = dict.fromkeys(sent.keys() - now.keys())
                sent = now
                if changed or gone or ended is not None:
                    yield read_files(folder, changed) | gone, ended
        finally:
            running.kill()


def read_files(folder: Path, names: list[str] | None = None) -> dict[str, bytes | None]:
    """Files of a job's folder, by path; all of them when `names` is None."""
    found: dict[str, bytes | None] = {}
    for name in _stamps(folder) if names is None else names:
        with contextlib.suppress(FileNotFoundError):  # replaced or thinned out meanwhile
            found[name] = (folder / name).read_bytes()
    return found


def write_files(folder: Path, files: Files) -> None:
    """Put files into a job's folder; the resume file first, as a worker does."""
    for name in sorted(files, key=lambda name: (not name.startswith("resume"), name)):
        path, data = folder / name, files[name]
        if data is None:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, data)


def _stamps(folder: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for path in [*folder.glob("*"), *folder.glob("*/*")]:
        name = path.relative_to(folder).as_posix()
        if name in HERE or any(part.startswith(".") for part in name.split("/")):
            continue
        with contextlib.suppress(OSError):
            if path.is_file():
                found[name] = path.stat().st_mtime_ns
    return found
