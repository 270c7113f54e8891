"""Fine pictures: every painter of the player against the Python decoder, and the control."""

import base64
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nca import NCA, Checkpoint, CheckpointInfo
from nca.config import DecoderConfig, Limits, NCAConfig
from nca.decoder import Decoder
from nca.film import FilmConfig
from nca.player import export_html, read_recording
from nca.player.bundle import script
from nca.player.models import player_model
from nca.render import to_rgb8, to_rgba8
from nca.ui.grow.films import _collect, _fine_scale
from tests.player.player_cases import encode

HERE = Path(__file__).parent
SMALL = DecoderConfig(hidden=(20,), patches=7, waves=5)
# Name -> settings of the automaton and the decoder, pixels per cell, angle, ground.
CASES = {
    "plain": ({}, DecoderConfig(), 8, 0.0, 1.0),
    "torus": ({"padding": "circular"}, SMALL, 4, 0.7, 0.075),
    "laplacian": ({"channels": 22, "laplacian": "nine_point"}, SMALL, 2, 0.0, 1.0),
    "kinds": ({"channels": 9, "kinds": 2}, SMALL, 4, 0.7, 1.0),
    "finest": ({"channels": 5, "alive_threshold": 0.2}, SMALL, 16, -2.0, 1.0),
}


def checkpoint(config, decoder_config):
    """An automaton with a decoder that draws strong, random patterns."""
    nca = NCA(NCAConfig(**config))
    decoder = Decoder(decoder_config, nca.config, init_seed=1)
    with torch.no_grad():
        decoder.basis.normal_(0, 0.15, generator=torch.manual_seed(2))
        for weight in decoder.parameters():
            weight.copy_(weight.half().float())
    return Checkpoint(nca, CheckpointInfo(title="fine", nca=nca.config), None, {}, HERE, decoder)


def state_of(nca, height=11, width=14):
    """A blob that reaches the border, some of it transparent, on an otherwise dead grid."""
    draw = torch.Generator().manual_seed(3)
    x = torch.rand(1, height, width, nca.config.channels, generator=draw)
    x[..., 3] = (x[..., 3] * 1.4).clamp(max=1)
    x[..., :3] *= x[..., 3:4]
    x[:, 6:, 5:] = 0
    return x * nca.alive(x)[..., None]


@pytest.fixture(scope="module")
def cases():
    made = []
    for name, (config, decoder, scale, angle, ground) in CASES.items():
        source = checkpoint(config, decoder)
        x = state_of(source.nca)
        wanted = to_rgb8(source.draw(x, scale, angle)[0], ground)
        case = {"name": name, "model": player_model(source, 11), "state": encode(x[0])}
        size = {"height": 11, "width": 14, "scale": scale}
        made.append((case | size | {"angle": angle, "ground": ground}, wanted))
    return made


