"""Healing: damage of many families at random places, and the healing map of a body.

Every trial damages a body and compares it later with the same body undamaged, at the same age and
with the same fire mask, so no target is needed. The measure is log10 of the mean squared error of
RGBA over the whole grid; below -2.5 a trial counts as healed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from nca.damage_shapes import ALIVE, HELD_OUT, HELD_OUT_AGES, damage, drawn_damage, erase
from nca.engine import choose, rollout_while_erasing
from nca.fire import item_seeds
from nca.model import NCA

HEALED = -2.5
FLOOR, CEILING = -12.0, 12.0  # an exact copy and a broken state still have a score
YARDSTICK = 72  # cells of the grid's shorter side that radii are given for; they scale with it
BODIES = 20  # undamaged bodies of a family; trials take turns on them
MAP_STEPS = 200  # until a hole of the healing map is judged
LOOK_EVERY = 20  # steps between two looks at what heals, for the recovery time


@dataclass(frozen=True)
class Family:
    """One way of damaging a body.

    Attributes:
        shape: one of `nca.damage_shapes.SHAPES`.
        radius: in cells of a grid of 72; None to draw it.
        count: how many, of "swipes".
        drawn: steps that the drawing takes, while the body lives; 0 erases at once.
        ages: youngest and oldest body, in steps.
        again: a second damage of the same family, so many steps after the first.
    """

    shape: str
    radius: float | None = None
    count: int | None = None
    drawn: int = 0
    ages: tuple[int, int] = (200, 200)
    again: int = 0

    @property
    def held_out(self) -> bool:
        """Whether no training gives such damage, or none to bodies of such an age."""
        return self.shape in HELD_OUT or self.ages == HELD_OUT_AGES

    @property
    def at(self) -> tuple[int, ...]:
        """The ages that are tried: four of the range, or the one."""
        first, last = self.ages
        return tuple(sorted({round(first + (last - first) * k / 3) for k in range(4)}))


FAMILIES = {
    "swipe": Family("swipe", 5),
    "three swipes": Family("swipes", 5, 3),
    "four thin swipes": Family("swipes", 3, 4),
    "drawn swipe": Family("swipe", 5, drawn=40),
    "limb": Family("limb"),
    "scatter": Family("scatter"),
    "drawn scrub": Family("scrub", drawn=60),
    "swipe, young": Family("swipe", 5, ages=HELD_OUT_AGES),
}
# What takes longer, or says less: only scored on request.
MORE_FAMILIES = {
    "cut": Family("cut"),
    "hole": Family("hole"),
    "held finger": Family("hold", 4, drawn=60),
    "swipe, again": Family("swipe", 5, again=40),
    "wide swipe": Family("swipe", 7),
    "five swipes": Family("swipes", 5, 5),
    "drawn swipes": Family("swipes", 4, 3, drawn=100),
    "swipe, old": Family("swipe", 5, ages=(1000, 2000)),
}
ALL_FAMILIES = FAMILIES | MORE_FAMILIES


class Healing(BaseModel):
    """How one family of damage healed.

    Attributes:
        trials: how many there were.
        healed: the share below -2.5 at the end, 0 to 1.
        median: of the scores at the end.
        worst_tenth: the score that nine of ten are below.
        recovery: median of the steps until a trial that healed was below -2.5 and stayed there;
            None when none healed.
        held_out: whether no training gives such damage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int
    healed: float
    median: float
    worst_tenth: float
    recovery: int | None
    held_out: bool


def work(names: Sequence[str], trials: int, steps: int) -> int:
    """Steps of all bodies together that `heal` runs, as it tells `progress`."""
    total = 0
    for name in names:
        family = ALL_FAMILIES[name]
        for age, several in _shares(family, trials):
            bodies = min(BODIES, several)
            total += bodies * age + (bodies + several) * (_ahead(family) + steps)
    return total


@torch.no_grad()
def heal(
    nca: NCA,
    size: tuple[int, int],
    seed: int = 0,
    trials: int = 200,
    steps: int = 400,
    families: Sequence[str] = tuple(FAMILIES),
    progress: Callable[[int], object] = lambda steps: None,
    kind: int = 1,
) -> dict[str, Healing]:
    """Damage bodies and see how they heal, by family.

    Args:
        nca: the automaton, on any device.
        size: height and width of the grid.
        seed: of the fire masks and of where damage goes; equal seeds give equal results.
        trials: of each family.
        steps: from the end of the damage until it is judged.
        families: names in `ALL_FAMILIES`.
        progress: told how many steps of single bodies were run; they add up to `work`.
        kind: of the bodies, where the automaton has kinds.
    """
    results = {}
    for number, name in enumerate(families):
        family, errors = ALL_FAMILIES[name], []
        for part, (age, several) in enumerate(_shares(family, trials)):
            own_seed = 10_000 * seed + 100 * number + 10 * part
            batch = _Trials(nca, size, own_seed, several, progress, kind)
            errors.append(batch.run(family, age, steps))
        results[name] = _summary(torch.cat(errors, 1), family)
    return results


