"""The gallery: the list of shared checkpoints, and a picture of each."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from huggingface_hub.hf_api import ModelInfo

from nca.card import LIBRARY, TAGS
from nca.config import BadInput
from nca.hub.client import Hub, Token, is_commit, reading_token, visit
from nca.hub.download import download, keep_picture
from nca.preview import PREVIEW
from nca.wording import plain_text

NOT_FOR_ALL = "not-for-all-audiences"
_TARGET_BYTES = 256 * 1024
_ANSWERS = 64 * 1024


@dataclass(frozen=True)
class HubEntry:
    """A checkpoint that somebody shared, as the gallery shows it.

    Attributes:
        repo_id: `user/name`.
        title: from its card, else its name; untrusted text.
        likes: the number of likes.
        modified: when it last changed.
        commit: the revision that this describes.
        url: its page.
    """

    repo_id: str
    title: str
    likes: int
    modified: datetime | None
    commit: str
    url: str


def discover(
    hub: Hub,
    query: str | None = None,
    *,
    sort: Literal["last_modified", "likes"] = "last_modified",
    limit: int = 24,
    token: Token = False,
) -> list[HubEntry]:
    """Checkpoints on the Hub with our tags, newest or most liked first.

    Repos that are marked as not for all audiences are left out.

    Args:
        hub: the Hub to search.
        query: words of the name; None for all.
        sort: "last_modified" or "likes".
        limit: the largest number of entries, 1 to 100.
        token: of the caller, whose private checkpoints are listed too.

    Raises:
        BadInput: the list cannot be fetched; its subclass Unreachable if a later try may help.
    """
    if sort not in ("last_modified", "likes"):
        raise BadInput("Please sort by last_modified or likes.")
    limit = max(1, min(limit, 100))
    query = " ".join((query or "").split())[:100] or None
    guard = hub.guard(hub.pull_seconds, 4 * 2**20)
    with visit(guard, "the gallery"):
        found = hub.api(reading_token(token)).list_models(
            filter=[TAGS[0], LIBRARY],
            search=query,
            sort=sort,
            limit=2 * limit,  # because some are left out
            full=True,
            cardData=True,
        )
        entries = [entry for model in found if (entry := _entry(hub, model))]
    return entries[:limit]


def thumbnail(
    hub: Hub, entry: HubEntry, *, token: Token = False, still: bool = False
) -> bytes | None:
    """The preview GIF of an entry, else its target PNG, else None; kept in the cache.

    It is a valid GIF or PNG of bounded size, so that it is safe to send to a browser.

    Args:
        hub: where it is.
        entry: of the gallery.
        token: of the caller, for private entries.
        still: prefer the target to the preview.
    """
    if not is_commit(entry.commit):
        return None
    pictures = [(PREVIEW, hub.preview_bytes), ("target.png", _TARGET_BYTES)]
    for name, most in reversed(pictures) if still else pictures:
        guard = hub.guard(hub.pull_seconds / 2, most + _ANSWERS)
        with suppress(BadInput), visit(guard, entry.repo_id):
            token = reading_token(token)
            path = download(hub, entry.repo_id, [name], entry.commit, token) / name
            keep_picture(path)
            if path.stat().st_size > most:
                continue
            return path.read_bytes()
    return None


def _entry(hub: Hub, model: ModelInfo) -> HubEntry | None:
    """A model as an entry, None when it is not for the gallery."""
    tags = set(model.tags or ())
    if NOT_FOR_ALL in tags or not {TAGS[0], LIBRARY} <= tags | {model.library_name}:
        return None
    try:
        repo_id = hub.repo(model.id)
    except BadInput:
        return None
    title = getattr(model.card_data, "model_name", None)
    title = plain_text(title)[:80] if isinstance(title, str) else ""
    return HubEntry(
        repo_id=repo_id,
        title=title or repo_id.partition("/")[2],
        likes=int(model.likes or 0),
        modified=model.last_modified,
        commit=model.sha or "",
        url=f"{hub.endpoint}/{repo_id}",
    )
