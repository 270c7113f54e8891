"""How the sparse engine lays out grids and weights for its kernels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor, from_numpy

from nca.config import NCAConfig
from nca.engine import _kernels as kernels
from nca.engine._product import ROW_MULTIPLE, product_address
from nca.engine._simd import VECTOR_BYTES


def empty(shape: int | tuple[int, ...], dtype: type[np.floating]) -> np.ndarray:
    """Uninitialised array aligned to a cache line, so that no vector crosses one."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def zeros(shape: int | tuple[int, ...], dtype: type[np.floating]) -> np.ndarray:
    """Zeros, aligned to a cache line."""
    array = empty(shape, dtype)
    array[...] = 0
    return array


class Grid:
    """Numbers of the cells of an H x W grid with a border of one, see `_kernels`.

    `number[cell]` is y * W + x, -1 on the border. `home[cell]` is the cell itself; on the border
    the cell on the opposite side, or 0 where the grid is bounded. `ghosts` are the border cells
    that mirror others. `offsets` are those of the 3 x 3 neighbourhood, row by row.
    """

    def __init__(self, height: int, width: int, circular: bool) -> None:
        self.height, self.width, self.cells = height, width, height * width
        rows = np.arange(-1, height + 1)[:, None]
        columns = np.arange(-1, width + 1)[None, :]
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        self.number = np.where(inside, rows * width + columns, -1).astype(np.int32).ravel()
        home = (rows % height + 1) * (width + 2) + columns % width + 1
        self.home = np.where(inside | circular, home, 0).astype(np.int32).ravel()
        self.ghosts = np.flatnonzero(self.number < 0 if circular else []).astype(np.int32)
        around = (-1, 0, 1)
        self.offsets = np.array([dy * (width + 2) + dx for dy in around for dx in around], np.int64)
        self.arrays = kernels.Cells(self.offsets, self.home, self.ghosts, self.number)


