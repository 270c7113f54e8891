"""Arrivals at the real queue in virtual time: who waits how long, and what visitors are told.

    python benchmarks/queue_simulation.py --json
    python benchmarks/queue_simulation.py --load 1.3 --jobs 2000     more than the machine can do
    python benchmarks/queue_simulation.py --turn 0                   without turns
    python benchmarks/queue_simulation.py --jobs 100 --together      a class of a hundred

The queue, its database, its rules and its folders are the real ones (`nca.jobs.JobQueue`); only the
clock and the machine that trains are not. That machine is an executor like the others: it works
at one speed, needs time to start and to save, and sometimes loses a worker.
"""
# ruff: noqa: E402

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, beside nca/

from nca.config import BadInput, Limits, NCAConfig, TargetConfig, TrainConfig
from nca.jobs import JobQueue, JobSpec
from nca.jobs.progress import Progress, Result, read_progress, write_progress, write_result
from nca.jobs.schedule import LONG_TURNS
from nca.jobs.spec import Exit, read_spec
from nca.target import target_to_png

START, SAVE = 4.0, 1.0  # seconds to start a worker, and to save and end
SAVED_EVERY = 20.0  # seconds between two resume files; more is lost in a crash
# Seconds of training, and their share among the visitors: a try, `quick`, a long recipe.
MIX = ((20.0, 0.3), (150.0, 0.6), (1800.0, 0.1))
PER_SECOND = 2  # iterations
LIMITS = (2, 3, 2 * LONG_TURNS, 2 * LONG_TURNS + 1)  # half turns after which one may be over


@dataclass
class Clock:
    """Seconds that only the simulation moves on."""

    now: float = 1e9

    def __call__(self) -> float:
        """The time now."""
        return self.now


class VirtualMachine:
    """An executor whose trainings cost nothing but virtual time; see `nca.jobs.executor`."""

    def __init__(self, clock: Clock, slots: int = 1, crash: float = 0.0, seed: int = 0) -> None:
        self.slots: Mapping[str, int] = {"cpu": slots}
        self.clock, self.crash, self.draw = clock, crash, random.Random(seed)
        self.runs: list[VirtualRun] = []
        self.starts = self.crashes = 0

    def start(self, folder: Path, device: str) -> VirtualRun:
        """Start or continue a training."""
        self.starts += 1
        self.runs.append(VirtualRun(self, folder))
        return self.runs[-1]

    def close(self) -> None:
        """Nothing is held."""

    def next_event(self, turn: float | None) -> float:
        """When something happens by itself, or a turn may be over."""
        return min((run.next_event(turn) for run in self.runs), default=float("inf"))


