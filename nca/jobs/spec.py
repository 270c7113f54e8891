"""A job on disk: its spec, the files in its folder, and its exit codes.

Server and worker share nothing but this folder, so anything that can run the worker on it can be
an executor. Only small modules are imported here, so that a job's state can be read without torch.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from nca.config import (
    TITLE_LENGTH,
    BadInput,
    InitialSource,
    Limits,
    NCAConfig,
    SharpenConfig,
    TargetConfig,
    Title,
    TrainConfig,
    checked,
)
from nca.metrics import METRICS as METRICS
from nca.recipes import Recipe
from nca.recipes import recipe as recipe_named
from nca.wording import no_such_setting

if TYPE_CHECKING:  # they import torch
    from nca.jobs.initial import InitialCheckpoint
    from nca.target import Picture

SPEC = "job.json"
OWNER = "owner"  # the hash of its visitor's key, for when the database is lost
TARGET = "target.png"
PICTURE = "picture.png"  # the fine picture of an upload or a drawing; as `nca.picture` names it
INITIAL = "initial.safetensors"  # the initial checkpoint's weights; only where `initial` is set
FORMER_INITIAL = "start.safetensors"  # its name in folders of earlier versions
RESUME = "resume.safetensors"
LOG = "worker.log"
LOCK = "worker.lock"
STOP = "stop"
POOL, BATCH, PREVIEW = "pool.webp", "batch.webp", "preview.webp"
HEALING, GROWTH = "healing.webp", "growth.webp"
FINE = "fine.webp"  # how the decoder draws it so far; only while it is fitted
SNAPSHOTS = "snapshots"
HOME_NAME = "nca-garden"
DEVICE_LOCKS = ".locks"  # beside the job folders of a queue

SHARPEN_ITERATIONS = SharpenConfig().iterations
FULL_DISK = "The disk is full; please delete something. What was saved before is kept."


class Exit(IntEnum):
    """How a worker process ends; a number from sysexits.h where one fits."""

    FINISHED = 0
    FAILED = 1
    BUSY = 69  # another process writes this folder
    LOST = 71  # the machine that it ran on is gone; said by an executor, not by a worker
    DISK_FULL = 74
    PAUSED = 75  # it was asked to stop, saved, and can be resumed


@dataclass(frozen=True)
class Target:
    """The target of a training.

    Attributes:
        config: how it was made.
        png: the target, `config.grid` pixels wide and high, as `nca.target.target_to_png`
            writes it.
        title: of the training, for display.
        pictures: how many there are, one for each kind; below one another in `png`.
        picture: the fine picture of uploads or drawings, as `nca.picture.picture_to_png` writes
            it, where it was asked for; that of emoji can be drawn at any time.
    """

    config: TargetConfig
    png: bytes
    title: str
    pictures: int = 1
    picture: bytes | None = None

    @classmethod
    def make(
        cls,
        config: TargetConfig | Mapping[str, Any],
        picture: Picture | list[Picture] | None = None,
        title: str | None = None,
        limits: Limits | None = None,
        fine: bool = False,
    ) -> Target:
        """Draw the emoji of `config`, or fit `picture` to the grid.

        Args:
            config: size, padding, and the emoji where there is no picture.
            picture: bytes, a path or a drawing, see `nca.target.image_target`; or a list of such.
            title: the emoji, or "Picture", when None or empty; cut if it is too long.
            limits: of uploads.
            fine: also make the fine picture of `picture`, for the training's decoder.

        Raises:
            BadInput: the config or the picture cannot be used.
        """
        from nca.picture import make_picture, picture_to_png  # torch takes seconds to import
        from nca.target import decode_picture, make_target, target_to_png

        if not isinstance(config, TargetConfig):
            config = checked(TargetConfig, config)
        kept = None
        if fine and config.kind == "image" and picture is not None:
            read = partial(decode_picture, crop=config.crop, limits=limits)
            if isinstance(picture, list):
                picture = [read(one) for one in picture]
            else:
                picture = read(picture)
            size = (config.grid, config.grid)
            kept = picture_to_png(make_picture(config, picture, limits), size, limits)
        target = make_target(config, picture, limits)
        emoji = "".join((config.emoji or "", *config.more))
        count = len(target) if target.ndim == 4 else 1
        title = (title or emoji or "Picture")[:TITLE_LENGTH]
        return cls(config, target_to_png(target), title, count, kept)


class JobSpec(BaseModel):
    """All that a training needs besides its target picture and its initial weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nca: NCAConfig = NCAConfig()
    train: TrainConfig = TrainConfig()
    target: TargetConfig = TargetConfig()
    seed: int = Field(0, ge=0, lt=2**32)
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:[0-9])?)$",
        description="auto, cpu, cuda, or a card by its number, such as cuda:0; mps runs on the CPU",
    )
    recipe: str | None = Field(None, max_length=40)
    title: Title = "automaton"
    sharpen: int = Field(
        SHARPEN_ITERATIONS,
        ge=0,
        le=100_000,
        description="iterations of fitting a decoder at the end, which draws it finer than its "
        "cells; more for several kinds; 0 for none",
    )
    initial: InitialSource | None = Field(  # whose weights are in INITIAL
        None, validation_alias=AliasChoices("initial", "base")
    )

    @classmethod
    def from_recipe(
        cls,
        recipe: str | Recipe,
        target: Target,
        *,
        seed: int = 0,
        device: str = "auto",
        initial: InitialCheckpoint | None = None,
        changes: Mapping[str, Any] | None = None,
        sharpen: int = SHARPEN_ITERATIONS,
    ) -> JobSpec:
        """The training of a recipe on a target.

        Args:
            recipe: the recipe or its name.
            target: the target; it gives the title.
            seed: of all random draws, those of random initial weights included.
            device: auto, cpu, cuda or cuda:N.
            initial: the initial checkpoint; its architecture replaces the recipe's. Where it has
                kinds, the training has one for each picture.
            changes: settings that replace the recipe's, by their names in `NCAConfig` and
                `TrainConfig`.
            sharpen: iterations of fitting a decoder at the end; 0 for none.

        Raises:
            BadInput: a setting is unknown, out of range, or would change the architecture of the
                initial checkpoint, or there is not one picture for each kind.
        """
        base = recipe if isinstance(recipe, Recipe) else recipe_named(recipe)
        changes = dict(changes or {})
        known = NCAConfig.model_fields.keys() | TrainConfig.model_fields.keys()
        for name in changes.keys() - known:
            raise BadInput(no_such_setting(name, known))
        train = {name: changes.pop(name) for name in TrainConfig.model_fields if name in changes}
        nca = initial.nca if initial else base.nca
        if initial and nca.kinds:
            nca = nca.model_copy(update={"kinds": target.pictures})
        own = nca
        if not initial and (nca.kinds or target.pictures > 1):
            changes.setdefault("kinds", target.pictures)
        spec = checked(
            cls,
            {
                "nca": checked(NCAConfig, nca.model_dump() | changes),
                "train": checked(TrainConfig, base.train.model_dump() | train),
                "target": target.config,
                "seed": seed,
                "device": device,
                "recipe": base.name,
                "title": target.title,
                "sharpen": sharpen,
                "initial": initial and initial.source,
            },
        )
        if initial and spec.nca != own:
            raise BadInput(
                f"{initial.source.title} keeps its architecture when it is trained further; "
                f"please leave out {', '.join(changes)}."
            )
        if max(1, spec.nca.kinds) != target.pictures:
            raise BadInput(
                f"The automaton has {spec.nca.kinds or 'no'} kinds and there "
                f"{'is 1 picture' if target.pictures == 1 else f'are {target.pictures} pictures'}; "
                "please give one picture for each kind."
            )
        spec.train.check_kinds(spec.nca.kinds)
        return spec

    @property
    def work(self) -> float:
        """Multiplications per iteration, roughly, to estimate its time from another job's."""
        channels = self.nca.rule_channels
        widths = (self.nca.filters * channels, *self.nca.hidden, channels)
        cell = sum(a * b for a, b in zip(widths, widths[1:], strict=False))
        steps = (self.train.steps_min + self.train.steps_max) / 2
        return self.train.batch * steps * self.target.grid**2 * cell


