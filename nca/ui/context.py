"""What every tab is built from, and how one tab opens a checkpoint on another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import gradio as gr

from nca.catalog import Catalog
from nca.jobs import JobQueue
from nca.settings import Settings
from nca.ui.events import listen
from nca.ui.visitor import browser_state, key_of, private_link, welcome

# What a handler is given when its inputs are a set, and what it returns: by component.
Values = Mapping[Any, Any]
Updates = dict[Any, Any]


def named_values(names: Iterable[str], fields: object, values: Values) -> dict[str, Any]:
    """Values by name, to make a form's NamedTuple of them.

    Args:
        names: of the form's fields.
        fields: has the components under the same names.
        values: by component.
    """
    return {name: values[getattr(fields, name)] for name in names}


@dataclass(frozen=True)
class Opener:
    """How a tab opens a checkpoint.

    Attributes:
        handler: the updates of the tab's outputs, from the inputs' values and a checkpoint's name.
        inputs: what the handler reads besides the visitor.
        outputs: what it updates.
        options: of the event, such as how many may run at the same time.
        script: runs in the page afterwards.
    """

    handler: Callable[[Values, str], Updates]
    inputs: Collection[Any]
    outputs: Collection[Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    script: str | None = None


@dataclass(frozen=True)
class PageContext:
    """What every tab is built from.

    A tab is a module with `ID`, `TITLE` and `build(context)`. `build` lays the tab out and returns
    a function that attaches what concerns other tabs, which is called once all are laid out.

    Attributes:
        settings: of the server.
        queue: the trainings.
        catalog: the checkpoints, and who may open them.
        visitor: the visitor's key, in their browser.
        chosen: the name of the checkpoint on the Grow tab; empty before there is one.
        loaded: the event that the page is open and the visitor has a key.
        private_link: a link that holds the key; not rendered yet.
        tabs: around all tabs.
        items: the tabs by id.
        openers: how tabs open a checkpoint, by id; a tab adds its own in `build`.
    """

    settings: Settings
    queue: JobQueue
    catalog: Catalog
    visitor: gr.BrowserState
    chosen: gr.Textbox
    loaded: Any
    private_link: gr.HTML
    tabs: gr.Tabs
    items: dict[str, gr.Tab] = field(default_factory=dict)
    openers: dict[str, Opener] = field(default_factory=dict)

    @classmethod
    def make(cls, page: gr.Blocks, settings: Settings, queue: JobQueue) -> Self:
        """The context of a page, within whose Blocks this is called where the tabs are to be.

        Args:
            page: the Blocks.
            settings: of the server.
            queue: the trainings.
        """
        visitor, link = (
            browser_state(settings.secret),
            gr.HTML(elem_id="private-link", render=False),
        )
        blocked = gr.HTML("", elem_id="keeps-nothing")
        loaded = listen(page.load, _welcome, visitor, [visitor, link, blocked])
        chosen, catalog = gr.Textbox("", visible=False), Catalog(settings, queue)
        return cls(settings, queue, catalog, visitor, chosen, loaded, link, gr.Tabs())

    def open_on(
        self,
        tab: str,
        event: Callable[..., Any],
        name: Callable[[Values], str],
        inputs: Collection[Any] = (),
    ) -> None:
        """On an event, show a tab with a checkpoint opened in it.

        Args:
            tab: its id.
            event: such as `button.click`.
            name: the checkpoint's name, from the inputs' values; where it is empty, nothing
                happens.
            inputs: what `name` reads besides the visitor.
        """
        opener = self.openers[tab]

        def open_checkpoint(values: Values) -> Updates:
            chosen = name(values)
            if not chosen:
                return gr.skip()
            return {self.tabs: gr.update(selected=tab), **opener.handler(values, chosen)}

        opened = listen(
            event,
            open_checkpoint,
            {self.visitor, *inputs, *opener.inputs},
            [self.tabs, *opener.outputs],
            **opener.options,
        )
        if opener.script:
            opened.success(None, None, None, js=opener.script, api_visibility="private")


def _welcome(stored: Any, request: gr.Request) -> tuple[dict[str, str | None], str, str]:
    """The visitor's key, a new one if they have none; their private link, in two sentences."""
    state = welcome(stored, request)
    link = private_link(key_of(state), "your private link")
    words = f"If your browser forgets this page, come back with {link}. Keep it to yourself."
    # Shown only where the browser says so, see `visitor.HEAD`.
    blocked = (
        f"Your browser keeps no data of this page. To come back to what you train, keep {link}, "
        "and keep it to yourself."
    )
    return (
        state,
        f'<div class="quiet"><p>{words}</p></div>',
        f'<p class="note" role="status">{blocked}</p>',
    )
