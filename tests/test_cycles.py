"""Tests of cycles: their course by hand, chance that is no cycle, every kind of index, and through the forecaster, that
takes them out, or tells the network where in them a window ends."""

import pickle
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skattn import AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.cycles import Cycles
from skattn.horizon import index_offset, places
from skattn.panel import join
from skattn.windows import WindowDataset

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
    for role in ("subtract", "embed"):
        with pytest.raises(ValueError, match=r"with the frequency 'SMS.*index of integers"):
            small(periods=[24], periods_role=role).fit(pd.Series(np.arange(60.0), index), fh=[1])
    assert len(small().fit(pd.Series(np.arange(60.0), index), fh=[1]).predict()) == 1


every_role = pytest.mark.parametrize("role", ["subtract", "embed", "both"])


@every_role
@pytest.mark.parametrize("periods", [[1], [24.0], [0, 7]])
def test_period_that_is_none(periods, role):
    """A cycle has two steps or more."""
    with pytest.raises(ValueError, match=r"no number of steps of a cycle\. Use integers"):
        small(periods=periods, periods_role=role).fit(weekly(), fh=[1])


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


# ---------------------------------------------------------------------------------------------- told to the network

PERIOD = 23
COURSE = 10 * np.random.default_rng(0).normal(size=PERIOD)  # of which a value says nothing about the next
INDICES = {
    "numbers": pd.RangeIndex(5, 64),
    "days": pd.date_range("2024-01-03", periods=59),
    "days before 1970": pd.date_range("1969-11-01", periods=59),
    "quarters of an hour": pd.date_range("2024-01-03 10:15", periods=59, freq="15min"),
    "hours in Berlin": pd.date_range("2024-02-03", periods=59, freq="h", tz="Europe/Berlin"),
    "trading days": pd.bdate_range("2024-05-20", periods=61).delete([13, 31]),
    "months": pd.period_range("1968-05", periods=59, freq="M"),
    "ends of months": pd.date_range("1968-05-31", periods=59, freq="ME"),
}


def coursing(index, noise=1.0, seed=0):
    """A random course that is gone through again and again, by the places of an index."""
    course = COURSE[places(index, index_offset(index)) % PERIOD]
    return pd.Series(course + noise * np.random.default_rng(seed).normal(size=len(index)), index)


def knowing(y, periods=(PERIOD,), window_length=2, role="embed", fh=range(1, 6), **params):
    """A forecaster of a series that is told where in its cycles a window ends, and learns enough to know them."""
    options = {"linear_skip": False, "normalization": "global", "attention": None, "early_stopping": False}
    sizes = {"hidden_size": 8, "embedding_dim": 8, "max_epochs": 25, "lr": 0.03}
    regressor = AttentionLSTMRegressor(**options | sizes | params)
    model = AttentionLSTMForecaster(regressor, window_length, periods=periods, periods_role=role, random_state=0)
    return model.fit(y, fh=fh)


def half(y):
    """A series of which one in two values is missing."""
    return y.where(np.random.default_rng(1).uniform(size=len(y)) < 0.5)


def error_by_place_alone(model, y):
    """Mean squared error of the forecasts for windows that have no values."""
    windows = model.windows(y)
    windows.arrays["past"] = np.full_like(windows.arrays["past"], np.nan)
    return np.square(model.regressor_.predict_windows(windows) - windows.arrays["target"]).mean()


def test_cycle_that_a_window_cannot_see():
    """Half of all values are missing, so that one in two windows of a step has nothing: the place says what comes.

    A network that is not told forecasts the mean then, whose error is the variance of the course.
    """
    y, later = half(coursing(pd.RangeIndex(300))), coursing(pd.RangeIndex(300, 400), seed=2)
    blind, model = (knowing(y, periods, window_length=1) for periods in (None, [PERIOD]))
    assert error_by_place_alone(blind, later) > 0.8 * COURSE.var()
    assert error_by_place_alone(model, later) < 0.1 * COURSE.var()
    forecast = model.predict(fh=range(1, 101))  # of twenty times the horizon
    assert np.square(forecast - later).mean() < 0.1 * COURSE.var()


