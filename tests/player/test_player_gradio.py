"""NCAPlayer inside a running Gradio page: props in, commands in, recordings out."""

from __future__ import annotations

import gradio as gr
import pytest

from nca.config import NCAConfig
from nca.player import NCAPlayer, player_model, replay
from tests.player.player_zoo import zoo_model

PLAYER = "document.querySelector('.nca-player')?.ncaPlayer"
ON = f"() => {PLAYER}?.run.model && {PLAYER}.run"


@pytest.fixture(scope="module")
def address():
    first = player_model(zoo_model(NCAConfig()), 24, "first", series="job")
    newer = player_model(zoo_model(NCAConfig(), seed=2), 24, "newer", series="job")
    other = player_model(zoo_model(NCAConfig(channels=8, hidden=(40,))), (20, 28), "other")
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    with gr.Blocks() as demo:
        player = NCAPlayer(first)
        sent, said = gr.Textbox(visible=False), gr.Textbox(elem_id="said")
        gr.Button("newer").click(lambda: NCAPlayer.show(newer), outputs=player, **quiet)
        gr.Button("late").click(lambda: NCAPlayer.refresh(newer), outputs=player, **quiet)
        gr.Button("other").click(lambda: NCAPlayer.show(other), outputs=player, **quiet)
        gr.Button("cut").click(
            lambda: NCAPlayer.do("damage", shape="half-left"), outputs=player, **quiet
        )
        cut_here = gr.Button("cut here")
        cut_here.click(None, js=player.command_js("wound", shape="half-right"))
        gr.Button("download").click(
            lambda recording: str(replay(recording).shape),
            inputs=sent,
            outputs=said,
            js=player.recording_js(),
            **quiet,
        )
    demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    yield demo.local_url
    demo.close()


def test_the_component_in_a_page(address, chromium):
    page = chromium.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_function(ON + ".t > 20")
    page.evaluate(f"() => {{ {PLAYER}.pause(); window.picture = {PLAYER}.ui.picture; }}")
    at = page.evaluate(ON + ".t")
    page.get_by_role("button", name="newer").click()
    page.wait_for_function(ON + ".model.sent.title === 'newer'")
    assert page.evaluate(ON + ".t") == at
    for number in (2, 3):  # the same command twice acts twice
        page.get_by_role("button", name="cut", exact=True).click()
        page.wait_for_function(f"{ON}.events.length === {number}")
    page.get_by_role("button", name="cut here").click()
    page.wait_for_function(ON + ".events.length === 4")
    assert [event[1] for event in page.evaluate(ON + ".events")] == ["model", "box", "box", "box"]
    page.get_by_role("button", name="download").click()
    page.wait_for_function("() => document.querySelector('#said textarea').value")
    said = page.evaluate("() => document.querySelector('#said textarea').value")
    assert said == f"({at + 1}, 24, 24, 4)"
    page.get_by_role("button", name="other").click()
    page.wait_for_function(ON + ".model.sent.title === 'other'")
    assert page.evaluate(ON + ".width") == 28
    assert page.evaluate(f"() => window.picture === {PLAYER}.ui.picture")
    # What a timer brings late does not replace what was chosen meanwhile.
    page.evaluate(f"() => {PLAYER}.reset()")
    page.get_by_role("button", name="late").click()
    page.wait_for_timeout(500)
    assert page.evaluate(ON + ".model.sent.title") == "other"
    assert errors == []
    page.close()
