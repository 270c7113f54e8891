"""A job as its owner sees it: status, pictures and loss curve, sent only when they changed."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from nca.checkpoint import WEIGHTS
from nca.jobs import BATCH, HEALING, POOL, PREVIEW, TARGET, JobView, snapshots
from nca.jobs.check_up import ALIKE, KEPT, check_up_of
from nca.jobs.spec import FINE, read_json
from nca.preview import PREVIEW as FILM
from nca.ui.components import VisitorDropdown
from nca.ui.context import Updates
from nca.ui.markup import (
    arranged,
    count,
    duration,
    figure,
    file_figure,
    note,
    picture,
    progress_bar,
)
from nca.ui.train import loss_plot
from nca.ui.train import snapshots as snapshot_panel
from nca.ui.visitor import local_time

EVERY = 1.5  # seconds between polls of an active job
SURE_AFTER = 20  # iterations from which the time left is worth showing

EMPTY = '<p class="note">Nothing is growing here yet.</p>'
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
        selector_row: its container, with the title; shown when there is a job.
        title: the job's title, which can be changed.
        actions: the container of the buttons; shown when there is a job.
        status: state, progress, speed; at the end what the automaton can do.
        stop: the Stop button.
        resume: the Resume button; shown only when `stop` is not.
        delete: the Delete button; asks for confirmation.
        grow: opens the newest weights on the Grow tab.
        film: the button that downloads the animation of a finished training.
        share: the button that opens the Share tab; shown with `film`.
        file: the download.
        portraits: how it grows, the target, how it heals.
        snapshots: the film of the snapshots.
        plot: the loss curve.
        sheets: the pool and the last batch.
        state: what the page shows already, as `stamps` returns it; kept in the session.
        timer: polls the job while it is active.
    """

    selector: VisitorDropdown
    selector_row: gr.Row
    title: gr.Textbox
    actions: gr.Row
    status: gr.HTML
    stop: gr.Button
    resume: gr.Button
    delete: gr.Button
    grow: gr.Button
    film: gr.Button
    share: gr.Button
    file: gr.DownloadButton
    portraits: gr.HTML
    snapshots: snapshot_panel.SnapshotFields
    plot: gr.HTML
    sheets: gr.HTML
    state: gr.State
    timer: gr.Timer

    @property
    def buttons(self) -> list[gr.Button]:
        """The buttons that act on the job."""
        return [self.stop, self.resume, self.delete, self.grow, self.film, self.share]

    @property
    def outputs(self) -> list[Any]:
        """The components that show one job."""
        return [
            self.status, self.title, self.plot, self.portraits, self.sheets,
            *self.snapshots.outputs, *self.buttons, self.timer, self.state,
        ]  # fmt: skip


def build() -> JobPanel:
    """Lay the panel out, empty."""
    status = gr.HTML(EMPTY, elem_id="status")
    with gr.Row(visible=False, elem_id="job-actions") as actions:
        grow = gr.Button("Play", variant="primary", size="md", min_width=90, elem_id="grow-it")
        film = gr.Button("Save film", size="md", min_width=90, visible=False, elem_id="job-film")
        share = gr.Button("Share", size="md", min_width=70, visible=False, elem_id="share-it")
        stop = gr.Button("Stop", size="md", min_width=70, elem_id="stop")
        resume = gr.Button("Resume", size="md", min_width=90, elem_id="resume")
        delete = gr.Button("Delete", variant="stop", size="md", min_width=70, elem_id="delete")
    portraits = gr.HTML("", elem_id="portraits")
    with gr.Row(elem_id="learning"):
        plot = gr.HTML("", elem_id="loss", min_height=0)
        snapshots = snapshot_panel.build()
    sheets = gr.HTML("", elem_id="sheets")
    with gr.Row(visible=False, elem_id="job-names") as selector_row:
        title = gr.Textbox(
            "", label="Title of this training", max_lines=1, max_length=80, min_width=160,
            elem_id="job-title",
        )  # fmt: skip
        selector = VisitorDropdown(
            [], value=None, label="My trainings", filterable=False, interactive=True,
            elem_id="jobs", min_width=160,
        )  # fmt: skip
    file = gr.DownloadButton(visible="hidden", elem_id="job-file")
    state = gr.State({}, time_to_live=3600)
    timer = gr.Timer(EVERY, active=False)
    return JobPanel(
        selector, selector_row, title, actions, status, stop, resume, delete, grow, film, share,
        file, portraits, snapshots, plot, sheets, state, timer,
    )  # fmt: skip


