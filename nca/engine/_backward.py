"""Gradients through a sparse rollout of one batch item, compiled by Numba."""

from __future__ import annotations

import numpy as np

from nca.engine._handoff import (
    COUNT,
    FIRST,
    FLAG,
    accept,
    complete,
    first_part,
    make_offer,
    withdraw,
)
from nca.engine._jit import jit
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
    kind_of,
    one_kind,
    perceive,
    wrap,
)
from nca.engine._product import PLAIN, WHERE_POSITIVE, matmul
from nca.engine._simd import vadd, vfma, vload, vstore, vzero


@jit
def scatter(model, cells, m, grid, flow):
    """Add the perceptions' gradients `flow` to the grid's gradient: `perceive`, transposed.

    Four cells at a time, so that no addition depends on the store just before it; beyond m the
    last cell is repeated with a gradient of zero. Where a filter's last vector overlaps the next
    filter, its weight is 0.
    """
    cp, lanes, channels, ld = model.cp, model.lanes, model.seen, model.plan[0, LD_IN]
    tap_end, tap_offset, tap_weight = model.tap_end, model.tap_offset, model.tap_weight
    last = m - 1
    for i in range(m, m + 3):
        for c in range(0, ld, lanes):
            vstore(flow, i * ld + c, vzero(grid))
    for i in range(0, m, 4):
        at0 = cells[i] * cp
        at1 = cells[min(i + 1, last)] * cp
        at2 = cells[min(i + 2, last)] * cp
        at3 = cells[min(i + 3, last)] * cp
        tap = 0
        for k in range(tap_end.size):
            for c in range(0, cp, lanes):
                row = i * ld + k * channels + c
                delta0 = vload(flow, row)
                delta1 = vload(flow, row + ld)
                delta2 = vload(flow, row + 2 * ld)
                delta3 = vload(flow, row + 3 * ld)
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
def tap_gradients(model, cells, first, m, grid, flow, totals):
    """Add to `totals` the gradients of the perception filters."""
    cp, lanes, channels, ld = model.cp, model.lanes, model.seen, model.plan[0, LD_IN]
    tap_end, tap_offset = model.tap_end, model.tap_offset
    for i in range(m):
        base = cells[first + i] * cp
        tap = 0
        for k in range(tap_end.size):
            for c in range(0, cp, lanes):
                delta = vload(flow, (first + i) * ld + k * channels + c)
                for s in range(tap, tap_end[k]):
                    seen = vload(grid, base + tap_offset[s] * cp + c)
                    vstore(totals, s * cp + c, vfma(seen, delta, vload(totals, s * cp + c)))
            tap = tap_end[k]


@jit
def bias_gradient(p, first, m, deltas, lanes, totals, to):
    """Add to `totals` from `to` on the gradients of m rows of a layer's biases."""
    for c in range(0, p[OUT], lanes):
        at = p[ACT_OUT] + first * p[LD_OUT] + c
        total = vload(totals, to + c)
        even = vzero(totals)  # two sums: with one, each addition would wait for the one before
        for i in range(0, m - 1, 2):
            even = vadd(even, vload(deltas, at + i * p[LD_OUT]))
            total = vadd(total, vload(deltas, at + (i + 1) * p[LD_OUT]))
        if m % 2:
            even = vadd(even, vload(deltas, at + (m - 1) * p[LD_OUT]))
        vstore(totals, to + c, vadd(total, even))


@jit
def layer_gradients(model, cells, row, m, grid, buffer, deltas, flow, totals, to_input):
    """Backpropagate through the layers of one block of m cells, adding the weights' gradients.

    The cells are listed from `row` on; so are the gradients of their perceptions in `flow`.
    """
    product, plan, weights, lanes = model.product, model.plan, model.weights, model.lanes
    for back in range(plan.shape[0]):
        layer = plan.shape[0] - 1 - back
        p = plan[layer]
        matmul(
            product, p[IN], p[OUT], m, buffer, p[ACT_IN], p[LD_IN], 1,
            deltas, p[ACT_OUT], p[LD_OUT], totals, p[SUM], p[LD_OUT],
            totals, p[SUM], p[LD_OUT], PLAIN, totals, p[SUM],
        )  # fmt: skip
        kind = one_kind(model, cells, row, m, grid) if layer == 0 else np.int64(0)
        if kind >= 0:
            to = p[SUM_BIAS] + kind * p[LD_OUT]
            bias_gradient(p, 0, m, deltas, lanes, totals, to)
        else:
            cp, seen, kinds = model.cp, model.seen, model.kinds
            for i in range(m):
                held = grid[cells[row + i] * cp + seen]
                to = p[SUM_BIAS] + kind_of(held, kinds) * p[LD_OUT]
                bias_gradient(p, i, 1, deltas, lanes, totals, to)
        if layer > 0:
            matmul(
                product, m, p[IN], p[OUT], deltas, p[ACT_OUT], p[LD_OUT], 0,
                weights, p[BY_OUT], p[LD_IN], deltas, p[ACT_IN], p[LD_IN],
                weights, ZEROS, 0, WHERE_POSITIVE, buffer, p[ACT_IN],
            )  # fmt: skip
        elif to_input:
            matmul(
                product, m, p[IN], p[OUT], deltas, p[ACT_OUT], p[LD_OUT], 0,
                weights, p[BY_OUT], p[LD_IN], flow, row * p[LD_IN], p[LD_IN],
                weights, ZEROS, 0, PLAIN, flow, row * p[LD_IN],
            )  # fmt: skip


