"""States of the automaton: the seed, which cells are alive, and what a state looks like.

A state is float [B, H, W, C]: channels 0-2 premultiplied RGB, 3 alpha, the rest hidden. In an
automaton with kinds the last channel is no number of the rule but the cell's kind: 1, 2, ... or 0
for none. So damage, pools, recordings and films carry kinds like all else that belongs to a cell.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nca.config import MOST_KINDS, BadInput


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
    """Cells that are, or touch, a cell above the threshold: bool [B, H, W].

    Args:
        alpha: float [B, H, W], any range.
        threshold: alpha must exceed it, strictly.
        padding: "zero" (nothing lives beyond the border) or "circular".
    """
    if padding == "circular":
        alpha = F.pad(alpha[:, None], (1, 1, 1, 1), mode="circular")
        return F.max_pool2d(alpha, 3, stride=1)[:, 0] > threshold
    return F.max_pool2d(alpha[:, None], 3, stride=1, padding=1)[:, 0] > threshold


_AROUND = tuple((dy, dx) for dy in range(3) for dx in range(3) if (dy, dx) != (1, 1))


def inherit_kinds(kinds: Tensor, alpha: Tensor, pre: Tensor, padding: str = "zero") -> Tensor:
    """Each cell's kind at a step: cells without one that touch life get that of a neighbour.

    It is the neighbour with the highest alpha, the first in reading order among equals. A cell that
    has a kind keeps it.

    Args:
        kinds: float [B, H, W], whole numbers.
        alpha: float [B, H, W], before the step.
        pre: cells that are, or touch, a living cell, bool [B, H, W].
        padding: "zero" (no neighbours beyond the border) or "circular".
    """
    height, width = kinds.shape[1:]
    if padding == "circular":
        kinds_around = F.pad(kinds[:, None], (1, 1, 1, 1), mode="circular")[:, 0]
        alpha_around = F.pad(alpha[:, None], (1, 1, 1, 1), mode="circular")[:, 0]
    else:
        kinds_around = F.pad(kinds, (1, 1, 1, 1))
        alpha_around = F.pad(alpha, (1, 1, 1, 1), value=-torch.inf)
    highest, heritage = torch.full_like(alpha, -torch.inf), torch.zeros_like(kinds)
    for dy, dx in _AROUND:
        there = alpha_around[:, dy : dy + height, dx : dx + width]
        higher = there > highest
        highest = torch.where(higher, there, highest)
        heritage = torch.where(higher, kinds_around[:, dy : dy + height, dx : dx + width], heritage)
    return torch.where(pre & (kinds == 0), heritage, kinds)


def repaint(x: Tensor, kind: int | Tensor, cells: Tensor | None = None) -> Tensor:
    """States whose cells have another kind, as by a gene brush; empty cells stay empty.

    >>> from nca import NCA, NCAConfig, repaint
    >>> nca = NCA(NCAConfig(kinds=2))
    >>> grown = nca.grow(nca.seed(batch=1, size=16, kind=1), steps=10, seed=1)
    >>> nca.grow(repaint(grown, 2), steps=10, seed=1, t0=10)[..., -1].max()
    tensor(2.)

    Args:
        x: states of an automaton with kinds, float [B, H, W, C].
        kind: the new one, or one for each item, [B].
        cells: which to repaint, bool [B, H, W] or [1, H, W]; all when None.

    Raises:
        BadInput: the states are not [B, H, W, C], or the kinds neither one nor B whole numbers
            from 0 to 255.
    """
    if not isinstance(x, Tensor) or x.ndim != 4:
        shape = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise BadInput(f"The states must be [batch, height, width, channels], not {shape}.")
    try:
        kinds = torch.as_tensor(kind, dtype=x.dtype, device=x.device)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        kinds = x.new_empty(0)
    whole = (kinds == kinds.round()) & (kinds >= 0) & (kinds <= MOST_KINDS)
    if kinds.numel() not in (1, len(x)) or not bool(whole.all()):
        raise BadInput(
            f"Please give one kind, a whole number from 0 to {MOST_KINDS}, or {len(x)}, one for "
            f"each item, not {kind!r:.40}."
        )
    where = x.ne(0).any(-1)
    if cells is not None:
        where = where & cells
    return torch.cat(
        [x[..., :-1], torch.where(where, kinds.view(-1, 1, 1), x[..., -1])[..., None]], -1
    )


def to_rgb(x: Tensor, background: float = 1.0) -> Tensor:
    """Colours as seen on a plain background (white by default): float [..., 3] in [0, 1].

    >>> import torch
    >>> from nca import to_rgb
    >>> to_rgb(torch.tensor([0.25, 0.0, 0.0, 0.5]))  # half transparent, premultiplied
    tensor([0.7500, 0.5000, 0.5000])

    Args:
        x: float [..., C >= 4], premultiplied.
        background: grey level behind the cells, in [0, 1].
    """
    alpha = x[..., 3:4].clamp(0, 1)
    return (x[..., :3] + background * (1 - alpha)).clamp(0, 1)


def visible(x: Tensor) -> Tensor:
    """What is seen of states: premultiplied RGBA, alpha in [0, 1], colours from 0 to alpha.

    Args:
        x: float [..., C >= 4]; NaN counts as 0.
    """
    rgba = x[..., :4].nan_to_num(0.0, posinf=1.0, neginf=0.0)
    alpha = rgba[..., 3:].clamp(0, 1)
    return torch.cat([rgba[..., :3].clamp(min=0).minimum(alpha), alpha], -1)
