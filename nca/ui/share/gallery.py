"""Checkpoints that others shared, as a gallery of cards.

Every picture comes through this server, with limits on its size and on the time it takes.
"""

from __future__ import annotations

import html
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

from nca.hub import Hub, HubEntry, discover, thumbnail
from nca.ui.markup import data_uri

SHOWN = 12
FRESH_SECONDS = 60.0  # how long the result of a search is reused
PICTURE_SECONDS = 8.0
FILM_BYTES = 1_500_000  # per card; for a larger GIF the still picture is shown
WALL_BYTES = 8_000_000
SORTS = {"Newest": "last_modified", "Most liked": "likes"}


class Gallery:
    """Searches the Hub and caches the results for a minute. Never uses a token."""

    def __init__(self, hub: Hub) -> None:
        self.hub = replace(hub, preview_bytes=FILM_BYTES)
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="thumbnails")
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
        wall = _wall(entries, self._pictures(entries), search[0])
        self._known[search] = time.monotonic(), wall
        while len(self._known) > 8:
            self._known.popitem(last=False)
        return wall

    def _pictures(self, entries: list[HubEntry]) -> list[bytes | None]:
        """A picture for each entry; None where it did not arrive in time or the page is full."""
        thumbnails = [self._pool.submit(thumbnail, self.hub, entry) for entry in entries]
        wait(thumbnails, PICTURE_SECONDS)
        pictures: list[bytes | None] = []
        left = WALL_BYTES
        for future in thumbnails:
            future.cancel()
            ready = future.done() and not future.cancelled() and future.exception() is None
            data = future.result() if ready else None
            data = data if data and len(data) <= left else None
            left -= len(data or b"")
            pictures.append(data)
        return pictures


def _wall(entries: list[HubEntry], pictures: list[bytes | None], query: str) -> str:
    if not entries:
        words = f"Nothing found for “{query}”" if query else "Nobody has shared anything yet"
        more = "Try another word." if query else "Be the first: push one of yours."
        return f'<div class="empty"><strong>{html.escape(words)}</strong>{more}</div>'
    cards = "".join(_card(*pair) for pair in zip(entries, pictures, strict=True))
    return f'<div class="wall" role="group" aria-label="What others shared">{cards}</div>'


def _card(entry: HubEntry, picture: bytes | None) -> str:
    """One card; titles and names are other people's text, so they are escaped."""
    image = '<span class="blank" aria-hidden="true"></span>'
    if picture:
        kind = "image/gif" if picture[:3] == b"GIF" else "image/png"
        image = f'<img class="cells" src="{data_uri(picture, kind)}" alt="">'
    facts = [html.escape(entry.repo_id)]
    if entry.likes:
        facts.append(f"{entry.likes} like{'s' if entry.likes > 1 else ''}")
    if entry.modified:
        facts.append(f"{entry.modified:%d %b %Y}")
    name = html.escape(f"{entry.repo_id}@{entry.commit}" if entry.commit else entry.repo_id)
    lines = "".join(f"<small>{fact}</small>" for fact in facts)
    return (
        f'<button type="button" data-name="{name}">{image}'
        f"<strong>{html.escape(entry.title)}</strong>{lines}</button>"
    )
