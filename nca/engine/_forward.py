"""The sparse rollout of one batch item, compiled by Numba."""

from __future__ import annotations

import numpy as np

from nca.engine._handoff import COUNT, FIRST, accept, complete, first_part, make_offer, withdraw
from nca.engine._jit import jit
from nca.engine._kernels import (
    CANDIDATES,
    FIRED,
    HIGH,
    LISTED,
    LIVE,
    NEAR,
    ROOM,
    STAMP,
    STRAYS,
    dilate,
    every_cell,
    fires,
    kind_of,
    update,
    wrap,
)
from nca.engine._simd import vadd, vload, vstore, vzero


@jit
def begin(rule, cells, tables, grid, cp):
    """Set up the tables for the state on the grid, whose nonzero cells are in lists[LIVE]."""
    lists, maps, sizes = tables
    offsets, home = cells.offsets, cells.home
    live, candidates = lists[LIVE], lists[CANDIDATES]
    near, high, listed = maps[NEAR], maps[HIGH], maps[LISTED]
    maps[:] = 0
    listed[0] = 1  # the border of a bounded grid maps to cell 0: never list it
    maps[STAMP, 0] = np.iinfo(np.int32).max
    n = np.int64(0)
    for i in range(sizes[LIVE]):
        if not (grid[live[i] * cp + 3] <= rule.threshold):
            high[live[i]] = 1
            for offset in offsets:
                q = home[live[i] + offset]
                near[q] += 1
                if listed[q] == 0:
                    listed[q] = 1
                    candidates[n] = q
                    n += 1
    if rule.pre_post:
        strays = np.int64(0)
        for i in range(sizes[LIVE]):
            if listed[live[i]] == 0:
                lists[STRAYS, strays] = live[i]
                strays += 1
        sizes[STRAYS] = strays
    elif rule.everywhere:
        n = every_cell(cells.number, candidates)
    else:
        n = dilate(live, sizes[LIVE], offsets, home, maps[STAMP], np.int64(1), lists[ROOM])
        n = dilate(lists[ROOM], n, offsets, home, maps[STAMP], np.int64(2), candidates)
    sizes[CANDIDATES] = n


@jit
def inherit(model, cells, tables, grid):
    """Give candidates without a kind that touch life that of their neighbour of highest alpha."""
    lists, maps, sizes = tables
    offsets, home, cp, seen = cells.offsets, cells.home, model.cp, model.seen
    candidates, near = lists[CANDIDATES], maps[NEAR]
    heirs, kinds = lists[ROOM], lists[FIRED]  # both free at this moment
    n = np.int64(0)
    for i in range(sizes[CANDIDATES]):
        cell = candidates[i]
        if grid[cell * cp + seen] == 0 and near[cell] > 0:
            highest, kind = -np.inf, np.int64(0)
            for offset in offsets:
                q = home[cell + offset]
                if offset != 0 and q != 0 and grid[q * cp + 3] > highest:
                    highest = grid[q * cp + 3]
                    kind = kind_of(grid[q * cp + seen], model.kinds)
            if kind > 0:
                heirs[n], kinds[n] = cell, kind
                n += 1
    # Written at the end: a cell does not inherit what its neighbour has just inherited.
    for i in range(n):
        grid[heirs[i] * cp + seen] = kinds[i]


@jit
def forward(offer, model, rule, cells, span, tables, grid, buffer, dx, row_of, saved_steps, states):
    """Run the steps of an item, or as many as fit into `saved_steps`.

    offer: through which a helper gets rows, see `_handoff`; the helper runs `help_forward`.
    tables and grid carry the run from one call to the next; `begin` sets them up:

    - LIVE: the cells that are not 0. CANDIDATES: those whose state may change at the next step
      (`pre`, when the mask is before and after). STRAYS: living cells that are not candidates.
    - NEAR: how many cells above the threshold lie within 3 x 3, itself included. HIGH: whether a
      cell is one of them. LISTED: whether it is a candidate. They change only where a cell
      crosses the threshold, which is rare, so the max-pool costs almost nothing.

    saved_steps: receives, for `backward`, the living cells and their states before the first step
    and after each; nothing when its `starts` is empty. states: the kept states, flat, initially 0.

    Returns the first step that was not run.
    """
    cp, lanes, channels = model.cp, model.lanes, model.channels
    below, threshold, pre_post, everywhere = rule
    offsets, home, ghosts, number = cells
    first_step, steps, keys, places = span
    lists, maps, sizes = tables
    saved_cells, saved_states, saved_from = saved_steps
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
        dx[c] = 0  # row 0 is the update of a cell that does not fire

    for step in range(first_step, steps):
        n = sizes[CANDIDATES]
        if records and saved + n > saved_cells.size:
            return step
        if model.kinds > 0:
            inherit(model, cells, tables, grid)
        if ghosts.size:
            wrap(grid, cells, cp, lanes)

        # No branches here: the processor cannot predict which cells fire.
        n_fired = np.int64(1)
        for i in range(n):
            yes = np.int64(fires(keys[step], number[candidates[i]], below))
            fired[n_fired] = candidates[i]
            row_of[i] = n_fired * yes
            n_fired += yes
        mine = first_part(n_fired - 1)
        offered = make_offer(offer, 1 + mine, n_fired - 1 - mine, False)
        update(model, fired, np.int64(1), mine, grid, buffer, dx)
        if not offered or withdraw(offer):
            update(model, fired, 1 + mine, n_fired - 1 - mine, grid, buffer, dx)

        # "Not at most" rather than "above": NaN counts as alive, so that it stays visible.
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

        # A candidate with no such neighbour may still be kept alive by a cell that is not a
        # candidate (outside `pre`) but rises above the threshold at this step, before it is
        # zeroed: the 5 x 5 ring. It is computed only where it can change the result.
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
            update(model, fired, n_fired, n_ring, grid, buffer, dx)
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


@jit
def help_forward(offer, model, fired, grid, buffer, dx):
    """Process the rows that `forward` offers until its item is finished.

    `buffer` belongs to the helper.
    """
    while True:
        sequence = accept(offer)
        if sequence < 0:
            return
        update(model, fired, offer.slots[FIRST], offer.slots[COUNT], grid, buffer, dx)
        complete(offer, sequence)
