"""The fire mask: which cells update at a step, the same in every engine.

A cell fires when a 32-bit integer hash of (cell, step, seed) falls below the fire rate. Being a
pure function of counters, it needs no random state: any engine, in any language, on any device,
can compute it for the cells it visits, and a run can be replayed from its middle. The published
vectors are in tests/test_fire.py. The mixer is Chris Wellons' public-domain lowbias32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from nca.config import BadInput

GOLDEN = 0x9E3779B9  # 2**32 / golden ratio: spreads consecutive counters over all bits
MASK = 0xFFFFFFFF
MOST_STEPS = 2**62  # with which a step still fits into 64 bits
Seed = int | Sequence[int] | Tensor
Word = TypeVar("Word", int, Tensor)  # unsigned, 32 bits


def lowbias32(h: Word) -> Word:
    """Mix an unsigned 32-bit integer (Python int, or int64 tensor of them) into another."""
    h = h & MASK
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & MASK
    h = ((h ^ (h >> 15)) * 0x846CA68B) & MASK
    return h ^ (h >> 16)


def mix(seed: int, item: int) -> int:
    """The 32-bit seed of batch item `item` when one int seeds the whole batch."""
    return lowbias32((seed & MASK) ^ lowbias32(item + 1))


def item_seeds(seed: Seed, batch: int) -> Tensor:
    """One 32-bit seed per batch item, int64 [B] on the CPU, in [0, 2**32).

    Args:
        seed: an int, from which item b takes `mix(seed, b)`, or one int per item.
        batch: the number of items B.

    Raises:
        BadInput: not a whole number, nor B of them.
    """
    if isinstance(seed, int):
        return torch.tensor([mix(seed, item) for item in range(batch)], dtype=torch.int64)
    try:
        given = torch.as_tensor(seed, device="cpu")
        if given.is_floating_point() or given.is_complex():  # int64 would drop the fraction
            raise TypeError
        seeds = given.to(torch.int64) & MASK
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise BadInput(f"Please give the seed as a whole number, not {seed!r:.40}.") from None
    if seeds.ndim == 0:  # a number of NumPy's
        return item_seeds(int(seeds), batch)
    if seeds.shape != (batch,):
        raise BadInput(
            f"Please give one seed, or {batch} seeds, one per batch item, not {list(seeds.shape)}."
        )
    return seeds


def step_keys(seeds: Tensor, t: int, steps: int = 1) -> Tensor:
    """The 32-bit key of each item at `steps` steps from t on, int64 [B, steps].

    The hash depends on the step only through this key.
    """
    counters = torch.arange(t, t + steps, dtype=torch.int64)
    return lowbias32(seeds[:, None] ^ lowbias32((counters + GOLDEN) & MASK))


def threshold(fire_rate: float) -> int:
    """A cell fires when the upper 24 bits of its hash are below this."""
    return round(fire_rate * 2**24)


def fire_mask(
    height: int, width: int, t: int, seeds: Tensor, fire_rate: float, device: str | torch.device
) -> Tensor:
    """Which cells fire at step t: bool [B, H, W].

    Args:
        height: H. Cells are numbered y * W + x, without any padding.
        width: W.
        t: the step, counted from the start of the run.
        seeds: int64 [B] from `item_seeds`.
        fire_rate: share of cells that fire, in (0, 1]; 1 fires all.
        device: where the mask is needed.
    """
    cell = torch.arange(height * width, device=device, dtype=torch.int64) * GOLDEN & MASK
    h = lowbias32(step_keys(seeds, t).to(device) ^ cell)
    return ((h >> 8) < threshold(fire_rate)).view(-1, height, width)
