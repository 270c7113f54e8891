"""What the compiled forward and backward passes share: grids, perception, the update network.

Each kernel releases the GIL and works on one batch item. Threads take whole items, so they do not
wait for each other, and sums do not depend on which thread ran which item.

A grid here is flat and has a border of one cell: cell (y, x) is number (y + 1) * (W + 2) + x + 1,
its C channels (padded with zeros to whole vectors) are adjacent, and a neighbour is at a fixed
offset. Border cells are 0, or copies of the opposite side when the grid is circular. Operations
visit only the cells in their list.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nca.engine._jit import jit
from nca.engine._product import PLAIN, RELU, matmul
from nca.engine._simd import vfma, vload, vstore, vzero

BLOCK = 96  # cells per matrix product: the activations of a block fit the L2 cache

# Columns of `plan`, one row per layer: input and output width (whole vectors, except the input of
# the first layer: filters times channels), input and output row length, the start of the weights
# [in, out], of the weights [out, in] and of the bias in `weights`, the start of the input and the
# output activations in `buffer` (their gradients are at the same place in `deltas`), and the start
# of the gradients of the weights [in, out] and of the bias in `totals`.
(IN, OUT, LD_IN, LD_OUT, BY_IN, BY_OUT, BIAS, ACT_IN, ACT_OUT, SUM, SUM_BIAS) = range(11)
LIVE, CANDIDATES, FIRED, ROOM, STRAYS = range(5)  # rows of `lists`; first entries of `sizes`
NEAR, HIGH, LISTED, STAMP = range(4)  # rows of `maps`
ZEROS = 0  # `weights` starts with a row of zeros

_MASK = 0xFFFFFFFF

# Groups of arguments. Numba passes a NamedTuple as its fields: measured against separate arguments,
# speed and compile time are the same.


class Cells(NamedTuple):
    """The numbers of a grid's cells; see `nca.engine._layout.Grid`."""

    offsets: np.ndarray
    home: np.ndarray
    ghosts: np.ndarray
    number: np.ndarray


class Model(NamedTuple):
    """Perception and update network; see `nca.engine._layout.Network`.

    Attributes:
        product: address of the matrix product.
        channels: of a state.
        seen: channels that the rule perceives and changes; with kinds the kind follows them.
        kinds: how many; a kind is one more row of biases of the first layer, from row 1 on.
        mixed: where in `buffer` the biases of a block are gathered whose cells differ in kind.
        cp: channels in whole vectors.
        lanes: elements of a vector register.
        tap_end: for each filter, the end of its taps in the next two arrays.
        tap_offset: for each tap, the offset of the cell that it reads.
        tap_weight: for each tap, `cp` weights.
        plan: sizes and places of the layers.
        weights: of all layers.
    """

    product: int
    channels: int
    seen: int
    kinds: int
    mixed: int
    cp: int
    lanes: int
    tap_end: np.ndarray
    tap_offset: np.ndarray
    tap_weight: np.ndarray
    plan: np.ndarray
    weights: np.ndarray


class Rule(NamedTuple):
    """When a cell fires and lives.

    Attributes:
        below: a cell fires when its 24 bits are below this.
        threshold: alpha above which a cell counts as alive.
        pre_post: whether a living neighbour is required before the update too.
        everywhere: whether cells may come alive with no living neighbour.
    """

    below: int
    threshold: np.floating
    pre_post: bool
    everywhere: bool


class Span(NamedTuple):
    """The steps of one call.

    Attributes:
        first: the first one.
        end: the one after the last.
        keys: of each step for the fire mask, from step 0 on.
        places: where in the kept states the item's state after each step begins, -1 if nowhere.
    """

    first: int
    end: int
    keys: np.ndarray
    places: np.ndarray


class Tables(NamedTuple):
    """Lists and maps of a run's cells: rows LIVE ... STRAYS, NEAR ... STAMP, and list lengths."""

    lists: np.ndarray
    maps: np.ndarray
    sizes: np.ndarray


class Saved(NamedTuple):
    """Living cells and their states of some steps, one list after the other.

    List i, that before step `first` + i, is starts[i] to starts[i + 1].
    """

    cells: np.ndarray
    states: np.ndarray
    starts: np.ndarray


@jit
def fires(key, number, below):
    """Whether cell `number` = y * W + x updates; nca.fire.fire_mask for one cell."""
    h = np.int64(key) ^ ((np.int64(number) * 0x9E3779B9) & _MASK)
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & _MASK
    h = ((h ^ (h >> 15)) * 0x846CA68B) & _MASK
    h = h ^ (h >> 16)
    return (h >> 8) < below


@jit
def dilate(cells, n, offsets, home, stamp, mark, out):
    """List each cell within 3 x 3 of the n listed ones once, in `out`; returns how many.

    `stamp` is set to `mark` there. Marks only increase, and cell 0, to which the border of a
    bounded grid maps, has a mark that is never reached.
    """
    m = np.int64(0)
    for i in range(n):
        for offset in offsets:
            q = home[cells[i] + offset]
            if stamp[q] < mark:
                stamp[q] = mark
                out[m] = q
                m += 1
    return m


@jit
def every_cell(number, out):
    """List all cells; returns how many."""
    n = np.int64(0)
    for cell in range(number.size):
        if number[cell] >= 0:
            out[n] = cell
            n += 1
    return n


@jit
def wrap(grid, cells, cp, lanes):
    """Copy the opposite side of a circular grid to its border."""
    for g in cells.ghosts:
        for c in range(0, cp, lanes):
            vstore(grid, g * cp + c, vload(grid, cells.home[g] * cp + c))


