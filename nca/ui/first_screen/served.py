"""Put the first screen into the HTML that Gradio serves, ahead of Gradio's own configuration.

A visitor then sees a living automaton as soon as the first part of the page has arrived. The Grow
tab's `NCAPlayer` takes the running player over (`ADOPT`, `KIT`).
"""

from __future__ import annotations

import html
import json
import re
from functools import cache
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nca.catalog import Catalog
from nca.checkpoint import Checkpoint
from nca.player import player_model
from nca.player.bundle import script
from nca.target import target_to_png
from nca.ui.markup import data_uri

ADOPT = "#first"
KIT = "window.ncaKit"
SEED = 2  # the demonstration's fire seed: with it the shipped lizard is whole again afterwards
_CONFIG = re.compile(
    rb"<script>window\.gradio_config = .*?</script>(?=\s*<script data-)", re.DOTALL
)
_BODY = re.compile(rb"<body[^>]*>")
_SPROUT = """<svg viewBox="0 0 11 11" shape-rendering="crispEdges" aria-hidden="true">
<rect width="11" height="11" fill="#1e482c"/>
<path fill="#87c495" d="M5 4h1v5H5zM2 2h2v1H2zM1 3h3v1H1zM2 4h3v1H2z"/>
<path fill="#b5dcbd" d="M7 1h2v1H7zM6 2h4v1H6zM6 3h3v1H6z"/>
<path fill="#d9a35b" d="M3 9h5v1H3z"/></svg>"""
_MASTHEAD = f"""<div id="top"><header class="masthead">{_SPROUT}<div><h1>%(title)s</h1>
<p>Teach a single cell to grow into any picture, damage it, and watch it heal.</p></div></header>
</div>"""
_SECTION = """<section id="first" aria-label="A living automaton">
<div class="nca-player"><div class="poster"><img src="%(poster)s" alt="%(name)s"></div></div>
<div class="ways"><h2>It grows from one cell. Cut it, and it heals.</h2>
<p>Every cell runs the same small neural network and sees only its eight neighbours. None knows
where it is.</p>
<div class="doors">
<button type="button" class="main" data-go="grow"><b>Play</b><span>All controls, and others to
grow</span></button>
<button type="button" data-go="train"><b>Train your own</b><span>From any emoji, photo or
drawing</span></button>
<button type="button" data-go="inspect"><b>How it works</b><span>What a cell sees, and what it
does</span></button>
</div></div></section>"""


def markup(title: str, catalog: Catalog) -> bytes:
    """The HTML for the start of the page's body; without an automaton only the masthead.

    Args:
        title: of the page.
        catalog: its default checkpoint is the one that grows.
    """
    top = f"<style>{_part('first_screen.css')}</style>"
    top += _MASTHEAD % {"title": html.escape(title)}
    top += f"<script>{KIT} = {_in_script(script())};</script>"
    flagship = catalog.default(catalog.shipped())
    if flagship is not None:
        checkpoint = catalog.load("", flagship.ref)
        # Without the decoder, half as much again; the Grow tab's player brings it.
        light = player_model(checkpoint) | {"decoder": None, "checkpoint": str(flagship.ref)}
        model = json.dumps(light, separators=(",", ":"))
        name = html.escape(checkpoint.info.title)
        section = _SECTION % {"poster": _poster(checkpoint), "name": name}
        # The section first, so that it is painted while the scripts still arrive.
        top = top.replace("<script>", f"{section}<script>", 1)
        top += f'<script type="application/json" id="first-model">{_in_script(model)}</script>'
        top += f"<script>{_part('first_screen.js').replace('SEED', str(SEED))}</script>"
    return top.encode()


def _poster(checkpoint: Checkpoint) -> str:
    target = checkpoint.target_of(1)
    if target is None:
        return "data:,"
    return data_uri(target_to_png(target), "image/png")


@cache
def _part(name: str) -> str:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return re.sub(r"^\s*//.*\n|^\s+|/\*.*?\*/\n?", "", text, flags=re.MULTILINE)


def _in_script(text: str) -> str:
    """JavaScript or JSON that cannot end its element."""
    return text.replace("</script", "<\\/script")


def with_first_screen(page: bytes, first: bytes) -> bytes:
    """Gradio's HTML with `first` at the start of the body.

    Gradio's configuration, most of the page, moves behind it. Gradio's script is a module, so it
    runs after both in any case.
    """
    body = _BODY.search(page)
    if body is None:
        return page
    head, config = page[: body.start()], b""
    if found := _CONFIG.search(head):
        config = found[0]
        head = head[: found.start()] + head[found.end() :]
    return b"".join((head, body[0], first, config, page[body.end() :]))


class FirstScreen:
    """ASGI middleware that puts the first screen into the page.

    Args:
        app: the application that serves the page.
        first: `markup`.
    """

    def __init__(self, app: ASGIApp, first: bytes) -> None:
        self.app, self.first = app, first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; change the response if it is the page."""
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def change(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message["headers"]))
                kind = headers.get("content-type", "")
                if kind.startswith("text/html") and "content-encoding" not in headers:
                    start = message
                    return
            if start is None:
                await send(message)
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            page = with_first_screen(body, self.first)
            headers = MutableHeaders(raw=list(start["headers"]))
            headers["Content-Length"] = str(len(page))
            await send({**start, "headers": headers.raw})
            await send({"type": "http.response.body", "body": page})

        await self.app(scope, receive, change)
