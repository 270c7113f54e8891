"""Runs beside the worker on one of Hugging Face's machines, where `nca.jobs.hub_job` starts it.

It trains in a folder, prints its progress, and keeps the folder's copy in a private repository on
the Hub up to date, so that a job that is cancelled or lost can go on from there. The worker process
knows neither the repository nor the token.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path

from nca.config import BadInput
from nca.hub import Hub, Unreachable
from nca.hub import jobs as hub_jobs
from nca.jobs.executor import LocalProcess, find_devices
from nca.jobs.progress import read_progress
from nca.jobs.spec import LOCK, METRICS, OWNER, RESUME, STOP, Exit
from nca.logs import set_up_logging
from nca.metrics import parse_line

CODE = "code.zip"  # this package, in the repository
PRINT_SECONDS = 2.0  # between two lines of progress
LINES_AT_ONCE = 50  # of metrics; all of them come with the files in the end
SAVE_SECONDS = 240.0  # between two copies in the repository, while it trains
PATIENCE = 1800.0  # how long the Hub may be out of reach at the end
MARK = "nca-garden "  # begins a line for the program that follows the log
KEPT_HERE = (CODE, LOCK, STOP, OWNER)


class Mirror:
    """Copies a folder's changed files into a repository, one commit each time.

    Args:
        hub: the Hub.
        repo: `user/name`.
        folder: of the job.
        token: that may write there.
    """

    def __init__(self, hub: Hub, repo: str, folder: Path, token: str) -> None:
        self._hub, self._repo, self._folder, self._token = hub, repo, folder, token
        self._sent = self._stamps()  # what came from there

    def send(self, message: str) -> None:
        """Send what has changed; BadInput when the Hub does not take it."""
        stamps = self._stamps()
        changed = [name for name, stamp in stamps.items() if self._sent.get(name) != stamp]
        files: dict[str, bytes] = {}
        for name in changed:
            try:
                files[name] = (self._folder / name).read_bytes()
            except FileNotFoundError:  # a snapshot that made room for another
                continue
        if files:
            hub_jobs.send(self._hub, self._repo, files, token=self._token, message=message)
            self._sent.update((name, stamps[name]) for name in files)

    def _stamps(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for path in [*self._folder.glob("*"), *self._folder.glob("*/*")]:
            name = path.relative_to(self._folder).as_posix()
            hidden = any(part.startswith(".") for part in name.split("/"))
            if not hidden and name not in KEPT_HERE and path.is_file():
                found[name] = path.stat().st_mtime_ns
        return found


def main(folder: Path, repo: str, environ: MutableMapping[str, str] = os.environ) -> int:
    """Train in a folder and keep its repository up to date; returns the worker's exit code.

    Args:
        folder: as it was fetched from the repository.
        repo: `user/name`.
        environ: holds HF_TOKEN, which is taken out of it.
    """
    token = environ.pop("HF_TOKEN")
    set_up_logging()
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    save_seconds = float(environ.get("NCA_SAVE_SECONDS") or SAVE_SECONDS)
    mirror = Mirror(Hub(), repo, folder, token)
    devices = find_devices()
    running = LocalProcess(devices).start(folder, devices[0])
    printed, printer, saved, stopping = 0.0, _ProgressPrinter(folder), time.monotonic(), False
    while (code := running.poll()) is None:
        now = time.monotonic()
        if asked and not stopping:
            stopping = True
            running.stop()
        if now - printed >= PRINT_SECONDS:
            printed = now
            printer.write()
        if now - saved >= save_seconds and not stopping and (folder / RESUME).exists():
            try:
                mirror.send("While it trains")
            except BadInput as problem:
                print(problem, flush=True)
            saved = time.monotonic()
        time.sleep(0.2)
    printer.write()
    _send_at_last(mirror)
    return 0 if code in (Exit.FINISHED, Exit.PAUSED) else 1


class _ProgressPrinter:
    """Prints progress and new metrics as lines that `read_line` understands."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._last = folder, read_progress(folder).iteration

    def write(self) -> None:
        try:
            lines = (self._folder / METRICS).read_bytes().splitlines(True)
        except FileNotFoundError:
            lines = []
        found = [m for line in lines if (m := parse_line(line)) and m.iteration > self._last]
        self._last = found[-1].iteration if found else self._last
        about = {
            "progress": read_progress(self._folder).model_dump(),
            "metrics": [m.to_line().decode() for m in found[-LINES_AT_ONCE:]],
        }
        print(MARK + json.dumps(about, separators=(",", ":")), flush=True)


def _send_at_last(mirror: Mirror) -> None:
    """Send the end of the training, however long the Hub needs to take it."""
    until, pause = time.monotonic() + PATIENCE, 5.0
    while True:
        try:
            return mirror.send("As it ended")
        except BadInput as problem:
            print(problem, flush=True)
            if not isinstance(problem, Unreachable) or time.monotonic() > until:
                return
        time.sleep(pause)
        pause = min(60.0, 2 * pause)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
