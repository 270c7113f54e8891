"""Every setting of the garden, checked in one place.

Sliders, command-line flags, job files, API calls and checkpoints from elsewhere all become one of
these frozen models; nothing else in the project decides whether a value is in range.
"""

from __future__ import annotations

import math
import operator
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from nca.wording import explain, plain_text


class BadInput(ValueError):
    """User input that cannot be used. The message is one sentence that says what to do.

    >>> from nca import BadInput, recipe
    >>> try:
    ...     recipe("slow")
    ... except BadInput as error:
    ...     print(error)
    There is no recipe called 'slow'; choose one of quick, hardy, zoo, ...
    """


def whole_number(name: str, value: Any, least: int = 0, most: int | None = None) -> int:
    """An argument that must be a whole number, NumPy's included; raises BadInput if it is not."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or (most is not None and number > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most:,}"
        raise BadInput(f"Please give {name} as a whole number {span}, not {value!r:.40}.")
    return number


class _Frozen(BaseModel):
    # strict would refuse the JSON lists that become tuples; NaN and infinity are refused instead.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


MOST_KINDS = 255  # of one automaton
MOST_WIDTH = 1024  # of a hidden layer; two automata of half of it fit on one grid
Width = Annotated[int, Field(ge=1, le=MOST_WIDTH)]
# Damage that training may use; "half" is a random one of the four. See nca/damage_shapes.py. A
# "mutation" erases nothing: it is a state of another kind whose cells get the genes of this one.
DamageShape = Literal[
    "circle", "half", "stroke", "centre", "swipe", "swipes", "hole", "cut", "mutation"
]
Laplacian = Literal["none", "nine_point", "five_point"]


def _title(value: object) -> object:
    return plain_text(value) or "automaton" if isinstance(value, str) else value


TITLE_LENGTH = 80  # characters
Title = Annotated[str, BeforeValidator(_title), Field(min_length=1, max_length=TITLE_LENGTH)]


class NCAConfig(_Frozen):
    """The architecture of one automaton; together with the weights it says how a cell behaves.

    Defaults are those of Growing Neural Cellular Automata (Mordvintsev et al., Distill 2020).

    >>> from nca import NCA, NCAConfig
    >>> config = NCAConfig(channels=12, hidden=(64,))
    >>> config.fire_rate
    0.5
    >>> sum(p.numel() for p in NCA(config).parameters())  # 36 * 64 + 64 + 64 * 12 + 12
    3148
    """

    channels: int = Field(
        default=16, ge=4, le=32, description="RGBA and the hidden channels of a cell"
    )
    hidden: tuple[Width, ...] = Field(default=(128,), min_length=1, max_length=4)
    perception: Literal["fixed", "learned"] = "fixed"
    laplacian: Laplacian = Field(
        default="none", description="A fourth filter besides identity and two Sobels"
    )
    bias: bool = Field(default=True, description="Biases in the hidden layers")
    out_bias: bool = Field(default=True, description="A bias in the last layer")
    step_size: float = Field(default=1.0, gt=0, le=4)
    fire_rate: float = Field(default=0.5, ge=0.01, le=1)
    alive_threshold: float = Field(default=0.1, ge=0, lt=1)
    alive_mask: Literal["pre_post", "post"] = "pre_post"
    padding: Literal["zero", "circular"] = "zero"
    seed_hidden: bool = Field(
        default=True, description="The seed's hidden channels are 1, not only alpha"
    )
    kinds: int = Field(
        default=0,
        ge=0,
        le=MOST_KINDS,
        description="Kinds of cells, each with genes of its own; the last channel holds the kind",
        exclude_if=lambda kinds: kinds == 0,  # configs and hashes without kinds stay as they were
    )

    @property
    def filters(self) -> int:
        """Filters per channel: identity, Sobel x, Sobel y and, unless "none", the Laplacian."""
        return 3 if self.laplacian == "none" else 4

    @property
    def rule_channels(self) -> int:
        """Channels that the rule perceives and changes: all, or with kinds all but the last."""
        return self.channels - (self.kinds > 0)

    @model_validator(mode="after")
    def _room_for_the_kind(self) -> Self:
        if self.kinds and self.channels < 5:
            raise ValueError("kinds need a fifth channel besides RGBA")
        return self

    @field_validator("laplacian", mode="before")
    @classmethod
    def _laplacian_from_bool(cls, value: object) -> object:
        """Older configs hold a bool: true is "nine_point", false is "none"."""
        if isinstance(value, bool):
            return "nine_point" if value else "none"
        return value


class TrainConfig(_Frozen):
    """How an automaton is trained. An iteration is one update of the weights.

    Steps are updates of the automaton; `steps_min` and `steps_max` are both included.

    >>> from nca import TrainConfig
    >>> config = TrainConfig(iterations=4000, batch=4, damage_count=1)
    >>> config.steps_min, config.steps_max
    (64, 95)
    >>> config.learning_rate_at(0)
    0.002
    """

    iterations: int = Field(default=8000, ge=1, le=200_000)
    batch: int = Field(default=8, ge=1, le=64)
    initial_weights: Literal["random", "pretrained"] = Field(
        default="random",
        description="pretrained: learns sooner. Only the network of quick has such weights; "
        "others begin with random ones",
    )
    start: Literal["seed", "pool"] = Field(
        default="pool", description="Where each batch item begins"
    )
    pool_size: int = Field(default=1024, ge=1, le=8192)
    reseed: Literal["worst", "random", "worst_after"] = Field(
        default="worst",
        description="Which batch items become seeds; worst_after: the worst after the rollout",
    )
    reseed_count: int = Field(default=1, ge=0, le=64)
    reseed_kept: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of grown seeds kept in the pool at the last iteration; falls from 1",
    )
    damage_count: int = Field(
        default=0, ge=0, le=64, description="Batch items damaged before a rollout"
    )
    damage_items: Literal["best", "last", "random"] = "best"
    damage_shapes: tuple[DamageShape, ...] = Field(
        default=("circle",),
        min_length=1,
        max_length=16,
        description="Drawn from with equal chances; one listed twice is drawn twice as often",
    )
    damage_drawn: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of swipes that are drawn over the first steps instead of at once",
    )
    birth_alpha: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Adds a loss for seeds whose largest alpha is below this in their first steps",
    )
    steps_min: int = Field(default=64, ge=1, le=512)
    steps_max: int = Field(default=95, ge=1, le=512)
    loss_at: Literal["last", "random", "mean_last"] = "last"
    loss_window: int = Field(
        default=1, ge=1, le=256, description="Last steps that 'random' or 'mean_last' use"
    )
    optimiser: Literal["adam", "muon"] = "adam"
    learning_rate: float = Field(default=2e-3, ge=1e-7, le=0.1)
    schedule: Literal["constant", "step", "linear", "cosine"] = "step"
    milestones: tuple[Annotated[int, Field(ge=1, le=200_000)], ...] = Field(
        default=(2000,), max_length=8
    )
    decay: float = Field(
        default=0.1, gt=0, le=1, description="Factor per milestone, or the final one"
    )
    decay_over: int = Field(
        default=0, ge=0, le=200_000, description="Linear, cosine: 0 is all iterations"
    )
    gradient: Literal["normalise_each", "normalise_all", "clip", "none"] = "normalise_each"
    clip: float = Field(default=1.0, gt=0, le=1000)
    weight_decay: float = Field(
        default=0.0, ge=0, le=0.1, description="Pull of the weights towards zero"
    )
    train_only: Literal["all", "genes"] = Field(
        default="all",
        description="genes: those of the kinds alone, while the rule that they share stays",
        exclude_if=lambda part: part == "all",  # other configs stay as they were
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.steps_min > self.steps_max:
            raise ValueError("the smallest number of steps must not exceed the largest")
        if self.loss_window > self.steps_min:
            raise ValueError("the loss window must not be longer than the shortest rollout")
        if self.start == "pool" and self.pool_size < self.batch:
            raise ValueError("the pool must hold at least one batch")
        if "mutation" in self.damage_shapes and self.start != "pool":
            raise ValueError("mutation needs the pool, which has states of the other kinds")
        for name in ("reseed_count", "damage_count"):
            if getattr(self, name) > self.batch:
                raise ValueError(f"{name} must not exceed the batch")
        return self

    def check_kinds(self, kinds: int) -> None:
        """Raise BadInput if an automaton with this number of kinds cannot be trained like this."""
        if self.train_only == "genes" and not kinds:
            raise BadInput(
                "This automaton has no genes; please begin with one that has kinds, or leave out "
                "train_only."
            )
        if "mutation" in self.damage_shapes and self.damage_count and kinds < 2:
            raise BadInput(
                "Mutation, one kind that becomes another, needs at least two kinds; please give at "
                "least two pictures."
            )
        if self.start == "pool" and self.pool_size < kinds:
            raise BadInput(
                f"A pool of {self.pool_size} states cannot hold one of each of the {kinds} kinds; "
                f"please let pool_size be at least {kinds}."
            )

    def learning_rate_at(self, iteration: int) -> float:
        """Learning rate of the update that turns `iteration` into `iteration + 1`."""
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "step":
            return self.learning_rate * self.decay ** sum(iteration >= m for m in self.milestones)
        done = min(1.0, iteration / (self.decay_over or self.iterations))
        if self.schedule == "cosine":
            done = 0.5 - 0.5 * math.cos(math.pi * done)
        return self.learning_rate * (1 + (self.decay - 1) * done)


class TargetConfig(_Frozen):
    """How a target was made from an emoji or a picture; stored with every checkpoint.

    >>> from nca import TargetConfig
    >>> TargetConfig(emoji="🦋", size=40, padding=16).grid
    72
    """

    kind: Literal["emoji", "image"] = "emoji"
    emoji: str | None = Field(default=None, max_length=64)
    more: tuple[Annotated[str, Field(max_length=64)], ...] = Field(
        default=(),
        max_length=254,
        description="The emoji of the second kind, the third, ...",
        exclude_if=lambda more: not more,  # configs of one picture stay as they were
    )
    style: Literal["twemoji", "noto"] = "twemoji"
    size: int = Field(default=40, ge=8, le=128, description="Longest side of the picture, in cells")
    padding: int = Field(default=16, ge=0, le=64, description="Empty cells on each side")
    crop: bool = Field(default=True, description="Trim empty borders before resizing")
    background: Literal["keep", "transparent"] = Field(
        default="keep",
        description="Opaque pictures: keep, or clear a near-uniform border",
    )

    @property
    def grid(self) -> int:
        """Side of the square grid the target fills, padding included."""
        return self.size + 2 * self.padding


class DecoderConfig(_Frozen):
    """The architecture of a decoder, which draws an automaton finer than its cells.

    >>> from nca.config import DecoderConfig
    >>> DecoderConfig(hidden=(32,)).patches
    32
    """

    format: Literal["nca-garden-decoder-1"] = "nca-garden-decoder-1"
    hidden: tuple[Annotated[int, Field(ge=1, le=256)], ...] = Field(
        default=(64, 64), min_length=1, max_length=3, description="Widths of its hidden layers"
    )
    patches: int = Field(default=32, ge=1, le=128, description="Pictures that it mixes per cell")
    waves: int = Field(
        default=8, ge=1, le=16, description="Cosines per axis that a patch is made of"
    )


class DecoderInfo(_Frozen):
    """A decoder's metadata, in its file.

    Attributes:
        decoder: its architecture.
        automaton: `nca.decoder_file.fingerprint` of the automaton that it was fitted to.
    """

    decoder: DecoderConfig
    automaton: str = Field(pattern=r"^[0-9a-f]{32}$", description="a hash of 32 hex digits")


class SharpenConfig(_Frozen):
    """How a decoder is fitted. An iteration is one update of its weights.

    >>> from nca.config import SharpenConfig
    >>> SharpenConfig().iterations
    3000
    """

    decoder: DecoderConfig = DecoderConfig()
    iterations: int = Field(default=3000, ge=1, le=100_000, description="For a single picture")
    learning_rate: float = Field(default=3e-3, ge=1e-6, le=0.1)
    points: int = Field(
        default=16, ge=1, le=64, description="Pixels per cell that an iteration looks at, of 64"
    )
    steady: float = Field(
        default=8.0, ge=0, le=100, description="Weight of the change between consecutive steps"
    )

    def iterations_for(self, kinds: int) -> int:
        """Iterations for an automaton of so many kinds: of four, twice as many as of one."""
        return round(self.iterations * max(1, kinds) ** 0.5)


class InitialSource(_Frozen):
    """The initial checkpoint of a training; stored with every checkpoint of that training.

    Attributes:
        title: its title.
        iteration: how many iterations it was trained for.
        repo: `user/name` on the Hub when it is public there.
        revision: the commit that was pulled.
    """

    title: Title
    iteration: int = Field(default=0, ge=0, le=200_000)
    repo: str | None = Field(
        default=None,
        max_length=96,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="user/name on the Hub",
    )
    revision: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{40}$", description="a commit of 40 hex digits"
    )


class CheckpointInfo(_Frozen):
    """A checkpoint's metadata, in its `config.json` and in its weights file.

    >>> from nca import CheckpointInfo, NCAConfig
    >>> info = CheckpointInfo(nca=NCAConfig(), recipe="quick", iteration=4000, title="🦋 Butterfly")
    >>> CheckpointInfo.model_validate_json(info.model_dump_json()) == info
    True
    """

    format: Literal["nca-garden-1"] = "nca-garden-1"
    title: Title = "automaton"
    recipe: str | None = Field(default=None, max_length=40)
    seed: int = Field(default=0, ge=0, lt=2**32)
    iteration: int = Field(default=0, ge=0, le=200_000)
    nca: NCAConfig = NCAConfig()
    train: TrainConfig | None = None
    target: TargetConfig | None = None
    initial: InitialSource | None = Field(  # `base` in files of earlier versions
        default=None, validation_alias=AliasChoices("initial", "base")
    )


class Limits(_Frozen):
    """What the garden accepts and keeps; a server sets them with NCA_GARDEN_LIMITS."""

    upload_bytes: int = Field(
        default=5 * 2**20, ge=1024, description="bytes of an uploaded picture, and of one to share"
    )
    upload_pixels: int = Field(
        default=16_000_000, ge=64, description="pixels of a picture, frames included"
    )
    decode_seconds: float = Field(
        default=10.0, gt=0, le=600, description="seconds that decoding a picture may take"
    )
    decode_bytes: int = Field(
        default=1024 * 2**20,
        ge=2**20,
        description="address space in bytes of the decoding process, its libraries included",
    )
    checkpoint_bytes: int = Field(
        default=2**20, ge=1024, description="bytes of one file of a checkpoint"
    )
    weight_abs: float = Field(
        default=1e4, gt=0, description="largest absolute value of a weight; no trained one has more"
    )
    zip_bytes: int = Field(
        default=20 * 2**20, ge=1024, description="bytes of an uploaded checkpoint"
    )
    export_frames: int = Field(default=600, ge=1, le=10_000, description="frames of a film")
    grow_steps: int = Field(default=2000, ge=1, description="steps of growth in one go")
    queue_length: int = Field(
        default=20, ge=1, le=10_000, description="trainings that run or wait, of all visitors"
    )
    turn_seconds: float | None = Field(
        default=30.0,
        gt=0,
        description="seconds a training runs before one that waits goes on; null for no turns",
    )
    job_days: int = Field(
        default=7, ge=1, le=3650, description="days that a finished training is kept"
    )
    jobs_shown: int = Field(
        default=24, ge=1, le=1000, description="trainings of a visitor among the checkpoints"
    )
    collection_length: int = Field(
        default=12, ge=1, le=1000, description="checkpoints a visitor pulled or uploaded"
    )
    collections_length: int = Field(
        default=240,
        ge=1,
        le=100_000,
        description="the same of all visitors together",
    )
    collections_bytes: int = Field(
        default=256 * 2**20, ge=2**20, description="bytes of those of all visitors"
    )


Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], values: Any) -> Model:
    """Validate a mapping as a `model`; raises BadInput, which says what does not fit."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise BadInput(explain(error, model)) from None
