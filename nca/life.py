"""One life of one automaton from its seed, with the state at every step.

A life is computed once; the page draws its pictures, traces and ranges from it. It takes
little memory, because only cells that ever lived are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nca.anatomy import ChannelRange, value_ranges
from nca.damage_shapes import damage
from nca.engine import choose
from nca.fire import item_seeds
from nca.model import NCA

MOST_BYTES = 128 * 2**20  # of a life's states while it is computed; a larger one keeps fewer steps


@dataclass(frozen=True)
class Life:
    """What `live` returns: any state of the life, and the values of any cell over time.

    Attributes:
        nca: the automaton.
        size: height and width of its grid.
        seed: decides which cells fire when; the same as `nca.grow(..., seed)`.
        steps: its length.
        damaged_at: the step before which it was damaged, None without damage.
        kept: ascending, the steps whose states are kept: all of them, unless the grid is large;
            always the last one and the last before the damage.
        where: int64 [H * W], each cell's place in `values`; 0 for those that never lived.
        values: float32 [len(kept), 1 + cells that ever lived, C]; place 0 is all zeros.
        ranges: how far each channel went, in all cells at the steps in `kept`.
    """

    nca: NCA
    size: tuple[int, int]
    seed: int
    steps: int
    damaged_at: int | None
    kept: tuple[int, ...]
    where: Tensor
    values: Tensor
    ranges: tuple[ChannelRange, ...]

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return self.values.nbytes + self.where.nbytes

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the smallest rectangle that holds every cell that ever lived."""
        lived = (self.where > 0).view(self.size)
        rows, columns = lived.any(1).nonzero(), lived.any(0).nonzero()
        if not len(rows):
            return slice(0, self.size[0]), slice(0, self.size[1])
        return (
            slice(int(rows[0]), int(rows[-1]) + 1),
            slice(int(columns[0]), int(columns[-1]) + 1),
        )

    def state(self, t: int) -> Tensor:
        """The state at step t, from 0 to `steps`: float32 [H, W, C].

        Damage shows from the step at which it is done. Steps that are not kept are grown again from
        the last one that is, which gives the same.
        """
        t = max(0, min(t, self.steps))
        index = max(i for i, step in enumerate(self.kept) if step <= t)
        x = self.values[index, self.where].unflatten(0, self.size)
        missing = t - self.kept[index]
        return self.nca.grow(x[None], missing, self.seed, t0=self.kept[index])[0] if missing else x

    def trace(self, row: int, column: int) -> Tensor:
        """Every channel of one cell at the steps in `kept`: float32 [len(kept), C]."""
        return self.values[:, self.where[row * self.size[1] + column]]


@torch.no_grad()
def live(
    nca: NCA,
    size: tuple[int, int],
    steps: int = 300,
    seed: int = 0,
    shape: str | None = None,
    most_bytes: int = MOST_BYTES,
) -> Life:
    """Grow an automaton from its seed and keep its states.

    Args:
        nca: the automaton, on any device; the kept states are on the CPU.
        size: height and width of the grid.
        steps: how long, 2 or more.
        seed: decides which cells fire, and where a circle is cut.
        shape: of damage before the step at half of the life, one of `nca.damage_shapes.SHAPES`;
            None for none.
        most_bytes: keep every step only if all states, empty cells included, fit into this;
            else every second, every third and so on.

    Raises:
        BadInput: unknown shape.
    """
    x = nca.seed(1, size)
    every = -(-x.nbytes * (steps + 1) // most_bytes)
    if shape:
        middle = steps // 2
        kept = _stops(0, middle - 1, every)
        states = _grow(nca, x, [*kept, middle], seed)
        cut = damage(states[-1:].to(nca.device), shape, seed=seed)
        later = _stops(middle, steps, every)
        states = torch.cat([states[:-1], _grow(nca, cut, later, seed)])
        kept += later
    else:
        middle, kept = None, _stops(0, steps, every)
        states = _grow(nca, x, kept, seed)
    flat = states.flatten(1, 2)  # [T, H * W, C]
    lived = (flat != 0).any(-1).any(0)  # also true of NaN
    where = torch.where(lived, lived.cumsum(0), 0)
    values = torch.cat([flat.new_zeros(len(flat), 1, flat.shape[-1]), flat[:, lived]], 1)
    ranges = tuple(value_ranges(values))
    return Life(nca, size, seed, steps, middle, tuple(kept), where, values, ranges)


def _stops(first: int, last: int, every: int) -> list[int]:
    """Every `every` steps, and always the last."""
    return [*range(first, last, every), last]


def _grow(nca: NCA, x: Tensor, stops: list[int], seed: int) -> Tensor:
    """States at ascending steps, the first of which `x` is at: float32 [len(stops), H, W, C]."""
    keep = [stop - stops[0] for stop in stops]
    engine = choose(nca.config, x.device)
    states = engine.rollout(nca, x, keep[-1], item_seeds(seed, 1), t0=stops[0], keep=keep)
    return states[:, 0].float().cpu()
