"""The model against cases worked out by hand and with loops of plain Python numbers."""

import math

import numpy as np
import pytest
import torch

from nca.config import BadInput, NCAConfig, checked
from nca.fire import fire_mask, item_seeds
from nca.model import NCA
from nca.state import alive_mask, make_seed

pytestmark = pytest.mark.quick


def scrambled(config, seed=0, scale=0.3, dtype=torch.float64):
    """An automaton whose every weight is random, so that nothing cancels by being zero."""
    nca = NCA(config).to(dtype)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in nca.parameters():
            p += scale * torch.randn(p.shape, generator=draw, dtype=dtype)
    return nca


def test_perception_of_a_ramp_is_its_slope():
    """Channel 0 rises by 1 per column, channel 1 by 1 per row: Sobel/8 sees exactly 1."""
    nca = NCA(NCAConfig(channels=4, hidden=(2,), laplacian="nine_point"))
    x = torch.zeros(1, 5, 5, 4)
    x[0, :, :, 0] = torch.arange(5.0)[None, :]
    x[0, :, :, 1] = torch.arange(5.0)[:, None]
    identity, sx, sy, lap = nca.perceive(x)[0, 2, 2].view(4, 4)
    assert identity[:2].tolist() == [2.0, 2.0]
    assert sx[:2].tolist() == [1.0, 0.0]
    assert sy[:2].tolist() == [0.0, 1.0]
    assert lap.tolist() == [0.0] * 4
    turned = nca.perceive(x, angle=math.pi / 2)[0, 2, 2].view(4, 4)
    torch.testing.assert_close(turned[1, :2], torch.tensor([0.0, -1.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(turned[2, :2], torch.tensor([1.0, 0.0]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("kind", "kernel"),
    [
        ("nine_point", [[1, 2, 1], [2, -12, 2], [1, 2, 1]]),
        ("five_point", [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    ],
)
@pytest.mark.parametrize("perception", ["fixed", "learned"])
def test_both_laplacians(perception, kind, kernel):
    """One cell of value 8 is seen as the kernel itself, whose axes are symmetric."""
    nca = NCA(NCAConfig(channels=4, hidden=(2,), laplacian=kind, perception=perception))
    x = torch.zeros(1, 3, 3, 4)
    x[0, 1, 1, 2] = 8
    with torch.no_grad():
        seen = nca.perceive(x)[0].view(3, 3, 4, 4)
    assert seen[:, :, 3, 2].tolist() == kernel
    assert seen[:, :, 3, 3].abs().max() == 0


@pytest.mark.parametrize(
    ("written", "kind", "filters"), [("true", "nine_point", 4), ("false", "none", 3)]
)
def test_configs_from_before_there_were_two_laplacians(written, kind, filters):
    config = NCAConfig.model_validate_json(f'{{"laplacian": {written}}}')
    assert (config.laplacian, config.filters) == (kind, filters)
    assert config == NCAConfig(laplacian=kind)
    assert NCAConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("wrong", [1, 0, "true", "five", None, ["five_point"]])
def test_other_laplacians_are_refused(wrong):
    with pytest.raises(BadInput, match="change laplacian"):
        checked(NCAConfig, {"laplacian": wrong})


def test_one_step_by_hand():
    """Two hidden units and one seed: every number of the step is known.

    The seed is alpha 1 and hidden 1 at cell (1, 1) of a 3 x 3 grid. Hidden unit 0 sees alpha
    itself plus 0.5, hidden unit 1 sees 8 x Sobel-x of alpha. The last layer adds 0.25 of unit 0
    to alpha and 0.1 of unit 1 to red.
    """
    nca = NCA(NCAConfig(channels=5, hidden=(2,), fire_rate=1.0))
    first, last = nca.layers
    with torch.no_grad():
        first.weight.zero_()
        first.weight[0, 3] = 1.0  # identity of alpha
        first.weight[1, 5 + 3] = 8.0  # Sobel x of alpha
        first.bias[0] = 0.5
        last.weight[3, 0] = 0.25
        last.weight[0, 1] = 0.1
    y = nca.step(nca.seed(1, 3), t=0)[0]
    empty = 0.5 * 0.25  # a cell without alpha still has the bias
    expected_alpha = torch.full((3, 3), empty)
    expected_alpha[1, 1] = 1 + 1.5 * 0.25
    torch.testing.assert_close(y[..., 3], expected_alpha)
    expected_red = torch.zeros(3, 3)
    expected_red[:, 0] = torch.tensor([0.1, 0.2, 0.1])  # the seed lies to the right: +1, +2, +1
    torch.testing.assert_close(y[..., 0], expected_red)  # to the left it is negative: ReLU
    expected_hidden = torch.zeros(3, 3)
    expected_hidden[1, 1] = 1.0
    torch.testing.assert_close(y[..., 4], expected_hidden)


def reference_step(nca, x, t, seeds):
    """One step, one cell at a time, in Python floats."""
    c, (batch, height, width, channels) = nca.config, x.shape
    grid, filters = x.tolist(), nca.filters.tolist()
    fires = fire_mask(height, width, t, seeds, c.fire_rate, "cpu").tolist()

    def at(b, i, j):
        if c.padding == "circular":
            return grid[b][i % height][j % width]
        inside = 0 <= i < height and 0 <= j < width
        return grid[b][i][j] if inside else [0.0] * channels

    def lives(cells, b, i, j):
        best = -math.inf
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                u, v = i + di, j + dj
                if c.padding == "circular":
                    u, v = u % height, v % width
                elif not (0 <= u < height and 0 <= v < width):
                    continue
                best = max(best, cells[b][u][v][3])
        return best > c.alive_threshold

    grown = [[[list(cell) for cell in row] for row in item] for item in grid]
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                if not fires[b][i][j]:
                    continue
                seen = [
                    sum(
                        bank[k][di + 1][dj + 1] * at(b, i + di, j + dj)[k]
                        for di in (-1, 0, 1)
                        for dj in (-1, 0, 1)
                    )
                    for bank in filters
                    for k in range(channels)
                ]
                for n, layer in enumerate(nca.layers):
                    bias = [0.0] * layer.out_features if layer.bias is None else layer.bias.tolist()
                    seen = [
                        offset + sum(w * s for w, s in zip(row, seen, strict=True))
                        for row, offset in zip(layer.weight.tolist(), bias, strict=True)
                    ]
                    if n < len(nca.layers) - 1:
                        seen = [max(0.0, s) for s in seen]
                for k in range(channels):
                    grown[b][i][j][k] += c.step_size * seen[k]
    out = torch.zeros_like(x)
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                alive = lives(grown, b, i, j)
                if c.alive_mask == "pre_post":
                    alive = alive and lives(grid, b, i, j)
                if alive:
                    out[b, i, j] = torch.tensor(grown[b][i][j], dtype=x.dtype)
    return out


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fire_rate": 1.0, "hidden": (3, 4)},
        {"padding": "circular", "laplacian": "five_point", "step_size": 0.5},
        {"alive_mask": "post", "alive_threshold": 0.2, "out_bias": False, "bias": False},
        {"perception": "learned", "seed_hidden": False},
    ],
)
def test_step_equals_the_loop(changes):
    nca = scrambled(NCAConfig(**{"channels": 5, "hidden": (6,), **changes}))
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2, 5, 6, 5, generator=draw, dtype=torch.float64)
    x[:, :, 3:] = 0  # half of it empty, so that the alive mask has something to decide
    seeds = item_seeds(9, 2)
    with torch.no_grad():
        y = nca.step(x, 4, seeds)
    expected = reference_step(nca, x, 4, seeds)
    assert (expected == 0).all(-1).any() and (expected != 0).any()
    torch.testing.assert_close(y, expected, atol=1e-12, rtol=1e-12)


def test_untrained_automaton_changes_nothing():
    nca = NCA(NCAConfig())
    x = nca.seed(2, 9)
    assert torch.equal(nca.grow(x, 5, seed=1), x)


def test_grow_from_the_middle_equals_one_run():
    nca = scrambled(NCAConfig(channels=6, hidden=(8,)), scale=0.05, dtype=torch.float32)
    x = nca.seed(2, 11)
    all_steps = nca.grow(x, 12, seed=3, all_steps=True)
    assert all_steps.shape == (13, 2, 11, 11, 6)
    assert torch.equal(all_steps[0], x)
    later = nca.grow(all_steps[5], 7, seed=3, t0=5)
    torch.testing.assert_close(later, all_steps[12])
    assert not torch.equal(later, nca.grow(all_steps[5], 7, seed=3, t0=6))


def test_seed():
    x = make_seed(6, 5, 7, batch=2)
    assert x.sum() == 2 * 3 and x[:, 2, 3, 3:].eq(1).all()
    bare = NCA(NCAConfig(channels=6, seed_hidden=False)).seed(1, (5, 7))
    assert bare.sum() == 1 and bare[0, 2, 3, 3] == 1


def test_alive_mask_reaches_one_cell_and_wraps_on_a_torus():
    alpha = torch.zeros(1, 4, 4)
    alpha[0, 0, 0] = 0.2
    assert alive_mask(alpha, 0.1).sum() == 4
    assert alive_mask(alpha, 0.1, "circular").sum() == 9
    assert alive_mask(alpha, 0.2).sum() == 0  # strictly above


class Step(torch.nn.Module):
    def __init__(self, nca):
        super().__init__()
        self.nca = nca

    def forward(self, x, t):
        return self.nca.step(x, t, seed=7)


def test_a_step_can_be_exported_by_plain_torch():
    nca = scrambled(NCAConfig(channels=6, hidden=(8,)), scale=0.05, dtype=torch.float32)
    x = nca.grow(nca.seed(2, 12), 6, seed=7)
    shapes = {"x": None, "t": torch.export.Dim.DYNAMIC}
    exported = torch.export.export(Step(nca), (x, 6), dynamic_shapes=shapes).module()
    for t in (6, 7, 1000):
        assert torch.equal(exported(x, t), nca.step(x, t, seed=7))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(1, 8, 8, 5), r"\[batch, height, width, 6\], not \[1, 8, 8, 5\]"),
        (torch.zeros(8, 8, 6), r"not \[8, 8, 6\]"),
        (torch.zeros(1, 8, 8, 6).double(), "float64 on cpu, the automaton is torch.float32"),
        ([[0.0]], "must be a tensor, not list"),
    ],
)
def test_states_that_do_not_fit_are_refused(x, words):
    nca = NCA(NCAConfig(channels=6))
    for use in (lambda: nca.step(x, 0), lambda: nca.grow(x, 3)):
        with pytest.raises(BadInput, match=words):
            use()


