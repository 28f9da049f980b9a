"""Tests of cycles: their course by hand, chance that is no cycle, every kind of index, and through the forecaster."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skattn import AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.cycles import Cycles
from skattn.horizon import index_offset, places
from skattn.panel import join

DAYS = pd.date_range("2024-01-03", periods=140, freq="D")  # a Wednesday
WEEK = np.array([0.0, 3.0, -1.0, -4.0, 2.0, 1.0, -1.0])  # sums to zero


def weekly(index=DAYS, slope=0.0, noise=0.0, seed=0):
    n = len(index)
    rng = np.random.default_rng(seed)
    course = WEEK[np.arange(n) % 7] + slope * np.arange(n) + noise * rng.normal(size=n)
    return pd.DataFrame({"y": course}, index)


def small(**params):
    sizes = {"hidden_size": 4, "embedding_dim": 4, "attention_dim": 4, "max_epochs": 2}
    return AttentionLSTMForecaster(AttentionLSTMRegressor(**sizes), 7, 7, **{"random_state": 0, **params})


@pytest.mark.parametrize("slope", [0.0, 5.0])
def test_course_by_hand(slope):
    """The course of a week is found whatever the trend, and goes on beyond the series; what is left is the trend."""
    frame = weekly(slope=slope)
    cycles = Cycles([7]).fit(frame)
    ahead = pd.date_range(DAYS[-1], periods=9, freq="D")[1:]
    expected = WEEK[np.arange(140, 148) % 7]
    assert_allclose(cycles.at(None, ahead)[:, 0], expected, atol=0.2)
    rest = cycles.without(frame)["y"]
    assert_allclose(rest, slope * np.arange(140), atol=0.2)


def test_gaps_shift_nothing():
    """Dates, not rows, say where in the cycle a value lies; missing values have no part in it."""
    frame = weekly()
    frame.iloc[10:30] = np.nan
    cycles = Cycles([7]).fit(frame.drop(DAYS[50:53]).set_index(DAYS.drop(DAYS[50:53])))
    assert_allclose(cycles.at(None, DAYS[:7])[:, 0], WEEK, atol=0.2)


def test_longer_cycles_hold_what_shorter_ones_leave():
    """Two cycles are told apart; the second is the rest of the first."""
    both = WEEK[np.arange(280) % 7] + np.where(np.arange(280) % 28 == 0, 27.0, -1.0)
    cycles = Cycles([28, 7]).fit(pd.DataFrame({"y": both}))
    assert_allclose(cycles.at(None, pd.RangeIndex(280, 308))[:, 0], both[:28], atol=0.5)
    assert [len(course) for course in cycles.courses[None]] == [7, 28]


def test_chance_is_no_cycle():
    """Of noise hardly anything is left, where the plain means of its places would be far from zero."""
    found = plain = 0.0
    for seed in range(20):
        noise = pd.DataFrame({"y": np.random.default_rng(seed).normal(size=84)})
        found += np.square(Cycles([7]).fit(noise).at(None, noise.index)).mean()
        plain += np.square(noise.groupby(noise.index % 7).mean() - noise.mean()).to_numpy().mean()
    assert found < plain / 4
    shrunk = Cycles([7]).fit(weekly(noise=0.5)).at(None, DAYS[:7])[:, 0]
    assert_allclose(shrunk, WEEK, atol=0.6)


def test_series_of_their_own():
    """Each series and each channel has its own course; one that is new or too short has none."""
    frames = {"a": pd.DataFrame({"y": np.tile(WEEK, 5), "z": np.tile(-2 * WEEK, 5)}), "b": pd.DataFrame({"y": WEEK})}
    cycles = Cycles([7]).fit(join(frames, ["series"]))
    assert_allclose(cycles.at("a", pd.RangeIndex(7)), np.c_[WEEK, -2 * WEEK], atol=1.0)
    assert (cycles.at("b", pd.RangeIndex(7)) == 0).all()
    assert cycles.at("c", pd.RangeIndex(7)) == 0


@pytest.mark.parametrize(
    "freq", ["h", "2h", "15min", "D", "2D", "B", "W-WED", "2W-SUN", "MS", "ME", "BME", "QE-FEB", "YE"]
)
def test_places_count_steps(freq):
    """Neighbours in a regular index differ by one, wherever it starts."""
    index = pd.date_range("2023-12-29", periods=40, freq=freq)
    assert_array_equal(np.diff(places(index, index_offset(index))), np.ones(39))


def test_places_of_other_indices():
    """Periods and integers count themselves; trading days those of their week; the hours are those of the clock."""
    for index in (pd.period_range("2024-01", periods=5, freq="M"), pd.period_range("2024", periods=5, freq="2Y")):
        assert_array_equal(np.diff(places(index, None)), np.ones(4))
    assert_array_equal(places(pd.RangeIndex(3, 6), None), [3, 4, 5])
    trading = pd.bdate_range("2024-05-20", "2024-06-10").drop("2024-05-27")
    assert sorted(set(np.diff(places(trading, index_offset(trading))))) == [1, 2]
    clock = pd.date_range("2024-03-30", periods=72, freq="h", tz="Europe/Berlin")
    assert_array_equal(places(clock, index_offset(clock)) % 24, clock.hour)


def test_frequency_that_cannot_be_counted():
    """Half-months have no even count: the error says what to do."""
    index = pd.date_range("2024-01-01", periods=60, freq="SMS")
    with pytest.raises(ValueError, match=r"with the frequency 'SMS.*index of integers"):
        small(periods=[24]).fit(pd.Series(np.arange(60.0), index), fh=[1])
    assert len(small().fit(pd.Series(np.arange(60.0), index), fh=[1]).predict()) == 1


@pytest.mark.parametrize("periods", [[1], [24.0], [0, 7]])
def test_period_that_is_none(periods):
    """A cycle has two steps or more."""
    with pytest.raises(ValueError, match=r"no number of steps of a cycle\. Use integers"):
        small(periods=periods).fit(weekly(), fh=[1])


def test_forecaster_puts_the_cycle_back():
    """The network sees the series without its cycle, and forecasts and later windows are those of the whole."""
    y, later = weekly(slope=1.0)[:100], weekly(slope=1.0)[100:]
    with_cycle = small(periods=[7]).fit(y, fh=range(1, 8))
    rest = with_cycle._cycles.without(y)
    without = small().fit(rest, fh=range(1, 8))
    assert_allclose(with_cycle.predict() - with_cycle._cycles.at(None, later.index[:7]), without.predict(), atol=1e-3)
    assert_array_equal(with_cycle.windows(y).arrays["past"], without.windows(rest).arrays["past"])
    with_cycle.update(later[:10], update_params=False)
    moved = without.update(with_cycle._cycles.without(later[:10]), update_params=False).predict()
    assert_allclose(with_cycle.predict() - with_cycle._cycles.at(None, later.index[10:17]), moved, atol=1e-3)


def test_cycle_longer_than_the_window_is_forecast():
    """What a window of seven steps cannot see, a cycle of 28 knows."""
    rng = np.random.default_rng(0)
    course = rng.normal(size=28)
    y = pd.Series(np.tile(course, 12) + 0.1 * rng.normal(size=336))
    either = None, np.array([28])
    blind, knowing = (small(periods=periods).fit(y[:-28], fh=range(1, 29)).predict() for periods in either)
    assert np.square(knowing - y[-28:]).mean() < np.square(blind - y[-28:]).mean() / 5
