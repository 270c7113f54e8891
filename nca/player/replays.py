"""The player's recordings, validated and computed again on the server.

A recording is a keyframe state, its step, the fire seed, the events since (edits of the grid; each
acts before the step it names) and the automata involved. It comes from a browser, so nothing in it
is trusted: sizes, counts and the amount of work are bounded before anything is computed.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from nca.config import BadInput, Limits, checked
from nca.model import NCA
from nca.player.models import MAX_SIDE, NO_MODEL, nca_from_player
from nca.render import to_rgba8
from nca.state import repaint
from nca.zoo import cross

MAX_TEXT = 24 * 2**20  # characters of JSON: 256 x 256 cells of 32 channels and some automata
MAX_EVENTS = 20_000
MAX_MODELS = 32
MAX_WORK = 4e11  # steps x cells x weights: 600 steps of 256 x 256 cells with 8,336 weights fit
MAX_PIXELS = 20_000_000  # of all frames together; above, only every second or third frame is kept
MAX_VALUE = 1e6  # larger values mean that the state has diverged
CHUNK = 16  # states held in memory at a time: a state is much larger than its frame
DAMAGED = "The recording is damaged; please play it again."
_ARITY = {
    "erase": 3, "box": 4, "seed": 2, "plant": 3, "paint": 4, "mix": 4, "angle": 1, "model": 1,
}  # fmt: skip
Mixes = dict[int, tuple[int, int, float]]  # kind -> what `cross` makes it of

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Version = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Run = tuple[int, int, int]


class Recording(BaseModel):
    """What `Run.recording()` in web/run.js returns."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["nca-garden-recording-1"]
    height: Side
    width: Side
    channels: int = Field(ge=4, le=32)
    seed: int = Field(ge=0, lt=2**32)
    t0: int = Field(ge=0, lt=2**40, description="Step of the keyframe")
    t1: int = Field(ge=0, lt=2**40, description="Step of the last frame")
    start: int | None = Field(
        None, ge=0, lt=2**40, description="Step a film begins with; None for t0"
    )
    angle: float = Field(ge=-1e4, le=1e4)
    fine: bool = Field(False, description="Whether the player drew it finer than its cells")
    version: Version
    cells: str = Field(description="base64 uint32: which cells hold something, y * W + x")
    values: str = Field(description="base64 float32 [cells, C]")
    events: list[list[Any]] = Field(max_length=MAX_EVENTS)
    models: dict[Version, dict[str, Any]] = Field({}, max_length=MAX_MODELS)


def read_recording(
    data: str | Mapping[str, Any], limits: Limits | None = None, most_steps: int | None = None
) -> Recording:
    """Parse a recording as the browser sent it, JSON text or object; BadInput if it is invalid.

    `most_steps` replaces `limits.export_frames` as its greatest length.
    """
    limits = limits or Limits()
    most = most_steps or limits.export_frames
    if isinstance(data, str):
        if len(data) > MAX_TEXT:
            raise BadInput("The recording is too large; use a smaller grid.")
        try:
            data = json.loads(data)
        except (ValueError, RecursionError):
            raise BadInput(DAMAGED) from None
    if data is None:
        raise BadInput("There is nothing to download yet; let an automaton play first.")
    recording = checked(Recording, data)
    if not 0 <= recording.t1 - recording.t0 <= most:
        raise BadInput(f"A download covers at most the last {most} steps.")
    if recording.start is not None and not recording.t0 <= recording.start <= recording.t1:
        raise BadInput(DAMAGED)
    before = recording.t0
    for event in recording.events:
        _check_event(event, before, recording.t1)
        before = event[0]
    return recording


