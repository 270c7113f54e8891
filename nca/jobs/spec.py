"""What a job is on disk: its spec, its folder's files, its way of ending.

Server and worker share nothing but this folder, so anything that can run the worker on it can be
an executor. Only small things are imported here: a server asks for a job's state often.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import BaseModel, ConfigDict, Field

from nca.config import BadInput, InitialSource, NCAConfig, TargetConfig, Title, TrainConfig, checked

SPEC = "job.json"
TARGET = "target.png"
START = "start.safetensors"  # the weights a training begins with; only where `base` says so
METRICS = "metrics.jsonl"
PROGRESS = "progress.json"
RESULT = "result.json"
RESUME = "resume.safetensors"
LOG = "worker.log"
LOCK = "worker.lock"
STOP = "stop"
POOL, BATCH, PREVIEW = "pool.webp", "batch.webp", "preview.webp"
SNAPSHOTS = "snapshots"
HOME_NAME = "nca-garden"
DEVICE_LOCKS = ".locks"  # beside the job folders

FULL_DISK = "The garden's disk is full; what was saved before is kept."


class Exit(IntEnum):
    """How a worker process ends; the numbers of sysexits.h where one fits."""

    FINISHED = 0
    FAILED = 1
    BUSY = 69  # another process writes this folder
    DISK_FULL = 74
    PAUSED = 75  # it was asked to stop, saved, and can go on


class JobSpec(BaseModel):
    """All that a training needs besides its target picture and the weights it may begin with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nca: NCAConfig = NCAConfig()
    train: TrainConfig = TrainConfig()
    target: TargetConfig = TargetConfig()
    seed: int = Field(0, ge=0, lt=2**32)
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:[0-9])?)$")
    recipe: str | None = Field(None, max_length=40)
    title: Title = "automaton"
    base: InitialSource | None = None  # whose weights are in START

    @property
    def work(self) -> float:
        """Multiplications of one iteration, roughly: to guess how long it takes from another's."""
        widths = (self.nca.filters * self.nca.channels, *self.nca.hidden, self.nca.channels)
        cell = sum(a * b for a, b in zip(widths, widths[1:], strict=False))
        steps = (self.train.steps_min + self.train.steps_max) / 2
        return self.train.batch * steps * self.target.grid**2 * cell


def default_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the garden keeps its jobs: $NCA_GARDEN_HOME, else the platform's user data folder."""
    home = environ.get("NCA_GARDEN_HOME")
    return Path(home) if home else Path(platformdirs.user_data_dir(HOME_NAME, appauthor=False))


def read_spec(folder: Path) -> JobSpec:
    """The spec in a job's folder; BadInput when there is none that fits."""
    values = read_json(folder / SPEC)
    if values is None:
        raise BadInput(f"This folder holds no job: it has no readable {SPEC}.")
    return checked(JobSpec, values)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, None when the file is missing or holds something else."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def to_json(values: Mapping[str, Any]) -> bytes:
    """One compact line of JSON."""
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def snapshots(folder: Path) -> list[tuple[int, Path]]:
    """The weights kept along the way, (iteration, file), oldest first; `weights_from_bytes` reads.

    Empty for a folder that has none yet.
    """
    found = (folder / SNAPSHOTS).glob("[0-9]*.safetensors")
    return sorted((int(path.stem), path) for path in found if path.stem.isdecimal())


_KEPT = re.compile(
    r"PATH|HOME|USER|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|VIRTUAL_ENV"
    r"|SSL_CERT_\w+|XDG_\w+|(CUDA|NVIDIA|TORCH|PYTORCH|TRITON|OMP|MKL|KMP|GOMP|MALLOC|NCA)_\w+"
    r"|PYTHON(PATH|HOME|UNBUFFERED|WARNINGS|DONTWRITEBYTECODE|HASHSEED|FAULTHANDLER)"
)
_SECRET = re.compile(r"TOKEN|SECRET|KEY|PASS|OAUTH|CREDENTIAL", re.IGNORECASE)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a worker may know of the server's environment: what it needs to compute, no secrets.

    PYTHONPATH begins with where this package is, so that `python -P -m nca...` finds it anywhere.
    """
    # An allow-list, because a secret can hide behind any name; then the usual names once more.
    kept = {k: v for k, v in environ.items() if _KEPT.fullmatch(k) and not _SECRET.search(k)}
    paths = [str(Path(__file__).parents[2]), kept.get("PYTHONPATH", "")]
    return kept | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
