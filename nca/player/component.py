"""`NCAPlayer`, the player as a Gradio component. The only file here that needs Gradio."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import gradio as gr

from nca.player.bundle import script

_COMMANDS = itertools.count(time.time_ns() // 1000)

# The template must not use a prop: a change would re-render it and destroy the canvas.
_TEMPLATE = '<div class="nca-player" style="min-height: 320px"></div>'
_ON_LOAD = """
let host = element.querySelector('.nca-player');
const moved = props.adopt && document.querySelector(props.adopt);
if (moved) {
  host.replaceWith(moved);
  host = moved.querySelector('.nca-player');
}
const kit = host.ncaReady ? null : %s;
const options = { model: props.model, engine: props.engine };
(host.ncaReady ?? kit.mountPlayer(host, options)).then((player) => {
  player.setModel(props.model);
  watch('model', () => player.setModel(props.model));
  watch('command', () => player.command(props.command));
});
"""


class NCAPlayer(gr.HTML):
    """An automaton that runs in the visitor's browser: grow it, damage it, rewind it.

    A handler with the player as output (set `show_progress="hidden"`, else Gradio dims the canvas)
    returns `NCAPlayer.show(player_model(checkpoint))` to show another automaton, or
    `NCAPlayer.do("damage", shape="half-left")` to act on the running one. A new model of the same
    `series` and architecture replaces the weights and keeps the state: a job's newest weights.

    Args:
        model: a `player_model`, or None to wait for one.
        command: set through `do`; a parameter because Gradio rebuilds the component to update it.
        engine: "auto", "wasm", "webgl2" or "js".
        adopt: a CSS selector. An element of the page that holds a mounted player is moved in here,
            and that player goes on in the place of a new one; its promise is its host's `ncaReady`.
        kit: a JavaScript expression for `nca.player.bundle.script()` where the page has that
            already; None includes it here.
        elem_id: needed by `recording_js` and `command_js` when a page has several players.
        **more: whatever `gr.HTML` takes.
    """

    def __init__(
        self,
        model: dict[str, Any] | None = None,
        *,
        command: dict[str, Any] | None = None,
        engine: str = "auto",
        adopt: str | None = None,
        kit: str | None = None,
        elem_id: str | None = "nca-player",
        **more: Any,
    ) -> None:
        super().__init__(
            None,
            html_template=_TEMPLATE,
            css_template="",
            js_on_load=_ON_LOAD % (kit or script()),
            apply_default_css=False,
            elem_id=elem_id,
            model=model,
            command=command,
            engine=engine,
            adopt=adopt,
            kit=kit,
            **more,
        )
        # gr.HTML treats a missing attribute as an event. Without these lines, Gradio's config would
        # hold a bound listener under each name and copy the whole page with it at every load.
        self.model, self.command, self.engine = model, command, engine
        self.adopt, self.kit = adopt, kit

    @staticmethod
    def show(model: dict[str, Any]) -> dict[str, Any]:
        """An update that shows `model`, a `player_model`."""
        return gr.update(model=model)

    @staticmethod
    def refresh(model: dict[str, Any]) -> dict[str, Any]:
        """An update with newer weights; ignored when the player shows another `series` by then.

        For a timer's handler, whose result may arrive after the visitor chose another checkpoint.
        """
        return gr.update(model=model | {"refresh": True})

    @staticmethod
    def do(kind: str, **what: Any) -> dict[str, Any]:
        """An update that makes the player run a command.

        Args:
            kind: "damage" (with `shape`: half-left, half-right, half-top, half-bottom, centre or
                circle), "seed" (`x`, `y`), "angle" (`degrees`), "speed" (`index`, 0 to 6), "play",
                "pause", "reset".
            **what: the parameters of this kind.
        """
        # Numbered, so that repeating a command is also a change of the prop.
        return gr.update(command={"kind": kind, "number": next(_COMMANDS), **what})

    def command_js(self, kind: str, **what: Any) -> str:
        """JavaScript that does the same without the server, for `button.click(js=...)`."""
        what = {"kind": kind, **what}
        return f"() => {{ {self._found()}?.command({json.dumps(what)}); }}"

    def recording_js(self) -> str:
        """JavaScript for a listener's `js`: its one input becomes a recording of what was shown.

        `button.click(handler, inputs=[hidden_textbox], js=player.recording_js(), ...)`: the
        handler gets a JSON text for `nca.player.read_recording`, "null" when nothing plays.
        """
        return f"() => JSON.stringify({self._found()}?.recording() ?? null)"

    def children_js(self) -> str:
        """A JavaScript expression: the kept crossings as JSON text, `export_html`'s `children`."""
        return f"JSON.stringify({self._found()}?.children ?? [])"

    def film_js(self) -> str:
        """JavaScript, a function of a film's part and seconds: its recording as JSON text.

        The parts are those of `Run.filmed` in web/run.js.
        """
        found = self._found()
        return f"(part, seconds) => JSON.stringify({found}?.film(part, seconds) ?? null)"

    def _found(self) -> str:
        selector = f"#{self.elem_id} .nca-player" if self.elem_id else ".nca-player"
        return f"document.querySelector({json.dumps(selector)})?.ncaPlayer"
