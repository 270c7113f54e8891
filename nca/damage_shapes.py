"""Damage: which cells a shape erases, the same in training, scoring, films and on the page.

Some shapes are never trained on (`HELD_OUT`), so that a score on them tells how well an automaton
heals damage that it was not trained on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import get_args

import torch
from torch import Tensor

from nca.config import BadInput, DamageShape, whole_number
from nca.wording import plain_text

_MOST_SWIPES = 100
ALIVE = 0.1  # alpha above which a cell is part of the body, through which damage is placed


@dataclass(frozen=True)
class Scene:
    """The states that damage is placed on, and the parameters of its shape.

    Attributes:
        alive: cells of the body of each item, bool [B, H, W].
        draw: the source of all random numbers.
        centre: (x, y) of a circle, -1 to 1 across the grid; random when None.
        radius: of a circle or stroke in half-widths of the grid, of a swipe or hole in cells;
            random when None.
        count: number of swipes; random when None.
    """

    alive: Tensor
    draw: torch.Generator
    centre: tuple[float, float] | None = None
    radius: float | None = None
    count: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the grid."""
        return self.alive.shape[1], self.alive.shape[2]

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform random numbers in [low, high), float32 of the given shape."""
        return low + (high - low) * torch.rand(shape, generator=self.draw)

    def number(self, low: float, high: float) -> float:
        """One uniform random number in [low, high)."""
        return float(self.uniform(low, high, 1))

    def living_cell(self, item: int) -> tuple[float, float]:
        """Row and column of a random cell of an item's body; the grid's centre if it has none."""
        cells = self.alive[item].nonzero()
        if not len(cells):
            return self.size[0] / 2, self.size[1] / 2
        row, column = cells[int(torch.randint(len(cells), (1,), generator=self.draw))].tolist()
        return float(row), float(column)

    def rows_and_columns(self) -> tuple[Tensor, Tensor]:
        """Row indices, [H, 1], and column indices, [1, W], float32."""
        height, width = self.size
        return torch.arange(height).float()[:, None], torch.arange(width).float()[None]


Mask = Callable[[Scene], Tensor]
Stroke = tuple[Tensor, float]  # centres of discs, (row, column) [N, 2], and their radius in cells
Strokes = Callable[[Scene, int], list[Stroke]]


def _half(side: str) -> Mask:
    def mask(scene: Scene) -> Tensor:
        height, width = scene.size
        rows, columns = scene.rows_and_columns()
        erased = {
            "left": columns < width // 2,
            "right": columns >= width // 2,
            "top": rows < height // 2,
            "bottom": rows >= height // 2,
        }[side]
        return erased.expand(1, height, width)

    return mask


def _centre(scene: Scene) -> Tensor:
    """A centred square with 2/9 of the grid's shorter side, 16 x 16 cells on a 72 x 72 grid."""
    height, width = scene.size
    side = max(1, round(min(height, width) * 2 / 9))
    top, left = (height - side) // 2, (width - side) // 2
    erased = torch.zeros(1, height, width, dtype=torch.bool)
    erased[:, top : top + side, left : left + side] = True
    return erased


def _circle(scene: Scene) -> Tensor:
    """One disc per item, centre U(-0.5, 0.5), radius U(0.1, 0.4) in half-widths, after Distill."""
    batch = len(scene.alive)
    u, v = _half_widths(scene)
    middle = scene.uniform(-0.5, 0.5, batch, 2)
    if scene.centre is not None:
        middle = torch.tensor([scene.centre], dtype=torch.float32).expand(batch, 2)
    size = scene.uniform(0.1, 0.4, batch)
    if scene.radius is not None:
        size = torch.full((batch,), float(scene.radius))
    dx, dy = u - middle[:, 0].view(-1, 1, 1), v - middle[:, 1].view(-1, 1, 1)
    return dx**2 + dy**2 < size.view(-1, 1, 1) ** 2


