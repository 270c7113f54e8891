"""The Train tab: choose a picture and a recipe, start, watch, and take away what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from nca.catalog import MINE, CheckpointRef, Kind
from nca.config import BadInput, TargetConfig, checked
from nca.jobs import JobSpec, JobView, Target
from nca.preview import PREVIEW
from nca.recipes import recipe
from nca.ui.components import picture_buttons
from nca.ui.context import Opener, PageContext, Updates, Values
from nca.ui.downloads import SAVE_FILE, cached, file_name
from nca.ui.events import PLAYING, changes, listen, newest, toast
from nca.ui.markup import FLEETING, note
from nca.ui.train import (
    for_researchers,
    in_browser,
    initial,
    job_panel,
    recipe_choice,
    settings_form,
    several,
    snapshots,
    target_form,
    zero_gpu,
)
from nca.ui.visitor import key_of

ID, TITLE = "train", "Train"
POINTS = 200  # in the loss curve
PHOTO_SIZE = 64  # cells; fewer show little of a photo
LONG = 6 * 3600.0  # seconds from which a training is started only when the visitor confirms it
# The button that had the focus is folded away.
SHOW_STATUS = """() => {
  const status = document.querySelector('#status:has(.queued, .running)');
  if (!status) return;
  status.scrollIntoView({behavior: 'smooth', block: 'start'});
  status.tabIndex = -1;
  status.focus({preventScroll: true});
}"""
SHOW_INITIAL = (
    "() => setTimeout(() => document.querySelector('#begun')"
    "?.scrollIntoView({behavior: 'smooth', block: 'center'}), 100)"
)
# There is a training to look at first, or nothing else to do than to start one. On a slow server
# the visitor may be in the form already.
FOLD_FORM = (
    f"(job) => ({{__type__: 'update', open: !(job || {in_browser.HOLDS_TRAININGS}) || "
    "!!document.querySelector('#train-form :focus')})"
)
CONFIRM_DELETE = (
    "(visitor, job) => [visitor, confirm('Delete this training, its picture and all that it has "
    "grown?') ? job : null]"
)


@dataclass(frozen=True)
class TrainTab:
    """The components.

    Attributes:
        form: the container of the form; folded while there is a training to look at.
        target: the target form.
        initial: the choice of an initial checkpoint.
        recipe: the name of the chosen recipe.
        intents: the buttons of the three intents.
        others: the buttons of other systems' recipes.
        others_fold: the fold that they are in.
        about: what the recipe does and how long it may take.
        settings: the advanced settings.
        where: whether a start trains on the server or in the browser.
        browser: the trainings of the visitor's browser.
        kept: the name of a checkpoint that came from there.
        start: the Start button.
        sure: starts a training that takes very long.
        why: why nothing can be started, or what to confirm.
        panel: shows one job.
    """

    form: gr.Accordion
    target: target_form.TargetFields
    initial: initial.InitialFields
    recipe: gr.Textbox
    intents: gr.HTML
    others: gr.HTML
    others_fold: gr.Accordion
    about: gr.HTML
    settings: settings_form.SettingsFields
    where: gr.Radio
    browser: gr.HTML
    kept: gr.Textbox
    start: gr.Button
    sure: gr.Button
    why: gr.HTML
    panel: job_panel.JobPanel

    @property
    def inputs(self) -> list[Any]:
        """The form."""
        return [*self.target.inputs, *self.about_inputs]

    @property
    def about_inputs(self) -> list[Any]:
        """The components that `about` depends on."""
        size = (self.target.size, self.target.padding)
        shown = (*size, self.target.several, self.recipe)
        return [*self.initial.inputs, *shown, self.where, *self.settings.values()]

    @property
    def initial_outputs(self) -> list[Any]:
        """The components that change with the initial checkpoint."""
        architecture = [self.settings[name] for name in settings_form.ARCHITECTURE]
        start = self.initial
        return [start.about, start.described, start.own_picture, *architecture]

    @property
    def job_outputs(self) -> list[Any]:
        """The components that show the selected job."""
        return [*self.panel.outputs, self.start, self.sure, self.why, self.form]

    @property
    def outputs(self) -> list[Any]:
        """The components that show all of a visitor's jobs."""
        panel = self.panel
        return [panel.selector, panel.selector_row, panel.actions, *self.job_outputs]


