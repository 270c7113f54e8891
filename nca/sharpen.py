"""Fits a decoder to an automaton that is trained already, and to the fine picture of its target.

The automaton is frozen: its life is rolled out once, growing, at rest, damaged and healing, and
the decoder learns to draw the fine picture wherever the cells have reached the coarse one.
Elsewhere it learns to add nothing. One decoder draws all kinds of an automaton: they take turns,
each with lives and a picture of its own. Like the Trainer it has no threads, files or clock of its
own: iterate a Sharpener to get reports.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nca.config import BadInput, SharpenConfig
from nca.damage_shapes import damage
from nca.decoder import Decoder, quad_corners, quad_table
from nca.engine import rollout
from nca.losses import check_target
from nca.model import NCA
from nca.picture import at_scale, scale_of

SCALE = 8  # pixels per cell that a decoder is fitted at
WINDOW = 44  # cells: the side of what an iteration looks at; an emoji of 40 cells fits in
REACHED = 0.1  # largest squared RGBA error of a cell that has reached its target
NOTHING = 0.1  # weight of what is drawn where the target is not reached
LARGE = 100 * 100  # on more cells than this, of all kinds, half as many lives are rolled out
MOST_CELLS = 2**17  # of the pictures of several kinds; their lives take 6 kB of memory for each
GROWING = (10, 20, 30, 40, 50, 60, 75, 90)  # steps
RESTING = (120, 160, 200, 300)
LATE = 1000
DAMAGED_AT = 200
HEALING = (4, 15, 30, 50, 80, 120, 200)  # steps after the damage
DAMAGE = (
    *("half-left", "half-right", "half-top", "half-bottom", "centre", "stroke"),
    *("swipes", "cut", "hole", "stroke"),
)
DAMAGED = 2 * len(DAMAGE)  # bodies of all kinds together, but at least one of each
LARGEST = 100.0  # a state with a larger value has diverged
DISAGREES = 0.02  # largest mean squared difference of a fine picture from the coarse target


@dataclass(frozen=True)
class SharpenReport:
    """One iteration of fitting.

    Attributes:
        iteration: updates done, from 1.
        iterations: how many there will be.
        loss: mean squared error of the pixels that were looked at.
        iterations_per_second: smoothed over the last iterations.

    >>> from nca import NCA, NCAConfig, Sharpener, TargetConfig
    >>> from nca.config import SharpenConfig
    >>> from nca.picture import make_picture
    >>> picture = make_picture(TargetConfig(emoji="🌵", size=16, padding=4))
    >>> fitting = Sharpener(NCA(NCAConfig()), picture, (24, 24), SharpenConfig(iterations=2))
    >>> report = fitting.step()
    >>> report.iteration, report.iterations
    (1, 2)
    """

    iteration: int
    iterations: int
    loss: float
    iterations_per_second: float


class Sharpener:
    """Fits one decoder; iterate it.

    >>> from nca import NCA, NCAConfig, Sharpener, TargetConfig
    >>> from nca.config import SharpenConfig
    >>> from nca.picture import make_picture
    >>> config = TargetConfig(emoji="🌵", size=16, padding=4)
    >>> nca = NCA(NCAConfig())
    >>> sharpener = Sharpener(nca, make_picture(config), (24, 24), SharpenConfig(iterations=2))
    >>> for report in sharpener:
    ...     pass
    >>> sharpener.decoder.draw(nca, nca.seed(batch=1, size=24), scale=4).shape
    torch.Size([1, 96, 96, 4])

    Args:
        nca: the automaton; it is not changed.
        picture: the fine picture, premultiplied RGBA in [0, 1], float32 [k * H, k * W, 4]; of an
            automaton with kinds one for each, [kinds, k * H, k * W, 4].
        size: of the grid: H = W, or (H, W).
        config: how to fit.
        seed: of the initial weights and every draw.
        clock: seconds, for iterations per second only.

    Raises:
        BadInput: it is no such picture, does not fit the grid, there is not one for each kind, or
            there are so many that their lives would fill the memory.
    """

    def __init__(
        self,
        nca: NCA,
        picture: Tensor,
        size: int | tuple[int, int],
        config: SharpenConfig | None = None,
        seed: int = 0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        _, *sides, _ = nca.seed(size=size).shape
        size = sides[0], sides[1]
        several = isinstance(picture, Tensor) and picture.ndim == 4
        for one in picture if several else [picture]:
            check_target(one)
        scale_of(picture, size)
        pictures = picture if several else picture[None]
        check_count(len(pictures), nca.config.kinds, size)
        self.nca, self.size, self.seed = nca, size, seed
        self.config = config or SharpenConfig()
        self.iterations = self.config.iterations_for(len(pictures))
        self.decoder = Decoder(self.config.decoder, nca.config, init_seed=seed)
        self.optimiser = torch.optim.Adam(self.decoder.parameters(), betas=(0.9, 0.98))
        self.iteration = 0
        self.coarse = at_scale(pictures, size, 1)  # [K, H, W, 4]
        # Of each kind, [H + 1, W + 1, pixels, 4].
        self._wanted = [_quads(at_scale(one, size, SCALE)) for one in pictures]
        self._lives: list[Lives] = []
        self._clock, self._speed = clock, 0.0

    def __iter__(self) -> Iterator[SharpenReport]:
        """Fit until `iterations` are done."""
        while self.iteration < self.iterations:
            yield self.step()
        self.round()

    @property
    def lives(self) -> list[Lives]:
        """The states of each kind that the decoder is fitted to; rolled out on first use."""
        if not self._lives:
            count = len(self.coarse)
            self._lives = [
                Lives(self.nca, coarse, self.seed, kind, count)
                for kind, coarse in enumerate(self.coarse, 1)
            ]
        return self._lives

    def step(self) -> SharpenReport:
        """One update of the decoder's weights."""
        kind = self.iteration % len(self.coarse)  # from 0
        lives, started = self.lives[kind], self._clock()
        draw = np.random.default_rng((self.seed, self.iteration))
        item = int(draw.integers(len(lives)))
        points = draw.permutation(SCALE * SCALE)[: self.config.points]
        loss, error = self._loss(kind, item, torch.from_numpy(points), draw)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.iteration += 1
        speed = 1 / max(self._clock() - started, 1e-9)
        self._speed = speed if self._speed == 0 else 0.95 * self._speed + 0.05 * speed
        return SharpenReport(self.iteration, self.iterations, error, self._speed)

    def _rate(self) -> float:
        """Rises over the first twentieth, then falls along a cosine."""
        done = self.iteration / self.iterations
        fall = 0.5 + 0.5 * math.cos(math.pi * done)
        return self.config.learning_rate * min(1.0, (done + 1e-3) / 0.05) * max(0.02, fall)

    def _loss(
        self, kind: int, item: int, points: Tensor, draw: np.random.Generator
    ) -> tuple[Tensor, float]:
        """The loss of one state, and its mean squared error where the target is reached."""
        lives, steady = self.lives[kind], self.config.steady
        rows, columns = lives.window(item, draw)
        corners, seen = self._corners(lives, item, rows, columns)
        seen = seen if seen.any() else torch.ones_like(seen)  # a dead state is still drawn
        patches = quad_table(self.decoder.table(SCALE))
        patches = patches.unflatten(1, (SCALE * SCALE, 4))[:, points].flatten(1)
        drawn = (corners[seen] @ patches).unflatten(1, (len(points), 4))
        wanted = self._wanted[kind][_quad_slice(rows, self.size[0])]
        wanted = wanted[:, _quad_slice(columns, self.size[1])][seen][:, points]
        reached = self._reached(lives, item, rows, columns)[seen][:, None, None]
        error = (drawn - wanted) * reached
        added = drawn - (corners[seen] @ _only_own(patches)).unflatten(1, (len(points), 4))
        squared = error.square().mean()
        loss = squared + 0.01 * error.abs().mean() + NOTHING * (added * ~reached).square().mean()
        next_item = lives.next.get(item)
        if next_item is not None and steady:
            later, _ = self._corners(lives, next_item, rows, columns)
            moved = (later - corners)[seen]
            change = (moved @ patches).square().mean()
            coarse = (moved @ _only_own(patches)).square().mean().detach()
            loss = loss + steady * 1e-3 * change / (coarse + 1e-8)
        return loss, float(squared.detach())

    def _corners(
        self, lives: Lives, item: int, rows: slice, columns: slice
    ) -> tuple[Tensor, Tensor]:
        """What surrounds the quads of a window, and which of them show anything.

        Args:
            lives: of a kind.
            item: number of the state.
            rows: of the window, in cells.
            columns: see there.
        """
        place = (item, rows, columns)
        alive = lives.alive[place]
        weights = torch.zeros(*alive.shape, self.config.decoder.patches)
        weights[alive] = self.decoder.weigh(lives.perceptions[place][alive].float())
        rgba = lives.states[place][..., :4]
        seen = alive | rgba.ne(0).any(-1)
        both = torch.cat([weights, rgba, seen[..., None]], -1)
        both = both[_with_edges(rows, self.size[0])][:, _with_edges(columns, self.size[1])]
        corners = quad_corners(both[None], "replicate")[0, 1:-1, 1:-1].unflatten(-1, (4, -1))
        return corners[..., :-1].flatten(-2), corners[..., -1].any(-1)

    def _reached(self, lives: Lives, item: int, rows: slice, columns: slice) -> Tensor:
        """Quads of a window whose four cells have reached the target, bool [h, w]."""
        inside = lives.reached[item][rows, columns]
        at_rows = _with_edges(rows, self.size[0])
        inside = inside[at_rows][:, _with_edges(columns, self.size[1])]
        return inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:] & inside[1:, 1:]

    def round(self) -> None:
        """Round the weights to half precision, in which they are saved and sent to the player."""
        with torch.no_grad():
            for weight in self.decoder.parameters():
                weight.copy_(weight.half().float())

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on exactly here, as tensors by name."""
        state = {f"decoder.{k}": v.clone() for k, v in self.decoder.state_dict().items()}
        for number, moments in self.optimiser.state_dict()["state"].items():
            state |= {f"moments.{number}.{k}": v.clone() for k, v in moments.items()}
        return state | {"iteration": torch.tensor(self.iteration)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state_dict` of the same automaton, picture, configuration and seed.

        Raises:
            BadInput: it belongs to another decoder.
        """
        weights, moments = {}, {}
        for name, value in state.items():
            part, _, rest = name.partition(".")
            if part == "decoder":
                weights[rest] = value
            elif part == "moments":
                number, _, moment = rest.partition(".")
                moments.setdefault(int(number), {})[moment] = value
        try:
            self.decoder.load_state_dict(weights)
            whole = self.optimiser.state_dict() | {"state": moments}
            self.optimiser.load_state_dict(whole)
            self.iteration = int(state["iteration"])
        except (RuntimeError, KeyError, ValueError):
            raise BadInput("This belongs to the fitting of another decoder.") from None


