"""`python -m nca train`."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca.cli.arguments import check_folder_out, checkpoint_folder, text
from nca.config import BadInput, TargetConfig, checked
from nca.files import file_title

if TYPE_CHECKING:
    from nca.jobs.initial import InitialCheckpoint


def add_commands(commands: Any) -> None:
    """Add `train` to the command line; `commands` is what `add_subparsers` returned."""
    train = commands.add_parser("train", help="train an automaton on an emoji or a picture")
    picture = train.add_mutually_exclusive_group()
    picture.add_argument("--emoji", type=text, help="one emoji, for instance 🦎")
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
        "--set",
        type=text,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another setting, by name",
    )
    train.add_argument("--seed", type=int, default=0, help="of weights and draws")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    train.add_argument("--out", type=Path, required=True, help="the checkpoint folder")
    train.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    from nca.jobs.local import train_in
    from nca.jobs.spec import JobSpec, Target
    from nca.recipes import recipe

    chosen, folder = recipe(options.recipe), options.out
    changes = dict(_setting(setting) for setting in options.set)
    if options.iterations is not None:
        changes["iterations"] = options.iterations
    job = partial(
        JobSpec.from_recipe, chosen, seed=options.seed, device=options.device, changes=changes
    )
    # Validate everything that can be validated before rendering or downloading anything.
    picture = _target_config(options)
    job(target=Target(picture or TargetConfig(), b"", ""))
    check_folder_out(folder)
    if options.begin and folder.resolve() == Path(options.begin).resolve():
        raise BadInput("Please let --out be another folder than --from.")
    drawn = picture and Target.make(
        picture, options.image, options.emoji or file_title(options.image)
    )
    initial = _initial(options.begin) if options.begin else None
    target = drawn or (initial and initial.target())
    if target is None:
        raise BadInput("Please choose a picture with --emoji or --image, or begin --from one.")
    spec = job(target=target, initial=initial)
    with _signals() as received:
        weights = initial and initial.weights
        done = train_in(folder, spec, target.png, weights, stop=lambda: bool(received))
    if done:
        quoted = shlex.quote(str(folder))
        print(f"Saved in {folder}. To see it: python -m nca grow {quoted} --out grown.gif")
        return 0
    print(f"Stopped and saved in {folder}; the same command goes on from here.")
    return 128 + received[0]


@contextmanager
def _signals() -> Generator[list[int]]:
    """Collect Ctrl-C, SIGTERM and SIGHUP in a list instead of exiting at once."""
    received: list[int] = []
    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if (
            number is not None and signal.getsignal(number) != signal.SIG_IGN
        ):  # nohup ignores SIGHUP
            before[number] = signal.signal(number, lambda which, _frame: received.append(which))
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _initial(text: str) -> InitialCheckpoint:
    """The initial checkpoint: the folder of this name if it exists, else from the Hub."""
    from nca.checkpoint import load_checkpoint
    from nca.jobs.initial import initial_checkpoint

    # Names on the Hub are user/name; anything else must be a folder.
    if Path(text).exists() or "/" not in text or text.startswith((".", "/", "~")):
        return initial_checkpoint(load_checkpoint(checkpoint_folder(Path(text))))
    from nca.hub import Hub, pull

    pulled = pull(Hub(), text, token=None)
    if pulled.note:
        print(pulled.note)
    # A model card may be public: it must not name a private repository.
    public = (None, None) if pulled.private else (pulled.repo_id, pulled.commit)
    return initial_checkpoint(load_checkpoint(pulled.folder), *public)


def _target_config(options: argparse.Namespace) -> TargetConfig | None:
    """The target config from the options; None when they give no picture."""
    if not (options.emoji or options.image):
        return None
    names = TargetConfig.model_fields.keys() & vars(options).keys()
    values = {name: getattr(options, name) for name in names}
    return checked(TargetConfig, values | {"kind": "emoji" if options.emoji else "image"})


def _setting(text: str) -> tuple[str, Any]:
    """Parse `channels=12` or `hidden=[64,64]` into a name and a JSON value, or else text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise BadInput(f"Please write settings as NAME=VALUE; {text!r} has no =.")
    try:
        return name.strip(), json.loads(value)
    except (ValueError, RecursionError):
        return name.strip(), value
