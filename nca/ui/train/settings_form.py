"""The settings of a training as a form, and the form as configs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from nca.config import BadInput, NCAConfig, TrainConfig, checked
from nca.jobs import JobSpec, Target
from nca.jobs.initial import InitialCheckpoint
from nca.recipes import RECIPES, recipe
from nca.ui.markup import count, duration

DEFAULT_RECIPE = "quick"
FILTERS = {
    "Sobel (3)": ("fixed", "none"),
    "Sobel + nine-point Laplacian (4)": ("fixed", "nine_point"),
    "Sobel + five-point Laplacian (4)": ("fixed", "five_point"),
    "Learned (3)": ("learned", "none"),
    "Learned, from nine points (4)": ("learned", "nine_point"),
    "Learned, from five points (4)": ("learned", "five_point"),
}
# The order of the form's values: `fields` lays them out, `fill` sets and `read` takes them so.
NAMES = (
    "iterations", "learning_rate", "schedule", "optimiser", "batch", "pool_size", "damage_count",
    "steps_min", "steps_max", "channels", "hidden", "filters", "fire_rate", "alive_threshold",
    "seed", "device",
)  # fmt: skip
ARCHITECTURE = ("channels", "hidden", "filters", "fire_rate", "alive_threshold")
# One iteration of the growing recipe on a 72 x 72 grid takes about so long; an honest range,
# because it depends on how much of the picture is empty and on the computer.
FASTEST, SLOWEST = 0.2, 1.2  # seconds on two cores
AT_LEAST = 0.008, 0.04  # however little there is to compute
ON_CUDA = 0.02
USUAL_WORK = checked(JobSpec, {"recipe": "growing"}).work


def recipe_choices() -> list[tuple[str, str]]:
    """Names for people and for `recipe`."""
    # Names of other systems are written as those systems write them.
    plain = ("quick", "growing", "persistent", "regenerating", "photo")
    names = sorted(RECIPES, key=lambda name: name not in plain)
    return [(name.capitalize() if name in plain else name, name) for name in names]


def fields(devices: Sequence[str]) -> list[Any]:
    """Lay out the advanced settings; components in the order of `NAMES`."""
    values = dict(zip(NAMES, fill(DEFAULT_RECIPE), strict=True))
    made: dict[str, Any] = {}
    narrow: dict[str, Any] = {"min_width": 120}
    with gr.Row():
        made["iterations"] = gr.Number(
            values["iterations"],
            label="Iterations",
            precision=0,
            info="Updates of the weights",
            elem_id="iterations",
            **narrow,
        )
        made["seed"] = gr.Number(
            values["seed"],
            label="Seed",
            precision=0,
            info="The same gives the same",
            elem_id="seed-of-training",
            **narrow,
        )
    with gr.Row():
        made["learning_rate"] = gr.Number(
            values["learning_rate"],
            label="Learning rate",
            info="Of the first updates",
            step=0.0001,
            **narrow,
        )
        made["schedule"] = gr.Dropdown(
            ["constant", "step", "linear", "cosine"],
            value=values["schedule"],
            label="Schedule",
            info="How the rate falls",
            filterable=False,
            **narrow,
        )
        made["optimiser"] = gr.Dropdown(
            [("Adam", "adam"), ("Muon", "muon")],
            value=values["optimiser"],
            label="Optimiser",
            info="How weights change",
            filterable=False,
            **narrow,
        )
    with gr.Row():
        made["batch"] = gr.Slider(
            1,
            64,
            values["batch"],
            step=1,
            label="Batch",
            buttons=[],
            elem_id="batch",
            **narrow,
        )
        made["damage_count"] = gr.Slider(
            0,
            64,
            values["damage_count"],
            step=1,
            label="Damaged",
            buttons=[],
            elem_id="damage-count",
            **narrow,
        )
    with gr.Row():
        made["pool_size"] = gr.Number(
            values["pool_size"],
            label="Pool",
            precision=0,
            info="Old states to go on from",
            elem_id="pool-size",
            **narrow,
        )
        made["hidden"] = gr.Textbox(
            values["hidden"],
            label="Hidden layers",
            max_lines=1,
            max_length=40,
            info="Widths: 128 or 64, 64",
            elem_id="hidden",
            **narrow,
        )
    with gr.Row():
        made["steps_min"] = gr.Number(
            values["steps_min"],
            label="Steps, at least",
            precision=0,
            info="Of growth per update",
            elem_id="steps-min",
            **narrow,
        )
        made["steps_max"] = gr.Number(
            values["steps_max"],
            label="Steps, at most",
            precision=0,
            info="Drawn between the two",
            elem_id="steps-max",
            **narrow,
        )
    with gr.Row():
        made["channels"] = gr.Slider(
            4,
            32,
            values["channels"],
            step=1,
            label="Channels",
            buttons=[],
            elem_id="channels",
            **narrow,
        )
        made["fire_rate"] = gr.Slider(
            0.01,
            1,
            values["fire_rate"],
            step=0.01,
            label="Fire rate",
            buttons=[],
            **narrow,
        )
    with gr.Row():
        made["filters"] = gr.Dropdown(
            list(FILTERS),
            value=values["filters"],
            label="Filters",
            filterable=False,
            info="How a cell sees others",
            **narrow,
        )
        made["alive_threshold"] = gr.Slider(
            0,
            0.99,
            values["alive_threshold"],
            step=0.01,
            label="Alive above",
            buttons=[],
            **narrow,
        )
    made["device"] = gr.Dropdown(
        ["auto", *devices], value="auto", label="Device",
        elem_id="device", filterable=False, info="Where it trains",
    )  # fmt: skip
    return [made[name] for name in NAMES]


def fill(name: str, kept: NCAConfig | None = None) -> list[Any]:
    """The values of the advanced settings for a recipe, in the order of `NAMES`.

    Args:
        name: of the recipe.
        kept: the architecture of the checkpoint that it begins with; the recipe's own when None.
    """
    made = recipe(name)
    nca = kept or made.nca
    known = made.train.model_dump() | nca.model_dump() | {"seed": 0, "device": "auto"}
    known["hidden"] = ", ".join(map(str, nca.hidden))
    seen = (nca.perception, nca.laplacian)
    known["filters"] = next(name for name, value in FILTERS.items() if value == seen)
    return [known[name] for name in NAMES]


def architecture(name: str, kept: NCAConfig | None) -> list[dict[str, Any]]:
    """Updates of the fields named in `ARCHITECTURE`: locked to `kept`, or free at the recipe's."""
    values = dict(zip(NAMES, fill(name, kept), strict=True))
    return [gr.update(value=values[part], interactive=kept is None) for part in ARCHITECTURE]


