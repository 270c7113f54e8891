"""The player in a real browser: what fingers, keys, tabs and hostile pages do to it."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from nca.checkpoint import load_checkpoint, save_checkpoint
from nca.config import BadInput, NCAConfig
from nca.model import NCA
from nca.player.bundle import script
from nca.player.export import export_html
from nca.player.export import page as export_page
from nca.player.models import (
    _brush,
    checked_children,
    halved,
    nca_from_player,
    player_model,
)
from nca.player.replays import read_recording, replay, replay_states
from nca.render import animation_bytes, to_rgb8
from nca.zoo import together
from tests.player.player_zoo import zoo_model

HOME = "https://player.test/"
PLAYER = "document.querySelector('.nca-player').ncaPlayer"
SIZE = 32


def model(seed: int = 0, **values) -> dict:
    nca = zoo_model(NCAConfig(**values), seed=seed)
    with torch.no_grad():  # colours that show, whatever else it does
        nca.layers[-1].bias[:3] = torch.tensor([0.1, 0.06, 0.02])
    return player_model(nca, SIZE, title="test <i>automaton</i>")


@pytest.fixture
def opened(chromium):
    """Opens the exported page under an origin of its own; collects errors and requests."""
    contexts = []

    def open_page(sent=None, headers=None, body=None, **options):
        context = chromium.new_context(**{"viewport": {"width": 1000, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.errors, page.requests = [], []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        text = body or export_page(sent or model())
        page.route(
            HOME + "**",
            lambda route: route.fulfill(
                body=text, headers={"content-type": "text/html", **(headers or {})}
            ),
        )
        page.goto(HOME)
        page.wait_for_function(f"() => {PLAYER}?.run.t > 0")
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.errors == []
        context.close()


def ask(page, expression: str):
    return page.evaluate(f"() => {PLAYER}.{expression}")


def pixels(page) -> np.ndarray:
    """The canvas's own pixels, uint8 [H, W, 3]."""
    found = page.evaluate(
        f"""() => {{ const {{ picture }} = {PLAYER}.ui;
        const image = picture.getContext('2d').getImageData(0, 0, picture.width, picture.height);
        return [image.height, image.width, Array.from(image.data)]; }}"""
    )
    return np.array(found[2], np.uint8).reshape(found[0], found[1], 4)[..., :3]


def alive(page) -> np.ndarray:
    found = page.evaluate(f"() => Array.from({PLAYER}.run.engine.read())")
    return np.array(found).reshape(SIZE, SIZE, -1)[..., 3] > 0.1


def grown(page, steps: int = 60) -> None:
    ask(page, "pause()")
    ask(page, f"reset({7})")
    ask(page, f"advance({steps})")


OVER = f"""{PLAYER}.ui.over.getContext("2d").getImageData(
  0, 0, {PLAYER}.ui.over.width, {PLAYER}.ui.over.height)"""


def spot(page, x: float, y: float) -> tuple[float, float]:
    box = page.locator("canvas.picture").bounding_box()
    return box["x"] + box["width"] * (x + 0.5) / SIZE, box["y"] + box["height"] * (y + 0.5) / SIZE


def test_a_drag_erases_and_flashes(opened):
    page = opened()
    grown(page)
    ask(page, "brush = 5")
    assert alive(page)[8, 4:28].all()
    page.mouse.move(*spot(page, 4, 8))
    page.mouse.down()
    page.mouse.move(*spot(page, 27, 8), steps=3)
    assert ask(page, "overlay.flashes.length") > 0
    page.mouse.up()
    now = alive(page)
    assert not now[5:12, 4:28].any()
    assert now[20:, :].all()
    kinds = {event[1] for event in ask(page, "run.events")}
    assert kinds == {"erase"}
    page.wait_for_function(f"() => {PLAYER}.overlay.flashes.length === 0")


