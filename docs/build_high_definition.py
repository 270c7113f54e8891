"""Draw the README's first picture: `python docs/build_high_definition.py`.

One life of the shipped lizard, cells on the left, fine on the right: it grows, is cut and heals.
"""
# ruff: noqa: E402

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, beside nca/

import numpy as np
import torch

from nca import load_checkpoint
from nca.damage_shapes import damage
from nca.decoder import enlarged
from nca.files import write_atomic
from nca.preview import steady
from nca.render import animation_bytes, to_rgba8

ROOT = Path(__file__).parents[1]
SCALE = 6  # pixels per cell
MARGIN = 3  # cells around the target
EVERY = 4  # steps per frame


def _around(seen: torch.Tensor) -> slice:
    """The pixels around the cells where `seen`, [H] or [W], is not 0."""
    cells = seen.nonzero()
    first, last = int(cells[0]) - MARGIN, int(cells[-1]) + 1 + MARGIN
    return slice(first * SCALE, last * SCALE)


def main() -> None:
    """Write docs/high_definition.gif."""
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(ROOT / "checkpoints/lizard-regenerating")
    nca = checkpoint.nca
    grown = nca.grow(nca.seed(1, checkpoint.size), 140, seed=1, all_steps=True)[::EVERY, 0]
    hurt = damage(grown[-1:], "half-left")
    healed = nca.grow(hurt, 160, seed=2, t0=140, all_steps=True)[::EVERY, 0]
    lives = [*grown, *[grown[-1]] * 8, *[healed[0]] * 5, *healed, *[healed[-1]] * 20]
    assert checkpoint.target is not None
    inside = tuple(_around(checkpoint.target[..., 3].amax(axis)) for axis in (1, 0))
    frames = []
    for x in lives:
        both = enlarged(x[None], SCALE), checkpoint.draw(x[None], SCALE)
        frames.append(np.concatenate([to_rgba8(half[0])[inside] for half in both], axis=1))
    still = steady(np.stack(frames), 6)
    data = animation_bytes(still, "gif", fps=20, scale=1)
    write_atomic(ROOT / "docs/high_definition.gif", data)
    print(f"{len(frames)} frames, {len(data) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
