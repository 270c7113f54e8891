"""Fits the decoder of a checkpoint in its folder: the last part of a training, or by itself.

A fitting that is stopped goes on where it was. The automaton is not changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from nca.checkpoint import Checkpoint, save_fine
from nca.config import BadInput, SharpenConfig
from nca.jobs.check_up import ALIKE, check_up_of
from nca.picture import NO_PICTURE, make_picture, most_scale
from nca.resume import load_sharpening, save_sharpening
from nca.sharpen import Sharpener, SharpenReport, check_agreement, check_count

SHARPENING = "sharpen.safetensors"  # of a fitting that was stopped; removed at its end
SAVE_SECONDS = 10.0
EXPECTED_SECONDS = 45.0  # before its speed is known
TOO_BLURRY = (
    "It does not look enough like its picture yet to be drawn finer than its cells; please train "
    "it longer."
)


def expected_seconds(kinds: int) -> float:
    """How long fitting an automaton of so many kinds may take, before its speed is known."""
    usual = SharpenConfig()
    return EXPECTED_SECONDS * usual.iterations_for(kinds) / usual.iterations


def known_picture(checkpoint: Checkpoint, given: Sequence[Path] = ()) -> Tensor:
    """The fine picture of a checkpoint, float32 [k * H, k * W, 4], premultiplied.

    Of an automaton with kinds one for each, [kinds, k * H, k * W, 4].

    Args:
        checkpoint: the loaded checkpoint.
        given: a file of each picture it was trained on; none uses the checkpoint's own, or draws
            its emoji.

    Raises:
        BadInput: there is none, it shows something else than the target, or there is not one for
            each kind, or too many for a decoder.
    """
    made, kinds = checkpoint.info.target, checkpoint.nca.config.kinds
    check_count(len(given) or max(1, kinds), kinds, checkpoint.size)
    if given:
        if made is None:
            raise BadInput(
                "This checkpoint does not say how its picture was placed on the grid; please save "
                "it with CheckpointInfo(target=TargetConfig(...)), or fit it with nca.Sharpener."
            )
        picture = make_picture(made.model_copy(update={"kind": "image", "more": ()}), [*given])
    elif checkpoint.picture_png is not None:
        found = checkpoint.picture_at(most_scale(max(checkpoint.size), kinds))
        assert found is not None
        picture = found
    elif made is None or made.kind != "emoji" or 1 + len(made.more) != max(1, kinds):
        raise BadInput(NO_PICTURE)
    else:
        picture = make_picture(made)
    picture = picture.reshape(-1, *picture.shape[-3:])  # one may come without the dimension
    picture = picture if kinds else picture[0]
    if checkpoint.target is not None:
        check_agreement(picture, checkpoint.target)
    return picture


def picture_to_fit(checkpoint: Checkpoint, given: Sequence[Path] = ()) -> Tensor:
    """`known_picture`, where a decoder is of any use by the check at the end of the training.

    Raises:
        BadInput: it is of no use, or the picture is not known; a sentence says why.
    """
    found = check_up_of(checkpoint.metrics)
    if found is not None and found.grown > ALIKE:
        raise BadInput(TOO_BLURRY)
    return known_picture(checkpoint, given)


def fit_decoder(
    checkpoint: Checkpoint,
    picture: Tensor,
    config: SharpenConfig | None = None,
    seed: int = 0,
    *,
    stop: Callable[[], bool] = lambda: False,
    on_report: Callable[[Sharpener, SharpenReport], object] = lambda sharpener, report: None,
    on_other: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Fit a checkpoint's decoder and save it and the picture in the checkpoint's folder.

    It runs on one thread: its products are so small that a second one would slow it down.

    Args:
        checkpoint: the loaded checkpoint.
        picture: from `known_picture`.
        config: how to fit.
        seed: of the initial weights and every draw.
        stop: called after every iteration; True saves what there is.
        on_report: called after every iteration.
        on_other: called when a fitting that was stopped had other settings or weights, and is given
            up.
        clock: seconds that never go back.

    Returns:
        False when `stop` ended it; the same call goes on there.
    """
    resume = checkpoint.folder / SHARPENING
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        sharpener = Sharpener(checkpoint.nca, picture, checkpoint.size, config, seed)
        if resume.is_file() and not load_sharpening(sharpener, resume):
            on_other()
        saved = clock()
        for report in sharpener:
            on_report(sharpener, report)
            if stop():
                save_sharpening(sharpener, resume)
                return False
            if clock() - saved > SAVE_SECONDS:
                save_sharpening(sharpener, resume)
                saved = clock()
    finally:
        torch.set_num_threads(threads)
    save_fine(checkpoint.folder, checkpoint.nca, checkpoint.size, sharpener.decoder, picture)
    resume.unlink(missing_ok=True)
    return True
