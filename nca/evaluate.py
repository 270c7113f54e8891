"""The battery: scores of how well an automaton grows, persists, rotates and heals.

Every score is log10 of the mean squared error of RGBA (premultiplied, unclipped) over the whole
grid, the yardstick of Distill's shipped models; -2 is recognisable, -3 is good. Lower is better.
Each is the median of several lives that differ only in which cells fire.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from nca.damage_shapes import HALVES, damage
from nca.fire import item_seeds
from nca.healing import CEILING, FAMILIES, FLOOR, HEALED, MORE_FAMILIES, Healing, heal, work
from nca.model import NCA
from nca.scores import Curve, Recovery, Scores, Vitals

CUTS = (*HALVES, "centre")
LARGE = 100 * 100  # more cells than this take the battery half as many lives


@dataclass(frozen=True)
class Plan:
    """What the battery does; `for_grid` gives the yardstick, others are for small tests.

    Attributes:
        lives: lives per score.
        births: seeds that are looked at after `born_by` steps: in some automata one in forty
            dies before it has grown, which no median of eight lives shows.
        born_by: see there.
        growth: steps at which growth is scored, ascending.
        damage_at: the step of the damage.
        healing: steps from the damage until it is scored.
        strokes: free-hand strokes, one life each.
        angles: degrees.
        turned_for: steps that turned lives grow.
        late: steps between the last growth score and `persistence` that are scored too.
        persistence: the step at which `persistence_lives` of the lives are looked at last.
        persistence_lives: see there.
        larger: the other grid's side relative to the own.
        every: steps between two points of a curve; 5 times that after the last growth score.
        trials: of every family of damage, see `nca.healing`; 0 leaves them out.
        families: names in `nca.healing.ALL_FAMILIES`.
        healing_for: steps until such a trial is judged.
    """

    lives: int = 8
    births: int = 1000
    born_by: int = 16
    growth: tuple[int, ...] = (96, 200, 1000)
    damage_at: int = 200
    healing: int = 200
    strokes: int = 20
    angles: tuple[int, ...] = (0, 30, 90)
    turned_for: int = 200
    late: tuple[int, ...] = (5000,)
    persistence: int = 10_000
    persistence_lives: int = 2
    larger: float = 4 / 3
    every: int = 8
    trials: int = 0
    families: tuple[str, ...] = tuple(FAMILIES)
    healing_for: int = 400

    @classmethod
    def for_grid(cls, height: int, width: int, full: bool = False) -> Plan:
        """The yardstick for a target of H x W cells: what every model card reports.

        On more than 100 x 100 cells it is four lives instead of eight, and 8 trials of three
        families, so that the battery of a full frame, too, ends within two minutes on two cores.

        Args:
            height: of the grid.
            width: of the grid.
            full: also the families of `nca.healing.MORE_FAMILIES`.
        """
        if height * width > LARGE:
            few = ("three swipes", "limb", "scatter")
            return cls(lives=4, births=200, persistence=5000, trials=8, families=few)
        families = tuple(FAMILIES) + (tuple(MORE_FAMILIES) if full else ())
        return cls(trials=200, families=families)

    @property
    def work(self) -> int:
        """Steps of all lives together, which is what determines the time."""
        turned = (len(self.angles) - (0 in self.angles) + 1) * self.turned_for
        late = max(0, self.persistence - self.growth[-1]) * self.persistence_lives
        damaged = (len(CUTS) * self.lives + self.strokes) * self.healing
        return (self.growth[-1] + turned) * self.lives + late + damaged + self._unaimed_work

    @property
    def work_without_target(self) -> int:
        """Steps of all lives together that `evaluate_without_target` runs."""
        late = max(0, self.persistence - self.growth[-1]) * self.persistence_lives
        return self.growth[-1] * self.lives + late + self._unaimed_work

    @property
    def _unaimed_work(self) -> int:
        """Steps of births and of families of damage."""
        trials = work(self.families, self.trials, self.healing_for) if self.trials else 0
        return self.births * self.born_by + trials


def log10_error(x: Tensor, target: Tensor, cells: int | None = None) -> list[float]:
    """log10 of the RGBA mean squared error of every state, in [-12, 12].

    Args:
        x: states, float [B, H, W, C >= 4], premultiplied; what is not finite scores 12.
        target: float [H, W, 4], premultiplied, or one for each state, [B, H, W, 4].
        cells: divide by this many cells instead of H * W.
    """
    squares = (x[..., :4].double() - target.to(x.device).double()).square().sum(dim=(1, 2, 3))
    mean = (squares / (4 * (cells or target.shape[-3] * target.shape[-2]))).nan_to_num(nan=math.inf)
    return [round(v, 4) for v in mean.clamp(10**FLOOR, 10**CEILING).log10().tolist()]


def evaluate(
    nca: NCA,
    target: Tensor,
    seed: int = 0,
    plan: Plan | None = None,
    progress: Callable[[int], object] | None = None,
    kind: int = 1,
) -> Scores:
    """Score an automaton; equal for equal weights, target and seed on one machine.

    Args:
        nca: the automaton, on any device.
        target: what it was trained to grow, premultiplied RGBA, float32 [H, W, 4], padding
            included.
        seed: of the fire masks and the strokes.
        plan: what to do; `Plan.for_grid`, the yardstick of the model cards, when None.
        progress: told after every stretch how many steps of single lives were run; they add up
            to `plan.work`.
        kind: which kind is scored, where the automaton has several; `nca.zoo` scores them all.
    """
    plan = plan or Plan.for_grid(target.shape[0], target.shape[1])
    return _Battery(nca, target.to(nca.device), seed, plan, progress, kind).run()


@torch.no_grad()
def evaluate_without_target(
    nca: NCA,
    size: tuple[int, int],
    seed: int = 0,
    plan: Plan | None = None,
    progress: Callable[[int], object] = lambda steps: None,
) -> Vitals:
    """Births, survival and healing, for which no target is needed.

    Args:
        nca: the automaton, on any device.
        size: height and width of the grid.
        seed: of the fire masks and the damage.
        plan: what to do, of which growth, late and persistence say when lives are looked at;
            `Plan.for_grid` when None.
        progress: told how many steps of single lives were run; they add up to
            `plan.work_without_target`.
    """
    plan = plan or Plan.for_grid(*size)
    lives = item_seeds(seed, plan.lives)
    x, t = nca.seed(plan.lives, size), 0
    survival: dict[int, float] = {}
    living: dict[int, float] = {}
    last = max(plan.persistence, plan.growth[-1])
    looks = (step for step in plan.late if plan.growth[-1] < step < last)
    for stop in sorted({*plan.growth, *looks, last}):
        if t == plan.growth[-1]:
            x, lives = x[: plan.persistence_lives], lives[: plan.persistence_lives]
        x = nca.grow(x, stop - t, lives, t0=t)
        progress((stop - t) * len(x))
        t = stop
        cells = (x[..., 3] > nca.config.alive_threshold).flatten(1)
        lives_on = cells.any(1) & x.isfinite().flatten(1).all(1)
        survival[t] = round(float(lives_on.double().mean()), 4)
        living[t] = round(median(cells.double().mean(1).tolist()), 4)
    return Vitals(
        grid=size,
        seed=seed,
        lives=plan.lives,
        born=_born(nca, seed, plan, progress),
        survival=survival,
        living=living,
        healing=_healing(nca, size, seed, plan, progress),
    )


def _born(
    nca: NCA, seed: int, plan: Plan, progress: Callable[[int], object], kind: int = 1
) -> float:
    """The share of seeds above the threshold anywhere after their first steps."""
    seeds = item_seeds(seed, plan.births)
    room = 2 * plan.born_by + 3  # as far as a seed can grow: whole frames would fill the memory
    x = nca.grow(nca.seed(plan.births, room, kind), plan.born_by, seeds)
    progress(plan.births * plan.born_by)
    alive = (x[..., 3] > nca.config.alive_threshold).flatten(1).any(1)
    return round(float(alive.double().mean()), 4)


def _healing(
    nca: NCA,
    size: tuple[int, int],
    seed: int,
    plan: Plan,
    progress: Callable[[int], object],
    kind: int = 1,
) -> dict[str, Healing]:
    if not plan.trials:
        return {}
    return heal(nca, size, seed, plan.trials, plan.healing_for, plan.families, progress, kind)


class _Battery:
    def __init__(
        self,
        nca: NCA,
        target: Tensor,
        seed: int,
        plan: Plan,
        progress: Callable[[int], object] | None,
        kind: int,
    ) -> None:
        self.nca, self.target, self.seed, self.plan = nca, target, seed, plan
        self.kind = kind
        self.size = (target.shape[0], target.shape[1])
        self.progress = progress or (lambda steps: None)
        # A life keeps its seed through damage, so the fire mask goes on as it would have.
        self.lives = item_seeds(seed, plan.lives)

    def run(self) -> Scores:
        plan = self.plan
        start = self.nca.seed(plan.lives, self.size, self.kind)
        stops = {*range(0, plan.growth[-1] + 1, plan.every), *plan.growth, plan.damage_at}
        grown: dict[int, Tensor] = {}
        early = self._follow(
            start, self.lives, stops, keep=(plan.damage_at, plan.growth[-1]), kept=grown
        )
        at = dict(_medians(early))
        few = plan.persistence_lives
        looks = [step for step in plan.late if plan.growth[-1] < step < plan.persistence]
        late = self._follow(
            grown[plan.growth[-1]][:few],
            self.lives[:few],
            {*range(plan.growth[-1], plan.persistence, plan.every * 5), *looks, plan.persistence},
            t0=plan.growth[-1],
        )
        damaged, strokes, strokes_curve = self._damaged(grown[plan.damage_at])
        side = round(self.size[0] * plan.larger), round(self.size[1] * plan.larger)
        end = _medians(late)[-1] if plan.persistence > plan.growth[-1] else _medians(early)[-1]
        return Scores(
            grid=self.size,
            seed=self.seed,
            lives=plan.lives,
            born=_born(self.nca, self.seed, plan, self.progress, self.kind),
            growth={step: at[step] for step in plan.growth},
            damaged=damaged,
            strokes=strokes,
            strokes_curve=strokes_curve,
            rotation={angle: self._turned(angle, at) for angle in plan.angles},
            late={step: _median(late[step]) for step in looks},
            persistence=end,
            other_grid=(*side, self._elsewhere(side)),
            growth_curve=(*_medians(early), *_medians(late)[1:]),
            healing=_healing(self.nca, self.size, self.seed, plan, self.progress, self.kind),
        )

    def _follow(
        self,
        x: Tensor,
        seeds: Tensor,
        stops: Iterable[int],
        t0: int = 0,
        angle: float = 0.0,
        target: Tensor | None = None,
        cells: int | None = None,
        keep: Sequence[int] = (),
        kept: dict[int, Tensor] | None = None,
    ) -> dict[int, list[float]]:
        """Scores of every life at the steps in `stops`; the states at `keep` go into `kept`."""
        target = self.target if target is None else target
        found: dict[int, list[float]] = {}
        t = t0
        for stop in sorted({*stops, *keep}):
            x = self.nca.grow(x, stop - t, seeds, t0=t, angle=angle)
            self.progress((stop - t) * len(x))
            t = stop
            found[t] = log10_error(x, target, cells)
            if kept is not None and t in keep:
                kept[t] = x
        return found

    def _damaged(self, x: Tensor) -> tuple[dict[str, Recovery], tuple[float, ...], Curve]:
        """Five cuts of every life and then the strokes, lives taking turns, in one batch."""
        plan, lives = self.plan, self.plan.lives
        turns = torch.arange(plan.strokes) % lives
        batch = [damage(x, shape) for shape in CUTS]
        if plan.strokes:
            batch.append(damage(x[turns], "stroke", seed=self.seed))
        found = self._follow(
            torch.cat(batch),
            torch.cat([*[self.lives] * len(CUTS), self.lives[turns]]),
            (*range(plan.damage_at, plan.damage_at + plan.healing, plan.every),
             plan.damage_at + plan.healing),
            t0=plan.damage_at,
        )  # fmt: skip
        since = {t - plan.damage_at: scores for t, scores in found.items()}
        damaged = {}
        for index, shape in enumerate(CUTS):
            own = {t: s[index * lives : (index + 1) * lives] for t, s in since.items()}
            healed = sum(score < HEALED for score in own[plan.healing]) / lives
            damaged[shape] = Recovery(
                score=_median(own[plan.healing]), healed=healed, curve=_medians(own)
            )
        strokes = {t: s[len(CUTS) * lives :] for t, s in since.items()}
        curve = _medians(strokes) if plan.strokes else ()
        return damaged, tuple(strokes[plan.healing]), curve

    def _turned(self, angle: int, straight: dict[int, float]) -> float:
        """Grown with turned senses, against the turned target; straight on is already known."""
        steps = self.plan.turned_for
        if angle == 0 and steps in straight:
            return straight[steps]
        found = self._follow(
            self.nca.seed(self.plan.lives, self.size, self.kind),
            self.lives,
            (steps,),
            angle=math.radians(angle),
            target=turned(self.target, angle),
        )
        return _median(found[steps])

    def _elsewhere(self, side: tuple[int, int]) -> float:
        """On a larger grid, where the target lies about the seed as it does on its own."""
        height, width = self.size
        down, right = side[0] // 2 - height // 2, side[1] // 2 - width // 2
        around = (right, side[1] - width - right, down, side[0] - height - down)
        target = F.pad(self.target.permute(2, 0, 1), around).permute(1, 2, 0)
        found = self._follow(
            self.nca.seed(self.plan.lives, side, self.kind),
            self.lives,
            (self.plan.turned_for,),
            target=target,
            cells=height * width,
        )
        return _median(found[self.plan.turned_for])


def turned(picture: Tensor, angle: float) -> Tensor:
    """A picture as cells grow it whose senses are turned by `angle` degrees: float [H, W, 4].

    It is turned about the seed, the cell at (H // 2, W // 2), counter-clockwise as seen on a
    screen, with bilinear sampling. Multiples of 90 are exact; others blur edges, which alone is an
    error of about -3.4 for an emoji of 40 cells turned by 30 (measured against one drawn turned),
    so that good rotated scores compare with each other rather than with straight ones.
    """
    height, width, _ = picture.shape
    theta = math.radians(angle)
    cos, sin = math.cos(theta), math.sin(theta)
    y = torch.arange(height, dtype=torch.float64) - height // 2
    x = torch.arange(width, dtype=torch.float64) - width // 2
    y, x = torch.meshgrid(y, x, indexing="ij")
    column = cos * x - sin * y + width // 2
    row = sin * x + cos * y + height // 2
    # Where grid_sample expects the centres of the outermost cells: -1 and 1.
    place = torch.stack([column * 2 / (width - 1) - 1, row * 2 / (height - 1) - 1], -1)
    image = picture.double().cpu().permute(2, 0, 1)[None]
    sampled = F.grid_sample(image, place[None], mode="bilinear", align_corners=True)
    return sampled[0].permute(1, 2, 0).to(picture)


def _median(scores: Sequence[float]) -> float:
    return round(median(scores), 4)


def _medians(found: dict[int, list[float]]) -> Curve:
    """The curve of the medians, one point per step."""
    return tuple((step, _median(scores)) for step, scores in found.items())
