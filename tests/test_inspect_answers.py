"""What the Inspect tab answers, without a browser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from nca.checkpoint import save_checkpoint
from nca.config import BadInput, CheckpointInfo, NCAConfig, TargetConfig
from nca.jobs import JobQueue
from nca.model import NCA
from nca.scorecard import record, score
from nca.settings import Settings
from nca.ui.context import PageContext
from nca.ui.inspect.tab import PLAN, Handlers, lay_out
from tests.jobs_kit import tiny_target
from tests.test_anatomy import lively

ME = {"own": "a" * 32, "link": None}


@pytest.fixture
def handlers(tmp_path: Path) -> Iterator[Handlers]:
    """A garden with a small automaton, a wild one, and one without its picture."""
    shipped, tame = tmp_path / "shipped", lively()
    tame.layers[-1].weight.data.mul_(0.01)  # changes little in 300 steps
    save_checkpoint(shipped / "tame", tame, target=tiny_target(), preview=False)
    save_checkpoint(shipped / "wild", lively(), target=tiny_target(), preview=False)
    save_checkpoint(shipped / "blind", lively(laplacian="nine_point"), preview=False)
    settings = Settings(home=tmp_path / "home", checkpoints=shipped, secret="s" * 16)
    queue = JobQueue(settings.home, settings.limits)
    try:
        with gr.Blocks() as page:
            context = PageContext.make(page, settings, queue)
            yield Handlers(context, lay_out())
    finally:
        queue.close()


def choose(handlers: Handlers, name: str) -> dict[str, Any]:
    return by_name(handlers, handlers.open(ME, None, 30, 1, "", f"shipped:{name}"))


def by_name(handlers: Handlers, updates: dict[Any, Any]) -> dict[str, Any]:
    """Updates by the component's name on the tab."""
    names = {component: name for name, component in vars(handlers.tab).items()}
    return {names[component]: value for component, value in updates.items()}


def test_every_view_is_there_and_a_wild_automaton_is_told(handlers):
    tame = choose(handlers, "tame")
    assert len(tame) == 14 and tame["life"].name == "shipped:tame"
    assert "Step 30 of 300" in tame["stage"] and tame["about"] == ""
    assert tame["stage"].count("<img") == 1 + 4 + 6 and tame["strips"].count("<img") == 3
    assert tame["perceived"].count("<img") == 3 and tame["weights"].count("<img") == 2
    assert not tame["newest"]["visible"] and 'class="odd"' not in tame["ranges"]
    wild = choose(handlers, "wild")
    assert "Take care" in wild["about"] and 'class="odd"' in wild["ranges"]
    assert "NaN" not in wild["traces"] and "Infinity" not in wild["traces"]


def test_scores_are_shown_or_made(handlers):
    tame = choose(handlers, "tame")
    assert "line-charts" not in tame["curves"] and tame["score"]["visible"]
    scored = by_name(handlers, handlers.score(ME, tame["life"]))
    curves = scored["curves"]
    assert not scored["score"]["visible"] and curves.count("<line-charts") == 3
    first = json.loads(re.search(r'data-charts="([^"]*)"', curves)[1].replace("&quot;", '"'))
    names = [name for name, *_ in first["series"]]
    assert names == ["left", "right", "top", "bottom", "centre", "strokes"]
    assert first["charts"][0]["x"][-1] == PLAN.healing
    # What was recorded with a checkpoint is shown at once.
    folder = handlers.catalog.folder("", "shipped:tame")
    record(folder, score(folder, plan=PLAN))
    again = choose(handlers, "tame")
    assert again["curves"] == curves and not again["score"]["visible"]
    blind = choose(handlers, "blind")
    assert not blind["score"]["visible"] and blind["perceived"].count("<img") == 4
    with pytest.raises(BadInput, match="picture"):
        handlers.score(ME, blind["life"])


def test_a_life_stays_as_it_was_until_newer_weights_are_asked_for(handlers):
    first = choose(handlers, "tame")
    clicked = gr.EventData(None, {"row": 5, "column": 4})
    life = by_name(handlers, handlers.follow_cell(ME, first["life"], 30, clicked))["life"]
    back = by_name(handlers, handlers.open(ME, life, 30, 1, "", "shipped:wild"))
    assert set(back) == {"shelf", "about", "newest"} and "shipped:tame" in back["shelf"]
    other = by_name(handlers, handlers.show_another_life(ME, life, 30, 2, ""))
    assert other["life"].cells == ((5, 4),)
    assert other["stage"] != first["stage"] and "weights" not in other
    folder = handlers.catalog.folder("", "shipped:tame")
    save_checkpoint(folder, lively(), target=tiny_target(), preview=False)
    assert handlers.show_step(ME, first["life"], 30) == first["stage"]
    for updates in (
        handlers.open(ME, life, 30, 1, "", ""), handlers.show_newest(ME, life, 30, 1, ""),
        handlers.show_another_life(ME, life, 30, 2, ""),  # everything, of one automaton
    ):  # fmt: skip
        newer = by_name(handlers, updates)
        assert newer["stage"] != first["stage"] and "weights" in newer
        assert newer["life"].cells == ((5, 4),)
    another = handlers.pick(ME, life, 30, 1, "", gr.EventData(None, {"name": "shipped:wild"}))
    assert by_name(handlers, another)["life"].cells == ()


def test_what_is_forged_or_foreign_is_refused(handlers):
    for name in ("job:" + "0" * 32, "kept:" + "0" * 32, "shipped:../shipped/tame", "/etc"):
        with pytest.raises(BadInput):
            handlers.pick(ME, None, 30, 1, "", gr.EventData(None, {"name": name}))
        opened = by_name(handlers, handlers.open(ME, None, 30, 1, "", name))
        assert opened["life"].name == "shipped:blind"
    for seed in (None, -1, 2**40, "1", 1.5):
        with pytest.raises(BadInput, match="seed"):
            handlers.open(ME, None, 30, seed, "", "shipped:tame")
    with pytest.raises(BadInput):
        handlers.open(ME, None, 30, 1, "../x", "shipped:tame")
    huge = NCA(NCAConfig(channels=16, hidden=(512, 256)))
    info = CheckpointInfo(target=TargetConfig(size=128, padding=64))
    folder = handlers.catalog.folder("", "shipped:tame")
    save_checkpoint(folder.parent / "huge", huge, info, preview=False)
    with pytest.raises(BadInput, match="too large"):
        choose(handlers, "huge")
    with pytest.raises(BadInput, match="choose an automaton"):
        handlers.score(ME, None)
