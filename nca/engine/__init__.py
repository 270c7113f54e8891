"""Rollouts: many steps at once, forward and backward, on the fastest engine that fits.

Every engine computes what `dense` computes; they differ only in speed and memory.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from nca.config import BadInput, NCAConfig, whole_number
from nca.engine import dense
from nca.fire import MOST_STEPS, Seed, item_seeds
from nca.model import NCA, check_state_kinds, check_states


class Engine(Protocol):
    """The interface of an engine module."""

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
            keep: which states to return, ascending, each in 0 ... steps, where 0 is `x`; None
                returns only the last.
            angle: radians by which the perception filters are rotated.
        """
        ...


def rollout(
    nca: NCA,
    x: Tensor,
    steps: int,
    *,
    seed: Seed = 0,
    t0: int = 0,
    keep: Sequence[int] | None = None,
    angle: float = 0.0,
    erased: Mapping[int, Tensor] | None = None,
) -> Tensor:
    """Run an automaton for some steps, differentiable, on the fastest engine for its device.

    Gradients reach `x` and every parameter of `nca`; under `torch.no_grad()` nothing is recorded.

    >>> import torch
    >>> from nca import NCA, NCAConfig, rollout
    >>> nca = NCA(NCAConfig(channels=8, hidden=(16,)))
    >>> states = rollout(nca, nca.seed(batch=2, size=16), steps=12, seed=1, keep=(6, 12))
    >>> states.shape
    torch.Size([2, 2, 16, 16, 8])
    >>> loss = states[..., :4].square().mean()
    >>> loss.backward()
    >>> nca.layers[-1].weight.grad.shape
    torch.Size([8, 16])

    Args:
        nca: the automaton.
        x: states at step `t0`, float [B, H, W, C], of the automaton's dtype and device, with
            premultiplied RGBA in the first four channels; any range.
        steps: how many to run, 0 or more.
        seed: of the fire mask: an int, or one for each item.
        t0: the step `x` is at, 0 or more.
        keep: after which steps to return the states, ascending, each in 0 ... steps, 0 being `x`;
            None for the last only.
        angle: radians by which the perception filters are rotated.
        erased: damage while it lives: after how many steps, 0 to steps - 1, which cells become 0
            before the next step, bool [B, H, W] or [1, H, W]. `nca.damage_shapes.drawn_damage`
            makes such.

    Returns:
        The states, [len(keep), B, H, W, C]; with `keep=None` those after the last step,
        [B, H, W, C].

    Raises:
        BadInput: the states do not fit the automaton, or a number is out of range.
    """
    check_states(nca, x)
    check_state_kinds(nca, x)
    steps, t0 = whole_number("steps", steps), whole_number("t0", t0, 0, MOST_STEPS)
    kept = (steps,) if keep is None else _kept(keep, steps)
    erased = {} if erased is None else erased
    if not isinstance(erased, Mapping):
        raise BadInput(f"Please give erased as a dict, not {type(erased).__name__}.")
    for step, cells in erased.items():
        if not isinstance(step, int | np.integer) or step not in range(steps):
            raise BadInput(f"Please erase cells after 0 to {steps - 1} steps, not {step!r}.")
        shapes = (x.shape[:3], (1, *x.shape[1:3]))
        if not isinstance(cells, Tensor) or cells.dtype != torch.bool or cells.shape not in shapes:
            raise BadInput(f"Please give the erased cells as bool {list(x.shape[:3])}.")
    engine = choose(nca.config, x.device)
    states = rollout_while_erasing(
        engine, nca, x, steps, item_seeds(seed, len(x)), erased, t0, kept, angle
    )
    return states[0] if keep is None else states


def _kept(keep: Sequence[int], steps: int) -> tuple[int, ...]:
    """The steps to keep; BadInput unless they are whole numbers, ascending, from 0 to `steps`."""
    try:
        kept = tuple(map(operator.index, keep))
    except TypeError:
        kept = ()
    if not kept or list(kept) != sorted(set(kept)) or kept[0] < 0 or kept[-1] > steps:
        raise BadInput(f"Please let keep be ascending steps from 0 to {steps}, not {keep!r:.60}.")
    return kept


def rollout_while_erasing(
    engine: Engine,
    nca: NCA,
    x: Tensor,
    steps: int,
    seeds: Tensor,
    erased: Mapping[int, Tensor],
    t0: int = 0,
    keep: Sequence[int] | None = None,
    angle: float = 0.0,
) -> Tensor:
    """`engine.rollout` with damage between steps, forward and backward, on any engine.

    A state that is kept at a step at which cells are erased is the one before they are: an event
    at a step acts before that step. Nothing but the state passes from one step to the next, so a
    rollout in parts is the same rollout.

    Args:
        engine: what runs the steps.
        nca: the automaton, and with all that follows but `erased`: see `Engine.rollout`.
        x: states at step `t0`.
        steps: how many.
        seeds: of the fire mask.
        t0: the step `x` is at.
        keep: which states to return.
        angle: radians by which the perception filters are rotated.
        erased: after how many of these steps, each in 0 ... steps - 1, which cells become 0, bool
            [B, H, W] or [1, H, W].
    """
    wanted = sorted(set((steps,) if keep is None else keep))
    last = wanted[-1]
    if not erased:
        return engine.rollout(nca, x, last, seeds, t0=t0, keep=wanted, angle=angle)
    cuts = sorted({0, last, *(step for step in erased if step < last)})
    kept = [x[None]] if 0 in wanted else []
    for start, end in zip(cuts, cuts[1:], strict=False):
        if start in erased:
            x = x * (~erased[start]).to(x.device, x.dtype)[..., None]
        here = [step - start for step in wanted if start < step <= end]
        # The last state goes on to the next part, whether or not it is kept.
        ends = sorted({*here, end - start})
        states = engine.rollout(nca, x, end - start, seeds, t0=t0 + start, keep=ends, angle=angle)
        x = states[-1]
        kept.append(states[: len(here)])
    return torch.cat(kept)


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
