"""The film of a checkpoint: always small, and what it leaves out is not seen."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nca.catalog.push_bundle import push_bundle
from nca.checkpoint import load_checkpoint, save_checkpoint
from nca.config import CheckpointInfo, Limits, NCAConfig, TrainConfig
from nca.model import NCA
from nca.preview import PREVIEW, PREVIEW_BYTES, preview_bytes, preview_frames, steady
from nca.render import to_rgba8

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"


def shown(data):
    """Frames uint8 [T, H, W, 4] at 25 per second, as a viewer shows them."""
    frames = []
    with Image.open(io.BytesIO(data)) as film:
        for index in range(film.n_frames):
            film.seek(index)
            frames += [np.asarray(film.convert("RGBA"))] * round(film.info["duration"] / 40)
    return np.stack(frames)


@pytest.mark.long
def test_a_damaged_life_on_the_largest_grid_stays_under_a_megabyte(tmp_path):
    skyline = load_checkpoint(CHECKPOINTS / "skyline-photo")
    info = skyline.info.model_copy(update={"train": TrainConfig(damage_count=3)})
    save_checkpoint(tmp_path, skyline.nca, info, skyline.target)
    data = (tmp_path / PREVIEW).read_bytes()
    frames = shown(data)
    assert frames.shape == (81 + 12 + 81 + 25, 256, 256, 4)
    assert len(data) <= PREVIEW_BYTES


@pytest.mark.parametrize(
    ("side", "frames"), [(96, 150), pytest.param(160, 199, marks=pytest.mark.long), (1200, 1)]
)
def test_noise_stays_under_a_megabyte_and_lasts_as_long(side, frames):
    noise = np.random.default_rng(0).integers(0, 256, (frames, side, side, 4), np.uint8)
    data = preview_bytes(noise)
    # A single frame cannot be left out.
    assert 0 < len(data) <= (PREVIEW_BYTES if frames > 1 else 2 * side**2)
    assert len(shown(data)) == frames


def test_a_push_draws_the_same_preview_as_a_save(tmp_path):
    nca = NCA(NCAConfig(channels=6, hidden=(8,)))
    with torch.no_grad():
        nca.layers[-1].weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(2))
    info = CheckpointInfo(train=TrainConfig(damage_count=3))
    folder = save_checkpoint(tmp_path, nca, info, torch.ones(100, 100, 4))
    saved = (folder / PREVIEW).read_bytes()
    (folder / PREVIEW).unlink()
    with push_bundle(folder, Limits()) as copy:
        assert (copy / PREVIEW).read_bytes() == saved
    with Image.open(io.BytesIO(saved)) as film:
        assert film.size == (200, 200)  # not the scale of a small grid


def test_a_preview_looks_like_the_life_it_shows():
    checkpoint = load_checkpoint(CHECKPOINTS / "lizard-regenerating")
    frames = preview_frames(checkpoint.nca, checkpoint.info, checkpoint.size)
    rgba = to_rgba8(frames)
    data = preview_bytes(frames)
    small = shown(data)[:, 2::4, 2::4]
    assert len(data) < 250_000 and small.shape == rgba.shape
    solid = (small[..., 3] == 255) & (rgba[..., 3] >= 128)
    off = np.abs(small[..., :3].astype(int) - rgba[..., :3])[solid]
    assert off.mean() < 4 and np.quantile(off, 0.99) < 16
    assert (solid != (rgba[..., 3] >= 128)).sum() == 0  # nothing visible is left out
    assert ((small[..., 3] == 255) != solid).mean() < 0.005


def test_of_many_kinds_sixteen_are_shown():
    nca = NCA(NCAConfig(channels=5, hidden=(4,), kinds=40))
    frames = preview_frames(nca, CheckpointInfo(nca=nca.config), (8, 9))
    assert frames.dtype == np.uint8 and frames.shape[1:] == (32, 36, 4)


def test_what_changes_too_little_to_see_stays_and_what_is_cut_goes():
    frames = np.full((5, 2, 2, 4), 200, np.uint8)
    frames[1, ..., 0] += 4  # within the tolerance of the first
    frames[2, ..., 0] += 5
    frames[3, 0, 0, 3] = 100  # fainter, still there
    frames[4, 0, :, 3] = 0
    held = steady(frames, 4)
    assert np.array_equal(held[1], held[0]) and (held[2, ..., 0] == 205).all()
    assert (held[3, ..., 3] == 255).all() and held[4, ..., 3].tolist() == [[0, 0], [255, 255]]


def test_shipped_previews_are_under_a_megabyte():
    previews = sorted(CHECKPOINTS.glob(f"*/{PREVIEW}"))
    assert len(previews) >= 16
    assert all(path.stat().st_size <= PREVIEW_BYTES for path in previews)
    assert sum(path.stat().st_size for path in previews) < 10_000_000
