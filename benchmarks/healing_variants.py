"""What makes damage heal, one thing changed at a time, on whole emoji of 40 cells.

    python benchmarks/healing_variants.py --emoji 🦎 --emoji 👁 --seeds 3
    python benchmarks/healing_variants.py --table

The arm "quick" is the recipe, and "before" what it once was; the others are compared with "random
weights", the recipe without its pretrained ones. Every arm trains for the same number of iterations
and is scored by `nca.healing`: families of damage that no training gives (limb, scatter, drawn
scrub, young bodies) beside those it gives. Runs are kept, one line each, in healing_variants.jsonl;
a second start does what is missing. A run takes some five minutes of one core.
"""
# ruff: noqa: E402

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, beside nca/

from nca.config import NCAConfig, TrainConfig
from nca.evaluate import Plan, evaluate
from nca.healing import FAMILIES
from nca.recipes import recipe
from nca.target import emoji_target
from nca.trainer import Diverged, Trainer

KEPT = Path(__file__).with_suffix(".jsonl")
EMOJI = ("🦎", "👁", "🐢", "🥨")
STROKES = ("circle", "half", "stroke", "centre")  # what `quick` was trained on before

# Name -> changes of the architecture and of the training of `quick`, from random weights: others
# there are for its own architecture only.
ARMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "quick": ({}, {"initial_weights": "pretrained"}),
    "random weights": ({}, {}),
    "16 channels, hidden layer of 128": ({"channels": 16, "hidden": (128,)}, {}),
    "before": (
        {"channels": 16, "hidden": (128,), "laplacian": "none"},
        {"damage_shapes": STROKES, "damage_drawn": 0.0, "birth_alpha": 0.0},
    ),
    "no Laplacian": ({"laplacian": "none"}, {}),
    "five-point Laplacian": ({"laplacian": "five_point"}, {}),
    "strokes, no swipes": ({}, {"damage_shapes": STROKES, "damage_drawn": 0.0}),
    "nothing drawn while it lives": ({}, {"damage_drawn": 0.0}),
    "all swipes drawn": ({}, {"damage_drawn": 1.0}),
    "seeds may come close to death": ({}, {"birth_alpha": 0.0}),
    "alive after the update, above 0.2": ({"alive_mask": "post", "alive_threshold": 0.2}, {}),
    "no bias in the last layer": ({"out_bias": False}, {}),
    "rollouts of 80 to 112 steps": ({}, {"steps_min": 80, "steps_max": 112}),
    "loss over the last 8 steps": ({}, {"loss_at": "mean_last", "loss_window": 8}),
    "batches of 3, 2 damaged": ({}, {"batch": 3, "damage_count": 2}),
}


def configs(arm: str, iterations: int) -> tuple[NCAConfig, TrainConfig]:
    """The architecture and the training of an arm."""
    architecture, changes = ARMS[arm]
    base = recipe("quick")
    nca = NCAConfig.model_validate(base.nca.model_dump() | architecture)
    random = {"initial_weights": "random", "iterations": iterations}
    train = base.train.model_dump() | random | changes
    return nca, TrainConfig.model_validate(train)


def run(arm: str, emoji: str, seed: int, iterations: int, trials: int) -> dict[str, Any]:
    """Train and score one arm."""
    torch.set_num_threads(1)
    target = emoji_target(emoji)
    trainer = Trainer(*configs(arm, iterations), target, device="cpu", seed=seed)
    started, rolled_back = time.process_time(), 0
    try:
        for report in trainer:
            rolled_back += bool(report.message)
    except Diverged:
        rolled_back += 1
    seconds = time.process_time() - started
    plan = Plan(angles=(0,), larger=1.0, persistence=5000, late=(), trials=trials)
    scores = evaluate(trainer.nca, target, seed=seed + 1000, plan=plan)
    return {
        "arm": arm, "emoji": emoji, "seed": seed, "iterations": iterations, "trials": trials,
        "seconds": round(seconds), "rolled_back": rolled_back, "born": scores.born,
        "growth": scores.growth, "late": scores.persistence[1],
        "healed": {name: found.healed for name, found in scores.healing.items()},
    }  # fmt: skip


def table(runs: list[dict[str, Any]]) -> str:
    """Per arm: medians over emoji and seeds, of healing also the worst run; Markdown."""
    head = ["", "runs", "200", "5000", "worst births", *FAMILIES, "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for arm in (name for name in ARMS if any(run["arm"] == name for run in runs)):
        own = [run for run in runs if run["arm"] == arm]
        cells = [arm, str(len(own)), f"{median(r['growth']['200'] for r in own):.2f}"]
        cells += [f"{median(r['late'] for r in own):.2f}", f"{min(r['born'] for r in own):.1%}"]
        for family in FAMILIES:
            shares = [r["healed"][family] for r in own]
            cells.append(f"{median(shares):.0%} ({min(shares):.0%})")
        cells.append(f"{median(r['seconds'] for r in own):.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def kept() -> list[dict[str, Any]]:
    """All runs so far."""
    lines = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.exists() else []
    return [json.loads(line) for line in lines]


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arm", action="append", default=[], choices=ARMS, metavar="ARM")
    parser.add_argument("--emoji", action="append", default=[], help="other pictures")
    parser.add_argument("--seeds", type=int, default=3, help="runs of every arm and emoji")
    parser.add_argument("--iterations", type=int, default=1600)
    parser.add_argument("--trials", type=int, default=100, help="of every family of damage")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    done = {(r["arm"], r["emoji"], r["seed"]) for r in kept() if _like(r, options)}
    missing = [
        (arm, emoji, seed, options.iterations, options.trials)
        for seed in range(options.seeds)
        for arm in options.arm or ARMS
        for emoji in options.emoji or EMOJI
        if (arm, emoji, seed) not in done
    ]
    if missing and not options.table:
        with ProcessPoolExecutor(options.jobs, max_tasks_per_child=1) as pool:
            for found in pool.map(run, *zip(*missing, strict=True)):
                line = json.dumps(found, ensure_ascii=False)
                with KEPT.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
                print(line, file=sys.stderr)
    print(table([r for r in kept() if _like(r, options)]))


def _like(run: dict[str, Any], options: argparse.Namespace) -> bool:
    return (run["iterations"], run["trials"]) == (options.iterations, options.trials)


if __name__ == "__main__":
    main()