def test_longer_cycles_by_the_number_of_shorter_ones():
    """In which of three weeks of five days a window ends is told by 5 + 3 vectors, whatever the order they come in."""
    rng = np.random.default_rng(0)
    days, weeks = 10 * rng.normal(size=5), 10 * rng.normal(size=3)
    step = np.arange(300)
    y = pd.Series(days[step % 5] + weeks[step // 5 % 3])
    errors = []
    for periods, sizes in (([15, 5, 5], [5, 3]), (np.array([5, 15]), [5, 3]), ([5], [5]), ([15], [15])):
        model = knowing(half(y), periods, window_length=1, fh=[1])
        network = model.regressor_.network_
        assert [len(vectors) for vectors in network.calendar.vectors] == sizes
        assert network.config["periods"] == sorted(set(periods))
        errors.append(error_by_place_alone(model, y))
    assert errors[0] == errors[1] < errors[2] / 5
    assert errors[3] < errors[2] / 5


@every_role
def test_what_becomes_of_the_cycles(role):
    """The network is given the series or what the cycle leaves of it, and with it the places of its windows or not."""
    y = weekly(slope=1.0)
    model = small(periods=[7], periods_role=role).fit(y, fh=range(1, 8))
    windows = model.windows(y)
    network = model.regressor_.network_
    rest = y - Cycles([7]).fit(y).at(None, y.index) if role != "embed" else y
    assert_allclose(windows.arrays["past"][:, :, 0], np.lib.stride_tricks.sliding_window_view(rest["y"], 7)[:-7])
    if role == "subtract":
        assert "place" not in windows.arrays
        assert network.calendar is None
    else:
        assert_array_equal(windows.arrays["place"], 19725 + np.arange(6, 133))  # days since 1970
        assert [len(vectors) for vectors in network.calendar.vectors] == [7]
    past = rest.to_numpy(np.float32)[None, -7:]
    place = {} if role == "subtract" else {"place": np.array([19725 + 139])}
    forecast = model.regressor_.predict_windows(WindowDataset({"past": past, **place}))[0, :, 0]
    course = 0 if role == "embed" else model._cycles.at(None, model.predict().index)[:, 0]
    assert_allclose(model.predict()["y"], forecast + course, rtol=1e-5)


def test_roles_of_no_cycles():
    """Without periods all roles are the same; with one all differ, and 'subtract' is the default."""
    y = coursing(pd.RangeIndex(59))
    plain = knowing(y, None, role="subtract", max_epochs=2).predict()
    found = [plain]
    for role in ("subtract", "embed", "both"):
        for periods in (None, []):
            pd.testing.assert_series_equal(knowing(y, periods, role=role, max_epochs=2).predict(), plain)
        found.append(knowing(y, role=role, max_epochs=2).predict())
    assert not any((found[one] == found[other]).any() for one in range(4) for other in range(one))
    assert AttentionLSTMForecaster().periods_role == "subtract"


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_places_go_on_beyond_the_horizon(index):
    """Forecasts of blocks are those of a loop by hand, in which each block ends as many steps later as there are in it,
    whatever the index."""
    y = coursing(index)
    model = knowing(y, max_epochs=1, lr=0.1, fh=[1, 2, 3])
    past, place, path = list(y.to_numpy(np.float32)), places(index, index_offset(index))[-1], []
    for block in range(4):
        arrays = {"past": np.array(past[-2:], np.float32)[None, :, None], "place": np.array([place + 3 * block])}
        path += list(model.regressor_.predict_windows(WindowDataset(arrays))[0, :, 0])
        past += path[-3:]
    assert_allclose(model.predict(fh=range(1, 13)), path, rtol=1e-5)
    assert_allclose(model.predict(fh=[2, 11]), [path[1], path[10]], rtol=1e-5)
    arrays["place"] = arrays["place"] + 1
    assert (model.regressor_.predict_windows(WindowDataset(arrays))[0, :, 0] != path[-3:]).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "Int8"])
def test_places_are_wide_enough_to_count_on(dtype):
    """Integers of any width count as 64 bits with a sign, from which steps can be added and taken away."""
    counts = places(pd.Index(np.arange(100, 128), dtype=dtype), None)
    assert counts.dtype == np.int64
    assert_array_equal(counts, np.arange(100, 128))
    assert_array_equal(counts + 1000 - 2000, np.arange(-900, -872))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "uint64"])
def test_whole_numbers_of_any_width_are_places(dtype):
    """An index of short integers, or of such without a sign, is as good as any other."""
    y = coursing(pd.RangeIndex(59))
    expected = knowing(y, max_epochs=1).predict(fh=range(1, 18))
    short = y.set_axis(pd.Index(np.arange(59, dtype=dtype)))
    assert_array_equal(knowing(short, max_epochs=1).predict(fh=range(1, 18)), expected)


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
@pytest.mark.parametrize("first", [3, 11])
def test_a_date_is_forecast_alike_wherever_the_series_starts(index, first):
    """Handed a later part of the series, or after an update to there, the forecast for a date is that of the whole."""
    y = coursing(index)
    model = knowing(y[:40], max_epochs=1, lr=0.1)
    whole, part = model.windows(y), model.windows(y[first:])
    assert_array_equal(part.arrays["place"], whole.arrays["place"][first:])
    forecasts = model.regressor_.predict_windows(whole)
    assert_allclose(model.regressor_.predict_windows(part), forecasts[first:], rtol=1e-4)
    assert_allclose(model.predict(), forecasts[40 - 2, :, 0], rtol=1e-4)
    for end in (41, 44, 54):
        model.update(y[end - 10 : end], update_params=False)
        assert_allclose(model.predict(), forecasts[end - 2, :, 0], rtol=1e-4)


