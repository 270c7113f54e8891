"""The CUDA engine: a whole rollout in one fused Triton kernel per step, in CUDA graphs.

Masks, perception, both layers and firing of a step stay on the chip, and tiles of the grid where
nothing can survive are skipped. The backward pass recomputes the hidden activations from the saved
states; the gradients of the weights are summed in a fixed order, so results repeat bit for bit. It
computes what `dense` computes.

It supports one hidden layer, fixed perception and no kinds; `dense` does the rest. It follows
`torch.set_float32_matmul_precision`: "highest", the default, is float32; "high" replaces a product
by three in TF32; "medium" is TF32.
"""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from triton import knobs

from nca.config import NCAConfig
from nca.engine import _cuda_kernels as kernels
from nca.engine import dense
from nca.engine._cuda_workspace import (
    CHUNK,
    ROOM,
    Key,
    Workspace,
    acquire,
    free_list,
    round_up,
)
from nca.fire import item_seeds, step_keys
from nca.model import NCA

PRECISION = {"highest": "ieee", "high": "tf32x3", "medium": "tf32"}
INTERPRETED = knobs.runtime.interpret  # TRITON_INTERPRET=1: on the CPU, in float64 too


def supports(nca: NCA, x: Tensor) -> bool:
    """Whether this engine can run these states: float32, on a CUDA device with the weights."""
    weights = {(parameter.dtype, parameter.device) for parameter in nca.parameters()}
    if INTERPRETED:
        known = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    else:
        known = x.device.type == "cuda" and x.dtype == torch.float32
    return fits(nca.config) and known and weights == {(x.dtype, x.device)}


def fits(config: NCAConfig) -> bool:
    """Whether there are kernels for this architecture."""
    return len(config.hidden) == 1 and config.perception == "fixed" and not config.kinds


def rollout(
    nca: NCA,
    x: Tensor,
    steps: int,
    seeds: Tensor,
    t0: int = 0,
    keep: Sequence[int] | None = None,
    angle: float = 0.0,
) -> Tensor:
    """See `nca.engine.Engine.rollout`; `dense` runs what it does not support."""
    if not supports(nca, x):
        return dense.rollout(nca, x, steps, seeds, t0, keep, angle)
    kept = sorted(set((steps,) if keep is None else keep))
    weights = [w for layer in nca.layers for w in (layer.weight, layer.bias)]
    records = torch.is_grad_enabled() and any(
        i is not None and i.requires_grad for i in (x, *weights)
    )
    key = Key(
        config=nca.config,
        shape=tuple(x.shape),
        dtype=x.dtype,
        device=x.device,
        room=round_up(kept[-1], ROOM),
        kept=round_up(len(kept), CHUNK) if records else 0,
        precision=PRECISION[torch.get_float32_matmul_precision()],
    )
    keys = step_keys(seeds, t0, kept[-1])
    with torch.cuda.device_of(x):
        run = _Run(acquire(key), kept, keys, nca.rotated_filters(angle)[:, 0])
        return _Rollout.apply(run, x, *weights)


class _Rollout(torch.autograd.Function):
    """All steps of all items as one node of the autograd graph."""

    @staticmethod
    def forward(ctx: Any, run: _Run, x: Tensor, *weights: Tensor | None) -> Tensor:
        ctx.run = run
        ctx.set_materialize_grads(False)
        return run.forward(x, weights)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * len(ctx.needs_input_grad)
        with torch.cuda.device_of(grad):
            x, weights = ctx.run.backward(grad, ctx.needs_input_grad[1])
        return None, x, *weights


