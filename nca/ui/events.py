"""How every handler of the page is attached: private, and never showing a traceback."""

from __future__ import annotations

import functools
import html
import logging
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr

from nca.config import BadInput

log = logging.getLogger(__name__)

# Gradio queues the events of a group together: so many of each run at the same time.
PLAYING: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "playing"}
LIVES: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "lives"}
NETWORK: dict[str, Any] = {"concurrency_limit": 4, "concurrency_id": "hub"}

APOLOGY = "Something went wrong here, and it is not your fault. Nothing is lost; please try again."


def toast(words: str, title: str, seconds: float = 10, *, warning: bool = False) -> None:
    """Show words in the corner of the page for a while; plain text, which may be a stranger's."""
    show = gr.Warning if warning else gr.Info
    show(html.escape(words), seconds, title=html.escape(title))  # Gradio takes both for HTML


def guarded(handler: Callable[..., Any], quiet: bool = False) -> Callable[..., Any]:
    """The handler, with BadInput as a sentence and anything else as an apology, on the page.

    Args:
        handler: of an event. When it raises, none of its outputs changes.
        quiet: show nothing; for what happens by itself every second.
    """

    @functools.wraps(handler)
    def safely(*values: Any) -> Any:
        try:
            return handler(*values)
        except BadInput as refusal:
            message = str(refusal)
        except Exception:
            log.exception("%s failed", handler.__qualname__)
            message = APOLOGY
        if not quiet:
            toast(message, "Please note", warning=True)
        return gr.skip()

    return safely


def listen(
    event: Callable[..., Any],
    handler: Callable[..., Any],
    inputs: Any = None,
    outputs: Any = None,
    *,
    quiet: bool = False,
    **options: Any,
) -> Any:
    """Attach a handler to an event such as `button.click`; returns Gradio's dependency.

    Nothing here is a public endpoint: whatever a handler does, it checks itself.
    """
    defaults = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
    return event(guarded(handler, quiet), inputs, outputs, **(defaults | options))


def changes(components: Iterable[Any]) -> Callable[..., Any]:
    """The event that any of these components changed, for `listen`."""
    return functools.partial(gr.on, [component.change for component in components])