def _stroke(scene: Scene) -> Tensor:
    """One quadratic Bezier curve per item, points U(-0.7, 0.7), radius 0.06, in half-widths."""
    u, v = _half_widths(scene)
    radius = 0.06 if scene.radius is None else scene.radius
    points = scene.uniform(-0.7, 0.7, len(scene.alive), 3, 2)
    erased = torch.zeros(1, dtype=torch.bool)
    for s in torch.linspace(0, 1, 33).tolist():
        weights = torch.tensor([(1 - s) ** 2, 2 * s * (1 - s), s**2]).view(1, 3, 1)
        spot = (points * weights).sum(1)
        dx, dy = u - spot[:, 0].view(-1, 1, 1), v - spot[:, 1].view(-1, 1, 1)
        erased = erased | (dx**2 + dy**2 < radius**2)
    return erased


def _half_widths(scene: Scene) -> tuple[Tensor, Tensor]:
    """Centres of the cells as x [1, 1, W] and y [1, H, 1], from -1 to 1."""
    height, width = scene.size
    u = (torch.arange(width).view(1, 1, width) + 0.5) / width * 2 - 1
    v = (torch.arange(height).view(1, height, 1) + 0.5) / height * 2 - 1
    return u, v


def _each(draw_one: Callable[[Scene, int], Tensor]) -> Mask:
    """A shape that goes through the body of each item, drawn item by item: bool [B, H, W]."""
    return lambda scene: torch.stack([draw_one(scene, item) for item in range(len(scene.alive))])


def _discs(scene: Scene, spots: Tensor, radius: float) -> Tensor:
    """Cells within `radius` of any of the spots, (row, column) [N, 2]: bool [H, W]."""
    rows, columns = scene.rows_and_columns()
    squares = (rows[..., None] - spots[:, 0]) ** 2 + (columns[..., None] - spots[:, 1]) ** 2
    return squares.amin(-1) <= radius**2


def _at_once(strokes: Strokes) -> Callable[[Scene, int], Tensor]:
    """The cells that all strokes erase together: bool [H, W] for one item."""

    def mask(scene: Scene, item: int) -> Tensor:
        erased = torch.zeros(scene.size, dtype=torch.bool)
        for places, radius in strokes(scene, item):
            erased |= _discs(scene, places, radius)
        return erased

    return mask


def _path(scene: Scene, item: int) -> Tensor:
    """Points on a bent path through a random living cell: (row, column) [N, 2]."""
    middle = torch.tensor(scene.living_cell(item))
    length = scene.number(6, 40) * min(scene.size) / 72
    along = torch.linspace(0, length, max(2, round(length))) - scene.number(0, 1) * length
    bend = float(torch.randn(1, generator=scene.draw)) * 0.6
    angle = scene.number(0, 2 * math.pi) + bend * along / max(length, 1)
    return middle + torch.stack([angle.sin() * along, angle.cos() * along], 1)


def _swipe(scene: Scene, item: int) -> list[Stroke]:
    """One swipe, 2 to 7 cells in radius."""
    radius = scene.number(2, 7) if scene.radius is None else scene.radius
    return [(_path(scene, item), radius)]


def _swipes(scene: Scene, item: int) -> list[Stroke]:
    """Two to five swipes, each 2 to 5 cells in radius."""
    count = int(torch.randint(2, 6, (1,), generator=scene.draw))
    if scene.count is not None:
        count = scene.count
    return [
        (_path(scene, item), scene.number(2, 5) if scene.radius is None else scene.radius)
        for _ in range(count)
    ]


