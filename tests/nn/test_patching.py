"""Tests of patches: joining steps and sharing weights among them, by hand."""

import pytest
import torch
from torch.testing import assert_close

from skattn.nn.patching import patch, spread


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


STEPS = tensor([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0], [5.0, 50.0]]])  # five steps of two channels


def test_patch_pads_the_past_in_front():
    """Five steps in patches of two: the oldest is beside a zero, the newest patch is full."""
    expected = tensor([[[0.0, 0.0, 1.0, 10.0], [2.0, 20.0, 3.0, 30.0], [4.0, 40.0, 5.0, 50.0]]])
    assert_close(patch(STEPS, 2), expected)


def test_patch_pads_the_future_behind():
    """The steps that come next are in the first patch."""
    expected = tensor([[[1.0, 10.0, 2.0, 20.0], [3.0, 30.0, 4.0, 40.0], [5.0, 50.0, 0.0, 0.0]]])
    assert_close(patch(STEPS, 2, front=False), expected)


@pytest.mark.parametrize("length", [5, 7])
def test_one_patch(length):
    """A patch may be as long as the window, or longer."""
    assert patch(STEPS, length).shape == (1, 1, 2 * length)
    assert_close(patch(STEPS, length)[0, 0, -10:], STEPS.flatten())


def test_patches_of_one_step():
    """Nothing changes."""
    assert patch(STEPS, 1) is STEPS


def test_spread_by_hand():
    """Weights 0.2, 0.3 and 0.5 of patches of two; the padding and the missing fourth step have no share."""
    observed = torch.tensor([[True, True, True, False, True]])
    weights = spread(tensor([[[[0.2, 0.3, 0.5]]]]), observed, 2)
    assert_close(weights, tensor([[[[0.2, 0.15, 0.15, 0.0, 0.5]]]]))


def test_spread_of_nothing():
    """A patch of which nothing was observed has no weight to share; patches of one step keep theirs."""
    weights = tensor([[[[0.0, 1.0]]]])
    observed = torch.tensor([[False, False, True, True]])
    assert_close(spread(weights, observed, 2), tensor([[[[0.0, 0.0, 0.5, 0.5]]]]))
    assert spread(weights, observed, 1) is weights
