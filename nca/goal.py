"""What training wants: of which kind a batch item is, how it begins and how it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nca.config import BadInput
from nca.losses import Loss, check_target, own_error, picture_error

if TYPE_CHECKING:
    from nca.model import NCA


@dataclass(frozen=True, eq=False)
class Goal:
    """What an automaton is trained to become.

    One picture, one for each kind, or a loss of the caller's own. An item of kind k begins as a
    seed of kind k and is to become picture k; an automaton without kinds has one picture.

    >>> from nca import Goal, NCAConfig, TrainConfig, Trainer, emoji_target
    >>> goal = Goal([emoji_target(e, size=8, padding=2) for e in "🌵🐠"])
    >>> train = TrainConfig(batch=2, pool_size=8, steps_max=64)
    >>> trainer = Trainer(NCAConfig(kinds=2), train, goal)
    >>> trainer.train_step().kinds.sort().values
    tensor([1, 2])

    Args:
        pictures: float [H, W, 4] or [K, H, W, 4], or K of [H, W, 4], premultiplied RGBA in
            [0, 1], padding included.
        loss: judges states in place of the error against the pictures, whose height and width
            alone are used then; see `nca.trainer.Trainer`.

    Raises:
        BadInput: pictures in a list differ in size, one of them cannot be used, or the loss cannot
            be called.
    """

    pictures: Tensor | Sequence[Tensor]
    loss: Loss | None = None

    def __post_init__(self) -> None:
        if self.loss is not None and not callable(self.loss):
            raise BadInput(
                f"Please give the loss as a function of states, not {type(self.loss).__name__}."
            )
        given = self.pictures
        if isinstance(given, Sequence):
            shapes = {tuple(check_target(picture).shape) for picture in given}
            if len(shapes) != 1:
                raise BadInput("Please give at least one picture, and all of one size.")
            object.__setattr__(self, "pictures", torch.stack(list(given)))
        else:
            several = isinstance(given, Tensor) and given.ndim == 4 and len(given) > 0
            for picture in given if several else [given]:
                check_target(picture)

    @property
    def target(self) -> Tensor:
        """The pictures: [H, W, 4] of one, [K, H, W, 4] of one for each kind."""
        assert isinstance(self.pictures, Tensor)
        return self.pictures

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the grid."""
        height, width = self.target.shape[-3:-1]
        return height, width

    def on(self, device: torch.device) -> Goal:
        """The same goal, float32, on a device."""
        return Goal(self.target.to(device, torch.float32), self.loss)

    def check_kinds(self, kinds: int) -> None:
        """Raise BadInput unless there is one picture for each of the automaton's kinds.

        A custom loss can read the kinds from the states, so one picture is enough for it.
        """
        count = len(self.target) if self.target.ndim == 4 else 1
        if not kinds and count == 1:
            check_target(self.target)  # [1, H, W, 4] is for one kind
        if count == max(1, kinds) or (count == 1 and self.loss is not None):
            return
        has = f"has {kinds} kind{'s' * (kinds != 1)}" if kinds else "has no kinds"
        raise BadInput(
            f"There {'are' if count > 1 else 'is'} {count} picture{'s' * (count > 1)} and the "
            f"automaton {has}; please give one picture for each kind."
        )

    def seeds(self, nca: NCA) -> Tensor:
        """The state that an item of each kind begins as: [K, H, W, C]."""
        kinds = range(1, max(1, nca.config.kinds) + 1)
        return nca.seed(len(kinds), self.size, kinds)

    def errors(self, states: Tensor, kinds: Tensor) -> Tensor:
        """How bad each state is: float [S, B].

        Args:
            states: float [S, B, H, W, C], of S steps.
            kinds: of the items, int64 [B], from 1.
        """
        if self.loss is not None:
            return own_error(self.loss, states)
        pictures = self.target if self.target.ndim == 4 else self.target[None]
        return picture_error(states, pictures[kinds.to(pictures.device) - 1])
