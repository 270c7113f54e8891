"""`python -m nca train`."""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path
from typing import Any

from nca.config import BadInput, TargetConfig, TrainConfig, checked


def add_commands(commands: Any) -> None:
    """Add `train` to the command line; `commands` is what `add_subparsers` returned."""
    train = commands.add_parser("train", help="train an automaton on an emoji or a picture")
    picture = train.add_mutually_exclusive_group()
    picture.add_argument("--emoji", help="one emoji, for instance 🦎")
    picture.add_argument("--image", type=Path, help="a PNG, JPEG, WebP or GIF")
    train.add_argument(
        "--from",
        dest="begin",
        metavar="CHECKPOINT",
        help="train this one further: a checkpoint folder, or user/name on the Hub; on its own "
        "picture, if no other is given",
    )
    made = TargetConfig.model_fields
    train.add_argument("--style", default="twemoji", help="of the emoji: twemoji or noto")
    train.add_argument("--size", type=int, default=made["size"].default, help="cells, longest side")
    train.add_argument("--padding", type=int, default=made["padding"].default, help="empty cells")
    train.add_argument("--no-crop", dest="crop", action="store_false", help="keep empty borders")
    train.add_argument("--background", default="keep", help="keep, or transparent (even borders)")
    train.add_argument("--recipe", default="quick", help="quick, growing, regenerating, photo ...")
    train.add_argument("--iterations", type=int, help="instead of the recipe's")
    train.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another setting, by name"
    )
    train.add_argument("--seed", type=int, default=0, help="of weights and draws")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    train.add_argument("--out", type=Path, required=True, help="the checkpoint folder")
    train.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    from nca.jobs.local import train_in
    from nca.jobs.spec import JobSpec
    from nca.recipes import recipe

    found = recipe(options.recipe)
    start = _start(options.begin) if options.begin else None
    config, png, title = _target(options, start)
    changes = dict(_setting(text) for text in options.set)
    if options.iterations is not None:
        changes["iterations"] = options.iterations
    train = {k: v for k, v in changes.items() if k in TrainConfig.model_fields}
    nca = {k: v for k, v in changes.items() if k not in train}
    own = (start.nca if start else found.nca).model_dump()
    spec = checked(
        JobSpec,
        {
            "nca": own | nca,
            "train": found.train.model_dump() | train,
            "target": config,
            "seed": options.seed,
            "device": options.device,
            "recipe": found.name,
            "title": title,
            "base": start and start.base,
        },
    )
    if start and spec.nca != start.nca:
        raise BadInput(
            f"{options.begin} keeps its architecture when it is trained further; please leave out "
            f"--set {' '.join(nca)}."
        )

    folder: Path = options.out
    if start and folder.resolve() == Path(options.begin).resolve():
        raise BadInput("Please let --out be another folder than --from.")
    stopped: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: stopped.append(number))
    try:
        done = train_in(folder, spec, png, start and start.weights, stop=lambda: bool(stopped))
    finally:
        signal.signal(signal.SIGINT, before)
    if done:
        print(f"Saved in {folder}. To see it: python -m nca grow {folder} --out grown.gif")
    else:
        print(f"Stopped and saved in {folder}; the same command goes on from here.")
    return 0 if done else 130


def _start(text: str) -> Any:
    """The checkpoint to begin with: a folder when there is one of this name, else on the Hub."""
    from nca.checkpoint import load_checkpoint
    from nca.jobs.initial import initial_checkpoint

    if Path(text).is_dir():
        return initial_checkpoint(load_checkpoint(text))
    from nca.hub import Hub, pull

    pulled = pull(Hub(), text, token=None)
    if pulled.note:
        print(pulled.note)
    # A card that anyone can read does not name what not everybody may see.
    public = (None, None) if pulled.private else (pulled.repo_id, pulled.commit)
    return initial_checkpoint(load_checkpoint(pulled.folder), *public)


def _target(options: argparse.Namespace, start: Any) -> tuple[TargetConfig, bytes, str]:
    """What to train on, the start's own picture if no other is asked for: config, PNG, title."""
    from nca.target import make_target, target_to_png

    if not (options.emoji or options.image):
        if start is None:
            raise BadInput("Please choose a picture with --emoji or --image, or begin --from one.")
        return *start.target(), start.base.title
    how = TargetConfig.model_fields.keys() & vars(options).keys()
    config = checked(
        TargetConfig,
        {k: getattr(options, k) for k in how} | {"kind": "emoji" if options.emoji else "image"},
    )
    title = options.emoji or options.image.stem[:80]
    return config, target_to_png(make_target(config, options.image)), title


def _setting(text: str) -> tuple[str, Any]:
    """`channels=12` or `hidden=[64,64]` as a name and a JSON value; other text stays text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise BadInput(f"Please write settings as NAME=VALUE; {text!r} has no =.")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value
