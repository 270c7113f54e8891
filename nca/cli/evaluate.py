"""`python -m nca evaluate`: imports little, because each run builds every command's parser."""

from __future__ import annotations

import argparse
from typing import Any

from nca.cli.arguments import check_folder_out, text
from nca.cli.checkpoints import HELP, find_checkpoint
from nca.cli.grow import Film
from nca.config import BadInput, checked


def add_commands(commands: Any) -> None:
    """Add `evaluate` to the command line; `commands` is what `add_subparsers` returned."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "evaluate", help="score how a checkpoint grows, stays and heals"
    )
    parser.add_argument("checkpoint", type=text, help=HELP)
    parser.add_argument("--seed", type=int, default=0, help="of fire masks and strokes")
    parser.add_argument(
        "--full", action="store_true", help="twice as many families of damage, twice the time"
    )
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    parser.add_argument(
        "--write", action="store_true", help="also into the checkpoint: metrics, card, picture"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from nca.evaluate import HEALED, Scores
    from nca.scorecard import record, score, table
    from nca.zoo import ZooScores

    found = find_checkpoint(options.checkpoint)
    folder = found.folder
    seed = checked(Film, {"seed": options.seed}).seed
    if options.write and not found.own:
        raise BadInput(
            f"{found.name} is not a folder of yours; please leave out --write, or fetch it with "
            "nca pull first."
        )
    if options.write:
        check_folder_out(folder, "the checkpoint, or leave out --write")
    scores = score(folder, seed, bar=True, full=options.full)
    if options.write:
        record(folder, scores)
    if options.json:
        print(scores.model_dump_json())
        return 0
    if isinstance(scores, ZooScores):
        each = {f"kind {k}": [own] for k, own in enumerate(scores.kinds, 1)}
        print(table({found.name: list(scores.kinds), **each}), end="\n\n")
        measure = "the RGBA error"
    elif isinstance(scores, Scores):
        print(table({found.name: [scores]}), end="\n\n")
        measure = f"the RGBA error, median of {scores.lives} lives"
    else:
        measure = "what damage left, against the same body undamaged"
    for name, value in scores.summary().items():
        print(f"{name:<48}{value}")
    print(f"\nlog10 of {measure}; below {HEALED} is healed.")
    return 0
