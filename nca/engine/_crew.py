"""Which thread runs which batch item, and the memory it needs for that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from nca.engine import _kernels as kernels
from nca.engine import _team
from nca.engine._layout import Grid, Network, empty, zeros


class Workspace:
    """What running an item needs; both passes leave `grid` empty."""

    def __init__(self, grid: Grid, network: Network, with_gradient: bool) -> None:
        dtype, cp, padded = network.dtype, network.cp, grid.number.size
        self.grid = zeros(padded * cp, dtype)
        self.gradient = zeros(padded * cp if with_gradient else 0, dtype)
        rows = grid.cells + kernels.BLOCK
        self.dx = empty(rows * cp, dtype)
        # Not `empty`: what rows end with is read, at weight 0, and NaN times 0 is NaN.
        self.flow = zeros(rows * network.plan[0, kernels.LD_IN] if with_gradient else 0, dtype)
        self.row_of = np.empty(grid.cells, np.int32)
        self.lists = np.empty((5, grid.cells + 2), np.int32)
        self.maps = np.zeros((4, padded), np.int32)
        self.sizes = np.zeros(5, np.int64)


class Scratch:
    """What a thread needs, whether it runs an item or helps with one."""

    def __init__(self, network: Network, with_gradient: bool) -> None:
        self.buffer = zeros(network.n_activations, network.dtype)
        self.deltas = zeros(network.n_activations if with_gradient else 0, network.dtype)


@dataclass(eq=False)
class Item:
    """An item that a thread runs, and the desk at which another may help."""

    number: int
    space: Workspace
    desk: np.ndarray
    helped: bool = False


Task = Callable[[Item, Scratch], None]


class Crew:
    """The threads of a rollout; the second pass uses the memory of the first again.

    Args:
        batch: how many items there are.
        grid: theirs.
        network: theirs.
        with_gradient: whether there will be a backward pass.
    """

    def __init__(self, batch: int, grid: Grid, network: Network, with_gradient: bool) -> None:
        self.batch, self.needs = batch, (grid, network, with_gradient)
        self._free: list[Workspace] = []

    def each_item(self, task: Task, help_with: Task) -> None:
        """Run `task` for every item, on as many threads as torch would use.

        Those that find no item left to begin help with one that still runs, one with each.
        """
        _, network, with_gradient = self.needs
        waiting = list(reversed(range(self.batch)))
        running: list[Item] = []
        lock = threading.Lock()

        def begin() -> Item | None:
            with lock:
                if not waiting:
                    return None
                space = self._free.pop() if self._free else Workspace(*self.needs)
                running.append(Item(waiting.pop(), space, _team.desk()))
                return running[-1]

        def end(item: Item) -> None:
            item.desk[_team.OVER] = 1
            with lock:
                running.remove(item)

        def join() -> Item | None:
            with lock:
                alone = next((item for item in running if not item.helped), None)
                if alone:
                    alone.helped = True
                return alone

        def work() -> None:
            scratch = Scratch(network, with_gradient)
            while item := begin():
                try:
                    task(item, scratch)
                finally:
                    end(item)
                self._free.append(item.space)
            while item := join():
                help_with(item, scratch)

        threads = min(torch.get_num_threads(), 2 * self.batch)
        with ThreadPoolExecutor(max(1, threads - 1)) as pool:
            others = [pool.submit(work) for _ in range(threads - 1)]
            work()
            for other in others:
                other.result()
