"""The commands push, pull, list and deploy-space of `python -m nca`.

The token is this machine's: HF_TOKEN, or the one that `hf auth login` saved. It is never an
argument, because every process on the machine could read that.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nca.cli.arguments import check_new_folder_out, checkpoint_folder, text
from nca.files import write_atomic


def add_commands(commands: Any) -> None:
    """Add the Hub's commands to argparse's subparsers; each sets `run`, which takes the options."""
    push = _command(commands, "push", _push, "share a checkpoint on the Hugging Face Hub")
    push.add_argument("checkpoint", type=Path, help="a checkpoint folder")
    push.add_argument("repo", help="user/name")
    push.add_argument("--private", action="store_true", help="only you see it")
    push.add_argument("--licence", help="of the picture, for instance cc-by-4.0")
    push.add_argument("--pull-request", action="store_true", help="propose it to an existing repo")
    push.add_argument("--space", help="user/name of a Space of the garden the card links to")

    pull = _command(commands, "pull", _pull, "fetch a checkpoint from the Hub")
    pull.add_argument("repo", help="user/name or user/name@revision")
    pull.add_argument("--out", type=Path, required=True, help="the checkpoint folder to write")

    listed = _command(commands, "list", _list, "show what others shared")
    listed.add_argument("query", nargs="?", type=text, help="words in the name")
    listed.add_argument("--sort", choices=("last_modified", "likes"), default="last_modified")
    listed.add_argument("--limit", type=int, default=24)

    deploy = _command(commands, "deploy-space", _deploy, "put this garden on the Hub as a Space")
    deploy.add_argument("repo", help="user/name")
    deploy.add_argument("--private", action="store_true", help="only you see it")
    deploy.add_argument(
        "--hardware",
        help="zero-a10g (ZeroGPU, for free accounts), cpu-basic, t4-small or another of the Hub's",
    )
    deploy.add_argument(
        "--root",
        type=Path,
        help="a checkout of the project; by default this folder if it is one, else what is "
        "installed",
    )


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text)
    command.add_argument("--endpoint", default="", help="the Hub; HF_ENDPOINT when not given")
    command.set_defaults(run=run)
    return command


def _push(options: argparse.Namespace) -> int:
    from nca.hub import Hub, push

    result = push(
        Hub(options.endpoint, space=options.space),
        checkpoint_folder(options.checkpoint),
        options.repo,
        token=None,
        private=options.private,
        licence=options.licence,
        pull_request=options.pull_request,
        progress=_say,
    )
    print(f"Pushed to {result.url}" if result.commit else f"Nothing new for {result.url}")
    return 0


def _pull(options: argparse.Namespace) -> int:
    from nca.checkpoint import FILES, WEIGHTS
    from nca.hub import Hub, pull

    out: Path = options.out
    check_new_folder_out(out)
    pulled = pull(Hub(options.endpoint), options.repo, token=None)
    out.mkdir(parents=True, exist_ok=True)
    # The weights last: without them the folder is not yet a checkpoint.
    for name in sorted(FILES, key=lambda name: name == WEIGHTS):
        if (pulled.folder / name).is_file():
            write_atomic(out / name, (pulled.folder / name).read_bytes())
    if pulled.note:
        print(pulled.note)
    print(f"Pulled {pulled.repo_id}@{pulled.commit[:7]} into {out}")
    return 0


def _list(options: argparse.Namespace) -> int:
    from nca.hub import Hub, discover

    entries = discover(
        Hub(options.endpoint), options.query, sort=options.sort, limit=options.limit, token=None
    )
    for entry in entries:
        when = f"{entry.modified:%Y-%m-%d}" if entry.modified else " " * 10
        print(f"{when}  {entry.likes:4d} likes  {entry.repo_id}  {entry.title}")
    if not entries:
        print("Nothing found.")
    return 0


def _deploy(options: argparse.Namespace) -> int:
    from nca.hub import Hub, deploy_space
    from nca.hub.space import project_folder

    result = deploy_space(
        Hub(options.endpoint),
        options.root or project_folder(),
        options.repo,
        token=None,
        private=options.private,
        hardware=options.hardware,
        progress=_say,
    )
    if options.hardware not in (None, "zero-a10g", "cpu-basic"):
        print(f"{options.hardware} is billed while the Space runs: https://huggingface.co/pricing")
    print(f"Deployed to {result.url}" if result.commit else f"Nothing new for {result.url}")
    return 0


def _say(fraction: float, text: str) -> None:
    print(f"{fraction:4.0%}  {text}", flush=True)