class _Run:
    """One rollout. It owns the workspace for as long as gradients may be requested.

    Args:
        workspace: where it runs.
        kept: the steps to return, ascending.
        keys: of each step for the fire mask, int64 [B, steps].
        filters: the perception filters, [K, 3, 3].
    """

    def __init__(
        self, workspace: Workspace, kept: list[int], keys: Tensor, filters: Tensor
    ) -> None:
        self.workspace, self.kept, self.steps = workspace, kept, kept[-1]
        self.keys, self.filters = keys, filters
        weakref.finalize(self, free_list().append, workspace).atexit = False

    def forward(self, x: Tensor, weights: Sequence[Tensor | None]) -> Tensor:
        """The kept states, [K, B, H, W, C]."""
        workspace = self.workspace
        self._load(x, weights)
        states = x.new_empty((len(self.kept), *x.shape))
        if self.kept[0] == 0:
            states[0] = x
        workspace.clock.copy_(torch.tensor([0, self.steps]))
        for start in range(0, self.steps, CHUNK):
            workspace.advance()
            for step, out in zip(self.kept, states, strict=True):
                if start < step <= start + CHUNK:
                    workspace.materialise(step, out)
        return states

    def _load(self, x: Tensor, weights: Sequence[Tensor | None]) -> None:
        """Copy states, weights and keys into the workspace."""
        workspace, config = self.workspace, self.workspace.key.config
        workspace.filters.copy_(self.filters)
        scales = 1, 1, config.step_size, config.step_size
        for buffer, weight, scale in zip(workspace.weights, weights, scales, strict=True):
            if weight is not None:
                torch.mul(weight.t(), scale, out=buffer)
        workspace.keys[: self.steps] = self.keys.T.to(x.device)
        if config.alive_mask == "post":
            # A cell whose neighbourhood is zero may come alive by itself. The margin covers
            # rounding: computing every cell when that is not needed is slower, never wrong.
            _, first_bias, last, last_bias = workspace.weights
            nothing = first_bias.relu() @ last[:, 3] + last_bias[3]
            limit = config.alive_threshold * (1 - 1e-3) - 1e-6
            workspace.anywhere.copy_((nothing <= limit).logical_not())
        workspace.states[0] = x
        workspace.life[0] = (x[..., 3] <= config.alive_threshold).logical_not() + kernels.MAY.value

    def backward(self, grad: Tensor, to_x: bool) -> tuple[Tensor | None, list[Tensor | None]]:
        """Gradients of the states before and of the weights."""
        workspace, config = self.workspace, self.workspace.key.config
        places = torch.full((len(workspace.places),), -1)
        places[self.kept] = torch.arange(len(self.kept))
        workspace.places.copy_(places)
        workspace.grads[: len(grad)] = grad
        for buffer in (workspace.flags, *workspace.sums):
            buffer.zero_()
        # One more step leads to the gradient of the initial state.
        stop = -1 if to_x else 0
        workspace.clock.copy_(torch.tensor([self.steps - 1, stop]))
        for _ in range(stop, self.steps, CHUNK):
            workspace.retreat()
        first, first_bias, last, last_bias = (sums.sum(0) for sums in workspace.sums)
        weights = [
            first.t().contiguous(),
            first_bias if config.bias else None,
            last.t().contiguous() * config.step_size,
            last_bias * config.step_size if config.out_bias else None,
        ]
        return workspace.direct[-1].clone() if to_x else None, weights


@functools.cache
def works(config: NCAConfig, device: str) -> bool:
    """Whether the kernels run for this architecture on this card and agree with `dense` there.

    Checked once per process, on a few steps of a small grid: an older card, a missing compiler or a
    miscompiled kernel must not ruin a training run. A failure gives a warning.
    """
    problem = "its results are wrong"
    try:
        if _agrees(config, device):
            return True
    except Exception as error:  # compiler, driver and card raise almost anything
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
    warnings.warn(
        f"The fused engine is not used on this graphics card, so everything is slower: {problem}",
        stacklevel=3,
    )
    return False


def _agrees(config: NCAConfig, device: str) -> bool:
    draw = torch.Generator().manual_seed(0)
    nca = NCA(config)
    x = torch.zeros(1, 10, 12, config.channels)
    # No cell comes near the threshold, where a rounding error could change whether it lives.
    x[:, 2:7, 1:6] = 2 + torch.rand(1, 5, 5, config.channels, generator=draw)
    with torch.no_grad():
        weight = next(nca.layers[-1].parameters())
        weight.normal_(0, 1e-4 / config.step_size, generator=draw)
    weigh = torch.randn(2, *x.shape, generator=draw)

    def differentiate(run: Any, dtype: torch.dtype) -> list[Tensor]:
        model, start = nca.to(device, dtype), x.to(device, dtype, copy=True).requires_grad_()
        model.zero_grad()
        states = run(model, start, CHUNK + 2, item_seeds(0, 1), keep=(3, CHUNK + 2))
        (states * weigh.to(states)).sum().backward()
        gradients = [start.grad, *(parameter.grad for parameter in model.parameters())]
        return [states.detach(), *(g.clone() for g in gradients if g is not None)]

    ours = differentiate(rollout, torch.float32)
    right = differentiate(dense.rollout, torch.float64)
    return all(
        bool((a - b).abs().max() <= 1e-2 * b.abs().max()) for a, b in zip(ours, right, strict=True)
    )
