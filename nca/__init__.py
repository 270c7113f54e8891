"""NCA Garden: train, grow, damage and share neural cellular automata.

The names below are the public API. They load on first use, because importing torch takes seconds
and not every process that imports this package needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nca.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from nca.config import BadInput, CheckpointInfo, NCAConfig, TargetConfig, TrainConfig
    from nca.damage_shapes import damage
    from nca.engine import rollout
    from nca.foreign import load_foreign
    from nca.goal import Goal
    from nca.model import NCA
    from nca.recipes import recipe
    from nca.render import save_gif
    from nca.sharpen import Sharpener, SharpenReport
    from nca.state import repaint, to_rgb
    from nca.target import emoji_target, image_target
    from nca.trainer import IterationReport, Trainer
    from nca.zoo import cross, together

__all__ = [
    "BadInput",
    "Checkpoint",
    "CheckpointInfo",
    "Goal",
    "IterationReport",
    "NCA",
    "NCAConfig",
    "SharpenReport",
    "Sharpener",
    "TargetConfig",
    "TrainConfig",
    "Trainer",
    "cross",
    "damage",
    "emoji_target",
    "image_target",
    "load_checkpoint",
    "load_foreign",
    "recipe",
    "repaint",
    "rollout",
    "save_checkpoint",
    "save_gif",
    "to_rgb",
    "together",
]
_MODULES = {
    "checkpoint": (
        "Checkpoint",
        "load_checkpoint",
        "save_checkpoint",
    ),
    "config": (
        "BadInput",
        "CheckpointInfo",
        "NCAConfig",
        "TargetConfig",
        "TrainConfig",
    ),
    "damage_shapes": ("damage",),
    "engine": ("rollout",),
    "foreign": ("load_foreign",),
    "goal": ("Goal",),
    "model": ("NCA",),
    "recipes": ("recipe",),
    "render": ("save_gif",),
    "sharpen": (
        "SharpenReport",
        "Sharpener",
    ),
    "state": ("repaint", "to_rgb"),
    "target": (
        "emoji_target",
        "image_target",
    ),
    "trainer": (
        "IterationReport",
        "Trainer",
    ),
    "zoo": ("cross", "together"),
}
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"nca.{module}"), name)
    raise AttributeError(f"module 'nca' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
