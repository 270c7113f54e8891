"""The Share tab: push to the Hub, pull from it, see what others grew, upload a checkpoint."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from nca.card import LICENCES
from nca.catalog import Catalog
from nca.catalog.push_bundle import push_bundle
from nca.config import BadInput
from nca.hub import Hub, Unreachable, push
from nca.settings import Settings
from nca.ui import shelf
from nca.ui.components import Chosen
from nca.ui.events import APOLOGY, NETWORK, listen, toast
from nca.ui.markup import FLEETING, note
from nca.ui.share.gallery import SORTS, Gallery
from nca.ui.share.sign_in import pull_fields, push_fields, reading, writing
from nca.ui.visitor import key_of

log = logging.getLogger(__name__)

FROM_SOURCE = "source"
_NAMES = {
    "cc-by-4.0": "CC BY 4.0", "cc-by-sa-4.0": "CC BY-SA 4.0", "cc0-1.0": "CC0, public domain",
    "ofl-1.1": "SIL Open Font License 1.1", "mit": "MIT", "apache-2.0": "Apache 2.0",
    "other": "Other, or not known",
}  # fmt: skip
_PROGRESS = gr.Progress()


@dataclass(frozen=True)
class ShareTab:
    """What the page needs of this tab.

    Attributes:
        opened: the name on the shelf of what was just fetched; empty when that failed.
        fetched: a sentence about it.
        opening: the events after which `opened` is to go on the stage.
        what: the selector of what can be pushed.
        wall: what others shared.
        asked: the inputs of `Handlers.look`.
    """

    opened: gr.Textbox
    fetched: gr.HTML
    opening: list[Any]
    what: Chosen
    wall: gr.HTML
    asked: list[Any]


def build(settings: Settings, handlers: Handlers, visitor: gr.BrowserState) -> ShareTab:
    """Lay out the tab and attach its handlers."""
    hub = handlers.catalog.hub
    opened = gr.Textbox("", visible=False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=6, min_width=320):
            gr.HTML(_heading("Push one of yours"))
            if not settings.lasting:
                gr.HTML(note(FLEETING))
            what = Chosen(
                [], value=None, label="Automaton", filterable=False, interactive=True,
                elem_id="push-what",
            )  # fmt: skip
            way, token = push_fields(settings, hub)
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
            send = gr.Button("Push to the Hub", variant="primary", elem_id="push")
            pushed = gr.HTML("", elem_id="pushed")
        with gr.Column(scale=5, min_width=320):
            gr.HTML(_heading("Fetch one"))
            name = gr.Textbox(
                label="From the Hub, by name", placeholder="user/name or user/name@revision",
                max_lines=1, max_length=240, elem_id="pull-name",
            )  # fmt: skip
            as_me, proof = pull_fields(settings)
            fetch = gr.Button("Pull and grow it", elem_id="pull")
            upload = gr.UploadButton(
                "Upload a checkpoint zip", file_types=[".zip"], elem_id="upload-zip"
            )
            fetched = gr.HTML("", elem_id="fetched")
            with gr.Accordion("What you fetched", open=False):
                gr.HTML(
                    f'<p class="note">The last few stand on your shelf on the Grow tab for '
                    f"{settings.limits.job_days} days. Only your key opens them.</p>"
                )
                forget = gr.Button("Remove them now", size="sm", elem_id="forget")
            if settings.space:
                gr.HTML(_duplicate(hub, settings.space), elem_id="duplicate")
    gr.HTML(_heading("What others grew"))
    with gr.Row():
        query = gr.Textbox(
            label="Words of the name", placeholder="lizard", max_lines=1, max_length=100,
            elem_id="gallery-query",
            scale=3, min_width=200,
        )  # fmt: skip
        sort = gr.Radio(
            list(SORTS.items()), value="last_modified", label="Order", elem_id="gallery-sort",
            scale=2, min_width=200,
        )  # fmt: skip
    wall = shelf.build("gallery")

    spinner: dict[str, Any] = {"show_progress": "full"} | NETWORK
    sent = listen(
        send.click, handlers.push, [visitor, what, way, token, repo, private, licence, proposal],
        [token, pushed], show_progress_on=pushed, trigger_mode="once", **spinner,
    )  # fmt: skip
    results = [opened, fetched]
    brief: dict[str, Any] = {"show_progress": "minimal"} | NETWORK
    options: dict[str, Any] = {"show_progress_on": fetched, "trigger_mode": "once"} | brief
    pulling = [visitor, name, as_me, proof], [proof, *results]
    opening = [
        listen(fetch.click, handlers.pull, *pulling, **options),
        listen(name.submit, handlers.pull, *pulling, **options),
        listen(wall.select, handlers.pick, visitor, results, **options),
        listen(upload.upload, handlers.upload, [visitor, upload], results, **options),
    ]
    listen(sent.then, handlers.look, [query, sort], wall, **brief)
    listen(forget.click, handlers.forget, visitor, fetched)
    asked = [query, sort]
    for event in (query.submit, sort.change):
        listen(event, handlers.look, asked, wall, trigger_mode="always_last", **brief)
    return ShareTab(opened, fetched, opening, what, wall, asked)


class Handlers:
    """What happens when something is pressed; each method returns what its outputs show."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.settings, self.catalog = settings, catalog
        self.gallery = Gallery(catalog.hub)

    # ------------------------------------------------------------------ pushing

    def choices(self, stored: Any, chosen: str | None) -> Any:
        """What can be pushed: trainings with weights and shipped checkpoints."""
        key = key_of(stored)
        entries = [*self.catalog.trained(key), *self.catalog.shipped()]
        names = [str(entry.ref) for entry in entries]
        value = chosen if chosen in names else next(iter(names), None)
        return gr.update(choices=shelf.choices(entries), value=value)

    def push(
        self,
        stored: Any,
        what: str | None,
        way: str,
        token: str,
        repo: str,
        private: bool,
        licence: str,
        proposal: bool,
        signed_in: gr.OAuthToken | None,
        request: gr.Request,
        progress: gr.Progress = _PROGRESS,
    ) -> tuple[str, str]:
        """Push a checkpoint; the token field is emptied whatever happens."""
        try:
            proof = writing(self.settings, way, token, signed_in, request)
            folder = self.catalog.folder(key_of(stored), what or "")

            def report(share: float, words: str) -> None:
                progress(share, desc=words)

            report(0.0, "Getting it ready")
            with push_bundle(folder, self.settings.limits) as copy:
                result = push(
                    self.catalog.hub,
                    copy,
                    str(repo or ""),
                    token=proof,
                    private=bool(private),
                    licence=None if licence == FROM_SOURCE else str(licence),
                    pull_request=bool(proposal),
                    progress=report,
                )
        except BadInput as refusal:
            return "", note(str(refusal), "refusal")
        except Exception as error:
            # Its type alone: what the error says or holds could repeat the token.
            log.error("A push failed: %s", type(error).__name__)
            return "", note(APOLOGY, "refusal")
        self.gallery.forget()
        link = f'<a href="{html.escape(result.url)}" target="_blank" rel="noopener">'
        link += f"{html.escape(result.repo_id)}</a>"
        if result.commit is None:
            words = f"{link} is the same already; nothing was sent."
        elif proposal:
            words = f"Proposed to {link}."
        else:
            words = f"It is on the Hub: {link}"
        return "", f'<p class="done" role="status">{words}</p>'

    # ------------------------------------------------------------------ fetching

    def pull(
        self,
        stored: Any,
        name: str,
        as_me: bool,
        pasted: str,
        signed_in: gr.OAuthToken | None,
    ) -> tuple[str, str, str]:
        """Fetch a checkpoint by name; the token field, emptied, what to open, and words."""

        def take() -> tuple[str, str]:
            token = reading(self.settings, as_me, pasted, signed_in)
            ref, words = self.catalog.fetch(key_of(stored), name, token)
            return str(ref), words

        try:
            return "", *_told(take)
        except Exception as error:
            # Its type alone: what the error says or holds could repeat the token.
            log.error("A pull failed: %s", type(error).__name__)
            return "", "", note(APOLOGY, "refusal")

    def pick(self, stored: Any, event: gr.EventData) -> tuple[str, str]:
        """A card of the gallery was clicked."""

        def take() -> tuple[str, str]:
            ref, words = self.catalog.fetch(key_of(stored), str(event.name))
            return str(ref), words

        return _told(take)

    def upload(self, stored: Any, path: str | None) -> tuple[str, str]:
        """Take in a checkpoint zip."""
        return _told(lambda: (str(self.catalog.upload(key_of(stored), path)), ""))

    def address(self, stored: Any, request: gr.Request) -> tuple[str, str]:
        """Fetch what the page's address asks for: `?checkpoint=user/name`."""
        name = request.query_params.get("checkpoint")
        if not name:
            return "", ""
        toast("Fetching it from the Hub.", "One moment", 3)
        ref, words = self.catalog.fetch(key_of(stored), name)
        return str(ref), note(words)

    def forget(self, stored: Any) -> str:
        """Delete what the visitor fetched."""
        self.catalog.forget(key_of(stored))
        return note("Removed.")

    def look(self, query: str, sort: str) -> str:
        """What others shared."""
        try:
            return self.gallery.show(query, sort)
        except BadInput as refusal:
            again = " " if isinstance(refusal, Unreachable) else " Please try again later."
            return f'<div class="empty">{html.escape(str(refusal))}{again}</div>'


def _told(take: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """What to open, and its note as HTML; nothing and the refusal when it cannot be had."""
    try:
        opened, words = take()
    except BadInput as refusal:
        return "", note(str(refusal), "refusal")
    return opened, note(words)


def _heading(text: str) -> str:
    return f'<div class="steps"><h2>{text}</h2></div>'


def _duplicate(hub: Hub, space: str) -> str:
    link = html.escape(f"{hub.endpoint}/spaces/{space}?duplicate=true")
    return (
        f'<p class="note">A garden of your own, with a GPU if you like: <a href="{link}" '
        'target="_blank" rel="noopener">Duplicate this Space</a>.</p>'
    )
