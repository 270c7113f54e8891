"""Trainers with one thing changed: what was tried to make damage heal better."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nca.config import NCAConfig, TrainConfig
from nca.engine import Engine
from nca.evaluate import HEALED, turned
from nca.goal import Goal
from nca.pool import Pool
from nca.target import emoji_target
from nca.trainer import Trainer


class Noisy(Trainer):
    """Rolls out with weights a little off, and updates the weights themselves."""

    def train_step(self) -> Any:
        """One iteration; noise of a thousandth of a weight's usual size."""
        draw = torch.Generator().manual_seed(self.iteration)
        noise = [1e-3 * torch.randn(p.shape, generator=draw) for p in self.nca.parameters()]
        self._shift(noise, 1)
        before = self.iteration
        report = super().train_step()
        if self.iteration > before:  # a rollback has brought back weights without noise
            self._shift(noise, -1)
        return report

    def _shift(self, noise: list[Tensor], sign: int) -> None:
        with torch.no_grad():
            for p, n in zip(self.nca.parameters(), noise, strict=True):
                p.add_(n, alpha=sign)


class Averaged(Trainer):
    """Also keeps a running mean of the weights, and is judged by that."""

    def train_step(self) -> Any:
        """One iteration; the mean looks back over about a hundred."""
        report = super().train_step()
        now = {k: v.detach().clone() for k, v in self.nca.state_dict().items()}
        mean = getattr(self, "mean", now)
        self.mean = {k: mean[k].lerp(v, 0.01) for k, v in now.items()}
        return report


class Bounded(Trainer):
    """Also punishes what overflows: values beyond 1, in the states that are judged."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.engine = _Remembering(self.engine)

    def _update(self, loss: Tensor, rate: float) -> bool:
        return super()._update(loss + (self.engine.states.abs() - 1).clamp(min=0).mean(), rate)


class Turned(Trainer):
    """Turns the senses of all cells by another angle every time, and the target with them.

    Args:
        targets: the target turned by equal parts of a right angle, the straight one first; whole
            right angles are an exact symmetry of the senses, and have nothing to teach.
    """

    def __init__(self, nca: NCAConfig, train: TrainConfig, targets: list[Tensor], **settings: Any):
        self.targets = targets
        super().__init__(nca, train, targets[0], **settings)
        self.engine = _Turning(self.engine)
        self.pool = _Sectors(self.seeds, train.pool_size, len(targets))
        self._guard = self.state_dict()

    def train_step(self) -> Any:
        """One iteration at one angle, on states that grew at that angle."""
        sector = int(np.random.default_rng(self.iteration).integers(len(self.targets)))
        self.pool.sector, self.goal = sector, Goal(self.targets[sector])
        self.engine.angle = math.pi / 2 * sector / len(self.targets)
        return super().train_step()


class _Turning:
    """An engine that turns what cells perceive."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.angle = engine, 0.0

    def rollout(self, *arguments: Any, **settings: Any) -> Tensor:
        """See `nca.engine.Engine.rollout`."""
        return self._engine.rollout(*arguments, **settings | {"angle": self.angle})


class _Sectors(Pool):
    """A pool in equal parts, one of which is at hand."""

    def __init__(self, seed: Tensor, size: int, parts: int) -> None:
        super().__init__(seed, size)
        self.parts, self.sector = parts, 0

    def __len__(self) -> int:
        return len(self.items) // self.parts

    def sample(self, indices: np.ndarray) -> Tensor:
        """See `nca.pool.Pool.sample`."""
        return super().sample(indices + self.sector * len(self))

    def commit(self, indices: np.ndarray, x: Tensor) -> None:
        """See `nca.pool.Pool.commit`."""
        super().commit(indices + self.sector * len(self), x)


def turns(emoji: str, size: int, padding: int, parts: int = 6) -> list[Tensor]:
    """An emoji turned by equal parts of a right angle about the seed, drawn anew for each."""
    fine = 8
    straight = emoji_target(emoji, size, padding)
    large = emoji_target(emoji, size * fine, padding * fine)
    # Where the seed would be beside the picture, the picture is moved: by less in smaller cells.
    moved = [
        round(fine * float(_middle(straight, axis) - _middle(large, axis) / fine))
        for axis in (0, 1)
    ]
    # Rows and columns more, so that what is turned about is the middle of the seed's cell.
    large = F.pad(large.roll(moved, (0, 1)), (0, 0, 0, fine - 1, 0, fine - 1))
    side = len(straight) * fine
    small = [
        turned(large, 90 * part / parts)[:side, :side].reshape(-1, fine, side // fine, fine, 4)
        for part in range(parts)
    ]
    return [straight, *(each.mean((1, 3)) for each in small[1:])]


def _middle(picture: Tensor, axis: int) -> Tensor:
    """Where the middle of a picture's mass is, from the grid's edge, in cells."""
    mass = picture[..., 3].sum(1 - axis)
    return (mass * (torch.arange(len(mass)) + 0.5)).sum() / mass.sum()


class Retried(Trainer):
    """Gives damage that did not heal again, half of the time."""

    open: tuple[Tensor, ...] = ()

    def train_step(self) -> Any:
        """One iteration; at most 64 of them are remembered."""
        report = super().train_step()
        error = (report.after[-1, ..., :4] - self.target).square().mean()
        if error > 10**HEALED:
            self.open = (*self.open, report.before[-1:])[-64:]
        return report

    def _damage(
        self, x: Tensor, kind: int, draw: np.random.Generator
    ) -> tuple[Tensor, dict[int, Tensor]]:
        fresh = super()._damage(x, kind, draw)
        if not self.open or draw.random() < 0.5:
            return fresh
        place = int(draw.integers(len(self.open)))
        again, self.open = self.open[place], self.open[:place] + self.open[place + 1 :]
        return again[0], {}


class Watched(Trainer):
    """Damages every second time only; in between, what was damaged heals on, judged again."""

    healing: Tensor | None = None

    def train_step(self) -> Any:
        """One iteration."""
        report = super().train_step()
        self.healing = report.after[-1:] if self.healing is None else None
        return report

    def _damage(
        self, x: Tensor, kind: int, draw: np.random.Generator
    ) -> tuple[Tensor, dict[int, Tensor]]:
        return super()._damage(x, kind, draw) if self.healing is None else (self.healing[0], {})


class _Remembering:
    """An engine that keeps the states of its last rollout at hand."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def rollout(self, *arguments: Any, **settings: Any) -> Tensor:
        """See `nca.engine.Engine.rollout`."""
        self.states = self._engine.rollout(*arguments, **settings)
        return self.states
