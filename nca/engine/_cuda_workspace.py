"""Workspaces of the CUDA engine: buffers at fixed addresses and the CUDA graphs that use them."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from nca.config import NCAConfig
from nca.engine import _cuda_kernels as kernels
from nca.fire import threshold

CHUNK = 8  # steps in a captured graph
SIDE = 8  # of a tile, in cells
BLOCK = 32  # hidden units per pass; with more, registers spill
ROOM = 32  # buffers are allocated for a multiple of this many steps
FREE = 2  # workspaces kept for later rollouts


@dataclass(frozen=True)
class Key:
    """Everything that buffers and compiled kernels depend on.

    Args:
        config: the architecture.
        shape: of the states, [B, H, W, C].
        dtype: of the states.
        device: of the states.
        room: how many steps there is room for.
        kept: how many kept states there is room for; 0 when no gradients are wanted.
        precision: of matrix products, as Triton names it.
    """

    config: NCAConfig
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    room: int
    kept: int
    precision: str


def round_up(n: int, unit: int) -> int:
    """The smallest multiple of `unit` that is at least n."""
    return -(-n // unit) * unit


@functools.cache
def free_list() -> deque[Workspace]:
    """Workspaces that no rollout uses at present; those of the latest rollouts are kept."""
    return deque(maxlen=FREE)


def acquire(key: Key) -> Workspace:
    """A free workspace with this key, or a new one; when done, append it to `free_list()`."""
    for workspace in list(free_list()):
        if workspace.key == key:
            try:
                free_list().remove(workspace)
            except ValueError:  # another thread was faster
                continue
            return workspace
    return Workspace(key)


class Workspace:
    """The buffers of one rollout at a time. `_cuda_kernels` says what they hold.

    States of every step are kept for the backward pass; without gradients, those of one chunk.
    `advance()` runs the next CHUNK steps, `retreat()` backpropagates through CHUNK steps. `clock`,
    on the device, says which ones, so one graph serves rollouts of any length.
    """

    def __init__(self, key: Key) -> None:
        self.key = key
        config, (batch, height, width, channels) = key.config, key.shape
        self.slots = key.room + 1 if key.kept else CHUNK + 1
        inputs, hidden = config.filters * channels, config.hidden[0]
        real = functools.partial(torch.zeros, dtype=key.dtype, device=key.device)
        whole = functools.partial(torch.zeros, dtype=torch.int64, device=key.device)
        byte = functools.partial(torch.zeros, dtype=torch.uint8, device=key.device)
        self.states, self.life = real(self.slots, *key.shape), byte(self.slots, *key.shape[:3])
        self.keys, self.places = whole(key.room, batch), whole(key.room + 1)
        self.clock, self.anywhere, self.filters = whole(2), whole(1), real(config.filters, 3, 3)
        self.weights = (real(inputs, hidden), real(hidden), real(hidden, channels), real(channels))
        self.grid = round_up(height, SIDE) * round_up(width, SIDE) // SIDE**2, batch
        self.sizes = {"slots": self.slots, "height": height, "width": width}
        self.compiled = {
            "CIRCULAR": config.padding == "circular",
            "C": channels,
            "CP": max(16, triton.next_power_of_2(channels)),
            "SIDE": SIDE,
        }
        self.network = {
            "LAPLACIAN": config.laplacian != "none",
            "HIDDEN": hidden,
            "BLOCK": min(BLOCK, max(16, triton.next_power_of_2(hidden))),
            "PRECISION": key.precision,
        }
        if key.kept:
            self.grads = real(key.kept, *key.shape)
            self.direct, self.flags = real(CHUNK, *key.shape), byte(CHUNK, *key.shape[:3])
            self.seen = real(CHUNK, batch, height, width, inputs)
            programs = 2
            if key.device.type == "cuda":
                programs *= torch.cuda.get_device_properties(key.device).multi_processor_count
            self.sums = tuple(real(programs, *weight.shape) for weight in self.weights)
            self.retreat = self._captured(self._retreat, -1 - CHUNK)
        self.advance = self._captured(self._advance, 0)

    def _captured(self, launches: Callable[[], None], idle_at: int) -> Callable[[], None]:
        """The launches as one CUDA graph; on the CPU, in the interpreter, as they are."""
        if self.key.device.type != "cuda":
            return launches
        # Once outside the graph, to compile and load the kernels, at a step where they do nothing.
        self.clock.copy_(torch.tensor([idle_at, 0]))
        launches()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            launches()
        return graph.replay

    def _advance(self) -> None:
        config = self.key.config
        for i in range(CHUNK):
            kernels.step[self.grid](
                self.states, self.life, self.keys, self.filters, *self.weights, self.anywhere,
                self.clock, i, **self.sizes, below=threshold(config.fire_rate),
                THRESHOLD=config.alive_threshold, PRE_POST=config.alive_mask == "pre_post",
                **self.compiled, **self.network,
            )  # fmt: skip
        self.clock[:1] += CHUNK

    def materialise(self, step: int, out: Tensor) -> None:
        """Copy the state after `step` steps, from the latest chunk, to `out`, [B, H, W, C]."""
        kernels.materialise[self.grid](
            self.states, self.life, out, step, **self.sizes, **self.compiled
        )

    def _retreat(self) -> None:
        config, batch = self.key.config, self.key.shape[0]
        first, first_bias, last, _ = self.weights
        for i in range(CHUNK):
            kernels.backward_state[self.grid](
                self.states, self.life, self.keys, self.filters, first, first_bias, last,
                self.clock, self.places, self.grads, self.direct, self.seen, self.flags, i,
                **self.sizes, below=threshold(config.fire_rate), CHUNK=CHUNK, **self.compiled,
                **self.network,
            )  # fmt: skip
        blocks = triton.cdiv(self.network["HIDDEN"], self.network["BLOCK"])
        kernels.backward_weights[len(self.sums[0]), blocks](
            self.states, self.life, self.filters, first, first_bias, last, self.clock,
            self.direct, self.flags, *self.sums, items=batch, **self.sizes, CHUNK=CHUNK,
            **self.compiled, **self.network,
        )  # fmt: skip
        self.clock[:1] -= CHUNK