def test_a_stroke_leaves_one_loop_of_frames(opened):
    """Every frame the loop runs once, however often a held brush erases."""
    page = opened()
    page.evaluate(
        """() => { window.calls = new Map(); const ask = window.requestAnimationFrame.bind(window);
        window.requestAnimationFrame = (then) => ask((now) => {
          window.calls.set(now, (window.calls.get(now) ?? 0) + 1); then(now); }); }"""
    )
    page.mouse.move(*spot(page, 8, 16))
    page.mouse.down()
    page.mouse.move(*spot(page, 24, 16), steps=6)
    start = ask(page, "run.t")
    page.wait_for_function(f"() => {PLAYER}.run.t > {start + 12}")
    page.mouse.up()
    page.evaluate("() => window.calls.clear()")
    page.wait_for_function("() => window.calls.size > 20")
    assert page.evaluate("() => Math.max(...window.calls.values())") == 1


def test_an_empty_overlay_is_left_alone(opened):
    """To clear it makes the browser compose the page again, 60 times a second."""
    page = opened()
    page.evaluate(
        f"""() => {{ window.cleared = 0; const context = {PLAYER}.ui.over.getContext("2d");
        const clear = context.clearRect.bind(context);
        context.clearRect = (...box) => {{ window.cleared++; clear(...box); }}; }}"""
    )
    shown = f"new Uint32Array({OVER}.data.buffer).some(Boolean)"
    page.mouse.move(*spot(page, 8, 16))
    page.wait_for_function(f"() => {shown}")
    page.mouse.move(1, 1)
    page.wait_for_function(f"() => !{shown}")
    page.evaluate("() => { window.cleared = 0; }")
    page.wait_for_function(f"() => {PLAYER}.run.t > {ask(page, 'run.t') + 10}")
    assert page.evaluate("() => window.cleared") == 0


def test_speed_is_slow_enough_to_watch_and_slower_after_damage(opened):
    page = opened()
    assert page.get_by_role("slider", name="Speed").get_attribute("aria-valuetext") == "20/s"
    assert ask(page, "slowUntil") == 0
    ask(page, "damage('centre')")
    assert 1500 < page.evaluate(f"() => {PLAYER}.slowUntil - performance.now()") <= 2000


def test_damage_that_does_not_heal_is_said_once_with_a_way_on(opened):
    nca = zoo_model(NCAConfig())
    with torch.no_grad():  # nothing ever changes
        nca.layers[-1].weight.zero_()
        nca.layers[-1].bias.zero_()
    page = opened(player_model(nca, SIZE))
    ask(page, "pause()")
    unhealed = page.get_by_text("has not healed")
    whole = f"new Float32Array({SIZE * SIZE * 16}).fill(1)"
    for steps, said in ((20, False), (120, True)):  # a body of 20 steps may still be growing
        ask(page, "reset(1)")
        ask(page, f"run.engine.setState({whole}, {SIZE}, {SIZE})")
        ask(page, f"advance({steps})")
        ask(page, "damage('half-left')")
        ask(page, "advance(60)")
        ask(page, "erase(16, 16)")  # the last damage counts
        ask(page, "advance(199)")
        assert not unhealed.is_visible()
        ask(page, "advance(1)")
        assert unhealed.is_visible() == said
    page.get_by_role("button", name="Grow it anew").click()
    assert not unhealed.is_visible() and ask(page, "playing")
    assert ask(page, "run.t") < 100
    # What is there again, here since it was never there, has healed.
    ask(page, "pause()")
    ask(page, "reset(1)")
    ask(page, "advance(120)")
    ask(page, "erase(2, 2)")
    ask(page, "advance(200)")
    assert not unhealed.is_visible()


def test_the_brush_is_as_wide_as_the_automaton_heals(opened, tmp_path):
    nca = zoo_model(NCAConfig())
    folder = save_checkpoint(tmp_path / "x", nca, metrics={"heals": {"radius": 5}}, preview=False)
    sent = player_model(load_checkpoint(folder), SIZE)
    assert sent["brush"] == 5 and player_model(nca)["brush"] == 3
    for radius, brush in ((0, 2), (7, 5), (2.6, 3), ("x", 3), (float("nan"), 3), (None, 3)):
        assert _brush({"heals": {"radius": radius}}) == brush
    assert _brush({"heals": []}) == _brush({}) == 3
    page = opened(sent)
    assert ask(page, "brush") == 5
    page.get_by_role("slider", name="Brush").fill("9")
    ask(page, f"setModel({json.dumps(sent | {'version': 'another'})})")
    assert ask(page, "brush") == 9  # chosen by hand


