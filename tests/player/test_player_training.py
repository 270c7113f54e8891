"""The browser trainer computes what the Python trainer computes."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nca.config import NCAConfig
from nca.engine import dense, rollout_while_erasing
from nca.fire import item_seeds
from nca.losses import picture_error
from nca.player.bundle import script
from nca.recipes import recipe
from nca.target import emoji_target
from nca.trainer import IterationReport, Trainer
from tests.player.player_cases import encode
from tests.player.player_zoo import zoo_model

HERE = Path(__file__).parent
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="no Node here")


def in_node(script: str, sent: Any) -> Any:
    done = subprocess.run(
        ["node", str(HERE / script)],
        input=json.dumps(sent), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def flat(nca: torch.nn.Module, what: str = "data") -> torch.Tensor:
    return torch.cat([getattr(p, what).reshape(-1) for p in nca.parameters()])


CONFIGS: dict[str, dict[str, Any]] = {
    "quick": recipe("quick").nca.model_dump(mode="json"),
    "torus": {"padding": "circular", "perception": "learned", "hidden": (40, 48), "channels": 18},
    "post": {"alive_mask": "post", "out_bias": False, "step_size": 0.5, "channels": 10},
    "post-torus": {"alive_mask": "post", "padding": "circular", "bias": False, "hidden": (20,),
                   "channels": 6, "fire_rate": 0.7, "perception": "learned"},
}  # fmt: skip
STEPS = 20


def gradient_case(name: str, values: dict[str, Any]) -> tuple[dict[str, Any], float, torch.Tensor]:
    """A rollout for the browser's engine; its loss and gradient, by the oracle in float64."""
    config = NCAConfig.model_validate(values)
    nca = zoo_model(config, seed=3)
    draw = torch.Generator().manual_seed(1)
    height, width = 13, 16
    start = nca.seed(1, (height, width))
    with torch.no_grad():
        start = dense.rollout(nca, start, 12, item_seeds([7], 1))[0]
    start[:, 0, 0, 4] = 0.3  # a value far from anything alive
    alpha = torch.rand(height, width, 1, generator=draw)
    target = torch.cat([alpha * torch.rand(height, width, 3, generator=draw), alpha], -1)
    erased = {step: torch.zeros(1, height, width, dtype=torch.bool) for step in (0, 6)}
    erased[0][:, :, :6] = True
    erased[6][:, 4:8, 5:12] = True
    losses = [{"step": 17, "weight": 0.25}, {"step": STEPS, "weight": 0.75}]
    births = [{"step": step, "weight": 0.1} for step in (1, 2, 8)]
    sent = {
        "name": name,
        "config": config.model_dump(mode="json"),
        "height": height,
        "width": width,
        "target": encode(target),
        "weights": encode(flat(nca)),
        "start": encode(start[0]),
        "erased": [{"step": s, "mask": m.int().flatten().tolist()} for s, m in erased.items()],
        "rollout": {"steps": STEPS, "seed": 99, "t0": 3, "losses": losses, "births": births,
                    "birthAlpha": 1.5},
    }  # fmt: skip

    nca = nca.double()
    states = rollout_while_erasing(
        dense, nca, start.double(), STEPS, item_seeds([99], 1), erased, 3, (1, 2, 8, 17, STEPS)
    )
    errors = picture_error(states[3:], target.double())[:, 0]
    largest = states[:3, 0, ..., 3].amax((1, 2))
    loss = (errors * torch.tensor([0.25, 0.75])).sum() + 0.1 * (1.5 - largest).clamp(min=0).sum()
    loss.backward()
    return sent, float(loss.detach()), flat(nca, "grad")


@pytest.fixture(autouse=True)
def one_thread():
    """On grids this small, threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def gradient_cases():
    return {name: gradient_case(name, values) for name, values in CONFIGS.items()}


@needs_node
def test_gradients_agree_with_the_oracle_in_float64(gradient_cases):
    results = in_node("node-train.js", [sent for sent, _, _ in gradient_cases.values()])
    assert len(results) % len(gradient_cases) == 0 and results
    compare(results, gradient_cases)


def test_gradients_in_a_browser_with_relaxed_simd(gradient_cases, chromium):
    """Node needs a flag for relaxed SIMD, browsers have it."""
    page = chromium.new_page()
    page.evaluate(f"() => {{ window.kit = {script('worker')}; }}")
    run = (HERE / "train-cases.js").read_text().replace("export ", "")
    results = page.evaluate(
        f"""async (cases) => {{ {run}
          const relaxed = await WebAssembly.compile(kit.decodeBase64(kit.RELAXED_WASM));
          return trainCases(kit, {{ relaxed }}, cases);
        }}""",
        [sent for sent, _, _ in gradient_cases.values()],
    )
    page.close()
    assert len(results) == len(gradient_cases)
    compare(results, gradient_cases)


def compare(results: list[dict[str, Any]], cases: dict[str, Any]) -> None:
    """Losses and gradients are the oracle's."""
    for result in results:
        _, loss, expected = cases[result["name"]]
        found = torch.from_numpy(np.frombuffer(base64.b64decode(result["gradient"]), "<f4").copy())
        error = float((found.double() - expected).norm() / expected.norm())
        assert error < 1e-4, (result["module"], result["name"], error)
        assert result["loss"] == pytest.approx(loss, rel=1e-5) == pytest.approx(result["again"])


