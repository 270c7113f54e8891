"""What a worker reports to the server, through two JSON files in the job's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from nca.files import write_atomic

PROGRESS = "progress.json"
RESULT = "result.json"


class _Report(BaseModel):
    # Unknown fields are ignored: a folder may come from a later or an earlier version.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


_R = TypeVar("_R", bound=_Report)


class Progress(_Report):
    """How far a training is; rewritten about once a second.

    Attributes:
        iteration: updates done.
        iterations: updates requested.
        iterations_per_second: smoothed; 0 before the first.
        loss: of the last iteration; None before the first.
        seconds_left: None before the first iteration.
        message: a sentence for the owner, or None.
        initial: title of the checkpoint it began with; None for a new automaton.
        seconds: of training so far, all runs together.
        device: its name in torch.
        threads: number of CPU threads.
        sharpening: how much of the decoder is fitted, 0 to 1; None before and after that.
    """

    iteration: int = Field(default=0, ge=0)
    iterations: int | None = None
    iterations_per_second: float = 0.0
    loss: float | None = None
    seconds_left: float | None = None
    message: str | None = None
    initial: str | None = Field(default=None, validation_alias=AliasChoices("initial", "base"))
    seconds: float = 0.0
    device: str | None = None
    threads: int | None = None
    sharpening: float | None = Field(default=None, ge=0, le=1)


class Result(_Report):
    """How a worker ended.

    Attributes:
        outcome: the name of its exit code, in small letters.
        message: a sentence for the owner, or None.
    """

    outcome: Literal["finished", "failed", "busy", "disk_full", "paused"]
    message: str | None = None


def read_progress(folder: Path) -> Progress:
    """The progress in a job's folder; the defaults when there is none."""
    return _read(Progress, folder / PROGRESS) or Progress()


def read_result(folder: Path) -> Result | None:
    """The result in a job's folder; None when there is no readable one."""
    return _read(Result, folder / RESULT)


def write_progress(folder: Path, progress: Progress) -> None:
    """Replace the progress of a job."""
    write_atomic(folder / PROGRESS, progress.model_dump_json().encode() + b"\n")


def write_result(folder: Path, result: Result) -> None:
    """Replace the result of a job."""
    write_atomic(folder / RESULT, result.model_dump_json().encode() + b"\n")


def _read(model: type[_R], path: Path) -> _R | None:
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
