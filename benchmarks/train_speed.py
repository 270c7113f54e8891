"""One training iteration (forward, backward, Adam): this project against plain dense PyTorch.

    python benchmarks/train_speed.py            the table
    python benchmarks/train_speed.py --json     the last line is one JSON object of ratios
    python benchmarks/train_speed.py --peers    JAX and CAX too, where installed
    python benchmarks/train_speed.py --scaling  also measures scaling, draws benchmarks/scaling.svg
    python benchmarks/train_speed.py --device cuda [--precision high]
                                                on a graphics card, also against torch.compile

Batch 8, 72 x 72, 16 channels, 96 steps, the lizard; every system in its own process, the systems
asked in turn, medians. Ratios are the dense version's time (or memory) over ours, so that more is
better, but `grid_cost_ratio`, our time on 256 x 256 over that on 72 x 72. The dense version is
the faster of its two memory layouts.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

from scaling import draw, measure
from systems import COMPILED, PEERS, Process, Work, alternate, better_dense, memory


def able(processes: list[Process], work: Work) -> list[Process]:
    """The peers that run here; prints which do not."""
    found = []
    for process in processes:
        try:
            process.warm(work)
            found.append(process)
        except RuntimeError as error:
            print(f"left out: {error}")
            process.close()
    return found


def on_a_card(options: argparse.Namespace) -> dict[str, float]:
    """Print times and memory on a CUDA device; the ratios. Exits where there is none."""
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("There is no CUDA device here, so there is nothing to measure on one.")
    print(f"{torch.cuda.get_device_name()}; float32 products: {options.precision}")
    ratios = {}
    cases = {"train": Work(), "train_all_alive": Work(share=1.0), "grow": Work("grow")}
    for case, work in cases.items():
        work = replace(work, device="cuda", precision=options.precision)
        processes = [Process("ours"), better_dense(work), Process(COMPILED)]
        times = alternate(processes, work, options.rounds)
        for process, (name, seconds) in zip(processes, times.items(), strict=True):
            print(f"{case:16} {name:26} {seconds * 1000:9.2f} ms")
            process.close()
        eager = processes[1].name
        ratios[f"{case}_ratio"] = times[eager] / times["ours"]
        ratios[f"{case}_compiled_ratio"] = times[COMPILED] / times["ours"]
        if case == "train":
            peak = {name: memory(name, work) for name in ("ours", eager)}
            ratios["memory_ratio"] = peak[eager] / max(1, peak["ours"])
            for name, size in peak.items():
                print(f"{case:16} {name:26} {size / 2**20:9.0f} MiB above its start")
    return ratios


def report(ratios: dict[str, float], as_json: bool) -> None:
    """Print ratios."""
    ratios = {name: round(value, 2) for name, value in ratios.items()}
    print(json.dumps(ratios) if as_json else "".join(f"\n{n} {v}" for n, v in ratios.items()))


def main() -> None:
    """Measure, print, and draw what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--peers", action="store_true", help="JAX and CAX too")
    parser.add_argument("--scaling", action="store_true", help="measure and draw scaling")
    parser.add_argument("--rounds", type=int, default=5, help="runs per system and case")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--precision", choices=("highest", "high", "medium"), default="highest",
        help="of float32 products on the card, as torch.set_float32_matmul_precision takes it",
    )  # fmt: skip
    options = parser.parse_args()
    if options.device == "cuda":
        return report(on_a_card(options), options.json)

    lizard, full, large = Work(), Work(share=1.0), Work(grid=256)
    ours, dense = Process("ours"), better_dense(lizard)
    rivals = able([Process(name) for name in PEERS], lizard) if options.peers else []
    print(f"{os.cpu_count()} cores; {dense.name}; medians of {options.rounds}, alternating")

    times = alternate([ours, dense, *rivals], lizard, options.rounds)
    for name, seconds in times.items():
        print(f"train, lizard     {name:22} {seconds * 1000:8.0f} ms")
    alive = alternate([ours, dense], full, max(1, options.rounds // 2))
    for name, seconds in alive.items():
        print(f"train, all alive  {name:22} {seconds * 1000:8.0f} ms")
    costs = []
    for _ in range(options.rounds):
        small, big = (alternate([ours], work, 1)["ours"] for work in (lizard, large))
        costs.append(big / small)
    grid_cost = sorted(costs)[len(costs) // 2]
    print(f"train, lizard on 256 x 256 over 72 x 72: {grid_cost:.2f} times the time")
    dense.close()
    grown_dense = better_dense(Work("grow"))
    grown = alternate([ours, grown_dense], Work("grow"), options.rounds)
    for name, seconds in grown.items():
        print(f"grow, lizard      {name:22} {seconds * 1000:8.0f} ms")
    for process in (ours, grown_dense, *rivals):
        process.close()
    peak = {name: memory(name, lizard) for name in ("ours", dense.name)}
    for name, size in peak.items():
        print(f"train, lizard     {name:22} {size / 2**20:8.0f} MiB above its start")

    if options.scaling:
        path = Path(__file__).with_name("scaling.svg")
        path.write_text(draw(measure(options.rounds)), encoding="utf-8")
        print(f"drawn: {path}")
    ratios = {
        "train_ratio": times[dense.name] / times["ours"],
        "all_alive_ratio": alive[dense.name] / alive["ours"],
        "memory_ratio": peak[dense.name] / max(1, peak["ours"]),
        "grow_ratio": grown[grown_dense.name] / grown["ours"],
        "grid_cost_ratio": grid_cost,
        **{f"{rival.name}_ratio": times[rival.name] / times["ours"] for rival in rivals},
    }
    report(ratios, options.json)


if __name__ == "__main__":
    main()