def build(context: PageContext) -> Callable[[], None]:
    """Lay out the tab and attach its handlers."""
    tab = lay_out(context)
    for_researchers.add(context, tab.panel.selector)
    handlers, visitor, panel = Handlers(context, tab), context.visitor, tab.panel

    looked = target_form.attach(tab.target, context.settings.limits, context.loaded)
    choose = newest(handlers.choose)
    for buttons in (tab.intents, tab.others, tab.target.advice):
        listen(
            buttons.select, choose, [tab.recipe, tab.target.size, tab.target.padding],
            [tab.recipe, tab.target.size, tab.target.padding], trigger_mode="multiple",
        )  # fmt: skip
    chosen = tab.target.several
    filled = listen(
        tab.recipe.change, handlers.fill, {visitor, tab.initial.selector, tab.recipe, chosen},
        list(tab.settings.values()),
    )  # fmt: skip
    followed = listen(
        chosen.change, handlers.follow, {visitor, tab.initial.selector, tab.recipe, chosen},
        [tab.recipe, *tab.settings.values()], trigger_mode="multiple",
    )  # fmt: skip
    listen(
        tab.initial.selector.input, handlers.choose_initial,
        {visitor, tab.initial.selector, tab.initial.described, tab.recipe}, tab.initial_outputs,
        trigger_mode="always_last",
    )  # fmt: skip
    seen_elsewhere = (tab.recipe, tab.target.size, tab.target.padding, tab.target.several)
    others = changes(part for part in tab.about_inputs if part not in seen_elsewhere)
    describe = newest(handlers.describe)
    for event, mode in (
        (looked.then, "multiple"), (filled.then, "multiple"), (followed.then, "multiple"),
        (others, "always_last"), (tab.others_fold.expand, "always_last"),
    ):  # fmt: skip
        listen(
            event, describe, {visitor, *tab.about_inputs},
            [tab.about, tab.intents, tab.others, tab.sure], quiet=True, trigger_mode=mode,
        )  # fmt: skip
    for button, handler in ((tab.start, handlers.start), (tab.sure, handlers.start_anyway)):
        started = listen(
            button.click, handler, {visitor, *tab.inputs}, [*tab.outputs, tab.browser],
            trigger_mode="once",
        )  # fmt: skip
        started.success(None, None, None, js=SHOW_STATUS, api_visibility="private")
    only_there = [tab.settings[name] for name in settings_form.ON_SERVER]
    listen(
        tab.where.change, lambda where: [gr.update(visible=where == in_browser.SERVER)] * 2,
        tab.where, only_there, trigger_mode="multiple",
    )  # fmt: skip
    job = [visitor, panel.selector]
    listen(panel.selector.input, handlers.show_job, job, [*tab.job_outputs])
    for event in (panel.title.submit, panel.title.blur):
        listen(event, handlers.rename, [*job, panel.title], tab.outputs, trigger_mode="once")
    listen(
        panel.timer.tick, handlers.tick, [*job, panel.state], tab.job_outputs,
        quiet=True, trigger_mode="always_last",
    )  # fmt: skip
    film = panel.snapshots
    listen(film.film.submit, handlers.frames, job, film.film, **PLAYING)
    listen(
        film.film.select, newest(handlers.show_snapshot), job, [film.iteration, film.pictures],
        trigger_mode="multiple", **PLAYING,
    )  # fmt: skip
    listen(panel.stop.click, handlers.stop, job, tab.job_outputs)
    listen(panel.resume.click, handlers.resume, job, tab.job_outputs)
    listen(
        # trigger_mode "once" would drop a second press while the first "no" is still being sent.
        panel.delete.click, handlers.delete, job, tab.outputs,
        trigger_mode="multiple", js=CONFIRM_DELETE,
    )  # fmt: skip
    came, shared = (
        listen(sent, handlers.keep, visitor, tab.kept, trigger_mode="once")
        for sent in (tab.browser.submit, tab.browser.select)
    )
    saved = listen(panel.film.click, handlers.film, job, panel.file, trigger_mode="once")
    saved.success(None, panel.file, None, js=SAVE_FILE % "job-file", api_visibility="private")
    choices = [tab.initial.selector, tab.where]
    listen(context.items[ID].select, handlers.reopen, [*job, panel.state], [*tab.outputs, *choices])
    shown = [output for output in tab.outputs if output is not tab.form]
    attached = listen(context.loaded.then, handlers.attach, visitor, [*shown, *choices])
    attached.then(None, panel.selector, tab.form, js=FOLD_FORM, api_visibility="private")

    context.openers[ID] = Opener(
        handlers.train_further, [tab.recipe],
        [tab.form, tab.initial.selector, *tab.initial_outputs],
        script=SHOW_INITIAL,
    )  # fmt: skip

    def connect() -> None:
        context.open_on("grow", panel.grow.click, handlers.newest, [panel.selector])
        for to, event in (("grow", came), ("share", shared)):
            context.open_on(to, event.success, lambda values: values[tab.kept], [tab.kept])
        context.open_on(
            "grow", panel.snapshots.grow.click, handlers.snapshot,
            [panel.selector, panel.snapshots.iteration],
        )  # fmt: skip
        context.open_on("share", panel.share.click, handlers.newest, [panel.selector])

    return connect


