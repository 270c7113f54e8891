"""How an automaton works, as pictures and numbers: what experts see under How it works.

States are float [H, W, C >= 4] or, over time, [T, H, W, C]: premultiplied RGBA, then hidden.
Pictures are Pillow images, RGB unless said, every cell a square of `scale` pixels. Signed values
are blue below zero, white at zero, red above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from nca.fire import Seed, fire_mask, item_seeds
from nca.model import NCA
from nca.render import to_rgba8, upscale

FILTERS = ("identity", "Sobel x", "Sobel y", "Laplacian")
CHANNELS = ("red", "green", "blue", "alpha")
HUGE = 100.0  # most shipped ones stay within 50; -1700 to 1000 has been reported
KINDS = {"mature": "#2c6e49", "growing": "#f5cf3d", "empty": "#ffffff"}
_SHADES = 120
_COOL, _WARM = np.array([26, 107, 224]), np.array([232, 89, 13])  # as the player's
Cell = tuple[int, int]  # row, column


def channel_name(channel: int) -> str:
    """red, green, blue, alpha, then hidden 1, hidden 2 and so on, as in the player."""
    return CHANNELS[channel] if channel < 4 else f"hidden {channel - 3}"


def diverging(values: Tensor | np.ndarray, limit: float | None = None) -> np.ndarray:
    """Signed values [...] as colours, uint8 [..., 3]: blue, white at 0, orange.

    Args:
        values: anything; what is not finite is drawn black.
        limit: the magnitude that gets the full colour; None takes the largest.
    """
    v = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, np.float64)
    finite = np.isfinite(v)
    v = np.where(finite, v, 0)
    size = limit or np.abs(v).max(initial=0) or 1.0
    # At most 241 colours: the difference is invisible and the files are half as large.
    share = (np.clip(np.abs(v) / size, 0, 1)[..., None] * _SHADES).round() / _SHADES
    colour = 255 + share * (np.where(v[..., None] < 0, _COOL, _WARM) - 255)
    return np.where(finite[..., None], colour.round(), 0).astype(np.uint8)


# ---------------------------------------------------------------------------- one state


@torch.no_grad()
def perception(nca: NCA, target: Tensor, angle: float = 0.0) -> list[tuple[str, np.ndarray]]:
    """The response of each filter to a picture: (name, float [H, W, 4]).

    Args:
        nca: whose filters; trained ones differ by channel.
        target: premultiplied RGBA, float [H, W, 4]; hidden channels are taken as 0.
        angle: radians by which the filters are rotated.
    """
    x = torch.zeros(1, *target.shape[:2], nca.config.channels, device=nca.device)
    x[0, ..., :4] = target[..., :4].to(nca.device)
    seen = nca.perceive(x, angle)[0].cpu().numpy()
    step = nca.config.rule_channels
    names = FILTERS if nca.config.perception == "fixed" else [f"trained {n}" for n in FILTERS]
    return [(names[k], seen[..., k * step : k * step + 4]) for k in range(nca.config.filters)]


def perception_pictures(
    nca: NCA, target: Tensor, scale: int = 3, angle: float = 0.0
) -> list[tuple[str, Image.Image]]:
    """The response of each filter to the target: identity as RGBA, the others as mean of RGBA."""
    pictures = []
    for name, response in perception(nca, target, angle):
        pixels = to_rgba8(response) if name == "identity" else diverging(response.mean(-1))
        pictures.append((name, Image.fromarray(upscale(pixels, scale))))
    return pictures


def fire_pictures(
    size: tuple[int, int],
    t: int = 0,
    seed: Seed = 0,
    rates: tuple[float, ...] = (0.25, 0.5, 0.75),
    scale: int = 3,
) -> list[tuple[str, Image.Image]]:
    """Which cells of a grid (H, W) update at step t, for several fire rates; those are dark.

    The masks are nested: a cell that fires at a rate fires at every higher one.
    """
    pictures = []
    for rate in rates:
        fires = fire_mask(*size, t, item_seeds(seed, 1), rate, "cpu")[0].numpy()
        grey = np.where(fires, 40, 235).astype(np.uint8)
        pixels = np.repeat(grey[..., None], 3, -1)
        pictures.append((f"{rate:.0%}", Image.fromarray(upscale(pixels, scale))))
    return pictures


def cell_kinds(nca: NCA, x: Tensor) -> np.ndarray:
    """0 empty, 1 growing (only a neighbour is above the alive threshold), 2 mature: [H, W]."""
    living = nca.alive(x[None])[0]
    mature = x[..., 3] > nca.config.alive_threshold
    return (living.int() + (living & mature).int()).cpu().numpy().astype(np.uint8)


def cell_kinds_picture(nca: NCA, x: Tensor, scale: int = 3) -> Image.Image:
    """Mature cells green, growing ones yellow; `KINDS` is the legend."""
    codes = [KINDS["empty"], KINDS["growing"], KINDS["mature"]]
    palette = np.array([_rgb(code) for code in codes], np.uint8)
    return Image.fromarray(upscale(palette[cell_kinds(nca, x)], scale))


# ---------------------------------------------------------------------------- over time


def channel_pictures(x: Tensor, scale: int = 1) -> list[tuple[str, Image.Image]]:
    """Every channel of one state [H, W, C], colours too: (name, picture), each on its own scale."""
    planes = x.detach().cpu().numpy().transpose(2, 0, 1)
    return [
        (channel_name(index), Image.fromarray(upscale(diverging(plane, _usual(plane)), scale)))
        for index, plane in enumerate(planes)
    ]


def channel_strips(
    states: Tensor, scale: int = 1, gap: int = 2
) -> list[tuple[str, float, Image.Image]]:
    """Alpha and every hidden channel over time: (name, limit, the states side by side).

    Args:
        states: float [T, H, W, C].
        scale: pixels per cell.
        gap: white pixels to the right of each state.

    Returns:
        One strip per channel, [H * scale, T * (W * scale + gap)] pixels; `limit` is the magnitude
        with the full colour: the 99th percentile of the nonzero values.
    """
    x = states.detach().cpu().numpy()
    strips = []
    for channel in range(3, x.shape[-1]):
        values = x[..., channel]
        limit = _usual(values)
        pixels = upscale(diverging(values, limit), scale)
        pixels = np.pad(pixels, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=255)
        height, width = pixels.shape[1], pixels.shape[0] * pixels.shape[2]
        strip = Image.fromarray(pixels.transpose(1, 0, 2, 3).reshape(height, width, 3))
        strips.append((channel_name(channel), limit, strip))
    return strips


def _usual(values: np.ndarray) -> float:
    """The 99th percentile of the magnitudes of nonzero values; 1 when there are none."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    return float(np.quantile(sizes, 0.99)) if len(sizes) else 1.0