def _check_event(event: list[Any], before: int, last: int) -> None:
    step, kind, *numbers = event if len(event) > 2 else (None, None)
    fits = (
        type(step) is int
        and before <= step <= last
        and isinstance(kind, str)
        and _ARITY.get(kind) == len(numbers)
        and (kind == "model" or all(_is_number(n) for n in numbers))
    )
    if fits and kind in ("plant", "paint"):
        fits = type(numbers[-1]) is int and 1 <= numbers[-1] <= 255
    if fits and kind == "mix":
        fits = all(type(n) is int and 1 <= n <= 255 for n in numbers[:3]) and 0 <= numbers[3] <= 1
    if fits and kind in ("box", "seed", "plant"):
        fits = all(type(n) is int for n in numbers)
    if fits and kind == "model":
        fits = isinstance(numbers[0], str) and len(numbers[0]) == 16
    if fits and kind in ("erase", "box", "paint"):
        fits = all(0 <= n <= 2 * MAX_SIDE for n in numbers[2:])
    if not fits:
        raise BadInput(DAMAGED)


def _is_number(n: Any) -> bool:
    return type(n) in (int, float) and math.isfinite(n) and abs(n) <= 1e4


def runs_of(event: list[Any], height: int, width: int, circular: bool) -> Iterator[Run]:
    """The cells of an edit as runs (y, x0, x1), clipped or wrapped, as in web/events.js."""
    _, kind, x, y, *more = event
    if kind in ("seed", "plant"):
        spans = [(y, x, x + 1)]
    elif kind == "box":
        spans = [(row, x, x + more[0]) for row in range(y, y + more[1])]
    else:
        spans = list(_disc(x, y, more[0]))
    for row, start, stop in spans:
        if not circular:
            start, stop = max(start, 0), min(stop, width)
            if 0 <= row < height and start < stop:
                yield row, start, stop
            continue
        length, start = min(stop - start, width), start % width
        yield row % height, start, min(start + length, width)
        if start + length > width:
            yield row % height, 0, start + length - width


def _disc(x: float, y: float, radius: float) -> Iterator[Run]:
    for row in range(math.ceil(y - radius), math.floor(y + radius) + 1):
        # The same arithmetic as in the browser, so that cells on the rim round the same way.
        inside = [
            column
            for column in range(math.ceil(x - radius), math.floor(x + radius) + 1)
            if (column - x) * (column - x) + (row - y) * (row - y) <= radius * radius
        ]
        if inside:
            yield row, inside[0], inside[-1] + 1


def keyframe(recording: Recording) -> Tensor:
    """The state a recording starts from, float32 [1, H, W, C]; BadInput if it is inconsistent."""
    try:
        cells = np.frombuffer(base64.b64decode(recording.cells, validate=True), "<u4")
        values = np.frombuffer(base64.b64decode(recording.values, validate=True), "<f4")
    except (binascii.Error, ValueError):
        raise BadInput(DAMAGED) from None
    area = recording.height * recording.width
    if len(cells) > area or values.size != len(cells) * recording.channels:
        raise BadInput(DAMAGED)
    if len(cells) and (cells.max() >= area or not np.abs(values).max() <= MAX_VALUE):
        raise BadInput(DAMAGED)
    dense = np.zeros((area, recording.channels), np.float32)
    dense[cells.astype(np.int64)] = values.reshape(-1, recording.channels)
    shape = (1, recording.height, recording.width, recording.channels)
    return torch.from_numpy(dense).view(shape)


def _automata(
    recording: Recording, models: Mapping[str, NCA] | None, limits: Limits
) -> dict[str, NCA]:
    """Every automaton the recording refers to: the server's if it has it, else the one sent."""
    wanted = {recording.version, *(e[2] for e in recording.events if e[1] == "model")}
    if len(wanted) > MAX_MODELS:
        raise BadInput(NO_MODEL)
    found = {}
    for version in wanted:
        nca = (models or {}).get(version)
        nca = nca or nca_from_player(recording.models.get(version), limits)
        if nca.config.channels != recording.channels:
            raise BadInput(DAMAGED)
        found[version] = nca
    steps, area = recording.t1 - recording.t0, recording.height * recording.width
    weights = max(sum(p.numel() for p in nca.parameters()) for nca in found.values())
    if steps * area * weights > MAX_WORK:
        raise BadInput("This run is too much to compute again here; use a smaller grid.")
    return found


