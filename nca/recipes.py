"""Named ways to train, each a pair of configs; `recipe("growing").nca` and `.train`."""

from __future__ import annotations

from dataclasses import dataclass

from nca.config import BadInput, NCAConfig, TrainConfig


@dataclass(frozen=True)
class Recipe:
    """An architecture and a way to train it.

    Attributes:
        name: as `recipe(name)` takes it.
        summary: one sentence for the page.
        nca: the architecture.
        train: the training.
        source: where it comes from.
    """

    name: str
    summary: str
    nca: NCAConfig
    train: TrainConfig
    source: str


DISTILL = "Growing Neural Cellular Automata, Mordvintsev et al., Distill 2020"

_RECIPES = (
    Recipe(
        "quick",
        "Recognisable soonest: a small pool, wounds from the start, a rate that falls to the end.",
        NCAConfig(),
        TrainConfig(
            iterations=1500,
            pool_size=256,
            damage_count=3,
            damage_shapes=("circle", "half"),
            steps_min=48,
            steps_max=80,
            schedule="cosine",
            decay=0.03,
        ),
        "NCA Garden",
    ),
    Recipe(
        "growing",
        "Grows the picture from one cell; afterwards it may drift apart.",
        NCAConfig(),
        TrainConfig(start="seed"),
        DISTILL,
    ),
    Recipe(
        "persistent",
        "Grows the picture and learns to keep it, by training on its own old states.",
        NCAConfig(),
        TrainConfig(),
        DISTILL,
    ),
    Recipe(
        "regenerating",
        "Grows, keeps and heals the picture: three of eight states are wounded each time.",
        NCAConfig(),
        TrainConfig(damage_count=3),
        DISTILL,
    ),
)
RECIPES = {r.name: r for r in _RECIPES}


def recipe(name: str) -> Recipe:
    """The recipe of that name; BadInput names the ones there are."""
    if name not in RECIPES:
        raise BadInput(f"There is no recipe called {name!r}; choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]