def lay_out(context: PageContext) -> TrainTab:
    """Create the components; call it within the page's Blocks."""
    devices, name = context.queue.devices, settings_form.DEFAULT_RECIPE
    with gr.Column(elem_id="training"):
        panel = job_panel.build()
        zero_gpu.build(context, panel.selector)
    browser, kept = in_browser.build_panel(), gr.Textbox("", visible=False)
    with gr.Accordion("Train another", open=True, elem_id="train-form") as form:
        recipe_name = gr.Textbox(name, visible=False, elem_id="recipe")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                start_from = initial.build_about()
                with gr.Column(elem_classes="unless-own"):
                    fields = target_form.build_sources()
            with gr.Column(scale=6, min_width=300):
                with gr.Column(elem_classes="unless-own"):
                    fields |= target_form.build_preview()
                intents = picture_buttons(
                    "intents", recipe_choice.intents_html(_times(devices), name)
                )
                with gr.Column(elem_id="start-bar"):
                    start = gr.Button("Start training", variant="primary", elem_id="start")
                    why = gr.HTML("", elem_id="why")
                    sure = gr.Button("Start it anyway", visible=False, elem_id="start-anyway")
                where = in_browser.build_choice()  # below Start, which a phone shows at once
        with gr.Accordion("Size, title, and what it begins with", open=False, elem_id="details"):
            fields |= target_form.build_details()
            start_from |= initial.build_selector()
        with gr.Accordion("Recipes of others", open=False, elem_id="others-fold") as fold:
            others = picture_buttons("others")  # filled when the fold is opened
        with gr.Accordion("Advanced settings", open=False, elem_id="advanced"):
            spec = JobSpec.from_recipe(name, Target(target_form.DEFAULT, b"", "estimate"))
            about = gr.HTML(_about(spec, devices), elem_id="about-recipe")
            settings = settings_form.build(devices)
        if not context.settings.lasting:
            gr.HTML(note(FLEETING))
    target = target_form.TargetFields(**fields)
    return TrainTab(
        form, target, initial.InitialFields(**start_from), recipe_name,
        intents, others, fold, about, settings, where, browser, kept, start, sure, why, panel,
    )  # fmt: skip


def _about(spec: JobSpec, devices: tuple[str, ...], pace: float | None = None) -> str:
    """What the spec's recipe does, and how long it may take; `pace` as `expected` takes it."""
    time = settings_form.expected(spec, devices[0] != "cpu", pace)
    return note(f"{recipe(spec.recipe or '').summary} {time}")


def _times(
    devices: tuple[str, ...],
    size: float = target_form.DEFAULT.size,
    padding: float = target_form.DEFAULT.padding,
    pace: float | None = None,
    pictures: int = 1,
    fits: bool = True,
) -> dict[str, str]:
    """How long each recipe may take on such a target, in words; `fits`: a decoder at the end."""
    times = {}
    offered = recipe_choice.INTENTS if pictures == 1 else recipe_choice.SEVERAL
    for name in (*offered, *recipe_choice.others()):
        photo = name == "photo"
        around = 0 if photo else padding or target_form.DEFAULT.padding
        side = max(size, PHOTO_SIZE) if photo else size
        config = checked(TargetConfig, {"emoji": "", "size": side, "padding": around})
        form = settings_form.fill(name, pictures=pictures) | {"sharpen": fits}
        spec = settings_form.read(name, form, Target(config, b"", "estimate", pictures))
        found = settings_form.seconds(spec, devices[0] != "cpu", pace)
        times[name] = settings_form.between(*found)
    return times


