"""How well decoders draw the shipped emoji: `python benchmarks/high_definition.py --json`.

Fits the decoder of every emoji anew (or uses the shipped ones, with --shipped) and compares what it
draws at 8 pixels per cell with the emoji drawn at that size: PSNR in dB over the RGBA of the drawn
square, against the coarse target enlarged by bicubic interpolation, which no picture of the cells
exceeds. The last line is one JSON object with the medians.
"""
# ruff: noqa: E402

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, beside nca/

import torch
import torch.nn.functional as F
from torch import Tensor

from nca import Checkpoint, Sharpener, load_checkpoint
from nca.config import SharpenConfig
from nca.damage_shapes import HALVES, damage
from nca.decoder import Decoder
from nca.picture import at_scale, make_picture
from nca.state import visible

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
SCALE = 8
DAMAGE = (*HALVES, "centre", "stroke")
HEAL = 300  # steps


def emoji_checkpoints(folder: Path = CHECKPOINTS) -> list[Path]:
    """The shipped emoji that were trained to heal, in alphabetical order."""
    return sorted(path for path in folder.glob("*-regenerating") if path.is_dir())


def psnr(picture: Tensor, wanted: Tensor) -> float:
    """In dB; both float [H, W, 4] in [0, 1]."""
    return -10 * math.log10(float((picture - wanted).square().mean()))


def bilinear(x: Tensor) -> Tensor:
    """The cells of states [B, H, W, C] interpolated, [B, 8H, 8W, 4]."""
    planes = visible(x).permute(0, 3, 1, 2)
    return F.interpolate(planes, scale_factor=SCALE, mode="bilinear").permute(0, 2, 3, 1)


def measure(checkpoint: Checkpoint, fine: Tensor, decoder: Decoder) -> dict[str, float]:
    """What the decoder's pictures are worth, at rest, late, healed and from step to step."""
    nca, made = checkpoint.nca, checkpoint.info.target
    assert made is not None and checkpoint.target is not None
    square = slice(made.padding * SCALE, (made.padding + made.size) * SCALE)
    coarse = checkpoint.target.permute(2, 0, 1)[None]
    enlarged = F.interpolate(coarse, scale_factor=SCALE, mode="bicubic")[0].permute(1, 2, 0)
    wanted = fine[square, square]

    def score(x: Tensor) -> float:
        return psnr(decoder.draw(nca, x, SCALE)[0][square, square], wanted)

    x = nca.grow(nca.seed(1, checkpoint.size), 200, seed=77)
    rest = score(x)
    found = {
        "bicubic": psnr(enlarged[square, square], wanted),
        "interpolated": psnr(bilinear(x)[0][square, square], wanted),
        "decoded": rest,
        "late": rest - score(nca.grow(x, 800, seed=78, t0=200)),
    }
    for shape in DAMAGE:
        healed = nca.grow(damage(x, shape, seed=500), HEAL, seed=79, t0=200)
        found[shape] = rest - score(healed)
    later = nca.grow(x, 1, seed=77, t0=200)
    moved = (decoder.draw(nca, later, SCALE) - decoder.draw(nca, x, SCALE)).abs().mean()
    coarsely = (bilinear(later) - bilinear(x)).abs().mean()
    found["flicker"] = float(moved / coarsely.clamp(min=1e-12))
    return found | {"gain": rest - found["bicubic"]}


def run(folder: Path, shipped: bool, iterations: int) -> dict[str, Any]:
    """Fit, or load, the decoder of one checkpoint, and measure it."""
    checkpoint = load_checkpoint(folder)
    made = checkpoint.info.target
    assert made is not None
    picture = make_picture(made)
    began = time.perf_counter(), time.process_time()
    if shipped:
        decoder = checkpoint.decoder
        if decoder is None:
            raise SystemExit(f"{folder.name} has no decoder for its weights.")
    else:
        config = SharpenConfig(iterations=iterations)
        sharpener = Sharpener(checkpoint.nca, picture, checkpoint.size, config)
        for _ in sharpener:
            pass
        decoder = sharpener.decoder
    seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    fine = at_scale(picture, checkpoint.size, SCALE)
    return measure(checkpoint, fine, decoder) | {
        "seconds": seconds[0],
        "processor_seconds": seconds[1],
    }


def main() -> None:
    """Print a line for every emoji, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="only JSON, the medians last")
    parser.add_argument("--shipped", action="store_true", help="the shipped decoders, not new ones")
    parser.add_argument("--only", nargs="*", help="names of checkpoints")
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    parser.add_argument("--iterations", type=int, default=SharpenConfig().iterations)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = {}
    for folder in emoji_checkpoints(options.checkpoints):
        if options.only and folder.name not in options.only:
            continue
        found[folder.name] = run(folder, options.shipped, options.iterations)
        rounded = {name: round(value, 2) for name, value in found[folder.name].items()}
        print(json.dumps({"checkpoint": folder.name} | rounded), flush=True)
    if not found:
        raise SystemExit("There are no such checkpoints.")
    names = next(iter(found.values()))
    medians = {name: round(median(row[name] for row in found.values()), 2) for name in names}
    if not options.json:
        print("medians:")
    print(json.dumps(medians))


if __name__ == "__main__":
    main()
