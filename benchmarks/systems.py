"""The systems the speed benchmarks compare, each in a process of its own.

`python benchmarks/systems.py SYSTEM` answers requests: one JSON object per line of standard input
describes the work, one line of standard output says how many seconds it took. Parents keep several
such processes and ask them in turn, so that other load on the machine affects all of them alike.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DENSE = ("dense channels-first", "dense channels-last")
COMPILED = "torch.compile, CUDA graph"
PEERS = ("jax", "cax")


@dataclass(frozen=True)
class Work:
    """One measurement. `share` is the living share of the grid; None is the lizard."""

    kind: str = "train"  # train: forward, backward and Adam; grow: forward only
    grid: int = 72
    batch: int = 8
    steps: int = 96
    share: float | None = None
    threads: int | None = None
    device: str = "cpu"
    precision: str = "highest"  # of float32 matrix products, as torch names it


class Process:
    """A system in its own process, idle between two requests."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.child = subprocess.Popen(
            [sys.executable, __file__, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            encoding="utf-8", cwd=ROOT, env={"OMP_WAIT_POLICY": "PASSIVE"} | os.environ,
        )  # fmt: skip

    def ask(self, work: Work) -> dict[str, Any]:
        """Seconds and bytes of one run; RuntimeError with the reason when it cannot run."""
        assert self.child.stdin and self.child.stdout
        self.child.stdin.write(json.dumps(asdict(work)) + "\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline() or '{"error": "it ended unexpectedly"}')
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def warm(self, work: Work) -> None:
        """Compile, fill caches, start threads: one run, short if its length does not matter."""
        self.ask(replace(work, steps=2) if self.name in DENSE else work)

    def close(self) -> None:
        """End the process."""
        if self.child.stdin:
            self.child.stdin.close()
        self.child.wait(30)


def alternate(processes: list[Process], work: Work, rounds: int) -> dict[str, float]:
    """Median seconds of each system, asked in turn `rounds` times."""
    seconds: dict[str, list[float]] = {process.name: [] for process in processes}
    for process in processes:
        process.warm(work)
    for _ in range(rounds):
        for process in processes:
            seconds[process.name].append(process.ask(work)["seconds"])
    return {name: statistics.median(values) for name, values in seconds.items()}


def better_dense(work: Work) -> Process:
    """The faster of the two memory layouts of the plain dense version."""
    processes = [Process(name) for name in DENSE]
    seconds = alternate(processes, replace(work, steps=12), 2)
    best = min(seconds, key=seconds.__getitem__)
    for process in processes:
        if process.name != best:
            process.close()
    return next(process for process in processes if process.name == best)


def memory(name: str, work: Work) -> int:
    """Peak resident bytes of one run, above what the process held before it."""
    process = Process(name)
    try:
        # A tiny run first: compilers and thread pools are not what is measured.
        process.ask(replace(work, grid=24, batch=1, steps=2, share=0.1))
        return process.ask(work)["bytes"]
    finally:
        process.close()


def start_state(work: Work) -> tuple[Any, Any]:
    """States [B, H, W, 16] and their RGBA [H, W, 4], float32 arrays, living cells only."""
    import numpy as np

    draw = np.random.default_rng(0)
    rgba = np.zeros((work.grid, work.grid, 4), np.float32)
    if work.share is None:
        from nca.target import emoji_target

        lizard = np.asarray(emoji_target("🦎", size=40, padding=16), np.float32)
        lizard = lizard[12:-12, 12:-12]  # most of its padding, so that 48 x 48 holds it too
        side = len(lizard)
        corner = (work.grid - side) // 2
        rgba[corner : corner + side, corner : corner + side] = lizard
    else:
        side = np.linspace(-1, 1, work.grid)
        # A disc of the wanted area; it runs over the edges before it fills the corners.
        distance = np.hypot(side[:, None], side[None, :])
        rgba[distance <= np.quantile(distance, work.share)] = (0.4, 0.6, 0.2, 1.0)
    alive = rgba[..., 3:4] > 0.1
    hidden = draw.normal(0, 0.1, (work.batch, work.grid, work.grid, 12)).astype(np.float32)
    x = np.concatenate([np.broadcast_to(rgba, (work.batch, *rgba.shape)), hidden], -1)
    return x * alive, rgba * alive


def start_weights() -> tuple[Any, Any]:
    """First layer [128, 48] and last layer [16, 128], so small that the picture stays."""
    import numpy as np

    draw = np.random.default_rng(1)
    first = draw.uniform(-0.18, 0.18, (128, 48))
    return first.astype(np.float32), draw.normal(0, 1e-4, (16, 128)).astype(np.float32)


def by_channel(first: Any) -> Any:
    """The first layer for perceptions sorted by channel, as a depthwise convolution gives them."""
    return first.reshape(128, 3, 16).swapaxes(1, 2).reshape(128, 48)


class Ours:
    """`nca` with the engine it chooses."""

    def prepare(self, work: Work) -> Any:
        """A function that runs the work once."""
        import torch

        from nca.config import NCAConfig
        from nca.engine import choose
        from nca.fire import item_seeds
        from nca.model import NCA

        nca = NCA(NCAConfig()).to(work.device)
        x, rgba = (torch.from_numpy(a).to(work.device) for a in start_state(work))
        first, last = start_weights()
        with torch.no_grad():
            nca.layers[0].weight.copy_(torch.from_numpy(first))
            nca.layers[1].weight.copy_(torch.from_numpy(last))
        if work.kind == "grow":
            return lambda: nca.grow(x, work.steps)
        # The rate is too small to change anything: every round does the same work.
        adam = torch.optim.Adam(nca.parameters(), 1e-12)
        engine, seeds = choose(nca.config, work.device), item_seeds(0, work.batch)

        def train() -> None:
            adam.zero_grad()
            end = engine.rollout(nca, x, work.steps, seeds)[0]
            (end[..., :4] - rgba).square().mean().backward()
            adam.step()

        return train


class Dense:
    """What a user would write: depthwise conv2d, two 1x1 convolutions, autograd.

    Args:
        channels_last: the memory layout.
        compiled: a step goes through `torch.compile`, an iteration becomes one CUDA graph.
    """

    def __init__(self, channels_last: bool, compiled: bool = False) -> None:
        self.channels_last, self.compiled = channels_last, compiled

    def prepare(self, work: Work) -> Any:
        """A function that runs the work once."""
        import torch
        import torch.nn.functional as F

        from nca.model import fixed_filters

        x, rgba = (
            torch.from_numpy(a.transpose(*range(a.ndim - 3), -1, -3, -2).copy()).to(work.device)
            for a in start_state(work)
        )
        bank = fixed_filters("none")[None].repeat(16, 1, 1, 1).reshape(48, 1, 3, 3).to(work.device)
        first, last = (torch.from_numpy(w) for w in start_weights())
        first = by_channel(first)
        weights = [first[..., None, None], torch.zeros(128), last[..., None, None], torch.zeros(16)]
        weights = [torch.nn.Parameter(w.clone().to(work.device)) for w in weights]
        if self.channels_last:
            x = x.to(memory_format=torch.channels_last)
            bank = bank.to(memory_format=torch.channels_last)

        def step(state: torch.Tensor) -> torch.Tensor:
            pre = F.max_pool2d(state[:, 3:4], 3, 1, 1) > 0.1
            seen = F.conv2d(state, bank, padding=1, groups=16)
            hidden = F.conv2d(seen, weights[0], weights[1]).relu()
            dx = F.conv2d(hidden, weights[2], weights[3])
            state = state + dx * (torch.rand_like(state[:, :1]) < 0.5)
            post = F.max_pool2d(state[:, 3:4], 3, 1, 1) > 0.1
            return state * (pre & post)

        if self.compiled:
            step = torch.compile(step)

        def rollout() -> torch.Tensor:
            state = x
            for _ in range(work.steps):
                state = step(state)
            return state

        def differentiate() -> None:
            adam.zero_grad()
            (rollout()[:, :4] - rgba).square().mean().backward()

        adam = torch.optim.Adam(weights, 1e-12)
        run = torch.no_grad()(rollout) if work.kind == "grow" else differentiate
        if self.compiled:
            run = self._captured(run)
        if work.kind == "grow":
            return run

        def train() -> None:
            run()
            adam.step()

        return train

    @staticmethod
    def _captured(run: Any) -> Any:
        """`run` as one CUDA graph, recorded as torch's documentation asks for."""
        import torch

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return graph.replay


def _resident(field: str) -> int:
    """VmRSS (now) or VmHWM (peak) of this process in bytes; 0 where /proc does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        pass


def _on_cpu(run: Any) -> tuple[float, int]:
    """Seconds, and bytes of memory at the peak above those before."""
    _reset_peak()
    before, start = _resident("VmRSS"), time.perf_counter()
    run()
    return time.perf_counter() - start, _resident("VmHWM") - before


def _on_card(run: Any) -> tuple[float, int]:
    """The same on the graphics card, whose work must have ended before a clock is read."""
    import torch

    torch.cuda.reset_peak_memory_stats()
    torch.cuda.synchronize()
    before, start = torch.cuda.memory_allocated(), time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start, torch.cuda.max_memory_allocated() - before


def serve(name: str) -> None:
    """Answer requests on standard input until it closes."""
    sys.path.insert(0, str(ROOT))
    import peers  # which needs what is defined here

    makers = {
        "ours": Ours,
        "dense channels-first": lambda: Dense(False),
        "dense channels-last": lambda: Dense(True),
        COMPILED: lambda: Dense(False, compiled=True),
        "jax": peers.Jax,
        "cax": peers.Cax,
    }
    system = makers[name]()
    ready: dict[Work, Any] = {}
    threads = None
    for line in sys.stdin:
        work = Work(**json.loads(line))
        try:
            import torch

            threads = threads or torch.get_num_threads()
            torch.set_num_threads(work.threads or threads)
            torch.set_float32_matmul_precision(work.precision)
            torch.backends.cudnn.allow_tf32 = work.precision != "highest"
            if work not in ready:
                ready = {work: system.prepare(work)}
            run, measured = ready[work], _on_card if work.device == "cuda" else _on_cpu
            seconds, size = measured(run)
            answer = {"seconds": seconds, "bytes": size}
        except ImportError as error:
            answer = {"error": f"not installed ({error})"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
