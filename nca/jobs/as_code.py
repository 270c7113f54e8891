"""A training as the command, or the Python, that trains the same again."""

from __future__ import annotations

import json
import shlex
from typing import Any

from nca.config import NCAConfig, TrainConfig
from nca.jobs.spec import JobSpec
from nca.recipes import RECIPES
from nca.wording import plain_text

PICTURE = "target.png"  # in the zip of every checkpoint
_LARGEST = 128  # size of a target that a command can ask for


def as_command(spec: JobSpec) -> str:
    """The command line that trains a spec again, for a POSIX shell.

    A picture of the user's own is not in the spec: the command takes the `target.png` of the
    checkpoint instead, whose cells it reproduces to 1/255.
    """
    words = ["python", "-m", "nca", "train", *_picture_options(spec)]
    base = RECIPES.get(spec.recipe or "")
    words += ["--recipe", base.name] if base else ["--recipe", "growing"]
    base = base or RECIPES["growing"]
    if spec.initial is not None:
        words += ["--from", _initial_name(spec)]
    if spec.train.iterations != base.train.iterations:
        words += ["--iterations", str(spec.train.iterations)]
    # With an initial checkpoint the architecture is its own, and must be left out.
    pairs = [(base.train, spec.train)] + ([(base.nca, spec.nca)] if spec.initial is None else [])
    for before, after in pairs:
        for name, value in _changed(before, after).items():
            if name not in ("iterations", "kinds"):  # kinds are as many as pictures
                words += ["--set", f"{name}={_setting(value)}"]
    words += ["--seed", str(spec.seed)] if spec.seed else []
    words += ["--device", spec.device] if spec.device != "auto" else []
    words += [] if spec.sharpen else ["--no-sharpen"]
    return shlex.join([*words, "--out", "runs/again"])


def as_python(spec: JobSpec) -> str:
    """A Python program that trains a spec again, with every setting that is not a default.

    With as many threads it gives the same weights, bit for bit, on the CPU.
    """
    drawn = bool(spec.target.emoji)
    made = spec.target.model_dump(exclude_defaults=True)
    public = spec.initial is not None and spec.initial.repo is not None
    names = ["NCA"] if public else []
    names += ["NCAConfig", *(["TargetConfig"] if drawn else []), "TrainConfig", "Trainer"]
    names += [*(["load_checkpoint"] if spec.initial and not public else []), "save_checkpoint"]
    lines = [
        f"from nca import {', '.join(names)}",
        f"from nca.target import {'make_target' if drawn else 'target_from_png'}",
        "",
        f"nca = {_call(NCAConfig, spec.nca.model_dump(exclude_defaults=True))}",
        f"train = {_call(TrainConfig, spec.train.model_dump(exclude_defaults=True))}",
    ]
    if drawn:
        lines.append(f"target = make_target(TargetConfig({_arguments(made)}))")
    else:
        kinds = f", kinds={spec.nca.kinds}" if spec.nca.kinds else ""
        lines.append(f"target = target_from_png({PICTURE!r}{kinds})  # in the checkpoint's zip")
    initial = ""
    if spec.initial is not None:
        began, name = f"# It began with {_comment(spec.initial.title)}", _initial_name(spec)
        if public:
            lines += [f"{began}.", f"first = NCA.from_pretrained({name!r})"]
        else:
            lines += [f"{began}; name its folder here.", f"first = load_checkpoint({name!r}).nca"]
        initial = ", initial=first"
    lines += [
        f"trainer = Trainer(nca, train, target, {spec.device!r}, seed={spec.seed}{initial})",
        "for report in trainer:",
        "    print(report.scalars())",
        'save_checkpoint("runs/again", trainer.nca, target=target)',
    ]
    return "\n".join(lines) + "\n"


def _picture_options(spec: JobSpec) -> list[str]:
    made = spec.target
    if made.emoji:
        options = [word for emoji in (made.emoji, *made.more) for word in ("--emoji", emoji)]
        options += ["--style", made.style] if made.style != "twemoji" else []
        return [*options, *_size(made.size, made.padding)]
    if spec.nca.kinds > 1:
        each = (("--image", f"picture-{kind}.png") for kind in range(1, spec.nca.kinds + 1))
        return [*(word for pair in each for word in pair), *_size(made.size, made.padding)]
    if made.grid <= _LARGEST:  # the cells themselves
        return ["--image", PICTURE, *_size(made.grid, 0), "--no-crop"]
    options = ["--image", "picture.png", *_size(made.size, made.padding)]
    options += [] if made.crop else ["--no-crop"]
    return options + (["--background", made.background] if made.background != "keep" else [])


def _size(size: int, padding: int) -> list[str]:
    return ["--size", str(size), "--padding", str(padding)]


def _initial_name(spec: JobSpec) -> str:
    """`user/name@revision` of the initial checkpoint if it is public, else a folder to name."""
    initial = spec.initial
    if initial is None or initial.repo is None:
        return "runs/first"
    return f"{initial.repo}@{initial.revision}" if initial.revision else initial.repo


def _changed(before: Any, after: Any) -> dict[str, Any]:
    known = before.model_dump()
    return {k: v for k, v in after.model_dump().items() if v != known.get(k)}


def _setting(value: Any) -> str:
    """A value as `--set` takes it: JSON, or bare text."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _call(model: type, values: dict[str, Any]) -> str:
    if len(values) < 4:
        return f"{model.__name__}({_arguments(values)})"
    lines = "".join(f"    {name}={value!r},\n" for name, value in values.items())
    return f"{model.__name__}(\n{lines})"


def _arguments(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _comment(text: str) -> str:
    return plain_text(text)[:60]
