"""A job as its owner sees it: status, loss curve and pictures, sent only when they changed."""

from __future__ import annotations

import html
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pandas as pd

from nca.checkpoint import WEIGHTS
from nca.jobs import BATCH, POOL, PREVIEW, TARGET, JobView, snapshots
from nca.ui.components import VisitorDropdown
from nca.ui.context import Updates
from nca.ui.markup import (
    count,
    duration,
    figure,
    file_figure,
    note,
    picture,
    progress_bar,
)
from nca.ui.train import snapshots as snapshot_panel

EVERY = 1.5  # seconds between polls of an active job

EMPTY = (
    '<div class="empty"><strong>Nothing is growing here yet</strong>'
    "<ol><li>Choose a picture and press Start.</li>"
    "<li>Watch it learn. You may close the page meanwhile and come back.</li>"
    "<li>Grow it, damage it, see it heal, and take it with you.</li></ol></div>"
)
STATES = {
    "queued": "Waiting",
    "running": "Training",
    "finished": "Finished",
    "stopped": "Stopped",
    "failed": "Failed",
    "interrupted": "Going on soon",
}


@dataclass(frozen=True)
class JobPanel:
    """The components.

    Attributes:
        selector: the dropdown of the visitor's jobs.
        selector_row: its container; shown when there is more than one job.
        actions: the container of the buttons; shown when there is a job.
        status: state, progress, speed.
        stop: the Stop button.
        resume: the Resume button; shown only when `stop` is not.
        delete: the Delete button; asks for confirmation.
        grow: opens the newest weights on the Grow tab.
        portraits: the target, and how it grows so far.
        snapshots: the slider over the snapshots.
        plot: the loss curve.
        sheets: the pool and the last batch.
        state: what the page shows already, as `stamps` returns it; kept in the session.
        timer: polls the job while it is active.
    """

    selector: VisitorDropdown
    selector_row: gr.Row
    actions: gr.Row
    status: gr.HTML
    stop: gr.Button
    resume: gr.Button
    delete: gr.Button
    grow: gr.Button
    portraits: gr.HTML
    snapshots: snapshot_panel.SnapshotFields
    plot: gr.LinePlot
    sheets: gr.HTML
    state: gr.State
    timer: gr.Timer

    @property
    def outputs(self) -> list[Any]:
        """The components that show one job."""
        return [
            self.status, self.plot, self.portraits, self.sheets, *self.snapshots.outputs,
            self.stop, self.resume, self.delete, self.grow, self.timer, self.state,
        ]  # fmt: skip


def build() -> JobPanel:
    """Lay the panel out, empty."""
    with gr.Row(visible=False) as selector_row:
        selector = VisitorDropdown(
            [], value=None, label="My trainings", filterable=False, interactive=True,
            elem_id="jobs",
        )  # fmt: skip
    status = gr.HTML(EMPTY, elem_id="status")
    with gr.Row(visible=False) as actions:
        stop = gr.Button("Stop", size="md", min_width=70, elem_id="stop")
        resume = gr.Button("Resume", size="md", min_width=90, elem_id="resume")
        delete = gr.Button("Delete", variant="stop", size="md", min_width=70, elem_id="delete")
        grow = gr.Button("Grow it", variant="primary", size="md", min_width=90, elem_id="grow-it")
    portraits = gr.HTML("", elem_id="portraits")
    snapshots = snapshot_panel.build()
    plot = gr.LinePlot(
        curve([]), x="iteration", y="log10 loss", height=230, visible="hidden",
        label="Loss: lower is better; -2 looks alike, -3 looks the same",
        x_title="iteration", y_title="log10 loss", elem_id="loss", buttons=[], tooltip="axis",
    )  # fmt: skip
    sheets = gr.HTML("", elem_id="sheets")
    state = gr.State({}, time_to_live=3600)
    timer = gr.Timer(EVERY, active=False)
    return JobPanel(
        selector, selector_row, actions, status, stop, resume, delete, grow, portraits, snapshots,
        plot, sheets, state, timer,
    )  # fmt: skip


def empty(panel: JobPanel) -> Updates:
    """Updates of a panel without a job."""
    return {
        panel.status: EMPTY,
        panel.plot: gr.update(visible="hidden"),
        panel.portraits: "",
        panel.sheets: "",
        panel.snapshots.box: gr.update(visible=False),
        panel.snapshots.pictures: "",
        **buttons(panel, None),
        panel.timer: gr.update(active=False),
        panel.state: {},
    }


def update(
    panel: JobPanel, view: JobView, points: list[tuple[int, float]], previous: Mapping[str, Any]
) -> Updates:
    """Updates of the parts that changed.

    Args:
        panel: the components.
        view: the job.
        points: its loss curve, (iteration, log10 loss).
        previous: what the page shows of this job, as `stamps` returned it; empty for nothing yet.
    """
    current = stamps(view, points)
    changed = {part for part in current if part not in previous or previous[part] != current[part]}
    if not changed:
        return {}
    updates: Updates = {panel.state: current}
    if "status" in changed:
        updates[panel.status] = current["status"]
    if "points" in changed:
        visible = True if len(points) > 1 else "hidden"
        updates[panel.plot] = gr.update(value=curve(points), visible=visible)
    if "portraits" in changed:
        updates[panel.portraits] = portraits(view)
    if "sheets" in changed:
        updates[panel.sheets] = sheets(view)
    if "buttons" in changed:
        updates |= buttons(panel, view)
    if "active" in changed:
        updates[panel.timer] = gr.update(active=view.active)
    known = previous.get("snapshots")
    return updates | snapshot_panel.update(panel.snapshots, current["snapshots"], known)