def test_a_double_click_plants_a_seed(opened):
    page = opened()
    grown(page)
    ask(page, "damage('half-left')")
    ask(page, "damage('half-right')")
    assert not alive(page).any()
    page.mouse.dblclick(*spot(page, 9, 21))
    now = alive(page)
    assert now[21, 9]
    assert now.sum() == 1
    page.get_by_role("button", name="Plant").click()
    page.mouse.click(*spot(page, 25, 6))
    assert alive(page)[6, 25]
    ask(page, "advance(12)")
    assert alive(page).sum() > 20


def test_a_finger_erases_on_a_phone(opened):
    page = opened(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    grown(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    before = alive(page).sum()
    page.touchscreen.tap(*spot(page, 16, 16))
    now = alive(page)
    assert not now[16, 16]
    assert now.sum() < before
    # Of two fingers the newer one draws, and no line between them is erased.
    at, touches = len(ask(page, "run.events")), page.context.new_cdp_session(page)
    spots = (spot(page, 8, 8), spot(page, 24, 24), spot(page, 9, 8))
    first, second, moved = ({"x": x, "y": y, "id": k % 2} for k, (x, y) in enumerate(spots))
    for kind, points in (
        ("Start", [first]), ("Start", [first, second]), ("Move", [moved, second]), ("End", [moved]),
        ("End", []),
    ):  # fmt: skip
        touches.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    assert {tuple(event[2:4]) for event in ask(page, "run.events")[at:]} == {(8, 8), (24, 24)}
    small = page.evaluate(
        f"""() => [...{PLAYER}.ui.root.querySelectorAll('button')].filter((button) => {{
        const box = button.getBoundingClientRect();
        return box.width && (box.width < 36 || box.height < 36); }}).length"""
    )
    assert small == 0


def test_pause_step_speed_and_rewind(opened):
    page = opened()
    page.get_by_role("button", name="Pause").click()
    at = ask(page, "run.t")
    page.wait_for_timeout(150)
    assert ask(page, "run.t") == at
    page.get_by_role("button", name="One step (.)").click()
    assert ask(page, "run.t") == at + 1
    page.locator("canvas.picture").focus()
    page.keyboard.press(".")
    assert ask(page, "run.t") == at + 2
    grown(page, 137)
    ask(page, "setAngle(30)")
    ask(page, "erase(10, 12, 5)")
    ask(page, "advance(30)")
    late = pixels(page)
    ask(page, "goTo(141)")
    assert ask(page, "run.t") == 141
    ask(page, "goTo(167)")  # forward again: the damage and the angle come back
    assert (pixels(page) == late).all()
    ask(page, "goTo(100)")
    page.keyboard.press(",")
    assert ask(page, "run.t") == 99
    ask(page, "advance(1)")  # another future: what was done later is forgotten
    assert ask(page, "run.end") == 100
    assert ask(page, "run.events") == []
    page.get_by_label("Rewind: step").fill("60")
    page.wait_for_function(f"() => {PLAYER}.run.t === 60")
    ask(page, "goTo(100)")
    ask(page, "setSpeed(6)")
    page.locator("canvas.picture").focus()
    page.keyboard.press(" ")
    page.wait_for_function(f"() => {PLAYER}.run.t > 400")
    assert ask(page, "playing")


def test_views_and_the_inspector(opened):
    page = opened()
    grown(page, 40)
    ask(page, "setView('all')")
    assert pixels(page).shape == (4 * SIZE, 4 * SIZE, 3)
    ask(page, "setView('5')")
    assert pixels(page).shape == (SIZE, SIZE, 3)
    page.get_by_role("button", name="Look").click()
    page.mouse.click(*spot(page, 16, 16))
    ask(page, "advance(1)")
    ask(page, "advance(1)")
    assert page.get_by_text("cell 16, 16").is_visible()
    assert len(ask(page, "inspector.samples.map((s) => s.t)")) == 3
    assert alive(page)[16, 16]  # looking does not erase


def test_another_automaton_keeps_the_canvas_and_newer_weights_keep_the_state(opened):
    first, newer = model(), model(seed=3)
    first["series"] = newer["series"] = "a job"
    page = opened(first)
    grown(page, 50)
    page.evaluate(f"() => {{ window.before = {PLAYER}.ui.picture; }}")
    page.evaluate(f"(sent) => {PLAYER}.setModel(sent)", newer)
    assert ask(page, "run.t") == 50
    assert alive(page).sum() > 300
    ask(page, "advance(10)")
    assert [event[1] for event in ask(page, "run.events")] == ["model"]
    recording = ask(page, "recording()")
    assert set(recording["models"]) == {first["version"], newer["version"]} or recording["t0"] == 50
    *_, last = replay_states(read_recording(recording))
    assert np.abs(to_rgb8(last[0]).astype(int) - pixels(page)).max() <= 1
    newest = model(seed=4)
    newest["series"] = "a job"
    ask(page, "goTo(55)")  # who looks back is not disturbed
    page.evaluate(f"(sent) => {PLAYER}.setModel(sent)", newest)
    assert ask(page, "run.end") == 60
    ask(page, "advance(1)")
    assert ask(page, "run.model.version") == newest["version"]
    page.evaluate(f"(sent) => {PLAYER}.setModel(sent)", model(channels=8, hidden=(40,)))
    assert ask(page, "run.t") == 0
    assert page.evaluate(f"() => window.before === {PLAYER}.ui.picture")


def test_a_hidden_tab_stops(opened):
    page = opened()
    page.evaluate(
        """() => { Object.defineProperty(document, 'hidden', { get: () => window.isHidden });
        window.isHidden = true; }"""
    )
    page.wait_for_timeout(100)
    at = ask(page, "run.t")
    page.wait_for_timeout(200)
    assert ask(page, "run.t") == at
    page.evaluate(
        "() => { window.isHidden = false; document.dispatchEvent(new Event('visibilitychange')); }"
    )
    page.wait_for_function(f"(at) => {PLAYER}.run.t > at", arg=at)


def test_off_screen_and_removed_it_stops(opened):
    page = opened()
    page.evaluate("() => { document.querySelector('main').style.marginTop = '5000px'; }")
    page.wait_for_function(f"() => !{PLAYER}.seen && !{PLAYER}.frame")
    page.evaluate("() => { document.querySelector('main').style.marginTop = 0; }")
    page.wait_for_function(f"() => {PLAYER}.frame")
    page.evaluate(f"() => {{ window.kept = {PLAYER}; kept.host.remove(); }}")
    page.wait_for_function("() => !kept.frame")


def test_a_lost_graphics_card_is_survived(opened):
    page = opened()
    grown(page, 20)
    assert ask(page, "useEngine('webgl2')") == "webgl2"
    ask(page, "erase(12, 12, 4)")
    ask(page, "advance(35)")
    before = pixels(page)
    page.evaluate(
        f"() => {{ window.lost = {PLAYER}.run.engine.gl.getExtension('WEBGL_lose_context');"
        " lost.loseContext(); }"
    )
    page.wait_for_function(f"() => {PLAYER}.run.engine.name === 'wasm'")
    ask(page, "setView('rgba')")  # draws again
    assert ask(page, "run.t") == 55
    assert np.abs(pixels(page).astype(int) - before).max() <= 1
    page.evaluate("() => lost.restoreContext()")
    page.wait_for_function(f"() => {PLAYER}.run.engine.name === 'webgl2'")
    ask(page, "advance(5)")
    assert ask(page, "run.t") == 60
    assert alive(page).sum() > 100


def test_every_engine_draws_the_same(opened):
    page = opened()
    grown(page, 30)
    seen = {}
    for engine in ("wasm", "webgl2", "js"):
        assert ask(page, f"useEngine('{engine}')") == engine
        for view in ("rgba", "alpha", "all", "2", "7"):
            ask(page, f"setView('{view}')")
            now = pixels(page).astype(int)
            assert now.std() > 1
            assert np.abs(now - seen.setdefault(view, now)).max() <= 1, (engine, view)


def test_a_page_without_eval_still_plays(opened):
    only = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
    page = opened(headers={"content-security-policy": only})
    assert ask(page, "run.engine.name") == "js"
    grown(page, 30)
    assert alive(page).sum() > 50


def test_an_automaton_beyond_an_engine_is_handed_over(opened):
    page = opened(model(hidden=(40, 40, 40)))
    assert ask(page, "useEngine('webgl2')") == "wasm"
    page = opened()
    assert ask(page, "useEngine('webgl2')") == "webgl2"
    page.evaluate(f"(sent) => {PLAYER}.setModel(sent)", model(hidden=(40, 40, 40)))
    assert ask(page, "run.engine.name") == "wasm"


def test_the_export_runs_from_disk_without_any_request(chromium, tmp_path):
    text = export_page(model())
    assert len(text.encode()) < 120_000
    assert len(script().encode()) < 140_000  # compressed in the export
    assert "test <i>" not in text
    file = tmp_path / "automaton.html"
    file.write_text(text)
    context = chromium.new_context(offline=True)
    page, requests = context.new_page(), []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_function(f"() => {PLAYER}?.run.t > 20")
    assert [url for url in requests if not url.startswith("data:")] == [file.as_uri()]
    assert ask(page, "run.engine.name") == "wasm"
    assert page.get_by_role("slider", name="Speed").is_visible()
    # Without controls when its address says so.
    page.goto(f"{file.as_uri()}?bare")
    page.wait_for_function(f"() => {PLAYER}?.run.t > 0")
    assert not page.get_by_role("slider", name="Speed").is_visible()
    assert not page.locator("h1").is_visible()
    context.close()


def test_a_checkpoint_folder_is_exported(tmp_path):
    save_checkpoint(tmp_path, zoo_model(NCAConfig()), preview=False)
    text = export_html(tmp_path)
    assert 'class="nca-player"' in text
    assert len(text.encode()) < 105_000 and "<a " not in text
    linked = export_html(tmp_path, home='https://garden.test/"&')
    assert 'href="https://garden.test/&quot;&amp;"' in linked
    with pytest.raises(BadInput):
        export_html(tmp_path / "nothing")


def test_the_export_has_the_weights_in_half_precision(chromium, tmp_path):
    nca = NCA(NCAConfig(hidden=(8,), laplacian="nine_point", kinds=2))
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():  # also numbers below the smallest normal one, and none at all
        for part, power in zip(nca.parameters(), (-8, 0, -6, 3, 0), strict=True):
            part.copy_(torch.randn(part.shape, generator=draw) * 10.0**power)
        nca.layers[0].weight[0] = 0
    sent = halved(player_model(nca))
    assert len(sent["weights"]) < 0.51 * len(player_model(nca)["weights"])
    read, expected = nca_from_player(sent), [p.half().float() for p in nca.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(read.parameters(), expected, strict=True))
    file = tmp_path / "automaton.html"
    file.write_text(export_html(save_checkpoint(tmp_path / "saved", nca, preview=False)))
    page = chromium.new_page()
    page.goto(file.as_uri())
    page.wait_for_function(f"() => {PLAYER}?.run")
    parts = page.evaluate(f"""() => {{
      const {{ layers, genes }} = {PLAYER}.run.model;
      return [[...genes], ...layers.flatMap(({{ weight, bias }}) => [[...weight], [...bias]])];
    }}""")
    page.close()
    assert [len(p) for p in parts] == [p.numel() for p in expected]
    for part, wanted in zip(parts, expected, strict=True):
        assert torch.equal(torch.tensor(part), wanted.flatten())
    # What float16 cannot hold stays as it is.
    with torch.no_grad():
        nca.layers[0].bias[0] = 7e4
    assert halved(player_model(nca)) == player_model(nca)


def test_what_dies_or_grows_beyond_all_bounds_is_said_in_a_sentence(opened):
    nca = zoo_model(NCAConfig())
    with torch.no_grad():  # doubles every channel with every step, for ever
        first, last = nca.layers
        first.weight.zero_()
        first.bias.zero_()
        last.weight.zero_()
        last.bias.zero_()
        for channel in range(16):
            first.weight[channel, channel] = last.weight[channel, channel] = 1
    page = opened(player_model(nca, SIZE))
    page.wait_for_function(f"() => {PLAYER}.run.broken")
    assert page.get_by_text("grew beyond all bounds").is_visible()
    assert not ask(page, "playing")
    grown(page, 1)
    assert not page.get_by_text("grew beyond all bounds").is_visible()
    ask(page, "damage('half-left')")
    ask(page, "damage('half-right')")
    ask(page, "advance(50)")
    assert page.get_by_text("Nothing is alive").is_visible()
    ask(page, "plant(3, 3)")
    ask(page, "advance(1)")
    assert not page.get_by_text("Nothing is alive").is_visible()


def test_keys_reach_every_cell(opened):
    page = opened()
    grown(page)
    page.locator("canvas.picture").focus()
    for key in ("ArrowLeft", "ArrowUp", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    assert ask(page, "run.events") == [[60, "erase", 15, 14, 3]]
    page.keyboard.press("p")
    page.keyboard.press("Enter")
    page.keyboard.press("]")
    page.keyboard.press("3")
    assert [event[1] for event in ask(page, "run.events")] == ["erase", "seed", "box"]
    assert ask(page, "brush") == 4
    page.keyboard.press("v")
    assert ask(page, "view") == "alpha"
    page.keyboard.press("?")
    assert page.get_by_text("start again", exact=True).is_visible()
    page.get_by_text("Details").focus()
    page.keyboard.press(" ")
    assert page.get_by_label("Engine").is_visible() and not ask(page, "playing")


def test_the_export_runs_in_a_sandboxed_frame(chromium):
    page = chromium.new_page()
    page.set_content('<iframe sandbox="allow-scripts" width="900" height="700"></iframe>')
    page.evaluate(
        "(text) => { document.querySelector('iframe').srcdoc = text; }", export_page(model())
    )
    frame = page.wait_for_selector("iframe").content_frame()
    frame.wait_for_function(f"() => {PLAYER}?.run.t > 5")
    page.close()


@pytest.mark.parametrize("padding", ["zero", "circular"])
def test_what_is_downloaded_is_what_was_seen(opened, padding):
    page = opened(model(padding=padding))
    grown(page, 130)
    seen = {}
    actions = {
        131: "erase(3, 14, 6)", 140: "damage('circle')", 141: "damage('half-top')",
        150: "plant(20, 5)", 155: "setAngle(77)", 170: "erase(30, 30, 4)", 175: "damage('centre')",
    }  # fmt: skip
    for step in range(131, 181):
        ask(page, "advance(1)")
        if step in actions:
            ask(page, actions[step])
        if step % 7 == 0 or step in actions or step == 180:
            seen[step] = pixels(page)
    recording = read_recording(page.evaluate(f"() => JSON.stringify({PLAYER}.recording())"))
    assert recording.t0 == 0
    assert recording.t1 == 180
    states = list(replay_states(recording))
    assert len(states) == 181
    for step, shown in seen.items():
        assert np.abs(to_rgb8(states[step][0]).astype(int) - shown).max() <= 1, step
    short = page.evaluate(f"() => {PLAYER}.recording(60)")
    frames = replay(short)
    assert short["t0"] == 150
    assert frames.shape == (31, SIZE, SIZE, 4)
    film = Image.open(io.BytesIO(animation_bytes(frames, "webp", fps=25, scale=1)))
    film.seek(film.n_frames - 1)
    on_white = Image.new("RGBA", film.size, "white")
    on_white.alpha_composite(film.convert("RGBA"))
    last = np.asarray(on_white.convert("RGB")).astype(int)
    assert np.abs(last - seen[180]).max() <= 3  # straight alpha in 8 bits, composited twice


def test_kinds_are_chosen_planted_painted_and_replayed(opened):
    page = opened(model(kinds=3))
    grown(page, 30)
    page.locator("[data-act='kind:2']").click()
    assert page.locator("[data-act='kind:2']").get_attribute("aria-pressed") == "true"
    assert ask(page, "tool") == "seed", "what is chosen is planted"
    ask(page, "plant(3, 3)")
    ask(page, "advance(20)")
    page.locator("[data-act='tool:genes']").click()
    page.locator("[data-act='kind:3']").click()
    ask(page, "brushAt(16, 16)")
    ask(page, "advance(10)")
    assert ask(page, "run.engine.name") == "wasm" and page.locator(".player.several").count() == 1
    state = ask(page, "run.engine.read()")
    found = np.array(state, np.float32).reshape(SIZE, SIZE, -1)
    assert {1, 2, 3} <= set(found[..., -1].ravel())
    recording = ask(page, "recording()")
    assert [event[1:] for event in recording["events"]] == [
        ["plant", 3, 3, 2], ["paint", 16, 16, 3, 3]
    ]  # fmt: skip
    *_, last = replay_states(read_recording(recording))
    assert np.abs(last[0].numpy() - found).max() < 1e-3
    ask(page, "reset()")
    assert max(ask(page, "run.engine.read()")) == 3, "it starts again as the chosen kind"
    recording["events"][0][-1] = 4
    with pytest.raises(BadInput, match="damaged"):
        list(replay_states(read_recording(recording)))
    page.evaluate(f"(sent) => {PLAYER}.setModel(sent)", model())
    assert ask(page, "tool") == "erase" and not page.locator(".kinds").is_visible()


def test_a_life_goes_on_elsewhere(opened):
    """As when a page is loaded again: the state, the children, the grid, and what comes next."""
    page = opened(model(kinds=2))
    grown(page, 30)
    ask(page, "run.mix(1, 2, 0.5)")
    ask(page, "keepChild()")
    ask(page, "plant(4, 4)")
    ask(page, "setAngle(30)")
    life = json.loads(json.dumps(ask(page, "life")))
    ask(page, "advance(20)")
    later = ask(page, "run.engine.read()")
    ask(page, "setGrid(40)")
    page.reload()
    page.wait_for_function(f"() => {PLAYER}?.run.t > 0")
    ask(page, "setGrid(48)")
    page.evaluate(f"(life) => {PLAYER}.goOn(life)", life)
    assert (ask(page, "step"), ask(page, "playing")) == (30, False)
    assert ask(page, "children") == [[1, 2, 0.5]] and ask(page, "run.width") == SIZE
    ask(page, "advance(20)")
    assert ask(page, "run.engine.read()") == later
    # Of another architecture: it is left alone.
    page.evaluate(f"(sent) => {PLAYER}.setModel(sent)", model(channels=9))
    assert ask(page, "playing")  # another one than what was paused
    ask(page, "pause()")
    ask(page, "advance(3)")
    step = ask(page, "step")
    page.evaluate(f"(life) => {PLAYER}.goOn(life)", life)
    assert ask(page, "step") == step


def test_two_automata_on_one_grid_are_planted_grafted_and_replayed(opened):
    lively = {"laplacian": "nine_point"}
    pair = together(*(zoo_model(NCAConfig(**lively), seed=seed) for seed in (1, 2)))
    face = "data:image/png;base64,iVBORw0KGgo="
    about = {"kinds": ["", "🐠"], "faces": [face, ""], "crosses": False}
    page = opened(player_model(pair, SIZE) | about)
    assert page.locator(".kinds").inner_text().split() == ["🐠"]
    assert page.locator("[data-act='kind:1'] img").get_attribute("src") == face
    assert page.locator(".several").count() == 1 and not page.locator(".crossing").is_visible()
    grown(page, 20)
    page.locator("[data-act='kind:2']").click()
    ask(page, "plant(4, 4)")
    ask(page, "advance(10)")
    ask(page, "setTool('genes')")
    ask(page, "brushAt(16, 16)")
    ask(page, "advance(10)")
    found = np.array(ask(page, "run.engine.read()"), np.float32).reshape(SIZE, SIZE, -1)
    assert {1, 2} <= set(found[..., -1].ravel())
    *_, last = replay_states(read_recording(ask(page, "recording()")))
    assert np.abs(last[0].numpy() - found).max() < 1e-3


def test_a_player_that_does_not_know_kinds_says_so_and_goes_on(opened):
    """As one of an earlier version in a page that is still open, given a zoo by a newer server."""
    page = opened()
    before = ask(page, "run.model.version")
    newer = model(kinds=3)
    page.evaluate(  # what such a player reads of it
        f"""(sent) => {PLAYER}.setModel(sent)""",
        newer | {"config": newer["config"] | {"kinds": 0}},
    )
    said = page.get_by_text(
        "This player is too old for that automaton. Please load the page again."
    )
    said.wait_for()
    ask(page, "advance(3)")
    assert said.is_visible() and ask(page, "run.model.version") == before and not page.errors
    page.evaluate(f"(sent) => {PLAYER}.setModel(sent)", newer)
    assert not said.is_visible() and ask(page, "run.model.kinds") == 3


def slide(page, percent: int) -> None:
    page.locator("[data-in='share']").evaluate(
        """(input, value) => {
          input.value = value;
          input.dispatchEvent(new Event("input", { bubbles: true }));
        }""",
        percent,
    )


def test_two_kinds_are_crossed_and_the_child_is_kept_and_replayed(opened):
    sent = model(kinds=2)
    page = opened(sent)
    ask(page, "pause()")
    ask(page, "reset(5)")
    ask(page, "advance(30)")
    page.get_by_text("Cross two kinds").click()
    slide(page, 25)
    assert "75 % 1, 25 % 2" in page.locator(".crossing").inner_text()
    assert page.locator("[data-act='kind:3']").get_attribute("aria-pressed") == "true"
    ask(page, "plant(4, 4)")
    ask(page, "advance(10)")
    slide(page, 60)  # what lives changes, too
    ask(page, "advance(20)")
    page.get_by_role("button", name="Keep as a kind").click()
    slide(page, 10)
    ask(page, "plant(27, 27)")
    ask(page, "advance(15)")
    found = np.array(ask(page, "run.engine.read()"), np.float32).reshape(SIZE, SIZE, -1)
    assert {3, 4} <= set(found[..., -1].ravel()) and ask(page, "run.model.kinds") == 4
    recording = ask(page, "recording()")
    assert [event[:4] for event in recording["events"] if event[1] == "mix"] == [
        [0, "mix", 3, 1], [30, "mix", 3, 1], [40, "mix", 3, 1], [60, "mix", 4, 1]
    ]  # fmt: skip
    *_, last = replay_states(read_recording(recording))
    assert np.abs(last[0].numpy() - found).max() < 1e-3

    ask(page, "goTo(35)")  # the same again, from the history
    ask(page, "goTo(75)")
    again = np.array(ask(page, "run.engine.read()"), np.float32)
    assert np.abs(again - found.ravel()).max() < 1e-3
    film = ask(page, "run.filmed('loop')")
    assert film["events"][0][:3] == [0, "mix", 3] and len(list(replay_states(read_recording(film))))
    ask(page, "setGrid(48)")
    assert ask(page, "run.model.kinds") == 4, "what was mixed stays"
    assert ask(page, "children") == [[1, 2, 0.6]]
    keep, second = page.get_by_role("button", name="Keep as a kind"), "Second kind"
    for kind in ("1", "2"):  # the first with itself gives nothing to keep
        page.get_by_label(second, exact=True).select_option(kind)
        assert keep.is_disabled() == (kind == "1")

    for change in ((30, "mix", 5, 1, 2, 0.5), (30, "mix", 3, 1, 4, 0.5)):
        bad = [*recording["events"][:1], [*change]]
        with pytest.raises(BadInput, match="damaged"):
            list(replay_states(read_recording(recording | {"events": bad})))
    with pytest.raises(BadInput, match="damaged"):
        read_recording(recording | {"events": [[0, "mix", 3, 1, 2, 1.5]]})

    page = opened(sent | {"children": checked_children(NCAConfig(kinds=2), [[1, 2, 0.6]])})
    assert page.locator("[data-act='kind:3']").inner_text() == "1×2 60%"
    for children in ([[1, 3, 0.5]], [[1, 2, 2]], [[1]], 7):
        with pytest.raises(BadInput, match="cross them again"):
            checked_children(NCAConfig(kinds=2), children)


def test_mounted_again_the_old_player_is_gone(opened):
    page = opened()
    page.evaluate(
        f"""async () => {{ window.old = {PLAYER};
        await ncaKit.mountPlayer(old.host, {{ model: old.sent, autoplay: false }}); }}"""
    )
    assert page.evaluate(f"() => old.gone && old !== {PLAYER}")
    page.get_by_role("button", name="One step (.)").click()
    page.mouse.click(*spot(page, 16, 16))
    assert ask(page, "run.t") == 1
    assert len(ask(page, "run.events")) == 1
