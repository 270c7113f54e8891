"""The command line, `python -m nca`; it runs the same code as the page."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys

import nca
from nca._compat import let_threads_sleep
from nca.cli import (
    compare,
    evaluate,
    export_site,
    grow,
    hub,
    import_checkpoint,
    recipes,
    serve,
    sharpen,
    sweep,
    train,
)
from nca.config import BadInput


def main(arguments: list[str] | None = None) -> int:
    """Run one command; BadInput becomes one sentence on standard error and exit code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error does by default
    let_threads_sleep(os.environ)
    try:
        options = _parser().parse_args(arguments)
        status = options.run(options)
        sys.stdout.flush()  # so that a closed pipe raises here, not when Python exits
        return status
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # Python flushes the rest there when it exits
        return 128 + getattr(signal, "SIGPIPE", 13)
    except OSError as error:
        about = f"{error.filename}: {error.strerror}" if error.filename else str(error).rstrip(".")
        print(f"A file could not be read or written, {about}.", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nca", description="Train, grow and damage neural cellular automata."
    )
    parser.add_argument("--version", action="version", version=f"nca-garden {nca.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    parts = (
        train, sweep, sharpen, recipes, grow, evaluate, compare, import_checkpoint, hub,
        export_site, serve,
    )  # fmt: skip
    for command in parts:
        command.add_commands(commands)
    return parser
