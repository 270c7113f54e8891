"""The published vectors of the fire mask; they were computed by a C program with uint32_t."""

import pytest
import torch

from nca.config import BadInput
from nca.fire import GOLDEN, MASK, fire_mask, item_seeds, lowbias32, mix, step_keys

pytestmark = pytest.mark.quick

# seed, step, then the hashes of cells 0, 1, 72, 5183, 65535
VECTORS = [
    (0, 0, (2488251732, 1314033055, 4261903902, 1919779079, 2609752967)),
    (1, 1, (2946320383, 3606063204, 409014943, 3113511541, 4133273687)),
    (123456789, 95, (849100454, 1278632044, 156363166, 1940726896, 2340138429)),
    (4294967295, 100000, (3339946459, 4062269900, 4211830505, 2974566261, 527265600)),
]
CELLS = (0, 1, 72, 5183, 65535)


@pytest.mark.parametrize(("seed", "step", "hashes"), VECTORS)
def test_hash_vectors(seed, step, hashes):
    key = int(step_keys(torch.tensor([seed]), step))
    assert tuple(lowbias32(key ^ (cell * GOLDEN & MASK)) for cell in CELLS) == hashes
    several = step_keys(torch.tensor([7, seed]), max(0, step - 2), 4)
    assert several.shape == (2, 4) and int(several[1, min(step, 2)]) == key


@pytest.mark.parametrize(("seed", "step", "hashes"), VECTORS)
def test_mask_follows_the_hash(seed, step, hashes):
    mask = fire_mask(256, 256, step, torch.tensor([seed]), 0.5, "cpu").flatten()
    for cell, h in zip(CELLS, hashes, strict=True):
        assert bool(mask[cell]) == (h < 2**31)


def test_item_seed_vectors():
    assert [mix(7, item) for item in range(3)] == [2910936880, 2154409404, 1783591755]
    assert item_seeds(7, 3).tolist() == [2910936880, 2154409404, 1783591755]
    assert item_seeds([1, -1], 2).tolist() == [1, 2**32 - 1]
    with pytest.raises(ValueError, match="2 seeds"):
        item_seeds([1, 2, 3], 2)


@pytest.mark.parametrize("seed", [1.5, [0.5, 1.0], float("nan"), "1", None, [2**70, 0]])
def test_a_seed_is_whole(seed):
    with pytest.raises(BadInput, match="seed as a whole number"):
        item_seeds(seed, 2)


def test_mask_picture():
    mask = fire_mask(4, 8, 3, item_seeds([42], 1), 0.5, "cpu")[0].flatten().tolist()
    assert "".join(".#"[v] for v in mask) == "###.##...####.....##.##.#..#.#.#"


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.9])
def test_share_and_independence(rate):
    masks = torch.stack(
        [fire_mask(48, 48, t, item_seeds(5, 1), rate, "cpu")[0] for t in range(200)]
    ).float()
    deviation = (rate * (1 - rate) / 200) ** 0.5
    assert abs(masks.mean() - rate) < 0.005
    assert 0.8 * deviation < masks.mean(0).std() < 1.2 * deviation  # no cell has a habit
    centred = masks - rate
    assert abs((centred[1:] * centred[:-1]).mean()) < 0.003
    assert abs((centred[:, :, 1:] * centred[:, :, :-1]).mean()) < 0.003


def test_rate_one_fires_everywhere():
    assert fire_mask(9, 7, 3, item_seeds(0, 2), 1.0, "cpu").all()
