"""Which thread runs which batch item, and the memory it needs for that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from nca.engine import _handoff
from nca.engine import _kernels as kernels
from nca.engine._layout import Grid, Network, empty, zeros


class Workspace:
    """The memory for one item; both passes leave `grid` empty."""

    def __init__(self, grid: Grid, network: Network, with_gradient: bool) -> None:
        dtype, cp, padded = network.dtype, network.cp, grid.number.size
        self.grid = zeros(padded * cp, dtype)
        self.gradient = zeros(padded * cp if with_gradient else 0, dtype)
        rows = grid.cells + kernels.BLOCK
        self.dx = empty(rows * cp, dtype)
        # Not `empty`: the padding of a row is read, at weight 0, and NaN times 0 is NaN.
        self.flow = zeros(rows * network.plan[0, kernels.LD_IN] if with_gradient else 0, dtype)
        self.row_of = np.empty(grid.cells, np.int32)
        self.tables = kernels.Tables(
            lists=np.empty((5, grid.cells + 2), np.int32),
            maps=np.zeros((4, padded), np.int32),
            sizes=np.zeros(5, np.int64),
        )


class Scratch:
    """The memory for one thread, whether it runs an item or helps with one."""

    def __init__(self, network: Network, with_gradient: bool) -> None:
        self.buffer = zeros(network.n_activations, network.dtype)
        self.deltas = zeros(network.n_activations if with_gradient else 0, network.dtype)


@dataclass(eq=False)
class Item:
    """A batch item that a thread runs, and the slot in which it offers rows to another."""

    number: int
    workspace: Workspace
    offer: _handoff.Offer
    helped: bool = False


Task = Callable[[Item, Scratch], None]


class Threads:
    """The threads of a rollout; the backward pass reuses the memory of the forward pass.

    Args:
        batch: how many items there are.
        grid: the grid of each.
        network: the update network.
        with_gradient: whether there will be a backward pass.
    """

    def __init__(self, batch: int, grid: Grid, network: Network, with_gradient: bool) -> None:
        self.batch, self.needs = batch, (grid, network, with_gradient)
        self._free: list[Workspace] = []

    def each_item(self, task: Task, help_with: Task) -> None:
        """Run `task` for every item, on as many threads as torch would use.

        A thread that finds no item left to start helps with one that still runs; at most one
        helper per item.
        """
        _, network, with_gradient = self.needs
        waiting = list(reversed(range(self.batch)))
        running: list[Item] = []
        lock = threading.Lock()

        def start_item() -> Item | None:
            with lock:
                if not waiting:
                    return None
                workspace = self._free.pop() if self._free else Workspace(*self.needs)
                running.append(Item(waiting.pop(), workspace, _handoff.new_offer()))
                return running[-1]

        def finish_item(item: Item) -> None:
            item.offer.slots[_handoff.CLOSED] = 1
            with lock:
                running.remove(item)

        def item_to_help() -> Item | None:
            with lock:
                item = next((item for item in running if not item.helped), None)
                if item:
                    item.helped = True
                return item

        def work() -> None:
            scratch = Scratch(network, with_gradient)
            while item := start_item():
                try:
                    task(item, scratch)
                finally:
                    finish_item(item)
                self._free.append(item.workspace)
            while item := item_to_help():
                help_with(item, scratch)

        threads = min(torch.get_num_threads(), 2 * self.batch)
        with ThreadPoolExecutor(max(1, threads - 1)) as pool:
            others = [pool.submit(work) for _ in range(threads - 1)]
            work()
            for other in others:
                other.result()