def _scrub(scene: Scene, item: int) -> list[Stroke]:
    """A back-and-forth scribble over one spot: 4 to 7 parallel lines, 2 cells in radius."""
    middle, angle = torch.tensor(scene.living_cell(item)), scene.number(0, 2 * math.pi)
    lines, length = int(scene.number(4, 8)), scene.number(8, 20) * min(scene.size) / 72
    sweep = torch.linspace(-0.5, 0.5, max(2, round(length))) * length
    there_and_back = [sweep if k % 2 == 0 else sweep.flip(0) for k in range(lines)]
    places = [
        torch.stack([line, torch.full_like(line, 3.0 * (k - lines / 2))], 1)
        for k, line in enumerate(there_and_back)
    ]
    sin, cos = math.sin(angle), math.cos(angle)
    turn = torch.tensor([[cos, -sin], [sin, cos]])
    return [(middle + torch.cat(places) @ turn, 2.0 if scene.radius is None else scene.radius)]


def _hold(scene: Scene, item: int) -> list[Stroke]:
    """A finger that stays on one living cell, 2 to 5 cells in radius."""
    radius = scene.number(2, 5) if scene.radius is None else scene.radius
    return [(torch.tensor([scene.living_cell(item)]), radius)]


def _hole(scene: Scene, item: int) -> Tensor:
    """A disc around a living cell, 3 to 9 cells in radius."""
    radius = scene.number(3, 9) if scene.radius is None else scene.radius
    return _discs(scene, torch.tensor([scene.living_cell(item)]), radius)


def _cut(scene: Scene, item: int) -> Tensor:
    """All cells beyond a line at a random angle; 25 to 75 % of the body is left."""
    return _beyond_a_line(scene, item, 0.25, 0.75)


def _limb(scene: Scene, item: int) -> Tensor:
    """All cells beyond a line near the edge of the body; 5 to 25 % of the body is erased."""
    return _beyond_a_line(scene, item, 0.75, 0.95)


def _beyond_a_line(scene: Scene, item: int, low: float, high: float) -> Tensor:
    rows, columns = scene.rows_and_columns()
    angle = scene.number(0, 2 * math.pi)
    across = rows * math.sin(angle) + columns * math.cos(angle)
    body = across[scene.alive[item]]
    share = scene.number(low, high)
    return across > (torch.quantile(body, share) if len(body) else across.mean())


def _scatter(scene: Scene, item: int) -> Tensor:
    """Each cell of the grid independently, with a probability of 30 to 80 %."""
    return torch.rand(scene.size, generator=scene.draw) < scene.number(0.3, 0.8)


# Shapes drawn like a finger's strokes: at once by `damage`, over several steps by `drawn_damage`.
DRAWN: dict[str, Strokes] = {"swipe": _swipe, "swipes": _swipes, "scrub": _scrub, "hold": _hold}

# To add a shape, add it here, and to `nca.config.DamageShape` if training may use it.
SHAPES: dict[str, Mask] = {
    "half-left": _half("left"),
    "half-right": _half("right"),
    "half-top": _half("top"),
    "half-bottom": _half("bottom"),
    "centre": _centre,
    "circle": _circle,
    "stroke": _stroke,
    "hole": _each(_hole),
    "cut": _each(_cut),
    "limb": _each(_limb),
    "scatter": _each(_scatter),
    **{name: _each(_at_once(strokes)) for name, strokes in DRAWN.items()},
}
HALVES = ("half-left", "half-right", "half-top", "half-bottom")
# Never trained on; healing is judged by these. Four shapes, and ages in steps at which training
# never does damage, because it only damages states that have grown for a whole rollout.
HELD_OUT = ("limb", "scrub", "scatter", "hold")
HELD_OUT_AGES = (30, 60)
assert not set(HELD_OUT) & set(get_args(DamageShape))


def check_shape(shape: str, known: Collection[str] = tuple(SHAPES)) -> None:
    """Raise BadInput, which lists the known shapes, unless `shape` is one of them."""
    if not isinstance(shape, str) or shape not in known:
        said = plain_text(str(shape))[:40]
        raise BadInput(f"There is no damage called {said!r}; choose one of {', '.join(known)}.")


