"""`python -m nca recipes`: the recipes with their scores, and the settings of one."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import TYPE_CHECKING, Any

from nca.cli.arguments import text

if TYPE_CHECKING:
    from nca.recipes import Recipe

_INDENT = " " * 17


def add_commands(commands: Any) -> None:
    """Add `recipes` to the command line; `commands` is what `add_subparsers` returned."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "recipes", help="list the ways to train, their sources and scores"
    )
    parser.add_argument("name", nargs="?", type=text, help="of one recipe, to see its settings")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from nca.recipes import RECIPES, recipe

    if options.name:
        print(_details(recipe(options.name)))
        return 0
    shipped = _shipped_scores()
    for found in RECIPES.values():
        print(f"{found.name:<16} {found.summary}")
        print(_INDENT + f"{found.train.iterations:,} iterations; {found.source}")
        if found.name in shipped:
            print(_INDENT + shipped[found.name])
    print(
        "\nScores are log10 of the RGBA error at steps 96, 200 and 1000, lower is better; times as "
        "measured\nwhere the shipped automaton was trained, on a core shared with other work. "
        "`nca recipes NAME` lists\nthe settings of one."
    )
    return 0


def _details(found: Recipe) -> str:
    """One recipe: its words, and every setting that differs from the defaults."""
    from nca.config import NCAConfig, TrainConfig

    lines = [found.name, "", *textwrap.wrap(found.summary, 88), f"Source: {found.source}"]
    if found.notes:
        lines += ["", *textwrap.wrap(found.notes, 88)]
    lines += ["", "Settings that differ from the defaults (nca train --help-settings):"]
    for config, default in ((found.nca, NCAConfig()), (found.train, TrainConfig())):
        before = default.model_dump(mode="json")
        for name, value in config.model_dump(mode="json").items():
            if value != before[name]:
                lines.append(f"  {name}={json.dumps(value)}")
    return "\n".join(lines)


def _shipped_scores() -> dict[str, str]:
    """Recipe -> how the shipped automaton it trained scores; a lizard where there is one."""
    from nca.catalog import shipped_folders
    from nca.checkpoint import load_checkpoint
    from nca.scorecard import recorded
    from nca.settings import shipped_checkpoints

    lines: dict[str, str] = {}
    for folder in shipped_folders(shipped_checkpoints()):  # the lizard is the first
        checkpoint = load_checkpoint(folder)
        info, scores = checkpoint.info, recorded(checkpoint.metrics)
        if info.recipe is None or info.recipe in lines or scores is None:
            continue
        growth = " / ".join(f"{value:.2f}" for value in scores.growth.values())
        minutes = checkpoint.metrics.get("seconds", 0) / 60
        lines[info.recipe] = (
            f"{folder.name}: {growth}, {scores.halves_healed}/4 half cuts heal; "
            f"{info.iteration:,} iterations in {minutes:.0f} minutes"
        )
    return lines