def test_numbers_that_do_not_fit_are_refused():
    nca = NCA(NCAConfig(channels=6))
    for size in (0, 8.5, "8", (8,), (8, 0)):
        with pytest.raises(BadInput, match="size"):
            nca.seed(1, size)
    with pytest.raises(BadInput, match="batch"):
        nca.seed(0)
    zoo = NCA(NCAConfig(channels=6, kinds=2))
    for kinds in (np.array([2, 1]), torch.tensor([2, 1])):
        assert torch.equal(zoo.seed(2, 8, kinds), zoo.seed(2, 8, (2, 1)))
    x = nca.seed(1, np.int64(8))
    with pytest.raises(BadInput, match="steps as a whole number of at least 0, not 2.5"):
        nca.grow(x, 2.5, all_steps=True)
    with pytest.raises(BadInput, match="seed"):
        nca.grow(x, 2, seed="today")
    for t in (1.5, -1, "3", None, 2**70):
        with pytest.raises(BadInput, match="t as a whole number from 0"):
            nca.step(x, t)
    for init_seed in (1.5, "3", None, 2**70):
        with pytest.raises(BadInput, match="init_seed as a whole number"):
            NCA(nca.config, init_seed)
    assert torch.equal(
        NCA(nca.config, np.int64(3)).layers[0].weight, NCA(nca.config, 3).layers[0].weight
    )
    assert torch.equal(nca.grow(x, np.int64(2), seed=np.int64(3)), nca.grow(x, 2, seed=3))
