"""The oracle: a loop over `NCA.step`, differentiated by autograd. Slow, but easy to verify."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nca.model import NCA


def rollout(
    nca: NCA,
    x: Tensor,
    steps: int,
    seeds: Tensor,
    t0: int = 0,
    keep: Sequence[int] | None = None,
    angle: float = 0.0,
) -> Tensor:
    """See `nca.engine.Engine.rollout`."""
    wanted = set((steps,) if keep is None else keep)
    kept = [x] if 0 in wanted else []
    for step in range(1, steps + 1):
        x = nca.step(x, t0 + step - 1, seeds, angle)
        if step in wanted:
            kept.append(x)
    return torch.stack(kept)
