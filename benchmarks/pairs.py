"""Two automata side by side on one grid against each of them alone.

    python benchmarks/pairs.py           the ten emoji, each beside the next
    python benchmarks/pairs.py --json    the last line is one JSON object: (beside, alone) of each

`nca.together` makes one automaton of two. Their seeds grow in the middles of the halves of a grid
of twice the width, where the bodies do not touch; alone is the checkpoint's own automaton from the
same place with the same fire mask. Scores are the log10 error of a half against its own picture.
"""
# ruff: noqa: E402

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, beside nca/

import torch
from torch import Tensor

from nca import Checkpoint, load_checkpoint
from nca.evaluate import log10_error
from nca.zoo import together

SEED = 0  # of the fire mask


def beside(first: Checkpoint, second: Checkpoint, steps: int) -> list[tuple[float, float]]:
    """Score beside the other and alone, of the left one and of the right one."""
    (height, width), other = first.size, second.size
    if (height, width) != other:
        raise SystemExit("Please compare checkpoints of equal grids.")
    both = together(first.nca, second.nca)
    kinds = (1, 1 + max(1, first.nca.config.kinds))
    seeds = [both.seed(1, (height, width), kind) for kind in kinds]
    grown = both.grow(torch.cat(seeds, 2), steps, SEED)
    found = []
    for side, checkpoint in enumerate((first, second)):
        seed = checkpoint.nca.seed(1, (height, width))
        halves = [torch.zeros_like(seed), torch.zeros_like(seed)]
        halves[side] = seed
        own = checkpoint.nca.grow(torch.cat(halves, 2), steps, SEED)
        found.append(tuple(half_error(x, side, checkpoint) for x in (grown, own)))
    return found


def half_error(x: Tensor, side: int, checkpoint: Checkpoint) -> float:
    """log10 error of the left (0) or right (1) half of a state [1, H, 2 * W, C]."""
    width = checkpoint.size[1]
    target = checkpoint.target_of(1)
    assert target is not None
    return log10_error(x[:, :, side * width : (side + 1) * width], target)[0]


def main() -> int:
    """Grow every pair, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--checkpoint", type=Path, action="append", help="instead of the ten")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="one JSON object, last")
    options = parser.parse_args()
    folders = options.checkpoint or sorted(ROOT.glob("checkpoints/*-regenerating"))
    loaded = [load_checkpoint(folder) for folder in folders]
    rows = []
    print("| left, right | beside | alone | worse by |\n|---|---|---|---|")
    for first, second in pairwise([*loaded, loaded[0]]):
        scores = beside(first, second, options.steps)
        worse = max(a - b for a, b in scores)
        names = f"{first.info.title} {second.info.title}"
        shown = [" / ".join(f"{s[i]:.3f}" for s in scores) for i in (0, 1)]
        print(f"| {names} | {shown[0]} | {shown[1]} | {worse:.3f} |", flush=True)
        rows.append({"pair": names, "scores": scores})
    differences = [a - b for row in rows for a, b in row["scores"]]
    print(f"worst {max(differences):.4f}, median {median(differences):.4f}")
    if options.json:
        print(json.dumps({"pairs": rows, "worst": max(differences), "median": median(differences)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
