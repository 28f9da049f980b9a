"""Tests of the normalisations: each by hand, with missing values and constant windows, and back again."""

from math import nan, sqrt

import pytest
import torch
from torch.testing import assert_close

from skattn.nn.normalization import NORMALIZATIONS, Normalization

B, L, C, H, M = 2, 5, 7, 11, 3

every_normalization = pytest.mark.parametrize("name", NORMALIZATIONS)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def column(*values):
    """Make one window of one channel."""
    return tensor(values)[None, :, None]


def make(name, loc, scale, n_local=None):
    """Make a normalisation with given statistics of the training data."""
    norm = NORMALIZATIONS[name](len(loc), n_local).double()
    norm.load_state_dict(norm.state_dict() | {"loc": tensor(loc), "scale": tensor(scale)})
    return norm


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------- by hand


def test_global_by_hand():
    """(x - 10) / 2 whatever the window holds; what is missing stays so."""
    z, (loc, scale) = make("global", [10.0], [2.0])(column(12.0, nan, 6.0))
    assert_close(z, column(1.0, nan, -2.0), equal_nan=True)
    assert_close((loc, scale), (column(10.0), column(2.0)))


def test_last_by_hand():
    """The last observed value is 6, the scale that of the training data: (x - 6) / 2."""
    norm = make("last", [10.0], [2.0])
    z, (loc, scale) = norm(column(12.0, nan, 6.0))
    assert_close(z, column(3.0, nan, 0.0), equal_nan=True)
    assert_close((loc, scale), (column(6.0), column(2.0)))


@pytest.mark.parametrize(
    ("window", "last"),
    [
        ((1.0, 2.0, 3.0), 3.0),
        ((1.0, 2.0, nan), 2.0),
        ((1.0, nan, nan), 1.0),
        ((nan, 0.0, nan), 0.0),
        ((nan,) * 3, 10.0),
    ],
)
def test_last_finds_the_last_observed_value(window, last):
    """Missing values at the end are passed over; a window of nothing else takes the training data's mean."""
    _, (loc, _) = make("last", [10.0], [2.0])(column(*window))
    assert_close(loc, column(last))


def test_mean_by_hand():
    """The level is the mean of what was observed, (1 + 5) / 2, the scale that of the training data."""
    z, (loc, scale) = make("mean", [10.0], [2.0])(column(1.0, nan, 5.0))
    assert_close((loc, scale), (column(3.0), column(2.0)))
    assert_close(z, column(-1.0, nan, 1.0), equal_nan=True)
    assert_close(make("mean", [10.0], [2.0])(column(nan, nan))[1][0], column(10.0))


@pytest.mark.parametrize(("share", "level"), [(0.5, 6.0), (0.25, 8.0), (0.01, 8.0), (1.0, 5.0)])
def test_trailing_by_hand(share, level):
    """Of the steps 2, 6, 4, 8 the newest half has the mean 6, the newest step alone 8, the whole window 5."""
    norm = make("trailing", [10.0], [2.0])
    norm.share.fill_(share)
    assert_close(norm(column(2.0, 6.0, 4.0, 8.0))[1], (column(level), column(2.0)))


def test_trailing_part_that_is_missing():
    """A newest part that was not observed takes the level of the training data, not of older steps."""
    norm = make("trailing", [10.0], [2.0])
    norm.share.fill_(0.25)
    assert_close(norm(column(2.0, 6.0, 4.0, nan))[1][0], column(10.0))


def test_window_by_hand():
    """Mean of 1, 3, 5 is 3, their variance (4 + 0 + 4) / 3."""
    z, (loc, scale) = make("window", [10.0], [2.0])(column(1.0, 3.0, 5.0))
    assert_close((loc, scale), (column(3.0), column(sqrt(8 / 3))))
    assert_close(z, column(-2 / sqrt(8 / 3), 0.0, 2 / sqrt(8 / 3)))


def test_window_by_hand_with_missing_values():
    """Only what was observed counts: mean of 1 and 5 is 3, variance (4 + 4) / 2."""
    z, (loc, scale) = make("window", [10.0], [2.0])(column(1.0, nan, 5.0))
    assert_close((loc, scale), (column(3.0), column(2.0)))
    assert_close(z, column(-1.0, nan, 1.0), equal_nan=True)


def test_window_that_is_constant():
    """Its scale is a hundredth of the training data's, 0.02, and the window becomes zeros."""
    z, (loc, scale) = make("window", [10.0], [2.0])(column(4.0, 4.0, 4.0))
    assert_close((loc, scale), (column(4.0), column(0.02)))
    assert_close(z, column(0.0, 0.0, 0.0))


def test_window_without_anything_observed():
    """It takes level and scale of the training data."""
    _, loc_scale = make("window", [10.0], [2.0])(column(nan, nan, nan))
    assert_close(loc_scale, (column(10.0), column(2.0)))


