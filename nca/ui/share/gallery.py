"""Checkpoints that others shared, as a gallery of cards whose pictures move when pointed at.

The cards come first, their pictures one by one afterwards. Every picture comes through this server,
with limits on its size and on the time it takes.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import quote

import gradio as gr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nca.hub import Hub, HubEntry, discover, thumbnail
from nca.ui.components import script

SHOWN = 12
FRESH_SECONDS = 60.0  # how long the result of a search is reused
PICTURE_SECONDS = 12.0
FILM_BYTES = 1_500_000  # for a larger GIF the still picture is shown
SORTS = {"Newest": "last_modified", "Most liked": "likes"}
PATH, KINDS = "/gallery", ("still", "film")
_CARD = '<span class="film"></span><strong>\u00a0</strong><small>\u00a0</small>'
SKELETON = (
    '<div class="wall waiting" role="status" aria-label="Asking the Hub">'
    + f'<div class="card" aria-hidden="true">{_CARD}</div>' * 6
    + "</div>"
)
_FOR_A_DAY = {"Cache-Control": "private, max-age=86400"}  # a commit's picture never changes


def build(elem_id: str) -> gr.HTML:
    """The component, first with empty cards; a click on a card triggers `select` with `.name`."""
    return gr.HTML(
        SKELETON,
        js_on_load=script("share/gallery.js"),
        elem_id=elem_id,
        apply_default_css=False,
    )


class Gallery:
    """Searches the Hub and caches the results for a minute. Never uses a token.

    Args:
        hub: where the checkpoints are.
        secret: of the server; it signs the addresses of the cards' pictures.
    """

    def __init__(self, hub: Hub, secret: str) -> None:
        self.hub = replace(hub, preview_bytes=FILM_BYTES)
        self._secret = secret.encode()
        self._known: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()

    def forget(self) -> None:
        """Clear the cache, so that the next search asks the Hub."""
        self._known.clear()

    def show(self, query: str, sort: str) -> str:
        """The gallery as HTML; BadInput when the Hub cannot be reached."""
        search = (" ".join(str(query or "").split())[:100], str(sort))
        known = self._known.get(search)
        if known and time.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        entries = discover(
            self.hub, search[0], sort="likes" if sort == "likes" else "last_modified", limit=SHOWN
        )
        wall = self._wall(entries, search[0])
        self._known[search] = time.monotonic(), wall
        while len(self._known) > 8:
            self._known.popitem(last=False)
        return wall

    def route(self) -> Route:
        """`GET /gallery/{still|film}/{signature}/{user/name@commit}`: the picture of a card.

        Only addresses that this server has signed are answered, so it is no proxy for the Hub.
        """
        pool = ThreadPoolExecutor(4, thread_name_prefix="thumbnails")

        async def picture(request: Request) -> Response:
            kind, signature, name = (request.path_params[key] for key in ("kind", "by", "name"))
            if kind not in KINDS or not self._signed(name, signature):
                return Response(status_code=404)
            repo_id, _, commit = name.partition("@")
            entry = HubEntry(repo_id, "", 0, None, commit, "")
            asked = pool.submit(thumbnail, self.hub, entry, still=kind == "still")
            try:
                data = await asyncio.wait_for(asyncio.wrap_future(asked), PICTURE_SECONDS)
            except TimeoutError:
                data = None
            if data is None:
                return Response(status_code=404)
            media = "image/gif" if data[:3] == b"GIF" else "image/png"
            return Response(data, media_type=media, headers=_FOR_A_DAY)

        return Route(f"{PATH}/{{kind}}/{{by}}/{{name:path}}", picture)

    # ------------------------------------------------------------------ cards

    def _signature(self, name: str) -> str:
        return hmac.new(self._secret, f"gallery {name}".encode(), hashlib.sha256).hexdigest()[:32]

    def _signed(self, name: str, signature: str) -> bool:
        return hmac.compare_digest(self._signature(name).encode(), signature.encode())

    def _wall(self, entries: list[HubEntry], query: str) -> str:
        if not entries:
            words = f"Nothing found for “{query}”" if query else "Nobody has shared anything yet"
            more = "Try another word." if query else "Be the first: push one of yours."
            return f'<div class="empty"><strong>{html.escape(words)}</strong>{more}</div>'
        cards = "".join(self._card(entry) for entry in entries)
        return f'<div class="wall" role="group" aria-label="What others shared">{cards}</div>'

    def _card(self, entry: HubEntry) -> str:
        """One card; titles and names are other people's text, so they are escaped."""
        facts = [html.escape(entry.repo_id)]
        if entry.likes:
            facts.append(f"{entry.likes} like{'s' if entry.likes > 1 else ''}")
        if entry.modified:
            facts.append(f"{entry.modified:%d %b %Y}")
        name = f"{entry.repo_id}@{entry.commit}" if entry.commit else entry.repo_id
        signed = f"{self._signature(name)}/{quote(name)}"
        still, film = (html.escape(f"{PATH[1:]}/{kind}/{signed}") for kind in KINDS)
        lines = "".join(f"<small>{fact}</small>" for fact in facts)
        return (
            f'<button type="button" class="card" data-name="{html.escape(name)}" '
            f'data-film="{film}"><span class="film"><img class="cells still" src="{still}" alt="" '
            f'loading="lazy"></span><strong>{html.escape(entry.title)}</strong>{lines}</button>'
        )
