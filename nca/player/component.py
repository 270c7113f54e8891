"""`NCAPlayer`, the player as a Gradio component. The only file here that needs Gradio."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import gradio as gr

from nca.player.bundle import script

_COMMANDS = itertools.count(time.time_ns() // 1000)

# The template never mentions a prop: a change would re-render it and destroy the canvas.
_TEMPLATE = '<div class="nca-player" style="min-height: 320px"></div>'
_ON_LOAD = """
const host = element.querySelector('.nca-player');
const kit = %s;
kit.mountPlayer(host, { model: props.model, engine: props.engine }).then((player) => {
  player.setModel(props.model);
  watch('model', () => player.setModel(props.model));
  watch('command', () => player.command(props.command));
});
"""


class NCAPlayer(gr.HTML):
    """An automaton that lives in the visitor's browser: grow it, damage it, rewind it.

    A handler with the player as output (and `show_progress="hidden"`, else Gradio dims the canvas)
    returns `NCAPlayer.show(player_model(checkpoint))` to show another automaton, or
    `NCAPlayer.do("damage", shape="half-left")` to act on the one that runs. Models of one `series`
    and architecture replace each other without losing the state: the newest weights of a job.

    Args:
        model: a `player_model`, or None to wait for one.
        command: set through `do`; here because Gradio builds the component again to update it.
        engine: "auto", "wasm", "webgl2" or "js".
        elem_id: needed by `recording_js` and `command_js` when a page has several players.
        **more: whatever `gr.HTML` takes.
    """

    def __init__(
        self,
        model: dict[str, Any] | None = None,
        *,
        command: dict[str, Any] | None = None,
        engine: str = "auto",
        elem_id: str | None = "nca-player",
        **more: Any,
    ) -> None:
        super().__init__(
            None,
            html_template=_TEMPLATE,
            css_template="",
            js_on_load=_ON_LOAD % script(),
            apply_default_css=False,
            elem_id=elem_id,
            model=model,
            command=command,
            engine=engine,
            **more,
        )
        # gr.HTML takes an attribute it does not have for an event, so Gradio's config would hold a
        # bound listener under each of these names and copy the whole page behind it at every load.
        self.model, self.command, self.engine = model, command, engine

    @staticmethod
    def show(model: dict[str, Any]) -> dict[str, Any]:
        """An update that shows `model`, a `player_model`."""
        return gr.update(model=model)

    @staticmethod
    def refresh(model: dict[str, Any]) -> dict[str, Any]:
        """Newer weights of what the canvas shows; ignored once it shows another `series`.

        For a timer's handler, whose answer may arrive after the visitor chose something else.
        """
        return gr.update(model=model | {"refresh": True})

    @staticmethod
    def do(kind: str, **what: Any) -> dict[str, Any]:
        """An update that acts on the canvas, through the server.

        Args:
            kind: "damage" (with `shape`: half-left, half-right, half-top, half-bottom, centre or
                circle), "seed" (`x`, `y`), "angle" (`degrees`), "speed" (`index`, 0 to 6), "play",
                "pause", "reset".
            **what: what the kind needs.
        """
        # Numbered, so that the same command twice is a change both times.
        return gr.update(command={"kind": kind, "number": next(_COMMANDS), **what})

    def command_js(self, kind: str, **what: Any) -> str:
        """The same without asking the server: for `button.click(js=...)`."""
        what = {"kind": kind, **what}
        return f"() => {{ {self._found()}?.command({json.dumps(what)}); }}"

    def recording_js(self) -> str:
        """JavaScript for a listener's `js`: its one input becomes what was just seen.

        `button.click(handler, inputs=[hidden_textbox], js=player.recording_js(), ...)`: the
        handler gets a JSON text for `nca.player.read_recording`, "null" when nothing plays.
        """
        return f"() => JSON.stringify({self._found()}?.recording() ?? null)"

    def _found(self) -> str:
        selector = f"#{self.elem_id} .nca-player" if self.elem_id else ".nca-player"
        return f"document.querySelector({json.dumps(selector)})?.ncaPlayer"
