"""What appears in the corner of the page is text, whoever wrote it."""

from pathlib import Path

import gradio as gr
import pytest

from nca.jobs import JobQueue
from nca.settings import Settings
from nca.ui.context import PageContext
from nca.ui.events import toast
from nca.ui.train import tab as train
from tests.jobs_kit import tiny_png, tiny_spec, wait_for

MARKUP = "<h1>x</h1><img src=https://example.org/a.png>"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def shown(monkeypatch):
    said = []
    for kind in ("Info", "Warning"):
        monkeypatch.setattr(
            gr, kind, lambda words, *_, title, k=kind: said.append((k, words, title))
        )
    return said


@pytest.mark.long
def test_a_strangers_title_in_a_toast(tmp_path, shown):
    settings = Settings(home=tmp_path, secret="x" * 16)
    queue, key = JobQueue(tmp_path, settings.limits, devices=("cpu",)), JobQueue.new_key()
    try:
        with gr.Blocks() as page:
            context = PageContext.make(page, settings, queue)
            handlers = train.Handlers(context, train.lay_out(context))
        job = queue.submit(key, tiny_spec(2, title=MARKUP), tiny_png())
        wait_for(lambda: queue.view(key, job).state == "finished")
        handlers.tick({"own": key, "link": None}, job, {"job": job, "active": True})
    finally:
        queue.close()
    ((kind, words, _),) = shown
    assert kind == "Info" and "has finished" in words
    assert "<" not in words and "&lt;h1&gt;" in words


def test_titles_of_toasts_too(shown):
    toast(MARKUP, MARKUP, warning=True)
    assert shown[0][0] == "Warning" and "<" not in "".join(shown[0])


def test_nothing_else_shows_toasts():
    for path in (ROOT / "nca").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert path.name == "events.py" or not any(
            name in text for name in ("gr.Info", "gr.Warning", "gr.Success")
        ), path