def read(
    name: str,
    values: Sequence[Any],
    target: Target,
    initial: InitialCheckpoint | None = None,
) -> JobSpec:
    """The form as a spec; raises BadInput for the first thing that does not fit.

    Args:
        name: of the recipe.
        values: of the advanced settings, in the order of `NAMES`.
        target: what to grow.
        initial: the initial checkpoint; its architecture counts, not the form's.
    """
    form: dict[str, Any] = dict(zip(NAMES, values, strict=True))
    missing = next((key for key, value in form.items() if value in (None, "")), None)
    if missing:
        raise BadInput(f"Please fill in {missing.replace('_', ' ')}.")
    perception, laplacian = FILTERS[form["filters"]]
    form |= {"hidden": layers(form["hidden"]), "perception": perception, "laplacian": laplacian}
    del form["filters"]
    seed, device = form.pop("seed"), form.pop("device")
    if initial:
        form = {k: v for k, v in form.items() if k in TrainConfig.model_fields}
    return JobSpec.from_recipe(
        name, target, seed=seed, device=device, initial=initial, changes=form
    )


def layers(text: Any) -> list[int]:
    """Widths as people write them: "128", "64, 64", "64 64"."""
    parts = str(text).replace(",", " ").replace("-", " ").split()
    if not parts or not all(part.isascii() and part.isdigit() and len(part) < 5 for part in parts):
        raise BadInput("Please write hidden layers as widths, such as 128 or 64, 64.")
    return [int(part) for part in parts]


def expected(spec: JobSpec, cuda: bool, pace: float | None = None) -> str:
    """How long a training may take, in words.

    Args:
        spec: the training.
        cuda: whether a graphics card will do it.
        pace: seconds per unit of `JobSpec.work`, if something was measured here.
    """
    total = spec.train.iterations * spec.work
    number = f"{count(spec.train.iterations)} iterations"
    if pace:
        return f"{number}, {duration(total * pace)} on this computer, as measured."
    usual = total / USUAL_WORK
    if cuda and spec.device != "cpu":
        return f"{number}, roughly {duration(usual * ON_CUDA).removeprefix('about ')}."
    fast, slow = (
        max(usual * seconds, spec.train.iterations * least)
        for seconds, least in zip((FASTEST, SLOWEST), AT_LEAST, strict=True)
    )
    return f"{number}, roughly {between(fast, slow)} on two processor cores."


def between(fast: float, slow: float) -> str:
    """A range of seconds as people say it: "7 to 32 minutes"."""
    low, high = (duration(s).removeprefix("about ") for s in (fast, slow))
    if low == high:
        return low
    number, _, unit = low.partition(" ")
    return f"{number if high.endswith(unit) else low} to {high}"