def empty(panel: JobPanel) -> Updates:
    """Updates of a panel without a job."""
    return {
        panel.status: EMPTY,
        panel.plot: "",
        panel.portraits: "",
        panel.sheets: "",
        **snapshot_panel.update(panel.snapshots, [], None),
        **buttons(panel, None),
        panel.timer: gr.update(active=False),
        panel.state: {},
    }


def update(
    panel: JobPanel,
    view: JobView,
    points: list[tuple[int, float]],
    previous: Mapping[str, Any],
    kinds: Callable[[], list[list[tuple[int, float]]]] = list,
) -> Updates:
    """Updates of the parts that changed.

    Args:
        panel: the components.
        view: the job.
        points: its loss curve, (iteration, log10 loss).
        previous: what the page shows of this job, as `stamps` returned it; empty for nothing yet.
        kinds: returns the loss curve of each kind; none without kinds.
    """
    current = stamps(view, points)
    changed = {part for part in current if part not in previous or previous[part] != current[part]}
    if not changed:
        return {}
    updates: Updates = {panel.state: current}
    if "status" in changed:
        updates[panel.status] = current["status"]
    if "title" in changed:
        updates[panel.title] = view.title
    if "points" in changed:
        lines = kinds()
        sheet = (view.folder / TARGET).read_bytes() if lines else b""
        updates[panel.plot] = loss_plot.plot_html(points, lines, sheet)
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


def status(view: JobView) -> str:
    """State, progress, speed, time left or position in the queue, as HTML."""
    chip = "Stopping" if view.stopping else STATES[view.state]
    facts = []
    if view.state == "running" and not view.iteration:
        facts.append("Getting ready")
    if view.iteration or view.state == "running":
        facts.append(f"{count(view.iteration)} of {count(view.iterations)} iterations")
    share = view.iteration / view.iterations
    if view.sharpening is not None:
        share = view.sharpening
        facts.append(f"Learning to draw it fine: {share:.0%}")
        if view.seconds_left is not None and not view.stopping:
            facts.append(f"{duration(view.seconds_left)} left")
    elif view.state == "running" and view.iteration == view.iterations:
        facts.append("Checking and saving it")
    elif view.state == "running":
        if view.iterations_per_second:
            facts.append(f"{view.iterations_per_second:.3g} iterations/s")
        sure = view.iteration >= SURE_AFTER and not view.stopping
        if view.seconds_left is not None and sure:
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
    if view.deleted_at is not None:
        day = time.gmtime(view.deleted_at)
        facts.append(f"kept until {day.tm_mday} {time.strftime('%B', day)}")
    return (
        f'<div class="status"><h3>{html.escape(view.title)} '
        f'<span class="chip {view.state}">{chip}</span></h3>'
        f"{progress_bar(share)}"
        f'<div class="facts">{"".join(f"<span>{html.escape(fact)}</span>" for fact in facts)}</div>'
        f"{_card(view)}{note(view.message or '')}</div>"
    )


