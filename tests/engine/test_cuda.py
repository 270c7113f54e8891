"""The CUDA engine against the dense oracle: in Triton's interpreter, and on a card where one is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

triton = pytest.importorskip(
    "triton", reason="Triton, which the CUDA engine is written in, is not here"
)

from nca.config import NCAConfig  # noqa: E402
from nca.engine import choose, cuda, dense  # noqa: E402
from tests.engine.cuda_cases import CASES, compare  # noqa: E402

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(900)  # the interpreter takes 20 s, on a busy machine minutes
needs_a_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


# The others take the interpreter half a minute more.
FEW = (
    "growth", "torus, after the update", "many channels and units", "values outside", "all alive",
    "life from nothing", "dying out", "one cell on a torus",
)  # fmt: skip


def interpret(names):
    """What the engine gives in the interpreter."""
    if triton.__version__ < "3.7" and np.__version__ >= "2.4":
        pytest.skip("the interpreter of Triton 3.6, that of torch 2.11, needs NumPy before 2.4")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.cuda_cases", *names],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def interpreted():
    return interpret(FEW)


def check(name: str, result: dict, tolerance: float) -> None:
    assert {"states", "x", "layers.0.weight", "layers.1.weight"} <= result["errors"].keys()
    assert max(result["errors"].values()) <= tolerance, result["errors"]
    before, after = result["living"]
    if name in ("empty", "one cell on a torus"):
        assert before == after
    elif name == "dying out":
        assert before > 0 and after == 0
    elif CASES[name].start == "alive":
        assert before == after == CASES[name].size[0] * CASES[name].size[1]
    elif CASES[name].start == "outside":
        assert before > 0
    else:
        assert after > max(8, before)


@pytest.mark.parametrize("name", FEW)
def test_interpreted(interpreted, name):
    check(name, interpreted["cases"][name], 1e-9)


@pytest.mark.long
def test_all_are_interpreted():
    cases = interpret(CASES)["cases"]
    assert cases.keys() == CASES.keys()
    for name, found in cases.items():
        check(name, found, 1e-9)


def test_tiles_without_life_are_skipped_and_never_read(interpreted):
    assert interpreted["untouched_tiles"] == {"same": True, "skipped": True}


def test_the_ring_reaches_into_tiles_without_life(interpreted):
    assert interpreted["ring_across_tiles"] == {"same": True, "kept": True}
    assert interpreted["reach_across_tiles"] == {"same": True, "kept": True}


def test_rollouts_keep_their_states_until_their_gradients(interpreted):
    assert interpreted["two_at_once"] == {"same": True, "differ": True}


def test_not_a_number_is_not_hidden(interpreted):
    assert interpreted["not_a_number"] is True


def test_the_first_look_at_a_card(interpreted):
    assert interpreted["works"] is True


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_card_that_refuses_is_left_to_the_dense_engine():
    cuda.works.cache_clear()
    with pytest.warns(UserWarning, match="not used on this graphics card"):
        assert choose(NCAConfig(), "cuda") is dense


@pytest.mark.parametrize("settings", [{"hidden": (8, 8)}, {"perception": "learned"}])
def test_other_architectures_are_dense(settings):
    assert choose(NCAConfig(**settings), "cuda") is dense


@needs_a_card
@pytest.mark.parametrize("name", CASES)
def test_on_a_card(name):
    check(name, compare(CASES[name], cuda, torch.float32, "cuda"), 2e-3)


@needs_a_card
def test_the_default_on_a_card():
    assert choose(NCAConfig(), "cuda") is cuda
