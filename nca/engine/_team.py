"""Two threads on one batch item: whoever runs it asks, and a thread with nothing else to do helps.

The rows of a matrix product are cut at a place that only their number decides, so that results do
not depend on whether anybody helped. The one who asked does the first part, and then the second
too if nobody has begun it: on a busy machine a helper may be asleep. What they tell each other
lies on a `desk`, which belongs to one pass over one item.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nca.engine._jit import jit
from nca.engine._product import ROW_MULTIPLE
from nca.engine._simd import address

# Places on a desk, a cache line apart where both write. A ticket is a number: even while it lies
# open, one more when somebody has taken it.
HELPED, TICKET, DONE, OVER, FIRST, COUNT, FLAG = 0, 8, 16, 24, 32, 33, 34
DESK = 40
SPINS = 500  # looks at the desk, a microsecond or less, before others may have the core


@intrinsic
def _read(typingctx, desk, place):
    """What lies at a place, and with it all that was written before it."""

    def codegen(context, builder, signature, args):
        pointer = address(context, builder, signature.args[0], *args)
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(desk, types.intp), codegen


@intrinsic
def _write(typingctx, desk, place, value):
    """Put a value at a place after all that was written before."""

    def codegen(context, builder, signature, args):
        pointer = address(context, builder, signature.args[0], *args[:2])
        builder.store_atomic(args[2], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(desk, types.intp, types.int64), codegen


@intrinsic
def _take(typingctx, desk, ticket):
    """Whether this thread is the one that takes an open ticket."""

    def codegen(context, builder, signature, args):
        integer = args[1].type
        place = ir.Constant(integer, TICKET)
        pointer = address(context, builder, signature.args[0], args[0], place)
        taken = builder.add(args[1], ir.Constant(integer, 1))
        pair = builder.cmpxchg(pointer, args[1], taken, "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(desk, types.int64), codegen


@intrinsic
def _call(typingctx, function):
    """Call the C function without arguments at an address."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.intp), codegen


@cache
def give_way() -> int:
    """Address of the system's function that lets another thread have the core."""
    if sys.platform == "win32":
        function: Any = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


def desk() -> np.ndarray:
    """A desk for one pass over one item."""
    made = np.zeros(DESK, np.int64)
    made[TICKET] = 1
    return made


@jit
def first_part(n):
    """How many of n rows are the first part: whole tiles, so that none reaches into the second."""
    return min(n, (n // 2 + ROW_MULTIPLE - 1) // ROW_MULTIPLE * ROW_MULTIPLE)


@jit
def ask(desk, first, count, flag):
    """Offer rows to a helper; whether there is one."""
    if count == 0 or _read(desk, HELPED) == 0:
        return False
    desk[FIRST], desk[COUNT], desk[FLAG] = first, count, flag
    _write(desk, TICKET, desk[TICKET] + 1)
    return True


@jit
def taken_back(desk, give_way):
    """Whether nobody has begun what was asked; else wait until it is done."""
    ticket = _read(desk, TICKET) & ~1
    if _take(desk, ticket):
        return True
    spins = 0
    while _read(desk, DONE) != ticket:
        spins += 1
        if spins > SPINS:
            _call(give_way)
    return False


@jit
def wait_for_ticket(desk, give_way):
    """Help: the ticket this thread has taken, or -1 when the item is over."""
    _write(desk, HELPED, 1)
    spins = 0
    while _read(desk, OVER) == 0:
        ticket = _read(desk, TICKET)
        if ticket & 1 == 0 and _take(desk, ticket):
            return ticket
        spins += 1
        if spins > SPINS:
            _call(give_way)
    return np.int64(-1)


@jit
def hand_in(desk, ticket):
    """Say that the rows of a ticket are done."""
    _write(desk, DONE, ticket)
