"""The initial checkpoint of a training that does not begin with random weights."""

from __future__ import annotations

from dataclasses import dataclass

from nca.checkpoint import Checkpoint, weights_to_bytes
from nca.config import BadInput, InitialSource, NCAConfig, TargetConfig, checked
from nca.jobs.spec import Target
from nca.target import target_to_png


@dataclass(frozen=True)
class InitialCheckpoint:
    """A checkpoint whose weights a training begins with.

    Attributes:
        checkpoint: loaded, and so checked.
        source: its title, iteration and repo, as the training stores them.
        weights: a safetensors file, for the job's folder.
    """

    checkpoint: Checkpoint
    source: InitialSource
    weights: bytes

    @property
    def nca(self) -> NCAConfig:
        """The architecture, which the training keeps."""
        return self.checkpoint.nca.config

    def target(self) -> Target:
        """The picture it was trained on, with its own title.

        Raises:
            BadInput: it has none, or one that cannot be a target here.
        """
        picture, made = self.checkpoint.target, self.checkpoint.info.target
        if picture is None:
            raise BadInput("This checkpoint has no picture of its own; please choose one.")
        height, width = self.checkpoint.size
        if made is None or (height, width) != (made.grid, made.grid):
            if height != width:
                raise BadInput("This checkpoint's own picture is not square; please choose one.")
            made = checked(TargetConfig, {"kind": "image", "size": height, "padding": 0})
        count = len(picture) if picture.ndim == 4 else 1
        fine = self.checkpoint.picture_png
        return Target(made, target_to_png(picture), self.source.title, count, fine)


def initial_checkpoint(
    checkpoint: Checkpoint, repo: str | None = None, revision: str | None = None
) -> InitialCheckpoint:
    """Prepare a checkpoint for a training that begins with it.

    Args:
        checkpoint: loaded, and so checked.
        repo: `user/name` if it is public on the Hub, for the model card.
        revision: its commit there.
    """
    info = checkpoint.info
    source = InitialSource(title=info.title, iteration=info.iteration, repo=repo, revision=revision)
    return InitialCheckpoint(checkpoint, source, weights_to_bytes(checkpoint.nca, info))
