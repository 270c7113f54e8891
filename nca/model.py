"""The automaton: perceive, update, step, grow. Plain and dense, the reference for every engine.

After Growing Neural Cellular Automata (Mordvintsev, Randazzo, Niklasson, Levin; Distill 2020),
with arrays channels-last and the fire mask of nca/fire.py instead of a random generator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nca.config import MOST_KINDS, BadInput, Laplacian, NCAConfig, whole_number
from nca.fire import MOST_STEPS, Seed, fire_mask, item_seeds
from nca.state import alive_mask, inherit_kinds, make_seed

_SOBEL = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
_IDENTITY = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
_LAPLACIANS = {
    "nine_point": torch.tensor([[1.0, 2.0, 1.0], [2.0, -12.0, 2.0], [1.0, 2.0, 1.0]]) / 8,
    "five_point": torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]) / 8,
}


def fixed_filters(laplacian: Laplacian = "none") -> Tensor:
    """The perception filters: identity, Sobel x, Sobel y (, Laplacian), float32 [K, 3, 3].

    Args:
        laplacian: which Laplacian is the fourth filter; K is 3 with "none", else 4.
    """
    bank = [_IDENTITY, _SOBEL, _SOBEL.T]
    return torch.stack(bank if laplacian == "none" else [*bank, _LAPLACIANS[laplacian]])


class NCA(nn.Module):
    """One automaton: a rule that every cell applies to its 3 x 3 neighbourhood.

    `layers` are the update network's linear layers, first to last; `filters` is the perception
    bank, float32 [K, C, 3, 3], a parameter when `config.perception == "learned"`; `genes`, only
    where there are kinds, is what each adds to the first layer, float32 [kinds, hidden].

    With `config.kinds` the last channel of a state is the cell's kind: 1 to `kinds`, 0 for none.
    A cell that has none and touches life takes, before it updates, that of its neighbour with the
    highest alpha; a cell that dies loses its own. The rule neither perceives nor changes it, so C
    above is one less than the channels of a state.

    >>> from nca import NCA, NCAConfig
    >>> nca = NCA(NCAConfig(channels=8, hidden=(16,)))
    >>> x = nca.seed(batch=1, size=16)
    >>> nca.grow(x, steps=10, seed=0, all_steps=True).shape
    torch.Size([11, 1, 16, 16, 8])

    One rule for two pictures; the seed's kind says which:

    >>> nca = NCA(NCAConfig(channels=9, hidden=(16,), kinds=2))
    >>> x = nca.seed(batch=2, size=16, kind=(1, 2))
    >>> kinds = nca.grow(x, steps=10, seed=0)[..., -1]
    >>> kinds.amax((1, 2))
    tensor([1., 2.])

    Args:
        config: the architecture.
        init_seed: seed of the initial weights: Glorot-uniform hidden layers, biases 0, and a last
            layer of zeros, so that an untrained automaton changes nothing. Genes begin as normal
            numbers of standard deviation 0.1, so that kinds differ from the first update on.

    Raises:
        BadInput: `init_seed` is no whole number of 64 bits.
    """

    filters: Tensor
    genes: Tensor | None

    def __init__(self, config: NCAConfig, init_seed: int = 0) -> None:
        super().__init__()
        self.config = config
        channels = config.rule_channels
        bank = fixed_filters(config.laplacian)[:, None].repeat(1, channels, 1, 1)
        if config.perception == "learned":
            self.filters = nn.Parameter(bank)
        else:
            self.register_buffer("filters", bank, persistent=False)
        widths = (config.filters * channels, *config.hidden, channels)
        last = len(config.hidden)
        linears = [
            nn.Linear(n_in, n_out, bias=config.out_bias if i == last else config.bias)
            for i, (n_in, n_out) in enumerate(pairwise(widths))
        ]
        self.layers = nn.ModuleList(linears)
        draw = torch.Generator().manual_seed(
            whole_number("init_seed", init_seed, -(2**63), 2**63 - 1)
        )
        for i, layer in enumerate(linears):
            if i == last:
                nn.init.zeros_(layer.weight)
            else:
                nn.init.xavier_uniform_(layer.weight, generator=draw)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if config.kinds:
            genes = torch.randn(config.kinds, config.hidden[0], generator=draw)
            self.genes = nn.Parameter(0.1 * genes)
        else:
            self.genes = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def seed(
        self, batch: int = 1, size: int | tuple[int, int] = 72, kind: int | Sequence[int] = 1
    ) -> Tensor:
        """The initial states, float [B, H, W, C]: one living cell in the middle of an empty grid.

        Its alpha is 1, its colour black, its hidden channels 1, or 0 with `seed_hidden=False`.

        Args:
            batch: how many, B.
            size: of the grid: H = W, or (H, W).
            kind: of the cell, or one for each item, where the automaton has kinds.

        Raises:
            BadInput: not whole numbers of at least 1, or there is no such kind.
        """
        batch = whole_number("batch", batch, 1)
        sides = size if isinstance(size, Sequence) else (size, size)
        if len(sides) != 2:
            raise BadInput(f"Please give the size as one number or as (height, width), not {size}.")
        height, width = (whole_number("size", side, 1) for side in sides)
        x = make_seed(self.config.channels, height, width, batch, self.config.seed_hidden)
        kinds = self.check_kinds(kind, batch)
        if self.config.kinds:
            x[:, height // 2, width // 2, -1] = torch.tensor(kinds, dtype=x.dtype)
        return x.to(self.device, next(self.parameters()).dtype)

    def check_kinds(self, kind: int | Sequence[int], batch: int = 1) -> list[int]:
        """One kind for each of `batch` items, from one for all or one for each.

        Raises:
            BadInput: there is no such kind, or their number is not `batch`.
        """
        kind = kind.tolist() if isinstance(kind, Tensor | np.ndarray) else kind
        several = isinstance(kind, Sequence)
        kinds = list(kind) if several else [kind] * batch
        if len(kinds) != batch:
            raise BadInput(f"Please give one kind, or {batch}, one for each item, not {kind!r}.")
        most = max(1, self.config.kinds)  # without kinds everything is of the first
        for one in kinds:
            if not isinstance(one, Integral) or not 1 <= one <= most:
                has = f"kinds 1 to {most}" if self.config.kinds else "no kinds"
                raise BadInput(f"There is no kind {one!r:.40}; this automaton has {has}.")
        return [int(one) for one in kinds]

    @torch.no_grad()
    def with_kinds(self, count: int) -> NCA:
        """A copy with `count` new kinds, to be trained on other pictures; each has the mean genes.

        >>> from nca import NCA, NCAConfig
        >>> NCA(NCAConfig(kinds=10)).with_kinds(1).genes.shape
        torch.Size([1, 128])

        Raises:
            BadInput: this automaton has no kinds, or the number is not from 1 to 255.
        """
        if self.genes is None:
            raise BadInput("This automaton has no kinds; please begin with one that has.")
        count = whole_number("count", count, 1, MOST_KINDS)
        other = NCA(self.config.model_copy(update={"kinds": count})).to(self.genes)
        genes = self.genes.mean(0, keepdim=True).repeat(count, 1)
        other.load_state_dict(self.state_dict() | {"genes": genes})
        return other

    def rotated_filters(self, angle: float = 0.0) -> Tensor:
        """The filters, the second and third rotated by `angle` radians, [K, C, 3, 3].

        Raises:
            BadInput: the angle is not a finite number.
        """
        if not isinstance(angle, Real) or not math.isfinite(angle):
            raise BadInput(f"Please give the angle as a number of radians, not {angle!r:.40}.")
        if angle == 0.0:
            return self.filters
        cos, sin = math.cos(angle), math.sin(angle)
        identity, sx, sy, *rest = self.filters
        return torch.stack([identity, cos * sx - sin * sy, sin * sx + cos * sy, *rest])

    def perceive(self, x: Tensor, angle: float = 0.0) -> Tensor:
        """The perception of each cell: [B, H, W, K * C], filter by filter, C channels each."""
        channels = self.config.rule_channels
        mode = "circular" if self.config.padding == "circular" else "constant"
        image = F.pad(x[..., :channels].permute(0, 3, 1, 2), (1, 1, 1, 1), mode=mode)
        seen = [
            F.conv2d(image, bank[:, None], groups=channels) for bank in self.rotated_filters(angle)
        ]
        return torch.cat(seen, dim=1).permute(0, 2, 3, 1)

    def update(self, perception: Tensor, kinds: Tensor | None = None) -> Tensor:
        """The change of a cell's state if it fires: [..., K * C] -> [..., C].

        Args:
            perception: as `perceive` gives it.
            kinds: of the cells, [...], 0 for none, where the automaton has kinds.
        """
        for number, layer in enumerate(self.layers[:-1]):
            perception = layer(perception)
            if number == 0 and self.genes is not None and kinds is not None:
                table = F.pad(self.genes, (0, 0, 1, 0))  # a cell of no kind has genes of 0
                perception = perception + table[kinds.long().clamp(0, self.config.kinds)]
            perception = perception.relu()
        return self.config.step_size * self.layers[-1](perception)

    def alive(self, x: Tensor) -> Tensor:
        """Cells that are, or touch, a cell above the alive threshold: bool [B, H, W]."""
        return alive_mask(x[..., 3], self.config.alive_threshold, self.config.padding)

    def step(self, x: Tensor, t: int, seed: Seed = 0, angle: float = 0.0) -> Tensor:
        """The states one step later, [B, H, W, C], differentiable, in plain torch operations.

        `torch.export` can export it; `nca.rollout` is faster for more than one step.

        Args:
            x: states at step t, float [B, H, W, C], premultiplied RGBA in the first four channels.
            t: the step, 0 or more; with `seed` it decides which cells fire.
            seed: an int, or one per item.
            angle: radians by which the perception filters are rotated.

        Raises:
            BadInput: the states do not fit this automaton, or `t` is no step. The kinds in their
                last channel are not looked at, as an exported program cannot do that.
        """
        check_states(self, x)
        if not torch.compiler.is_compiling():  # it cannot follow the check
            t = whole_number("t", t, 0, MOST_STEPS)
        batch, height, width, _ = x.shape
        pre, kinds = self.alive(x), None
        if self.config.kinds:
            x, held = x[..., :-1], x.detach()
            kinds = inherit_kinds(held[..., -1], held[..., 3], pre, self.config.padding)
        dx = self.update(self.perceive(x, angle), kinds)
        seeds = item_seeds(seed, batch)
        fires = fire_mask(height, width, t, seeds, self.config.fire_rate, x.device)
        grown = torch.where(fires[..., None], x + dx, x)
        living = self.alive(grown)
        if self.config.alive_mask == "pre_post":
            living = living & pre
        if kinds is not None:
            grown = torch.cat([grown, kinds[..., None]], -1)
        return grown * living[..., None]

    @torch.no_grad()
    def grow(
        self,
        x: Tensor,
        steps: int,
        seed: Seed = 0,
        t0: int = 0,
        all_steps: bool = False,
        angle: float = 0.0,
    ) -> Tensor:
        """The states `steps` steps later, on the fastest engine, without gradients.

        `nca.rollout` does the same with gradients.

        Args:
            x: states at step `t0`, [B, H, W, C].
            steps: how many, 0 or more.
            seed: an int, or one per item.
            t0: the step `x` is at.
            all_steps: return every step, [steps + 1, B, H, W, C], `x` first.
            angle: radians by which the perception filters are rotated.

        Raises:
            BadInput: the states do not fit this automaton, or a number is out of range.
        """
        from nca.engine import rollout

        steps = whole_number("steps", steps)
        keep = range(steps + 1) if all_steps else None
        return rollout(self, x, steps, seed=seed, t0=t0, keep=keep, angle=angle)

    @classmethod
    def from_pretrained(cls, repo_id_or_folder: str | Path, **options: Any) -> NCA:
        """The automaton of `user/name` on the Hub, or of a folder; see `nca.hub.from_pretrained`.

        Args:
            repo_id_or_folder: a checkpoint folder, or a Hub repo.
            options: revision, token, endpoint.
        """
        from nca.hub import from_pretrained

        return from_pretrained(repo_id_or_folder, **options)

    def push_to_hub(self, repo_id: str, **options: Any) -> Any:
        """Share this automaton as `user/name` on the Hub; see `nca.hub.push_to_hub`.

        Args:
            repo_id: the repo, created when missing.
            options: info, target, metrics, private, licence, pull_request, token, endpoint.
        """
        from nca.hub import push_to_hub

        return push_to_hub(self, repo_id, **options)


def check_states(nca: NCA, x: Tensor) -> None:
    """Refuse, with BadInput, states that are not [B, H, W, C] that fit the automaton."""
    if not isinstance(x, Tensor):
        raise BadInput(
            f"The states must be a tensor, not {type(x).__name__}; nca.seed(batch, size) makes one."
        )
    parameter = next(nca.parameters())
    channels = nca.config.channels
    if x.ndim != 4 or x.shape[-1] != channels or 0 in x.shape:
        raise BadInput(
            f"The states must be [batch, height, width, {channels}], not {list(x.shape)}; "
            "nca.seed(batch, size) makes such."
        )
    if (x.dtype, x.device) != (parameter.dtype, parameter.device):
        raise BadInput(
            f"The states are {x.dtype} on {x.device}, the automaton is {parameter.dtype} on "
            f"{parameter.device}; please move one to the other with .to()."
        )


def check_state_kinds(nca: NCA, x: Tensor) -> None:
    """Refuse, with BadInput, states [B, H, W, C] whose last channel holds no kinds of `nca`."""
    kinds = x.detach()[..., -1]
    known = (kinds == kinds.round()) & (kinds >= 0) & (kinds <= nca.config.kinds)
    if nca.config.kinds and not bool((known | kinds.isnan()).all()):
        raise BadInput(
            f"The last channel of these states must hold kinds, whole numbers from 0 to "
            f"{nca.config.kinds}, and {float(kinds[~known][0]):g} is none."
        )
