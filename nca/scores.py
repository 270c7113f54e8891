"""What the battery of `nca.evaluate` found: scores with a target, vitals without one."""

from __future__ import annotations

from statistics import median

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from nca.damage_shapes import HALVES
from nca.healing import HEALED, Healing

Curve = tuple[tuple[int, float], ...]  # (step, score)


class Recovery(BaseModel):
    """How one kind of damage healed: the median score, the share of lives under -2.5, the curve."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: float
    healed: float
    curve: Curve


class Scores(BaseModel):
    """What the battery found; `model_dump()` is JSON.

    Attributes:
        grid: height and width of the target.
        seed: of the fire masks and strokes.
        lives: lives per score.
        born: the share of seeds that live after their first steps.
        growth: step -> score.
        damaged: half-left, half-right, half-top, half-bottom, centre -> how it healed. Batteries of
            earlier versions called it damaged.
        strokes: score of every free-hand stroke.
        strokes_curve: median of the strokes, from the damage on.
        rotation: degrees -> score against the target turned likewise about the seed.
        late: step -> score, between the last growth score and the end of the longest run.
        persistence: step and score of the longest run.
        other_grid: height, width and score on a larger grid, its error also per cell of the own
            grid, so that the empty surroundings do not flatter it.
        growth_curve: from the seed to the last growth score, then to the end of the longest run.
        healing: family of damage -> how its trials healed; see `nca.healing`. Empty in batteries
            of earlier versions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    grid: tuple[int, int]
    seed: int
    lives: int
    born: float
    growth: dict[int, float]
    damaged: dict[str, Recovery] = Field(validation_alias=AliasChoices("damaged", "wounds"))
    strokes: tuple[float, ...]
    strokes_curve: Curve
    rotation: dict[int, float]
    late: dict[int, float] = {}
    persistence: tuple[int, float]
    other_grid: tuple[int, int, float]
    growth_curve: Curve
    healing: dict[str, Healing] = {}

    @property
    def halves(self) -> float:
        """Median of the four half cuts."""
        return round(median(self.damaged[half].score for half in HALVES), 3)

    @property
    def halves_healed(self) -> int:
        """How many of the four half cuts healed, by their medians."""
        return sum(self.damaged[half].score < HEALED for half in HALVES)

    @property
    def centre(self) -> float:
        """The centre square."""
        return self.damaged["centre"].score

    @property
    def strokes_healed(self) -> int:
        """How many of the free-hand strokes healed."""
        return sum(score < HEALED for score in self.strokes)

    def summary(self) -> dict[str, str]:
        """Name -> result, each a few words, for a model card or a page."""
        shown = {"seeds that live on": f"{100 * self.born:.3g} %"}
        shown |= {f"log10 error at step {k}": f"{v:.2f}" for k, v in self.growth.items()}
        shown |= {f"{name} cut, healed": f"{w.score:.2f}" for name, w in self.damaged.items()}
        if self.strokes:
            shown["free-hand strokes, healed"] = (
                f"{median(self.strokes):.2f} ({self.strokes_healed} of {len(self.strokes)})"
            )
        shown |= {f"turned by {a}°": f"{v:.2f}" for a, v in self.rotation.items()}
        shown |= {f"at step {k}": f"{v:.2f}" for k, v in self.late.items()}
        shown[f"at step {self.persistence[0]}"] = f"{self.persistence[1]:.2f}"
        height, width, score = self.other_grid
        shown[f"on a {height} x {width} grid"] = f"{score:.2f}"
        return shown | _healed(self.healing)


class Vitals(BaseModel):
    """What can be said of an automaton without a target; `model_dump()` is JSON.

    Attributes:
        grid: height and width of the grid.
        seed: of the fire masks and the damage.
        lives: lives that were followed to the last step of growth, fewer later.
        born: the share of seeds that live after their first steps.
        survival: step -> the share of lives with a living cell and finite numbers.
        living: step -> the share of the grid that lives, median; 1 is all of it.
        healing: family of damage -> how its trials healed, against the same body undamaged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    grid: tuple[int, int]
    seed: int
    lives: int
    born: float
    survival: dict[int, float]
    living: dict[int, float]
    healing: dict[str, Healing] = {}

    def summary(self) -> dict[str, str]:
        """Name -> result, each a few words, for a model card."""
        shown = {"seeds that live on": f"{100 * self.born:.3g} %"}
        for step, share in self.survival.items():
            shown[f"lives at step {step}"] = (
                f"{100 * share:.3g} %, on {100 * self.living[step]:.3g} % of the grid"
            )
        # Nobody knows what another program trained it on.
        return shown | _healed(self.healing, ours=False)


def _healed(healing: dict[str, Healing], ours: bool = True) -> dict[str, str]:
    """Families of damage in a summary; of ours it says which ones no recipe trains on."""
    shown = {}
    for name, found in healing.items():
        unseen = " (never trained on)" if found.held_out and ours else ""
        shown[f"{name}, healed{unseen}"] = (
            f"{100 * found.healed:.3g} % of {found.trials}, "
            f"worst tenth above {found.worst_tenth:.2f}"
        )
    return shown
