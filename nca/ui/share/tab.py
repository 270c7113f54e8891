"""The Share tab: the gallery, push to the Hub, pull from it, upload a checkpoint."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr
from starlette.routing import Route

from nca.card import LICENCES
from nca.catalog import CheckpointRef
from nca.catalog.push_bundle import push_bundle
from nca.config import BadInput
from nca.hub import Hub, PushResult, Unreachable, push
from nca.settings import Settings
from nca.ui import shelf
from nca.ui.components import VisitorDropdown
from nca.ui.context import Opener, PageContext, Updates, Values, named_values
from nca.ui.events import APOLOGY, NETWORK, listen, newest, toast
from nca.ui.markup import FLEETING, note
from nca.ui.share import gallery, play
from nca.ui.share.gallery import SORTS, Gallery
from nca.ui.share.sign_in import pull_fields, push_fields, reading, writing
from nca.ui.visitor import key_of

log = logging.getLogger(__name__)

ID, TITLE = "share", "Share"
FROM_SOURCE = "source"
_NAMES = {
    "cc-by-4.0": "CC BY 4.0", "cc-by-sa-4.0": "CC BY-SA 4.0", "cc0-1.0": "CC0, public domain",
    "ofl-1.1": "SIL Open Font License 1.1", "mit": "MIT", "apache-2.0": "Apache 2.0",
    "other": "Other, or not known",
}  # fmt: skip
_PROGRESS = gr.Progress()


class PushForm(NamedTuple):
    """What the visitor entered for a push.

    Attributes:
        checkpoint: its name in the catalog.
        way: how they sign in, see `sign_in`.
        token: what they pasted.
        repo: `user/name`.
        private: whether the repository is private.
        licence: of the picture.
        proposal: whether to push as a pull request.
    """

    checkpoint: str | None
    way: str
    token: str
    repo: str
    private: bool
    licence: str
    proposal: bool


# On a phone, a card of the gallery may be far from the sentence about it.
# On a phone the form is below the gallery. The tab is shown a frame later.
SHOW_FORM = (
    "() => requestAnimationFrame(() => requestAnimationFrame(() => "
    "document.getElementById('push-what')?.scrollIntoView({ block: 'center' })))"
)
IN_SIGHT = "() => document.getElementById('fetched')?.scrollIntoView({ block: 'nearest' })"


@dataclass(frozen=True)
class ShareTab:
    """The components: one for each field of `PushForm`, and those below.

    Attributes:
        push: the button.
        push_result: a sentence about the push.
        name: of what to pull.
        as_me: whether to pull with the visitor's account.
        pull_token: the token they pasted for it.
        pull: the button.
        upload: the button.
        forget: the button that removes the fetched checkpoints.
        fetched: the name in the catalog of the checkpoint just fetched; empty when that failed.
        fetch_result: a sentence about it.
        query: the search text of the gallery.
        sort: the order of the gallery.
        gallery: the checkpoints that others shared.
    """

    checkpoint: VisitorDropdown
    way: Any
    token: gr.Textbox
    repo: gr.Textbox
    private: gr.Checkbox
    licence: gr.Dropdown
    proposal: gr.Checkbox
    push: gr.Button
    push_result: gr.HTML
    name: gr.Textbox
    as_me: gr.Checkbox
    pull_token: gr.Textbox
    pull: gr.Button
    upload: gr.UploadButton
    forget: gr.Button
    fetched: gr.Textbox
    fetch_result: gr.HTML
    query: gr.Textbox
    sort: gr.Radio
    gallery: gr.HTML

    @property
    def push_inputs(self) -> list[Any]:
        """The components that `PushForm` is read from."""
        return [getattr(self, name) for name in PushForm._fields]

    @property
    def fetch_outputs(self) -> list[Any]:
        """The components that change when a checkpoint was fetched."""
        return [self.fetched, self.fetch_result]


def build(context: PageContext) -> Callable[[], None]:
    """Lay out the tab and attach its handlers."""
    tab, visitor = lay_out(context), context.visitor
    handlers = Handlers(context, tab)
    selected = context.items[ID].select
    pushed = listen(
        tab.push.click, handlers.push, {visitor, *tab.push_inputs}, [tab.token, tab.push_result],
        show_progress="full", show_progress_on=tab.push_result, trigger_mode="once", **NETWORK,
    )  # fmt: skip
    brief: dict[str, Any] = {"show_progress": "minimal"} | NETWORK
    once: dict[str, Any] = {"show_progress_on": tab.fetch_result, "trigger_mode": "once"} | brief
    pull_inputs = [visitor, tab.name, tab.as_me, tab.pull_token]
    pull_outputs = [tab.pull_token, *tab.fetch_outputs]
    fetches = [
        listen(context.loaded.then, handlers.fetch_address, visitor, tab.fetch_outputs, **NETWORK),
        listen(tab.pull.click, handlers.pull, pull_inputs, pull_outputs, **once),
        listen(tab.name.submit, handlers.pull, pull_inputs, pull_outputs, **once),
        listen(tab.gallery.select, handlers.pick, visitor, tab.fetch_outputs, **once),
        listen(
            tab.upload.upload, handlers.upload, [visitor, tab.upload], tab.fetch_outputs, **once
        ),
    ]
    search, show = [tab.query, tab.sort], newest(handlers.show_gallery)
    listen(pushed.then, show, search, tab.gallery, **brief)
    listen(tab.forget.click, handlers.forget, visitor, tab.fetch_result)
    listen(selected, handlers.update_choices, [visitor, tab.checkpoint], tab.checkpoint)
    for event in (selected, tab.query.submit, tab.sort.change):
        listen(event, show, search, tab.gallery, trigger_mode="always_last", **brief)

    context.openers[ID] = Opener(
        lambda values, name: {tab.checkpoint: handlers.update_choices(values[visitor], name)},
        [], [tab.checkpoint], script=SHOW_FORM,
    )  # fmt: skip

    def connect() -> None:
        for fetch in fetches:
            fetch.then(None, None, None, js=IN_SIGHT, api_visibility="private")
            context.open_on("grow", fetch.then, lambda values: values[tab.fetched], [tab.fetched])

    return connect


def lay_out(context: PageContext) -> ShareTab:
    """Create the components; call it within the page's Blocks."""
    settings, hub = context.settings, context.catalog.hub
    fetched = gr.Textbox("", visible=False)
    grows = "Point at one to see it grow; on a phone, those in sight do. Press one to open it."
    gr.HTML(_heading("What others grew", grows))
    with gr.Row():
        query = gr.Textbox(
            label="Search", placeholder="lizard", max_lines=1, max_length=100,
            elem_id="gallery-query", scale=3, min_width=200,
        )  # fmt: skip
        sort = gr.Radio(
            list(SORTS.items()), value="last_modified", label="Order", elem_id="gallery-sort",
            scale=2, min_width=200,
        )  # fmt: skip
    wall = gallery.build("gallery")
    with gr.Row(equal_height=False):
        with gr.Column(scale=6, min_width=320):
            gr.HTML(_heading("Share one of yours"))
            if not settings.lasting:
                gr.HTML(note(FLEETING))
            checkpoint = VisitorDropdown(
                [], value=None, label="Automaton", filterable=False, interactive=True,
                elem_id="push-what",
            )  # fmt: skip
            with gr.Row():
                repo = gr.Textbox(
                    label="Name on the Hub", placeholder="user/name", max_lines=1, max_length=120,
                    elem_id="push-repo", min_width=200,
                )  # fmt: skip
                licence = gr.Dropdown(
                    [("As the picture's source says", FROM_SOURCE)]
                    + [(_NAMES.get(name, name), name) for name in LICENCES],
                    value=FROM_SOURCE, label="Licence of the picture", filterable=False,
                    elem_id="push-licence", min_width=200,
                )  # fmt: skip
            private = gr.Checkbox(False, label="Private: only you see it", elem_id="push-private")
            proposal = gr.Checkbox(
                False, label="As a pull request to a repo that is there already",
                elem_id="push-proposal",
            )  # fmt: skip
            way, token = push_fields(settings, hub)
            push_button = gr.Button("Push to the Hub", variant="primary", elem_id="push")
            push_result = play.links_box("pushed")
        with gr.Column(scale=5, min_width=320):
            gr.HTML(_heading("Open one by name, or a file"))
            name = gr.Textbox(
                label="Name on the Hub", placeholder="user/name or user/name@revision",
                max_lines=1, max_length=240, elem_id="pull-name",
            )  # fmt: skip
            as_me, pull_token = pull_fields(settings)
            pull = gr.Button("Open it", elem_id="pull")
            upload = gr.UploadButton(
                "Upload a checkpoint zip", file_types=[".zip"], elem_id="upload-zip"
            )
            fetch_result = gr.HTML("", elem_id="fetched")
            with gr.Accordion("What you opened", open=False):
                gr.HTML(
                    f'<p class="note">The last {settings.limits.collection_length} are on your '
                    f"shelf on the Grow tab for {settings.limits.job_days} days. Only your key "
                    "opens them.</p>"
                )
                forget = gr.Button("Remove them now", size="sm", elem_id="forget")
            if hub.home:
                gr.HTML(_duplicate(hub.home), elem_id="duplicate")
    return ShareTab(
        checkpoint, way, token, repo, private, licence, proposal, push_button, push_result, name,
        as_me, pull_token, pull, upload, forget, fetched, fetch_result, query, sort, wall,
    )  # fmt: skip


