"""The CUDA engine's kernels, in Triton. Every program works on one tile of one batch item.

States are kept as they were *grown*, before the mask after the update: whether a cell survives
depends on its neighbours' growth, which other programs compute at the same time, so the next
reader applies it. For that it needs one byte per cell, `life`, beside the grown states:

- bit 0, high: alpha is above the threshold (rather: not at most it, so that NaN stays visible).
- bit 1, may: the cell may survive. It was in `pre`, or the mask is after the update only.

A cell survives when it may and a cell within 3 x 3 is high; at step 0, before any update, all do.
A high cell has itself within 3 x 3, so the living cells above the threshold, which decide what has
to be computed, are those that are high and may.

Common arguments: `life` uint8 [slots, B, H, W] and `states` [slots, B, H, W, C] hold step t in slot
t % slots. Weights are [in, out], multiplied by the step size. `keys` int64 [steps, B]. `clock`
int64 [2]: the step of the chunk's first launch, and the step to stop at. Capitals are compiled in:
C channels, CP the same as a power of two, BLOCK of HIDDEN units at a time, SIDE of a tile in cells.
"""

from __future__ import annotations

import triton
import triton.language as tl

from nca.fire import GOLDEN as _GOLDEN

MAY = tl.constexpr(2)
CENTRE = tl.constexpr(1 << 12)  # of the 25 bits of a 5 x 5 neighbourhood, row by row
NEXT = tl.constexpr(0b00111_00111_00111 << 6)  # the 3 x 3 in its middle
GOLDEN = tl.constexpr(_GOLDEN)
# Steps, slots and sizes differ between launches: do not compile a kernel for each value.
PLAIN = ["i", "t", "slots", "items", "height", "width", "below"]


@triton.jit
def tile_cells(tile, height, width, SIDE: tl.constexpr):
    """Row, column and number of a tile's cells, and whether the grid has them; [cells] each."""
    cell = tl.arange(0, SIDE * SIDE)
    across = (width + SIDE - 1) // SIDE
    y, x = tile // across * SIDE + cell // SIDE, tile % across * SIDE + cell % SIDE
    return y, x, y * width + x, (y < height) & (x < width)


@triton.jit
def surroundings(
    map, y, x, height, width, CIRCULAR: tl.constexpr, REACH: tl.constexpr, LANES: tl.constexpr
):
    """A map's bytes in the REACH x REACH around each cell, row by row; [cells, LANES]."""
    lane = tl.arange(0, LANES)[None, :]
    v, u = y[:, None] + lane // REACH - REACH // 2, x[:, None] + lane % REACH - REACH // 2
    there = ((y < height) & (x < width))[:, None] & (lane < REACH * REACH)
    if CIRCULAR:
        # A remainder takes the dividend's sign, and the grid may be a single cell.
        v, u = (v + 3 * height) % height, (u + 3 * width) % width
    else:
        there &= (v >= 0) & (v < height) & (u >= 0) & (u < width)
    return tl.load(map + v * width + u, mask=there, other=0).to(tl.int32)


@triton.jit
def look_around(map, y, x, height, width, CIRCULAR: tl.constexpr):
    """Bit 0 and bit 1 of a map's bytes in the 5 x 5 around each cell: two sets of 25 bits each."""
    value = surroundings(map, y, x, height, width, CIRCULAR, 5, 32)
    lane = tl.arange(0, 32)[None, :]
    return tl.sum((value & 1) << lane, axis=1), tl.sum((value >> 1 & 1) << lane, axis=1)


@triton.jit
def survivors(high, may, t):
    """Which cells of the 3 x 3 in the middle are there after the mask of step t, as bits."""
    dilated = high | high << 1 | high >> 1
    dilated = dilated | dilated << 5 | dilated >> 5
    return may & tl.where(t == 0, -1, dilated)


@triton.jit
def neighbour(y, x, DY: tl.constexpr, DX: tl.constexpr, height, width, CIRCULAR: tl.constexpr):
    """Numbers of the cells (y + DY, x + DX), |DY| and |DX| at most 1; they may not exist."""
    if CIRCULAR:
        return (y + DY + height) % height * width + (x + DX + width) % width
    else:
        return (y + DY) * width + x + DX


@triton.jit
def fires(key, cell, below):
    """The fire mask, see nca/fire.py."""
    h = key.to(tl.uint32) ^ (cell.to(tl.uint32) * GOLDEN)
    h = (h ^ (h >> 16)) * 0x7FEB352D
    h = (h ^ (h >> 15)) * 0x846CA68B
    return ((h ^ (h >> 16)) >> 8).to(tl.int32) < below


