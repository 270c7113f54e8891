"""The CPU engine: exact rollouts that cost only what lives.

Most cells are dead, and of the living a cell updates only when it fires. This engine evaluates
the update network for the cells that fire among those that may live, and takes gradients back
through the cells that survived, which gives what `dense` gives: a cell outside `pre` is zeroed
whatever it computes, and where such a cell could still keep a neighbour alive (the 5 x 5 ring of
the alive mask), it is computed too. Nothing else is skipped.

A rollout is one autograd function. It saves the living cells and their states, recomputes hidden
activations, and gives whole batch items to threads. Results do not depend on how many.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nca.config import NCAConfig
from nca.engine import _kernels as kernels
from nca.engine import dense
from nca.engine._simd import ROW_MULTIPLE, VECTOR_BYTES, product_address
from nca.fire import step_keys, threshold
from nca.model import NCA

DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


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
    """See `nca.engine.Engine.rollout`; what it does not support is left to `dense`."""
    if not supports(nca, x):
        return dense.rollout(nca, x, steps, seeds, t0, keep, angle)
    kept = sorted(set((steps,) if keep is None else keep))
    inputs = [x, nca.rotated_filters(angle)]
    for layer in nca.layers:
        inputs += [layer.weight, layer.bias]
    records = torch.is_grad_enabled() and any(i is not None and i.requires_grad for i in inputs)
    keys = torch.stack([step_keys(seeds, t0 + t) for t in range(kept[-1])], 1) if kept[-1] else None
    run = _Run(nca.config, tuple(x.shape), x.dtype, kept, keys, records)
    return _Rollout.apply(run, *inputs)


class _Rollout(torch.autograd.Function):
    """All steps of all items as one node of the autograd graph."""

    @staticmethod
    def forward(ctx: Any, run: _Run, x: Tensor, filters: Tensor, *layers: Tensor | None) -> Tensor:
        ctx.run = run
        ctx.shapes = [None if p is None else p.shape for p in layers]
        ctx.set_materialize_grads(False)
        return run.forward(x, filters, layers)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * len(ctx.needs_input_grad)
        _, to_x, to_filters, *_ = ctx.needs_input_grad
        x, filters, layers = ctx.run.backward(grad, to_x, to_filters)
        return None, x, filters, *layers


@dataclass
class _Saved:
    """Steps of one item: living cells and their states, one list after the other."""

    first_step: int
    end: int
    cells: np.ndarray
    states: np.ndarray
    starts: np.ndarray


@dataclass
class _Workspace:
    """What one thread needs to run an item; the grids are empty between items."""

    grid: np.ndarray
    gradient: np.ndarray
    buffer: np.ndarray
    deltas: np.ndarray
    dx: np.ndarray
    row_of: np.ndarray
    lists: np.ndarray
    maps: np.ndarray
    sizes: np.ndarray = field(default_factory=lambda: np.zeros(5, np.int64))


class _Run:
    """One rollout: geometry, packed weights, and what the backward pass needs."""

    def __init__(
        self,
        config: NCAConfig,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        kept: list[int],
        keys: Tensor | None,
        records: bool,
    ) -> None:
        self.config, self.kept, self.records = config, kept, records
        self.batch, self.height, self.width, self.channels = shape
        self.steps = kept[-1]
        self.dtype = DTYPES[dtype]
        self.lanes = VECTOR_BYTES // np.dtype(self.dtype).itemsize
        self.cp = self._whole(self.channels)
        self.keys = np.zeros((self.batch, 0), np.int64) if keys is None else keys.numpy()
        self.saved: list[list[_Saved]] = [[] for _ in range(self.batch)]
        self.product = product_address(self.dtype)
        self._number_cells()

    def _whole(self, n: int) -> int:
        """`n` rounded up to whole vectors."""
        return -(-n // self.lanes) * self.lanes

    def _row(self, n: int) -> int:
        """Row length for n columns: an odd number of vectors, or rows would share cache sets."""
        return n + self.lanes * (n // self.lanes % 2 == 0)

    def _empty(self, *shape: int) -> np.ndarray:
        """Uninitialised array that starts on a cache line: vectors then never cross one."""
        size = int(np.prod(shape)) * np.dtype(self.dtype).itemsize
        raw = np.empty(size + 64, np.uint8)
        start = -raw.ctypes.data % 64
        return raw[start : start + size].view(self.dtype).reshape(shape)

    def _zeros(self, *shape: int) -> np.ndarray:
        array = self._empty(*shape)
        array[...] = 0
        return array

    def _number_cells(self) -> None:
        """Numbers of the cells with a border around them, and where the border leads."""
        height, width = self.height, self.width
        self.stride = width + 2
        rows = np.arange(-1, height + 1)[:, None]
        columns = np.arange(-1, width + 1)[None, :]
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        self.number = np.where(inside, rows * width + columns, -1).astype(np.int32).ravel()
        lead = (rows % height + 1) * self.stride + columns % width + 1
        circular = self.config.padding == "circular"
        self.home = np.where(inside | circular, lead, 0).astype(np.int32).ravel()
        self.ghosts = np.flatnonzero(self.number < 0 if circular else []).astype(np.int32)
        self.offsets = np.array(
            [dy * self.stride + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)], np.int64
        )

    def _places(self, item: int) -> np.ndarray:
        """Where in the flat result the item's state after each step begins, or -1."""
        places = np.full(self.steps + 1, -1, np.int64)
        for slot, step in enumerate(self.kept):
            cells = self.height * self.width
            places[step] = (slot * self.batch + item) * cells * self.channels
        return places

    def _pack(self, filters: Tensor, layers: Sequence[Tensor | None]) -> None:
        """Lay out filters and weights as the kernels read them."""
        bank = filters.detach().numpy().reshape(filters.shape[0], self.channels, 9)
        # Constant filters are mostly zeros; a learned one needs all its taps for its gradient.
        used = np.ones((len(bank), 9), bool)
        if self.config.perception == "fixed":
            used = (bank != 0).any(1)
        self.taps = np.argwhere(used)
        self.tap_end = used.sum(1).cumsum()
        self.tap_offset = self.offsets[self.taps[:, 1]]
        self.tap_weight = self._zeros(len(self.taps), self.cp)
        self.tap_weight[:, : self.channels] = bank[self.taps[:, 0], :, self.taps[:, 1]]
        self.tap_weight = self.tap_weight.ravel()

        columns = np.arange(len(bank) * self.cp).reshape(len(bank), self.cp)
        self.inputs = columns[:, : self.channels].ravel()  # the rest of a row is filling
        widths = [len(bank) * self.cp, *map(self._whole, self.config.hidden), self.cp]
        rows = [self._row(n) for n in widths]
        weight_at, activation_at, total_at = max(rows) + 4 * self.lanes, 0, 0
        plan = np.zeros((len(widths) - 1, 11), np.int64)
        for i, p in enumerate(plan):
            n_in, n_out, ld_in, ld_out = widths[i], widths[i + 1], rows[i], rows[i + 1]
            p[:4] = n_in, n_out, ld_in, ld_out
            p[4:7] = weight_at + np.cumsum([0, n_in * ld_out, n_out * ld_in])
            weight_at = p[6] + ld_out
            p[7:9] = activation_at, activation_at + (kernels.BLOCK + 4) * ld_in
            activation_at = p[8]
            p[9:] = total_at, total_at + (n_in + ROW_MULTIPLE) * ld_out
            total_at = p[10] + ld_out
        self.plan = plan
        self.activations = activation_at + (kernels.BLOCK + 4) * rows[-1]
        self.totals = total_at
        self.weights = self._zeros(weight_at)
        for p, weight, bias in zip(plan, layers[::2], layers[1::2], strict=True):
            last = p is plan[-1] or p[8] == plan[-1, 8]
            scale = self.config.step_size if last else 1.0
            w = weight.detach().numpy() * self.dtype(scale)
            by_in = self.weights[p[4] : p[4] + p[0] * p[3]].reshape(p[0], p[3])
            by_out = self.weights[p[5] : p[5] + p[1] * p[2]].reshape(p[1], p[2])
            source = self.inputs if p[7] == 0 else np.arange(w.shape[1])
            by_in[source, : w.shape[0]] = w.T
            by_out[: w.shape[0], source] = w
            if bias is not None:
                self.weights[p[6] : p[6] + w.shape[0]] = bias.detach().numpy() * self.dtype(scale)
        self.everywhere = False
        if self.config.alive_mask == "post":
            value = np.zeros(len(bank) * self.channels, self.dtype)
            for p, weight, bias in zip(plan, layers[::2], layers[1::2], strict=True):
                value = weight.detach().numpy() @ value
                if bias is not None:
                    value = value + bias.detach().numpy()
                if p[8] != plan[-1, 8]:
                    value = value.clip(0)
            # A cell that sees nothing but zeros may come alive by itself; a little early is right.
            limit = self.config.alive_threshold * (1 - 1e-3) - 1e-6
            self.everywhere = not self.config.step_size * value[3] <= limit

    def _workspace(self) -> _Workspace:
        padded, cells = self.number.size, self.height * self.width
        return _Workspace(
            grid=self._zeros(padded * self.cp),
            gradient=self._zeros(padded * self.cp if self.records else 0),
            buffer=self._zeros(self.activations + 64),
            deltas=self._zeros(self.activations + 64),
            dx=self._empty((cells + kernels.BLOCK) * self.cp),
            row_of=np.empty(cells, np.int32),
            lists=np.empty((5, cells + 2), np.int32),
            maps=np.zeros((4, padded), np.int32),
        )

    def _each_item(self, task: Callable[[int, _Workspace], None]) -> None:
        """Run task(item, workspace) for every item, on as many threads as torch would use."""
        threads = min(torch.get_num_threads(), self.batch)
        items: Iterator[int] = iter(range(self.batch))
        lock = threading.Lock()

        def work() -> None:
            workspace = self._workspace()
            while True:
                with lock:
                    item = next(items, None)
                if item is None:
                    return
                task(item, workspace)

        if threads == 1:
            return work()
        with ThreadPoolExecutor(threads) as pool:
            for future in [pool.submit(work) for _ in range(threads)]:
                future.result()

    def forward(self, x: Tensor, filters: Tensor, layers: Sequence[Tensor | None]) -> Tensor:
        """The kept states, [K, B, H, W, C]."""
        self._pack(filters, layers)
        states = torch.zeros((len(self.kept), *x.shape), dtype=x.dtype)
        if self.kept[0] == 0:
            states[0] = x.detach()
        if not self.steps:
            return states
        flat = states.numpy().reshape(-1)
        start = x.detach().contiguous().numpy().reshape(self.batch, -1)
        self._each_item(lambda item, space: self._grow(item, space, start[item], flat))
        return states

    def _grow(self, item: int, space: _Workspace, x: np.ndarray, states: np.ndarray) -> None:
        rule = self.config
        below, limit = threshold(rule.fire_rate), self.dtype(rule.alive_threshold)
        pre_post = rule.alive_mask == "pre_post"
        lists, sizes, records = space.lists, space.sizes, self.records
        sizes[:] = 0
        sizes[kernels.LIVE] = kernels.load(
            x, space.grid, self.height, self.width, self.channels, self.cp, lists[kernels.LIVE]
        )
        kernels.begin(
            space.grid, limit, pre_post, self.everywhere, self.cp, self.offsets, self.home,
            self.number, lists, space.maps, sizes,
        )  # fmt: skip
        places = self._places(item)
        step = 0
        while step < self.steps:
            # Buffers for some steps at a time: how much will live is not known beforehand.
            ahead = min(self.steps - step, 16)
            room = int(sizes[kernels.LIVE] + sizes[kernels.CANDIDATES] * ahead * 5 // 4) + 1024
            cells = np.empty(room if records else 0, np.int32)
            values = self._empty(cells.size * self.cp)
            starts = np.zeros(self.steps - step + 2 if records else 0, np.int64)
            reached = kernels.forward(
                self.product, step, self.steps, self.keys[item], below, limit, pre_post,
                self.everywhere, places, self.cp, self.lanes, self.channels, self.offsets,
                self.home, self.ghosts, self.number, self.tap_end, self.tap_offset,
                self.tap_weight, self.plan, self.weights, space.grid, space.buffer, space.dx,
                space.row_of, lists, space.maps, sizes, cells, values, starts, states,
            )  # fmt: skip
            if records:
                self.saved[item].append(_Saved(step, reached, cells, values, starts))
            step = reached
        kernels.clear(space.grid, lists[kernels.LIVE, : sizes[kernels.LIVE]], self.cp)

    def backward(
        self, grad: Tensor, to_x: bool, to_filters: bool
    ) -> tuple[Tensor | None, Tensor | None, list[Tensor | None]]:
        """Gradients of the states before, the filters and the layers."""
        grad = grad.contiguous()
        flat = grad.numpy().reshape(-1)
        x = torch.zeros(grad.shape[1:], dtype=grad.dtype) if to_x else None
        totals = self._zeros(self.batch, self.totals)
        tap_totals = self._zeros(self.batch, self.tap_weight.size)
        if self.steps:

            def task(item: int, space: _Workspace) -> None:
                target = None if x is None else x[item].numpy().reshape(-1)
                self._flow_back(
                    item, space, flat, target, to_filters, totals[item], tap_totals[item]
                )

            self._each_item(task)
        if x is not None and self.kept[0] == 0:
            x += grad[0]
        filters = self._filter_gradient(tap_totals.sum(0)) if to_filters else None
        return x, filters, self._layer_gradients(totals.sum(0))

    def _flow_back(
        self,
        item: int,
        space: _Workspace,
        grad_states: np.ndarray,
        x: np.ndarray | None,
        to_filters: bool,
        totals: np.ndarray,
        tap_totals: np.ndarray,
    ) -> None:
        places = self._places(item)
        space.maps[:] = 0
        final = self.saved[item][-1]
        begins, stops = final.starts[final.end - final.first_step :][:2]
        kernels.clear(space.gradient, final.cells[begins:stops], self.cp)
        for part in reversed(self.saved[item]):
            kernels.backward(
                self.product, part.first_step, part.end, self.keys[item],
                threshold(self.config.fire_rate), places, self.cp, self.lanes, self.channels,
                self.ghosts, self.home, self.number, self.tap_end, self.tap_offset,
                self.tap_weight, self.plan, self.weights, space.grid, space.gradient,
                space.buffer, space.deltas, space.dx, space.lists, space.maps, part.cells,
                part.states, part.starts, grad_states, to_filters, x is not None, totals,
                tap_totals,
            )  # fmt: skip
        first = self.saved[item][0]
        kernels.clear(space.grid, first.cells[: first.starts[1]], self.cp)
        if x is not None:
            kernels.unload(space.gradient, self.cp, self.channels, self.number, x)

    def _filter_gradient(self, totals: np.ndarray) -> Tensor:
        bank = np.zeros((len(self.tap_end), self.channels, 9), self.dtype)
        values = totals.reshape(-1, self.cp)[:, : self.channels]
        bank[self.taps[:, 0], :, self.taps[:, 1]] = values
        return torch.from_numpy(bank).reshape(len(bank), self.channels, 3, 3)

    def _layer_gradients(self, totals: np.ndarray) -> list[Tensor | None]:
        gradients: list[Tensor | None] = []
        outs = [*self.config.hidden, self.channels]
        biases = [self.config.bias] * len(self.config.hidden) + [self.config.out_bias]
        for i, (p, n_out, biased) in enumerate(zip(self.plan, outs, biases, strict=True)):
            scale = self.dtype(self.config.step_size if i == len(outs) - 1 else 1.0)
            source = self.inputs if i == 0 else np.arange(outs[i - 1])
            by_in = totals[p[9] : p[9] + p[0] * p[3]].reshape(p[0], p[3])
            gradients.append(torch.from_numpy(by_in[source, :n_out].T * scale))
            bias = totals[p[10] : p[10] + n_out] * scale
            gradients.append(torch.from_numpy(bias) if biased else None)
        return gradients
