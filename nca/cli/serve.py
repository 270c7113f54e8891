"""`python -m nca serve`; `app.py` runs it too."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

from nca.config import BadInput


def add_commands(commands: Any) -> None:
    """Add `serve` to the command line; `commands` is what `add_subparsers` returned."""
    command = commands.add_parser("serve", help="open the page")
    command.add_argument("--host", help="address to serve on; GRADIO_SERVER_NAME, else 127.0.0.1")
    command.add_argument("--port", type=int, help="GRADIO_SERVER_PORT, else the first free at 7860")
    command.add_argument("--open", action="store_true", help="also open it in the browser")
    command.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    if options.port is not None and not 1 <= options.port <= 65535:
        raise BadInput("Please choose a --port from 1 to 65535.")
    serve(options.host, options.port, options.open)
    return 0


def serve(host: str | None = None, port: int | None = None, browser: bool = False) -> None:
    """Serve the page until SIGTERM or Ctrl-C, then let running trainings save.

    Settings come from the environment; docs/limits.md and the README list them.

    Args:
        host: the address to serve on; when None, what Gradio reads from the environment.
        port: the port, likewise.
        browser: open the page in this computer's browser.

    Raises:
        BadInput: a setting cannot be used, the port is taken, or the page's packages are missing.
    """
    if find_spec("gradio") is None:
        raise BadInput("The page needs more packages: pip install 'nca-garden[app]'.")
    from nca.jobs import zero

    zero_gpu = zero.prepare(os.environ)  # before torch is imported
    from nca.logs import set_up_logging
    from nca.settings import Settings, check_proxies, keep_compiled, keep_uploads_in

    set_up_logging()
    check_proxies(os.environ)
    settings = Settings.from_environment()
    keep_compiled(settings, os.environ)
    keep_uploads_in(settings.home, os.environ)
    # Only now: torch takes seconds, and Gradio reads the environment when it is imported.
    import torch

    from nca.jobs import JobQueue, executor_named, warm_up
    from nca.ui import build_ui, launch_options

    torch.set_num_threads(1)  # trainings run in their own processes; the page must stay responsive
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with ExitStack() as closing:
        executor = executor_named(settings.executor)
        queue = JobQueue(settings.home, settings.limits, executor=executor)
        closing.callback(queue.close)
        page = build_ui(settings, queue, zero_gpu)
        closing.callback(page.close)
        closing.callback(warm_up.start().terminate)
        try:
            page.launch(
                server_name=host,
                server_port=port,
                inbrowser=browser,
                prevent_thread_lock=True,
                **launch_options(settings, queue),
            )
        except OSError as error:
            raise BadInput(
                f"The page cannot be served there ({error}); please choose another address with "
                "--host and --port, or GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."
            ) from error
        ended.wait()
