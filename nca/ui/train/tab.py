"""The Train tab: choose a picture and a recipe, start, and watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from nca.catalog import Catalog
from nca.config import BadInput, TargetConfig, checked
from nca.jobs import JobSpec, JobView, Target
from nca.recipes import recipe
from nca.settings import Settings
from nca.target import target_to_png
from nca.ui.components import Chosen
from nca.ui.events import PLAYING, changes, listen, toast
from nca.ui.markup import FLEETING, note
from nca.ui.train import initial as begin
from nca.ui.train import job_panel as watch
from nca.ui.train import settings_form as form
from nca.ui.train import snapshots as past
from nca.ui.train import target_form as source
from nca.ui.visitor import key_of

EVERY = 1.5  # seconds between looks at a job that is active
POINTS = 300


@dataclass(frozen=True)
class TrainTab:
    """What the page needs of this tab.

    Attributes:
        chosen: the selector of the visitor's jobs.
        seen: what the page shows already, in the session.
        outputs: of `attach`, for when the page opens.
        grow_it: the button that opens the other tab.
        beginning: the selector of what to begin with.
        recipe: the selector of the recipe.
        past: the slider over its snapshots.
        begun: the outputs of `begin.Handlers.further`.
    """

    handlers: Handlers
    chosen: gr.Dropdown
    seen: gr.State
    outputs: list[Any]
    grow_it: gr.Button
    beginning: begin.Beginning
    recipe: gr.Radio
    begun: list[Any]
    past: past.Past


def build(settings: Settings, catalog: Catalog, visitor: gr.BrowserState) -> TrainTab:
    """Lay out the tab and attach its handlers."""
    queue = catalog.queue
    handlers = Handlers(settings, catalog)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            with gr.Column() as picture_form:
                picture = source.build(settings.limits)
            beginning = begin.build()
            name = gr.Radio(
                form.recipe_choices(), value=form.DEFAULT_RECIPE, label="Recipe", elem_id="recipe"
            )
            about = gr.HTML(
                handlers.about(
                    None,
                    begin.NEW,
                    False,
                    source.DEFAULT.size,
                    source.DEFAULT.padding,
                    form.DEFAULT_RECIPE,
                    *form.fill(form.DEFAULT_RECIPE),
                ),
                elem_id="about-recipe",
            )
            with gr.Accordion("Advanced settings", open=False, elem_id="advanced"):
                advanced = form.fields(queue.devices)
            start = gr.Button("Start training", variant="primary", elem_id="start")
            if not settings.lasting:
                gr.HTML(note(FLEETING))
        with gr.Column(scale=7, min_width=320):
            with gr.Row(visible=False) as top:
                chosen = Chosen(
                    [], value=None, label="My trainings", filterable=False, interactive=True,
                    elem_id="jobs",
                )  # fmt: skip
            status = gr.HTML(watch.EMPTY, elem_id="status")
            with gr.Row(visible=False) as actions:
                stop = gr.Button("Stop", size="md", min_width=70, elem_id="stop")
                resume = gr.Button("Resume", size="md", min_width=90, elem_id="resume")
                delete = gr.Button(
                    "Delete", variant="stop", size="md", min_width=70, elem_id="delete"
                )
                grow_it = gr.Button(
                    "Grow it", variant="primary", size="md", min_width=90, elem_id="grow-it"
                )
            portraits = gr.HTML("", elem_id="portraits")
            looking = past.build()
            plot = gr.LinePlot(
                watch.curve([]), x="iteration", y="log10 loss", height=230, visible="hidden",
                label="Loss: lower is better; -2 looks alike, -3 looks the same",
                x_title="iteration", y_title="log10 loss", elem_id="loss", buttons=[],
                tooltip="axis",
            )  # fmt: skip
            sheets = gr.HTML("", elem_id="sheets")
    seen = gr.State({}, time_to_live=3600)
    timer = gr.Timer(EVERY, active=False)

    panel = [
        status, plot, portraits, sheets, *looking.outputs, stop, resume, delete, grow_it, start,
        timer, seen,
    ]  # fmt: skip
    attached = [chosen, top, actions, *panel]
    asked = [visitor, *beginning.asked, *picture.inputs, name, *advanced]
    size, padding = picture.inputs[5:7]

    listen(name.change, handlers.fill, [visitor, beginning.chosen, name], advanced)
    fixed = [advanced[form.NAMES.index(part)] for part in form.ARCHITECTURE]
    begun = [beginning.about, beginning.keep, picture_form, *fixed]
    listen(
        beginning.chosen.input, handlers.begin.choose, [visitor, beginning.chosen, name], begun,
        trigger_mode="always_last",
    )  # fmt: skip
    listen(beginning.keep.input, begin.hidden, beginning.keep, picture_form)
    described = [*beginning.asked, size, padding, name, *advanced]
    listen(
        changes(described), handlers.about, [visitor, *described], about,
        quiet=True, trigger_mode="always_last",
    )  # fmt: skip
    started = listen(start.click, handlers.start, asked, attached, trigger_mode="once")
    # On a phone the training is far below the button.
    started.success(
        None,
        None,
        None,
        api_visibility="private",
        js="() => document.querySelector('#status:has(.queued, .running)')"
        "?.scrollIntoView({behavior: 'smooth', block: 'nearest'})",
    )
    listen(chosen.input, handlers.look, [visitor, chosen], panel)
    listen(
        timer.tick, handlers.tick, [visitor, chosen, seen], panel,
        quiet=True, trigger_mode="always_last",
    )  # fmt: skip
    listen(
        looking.when.input, handlers.past.show, [visitor, chosen, looking.when], looking.life,
        trigger_mode="always_last", **PLAYING,
    )  # fmt: skip
    listen(stop.click, handlers.stop, [visitor, chosen], panel)
    listen(resume.click, handlers.resume, [visitor, chosen], panel)
    listen(
        # Once would swallow a second press while the server still hears of a "no".
        delete.click, handlers.delete, [visitor, chosen], attached, trigger_mode="multiple",
        js="(visitor, job) => [visitor, confirm('Delete this training, its picture and all that "
        "it has grown?') ? job : null]",
    )  # fmt: skip
    return TrainTab(
        handlers, chosen, seen, attached, grow_it, beginning, name, [beginning.chosen, *begun],
        looking,
    )  # fmt: skip


class Handlers:
    """What happens when something is pressed; each method returns what its outputs show."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.settings, self.queue = settings, catalog.queue
        self.begin, self.past = begin.Handlers(catalog), past.Handlers(catalog)

    def fill(self, stored: Any, beginning: str, name: str) -> list[Any]:
        """The advanced settings of a recipe; the architecture of what it begins with stays."""
        start = self.begin.read(stored, beginning)
        return form.fill(name, start.nca if start else None)

    def about(
        self,
        stored: Any,
        beginning: str,
        keep: bool,
        size: float,
        padding: float,
        name: str,
        *values: Any,
    ) -> str:
        """What the recipe does and how long it may take."""
        config = checked(TargetConfig, {"emoji": "", "size": size, "padding": padding})
        try:
            start = self.begin.read(stored, beginning)
            target = start.target() if start and keep else Target(config, b"", "estimate")
            spec = form.read(name, values, target, start)
        except BadInput as problem:
            return note(str(problem), "refusal")
        time = form.expected(spec, self.queue.devices[0] != "cpu", self._pace(stored, spec))
        return note(f"{recipe(name).summary} {time}")

    def start(self, stored: Any, beginning: str, keep: bool, *values: Any) -> list[Any]:
        """Queue a training of what the form says."""
        sources, (name, *advanced) = values[:9], values[9:]
        start = self.begin.read(stored, beginning)
        if start and keep:
            target = start.target()
        else:
            config, cells = source.read(self.settings.limits, *sources)
            target = Target(config, target_to_png(cells), source.title(config, sources[0]))
        spec = form.read(name, advanced, target, start)
        job = self.queue.submit(key_of(stored), spec, target.png, start and start.weights)
        return self.attach(stored, job)

    def attach(self, stored: Any, job: str | None = None) -> list[Any]:
        """Everything this visitor has, with one job shown: the given, an active or the newest."""
        views = self.queue.jobs(key_of(stored))
        if job is None and views:
            job = next((view.id for view in views if view.active), views[0].id)
        named = watch.labels(views)
        return [
            gr.update(choices=named, value=job),
            gr.update(visible=len(named) > 1),
            gr.update(visible=bool(named)),
            *self.look(stored, job),
        ]

    def look(self, stored: Any, job: str | None) -> Any:
        """The panel of a job, complete."""
        if not job:
            return [
                watch.EMPTY, gr.update(visible="hidden"), "", "", *past.update([], []),
                *watch.buttons(None),
                gr.update(interactive=True), gr.update(active=False), {},
            ]  # fmt: skip
        return self._panel(stored, self.queue.view(key_of(stored), job), {})

    def tick(self, stored: Any, job: str | None, seen: dict[str, Any] | None) -> Any:
        """The panel of a job, as far as it changed."""
        if not job:
            return gr.skip()
        try:
            view = self.queue.view(key_of(stored), job)
        except BadInput:  # deleted on another page of the same visitor
            return self.look(stored, None)
        seen = seen or {}
        if seen.get("job") == job and seen.get("active") and not view.active:
            if view.state == "finished":
                toast(f"{view.title} has finished. Press “Grow it” to play with it.", "Done", 20)
            elif view.state == "failed":
                words = f"{view.title} ended early. {view.message or ''}"
                toast(words, "Please note", 20, warning=True)
        return self._panel(stored, view, seen if seen.get("job") == job else {})

    def stop(self, stored: Any, job: str) -> list[Any]:
        """Let it end after this iteration."""
        self.queue.stop(key_of(stored), job)
        return self.look(stored, job)

    def resume(self, stored: Any, job: str) -> list[Any]:
        """Let it go on, and longer than it was to when it has finished."""
        view = self.queue.view(key_of(stored), job)
        added = watch.more(view)
        self.queue.resume(key_of(stored), job, view.iterations + added if added else None)
        return self.look(stored, job)

    def delete(self, stored: Any, job: str | None) -> Any:
        """Forget it, unless the visitor thought better of it."""
        if not job:
            return gr.skip()
        self.queue.delete(key_of(stored), job)
        return self.attach(stored)

    def _panel(self, stored: Any, view: JobView, seen: dict[str, Any]) -> Any:
        now: dict[str, Any] = watch.stamps(view) | {"status": watch.status(view)}
        points = self.queue.metrics(key_of(stored), view.id, POINTS)
        now["points"] = points[-1] if points else None

        def changed(part: str) -> bool:
            return part not in seen or seen[part] != now[part]

        if not any(changed(part) for part in now):
            return gr.skip()
        plot = gr.update(value=watch.curve(points), visible=True if len(points) > 1 else "hidden")
        busy = view.active or any(v.active for v in self.queue.jobs(key_of(stored)))
        return [
            now["status"] if changed("status") else gr.skip(),
            plot if changed("points") else gr.skip(),
            watch.portraits(view) if changed("portraits") else gr.skip(),
            watch.sheets(view) if changed("sheets") else gr.skip(),
            *past.update(now["past"], seen.get("past", [])),
            *(watch.buttons(view) if changed("buttons") else [gr.skip()] * 4),
            gr.update(interactive=not busy) if changed("buttons") else gr.skip(),
            gr.update(active=view.active) if changed("active") else gr.skip(),
            now,
        ]

    def _pace(self, stored: Any, spec: JobSpec) -> float | None:
        """Seconds per unit of work, as measured on this visitor's newest training."""
        key = key_of(stored)
        for view in self.queue.jobs(key) if key else []:
            if view.iterations_per_second:
                other = self.queue.spec(key, view.id)
                if other.device == spec.device:
                    return 1 / (view.iterations_per_second * other.work)
        return None
