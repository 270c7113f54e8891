"""Workarounds for other libraries: a private attribute of Numba, and how torch's threads wait.

A new release of Numba may move the attribute; then the engine starts more slowly, and nothing
breaks. Workarounds for private parts of Gradio are in `nca.ui.gradio_server`.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any


def stamp_kernel_cache(dispatcher: Any, stamp: tuple[Any, ...]) -> bool:
    """Let Numba keep a function's machine code on disk for as long as `stamp` stays the same.

    Numba itself checks only the file that defines the function. Returns False when this version
    of Numba has no such attribute: its cache cannot be trusted after a change to another file.
    """
    cache_file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if cache_file is None or not hasattr(cache_file, "_source_stamp"):
        return False
    cache_file._source_stamp = stamp
    return True


def let_threads_sleep(environ: MutableMapping[str, str]) -> None:
    """Make OpenMP threads sleep while they wait, unless the environment says otherwise.

    Threads that spin take the cores from the engine's own threads, from other processes and from
    the page. The setting is read when torch is imported, so our own processes set it at their
    start. `import nca` never sets it, because it may run in somebody else's process.
    """
    environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
