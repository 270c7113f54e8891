"""The visitor's key, stored in their browser and sent with every action.

The browser stores `{"own": key, "link": key or None}`. A private link (`?key=...`) is used for the
page it opened and never replaces the key that the browser already has. A browser that blocks site
data has the key only while the page is open, so the page shows the link at once.
"""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from nca.jobs.keys import is_key, new_key

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


def welcome(stored: Any, request: gr.Request) -> dict[str, str | None]:
    """What to store for a page that has just opened: its existing key, or a new one."""
    own = stored.get("own") if isinstance(stored, dict) else None
    link = request.query_params.get("key")
    return {
        "own": own if is_key(own) else new_key(),
        "link": link if is_key(link) else None,
    }


def private_link(key: str, words: str) -> str:
    """A link that opens the page with this key, as HTML; `words` is its text."""
    return f'<a href="?key={html.escape(key)}">{html.escape(words)}</a>'


def key_of(stored: Any) -> str:
    """The key to act with; without one an empty string, which owns nothing."""
    if not isinstance(stored, dict):
        return ""
    return stored.get("link") or stored.get("own") or ""
