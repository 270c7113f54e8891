"""The pool of states that training samples from.

A pool keeps the last states of rollouts, so that the automaton learns to keep a picture and not
only to grow it. Most cells are empty, so only the non-empty cells of an item are stored: lossless,
in about a tenth of the memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Item = tuple[np.ndarray, np.ndarray]  # cell indices int32 [n], their states float32 [n, C]


class Pool:
    """A fixed number of states, all seeds at first.

    Item i is and stays of kind i % K + 1, so that every kind has its share of the pool.

    Args:
        seeds: what the items of each of K kinds start as, float32 [K, H, W, C]; without kinds one,
            [H, W, C].
        size: the number of items, at least K.
    """

    def __init__(self, seeds: Tensor, size: int) -> None:
        self.shape = tuple(seeds.shape[-3:])
        packed = [_pack(seed) for seed in seeds.view(-1, *self.shape)]
        self.kinds = len(packed)
        self.items: list[Item] = [packed[i % self.kinds] for i in range(size)]

    def __len__(self) -> int:
        return len(self.items)

    def kinds_of(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The kinds of these items, int64 [len(indices)], from 1."""
        return np.asarray(indices, np.int64) % self.kinds + 1

    def draw(self, draw: np.random.Generator, count: int) -> np.ndarray:
        """Indices of different items, [count], in random order; kinds take turns."""
        if self.kinds == 1:
            return draw.choice(len(self), count, replace=False)
        order = draw.permutation(len(self))
        turns = np.empty(len(order), np.int64)
        for kind in range(self.kinds):
            own = np.flatnonzero(order % self.kinds == kind)
            turns[own] = np.arange(len(own))
        return order[turns.argsort(kind="stable")][:count]

    def draw_other(self, draw: np.random.Generator, kind: int) -> int:
        """The index of an item of another kind."""
        others = np.arange(len(self))
        return int(draw.choice(others[self.kinds_of(others) != kind]))

    def sample(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """The states of these items, float32 [len(indices), H, W, C]."""
        height, width, channels = self.shape
        x = np.zeros((len(indices), height * width, channels), dtype=np.float32)
        for row, index in enumerate(indices):
            cells, states = self.items[index]
            x[row, cells] = states
        return torch.from_numpy(x).view(-1, height, width, channels)

    def commit(self, indices: Sequence[int] | np.ndarray, x: Tensor) -> None:
        """Replace these items by the states `x`, [len(indices), H, W, C]."""
        # Items are replaced, never changed in place, so copies of the list keep their values.
        for index, state in zip(indices, x.detach().cpu(), strict=True):
            self.items[index] = _pack(state)

    def state_dict(self) -> dict[str, Tensor]:
        """All items as three tensors: "cells" int32, "states" float32, "counts" int64."""
        return {
            "cells": torch.from_numpy(np.concatenate([cells for cells, _ in self.items])),
            "states": torch.from_numpy(np.concatenate([states for _, states in self.items])),
            "counts": torch.tensor([len(cells) for cells, _ in self.items]),
        }

    def load_state_dict(self, saved: dict[str, Tensor]) -> None:
        """Load what `state_dict` returned; ValueError when it does not fit this pool."""
        height, width, channels = self.shape
        cells, states, counts = (saved[k].numpy() for k in ("cells", "states", "counts"))
        fits = (
            len(counts) == len(self)
            and counts.min() >= 0
            and counts.sum() == len(cells) == len(states)
            and states.shape[1:] == (channels,)
            and (not len(cells) or (cells.min() >= 0 and cells.max() < height * width))
        )
        if not fits:
            raise ValueError("the saved pool does not fit this grid")
        ends = np.cumsum(counts)[:-1]
        # Copies, so that replacing one item frees it instead of keeping the whole file in memory.
        self.items = [
            (c.copy(), s.copy())
            for c, s in zip(np.split(cells, ends), np.split(states, ends), strict=True)
        ]


def _pack(state: Tensor) -> Item:
    flat = state.reshape(-1, state.shape[-1]).numpy()
    cells = np.flatnonzero(flat.any(axis=1)).astype(np.int32)
    return cells, flat[cells].astype(np.float32)
