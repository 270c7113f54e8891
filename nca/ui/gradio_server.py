"""Changes to Gradio's server; everything here relies on internals of version 6.31.

Gradio is built for short demos. This server runs for weeks on two cores, so sessions must stay
small, and statistics that nobody reads must not be collected.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState, StateHolder
from gradio.utils import LRUCache

SESSIONS = 300  # open pages kept, 50 KB each; the least recently used is dropped first
POLL_SECONDS = 0.02  # Gradio's defaults, 0.001 and 0.01, cost an idle server 6 % of a core
PROGRESS_SECONDS = 0.1


def set_up_queue(page: gr.Blocks) -> None:
    """Make a page's event queue poll less often and keep less; call it after `page.queue`."""
    queue = page._queue  # pyright: ignore[reportPrivateUsage]
    queue.sleep_when_free = POLL_SECONDS
    queue.progress_update_sleep_when_free = PROGRESS_SECONDS
    # For a dashboard that is disabled, Gradio keeps 10,000 events and builds a data frame of all
    # of them after each event.
    queue.ANALYTICS_MAX_EVENTS = 1
    queue.ANAYLTICS_CACHE_FREQUENCY = 10**12  # events between two analytics summaries
    queue.pending_messages_per_session = _Recent(SESSIONS)


def fill_missing_values(page: gr.Blocks) -> None:
    """Let a call leave out values at the end of its list that have defaults.

    Gradio knows defaults only of values that are sent by name. Where a value without a default is
    missing, the answer is a sentence that names all of them; Gradio raises an error about event
    handlers, and writes its traceback into the log.
    """
    check = page.validate_inputs

    def fill(block_fn: Any, inputs: list[Any]) -> None:
        wanted = block_fn.inputs
        if block_fn.api_visibility == "public" and len(inputs) < len(wanted):
            missing = [*inspect.signature(block_fn.fn).parameters.values()][len(inputs) :]
            if any(value.default is inspect.Parameter.empty for value in missing):
                names = ", ".join(block.label for block in wanted)
                raise gr.Error(
                    f"Please send the values of {block_fn.api_name} in this order: {names}; or by "
                    f"name to /gradio_api/call/v2/{block_fn.api_name}.",
                    print_exception=False,
                )
            inputs += [value.default for value in missing]
        check(block_fn, inputs)

    page.validate_inputs = fill


def return_films_as_images(picture: Callable[[str], tuple[str, str]]) -> None:
    """Let MCP return a film in an answer as an image beside the rest of the answer.

    Gradio would return it as a text of a million characters.

    Args:
        picture: a PNG in base64 and a sentence about it, from a GIF in base64.
    """
    from gradio.mcp import GradioMCPServer

    convert = GradioMCPServer.postprocess_output_data

    def with_images(self: Any, data: Any, root_url: str) -> list[Any]:
        content: list[Any] = []
        for output in data:
            if isinstance(output, dict) and isinstance(output.get("gif"), str):
                image, sentence = picture(output["gif"])
                content.append(
                    self.types.ImageContent(type="image", data=image, mimeType="image/png")
                )
                output = {k: v for k, v in output.items() if k != "gif"} | {"image": sentence}
            content += convert(self, [output], root_url)
        return content

    GradioMCPServer.postprocess_output_data = with_images


class _Recent(LRUCache[Any, Any]):
    """Drops the least recently used entry; Gradio's drops the oldest, even while in use."""

    def __getitem__(self, key: Any) -> Any:
        self.move_to_end(key)
        return super().__getitem__(key)


class _Nothing(dict[Any, Any]):
    """A dict that ignores what is stored and returns an empty dict for every key."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: Any) -> dict[str, Any]:
        return {}


def _no_config(*_: Any, **__: Any) -> dict[str, Any]:
    return {}


class SmallSessions(StateHolder):
    """Sessions without a copy of the page's configuration and of every value last shown.

    Gradio keeps that copy for links into a session, which this page does not offer. With it, a
    session takes 1 MB, and every opened page has a session, up to the limit.
    """

    def set_blocks(self, blocks: gr.Blocks) -> None:
        """Serve this page."""
        super().set_blocks(blocks)
        # Sessions are made from this object; without blocks there is no configuration to copy.
        self.blocks: Any = SimpleNamespace(default_config=blocks.default_config, blocks=())

    def __getitem__(self, session_id: str) -> SessionState:
        is_new = session_id not in self.session_data
        session = super().__getitem__(session_id)
        if is_new:
            session.config_values = _Nothing()
            # Else it is made anew for every update of a component, and goes nowhere.
            session.blocks_config.config_for_block = _no_config
        return session


@asynccontextmanager
async def lifespan(app: Any) -> AsyncGenerator[None]:
    """Replace Gradio's session store before the app serves its first request."""
    app.state_holder = SmallSessions()
    app.state_holder.set_blocks(app.get_blocks())
    yield
