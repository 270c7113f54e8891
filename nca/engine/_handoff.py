"""One slot in which the thread that runs a batch item offers work to an idle thread.

The rows of a matrix product are split at a place that depends only on their number, so results do
not depend on whether there is a helper. The thread that runs the item does the first part, then
takes the second back if no helper has accepted it: on a busy machine the helper may not be
scheduled. An `Offer` belongs to one pass over one item.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nca.engine._jit import jit
from nca.engine._product import ROW_MULTIPLE
from nca.engine._simd import address

# Fields of `Offer.slots`, a cache line apart where both threads write. SEQUENCE is even while an
# offer is open and one more once it is accepted or withdrawn; DONE is the last one completed.
HELPER, SEQUENCE, DONE, CLOSED, FIRST, COUNT, FLAG = 0, 8, 16, 24, 32, 33, 34
SLOTS = 40
SPINS = 500  # reads, of a microsecond or less, before the core is yielded to other threads


class Offer(NamedTuple):
    """What the two threads share.

    Attributes:
        slots: int64 [SLOTS], the fields above.
        yield_cpu: address of `yield_address`, called while waiting.
    """

    slots: np.ndarray
    yield_cpu: int


@intrinsic
def _read(typingctx, slots, place):
    """The value of a slot; what was written before it is visible as well."""

    def codegen(context, builder, signature, args):
        pointer = address(context, builder, signature.args[0], *args)
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(slots, types.intp), codegen


@intrinsic
def _write(typingctx, slots, place, value):
    """Set a slot after everything that was written before."""

    def codegen(context, builder, signature, args):
        pointer = address(context, builder, signature.args[0], *args[:2])
        builder.store_atomic(args[2], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(slots, types.intp, types.int64), codegen


@intrinsic
def _claim(typingctx, slots, sequence):
    """Whether this thread is the one that accepts, or withdraws, an open offer."""

    def codegen(context, builder, signature, args):
        integer = args[1].type
        place = ir.Constant(integer, SEQUENCE)
        pointer = address(context, builder, signature.args[0], args[0], place)
        claimed = builder.add(args[1], ir.Constant(integer, 1))
        pair = builder.cmpxchg(pointer, args[1], claimed, "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(slots, types.int64), codegen


@intrinsic
def _call(typingctx, function):
    """Call the C function without arguments at an address."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.intp), codegen


@cache
def yield_address() -> int:
    """Address of the system's function that lets another thread have the core."""
    if sys.platform == "win32":
        function: Any = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


def new_offer() -> Offer:
    """The slot for one pass over one item; nothing is offered yet."""
    slots = np.zeros(SLOTS, np.int64)
    slots[SEQUENCE] = 1
    return Offer(slots, yield_address())


@jit
def first_part(n):
    """How many of n rows are the first part: whole tiles, so that none reaches into the second."""
    return min(n, (n // 2 + ROW_MULTIPLE - 1) // ROW_MULTIPLE * ROW_MULTIPLE)


@jit
def make_offer(offer, first, count, flag):
    """Offer `count` rows from `first` on; False when no helper is there or there are no rows."""
    slots = offer.slots
    if count == 0 or _read(slots, HELPER) == 0:
        return False
    slots[FIRST], slots[COUNT], slots[FLAG] = first, count, flag
    _write(slots, SEQUENCE, slots[SEQUENCE] + 1)
    return True


@jit
def withdraw(offer):
    """Take back an offer that nobody has accepted: True. Else wait until it is done: False."""
    slots = offer.slots
    sequence = _read(slots, SEQUENCE) & ~1
    if _claim(slots, sequence):
        return True
    spins = 0
    while _read(slots, DONE) != sequence:
        spins += 1
        if spins > SPINS:
            _call(offer.yield_cpu)
    return False


@jit
def accept(offer):
    """Wait for an offer: its sequence number, or -1 when the item is finished."""
    slots = offer.slots
    _write(slots, HELPER, 1)
    spins = 0
    while _read(slots, CLOSED) == 0:
        sequence = _read(slots, SEQUENCE)
        if sequence & 1 == 0 and _claim(slots, sequence):
            return sequence
        spins += 1
        if spins > SPINS:
            _call(offer.yield_cpu)
    return np.int64(-1)


@jit
def complete(offer, sequence):
    """Tell the thread that made an offer that its rows are done."""
    _write(offer.slots, DONE, sequence)
