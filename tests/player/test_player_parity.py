"""The player's engines do what the Python oracle does."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import nca.player
from nca.damage_shapes import HALVES, SHAPES, damage
from nca.player import bundle
from nca.player.bundle import wasm_base64
from tests.player import parity
from tests.player.player_cases import TOLERANCE, cases

PLAYER = Path(nca.player.__file__).parent
# In Chromium, whose software renderer takes its time; `make parity` runs all of them there.
FEW = {"turned-torus", "five-point", "learned", "two-hidden", "post-torus", "anywhere"}


@pytest.fixture(scope="module")
def tests() -> list[dict]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on grids this small, threads only wait for each other
    found = list(cases())
    torch.set_num_threads(threads)
    return found


def check(tests: list[dict], results: list[dict], engines: set[str]) -> None:
    found = parity.errors(tests, results)
    assert set(found) == engines
    for engine, by_case in found.items():
        for case, error in by_case.items():
            assert error < TOLERANCE, (engine, case, error)


@pytest.mark.skipif(not shutil.which("node"), reason="no Node here")
def test_engines_in_node_agree_with_the_oracle(tests):
    results, fires = parity.in_node(tests)
    check(tests, results, {"js", "wasm"})
    assert len(results) == 2 * len(tests)
    assert fires == parity.fire_values()


@pytest.mark.skipif(not shutil.which("node"), reason="no Node here")
def test_the_players_shapes_erase_what_damage_erases():
    """On even, odd and oblong grids; the random circle where all draws are in the middle."""
    grids = [(72, 72), (40, 40), (31, 31), (24, 37), (3, 3)]
    done = subprocess.run(
        ["node", str(Path(__file__).parent / "node-damage.js")],
        input=json.dumps(grids), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert list(found) == [*HALVES, "centre", "circle"] and set(found) <= set(SHAPES)
    for shape, by_grid in found.items():
        for (height, width), runs in zip(grids, by_grid, strict=True):
            if shape == "circle" and height != width:
                continue  # round for a finger, an ellipse in training
            erased = torch.zeros(height, width, dtype=torch.bool)
            for y, x0, x1 in runs:
                erased[y, x0:x1] = True
            middle = {"centre": (0.0, 0.0), "radius": 0.25} if shape == "circle" else {}
            expected = damage(torch.ones(1, height, width, 4), shape, **middle)[0, ..., 3] == 0
            assert torch.equal(erased, expected), (shape, height, width)


def test_every_module_is_in_the_bundle_after_what_it_imports():
    orders = [bundle.modules(name) for name in ("player", "story", "site", "embedded", "worker")]
    paths = [path for folder in bundle.FOLDERS for path in (PLAYER / folder).glob("*.js")]
    assert set().union(*orders) == {path.stem for path in paths}
    assert len({path.stem for path in paths}) == len(paths)
    for order in orders:
        for index, name in enumerate(order):
            text = next(path for path in paths if path.stem == name).read_text()
            for other in order[index:]:
                assert not re.search(rf'from "[./a-z]*/{other}\.js"', text), (name, other)


def test_engines_in_chromium_agree_with_the_oracle(tests, chromium):
    page = chromium.new_page()
    few = [test for test in tests if test["name"] in FEW]
    assert len(few) == len(FEW)
    check(few, parity.in_browser(page, few), {"js", "wasm", "webgl2"})
    page.close()


def test_the_built_engine_is_small_and_simd():
    assert len(wasm_base64()) < 16_000


@pytest.mark.long
def test_the_built_engine_is_what_its_source_builds(tmp_path):
    compiler = PLAYER / "node_modules" / ".bin" / "asc"
    if not compiler.exists():
        pytest.skip("the compiler is not installed: npm ci in nca/player")
    build = json.loads((PLAYER / "package.json").read_text())["scripts"]["build"]
    for command in build.replace("asc", str(compiler)).split(" && "):
        subprocess.run(
            command.replace("-o wasm/", f"-o {tmp_path}/").split(),
            cwd=PLAYER, check=True, timeout=60,
        )  # fmt: skip
    for built in (PLAYER / "wasm").glob("*.wasm"):
        assert (tmp_path / built.name).read_bytes() == built.read_bytes()
