"""`python -m nca sharpen`: imports little, because each run builds every command's parser."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from nca.cli.arguments import check_folder_out, checkpoint_folder
from nca.cli.grow import Film
from nca.cli.training_options import signals
from nca.config import SharpenConfig, checked

GIVEN_UP = "The fitting that was stopped here had other settings or weights; a new one begins."


def add_commands(commands: Any) -> None:
    """Add `sharpen` to the command line; `commands` is what `add_subparsers` returned."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sharpen", help="fit a decoder, which draws a checkpoint finer than its cells"
    )
    parser.add_argument("checkpoint", type=Path, help="a checkpoint folder")
    parser.add_argument(
        "--picture",
        type=Path,
        action="append",
        default=[],
        help="the picture it was trained on, if it was not an emoji; repeated, one for each kind",
    )
    parser.add_argument(
        "--iterations",
        type=int,
        default=SharpenConfig().iterations,
        help="for a single picture; for four kinds twice as many are done",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the decoder's initial weights")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from nca.checkpoint import load_checkpoint
    from nca.jobs.local import alone_in
    from nca.jobs.sharpening import fit_decoder, picture_to_fit
    from nca.jobs.spec import LOCK
    from nca.sharpen import Sharpener, SharpenReport

    folder = checkpoint_folder(options.checkpoint)
    config = checked(SharpenConfig, {"iterations": options.iterations})
    seed = checked(Film, {"seed": options.seed}).seed
    check_folder_out(folder, "the checkpoint")
    trains_here = (folder / LOCK).exists()
    with ExitStack() as stack:
        if trains_here:  # else the lock would leave a file in the checkpoint
            stack.enter_context(alone_in(folder, "wait until it has finished"))
        checkpoint = load_checkpoint(folder)
        picture = picture_to_fit(checkpoint, options.picture)
        total = config.iterations_for(checkpoint.nca.config.kinds)
        received = stack.enter_context(signals())
        bar = stack.enter_context(tqdm(total=total, unit="it"))
        bar.set_description("Fitting the decoder")

        def show(_: Sharpener, report: SharpenReport) -> None:
            if bar.n == 0 and report.iteration > 1:
                bar.write(f"Going on at iteration {report.iteration - 1}.")
                bar.initial = bar.n = report.iteration - 1
            bar.update(report.iteration - bar.n)
            bar.set_postfix(loss=f"{report.loss:.2e}", refresh=False)

        done = fit_decoder(
            checkpoint,
            picture,
            config,
            seed,
            stop=lambda: bool(received),
            on_report=show,
            on_other=lambda: bar.write(GIVEN_UP, file=sys.stderr),
        )
        reached = bar.n
    if not done:
        print(f"Stopped at iteration {reached}; the same command goes on there.")
        return 128 + received[0]
    print(f"The decoder is in {folder}.")
    return 0
