"""Tests of the linear skips: each by hand, and that all start from zero."""

import pytest
import torch
from torch.testing import assert_close

from skattn.nn.skip import ChannelSkip, SensorSkip, WindowSkip

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


# ---------------------------------------------------------------------------------------------------- rows of sensors

S, V = 19, 23  # sensors, and the channels of each


def sensor_skip(n_params=P):
    return SensorSkip(L, S * V, H, S * M, n_params, S)


def test_sensor_skip_by_hand():
    """Two sensors of two channels, two steps, two steps ahead of two targets each: one map for both, then one each.

    Features are the sensor's channels step by step; outputs are step by step ahead, and within one target by target.
    """
    skip = SensorSkip(2, 4, 2, 4, 1, 2)
    weight = torch.cat([torch.tensor([[1.0, 10.0, 100.0, 1000.0]]), torch.eye(4)[1:]])
    bias = torch.tensor([0.0, 0.5, 0.0, 0.25])
    skip.load_state_dict({"linear.weight": weight[None], "linear.bias": bias[None]})
    x = torch.tensor([[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]]])  # the first sensor has 1, 2 and then 3, 4
    # the first: 1 + 20 + 300 + 4000, 2 + 0.5 | 3, 4 + 0.25;  the second: 5 + 60 + 700 + 8000, 6 + 0.5 | 7, 8 + 0.25
    expected = torch.tensor([[[4321.0, 2.5, 8765.0, 6.5], [3.0, 4.25, 7.0, 8.25]]])
    assert_close(skip(x), expected[..., None])
    solution = torch.cat([weight, bias[:, None]], 1).T  # (F + 1, O)
    each = torch.stack([solution, torch.zeros_like(solution)])
    skip.fill(each)
    assert_close(skip(x), torch.cat([expected[..., :2], torch.zeros(1, 2, 2)], -1)[..., None])
    skip.fill(each.flip(0))
    assert_close(skip(x), torch.cat([torch.zeros(1, 2, 2), expected[..., 2:]], -1)[..., None])


def test_rows_of_sensor_skip_by_hand():
    """A row of each sensor of each window: its channels step by step, its targets step by step ahead, its weight."""
    skip = SensorSkip(2, 4, 2, 4, 1, 2)
    x = torch.tensor([[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]]]).repeat(2, 1, 1) + torch.tensor([[[0.0]], [[10.0]]])
    target = torch.arange(16.0).view(2, 2, 4)
    weight = torch.tensor([[[2.0]], [[3.0]]]).expand(2, 1, 4)
    features, outputs, weights = skip.rows(x, None, target, weight)
    assert features.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [11, 12, 13, 14], [15, 16, 17, 18]]
    assert outputs.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert weights.tolist() == [[2], [2], [3], [3]]


def test_sensor_skip_starts_from_zero():
    """The first forecast is zero, of shape (B, H, M, P), and every weight gets a gradient at once."""
    skip = sensor_skip()
    forecast = skip(draw(B, L, S * V))
    assert forecast.shape == (B, H, S * M, P)
    assert (forecast == 0).all()
    forecast.sum().backward()
    for parameter in skip.parameters():
        assert (parameter.grad != 0).all()


@pytest.mark.parametrize("n_maps", [1, S])
def test_sensors_see_no_other_sensor(n_maps):
    """Values of one sensor change its own targets, all of them, and no other's, with one map or one each."""
    skip = sensor_skip()
    skip.fill(draw(n_maps, L * V + 1, H * M * P, seed=2))
    x = draw(B, L, S * V)
    for sensor in range(S):
        other = x.clone()
        other[..., sensor * V : (sensor + 1) * V] += 1
        changed = (skip(x) != skip(other)).unflatten(2, (S, M))  # (B, H, S, M, P)
        assert changed[:, :, sensor].all()
        assert changed.sum() == changed[:, :, sensor].numel()


@pytest.mark.parametrize("n_maps", [1, S])
def test_sensor_skip_filled_with_least_squares_forecasts_the_targets(n_maps):
    """Targets that are linear in a sensor's own channels are solved by lstsq on its rows, and `forward` gives them."""
    n = 131
    x, truth = draw(n, L, S * V).double(), draw(n_maps, H * M, L * V + 1, seed=2).double()
    target = torch.zeros(n, H, S * M, dtype=torch.float64)
    for sensor in range(S):
        own, one = x[..., sensor * V : (sensor + 1) * V].reshape(n, -1), truth[sensor % n_maps]
        target[..., sensor * M : (sensor + 1) * M] = (own @ one[:, :-1].T + one[:, -1]).view(n, H, M)
    skip = sensor_skip(1).double()
    features, outputs, weights = skip.rows(x, None, target, x.new_ones(n, 1, S * M))
    assert (len(features), skip.n_rows, weights.shape) == (n * S, S, (n * S, 1))
    tables = (torch.cat([features, torch.ones_like(weights)], 1), outputs)
    by_sensor = (one.unflatten(0, (n, -1)).transpose(0, 1) for one in tables)  # (S, n, ...), as rows follow one another
    solution = torch.linalg.lstsq(*(tables if n_maps == 1 else by_sensor)).solution
    skip.fill(solution.view(n_maps, L * V + 1, -1))
    assert len(skip.linear.bias) == n_maps
    assert_close(skip(x)[..., 0], target)
    other = sensor_skip(1).double()
    other.load_state_dict(skip.state_dict())
    assert torch.equal(other(x), skip(x))