class Handlers:
    """The tab's event handlers; methods return updates by component."""

    def __init__(self, context: PageContext, tab: ShareTab) -> None:
        self.settings, self.catalog = context.settings, context.catalog
        self.visitor, self.tab = context.visitor, tab
        self.gallery = Gallery(self.catalog.hub, self.settings.secret)

    # ------------------------------------------------------------------ pushing

    def update_choices(self, stored: Any, name: str | None) -> Any:
        """What can be pushed, and the one that is chosen."""
        entries = self.catalog.pushable(key_of(stored))
        names = [str(entry.ref) for entry in entries]
        value = name if name in names else next(iter(names), None)
        return gr.update(choices=shelf.choices(entries), value=value)

    def push(
        self,
        values: Values,
        signed_in: gr.OAuthToken | None,
        request: gr.Request,
        progress: gr.Progress = _PROGRESS,
    ) -> Updates:
        """Push a checkpoint; the token field is emptied whatever happens."""
        form = PushForm(**named_values(PushForm._fields, self.tab, values))
        try:
            result = self._push(key_of(values[self.visitor]), form, signed_in, request, progress)
        except BadInput as refusal:
            return {self.tab.token: "", self.tab.push_result: note(str(refusal), "refusal")}
        except Exception as error:
            # Its type alone: what the error says or holds could repeat the token.
            log.error("A push failed: %s", type(error).__name__)
            return {self.tab.token: "", self.tab.push_result: note(APOLOGY, "refusal")}
        self.gallery.forget()
        link = f'<a href="{html.escape(result.url)}" target="_blank" rel="noopener">'
        link += f"{html.escape(result.repo_id)}</a>"
        if result.commit is None:
            words = f"{link} is the same already; nothing was sent."
        elif form.proposal:
            words = f"Proposed to {link}."
        else:
            words = f"It is on the Hub: {link}"
        done = f'<p class="done" role="status">{words}</p>'
        if not (form.proposal or form.private):
            done += play.links(result.repo_id, self.catalog.hub.home)
        return {self.tab.token: "", self.tab.push_result: done}

    def _push(
        self,
        key: str,
        form: PushForm,
        signed_in: gr.OAuthToken | None,
        request: gr.Request,
        progress: gr.Progress,
    ) -> PushResult:
        token = writing(self.settings, form.way, form.token, signed_in, request)
        folder = self.catalog.folder(key, form.checkpoint or "")

        def report(share: float, words: str) -> None:
            progress(share, desc=words)

        report(0.0, "Getting it ready")
        with push_bundle(folder, self.settings.limits, self.catalog.hub.home) as bundle:
            return push(
                self.catalog.hub,
                bundle,
                str(form.repo or ""),
                token=token,
                private=bool(form.private),
                licence=None if form.licence == FROM_SOURCE else str(form.licence),
                pull_request=bool(form.proposal),
                progress=report,
            )

    # ------------------------------------------------------------------ fetching

    def pull(
        self,
        stored: Any,
        name: str,
        as_me: bool,
        pasted: str,
        signed_in: gr.OAuthToken | None,
    ) -> Updates:
        """Fetch a checkpoint by name; the token field is emptied whatever happens."""

        def fetch() -> tuple[CheckpointRef, str]:
            token = reading(self.settings, as_me, pasted, signed_in)
            return self.catalog.fetch(key_of(stored), name, token)

        try:
            return {self.tab.pull_token: "", **self._fetched(fetch)}
        except Exception as error:
            # Its type alone: what the error says or holds could repeat the token.
            log.error("A pull failed: %s", type(error).__name__)
            return {
                self.tab.pull_token: "",
                self.tab.fetched: "",
                self.tab.fetch_result: note(APOLOGY, "refusal"),
            }

    def pick(self, stored: Any, event: gr.EventData) -> Updates:
        """A card of the gallery was clicked."""
        return self._fetched(lambda: self.catalog.fetch(key_of(stored), str(event.name)))

    def upload(self, stored: Any, path: str | None) -> Updates:
        """Add an uploaded checkpoint zip to the visitor's shelf."""
        return self._fetched(lambda: (self.catalog.upload(key_of(stored), path), ""))

    def fetch_address(self, stored: Any, request: gr.Request) -> Updates:
        """Fetch the checkpoint named in the page's URL: `?checkpoint=user/name`."""
        name = request.query_params.get("checkpoint")
        if not name:
            return {self.tab.fetched: "", self.tab.fetch_result: ""}
        toast("Fetching it from the Hub.", "One moment", 3)
        ref, sentence = self.catalog.fetch(key_of(stored), name)
        return {self.tab.fetched: str(ref), self.tab.fetch_result: note(sentence)}

    def forget(self, stored: Any) -> str:
        """Delete the checkpoints that the visitor fetched."""
        self.catalog.forget(key_of(stored))
        return note("Removed.")

    def _fetched(self, fetch: Callable[[], tuple[CheckpointRef, str]]) -> Updates:
        """Updates with the fetched checkpoint and a sentence about it, or with the refusal."""
        try:
            ref, sentence = fetch()
        except BadInput as refusal:
            return {self.tab.fetched: "", self.tab.fetch_result: note(str(refusal), "refusal")}
        return {self.tab.fetched: str(ref), self.tab.fetch_result: note(sentence)}

    # ------------------------------------------------------------------ what others shared

    def show_gallery(self, query: str, sort: str) -> str:
        """The gallery, or a sentence on why it cannot be shown."""
        try:
            return self.gallery.show(query, sort)
        except BadInput as refusal:
            again = " " if isinstance(refusal, Unreachable) else " Please try again later."
            return f'<div class="empty">{html.escape(str(refusal))}{again}</div>'


def routes(settings: Settings) -> list[Route]:
    """What other pages, and the cards of the gallery, load from this server."""
    hub = Hub(cache=settings.home / "hub", limits=settings.limits, space=settings.space)
    return [Gallery(hub, settings.secret).route(), play.route(settings, hub)]


def _heading(text: str, more: str = "") -> str:
    more = f'<p class="note">{more}</p>' if more else ""
    return f'<div class="steps"><h2>{text}</h2>{more}</div>'


def _duplicate(home: str) -> str:
    link = html.escape(f"{home}?duplicate=true")
    return (
        f'<p class="note">A garden of your own, with a GPU if you like: <a href="{link}" '
        'target="_blank" rel="noopener">Duplicate this Space</a>.</p>'
    )
