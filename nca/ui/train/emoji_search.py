"""Emoji by name: the search of the Train tab, and the titles of trainings."""

from __future__ import annotations

import functools
import html
import io
from collections.abc import Collection, Iterable

import emoji
import resvg_py
from PIL import Image

from nca.emoji import PICKER, one_emoji, twemoji_file
from nca.ui.markup import data_uri

SHOWN = 60  # results of a search
ICON = 36  # pixels; shown at 28
# What the grid shows before anything is searched.
FIRST = (*PICKER, *"🌹🌷🌲🍀🍋🍒🥑🌶🍩🧁🍦⭐🌙🔥💧⚡❤💎🎈🏠⚽🎸👻🤖👽🐱🐶🦊🐼🐸🦉🦆🐧🐬🦈🦕🐌🐳🦒🐘")
_SKINS = "skin_tone"


def search(words: str) -> list[str]:
    """Emoji whose name or alias holds all of the words, the best matches first."""
    wanted = words.lower().replace(":", " ").replace("_", " ").split()
    if not wanted:
        return list(FIRST)
    ranked = []
    for symbol, names in _names().items():
        if all(any(word in name for name in names) for word in wanted):
            whole, parts = " ".join(wanted), {part for name in names for part in name.split()}
            rank = 0 if whole in names else 1 if all(word in parts for word in wanted) else 2
            ranked.append((rank, len(names[0]), symbol))
    return [symbol for _, _, symbol in sorted(ranked)[:SHOWN]]


def name_of(symbol: str) -> str:
    """An emoji's name in English, such as "Lady beetle"; empty when it has none."""
    found = emoji.demojize(symbol, delimiters=("", ""))
    if found == symbol:
        return ""
    words = found.replace("_", " ")
    return words[:1].upper() + words[1:]


def title_of(symbol: str) -> str:
    """The title of a training on an emoji: "🐞 Lady beetle"."""
    return f"{symbol} {name_of(symbol)}".strip()[:80]


def chosen_emoji(text: str) -> str | None:
    """The emoji in the search box, if it holds one and nothing else; None for words.

    Raises:
        BadInput: it holds several emoji, or an emoji and words.
    """
    text = (text or "").strip()[:200]
    if not text or not emoji.emoji_count(text):
        return None
    return one_emoji(text)


def grid_html(symbols: Iterable[str], chosen: str | Collection[str]) -> str:
    """A button for each emoji, as HTML; the chosen one is pressed, or all those of a collection."""
    several = not isinstance(chosen, str)
    pressed_ones = set(chosen) if several else {chosen}
    buttons = []
    for symbol in symbols:
        if not (icon := _icon(symbol)):
            continue
        name = html.escape(name_of(symbol))
        pressed = "true" if symbol in pressed_ones else "false"
        buttons.append(
            f'<button type="button" data-emoji="{html.escape(symbol)}" title="{name}" '
            f'aria-label="{name}" aria-pressed="{pressed}">'
            f'<img src="{icon}" alt="" width="28" height="28"></button>'
        )
    inside = "".join(buttons) or '<p class="note">No emoji has such a name; try another word.</p>'
    many = " data-several" if several else ""
    return f'<div class="picker"{many} data-arrows role="group" aria-label="Emoji">{inside}</div>'


@functools.cache
def _names() -> dict[str, list[str]]:
    """Names and aliases of every emoji that Twemoji draws, without skin tones."""
    known = {}
    for symbol, about in emoji.EMOJI_DATA.items():
        if about["status"] == emoji.STATUS["fully_qualified"] and _SKINS not in about["en"]:
            if twemoji_file(symbol):
                names = [about["en"], *about.get("alias", [])]
                known[symbol] = [name.strip(":").replace("_", " ").lower() for name in names]
    return known


@functools.lru_cache(4096)
def _icon(symbol: str) -> str:
    """Twemoji's drawing as a data URL; empty when it draws no such emoji."""
    # Pictures instead of text, because not every computer has a font with these emoji.
    if (path := twemoji_file(symbol)) is None:
        return ""
    png = resvg_py.svg_to_bytes(svg_path=str(path), width=ICON, height=ICON, skip_system_fonts=True)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(bytes(png))) as drawn:
        drawn.quantize(32).save(buffer, "PNG", optimize=True)
    return data_uri(buffer.getvalue(), "image/png")