def _shares(family: Family, trials: int) -> list[tuple[int, int]]:
    """How many of the trials are on bodies of each age."""
    ages = family.at
    shares = [len(range(k, trials, len(ages))) for k in range(len(ages))]
    return [(age, share) for age, share in zip(ages, shares, strict=True) if share]


def _ahead(family: Family) -> int:
    """Steps that damage takes, from the first cell erased to the last."""
    return family.drawn + (family.again + family.drawn if family.again else 0)


class _Trials:
    """Trials of one family on bodies of one age: bodies first, trials behind them, in one batch."""

    def __init__(
        self,
        nca: NCA,
        size: tuple[int, int],
        seed: int,
        trials: int,
        progress: Callable[[int], object],
        kind: int,
    ) -> None:
        self.nca, self.size, self.progress, self.kind = nca, size, progress, kind
        self.engine = choose(nca.config, nca.device)
        self.bodies, self.trials = min(BODIES, trials), trials
        self.seed = seed
        whose = torch.arange(trials) % self.bodies
        # A trial keeps its body's seed: what follows is what would have followed.
        own = item_seeds(seed, self.bodies)
        self.rows = torch.cat([torch.arange(self.bodies), whose])
        self.seeds = own[self.rows]

    def run(self, family: Family, age: int, steps: int) -> Tensor:
        """log10 error of every trial against its body at every look, [looks, trials]."""
        start = self.nca.seed(self.bodies, self.size, self.kind)
        x = self.nca.grow(start, age, self.seeds[: self.bodies])
        self.progress(self.bodies * age)
        x = self._damaged(x[self.rows], family, age, 0)
        age += family.drawn
        if family.again:
            x = self._on(x, age, family.again)
            age += family.again
            x = self._damaged(x, family, age, 1)
            age += family.drawn
        errors = []
        for step in range(0, steps, LOOK_EVERY):
            several = min(LOOK_EVERY, steps - step)
            x = self._on(x, age + step, several)
            errors.append(self._errors(x))
        return torch.stack(errors)

    def _damaged(self, x: Tensor, family: Family, age: int, turn: int) -> Tensor:
        """The batch with all trials damaged, `family.drawn` steps later."""
        radius = family.radius and family.radius * min(self.size) / YARDSTICK
        count, seed = family.count, self.seed + 1 + turn
        bodies, trials = x[: self.bodies], x[self.bodies :]
        if not family.drawn:
            return torch.cat(
                [bodies, damage(trials, family.shape, radius=radius, count=count, seed=seed)]
            )
        masks = drawn_damage(
            trials, family.shape, family.drawn, radius=radius, count=count, seed=seed
        )
        untouched = masks[0].new_zeros(bodies.shape[:3])
        erased = {step: torch.cat([untouched, mask]) for step, mask in enumerate(masks)}
        self.progress(len(x) * family.drawn)
        return rollout_while_erasing(
            self.engine, self.nca, x, family.drawn, self.seeds, erased, t0=age
        )[-1]

    def _on(self, x: Tensor, age: int, steps: int) -> Tensor:
        self.progress(len(x) * steps)
        return self.nca.grow(x, steps, self.seeds, t0=age)

    def _errors(self, x: Tensor) -> Tensor:
        rgba = x[..., :4].double()
        bodies = rgba[self.rows[self.bodies :]]
        errors = _log10_mean((rgba[self.bodies :] - bodies).square())
        # A body that died by itself has nothing to heal to.
        dead = ~(bodies[..., 3] > ALIVE).flatten(1).any(1).cpu()
        return errors.masked_fill(dead, CEILING)


def _log10_mean(squares: Tensor) -> Tensor:
    mean = squares.mean(dim=(1, 2, 3)).nan_to_num(nan=torch.inf)
    return mean.clamp(10**FLOOR, 10**CEILING).log10().cpu()


