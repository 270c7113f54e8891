"""States of the automaton: the seed, which cells are alive, and what a state looks like.

A state is float [B, H, W, C]: channels 0-2 premultiplied RGB, 3 alpha, the rest hidden.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
