"""How the kernels of the sparse engine are compiled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit

from nca._compat import stamp_kernel_cache
from nca.files import own_temp_folder


def _sources() -> tuple[tuple[float, int], ...]:
    """Stamp of this package's files: a kernel is compiled anew when any of them has changed."""
    files = sorted(Path(__file__).parent.glob("_*.py"))
    return tuple((status.st_mtime, status.st_size) for status in (f.stat() for f in files))


def jit(function: Callable[..., Any]) -> Any:
    """Compile lazily; cache the machine code on disk.

    Numba keeps it beside the source, else in the user's cache folder. Where neither can be
    written, it is kept in the temp folder, because compiling takes half a minute.
    """
    options = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    try:
        dispatcher = njit(cache=True, **options)(function)
    except RuntimeError:  # neither can be written
        dispatcher = _cached_in_temp_folder(function, options)
        if dispatcher is None:
            return njit(**options)(function)
    # Numba checks only the function's own file, but code from the other files is inlined into it.
    return dispatcher if stamp_kernel_cache(dispatcher, _sources()) else njit(**options)(function)


def _cached_in_temp_folder(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """The function compiled with its cache in the temp folder; None if that cannot be written."""
    before = numba.config.CACHE_DIR
    try:
        numba.config.CACHE_DIR = str(own_temp_folder() / "compiled")
        return njit(cache=True, **options)(function)
    except (OSError, RuntimeError):
        return None
    finally:
        numba.config.CACHE_DIR = before