def _summary(errors: Tensor, family: Family) -> Healing:
    """What a table shows of the errors, [looks, trials]."""
    last = errors[-1]
    healed = last < HEALED
    # Looks since the last one that was not healed, the first healed one included.
    stays = (errors < HEALED).flip(0).int().cumprod(0).sum(0)
    took = ((len(errors) - stays + 1) * LOOK_EVERY)[healed]
    return Healing(
        trials=len(last),
        healed=round(float(healed.double().mean()), 4),
        median=round(median(last.tolist()), 3),
        worst_tenth=round(float(torch.quantile(last, 0.9)), 3),
        recovery=round(median(took.tolist())) if len(took) else None,
        held_out=family.held_out,
    )


@dataclass(frozen=True)
class HealingMap:
    """Where a body heals, and from how wide a hole.

    Attributes:
        size: height and width of the grid.
        radii: of the holes, in cells, ascending.
        spots: rows and columns that were hit, int64 [N, 2].
        healed: bool [N, len(radii)].
        body: cells above 0.1 alpha, bool [H, W].
    """

    size: tuple[int, int]
    radii: tuple[float, ...]
    spots: Tensor
    healed: Tensor
    body: Tensor

    @property
    def heals_up_to(self) -> Tensor:
        """Of each spot, how many of the radii it heals from before the first it does not: [N]."""
        return self.healed.int().cumprod(1).sum(1)

    @property
    def share(self) -> float:
        """The share of all holes that healed, 0 to 1."""
        return float(self.healed.double().mean()) if len(self.healed) else 0.0

    def safe_radius(self, share: float = 0.95) -> float:
        """The widest radius up to which at least this share of the spots heals; 0 for none."""
        widest = 0.0
        for radius, healed in zip(self.radii, self.healed.T, strict=True):
            if not len(healed) or float(healed.double().mean()) < share:
                break
            widest = radius
        return widest

    def levels(self) -> Tensor:
        """`heals_up_to` of the nearest spot for each cell of the body, -1 elsewhere: [H, W]."""
        cells = self.body.nonzero()
        levels = torch.full(self.size, -1)
        if len(cells) and len(self.spots):
            nearest = torch.cdist(cells.double(), self.spots.double()).argmin(1)
            levels[cells[:, 0], cells[:, 1]] = self.heals_up_to[nearest]
        return levels


@torch.no_grad()
def healing_map(
    nca: NCA,
    size: tuple[int, int],
    seed: int = 0,
    radii: Sequence[float] = (2, 3, 5, 7),
    spacing: int = 2,
    age: int = 200,
    steps: int = MAP_STEPS,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> HealingMap:
    """Punch a hole at every second cell of a grown body, one at a time, and see whether it heals.

    Args:
        nca: the automaton, on any device.
        size: height and width of the grid.
        seed: of the fire mask.
        radii: of the holes, in cells.
        spacing: cells from one spot to the next.
        age: steps at which holes are punched.
        steps: until they are judged, against the same body without a hole.
        progress: told after every 64 holes how many such parts of all are done.
    """
    body = nca.grow(nca.seed(1, size), age, seed)
    rest = nca.grow(body, steps, seed, t0=age)[..., :4].double()
    lives = bool((rest[..., 3] > ALIVE).any())  # else there is nothing to heal to
    alive = (body[0, ..., 3] > ALIVE).cpu()
    grid = torch.zeros(size, dtype=torch.bool)
    grid[::spacing, ::spacing] = True
    spots = (alive & grid).nonzero()
    rows = torch.arange(size[0])[:, None]
    columns = torch.arange(size[1])[None]
    parts = spots.split(64)  # a whole body's trials at once would fill the memory
    results: list[Tensor] = []
    for number, radius in enumerate(radii):
        healed: list[Tensor] = []
        for part in parts:
            y, x = part[:, 0].view(-1, 1, 1), part[:, 1].view(-1, 1, 1)
            holes = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
            hit = erase(body.expand(len(part), -1, -1, -1), holes)
            # The fire mask of the body, for every trial.
            seeds = item_seeds(seed, 1).expand(len(part))
            later = nca.grow(hit, steps, seeds, t0=age)[..., :4].double()
            healed.append((_log10_mean((later - rest).square()) < HEALED) & lives)
            progress(number * len(parts) + len(healed), len(parts) * len(radii))
        results.append(torch.cat(healed) if healed else torch.zeros(0, dtype=torch.bool))
    return HealingMap(size, tuple(radii), spots, torch.stack(results, 1), alive)
