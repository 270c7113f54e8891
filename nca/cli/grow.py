"""`python -m nca grow`."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from tqdm import tqdm

from nca.cli.arguments import check_file_out, text
from nca.cli.checkpoints import HELP, find_checkpoint
from nca.config import BadInput, Limits, checked

# Those of `nca.damage_shapes`, which takes seconds to import.
DAMAGES = (
    "half-left", "half-right", "half-top", "half-bottom", "centre", "circle", "stroke", "hole",
    "cut", "limb", "scatter", "swipe", "swipes", "scrub", "hold",
)  # fmt: skip
FORMATS = {".gif": "gif", ".webp": "webp", ".apng": "apng", ".png": "apng", ".mp4": "mp4"}


class Film(BaseModel):
    """What to grow and how to film it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(default=200, ge=0, le=1_000_000)
    seed: int = Field(default=0, ge=0, lt=2**32)
    kind: int = Field(default=1, ge=1, le=255)
    size: int | None = Field(default=None, ge=3, le=256)
    angle: float = 0.0
    samples: int = Field(default=1, ge=1, le=16)
    every: int = Field(default=1, ge=1, le=1_000_000)
    fps: int = Field(default=25, ge=1, le=60)
    scale: int = Field(default=4, ge=1, le=16)

    @property
    def frames(self) -> int:
        """How many there are; the last step is always one."""
        return math.ceil(self.steps / self.every) + 1


def add_commands(commands: Any) -> None:
    """Add `grow` to the command line; `commands` is what `add_subparsers` returned."""
    grow = commands.add_parser("grow", help="grow a checkpoint and save the film")
    made = Film()
    grow.add_argument("checkpoint", type=text, help=HELP)
    grow.add_argument("--steps", type=int, default=made.steps, help=f"{made.steps} if not given")
    grow.add_argument(
        "--damage",
        action="append",
        default=[],
        metavar="SHAPE@STEP",
        help=f"such as half-left@100; may be repeated. Shapes: {', '.join(DAMAGES)}",
    )
    grow.add_argument("--seed", type=int, default=made.seed, help="of fire mask and random damage")
    grow.add_argument("--kind", type=int, default=made.kind, help="of the seed, if it has kinds")
    grow.add_argument("--size", type=int, help="side of the grid; as trained when not given")
    grow.add_argument("--angle", type=float, default=made.angle, help="degrees cells are turned by")
    grow.add_argument("--samples", type=int, default=made.samples, help="lives, side by side")
    grow.add_argument(
        "--every", type=int, default=made.every, help="steps per frame; the last is always drawn"
    )
    grow.add_argument(
        "--fps", type=int, default=made.fps, help=f"frames per second, {made.fps} if not given"
    )
    grow.add_argument("--scale", type=int, default=made.scale, help="pixels per cell")
    grow.add_argument(
        "--cells", action="store_true", help="draw every cell as a square, decoder or not"
    )
    grow.add_argument("--out", type=Path, required=True, help=f"ends in {' '.join(FORMATS)}")
    grow.set_defaults(run=_grow)


def _grow(options: argparse.Namespace) -> int:
    import torch

    from nca.checkpoint import load_checkpoint
    from nca.damage_shapes import damage
    from nca.render import fitting_scale, save_animation, to_rgba8

    limits = Limits()
    film = checked(Film, {name: getattr(options, name) for name in Film.model_fields})
    damages = sorted(_damage(text, film.steps) for text in options.damage)
    _check_out(options.out, film, limits)
    checkpoint = load_checkpoint(find_checkpoint(options.checkpoint).folder, limits)
    nca, angle = checkpoint.nca, math.radians(film.angle)
    x = nca.seed(film.samples, film.size or checkpoint.size, film.kind)
    fine = checkpoint.decoder is not None and not options.cells
    scale = fitting_scale(film.frames * x[..., 0].numel(), film.scale) if fine else 1
    frames = []
    with tqdm(total=film.steps, unit="step", desc="Growing", dynamic_ncols=True) as bar:
        for t in range(film.steps + 1):
            for step, shape in damages:
                if step == t:
                    x = damage(x, shape, seed=film.seed + step)
            if t % film.every == 0 or t == film.steps:
                drawn = checkpoint.draw(x, scale, angle) if fine else x[..., :4]
                side_by_side = torch.cat(tuple(drawn), dim=1)
                frames.append(torch.from_numpy(to_rgba8(side_by_side)) if fine else side_by_side)
            if t < film.steps:
                x = nca.grow(x, 1, film.seed, t0=t, angle=angle)
                bar.update()
    save_animation(torch.stack(frames), options.out, fps=film.fps, scale=1 if fine else film.scale)
    print(f"Saved {len(frames)} frame{'s' * (len(frames) != 1)} in {options.out}.")
    return 0


def _check_out(out: Path, film: Film, limits: Limits) -> None:
    """Refuse an output that could not be saved after growing; raises BadInput."""
    from nca.render import check_animation

    kind, frames = FORMATS.get(out.suffix.lower()), film.frames
    if kind is None:
        raise BadInput(f"Please let --out end in one of {' '.join(FORMATS)}.")
    if frames > limits.export_frames:
        raise BadInput(
            f"A film has at most {limits.export_frames} frames; please choose fewer --steps "
            "or a larger --every."
        )
    check_animation(frames, kind, fps=film.fps, scale=film.scale, limits=limits)
    check_file_out(out)


def _damage(text: str, steps: int) -> tuple[int, str]:
    """Parse `half-left@100` into (100, "half-left")."""
    from nca.damage_shapes import check_shape

    shape, at, step = text.partition("@")
    if not at or not re.fullmatch("[0-9]{1,7}", step) or int(step) > steps:
        raise BadInput(
            f"Please write --damage as SHAPE@STEP, with a step from 0 to {steps}; not {text!r}."
        )
    check_shape(shape)
    return int(step), shape
