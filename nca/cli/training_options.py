"""Options of `train` and `sweep`: how to train, and on what."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca.cli.arguments import text
from nca.cli.checkpoints import find_checkpoint
from nca.config import BadInput, NCAConfig, SharpenConfig, TargetConfig, TrainConfig, checked
from nca.wording import settings_of

if TYPE_CHECKING:
    from nca.jobs.initial import InitialCheckpoint


def add_setting_options(train: argparse.ArgumentParser) -> None:
    """Add the options that say how to train, all but the picture and the folder."""
    train.add_argument(
        "--from",
        dest="begin",
        metavar="CHECKPOINT",
        help="train this one further: a checkpoint folder, a shipped one, or user/name on the "
        "Hub; on its own picture, if no other is given",
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
        help="another setting, by name; --help-settings lists them",
    )
    train.add_argument(
        "--help-settings", action=_HelpSettings, nargs=0, help="list every setting, and exit"
    )
    train.add_argument("--seed", type=int, default=0, help="of all random draws")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    train.add_argument(
        "--no-sharpen",
        dest="sharpen",
        action="store_const",
        const=0,
        default=SharpenConfig().iterations,
        help="leave out the decoder at the end, which draws it finer than its cells",
    )


class _HelpSettings(argparse.Action):
    """Prints every setting that `--set` takes, and exits, as `--help` does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print and exit."""
        for title, model in (("The automaton", NCAConfig), ("The training", TrainConfig)):
            print(f"{title}:")
            for name, allowed, default, about in settings_of(model):
                print(f"  {name:<16} {allowed}; default {default}")
                if about:
                    print(f"{'':<19}{about}")
            print()
        print("A recipe has defaults of its own: nca recipes NAME. Several values are a JSON list.")
        parser.exit()


@contextmanager
def signals() -> Generator[list[int]]:
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


def initial_from(name: str) -> InitialCheckpoint:
    """The initial checkpoint: a folder, a shipped one, or the Hub's."""
    from nca.checkpoint import load_checkpoint
    from nca.jobs.initial import initial_checkpoint

    found = find_checkpoint(name)
    return initial_checkpoint(load_checkpoint(found.folder), found.repo, found.revision)


def target_config(
    options: argparse.Namespace, emoji: Sequence[str], pictures: Sequence[Path] = ()
) -> TargetConfig | None:
    """The target config of emoji, or pictures, with these options; None without either."""
    if not (emoji or pictures):
        return None
    names = TargetConfig.model_fields.keys() & vars(options).keys() - {"emoji"}
    values = {name: getattr(options, name) for name in names}
    values |= {"emoji": emoji[0], "more": emoji[1:]} if emoji else {"kind": "image"}
    return checked(TargetConfig, values)


def check_picture_options(options: argparse.Namespace) -> None:
    """Raise BadInput for an option that says how a picture is drawn, where no such is drawn."""
    made, either = TargetConfig.model_fields, "--emoji or --image"
    drawn = {"--emoji": options.emoji, "--image": options.image}
    drawn[either] = options.emoji or options.image
    for name, flag, of in (
        ("size", "--size", either), ("padding", "--padding", either),
        ("style", "--style", "--emoji"), ("crop", "--no-crop", "--image"),
        ("background", "--background", "--image"),
    ):  # fmt: skip
        if getattr(options, name) == made[name].default or drawn[of]:
            continue
        if not drawn[either]:
            raise BadInput(
                f"{flag} says how a picture is drawn, and --from keeps its own; please leave it "
                f"out, or give {of} too."
            )
        raise BadInput(f"{flag} is for {of}; please leave it out.")


def setting(words: str) -> tuple[str, Any]:
    """Parse `channels=12` or `hidden=[64,64]` into a name and a JSON value, or else text."""
    name, equals, value = (part.strip() for part in words.partition("="))
    if not equals:
        raise BadInput(f"Please write settings as NAME=VALUE; {words!r} has no =.")
    check_setting(name)
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def check_setting(name: str, vary: bool = False) -> None:
    """Raise BadInput for what has an option of its own, in `--set` or else in `--vary`."""
    own = {word: f"--{word}" for word in ("device", "style", "size", "padding", "background")}
    own |= {"crop": "--no-crop", "sharpen": "--no-sharpen"}
    own |= {"seed": "--seeds"} if vary else {"seed": "--seed", "recipe": "--recipe"}
    if name in own:
        raise BadInput(f"{name} is not a setting; please use {own[name]}.")


def trained_longer(folder: Path, asked: int) -> str:
    """A sentence where a training has had more iterations than were asked for, else nothing."""
    from nca.jobs.spec import read_json

    before = (read_json(folder / "config.json") or {}).get("iteration", 0)
    if before <= asked:
        return ""
    return f"It was already trained for {before:,} iterations, more than were asked for."
