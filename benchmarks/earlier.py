"""`quick` as it was when the shipped ten and the runs of quality_over_time.py were trained."""

from __future__ import annotations

from typing import Any

from nca.recipes import SWIPES

ARCHITECTURE: dict[str, Any] = {"channels": 16, "hidden": (128,)}
TRAINING: dict[str, Any] = {
    "initial_weights": "random",
    "damage_shapes": SWIPES,
    "damage_drawn": 0.3,
}
