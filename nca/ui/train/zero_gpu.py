"""The choice to go on with a training on ZeroGPU, shown only on a Space that has it."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any

import gradio as gr

from nca.config import BadInput
from nca.jobs import JobQueue, JobView
from nca.jobs.spec import Exit
from nca.jobs.zero import CHUNK_SECONDS, SPARE_SECONDS, ZeroGPU
from nca.ui.context import PageContext
from nca.ui.events import APOLOGY, toast
from nca.ui.markup import note
from nca.ui.visitor import key_of

log = logging.getLogger(__name__)

ABOUT = (
    "The CPU trains for free, also while you are away. A graphics card goes on with this training "
    f"in parts of {CHUNK_SECONDS:.0f} s, for as long as this page is open; each asks for "
    f"{CHUNK_SECONDS + SPARE_SECONDS:.0f} s of your daily ZeroGPU quota, which the Hub may count "
    "one and a half times. A free account has 5 minutes a day."
)
LENDING = "The CPU saves and hands the training over."


def build(context: PageContext, selector: gr.Dropdown) -> None:
    """Lay out the choice and attach its handler; nothing where there is no ZeroGPU.

    Args:
        context: of the page.
        selector: its value is the job that the page shows.
    """
    if context.zero_gpu is None:
        return
    with gr.Accordion("Train on a graphics card (ZeroGPU)", open=False, elem_id="zero-gpu"):
        gr.HTML(note(ABOUT))
        with gr.Row():
            start = gr.Button("Continue on the GPU", size="sm", elem_id="zero-gpu-start")
            end = gr.Button("Back to the CPU", size="sm", elem_id="zero-gpu-end")
        status = gr.HTML("", elem_id="zero-gpu-status")
    handler = Handler(context.queue, context.zero_gpu)
    # The visitor's own event, because it has the token whose quota is used. When the page is
    # closed, Gradio ends it.
    running = start.click(
        handler.run,
        [context.visitor, selector],
        status,
        api_visibility="private",
        show_progress="hidden",
        concurrency_limit=None,
        trigger_mode="once",
    )
    end.click(
        lambda: note("After this part the training continues on the CPU."),
        None,
        status,
        cancels=[running],
        api_visibility="private",
    )


class Handler:
    """Trains a visitor's job on the card.

    Args:
        queue: the trainings.
        card: what lends the card.
    """

    def __init__(self, queue: JobQueue, card: ZeroGPU) -> None:
        self.queue, self.card = queue, card

    def run(self, stored: Any, job: str | None, seconds: float = CHUNK_SECONDS) -> Generator[str]:
        """Train in chunks; what to show after each. Closing it gives the job back to the CPU."""
        try:
            key = key_of(stored)
            if not job:
                raise BadInput("Please start a training first.")
            before = self.queue.view(key, job)
            yield note(LENDING)
            with self.queue.lend(key, job) as folder:
                for code in self.card.train(folder, seconds):
                    after = self.queue.view(key, job)
                    yield note(report(before, after, code, seconds))
        except BadInput as refusal:
            toast(str(refusal), "Please note", warning=True)
            yield note(str(refusal))
        except Exception:
            log.exception("training on ZeroGPU failed")
            toast(APOLOGY, "Please note", warning=True)
            yield note(APOLOGY)


def report(before: JobView, after: JobView, code: Exit, seconds: float) -> str:
    """What the card has done so far, and how long the CPU would have taken for it."""
    if code == Exit.FINISHED:
        return "It has finished."
    if code != Exit.PAUSED:
        return "It has ended; its state is above."
    done = after.iteration - before.iteration
    words = f"{done:,} iterations on the graphics card, in parts of {seconds:.0f} s."
    if before.iterations_per_second:
        on_the_cpu = done / before.iterations_per_second
        words += f" The CPU would have taken about {on_the_cpu:,.0f} s for them."
    return words
