"""The benchmarks run, on work that is tiny."""

import base64
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import healing_variants  # noqa: E402
import others  # noqa: E402
from systems import DENSE, Process, Work  # noqa: E402

from nca.checkpoint import save_checkpoint  # noqa: E402
from nca.config import NCAConfig  # noqa: E402
from nca.evaluate import Plan  # noqa: E402
from nca.model import NCA  # noqa: E402
from nca.target import emoji_target  # noqa: E402


@pytest.mark.long
@pytest.mark.parametrize("system", ["ours", *DENSE])
def test_a_system_trains_and_grows(system):
    process = Process(system)
    try:
        for kind in ("train", "grow"):
            answer = process.ask(Work(kind=kind, grid=12, batch=1, steps=2, share=1.0))
            assert answer["seconds"] > 0
    finally:
        process.close()


def test_every_healing_variant_is_a_training_of_its_own(tmp_path, monkeypatch):
    made = [healing_variants.configs(arm, 30) for arm in healing_variants.ARMS]
    assert len(set(made)) == len(made) and {train.iterations for _, train in made} == {30}
    # A quarter of 12 cells: what is run and kept is what the table shows.
    monkeypatch.setattr(healing_variants, "KEPT", tmp_path / "kept.jsonl")
    monkeypatch.setattr(healing_variants, "emoji_target", lambda emoji: emoji_target(emoji, 8, 2))
    monkeypatch.setattr(healing_variants, "FAMILIES", {"hole": None})
    monkeypatch.setattr(
        healing_variants, "Plan", lambda **plan: Plan(lives=1, births=2, growth=(4, 200),
        damage_at=4, healing=2, strokes=0, turned_for=2, families=("hole",), healing_for=20,
        **(plan | {"persistence": 210})),
    )  # fmt: skip
    found = healing_variants.run("random weights", "🌵", 0, 2, 1)
    table = healing_variants.table([json.loads(json.dumps(found))]).splitlines()
    assert len(table) == 3 and table[2].startswith("| random weights | 1 | ")
    assert table[0].count("|") == table[2].count("|")


def test_ours_and_distills_are_scored_by_the_same_families(tmp_path, monkeypatch, capsys):
    idle = {"data_b64": base64.b64encode(bytes(49 * 4)).decode(), "in_ch": 48, "out_ch": 4}
    last = {"data_b64": base64.b64encode(bytes(5 * 16)).decode(), "in_ch": 4, "out_ch": 16}
    tiny = {"weight_scale": 1e-9, "bias_scale": 1e-9, "type": "uint8"}
    (tmp_path / "ex3_dot.json").write_text(json.dumps([idle | tiny, last | tiny]))
    (tmp_path / "ex1_dot.json").write_text("nothing that is read")
    ours = save_checkpoint(tmp_path / "mine", NCA(NCAConfig(channels=6)), preview=False)
    arguments = ["--distill", str(tmp_path), "--match", "ex3", "--checkpoint", str(ours), "--json"]
    few = ["--trials", "2", "--births", "3", "--family", "hole"]
    monkeypatch.setattr(sys, "argv", ["others.py", *arguments, *few])
    assert others.main() == 0
    *table, last_line = capsys.readouterr().out.splitlines()
    assert table[2:] == [
        "| ours, mine | 100 | 100 | 0.02 | 100 |",
        "| Distill, ex3_dot | 100 | 100 | 0.02 | 100 |",
        "| **ours, median of 1** | 100 | 100 | 0.02 | 100 |",
        "| **Distill, median of 1** | 100 | 100 | 0.02 | 100 |",
    ]
    assert json.loads(last_line)["Distill, ex3_dot"]["healing"]["hole"]["trials"] == 2


@pytest.mark.quick
@pytest.mark.parametrize("folder", ["benchmarks", "docs"])
def test_every_script_finds_the_library_beside_it(folder):
    """They are run as `python benchmarks/NAME.py` in a checkout, where `nca` is not installed."""
    for path in (ROOT / folder).glob("*.py"):
        text = path.read_text(encoding="utf-8")
        imports = re.search(r"^(from|import) nca\b", text, re.MULTILINE)
        if imports and "__main__" in text:
            assert "sys.path.insert" in text[: imports.start()], path.name
