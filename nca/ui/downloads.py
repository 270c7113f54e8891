"""Files that a visitor takes away."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import emoji
import gradio as gr

# With the `elem_id` of the hidden download button that holds the file.
SAVE_FILE = "() => setTimeout(() => document.querySelector('#%s').click(), 100)"


def cached(file: gr.DownloadButton, name: str, data: bytes) -> str:
    """Write a download into Gradio's cache, for an hour, at a secret URL; returns its path."""
    path = Path(file.GRADIO_CACHE, secrets.token_hex(16), name)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    file.temp_files.add(str(path))  # Gradio deletes it after an hour
    return str(path)


def file_name(title: str) -> str:
    """A title as a file name that is valid on every system.

    Emoji are left out where there are words beside them; otherwise their names are used.
    """
    for text in (emoji.replace_emoji(title, " "), emoji.demojize(title, delimiters=(" ", " "))):
        if found := re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]:
            return found
    return "automaton"
