"""NCA Garden: train, grow, wound and share neural cellular automata.

The names below are the public API. They load on first use, because importing torch takes seconds
and not every process that imports this package needs it.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Threads of torch that wait by spinning take the cores from the engine's own, from other processes
# and from the page: sleeping ones train faster, much faster beside other work. Read when torch is
# imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from nca.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from nca.config import BadInput, CheckpointInfo, NCAConfig, TargetConfig, TrainConfig
    from nca.damage_shapes import damage, to_rgb
    from nca.engine import rollout
    from nca.model import NCA
    from nca.recipes import recipe
    from nca.render import save_gif
    from nca.target import emoji_target, image_target
    from nca.trainer import IterationReport, Trainer

_HOME = {
    "BadInput": "config",
    "Checkpoint": "checkpoint",
    "CheckpointInfo": "config",
    "IterationReport": "trainer",
    "NCA": "model",
    "NCAConfig": "config",
    "TargetConfig": "config",
    "TrainConfig": "config",
    "Trainer": "trainer",
    "damage": "damage_shapes",
    "emoji_target": "target",
    "image_target": "target",
    "load_checkpoint": "checkpoint",
    "recipe": "recipes",
    "rollout": "engine",
    "save_checkpoint": "checkpoint",
    "save_gif": "render",
    "to_rgb": "state",
}
__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nca' has no attribute {name!r}")
    return getattr(import_module(f"nca.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
