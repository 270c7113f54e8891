"""Training: sample, roll out, compare with the target, update, commit.

It has no threads, files or clock of its own: iterate a Trainer to get reports. Every random draw
derives from (seed, attempt, iteration), so weights, optimiser and pool are all that is needed to
resume exactly where training stopped.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nca.config import BadInput, NCAConfig, TrainConfig, whole_number
from nca.damage_shapes import DRAWN, HALVES, damage, drawn_damage
from nca.engine import Engine, choose, rollout_while_erasing
from nca.fire import item_seeds
from nca.goal import Goal
from nca.losses import Loss
from nca.metrics import log10_loss
from nca.model import NCA
from nca.optimiser import Optimiser
from nca.pool import Pool
from nca.pretrained import NONE_FIT, pretrained
from nca.state import repaint

GUARD_EVERY = 50  # iterations between the snapshots that a divergence returns to
DEAD_LIMIT = 50  # iterations in a row with nothing alive that count as a collapse
ATTEMPTS = 4  # the first, and three after a rollback
WATCHED = 50, 10  # iterations whose log10 losses are compared: some before, and the last ones
DRAWN_IN = 8  # parts in which damage is drawn during a rollout
BIRTH_STEPS = 1, 2, 3, 4, 6, 8, 12  # at which seeds are looked at when `birth_alpha` is set
RUN_AWAY = 0.3  # how much worse the last ones must be for a rollback
DECLINE = 0.4  # how much worse than at their best all of them must be for one


class Diverged(RuntimeError):
    """Training broke down and three rollbacks did not help. The message is for a person.

    The trainer then holds the last good state.
    """


@dataclass(frozen=True)
class IterationReport:
    """One iteration of training.

    Attributes:
        iteration: updates done, from 1.
        loss: RGBA mean squared error against the target, or the mean of the trainer's own loss.
        learning_rate: of this update.
        iterations_per_second: smoothed over the last iterations.
        steps: length of the rollout.
        alive: share of the cells that are alive at the end.
        before: the batch as it started, float32 [B, H, W, C].
        after: the batch as it ended, or at its last loss step, float32 [B, H, W, C].
        kinds: of the batch's items, int64 [B]; 1 where there are no kinds.
        errors: how bad each item of `after` is, float32 [B].
        message: a sentence when something happened that a person should know.

    >>> from nca import NCAConfig, TrainConfig, Trainer, emoji_target
    >>> target = emoji_target("🌵", size=8, padding=2)
    >>> trainer = Trainer(NCAConfig(), TrainConfig(pool_size=8, steps_max=64), target)
    >>> report = trainer.train_step()
    >>> report.iteration, report.steps, report.after.shape
    (1, 64, torch.Size([8, 12, 12, 16]))
    """

    iteration: int
    loss: float
    learning_rate: float
    iterations_per_second: float
    steps: int
    alive: float
    before: Tensor = field(repr=False)
    after: Tensor = field(repr=False)
    kinds: Tensor = field(repr=False)
    errors: Tensor = field(repr=False)
    message: str | None = None

    def scalars(self) -> dict[str, float]:
        """Its numbers by name, for a line of a CSV file or a tracker.

        iteration, loss, learning_rate, iterations_per_second, steps and alive.
        """
        return {name: getattr(self, name) for name in _SCALARS}


_SCALARS = ("iteration", "loss", "learning_rate", "iterations_per_second", "steps", "alive")


def pick_device(device: str = "auto") -> tuple[torch.device, str | None]:
    """The device to use, and a sentence when it is not the one that was requested.

    Args:
        device: "auto" (CUDA where it is available and works, else the CPU), "cpu", "cuda" or
            "cuda:N"; "mps", the graphics of a Mac, for which there is no engine, is the CPU.

    Raises:
        BadInput: it is none of these.
    """
    device = str(device)  # torch.device too
    if device == "mps":
        return torch.device("cpu"), "There is no engine for a Mac's graphics; training on the CPU."
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", device):
        raise BadInput("Please let the device be auto, cpu, cuda, or a card such as cuda:0.")
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu"), None
    wanted = torch.device("cuda" if device == "auto" else device)
    if not torch.cuda.is_available():
        return torch.device("cpu"), "CUDA is not available on this computer; training on the CPU."
    count = torch.cuda.device_count()
    if wanted.index is not None and wanted.index >= count:
        return torch.device("cpu"), (
            f"{device} is not available, the last graphics card is cuda:{count - 1}; "
            "training on the CPU."
        )
    try:
        torch.zeros(1, device=wanted).add_(1).item()
    except (RuntimeError, AssertionError):
        return torch.device("cpu"), "The graphics card refused to work; training on the CPU."
    return wanted, None


class Trainer:
    """Trains an automaton on a target, or one for each of its kinds; iterate it to train.

    >>> from nca import Trainer, emoji_target, recipe
    >>> chosen = recipe("quick")
    >>> trainer = Trainer(chosen.nca, chosen.train, emoji_target("🌵", size=8, padding=2), seed=0)
    >>> for report in trainer:
    ...     if report.iteration == 3:  # there are more
    ...         break
    >>> trainer.nca.grow(trainer.nca.seed(batch=1, size=12), steps=20, seed=1).shape
    torch.Size([1, 12, 12, 19])

    With a loss of your own; this one wants half of the cells alive, whatever they look like:

    >>> def half_alive(states):  # [K, B, H, W, C] -> [K, B]
    ...     return (states[..., 3].mean((-2, -1)) - 0.5).square()
    >>> target = emoji_target("🌵", size=8, padding=2)
    >>> trainer = Trainer(chosen.nca, chosen.train, target, loss=half_alive)
    >>> trainer.train_step().loss < 0.25
    True

    Args:
        nca_config: the architecture.
        train_config: how to train it.
        target: what to become: premultiplied RGBA in [0, 1], float [H, W, 4], padding included;
            [K, H, W, 4] for the K kinds of the automaton; or a `Goal`. With a loss of your own
            only its height and width are used.
        device: "auto", "cpu", "cuda" or "cuda:N".
        seed: of random initial weights and every draw, 0 to 2**32 - 1.
        clock: seconds, for iterations per second only.
        initial: an automaton of this architecture; training begins with a copy of its weights,
            whatever `train_config.initial_weights` says. Of one with another number of kinds the
            rule is kept, and the mean of its genes is where those of the new kinds begin.
        loss: judges states in place of the RGBA mean squared error against the target: a callable
            from float32 [K, B, H, W, C] to float [K, B], on the device of the states, with
            gradients. K are the steps that `loss_at` and `loss_window` choose, ascending; the
            numbers are averaged as these settings say. Without gradients and with K = 1 it also
            sorts the states drawn from the pool. Let it be positive: whether training breaks down
            is judged by its logarithm. It is not saved with a resume file; give it again.

    Raises:
        BadInput: a config, the target, the device or the seed cannot be used, or `initial` is of
            another architecture; in training, what `loss` returns cannot be used.
    """

    def __init__(
        self,
        nca_config: NCAConfig,
        train_config: TrainConfig,
        target: Tensor | Goal,
        device: str = "auto",
        seed: int = 0,
        clock: Callable[[], float] = time.perf_counter,
        initial: NCA | None = None,
        loss: Loss | None = None,
    ) -> None:
        if not (isinstance(nca_config, NCAConfig) and isinstance(train_config, TrainConfig)):
            raise BadInput(
                "Please give an NCAConfig and a TrainConfig, such as recipe(name).nca and .train."
            )
        goal = target if isinstance(target, Goal) else Goal(target)
        goal = goal if loss is None else Goal(goal.pictures, loss)
        seed = whole_number("seed", seed, 0, 2**32 - 1)
        self.device, self.message = pick_device(device)
        self.goal = goal.on(self.device)
        self.goal.check_kinds(nca_config.kinds)
        train_config.check_kinds(nca_config.kinds)
        self.config = train_config
        self.seed = seed
        self.nca = NCA(nca_config, init_seed=seed).to(self.device)
        if initial is None and train_config.initial_weights == "pretrained":
            initial = pretrained(nca_config)
            if initial is None:
                self.message = " ".join(filter(None, (self.message, NONE_FIT)))
        if initial is not None:
            if not isinstance(initial, NCA):
                raise BadInput(f"Please begin with an NCA, not {type(initial).__name__}.")
            if nca_config.kinds and initial.config.kinds not in (0, nca_config.kinds):
                initial = initial.with_kinds(nca_config.kinds)
            if initial.config != nca_config:
                raise BadInput("The automaton to begin with is of another architecture.")
            self.nca.load_state_dict(initial.state_dict())
        self.engine: Engine = choose(nca_config, self.device)
        if train_config.train_only == "genes":
            for name, parameter in self.nca.named_parameters():
                parameter.requires_grad_(name == "genes")
        trained = (p for p in self.nca.parameters() if p.requires_grad)
        self.optimiser = Optimiser(trained, train_config)
        self.seeds = self.goal.seeds(self.nca)  # [K, H, W, C], one for each kind
        self.pool = None
        if train_config.start == "pool":
            self.pool = Pool(self.seeds.cpu(), train_config.pool_size)
        self.iteration = 0
        self.attempt = 0
        self._dead = 0
        self._losses: list[float] = []  # log10, of the last iterations
        self._best = math.inf  # the lowest `_level` that a guard had
        self._clock = clock
        self._speed = 0.0
        self._guard = self.state_dict()

    @property
    def target(self) -> Tensor:
        """The picture, [H, W, 4], or those of the kinds, [K, H, W, 4], on the trainer's device."""
        return self.goal.target

    @property
    def loss(self) -> Loss | None:
        """The loss of the caller's own, if any."""
        return self.goal.loss

    def __iter__(self) -> Iterator[IterationReport]:
        """Train until `config.iterations` are done; raises Diverged when training cannot go on."""
        while self.iteration < self.config.iterations:
            yield self.train_step()

    def train_step(self) -> IterationReport:
        """One update of the weights, or a rollback when the rollout broke down."""
        started = self._clock()
        if self.iteration % GUARD_EVERY == 0 and self._is_sound():
            self._best = min(self._best, self._level())
            self._guard = self.state_dict()
        draw = np.random.default_rng((self.seed, self.attempt, self.iteration))
        indices, kinds, x0, erased = self._start(draw)
        steps = int(draw.integers(self.config.steps_min, self.config.steps_max + 1))
        keep, weights = self._loss_steps(draw, steps, len(x0))
        seeds = item_seeds(int(draw.integers(2**32)), len(x0))

        births = self._birth_steps(keep[0])
        states = rollout_while_erasing(
            self.engine, self.nca, x0, steps, seeds, erased, keep=[*births, *keep]
        )
        early, states = states[: len(births)], states[len(births) :]
        errors = self.goal.errors(states, kinds)  # [keep, B]
        error = (errors * weights).sum()
        loss = error + self._near_death(early)
        # A state enters the pool as it was when it was judged last.
        last = weights.shape[0] - 1 - weights.flip(0).ne(0).int().argmax(dim=0)
        items = torch.arange(len(x0), device=self.device)
        after, judged = states.detach()[last, items], errors.detach()[last, items]

        rate = self.config.learning_rate_at(self.iteration) * 0.5**self.attempt
        living = self._alive(after)
        self._dead = 0 if living.any() else self._dead + 1
        updated = (
            bool(loss.isfinite()) and bool(after.isfinite().all()) and self._update(loss, rate)
        )
        self._losses = [*self._losses, log10_loss(float(error.detach()))][-sum(WATCHED) :]
        # Muon's updates do not shrink with the gradient: at a rate slightly too high they move away
        # from good weights within a few iterations and do not return. A rollback handles that, but
        # it never ends training.
        worse = self._rise() > RUN_AWAY or self._level() - self._best > DECLINE
        if not updated or self._dead >= DEAD_LIMIT or (worse and self.attempt < ATTEMPTS - 1):
            message = self._roll_back()
        else:
            message, self.message = self.message, None
            self.iteration += 1
            if self.pool is not None:
                first = self._left_out(draw)
                self.pool.commit(indices[first:], self._reseeded(after, judged, kinds)[first:])
        return IterationReport(
            iteration=self.iteration,
            loss=float(error.detach()),
            learning_rate=rate,
            iterations_per_second=self._measure(self._clock() - started),
            steps=steps,
            alive=float(living.float().mean()),
            before=x0,
            after=after,
            kinds=kinds,
            errors=judged.cpu(),
            message=message,
        )

    def _start(
        self, draw: np.random.Generator
    ) -> tuple[np.ndarray, Tensor, Tensor, dict[int, Tensor]]:
        """Where this batch begins: pool indices and kinds [B], states [B, H, W, C], coming damage.

        The damage is for `rollout_while_erasing`: step -> cells, bool [B, H, W].

        The worst loss comes first if seeds or damage depend on the order. Otherwise the batch stays
        as drawn: seeds first, damaged states last, so that they do not overlap.
        """
        c = self.config
        if self.pool is None:
            indices = np.arange(c.batch)
            kinds = torch.from_numpy(_taking_turns(draw, len(self.seeds), c.batch))
            x = self.seeds[kinds - 1]
        else:
            indices = self.pool.draw(draw, c.batch)
            kinds = torch.from_numpy(self.pool.kinds_of(indices))
            x = self.pool.sample(indices).to(self.device)
            if c.reseed == "random":
                # The draw is in random order.
                x[: c.reseed_count] = self.seeds[kinds[: c.reseed_count] - 1]
            if c.reseed == "worst" or c.damage_items == "best":
                with torch.no_grad():
                    errors = self.goal.errors(x[None], kinds)[0]
                if c.reseed == "random":
                    errors[: c.reseed_count] = torch.inf  # seeds stay in front
                order = errors.argsort(descending=True, stable=True)
                indices, kinds, x = indices[order.cpu().numpy()], kinds[order.cpu()], x[order]
            if c.reseed == "worst":
                x[: c.reseed_count] = self.seeds[kinds[: c.reseed_count] - 1]
        erased: dict[int, Tensor] = {}
        if c.damage_count:
            damaged = np.arange(c.batch)[-c.damage_count :]
            if c.damage_items == "random":
                damaged = draw.choice(c.batch, c.damage_count, replace=False)
            for item in damaged:
                x[item], to_come = self._damage(x[item : item + 1], int(kinds[item]), draw)
                for step, cells in to_come.items():
                    erased.setdefault(step, x.new_zeros(x.shape[:3], dtype=torch.bool))
                    erased[step][item] = cells
        return indices, kinds, x, erased

    def _left_out(self, draw: np.random.Generator) -> int:
        """How many items, the batch's first, stay as they were in the pool: its seeds, or none.

        Early in training old states add nothing to what young ones teach. Later, a pool that gets
        no young states ages, and the automaton learns to stay stable for longer.
        """
        c = self.config
        if c.reseed == "worst_after" or c.reseed_kept == 1:
            return 0
        share = 1 + (c.reseed_kept - 1) * min(1.0, self.iteration / c.iterations)
        return 0 if draw.random() < share else c.reseed_count

    def _reseeded(self, after: Tensor, errors: Tensor, kinds: Tensor) -> Tensor:
        """What enters the pool: `after`, [B, H, W, C], perhaps with seeds for the worst items."""
        if self.config.reseed != "worst_after":
            return after
        worst = errors.argsort(descending=True, stable=True)[: self.config.reseed_count]
        fresh = after.clone()
        fresh[worst] = self.seeds[kinds[worst.cpu()] - 1]
        return fresh

    def _damage(
        self, x: Tensor, kind: int, draw: np.random.Generator
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """One item, [1, H, W, C], with cells erased, and at which steps more will be, [H, W].

        A mutation is a state of another kind in place of it, whose cells get this item's kind.

        Damage that would leave no living cell is not applied: dead states have no gradient, and
        their loss carries no information.
        """
        shape = str(draw.choice(self.config.damage_shapes))
        if shape == "mutation":
            assert self.pool is not None
            other = self.pool.sample([self.pool.draw_other(draw, kind)])
            mutant = repaint(other.to(self.device), kind)
            return (mutant if self._alive(mutant).any() else x)[0], {}
        if shape == "half":
            shape = str(draw.choice(HALVES))
        seed = int(draw.integers(2**31))
        damaged = damage(x, shape, seed=seed)
        if not self._alive(damaged).any():
            return x[0], {}
        share = self.config.damage_drawn
        if not share or shape not in DRAWN or draw.random() >= share:
            return damaged[0], {}
        longest = max(1, self.config.steps_min // 2)
        steps = int(draw.integers(min(10, longest), longest + 1))
        # A few strokes of several steps each, because every interruption of a rollout costs time.
        stops = min(steps, DRAWN_IN)
        cells = drawn_damage(x, shape, stops, seed=seed)
        return x[0], {k * steps // stops: mask[0] for k, mask in enumerate(cells)}

    def _alive(self, x: Tensor) -> Tensor:
        """Cells above the threshold, bool [B, H, W]."""
        return x[..., 3] > self.nca.config.alive_threshold

    def _loss_steps(
        self, draw: np.random.Generator, steps: int, batch: int
    ) -> tuple[list[int], Tensor]:
        """Which states the loss looks at, and the weight of each item there, [keep, B]."""
        window = min(self.config.loss_window, steps)
        if self.config.loss_at == "last":
            keep, weights = [steps], np.full((1, batch), 1 / batch)
        elif self.config.loss_at == "mean_last":
            keep = list(range(steps - window + 1, steps + 1))
            weights = np.full((window, batch), 1 / (window * batch))
        else:
            # Never the state before the first step, which has no gradient.
            picked = draw.integers(max(1, steps - window), max(2, steps), size=batch)
            keep = sorted(set(picked.tolist()))
            weights = (np.array(keep)[:, None] == picked) / batch
        return keep, torch.tensor(weights, dtype=torch.float32, device=self.device)

    def _birth_steps(self, before: int) -> list[int]:
        """The early steps at which the batch's seeds are looked at, below `before`."""
        c = self.config
        has_seeds = self.pool is None or (c.reseed_count > 0 and c.reseed != "worst_after")
        if not (c.birth_alpha and has_seeds):
            return []
        return [step for step in BIRTH_STEPS if step < before]

    def _near_death(self, early: Tensor) -> Tensor:
        """By how much the seeds' largest alpha stays below `birth_alpha` on average, a scalar.

        A seed that has died has no gradient, so a rule that kills one seed in a hundred is
        never corrected; seeds that come close to dying still have a gradient.

        Args:
            early: states at the birth steps, [S, B, H, W, C]; the batch's seeds come first.
        """
        if not len(early):
            return early.new_zeros(())
        seeds = len(early[0]) if self.pool is None else self.config.reseed_count
        largest = early[:, :seeds, ..., 3].amax((2, 3))
        return (self.config.birth_alpha - largest).clamp(min=0).mean()

    def _update(self, loss: Tensor, rate: float) -> bool:
        """One update; False, without any change, when a gradient is not finite."""
        self.optimiser.zero_grad()
        loss.backward()
        grads = [p.grad for p in self.nca.parameters() if p.grad is not None]
        norms = torch.stack([g.norm() for g in grads])
        if not norms.isfinite().all():
            return False
        with torch.no_grad():
            if self.config.gradient == "normalise_each":
                for g, norm in zip(grads, norms, strict=True):
                    g /= norm + 1e-8
            elif self.config.gradient == "normalise_all":
                for g in grads:
                    g /= norms.norm() + 1e-8
            elif self.config.gradient == "clip":
                for g in grads:
                    g *= min(1.0, self.config.clip / (float(norms.norm()) + 1e-12))
        self.optimiser.step(rate)
        return True

    def _rise(self) -> float:
        """By how much even the least loss, log10, of the last iterations is above the usual before.

        The least, because damage that does not heal makes a loss ten times as large. Late in
        training that happens in one batch of five and is no reason for a rollback.
        """
        before, last = self._losses[: WATCHED[0]], self._losses[WATCHED[0] :]
        if len(last) < WATCHED[1]:
            return 0.0
        return min(last) - median(before)

    def _level(self) -> float:
        """The log10 loss below which a fifth of the last iterations are; inf when they are few.

        It moves by less than 0.1 from one hundred iterations to the next, and damage that does not
        heal in some batches does not raise it.
        """
        return quantiles(self._losses, n=5)[0] if len(self._losses) == sum(WATCHED) else math.inf

    def _is_sound(self) -> bool:
        """Whether a later rollback may return to the weights of now.

        Not while the loss rises, fast or so slowly that no 60 iterations show it: weights that are
        worse than the best for long do not recover by themselves.
        """
        declined = self._level() - self._best > DECLINE / 2 if self._best < math.inf else False
        return self._dead == 0 and self._rise() < RUN_AWAY / 2 and not declined

    def _roll_back(self) -> str:
        attempt, speed = self.attempt + 1, self._speed
        self.load_state_dict(self._guard)
        self.attempt, self._speed = attempt, speed
        if attempt >= ATTEMPTS:
            raise Diverged(
                "Training broke down again after three rollbacks, each with half the learning "
                "rate. Try a smaller learning rate or fewer steps; the last good state was kept."
            )
        return (
            f"Training broke down; going on from iteration {self.iteration} with fresh draws "
            "and half the learning rate."
        )

    def _measure(self, seconds: float) -> float:
        speed = 1 / max(seconds, 1e-9)
        self._speed = speed if self._speed == 0 else 0.9 * self._speed + 0.1 * speed
        return self._speed

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on from here: weights, the optimiser's moments, pool, counters.

        Tensors are copies, except the pool's items, which are never written into.
        """
        return {
            "weights": {k: v.detach().clone() for k, v in self.nca.state_dict().items()},
            "moments": self.optimiser.state_dict(),
            "pool": None if self.pool is None else list(self.pool.items),
            "iteration": self.iteration,
            "attempt": self.attempt,
            "dead": self._dead,
            "losses": list(self._losses),
            "best": self._best,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from the result of `state_dict`."""
        self.nca.load_state_dict(saved["weights"])
        self.optimiser.load_state_dict(saved["moments"])
        if self.pool is not None:
            self.pool.items = list(saved["pool"])
        self.iteration, self.attempt = saved["iteration"], saved["attempt"]
        self._dead, self._losses = saved["dead"], list(saved["losses"])
        self._best = saved["best"]
        self._guard = self.state_dict()


def _taking_turns(draw: np.random.Generator, kinds: int, count: int) -> np.ndarray:
    """Kinds for so many items, int64 [count], from 1: each as often as any other, plus or minus."""
    if kinds == 1:
        return np.ones(count, np.int64)
    rounds = [draw.permutation(kinds) for _ in range(-(-count // kinds))]
    return np.concatenate(rounds)[:count] + 1
