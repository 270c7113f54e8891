"""The sparse rollout of one batch item, forward and backward, compiled by Numba.

Each function releases the GIL and works on one item from its first step to its last, so threads
take items and never wait for each other, and sums never depend on who ran what.

A grid here is flat and has a border of one cell: cell (y, x) is number (y + 1) * (W + 2) + x + 1,
its C channels (filled up with zeros to whole vectors) lie side by side, and a neighbour is a fixed
offset away. Cells of the border are 0, or copies of the opposite side when space is circular.
Lists of such numbers say which cells an operation visits; nothing else is visited.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nca.engine._simd import (
    PLAIN,
    RELU,
    WHERE_POSITIVE,
    matmul,
    vadd,
    vfma,
    vload,
    vstore,
    vzero,
)

BLOCK = 96  # cells per matrix product: all of a block's activations stay in the L2 cache

# Columns of `plan`, one row per layer: widths in and out (whole vectors), the row lengths of what
# goes in and out, where the weights [in, out] and [out, in] and the bias lie in `weights`, where
# the activations going in and out lie in `buffer` (their gradients at the same place in `deltas`),
# and where the gradients of weights [in, out] and bias lie in `totals`.
(IN, OUT, LD_IN, LD_OUT, BY_IN, BY_OUT, BIAS, ACT_IN, ACT_OUT, SUM, SUM_BIAS) = range(11)
LIVE, CANDIDATES, FIRED, ROOM, STRAYS = range(5)  # rows of `lists`; first entries of `sizes`
NEAR, HIGH, LISTED, STAMP = range(4)  # rows of `maps`
ZEROS = 0  # `weights` begins with a row of zeros

_MASK = 0xFFFFFFFF


def _jit(function):
    """Compile lazily; keep the machine code on disk where any place for it can be written."""
    options = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no cache directory can be written
        return njit(**options)(function)


@_jit
def fires(key, number, below):
    """Whether cell `number` = y * W + x updates; nca.fire.fire_mask for one cell."""
    h = np.int64(key) ^ ((np.int64(number) * 0x9E3779B9) & _MASK)
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & _MASK
    h = ((h ^ (h >> 15)) * 0x846CA68B) & _MASK
    h = h ^ (h >> 16)
    return (h >> 8) < below


@_jit
def dilate(cells, n, offsets, home, stamp, mark, out):
    """List each cell within 3 x 3 of the n listed ones once, in `out`; returns how many.

    `stamp` becomes `mark` there; marks only ever grow, and cell 0 (where the border of a bounded
    grid leads) carries a mark that is never reached.
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


@_jit
def wrap(grid, ghosts, home, cp, lanes):
    """Copy to the border of a circular grid what lies on the opposite side."""
    for g in ghosts:
        for c in range(0, cp, lanes):
            vstore(grid, g * cp + c, vload(grid, home[g] * cp + c))


@_jit
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


@_jit
def perceive(cells, first, m, grid, cp, lanes, tap_end, tap_offset, tap_weight, buffer, ld):
    """The perception vectors of m listed cells, into the buffer's first m rows.

    Four cells at a time share the loads of taps; beyond m the last cell is repeated.
    """
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
                to = i * ld + k * cp + c
                vstore(buffer, to, seen0)
                vstore(buffer, to + ld, seen1)
                vstore(buffer, to + 2 * ld, seen2)
                vstore(buffer, to + 3 * ld, seen3)
            tap = tap_end[k]


@_jit
def hidden_layers(product, m, plan, weights, buffer, lanes):
    """Activations of all layers but the last, from the perceptions in the buffer."""
    for layer in range(plan.shape[0] - 1):
        p = plan[layer]
        matmul(
            product, m, p[OUT], p[IN], buffer, p[ACT_IN], p[LD_IN], 0, weights, p[BY_IN], p[LD_OUT],
            buffer, p[ACT_OUT], p[LD_OUT], weights, p[BIAS], 0, RELU, buffer, p[ACT_OUT],
        )  # fmt: skip


@_jit
def update(
    product,
    cells,
    first,
    n,
    grid,
    cp,
    lanes,
    tap_end,
    tap_offset,
    tap_weight,
    plan,
    weights,
    buffer,
    dx,
):
    """What cells[first : first + n] would add to their state, into the same rows of `dx`."""
    p = plan[plan.shape[0] - 1]
    for row in range(first, first + n, BLOCK):
        m = min(BLOCK, first + n - row)
        perceive(
            cells, row, m, grid, cp, lanes, tap_end, tap_offset, tap_weight, buffer, plan[0, LD_IN]
        )
        hidden_layers(product, m, plan, weights, buffer, lanes)
        matmul(
            product, m, p[OUT], p[IN], buffer, p[ACT_IN], p[LD_IN], 0, weights, p[BY_IN], p[LD_OUT],
            dx, row * cp, cp, weights, p[BIAS], 0, PLAIN, dx, row * cp,
        )  # fmt: skip


@_jit
def every_cell(number, out):
    """List all cells; returns how many."""
    n = np.int64(0)
    for cell in range(number.size):
        if number[cell] >= 0:
            out[n] = cell
            n += 1
    return n


