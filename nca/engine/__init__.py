"""Rollouts: many steps at once, forward and backward, on the fastest engine that fits.

Every engine gives what `dense` gives; they differ in speed and memory only.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from nca.config import NCAConfig
from nca.engine import dense
from nca.model import NCA


class Engine(Protocol):
    """What an engine module offers."""

    def rollout(
        self,
        nca: NCA,
        x: Tensor,
        steps: int,
        seeds: Tensor,
        t0: int = 0,
        keep: Sequence[int] | None = None,
        angle: float = 0.0,
    ) -> Tensor:
        """States after the steps in `keep`, [len(keep), B, H, W, C], differentiable.

        Args:
            nca: the automaton.
            x: states at step `t0`, [B, H, W, C].
            steps: how many steps to run, 0 or more.
            seeds: int64 [B] from `nca.fire.item_seeds`.
            t0: the step `x` is at.
            keep: which states to return, ascending, each in 0 ... steps, 0 being `x`;
                the last one only when None.
            angle: radians by which the cells' sense of direction is turned.
        """
        ...


def choose(config: NCAConfig, device: torch.device | str) -> Engine:
    """The fastest engine for this architecture on this device."""
    if torch.device(device).type == "cpu":
        # Imported here because Numba takes a second to load.
        try:
            from nca.engine import sparse
        except ImportError as error:
            warnings.warn(f"Numba is missing, so everything is slower: {error}", stacklevel=2)
        else:
            return sparse
    elif torch.device(device).type == "cuda":
        # Triton comes with the CUDA builds of torch, and not everywhere.
        try:
            from nca.engine import cuda
        except ImportError:
            return dense
        if cuda.fits(config) and cuda.works(config, str(device)):
            return cuda
    return dense