@jit
def load(x, grid, height, width, channels, cp, cells):
    """Copy an item's [H, W, C] state into an empty grid; lists the cells that are not zero."""
    n = 0
    for y in range(height):
        for column in range(width):
            source = (y * width + column) * channels
            for c in range(channels):
                if x[source + c] != 0:
                    cell = (y + 1) * (width + 2) + column + 1
                    for d in range(channels):
                        grid[cell * cp + d] = x[source + d]
                    cells[n] = cell
                    n += 1
                    break
    return n


@jit
def unload(grid, cp, channels, number, x):
    """Copy a grid's cells, without its border, to a flat [H, W, C] array."""
    for cell in range(number.size):
        if number[cell] >= 0:
            for c in range(channels):
                x[number[cell] * channels + c] = grid[cell * cp + c]


@jit
def clear(grid, cells, cp):
    """Zero the listed cells."""
    for cell in cells:
        for c in range(cp):
            grid[cell * cp + c] = 0


@jit
def perceive(model, cells, first, m, grid, buffer):
    """The perception vectors of m listed cells, into the buffer's first m rows.

    Four cells at a time share the loads of taps; beyond m the last cell is repeated. A filter's
    last vector may overlap the next filter, which is written after it.
    """
    cp, lanes, channels, ld = model.cp, model.lanes, model.seen, model.plan[0, LD_IN]
    tap_end, tap_offset, tap_weight = model.tap_end, model.tap_offset, model.tap_weight
    last = first + m - 1
    for i in range(0, m, 4):
        at0 = cells[first + i] * cp
        at1 = cells[min(first + i + 1, last)] * cp
        at2 = cells[min(first + i + 2, last)] * cp
        at3 = cells[min(first + i + 3, last)] * cp
        tap = 0
        for k in range(tap_end.size):
            for c in range(0, cp, lanes):
                seen0 = seen1 = seen2 = seen3 = vzero(grid)
                for s in range(tap, tap_end[k]):
                    offset = tap_offset[s] * cp + c
                    weight = vload(tap_weight, s * cp + c)
                    seen0 = vfma(weight, vload(grid, at0 + offset), seen0)
                    seen1 = vfma(weight, vload(grid, at1 + offset), seen1)
                    seen2 = vfma(weight, vload(grid, at2 + offset), seen2)
                    seen3 = vfma(weight, vload(grid, at3 + offset), seen3)
                to = i * ld + k * channels + c
                vstore(buffer, to, seen0)
                vstore(buffer, to + ld, seen1)
                vstore(buffer, to + 2 * ld, seen2)
                vstore(buffer, to + 3 * ld, seen3)
            tap = tap_end[k]


@jit
def kind_of(held, kinds):
    """The kind that a cell holds, 0 when it holds none of so many kinds."""
    return np.int64(min(held, kinds)) if held > 0 else np.int64(0)


@jit
def one_kind(model, cells, first, m, grid):
    """The kind of m listed cells, -1 when they differ."""
    kinds, cp, seen = model.kinds, model.cp, model.seen
    if kinds == 0:
        return np.int64(0)
    held = grid[cells[first] * cp + seen]
    for i in range(first + 1, first + m):
        if grid[cells[i] * cp + seen] != held:
            return np.int64(-1)
    return kind_of(held, kinds)


@jit
def hidden_layers(model, cells, first, m, grid, buffer):
    """Activations of all layers but the last, from the perceptions of m cells in the buffer."""
    plan, weights, lanes = model.plan, model.weights, model.lanes
    p = plan[0]
    kind, ld = one_kind(model, cells, first, m, grid), p[LD_OUT]
    if kind >= 0:
        matmul(
            model.product, m, p[OUT], p[IN], buffer, p[ACT_IN], p[LD_IN], 0, weights, p[BY_IN], ld,
            buffer, p[ACT_OUT], ld, weights, p[BIAS] + kind * ld, 0, RELU, buffer, p[ACT_OUT],
        )  # fmt: skip
    else:
        cp, seen, kinds = model.cp, model.seen, model.kinds
        for i in range(m):
            bias = p[BIAS] + kind_of(grid[cells[first + i] * cp + seen], kinds) * ld
            for c in range(0, p[OUT], lanes):
                vstore(buffer, model.mixed + i * ld + c, vload(weights, bias + c))
        matmul(
            model.product, m, p[OUT], p[IN], buffer, p[ACT_IN], p[LD_IN], 0, weights, p[BY_IN], ld,
            buffer, p[ACT_OUT], ld, buffer, model.mixed, ld, RELU, buffer, p[ACT_OUT],
        )  # fmt: skip
    for layer in range(1, plan.shape[0] - 1):
        p = plan[layer]
        matmul(
            model.product, m, p[OUT], p[IN], buffer, p[ACT_IN], p[LD_IN], 0, weights, p[BY_IN],
            p[LD_OUT], buffer, p[ACT_OUT], p[LD_OUT], weights, p[BIAS], 0, RELU, buffer, p[ACT_OUT],
        )  # fmt: skip


@jit
def update(model, cells, first, n, grid, buffer, dx):
    """Write the updates of cells[first : first + n] to the same rows of `dx`."""
    plan, weights, cp = model.plan, model.weights, model.cp
    p = plan[plan.shape[0] - 1]
    for row in range(first, first + n, BLOCK):
        m = min(BLOCK, first + n - row)
        perceive(model, cells, row, m, grid, buffer)
        hidden_layers(model, cells, row, m, grid, buffer)
        matmul(
            model.product, m, p[OUT], p[IN], buffer, p[ACT_IN], p[LD_IN], 0, weights, p[BY_IN],
            p[LD_OUT], dx, row * cp, cp, weights, p[BIAS], 0, PLAIN, dx, row * cp,
        )  # fmt: skip