@_jit
def begin(grid, threshold, pre_post, everywhere, cp, offsets, home, number, lists, maps, sizes):
    """Set up lists and maps of a run for the state on the grid, whose cells lists[LIVE] names."""
    live, candidates = lists[LIVE], lists[CANDIDATES]
    near, high, listed = maps[NEAR], maps[HIGH], maps[LISTED]
    maps[:] = 0
    listed[0] = 1  # where the border of a bounded grid leads: never to be listed again
    maps[STAMP, 0] = np.iinfo(np.int32).max
    n = np.int64(0)
    for i in range(sizes[LIVE]):
        if not (grid[live[i] * cp + 3] <= threshold):
            high[live[i]] = 1
            for offset in offsets:
                q = home[live[i] + offset]
                near[q] += 1
                if listed[q] == 0:
                    listed[q] = 1
                    candidates[n] = q
                    n += 1
    if pre_post:
        strays = np.int64(0)
        for i in range(sizes[LIVE]):
            if listed[live[i]] == 0:
                lists[STRAYS, strays] = live[i]
                strays += 1
        sizes[STRAYS] = strays
    elif everywhere:
        n = every_cell(number, candidates)
    else:
        n = dilate(live, sizes[LIVE], offsets, home, maps[STAMP], np.int64(1), lists[ROOM])
        n = dilate(lists[ROOM], n, offsets, home, maps[STAMP], np.int64(2), candidates)
    sizes[CANDIDATES] = n


@_jit
def forward(
    product, first_step, steps, keys, below, threshold, pre_post, everywhere, places,
    cp, lanes, channels, offsets, home, ghosts, number,
    tap_end, tap_offset, tap_weight, plan, weights,
    grid, buffer, dx, row_of, lists, maps, sizes,
    saved_cells, saved_states, saved_from, states,
):  # fmt: skip
    """Run an item from `first_step` to `steps`, or until what is saved fills its buffers.

    lists, maps, sizes and grid carry a run over from one call to the next, as `begin` makes them:

    - LIVE: the cells that are not 0. CANDIDATES: those whose state may change at the next step
      (`pre`, when the mask is before and after). STRAYS: living cells that are no candidates.
    - NEAR: how many cells above the threshold lie within 3 x 3, itself included. HIGH: whether a
      cell is one of them. LISTED: whether it is a candidate. They change only where a cell
      crosses the threshold, which few do, so that the max-pool costs almost nothing.

    saved_*: receive, for `backward`, the living cells and their states before `first_step` and
    after each step; nothing when `saved_from` is empty. states: what is kept, flat, 0 before;
    places[t] says where the item's state after t steps begins, -1 that it is not kept.

    Returns the first step that was not run.
    """
    live, candidates, fired, room = lists[LIVE], lists[CANDIDATES], lists[FIRED], lists[ROOM]
    strays = lists[STRAYS]
    near, high, listed, stamp = maps[NEAR], maps[HIGH], maps[LISTED], maps[STAMP]
    records = saved_from.size > 0
    saved = np.int64(0)
    if records:
        for i in range(sizes[LIVE]):
            saved_cells[i] = live[i]
            for c in range(0, cp, lanes):
                vstore(saved_states, i * cp + c, vload(grid, live[i] * cp + c))
        saved = sizes[LIVE]
        saved_from[1] = saved
    for c in range(cp):
        dx[c] = 0  # row 0 is what a cell that does not fire adds

    for step in range(first_step, steps):
        n = sizes[CANDIDATES]
        if records and saved + n > saved_cells.size:
            return step
        if ghosts.size:
            wrap(grid, ghosts, home, cp, lanes)

        # No branches here: whether a cell fires is what no processor can predict.
        n_fired = np.int64(1)
        for i in range(n):
            yes = np.int64(fires(keys[step], number[candidates[i]], below))
            fired[n_fired] = candidates[i]
            row_of[i] = n_fired * yes
            n_fired += yes
        update(
            product, fired, np.int64(1), n_fired - 1, grid, cp, lanes, tap_end, tap_offset,
            tap_weight, plan, weights, buffer, dx,
        )  # fmt: skip

        # "Not at most" rather than "above": NaN lives on, so that who looks at the result sees it.
        extra = np.int64(0)
        for i in range(n):
            cell = candidates[i]
            now = np.int32(not (grid[cell * cp + 3] + dx[row_of[i] * cp + 3] <= threshold))
            if now != high[cell]:
                change = now - high[cell]
                high[cell] = now
                for offset in offsets:
                    q = home[cell + offset]
                    near[q] += change
                    if near[q] > 0 and listed[q] == 0:
                        listed[q] = 2
                        room[extra] = q
                        extra += 1

        # A candidate that has no such cell near may still be kept alive by one that is no
        # candidate (outside `pre`) but rises above the threshold at this step, before it is
        # zeroed: the 5 x 5 ring. It is computed only where it can matter.
        mark = 2 * (step + 2)
        n_ring = np.int64(0)
        if pre_post:
            for i in range(n):
                if near[candidates[i]] == 0:
                    for offset in offsets:
                        q = home[candidates[i] + offset]
                        if listed[q] != 1 and stamp[q] < mark:
                            stamp[q] = mark
                            if fires(keys[step], number[q], below):
                                fired[n_fired + n_ring] = q
                                n_ring += 1
        if n_ring:
            update(
                product, fired, n_fired, n_ring, grid, cp, lanes, tap_end, tap_offset,
                tap_weight, plan, weights, buffer, dx,
            )  # fmt: skip
            for i in range(n_fired, n_fired + n_ring):
                if not (grid[fired[i] * cp + 3] + dx[i * cp + 3] <= threshold):
                    for offset in offsets:
                        stamp[home[fired[i] + offset]] = mark + 1

        for i in range(sizes[STRAYS]):
            for c in range(0, cp, lanes):
                vstore(grid, strays[i] * cp + c, vzero(grid))
        n_live = np.int64(0)
        n_next = np.int64(0)
        n_strays = np.int64(0)
        for i in range(n):
            cell = candidates[i]
            if near[cell] > 0 or (n_ring > 0 and stamp[cell] == mark + 1):
                for c in range(0, cp, lanes):
                    at = cell * cp + c
                    value = vadd(vload(grid, at), vload(dx, row_of[i] * cp + c))
                    vstore(grid, at, value)
                    if records:
                        vstore(saved_states, (saved + n_live) * cp + c, value)
                live[n_live] = cell
                n_live += 1
                if near[cell] > 0:
                    candidates[n_next] = cell
                    n_next += 1
                else:
                    listed[cell] = 0
                    strays[n_strays] = cell
                    n_strays += 1
            else:
                listed[cell] = 0
                for c in range(0, cp, lanes):
                    vstore(grid, cell * cp + c, vzero(grid))
        if pre_post:
            for i in range(extra):
                listed[room[i]] = near[room[i]] > 0
                if near[room[i]] > 0:
                    candidates[n_next] = room[i]
                    n_next += 1
        elif everywhere:
            n_next = every_cell(number, candidates)
        else:
            n_next = dilate(live, n_live, offsets, home, stamp, mark, room)
            n_next = dilate(room, n_next, offsets, home, stamp, mark + 1, candidates)
        sizes[LIVE], sizes[CANDIDATES], sizes[STRAYS] = n_live, n_next, n_strays
        if records:
            for i in range(n_live):
                saved_cells[saved + i] = live[i]
            saved += n_live
            saved_from[step - first_step + 2] = saved
        if places[step + 1] >= 0:
            for i in range(n_live):
                target = places[step + 1] + number[live[i]] * channels
                for c in range(channels):
                    states[target + c] = grid[live[i] * cp + c]
    return steps


