"""The Train tab: choose a picture and a recipe, start, and watch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from nca.catalog import CheckpointRef, Kind
from nca.config import BadInput, TargetConfig, checked
from nca.jobs import JobSpec, JobView, Target
from nca.recipes import recipe
from nca.ui.context import Opener, PageContext, Updates, Values
from nca.ui.events import PLAYING, changes, listen, toast
from nca.ui.markup import FLEETING, note
from nca.ui.train import initial, job_panel, settings_form, snapshots, target_form
from nca.ui.visitor import key_of

ID, TITLE = "train", "Train"
POINTS = 300  # in the loss curve
# On a phone the job panel is far below the button.
SHOW_STATUS = (
    "() => document.querySelector('#status:has(.queued, .running)')"
    "?.scrollIntoView({behavior: 'smooth', block: 'nearest'})"
)
SHOW_INITIAL = (
    "() => setTimeout(() => document.querySelector('#begin-with')"
    "?.scrollIntoView({behavior: 'smooth', block: 'center'}), 100)"
)
CONFIRM_DELETE = (
    "(visitor, job) => [visitor, confirm('Delete this training, its picture and all that it has "
    "grown?') ? job : null]"
)


@dataclass(frozen=True)
class TrainTab:
    """The components.

    Attributes:
        target_box: the container of `target`, hidden while the checkpoint's own picture is used.
        target: the target form.
        initial: the choice of an initial checkpoint.
        recipe: the dropdown of recipes.
        about: what the recipe does and how long it may take.
        settings: the advanced settings.
        start: the Start button.
        panel: shows one job.
    """

    target_box: gr.Column
    target: target_form.TargetFields
    initial: initial.InitialFields
    recipe: gr.Radio
    about: gr.HTML
    settings: settings_form.SettingsFields
    start: gr.Button
    panel: job_panel.JobPanel

    @property
    def inputs(self) -> list[Any]:
        """The form."""
        return [*self.target.inputs, *self.about_inputs]

    @property
    def about_inputs(self) -> list[Any]:
        """The components that `about` depends on."""
        size = (self.target.size, self.target.padding)
        return [*self.initial.inputs, *size, self.recipe, *self.settings.values()]

    @property
    def initial_outputs(self) -> list[Any]:
        """The components that change with the initial checkpoint."""
        architecture = [self.settings[name] for name in settings_form.ARCHITECTURE]
        return [self.initial.about, self.initial.own_picture, self.target_box, *architecture]

    @property
    def job_outputs(self) -> list[Any]:
        """The components that show the selected job."""
        return [*self.panel.outputs, self.start]

    @property
    def outputs(self) -> list[Any]:
        """The components that show all of a visitor's jobs."""
        panel = self.panel
        return [panel.selector, panel.selector_row, panel.actions, *self.job_outputs]


def build(context: PageContext) -> Callable[[], None]:
    """Lay out the tab and attach its handlers."""
    from nca.ui.train import for_researchers

    tab = lay_out(context)
    for_researchers.add(context, tab.panel.selector)
    handlers, visitor, panel = Handlers(context, tab), context.visitor, tab.panel

    listen(
        tab.recipe.change, handlers.fill, {visitor, tab.initial.selector, tab.recipe},
        list(tab.settings.values()),
    )  # fmt: skip
    listen(
        tab.initial.selector.input, handlers.choose_initial,
        {visitor, tab.initial.selector, tab.recipe}, tab.initial_outputs,
        trigger_mode="always_last",
    )  # fmt: skip
    listen(
        tab.initial.own_picture.input, initial.hide_form, tab.initial.own_picture, tab.target_box
    )
    listen(
        changes(tab.about_inputs), handlers.describe, {visitor, *tab.about_inputs}, tab.about,
        quiet=True, trigger_mode="always_last",
    )  # fmt: skip
    started = listen(
        tab.start.click, handlers.start, {visitor, *tab.inputs}, tab.outputs, trigger_mode="once"
    )
    started.success(None, None, None, js=SHOW_STATUS, api_visibility="private")
    job = [visitor, panel.selector]
    listen(panel.selector.input, handlers.show_job, job, tab.job_outputs)
    listen(
        panel.timer.tick, handlers.tick, [*job, panel.state], tab.job_outputs,
        quiet=True, trigger_mode="always_last",
    )  # fmt: skip
    listen(
        panel.snapshots.slider.input, handlers.show_snapshot, [*job, panel.snapshots.slider],
        panel.snapshots.pictures, trigger_mode="always_last", **PLAYING,
    )  # fmt: skip
    listen(panel.stop.click, handlers.stop, job, tab.job_outputs)
    listen(panel.resume.click, handlers.resume, job, tab.job_outputs)
    listen(
        # trigger_mode "once" would drop a second press while the first "no" is still being sent.
        panel.delete.click, handlers.delete, job, tab.outputs,
        trigger_mode="multiple", js=CONFIRM_DELETE,
    )  # fmt: skip
    listen(context.loaded.then, handlers.attach, visitor, tab.outputs)
    for event in (context.loaded.then, context.items[ID].select):
        listen(event, handlers.update_choices, visitor, tab.initial.selector)

    context.openers[ID] = Opener(
        handlers.train_further, [tab.recipe], [tab.initial.selector, *tab.initial_outputs],
        script=SHOW_INITIAL,
    )  # fmt: skip

    def connect() -> None:
        context.open_on("grow", panel.grow.click, handlers.newest, [panel.selector])
        context.open_on(
            "grow", panel.snapshots.grow.click, handlers.snapshot,
            [panel.selector, panel.snapshots.slider],
        )  # fmt: skip

    return connect


