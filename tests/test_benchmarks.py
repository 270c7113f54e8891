"""The speed benchmarks run, on work that is tiny."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from systems import DENSE, Process, Work  # noqa: E402


@pytest.mark.parametrize("system", ["ours", *DENSE])
def test_a_system_trains_and_grows(system):
    process = Process(system)
    try:
        for kind in ("train", "grow"):
            answer = process.ask(Work(kind=kind, grid=12, batch=1, steps=2, share=1.0))
            assert answer["seconds"] > 0
    finally:
        process.close()
