"""A job as its owner sees it: status, loss curve and pictures, sent only when they changed."""

from __future__ import annotations

import html
import time
from typing import Any

import gradio as gr
import pandas as pd

from nca.jobs import BATCH, POOL, PREVIEW, TARGET, JobView, snapshots
from nca.ui.markup import (
    count,
    duration,
    figure,
    file_figure,
    note,
    picture,
    progress_bar,
)

EMPTY = (
    '<div class="empty"><strong>Nothing is growing here yet</strong>'
    "<ol><li>Choose a picture and press Start.</li>"
    "<li>Watch it learn. You may close the page meanwhile and come back.</li>"
    "<li>Grow it, wound it, see it heal, and take it with you.</li></ol></div>"
)
STATES = {
    "queued": "Waiting",
    "running": "Training",
    "finished": "Finished",
    "stopped": "Stopped",
    "failed": "Ended early",
    "interrupted": "Going on soon",
}


def curve(points: list[tuple[int, float]]) -> pd.DataFrame:
    """The loss curve as the plot wants it."""
    return pd.DataFrame(points, columns=["iteration", "log10 loss"])


def status(view: JobView) -> str:
    """State, progress, speed, time left or place in the queue."""
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
    if view.state in ("queued", "interrupted"):
        facts += [place(view)]
        if view.ahead and view.wait_seconds is not None:
            facts.append(f"expected wait {duration(view.wait_seconds)}")
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
    """Where it stands in the queue, in words."""
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
        view.folder / POOL, "The pool: old states it trains on", "Contact sheet of the pool"
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


def buttons(view: JobView | None) -> list[dict[str, Any]]:
    """Updates of Stop, Resume, Delete and Grow it: each only where it makes sense.

    Stop and Resume take turns. What has finished cannot be resumed, but trained longer.
    """
    if view is None:
        return [gr.update(interactive=False)] * 4
    added, stops = more(view), view.active and not view.stopping
    return [
        gr.update(interactive=stops, visible=stops),
        gr.update(
            value=f"+{count(added)} iterations" if added else "Resume",
            interactive=view.can_resume or view.stopping or added > 0,
            visible=not stops,
        ),
        gr.update(interactive=True),
        gr.update(interactive=(view.folder / "model.safetensors").exists()),
    ]


def more(view: JobView) -> int:
    """Iterations that are added to a training when it has finished: half of what it had."""
    return max(10, view.iterations // 2) if view.state == "finished" else 0


def stamps(view: JobView) -> dict[str, Any]:
    """What tells whether a part of the page is still right."""
    now = {name: _changed(view, name) for name in (PREVIEW, POOL, BATCH, "model.safetensors")}
    return {
        "job": view.id,
        "portraits": now[PREVIEW],
        "sheets": (now[POOL], now[BATCH]),
        "buttons": (
            view.state,
            view.stopping,
            view.can_resume,
            view.iterations,
            bool(now["model.safetensors"]),
        ),
        "past": [iteration for iteration, _ in snapshots(view.folder)],
        "active": view.active,
    }


def _changed(view: JobView, name: str) -> int:
    try:
        return (view.folder / name).stat().st_mtime_ns
    except OSError:
        return 0


def labels(views: list[JobView]) -> list[tuple[str, str]]:
    """Jobs for a selector: a name for people and the id."""
    return [
        (f"{view.title} · {time.strftime('%d %b %H:%M', time.gmtime(view.created))} UTC", view.id)
        for view in views
    ]
