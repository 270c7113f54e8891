"""The whole page: tabs and launch options; the header is part of the first screen."""

from __future__ import annotations

import logging
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi.exceptions import RequestValidationError
from starlette.middleware import Middleware

from nca.catalog import Catalog, Kind
from nca.jobs import JobQueue
from nca.jobs.keys import is_key
from nca.jobs.zero import ZeroGPU
from nca.settings import Settings
from nca.ui import api, gradio_server, health, link_preview, theme
from nca.ui.api.grow import moments
from nca.ui.components import script
from nca.ui.context import PageContext
from nca.ui.events import NumberRequests, listen, toast
from nca.ui.first_screen import served as first_screen
from nca.ui.first_screen.served import FirstScreen
from nca.ui.grow import tab as grow
from nca.ui.inspect import story
from nca.ui.inspect import tab as inspect
from nca.ui.page_cache import PageCache
from nca.ui.share import tab as share
from nca.ui.train import in_browser
from nca.ui.train import tab as train
from nca.ui.visitor import HEAD, key_of

log = logging.getLogger(__name__)

TABS = (grow, train, inspect, share)  # in order; see `PageContext` for what a tab is
TITLE = "NCA Garden"
# The other inputs: whether the visitor has done nothing yet on the first screen, and whether their
# browser holds trainings.
STATE_OF_VISIT = (
    "(visitor) => [visitor, !location.hash && (window.ncaFirst?.waits() ?? true), "
    f"{in_browser.HOLDS_TRAININGS}]"
)
# An address such as #how-it-works/3 opens the story; story.js finds the chapter in it.
OPEN_STORY = """() => ({__type__: 'update',
  ...(location.hash.startsWith('#how-it-works') && {selected: '%s'})})"""


def build_ui(settings: Settings, queue: JobQueue, zero_gpu: ZeroGPU | None = None) -> gr.Blocks:
    """The page as Gradio Blocks, with its queue set up; launch it with `launch_options`.

    Args:
        settings: the server's settings.
        queue: the jobs.
        zero_gpu: what trains on ZeroGPU, on a Space that has it.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        context = PageContext.make(page, settings, queue, zero_gpu)
        # Before the page's own handlers, because Gradio names those too and names must not clash.
        api.publish(settings, queue, context.catalog)
        connects = []
        with context.tabs:
            for tab in TABS:
                with gr.Tab(tab.TITLE, id=tab.ID) as context.items[tab.ID]:
                    connects.append(tab.build(context))
        for connect in connects:
            connect()
        lead_to_own_training(context)
        with gr.Accordion("What is kept here, and credits", open=False):
            gr.HTML(f'<div class="quiet"><p>{what_is_kept(settings)}</p></div>')
            context.private_link.render()
    page.queue(max_size=200, default_concurrency_limit=None, api_open=False)
    gradio_server.set_up_queue(page)
    gradio_server.fill_missing_values(page)
    if settings.mcp:
        set_up_mcp()
    return page


def lead_to_own_training(context: PageContext) -> None:
    """Open the Train tab for visitors who have a training, unless they already do something."""

    def open_train(stored: Any, untouched: bool, here: bool, request: gr.Request) -> Any:
        key = key_of(stored)
        if not untouched or "checkpoint" in request.query_params or not key:
            return gr.skip()
        trains = here or context.queue.jobs(key)
        return gr.update(selected=train.ID) if trains else gr.skip()

    def look_at_link(_: Any, request: gr.Request) -> None:
        """Say so when a private link leads to nothing."""
        key, own = request.query_params.get("key"), (Kind.JOB, Kind.COLLECTION)
        if key is None:
            return
        if not (is_key(key) and any(e.ref.kind in own for e in context.catalog.entries(key))):
            words = "Nothing is kept under this private link; please check that it is complete."
            toast(words, "Please note", warning=True)

    context.loaded.then(
        None, None, context.tabs, js=OPEN_STORY % inspect.ID, api_visibility="private"
    )
    untouched, here = gr.Checkbox(True, visible=False), gr.Checkbox(False, visible=False)
    inputs = [context.visitor, untouched, here]
    listen(context.loaded.then, open_train, inputs, context.tabs, js=STATE_OF_VISIT)
    listen(context.loaded.then, look_at_link, context.visitor)


def launch_options(settings: Settings, queue: JobQueue) -> dict[str, Any]:
    """Arguments for `Blocks.launch`: no share link, no requests to other sites, no error details.

    Args:
        settings: the server's settings.
        queue: the jobs, whose state `/healthz` reports.
    """
    catalog = Catalog(settings, queue)
    first = first_screen.markup(TITLE, catalog)
    preview = partial(link_preview.with_preview, title=TITLE)
    return {
        "app_kwargs": {
            "routes": [
                health.route(queue),
                link_preview.route(catalog),
                *story.routes(settings),
                *in_browser.routes(),
                *share.routes(settings),
            ],
            "middleware": [
                Middleware(NumberRequests),
                Middleware(PageCache, edit=preview),
                Middleware(FirstScreen, first),
            ],
            "lifespan": gradio_server.lifespan,
            "exception_handlers": {RequestValidationError: api.refuse_body},
        },
        "theme": theme.theme(),
        "css": theme.style(),
        "head": f"{HEAD}<script>{script('keyboard.js')}</script>",
        "favicon_path": Path(__file__).parent / "icon.png",
        "max_file_size": settings.limits.upload_bytes,
        "allowed_paths": [],
        "state_session_capacity": gradio_server.SESSIONS,
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
    """Whether Gradio can serve MCP tools."""
    return find_spec("mcp") is not None


def set_up_mcp() -> None:
    """Let the tools return films as pictures; log what to install where there can be no tools."""
    if has_mcp():
        gradio_server.return_films_as_images(moments)
        return
    # Not the extra gradio[mcp]: it requires an older pydantic than the one pinned here.
    log.warning(
        "NCA_GARDEN_MCP=1 needs one more package: pip install 'mcp>=1.21,<2'. "
        "The page is served without it."
    )


def what_is_kept(settings: Settings) -> str:
    """What this server stores about a visitor, in a sentence or two."""
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
