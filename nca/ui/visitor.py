"""Who is looking: the visitor's key, kept in their browser and sent with every action.

The browser stores `{"own": key, "link": key or None}`. A private link (`?key=...`) is used for the
page it opened and never replaces the key that the browser already has. A browser that keeps no site
data has the key only as long as the page is open, and is shown the link at once.
"""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from nca.jobs.keys import is_key, new_key

STORAGE_KEY = "nca-garden-visitor"
# Where site data is blocked, even naming localStorage throws, and Gradio's page stays empty.
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
    """Where the key lives; the same after a restart of the server."""
    return gr.BrowserState(None, storage_key=STORAGE_KEY, secret=secret)


def welcome(stored: Any, request: gr.Request) -> dict[str, str | None]:
    """What to store for a page that has just opened: the key it has, or a new one."""
    own = stored.get("own") if isinstance(stored, dict) else None
    link = request.query_params.get("key")
    return {
        "own": own if is_key(own) else new_key(),
        "link": link if is_key(link) else None,
    }


def private_link(key: str, words: str) -> str:
    """A link that opens the page with this key, as HTML; `words` are its text."""
    return f'<a href="?key={html.escape(key)}">{html.escape(words)}</a>'


def key_of(stored: Any) -> str:
    """The key to act with; an empty string, which nobody owns anything by, without one."""
    if not isinstance(stored, dict):
        return ""
    return stored.get("link") or stored.get("own") or ""
