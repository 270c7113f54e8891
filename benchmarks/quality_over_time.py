"""How good an automaton gets in how much time: recipes, and what makes damage heal.

    python benchmarks/quality_over_time.py recipes      quick beside regenerating
    python benchmarks/quality_over_time.py healing      quick with one thing changed at a time
    python benchmarks/quality_over_time.py photo        a full frame without an edge
    python benchmarks/quality_over_time.py stem         an automaton of ten emoji learns others
    python benchmarks/quality_over_time.py recipes --table

Runs are kept, one line each, in quality_over_time.jsonl; a second start does what is missing. Time
is processor time of one thread, so that what else the machine does matters little; the battery that
scores along the way (4 lives, no strokes, no rotation) is not counted. `quick` is that of
earlier.py. Pictures are small (24 cells with 10 of padding) unless --size says otherwise, because
there are many runs.
"""
# ruff: noqa: E402

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, beside nca/

import earlier
from skyline import skyline
from trainers import Averaged, Bounded, Noisy, Retried, Turned, Watched, turns

from nca.checkpoint import load_checkpoint
from nca.config import NCAConfig, TrainConfig
from nca.evaluate import Plan, evaluate
from nca.recipes import recipe
from nca.target import emoji_target
from nca.trainer import Diverged, Trainer

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
KEPT = Path(__file__).with_suffix(".jsonl")
EMOJI = ("🦎", "🦋", "🐠")
FRAME = "skyline"
NEW = ("🐢", "🐙", "🦀", "🐝", "🌵", "🌻", "🍄", "🍓", "⚓", "🎈")  # not in the zoo
PICTURES = {"photo": (FRAME,), "stem": NEW}  # of these suites, in place of EMOJI
BATTERY = Plan(lives=4, strokes=0, angles=(0,), persistence=1000, larger=1.0)
# What the table looks for: recognisable, then Distill's regenerating row, without and with damage.
RECOGNISABLE = {"96": -2.0}
PERSISTENT = {"96": -3.0, "200": -3.37, "1000": -3.51}
REGENERATING = {**PERSISTENT, "halves": -2.41, "square": -2.73}
COLUMNS = tuple(REGENERATING)


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        recipe: its configs.
        seconds: of one thread, for a picture of 24 cells.
        changes: to the recipe's training.
        trainer: the kind of trainer.
        initial: the checkpoint whose weights it begins with and whose architecture it has.
        marks: shares of the time at which it is scored; it always is at the end.
    """

    recipe: str
    seconds: float
    changes: dict[str, Any] = field(default_factory=dict)
    trainer: type[Trainer] = Trainer
    initial: str = ""
    marks: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2)

    def start(self, train: TrainConfig, learned: Any, seed: int) -> Trainer:
        """The trainer before its first iteration."""
        config, initial = recipe(self.recipe).nca, None
        if self.recipe == "quick":
            config = NCAConfig.model_validate(config.model_dump() | earlier.ARCHITECTURE)
        if self.initial:
            initial = load_checkpoint(CHECKPOINTS / self.initial).nca
            config = initial.config.model_copy(update={"kinds": min(1, initial.config.kinds)})
        return self.trainer(config, train, learned, device="cpu", seed=seed, initial=initial)


def _quick(trainer: type[Trainer] = Trainer, **changes: Any) -> Arm:
    return Arm("quick", 40.0, changes, trainer)


def _stem(initial: str = "", **changes: Any) -> Arm:
    return Arm(
        "quick",
        40.0,
        changes,
        initial=initial,
        marks=tuple(2 ** (-k / 2) for k in range(10, 0, -1)),
    )


SUITES: dict[str, dict[str, Arm]] = {
    "recipes": {"quick": Arm("quick", 120.0), "regenerating": Arm("regenerating", 120.0)},
    "healing": {
        "quick": _quick(),
        "no damage": _quick(damage_count=0),
        "circles only": _quick(damage_shapes=("circle",)),
        "circles, halves": _quick(damage_shapes=("circle", "half")),
        "circles, halves, strokes": _quick(damage_shapes=("circle", "half", "stroke")),
        "64 to 128 steps": _quick(steps_max=128),
        "48 to 80 steps": _quick(steps_min=48, steps_max=80),
        "pool of 64": _quick(pool_size=64),
        "pool of 1024": _quick(pool_size=1024),
        "every seed enters the pool": _quick(reseed_kept=1.0),
        "no seed enters it in the end": _quick(reseed_kept=0.0),
        "batches of 4, 2 damaged": _quick(batch=4, damage_count=2),
        "batches of 8, 3 damaged": _quick(batch=8, damage_count=3),
        "Adam": _quick(optimiser="adam", learning_rate=2e-3),
        "half the rate": _quick(learning_rate=recipe("quick").train.learning_rate / 2),
        "weight decay 0.01": _quick(weight_decay=0.01),
        "noise on the weights": _quick(Noisy),
        "running mean of the weights": _quick(Averaged),
        "values beyond 1 punished": _quick(Bounded),
        "turned by any angle": _quick(Turned),
        "damage that did not heal again": _quick(Retried),
        "a second look at what heals": _quick(Watched),
        "batches of 3, 2 damaged": _quick(batch=3, damage_count=2),
        "a seed for either, not for the worse": _quick(reseed="random", damage_items="last"),
    },
    "stem": {
        "quick": _stem(),
        "quick from the zoo": _stem("zoo"),
        "its genes alone": _stem("zoo", train_only="genes"),
        "quick from the lizard": _stem("lizard-regenerating"),
    },
    "photo": {"photo": Arm("photo", 200.0), "regenerating": Arm("regenerating", 200.0)},
}


def run(suite: str, name: str, emoji: str, seed: int, size: int) -> dict[str, Any]:
    """Train one arm for its processor time, scored along the way and at the end."""
    torch.set_num_threads(1)
    arm = SUITES[suite][name]
    padding = round(size * 0.4)
    target = skyline(size) if emoji == FRAME else emoji_target(emoji, size, padding)
    learned = turns(emoji, size, padding) if arm.trainer is Turned else target
    seconds = arm.seconds * (size / 24) ** 2
    base = earlier.TRAINING if arm.recipe == "quick" else {}
    train = TrainConfig.model_validate(recipe(arm.recipe).train.model_dump() | base | arm.changes)
    pace = _pace(arm, train, learned, seed)
    fades = train.schedule == "cosine"
    if fades:  # the rate falls to the end, so the end must be where time is up
        train = train.model_copy(update={"iterations": max(1, round(seconds / pace))})
    trainer = arm.start(train, learned, seed)
    points, spent, marks = [], 0.0, [seconds * share for share in arm.marks]
    broke = 0
    try:
        while trainer.iteration < train.iterations and spent < 1.5 * seconds:
            started = time.process_time()
            broke += bool(trainer.train_step().message)
            spent += time.process_time() - started
            if not fades and spent >= seconds:
                break
            if marks and spent >= marks[0]:
                del marks[0]
                points.append(_score(trainer, target, spent))
    except Diverged:
        broke += 1
    points.append(_score(trainer, target, spent))
    return {"suite": suite, "arm": name, "emoji": emoji, "seed": seed, "size": size,
            "broke": broke, "points": points}  # fmt: skip


def _pace(arm: Arm, train: TrainConfig, learned: Any, seed: int) -> float:
    """Processor seconds of one iteration, once the picture has grown; a hundred are enough."""
    trainer = arm.start(train, learned, seed)
    took: list[float] = []
    while len(took) < 100:
        started = time.process_time()
        trainer.train_step()
        took.append(time.process_time() - started)
    return median(took[60:])


def _score(trainer: Trainer, target: Tensor, spent: float) -> dict[str, float]:
    """The battery's figures, and after how many seconds and iterations."""
    own = {k: v.clone() for k, v in trainer.nca.state_dict().items()}
    trainer.nca.load_state_dict(getattr(trainer, "mean", own))
    found = evaluate(trainer.nca, target, plan=BATTERY)
    trainer.nca.load_state_dict(own)
    return {
        "seconds": round(spent, 1),
        "iteration": trainer.iteration,
        **{str(step): score for step, score in found.growth.items()},
        "halves": found.halves,
        "square": found.centre,
    }


