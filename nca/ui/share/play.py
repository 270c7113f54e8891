"""`GET /play?checkpoint=user/name`: a player for other people's pages, and the links to it."""

from __future__ import annotations

import asyncio
import html
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import gradio as gr
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from nca.config import BadInput
from nca.hub import Hub, pull
from nca.player import export_html
from nca.settings import Settings
from nca.ui.components import script

PATH = "/play"
WAITING = 16  # requests that may wait for a turn; more are refused
_HEADERS = {"Cache-Control": "public, max-age=300"}


def route(settings: Settings, hub: Hub) -> Route:
    """The route. The address may also name a shipped checkpoint by its folder, and say `bare`.

    Args:
        settings: of the server.
        hub: where other checkpoints are pulled from, without a token.
    """
    pool, waiting = ThreadPoolExecutor(2, thread_name_prefix="players"), 0

    def made(name: str, bare: bool) -> str:
        shipped = {path.name: path for path in settings.checkpoints.glob("*/")}
        folder = shipped.get(name) or pull(hub, name).folder
        return export_html(folder, bare, f"./?checkpoint={quote(name)}" if "/" in name else "./")

    async def play(request: Request) -> Response:
        nonlocal waiting
        if waiting >= WAITING:
            return _sorry("This garden is busy; please try again in a moment.", 503)
        name, bare = request.query_params.get("checkpoint", ""), "bare" in request.query_params
        waiting += 1
        try:
            text = await asyncio.wrap_future(pool.submit(made, name, bare))
        except BadInput as refusal:
            return _sorry(str(refusal), 404)
        finally:
            waiting -= 1
        return HTMLResponse(text, headers=_HEADERS)

    return Route(PATH, play)


def _sorry(sentence: str, status: int) -> Response:
    page = f'<!doctype html><html lang="en"><title>NCA Garden</title><p>{html.escape(sentence)}</p>'
    return HTMLResponse(page, status_code=status)


def links_box(elem_id: str) -> gr.HTML:
    """The component for `links`; its script writes the addresses and copies them."""
    return gr.HTML(
        "", js_on_load=script("share/links.js"), elem_id=elem_id, apply_default_css=False
    )


def links(repo_id: str, home: str | None) -> str:
    """The link that opens a checkpoint of the Hub here and the code that embeds it, as HTML.

    Args:
        repo_id: `user/name`.
        home: address of the Space that this server runs as; None elsewhere.
    """
    name, place = html.escape(repo_id), html.escape(home or "")
    return (
        f'<div class="links" data-name="{name}" data-home="{place}">'
        '<label><span>This link opens it here</span><input class="opens" readonly></label>'
        '<button type="button" data-copy="opens">Copy link</button>'
        "<label><span>This code puts it into a page</span>"
        '<textarea class="embeds" rows="3" readonly></textarea></label>'
        '<button type="button" data-copy="embeds">Copy code</button></div>'
    )