class Recorder(Trainer):
    """A trainer that writes down what chance decides."""

    def train_step(self) -> IterationReport:
        draw = np.random.default_rng((self.seed, self.attempt, self.iteration))
        assert self.pool is not None
        indices = self.pool.draw(draw, self.config.batch)
        self.drawn: dict[str, Any] = {"indices": indices.tolist(), "damage": [], "keeps": True}
        report = super().train_step()
        self.drawn["steps"] = report.steps
        return report

    def _damage(self, x, kind, draw):
        damaged, to_come = super()._damage(x, kind, draw)
        at_once = (x[0] != 0).any(-1) & ~(damaged != 0).any(-1)
        if bool(at_once.any()):
            to_come = {0: at_once}
            self.at_once += 1
        self.later += len(to_come) > 1
        masks = [{"step": s, "mask": m.int().flatten().tolist()} for s, m in to_come.items()]
        self.drawn["damage"] = masks
        return damaged, {} if 0 in to_come and len(to_come) == 1 else to_come

    def _left_out(self, draw):
        left = super()._left_out(draw)
        self.drawn["keeps"] = left == 0
        return left

    at_once = later = 0


class SeedsOf:
    """The dense engine; remembers the seeds of the fire mask."""

    def rollout(self, nca, x, steps, seeds, *more, **options):
        self.seeds = seeds.tolist()
        return dense.rollout(nca, x, steps, seeds, *more, **options)


@needs_node
@pytest.mark.parametrize(("optimiser", "rate"), [("adam", 3.5e-3), ("muon", 3.5e-4)])
def test_twenty_iterations_have_pythons_losses(optimiser, rate):
    """Muon at a tenth of the rate of `quick`: torch computes its products in bfloat16, where the
    order of a sum decides how it is rounded, and the first iterations enlarge any difference.
    """
    chosen = recipe("quick")
    changes = {"iterations": 40, "pool_size": 4, "steps_min": 20, "steps_max": 30,
               "optimiser": optimiser, "learning_rate": rate, "damage_drawn": 0.6,
               "initial_weights": "random"}  # fmt: skip
    train = chosen.train.model_copy(update=changes)
    target = emoji_target("🦎", size=12, padding=2)
    trainer = Recorder(chosen.nca, train, target, seed=1)
    trainer.engine = SeedsOf()
    weights = encode(flat(trainer.nca))
    draws, losses = [], []
    for _ in range(20):
        losses.append(trainer.train_step().loss)
        draws.append({**trainer.drawn, "seeds": trainer.engine.seeds})
    if optimiser == "adam":  # at the lower rate most damage would leave nothing alive
        assert trainer.at_once and trainer.later
    setup = {"nca": chosen.nca.model_dump(mode="json"), "train": train.model_dump(mode="json"),
             "height": 16, "width": 16, "seed": 1}  # fmt: skip
    found = in_node("node-trainer.js", {
        "setup": setup, "target": encode(target), "weights": weights, "draws": draws,
    })  # fmt: skip
    assert found["losses"] == pytest.approx(losses, rel=1e-3)
    assert found["rates"] == pytest.approx([train.learning_rate_at(i) for i in range(20)])


@needs_node
def test_goes_on_exactly_shares_work_and_keeps_the_last_good_state():
    chosen = recipe("quick")
    train = chosen.train.model_copy(update={"pool_size": 4, "steps_min": 20, "steps_max": 24})
    setup = {"nca": chosen.nca.model_dump(mode="json"), "train": train.model_dump(mode="json"),
             "height": 14, "width": 12, "seed": 5}  # fmt: skip
    found = in_node("node-trainer-life.js", {"setup": setup})
    assert found["exact"], "a loaded training must have the weights of an unbroken one"
    assert found["shared"], "weights must not depend on who computed which item"
    assert found["lost"] == 1
    assert len(found["messages"]) == 3 and "half the learning rate" in found["messages"][0]
    assert "Try a smaller learning rate" in found["failure"] and found["kept"]