def default_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the garden keeps its jobs: $NCA_GARDEN_HOME, else the platform's user data folder.

    The path is absolute, because it is handed to processes that run elsewhere.

    Raises:
        BadInput: the variable is not set and the user has no home folder, or it begins with a `~`
            that stands for no folder.
    """
    given = environ.get("NCA_GARDEN_HOME")
    try:
        path = Path(given or platformdirs.user_data_dir(HOME_NAME, appauthor=False)).expanduser()
    except RuntimeError:  # `~` without a home
        path = Path("~")
    if str(path).startswith("~"):
        what = f"NCA_GARDEN_HOME={given}" if given else "The folder for jobs"
        raise BadInput(
            f"{what} needs a home folder, and this user has none; please set NCA_GARDEN_HOME to "
            "the full path of a folder that can be written."
        )
    return path.absolute()


def state_folder() -> Path | None:
    """The user's folder for locks and the like; None for a user without a home folder."""
    path = Path(platformdirs.user_state_dir(HOME_NAME, appauthor=False))
    return path if path.is_absolute() else None


def is_disk_full(error: BaseException) -> bool:
    """Whether an error of a file or of SQLite means that the disk is full."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    if isinstance(error, sqlite3.Error):
        # The primary code. SQLite reports an I/O error when its shared memory cannot grow.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
    return False


def read_initial(folder: Path) -> bytes | None:
    """The initial weights in a job's folder, a safetensors file; None where there are none."""
    for name in (INITIAL, FORMER_INITIAL):
        try:
            return (folder / name).read_bytes()
        except FileNotFoundError:
            continue
    return None


def read_spec(folder: Path) -> JobSpec:
    """The spec in a job's folder; BadInput when there is no valid one."""
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
    """The snapshots of a training, (iteration, file), oldest first; `weights_from_bytes` reads one.

    Empty for a folder that has none yet.
    """
    files = (folder / SNAPSHOTS).glob("[0-9]*.safetensors")
    return sorted((int(path.stem), path) for path in files if path.stem.isdecimal())


def snapshot_pictures(folder: Path, iteration: int) -> tuple[Path, Path, Path]:
    """The paths of a snapshot's pictures: the pool, the batch, and four states of its growth.

    Snapshots of earlier versions have no such files.
    """
    stem = folder / SNAPSHOTS / f"{iteration:07d}"
    pool, batch, growth = (stem.with_name(f"{stem.name}.{end}") for end in (POOL, BATCH, GROWTH))
    return pool, batch, growth