def reached(points: list[dict[str, float]], bar: dict[str, float]) -> float:
    """Seconds to the first point from which on every score is under the bar; infinite if none."""
    since = math.inf
    for point in reversed(points):
        if not all(point[column] <= limit for column, limit in bar.items()):
            break
        since = point["seconds"]
    return since


def table(runs: list[dict[str, Any]]) -> str:
    """Medians of every arm over emoji and seeds, as Markdown."""
    lines = [
        "| | runs | 96 | 200 | 1000 | halves | square | seconds | recognisable | persistent "
        "| regenerating | broke down |",
        "|---" * 12 + "|",
    ]
    for arm in dict.fromkeys(run["arm"] for run in runs):
        own = [run for run in runs if run["arm"] == arm]
        last = [run["points"][-1] for run in own]
        shown = [f"{median(point[column] for point in last):.2f}" for column in COLUMNS]
        shown.append(f"{median(point['seconds'] for point in last):.0f}")
        for bar in (RECOGNISABLE, PERSISTENT, REGENERATING):
            when = median(reached(run["points"], bar) for run in own)
            shown.append(f"{when:.0f} s" if math.isfinite(when) else "not")
        broke = sum(bool(run["broke"]) for run in own)
        lines.append(f"| {arm} | {len(own)} | " + " | ".join([*shown, str(broke)]) + " |")
    return "\n".join(lines)


def kept(suite: str, size: int) -> list[dict[str, Any]]:
    """What has been run of a suite, in the order of its arms."""
    lines = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.exists() else []
    runs = [json.loads(line) for line in lines]
    order = list(SUITES[suite])
    own = [run for run in runs if (run["suite"], run["size"]) == (suite, size)]
    return sorted((run for run in own if run["arm"] in order), key=lambda r: order.index(r["arm"]))


def main() -> None:
    """Run what is missing of a suite, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--seeds", type=int, default=1, help="runs of every arm and emoji")
    parser.add_argument("--size", type=int, default=24, help="cells of the picture's longest side")
    parser.add_argument("--only", action="append", default=[], metavar="ARM")
    parser.add_argument("--emoji", action="append", default=[], help="other pictures")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    there = {(r["arm"], r["emoji"], r["seed"]) for r in kept(options.suite, options.size)}
    missing = [
        (options.suite, arm, emoji, seed, options.size)
        for seed in range(options.seeds)
        for arm in options.only or SUITES[options.suite]
        for emoji in options.emoji or PICTURES.get(options.suite, EMOJI)
        if (arm, emoji, seed) not in there
    ]
    if missing and not options.table:
        _all(missing, options.jobs, lambda found: print(found["arm"], found["points"][-1]))
    print(table(kept(options.suite, options.size)))


def _all(missing: list[tuple], jobs: int, tell: Callable[[dict[str, Any]], object]) -> None:
    """Run these, each in a process, and keep every one as soon as it is done."""
    with ProcessPoolExecutor(jobs, max_tasks_per_child=1) as pool:
        for found in pool.map(_unpacked, missing):
            with KEPT.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found, ensure_ascii=False) + "\n")
            tell(found)


def _unpacked(arguments: tuple) -> dict[str, Any]:
    return run(*arguments)


if __name__ == "__main__":
    main()
