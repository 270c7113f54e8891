"""The visitor's key, stored in their browser and sent with every action.

The browser stores `{"own": key, "link": key or None, "zone": minutes}`; the last says how far its
clock is ahead of UTC, for local times. A private link (`?key=...`) is used for the page it opened
and never replaces the key that the browser already has. A browser that blocks site
data has the key only while the page is open, so the page shows the link at once.
"""

from __future__ import annotations

import html
import time
from typing import Any

import gradio as gr

from nca.jobs.keys import is_key, new_key

# What a page that has just opened sends besides what it stored.
WITH_ZONE = "(stored) => ({...(stored ?? {}), zone: -new Date().getTimezoneOffset()})"
MOST_ZONE = 15 * 60  # minutes
STORAGE_KEY = "nca-garden-visitor"
# When site data is blocked, any access to localStorage throws, and Gradio's page stays empty.
HEAD = """<script>
(() => {
  try { return void localStorage.getItem(''); } catch {}
  const storage = () => {
    const kept = new Map();
    return {
      getItem: (name) => kept.get(String(name)) ?? null,
      setItem: (name, value) => void kept.set(String(name), String(value)),
      removeItem: (name) => void kept.delete(String(name)),
      clear: () => kept.clear(),
      key: (index) => [...kept.keys()][index] ?? null,
      get length() { return kept.size; },
    };
  };
  for (const name of ['localStorage', 'sessionStorage'])
    Object.defineProperty(window, name, {value: storage(), configurable: true});
  document.documentElement.classList.add('keeps-nothing');
})();
</script>"""


def browser_state(secret: str) -> gr.BrowserState:
    """The component that stores the key; it is readable after a restart of the server."""
    return gr.BrowserState(None, storage_key=STORAGE_KEY, secret=secret)


def welcome(stored: Any, request: gr.Request) -> dict[str, str | int | None]:
    """What to store for a page that has just opened: its existing key, or a new one."""
    own = stored.get("own") if isinstance(stored, dict) else None
    link = request.query_params.get("key")
    return {
        "own": own if is_key(own) else new_key(),
        "link": link if is_key(link) else None,
        "zone": _zone(stored),
    }


def local_time(stored: Any, seconds: float, form: str = "%d %b %H:%M") -> str:
    """A time in the visitor's own zone, in UTC where the browser has not told its zone.

    Args:
        stored: what the browser stores.
        seconds: since 1970.
        form: as `time.strftime` takes it.
    """
    zone = _zone(stored)
    words = time.strftime(form, time.gmtime(seconds + 60 * (zone or 0)))
    return words if zone is not None else f"{words} UTC"


def _zone(stored: Any) -> int | None:
    zone = stored.get("zone") if isinstance(stored, dict) else None
    if not isinstance(zone, int | float) or not abs(zone) <= MOST_ZONE:  # also refuses NaN
        return None
    return int(zone)


def private_link(key: str, words: str) -> str:
    """A link that opens the page with this key, as HTML; `words` is its text."""
    return f'<a href="?key={html.escape(key)}">{html.escape(words)}</a>'


def key_of(stored: Any) -> str:
    """The key to act with; without one an empty string, which owns nothing."""
    if not isinstance(stored, dict):
        return ""
    return stored.get("link") or stored.get("own") or ""
