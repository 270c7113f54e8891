import pytest
import torch
from torch.nn import Parameter

from nca.config import BadInput, TrainConfig
from nca.optimiser import Optimiser

pytestmark = pytest.mark.quick


def parameters():
    draw = torch.Generator().manual_seed(0)
    made = [Parameter(torch.zeros(shape)) for shape in ((8, 5), (8,), (4, 8), (6, 1, 3, 3))]
    for p in made:
        p.grad = torch.randn(p.shape, generator=draw) * 10 ** torch.randn(1, generator=draw)
    return made


def test_muon_learns_equally_in_every_direction():
    """The first update of a matrix has nearly equal singular values, whatever its gradient's."""
    made = parameters()
    Optimiser(made, TrainConfig(optimiser="muon")).step(1e-3)
    for p in (made[0], made[2]):
        steep = torch.linalg.svdvals(p.grad)
        even = torch.linalg.svdvals(p.detach())
        assert steep[0] / steep[-1] > 2 > even[0] / even[-1]
        # As large as Adam's usual updates: a fifth of the rate, root mean square.
        assert 0.1e-3 < p.detach().square().mean().sqrt() < 0.3e-3
    for p in (made[1], made[3]):  # Adam's first update is the rate, against the gradient's sign
        torch.testing.assert_close(p.detach(), -1e-3 * p.grad.sign(), rtol=1e-3, atol=0)


def test_adam_alone_and_moments_that_travel():
    for name in ("adam", "muon"):
        config = TrainConfig(optimiser=name)
        one, other = parameters(), parameters()
        first, second = Optimiser(one, config), Optimiser(other, config)
        first.step(1e-3)
        saved = first.state_dict()
        assert set(saved) == {0, 1, 2, 3}
        assert ("exp_avg" in saved[0]) == (name == "adam")
        for p, q in zip(one, other, strict=True):
            q.data.copy_(p.data)
        second.load_state_dict(saved)
        first.step(2e-3)
        kept = {k: v.clone() for k, v in saved[0].items()}
        second.step(2e-3)
        for p, q in zip(one, other, strict=True):
            assert torch.equal(p, q)
        assert all(torch.equal(saved[0][k], v) for k, v in kept.items())  # copies were taken
        second.zero_grad()
        assert all(p.grad is None for p in other)


def test_a_torch_without_muon_is_named(monkeypatch):
    """The torch that is here, as it was before 2.9."""
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(BadInput, match="Muon needs torch 2.9 or newer, and this is torch 2"):
        Optimiser(parameters(), TrainConfig(optimiser="muon"))
    Optimiser(parameters(), TrainConfig(optimiser="adam")).step(1e-3)
