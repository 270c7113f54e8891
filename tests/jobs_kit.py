"""What the job tests share: a tiny training, a server to kill, patience."""

import time
from pathlib import Path

import torch

from nca.config import NCAConfig, TargetConfig, TrainConfig
from nca.jobs import JobSpec
from nca.target import target_to_png

ROOT = Path(__file__).parents[1]
LONG = 20_000  # iterations that no test waits for; every one has its line of metrics


def tiny_spec(iterations: int, **changes) -> JobSpec:
    train = TrainConfig(
        iterations=iterations, batch=2, pool_size=4, steps_min=4, steps_max=6, damage_count=1
    )
    values = {
        "nca": NCAConfig(channels=6, hidden=(8,)),
        "train": train,
        "target": TargetConfig(size=8, padding=0),
        "device": "cpu",
        "title": "a tiny square",
        "sharpen": 0,
    }
    return JobSpec(**(values | changes))


def tiny_target() -> torch.Tensor:
    target = torch.zeros(8, 8, 4)
    target[2:6, 2:6] = torch.tensor([0.0, 1.0, 0.0, 1.0])
    return target


def tiny_png() -> bytes:
    return target_to_png(tiny_target())


def wait_for(condition, seconds: float = 240.0, every: float = 0.05):
    """Whatever `condition` returns, as soon as it is true.

    A worker that has to compile its engine while others use the cores needs more than 90 s.
    """
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited too long"
        time.sleep(every)
    return found


def workers(folder: Path) -> list[int]:
    """The processes that run the worker on this folder.

    Without its children: until a child has called exec, it looks like the worker itself.
    """
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if b"nca.jobs.worker" in command and str(folder).encode() in command and state != "Z":
                parents[int(entry.name)] = int(parent)
    return [process for process, parent in parents.items() if parent not in parents]