class Handlers:
    """The tab's event handlers; methods return updates by component."""

    def __init__(self, context: PageContext, tab: TrainTab) -> None:
        self.queue, self.catalog, self.tab = context.queue, context.catalog, tab
        self.visitor, self.limits = context.visitor, context.settings.limits
        self.scores = recipe_choice.shipped_scores(context.settings.checkpoints)

    # ------------------------------------------------------------------ the form

    def choose(self, chosen: str, size: float, padding: float, event: gr.EventData) -> list[Any]:
        """A recipe, or another size, was chosen with a button.

        Photo fills its frame to the edges; other recipes need room around the picture.
        """
        name = getattr(event, "name", None) or getattr(event, "recipe", None)
        if not name:
            return [chosen, int(event.size), padding]
        recipe(str(name))  # refuses unknown ones
        if name == "photo":
            return [name, max(size or 0, PHOTO_SIZE), 0]
        return [name, size, padding or target_form.DEFAULT.padding]

    def fill(self, values: Values) -> Updates:
        """Fill in a recipe's settings; an initial checkpoint's architecture is kept."""
        start = self._initial(values)
        pictures, architecture = self._pictures(values), start.nca if start else None
        form = settings_form.fill(values[self.tab.recipe], architecture, pictures)
        return {self.tab.settings[name]: value for name, value in form.items()}

    def follow(self, values: Values) -> Updates:
        """Choose the recipe for several pictures, and settings for so many; or for one again."""
        name, fits = values[self.tab.recipe], settings_form.SEVERAL_RECIPE
        if values[self.tab.target.several]:
            if name == fits:
                return self.fill(values)
            return {self.tab.recipe: fits}
        return {self.tab.recipe: settings_form.DEFAULT_RECIPE if name == fits else name}

    def _pictures(self, values: Values) -> int:
        """How many pictures the form has; of several at least two, for estimates."""
        text = values[self.tab.target.several]
        return max(2, len(several.parse(text))) if text else 1

    def choose_initial(self, values: Values) -> Updates:
        """An initial checkpoint was chosen: describe it and lock its architecture."""
        fields = self.tab.initial
        if (values[fields.selector] or initial.NEW) == values[fields.described]:
            return gr.skip()  # Gradio also calls when the dropdown is left unchanged
        return self._show_initial(values, own_picture=False)

    def train_further(self, values: Values, name: str) -> Updates:
        """Choose a checkpoint of another tab, to be trained further on its own picture."""
        selector, key = self.tab.initial.selector, self._key(values)
        choices = initial.choices(self.catalog, key, name)
        updates = self._show_initial({**values, selector: name}, own_picture=True)
        shown = {self.tab.form: gr.update(open=True)}
        return {selector: gr.update(choices=choices, value=name), **updates, **shown}

    def update_choices(self, stored: Any) -> Updates:
        """Update the choices of initial checkpoints and places; the selected ones are kept."""
        places = in_browser.choices(self.queue.health().queue_length)
        return {
            self.tab.initial.selector: gr.update(
                choices=initial.choices(self.catalog, key_of(stored))
            ),
            self.tab.where: gr.update(choices=places),
        }

    def describe(self, values: Values) -> Updates:
        """What each recipe does and how long it may take."""
        tab, key = self.tab, self._key(values)
        updates: Updates = {tab.sure: gr.update(visible=False)}
        try:
            spec = self._spec(values, self._estimated(values))
            pace = self._pace(key, spec)
            updates[tab.about] = _about(spec, self.queue.devices, pace)
        except BadInput as problem:
            return updates | {tab.about: note(str(problem), "refusal")}
        size, padding = spec.target.size, spec.target.padding
        fits = bool(spec.sharpen)
        times = _times(self.queue.devices, size, padding, pace, self._pictures(values), fits)
        name = values[tab.recipe]
        if name in times:  # with the settings as they are now
            found = settings_form.seconds(spec, self.queue.devices[0] != "cpu", pace)
            times[name] = settings_form.between(*found)
        return updates | {
            tab.intents: recipe_choice.intents_html(times, name),
            tab.others: recipe_choice.others_html(times, self.scores, name),
        }

    def _estimated(self, values: Values) -> Target:
        """A target of the form's size, without its picture."""
        start, target = self._initial(values), self.tab.target
        if start and values[self.tab.initial.own_picture]:
            return start.target()
        size = {"size": values[target.size], "padding": values[target.padding]}
        config = checked(TargetConfig, {"emoji": "", **size})
        return Target(config, b"", "estimate", self._pictures(values))

    def _spec(self, values: Values, target: Target) -> JobSpec:
        """The form's settings with a target."""
        form = settings_form.form_values(self.tab.settings, values)
        if values[self.tab.where] == in_browser.BROWSER:
            form |= settings_form.ON_SERVER
        return settings_form.read(values[self.tab.recipe], form, target, self._initial(values))

    def start(self, values: Values) -> Updates:
        """Start a training with the form's values; ask first when it takes the server very long."""
        spec = self._spec(values, self._estimated(values))
        if values[self.tab.where] == in_browser.BROWSER:
            return self.start_here(values)
        pace = self._pace(self._key(values), spec)
        longest = settings_form.seconds(spec, self.queue.devices[0] != "cpu", pace)
        if max(longest) > LONG:
            words = f"This takes {settings_form.between(*longest)}. It can be stopped and resumed."
            return {
                self.tab.why: note(words, "note asks"),
                self.tab.sure: gr.update(visible=True),
            }
        return self.start_anyway(values)

    def start_anyway(self, values: Values) -> Updates:
        """Queue a training with the form's values."""
        start, key, target = self._initial(values), self._key(values), self._target(values)
        spec = self._spec(values, target)
        job = self.queue.submit(key, spec, target.png, start and start.weights, target.picture)
        return self._jobs(values[self.visitor], job) | {self.tab.form: gr.update(open=False)}

    def start_here(self, values: Values) -> Updates:
        """Begin a training with the form's values in the visitor's browser."""
        target = self._target(values)
        spec = self._spec(values, target)
        update = in_browser.begin(spec, target, self._initial(values))
        return {self.tab.browser: update, self.tab.form: gr.update(open=False)}

    def keep(self, stored: Any, event: gr.EventData) -> str:
        """Take a checkpoint of the visitor's browser onto their shelf; returns its name."""
        return str(self.catalog.upload(key_of(stored), in_browser.zipped(event), MINE))

    def _target(self, values: Values) -> Target:
        """The picture to grow: the form's, or the initial checkpoint's own."""
        start = self._initial(values)
        if start and values[self.tab.initial.own_picture]:
            target = start.target()
            if given := " ".join(str(values[self.tab.target.title] or "").split()):
                target = replace(target, title=given[:80])
            return target
        key, form = self._key(values), self.tab.target.form(values)
        drawings = sum(view.title.startswith("Drawing") for view in self.queue.jobs(key))
        return target_form.read(self.limits, form, drawings=drawings, fine=True)

    # ------------------------------------------------------------------ the job

    def attach(self, stored: Any) -> Updates:
        """The page was opened: all jobs of this visitor, an active one or the newest shown."""
        return self._jobs(stored) | self.update_choices(stored)

    def show_job(self, stored: Any, job: str | None) -> Updates:
        """Show a job completely."""
        return self._job(key_of(stored), job)

    def reopen(self, stored: Any, job: str | None, state: dict[str, Any] | None) -> Updates:
        """The tab was opened again: what became of the job, in another window, too."""
        choices, key, previous = self.update_choices(stored), key_of(stored), state or {}
        if not job:
            return choices
        try:
            view = self.queue.view(key, job)
        except BadInput:
            return choices | self._jobs(stored)
        return choices | self._update(key, view, previous if previous.get("job") == job else {})

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
                toast(f"{view.title} has finished. Press “Play” to play with it.", "Done", 8)
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
        updates = self._jobs(stored)
        return updates | {self.tab.form: gr.update(open=not self.queue.jobs(key_of(stored)))}

    def rename(self, stored: Any, job: str | None, title: str) -> Updates:
        """Give the job another title; an empty one changes nothing."""
        key, given = key_of(stored), " ".join(str(title or "").split())[:80]
        if not job or not given or given == self.queue.view(key, job).title:
            return gr.skip()
        self.queue.rename(key, job, given)
        return self._jobs(stored, job)

    def frames(self, stored: Any, job: str) -> Any:
        """Send the pictures of the snapshots."""
        shown = snapshots.frames(self.catalog, key_of(stored), job)
        return gr.update(frames=shown, count=len(shown))

    def show_snapshot(self, stored: Any, job: str, event: gr.EventData) -> tuple[int, str]:
        """Show pool and batch of a snapshot, and remember it for “Play this version”."""
        iteration = int(event.iteration)
        return iteration, snapshots.snapshot_html(self.catalog, key_of(stored), job, iteration)

    def film(self, stored: Any, job: str) -> str:
        """The animation of a finished training: it grows, is damaged and heals."""
        view = self.queue.view(key_of(stored), job)
        try:
            data = (view.folder / PREVIEW).read_bytes()
        except OSError:
            raise BadInput("The film is made when the training has finished.") from None
        return cached(self.tab.panel.file, f"{file_name(view.title)}.gif", data)

    # ------------------------------------------------------------------ for other tabs

    def newest(self, values: Values) -> str:
        """The name of the job's newest weights."""
        view = self.queue.view(self._key(values), values[self.tab.panel.selector])
        return str(CheckpointRef(Kind.JOB, view.id))

    def snapshot(self, values: Values) -> str:
        """The name of the snapshot that the slider is at."""
        panel = self.tab.panel
        job, iteration = values[panel.selector], values[panel.snapshots.iteration]
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
            tab.initial.described: values[tab.initial.selector] or initial.NEW,
            tab.initial.own_picture: gr.update(value=own_picture, visible=has_picture),
            **settings_form.lock_architecture(tab.settings, values[tab.recipe], architecture),
        }

    def _jobs(self, stored: Any, job: str | None = None) -> Updates:
        """All jobs of a visitor, with one shown: the given, else an active or the newest."""
        key, panel = key_of(stored), self.tab.panel
        views = self.queue.jobs(key)
        if job is None and views:
            job = next((view.id for view in views if view.active), views[0].id)
        return {
            panel.selector: gr.update(choices=job_panel.labels(views, stored), value=job),
            panel.selector_row: gr.update(visible=bool(views)),
            panel.actions: gr.update(visible=bool(views)),
            **self._job(key, job),
        }

    def _job(self, key: str, job: str | None) -> Updates:
        """A job completely, or the empty panel without one."""
        if not job:
            return job_panel.empty(self.tab.panel) | self._can_start(None)
        return self._update(key, self.queue.view(key, job), {})

    def _update(self, key: str, view: JobView, previous: dict[str, Any]) -> Updates:
        """Updates of what changed in a job since `previous`."""
        panel = self.tab.panel
        points = self.queue.metrics(key, view.id, POINTS)
        updates = job_panel.update(
            panel, view, points, previous, lambda: self.queue.kind_metrics(key, view.id)
        )
        if panel.stop in updates:
            others = (other for other in self.queue.jobs(key) if other.active)
            updates |= self._can_start(view if view.active else next(others, None))
        return updates

    def _can_start(self, busy: JobView | None) -> Updates:
        """Updates of Start: disabled while one of the visitor's trainings is active."""
        words = (
            f"You can train one at a time: stop {busy.title}, or wait until it has finished."
            if busy
            else ""
        )
        return {self.tab.start: gr.update(interactive=busy is None), self.tab.why: note(words)}

    def _pace(self, key: str, spec: JobSpec) -> float | None:
        """Seconds per unit of work, as measured on this visitor's newest training."""
        for view in self.queue.jobs(key) if key else []:
            if view.iterations_per_second and view.iteration >= job_panel.SURE_AFTER:
                other = self.queue.spec(key, view.id)
                if other.device == spec.device:
                    return 1 / (view.iterations_per_second * other.work)
        return None
