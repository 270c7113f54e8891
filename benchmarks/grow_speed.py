"""Growing without gradients, 96 steps: this project against plain dense PyTorch.

    python benchmarks/grow_speed.py           the table
    python benchmarks/grow_speed.py --json    the last line is one JSON object of ratios
    python benchmarks/grow_speed.py --peers   JAX and CAX too, where installed

Batch 8 and batch 1, 72 x 72, 16 channels, the lizard, and every cell alive. Ratios as in
train_speed.py: dense over ours, and `grid_cost_ratio`, our time on 256 x 256 over 72 x 72.
"""

from __future__ import annotations

import argparse
import json
import os

from systems import PEERS, Process, Work, alternate, better_dense, memory
from train_speed import able


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--peers", action="store_true", help="JAX and CAX too")
    parser.add_argument("--rounds", type=int, default=5, help="runs per system and case")
    options = parser.parse_args()

    lizard = Work("grow")
    ours, dense = Process("ours"), better_dense(Work("grow"))
    rivals = able([Process(name) for name in PEERS], lizard) if options.peers else []
    print(f"{os.cpu_count()} cores; {dense.name}; medians of {options.rounds}, alternating")
    cases = {
        "grow": ("lizard", lizard),
        "single": ("lizard, batch 1", Work("grow", batch=1)),
        "all_alive": ("all alive", Work("grow", share=1.0)),
    }
    ratios = {}
    for key, (title, work) in cases.items():
        systems = [ours, dense, *rivals] if key == "grow" else [ours, dense]
        times = alternate(systems, work, options.rounds)
        for name, seconds in times.items():
            per_step = seconds / work.steps * 1000
            print(f"{title:16} {name:22} {seconds * 1000:8.1f} ms, {per_step:.2f} ms a step")
        ratios[f"{key}_ratio"] = times[dense.name] / times["ours"]
        ratios |= {f"{r.name}_ratio": times[r.name] / times["ours"] for r in systems[2:]}
    costs = []
    for _ in range(options.rounds):
        small, big = (alternate([ours], Work("grow", grid=n), 1)["ours"] for n in (72, 256))
        costs.append(big / small)
    ratios["grid_cost_ratio"] = sorted(costs)[len(costs) // 2]
    for process in (ours, dense, *rivals):
        process.close()
    peak = {name: memory(name, lizard) for name in ("ours", dense.name)}
    ratios["memory_ratio"] = peak[dense.name] / max(1, peak["ours"])
    ratios = {name: round(value, 2) for name, value in ratios.items()}
    print(json.dumps(ratios) if options.json else "".join(f"\n{n} {v}" for n, v in ratios.items()))


if __name__ == "__main__":
    main()
