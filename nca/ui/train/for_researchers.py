"""The fold for researchers below a training: as a command, as Python, as CSV, beside others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from nca.chart import smooth
from nca.chart_svg import chart_svg
from nca.compare import POINTS
from nca.config import BadInput
from nca.jobs.as_code import as_command, as_python
from nca.metrics import metrics_csv, read_metrics, thinned
from nca.ui.context import PageContext, Updates
from nca.ui.downloads import SAVE_FILE, cached, file_name
from nca.ui.events import listen
from nca.ui.markup import note
from nca.ui.visitor import key_of

MOST = 8  # trainings in one plot
_NO_LOSSES = "The losses are drawn here as soon as there are two of them."


class VisitorChecks(gr.CheckboxGroup):
    """Check boxes whose choices belong to one visitor; the handlers validate the values."""

    def get_block_name(self) -> str:
        """The page renders it as Gradio's own CheckboxGroup."""
        return "checkboxgroup"

    def preprocess(self, payload: Any) -> list[Any]:
        """The values as the visitor sent them, not validated."""
        given = payload if isinstance(payload, list) else []
        return [value for value in given if isinstance(value, str)]


@dataclass(frozen=True)
class ResearchFields:
    """The components.

    Attributes:
        fold: the container.
        command: the shown training as a command.
        python: the same as Python.
        csv: the button that downloads its metrics.
        file: that download.
        others: which trainings the plot shows.
        plot: their losses.
    """

    fold: gr.Accordion
    command: gr.Textbox
    python: gr.Textbox
    csv: gr.Button
    file: gr.DownloadButton
    others: VisitorChecks
    plot: gr.HTML


def add(context: PageContext, selector: gr.Dropdown) -> None:
    """Lay the fold out at this place of the page and attach its handlers.

    Args:
        context: of the page.
        selector: the dropdown of the visitor's trainings; its value is the shown one's id.
    """
    fields = _lay_out()
    handlers, job = _Handlers(context, fields), [context.visitor, selector]
    for event in (fields.fold.expand, selector.change):
        listen(
            event, handlers.describe, [*job, fields.others],
            [fields.fold, fields.command, fields.python, fields.others, fields.plot],
        )  # fmt: skip
    listen(
        fields.others.input, handlers.plot, [context.visitor, fields.others], fields.plot,
        trigger_mode="always_last",
    )  # fmt: skip
    made = listen(fields.csv.click, handlers.csv, job, fields.file)
    script = SAVE_FILE % "metrics-file"
    made.success(None, fields.file, None, js=script, api_visibility="private")


def _lay_out() -> ResearchFields:
    # Outside the fold, which would show it.
    file = gr.DownloadButton(visible="hidden", elem_id="metrics-file")
    with gr.Accordion("For researchers", open=False, visible=False, elem_id="researchers") as fold:
        with gr.Row():
            command = gr.Textbox(
                "", label="As a command", lines=6, max_lines=12, interactive=False,
                buttons=["copy"], min_width=280, elem_id="as-command",
            )  # fmt: skip
            python = gr.Textbox(
                "", label="As Python", lines=6, max_lines=12, interactive=False,
                buttons=["copy"], min_width=280, elem_id="as-python",
            )  # fmt: skip
        csv = gr.Button("Metrics as CSV", size="sm", elem_id="download-metrics")
        others = VisitorChecks([], label="Losses in one plot", elem_id="compared")
        plot = gr.HTML("", elem_id="compared-losses")
    return ResearchFields(fold, command, python, csv, file, others, plot)


class _Handlers:
    """The fold's event handlers."""

    def __init__(self, context: PageContext, fields: ResearchFields) -> None:
        self.queue, self.fields = context.queue, fields

    def describe(self, stored: Any, job: str | None, others: list[str]) -> Updates:
        """The shown training as code, and the choices of others to compare it with."""
        fields, key = self.fields, key_of(stored)
        views = self.queue.jobs(key)
        known = [view.id for view in views]
        if job not in known:
            return {fields.fold: gr.update(visible=False)}
        spec = self.queue.spec(key, job)
        chosen = [other for other in dict.fromkeys([job, *others]) if other in known][:MOST]
        choices = [(_title(number, view.title), view.id) for number, view in enumerate(views[::-1])]
        return {
            fields.fold: gr.update(visible=True),
            fields.command: as_command(spec),
            fields.python: as_python(spec),
            fields.others: gr.update(choices=choices[::-1], value=chosen),
            fields.plot: self.plot(stored, chosen),
        }

    def plot(self, stored: Any, chosen: list[str]) -> str:
        """The losses of the chosen trainings as SVG.

        Raises:
            BadInput: too many are chosen, or one is not this visitor's.
        """
        if len(chosen) > MOST:
            raise BadInput(f"Please choose at most {MOST} trainings for one plot.")
        key = key_of(stored)
        numbers = {view.id: number for number, view in enumerate(self.queue.jobs(key)[::-1])}
        lines = {}
        for job in chosen:
            view = self.queue.view(key, job)
            if len(points := thinned(read_metrics(view.folder), POINTS)) > 1:
                lines[_title(numbers[job], view.title)] = smooth(points)
        if not lines:
            return note(_NO_LOSSES)
        return chart_svg(
            "Loss by iteration, log₁₀, smoothed", lines, size=(600, 360), ink="currentColor",
            paper="none",
        )  # fmt: skip

    def csv(self, stored: Any, job: str | None) -> str:
        """The metrics of the shown training as a file."""
        if not job:
            raise BadInput("Please train something first.")
        view = self.queue.view(key_of(stored), job)
        rows = read_metrics(view.folder)
        if not rows:
            raise BadInput("This training has no metrics yet; please try again in a moment.")
        return cached(self.fields.file, f"{file_name(view.title)}-metrics.csv", metrics_csv(rows))


def _title(number: int, title: str) -> str:
    """A training's title with its number, as several may have the same."""
    return f"{number + 1}. {title}"