@torch.no_grad()
def replay_states(
    recording: Recording,
    models: Mapping[str, NCA] | None = None,
    limits: Limits | None = None,
) -> Iterator[Tensor]:
    """The states at steps t0 ... t1, each after its step's events, float32 [1, H, W, C].

    Args:
        recording: from `read_recording`.
        models: automata the server knows, by `version`; others are taken from the recording.
        limits: what is accepted.

    Raises:
        BadInput: the recording is inconsistent or asks for too much work.
    """
    automata = _automata(recording, models, limits or Limits())
    x, t = keyframe(recording), recording.t0
    sent, angle = automata[recording.version], recording.angle
    mixes: Mixes = {}
    nca: NCA | None = sent  # None while it has to be mixed anew
    events = list(recording.events)
    while True:
        while events and events[0][0] == t:
            _, kind, value, *more = event = events.pop(0)
            if kind == "angle":
                angle = float(value)
            elif kind == "model":
                sent, nca = automata[value], None
            elif kind == "mix":
                mixes[value], nca = (more[0], more[1], float(more[2])), None
            else:
                nca = nca or _mixed(sent, mixes)
                x = _edited(x, event, nca)
        yield x
        if t >= recording.t1:
            return
        nca = nca or _mixed(sent, mixes)
        n = min(CHUNK, (events[0][0] if events else recording.t1) - t)
        states = nca.grow(x, n, [recording.seed], t0=t, all_steps=True, angle=angle)
        if not bool(states.isfinite().all()):
            raise BadInput("This automaton grew beyond all bounds; start again.")
        yield from states[1:-1]
        x, t = states[-1], t + n


def _mixed(nca: NCA, mixes: Mixes) -> NCA:
    """An automaton with the kinds that are mixed of its own."""
    for kind, (first, second, share) in sorted(mixes.items()):
        if max(first, second) >= kind or kind <= nca.config.kinds:
            raise BadInput(DAMAGED)  # parents come before their children
        nca = cross(nca, first, second, share)
        if nca.config.kinds != kind:
            raise BadInput(DAMAGED)
    return nca


def _edited(x: Tensor, event: list[Any], nca: NCA) -> Tensor:
    x = x.clone()
    height, width = x.shape[1:3]
    config = nca.config
    kind = int(event[-1]) if event[1] in ("plant", "paint") else 1
    if kind > max(1, config.kinds):
        raise BadInput(DAMAGED)
    runs = runs_of(event, height, width, config.padding == "circular")
    value: Tensor | float = 0.0
    if event[1] == "paint":
        cells = torch.zeros(1, height, width, dtype=torch.bool)
        for row, start, stop in runs:
            cells[0, row, start:stop] = True
        return repaint(x, kind, cells) if config.kinds else x
    if event[1] in ("seed", "plant"):
        value = nca.seed(1, 1, kind)[0, 0, 0].cpu()
    for row, start, stop in runs:
        x[0, row, start:stop] = value
    return x


def replay(
    recording: Recording | str | Mapping[str, Any],
    models: Mapping[str, NCA] | None = None,
    limits: Limits | None = None,
) -> np.ndarray:
    """The frames of a recording, uint8 [T, H, W, 4], straight alpha, for `nca.render`.

    One frame per step, at most the last `limits.export_frames`; on very large grids only every
    second or third, so that the frames fit in memory.

    Args:
        recording: as the browser sent it.
        models: automata the server knows, by `version`; others are taken from the recording.
        limits: what is accepted.

    Raises:
        BadInput: the recording is invalid, or asks for too much work.
    """
    limits = limits or Limits()
    if not isinstance(recording, Recording):
        recording = read_recording(recording, limits)
    steps = recording.t1 - recording.t0
    every = -(-(steps + 1) * recording.height * recording.width // MAX_PIXELS)
    frames = [
        to_rgba8(x[0])
        for number, x in enumerate(replay_states(recording, models, limits))
        if (steps - number) % every == 0
    ]
    return np.stack(frames[-limits.export_frames :])
