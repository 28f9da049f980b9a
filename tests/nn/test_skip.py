"""Tests of the linear skips: both by hand, and that both start from zero."""

import pytest
import torch
from torch.testing import assert_close

from skattn.nn.skip import ChannelSkip, WindowSkip

B, L, C, H, M, P, K = 2, 5, 7, 11, 3, 13, 17

both = pytest.mark.parametrize("kind", [WindowSkip, ChannelSkip])
with_and_without_future = pytest.mark.parametrize("n_future", [0, K])


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def future_of(n_future):
    return draw(B, H, n_future, seed=1) if n_future else None


def test_window_skip_by_hand():
    """Two steps of two channels, flattened step by step, then one step ahead of one driver; two numbers out."""
    skip = WindowSkip(2, 2, 1, 1, 2, 1)
    weight = torch.tensor([[1.0, 10.0, 100.0, 1000.0, 0.5], [0.0, 0.0, 0.0, 1.0, 0.0]])
    skip.load_state_dict({"linear.weight": weight, "linear.bias": torch.tensor([0.0, 7.0])})
    x, future = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[8.0]]])
    # 1 + 20 + 300 + 4000 + 4 = 4325;  4 + 7 = 11
    assert_close(skip(x, future), torch.tensor([[[[4325.0, 11.0]]]]))


def test_channel_skip_by_hand():
    """One map of two steps onto two steps ahead, for both targets; drivers of a step ahead act on that step only."""
    skip = ChannelSkip(2, 3, 2, 2, 1, 1)
    skip.load_state_dict(
        {
            "linear.weight": torch.tensor([[[1.0, 10.0], [0.0, 1.0]]]),
            "linear.bias": torch.tensor([[0.0, 0.5]]),
            "future.weight": torch.tensor([[100.0], [1000.0]]),
            "future.bias": torch.tensor([0.0, 0.0]),
        }
    )
    x = torch.tensor([[[1.0, 3.0, 99.0], [2.0, 4.0, 99.0]]])  # targets 1, 2 and 3, 4; the third channel is a driver
    future = torch.tensor([[[1.0], [2.0]]])
    # target 1: 1 + 20 + 100 = 121 and 2 + 0.5 + 200 = 202.5
    # target 2: 3 + 40 + 1000 = 1043 and 4 + 0.5 + 2000 = 2004.5
    assert_close(skip(x, future), torch.tensor([[[[121.0], [1043.0]], [[202.5], [2004.5]]]]))


def test_channel_skip_groups_outputs_by_step():
    """With two steps ahead and three parameters, the map's outputs are the parameters of step 1, then of step 2."""
    skip = ChannelSkip(1, 1, 2, 1, 3, 0)
    weight = torch.tensor([[[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]])
    skip.load_state_dict({"linear.weight": weight, "linear.bias": torch.zeros(1, 6)})
    assert_close(skip(torch.tensor([[[10.0]]])), torch.tensor([[[[10.0, 20.0, 30.0]], [[40.0, 50.0, 60.0]]]]))


@both
@with_and_without_future
def test_shape_and_start_from_zero(kind, n_future):
    """The first forecast is zero, of shape (B, H, M, P)."""
    skip = kind(L, C, H, M, P, n_future)
    forecast = skip(draw(B, L, C), future_of(n_future))
    assert forecast.shape == (B, H, M, P)
    assert (forecast == 0).all()


@both
@with_and_without_future
def test_every_weight_learns(kind, n_future):
    """Starting from zero, every weight gets a gradient at once."""
    skip = kind(L, C, H, M, P, n_future)
    skip(draw(B, L, C), future_of(n_future)).sum().backward()
    for parameter in skip.parameters():
        assert (parameter.grad != 0).all()


@pytest.mark.parametrize(("kind", "sees"), [(WindowSkip, True), (ChannelSkip, False)])
def test_targets_see_other_channels(kind, sees):
    """A WindowSkip reads every channel for every target, a ChannelSkip each target's own."""
    skip = kind(L, C, H, M, P, 0)
    for parameter in skip.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(2))
    x = draw(B, L, C)
    other = torch.cat([x[..., :1], x[..., 1:] + 1], -1)
    assert torch.equal(skip(x)[:, :, 0], skip(other)[:, :, 0]) is not sees
    assert not torch.equal(skip(x)[:, :, 1], skip(other)[:, :, 1])


def test_channel_skip_with_a_map_each():
    """What a solution or a saved state holds for each target is that target's; both kinds of state can be loaded."""
    skip, other = ChannelSkip(2, 3, 1, 2, 1, 0), ChannelSkip(2, 3, 1, 2, 1, 0)
    skip.fill(torch.tensor([[[1.0], [10.0], [0.5]], [[2.0], [20.0], [0.0]]]))
    other.load_state_dict(skip.state_dict())
    x = torch.tensor([[[1.0, 3.0, 99.0], [2.0, 4.0, 99.0]]])
    for one in (skip, other):
        assert_close(one(x), torch.tensor([[[[21.5], [86.0]]]]))  # 1 + 20 + 0.5; 6 + 80
        one.load_state_dict(ChannelSkip(2, 3, 1, 2, 1, 0).state_dict())
        assert len(one.linear.bias) == 1


def test_channel_skip_is_one_map_for_all_targets():
    """Two targets with the same past have the same forecast."""
    skip = ChannelSkip(L, C, H, M, P, 0)
    torch.nn.init.normal_(skip.linear.weight, generator=torch.Generator().manual_seed(2))
    x = draw(B, L, 1).expand(B, L, C)
    forecast = skip(x)
    assert_close(forecast, forecast[:, :, :1].expand_as(forecast))
