"""Several pictures for one automaton: those chosen so far, and how the page shows them.

The page holds them as text, so that they outlive a restart of the server.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nca.config import BadInput
from nca.ui.components import upload_name
from nca.ui.markup import picture
from nca.ui.train import emoji_search

MOST = 12
NONE = "[]"  # several pictures, none of them chosen yet; an empty text stands for one picture
FULL = f"One automaton learns at most {MOST} pictures here; please remove one first."
ONE_MORE = "Please add at least two pictures, or go back to one picture."


class Chosen(BaseModel):
    """One of several pictures.

    Attributes:
        source: where it is from.
        value: the emoji, or the value of the upload or of the drawing pad.
        background: of an upload, as in `TargetForm`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["emoji", "upload", "draw"]
    value: str = Field(min_length=1, max_length=2**21 + 2000)
    background: Literal["keep", "transparent"] = "keep"

    @property
    def name(self) -> str:
        """What the page calls it."""
        if self.source == "emoji":
            return emoji_search.title_of(self.value)
        return (upload_name(self.value) or "Picture") if self.source == "upload" else "Drawing"

    @property
    def short_name(self) -> str:
        """Its part in the title of a training."""
        return self.value if self.source == "emoji" else self.name


_LIST = TypeAdapter(list[Chosen])


def parse(text: str) -> list[Chosen]:
    """The pictures in the page's text; none in an empty one.

    Raises:
        BadInput: it is not what the page sends, or holds too many.
    """
    if not text:
        return []
    try:
        chosen = _LIST.validate_json(str(text))
    except ValidationError:
        raise BadInput("These pictures cannot be read; please choose them again.") from None
    if len(chosen) > MOST:
        raise BadInput(FULL)
    return chosen


def text_of(chosen: Sequence[Chosen]) -> str:
    """The pictures as the page's text."""
    return _LIST.dump_json(list(chosen)).decode()


def add(text: str, picture: Chosen) -> str:
    """With one picture more; BadInput when there are `MOST` already."""
    chosen = parse(text)
    if len(chosen) >= MOST:
        raise BadInput(FULL)
    return text_of([*chosen, picture])


def toggle(text: str, symbol: str) -> str:
    """With an emoji, or without it if it was chosen."""
    chosen = parse(text)
    kept = [one for one in chosen if (one.source, one.value) != ("emoji", symbol)]
    if len(kept) < len(chosen):
        return text_of(kept)
    return add(text, Chosen(source="emoji", value=symbol))


def remove(text: str, place: Any) -> str:
    """Without the picture at a place, counted from 0; as it was if there is none there."""
    chosen = parse(text)
    return text_of([one for k, one in enumerate(chosen) if str(k) != str(place)])


def emoji_of(text: str) -> set[str]:
    """The emoji among the pictures."""
    return {one.value for one in parse(text) if one.source == "emoji"}


def tray_html(chosen: Sequence[Chosen], pngs: Sequence[bytes]) -> str:
    """The pictures, each with a button that removes it, and the way back to one picture."""
    figures = "".join(
        f"<figure>{picture(png, one.name, 'image/png', 'ground')}"
        f'<button type="button" data-remove="{place}" '
        f'aria-label="Remove {html.escape(one.name)}">✕</button></figure>'
        for place, (one, png) in enumerate(zip(chosen, pngs, strict=True))
    )
    if len(chosen) < 2:
        words = "Pick more pictures: one automaton learns them all, and each becomes a kind."
    else:
        words = f"{len(chosen)} of at most {MOST} pictures: each becomes a kind of one automaton."
    return (
        f'<div class="tray"><p class="note" role="status">{words} '
        '<button type="button" data-one="1">Back to one picture</button></p>'
        f'<div class="pictures" role="group" aria-label="Pictures">{figures}</div></div>'
    )
