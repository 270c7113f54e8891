"""`python -m nca sharpen`: imports little, because each run builds every command's parser."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nca.cli.arguments import check_folder_out, checkpoint_folder
from nca.cli.grow import Film
from nca.config import BadInput, SharpenConfig, checked

RESUME = "sharpen.safetensors"  # of a fitting that was stopped; removed at its end


def add_commands(commands: Any) -> None:
    """Add `sharpen` to the command line; `commands` is what `add_subparsers` returned."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sharpen", help="fit a decoder, which draws a checkpoint finer than its cells"
    )
    parser.add_argument("checkpoint", type=Path, help="a checkpoint folder")
    parser.add_argument(
        "--picture", type=Path, help="the picture it was trained on, if it was not an emoji"
    )
    parser.add_argument("--iterations", type=int, default=SharpenConfig().iterations)
    parser.add_argument("--seed", type=int, default=0, help="of the decoder's initial weights")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from nca.checkpoint import load_checkpoint, save_fine
    from nca.resume import load_sharpening, save_sharpening
    from nca.sharpen import Sharpener, check_agreement

    folder = checkpoint_folder(options.checkpoint)
    config = checked(SharpenConfig, {"iterations": options.iterations})
    seed = checked(Film, {"seed": options.seed}).seed
    check_folder_out(folder, "the checkpoint")
    checkpoint = load_checkpoint(folder)
    picture = known_picture(checkpoint, options.picture)
    if checkpoint.target is not None:
        check_agreement(picture, checkpoint.target)
    sharpener = Sharpener(checkpoint.nca, picture, checkpoint.size, config, seed)
    resume = folder / RESUME
    if resume.is_file() and load_sharpening(sharpener, resume):
        print(f"Going on at iteration {sharpener.iteration}.")
    try:
        with tqdm(total=config.iterations, initial=sharpener.iteration, unit="it") as bar:
            bar.set_description("Fitting the decoder")
            for report in sharpener:
                bar.update(report.iteration - bar.n)
                bar.set_postfix(loss=f"{report.loss:.2e}", refresh=False)
    except KeyboardInterrupt:
        save_sharpening(sharpener, resume)
        print(f"Stopped at iteration {sharpener.iteration}; the same command goes on there.")
        return 130
    save_fine(folder, checkpoint.nca, checkpoint.size, sharpener.decoder, picture)
    resume.unlink(missing_ok=True)
    print(f"The decoder is in {folder}.")
    return 0


def known_picture(checkpoint: Any, given: Path | None = None) -> Any:
    """The fine picture of a `Checkpoint`, float32 [k * H, k * W, 4].

    Args:
        checkpoint: the loaded checkpoint.
        given: a file of the picture it was trained on; None uses the checkpoint's own, or draws
            its emoji.

    Raises:
        BadInput: there is none.
    """
    from nca.picture import NO_PICTURE, make_picture, most_scale

    made = checkpoint.info.target
    if given is not None:
        if made is None:
            raise BadInput("This checkpoint does not say how its picture was placed on the grid.")
        return make_picture(made.model_copy(update={"kind": "image"}), given)
    if checkpoint.picture_png is not None:
        return checkpoint.picture_at(most_scale(max(checkpoint.size)))
    if made is None or made.kind != "emoji":
        raise BadInput(NO_PICTURE)
    return make_picture(made)