def check(cases, results):
    """At most 1 / 255 off, and nine pixels of ten exact."""
    wanted = {case["name"]: picture for case, picture in cases}
    for result in results:
        picture = wanted[result["name"]]
        got = np.frombuffer(base64.b64decode(result["pixels"]), np.uint8)
        got = got.reshape(*picture.shape[:2], 4)
        off = np.abs(got[..., :3].astype(int) - picture)
        assert off.max() <= 1, (result["name"], result.get("painter"), off.max())
        assert (off.max(-1) == 0).mean() >= 0.9 and (got[..., 3] == 255).all()
        assert picture.std() > 20  # there is something to see


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_webassembly_and_javascript_draw_what_python_draws(cases):
    done = subprocess.run(
        ["node", str(HERE / "node-fine.js")],
        input=json.dumps([case for case, _ in cases]),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    results = json.loads(done.stdout)
    assert {result["painter"] for result in results} == {"js", "wasm"}
    check(cases, results)


def test_the_shader_and_the_control(cases, tmp_path, chromium):
    source = checkpoint({}, DecoderConfig())
    (tmp_path / "fine.html").write_text(export_html(replace(source, decoder=None)))
    (tmp_path / "with.html").write_text(export_html(source))
    assert (tmp_path / "with.html").stat().st_size < 200_000
    page = chromium.new_page()
    page.evaluate(f"() => {{ window.kit = {script()}; }}")
    draw = (HERE / "draw-case.js").read_text().replace("export ", "")
    page.evaluate(
        f"async () => {{ {draw}; window.drawCase = drawCase; "
        "window.context = { wasm: await kit.compileWasm(kit.decodeBase64(kit.WASM)) }; }"
    )
    results = [
        {"name": case["name"]}
        | page.evaluate("(test) => drawCase(kit, kit.FineShader, context, test)", case)
        for case, _ in cases
    ]
    check(cases, results)

    page.goto((tmp_path / "fine.html").as_uri())
    player = "document.querySelector('.nca-player').ncaPlayer"
    page.wait_for_function("document.querySelector('.nca-player').ncaPlayer?.step > 3")
    assert page.get_by_label("Detail").is_hidden()
    # The decoder may come later; the run goes on.
    page.evaluate(f"(sent) => {player}.setModel(sent)", player_model(source))
    assert page.evaluate(f"{player}.detail.scale > 1 && {player}.step > 3")
    fine = page.locator(".fine")
    assert fine.is_visible()
    assert page.evaluate(f"{player}.ui.fine.width / {player}.ui.picture.width") >= 2
    page.get_by_label("Detail").select_option("4")
    assert page.evaluate(f"{player}.ui.fine.width / {player}.ui.picture.width") == 4
    page.locator(".picture").press("d")
    assert fine.is_hidden()
    # The inspector works in both.
    side = page.locator(".picture").bounding_box()["width"] / 72
    page.evaluate(f"{player}.setTool('look')")
    for shown, x in (("0", 30), ("1", 40)):
        page.get_by_label("Detail").select_option(shown)
        page.locator(".picture").click(position={"x": (x + 0.5) * side, "y": 36.5 * side})
        assert f"cell {x}, 36" in page.locator(".traces").inner_text()
    page.get_by_label("View").select_option("alpha")
    page.get_by_label("Detail").select_option("0")
    assert fine.is_hidden()  # only colours are drawn finer
    # What is exported with a decoder offers it from the beginning.
    page.goto((tmp_path / "with.html").as_uri())
    page.wait_for_function(f"{player}?.step > 3")
    assert page.get_by_label("Detail").is_visible() and fine.is_visible()
    page.close()


def test_a_film_shows_what_the_player_showed():
    """With the decoder where it was drawn finer, rotated from the step of the event on."""
    source = checkpoint({}, DecoderConfig())
    x = state_of(source.nca)
    model = player_model(source, 11)
    sent = {"format": "nca-garden-recording-1", "height": 11, "width": 14, "channels": 16}
    sent |= {"seed": 1, "t0": 0, "t1": 4, "angle": 0.0, "version": model["version"], "fine": True}
    every = np.arange(11 * 14, dtype="<u4").tobytes()
    sent |= {"cells": base64.b64encode(every).decode(), "values": encode(x[0])}
    sent |= {"events": [[3, "angle", 1.0]], "models": {model["version"]: model}}
    recording = read_recording(sent)
    for fine, scale in ((source, 16), (None, 1)):
        frames = []
        assert list(_collect(recording, FilmConfig(speed=1), frames, Limits(), fine))
        grown = source.nca.grow(source.nca.grow(x, 3, [1]), 1, [1], t0=3, angle=1.0)
        wanted = source.draw(grown, 16, 1.0) if fine else grown
        assert frames[-1].shape == (11 * scale, 14 * scale, 4)
        assert np.array_equal(frames[-1], to_rgba8(wanted[0]))
    assert _fine_scale((72, 72), 512, 40) == 6 and _fine_scale((72, 72), 1080, 6000) == 1
