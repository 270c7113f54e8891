"""Small matrix products, as fast as hand-written kernels.

A rollout consists of thousands of products that are too small for a BLAS call to be efficient. Here
a tile of the result stays in registers during the loop over the inner dimension (Goto & van de
Geijn, 2008). It is written as LLVM IR, because Numba cannot keep arrays in registers.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nca.engine._simd import (
    REGISTERS,
    address,
    lanes_of,
    llvm_vector,
    load,
    multiply_add,
    splat,
    store,
)

# Rows of the micro-kernel for 1, 2, 3 and 4 vectors of columns: rows * columns accumulators, one
# row of B and a broadcast must fit the registers.
ROWS = (12, 12, 8, 6) if REGISTERS == 32 else (12, 6, 4, 3)
WIDEST = 4 if REGISTERS == 32 else 2
ROW_MULTIPLE = 24  # a multiple of all of ROWS: buffers padded to it are never overrun
PLAIN, RELU, WHERE_POSITIVE = 0, 1, 2


def _micro(rows: int, columns: int, transposed: bool) -> Any:
    """The product of `rows` rows and `columns` vectors of columns, held in registers.

    See `_product`; each pointer comes with the offset of the tile's first element.
    """
    # A narrow tile does so little work per iteration that the loop overhead would matter.
    unroll = 4 if columns <= 2 else 1

    @intrinsic
    def micro(typingctx, depth, a, a0, lda, b, b0, ldb, c, c0, ldc, start, i0, ldi, mode, mask):
        index = types.intp
        signature = types.void(
            index, a, index, index, b, index, index, c, index, index, start, index, index, index,
            mask,
        )  # fmt: skip
        dtype = c.dtype
        tile = [(r, v) for r in range(rows) for v in range(columns)]

        def codegen(context, builder, signature, args):
            (depth_, a_, a0_, lda_, b_, b0_, ldb_, c_, c0_, ldc_, i_, i0_, ldi_, mode_,
             mask_) = args  # fmt: skip
            integer, kind = depth_.type, llvm_vector(dtype)

            def number(value):
                return ir.Constant(integer, value)

            def at(pointer, offset):
                return builder.gep(pointer, [offset])

            def elements(array_type, array, first, step):
                """Addresses of the tile's vectors, whose rows are `step` apart."""
                top = address(context, builder, array_type, array, first)
                lines = [at(top, builder.mul(step, number(r))) for r in range(rows)]
                return [at(lines[r], number(kind.count * v)) for r, v in tile]

            first = [load(builder, p, dtype) for p in elements(start, i_, i0_, ldi_)]
            a_top = address(context, builder, a, a_, a0_)
            b_top = address(context, builder, b, b_, b0_)
            # Three rows share a pointer: one addressing mode reaches all of them.
            steps = [number(0), lda_, builder.mul(lda_, number(2))]
            groups = [at(a_top, builder.mul(lda_, number(r))) for r in range(0, rows, 3)]
            if transposed:
                groups = [a_top]

            def multiply(count, pointers, b_row, totals):
                """`count` iterations over the inner dimension: the new pointers and sums."""
                for k in range(count):
                    right = [
                        load(builder, at(b_row, number(kind.count * v)), dtype)
                        for v in range(columns)
                    ]
                    sums = []
                    for r in range(rows):
                        if transposed:
                            element = at(pointers[0], number(r))
                        else:
                            element = at(at(pointers[r // 3], steps[r % 3]), number(k))
                        left = splat(builder, builder.load(element), dtype)
                        for v in range(columns):
                            total = totals[r * columns + v]
                            sums.append(multiply_add(builder, left, right[v], total))
                    totals = sums
                    b_row = at(b_row, ldb_)
                    if transposed:
                        pointers = [at(pointers[0], lda_)]
                if not transposed:
                    pointers = [at(pointer, number(count)) for pointer in pointers]
                return pointers, b_row, totals

            def repeat(count, times, pointers, b_row, totals):
                """`multiply` by `count` for `times` times, which may be 0."""
                before = builder.block
                loop = builder.append_basic_block("micro.loop")
                after = builder.append_basic_block("micro.after")
                builder.cbranch(builder.icmp_signed(">", times, number(0)), loop, after)
                builder.position_at_end(loop)
                i = builder.phi(integer)
                state = [*pointers, b_row, *totals]
                phis = [builder.phi(value.type) for value in state]
                n = len(pointers)
                ends, b_end, sums = multiply(count, phis[:n], phis[n], phis[n + 1 :])
                i_next = builder.add(i, number(1))
                results = [*ends, b_end, *sums]
                for phi, value, result in zip(
                    [i, *phis], [number(0), *state], [i_next, *results], strict=True
                ):
                    phi.add_incoming(value, before)
                    phi.add_incoming(result, loop)
                builder.cbranch(builder.icmp_signed("<", i_next, times), loop, after)
                builder.position_at_end(after)
                merged = []
                for value, result in zip(state, results, strict=True):
                    phi = builder.phi(value.type)
                    phi.add_incoming(value, before)
                    phi.add_incoming(result, loop)
                    merged.append(phi)
                return merged[:n], merged[n], merged[n + 1 :]

            whole = builder.sdiv(depth_, number(unroll))
            state = repeat(unroll, whole, groups, b_top, first)
            if unroll > 1:
                state = repeat(1, builder.srem(depth_, number(unroll)), *state)
            totals = state[2]

            targets = elements(c, c_, c0_, ldc_)
            nothing = ir.Constant(kind, None)

            def save(values):
                for value, target in zip(values, targets, strict=True):
                    store(builder, value, target, dtype)

            if transposed:  # gradients of weights need only PLAIN
                save(totals)
                return context.get_dummy_value()

            def keep(relation, tested, value):
                return builder.select(relation(tested, nothing), value, nothing)

            done = builder.append_basic_block("micro.end")
            modes = [builder.append_basic_block(f"micro.mode{m}") for m in range(3)]
            switch = builder.switch(mode_, modes[PLAIN])
            switch.add_case(number(RELU), modes[RELU])
            switch.add_case(number(WHERE_POSITIVE), modes[WHERE_POSITIVE])
            builder.position_at_end(modes[PLAIN])
            save(totals)
            builder.branch(done)
            builder.position_at_end(modes[RELU])
            # "Not below 0" rather than "above 0": NaN must stay NaN, as in torch.
            save([keep(partial(builder.fcmp_unordered, ">="), total, total) for total in totals])
            builder.branch(done)
            builder.position_at_end(modes[WHERE_POSITIVE])
            gates = [load(builder, p, dtype) for p in elements(mask, mask_, c0_, ldc_)]
            save(
                [
                    keep(partial(builder.fcmp_ordered, ">"), gate, total)
                    for gate, total in zip(gates, totals, strict=True)
                ]
            )
            builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return signature, codegen

    return micro


_row1, _row2, _row3, _row4 = (_micro(rows, i + 1, False) for i, rows in enumerate(ROWS))
_column1, _column2, _column3, _column4 = (_micro(rows, i + 1, True) for i, rows in enumerate(ROWS))
_ROWS1, _ROWS2, _ROWS3, _ROWS4 = ROWS
_NO_WIDE = WIDEST < 4
_NAMES = "m n depth a lda transposed b ldb c ldc start ldi mode mask".split()
_POINTERS = {"a", "b", "c", "start", "mask"}


def _product(m, n, depth, a, lda, transposed, b, ldb, c, ldc, start, ldi, mode, mask):
    """C = I + A B, with m rows and n columns, filled up to whole vectors.

    A's element (r, k) is at a[r * lda + k], or when transposed at a[k * lda + r]; rows of the
    start I are ldi apart, so that it may be C itself or, with ldi = 0, a bias. Unless A is
    transposed, RELU keeps positive results, and WHERE_POSITIVE keeps those where `mask`, laid out
    as C, is positive: the gradient of a ReLU. Rows are computed in whole tiles: up to
    ROW_MULTIPLE - 1 rows beyond m are read and written, so buffers need that room.
    """
    lanes = lanes_of(c)
    down = 1 if transposed else lda
    j = 0
    while j < n:
        left = (n - j + lanes - 1) // lanes
        if left >= 4 and not _NO_WIDE:
            for i in range(0, m, _ROWS4):
                if transposed:
                    _column4(depth, a, i * down, lda, b, j, ldb, c, i * ldc + j, ldc,
                             start, i * ldi + j, ldi, mode, mask)  # fmt: skip
                else:
                    _row4(depth, a, i * down, lda, b, j, ldb, c, i * ldc + j, ldc,
                          start, i * ldi + j, ldi, mode, mask)  # fmt: skip
            j += 4 * lanes
        elif left == 3 and not _NO_WIDE:
            for i in range(0, m, _ROWS3):
                if transposed:
                    _column3(depth, a, i * down, lda, b, j, ldb, c, i * ldc + j, ldc,
                             start, i * ldi + j, ldi, mode, mask)  # fmt: skip
                else:
                    _row3(depth, a, i * down, lda, b, j, ldb, c, i * ldc + j, ldc,
                          start, i * ldi + j, ldi, mode, mask)  # fmt: skip
            j += 3 * lanes
        elif left >= 2:
            for i in range(0, m, _ROWS2):
                if transposed:
                    _column2(depth, a, i * down, lda, b, j, ldb, c, i * ldc + j, ldc,
                             start, i * ldi + j, ldi, mode, mask)  # fmt: skip
                else:
                    _row2(depth, a, i * down, lda, b, j, ldb, c, i * ldc + j, ldc,
                          start, i * ldi + j, ldi, mode, mask)  # fmt: skip
            j += 2 * lanes
        else:
            for i in range(0, m, _ROWS1):
                if transposed:
                    _column1(depth, a, i * down, lda, b, j, ldb, c, i * ldc + j, ldc,
                             start, i * ldi + j, ldi, mode, mask)  # fmt: skip
                else:
                    _row1(depth, a, i * down, lda, b, j, ldb, c, i * ldc + j, ldc,
                          start, i * ldi + j, ldi, mode, mask)  # fmt: skip
            j += lanes


@cache
def product_address(dtype: type[np.floating]) -> int:
    """Address of the compiled matrix product for float32 or float64.

    Kernels call it by its address. Numba would inline it into each of them and compile it again
    each time, which takes a minute instead of a second.
    """
    pointer = types.CPointer(numba.from_dtype(np.dtype(dtype)))
    signature = types.void(*(pointer if name in _POINTERS else types.intp for name in _NAMES))
    try:
        return numba.cfunc(signature, cache=True)(_product).address
    except RuntimeError:  # no cache directory can be written
        return numba.cfunc(signature)(_product).address


@intrinsic
def matmul(
    typingctx, function, m, n, depth, a, a0, lda, transposed, b, b0, ldb, c, c0, ldc,
    start, i0, ldi, mode, mask, mask0,
):  # fmt: skip
    """`_product` at an address, on arrays with the index of their first element."""
    index = types.intp
    signature = types.void(
        index, index, index, index, a, index, index, index, b, index, index, c, index, index,
        start, index, index, index, mask, index,
    )  # fmt: skip

    def codegen(context, builder, signature, args):
        target, *args = args
        kinds = signature.args[1:]
        values = []
        for position, kind in enumerate(kinds):
            if isinstance(kind, types.Array):
                values.append(address(context, builder, kind, args[position], args[position + 1]))
            elif not (position and isinstance(kinds[position - 1], types.Array)):
                values.append(args[position])
        prototype = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        builder.call(builder.inttoptr(target, prototype.as_pointer()), values)
        return context.get_dummy_value()

    return signature, codegen