@jit
def rows_back(
    model, fired, first, n, grid, buffer, deltas, dx, flow, flows, learn_filters, totals, tap_totals
):
    """Backpropagate rows `first` to `first` + n: adds the weights' gradients, sets `flow`.

    dx: the gradients of what the cells `fired` added to their states, row by row.
    """
    cp, lanes = model.cp, model.lanes
    p = model.plan[model.plan.shape[0] - 1]
    for row in range(first, first + n, BLOCK):
        m = min(BLOCK, first + n - row)
        perceive(model, fired, row, m, grid, buffer)
        hidden_layers(model, fired, row, m, grid, buffer)
        for i in range(m):
            for c in range(0, cp, lanes):
                vstore(deltas, p[ACT_OUT] + i * p[LD_OUT] + c, vload(dx, (row + i) * cp + c))
        layer_gradients(
            model, fired, row, m, grid, buffer, deltas, flow, totals, flows or learn_filters
        )
        if learn_filters:
            tap_gradients(model, fired, row, m, grid, flow, tap_totals)


@jit
def backward(
    offer, model, rule, cells, span, tables, grid, gradient, buffer, deltas, dx, flow,
    saved_steps, grad_states, learn_filters, to_input, totals, tap_totals,
):  # fmt: skip
    """Take the gradient back through the steps that `forward` saved, the last one first.

    gradient: the grid of d loss / d state, carried from one call to the next. grad_states: the
    gradient of the kept states, laid out as `forward`'s `states`. to_input: whether the gradient
    of the initial state is needed too. Adds to `totals` and `tap_totals`, [2, n], one sum for each
    part of the rows. offer: through which a helper gets rows; the helper runs `help_backward`.
    """
    cp, lanes, channels, seen = model.cp, model.lanes, model.channels, model.seen
    home, ghosts, number = cells.home, cells.ghosts, cells.number
    first_step, end, keys, places = span
    saved_cells, saved_states, saved_from = saved_steps
    fired, stamp = tables.lists[FIRED], tables.maps[STAMP]
    for back in range(end - first_step):
        step = end - 1 - back
        begins, stops = saved_from[step - first_step], saved_from[step - first_step + 1]
        after = saved_cells[stops : saved_from[step - first_step + 2]]
        if places[step + 1] >= 0:
            for cell in after:
                source = places[step + 1] + number[cell] * channels
                for c in range(seen):  # a kind has no gradient
                    gradient[cell * cp + c] += grad_states[source + c]

        # Restore the state before the step; outside the saved cells it is zero.
        for cell in after:
            stamp[cell] = step + 1
            for c in range(0, cp, lanes):
                vstore(grid, cell * cp + c, vzero(grid))
        for i in range(begins, stops):
            for c in range(0, cp, lanes):
                vstore(grid, saved_cells[i] * cp + c, vload(saved_states, i * cp + c))
        if model.kinds > 0:  # which a cell may have inherited at this step
            for i in range(after.size):
                grid[after[i] * cp + seen] = saved_states[(stops + i) * cp + seen]
        if ghosts.size:
            wrap(grid, cells, cp, lanes)

        n_fired = np.int64(0)
        for cell in after:
            fired[n_fired] = cell
            for c in range(0, cp, lanes):
                vstore(dx, n_fired * cp + c, vload(gradient, cell * cp + c))
            n_fired += np.int64(fires(keys[step], number[cell], rule.below))

        # Cells that survived the step keep their gradient; the others start at 0. Only cells that
        # lived before the step are read again, except at step 0, where every cell has a gradient.
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

        flows = step > 0 or to_input
        mine = first_part(n_fired)
        offered = make_offer(offer, mine, n_fired - mine, flows)
        rows_back(
            model, fired, np.int64(0), mine, grid, buffer, deltas, dx, flow, flows, learn_filters,
            totals[0], tap_totals[0],
        )  # fmt: skip
        if not offered or withdraw(offer):
            rows_back(
                model, fired, mine, n_fired - mine, grid, buffer, deltas, dx, flow, flows,
                learn_filters, totals[1], tap_totals[1],
            )  # fmt: skip
        if flows:
            scatter(model, fired, n_fired, gradient, flow)
        if model.kinds > 0:  # cells that were born at this step were empty before
            for cell in after:
                grid[cell * cp + seen] = 0
        for g in ghosts:
            for c in range(0, cp, lanes):
                at = home[g] * cp + c
                vstore(gradient, at, vadd(vload(gradient, at), vload(gradient, g * cp + c)))


@jit
def help_backward(
    offer, model, fired, grid, buffer, deltas, dx, flow, learn_filters, totals, tap_totals
):
    """Process the rows that `backward` offers until its item is finished.

    `buffer` and `deltas` belong to the helper.
    """
    while True:
        sequence = accept(offer)
        if sequence < 0:
            return
        slots = offer.slots
        rows_back(
            model, fired, slots[FIRST], slots[COUNT], grid, buffer, deltas, dx, flow,
            slots[FLAG] != 0, learn_filters, totals[1], tap_totals[1],
        )  # fmt: skip
        complete(offer, sequence)
