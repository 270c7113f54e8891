"""One life on the Grow tab: what grew, what was wounded when, and how to see the last of it again.

Only the newest state, one earlier state and the events between them are kept. Because every draw
derives from (seed, step), replaying them gives exactly the frames that were seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from nca.config import BadInput
from nca.model import NCA
from nca.render import to_rgba8
from nca.state import damage

CHUNK = 16  # states in memory at a time; they are large, frames are small


@dataclass(frozen=True)
class Wound:
    """A damage that acts before step `step`; the fields are those of `nca.state.damage`."""

    step: int
    shape: str
    centre: tuple[float, float] | None = None
    radius: float | None = None
    seed: int = 0

    def apply(self, x: Tensor) -> Tensor:
        """The wounded states."""
        return damage(x, self.shape, centre=self.centre, radius=self.radius, seed=self.seed)


@dataclass
class Run:
    """A life that can be replayed.

    Attributes:
        nca: the automaton; its own copy, so that training on does not change the past.
        seed: of the fire mask.
        memory: how many of the last steps can be replayed.
        x: the newest state, [1, H, W, C].
        t: its step.
        past: an earlier state, [1, H, W, C].
        past_t: its step.
        wounds: since then, oldest first.
        name: what it was grown from, on the shelf.
    """

    nca: NCA
    seed: int
    memory: int
    x: Tensor
    t: int = 0
    past: Tensor = field(init=False)
    past_t: int = 0
    wounds: list[Wound] = field(default_factory=list)
    name: str = ""

    def __post_init__(self) -> None:
        """A life that begins with `x`."""
        self.past, self.past_t = self.x, self.t

    @property
    def alive(self) -> float:
        """Share of the cells that are alive."""
        return float((self.x[..., 3] > self.nca.config.alive_threshold).float().mean())

    def grow(self, steps: int) -> np.ndarray:
        """Go on for `steps`; the frames, uint8 [steps + 1, H, W, 4], the present one first."""
        frames, x = [to_rgba8(self.x)], self.x
        for states in self._walk(x, self.t, steps):
            frames.append(to_rgba8(states[:, 0]))
            x = states[-1]
        if not bool(x.isfinite().all()):
            raise BadInput("This automaton grew beyond all bounds; please start again.")
        self.x, self.t = x, self.t + steps
        if self.t - self.past_t > self.memory:
            *_, self.past = self._life(self.t - self.memory)
            self.past_t = self.t - self.memory
            self.wounds = [wound for wound in self.wounds if wound.step > self.past_t]
        return np.concatenate(frames)

    def wound(
        self, shape: str, centre: tuple[float, float] | None = None, radius: float | None = None
    ) -> None:
        """Erase cells now."""
        if len(self.wounds) >= 200:
            raise BadInput("That is a lot of damage; please let it grow before the next.")
        # The seed of a random place differs from wound to wound, and replays.
        wound = Wound(self.t, shape, centre, radius, seed=self.t * 256 + len(self.wounds))
        self.x = wound.apply(self.x)
        self.wounds.append(wound)

    def replay(self) -> np.ndarray:
        """The last steps again, uint8 [T, H, W, 4]: one frame per step, after its wounds."""
        return np.concatenate([to_rgba8(x) for x in self._life(self.t)])

    def _life(self, until: int) -> Iterator[Tensor]:
        """The states from `past_t` to `until`, each [1, H, W, C] and after its step's wounds."""
        x, t = self.past, self.past_t
        stops = {wound.step for wound in self.wounds if wound.step <= until} | {until}
        for stop in sorted(stops):
            for states in self._walk(x, t, stop - t):
                yield x
                yield from states[:-1]
                x = states[-1]
            t = stop
            for wound in self.wounds:
                if wound.step == stop:
                    x = wound.apply(x)
        yield x

    def _walk(self, x: Tensor, t: int, steps: int) -> Iterator[Tensor]:
        """The states after step t + 1 ... t + steps, a few at a time, [n, 1, H, W, C]."""
        for start in range(0, steps, CHUNK):
            n = min(CHUNK, steps - start)
            states = self.nca.grow(x, n, self.seed, t0=t + start, all_steps=True)
            x = states[-1]
            yield states[1:]
