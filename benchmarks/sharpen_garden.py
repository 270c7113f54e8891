"""Fit the decoders of the shipped automata: `python benchmarks/sharpen_garden.py`.

Adds `decoder.safetensors` and `picture.png` to the checkpoints and changes nothing else. Those
whose decoder belongs to their weights already are left alone.
"""
# ruff: noqa: E402

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, beside nca/

import torch
from skyline import fine_skyline
from torch import Tensor
from tqdm import tqdm

from nca import Checkpoint, Sharpener, load_checkpoint
from nca.checkpoint import save_fine
from nca.config import DecoderConfig, SharpenConfig
from nca.picture import PICTURE_SIDE, make_picture
from nca.sharpen import check_agreement

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
SKYLINE = "skyline-photo"
# 128 x 128 cells with 24 channels: a smaller decoder, so that the exported player stays small.
SKYLINE_DECODER = DecoderConfig(hidden=(48, 48), patches=24)


def picture_of(folder: Path, checkpoint: Checkpoint) -> Tensor:
    """The fine picture, float32 [k * H, k * W, 4]."""
    if folder.name == SKYLINE:
        side = checkpoint.size[0]
        return fine_skyline(side, PICTURE_SIDE // side)
    made = checkpoint.info.target
    if made is None:
        raise SystemExit(f"{folder.name} does not say what it was trained on.")
    return make_picture(made)


def main() -> None:
    """Fit the decoders that are missing or stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    parser.add_argument("--only", nargs="*", help="names of checkpoints")
    parser.add_argument("--iterations", type=int, default=SharpenConfig().iterations)
    parser.add_argument(
        "--steady", type=float, default=SharpenConfig().steady, help="weight of flicker"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and every draw")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folders = sorted([*options.checkpoints.glob("*-regenerating"), options.checkpoints / SKYLINE])
    for folder in folders:
        if not folder.is_dir() or (options.only and folder.name not in options.only):
            continue
        checkpoint = load_checkpoint(folder)
        if checkpoint.decoder is not None:
            continue
        picture = picture_of(folder, checkpoint)
        if checkpoint.target is not None:
            check_agreement(picture, checkpoint.target)
        decoder = SKYLINE_DECODER if folder.name == SKYLINE else DecoderConfig()
        config = SharpenConfig(
            decoder=decoder, iterations=options.iterations, steady=options.steady
        )
        sharpener = Sharpener(checkpoint.nca, picture, checkpoint.size, config, options.seed)
        for _ in tqdm(sharpener, desc=folder.name, total=config.iterations, mininterval=2):
            pass
        save_fine(folder, checkpoint.nca, checkpoint.size, sharpener.decoder, picture)


if __name__ == "__main__":
    main()
