"""How the page's handlers are attached: not as endpoints, and without tracebacks on the page."""

from __future__ import annotations

import functools
import html
import inspect
import itertools
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from gradio.utils import LRUCache
from starlette.types import ASGIApp, Receive, Scope, Send

from nca.config import BadInput

log = logging.getLogger(__name__)

# Gradio queues the events of one concurrency_id together; concurrency_limit of them run at once.
PLAYING: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "playing"}
LIVES: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "lives"}
NETWORK: dict[str, Any] = {"concurrency_limit": 4, "concurrency_id": "hub"}

ARRIVED = "nca_garden.arrived"  # in an ASGI scope: the number of a request
VISITS = 1000  # open pages of which `newest` remembers the last call

APOLOGY = "Something went wrong here, and it is not your fault. Nothing is lost; please try again."


def toast(words: str, title: str, seconds: float = 10, *, warning: bool = False) -> None:
    """Show a notice in the corner of the page; plain text, so other people's titles are safe."""
    show = gr.Warning if warning else gr.Info
    show(html.escape(words), seconds, title=html.escape(title))  # Gradio renders both as HTML


def guarded(handler: Callable[..., Any], quiet: bool = False) -> Callable[..., Any]:
    """Wrap a handler: the page shows BadInput's sentence, or an apology for any other exception.

    Args:
        handler: of an event. When it raises, none of its outputs changes; a generator's keep what
            it last yielded.
        quiet: show nothing; for timers that fire every second or so.
    """

    def report(error: Exception) -> None:
        message = str(error)
        if not isinstance(error, BadInput):
            log.error("%s failed", handler.__qualname__, exc_info=error)
            message = APOLOGY
        if not quiet:
            toast(message, "Please note", warning=True)

    @functools.wraps(handler)
    def safely(*values: Any) -> Any:
        try:
            return handler(*values)
        except Exception as error:
            report(error)
        return gr.skip()

    @functools.wraps(handler)
    def safely_all(*values: Any) -> Any:
        try:
            yield from handler(*values)
        except Exception as error:
            report(error)
            yield gr.skip()

    return safely_all if inspect.isgeneratorfunction(handler) else safely


class NumberRequests:
    """ASGI middleware that numbers the requests in the order of their arrival, for `newest`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.numbers = app, itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` respond."""
        scope[ARRIVED] = next(self.numbers)
        await self.app(scope, receive, send)


def newest(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a handler: it changes nothing once the same visit has called it again.

    Two components that one answer changes call it twice at once, which Gradio's "always_last" does
    not prevent: the browser counts a call only when the server has taken it. Whichever ended last
    would be shown, also the older one. Of two calls the one whose request arrived later is newer;
    on a busy machine its handler may begin before that of the other.
    """
    begun = itertools.count()
    newest_call: LRUCache[str | None, int] = LRUCache(VISITS)  # by session
    guard = threading.Lock()

    @functools.wraps(handler)
    def latest(*values: Any) -> Any:
        request = LocalContext.request.get(None)
        session = request.session_hash if request else None
        http = request.request if request else None
        call = http.scope[ARRIVED] if http and ARRIVED in http.scope else next(begun)
        with guard:
            if newest_call.get(session, call) > call:
                return gr.skip()
            newest_call[session] = call
        answer = handler(*values)
        return answer if newest_call.get(session, call) == call else gr.skip()

    return latest


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

    Visitors can send any value to a handler, so each handler validates its own inputs. Those of
    "always_last" must be functions, not generators. An event may have one such listener only: of
    two, each repeats the event for both when it ends while the other runs, which never stops. Nor
    may they read the event's data: Gradio repeats the event with the data of the first. Those
    that do are wrapped in `newest`, with "multiple".
    """
    if options.get("trigger_mode") == "always_last":
        handler = newest(handler)
    defaults = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
    options = defaults | options
    if options["show_progress"] == "hidden":
        # At every stage of every event Gradio updates the status of all components that were ever
        # an output, and copies all that they and what they contain hold.
        options.setdefault("show_progress_on", [])
    return event(guarded(handler, quiet), inputs, outputs, **options)


def changes(components: Iterable[Any]) -> Callable[..., Any]:
    """One event for a change of any of these components, for `listen`."""
    return functools.partial(gr.on, [component.change for component in components])
