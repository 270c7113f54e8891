"""Workarounds for other libraries: private attributes of Numba and torch, how torch's threads wait.

A new release of either may move the attribute; then a process starts more slowly, and nothing
breaks. Workarounds for private parts of Gradio are in `nca.ui.gradio_server`.
"""

from __future__ import annotations

import inspect
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


def keep_compiler_out() -> None:
    """Let torch's optimisers work without importing torch's compiler, which takes 2 s.

    They import it only to tell it what it shall not compile. For processes of our own, which
    compile nothing.
    """
    import torch

    optimiser = torch.optim.Optimizer
    for name in ("state_dict", "load_state_dict", "zero_grad", "add_param_group"):
        function = getattr(getattr(optimiser, name), "__wrapped__", None)
        if function is not None:
            function.__dict__.setdefault("__dynamo_disable", function)
    for kind in (torch.optim.Adam, getattr(torch.optim, "Muon", None)):
        if kind is not None:
            kind.step = torch.no_grad()(inspect.unwrap(kind.step))