class Lives:
    """States of one kind at all ages; those of an automaton without kinds are of kind 1 of 1.

    Attributes:
        states: [N, H, W, C].
        perceptions: of every cell, in half precision, float16 [N, H, W, K * C].
        alive: bool [N, H, W].
        reached: bool [N, H, W]: cells that, like their neighbours, look like the target.
        next: item -> the item one step later, for the states at rest.
    """

    def __init__(self, nca: NCA, coarse: Tensor, seed: int, kind: int, kinds: int) -> None:
        height, width, _ = coarse.shape
        lives = 1 if kinds * height * width > LARGE else 2
        share = min(len(DAMAGE), max(1, DAMAGED // kinds))
        hurt = range((kind - 1) * share, kind * share)
        seeds = nca.seed(lives, (height, width), kind)
        found, self.next = _roll_out(nca, seeds, hurt, seed)
        # A state that has diverged teaches nothing, and would ruin every weight.
        sound = (found.abs() <= LARGEST).flatten(1).all(1)
        self.states = torch.where(sound[:, None, None, None], found, 0.0)
        self.alive = nca.alive(self.states)
        with torch.no_grad():
            seen = [nca.perceive(x).half() for x in self.states.split(8)]
        self.perceptions = torch.cat(seen)
        wrong = (self.states[..., :4] - coarse).square().sum(-1)
        self.reached = F.max_pool2d(wrong[:, None], 3, 1, 1)[:, 0] < REACHED

    def __len__(self) -> int:
        return len(self.states)

    def window(self, item: int, draw: np.random.Generator) -> tuple[slice, slice]:
        """Rows and columns of a part of the body, at most WINDOW on a side; never empty."""
        return tuple(  # pyright: ignore[reportReturnType]
            _part(self.alive[item].any(axis), draw) for axis in (1, 0)
        )


def _part(shown: Tensor, draw: np.random.Generator) -> slice:
    found = shown.nonzero()
    first, last = (int(found[0]), int(found[-1])) if len(found) else (0, len(shown) - 1)
    first, stop = max(0, first - 1), min(len(shown), last + 2)
    if stop - first > WINDOW:
        first += int(draw.integers(stop - first - WINDOW + 1))
        stop = first + WINDOW
    return slice(first, stop)


def _roll_out(nca: NCA, x: Tensor, hurt: range, seed: int) -> tuple[Tensor, dict[int, int]]:
    """States [N, H, W, C] without gradients; at rest, each is followed by its next step.

    Args:
        nca: the automaton.
        x: a seed for each life.
        hurt: numbers of the damages, which are different ones.
        seed: of the fire masks.
    """
    lives = len(x)
    resting = sorted({step + k for step in RESTING for k in (0, 1)})
    keep = [*GROWING, *resting]
    with torch.no_grad():
        grown = rollout(nca, x, keep[-1], seed=seed + 1, keep=keep)
        last = grown[-1]
        more = LATE - keep[-1]
        late = rollout(nca, last, more, seed=seed + 2, t0=keep[-1], keep=[more - 1, more])
        whole = grown[keep.index(DAMAGED_AT)]
        bodies = torch.cat(
            [damage(whole[k % lives][None], DAMAGE[k % len(DAMAGE)], seed=k) for k in hurt]
        )
        healing = rollout(nca, bodies, HEALING[-1], seed=seed + 3, t0=DAMAGED_AT, keep=HEALING)
    parts = [grown.flatten(0, 1), late.flatten(0, 1), healing.flatten(0, 1)]
    # `keep` is ascending and so are the items: step by step, life by life.
    pairs = [keep.index(step) for step in RESTING] + [len(keep)]
    following = {k * lives + life: (k + 1) * lives + life for k in pairs for life in range(lives)}
    return torch.cat(parts), following


def _quads(fine: Tensor) -> Tensor:
    """A picture by quads between cell centres: [H + 1, W + 1, SCALE * SCALE, 4]."""
    half = SCALE // 2
    planes = F.pad(fine.permute(2, 0, 1)[None], (half, half, half, half), mode="replicate")
    parts = planes[0].unfold(1, SCALE, SCALE).unfold(2, SCALE, SCALE)  # [4, H + 1, W + 1, s, s]
    return parts.permute(1, 2, 3, 4, 0).flatten(2, 3).contiguous()


def _quad_slice(cells: slice, side: int) -> slice:
    """The quads between cells of a window; those at the border of the grid too."""
    first = 0 if cells.start == 0 else cells.start + 1
    return slice(first, side + 1 if cells.stop == side else cells.stop)


def _with_edges(cells: slice, side: int) -> Tensor:
    """Indices into a window; its first and last cell twice where they are on the border."""
    at = torch.arange(cells.stop - cells.start)
    before = at[:1] if cells.start == 0 else at[:0]
    return torch.cat([before, at, at[-1:] if cells.stop == side else at[:0]])


def _only_own(patches: Tensor) -> Tensor:
    """A quad table without the learned patches: it draws the interpolated RGBA."""
    own = patches.detach().unflatten(0, (4, -1)).clone()
    own[:, :-4] = 0
    return own.flatten(0, 1)


def check_count(count: int, kinds: int, size: tuple[int, int]) -> None:
    """Raise BadInput unless there is one picture for each kind, and they are not too many."""
    if count != max(1, kinds):
        each = f" for each of {kinds} kinds" if kinds > 1 else ""
        raise BadInput(f"Please give one fine picture{each}.")
    if count > 1 and count * size[0] * size[1] > MOST_CELLS:
        raise BadInput(
            f"{count} kinds on {size[1]} x {size[0]} cells are too many for one decoder."
        )


def check_agreement(picture: Tensor, target: Tensor) -> None:
    """Raise BadInput unless a fine picture shows the same as a target.

    Args:
        picture: float32 [k * H, k * W, 4], or [kinds, k * H, k * W, 4].
        target: float32 [H, W, 4], or [kinds, H, W, 4].
    """
    coarse = at_scale(picture, (target.shape[-3], target.shape[-2]), 1)
    if float((coarse - target).square().mean((-3, -2, -1)).max()) > DISAGREES:
        raise BadInput("The fine picture shows something else than this checkpoint was trained on.")
