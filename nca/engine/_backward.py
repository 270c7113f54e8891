"""Gradients through a sparse rollout of one batch item, compiled by Numba."""

from __future__ import annotations

import numpy as np

from nca.engine._kernels import (
    ACT_IN,
    ACT_OUT,
    BLOCK,
    BY_OUT,
    FIRED,
    IN,
    LD_IN,
    LD_OUT,
    OUT,
    STAMP,
    SUM,
    SUM_BIAS,
    ZEROS,
    fires,
    hidden_layers,
    jit,
    perceive,
    wrap,
)
from nca.engine._product import PLAIN, WHERE_POSITIVE, matmul
from nca.engine._simd import vadd, vfma, vload, vstore, vzero


@jit
def scatter(cells, first, m, grid, cp, lanes, tap_end, tap_offset, tap_weight, deltas, ld):
    """Add to the grid's gradient what the perceptions' gradients give: perceive, transposed.

    Four cells at a time, so that no sum waits for the one just stored; beyond m the last cell is
    repeated, with nothing to add.
    """
    last = first + m - 1
    for i in range(m, m + 3):
        for c in range(0, tap_end.size * cp, lanes):
            vstore(deltas, i * ld + c, vzero(grid))
    for i in range(0, m, 4):
        at0 = cells[first + i] * cp
        at1 = cells[min(first + i + 1, last)] * cp
        at2 = cells[min(first + i + 2, last)] * cp
        at3 = cells[min(first + i + 3, last)] * cp
        tap = 0
        for k in range(tap_end.size):
            for c in range(0, cp, lanes):
                row = i * ld + k * cp + c
                delta0 = vload(deltas, row)
                delta1 = vload(deltas, row + ld)
                delta2 = vload(deltas, row + 2 * ld)
                delta3 = vload(deltas, row + 3 * ld)
                for s in range(tap, tap_end[k]):
                    offset = tap_offset[s] * cp + c
                    weight = vload(tap_weight, s * cp + c)
                    to = at0 + offset
                    vstore(grid, to, vfma(weight, delta0, vload(grid, to)))
                    to = at1 + offset
                    vstore(grid, to, vfma(weight, delta1, vload(grid, to)))
                    to = at2 + offset
                    vstore(grid, to, vfma(weight, delta2, vload(grid, to)))
                    to = at3 + offset
                    vstore(grid, to, vfma(weight, delta3, vload(grid, to)))
            tap = tap_end[k]


@jit
def tap_gradients(cells, first, m, grid, cp, lanes, tap_end, tap_offset, deltas, ld, totals):
    """Add to `totals` the gradients of the perception filters."""
    for i in range(m):
        base = cells[first + i] * cp
        tap = 0
        for k in range(tap_end.size):
            for c in range(0, cp, lanes):
                delta = vload(deltas, i * ld + k * cp + c)
                for s in range(tap, tap_end[k]):
                    seen = vload(grid, base + tap_offset[s] * cp + c)
                    vstore(totals, s * cp + c, vfma(seen, delta, vload(totals, s * cp + c)))
            tap = tap_end[k]


@jit
def layer_gradients(product, m, plan, weights, buffer, deltas, totals, lanes, to_input):
    """From the last layer's gradients to the perceptions', adding those of the weights.

    Both activations and their gradients are those of one block of m cells.
    """
    for back in range(plan.shape[0]):
        layer = plan.shape[0] - 1 - back
        p = plan[layer]
        matmul(
            product, p[IN], p[OUT], m, buffer, p[ACT_IN], p[LD_IN], 1,
            deltas, p[ACT_OUT], p[LD_OUT], totals, p[SUM], p[LD_OUT],
            totals, p[SUM], p[LD_OUT], PLAIN, totals, p[SUM],
        )  # fmt: skip
        for c in range(0, p[OUT], lanes):
            at = p[ACT_OUT] + c
            total = vload(totals, p[SUM_BIAS] + c)
            even = vzero(totals)  # two sums, or each addition waits for the one before
            for i in range(0, m - 1, 2):
                even = vadd(even, vload(deltas, at + i * p[LD_OUT]))
                total = vadd(total, vload(deltas, at + (i + 1) * p[LD_OUT]))
            if m % 2:
                even = vadd(even, vload(deltas, at + (m - 1) * p[LD_OUT]))
            vstore(totals, p[SUM_BIAS] + c, vadd(total, even))
        if layer > 0 or to_input:
            mode = WHERE_POSITIVE if layer > 0 else PLAIN
            matmul(
                product, m, p[IN], p[OUT], deltas, p[ACT_OUT], p[LD_OUT], 0,
                weights, p[BY_OUT], p[LD_IN], deltas, p[ACT_IN], p[LD_IN],
                weights, ZEROS, 0, mode, buffer, p[ACT_IN],
            )  # fmt: skip


