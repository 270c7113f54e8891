"""What lies outside this project's hands: a private part of Numba, and torch's threads.

A new release may move the first; then the engine starts more slowly, and nothing breaks. What of
Gradio is private, `nca.ui.gradio_server` has.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any


def stamp_kernel_cache(dispatcher: Any, stamp: tuple[Any, ...]) -> bool:
    """Let Numba keep a function's machine code on the disk for as long as `stamp` stays the same.

    Numba itself looks only at the file that defines the function. False when this Numba has no
    such place: its cache cannot be trusted after a change to another file.
    """
    cache_file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if cache_file is None or not hasattr(cache_file, "_source_stamp"):
        return False
    cache_file._source_stamp = stamp
    return True


def let_threads_sleep(environ: MutableMapping[str, str]) -> None:
    """Let OpenMP threads sleep while they wait, unless the environment says otherwise.

    Threads that spin take the cores from the engine's own threads, from other processes and from
    the page. The setting is read when torch is imported, so it belongs to the start of a process
    of ours, never to `import nca`, which may happen in somebody else's.
    """
    environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
