"""Cases of the CUDA engine, and what it gives there compared with the dense oracle in float64.

`TRITON_INTERPRET=1 python -m tests.engine.cuda_cases` runs all, or those it names, on the CPU, in
Triton's interpreter, and prints one JSON object. A process of its own, because the interpreter is
chosen at import.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from nca.config import NCAConfig
from nca.engine import dense
from tests.engine.test_engines import SMALL, differentiate, living, restless


@dataclass(frozen=True)
class Case:
    """A rollout; `start` is seed, outside (values where nothing lives), alive or nothing."""

    settings: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (8, 7)
    batch: int = 1
    steps: int = 6
    keep: tuple[int, ...] | None = None
    angle: float = 0.0
    start: str = "seed"
    scale: float = 0.5
    alpha_bias: float | None = None  # of the last layer, which makes cells die or come alive


CIRCULAR, POST = {"padding": "circular"}, {"alive_mask": "post"}
CASES = {
    # Several tiles, and long enough for the ring around the living to matter many times.
    "growth": Case(size=(10, 9), steps=12, keep=(0, 5, 11, 12)),
    "growth on a torus": Case(CIRCULAR | {"fire_rate": 1.0}, (9, 10), steps=6),
    "growth, mask after the update": Case(POST, (9, 10), steps=10),
    "torus, after the update": Case(POST | CIRCULAR | {"fire_rate": 1.0}, batch=2, steps=3),
    "laplacian, rotated": Case(
        {"laplacian": "nine_point", "step_size": 0.7, "seed_hidden": False},
        steps=7,
        angle=0.7,
        scale=1.0,
    ),
    "five-point laplacian": Case({"laplacian": "five_point"}, steps=5, scale=1.0),
    "no biases": Case({"bias": False, "out_bias": False}, steps=5, scale=2.0),
    "many channels and units": Case({"channels": 20, "hidden": (40,)}, alpha_bias=0.2),
    "values outside": Case(CIRCULAR, (8, 13), steps=2, keep=(1, 2), start="outside"),
    "values outside, after": Case(POST, (9, 8), steps=2, start="outside"),
    "all alive": Case(size=(10, 8), steps=3, start="alive", scale=0.05),
    "all alive on a torus": Case(CIRCULAR, (8, 9), steps=3, start="alive", scale=0.05),
    "empty": Case(start="nothing"),
    "life from nothing": Case(
        POST | {"fire_rate": 0.02}, batch=3, steps=3, start="nothing", alpha_bias=0.5
    ),
    "dying out": Case(size=(6, 6), steps=9, scale=0.0, alpha_bias=-0.3),
    "one cell on a torus": Case(CIRCULAR, (1, 1), steps=4, keep=(0, 2, 4)),
}


def compare(case: Case, engine: Any, dtype: torch.dtype, device: str) -> dict[str, Any]:
    """Worst relative error of states and each gradient; living cells at the start and the end."""
    nca = restless(NCAConfig(**{**SMALL, **case.settings}), case.scale)
    if case.alpha_bias is not None:
        with torch.no_grad():
            nca.layers[-1].bias[3] = case.alpha_bias
    shape = case.batch, *case.size, nca.config.channels
    draw = torch.Generator().manual_seed(1)
    x = {
        "seed": nca.seed(case.batch, case.size),
        "outside": 0.06 * torch.randn(shape, generator=draw),
        "alive": 0.5 + torch.rand(shape, generator=draw),
        "nothing": torch.zeros(shape),
    }[case.start].double()
    right = differentiate(dense, nca, x, case.steps, case.keep, case.angle)
    nca, x = nca.to(device, dtype), x.to(device, dtype)
    ours = differentiate(engine, nca, x, case.steps, case.keep, case.angle)
    assert ours.keys() == right.keys()
    errors = {
        name: float((ours[name].cpu().double() - value).abs().max() / value.abs().max().clamp(1e-9))
        for name, value in right.items()
    }
    return {"errors": errors, "living": [living(x[None])[0], living(right["states"])[-1]]}


def untouched_tiles() -> dict[str, bool]:
    """What was never grown is never read: buffers full of NaN change nothing, and keep them."""
    from nca.engine import cuda
    from nca.engine._cuda_workspace import free_list
    from nca.fire import item_seeds

    nca = restless(NCAConfig(**SMALL))
    x, seeds = nca.seed(1, (24, 8)).double(), item_seeds(0, 1)
    nca.requires_grad_(False)
    right = dense.rollout(nca, x, 3, seeds)
    cuda.rollout(nca, x, 3, seeds)
    free_list()[-1].states.fill_(torch.nan)
    again = cuda.rollout(nca, x, 3, seeds)
    far = free_list()[-1].states[1:4, :, 16:]
    return {"same": bool(torch.allclose(again, right)), "skipped": bool(far.isnan().all())}


def ring_across_tiles() -> dict[str, bool]:
    """A cell kept alive only by one outside `pre`, in a tile without any cell of `pre`."""
    from nca.engine import cuda
    from nca.fire import item_seeds
    from nca.model import NCA

    # Cells rise by 0.2 when they fire, but the living one sinks; the seed lets it fire.
    nca = NCA(NCAConfig(channels=4, hidden=(1,), fire_rate=0.2)).double().requires_grad_(False)
    nca.layers[0].weight.zero_()[0, 3] = 1
    nca.layers[1].weight[3], nca.layers[1].bias[3] = -3, 0.2
    x, seeds = torch.zeros(1, 8, 16, 4, dtype=torch.float64), item_seeds(76, 1)
    x[0, 4, 6, 3] = 0.11
    x[:, :, 7, 0] = 0.5
    right, ours = dense.rollout(nca, x, 1, seeds), cuda.rollout(nca, x, 1, seeds)
    kept = right[..., 7, 0] != 0
    return {"same": torch.equal(ours, right), "kept": bool((kept & (right[..., 7, 3] == 0)).any())}


def reach_across_tiles() -> dict[str, bool]:
    """With the mask after the update: a cell three columns from life is kept, in the next tile."""
    from nca.engine import cuda
    from nca.fire import item_seeds
    from nca.model import NCA

    # Every cell takes on colour; a cell with more colour on its left than on its right rises.
    config = NCAConfig(channels=4, hidden=(1,), fire_rate=1.0, alive_mask="post")
    nca = NCA(config).double().requires_grad_(False)
    nca.layers[0].weight.zero_()[0, 4] = -8
    nca.layers[1].weight[3], nca.layers[1].bias[0] = 0.5, 0.5
    x, seeds = torch.zeros(1, 8, 16, 4, dtype=torch.float64), item_seeds(0, 1)
    x[0, 4, 5, 3] = 1
    right, ours = dense.rollout(nca, x, 2, seeds), cuda.rollout(nca, x, 2, seeds)
    return {"same": torch.equal(ours, right), "kept": bool((right[..., 8, 0] != 0).any())}


def not_a_number() -> bool:
    """Whether a broken weight is seen in the states, and not taken for death."""
    from nca.engine import cuda
    from nca.fire import item_seeds

    nca = restless(NCAConfig(**SMALL))
    with torch.no_grad():
        nca.layers[0].weight[0, 0] = torch.nan
        states = cuda.rollout(nca, nca.seed(1, 6).double(), 3, item_seeds(0, 1))
    return bool(states.isnan().any())


def two_at_once() -> dict[str, bool]:
    """Rollouts whose gradients are asked for later, in any order, twice."""
    from nca.engine import cuda
    from nca.fire import item_seeds

    nca = restless(NCAConfig(**SMALL))
    starts = [nca.seed(1, (6, 6)).double() + shift for shift in (0.0, 0.2)]
    gradients = []
    for engine in (dense, cuda):
        states = [engine.rollout(nca, x, 3, item_seeds(0, 1)) for x in starts]
        for i in (0, 1, 0):
            nca.zero_grad()
            states[i].square().sum().backward(retain_graph=True)
            gradients.append(nca.layers[0].weight.grad.clone())
    same = [torch.allclose(a, b) for a, b in zip(gradients[:3], gradients[3:], strict=True)]
    return {"same": all(same), "differ": not torch.allclose(gradients[0], gradients[1])}


def main(names: Sequence[str]) -> None:
    """These of CASES and the rest of what is asked here, in the interpreter."""
    import dataclasses

    import triton.language as tl
    from triton.runtime import interpreter

    # Ten times faster without a check for overflow that Triton itself makes only when debugging,
    # and without preparing the language anew for every call of a function.
    builder = interpreter.interpreter_builder
    builder.options = dataclasses.replace(builder.options, sanitize_overflow=False)
    interpreter._patch_lang(tl.sum.fn)
    interpreter.InterpretedFunction.__call__ = lambda self, *a, **k: self.rewrite()(*a, **k)

    from nca.engine import cuda

    torch.set_num_threads(1)
    results = {name: compare(CASES[name], cuda, torch.float64, "cpu") for name in names}
    extra = {
        "untouched_tiles": untouched_tiles(),
        "ring_across_tiles": ring_across_tiles(),
        "reach_across_tiles": reach_across_tiles(),
        "two_at_once": two_at_once(),
        "not_a_number": not_a_number(),
        "works": cuda.works(NCAConfig(channels=5, hidden=(8,)), "cpu"),
    }
    print(json.dumps({"cases": results, **extra}))


if __name__ == "__main__":
    main(sys.argv[1:] or list(CASES))
