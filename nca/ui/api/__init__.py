"""The public endpoints, for scripts and language models: six typed functions.

Each checks the visitor's key and the limits exactly as the page does. A key is 32 hex digits.
Whoever has it can see, stop and delete what was trained with it: do not lose it or share it.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import gradio as gr
from fastapi import Request
from fastapi.responses import JSONResponse
from gradio.context import get_blocks_context
from gradio.events import api as publish_call

from nca.catalog import Catalog
from nca.config import BadInput
from nca.jobs import JobQueue
from nca.settings import Settings
from nca.ui.api import answers
from nca.ui.api.checkpoints import Checkpoints
from nca.ui.api.describe import describe, on_single_lines
from nca.ui.api.grow import Growing
from nca.ui.api.scores import Scoring
from nca.ui.api.train import Training
from nca.ui.events import APOLOGY, NETWORK, PLAYING

__all__ = ["publish", "refuse_body"]

log = logging.getLogger(__name__)


def publish(settings: Settings, queue: JobQueue, catalog: Catalog) -> None:
    """Register the public endpoints; call it within the page's Blocks."""
    training, checkpoints = Training(settings, queue, catalog), Checkpoints(catalog)
    free: dict[str, Any] = {"concurrency_limit": None}
    endpoints: list[tuple[Callable[..., Any], Any, dict[str, Any]]] = [
        (training.train, answers.Started, {"concurrency_limit": 2}),
        (training.job, answers.Report, free),
        (Growing(settings, catalog).grow, answers.Grown, PLAYING),
        (Scoring(catalog).evaluate, answers.Scores, {"concurrency_limit": 1}),
        (checkpoints.list_checkpoints, answers.Listed, NETWORK),
        (checkpoints.pull, answers.Fetched, NETWORK),
    ]
    page = get_blocks_context()
    assert page is not None
    for call, answer, options in endpoints:
        plain = _plain(call)
        publish_call(plain, api_name=call.__name__, **options)
        (endpoint,) = (fn for fn in page.fns.values() if fn.api_name == call.__name__)
        describe(endpoint, plain, answer)


def refuse_body(_request: Request, _error: Exception) -> JSONResponse:
    """The response (422) to a request body that is not a call of an endpoint.

    FastAPI's own handler would echo the body, and fail with 500 when that cannot be serialised.
    """
    words = "Please send a JSON object whose data is the list of the endpoint's values."
    return JSONResponse({"error": words}, status_code=422)


def _plain(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a call: BadInput becomes its sentence, any other exception a general apology."""

    @functools.wraps(call)
    def safely(*values: Any) -> Any:
        try:
            return call(*values)
        except BadInput as refusal:
            message = str(refusal)
        except Exception:
            log.exception("%s failed", call.__qualname__)
            message = APOLOGY
        raise gr.Error(message, print_exception=False)

    safely.__doc__ = on_single_lines(call.__doc__ or "")
    return safely
