"""The whole page: masthead, tabs, and what ties them together."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

import gradio as gr

from nca.catalog import Catalog, CheckpointRef, Kind
from nca.config import BadInput
from nca.jobs import JobQueue
from nca.settings import Settings
from nca.ui import api, theme
from nca.ui.events import LIVES, NETWORK, PLAYING, listen
from nca.ui.grow import tab as grow
from nca.ui.inspect import tab as inspect
from nca.ui.share import tab as share
from nca.ui.train import tab as train
from nca.ui.visitor import HEAD, browser_state, key_of, private_link, welcome

log = logging.getLogger(__name__)

TITLE = "NCA Garden"
SPROUT = """<svg viewBox="0 0 11 11" shape-rendering="crispEdges" aria-hidden="true">
<rect width="11" height="11" fill="#1e482c"/>
<path fill="#87c495" d="M5 4h1v5H5zM2 2h2v1H2zM1 3h3v1H1zM2 4h3v1H2z"/>
<path fill="#b5dcbd" d="M7 1h2v1H7zM6 2h4v1H6zM6 3h3v1H6z"/>
<path fill="#d9a35b" d="M3 9h5v1H3z"/></svg>"""
MASTHEAD = f"""<header class="masthead">{SPROUT}<div><h1>{TITLE}</h1>
<p>Teach a single cell to grow into any picture, wound it, and watch it heal.</p></div></header>"""


def build_ui(settings: Settings, queue: JobQueue) -> gr.Blocks:
    """The page as Gradio Blocks, its queue set up; launch it with `launch_options`.

    Args:
        settings: of this server.
        queue: the jobs.
    """
    catalog = Catalog(settings, queue)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        visitor = browser_state(settings.secret)
        gr.HTML(MASTHEAD)
        blocked = gr.HTML("", elem_id="keeps-nothing")
        # Before the page's own handlers, which Gradio gives names too.
        exchange = share.Handlers(settings, catalog)
        api.publish(settings, queue, catalog)
        with gr.Tabs() as tabs:
            with gr.Tab("Train", id="train") as train_tab:
                training = train.build(settings, catalog, visitor)
            with gr.Tab("Grow", id="grow") as grow_tab:
                growing = grow.build(settings, catalog, visitor)
            with gr.Tab("Inspect", id="inspect") as inspect_tab:
                inspecting = inspect.build(catalog, visitor)
            with gr.Tab("Share", id="share") as share_tab:
                sharing = share.build(settings, exchange, visitor)
        with gr.Accordion("What is kept here, and credits", open=False):
            gr.HTML(f'<div class="quiet"><p>{kept(settings)}</p></div>')
            link = gr.HTML("", elem_id="private-link")

        opened = listen(page.load, _welcome, visitor, [visitor, link, blocked])
        listen(opened.then, training.handlers.attach, visitor, training.outputs)
        listen(
            grow_tab.select, growing.handlers.open, [visitor, growing.chosen, growing.seen],
            growing.outputs, **PLAYING,
        )  # fmt: skip
        listen(
            inspect_tab.select, inspecting.handlers.open, [*inspecting.inputs, growing.chosen],
            inspecting.outputs, **LIVES,
        )  # fmt: skip
        for other in (train_tab, inspect_tab, share_tab):
            other.select(None, None, growing.timer, js=grow.REST, api_visibility="private")

        def grow_it(stored: Any, job: str) -> list[Any]:
            queue.view(key_of(stored), job)
            return show_it(stored, str(CheckpointRef(Kind.JOB, job)))

        def show_it(stored: Any, name: str) -> Any:
            if not name:
                return gr.skip()
            return [gr.update(selected="grow"), *growing.handlers.choose(stored, name)]

        shown = [tabs, *growing.outputs]
        listen(
            training.grow_it.click, grow_it, [visitor, training.chosen], shown, **PLAYING
        )  # fmt: skip

        def look_back(stored: Any, job: str, iteration: float) -> Any:
            return show_it(stored, str(catalog.snapshot(key_of(stored), job, iteration)))

        listen(
            training.past.grow.click, look_back,
            [visitor, training.chosen, training.past.when], shown, **PLAYING,
        )  # fmt: skip

        def further(stored: Any, name: str, recipe: str) -> list[Any]:
            if not name:
                raise BadInput("Please choose an automaton first.")
            updates = training.handlers.begin.further(stored, name, recipe)
            return [gr.update(selected="train"), *updates]

        begun = listen(
            growing.further.click, further, [visitor, growing.chosen, training.recipe],
            [tabs, *training.begun],
        )  # fmt: skip
        begun.success(
            None, None, None, api_visibility="private",
            js="() => setTimeout(() => document.querySelector('#begin-with')"
            "?.scrollIntoView({behavior: 'smooth', block: 'center'}), 100)",
        )  # fmt: skip
        for event in (opened.then, train_tab.select):
            listen(event, training.handlers.begin.choices, visitor, training.beginning.chosen)

        asked = listen(
            opened.then, exchange.address, visitor, [sharing.opened, sharing.fetched],
            **NETWORK,
        )  # fmt: skip
        for fetched in (asked, *sharing.opening):
            listen(fetched.then, show_it, [visitor, sharing.opened], shown, **PLAYING)
        listen(share_tab.select, exchange.choices, [visitor, sharing.what], sharing.what)
        listen(
            share_tab.select, exchange.look, sharing.asked, sharing.wall,
            show_progress="minimal", trigger_mode="always_last", **NETWORK,
        )  # fmt: skip
    page.queue(max_size=200, default_concurrency_limit=None, api_open=False)
    # Gradio looks for events a thousand times a second, which costs an idle server 6 % of a core.
    page._queue.sleep_when_free = 0.02  # pyright: ignore[reportPrivateUsage]
    return page


def launch_options(settings: Settings) -> dict[str, Any]:
    """Arguments for `Blocks.launch`: nothing is published, fetched or shown of an error."""
    return {
        "theme": theme.theme(),
        "css": theme.style(),
        "head": HEAD,
        "max_file_size": settings.limits.upload_bytes,
        "allowed_paths": [],
        "state_session_capacity": 500,
        "show_error": False,
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": settings.mcp and has_mcp(),
        "share": False,
    }


def has_mcp() -> bool:
    """Whether Gradio can serve a language model's tools; says what to install when it cannot."""
    if importlib.util.find_spec("mcp"):
        return True
    # Not the extra gradio[mcp]: it asks for a pydantic older than the one pinned here.
    log.warning(
        "NCA_GARDEN_MCP=1 needs one more package: pip install 'mcp>=1.21,<2'. "
        "The page is served without it."
    )
    return False


def kept(settings: Settings) -> str:
    """What this server keeps of a visitor, in a sentence or two."""
    days = settings.limits.job_days
    return (
        "A training is kept with its picture until you delete it, or until "
        f"{days} days after it ended. Your browser keeps a random key to it, and nothing else "
        "tells this server who you are: whoever has the key can see, stop and delete what you "
        "trained. Checkpoints that you fetch or upload on the Share tab are kept for "
        f"{days} days, or until you remove them there; a token is used once and kept nowhere. "
        "Other uploads and downloads are removed after two hours. Emoji are drawn by "
        '<a href="https://github.com/jdecked/twemoji">Twemoji</a>, CC-BY 4.0.'
    )


def _welcome(stored: Any, request: gr.Request) -> tuple[dict[str, str | None], str, str]:
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
