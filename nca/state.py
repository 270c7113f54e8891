"""States of the automaton: the seed, who is alive, wounds, and what a state looks like.

A state is float [B, H, W, C]: channels 0-2 premultiplied RGB, 3 alpha, the rest hidden.
"""

from __future__ import annotations

from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from nca.config import BadInput, DamageShape

HALVES = ("half-left", "half-right", "half-top", "half-bottom")
SHAPES = (*HALVES, *(shape for shape in get_args(DamageShape) if shape != "half"))


def make_seed(
    channels: int, height: int, width: int, batch: int = 1, hidden: bool = True
) -> Tensor:
    """One living cell in the middle of an empty grid, float32 [B, H, W, C].

    Its alpha is 1, its hidden channels 1 (0 with `hidden=False`), its colour 0, that is, black.
    """
    x = torch.zeros(batch, height, width, channels)
    x[:, height // 2, width // 2, 3:] = 1.0
    if not hidden:
        x[:, height // 2, width // 2, 4:] = 0.0
    return x


def alive_mask(alpha: Tensor, threshold: float, padding: str = "zero") -> Tensor:
    """Cells with a neighbour, or themselves, above the threshold: bool [B, H, W].

    Args:
        alpha: float [B, H, W], any range.
        threshold: alpha must exceed it, strictly.
        padding: "zero" (nothing lives beyond the border) or "circular".
    """
    if padding == "circular":
        alpha = F.pad(alpha[:, None], (1, 1, 1, 1), mode="circular")
        return F.max_pool2d(alpha, 3, stride=1)[:, 0] > threshold
    return F.max_pool2d(alpha[:, None], 3, stride=1, padding=1)[:, 0] > threshold


def to_rgb(x: Tensor, background: float = 1.0) -> Tensor:
    """Colours as seen on a plain background (white by default): float [..., 3] in [0, 1].

    Args:
        x: float [..., C >= 4], premultiplied.
        background: grey level behind the cells, in [0, 1].
    """
    alpha = x[..., 3:4].clamp(0, 1)
    return (x[..., :3] + background * (1 - alpha)).clamp(0, 1)


def damage(
    x: Tensor,
    shape: str,
    *,
    centre: tuple[float, float] | None = None,
    radius: float | None = None,
    seed: int = 0,
) -> Tensor:
    """A copy of the states with cells erased, all channels to 0; same shape and dtype as `x`.

    Args:
        x: float [B, H, W, C].
        shape: one of `SHAPES`; halves are halves of the grid, "centre" is a square of 2/9 of the
            shorter side (16 x 16 on a 72 grid), "circle" one disc, "stroke" a free-hand line.
            Circle and stroke differ per batch item unless centre and radius say otherwise.
        centre: (x, y) of a circle, -1 to 1 across the grid; drawn from U(-0.5, 0.5) when None.
        radius: of circle or stroke, in half-widths; U(0.1, 0.4) (a stroke: 0.06) when None.
        seed: draws what is not given.

    Raises:
        BadInput: unknown shape.
    """
    batch, height, width, _ = x.shape
    if shape not in SHAPES:
        raise BadInput(f"There is no damage called {shape!r}; choose one of {', '.join(SHAPES)}.")
    rows = torch.arange(height).view(1, height, 1)
    columns = torch.arange(width).view(1, 1, width)
    if shape in HALVES:
        erased = {
            "half-left": columns < width // 2,
            "half-right": columns >= width // 2,
            "half-top": rows < height // 2,
            "half-bottom": rows >= height // 2,
        }[shape]
    elif shape == "centre":
        side = max(1, round(min(height, width) * 2 / 9))
        top, left = (height - side) // 2, (width - side) // 2
        erased = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
    else:
        u = (columns + 0.5) / width * 2 - 1
        v = (rows + 0.5) / height * 2 - 1
        draw = torch.Generator().manual_seed(seed)
        if shape == "circle":
            middle = _uniform(draw, (batch, 2), -0.5, 0.5)
            if centre is not None:
                middle = torch.tensor([centre], dtype=torch.float32).expand(batch, 2)
            size = _uniform(draw, (batch,), 0.1, 0.4)
            if radius is not None:
                size = torch.full((batch,), float(radius))
            dx = u - middle[:, 0].view(-1, 1, 1)
            dy = v - middle[:, 1].view(-1, 1, 1)
            erased = dx**2 + dy**2 < size.view(-1, 1, 1) ** 2
        else:
            erased = _stroke(draw, u, v, batch, 0.06 if radius is None else radius)
    keep = (~erased).to(x.device, x.dtype).expand(batch, height, width)
    return x * keep[..., None]


def _stroke(draw: torch.Generator, u: Tensor, v: Tensor, batch: int, radius: float) -> Tensor:
    """Cells within `radius` of a quadratic Bezier curve across the middle: bool [B, H, W]."""
    points = _uniform(draw, (batch, 3, 2), -0.7, 0.7)
    erased = torch.zeros(1, dtype=torch.bool)
    for s in torch.linspace(0, 1, 33).tolist():
        weights = torch.tensor([(1 - s) ** 2, 2 * s * (1 - s), s**2]).view(1, 3, 1)
        spot = (points * weights).sum(1)
        dx, dy = u - spot[:, 0].view(-1, 1, 1), v - spot[:, 1].view(-1, 1, 1)
        erased = erased | (dx**2 + dy**2 < radius**2)
    return erased


def _uniform(draw: torch.Generator, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=draw)
