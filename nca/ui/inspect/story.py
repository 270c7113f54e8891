"""The story of how it works: a component of the page, and the two files that it loads once.

The files are loaded when the tab is opened for the first time, not with the page. The story then
runs in the browser without the server.
"""

from __future__ import annotations

import hashlib
from functools import cache

import gradio as gr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nca.checkpoint import load_checkpoint
from nca.config import BadInput
from nca.player import player_model
from nca.player.bundle import script
from nca.settings import Settings

# The hero first; the last chapter compares them.
LIZARDS = {
    "regenerating": "lizard-regenerating",
    "persistent": "lizard-persistent",
    "growing": "lizard-growing",
}
_LATER = {"Cache-Control": "public, max-age=31536000, immutable"}
_ON_LOAD = """
const host = element.querySelector('.nca-story');
const from = (file) => new URL(file, document.baseURI).href;
Promise.all([import(from('story.js?v=%s')), fetch(from('story.json')).then((r) => r.json())])
  .then(([kit, models]) => kit.mountStory(host, models))
  .catch((error) => {
    console.error(error);
    host.textContent = 'The story could not be loaded; please reload the page.';
  });
"""


def build() -> gr.HTML:
    """The component."""
    return gr.HTML(
        None,
        # Nothing in it changes: a change would build it again.
        html_template='<div class="nca-story" style="min-height: 480px"></div>',
        js_on_load=_ON_LOAD % hashlib.sha256(module().encode()).hexdigest()[:12],
        apply_default_css=False,
        elem_id="story",
    )


@cache
def module() -> str:
    """The story's script, an ES module that exports `mountStory`."""
    return f"export const {{ mountStory }} = {script('story')};\n"


def routes(settings: Settings) -> list[Route]:
    """`/story.js`, and `/story.json` with the automata: `player_model`s by name, the hero first."""

    def code(request: Request) -> Response:
        return Response(module(), media_type="text/javascript", headers=_LATER)

    @cache
    def models() -> dict[str, object]:
        found = {}
        for name, folder in LIZARDS.items():
            try:
                found[name] = player_model(load_checkpoint(settings.checkpoints / folder))
            except BadInput:
                continue  # a garden with other checkpoints
        return found or _first(settings)

    def automata(request: Request) -> Response:
        return JSONResponse(models())

    return [Route("/story.js", code), Route("/story.json", automata)]


def _first(settings: Settings) -> dict[str, object]:
    """The first shipped automaton that can be loaded."""
    for folder in sorted(settings.checkpoints.glob("*/")):
        try:
            checkpoint = load_checkpoint(folder)
        except BadInput:
            continue
        return {"automaton": player_model(checkpoint)}
    return {}
