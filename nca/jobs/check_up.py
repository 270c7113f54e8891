"""A short check of a finished training: does it grow, does it keep its shape, what does it heal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from nca.damage_shapes import damage
from nca.evaluate import log10_error
from nca.fire import item_seeds
from nca.healing import HEALED
from nca.model import NCA

CHECK_UP = "check_up"  # its name in metrics.json
LIVES = 4
GROWN, KEPT = 200, 600  # steps at which it is scored
SWIPES = 20  # each on a body at step GROWN, scored HEALING steps later
HEALING = 200
SECONDS = 20.0  # after which no more swipes are tried
ALIKE, SAME = -2.0, -3.0  # log10 errors from which a picture looks alike, and the same


class CheckUp(BaseModel):
    """What the check found.

    Attributes:
        grown: log10 error at step 200, median of four lives, or of one life of each kind.
        kept: the same at step 600.
        healed: swipes that were healed after 200 steps.
        damaged: swipes that were tried.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    grown: float
    kept: float
    healed: int
    damaged: int


def check_up_of(metrics: Mapping[str, Any]) -> CheckUp | None:
    """The check in a checkpoint's metrics; None where there is none that can be read."""
    try:
        return CheckUp.model_validate(metrics[CHECK_UP])
    except (KeyError, ValidationError):
        return None


@torch.no_grad()
def check_up(
    nca: NCA,
    target: Tensor,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> CheckUp | None:
    """Check an automaton; None when `stop` ended it early.

    Args:
        nca: the automaton.
        target: float32 [H, W, 4], or [kinds, H, W, 4], premultiplied, on the automaton's device.
        stop: called between parts of the check.
        clock: seconds that never go back.
    """
    count = nca.config.kinds or LIVES
    until, seeds = clock() + SECONDS, item_seeds(0, count)
    kinds = range(1, count + 1) if nca.config.kinds else 1
    height, width = target.shape[-3:-1]
    bodies = nca.grow(nca.seed(count, (height, width), kinds), GROWN, seeds)
    if stop():
        return None
    kept = nca.grow(bodies, KEPT - GROWN, seeds, t0=GROWN)
    scores: list[float] = []
    for first in range(0, SWIPES, count):
        if stop():
            return None
        if scores and clock() > until:
            break
        hurt = damage(bodies, "swipe", seed=first)
        scores += log10_error(nca.grow(hurt, HEALING, seeds, t0=GROWN), target)
    return CheckUp(
        grown=round(median(log10_error(bodies, target)), 3),
        kept=round(median(log10_error(kept, target)), 3),
        healed=sum(score < HEALED for score in scores),
        damaged=len(scores),
    )
