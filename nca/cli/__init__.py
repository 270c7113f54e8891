"""The command line, `python -m nca`; the same code as the page."""

from __future__ import annotations

import argparse
import sys

from nca.cli import evaluate, grow, hub, train
from nca.config import BadInput


def main(arguments: list[str] | None = None) -> int:
    """Run one command; what a person got wrong is one sentence on standard error, exit code 2."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"A file could not be read or written: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nca", description="Train, grow and wound neural cellular automata."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (train, grow, evaluate, hub):
        command.add_commands(commands)
    return parser
