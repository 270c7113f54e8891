"""`python -m nca train`."""

from __future__ import annotations

import argparse
import shlex
from functools import partial
from pathlib import Path
from typing import Any

from nca.cli import on_hub_jobs
from nca.cli.arguments import check_folder_out, text
from nca.cli.training_options import (
    add_setting_options,
    check_picture_options,
    initial_from,
    setting,
    signals,
    target_config,
    trained_longer,
)
from nca.config import BadInput, TargetConfig
from nca.files import file_title


def add_commands(commands: Any) -> None:
    """Add `train` to the command line; `commands` is what `add_subparsers` returned."""
    train = commands.add_parser("train", help="train an automaton on an emoji or a picture")
    picture = train.add_mutually_exclusive_group()
    picture.add_argument(
        "--emoji",
        type=text,
        action="append",
        help="an emoji, for instance 🦎; given several times: one automaton, a kind for each",
    )
    picture.add_argument(
        "--image", type=Path, action="append", help="a PNG, JPEG, WebP or GIF; or several"
    )
    add_setting_options(train)
    train.add_argument("--out", type=Path, required=True, help="the checkpoint folder")
    on_hub_jobs.add_options(train)
    train.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    from nca.checkpoint import load_checkpoint
    from nca.decoder_file import DECODER
    from nca.jobs.local import train_in
    from nca.jobs.spec import JobSpec, Target
    from nca.recipes import recipe

    chosen, folder = recipe(options.recipe), options.out
    changes = dict(setting(words) for words in options.set)
    if options.iterations is not None:
        changes["iterations"] = options.iterations
    job = partial(
        JobSpec.from_recipe,
        chosen,
        seed=options.seed,
        device=options.device,
        changes=changes,
        sharpen=options.sharpen,
    )
    # Validate everything that can be validated before rendering or downloading anything.
    emoji, images = options.emoji or [], options.image or []
    picture = target_config(options, emoji, images)
    known = dict(changes)
    if options.begin:  # whether that has genes to train is not known yet
        known.pop("train_only", None)
    count = max(1, len(emoji), len(images))
    job(target=Target(picture or TargetConfig(), b"", "", count), changes=known)
    on_hub_jobs.check_options(options)
    if picture:
        check_picture_options(options)
    check_folder_out(folder)
    if options.begin and folder.resolve() == Path(options.begin).resolve():
        raise BadInput("Please let --out be another folder than --from.")
    title = "".join(emoji) or ", ".join(map(file_title, images))
    drawn = picture and Target.make(
        picture,
        [*images] if images[1:] else next(iter(images), None),
        title,
        fine=options.sharpen > 0,
    )
    initial = initial_from(options.begin) if options.begin else None
    target = drawn or (initial and initial.target())
    if target is None:
        raise BadInput("Please choose a picture with --emoji or --image, or begin --from one.")
    if not drawn:
        check_picture_options(options)
    spec = job(target=target, initial=initial)
    with signals() as received:
        weights = initial and initial.weights
        train = partial(on_hub_jobs.train, options) if options.on == "jobs" else train_in
        stop, fine = (lambda: bool(received)), target.picture
        done = train(folder, spec, target.png, weights, stop=stop, picture=fine)
    if done:
        if longer := trained_longer(folder, spec.train.iterations):
            print(longer)
        quoted = shlex.quote(str(folder))
        if (folder / DECODER).exists() and load_checkpoint(folder).decoder is None:
            print(
                "Its decoder was fitted to earlier weights and is not used; to fit it again: "
                f"python -m nca sharpen {quoted}"
            )
        print(f"Saved in {folder}. To see it: python -m nca grow {quoted} --out grown.gif")
        return 0
    print(f"Stopped and saved in {folder}; the same command goes on from here.")
    return 128 + received[0]
