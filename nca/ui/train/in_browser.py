"""Training in the visitor's own browser: the choice, the panel, and what a start sends there.

The server makes the target and checks the settings; everything else runs in the browser.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import time
from functools import cache
from typing import Any

import gradio as gr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from nca.config import BadInput
from nca.jobs import JobSpec, Target
from nca.jobs.initial import InitialCheckpoint
from nca.player.bundle import script
from nca.pretrained import pretrained
from nca.target import target_from_png
from nca.ui.markup import count

SERVER, BROWSER = "server", "browser"
# Whether this browser may hold trainings, in JavaScript; embedded.js keeps the note.
HOLDS_TRAININGS = "!!localStorage.getItem('nca-garden-trains-here')"
_STARTS = itertools.count(time.time_ns() // 1000)
_LATER = {"Cache-Control": "public, max-age=31536000, immutable"}
# The script is loaded by the first start, or when this browser may hold trainings.
_ON_LOAD = """
const host = element.querySelector('.nca-trainer');
const kit = () => import(new URL('trainer.js?v=%s', document.baseURI).href);
const send = (to, zip) => trigger(to === 'share' ? 'select' : 'submit', { zip });
if (%s) kit().then(({ mountTrainer }) => mountTrainer(host, send));
watch('begin', () => {
  if (props.begin) kit().then(({ beginTraining }) => beginTraining(host, send, props.begin));
});
"""


def choices(queue_length: int | None = None) -> list[tuple[str, str]]:
    """Where to train, as labels and values; the length of the server's queue where it is known."""
    queue = "" if queue_length is None else f" (queue: {count(queue_length)})"
    return [(f"On the server{queue}", SERVER), ("In this browser", BROWSER)]


def build_choice() -> gr.Radio:
    """The choice where to train."""
    return gr.Radio(
        choices(), value=SERVER, label="Where to train", elem_id="where",
        info="In this browser there is no queue; this device computes, at the cost of its battery.",
    )  # fmt: skip


def build_panel() -> gr.HTML:
    """The trainings of the visitor's browser; empty without any.

    Its `submit` event carries the zip of a checkpoint that the visitor wants to grow, `select` that
    of one to share; see `zipped`.
    """
    return gr.HTML(
        None,
        # Nothing in it changes: a change would build it again.
        html_template='<div class="nca-trainer"></div>',
        js_on_load=_ON_LOAD % (hashlib.sha256(module().encode()).hexdigest()[:12], HOLDS_TRAININGS),
        apply_default_css=False,
        elem_id="browser-trainer",
        begin=None,
    )


def begin(spec: JobSpec, target: Target, initial: InitialCheckpoint | None) -> dict[str, Any]:
    """An update of the panel that begins a training.

    Raises:
        BadInput: the browser trainer does not know this architecture.
    """
    if spec.nca.kinds:
        raise BadInput("Automata with kinds can only be trained on the server.")
    picture = target_from_png(target.png)
    height, width, _ = picture.shape
    begun = initial.checkpoint.nca if initial else None
    if begun is None and spec.train.initial_weights == "pretrained":
        begun = pretrained(spec.nca)
    weights = begun and _encoded(parameters_to_vector(begun.parameters()).detach())
    return gr.update(
        begin={
            "number": next(_STARTS),  # so that the same start again is also a change
            "setup": {
                "nca": spec.nca.model_dump(mode="json"),
                "train": spec.train.model_dump(mode="json"),
                "height": height,
                "width": width,
                "target": _encoded(picture),
                "seed": spec.seed,
            },
            "about": {
                "title": target.title,
                "recipe": spec.recipe,
                "target": spec.target.model_dump(mode="json"),
            },
            "weights": weights,
        }
    )


def zipped(event: gr.EventData) -> bytes:
    """The zip that the panel sent.

    Raises:
        BadInput: it sent none.
    """
    try:
        return base64.b64decode(event.zip, validate=True)
    except (AttributeError, TypeError, ValueError):
        raise BadInput("The checkpoint did not arrive; please press the button again.") from None


def _encoded(numbers: Tensor) -> str:
    """float32, little-endian, as base64."""
    return base64.b64encode(numbers.float().numpy().astype("<f4").tobytes()).decode()


@cache
def module() -> str:
    """The trainer's script, an ES module."""
    return f"export const {{ mountTrainer, beginTraining }} = {script('embedded')};\n"


def routes() -> list[Route]:
    """`/trainer.js`."""

    def code(request: Request) -> Response:
        return Response(module(), media_type="text/javascript", headers=_LATER)

    return [Route("/trainer.js", code)]