def test_identity_by_hand():
    """Nothing changes, whatever the statistics of the training data."""
    x = column(12.0, nan, 6.0)
    z, (loc, scale) = make("identity", [10.0], [2.0])(x)
    assert_close(z, x, equal_nan=True)
    assert_close((loc, scale), (column(0.0), column(1.0)))


def test_inverse_by_hand():
    """A forecast z becomes 2 z + 10; of three channels only the first M are used."""
    loc_scale = tensor([[[10.0, 20.0, 30.0]]]), tensor([[[2.0, 3.0, 4.0]]])
    z = tensor([[[1.0, 1.0], [-1.0, 0.5]]])
    assert_close(Normalization.inverse(z, loc_scale), tensor([[[12.0, 23.0], [8.0, 21.5]]]))


# ---------------------------------------------------------------------------------------------------- contract


@every_normalization
def test_inverse_undoes_forward(name):
    """Normalised windows go back to what they were, window by window and channel by channel."""
    norm = make(name, [float(c) for c in range(C)], [c + 1.0 for c in range(C)])
    x = 100 * draw(B, L, C) + 1000
    z, loc_scale = norm(x)
    assert [s.shape for s in loc_scale] == [(B, 1, C)] * 2
    assert_close(norm.inverse(z, loc_scale), x)
    assert_close(norm.inverse(z[..., :M], loc_scale), x[..., :M])


@every_normalization
@pytest.mark.parametrize("n_local", [0, M, C])
def test_drivers_take_the_statistics_of_the_training_data(name, n_local):
    """Channels from n_local on are standardised as in global, whatever the class does to the others."""
    loc, scale = [float(c) for c in range(C)], [c + 1.0 for c in range(C)]
    x = 100 * draw(B, L, C)
    z, (locs, scales) = make(name, loc, scale, n_local)(x)
    assert_close(z[..., n_local:], (x - tensor(loc))[..., n_local:] / tensor(scale)[n_local:])
    assert_close(locs[..., n_local:], tensor(loc)[n_local:].expand(B, 1, C - n_local))
    assert_close(scales[..., n_local:], tensor(scale)[n_local:].expand(B, 1, C - n_local))
    assert_close(z[..., :n_local], make(name, loc, scale)(x)[0][..., :n_local])


@every_normalization
def test_windows_are_independent(name):
    """A window alone is normalised as among others, and nothing is remembered between calls."""
    norm = make(name, [1.0] * C, [2.0] * C)
    x = draw(B, L, C)
    z, (loc, scale) = norm(x)
    norm(1000 * x)
    assert_close(norm(x[1:]), (z[1:], (loc[1:], scale[1:])))


@every_normalization
def test_statistics_travel_with_the_weights(name):
    """The statistics of the training data are buffers, not parameters, in the dtype of the module."""
    norm = NORMALIZATIONS[name](C)
    assert sorted(norm.state_dict()) == ["loc", "scale", *(["share"] if name == "trailing" else [])]
    assert not list(norm.parameters())
    assert norm(draw(B, L, C).float())[0].dtype == torch.float32
    assert norm.double()(draw(B, L, C))[0].dtype == torch.float64


@every_normalization
def test_missing_values_stay_and_spread_nowhere(name):
    """NaN comes out exactly where it went in; level and scale are finite, and the scale is positive."""
    x = draw(B, L, C)
    x[0, 1, 2] = x[1, :, 5] = x[0, -1] = nan
    z, (loc, scale) = make(name, [1.0] * C, [2.0] * C)(x)
    assert torch.equal(torch.isnan(z), torch.isnan(x))
    assert torch.isfinite(loc).all()
    assert (scale > 0).all()


@pytest.mark.parametrize(
    ("name", "loc", "scale"), [("window", 1, 1), ("last", 1, 0), ("global", 0, 0), ("identity", 0, 0)]
)
def test_level_and_scale_follow_the_window(name, loc, scale):
    """A window of 3 x + 50 has thrice the scale where the scale is the window's, and its level where that is."""
    norm = make(name, [0.0], [1.0])
    x = column(1.0, 3.0, 5.0)
    (loc_0, scale_0), (loc_1, scale_1) = norm(x)[1], norm(3 * x + 50)[1]
    assert_close(loc_1, 3 * loc_0 + 50 if loc else loc_0)
    assert_close(scale_1, 3 * scale_0 if scale else scale_0)


def test_abstract():
    """A normalisation without statistics cannot be made."""
    with pytest.raises(TypeError, match="abstract"):
        Normalization(C)


def test_newcomer_writes_only_statistics():
    """A normalisation of one's own is a class with one method: here, the first value of a window."""

    class First(Normalization):
        def statistics(self, x):
            return x[:, :1], torch.ones_like(x[:, :1])

    x = draw(B, L, C)
    z, loc_scale = First(C, M).double()(x)
    assert_close(z[..., :M], (x - x[:, :1])[..., :M])
    assert_close(z[..., M:], x[..., M:])
    assert_close(First.inverse(z[..., :M], loc_scale), x[..., :M])