class VirtualRun:
    """A training that runs in virtual time."""

    def __init__(self, machine: VirtualMachine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        self.total = read_spec(folder).train.iterations
        self.done = read_progress(folder).iteration
        self.began = machine.clock() + START
        self.ends = self.began + (self.total - self.done) / PER_SECOND
        self.code = Exit.FINISHED
        if machine.draw.random() < machine.crash:
            self.ends = self.began + machine.draw.uniform(0, self.ends - self.began)
            self.code = None

    def iteration(self, now: float) -> int:
        """Updates done at a time."""
        return min(self.total, self.done + max(0, int((now - self.began) * PER_SECOND)))

    def poll(self) -> int | None:
        """As a worker would: its progress is on the disk, and its result when it has ended."""
        now = self.machine.clock()
        if now >= self.began:
            self._report(self.iteration(min(now, self.ends)))
        if now < self.ends:
            return None
        if self in self.machine.runs:
            self.machine.runs.remove(self)
        if self.code is None:  # what was not saved is lost
            self.machine.crashes += 1
            kept = (self.ends - self.began) // SAVED_EVERY * SAVED_EVERY
            self._report(self.iteration(self.began + kept))
            return -9
        write_result(self.folder, Result(outcome="finished" if self.code == 0 else "paused"))
        return self.code

    def stop(self) -> None:
        """Save and end."""
        if self.code is not None and self.machine.clock() + SAVE < self.ends:
            self.ends, self.code = self.machine.clock() + SAVE, Exit.PAUSED

    def kill(self) -> None:
        """End now."""
        self.ends, self.code = self.machine.clock(), None

    def next_event(self, turn: float | None) -> float:
        """When it ends, begins or may have had its turn."""
        now = self.machine.clock()
        if now < self.began:
            return min(self.began, self.ends)
        if turn is None:
            return self.ends
        halves = int((now - self.began) // (turn / 2)) + 1
        halves = next((h for h in LIMITS if h >= halves), halves)
        return min(self.ends, self.began + halves * turn / 2 + 1e-6)

    def _report(self, iteration: int) -> None:
        trained = (iteration - self.done) / PER_SECOND
        write_progress(
            self.folder,
            Progress(
                iteration=iteration,
                iterations=self.total,
                iterations_per_second=PER_SECOND,
                seconds_left=(self.total - iteration) / PER_SECOND,
                seconds=self.done / PER_SECOND + trained,
                device="cpu",
            ),
        )


@dataclass
class Visitor:
    """Somebody who starts one training and looks at it until it is finished."""

    kind: float  # seconds of training
    came: float
    key: str
    job: str
    folder: Path
    began: float | None = None
    ended: float | None = None
    state: str = "queued"
    promised: float | None = None  # the first wait that the page told
    told: list[tuple[float | None, float | None]] | None = None  # all it told, if we look


def spec(seconds: float) -> JobSpec:
    """A training of so many seconds on the virtual machine."""
    train = TrainConfig(iterations=round(seconds * PER_SECOND), batch=1, pool_size=2)
    target = TargetConfig(size=8, padding=0)
    return JobSpec(nca=NCAConfig(channels=6), train=train, target=target, device="cpu")


class Simulation:
    """Visitors, the queue and the machine.

    Args:
        home: a folder for the queue, best in memory.
        limits: of the queue.
        machine: that trains.
        watched: every so many visitors, one whose page is watched.
    """

    def __init__(
        self, home: Path, limits: Limits, machine: VirtualMachine, watched: int = 40
    ) -> None:
        import torch

        self.machine, self.clock, self.limits = machine, machine.clock, limits
        self.queue = JobQueue(
            home, limits, clock=self.clock, executor=machine, ticks=self.clock, thread=False
        )
        self.png = target_to_png(torch.ones(8, 8, 4))
        self.watched, self.refused = watched, 0
        self.visitors: list[Visitor] = []
        self.active: dict[str, Visitor] = {}

    def arrive(self, kind: float) -> Visitor | None:
        """A visitor comes and starts a training; None when the queue was full."""
        key = JobQueue.new_key()
        try:
            job = self.queue.submit(key, spec(kind), self.png)
        except BadInput:
            self.refused += 1
            return None
        view = self.queue.view(key, job)
        visitor = Visitor(kind, self.clock(), key, job, view.folder)
        if len(self.visitors) % self.watched == 0:
            visitor.told = []
        visitor.promised = view.wait_seconds
        self.visitors.append(visitor)
        self.active[job] = visitor
        return visitor

    def settle(self) -> None:
        """Let the supervisor do all that is due now, and note what became of whom."""
        self.queue.look()  # this one asks a worker whose turn is over, the next one ends it
        before = None
        while before != (self.machine.starts, len(self.machine.runs)):
            before = self.machine.starts, len(self.machine.runs)
            self.queue.look()
        trains = {run.folder.name for run in self.machine.runs}
        for visitor in list(self.active.values()):
            if visitor.began is None and visitor.job in trains:
                visitor.began = self.clock() + START
            if visitor.told is not None:
                view = self.queue.view(visitor.key, visitor.job)
                told = (view.wait_seconds, view.seconds_left)
                if not visitor.told or visitor.told[-1] != told:
                    visitor.told.append(told)
            if visitor.job not in trains and visitor.began is not None:
                state = self.queue.view(visitor.key, visitor.job).state
                if state in ("finished", "failed", "stopped"):
                    visitor.state, visitor.ended = state, self.clock()
                    del self.active[visitor.job]

    def run(self, arrivals: list[tuple[float, float]]) -> None:
        """Let visitors come at (time, seconds of training), and go on until nobody trains."""
        coming = sorted(arrivals, reverse=True)
        while coming or self.active:
            due = coming[-1][0] if coming else float("inf")
            waits = len(self.active) > len(self.machine.runs)
            turn = self.limits.turn_seconds if waits else None
            self.clock.now = min(due, self.machine.next_event(turn))
            while coming and coming[-1][0] <= self.clock.now:
                self.arrive(coming.pop()[1])
            self.settle()

    def close(self) -> None:
        """End the queue."""
        self.queue.close()


def poisson(
    count: int, load: float, slots: int, begin: float, seed: int
) -> list[tuple[float, float]]:
    """Arrivals at random that keep the slots busy for a share `load` of the time."""
    draw, now, arrivals = random.Random(seed), begin, []
    kinds, shares = zip(*MIX, strict=True)
    mean = sum(kind * share for kind, share in MIX) + START
    for _ in range(count):
        now += draw.expovariate(load * slots / mean)
        arrivals.append((now, draw.choices(kinds, shares)[0]))
    return arrivals


def report(simulation: Simulation) -> dict[str, object]:
    """What became of all visitors."""
    kinds: dict[str, dict[str, float]] = {}
    for kind, _ in MIX:
        there = [v for v in simulation.visitors if v.kind == kind and v.ended and v.began]
        if len(there) < 2:
            continue
        waits = [v.began - v.came for v in there]
        stays = [(v.ended - v.came) / (v.kind + START) for v in there]
        kinds[f"{kind:g} s"] = {
            "count": len(there),
            "wait_median": round(median(waits), 1),
            "wait_95": round(quantiles(waits, n=20)[-1], 1),
            "wait_longest": round(max(waits), 1),
            "slowdown_median": round(median(stays), 2),
            "slowdown_95": round(quantiles(stays, n=20)[-1], 2),
        }
    shares = [(v.kind + START) / (v.ended - v.came) for v in simulation.visitors if v.ended]
    changes = [len(v.told) for v in simulation.visitors if v.told]
    kept = [v for v in simulation.visitors if v.promised is not None and v.began]
    late = [v.began - v.came - v.promised for v in kept]
    machine = simulation.machine
    return {
        "accepted": len(simulation.visitors),
        "refused": simulation.refused,
        "finished": sum(v.state == "finished" for v in simulation.visitors),
        "failed": sum(v.state == "failed" for v in simulation.visitors),
        "lost": len(simulation.active),
        "workers_lost": machine.crashes,
        "starts_per_job": round(machine.starts / max(1, len(simulation.visitors)), 2),
        # Jain's index of what each visitor got of the machine while there; 1 is the same for all.
        "fairness": round(sum(shares) ** 2 / (len(shares) * sum(s * s for s in shares)), 3),
        "kinds": kinds,
        "times_told_median": median(changes) if changes else None,
        "times_told_most": max(changes, default=None),
        "later_than_told_95": round(quantiles(late, n=20)[-1], 1) if len(late) > 1 else None,
        "virtual_days": round((simulation.clock() - 1e9) / 86_400, 2),
    }


def main() -> int:
    """Simulate, and print what became of the visitors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=1, help="trainings at once")
    parser.add_argument("--load", type=float, default=0.8, help="of what the slots can do")
    parser.add_argument("--turn", type=float, default=30.0, help="seconds; 0 for none")
    parser.add_argument("--queue", type=int, default=100, help="trainings that may run or wait")
    parser.add_argument("--crash", type=float, default=0.002, help="share of workers that die")
    parser.add_argument("--together", action="store_true", help="all come in the same second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    options = parser.parse_args()
    clock = Clock()
    limits = Limits(turn_seconds=options.turn or None, queue_length=options.queue)
    machine = VirtualMachine(clock, options.slots, options.crash, options.seed)
    memory = Path("/dev/shm")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as home:
        simulation = Simulation(Path(home), limits, machine)
        coming = poisson(options.jobs, options.load, options.slots, clock.now, options.seed)
        if options.together:
            coming = [(clock.now + i / len(coming), kind) for i, (_, kind) in enumerate(coming)]
        simulation.run(coming)
        found = report(simulation) | {"real_seconds": round(time.perf_counter() - began, 1)}
        simulation.close()
    asked = {name: value for name, value in vars(options).items() if name != "json"}
    if options.json:
        print(json.dumps({"asked": asked} | found))
        return 0
    for name, value in found.items():
        if name == "kinds":
            print("| training | visitors | wait, median | 95 % | longest | slowdown | 95 % |")
            print("|---|---|---|---|---|---|---|")
            for kind, row in found["kinds"].items():
                print(f"| {kind} | " + " | ".join(f"{v:g}" for v in row.values()) + " |")
        else:
            print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
