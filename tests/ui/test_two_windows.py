"""One visitor with two windows: what one does is seen in the other."""

import gradio as gr

from nca.jobs import JobQueue
from nca.settings import Settings
from nca.ui.context import PageContext
from nca.ui.train import tab as train
from nca.ui.train.job_panel import EMPTY
from tests.jobs_kit import tiny_png, tiny_spec, wait_for


def test_a_tab_that_is_opened_again_shows_what_another_window_did(tmp_path):
    settings = Settings(home=tmp_path, secret="x" * 16)
    queue, key = JobQueue(tmp_path, settings.limits, devices=("cpu",)), JobQueue.new_key()
    me = {"own": key, "link": None}
    try:
        with gr.Blocks() as page:
            context = PageContext.make(page, settings, queue)
            handlers = train.Handlers(context, train.lay_out(context))
        panel = handlers.tab.panel
        job = queue.submit(key, tiny_spec(100_000), tiny_png())
        seen = handlers.show_job(me, job)[panel.state]
        queue.stop(key, job)
        wait_for(lambda: queue.view(key, job).state == "stopped")
        assert "Stopped" in handlers.reopen(me, job, seen)[panel.status]
        queue.delete(key, job)
        gone = handlers.reopen(me, job, seen)
        assert gone[panel.selector]["value"] is None and gone[panel.status] == EMPTY
    finally:
        queue.close()
