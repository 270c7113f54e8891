"""`python -m nca grow`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nca.config import BadInput, Limits

FORMATS = (".gif", ".webp", ".apng", ".png", ".mp4")


def add_commands(commands: Any) -> None:
    """Add `grow` to the command line; `commands` is what `add_subparsers` returned."""
    grow = commands.add_parser("grow", help="grow a checkpoint and save the film")
    grow.add_argument("checkpoint", type=Path, help="a checkpoint folder")
    grow.add_argument("--steps", type=int, default=200)
    grow.add_argument(
        "--damage", action="append", default=[], metavar="SHAPE@STEP", help="half-left@100"
    )
    grow.add_argument("--seed", type=int, default=0, help="of the fire mask and random damage")
    grow.add_argument("--size", type=int, help="side of the grid; as trained when not given")
    grow.add_argument("--angle", type=float, default=0.0, help="degrees the cells are turned by")
    grow.add_argument("--samples", type=int, default=1, help="lives, side by side")
    grow.add_argument("--every", type=int, default=1, help="steps per frame")
    grow.add_argument("--fps", type=int, default=25)
    grow.add_argument("--scale", type=int, default=4, help="pixels per cell")
    grow.add_argument("--out", type=Path, required=True, help="ends in .gif .webp .apng or .mp4")
    grow.set_defaults(run=_grow)


def _grow(options: argparse.Namespace) -> int:
    import math

    import torch

    from nca.checkpoint import load_checkpoint
    from nca.damage_shapes import damage
    from nca.render import save_animation

    limits = Limits()
    wounds = sorted(_wound(text, options.steps) for text in options.damage)
    frames = options.steps // max(1, options.every) + 1
    if options.out.suffix.lower() not in FORMATS:
        raise BadInput(f"Please let --out end in one of {' '.join(FORMATS)}.")
    if options.steps < 0 or options.every < 1 or frames > limits.export_frames:
        raise BadInput(
            f"A film has at most {limits.export_frames} frames; please choose fewer --steps "
            "or a larger --every."
        )
    if not 1 <= options.samples <= 16 or not 3 <= (options.size or 3) <= 256:
        raise BadInput("Please choose 1 to 16 --samples and a --size from 3 to 256.")
    checkpoint = load_checkpoint(options.checkpoint, limits)
    nca, angle = checkpoint.nca, math.radians(options.angle)
    x = nca.seed(options.samples, options.size or checkpoint.size)
    film = []
    with tqdm(total=options.steps, unit="step", desc="Growing", dynamic_ncols=True) as bar:
        for t in range(options.steps + 1):
            for step, shape in wounds:
                if step == t:
                    x = damage(x, shape, seed=options.seed + step)
            if t % options.every == 0:
                film.append(torch.cat(tuple(x[..., :4]), dim=1))
            if t < options.steps:
                x = nca.grow(x, 1, options.seed, t0=t, angle=angle)
                bar.update()
    save_animation(torch.stack(film), options.out, fps=options.fps, scale=options.scale)
    print(f"Saved {len(film)} frames in {options.out}.")
    return 0


def _wound(text: str, steps: int) -> tuple[int, str]:
    """`half-left@100` as (100, "half-left")."""
    shape, at, step = text.partition("@")
    if not at or not step.isdecimal() or int(step) > steps:
        raise BadInput(f"Please write damage as SHAPE@STEP, at most {steps}; not {text!r}.")
    return int(step), shape
