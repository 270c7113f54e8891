"""The page's handlers: of two calls at once, the newer one is shown."""

import asyncio
import inspect
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import pytest
from gradio.context import LocalContext
from starlette.requests import Request

from nca.config import BadInput
from nca.jobs import JobQueue
from nca.settings import Settings
from nca.ui import build_ui
from nca.ui.events import NumberRequests, newest

pytestmark = pytest.mark.quick


def call(handler, session: str, value: str) -> object:
    LocalContext.request.set(gr.Request(session_hash=session))
    return handler(value)


@pytest.mark.parametrize("ends_first", ["old", "new"])
def test_an_older_answer_never_replaces_a_newer_one(ends_first):
    begun = {name: threading.Event() for name in ("old", "new", "other")}
    goes_on = {name: threading.Event() for name in begun}

    @newest
    def handler(name: str) -> str:
        begun[name].set()
        assert goes_on[name].wait(10)
        return name

    with ThreadPoolExecutor(3) as pool:
        answers = {}
        for name, session in (("old", "a"), ("new", "a"), ("other", "b")):
            answers[name] = pool.submit(call, handler, session, name)
            assert begun[name].wait(10)
        for name in ("other", ends_first, "old", "new"):
            goes_on[name].set()
            answers[name].result(10)
    assert answers["other"].result() == "other" and answers["new"].result() == "new"
    assert answers["old"].result() == gr.skip()


def test_the_request_that_arrived_later_is_newer_whichever_begins_first():
    async def app(scope, receive, send):
        requests.append(Request(scope))

    requests: list[Request] = []
    numbered = NumberRequests(app)
    with ThreadPoolExecutor(1) as pool:  # where no browser's event loop runs
        for _ in range(2):
            pool.submit(asyncio.run, numbered({"type": "http"}, None, None)).result()
    handler = newest(str.upper)
    for request, word, answer in zip(
        requests[::-1], ("new", "old"), ("NEW", gr.skip()), strict=True
    ):
        LocalContext.request.set(gr.Request(request, session_hash="a"))
        assert handler(word) == answer


def test_a_refusal_is_raised_and_forgotten():
    @newest
    def handler(word: str) -> str:
        if word == "bad":
            raise BadInput("Please choose another word.")
        return word

    with pytest.raises(BadInput, match="another word"):
        call(handler, "a", "bad")
    assert call(handler, "a", "good") == "good"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    queue = JobQueue(home, devices=("cpu",))
    made = build_ui(Settings(home=home, secret="x" * 16), queue)
    queue.close()
    return made


def test_no_listener_that_repeats_an_event_reads_its_data(page):
    """Gradio repeats the event with the data of the first."""
    calls = [fn for fn in page.fns.values() if fn.fn]
    read = [fn for fn in calls if "EventData" in str(inspect.signature(fn.fn))]
    assert read and [fn.name for fn in read if fn.trigger_mode == "always_last"] == []


def test_no_event_has_two_listeners_that_repeat_it(page):
    repeating = Counter(
        (component, event)
        for dependency in page.config["dependencies"]
        if dependency["trigger_mode"] == "always_last" and dependency["backend_fn"]
        for component, event in dependency["targets"]
    )
    parts = {part["id"]: part["props"] for part in page.config["components"]}
    assert [parts[event[0]] for event, listeners in repeating.items() if listeners > 1] == []


def test_events_without_progress_update_no_status(page):
    """The browser copies all that a component holds whenever it updates its status."""
    calls = [d for d in page.config["dependencies"] if d["backend_fn"] and d["targets"]]
    silent = [d for d in calls if d["show_progress"] == "hidden"]
    assert len(silent) > len(calls) / 2
    assert [d["api_name"] for d in silent if d["show_progress_on"] != []] == []