@triton.jit
def perceive(
    states, kept, y, x, height, width, filters,
    C: tl.constexpr, CP: tl.constexpr, LAPLACIAN: tl.constexpr, CIRCULAR: tl.constexpr,
):  # fmt: skip
    """The output of each filter for each cell, [cells, CP]; the last is 0 without a Laplacian.

    kept: bits of the 5 x 5, which of the inner 3 x 3 exist and live.
    """
    c = tl.arange(0, CP)
    identity = tl.zeros((y.shape[0], CP), states.dtype.element_ty)
    sobel_x, sobel_y, laplacian = identity, identity, identity
    for dy in tl.static_range(-1, 2):
        for dx in tl.static_range(-1, 2):
            cell = neighbour(y, x, dy, dx, height, width, CIRCULAR)
            mask = (kept & (1 << 12 + dy * 5 + dx) != 0)[:, None] & (c < C)[None, :]
            value = tl.load(states + cell[:, None] * C + c[None, :], mask=mask, other=0.0)
            tap = filters + (dy + 1) * 3 + dx + 1
            if dy == 0 and dx == 0:
                identity = value
            else:
                sobel_x += tl.load(tap + 9) * value
                sobel_y += tl.load(tap + 18) * value
            if LAPLACIAN:
                laplacian += tl.load(tap + 27) * value
    return identity, sobel_x, sobel_y, laplacian


@triton.jit
def first_layer(weight, k, h, C: tl.constexpr, CP: tl.constexpr, HIDDEN: tl.constexpr):
    """The first layer's weights of filter k for the hidden units h, [CP, BLOCK]."""
    c = tl.arange(0, CP)
    mask = (c < C)[:, None] & (h < HIDDEN)[None, :]
    return tl.load(weight + (k * C + c)[:, None] * HIDDEN + h[None, :], mask=mask, other=0.0)


@triton.jit
def last_layer(weight, h, C: tl.constexpr, CP: tl.constexpr, HIDDEN: tl.constexpr):
    """The last layer's weights for the hidden units h, [BLOCK, CP]."""
    c = tl.arange(0, CP)
    mask = (h < HIDDEN)[:, None] & (c < C)[None, :]
    return tl.load(weight + h[:, None] * C + c[None, :], mask=mask, other=0.0)


