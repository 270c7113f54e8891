"""`python -m nca export-site`: the garden as a static site that trains in the visitor's browser."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from nca.cli.arguments import check_folder_out


def add_commands(commands: Any) -> None:
    """Add `export-site` to the command line; `commands` is what `add_subparsers` returned."""
    command = commands.add_parser(
        "export-site", help="write a site that grows and trains in the visitor's browser"
    )
    command.add_argument("folder", type=Path, help="the folder to write, empty or a site before")
    command.add_argument(
        "--checkpoint",
        action="append",
        dest="checkpoints",
        metavar="CHECKPOINT",
        help="on the shelf, a folder or a shipped one's name; may be given several times; all "
        "shipped ones when not given",
    )
    command.add_argument("--deploy", metavar="USER/NAME", help="also put it on the Hub, as a Space")
    command.add_argument("--private", action="store_true", help="only you see the Space")
    command.add_argument("--endpoint", default="", help="the Hub; HF_ENDPOINT when not given")
    command.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    from nca.catalog import shipped_folders
    from nca.cli.checkpoints import find_checkpoint
    from nca.player.site import check_site_folder, site_files, write_site
    from nca.settings import shipped_checkpoints

    check_site_folder(options.folder)
    check_folder_out(options.folder, "FOLDER")
    named = [find_checkpoint(text).folder for text in options.checkpoints or ()]
    files = site_files(named or list(shipped_folders(shipped_checkpoints())))
    write_site(options.folder, files)
    print(f"Written to {options.folder}; any file server will do, such as")
    print(f"  python -m http.server --directory {shlex.quote(str(options.folder))}")
    if options.deploy:
        from nca.hub import Hub, deploy_site

        result = deploy_site(
            Hub(options.endpoint), files, options.deploy, token=None, private=options.private,
            progress=lambda fraction, text: print(f"{fraction:4.0%}  {text}", flush=True),
        )  # fmt: skip
        print(f"Deployed to {result.url}" if result.commit else f"Nothing new for {result.url}")
    return 0
