"""The command line, `python -m nca`; the same code as the page."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nca.config import BadInput, Limits, TargetConfig, TrainConfig, checked
from nca.evaluate_command import add_command as add_evaluate_command
from nca.hub.commands import add_commands as add_hub_commands

FORMATS = (".gif", ".webp", ".apng", ".png", ".mp4")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; what a person got wrong is one sentence on standard error, exit code 2."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"A file could not be read or written: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nca", description="Train, grow and wound neural cellular automata."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

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

    grow = commands.add_parser("grow", help="grow a checkpoint and save the film")
    grow.add_argument("checkpoint", type=Path, help="a checkpoint folder")
    grow.add_argument("--steps", type=int, default=200)
    grow.add_argument(
        "--damage", action="append", default=[], metavar="SHAPE@STEP", help="half-left@100"
    )
    grow.add_argument("--seed", type=int, default=0, help="of the fire mask and random damage")
    grow.add_argument("--size", type=int, help="side of the grid; as trained when not given")
    grow.add_argument("--angle", type=float, default=0.0, help="degrees the cells are turned by")
    grow.add_argument("--samples", type=int, default=1, help="lives, side by side")
    grow.add_argument("--every", type=int, default=1, help="steps per frame")
    grow.add_argument("--fps", type=int, default=25)
    grow.add_argument("--scale", type=int, default=4, help="pixels per cell")
    grow.add_argument("--out", type=Path, required=True, help="ends in .gif .webp .apng or .mp4")
    grow.set_defaults(run=_grow)

    add_evaluate_command(commands)
    add_hub_commands(commands)
    return parser


# ---------------------------------------------------------------------------- train


def _train(options: argparse.Namespace) -> int:
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
    from nca.jobs.further import start_from

    if Path(text).is_dir():
        return start_from(load_checkpoint(text))
    from nca.hub import Hub, pull

    pulled = pull(Hub(), text, token=None)
    if pulled.note:
        print(pulled.note)
    # A card that anyone can read does not name what not everybody may see.
    public = (None, None) if pulled.private else (pulled.repo_id, pulled.commit)
    return start_from(load_checkpoint(pulled.folder), *public)


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


def train_in(
    folder: Path, spec: Any, png: bytes, weights: bytes | None, stop: Callable[[], bool]
) -> bool:
    """Train in a folder from where it stands, with a progress bar; what is there is always saved.

    Args:
        folder: made when it is not there; a job of this spec, perhaps for fewer iterations, goes
            on in it.
        spec: the `nca.jobs.spec.JobSpec`.
        png: its target picture.
        weights: those it begins with, a safetensors file, when not its own.
        stop: asked after every iteration.

    Returns:
        Whether it came to the end of the spec, and was not stopped.

    Raises:
        BadInput: when another process trains there, or other settings did, or training diverged.
    """
    from nca.files import write_atomic
    from nca.jobs.lock import FileLock
    from nca.jobs.spec import LOCK, RESUME, SPEC, START, TARGET
    from nca.jobs.training import Training
    from nca.trainer import Diverged, IterationReport, log10_loss

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    if not lock.acquire():
        raise BadInput(f"Another process is training in {folder}; choose another --out.")
    try:
        if (folder / RESUME).exists() and not _continues(folder, spec, weights):
            raise BadInput(
                f"{folder} holds a training with other settings; repeat those, "
                "or choose another --out."
            )
        write_atomic(folder / SPEC, spec.model_dump_json(indent=2).encode())
        write_atomic(folder / TARGET, png)
        if weights:
            write_atomic(folder / START, weights)
        with tqdm(
            total=spec.train.iterations, unit="it", desc=spec.title, dynamic_ncols=True
        ) as bar:

            def show(report: IterationReport) -> None:
                bar.update(report.iteration - bar.n)
                bar.set_postfix_str(f"log10 loss {log10_loss(report.loss):.2f}", refresh=False)
                if report.message:
                    bar.write(report.message, file=sys.stderr)

            def wait(sentence: str) -> None:
                bar.write(f"{sentence} One at a time trains in {folder.parent}.", file=sys.stderr)

            return Training(folder, spec, stop=stop, on_report=show, on_wait=wait).run()
    except Diverged as error:
        raise BadInput(str(error)) from None
    finally:
        lock.release()


def _continues(folder: Path, spec: Any, weights: bytes | None) -> bool:
    """Whether the job in `folder` is this one but for its device and number of iterations."""
    from nca.jobs.spec import START, read_spec

    plain = [
        job.model_dump(exclude={"device": True, "train": {"iterations"}})
        for job in (read_spec(folder), spec)
    ]
    begun = (folder / START).read_bytes() if (folder / START).exists() else None
    return plain[0] == plain[1] and begun == weights


def _setting(text: str) -> tuple[str, Any]:
    """`channels=12` or `hidden=[64,64]` as a name and a JSON value; other text stays text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise BadInput(f"Please write settings as NAME=VALUE; {text!r} has no =.")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


# ---------------------------------------------------------------------------- grow


def _grow(options: argparse.Namespace) -> int:
    import math

    import torch

    from nca.checkpoint import load_checkpoint
    from nca.render import save_animation
    from nca.state import damage

    limits = Limits()
    wounds = sorted(_wound(text, options.steps) for text in options.damage)
    frames = options.steps // max(1, options.every) + 1
    if options.out.suffix.lower() not in FORMATS:
        raise BadInput(f"Please let --out end in one of {' '.join(FORMATS)}.")
    if options.steps < 0 or options.every < 1 or frames > limits.export_frames:
        raise BadInput(
            f"A film has at most {limits.export_frames} frames; please choose fewer --steps "
            "or a larger --every."
        )
    if not 1 <= options.samples <= 16 or not 3 <= (options.size or 3) <= 256:
        raise BadInput("Please choose 1 to 16 --samples and a --size from 3 to 256.")
    checkpoint = load_checkpoint(options.checkpoint, limits)
    nca, angle = checkpoint.nca, math.radians(options.angle)
    x = nca.seed(options.samples, options.size or checkpoint.size)
    film = []
    with tqdm(total=options.steps, unit="step", desc="Growing", dynamic_ncols=True) as bar:
        for t in range(options.steps + 1):
            for step, shape in wounds:
                if step == t:
                    x = damage(x, shape, seed=options.seed + step)
            if t % options.every == 0:
                film.append(torch.cat(tuple(x[..., :4]), dim=1))
            if t < options.steps:
                x = nca.grow(x, 1, options.seed, t0=t, angle=angle)
                bar.update()
    save_animation(torch.stack(film), options.out, fps=options.fps, scale=options.scale)
    print(f"Saved {len(film)} frames in {options.out}.")
    return 0


def _wound(text: str, steps: int) -> tuple[int, str]:
    """`half-left@100` as (100, "half-left")."""
    shape, at, step = text.partition("@")
    if not at or not step.isdecimal() or int(step) > steps:
        raise BadInput(f"Please write damage as SHAPE@STEP, at most {steps}; not {text!r}.")
    return int(step), shape