def damage(
    x: Tensor,
    shape: str,
    *,
    centre: tuple[float, float] | None = None,
    radius: float | None = None,
    count: int | None = None,
    seed: int = 0,
) -> Tensor:
    """A copy of the states with all channels of damaged cells 0; shape and dtype of `x`.

    >>> import torch
    >>> from nca import damage
    >>> x = torch.ones(1, 4, 4, 16)
    >>> damage(x, "half-left")[0, :, :, 3].int().tolist()
    [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]

    Args:
        x: float [B, H, W, C].
        shape: one of `SHAPES`. The halves and the centre square are the same cells in every
            item; all others differ per item. Those in `DRAWN`, the hole, the cut and the limb go
            through the item's body.
        centre: (x, y) of a circle, -1 to 1 across the grid; from U(-0.5, 0.5) when None.
        radius: of a circle or stroke in half-widths, of a hole or a shape in `DRAWN` in cells;
            random when None.
        count: number of strokes of "swipes"; random, 2 to 5, when None.
        seed: of the random numbers, a whole number.

    Raises:
        BadInput: the shape is unknown, the states are not [B, H, W, C], or a number is out of
            range.
    """
    check_shape(shape)
    erased = SHAPES[shape](_scene(x, seed, centre, radius, count))
    return erase(x, erased)


def drawn_damage(
    x: Tensor,
    shape: str,
    steps: int,
    *,
    radius: float | None = None,
    count: int | None = None,
    seed: int = 0,
) -> list[Tensor]:
    """Masks of the cells that a finger erases before each of several steps of a rollout.

    Together the masks erase the cells that `damage` erases at once with the same arguments.

    Args:
        x: states in which the strokes are placed, float [B, H, W, C].
        shape: one of `DRAWN`.
        steps: how many steps the damage takes, at least 1; one stroke follows the other.
        radius: in cells; random when None.
        count: number of strokes of "swipes"; random, 2 to 5, when None.
        seed: of the random numbers.

    Returns:
        `steps` masks, bool [B, H, W], for `nca.rollout(..., erased=...)`.

    Raises:
        BadInput: the shape is unknown or not in `DRAWN`, the states are not [B, H, W, C], or a
            number is out of range.
    """
    check_shape(shape, DRAWN)
    steps = whole_number("steps", steps, 1)
    scene, strokes = _scene(x, seed, None, radius, count), DRAWN[shape]
    masks = torch.zeros(steps, *scene.alive.shape, dtype=torch.bool)
    for item in range(len(x)):
        spots = [(place, r) for places, r in strokes(scene, item) for place in places]
        for step in range(steps):
            first = step * len(spots) // steps
            last = max(first + 1, (step + 1) * len(spots) // steps)
            for place, r in spots[first:last]:
                masks[step, item] |= _discs(scene, place[None], r)
    return list(masks.to(x.device))


def erase(x: Tensor, erased: Tensor) -> Tensor:
    """A copy of the states, [B, H, W, C], with all channels 0 where `erased`, bool [B, H, W]."""
    keep = (~erased).to(x.device, x.dtype).expand(x.shape[:3])
    return x * keep[..., None]


def _scene(
    x: Tensor,
    seed: int,
    centre: tuple[float, float] | None,
    radius: float | None,
    count: int | None,
) -> Scene:
    if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[-1] < 4:
        shape = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise BadInput(f"The states must be [batch, height, width, channels], not {shape}.")
    if radius is not None and not (_is_number(radius) and radius >= 0):
        raise BadInput(f"Please give the radius as a number of at least 0, not {radius!r:.40}.")
    if centre is not None and not _is_point(centre):
        raise BadInput(f"Please give the centre as two numbers (x, y), not {centre!r:.40}.")
    count = None if count is None else whole_number("count", count, 1, _MOST_SWIPES)
    draw = torch.Generator().manual_seed(whole_number("seed", seed, -(2**63), 2**63 - 1))
    return Scene((x[..., 3] > ALIVE).cpu(), draw, centre, radius, count)


def _is_point(value: object) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: object) -> bool:
    """Whether a value is a finite real number, NumPy's included."""
    return isinstance(value, Real) and math.isfinite(value)
