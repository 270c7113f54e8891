"""Recordings come from browsers: what fits is replayed, everything else refused in a sentence."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import pytest
import torch

from nca.config import BadInput, Limits, NCAConfig
from nca.player import nca_from_player, player_model, read_recording, replay
from nca.player.replays import replay_states, runs_of
from nca.render import to_rgba8
from tests.player.player_zoo import zoo_model

SMALL = NCAConfig(channels=6, hidden=(20,))


def b64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def recording(nca=None, **changes) -> dict:
    nca = nca or zoo_model(SMALL)
    model = player_model(nca, 8)
    return {
        "format": "nca-garden-recording-1", "height": 8, "width": 8, "channels": 6, "seed": 5,
        "t0": 100, "t1": 110, "angle": 0.0, "version": model["version"],
        "cells": b64(np.array([36], "<u4")), "values": b64(np.array([0, 0, 0, 1, 1, 1], "<f4")),
        "events": [], "models": {model["version"]: model}, **changes,
    }  # fmt: skip


def test_a_replay_is_the_automaton_with_events_before_their_step():
    nca = zoo_model(SMALL)
    events = [
        [103, "erase", 4, 4, 1],
        [105, "seed", 1, 2],
        [105, "angle", 0.5],
        [110, "box", 0, 0, 8, 4],
    ]  # noqa: E501 fmt: skip
    states = list(replay_states(read_recording(recording(events=events))))
    x = torch.zeros(1, 8, 8, 6)
    x[0, 4, 4, 3:] = 1
    angle = 0.0
    for t in range(100, 111):
        if t == 103:
            x[0, 4, 3:6] = 0
            x[0, 3:6, 4] = 0
        if t == 105:
            x[0, 2, 1] = torch.tensor([0.0, 0, 0, 1, 1, 1])
            angle = 0.5
        if t == 110:
            x[0, :4] = 0
        assert torch.allclose(states[t - 100], x, atol=1e-5), t
        x = nca.step(x, t, [5], angle)
    assert len(states) == 11
    frames = replay(json.dumps(recording(events=events)))
    assert frames.dtype == np.uint8
    assert (frames[-1] == to_rgba8(states[-1][0])).all()


def test_the_server_uses_its_own_weights_when_it_knows_them():
    nca = zoo_model(SMALL)
    sent = recording(nca, models={})
    assert replay(sent, {sent["version"]: nca}).shape == (11, 8, 8, 4)
    with pytest.raises(BadInput, match="names an automaton"):
        replay(sent)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        NCAConfig(
            channels=5, hidden=(12, 16), perception="learned", laplacian="nine_point", bias=False
        ),
        NCAConfig(channels=4, hidden=(16,), out_bias=False),
    ],
)
def test_an_automaton_survives_the_way_to_the_browser_and_back(config):
    nca = zoo_model(config)
    back = nca_from_player(json.loads(json.dumps(player_model(nca))))
    assert back.config == config
    assert all(torch.equal(a, b) for a, b in zip(nca.parameters(), back.parameters(), strict=True))


def test_runs_wrap_around_a_torus_and_stop_at_a_border():
    assert list(runs_of([0, "erase", 0, 0, 1], 8, 8, False)) == [(0, 0, 2), (1, 0, 1)]
    on_torus = set(runs_of([0, "erase", 0, 0, 1], 8, 8, True))
    assert on_torus == {(7, 0, 1), (0, 7, 8), (0, 0, 1), (0, 1, 2), (1, 0, 1)} - {
        (0, 0, 1),
        (0, 1, 2),
    } | {(0, 0, 2)}
    assert len(list(runs_of([0, "erase", 3, 3, 500], 8, 8, True))) == 1836


BAD = {
    "no object": "7",
    "not JSON": "{",
    "deep": "[" * 100_000,
    "endless": " " * (25 * 2**20),
    "unknown field": {"more": 1},
    "format": {"format": "other"},
    "grid": {"height": 10**9},
    "zero": {"width": 0},
    "fewer values": {"values": b64(np.ones(5, "<f4"))},
    "far cell": {"cells": b64(np.array([64], "<u4"))},
    "nan": {"values": b64(np.full(6, np.nan, "<f4"))},
    "inf": {"values": b64(np.full(6, np.inf, "<f4"))},
    "huge": {"values": b64(np.full(6, 1e30, "<f4"))},
    "not base64": {"cells": "§"},
    "odd bytes": {"cells": "AAA="},
    "long": {"t1": 10**9},
    "backwards": {"t1": 99},
    "seed": {"seed": 2**32},
    "angle": {"angle": math.inf},
    "version": {"version": "../../etc/passwd"},
    "too many events": {"events": [[100, "seed", 1, 1]] * 20_001},
    "empty event": {"events": [[]]},
    "unknown event": {"events": [[100, "explode", 1]]},
    "event early": {"events": [[99, "seed", 1, 1]]},
    "event late": {"events": [[111, "seed", 1, 1]]},
    "event order": {"events": [[105, "seed", 1, 1], [104, "seed", 1, 1]]},
    "event arity": {"events": [[100, "erase", 1, 1]]},
    "event text": {"events": [[100, "erase", 1, 1, "9"]]},
    "event bool": {"events": [[100, "seed", True, 1]]},
    "event list": {"events": [[100, [], 1, 1]]},
    "event radius": {"events": [[100, "erase", 1, 1, 1e9]]},
    "event negative": {"events": [[100, "box", 0, 0, -5, 4]]},
    "event fraction": {"events": [[100, "box", 0.5, 0, 5, 4]]},
    "event model": {"events": [[100, "model", "0" * 16]]},
    "event model odd": {"events": [[100, "model", ["a"]]]},
    "models": {"models": []},
    "model": {"models": {"0" * 16: 3}},
}


@pytest.mark.parametrize("what", BAD)
def test_what_does_not_fit_is_refused_in_a_sentence(what):
    bad = BAD[what]
    with pytest.raises(BadInput) as refused:
        replay(bad if isinstance(bad, str) else recording(**bad))
    assert str(refused.value).endswith(".")
    assert len(str(refused.value)) < 200


def test_an_automaton_that_does_not_fit_is_refused():
    good = player_model(zoo_model(SMALL))
    for change in (
        {"config": {"channels": 10**6}},
        {"config": {"channels": 7}},
        {"weights": good["weights"][:-8]},
        {"weights": good["weights"][:-2] + "§="},
        {"weights": b64(np.full(len(base64.b64decode(good["weights"])) // 4, np.nan, "<f4"))},
        {"weights": b64(np.full(len(base64.b64decode(good["weights"])) // 4, 1e9, "<f4"))},
        {"weights": 3},
        {"config": {"hidden": (512, 512, 512, 512), "channels": 32}, "weights": "A" * 10**6},
    ):
        with pytest.raises(BadInput):
            nca_from_player({**good, **change})
    wide = zoo_model(NCAConfig(channels=6, hidden=(200, 512)))
    sent = recording(wide, height=256, width=256, t1=700)
    with pytest.raises(BadInput, match="too much"):
        replay(sent)
    with pytest.raises(BadInput, match="at most the last 50 steps"):
        replay(recording(t1=151), limits=Limits(export_frames=50))


def test_a_state_that_explodes_is_refused():
    nca = zoo_model(SMALL)
    with torch.no_grad():
        nca.layers[-1].weight *= 500
    with pytest.raises(BadInput, match="beyond all bounds"):
        replay(recording(nca, t1=700))