def lay_out(context: PageContext) -> TrainTab:
    """Create the components; call it within the page's Blocks."""
    devices = context.queue.devices
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            with gr.Column() as target_box:
                target = target_form.build(context.settings.limits)
            initial_fields = initial.build()
            recipe_name = gr.Radio(
                settings_form.recipe_choices(), value=settings_form.DEFAULT_RECIPE,
                label="Recipe", elem_id="recipe",
            )  # fmt: skip
            spec = JobSpec.from_recipe(
                settings_form.DEFAULT_RECIPE, Target(target_form.DEFAULT, b"", "estimate")
            )
            about = gr.HTML(_about(spec, devices), elem_id="about-recipe")
            with gr.Accordion("Advanced settings", open=False, elem_id="advanced"):
                settings = settings_form.build(devices)
            start = gr.Button("Start training", variant="primary", elem_id="start")
            if not context.settings.lasting:
                gr.HTML(note(FLEETING))
        with gr.Column(scale=7, min_width=320):
            panel = job_panel.build()
    return TrainTab(target_box, target, initial_fields, recipe_name, about, settings, start, panel)


def _about(spec: JobSpec, devices: tuple[str, ...], pace: float | None = None) -> str:
    """What the spec's recipe does, and how long it may take; `pace` as `expected` takes it."""
    time = settings_form.expected(spec, devices[0] != "cpu", pace)
    return note(f"{recipe(spec.recipe or '').summary} {time}")


