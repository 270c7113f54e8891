"""SIMD registers for Numba, which has none of its own.

Vectors are LLVM values, added through Numba's extension API. Kernels control what is kept in a
register, and no compiler is needed on the user's machine. Their width is that of the processor.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model


def _register_file() -> tuple[int, int]:
    """(bytes per vector register, number of registers) of the machine this runs on."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if features.get("avx2") or features.get("avx"):
        return 32, 16
    return 16, 32 if features.get("neon") else 16


VECTOR_BYTES, REGISTERS = _register_file()


class Vector(types.Type):
    """A SIMD register of float32 or float64 as a Numba type."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        self.lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype}, {self.lanes})")


def llvm_vector(dtype: types.Float) -> ir.VectorType:
    scalar = ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType()
    return ir.VectorType(scalar, VECTOR_BYTES * 8 // dtype.bitwidth)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, llvm_vector(kind.dtype))


def address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Pointer to element `index` of a one-dimensional contiguous array, or from a pointer."""
    if isinstance(array_type, types.CPointer):
        return builder.gep(array, [index])
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def load(builder: Any, pointer: Any, dtype: types.Float) -> Any:
    typed = builder.bitcast(pointer, llvm_vector(dtype).as_pointer())
    return builder.load(typed, align=dtype.bitwidth // 8)


def store(builder: Any, value: Any, pointer: Any, dtype: types.Float) -> None:
    typed = builder.bitcast(pointer, value.type.as_pointer())
    builder.store(value, typed, align=dtype.bitwidth // 8)


def splat(builder: Any, scalar: Any, dtype: types.Float) -> Any:
    kind = llvm_vector(dtype)
    single = builder.insert_element(
        ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    first = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(single, ir.Constant(kind, ir.Undefined), first)


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Multiply a by b and add c: fused where the processor supports it."""
    return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))


@intrinsic
def vload(typingctx, array, index):
    """The vector at array[index:]."""

    def codegen(context, builder, signature, args):
        return load(builder, address(context, builder, array, *args), array.dtype)

    return Vector(array.dtype)(array, types.intp), codegen


@intrinsic
def vstore(typingctx, array, index, value):
    """array[index:] = value."""

    def codegen(context, builder, signature, args):
        pointer = address(context, builder, array, *args[:2])
        store(builder, args[2], pointer, array.dtype)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


@intrinsic
def vzero(typingctx, array):
    """A vector of zeros of the array's type."""

    def codegen(context, builder, signature, args):
        return ir.Constant(llvm_vector(array.dtype), None)

    return Vector(array.dtype)(array), codegen


@intrinsic
def vadd(typingctx, a, b):
    """Sum of two vectors."""

    def codegen(context, builder, signature, args):
        return builder.fadd(*args)

    return a(a, b), codegen


@intrinsic
def vfma(typingctx, a, b, c):
    """Product of a and b, plus c."""

    def codegen(context, builder, signature, args):
        return multiply_add(builder, *args)

    return a(a, b, c), codegen


@intrinsic
def lanes_of(typingctx, pointer):
    """Elements per vector of what the pointer points to."""

    def codegen(context, builder, signature, args):
        return ir.Constant(ir.IntType(64), llvm_vector(pointer.dtype).count)

    return types.int64(pointer), codegen
