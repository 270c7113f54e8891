"""What every tab receives, and how one tab opens a checkpoint on another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import gradio as gr

from nca.catalog import Catalog
from nca.jobs import JobQueue
from nca.jobs.zero import ZeroGPU
from nca.settings import Settings
from nca.ui.events import listen
from nca.ui.visitor import WITH_ZONE, browser_state, key_of, private_link, welcome

# By component: what a handler receives when its inputs are a set, and what it returns.
Values = Mapping[Any, Any]
Updates = dict[Any, Any]


def named_values(names: Iterable[str], fields: object, values: Values) -> dict[str, Any]:
    """Values by field name, from which a form's NamedTuple can be made.

    Args:
        names: the names of the form's fields.
        fields: an object that has the components as attributes of the same names.
        values: the values by component.
    """
    return {name: values[getattr(fields, name)] for name in names}


@dataclass(frozen=True)
class Opener:
    """How a tab opens a checkpoint.

    Attributes:
        handler: takes the inputs' values and a checkpoint's name, returns updates of the outputs.
        inputs: what the handler reads besides the visitor.
        outputs: what it updates.
        options: of the event, such as its concurrency limit.
        script: JavaScript that runs in the page afterwards.
    """

    handler: Callable[[Values, str], Updates]
    inputs: Collection[Any]
    outputs: Collection[Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    script: str | None = None


@dataclass(frozen=True)
class PageContext:
    """What every tab receives.

    A tab is a module with `ID`, `TITLE` and `build(context)`. `build` lays the tab out and returns
    a function that attaches the handlers that involve other tabs; it is called once all tabs are
    laid out.

    Attributes:
        settings: the server's settings.
        queue: the trainings.
        catalog: the checkpoints, and who may open them.
        visitor: the visitor's key, in their browser.
        chosen: the name of the checkpoint on the Grow tab; empty before there is one.
        loaded: the event after the page has loaded and the visitor has a key.
        private_link: a link that holds the key; not rendered yet.
        zero_gpu: what trains on ZeroGPU, None elsewhere.
        tabs: the container of all tabs.
        items: the tabs by id.
        openers: how each tab opens a checkpoint, by tab id; a tab adds its own in `build`.
    """

    settings: Settings
    queue: JobQueue
    catalog: Catalog
    visitor: gr.BrowserState
    chosen: gr.Textbox
    loaded: Any
    private_link: gr.HTML
    tabs: gr.Tabs
    zero_gpu: ZeroGPU | None = None
    items: dict[str, gr.Tab] = field(default_factory=dict)
    openers: dict[str, Opener] = field(default_factory=dict)

    @classmethod
    def make(
        cls, page: gr.Blocks, settings: Settings, queue: JobQueue, zero_gpu: ZeroGPU | None = None
    ) -> Self:
        """Make the context; call it within the page's Blocks, at the place for the tabs.

        Args:
            page: the page's Blocks.
            settings: the server's settings.
            queue: the trainings.
            zero_gpu: what trains on ZeroGPU, if anything.
        """
        visitor, link = (
            browser_state(settings.secret),
            gr.HTML(elem_id="private-link", render=False),
        )
        blocked = gr.HTML("", elem_id="keeps-nothing")
        loaded = listen(
            page.load, _welcome, visitor, [visitor, link, blocked], js=WITH_ZONE
        )  # fmt: skip
        chosen, catalog = gr.Textbox("", visible=False), Catalog(settings, queue)
        return cls(settings, queue, catalog, visitor, chosen, loaded, link, gr.Tabs(), zero_gpu)

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
            name: returns the checkpoint's name from the inputs' values; when it is empty, nothing
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


def _welcome(stored: Any, request: gr.Request) -> tuple[dict[str, Any], str, str]:
    """The visitor's key, new if they have none, and two texts with their private link."""
    state = welcome(stored, request)
    link = private_link(key_of(state), "your private link")
    words = f"If your browser forgets this page, come back with {link}. Keep it to yourself."
    # Shown only when the browser blocks site data, see `visitor.HEAD`.
    blocked = (
        f"Your browser keeps no data of this page. To come back to what you train, keep {link}, "
        "and keep it to yourself."
    )
    return (
        state,
        f'<div class="quiet"><p>{words}</p></div>',
        f'<p class="note" role="status">{blocked}</p>',
    )
