"""A checkpoint to share, and the token that must never serve a visitor."""

from pathlib import Path

import torch

from nca.checkpoint import save_checkpoint
from nca.config import CheckpointInfo, NCAConfig, TargetConfig, TrainConfig
from nca.model import NCA

MACHINE = "hf_machine" + "m" * 24  # the server's own token, which must never serve a visitor


def automaton(seed=0):
    nca = NCA(NCAConfig(channels=6, hidden=(8,)), seed)
    with torch.no_grad():
        nca.layers[-1].weight.normal_(0, 0.02, generator=torch.Generator().manual_seed(seed))
    return nca


def write_checkpoint(folder, seed=0, title="A lizard: “green”"):
    target = torch.zeros(12, 12, 4)
    target[4:8, 4:8] = torch.tensor([0.2, 0.6, 0.2, 1.0])
    made = TargetConfig(emoji="🦎", size=8, padding=2)
    info = CheckpointInfo(
        title=title, recipe="regenerating", iteration=500, train=TrainConfig(), target=made
    )
    return save_checkpoint(
        folder, automaton(seed), info, target, {"scores": {"growth at 200": -3.21}}
    )


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}