@jit
def backward(
    product, first_step, end, keys, below, places, cp, lanes, channels, ghosts, home, number,
    tap_end, tap_offset, tap_weight, plan, weights, grid, gradient, buffer, deltas, dx,
    lists, maps, saved_cells, saved_states, saved_from, grad_states,
    learn_filters, to_input, totals, tap_totals,
):  # fmt: skip
    """Take the gradient from step `end` back to `first_step`, through steps saved by `forward`.

    gradient: the grid of d loss / d state, which carries from one call to the next. grad_states:
    the gradient of what was kept, laid out as `forward`'s `states`. to_input: whether the gradient
    of the state before step 0 is wanted too. Adds to `totals` and `tap_totals`.
    """
    fired, stamp = lists[FIRED], maps[STAMP]
    for back in range(end - first_step):
        step = end - 1 - back
        begins, stops = saved_from[step - first_step], saved_from[step - first_step + 1]
        after = saved_cells[stops : saved_from[step - first_step + 2]]
        if places[step + 1] >= 0:
            for cell in after:
                source = places[step + 1] + number[cell] * channels
                for c in range(channels):
                    gradient[cell * cp + c] += grad_states[source + c]

        # The state before the step is put back on the grid: the cells it lists hold all of it.
        for cell in after:
            stamp[cell] = step + 1
            for c in range(0, cp, lanes):
                vstore(grid, cell * cp + c, vzero(grid))
        for i in range(begins, stops):
            for c in range(0, cp, lanes):
                vstore(grid, saved_cells[i] * cp + c, vload(saved_states, i * cp + c))
        if ghosts.size:
            wrap(grid, ghosts, home, cp, lanes)

        n_fired = np.int64(0)
        for cell in after:
            fired[n_fired] = cell
            for c in range(0, cp, lanes):
                vstore(dx, n_fired * cp + c, vload(gradient, cell * cp + c))
            n_fired += np.int64(fires(keys[step], number[cell], below))

        # What lived on keeps its gradient; other cells start at 0. Only those living before the
        # step are ever read again, except before step 0, where every cell has a gradient.
        if step > 0:
            for i in range(begins, stops):
                if stamp[saved_cells[i]] != step + 1:
                    for c in range(0, cp, lanes):
                        vstore(gradient, saved_cells[i] * cp + c, vzero(grid))
        else:
            for cell in range(number.size):
                if stamp[cell] != step + 1 or number[cell] < 0:
                    for c in range(0, cp, lanes):
                        vstore(gradient, cell * cp + c, vzero(grid))
        for g in ghosts:
            for c in range(0, cp, lanes):
                vstore(gradient, g * cp + c, vzero(grid))

        p = plan[plan.shape[0] - 1]
        for row in range(0, n_fired, BLOCK):
            m = min(BLOCK, n_fired - row)
            perceive(
                fired, row, m, grid, cp, lanes, tap_end, tap_offset, tap_weight, buffer,
                plan[0, LD_IN],
            )  # fmt: skip
            hidden_layers(product, m, plan, weights, buffer, lanes)
            for i in range(m):
                for c in range(0, cp, lanes):
                    vstore(deltas, p[ACT_OUT] + i * p[LD_OUT] + c, vload(dx, (row + i) * cp + c))
            flows = step > 0 or to_input
            layer_gradients(
                product, m, plan, weights, buffer, deltas, totals, lanes, flows or learn_filters
            )
            if learn_filters:
                tap_gradients(
                    fired, row, m, grid, cp, lanes, tap_end, tap_offset, deltas, plan[0, LD_IN],
                    tap_totals,
                )  # fmt: skip
            if flows:
                scatter(
                    fired, row, m, gradient, cp, lanes, tap_end, tap_offset, tap_weight, deltas,
                    plan[0, LD_IN],
                )  # fmt: skip
        for g in ghosts:
            for c in range(0, cp, lanes):
                at = home[g] * cp + c
                vstore(gradient, at, vadd(vload(gradient, at), vload(gradient, g * cp + c)))
