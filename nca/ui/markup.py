"""Small pieces of HTML: pictures as data URLs, figures, a progress bar, durations in words.

A job's pictures are sent as data URLs, not as files: Gradio would serve a cached file to anyone who
has its URL, and would write another copy of it to the disk.
"""

from __future__ import annotations

import base64
import functools
import html
import struct
from pathlib import Path

from nca.render import side_by_side
from nca.target import target_from_png, target_to_png

FLEETING = (
    "This Space forgets everything when it sleeps or restarts. What you want to keep, push to the "
    "Hub on the Share tab, or download."
)


def data_uri(data: bytes, kind: str = "image/webp") -> str:
    """Bytes as a data URL."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(data: bytes, alt: str, kind: str = "image/webp", css: str = "") -> str:
    """An image that is enlarged without smoothing, so that cells stay squares."""
    return f'<img class="cells {css}" src="{data_uri(data, kind)}" alt="{html.escape(alt)}">'


@functools.lru_cache(64)
def arranged(png: bytes) -> bytes:
    """A job's target for display: pictures of several kinds side by side instead of in a column."""
    width, height = struct.unpack(">II", png[16:24])
    if height == width:
        return png
    return target_to_png(side_by_side(target_from_png(png, kinds=height // width)))


def figure(content: str, caption: str, css: str = "") -> str:
    """A picture with a caption; both are HTML."""
    return f'<figure class="{css}">{content}<figcaption>{caption}</figcaption></figure>'


def file_figure(path: Path, caption: str, alt: str, css: str = "") -> str:
    """A WebP file as a figure; an empty string while the file does not exist."""
    try:
        data = path.read_bytes()
    except OSError:
        return ""
    return figure(picture(data, alt), html.escape(caption), css)


def progress_bar(share: float) -> str:
    """A progress bar; `share` is in [0, 1]."""
    percent = round(100 * min(1.0, max(0.0, share)), 1)
    return (
        f'<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent:.0f}" aria-label="Training progress">'
        f'<div style="width:{percent}%"></div></div>'
    )


def note(sentence: str, kind: str = "note") -> str:
    """A sentence for the visitor, announced to screen readers; empty for an empty sentence."""
    if not sentence:
        return ""
    return f'<p class="{kind}" role="status">{html.escape(sentence)}</p>'


def duration(seconds: float) -> str:
    """A duration in words: "about 4 minutes"."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds / 10) * 10} seconds"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} minutes"
    if seconds < 36 * 3600:
        return f"about {round(seconds / 3600)} hours"
    return f"about {round(seconds / 86400)} days"


def count(number: int) -> str:
    """A number as everywhere on the page: 1,046."""
    return f"{number:,}"
