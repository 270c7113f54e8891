"""How the kernels of the sparse engine are compiled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from nca._compat import stamp_kernel_cache


def _sources() -> tuple[tuple[float, int], ...]:
    """Stamp of this package's files: a kernel is compiled anew when any of them has changed."""
    files = sorted(Path(__file__).parent.glob("_*.py"))
    return tuple((status.st_mtime, status.st_size) for status in (f.stat() for f in files))


def jit(function: Callable[..., Any]) -> Any:
    """Compile lazily; cache the machine code on disk where a cache folder can be written."""
    options = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    try:
        dispatcher = njit(cache=True, **options)(function)
    except RuntimeError:  # no cache folder can be written
        return njit(**options)(function)
    # Numba checks only the function's own file, but code from the other files is inlined into it.
    return dispatcher if stamp_kernel_cache(dispatcher, _sources()) else njit(**options)(function)