@triton.jit
def hidden(
    p0, p1, p2, p3, weight, bias, h, C: tl.constexpr, CP: tl.constexpr, HIDDEN: tl.constexpr,
    LAPLACIAN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The hidden units h before their ReLU, [cells, BLOCK]."""
    a = tl.dot(p0, first_layer(weight, 0, h, C, CP, HIDDEN), input_precision=PRECISION)
    a += tl.dot(p1, first_layer(weight, 1, h, C, CP, HIDDEN), input_precision=PRECISION)
    a += tl.dot(p2, first_layer(weight, 2, h, C, CP, HIDDEN), input_precision=PRECISION)
    if LAPLACIAN:
        a += tl.dot(p3, first_layer(weight, 3, h, C, CP, HIDDEN), input_precision=PRECISION)
    return a + tl.load(bias + h, mask=h < HIDDEN, other=0.0)[None, :]


@triton.jit
def to_filter(
    da, weight, k, h, C: tl.constexpr, CP: tl.constexpr, HIDDEN: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of filter k's outputs, [cells, CP], from those of the hidden units h, `da`."""
    back = tl.trans(first_layer(weight, k, h, C, CP, HIDDEN))
    return tl.dot(da, back, input_precision=PRECISION)


@triton.jit(do_not_specialize=PLAIN)
def step(
    states, life, keys, filters, first, first_bias, last, last_bias, anywhere, clock, i, slots,
    height, width, below, THRESHOLD: tl.constexpr, PRE_POST: tl.constexpr,
    CIRCULAR: tl.constexpr, LAPLACIAN: tl.constexpr, C: tl.constexpr, CP: tl.constexpr,
    HIDDEN: tl.constexpr, BLOCK: tl.constexpr, SIDE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute step t + 1 from step t = clock + i; tiles where nothing can survive are skipped.

    Those are the tiles without a living cell above the threshold within the 5 x 5 around any of
    their cells, or 7 x 7 when the mask is after the update only. No tile is skipped when
    `anywhere` says that a cell may come alive with no living neighbour, nor at step 0, whose states
    come from the caller and may hold values in dead cells.
    """
    t = tl.load(clock) + i
    if t >= tl.load(clock + 1):
        return
    item, items = tl.program_id(1), tl.num_programs(1)
    now, later = t % slots * items + item, (t + 1) % slots * items + item
    y, x, cell, inside = tile_cells(tl.program_id(0), height, width, SIDE)
    size = height * width
    high, may = look_around(life + now * size, y, x, height, width, CIRCULAR)
    if PRE_POST:
        near = high & may
        flags = tl.where(near & NEXT != 0, MAY, 0)
    else:
        around = surroundings(life + now * size, y, x, height, width, CIRCULAR, 7, 64)
        everywhere = (t == 0) | (tl.load(anywhere) != 0)
        near = tl.where(everywhere, 1, tl.max(around & 1, axis=1))
        flags = tl.where(inside, MAY, 0)
    if tl.max(near, axis=0) == 0:
        tl.store(life + later * size + cell, flags.to(tl.uint8), mask=inside)
        return

    states_now = states + now * size * C
    kept = survivors(high, may, t)
    p0, p1, p2, p3 = perceive(
        states_now, kept, y, x, height, width, filters, C, CP, LAPLACIAN, CIRCULAR
    )
    c = tl.arange(0, CP)
    dx = tl.zeros((SIDE * SIDE, CP), states.dtype.element_ty)
    dx += tl.load(last_bias + c, mask=c < C, other=0.0)[None, :]
    for start in range(0, HIDDEN, BLOCK):
        h = start + tl.arange(0, BLOCK)
        a = hidden(p0, p1, p2, p3, first, first_bias, h, C, CP, HIDDEN, LAPLACIAN, PRECISION)
        a = tl.where(a <= 0, 0.0, a)
        dx += tl.dot(a, last_layer(last, h, C, CP, HIDDEN), input_precision=PRECISION)
    fired = fires(tl.load(keys + t * items + item), cell, below)
    grown = p0 + tl.where(fired[:, None], dx, 0.0)
    mask = inside[:, None] & (c < C)[None, :]
    tl.store(states + later * size * C + cell[:, None] * C + c[None, :], grown, mask=mask)
    alpha = tl.sum(tl.where((c == 3)[None, :], grown, 0.0), axis=1)
    flags += tl.where(alpha <= THRESHOLD, 0, 1)
    tl.store(life + later * size + cell, flags.to(tl.uint8), mask=inside)


@triton.jit(do_not_specialize=PLAIN)
def materialise(
    states, life, out, t, slots, height, width,
    CIRCULAR: tl.constexpr, C: tl.constexpr, CP: tl.constexpr, SIDE: tl.constexpr,
):  # fmt: skip
    """Write step t, mask applied, to `out`, [B, H, W, C]."""
    item, items = tl.program_id(1), tl.num_programs(1)
    slot = (t % slots).to(tl.int64) * items + item
    size = height * width
    y, x, cell, inside = tile_cells(tl.program_id(0), height, width, SIDE)
    high, may = look_around(life + slot * size, y, x, height, width, CIRCULAR)
    alive = survivors(high, may, t) & CENTRE != 0
    c = tl.arange(0, CP)
    at = cell[:, None] * C + c[None, :]
    mask = (c < C)[None, :]
    value = tl.load(states + slot * size * C + at, mask=alive[:, None] & mask, other=0.0)
    tl.store(out + item.to(tl.int64) * size * C + at, value, mask=inside[:, None] & mask)


@triton.jit(do_not_specialize=PLAIN)
def backward_state(
    states, life, keys, filters, first, first_bias, last, clock, places, grads, direct, seen, flags,
    i, slots, height, width, below, CHUNK: tl.constexpr, CIRCULAR: tl.constexpr,
    LAPLACIAN: tl.constexpr, C: tl.constexpr, CP: tl.constexpr, HIDDEN: tl.constexpr,
    BLOCK: tl.constexpr, SIDE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Backpropagate through step t = clock - i; t = -1 gives the gradient of the initial state.

    grads: [kept, B, H, W, C], of the kept states; places int64 [steps + 1]: for each step, its
    index there, -1 if it was not kept. Passed from t + 1 to t in slots of CHUNK: `direct`, shaped
    like the states, the gradient of the grown state (and, unchanged, of the state before); `seen`,
    [CHUNK, B, H, W, filters * C], the gradient of the perception; `flags`, 1 where `direct` and 2
    where `seen` is set. Everything else is 0 and not written.
    """
    t = tl.load(clock) - i
    if t < tl.load(clock + 1):
        return
    item, items = tl.program_id(1), tl.num_programs(1)
    size = height * width
    y, x, cell, inside = tile_cells(tl.program_id(0), height, width, SIDE)
    after = life + ((t + 1) % slots * items + item) * size
    high, may = look_around(after, y, x, height, width, CIRCULAR)
    alive = survivors(high, may, t + 1) & CENTRE != 0
    fired = alive & (t >= 0)
    if t >= 0:
        fired &= fires(tl.load(keys + t * items + item), cell, below)
    here, before = (t + CHUNK) % CHUNK * items + item, (t + 1) % CHUNK * items + item
    flag = tl.where(alive, 1, 0) | tl.where(fired, 2, 0)
    tl.store(flags + here * size + cell, flag.to(tl.uint8), mask=inside)
    if tl.max(flag, axis=0) == 0:
        return

    # The gradient of the state after the mask: from its own loss, from the next state, and from
    # the perception of every neighbour.
    c = tl.arange(0, CP)
    at, mask = cell[:, None] * C + c[None, :], alive[:, None] & (c < C)[None, :]
    place = tl.load(places + t + 1)
    own = grads + (place * items + item) * size * C
    grad = tl.load(own + at, mask=mask & (place >= 0), other=0.0)
    handed, saw = look_around(flags + before * size, y, x, height, width, CIRCULAR)
    handed = mask & (handed & CENTRE != 0)[:, None]
    grad += tl.load(direct + before * size * C + at, mask=handed, other=0.0)
    WIDE: tl.constexpr = (4 if LAPLACIAN else 3) * C
    for dy in tl.static_range(-1, 2):
        for dx in tl.static_range(-1, 2):
            viewer = neighbour(y, x, -dy, -dx, height, width, CIRCULAR)
            view = seen + (before * size + viewer[:, None]) * WIDE + c[None, :]
            sees = mask & (saw & (1 << 12 - dy * 5 - dx) != 0)[:, None]
            tap = filters + (dy + 1) * 3 + dx + 1
            if dy == 0 and dx == 0:
                grad += tl.load(view, mask=sees, other=0.0)
            else:
                grad += tl.load(tap + 9) * tl.load(view + C, mask=sees, other=0.0)
                grad += tl.load(tap + 18) * tl.load(view + 2 * C, mask=sees, other=0.0)
            if LAPLACIAN:
                grad += tl.load(tap + 27) * tl.load(view + 3 * C, mask=sees, other=0.0)
    tl.store(direct + here * size * C + at, grad, mask=mask)
    if tl.max(flag, axis=0) < 2:
        return

    now = t % slots * items + item
    high, may = look_around(life + now * size, y, x, height, width, CIRCULAR)
    p0, p1, p2, p3 = perceive(
        states + now * size * C, survivors(high, may, t), y, x, height, width, filters,
        C, CP, LAPLACIAN, CIRCULAR,
    )  # fmt: skip
    grad = tl.where(fired[:, None], grad, 0.0)
    g0 = tl.zeros((SIDE * SIDE, CP), states.dtype.element_ty)
    g1, g2, g3 = g0, g0, g0
    for start in range(0, HIDDEN, BLOCK):
        h = start + tl.arange(0, BLOCK)
        a = hidden(p0, p1, p2, p3, first, first_bias, h, C, CP, HIDDEN, LAPLACIAN, PRECISION)
        back = tl.trans(last_layer(last, h, C, CP, HIDDEN))
        da = tl.where(a > 0, tl.dot(grad, back, input_precision=PRECISION), 0.0)
        g0 += to_filter(da, first, 0, h, C, CP, HIDDEN, PRECISION)
        g1 += to_filter(da, first, 1, h, C, CP, HIDDEN, PRECISION)
        g2 += to_filter(da, first, 2, h, C, CP, HIDDEN, PRECISION)
        if LAPLACIAN:
            g3 += to_filter(da, first, 3, h, C, CP, HIDDEN, PRECISION)
    mask = fired[:, None] & (c < C)[None, :]
    view = seen + (here * size + cell[:, None]) * WIDE + c[None, :]
    tl.store(view, g0, mask=mask)
    tl.store(view + C, g1, mask=mask)
    tl.store(view + 2 * C, g2, mask=mask)
    if LAPLACIAN:
        tl.store(view + 3 * C, g3, mask=mask)


@triton.jit
def add_first(sums, k, h, value, C: tl.constexpr, CP: tl.constexpr, HIDDEN: tl.constexpr):
    """Add filter k's [CP, BLOCK] to the first layer's sums."""
    c = tl.arange(0, CP)
    mask = (c < C)[:, None] & (h < HIDDEN)[None, :]
    at = sums + (k * C + c)[:, None] * HIDDEN + h[None, :]
    tl.store(at, tl.load(at, mask=mask, other=0.0) + value, mask=mask)


@triton.jit(do_not_specialize=PLAIN)
def backward_weights(
    states, life, filters, first, first_bias, last, clock, direct, flags,
    first_sum, first_bias_sum, last_sum, last_bias_sum, slots, items, height, width,
    CHUNK: tl.constexpr, CIRCULAR: tl.constexpr, LAPLACIAN: tl.constexpr, C: tl.constexpr,
    CP: tl.constexpr, HIDDEN: tl.constexpr, BLOCK: tl.constexpr, SIDE: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Add the weights' gradients of the chunk's steps, clock ... clock - CHUNK + 1, to the sums.

    Program (p, j) owns the sums [p] of the hidden units of block j and processes the tiles p,
    p + P, p + 2 P, ... of all items and steps: the same order, so the same bits, every time.
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    h = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    c = tl.arange(0, CP)
    size = height * width
    tiles = ((height + SIDE - 1) // SIDE) * ((width + SIDE - 1) // SIDE)
    back = tl.trans(last_layer(last, h, C, CP, HIDDEN))
    s0 = tl.zeros((CP, BLOCK), states.dtype.element_ty)
    s1, s2, s3 = s0, s0, s0
    s4 = tl.zeros((BLOCK, CP), states.dtype.element_ty)
    sb, sc = tl.zeros((BLOCK,), s0.dtype), tl.zeros((CP,), s0.dtype)
    latest = tl.load(clock)
    for work in range(program, CHUNK * items * tiles, programs):
        item = work // tiles % items
        t = latest - work // (tiles * items)
        here = (t + CHUNK) % CHUNK * items + item
        y, x, cell, inside = tile_cells(work % tiles, height, width, SIDE)
        flag = tl.load(flags + here * size + cell, mask=inside & (t >= 0), other=0)
        if tl.max(flag.to(tl.int32), axis=0) >= 2:
            now = t % slots * items + item
            high, may = look_around(life + now * size, y, x, height, width, CIRCULAR)
            p0, p1, p2, p3 = perceive(
                states + now * size * C, survivors(high, may, t), y, x, height, width, filters,
                C, CP, LAPLACIAN, CIRCULAR,
            )  # fmt: skip
            mask = (flag >= 2)[:, None] & (c < C)[None, :]
            at = direct + (here * size + cell[:, None]) * C + c[None, :]
            grad = tl.load(at, mask=mask, other=0.0)
            a = hidden(p0, p1, p2, p3, first, first_bias, h, C, CP, HIDDEN, LAPLACIAN, PRECISION)
            da = tl.where(a > 0, tl.dot(grad, back, input_precision=PRECISION), 0.0)
            s0 += tl.dot(tl.trans(p0), da, input_precision=PRECISION)
            s1 += tl.dot(tl.trans(p1), da, input_precision=PRECISION)
            s2 += tl.dot(tl.trans(p2), da, input_precision=PRECISION)
            if LAPLACIAN:
                s3 += tl.dot(tl.trans(p3), da, input_precision=PRECISION)
            a = tl.where(a <= 0, 0.0, a)
            s4 += tl.dot(tl.trans(a), grad, input_precision=PRECISION)
            sb += tl.sum(da, axis=0)
            sc += tl.sum(grad, axis=0)
    inputs = (4 if LAPLACIAN else 3) * C
    first_sum += program * inputs * HIDDEN
    add_first(first_sum, 0, h, s0, C, CP, HIDDEN)
    add_first(first_sum, 1, h, s1, C, CP, HIDDEN)
    add_first(first_sum, 2, h, s2, C, CP, HIDDEN)
    if LAPLACIAN:
        add_first(first_sum, 3, h, s3, C, CP, HIDDEN)
    at = first_bias_sum + program * HIDDEN + h
    tl.store(at, tl.load(at, mask=h < HIDDEN, other=0.0) + sb, mask=h < HIDDEN)
    at = last_sum + (program * HIDDEN + h[:, None]) * C + c[None, :]
    mask = (h < HIDDEN)[:, None] & (c < C)[None, :]
    tl.store(at, tl.load(at, mask=mask, other=0.0) + s4, mask=mask)
    at = last_bias_sum + program * C + c
    mask = (c < C) & (tl.program_id(1) == 0)
    tl.store(at, tl.load(at, mask=mask, other=0.0) + sc, mask=mask)
