"""The CPU engine: exact rollouts whose cost depends on the living cells, not on the grid.

Most cells are dead, and a living cell is updated only when it fires. This engine evaluates the
update network only for cells that fire and may live, and backpropagates only through cells that
survived. The result is that of `dense`: a cell outside `pre` is zeroed whatever its update, and
where such a cell could still keep a neighbour alive (the 5 x 5 ring of the alive mask), it is
computed too. Nothing else is skipped.

A rollout is one autograd function. It saves the living cells and their states, recomputes hidden
activations, and runs whole batch items on threads; idle threads help with the items that are still
running. Results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nca.config import NCAConfig
from nca.engine import _backward, _forward, dense
from nca.engine import _kernels as kernels
from nca.engine._layout import Grid, Network, empty, zeros
from nca.engine._threads import Item, Scratch, Threads
from nca.fire import step_keys, threshold
from nca.model import NCA

DTYPES = {torch.float32: np.float32, torch.float64: np.float64}
SAVED_AHEAD = 16  # steps for which memory is allocated at a time


def supports(nca: NCA, x: Tensor) -> bool:
    """Whether this engine can run these states: float32 or float64, on the CPU."""
    weights = {parameter.dtype for parameter in nca.parameters()}
    return x.device.type == "cpu" and x.dtype in DTYPES and weights == {x.dtype}


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
    inputs = [x, nca.rotated_filters(angle), nca.genes]
    for layer in nca.layers:
        inputs += [layer.weight, layer.bias]
    records = torch.is_grad_enabled() and any(i is not None and i.requires_grad for i in inputs)
    keys = step_keys(seeds, t0, kept[-1])
    run = _Run(nca.config, tuple(x.shape), x.dtype, kept, keys, records)
    return _Rollout.apply(run, *inputs)


class _Rollout(torch.autograd.Function):
    """All steps of all items as one node of the autograd graph."""

    @staticmethod
    def forward(
        ctx: Any,
        run: _Run,
        x: Tensor,
        filters: Tensor,
        genes: Tensor | None,
        *layers: Tensor | None,
    ) -> Tensor:
        ctx.run = run
        ctx.set_materialize_grads(False)
        return run.forward(x, filters, genes, layers)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * len(ctx.needs_input_grad)
        _, to_x, to_filters, *_ = ctx.needs_input_grad
        return None, *ctx.run.backward(grad, to_x, to_filters)


@dataclass
class _Saved:
    """Some steps of one item: where they begin and end, and their living cells and states."""

    first_step: int
    end: int
    arrays: kernels.Saved

    def living(self, step: int) -> np.ndarray:
        """The cells living after so many steps."""
        begin, end = self.arrays.starts[step - self.first_step :][:2]
        return self.arrays.cells[begin:end]


class _Run:
    """One rollout: its memory, and what the backward pass needs.

    Args:
        config: the architecture.
        shape: of the states, [B, H, W, C].
        dtype: of the states, float32 or float64.
        kept: the steps to return, ascending.
        keys: int64 [B, steps], the fire mask's key of each step.
        records: whether to keep what the backward pass needs.
    """

    def __init__(
        self,
        config: NCAConfig,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        kept: list[int],
        keys: Tensor,
        records: bool,
    ) -> None:
        self.config, self.kept, self.records = config, kept, records
        self.batch, height, width, self.channels = shape
        self.steps = kept[-1]
        self.dtype = DTYPES[dtype]
        self.keys = keys.numpy()
        self.below = threshold(config.fire_rate)
        self.grid = Grid(height, width, config.padding == "circular")
        self.saved: list[list[_Saved]] = [[] for _ in range(self.batch)]
        self.network: Network
        self.threads: Threads

    def _places(self, item: int) -> np.ndarray:
        """Start of the item's state after each step in the flat result, -1 if it is not kept."""
        places = np.full(self.steps + 1, -1, np.int64)
        size = self.grid.cells * self.channels
        places[self.kept] = (np.arange(len(self.kept)) * self.batch + item) * size
        return places

    def forward(
        self, x: Tensor, filters: Tensor, genes: Tensor | None, layers: Sequence[Tensor | None]
    ) -> Tensor:
        """The kept states, [K, B, H, W, C]."""
        self.network = Network(self.config, self.grid.offsets, filters, layers, self.dtype, genes)
        self.threads = Threads(self.batch, self.grid, self.network, self.records)
        states = torch.zeros((len(self.kept), *x.shape), dtype=x.dtype)
        if self.kept[0] == 0:
            states[0] = x.detach()
        if self.steps:
            flat = states.numpy().reshape(-1)
            start = x.detach().contiguous().numpy().reshape(self.batch, -1)
            self.threads.each_item(
                lambda item, scratch: self._grow(item, scratch, start[item.number], flat),
                self._help_grow,
            )
        return states

    def _grow(self, item: Item, scratch: Scratch, x: np.ndarray, states: np.ndarray) -> None:
        grid, net, space = self.grid, self.network, item.workspace
        lists, _, sizes = space.tables
        rule, keys, places = self._rule(), self.keys[item.number], self._places(item.number)
        sizes[:] = 0
        sizes[kernels.LIVE] = kernels.load(
            x, space.grid, grid.height, grid.width, self.channels, net.cp, lists[kernels.LIVE]
        )
        _forward.begin(rule, grid.arrays, space.tables, space.grid, net.cp)
        step = 0
        while step < self.steps:
            # The number of living cells is not known in advance, so memory is allocated in pieces.
            ahead = min(self.steps - step, SAVED_AHEAD)
            room = int(sizes[kernels.LIVE] + sizes[kernels.CANDIDATES] * ahead * 5 // 4) + 1024
            cells = np.empty(room if self.records else 0, np.int32)
            values = empty(cells.size * net.cp, self.dtype)
            starts = np.zeros(self.steps - step + 2 if self.records else 0, np.int64)
            saved = kernels.Saved(cells, values, starts)
            reached = _forward.forward(
                item.offer, net.model, rule, grid.arrays,
                kernels.Span(step, self.steps, keys, places), space.tables, space.grid,
                scratch.buffer, space.dx, space.row_of, saved, states,
            )  # fmt: skip
            if self.records:
                self.saved[item.number].append(_Saved(step, reached, saved))
            step = reached
        kernels.clear(space.grid, lists[kernels.LIVE, : sizes[kernels.LIVE]], net.cp)

    def _rule(self) -> kernels.Rule:
        return kernels.Rule(
            below=self.below,
            threshold=self.dtype(self.config.alive_threshold),
            pre_post=self.config.alive_mask == "pre_post",
            everywhere=self.network.everywhere,
        )

    def _help_grow(self, item: Item, scratch: Scratch) -> None:
        space = item.workspace
        fired = space.tables.lists[kernels.FIRED]
        _forward.help_forward(
            item.offer, self.network.model, fired, space.grid, scratch.buffer, space.dx
        )

    def backward(self, grad: Tensor, to_x: bool, to_filters: bool) -> tuple[Tensor | None, ...]:
        """Gradients of the states before, the filters, the genes and the layers."""
        grad, net = grad.contiguous(), self.network
        flat = grad.numpy().reshape(-1)
        x = torch.zeros(grad.shape[1:], dtype=grad.dtype) if to_x else None
        # One sum per item and part, added in order: the same bits whichever thread ran which part.
        totals = zeros((self.batch, 2, net.n_totals), self.dtype)
        tap_totals = zeros((self.batch, 2, net.tap_weight.size), self.dtype)

        def task(item: Item, scratch: Scratch) -> None:
            target = None if x is None else x[item.number].numpy().reshape(-1)
            sums = totals[item.number], tap_totals[item.number]
            self._flow_back(item, scratch, flat, target, to_filters, *sums)

        def help_with(item: Item, scratch: Scratch) -> None:
            space = item.workspace
            _backward.help_backward(
                item.offer, net.model, space.tables.lists[kernels.FIRED], space.grid,
                scratch.buffer, scratch.deltas, space.dx, space.flow, to_filters,
                totals[item.number], tap_totals[item.number],
            )  # fmt: skip

        if self.steps:
            self.threads.each_item(task, help_with)
        if x is not None and self.kept[0] == 0:
            x += grad[0]
        filters = net.filter_gradient(tap_totals.sum((0, 1))) if to_filters else None
        sums = totals.sum((0, 1))
        return x, filters, net.gene_gradient(sums), *net.layer_gradients(sums)

    def _flow_back(
        self,
        item: Item,
        scratch: Scratch,
        grad_states: np.ndarray,
        x: np.ndarray | None,
        to_filters: bool,
        totals: np.ndarray,
        tap_totals: np.ndarray,
    ) -> None:
        grid, net, space = self.grid, self.network, item.workspace
        saved = self.saved[item.number]
        keys, places = self.keys[item.number], self._places(item.number)
        space.tables.maps[:] = 0
        kernels.clear(space.gradient, saved[-1].living(self.steps), net.cp)
        for part in reversed(saved):
            _backward.backward(
                item.offer, net.model, self._rule(), grid.arrays,
                kernels.Span(part.first_step, part.end, keys, places), space.tables, space.grid,
                space.gradient, scratch.buffer, scratch.deltas, space.dx, space.flow,
                part.arrays, grad_states, to_filters, x is not None, totals, tap_totals,
            )  # fmt: skip
        kernels.clear(space.grid, saved[0].living(0), net.cp)
        if x is not None:
            kernels.unload(space.gradient, net.cp, self.channels, grid.number, x)
