"""What a state looks like."""

import pytest
import torch

from nca.state import to_rgb

pytestmark = pytest.mark.quick


def test_display_on_white_and_black():
    x = torch.tensor([[0.25, 0.0, 0.0, 0.5], [2.0, -1.0, 0.0, 3.0]])
    assert to_rgb(x).tolist() == [[0.75, 0.5, 0.5], [1.0, 0.0, 0.0]]
    assert to_rgb(x, background=0.0).tolist() == [[0.25, 0.0, 0.0], [1.0, 0.0, 0.0]]
