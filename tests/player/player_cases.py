"""Parity cases: what the Python oracle says, for every engine of the player to repeat."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nca.config import NCAConfig
from nca.fire import item_seeds
from nca.model import NCA
from nca.player.models import player_model
from tests.player.player_zoo import zoo_model

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
STEPS = 200
TOLERANCE = 1e-4


def encode(state: Tensor) -> str:
    return base64.b64encode(state.numpy().astype("<f4").tobytes()).decode()


def decode(text: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f4").copy()).view(shape)


CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "fire-1": {"fire_rate": 1.0},
    "torus": {"padding": "circular"},
    "turned": {},
    "turned-torus": {"padding": "circular"},
    "laplacian": {"laplacian": "nine_point", "out_bias": False, "alive_threshold": 0.2},
    "five-point": {"laplacian": "five_point", "alive_mask": "post"},
    "learned": {"perception": "learned", "laplacian": "nine_point"},
    "two-hidden": {"hidden": (56, 64), "channels": 20, "fire_rate": 0.7},
    "post": {"alive_mask": "post"},
    "post-torus": {"alive_mask": "post", "padding": "circular", "bias": False},
    "small": {"channels": 6, "hidden": (20,), "step_size": 0.5, "seed_hidden": False},
    "wide": {"channels": 32, "hidden": (100,), "fire_rate": 0.3},
    "no-bias": {"bias": False, "out_bias": False},
}
ANGLES = {"turned": 0.7, "turned-torus": -2.1}


@torch.no_grad()
def make_case(
    name: str, nca: NCA, start: Tensor, steps: int, t0: int, seed: int, angle: float
) -> dict[str, Any]:
    seeds = item_seeds([seed], 1)
    x = start[None]
    for t in range(t0, t0 + steps):  # NCA.step: the oracle, nothing faster
        x = nca.step(x, t, seeds, angle)
    assert bool(x.isfinite().all()), name
    height, width, channels = start.shape
    return {
        "name": name,
        "model": player_model(nca, (height, width)),
        "height": height,
        "width": width,
        "start": encode(start),
        "steps": steps,
        "t0": t0,
        "seed": seed,
        "angle": angle,
        "expected": encode(x[0]),
        "shape": [height, width, channels],
    }


def kinds_case(name: str, config: NCAConfig, steps: int) -> dict[str, Any]:
    """Three kinds that meet, a wound, and living cells that know no kind."""
    nca = zoo_model(config, seed=5)
    x = nca.seed(3, (13, 16), kind=(1, 2, 3))
    start = x[0] + x[1].roll((-3, 5), (0, 1)) + x[2].roll((4, -5), (0, 1))
    start = nca.grow(start[None], 12, seed=3)[0]
    start[:, 6:8] = 0
    start[3:5, 9:12, -1] = 0
    return make_case(name, nca, start, steps, 12, 3, 0.0)


def cases(steps: int = STEPS) -> Iterator[dict[str, Any]]:
    """Growth from a seed under every setting, and a life that starts in the middle."""
    for number, (name, values) in enumerate(CONFIGS.items()):
        nca = zoo_model(NCAConfig(**values), seed=number)
        start = nca.seed(1, (13, 16))[0]
        yield make_case(name, nca, start, steps, 0, 1234567 + number, ANGLES.get(name, 0.0))
    for name, mask in (("anywhere", "pre_post"), ("anywhere-post", "post")):
        # Values far from anything alive: perceived, then zeroed.
        nca = zoo_model(NCAConfig(alive_mask=mask), seed=99)
        start = torch.rand(19, 18, 16, generator=torch.Generator().manual_seed(5)) * 0.2 - 0.05
        start[..., 3] *= torch.rand(19, 18, generator=torch.Generator().manual_seed(6)) > 0.95
        yield make_case(name, nca, start, 3, 4_000_000_000, 2**32 - 1, 0.0)
    for name, padding in (("kinds", "zero"), ("kinds-torus", "circular")):
        yield kinds_case(name, NCAConfig(kinds=3, padding=padding), steps)
    for folder in sorted(CHECKPOINTS.glob("*/model.safetensors"))[:1]:
        from nca.checkpoint import load_checkpoint

        checkpoint = load_checkpoint(folder.parent)
        start = checkpoint.nca.seed(1, 48)[0]
        yield make_case(folder.parent.name, checkpoint.nca, start, steps, 0, 7, 0.0)


def error_of(case: dict[str, Any], found: str) -> float:
    """max|d| / max(1, max|x|): to be below TOLERANCE."""
    expected = decode(case["expected"], tuple(case["shape"]))
    got = decode(found, tuple(case["shape"]))
    return float((got - expected).abs().max() / max(1.0, float(expected.abs().max())))
