"""The decoder: draws the states of an automaton finer than its cells.

It stands beside the automaton and never changes a state. A cell's perception goes through a small
network whose outputs are the weights of a few patches: pictures two cells wide around the cell,
made of cosines, faded out towards their edges. What is drawn is the sum of the patches of all
cells on top of the bilinear interpolation of their RGBA, so that it is continuous across cells.
The network runs once per cell, not per pixel, and any number of pixels per cell comes from
sampling the same patches.

Compare Neural Cellular Automata: From Cells to Pixels (SIGGRAPH 2026), where a network runs per
pixel on the interpolated state.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nca.config import DecoderConfig, NCAConfig
from nca.model import NCA, check_states
from nca.picture import MOST_SCALE, check_scale
from nca.state import visible


class Decoder(nn.Module):
    """A decoder for automata of one architecture.

    `layers` are the network's linear layers, with ReLU between them, from the perception [K * C]
    to the weights of the patches [P]; `basis`, float32 [P, 4, waves, waves], holds each patch as
    amplitudes of cosines along y and x.

    >>> from nca import NCA, NCAConfig
    >>> from nca.config import DecoderConfig
    >>> from nca.decoder import Decoder
    >>> nca = NCA(NCAConfig())
    >>> decoder = Decoder(DecoderConfig(), nca.config)
    >>> decoder.draw(nca, nca.seed(batch=1, size=16), scale=8).shape
    torch.Size([1, 128, 128, 4])

    Args:
        config: the architecture of the decoder.
        nca_config: that of the automaton.
        init_seed: seed of the initial weights: Glorot-uniform layers, biases 0, and patches so
            faint that the first picture is nearly the interpolated one.
    """

    def __init__(self, config: DecoderConfig, nca_config: NCAConfig, init_seed: int = 0) -> None:
        super().__init__()
        self.config = config
        widths = (nca_config.filters * nca_config.rule_channels, *config.hidden, config.patches)
        linears = [nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths)]
        self.layers = nn.ModuleList(linears)
        self.basis = nn.Parameter(torch.empty(config.patches, 4, config.waves, config.waves))
        draw = torch.Generator().manual_seed(init_seed)
        for layer in linears:
            nn.init.xavier_uniform_(layer.weight, generator=draw)
            nn.init.zeros_(layer.bias)
        if not self.basis.is_meta:  # torch imports its compiler to draw no numbers, in 3 s
            nn.init.normal_(self.basis, std=0.02, generator=draw)

    def weigh(self, perception: Tensor) -> Tensor:
        """The weights of the patches, [..., K * C] -> [..., P]."""
        for layer in self.layers[:-1]:
            perception = layer(perception).relu()
        return self.layers[-1](perception)

    def table(self, scale: int, angle: float = 0.0) -> Tensor:
        """The patches as pixels, with the bilinear patches of RGBA behind them.

        Args:
            scale: pixels per cell.
            angle: radians by which the automaton's filters are rotated.

        Returns:
            float32 [P + 4, 4, 2 * scale, 2 * scale], the cell in the middle; the last four are
            the red, green, blue and alpha of the cell itself.
        """
        waves, tent = sampled(scale, angle, self.config.waves)
        patches = torch.einsum("pcij,ijyx->pcyx", self.basis, waves.to(self.basis))
        own = torch.eye(4)[:, :, None, None] * tent
        return torch.cat([patches, own.to(patches)])

    @torch.no_grad()
    def draw(self, nca: NCA, x: Tensor, scale: int, angle: float = 0.0) -> Tensor:
        """The states as pictures, premultiplied RGBA in [0, 1], float32 [B, s * H, s * W, 4].

        Args:
            nca: the automaton that the decoder was fitted to.
            x: states, float [B, H, W, C].
            scale: pixels per cell, 1 to 16; 1 draws the cells themselves.
            angle: radians by which the automaton's filters are rotated.

        Raises:
            BadInput: the scale is not a whole number from 1 to 16, or the states are not of this
                automaton.
        """
        check_scale(scale)
        check_states(nca, x)
        if scale == 1:
            return visible(x[..., :4].float())
        if scale % 2:  # a pixel would lie across two quads
            twice = self._draw_all(nca, x, 2 * scale, angle).permute(0, 3, 1, 2)
            return F.avg_pool2d(twice, 2).permute(0, 2, 3, 1)
        return self._draw_all(nca, x, scale, angle)

    def _draw_all(self, nca: NCA, x: Tensor, scale: int, angle: float) -> Tensor:
        table = self.table(scale, angle)
        return torch.cat([self._draw(nca, item, scale, angle, table) for item in x.split(1)])

    def _draw(self, nca: NCA, x: Tensor, scale: int, angle: float, table: Tensor) -> Tensor:
        _, height, width, _ = x.shape
        drawn = x.new_zeros(height + 1, width + 1, scale, scale, 4, dtype=torch.float32)
        weights, seen = self.cells(nca, x, angle)
        corners = quad_corners(weights, nca.config.padding)[0]
        rows, columns = quad_corners(seen[..., None], nca.config.padding)[0].any(-1).nonzero().T
        pixels = corners[rows, columns] @ quad_table(table)
        drawn[rows, columns] = pixels.unflatten(-1, (scale, scale, 4)).float()
        # Quads lie between the centres of cells: half a cell is cut off on each side.
        picture = drawn.transpose(1, 2).reshape((height + 1) * scale, (width + 1) * scale, 4)
        half = scale // 2
        return visible(picture[half : half + height * scale, half : half + width * scale][None])

    def cells(self, nca: NCA, x: Tensor, angle: float = 0.0) -> tuple[Tensor, Tensor]:
        """What each cell contributes: weights [B, H, W, P + 4], and whether it does, [B, H, W].

        Only living cells use patches; a cell outside the alive mask may still hold a colour.
        """
        alive = nca.alive(x)
        dtype = self.basis.dtype  # the automaton may be of another
        weights = x.new_zeros(*x.shape[:3], self.config.patches, dtype=dtype)
        weights[alive] = self.weigh(nca.perceive(x, angle)[alive].to(dtype))
        rgba = x[..., :4].to(dtype)
        return torch.cat([weights, rgba], -1), alive | rgba.ne(0).any(-1)


def sampled(scale: int, angle: float, waves: int) -> tuple[Tensor, Tensor]:
    """Cosines [waves, waves, 2s, 2s] times the tent, and the tent alone, [2s, 2s].

    They are means over the pixels of a patch two cells wide, so that few pixels per cell show
    what many would show from afar. With an angle the cosines are rotated, the tent is not.

    Args:
        scale: pixels per cell, s.
        angle: radians.
        waves: cosines per axis; number i makes i half turns across the patch.
    """
    parts = max(1, MOST_SCALE // scale)  # samples per pixel and axis
    count = 2 * scale * parts
    at = (torch.arange(count, dtype=torch.float64) + 0.5) / count * 2 - 1  # -1 to 1 in the patch
    tent = (1 - at.abs())[:, None] * (1 - at.abs())
    cos, sin = math.cos(angle), math.sin(angle)
    y, x = torch.meshgrid(at, at, indexing="ij")
    # Beyond the patch, which corners reach when rotated, the cosines are held at their edge.
    along_x = (cos * x - sin * y).clamp(-1, 1)
    along_y = (sin * x + cos * y).clamp(-1, 1)
    number = torch.arange(waves, dtype=torch.float64)[:, None, None] * (math.pi / 2)
    both = (number * (along_y + 1)).cos()[:, None] * (number * (along_x + 1)).cos()
    means = F.avg_pool2d((both * tent).flatten(0, 1)[None], parts)[0]
    means = means.unflatten(0, (waves, waves)).float()
    return means, F.avg_pool2d(tent[None, None], parts)[0, 0].float()


def quad_corners(cells: Tensor, padding: str) -> Tensor:
    """What surrounds each quad between four cell centres: [B, H, W, N] -> [B, H+1, W+1, 4 * N].

    In the order top left, top right, bottom left, bottom right. Beyond the border lie the
    nearest cells, or those of the other side when the padding is circular.
    """
    planes = cells.permute(0, 3, 1, 2).to(torch.float32)
    mode = "circular" if padding == "circular" else "replicate"
    padded = F.pad(planes, (1, 1, 1, 1), mode=mode).permute(0, 2, 3, 1)
    top, bottom = padded[:, :-1], padded[:, 1:]
    corners = [top[:, :, :-1], top[:, :, 1:], bottom[:, :, :-1], bottom[:, :, 1:]]
    return torch.cat(corners, -1)


def quad_table(table: Tensor) -> Tensor:
    """The quadrants of the patches that meet in a quad: [N, 4, 2s, 2s] -> [4 * N, s * s * 4]."""
    s = table.shape[-1] // 2
    first, second = slice(0, s), slice(s, None)
    # The top left cell adds the lower right quadrant of its patches, and so on.
    parts = [table[:, :, y, x] for y in (second, first) for x in (second, first)]
    return torch.cat(parts).permute(0, 2, 3, 1).flatten(1)


def enlarged(x: Tensor, scale: int) -> Tensor:
    """The cells of states [B, H, W, C] as squares: premultiplied RGBA, float32 [B, sH, sW, 4].

    Raises:
        BadInput: the scale is not a whole number from 1 to 16.
    """
    check_scale(scale)
    return visible(x[..., :4].float()).repeat_interleave(scale, 1).repeat_interleave(scale, 2)