def _card(view: JobView) -> str:
    """What a finished automaton can do, as its check found; empty before."""
    checked = check_up_of(read_json(view.folder / "metrics.json") or {})
    if view.state != "finished" or checked is None:
        return ""
    grows, holds = loss_plot.words(checked.grown), loss_plot.words(checked.kept)
    blurry = "but blurry, so only its cells are drawn" if checked.grown > ALIKE else "but blurry"
    look = {"blurry": "but blurry", "alike": "and looks alike", "the same": "and looks the same"}
    parts = (
        (
            "Grows",
            f"from one cell, {blurry if grows == 'blurry' else look[grows]}",
            grows != "blurry",
        ),
        ("Holds", f"it until step {KEPT}, {look[holds]}", holds != "blurry"),
        (
            "Heals",
            f"{checked.healed} of {checked.damaged} swipes",
            2 * checked.healed >= checked.damaged,
        ),
    )
    items = "".join(
        f'<li class="{"yes" if good else "no"}"><b>{name}</b> {html.escape(words)}</li>'
        for name, words, good in parts
    )
    return f'<ul class="verdict">{items}</ul>'


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
    """How it grows so far, the target, and how it heals, all on the same ground."""
    fine = file_figure(view.folder / FINE, "Drawn fine, so far", "How it is drawn fine so far")
    growing = "Growing from one cell"
    grown = file_figure(view.folder / PREVIEW, growing, "An animation of it growing from one cell")
    target, content = view.folder / TARGET, ""
    if target.exists():
        data = target.read_bytes()
        shown = arranged(data)
        words = "The target" if shown == data else "The targets"
        content = figure(picture(shown, words, "image/png"), words)
    hurt = "After losing its left half"
    healed = file_figure(view.folder / HEALING, hurt, "An animation of it after damage")
    return (
        f'<div class="panel portraits">{fine or grown or _soon(growing)}{content}'
        f"{healed or _soon(hurt)}</div>"
    )


def sheets(view: JobView) -> str:
    """The pool and the last batch."""
    words = "Practice pool: half-grown and damaged copies it learns from"
    target = view.folder / TARGET
    if target.exists() and arranged(data := target.read_bytes()) != data:
        words += ", a row for each picture"
    pool = file_figure(view.folder / POOL, words, "Contact sheet of the practice pool")
    batch = file_figure(
        view.folder / BATCH,
        "The last batch: before above, after below",
        "Batch before and after the rollout",
    )
    return f'<div class="panel two">{pool}{batch}</div>' if pool or batch else ""


def _soon(caption: str) -> str:
    return (
        '<figure><div class="empty">Appears after the first iterations</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def buttons(panel: JobPanel, view: JobView | None) -> Updates:
    """Updates of the buttons: each is shown only when it applies.

    Either Stop or Resume is shown. A finished training cannot be resumed, but can train longer.
    """
    if view is None:
        return {button: gr.update(interactive=False) for button in panel.buttons}
    added, stops = more(view), view.active and not view.stopping
    done = not view.active and (view.folder / FILM).exists()
    return {
        panel.stop: gr.update(
            value="Stop" if view.sharpening is None else "Skip this",
            interactive=stops,
            visible=stops,
        ),
        panel.resume: gr.update(
            value=f"+{count(added)} iterations" if added else "Resume",
            interactive=view.can_resume or view.stopping or added > 0,
            visible=not stops,
        ),
        panel.delete: gr.update(interactive=True),
        panel.grow: gr.update(interactive=(view.folder / WEIGHTS).exists()),
        panel.film: gr.update(interactive=done, visible=done),
        panel.share: gr.update(interactive=done, visible=done),
    }


def more(view: JobView) -> int:
    """Iterations that "train longer" adds to a finished training: half of what it had."""
    return max(10, view.iterations // 2) if view.state == "finished" else 0


def stamps(view: JobView, points: list[tuple[int, float]]) -> dict[str, Any]:
    """For each part of the page, a value that changes when the part must be updated."""
    names = (PREVIEW, HEALING, POOL, BATCH, WEIGHTS, FILM, FINE)
    modified = {name: _modified(view, name) for name in names}
    return {
        "job": view.id,
        "title": view.title,
        "status": status(view),
        "points": points[-1] if points else None,
        "portraits": (modified[PREVIEW], modified[HEALING], modified[FINE]),
        "sheets": (modified[POOL], modified[BATCH]),
        "buttons": (
            view.state,
            view.stopping,
            view.sharpening is None,
            view.can_resume,
            view.iterations,
            bool(modified[WEIGHTS]),
            bool(modified[FILM]),
        ),
        "snapshots": [iteration for iteration, _ in snapshots(view.folder)],
        "active": view.active,
    }


def _modified(view: JobView, name: str) -> int:
    try:
        return (view.folder / name).stat().st_mtime_ns
    except OSError:
        return 0


def labels(views: list[JobView], stored: Any = None) -> list[tuple[str, str]]:
    """Jobs as choices for a dropdown, (label, id); `stored` is what `local_time` takes."""
    return [(f"{view.title} · {local_time(stored, view.created)}", view.id) for view in views]
