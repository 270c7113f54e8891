"""The choice of a recipe: three by what one wants, and the recipes of other systems."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nca.recipes import RECIPES
from nca.ui.train.loss_plot import number

# Name -> title and what it is for. The others' recipes are all those that no intent uses.
INTENTS = {
    "quick": ("Quick", "Grows, keeps and heals"),
    "hardy": ("Best", "The same, four times as long"),
    "photo": ("Photo", "Fills the frame to its edges"),
}

# What takes their place where one automaton learns several pictures.
SEVERAL = {"zoo": ("Zoo", "Grows, keeps and heals all of them")}


def intents_html(choices: Mapping[str, str], chosen: str) -> str:
    """The intents as buttons.

    Args:
        choices: name -> how long it may take, in words; with the recipe for several pictures, that
            is the only one.
        chosen: the name of the pressed one; another recipe presses none.
    """
    buttons = []
    offered = SEVERAL if SEVERAL.keys() <= choices.keys() else INTENTS
    for name, (title, purpose) in offered.items():
        pressed = "true" if name == chosen else "false"
        buttons.append(
            f'<button type="button" data-name="{name}" aria-pressed="{pressed}">'
            f"<b>{title}</b><span>{purpose}</span><small>{html.escape(choices[name])}</small>"
            "</button>"
        )
    return f'<div class="intents" role="group" aria-label="Recipe">{"".join(buttons)}</div>'


def others() -> list[str]:
    """The names of other systems' recipes."""
    # Recipes for kinds need a picture for each; see SEVERAL.
    return [name for name in RECIPES if name not in INTENTS and not RECIPES[name].nca.kinds]


def others_html(times: Mapping[str, str], scores: Mapping[str, str], chosen: str) -> str:
    """The recipes of other systems as buttons, each with its source, time and scores.

    Args:
        times: name -> how long it may take, in words.
        scores: name -> how the shipped lizard by this recipe does, in words.
        chosen: the name of the pressed one.
    """
    buttons = []
    for name in others():
        recipe, pressed = RECIPES[name], "true" if name == chosen else "false"
        known = scores.get(name, "Not scored here.")
        buttons.append(
            f'<button type="button" data-name="{name}" aria-pressed="{pressed}">'
            f"<b>{name}</b><small>{html.escape(times[name])}</small>"
            f"<span>{html.escape(recipe.summary)}</span>"
            f"<span>{html.escape(known)}</span><em>{html.escape(recipe.source)}</em></button>"
        )
    return f'<div class="others" role="group" aria-label="Other recipes">{"".join(buttons)}</div>'


def shipped_scores(checkpoints: Path) -> dict[str, str]:
    """How the shipped lizards by other systems' recipes do: recipe -> a sentence."""
    found = {}
    for config in sorted(checkpoints.glob("*/config.json")):
        about, metrics = _json(config), _json(config.with_name("metrics.json"))
        name, battery = about.get("recipe"), metrics.get("battery")
        if name in others() and isinstance(battery, dict):
            try:
                found.setdefault(name, _sentence(battery))
            except (KeyError, TypeError, ValueError):  # of a later version: better no sentence
                continue
    return found


def _sentence(battery: dict[str, Any]) -> str:
    growth, strokes = battery["growth"], battery["strokes"]
    cut_scores = battery.get("damaged") or battery["wounds"]  # its name in earlier versions
    healed = sum(float(score) < -2.5 for score in strokes)
    halves = [cut["score"] for name, cut in cut_scores.items() if name.startswith("half")]
    cuts = sum(float(score) < -2.5 for score in halves)
    return (
        f"The lizard: log₁₀ error {number(float(growth['96']))} at step 96, "
        f"{number(float(growth['1000']))} at step 1000; "
        f"heals {cuts} of {len(halves)} half cuts and {healed} of {len(strokes)} strokes."
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
