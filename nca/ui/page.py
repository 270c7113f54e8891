"""The whole page: masthead, tabs, and what ties them together."""

from __future__ import annotations

from typing import Any

import gradio as gr

from nca.jobs import Garden
from nca.settings import Settings
from nca.ui import grow, theme, train
from nca.ui.listen import listen
from nca.ui.visitor import browser_state, key_of, welcome

TITLE = "NCA Garden"
SPROUT = """<svg viewBox="0 0 11 11" shape-rendering="crispEdges" aria-hidden="true">
<rect width="11" height="11" fill="#1e482c"/>
<path fill="#87c495" d="M5 4h1v5H5zM2 2h2v1H2zM1 3h3v1H1zM2 4h3v1H2z"/>
<path fill="#b5dcbd" d="M7 1h2v1H7zM6 2h4v1H6zM6 3h3v1H6z"/>
<path fill="#d9a35b" d="M3 9h5v1H3z"/></svg>"""
MASTHEAD = f"""<header class="masthead">{SPROUT}<div><h1>{TITLE}</h1>
<p>Teach a single cell to grow into any picture, wound it, and watch it heal.</p></div></header>"""


def build_ui(settings: Settings, garden: Garden) -> gr.Blocks:
    """The page as Gradio Blocks, its queue set up; launch it with `launch_options`.

    Args:
        settings: of this server.
        garden: the jobs.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        visitor = browser_state(settings.secret)
        gr.HTML(MASTHEAD)
        with gr.Tabs() as tabs:
            with gr.Tab("Train", id="train"):
                training = train.build(settings, garden, visitor)
            with gr.Tab("Grow", id="grow") as grow_tab:
                growing = grow.build(settings, garden, visitor)
        with gr.Accordion("What is kept here, and credits", open=False):
            gr.HTML(f'<div class="quiet"><p>{kept(settings)}</p></div>')
            link = gr.HTML("", elem_id="private-link")

        stage = [visitor, growing.chosen, growing.run, growing.steps, growing.seed]
        opened = listen(page.load, _welcome, visitor, [visitor, link])
        listen(opened.then, training.handlers.attach, visitor, training.outputs)
        listen(
            grow_tab.select, growing.handlers.open, stage, growing.outputs,
            show_progress="minimal", **grow.HEAVY,
        )  # fmt: skip

        def grow_it(stored: Any, job: str, steps: float, seed: float) -> list[Any]:
            garden.view(key_of(stored), job)
            return [
                gr.update(selected="grow"),
                *growing.handlers.choose(stored, f"job:{job}", steps, seed),
            ]

        listen(
            training.grow_it.click, grow_it,
            [visitor, training.chosen, growing.steps, growing.seed], [tabs, *growing.outputs],
            **grow.HEAVY,
        )  # fmt: skip
    page.queue(max_size=200, default_concurrency_limit=None, api_open=False)
    # Gradio looks for events a thousand times a second, which costs an idle server 6 % of a core.
    page._queue.sleep_when_free = 0.02
    return page


def launch_options(settings: Settings) -> dict[str, Any]:
    """Arguments for `Blocks.launch`: nothing is published, fetched or shown of an error."""
    return {
        "theme": theme.theme(),
        "css": theme.style(),
        "max_file_size": settings.limits.upload_bytes,
        "allowed_paths": [],
        "state_session_capacity": 500,  # a session on the Grow tab holds some megabytes
        "show_error": False,
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "share": False,
    }


def kept(settings: Settings) -> str:
    """What this server keeps of a visitor, in a sentence or two."""
    days = settings.limits.job_days
    return (
        "A training is kept with its picture until you delete it, or until "
        f"{days} days after it ended. Your browser keeps a random key to it, and nothing else "
        "tells this server who you are: whoever has the key can see, stop and delete what you "
        "trained. Uploads and downloads are removed after two hours. Emoji are drawn by "
        '<a href="https://github.com/jdecked/twemoji">Twemoji</a>, CC-BY 4.0.'
    )


def _welcome(stored: Any, request: gr.Request) -> tuple[dict[str, str | None], str]:
    state = welcome(stored, request)
    key = key_of(state)
    words = (
        f'<p>If your browser forgets this page, come back with <a href="?key={key}">your private '
        "link</a>. Keep it to yourself.</p>"
    )
    return state, f'<div class="quiet">{words}</div>'