def test_the_same_values_at_another_place():
    """Windows, weights and losses of a series a whole cycle later are the same, and at another place they are not."""
    y = coursing(pd.RangeIndex(59))
    model = knowing(y, attention="additive", attention_position="both", max_epochs=5, lr=0.1)

    def everything(steps):
        moved = y.set_axis(y.index + steps)
        windows, regressor = model.windows(moved), model.regressor_
        weights = [model.attention_weights(moved, kind=kind).to_numpy() for kind in ("input", "state")]
        return [regressor.predict_windows(windows), regressor.loss_windows(windows), *weights]

    for steps, same in ((0, True), (PERIOD, True), (-4 * PERIOD, True), (1, False), (PERIOD - 1, False)):
        for one, other in zip(everything(steps), everything(0), strict=True):
            assert np.array_equal(one, other) == same
    for kind in ("input", "state"):
        pd.testing.assert_frame_equal(model.attention_weights(kind=kind), model.attention_weights(y, kind=kind))


def test_series_of_a_panel_share_a_calendar():
    """Two series that start and end on different days go through the same course on the same days, as both forecasts
    know, and a third that was not there in training."""
    index = pd.date_range("2024-01-03", periods=200)
    parts = {"a": coursing(index[:150]), "b": coursing(index[33:171], seed=1)}
    y = pd.concat({name: part.to_frame("y") for name, part in parts.items()}, names=["series", "day"])
    model = knowing(y)
    assert_array_equal(model._panel.last(2)["place"], [19725 + 149, 19725 + 170])
    forecast = model.predict(fh=range(1, PERIOD + 1))
    expected = COURSE[places(forecast.index.get_level_values("day"), pd.Timedelta(days=1)) % PERIOD]
    for name in ("a", "b"):
        mine = forecast.index.get_level_values("series") == name
        assert np.square(forecast["y"].to_numpy() - expected)[mine].mean() < 0.1 * COURSE.var()
    new = coursing(index[100:181], seed=2).to_frame("y").rename_axis("day")
    model.update(pd.concat({"c": new}, names=["series"]), update_params=False)
    forecast = model.predict(fh=range(1, PERIOD + 1)).loc["c"]
    expected = COURSE[places(forecast.index, pd.Timedelta(days=1)) % PERIOD]
    assert np.square(forecast["y"] - expected).mean() < 0.1 * COURSE.var()


@pytest.mark.parametrize("role", ["embed", "both"])
@pytest.mark.parametrize("n_members", [1, 3])
def test_told_forecaster_is_a_forecaster(role, n_members):
    """It is pickled, copied, cloned, updated and trained on like every other, and knows its calendar after all."""
    y = coursing(INDICES["days"])
    model = knowing(y[:40], [5, 15], role=role, n_members=n_members, dropout=0.2, max_epochs=2)
    assert model.get_params()["periods_role"] == role
    network = model.regressor_.network_
    members = [network, *getattr(network, "others", ())]
    tables = [vectors.detach().clone() for member in members for vectors in member.calendar.vectors]
    assert [len(table) for table in tables] == [5, 3] * n_members
    assert all((table != 0).any(1).all() for table in tables)  # each place of each was learned
    copies = pickle.loads(pickle.dumps(model)), deepcopy(model), model.clone().fit(y[:40], fh=range(1, 6))
    for other in copies:
        assert_array_equal(other.predict(fh=range(1, 18)), model.predict(fh=range(1, 18)))
    for one in (model, *copies):
        one.update(y[40:47], update_params=False)
        assert_array_equal(one.predict(), model.predict())
    before = model.predict()
    model.update(y[47:], update_params=True)
    after = [vectors for member in members for vectors in member.calendar.vectors]
    assert all((table != vectors).any() for table, vectors in zip(tables, after, strict=True))
    assert model.predict().index[0] == y.index[-1] + pd.Timedelta(days=1)
    assert (model.predict().to_numpy() != before.to_numpy()).all()


def test_dual_stage_takes_cycles_out_only():
    """It is not told the place, as the error says, with a way out that works."""
    message = r"encoder='dual_stage' cannot be told the place in a cycle\. Use periods_role='subtract', or another"
    y = coursing(pd.RangeIndex(59))
    options = dict(encoder="dual_stage", attention="additive", max_epochs=1)
    for role in ("embed", "both"):
        with pytest.raises(ValueError, match=message):
            knowing(y, [5], role=role, **options)
    assert np.isfinite(knowing(y, [5], role="subtract", **options).predict()).all()
