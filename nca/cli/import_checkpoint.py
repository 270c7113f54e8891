"""`python -m nca import`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from nca.cli.arguments import check_new_folder_out, text

_UNSAID = ("fire_rate", "alive_threshold", "alive_mask", "padding", "step_size", "seed_hidden")


def add_commands(commands: Any) -> None:
    """Add `import` to the command line; `commands` is what `add_subparsers` returned."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "import", help="make a checkpoint of an automaton that another program trained"
    )
    parser.add_argument(
        "file", type=Path, help="Distill's .json; .safetensors or .npz of PyTorch or CAX"
    )
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint folder to write")
    parser.add_argument("--title", type=text, help="the file's name when not given")
    parser.add_argument(
        "--order",
        choices=("auto", "channel", "filter"),
        default="auto",
        help="of the perception: all filters of a channel together, as grouped convolutions do, or "
        "all channels of a filter; auto sees which of them grows",
    )
    parser.add_argument(
        "--filters",
        type=text,
        metavar="A,B,...",
        help="where the file holds none, in its order: identity, sobel_x, sobel_y, nine_point, "
        "five_point; exchange the Sobels where the picture comes out mirrored on its diagonal",
    )
    unsaid = parser.add_argument_group("what a file does not say")
    unsaid.add_argument("--fire-rate", type=float, help="share of cells that update; 0.5")
    unsaid.add_argument(
        "--threshold", type=float, dest="alive_threshold", help="alpha from which cells live; 0.1"
    )
    unsaid.add_argument("--alive-mask", choices=("pre_post", "post"), help="pre_post")
    unsaid.add_argument("--padding", choices=("zero", "circular"), help="zero")
    unsaid.add_argument("--step-size", type=float, help="what updates are multiplied by; 1")
    unsaid.add_argument(
        "--seed-hidden",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the seed's hidden channels are 1; so, unless it is CAX's",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from nca.checkpoint import save_checkpoint
    from nca.foreign import load_foreign

    check_new_folder_out(options.out)
    filters = options.filters and tuple(name.strip() for name in options.filters.split(","))
    unsaid = {name: getattr(options, name) for name in _UNSAID}
    nca, info = load_foreign(options.file, options.title, options.order, filters, **unsaid)
    save_checkpoint(options.out, nca, info)
    quoted = shlex.quote(str(options.out))
    print(f"Saved in {options.out}. To see it: python -m nca grow {quoted} --out grown.gif")
    return 0