class Network:
    """Filters and weights in the layout of the kernels: whole vectors, multiplied by the step size.

    `everywhere`: cells may come alive with no living neighbour.
    """

    def __init__(
        self,
        config: NCAConfig,
        offsets: np.ndarray,
        filters: Tensor,
        layers: Sequence[Tensor | None],
        dtype: type[np.floating],
        genes: Tensor | None = None,
    ) -> None:
        self.config, self.dtype = config, dtype
        self.lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
        self.cp = self._whole(config.channels)
        self._pack_filters(offsets, filters)
        self._plan()
        self._pack_layers(layers)
        if genes is not None:
            rows = self._kind_rows(self.weights, kernels.BIAS)
            rows[1:, : config.hidden[0]] = rows[0, : config.hidden[0]] + genes.detach().numpy()
        self.model = kernels.Model(
            product=product_address(dtype),
            channels=config.channels,
            seen=config.rule_channels,
            kinds=config.kinds,
            mixed=self.mixed,
            cp=self.cp,
            lanes=self.lanes,
            tap_end=self.tap_end,
            tap_offset=self.tap_offset,
            tap_weight=self.tap_weight,
            plan=self.plan,
            weights=self.weights,
        )

    def _whole(self, n: int) -> int:
        """`n` rounded up to whole vectors."""
        return -(-n // self.lanes) * self.lanes

    def _row(self, n: int) -> int:
        """Row length for n columns: an odd number of vectors, so that rows use all cache sets."""
        return n + self.lanes * (n // self.lanes % 2 == 0)

    def _pack_filters(self, offsets: np.ndarray, filters: Tensor) -> None:
        channels = self.config.rule_channels
        bank = filters.detach().numpy().reshape(len(filters), channels, 9)
        # Constant filters are mostly zeros; a learned one needs all its taps for its gradient.
        used = np.ones((len(bank), 9), bool)
        if self.config.perception == "fixed":
            used = (bank != 0).any(1)
        self.taps = np.argwhere(used)
        self.tap_end = used.sum(1).cumsum()
        self.tap_offset = offsets[self.taps[:, 1]]
        weights = zeros((len(self.taps), self.cp), self.dtype)
        weights[:, :channels] = bank[self.taps[:, 0], :, self.taps[:, 1]]
        self.tap_weight = weights.ravel()

    def _plan(self) -> None:
        """Sizes and places of all layers: rows of `_kernels.IN ... SUM_BIAS`."""
        hidden = [self._whole(n) for n in self.config.hidden]
        # The filters' outputs are adjacent, without padding, which would be multiplied like the
        # rest: each filter writes whole vectors, and the next one overwrites the excess.
        perceived = len(self.tap_end) * self.config.rule_channels
        written = self._whole(perceived - self.config.rule_channels + self.cp)
        widths = [perceived, *hidden, self.cp]
        rows = [self._row(n) for n in (written, *hidden, self.cp)]
        block = kernels.BLOCK + 4
        weights, activations, totals = max(rows) + 4 * self.lanes, 0, 0
        self.plan = np.zeros((len(widths) - 1, 11), np.int64)
        biases = [1 + self.config.kinds] + [1] * len(hidden)
        for p, (n_in, n_out), (ld_in, ld_out), several in zip(
            self.plan, pairwise(widths), pairwise(rows), biases, strict=True
        ):
            by_out = weights + n_in * ld_out
            bias = by_out + n_out * ld_in
            sum_bias = totals + (n_in + ROW_MULTIPLE) * ld_out
            p[:7] = n_in, n_out, ld_in, ld_out, weights, by_out, bias
            p[7:] = activations, activations + block * ld_in, totals, sum_bias
            weights, activations = bias + several * ld_out, p[kernels.ACT_OUT]
            totals = sum_bias + several * ld_out
        self.n_weights, self.n_totals = weights, totals
        self.mixed = activations + block * rows[-1] + ROW_MULTIPLE
        self.n_activations = self.mixed
        if self.config.kinds:
            self.n_activations += (kernels.BLOCK + ROW_MULTIPLE) * rows[1]

    def _kind_rows(self, numbers: np.ndarray, start: int) -> np.ndarray:
        """The first layer's biases, or in `totals` their gradients: a row for no kind, and each."""
        first, ld = self.plan[0, start], self.plan[0, kernels.LD_OUT]
        return numbers[first : first + (1 + self.config.kinds) * ld].reshape(-1, ld)

    def _scales(self) -> list[np.floating]:
        """What each layer's weights are multiplied by."""
        return [self.dtype(1)] * (len(self.plan) - 1) + [self.dtype(self.config.step_size)]

    def _inputs(self, layer: int) -> int:
        """How many inputs a layer has, without padding."""
        return self.config.hidden[layer - 1] if layer else int(self.plan[0, kernels.IN])

    def _pack_layers(self, layers: Sequence[Tensor | None]) -> None:
        self.weights = zeros(self.n_weights, self.dtype)
        nothing = np.zeros(self._inputs(0), self.dtype)
        for i, (p, scale) in enumerate(zip(self.plan, self._scales(), strict=True)):
            weight, bias = (None if w is None else w.detach().numpy() for w in layers[2 * i :][:2])
            weight = weight * scale
            n_out, inputs = len(weight), self._inputs(i)
            start, stop = p[kernels.BY_IN], p[kernels.BY_OUT]
            self.weights[start:stop].reshape(p[0], p[3])[:inputs, :n_out] = weight.T
            start, stop = stop, p[kernels.BIAS]
            self.weights[start:stop].reshape(p[1], p[2])[:n_out, :inputs] = weight
            with np.errstate(invalid="ignore"):  # the trainer handles infinite weights
                nothing = weight @ (nothing if i == 0 else nothing.clip(0))
            if bias is not None:
                self.weights[stop : stop + n_out] = bias * scale
                nothing = nothing + bias * scale
        # A cell whose neighbourhood is zero may come alive by itself. The margin covers rounding:
        # computing every cell when that is not needed is slower, never wrong.
        limit = self.config.alive_threshold * (1 - 1e-3) - 1e-6
        self.everywhere = self.config.alive_mask == "post" and not nothing[3] <= limit

    def filter_gradient(self, totals: np.ndarray) -> Tensor:
        """The filters' gradient, [K, C, 3, 3], from the sums of `tap_gradients`."""
        channels = self.config.rule_channels
        bank = np.zeros((len(self.tap_end), channels, 9), self.dtype)
        values = totals.reshape(-1, self.cp)[:, :channels]
        bank[self.taps[:, 0], :, self.taps[:, 1]] = values
        return from_numpy(bank.reshape(*bank.shape[:2], 3, 3))

    def layer_gradients(self, totals: np.ndarray) -> list[Tensor | None]:
        """Gradients of weight and bias of each layer in turn, from the sums of the kernels."""
        gradients: list[Tensor | None] = []
        outs = [*self.config.hidden, self.config.rule_channels]
        biased = [self.config.bias] * len(self.config.hidden) + [self.config.out_bias]
        for i, (p, scale, n_out) in enumerate(zip(self.plan, self._scales(), outs, strict=True)):
            rows = totals[p[kernels.SUM] :][: p[0] * p[3]]
            weight = rows.reshape(p[0], p[3])[: self._inputs(i), :n_out].T * scale
            gradients.append(from_numpy(np.ascontiguousarray(weight)))
            start = p[kernels.SUM_BIAS]
            bias = totals[start : start + n_out] * scale
            if i == 0 and self.config.kinds:
                bias = self._kind_rows(totals, kernels.SUM_BIAS).sum(0)[:n_out]
            gradients.append(from_numpy(bias) if biased[i] else None)
        return gradients

    def gene_gradient(self, totals: np.ndarray) -> Tensor | None:
        """Gradient of the genes, [kinds, hidden], from the same sums; None without kinds."""
        rows = self._kind_rows(totals, kernels.SUM_BIAS)[1:, : self.config.hidden[0]]
        return from_numpy(np.ascontiguousarray(rows)) if self.config.kinds else None
