"""The form with a training's settings, and its conversion to configs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from nca.config import BadInput, NCAConfig, TrainConfig, checked
from nca.jobs import JobSpec, Target
from nca.jobs.initial import InitialCheckpoint
from nca.jobs.sharpening import expected_seconds
from nca.jobs.spec import SHARPEN_ITERATIONS
from nca.recipes import Recipe, recipe
from nca.ui.components import Slider
from nca.ui.context import Updates, Values
from nca.ui.markup import count, duration

DEFAULT_RECIPE = "quick"
SEVERAL_RECIPE = "zoo"  # of several pictures
PER_PICTURE, FEWEST = 1000, 4000  # iterations of that recipe, by the number of pictures
FILTERS = {
    "Sobel (3)": ("fixed", "none"),
    "Sobel + nine-point Laplacian (4)": ("fixed", "nine_point"),
    "Sobel + five-point Laplacian (4)": ("fixed", "five_point"),
    "Learned (3)": ("learned", "none"),
    "Learned, from nine points (4)": ("learned", "nine_point"),
    "Learned, from five points (4)": ("learned", "five_point"),
}
ON_SERVER = {"device": "auto", "sharpen": False}  # no choice of the browser's; what it does
ARCHITECTURE = ("channels", "hidden", "filters", "fire_rate", "alive_threshold")
_Widget = tuple[type[Component], dict[str, Any]]
# One widget per setting, by the setting's name in the configs, in rows as laid out.
ROWS: tuple[dict[str, _Widget], ...] = (
    {
        "iterations": (gr.Number, {
            "label": "Iterations", "info": "Updates of the weights", "precision": 0,
            "elem_id": "iterations",
        }),
        "seed": (gr.Number, {
            "label": "Seed", "info": "Same seed, same result", "precision": 0,
            "elem_id": "seed-of-training",
        }),
    },
    {
        "learning_rate": (gr.Number, {
            "label": "Learning rate", "info": "Of the first updates", "step": 0.0001,
        }),
        "schedule": (gr.Dropdown, {
            "label": "Schedule", "info": "How the rate falls", "filterable": False,
            "choices": ["constant", "step", "linear", "cosine"],
        }),
        "optimiser": (gr.Dropdown, {
            "label": "Optimiser", "info": "How weights change", "filterable": False,
            "choices": [("Adam", "adam"), ("Muon", "muon")],
        }),
    },
    {
        "batch": (Slider, {
            "label": "Batch", "minimum": 1, "maximum": 64, "step": 1, "buttons": [],
            "elem_id": "batch",
        }),
        "damage_count": (Slider, {
            "label": "Damaged per batch", "minimum": 0, "maximum": 64, "step": 1, "buttons": [],
            "elem_id": "damage-count",
        }),
    },
    {
        "pool_size": (gr.Number, {
            "label": "Pool", "info": "Old states to go on from", "precision": 0,
            "elem_id": "pool-size",
        }),
        "hidden": (gr.Textbox, {
            "label": "Hidden layers", "info": "Widths: 128 or 64, 64", "max_lines": 1,
            "max_length": 40, "elem_id": "hidden",
        }),
    },
    {
        "steps_min": (gr.Number, {
            "label": "Steps, at least", "info": "Of growth per update", "precision": 0,
            "elem_id": "steps-min",
        }),
        "steps_max": (gr.Number, {
            "label": "Steps, at most", "info": "Drawn between the two", "precision": 0,
            "elem_id": "steps-max",
        }),
    },
    {
        "channels": (Slider, {
            "label": "Channels", "minimum": 4, "maximum": 32, "step": 1, "buttons": [],
            "elem_id": "channels",
        }),
        "fire_rate": (Slider, {
            "label": "Fire rate", "minimum": 0.01, "maximum": 1, "step": 0.01, "buttons": [],
        }),
    },
    {
        "filters": (gr.Dropdown, {
            "label": "Filters", "info": "How a cell sees others", "filterable": False,
            "choices": list(FILTERS),
        }),
        "alive_threshold": (Slider, {
            "label": "Alive when alpha above", "minimum": 0, "maximum": 0.99, "step": 0.01,
            "buttons": [],
        }),
    },
    {
        "device": (gr.Dropdown, {
            "label": "Device", "info": "Where it trains", "filterable": False,
            "elem_id": "device",
        }),
        "initial_weights": (gr.Dropdown, {
            "label": "Initial weights", "info": "Pretrained ones learn sooner",
            "choices": [("Pretrained", "pretrained"), ("Random", "random")], "filterable": False,
        }),
    },
    {
        "sharpen": (gr.Checkbox, {
            "label": "Draw it fine at the end",
            "info": "A minute more, a few for several pictures: it learns to be drawn finer than "
            "its cells",
            "elem_id": "sharpen",
        }),
    },
)  # fmt: skip
# How long one iteration of the growing recipe takes on a 72 x 72 grid. A range, because it depends
# on how much of the picture is empty and on the computer.
FASTEST, SLOWEST = 0.13, 1.2  # seconds on two cores
AT_LEAST = 0.008, 0.04  # lower bounds, for very small grids
ON_CUDA = 0.02
USUAL_WORK = checked(JobSpec, {"recipe": "growing"}).work


SettingsFields = dict[str, Component]
SettingsForm = dict[str, Any]


def build(devices: Sequence[str]) -> SettingsFields:
    """Lay out the settings; returns the components by setting."""
    values, fields = fill(DEFAULT_RECIPE), SettingsFields()
    for row in ROWS:
        with gr.Row():
            for name, (widget, options) in row.items():
                more: dict[str, Any] = {"value": values[name], "min_width": 120}
                if name == "device":
                    more["choices"] = ["auto", *devices]
                fields[name] = widget(**options | more)
    return fields


def form_values(fields: SettingsFields, values: Values) -> SettingsForm:
    """What the visitor filled in, by setting, from values by component."""
    return {name: values[component] for name, component in fields.items()}


def fill(name: str, architecture: NCAConfig | None = None, pictures: int = 1) -> SettingsForm:
    """The values of a recipe's settings, by setting.

    Args:
        name: the recipe's name.
        architecture: the initial checkpoint's; None for the recipe's own.
        pictures: how many there are, one for each kind.
    """
    base = recipe(name)
    changes = _for_pictures(base, pictures) if name == SEVERAL_RECIPE else {}
    nca = architecture or base.nca
    others = {"seed": 0, "device": "auto", "sharpen": True}
    form = base.train.model_dump() | nca.model_dump() | others | changes
    form["hidden"] = ", ".join(map(str, nca.hidden))
    filters = (nca.perception, nca.laplacian)
    form["filters"] = next(label for label, value in FILTERS.items() if value == filters)
    return {setting: form[setting] for row in ROWS for setting in row}


def _for_pictures(base: Recipe, pictures: int) -> dict[str, Any]:
    """What the recipe, made for ten kinds, needs less of for fewer: iterations and their batch."""
    train = base.train
    batch = min(train.batch, 2 * max(2, pictures))
    return {
        "iterations": min(train.iterations, max(FEWEST, PER_PICTURE * pictures)),
        "batch": batch,
        "damage_count": round(batch * train.damage_count / train.batch),
    }


def lock_architecture(fields: SettingsFields, name: str, architecture: NCAConfig | None) -> Updates:
    """Updates of the settings in `ARCHITECTURE`: locked to the given one, else the recipe's.

    Args:
        fields: the components.
        name: the recipe's name.
        architecture: the initial checkpoint's; None for a new automaton, whose settings are free.
    """
    values = fill(name, architecture)
    return {
        fields[setting]: gr.update(value=values[setting], interactive=architecture is None)
        for setting in ARCHITECTURE
    }


def read(
    name: str,
    form: SettingsForm,
    target: Target,
    initial: InitialCheckpoint | None = None,
) -> JobSpec:
    """The form as a spec; raises BadInput for the first invalid value.

    Args:
        name: the recipe's name.
        form: what the visitor filled in, by setting.
        target: what to grow.
        initial: the initial checkpoint; its architecture is used, not the form's.
    """
    missing = next((setting for setting, value in form.items() if value in (None, "")), None)
    if missing:
        raise BadInput(f"Please fill in {missing.replace('_', ' ')}.")
    changes = dict(form)
    others = {name: changes.pop(name) for name in ("seed", "device")}
    others["sharpen"] = SHARPEN_ITERATIONS if changes.pop("sharpen") else 0
    perception, laplacian = FILTERS[changes.pop("filters")]
    changes |= {"hidden": layers(form["hidden"]), "perception": perception, "laplacian": laplacian}
    base = recipe(name)
    if name == SEVERAL_RECIPE:  # its batches have nothing besides seeds and damage
        changes["reseed_count"] = max(0, int(form["batch"]) - int(form["damage_count"]))
    if initial:
        changes = {k: v for k, v in changes.items() if k in TrainConfig.model_fields}
    return JobSpec.from_recipe(base, target, initial=initial, changes=changes, **others)


def layers(text: Any) -> list[int]:
    """Parse layer widths as people write them: "128", "64, 64", "64 64"."""
    parts = str(text).replace(",", " ").replace("-", " ").split()
    if not parts or not all(part.isascii() and part.isdigit() and len(part) < 5 for part in parts):
        raise BadInput("Please write hidden layers as widths, such as 128 or 64, 64.")
    return [int(part) for part in parts]


def seconds(spec: JobSpec, cuda: bool, pace: float | None = None) -> tuple[float, float]:
    """How long a training may take, the least and the most.

    Args:
        spec: the training.
        cuda: whether it will run on a CUDA device.
        pace: seconds per unit of `JobSpec.work` as measured on this server; None if unknown.
    """
    total = spec.train.iterations * spec.work
    fitting = expected_seconds(spec.nca.kinds) if spec.sharpen else 0.0
    if pace:
        return total * pace + fitting, total * pace + fitting
    usual = total / USUAL_WORK
    if cuda and spec.device != "cpu":
        return usual * ON_CUDA + fitting, usual * ON_CUDA + fitting
    fast, slow = (
        max(usual * each, spec.train.iterations * least) + fitting
        for each, least in zip((FASTEST, SLOWEST), AT_LEAST, strict=True)
    )
    return fast, slow


def expected(spec: JobSpec, cuda: bool, pace: float | None = None) -> str:
    """How long a training may take, in words; the arguments are those of `seconds`."""
    number, found = f"{count(spec.train.iterations)} iterations", seconds(spec, cuda, pace)
    if pace:
        return f"{number}, {duration(found[0])} on this server, as measured."
    where = "" if cuda and spec.device != "cpu" else " on two processor cores"
    return f"{number}, roughly {between(*found)}{where}."


def between(fast: float, slow: float) -> str:
    """A range of durations in words: "7 to 32 minutes"."""
    low, high = (duration(s).removeprefix("about ") for s in (fast, slow))
    if low == high:
        return low
    number, _, unit = low.partition(" ")
    return f"{number if high.endswith(unit) else low} to {high}"