def curve(points: list[tuple[int, float]]) -> pd.DataFrame:
    """The loss curve as the plot component takes it."""
    return pd.DataFrame(points, columns=["iteration", "log10 loss"])


def status(view: JobView) -> str:
    """State, progress, speed, time left or position in the queue, as HTML."""
    chip = "Stopping" if view.stopping else STATES[view.state]
    facts = []
    if view.state == "running" and not view.iteration:
        facts.append("Getting ready")
    if view.iteration or view.state == "running":
        facts.append(f"{count(view.iteration)} of {count(view.iterations)} iterations")
    if view.state == "running" and view.iteration == view.iterations:
        facts.append("Saving and drawing it")
    elif view.state == "running":
        if view.iterations_per_second:
            facts.append(f"{view.iterations_per_second:.3g} iterations/s")
        if view.seconds_left is not None and not view.stopping:
            facts.append(f"{duration(view.seconds_left)} left")
        if view.turns_with:
            facts.append(place(view))
    if view.state in ("queued", "interrupted"):
        facts += [place(view)]
        if view.ahead and view.wait_seconds is not None:
            facts.append(f"expected wait {duration(view.wait_seconds)}")
        if view.turns_with and view.seconds_left is not None:
            facts.append(f"{duration(view.seconds_left)} left")
    if view.initial:
        facts.append(f"began with {view.initial}")
    if view.loss:
        facts.append(f"loss {view.loss:.2g}")
    if view.deleted_at is not None:
        facts.append(f"kept until {time.strftime('%d %B', time.gmtime(view.deleted_at))}")
    return (
        f'<div class="status"><h3>{html.escape(view.title)} '
        f'<span class="chip {view.state}">{chip}</span></h3>'
        f"{progress_bar(view.iteration / view.iterations)}"
        f'<div class="facts">{"".join(f"<span>{html.escape(fact)}</span>" for fact in facts)}</div>'
        f"{note(view.message or '')}</div>"
    )


def place(view: JobView) -> str:
    """The position in the queue, in words."""
    if view.turns_with:
        others = "one other" if view.turns_with == 1 else f"{view.turns_with} others"
        return f"Takes turns with {others}"
    if not view.ahead:
        return "Next in the queue"
    if view.ahead == 1:
        return "One training before yours"
    return f"{view.ahead} trainings before yours"


def portraits(view: JobView) -> str:
    """The target and how it grows so far."""
    target = view.folder / TARGET
    content = ""
    if target.exists():
        data = target.read_bytes()
        content = figure(picture(data, "The target", "image/png", "checker"), "The target")
    grown = file_figure(
        view.folder / PREVIEW, "Grown from one cell", "An animation of it growing from one cell"
    )
    return f'<div class="panel two">{content}{grown or _soon("Grown from one cell")}</div>'


def sheets(view: JobView) -> str:
    """The pool and the last batch."""
    pool = file_figure(
        view.folder / POOL,
        "Practice pool: half-grown and damaged copies it learns from",
        "Contact sheet of the practice pool",
    )
    batch = file_figure(
        view.folder / BATCH,
        "The last batch: as it started above, as it ended below",
        "Batch before and after the rollout",
        "wide",
    )
    return f'<div class="panel">{pool}{batch}</div>' if pool or batch else ""


def _soon(caption: str) -> str:
    return (
        f'<figure><div class="empty">Appears after the first iterations</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def buttons(panel: JobPanel, view: JobView | None) -> Updates:
    """Updates of Stop, Resume, Delete and Grow it: each is shown only when it applies.

    Either Stop or Resume is shown. A finished training cannot be resumed, but can train longer.
    """
    if view is None:
        all_buttons = (panel.stop, panel.resume, panel.delete, panel.grow)
        return {button: gr.update(interactive=False) for button in all_buttons}
    added, stops = more(view), view.active and not view.stopping
    return {
        panel.stop: gr.update(interactive=stops, visible=stops),
        panel.resume: gr.update(
            value=f"+{count(added)} iterations" if added else "Resume",
            interactive=view.can_resume or view.stopping or added > 0,
            visible=not stops,
        ),
        panel.delete: gr.update(interactive=True),
        panel.grow: gr.update(interactive=(view.folder / WEIGHTS).exists()),
    }


def more(view: JobView) -> int:
    """Iterations that "train longer" adds to a finished training: half of what it had."""
    return max(10, view.iterations // 2) if view.state == "finished" else 0


def stamps(view: JobView, points: list[tuple[int, float]]) -> dict[str, Any]:
    """For each part of the page, a value that changes when the part must be updated."""
    modified = {name: _modified(view, name) for name in (PREVIEW, POOL, BATCH, WEIGHTS)}
    return {
        "job": view.id,
        "status": status(view),
        "points": points[-1] if points else None,
        "portraits": modified[PREVIEW],
        "sheets": (modified[POOL], modified[BATCH]),
        "buttons": (
            view.state,
            view.stopping,
            view.can_resume,
            view.iterations,
            bool(modified[WEIGHTS]),
        ),
        "snapshots": [iteration for iteration, _ in snapshots(view.folder)],
        "active": view.active,
    }


def _modified(view: JobView, name: str) -> int:
    try:
        return (view.folder / name).stat().st_mtime_ns
    except OSError:
        return 0


def labels(views: list[JobView]) -> list[tuple[str, str]]:
    """Jobs as choices for a dropdown: (label, id)."""
    return [
        (f"{view.title} · {time.strftime('%d %b %H:%M', time.gmtime(view.created))} UTC", view.id)
        for view in views
    ]