class Handlers:
    """The tab's event handlers; methods return updates by component."""

    def __init__(self, context: PageContext, tab: TrainTab) -> None:
        self.queue, self.catalog, self.tab = context.queue, context.catalog, tab
        self.visitor, self.limits = context.visitor, context.settings.limits

    # ------------------------------------------------------------------ the form

    def fill(self, values: Values) -> Updates:
        """Fill in a recipe's settings; an initial checkpoint's architecture is kept."""
        start = self._initial(values)
        form = settings_form.fill(values[self.tab.recipe], start.nca if start else None)
        return {self.tab.settings[name]: value for name, value in form.items()}

    def choose_initial(self, values: Values) -> Updates:
        """An initial checkpoint was chosen: describe it and lock its architecture."""
        return self._show_initial(values, own_picture=False)

    def train_further(self, values: Values, name: str) -> Updates:
        """Choose a checkpoint of another tab, to be trained further on its own picture."""
        selector, key = self.tab.initial.selector, self._key(values)
        choices = initial.choices(self.catalog, key, name)
        updates = self._show_initial({**values, selector: name}, own_picture=True)
        return {selector: gr.update(choices=choices, value=name), **updates}

    def update_choices(self, stored: Any) -> Any:
        """Update the choices of initial checkpoints; the selected one is kept."""
        return gr.update(choices=initial.choices(self.catalog, key_of(stored)))

    def describe(self, values: Values) -> str:
        """What the recipe does and how long it may take."""
        target, name = self.tab.target, values[self.tab.recipe]
        size = {"size": values[target.size], "padding": values[target.padding]}
        config = checked(TargetConfig, {"emoji": "", **size})
        try:
            start = self._initial(values)
            picture = Target(config, b"", "estimate")
            if start and values[self.tab.initial.own_picture]:
                picture = start.target()
            form = settings_form.form_values(self.tab.settings, values)
            spec = settings_form.read(name, form, picture, start)
        except BadInput as problem:
            return note(str(problem), "refusal")
        return _about(spec, self.queue.devices, self._pace(self._key(values), spec))

    def start(self, values: Values) -> Updates:
        """Queue a training with the form's values."""
        start = self._initial(values)
        if start and values[self.tab.initial.own_picture]:
            target = start.target()
        else:
            target = target_form.read(self.limits, self.tab.target.form(values))
        form = settings_form.form_values(self.tab.settings, values)
        spec = settings_form.read(values[self.tab.recipe], form, target, start)
        key = self._key(values)
        job = self.queue.submit(key, spec, target.png, start and start.weights)
        return self._jobs(key, job)

    # ------------------------------------------------------------------ the job

    def attach(self, stored: Any) -> Updates:
        """All jobs of this visitor, with one shown: an active one, else the newest."""
        return self._jobs(key_of(stored))

    def show_job(self, stored: Any, job: str | None) -> Updates:
        """Show a job completely."""
        return self._job(key_of(stored), job)

    def tick(self, stored: Any, job: str | None, state: dict[str, Any] | None) -> Updates:
        """Update the parts of a job that changed."""
        if not job:
            return gr.skip()
        key, previous = key_of(stored), state or {}
        if previous.get("job") != job:
            previous = {}
        try:
            view = self.queue.view(key, job)
        except BadInput:  # deleted in another window of the same visitor
            return self._job(key, None)
        if previous.get("active") and not view.active:
            if view.state == "finished":
                toast(f"{view.title} has finished. Press “Grow it” to play with it.", "Done", 20)
            elif view.state == "failed":
                words = f"{view.title} failed. {view.message or ''}"
                toast(words, "Please note", 20, warning=True)
        return self._update(key, view, previous) or gr.skip()

    def stop(self, stored: Any, job: str) -> Updates:
        """Stop the job after its current iteration."""
        self.queue.stop(key_of(stored), job)
        return self._job(key_of(stored), job)

    def resume(self, stored: Any, job: str) -> Updates:
        """Resume the job; when it has finished, add iterations."""
        key = key_of(stored)
        view = self.queue.view(key, job)
        added = job_panel.more(view)
        self.queue.resume(key, job, view.iterations + added if added else None)
        return self._job(key, job)

    def delete(self, stored: Any, job: str | None) -> Updates:
        """Delete the job; `job` is None when the visitor did not confirm."""
        if not job:
            return gr.skip()
        self.queue.delete(key_of(stored), job)
        return self._jobs(key_of(stored))

    def show_snapshot(self, stored: Any, job: str, iteration: float) -> str:
        """Show the snapshot nearest to an iteration."""
        return snapshots.snapshot_html(self.catalog, key_of(stored), job, iteration)

    # ------------------------------------------------------------------ for other tabs

    def newest(self, values: Values) -> str:
        """The name of the job's newest weights."""
        view = self.queue.view(self._key(values), values[self.tab.panel.selector])
        return str(CheckpointRef(Kind.JOB, view.id))

    def snapshot(self, values: Values) -> str:
        """The name of the snapshot that the slider is at."""
        panel = self.tab.panel
        job, iteration = values[panel.selector], values[panel.snapshots.slider]
        return str(self.catalog.snapshot(self._key(values), job, iteration))

    # ------------------------------------------------------------------ helpers

    def _key(self, values: Values) -> str:
        return key_of(values[self.visitor])

    def _initial(self, values: Values) -> initial.InitialCheckpoint | None:
        name = values[self.tab.initial.selector]
        return initial.initial(self.catalog, self._key(values), name)

    def _show_initial(self, values: Values, own_picture: bool) -> Updates:
        """Updates for the initial checkpoint chosen in the selector."""
        tab, start = self.tab, self._initial(values)
        has_picture = start is not None and start.checkpoint.target is not None
        own_picture = own_picture and has_picture
        architecture = start.nca if start else None
        return {
            tab.initial.about: initial.initial_html(start) if start else "",
            tab.initial.own_picture: gr.update(value=own_picture, visible=has_picture),
            tab.target_box: initial.hide_form(own_picture),
            **settings_form.lock_architecture(tab.settings, values[tab.recipe], architecture),
        }

    def _jobs(self, key: str, job: str | None = None) -> Updates:
        """All jobs of a visitor, with one shown: the given, else an active or the newest."""
        views, panel = self.queue.jobs(key), self.tab.panel
        if job is None and views:
            job = next((view.id for view in views if view.active), views[0].id)
        return {
            panel.selector: gr.update(choices=job_panel.labels(views), value=job),
            panel.selector_row: gr.update(visible=len(views) > 1),
            panel.actions: gr.update(visible=bool(views)),
            **self._job(key, job),
        }

    def _job(self, key: str, job: str | None) -> Updates:
        """A job completely, or the empty panel without one."""
        if not job:
            return job_panel.empty(self.tab.panel) | {self.tab.start: gr.update(interactive=True)}
        return self._update(key, self.queue.view(key, job), {})

    def _update(self, key: str, view: JobView, previous: dict[str, Any]) -> Updates:
        """Updates of what changed in a job since `previous`."""
        panel = self.tab.panel
        points = self.queue.metrics(key, view.id, POINTS)
        updates = job_panel.update(panel, view, points, previous)
        if panel.stop in updates:
            busy = view.active or any(other.active for other in self.queue.jobs(key))
            updates[self.tab.start] = gr.update(interactive=not busy)
        return updates

    def _pace(self, key: str, spec: JobSpec) -> float | None:
        """Seconds per unit of work, as measured on this visitor's newest training."""
        for view in self.queue.jobs(key) if key else []:
            if view.iterations_per_second:
                other = self.queue.spec(key, view.id)
                if other.device == spec.device:
                    return 1 / (view.iterations_per_second * other.work)
        return None
