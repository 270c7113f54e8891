"""`python -m nca compare`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca.cli.arguments import check_file_out, text
from nca.cli.checkpoints import HELP, find_checkpoint
from nca.config import BadInput

if TYPE_CHECKING:
    from nca.compare import Run

PLOTS = (".png", ".svg")
MOST = 16  # colours of a chart


def add_commands(commands: Any) -> None:
    """Add `compare` to the command line; `commands` is what `add_subparsers` returned."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "compare", help="settings, losses and scores of several trainings side by side"
    )
    parser.add_argument("checkpoints", type=text, nargs="+", metavar="CHECKPOINT", help=HELP)
    parser.add_argument("--plot", type=Path, help="the losses as a picture, .png or .svg")
    parser.add_argument("--csv", type=Path, help="the metrics of all of them, one line each time")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from nca.compare import (
        losses_csv,
        losses_table,
        named_apart,
        plain_table,
        scores_table,
        settings_table,
    )
    from nca.files import write_atomic

    _check(options)
    runs = named_apart([_read(name) for name in options.checkpoints])
    if not any(run.rows for run in runs) and (options.plot or options.csv):
        raise BadInput("None of these keeps its losses; please leave out --plot and --csv.")
    differ = settings_table(runs)
    print(plain_table(differ) if len(differ) > 1 else "All settings are equal.")
    losses = losses_table(runs)
    if len(losses) > 1:
        print(f"\nlog10 of the loss\n{plain_table(losses)}")
    if without := [run.name for run in runs if not run.rows]:
        print(f"\nNo losses were kept with {', '.join(without)}.")
    scores = scores_table(runs)
    if len(scores) > 1:
        print(f"\n{plain_table(scores)}")
    else:
        print("\nNone has scores; nca evaluate CHECKPOINT --write measures them.")
    if options.csv is not None:
        write_atomic(options.csv, losses_csv(runs))
        print(f"Saved {options.csv}.")
    if options.plot is not None:
        write_atomic(options.plot, _plot(runs, options.plot))
        print(f"Saved {options.plot}.")
    return 0


def _read(name: str) -> Run:
    """A training or checkpoint; what is wrong with it is said with its name."""
    from nca.compare import read_run

    found = find_checkpoint(name)
    try:
        return read_run(found.folder, found.name)
    except BadInput as problem:
        raise BadInput(f"{name}: {problem}") from None


def _check(options: argparse.Namespace) -> None:
    """Refuse what could not be drawn or saved, before anything is downloaded."""
    if not 2 <= len(options.checkpoints) <= MOST:
        raise BadInput(f"Please name 2 to {MOST} checkpoints to compare.")
    if options.plot is not None:
        if options.plot.suffix.lower() not in PLOTS:
            raise BadInput("Please let --plot end in .png or .svg.")
        check_file_out(options.plot, "--plot")
    if options.csv is not None:
        check_file_out(options.csv, "--csv")


def _plot(runs: list[Run], path: Path) -> bytes:
    """The losses as a PNG or SVG file."""
    from nca.chart import chart
    from nca.chart_svg import chart_svg
    from nca.compare import loss_lines
    from nca.render import picture_bytes

    title, lines = "log10 loss by iteration, means of neighbours", loss_lines(runs)
    if path.suffix.lower() == ".svg":
        return chart_svg(title, lines).encode()
    return picture_bytes(chart(title, lines, size=(840, 420)), "PNG")