def channels_over_time(
    states: Tensor, steps: list[int], scale: int = 1, gap: int = 2
) -> Image.Image:
    """Every channel after RGB as a row of small pictures, one per step, alpha first.

    All pictures of a row share one colour scale, which its label gives.

    Args:
        states: float [T, H, W, C], one per entry of `steps`.
        steps: what to write above the columns.
        scale: pixels per cell.
        gap: pixels between pictures.
    """
    count, height, width, channels = states.shape
    label, head = 74, 16
    across, down = width * scale + gap, height * scale + gap
    page = Image.new("RGB", (label + count * across, head + (channels - 3) * down), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    for column, step in enumerate(steps):
        middle = label + column * across + width * scale // 2
        pen.text((middle, 2), str(step), fill="#1f2430", font=font, anchor="mt")
    for row, (name, limit, strip) in enumerate(channel_strips(states, scale, gap)):
        top = head + row * down
        words = f"{name}\n\u00b1{limit:.3g}"
        pen.multiline_text((2, top + 2), words, fill="#1f2430", font=font, spacing=2)
        page.paste(strip, (label, top))
    return page


def usual_cells(nca: NCA, x: Tensor) -> dict[str, Cell]:
    """Default cells to trace in a grown state [H, W, C]: the centre, midway, and the edge.

    The edge is the rightmost living cell of the seed's row, or of the whole shape if that row is
    empty; midway is halfway to it.
    """
    height, width = x.shape[0], x.shape[1]
    centre = (height // 2, width // 2)
    living = cell_kinds(nca, x) == 2
    row = centre[0]
    if not living[row].any() and living.any():
        row = int(np.flatnonzero(living.any(1))[0])
    found = np.flatnonzero(living[row])
    edge = (row, int(found[-1]) if len(found) else width - 1)
    return {
        "centre": centre,
        "midway": ((row + centre[0]) // 2, (edge[1] + centre[1]) // 2),
        "edge": edge,
    }


@dataclass(frozen=True)
class ChannelRange:
    """The range of one channel: its number and name, lowest, highest, and whether it is unusual."""

    channel: int
    name: str
    low: float
    high: float
    flagged: bool


def value_ranges(states: Tensor) -> list[ChannelRange]:
    """The range of every channel over all cells and steps, from states [..., C].

    A channel is flagged when it leaves -100 to 100 or is not finite: such automata are close to
    diverging, and differences in rounding between machines soon become visible.
    """
    flat = states.detach().reshape(-1, states.shape[-1])
    ranges = []
    for channel in range(flat.shape[1]):
        low, high = float(flat[:, channel].min()), float(flat[:, channel].max())
        odd = not (-HUGE <= low and high <= HUGE)  # also true of NaN
        ranges.append(ChannelRange(channel, channel_name(channel), low, high, odd))
    return ranges


# ---------------------------------------------------------------------------- weights


def weight_pictures(nca: NCA, scale: int = 4) -> list[tuple[str, Image.Image]]:
    """Every layer as a picture: a row per output, a column per input, and trained filters.

    The first layer's columns are the filters in turn, the channels of each side by side.
    """
    pictures = []
    for index, layer in enumerate(nca.layers):
        weight: Tensor = layer.get_parameter("weight").detach()
        pixels = upscale(diverging(weight), scale)
        name = f"layer {index + 1}: {weight.shape[1]} to {weight.shape[0]}"
        pictures.append((name, Image.fromarray(pixels)))
    if nca.config.perception == "learned":
        bank = nca.filters.detach().cpu().numpy()  # [K, C, 3, 3]
        framed = np.pad(diverging(bank), ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0)))
        rows = framed.transpose(0, 2, 1, 3, 4).reshape(bank.shape[0] * 4, -1, 3)
        name = "trained filters: a row per filter, a column per channel"
        pictures.append((name, Image.fromarray(upscale(rows, scale * 2))))
    return pictures


def _rgb(code: str) -> tuple[int, int, int]:
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)