@_jit
def scatter(cells, first, m, grid, cp, lanes, tap_end, tap_offset, tap_weight, deltas, ld):
    """Add to the grid's gradient what the perceptions' gradients give: perceive, transposed.

    Four cells at a time, so that sums do not wait for the one just stored; beyond m the last row
    of `deltas` is repeated as zeros.
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


@_jit
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


@_jit
def layer_gradients(product, m, plan, weights, buffer, deltas, totals, lanes, to_input):
    """From the last layer's gradients to the perceptions', adding those of the weights.

    Both activations and their gradients are those of one block of m cells.
    """
    for back in range(plan.shape[0]):
        layer = plan.shape[0] - 1 - back
        p = plan[layer]
        matmul(
            product, p[IN], p[OUT], m, buffer, p[ACT_IN], p[LD_IN], 1, deltas, p[ACT_OUT], p[LD_OUT],
            totals, p[SUM], p[LD_OUT], totals, p[SUM], p[LD_OUT], PLAIN, totals, p[SUM],
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
                product, m, p[IN], p[OUT], deltas, p[ACT_OUT], p[LD_OUT], 0, weights, p[BY_OUT], p[LD_IN],
                deltas, p[ACT_IN], p[LD_IN], weights, ZEROS, 0, mode, buffer, p[ACT_IN],
            )  # fmt: skip


@_jit
def backward(
    product, first_step, end, keys, below, places, cp, lanes, channels, ghosts, home, number,
    tap_end, tap_offset, tap_weight, plan, weights, grid, gradient, buffer, deltas, dx,
    lists, maps, saved_cells, saved_states, saved_from, grad_states,
    learn_filters, to_input, totals, tap_totals,
):  # fmt: skip
    """Take the gradient from step `end` back to `first_step`, through steps saved by `forward`.

    gradient: the grid of d loss / d state, which carries from one call to the next. grad_states: the gradient of what was
    kept, laid out as `forward`'s `states`. to_input: whether the gradient of the state before
    step 0 is wanted too. Adds to `totals` and `tap_totals`.
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


@_jit
def unload(grid, cp, channels, number, x):
    """Copy a grid's cells, without its border, to a flat [H, W, C] array."""
    for cell in range(number.size):
        if number[cell] >= 0:
            for c in range(channels):
                x[number[cell] * channels + c] = grid[cell * cp + c]


@_jit
def clear(grid, cells, cp):
    """Zero the listed cells."""
    for cell in cells:
        for c in range(cp):
            grid[cell * cp + c] = 0
