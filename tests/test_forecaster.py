"""Tests of AttentionLSTMForecaster: kinds of series, dates, exogenous data, recursion, updates, what is kept."""

import gc
import pickle
import types
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from sktime.base import load
from sktime.datatypes import convert_to
from sktime.forecasting.base import ForecastingHorizon
from sktime.forecasting.compose import TransformedTargetForecaster
from sktime.forecasting.naive import NaiveForecaster
from sktime.transformations.series.func_transform import FunctionTransformer

from skattn import AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.datasets import make_sensor_network
from skattn.graph import adjacency_from_coordinates
from skattn.windows import WindowDataset

N = 41  # steps of most series
AFTER = 7  # further steps, known to the test alone
FULL = range(1, AFTER + 1)


def small(**params):
    """A regressor that fits in a blink."""
    tiny = {"hidden_size": 4, "embedding_dim": 4, "attention_dim": 4, "max_epochs": 2}
    return AttentionLSTMRegressor(**(tiny | params))


def forecaster(window_length=5, random_state=0, regressor=None, **params):
    """A forecaster that fits in a blink."""
    return AttentionLSTMForecaster(regressor or small(), window_length, random_state=random_state, **params)


def values(n=N, seed=0):
    """A random walk, which never repeats."""
    return np.random.default_rng(seed).normal(size=n).cumsum()


def series(n=N, seed=0):
    """A random walk in days."""
    index = pd.date_range("2021-03-01", periods=n, name="day")
    return pd.Series(values(n, seed), index, name="level")


def drivers(n=N + AFTER):
    """Exogenous columns, on the days of `series` and on those after it."""
    index = pd.date_range("2021-03-01", periods=n, name="day")
    return pd.DataFrame(np.random.default_rng(1).normal(size=(n, 2)), index, columns=["sun", "wind"])


def panel(lengths=(N, N - 10), ends=("2021-04-10", "2021-05-01")):
    """Two shops, whose two columns differ in length and in their last day."""
    shops = {
        name: pd.DataFrame(
            {"in": values(n, seed), "out": values(n, seed + 10)}, pd.date_range(end=end, periods=n, name="day")
        )
        for seed, (name, n, end) in enumerate(zip(("north", "south"), lengths, ends, strict=True))
    }
    return pd.concat(shops, names=["shop"])


def hierarchy():
    """Three shops in two regions."""
    places = [("east", "north"), ("east", "south"), ("west", "south")]
    days = pd.date_range("2021-03-01", periods=N, name="day")
    shops = {place: pd.DataFrame({"sold": values(N, seed)}, days) for seed, place in enumerate(places)}
    return pd.concat(shops, names=["region", "shop"])


def weights(model):
    """All weights of the network, as one array."""
    return np.concatenate([value.numpy().ravel() for value in model.regressor_.network_.state_dict().values()])


def record(monkeypatch, method):
    """A list that every call of a method of the regressor appends its windows to."""
    calls, original = [], getattr(AttentionLSTMRegressor, method)

    def recording(self, windows, **kwargs):
        calls.append(windows)
        return original(self, windows, **kwargs)

    monkeypatch.setattr(AttentionLSTMRegressor, method, recording)
    return calls


# ---------------------------------------------------------------------------------------------- kinds of series


def test_univariate():
    """A named series in, a named series out, on the next days of its named index."""
    y_pred = forecaster().fit(series(), fh=[1, 2, 3]).predict()
    assert isinstance(y_pred, pd.Series)
    assert y_pred.name == "level"
    expected = pd.DatetimeIndex(["2021-04-11", "2021-04-12", "2021-04-13"], name="day")
    pd.testing.assert_index_equal(y_pred.index, expected, exact="equiv")
    assert y_pred.index.name == "day"
    assert np.isfinite(y_pred).all()


def test_unnamed_series_stays_unnamed():
    """No name is made up."""
    y = pd.Series(values())
    y_pred = forecaster().fit(y, fh=[1]).predict()
    assert y_pred.name is None
    assert y_pred.index.name is None


def test_multivariate():
    """Columns keep their names and their order, and each is forecast on its own level."""
    y = pd.DataFrame({"z": values(seed=1), "a": 1000 + values(seed=2), "m": -1000 + values(seed=3)})
    y_pred = forecaster().fit(y, fh=[1, 2]).predict()
    assert list(y_pred.columns) == ["z", "a", "m"]
    assert_array_equal(y_pred.index, [N, N + 1])
    assert_allclose(y_pred, np.tile([0, 1000, -1000], (2, 1)), atol=30)


def test_panel_goes_on_from_the_end_of_each_series():
    """Each series of a panel has its own last day, and its own level."""
    y_pred = forecaster().fit(panel(), fh=[1, 3]).predict()
    assert list(y_pred.columns) == ["in", "out"]
    assert y_pred.index.names == ["shop", "day"]
    expected = [("north", "2021-04-11"), ("north", "2021-04-13"), ("south", "2021-05-02"), ("south", "2021-05-04")]
    assert [(shop, str(day.date())) for shop, day in y_pred.index] == expected


def test_panel_shares_one_network_and_cuts_no_window_across_series(monkeypatch):
    """Training sees the windows of both series and none that begins in one and ends in the other."""
    calls = record(monkeypatch, "fit_windows")
    y = panel()
    model = forecaster().fit(y, fh=[1, 2])
    (windows,) = calls
    span = 5 + 2
    assert len(windows) == (N - span + 1) + (N - 10 - span + 1)
    first = windows.arrays["past"][windows.index]
    assert_allclose(first[0], y.loc["north"].to_numpy()[:5], rtol=1e-6)
    assert_allclose(first[N - span + 1], y.loc["south"].to_numpy()[:5], rtol=1e-6)
    last = y.loc["north"].to_numpy(dtype=np.float32)[-5:]
    assert_allclose(
        model.predict().loc["north"], model.regressor_.predict_windows(WindowDataset({"past": last[None]}))[0]
    )


def test_series_of_a_panel_shorter_than_the_window():
    """Such a series is not trained on, but is forecast, from a window with missing values."""
    y = panel(lengths=(N, 3))
    y_pred = forecaster(window_length=7).fit(y, fh=[1, 2]).predict()
    assert len(y_pred.loc["south"]) == 2
    assert np.isfinite(y_pred.to_numpy()).all()


def test_hierarchy():
    """All levels of the index come back, in the order given."""
    y_pred = forecaster().fit(hierarchy(), fh=[2]).predict()
    assert y_pred.index.names == ["region", "shop", "day"]
    assert [place[:2] for place in y_pred.index] == [("east", "north"), ("east", "south"), ("west", "south")]
    assert (y_pred.index.get_level_values("day") == pd.Timestamp("2021-04-12")).all()


# -------------------------------------------------------------------------------------------------------- dates

TRADING_DAYS = pd.bdate_range(end="2024-07-03", periods=N + 2).delete([10, 20])  # two holidays
EVERY_DAY_BUT_ONE = pd.date_range(end="2024-07-03", periods=N + 1).delete(10)

INDEXES = {
    "range": (pd.RangeIndex(N), [41, 42, 43, 44]),
    "range that starts at 5": (pd.RangeIndex(5, 5 + N), [46, 47, 48, 49]),
    "int": (pd.Index(np.arange(N) + 7), [48, 49, 50, 51]),
    "day": (pd.date_range(end="2024-02-27", periods=N), ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"]),
    "day, no freq": (
        pd.DatetimeIndex(pd.date_range(end="2024-02-27", periods=N).to_numpy()),
        ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02"],
    ),
    "quarter of an hour": (
        pd.date_range(end="2024-02-27 23:30", periods=N, freq="15min"),
        ["2024-02-27 23:45", "2024-02-28 00:00", "2024-02-28 00:15", "2024-02-28 00:30"],
    ),
    "month end": (
        pd.date_range(end="2024-01-31", periods=N, freq="ME"),
        ["2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"],
    ),
    "month end, no freq": (
        pd.DatetimeIndex(pd.date_range(end="2024-01-31", periods=N, freq="ME").to_numpy()),
        ["2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"],
    ),
    "month start": (
        pd.date_range(end="2024-01-01", periods=N, freq="MS"),
        ["2024-02-01", "2024-03-01", "2024-04-01", "2024-05-01"],
    ),
    "business day": (
        pd.bdate_range(end="2024-07-04", periods=N),
        ["2024-07-05", "2024-07-08", "2024-07-09", "2024-07-10"],
    ),
    "trading day": (TRADING_DAYS, ["2024-07-04", "2024-07-05", "2024-07-08", "2024-07-09"]),
    "every day but one": (EVERY_DAY_BUT_ONE, ["2024-07-04", "2024-07-05", "2024-07-06", "2024-07-07"]),
    "Fridays": (
        pd.date_range(end="2024-07-05", periods=N, freq="W-FRI"),
        ["2024-07-12", "2024-07-19", "2024-07-26", "2024-08-02"],
    ),
    "month": (pd.period_range(end="2023-11", periods=N, freq="M"), ["2023-12", "2024-01", "2024-02", "2024-03"]),
    "quarter": (pd.period_range(end="2023Q3", periods=N, freq="Q"), ["2023Q4", "2024Q1", "2024Q2", "2024Q3"]),
    "two months": (pd.period_range(end="2023-09", periods=N, freq="2M"), ["2023-11", "2024-01", "2024-03", "2024-05"]),
}
# The clocks of Berlin went from 02:00 to 03:00 on 31 March 2024.
IN_BERLIN = {
    "day in Berlin": (
        pd.date_range(end="2024-03-29", periods=N, tz="Europe/Berlin"),
        ["2024-03-30 00:00+01:00", "2024-03-31 00:00+01:00", "2024-04-01 00:00+02:00", "2024-04-02 00:00+02:00"],
    ),
    "hour in Berlin": (
        pd.date_range(end="2024-03-31 00:00", periods=N, freq="h", tz="Europe/Berlin"),
        ["2024-03-31 01:00+01:00", "2024-03-31 03:00+02:00", "2024-03-31 04:00+02:00", "2024-03-31 05:00+02:00"],
    ),
    "trading day in Berlin": (
        TRADING_DAYS.tz_localize("Europe/Berlin"),
        ["2024-07-04 00:00+02:00", "2024-07-05 00:00+02:00", "2024-07-08 00:00+02:00", "2024-07-09 00:00+02:00"],
    ),
}


def as_index(labels, like):
    """Labels written by hand, as an index of the kind of another."""
    if isinstance(like, pd.PeriodIndex):
        return pd.PeriodIndex(labels, dtype=like.dtype)
    if isinstance(like, pd.DatetimeIndex):
        return pd.DatetimeIndex(labels) if like.tz is None else pd.to_datetime(labels, utc=True).tz_convert(like.tz)
    return pd.Index(labels)


@pytest.fixture(scope="module")
def forecast_by_position():
    """Forecast of a series that has no dates."""
    return forecaster().fit(pd.Series(values()), fh=[1, 2, 3, 4]).predict().to_numpy()


@pytest.mark.parametrize(("index", "expected"), (INDEXES | IN_BERLIN).values(), ids=INDEXES | IN_BERLIN)
def test_dates_are_carried_along(index, expected, forecast_by_position):
    """The next dates are those written by hand, and the values are those of a series without dates."""
    model = forecaster().fit(pd.Series(values(), index), fh=[1, 2, 3, 4])
    y_pred = model.predict()
    expected = as_index(expected, index)
    assert_array_equal(y_pred.index, expected)
    assert type(y_pred.index) is type(expected)
    assert_allclose(y_pred, forecast_by_position)
    some = model.predict(fh=[2, 4])
    assert_array_equal(some.index, expected[[1, 3]])
    assert_allclose(some, forecast_by_position[[1, 3]])


@pytest.mark.parametrize(("index", "expected"), (INDEXES | IN_BERLIN).values(), ids=INDEXES | IN_BERLIN)
@pytest.mark.parametrize("when", ["fit", "predict"])
def test_absolute_dates(index, expected, when, forecast_by_position):
    """Dates are as good as steps ahead, in `fit` and in `predict`, also where the index has no frequency."""
    fh = ForecastingHorizon(as_index(expected, index)[[1, 3]], is_relative=False)
    y = pd.Series(values(), index)
    model = forecaster().fit(y, fh=fh if when == "fit" else [1, 2, 3, 4])
    assert model.horizon_ == 4
    y_pred = model.predict(fh=fh)
    assert_array_equal(y_pred.index, as_index(expected, index)[[1, 3]])
    assert_allclose(y_pred, forecast_by_position[[1, 3]])


def test_trading_days_are_weekdays():
    """A long forecast of a series of trading days holds no weekend."""
    model = forecaster().fit(pd.Series(values(), TRADING_DAYS), fh=[1, 2])
    y_pred = model.predict(fh=range(1, 41))
    assert len(y_pred) == 40
    assert y_pred.index.dayofweek.max() == 4
    assert y_pred.index.is_monotonic_increasing


@pytest.mark.parametrize("window_length", [1, 2, 3, 7])
@pytest.mark.parametrize("last", ["2024-07-03", "2024-07-04", "2024-07-05"])  # Wednesday, Thursday, Friday
def test_calendar_outlives_the_window(window_length, last):
    """The calendar is that of the whole series, even if the window that is kept shows a few days of it."""
    days = TRADING_DAYS.union(pd.bdate_range("2024-07-04", "2024-07-05"))
    days = days[days <= last]
    y_pred = forecaster(window_length).fit(pd.Series(values(len(days)), days), fh=[1]).predict(fh=[1, 2, 3])
    assert_array_equal(y_pred.index, pd.bdate_range(pd.Timestamp(last) + pd.Timedelta(days=1), periods=3))


def test_a_date_that_is_no_trading_day():
    """A Saturday is refused, with the dates that would be accepted."""
    model = forecaster().fit(pd.Series(values(), TRADING_DAYS), fh=[1, 2])
    saturday = ForecastingHorizon(pd.DatetimeIndex(["2024-07-06"]), is_relative=False)
    with pytest.raises(ValueError, match=r"2024-07-06.*no step of the series.*2024-07-04.*2024-07-05.*Use "):
        model.predict(fh=saturday)


# ------------------------------------------------------------------------------------------------------ horizon


def test_gaps_are_rows_of_the_full_forecast():
    """fh=[3, 6, 12] gives the third, sixth and twelfth step, whether known in `fit` or in `predict`."""
    full = forecaster().fit(series(), fh=range(1, 13)).predict()
    gaps = forecaster().fit(series(), fh=[3, 6, 12])
    assert gaps.horizon_ == 12
    assert_allclose(gaps.predict(), full.iloc[[2, 5, 11]])
    assert_array_equal(gaps.predict().index, full.index[[2, 5, 11]])
    assert_allclose(forecaster().fit(series(), fh=range(1, 13)).predict(fh=[3, 6, 12]), full.iloc[[2, 5, 11]])
    assert len(np.unique(full)) == 12


@pytest.mark.parametrize("fh", [[12], [1, 4, 5, 12], list(range(1, 13))])
def test_recursion_equals_a_naive_loop(fh):
    """Beyond the trained horizon, forecasts are what one gets by feeding each block of forecasts back in by hand."""
    y = series()
    model = forecaster().fit(y, fh=[1, 2, 3])
    past, path = list(y.to_numpy(dtype=np.float32)), []
    while len(path) < 12:
        window = np.array(past[-5:], dtype=np.float32).reshape(1, 5, 1)
        step = model.regressor_.predict_windows(WindowDataset({"past": window}))[0, :, 0]
        past += list(step)
        path += list(step)
    assert_allclose(model.predict(fh=fh), np.array(path)[np.array(fh) - 1], rtol=1e-6)


def test_recursion_with_exogenous_data_and_many_columns():
    """Feeding forecasts back by `update` gives the same as one long forecast."""
    y = pd.DataFrame({"a": values(seed=1), "b": values(seed=2)}, drivers().index[:N])
    X = drivers(N + 9)
    model = forecaster().fit(y, X=X[:N], fh=[1, 2, 3])
    loop, blocks = deepcopy(model), []
    for start in (N, N + 3, N + 6):
        blocks.append(loop.predict(X=X[start : start + 3]))
        loop.update(blocks[-1], X=X[start : start + 3], update_params=False)
    y_pred = model.predict(fh=range(1, 10), X=X[N:])
    assert_allclose(y_pred, pd.concat(blocks), rtol=1e-5)
    assert_array_equal(y_pred.index, X.index[N:])


@pytest.mark.parametrize("method", ["fit", "predict"])
def test_horizon_can_be_set(method):
    """`horizon` is what the network is trained for, whatever `fh` is asked for and when."""
    model = forecaster(horizon=4)
    model = model.fit(series(), fh=[1, 6]) if method == "fit" else model.fit(series())
    assert model.horizon_ == 4
    assert len(model.predict(fh=[1, 6])) == 2


def test_without_fh_one_step_is_trained():
    """fh may come as late as `predict`; the network is then trained for one step."""
    model = forecaster().fit(series())
    assert model.horizon_ == 1
    assert_allclose(model.predict(fh=[1, 2, 3])[:1], model.predict(fh=[1]))


@pytest.mark.parametrize(
    ("n", "horizon", "expected"),
    [
        (200, 1, 36),  # at least 36
        (200, 20, 60),  # three horizons
        (50, 2, 24),  # half of the 49 places of a series of 50 that leave room for the horizon
        (30, 12, 9),  # (30 - 12 + 1) // 2
        (2, 1, 1),
    ],
)
def test_default_window_length(n, horizon, expected):
    """Three horizons, at least 36 steps and at most half of the series."""
    model = forecaster(window_length=None).fit(series(n), fh=[horizon])
    assert model.window_length_ == expected
    assert model.regressor_.network_.config["window_length"] == expected


@pytest.mark.parametrize(("n", "horizon"), [(30, 12), (13, 12), (8, 2)])
def test_short_series_says_what_fits(n, horizon):
    """The message counts what there is and what is needed, and the largest window that it names does fit."""
    message = (
        rf"y has {n} rows but window_length \+ horizon = 24 \+ {horizon} = {24 + horizon} are needed\. "
        rf"Use a window_length of at most {n - horizon} or a shorter fh\."
    )
    with pytest.raises(ValueError, match=message):
        forecaster(window_length=24).fit(series(n), fh=range(1, horizon + 1))
    largest = forecaster(window_length=n - horizon).fit(series(n), fh=range(1, horizon + 1))
    assert np.isfinite(largest.predict()).all()
    with pytest.raises(ValueError, match=rf"at most {n - horizon} "):
        forecaster(window_length=n - horizon + 1).fit(series(n), fh=range(1, horizon + 1))


# ----------------------------------------------------------------------------------------------- exogenous data


@pytest.fixture(scope="module")
def with_drivers():
    """A forecaster that was given exogenous data."""
    return forecaster().fit(series(), X=drivers()[:N], fh=FULL)


def test_exogenous_data_changes_the_forecast_of_its_step(with_drivers):
    """Another value of a driver at a step ahead changes the forecast of that step, and of none before it."""
    X = drivers()[N:]
    changed = X.copy()
    changed.iloc[4, 1] += 3
    difference = with_drivers.predict(FULL, X=changed) - with_drivers.predict(FULL, X=X)
    assert abs(difference.iloc[4]) > 1e-4
    assert_allclose(difference.iloc[:4], 0, atol=1e-6)


def test_past_of_exogenous_data_counts():
    """Another past of a driver changes the forecast, although its future is the same."""
    X = drivers()
    model = forecaster().fit(series()[:-1], X=X[: N - 1], fh=[1, 2])
    other = deepcopy(model)
    model.update(series()[-1:], X=X[N - 1 : N], update_params=False)
    other.update(series()[-1:], X=X[N - 1 : N] + 3, update_params=False)
    assert abs(model.predict(X=X[N : N + 2]) - other.predict(X=X[N : N + 2])).min() > 1e-4


def test_exogenous_data_only_at_the_steps_asked_for(with_drivers):
    """X may hold just the rows of fh, or more than them, in any order of columns."""
    X = drivers()
    full = with_drivers.predict(FULL, X=X[N:])
    assert_allclose(with_drivers.predict([2, 5], X=X.iloc[[N + 1, N + 4]]), full.iloc[[1, 4]], rtol=1e-6)
    assert_allclose(with_drivers.predict(FULL, X=X), full)
    assert_allclose(with_drivers.predict(FULL, X=X[N:][["wind", "sun"]]), full)


@pytest.mark.parametrize("method", ["predict", "update"])
def test_missing_exogenous_data(with_drivers, method):
    """X that was given to `fit` is asked for again, with the number of its columns and the way out."""
    message = rf"X is None in {method} but fit was given 2 exogenous columns\. Pass X .*, or fit without X\."
    with pytest.raises(ValueError, match=message):
        if method == "predict":
            with_drivers.predict(FULL)
        else:
            deepcopy(with_drivers).update(series(N + 2)[N:])


def test_missing_column_of_exogenous_data(with_drivers):
    """A column that `fit` saw and `predict` does not see is an error, not a silent gap."""
    with pytest.raises(ValueError, match="wind"):
        with_drivers.predict(FULL, X=drivers()[N:][["sun"]])


def test_missing_rows_of_exogenous_data(with_drivers):
    """Steps asked for that X does not reach are an error, not a silent gap."""
    with pytest.raises(ValueError, match="X"):
        with_drivers.predict(FULL, X=drivers()[N : N + 2])


@pytest.mark.parametrize("update", [False, True])
def test_exogenous_data_beyond_the_series(update):
    """X that reaches beyond y changes nothing: the whole table can be passed each time."""
    y, X = series(), drivers()
    exact, longer = forecaster(), forecaster()
    if update:
        exact.fit(y[:-3], X=X[: N - 3], fh=[1, 2]).update(y[-3:], X=X[N - 3 : N], update_params=False)
        longer.fit(y[:-3], X=X[: N - 3], fh=[1, 2]).update(y[-3:], X=X, update_params=False)
    else:
        exact.fit(y, X=X[:N], fh=[1, 2])
        longer.fit(y, X=X, fh=[1, 2])
    assert_allclose(longer.predict(X=X), exact.predict(X=X))


def test_missing_values_in_exogenous_data():
    """NaN in X is a missing value, in the past and in the future."""
    X = drivers()
    X.iloc[[3, N - 1, N + 1], 0] = np.nan
    y_pred = forecaster().fit(series(), X=X[:N], fh=[1, 2]).predict(X=X)
    assert np.isfinite(y_pred).all()


def test_exogenous_data_of_a_panel():
    """Each series of a panel has drivers of its own."""
    y = hierarchy()
    X = pd.concat({place: drivers() for place in y.index.droplevel("day").unique()}, names=["region", "shop"])
    X["sun"] = np.random.default_rng(2).normal(size=len(X))
    past = X.groupby(["region", "shop"], group_keys=False).head(N)
    future = X.groupby(["region", "shop"], group_keys=False).tail(AFTER)
    model = forecaster(regressor=small(linear_skip=False)).fit(y, X=past, fh=[1, 2])  # all of the network is used
    changed = future.copy()
    changed.loc[("east", "south"), "sun"] = 5.0
    difference = abs(model.predict(X=changed) - model.predict(X=future))["sold"].groupby(["region", "shop"]).min()
    assert_array_equal(difference > 1e-4, [False, True, False])


# ------------------------------------------------------------------------------------------------------- update


def test_update_moves_the_window_and_keeps_the_weights():
    """After update(update_params=False), forecasts are what the same weights make of the last window."""
    y = series(N + AFTER)
    model = forecaster().fit(y[:N], fh=[1, 2, 3])
    before, first = weights(model), model.predict()
    model.update(y[N:], update_params=False)
    assert_array_equal(weights(model), before)
    window = y.to_numpy(dtype=np.float32)[-5:].reshape(1, 5, 1)
    by_hand = model.regressor_.predict_windows(WindowDataset({"past": window}))[0, :, 0]
    assert_allclose(model.predict(), by_hand)
    assert_array_equal(model.predict().index, first.index + pd.Timedelta(days=AFTER))
    assert not np.allclose(model.predict(), first)


def test_update_step_by_step():
    """Many small updates are as good as one, and rows that come again replace the old ones."""
    y = series(N + AFTER)
    at_once, one_by_one, overlapping = (forecaster().fit(y[:N], fh=[1, 2]) for _ in range(3))
    at_once.update(y[N:], update_params=False)
    for end in range(N, N + AFTER):
        one_by_one.update(y[end : end + 1], update_params=False)
    wrong = y[N:] + 100
    overlapping.update(wrong, update_params=False).update(y[N - 3 :], update_params=False)
    assert_allclose(one_by_one.predict(), at_once.predict())
    assert_allclose(overlapping.predict(), at_once.predict())


@pytest.mark.parametrize("with_X", [False, True])
def test_update_with_revised_rows(with_X):
    """Rows from before the end are put in their place: the last one stays last, and what is too old changes nothing."""
    y, X = series(), drivers()
    revised = y.copy()
    revised.iloc[[-3, -2]] += 5
    first, again, by_hand = (forecaster().fit(y, X=X[:N] if with_X else None, fh=[1, 2]) for _ in range(3))

    def update(model, new):
        return model.update(new, X=X.loc[new.index] if with_X else None, update_params=False)

    update(again, revised[-3:-1])
    update(by_hand, revised[-3:])
    assert_array_equal(again.predict(X=X).index, pd.date_range("2021-04-11", periods=2))
    assert_allclose(again.predict(X=X), by_hand.predict(X=X))
    before = first.predict(X=X)
    update(first, y[5:8] + 100)
    pd.testing.assert_series_equal(first.predict(X=X), before)


def test_update_trains_on_the_windows_that_are_new(monkeypatch):
    """update(update_params=True) trains on one window for every new row, and on no window twice."""
    y = series(N + AFTER)
    model = forecaster().fit(y[:N], fh=[1, 2, 3])
    before, calls = weights(model), record(monkeypatch, "partial_fit_windows")
    model.update(y[N:], update_params=True)
    assert not np.allclose(weights(model), before)
    (windows,) = calls
    assert len(windows) == AFTER
    raw = y.to_numpy(dtype=np.float32)
    assert_array_equal(windows.arrays["target"][windows.index][:, -1, 0], raw[N:])
    assert_array_equal(windows.arrays["past"][windows.index][-1, :, 0], raw[-8:-3])


def test_update_of_a_panel():
    """A series that gets new rows moves on, and the others stay where they are."""
    model = forecaster().fit(panel(), fh=[1])
    before = model.predict()
    new = pd.concat({"north": pd.DataFrame({"in": [1.0], "out": [2.0]}, pd.DatetimeIndex(["2021-04-11"], name="day"))})
    model.update(new.rename_axis(["shop", "day"]), update_params=False)
    after = model.predict()
    assert [str(day.date()) for _, day in after.index] == ["2021-04-12", "2021-05-02"]
    assert_allclose(after.loc["south"], before.loc["south"])
    assert not np.allclose(after.loc["north"], before.loc["north"])


def test_update_with_nothing_new_for_the_network():
    """update(update_params=True) with rows too few for a window keeps the weights."""
    model = forecaster(window_length=7).fit(panel(lengths=(N, 3)), fh=[1, 2])
    before = weights(model)
    south = pd.DataFrame({"in": [1.0], "out": [2.0]}, pd.DatetimeIndex(["2021-05-02"], name="day"))
    model.update(pd.concat({"south": south}, names=["shop"]), update_params=True)
    assert_array_equal(weights(model), before)


@pytest.mark.parametrize("update_params", [False, True])
def test_update_on_trading_days(update_params):
    """An index without a frequency can be updated."""
    model = forecaster().fit(pd.Series(values(), TRADING_DAYS), fh=[1, 2])
    model.update(pd.Series([1.0, 2.0], pd.DatetimeIndex(["2024-07-04", "2024-07-05"])), update_params=update_params)
    assert_array_equal(model.predict().index, pd.DatetimeIndex(["2024-07-08", "2024-07-09"]))


# ------------------------------------------------------------------------------------------------ what is kept


@pytest.mark.parametrize("with_X", [False, True])
def test_pickle_does_not_grow_with_the_series(with_X):
    """What is saved is weights and a window, however long the series was."""

    def size(n):
        X = drivers(n) if with_X else None
        return len(pickle.dumps(forecaster(random_state=0).fit(series(n), X=X, fh=[1, 2])))

    assert size(2003) < size(53) + 200


def test_window_stays_bounded():
    """Updates do not pile up."""
    y = series(N + 1000)
    model = forecaster().fit(y[:N], fh=[1, 2])
    size = len(pickle.dumps(model))
    for start in range(N, N + 1000, 250):
        model.update(y[start : start + 250], update_params=False)
    assert len(pickle.dumps(model)) < size + 200


def arrays_within(thing):
    """All arrays that an object refers to, by whatever way, and those that they are views of."""
    code = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.FrameType)
    found, seen, stack = [], set(), [vars(thing)]
    while stack:
        one = stack.pop()
        if id(one) in seen or isinstance(one, code):
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray):
            found.append(one)
            stack.append(one.base)
        elif isinstance(one, torch.Tensor):
            found.append(one.detach().numpy())
        elif isinstance(one, (pd.Series, pd.DataFrame, pd.Index)):
            stack += [one.array] if isinstance(one, pd.Index) else [block.values for block in one._mgr.blocks]
        stack += gc.get_referents(one)
    return found


@pytest.mark.parametrize("with_X", [False, True])
def test_nothing_of_the_training_data_is_kept_but_the_last_window(with_X):
    """No attribute holds, or is a view of, an array as long as the series, or a value from before the last window."""
    n = 1009
    y, X = series(n), drivers(n) if with_X else None
    y.iloc[500] = 12345.0
    model = forecaster().fit(y, X=X, fh=[1, 2])
    arrays = arrays_within(model)
    assert any(np.isin(np.float64(y.iloc[-1]), array) for array in arrays if array.dtype == float)  # it does find
    assert max(array.size for array in arrays) < n
    assert not any((array == 12345).any() for array in arrays if array.dtype.kind == "f")


@pytest.mark.parametrize("remember_data", [False, True])
def test_remember_data(remember_data, recwarn):
    """sktime's config is silent by default, and where it is set to True the data is stored as sktime promises."""
    y = series()
    model = forecaster()
    if remember_data:
        model.set_config(remember_data=True)
    model.fit(y[:-3], fh=[1, 2]).update(y[-3:], update_params=False)
    assert not [warning for warning in recwarn if issubclass(warning.category, FutureWarning)]
    assert_allclose(model.predict(), forecaster().fit(y[:-3], fh=[1, 2]).update(y[-3:], update_params=False).predict())
    if remember_data:
        assert_array_equal(model._y.to_numpy().ravel(), y)
    else:
        assert model._y is None


def test_nothing_warns(recwarn):
    """Making, cloning, fitting and updating a forecaster announces nothing, unlike sktime's own forecasters."""
    model = clone(AttentionLSTMForecaster(small(), window_length=5)).clone()
    model.fit(series()[:-1], fh=[1]).update(series()[-1:]).predict()
    assert not recwarn.list
    NaiveForecaster()
    assert "remember_data" in str(recwarn.pop(FutureWarning).message)


def test_clone_and_parameters():
    """A clone has the parameters and nothing learned; nested parameters are set by their names."""
    model = forecaster(horizon=2).fit(series(), fh=[1])
    for copy in (clone(model), model.clone()):
        assert not copy.is_fitted
        assert copy.get_params()["regressor__hidden_size"] == 4
        assert copy.get_params()["horizon"] == 2
        copy.set_params(regressor__hidden_size=3, window_length=4).fit(series(), fh=[1])
        assert copy.regressor_.network_.config["hidden_size"] == 3
    assert model.regressor.hidden_size == 4


def test_regressor_is_not_touched():
    """The regressor given is cloned: neither fitted nor seeded."""
    regressor = small()
    model = AttentionLSTMForecaster(regressor, window_length=5, random_state=3).fit(series(), fh=[1])
    assert not hasattr(regressor, "network_")
    assert regressor.random_state is None
    assert model.regressor_.random_state == 3


@pytest.mark.parametrize("how", ["pickle", "deepcopy", "save", "file"])
def test_copies_forecast_alike(how, tmp_path):
    """A copy forecasts, and is updated and trained on, like the original."""
    y, X = series(N + AFTER), drivers(N + AFTER + 2)
    model = forecaster().fit(y[:N], X=X[:N], fh=[1, 2])
    if how == "pickle":
        copy = pickle.loads(pickle.dumps(model))
    elif how == "deepcopy":
        copy = deepcopy(model)
    elif how == "save":
        copy = load(model.save())
    else:
        model.save(tmp_path / "model")
        copy = load(tmp_path / "model.zip")
    assert_array_equal(copy.predict(X=X), model.predict(X=X))
    for one in (copy, model):
        one.update(y[N:-1], X=X[N : N + AFTER - 1], update_params=False)
    assert_array_equal(copy.predict(X=X), model.predict(X=X))
    before = weights(copy)
    copy.update(y[-1:], X=X[N + AFTER - 1 : N + AFTER], update_params=True)
    assert not np.allclose(weights(copy), before)


# ------------------------------------------------------------------------------------------------- randomness


def test_random_state():
    """A seed decides everything, wherever it is given; without one, fits differ."""

    def forecast(forecaster_seed, regressor_seed):
        regressor = small(random_state=regressor_seed, dropout=0.2)
        model = AttentionLSTMForecaster(regressor, window_length=5, random_state=forecaster_seed)
        return model.fit(series(), fh=[1, 2]).predict().to_numpy()

    assert_array_equal(forecast(0, None), forecast(0, None))
    assert_array_equal(forecast(0, None), forecast(None, 0))
    assert_array_equal(forecast(0, 1), forecast(0, 2))
    assert not np.allclose(forecast(0, None), forecast(1, None))
    assert not np.allclose(forecast(None, None), forecast(None, None))


def test_global_random_states_are_untouched():
    """A fit neither reads nor changes the random states of numpy and torch."""
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    forecaster().fit(series(), fh=[1]).predict()
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


# --------------------------------------------------------------------------------------------- missing values


@pytest.mark.parametrize("missing", [[3, 17], [-1], [-3, -2, -1], [-5, -4, -3, -2, -1]])
def test_missing_values(missing):
    """NaN in y is masked: in training, at the end of the window, and where it is the whole window."""
    y = series()
    y.iloc[missing] = np.nan
    model = forecaster().fit(y, fh=[1, 2, 3])
    assert np.isfinite(model.predict()).all()
    assert np.isfinite(model.predict(fh=range(1, 10))).all()
    assert np.isfinite(weights(model)).all()


def test_missing_targets_teach_nothing():
    """What a missing value is filled with cannot matter: a series learned with gaps is still learned."""
    y = pd.Series(np.sin(2 * np.pi * np.arange(211) / 12))
    holes = y.copy()
    holes.iloc[np.random.default_rng(0).choice(190, 40, replace=False)] = np.nan
    model = AttentionLSTMForecaster(small(max_epochs=80, lr=0.02, normalization="global"), 24, random_state=0)
    y_pred = model.fit(holes[:199], fh=range(1, 13)).predict()
    assert abs(y_pred - y[199:]).mean() < 0.3 * abs(y[199:]).mean()


# --------------------------------------------------------------------------------------------------- learning


def test_learns_a_sine_with_a_trend():
    """A noiseless sine on a trend is forecast far better than by repeating the last value, or the last season."""
    t = np.arange(240)
    y = pd.Series(10 * np.sin(2 * np.pi * t / 12) + 0.5 * t)
    model = AttentionLSTMForecaster(small(max_epochs=60, hidden_size=8), window_length=24, random_state=0)
    y_pred = model.fit(y[:-12], fh=range(1, 13)).predict()
    error = abs(y_pred - y[-12:]).mean()
    assert error < 0.05 * abs(y.iloc[-13] - y[-12:]).mean()
    assert error < 0.05 * abs(y[-24:-12].to_numpy() - y[-12:]).mean()


def test_learns_from_exogenous_data():
    """A series that its drivers explain, and its past does not, is forecast with them and only with them."""
    X = drivers(300)
    noise = 0.1 * np.random.default_rng(3).normal(size=300)
    y = (5 * X["wind"] - 3 * X["sun"] + noise).rename("power")
    model = AttentionLSTMForecaster(small(max_epochs=40), window_length=5, random_state=0)
    blind = model.clone().fit(y[:-10], fh=range(1, 11)).predict()
    y_pred = model.fit(y[:-10], X=X[:-10], fh=range(1, 11)).predict(X=X[-10:])
    assert abs(y_pred - y[-10:]).mean() < 0.2 * abs(blind - y[-10:]).mean()


# --------------------------------------------------------------------------------------------------- attention

EVERYWHERE = {"attention_position": "both", "channel_attention": "general"}


def attentive(window_length=5, **params):
    """A forecaster with attention on inputs, states and channels, whose weights differ to the eye."""
    return forecaster(window_length, regressor=small(lr=0.05, max_epochs=5, **EVERYWHERE | params))


def many(n=N):
    """Three columns, as a frame in days."""
    return pd.DataFrame(values(3 * n).reshape(n, 3), series(n).index, columns=["z", "a", "m"])


def shops(n=N):
    """Drivers for the two shops of `panel`, each on the days of its own."""
    return pd.DataFrame({"sun": values(len(panel()), seed=5)}, panel().index)


@pytest.fixture(scope="module")
def looking():
    """A forecaster of three columns, four steps ahead, with attention everywhere."""
    return attentive(num_heads=2).fit(many(), fh=[1, 4])


@pytest.mark.parametrize(
    ("kind", "n_rows", "n_columns"), [("temporal", 1, 5), ("input", 1, 5), ("state", 4, 5), ("channel", 1, 3)]
)
def test_weights_of_a_series(looking, kind, n_rows, n_columns):
    """A row per date that is asked for by a query of its own, a column per day of the window, or per channel."""
    weights = looking.attention_weights(kind=kind)
    ahead = pd.date_range("2021-04-11", periods=n_rows, name="day")
    pd.testing.assert_index_equal(weights.index, ahead, exact="equiv", check_names=True)
    if kind == "channel":
        assert (weights.columns.tolist(), weights.columns.name) == (["z", "a", "m"], "channel")
    else:
        pd.testing.assert_index_equal(weights.columns, many().index[-5:], exact="equiv")
    assert weights.shape == (n_rows, n_columns)
    assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    past = many().to_numpy(dtype=np.float32)[None, -5:]
    by_hand = looking.regressor_.attend_windows(WindowDataset({"past": past}), kind)[0]
    assert_array_equal(weights, by_hand)


def test_joint_weights_of_a_series(looking):
    """Columns are pairs of a day and a channel, with the product of their weights, in the order of the days."""
    weights = looking.attention_weights(kind="joint", per_head=True)
    assert weights.columns.names == ["day", "channel"]
    assert weights.columns.tolist() == [(day, name) for day in many().index[-5:] for name in many().columns]
    for head in (0, 1):
        time, channel, joint = (
            looking.attention_weights(kind=kind, per_head=True).loc[head].iloc[0]
            for kind in ("temporal", "channel", "joint")
        )
        assert_allclose(joint, np.outer(time, channel).ravel(), rtol=1e-5)
    assert_allclose(looking.attention_weights(kind="joint"), weights.groupby(level="day").mean(), rtol=1e-5)


def test_weights_per_head_and_per_horizon(looking):
    """Heads have rows of their own whose mean is shown without them; so have steps ahead, the mean on the first."""
    dates = pd.date_range("2021-04-11", periods=4, name="day")
    heads = looking.attention_weights(kind="state", per_head=True)
    assert heads.index.names == ["head", "day"]
    assert heads.index.tolist() == [(head, day) for head in (0, 1) for day in dates]
    shown = looking.attention_weights(kind="state")
    assert_allclose(shown, (heads.loc[0] + heads.loc[1]) / 2, rtol=1e-5)
    assert (heads.loc[0] != heads.loc[1]).any(axis=None)
    one = looking.attention_weights(kind="state", per_horizon=False)
    assert one.index.tolist() == [dates[0]]
    assert_allclose(one.iloc[0], shown.mean(), rtol=1e-5)
    both = looking.attention_weights(kind="state", per_head=True, per_horizon=False)
    assert both.index.tolist() == [(0, dates[0]), (1, dates[0])]
    assert_allclose(both, heads.groupby(level="head").mean(), rtol=1e-5)
    assert (shown.std() > 1e-6).all()  # the steps ahead do differ


@pytest.mark.parametrize("kind", ["temporal", "channel", "joint", "input", "state"])
def test_weights_change_with_the_series(looking, kind):
    """Another past has other weights."""
    one, other = (looking.attention_weights(many()[:end], kind=kind).to_numpy() for end in (20, 30))
    assert (abs(one - other) > 1e-5).any()


ORIGINS = {
    "series": (lambda: series(N + AFTER), None),
    "columns": (lambda: many(N + AFTER), None),
    "drivers": (lambda: series(N + AFTER), lambda: drivers(N + AFTER)),
    "no frequency": (lambda: pd.Series(values(), TRADING_DAYS), None),
    "positions": (lambda: pd.Series(values()), None),
    "months": (lambda: pd.Series(values(), pd.period_range("2015-01", periods=N, freq="M")), None),
}


@pytest.mark.parametrize(("y", "X"), ORIGINS.values(), ids=ORIGINS)
@pytest.mark.parametrize("kind", ["state", "joint"])
@pytest.mark.parametrize("first", [0, -9])
def test_weights_at_another_origin(y, X, kind, first):
    """Handed a series, or the end of it, weights are those after an update to there; the forecaster stays put."""
    y, X = y(), None if X is None else X()
    start = len(y) - AFTER
    model = attentive().fit(y[:start], X=None if X is None else X[:start], fh=[1, 2])
    before = model.attention_weights(kind=kind)
    handed = model.attention_weights(y[first:], None if X is None else X[first:], kind=kind)
    moved = deepcopy(model).update(y[start:], X=None if X is None else X[start:], update_params=False)
    pd.testing.assert_frame_equal(handed, moved.attention_weights(kind=kind), check_freq=False)
    pd.testing.assert_frame_equal(model.attention_weights(kind=kind), before)
    assert (abs(handed.to_numpy() - before.to_numpy()) > 1e-5).any()


@pytest.mark.parametrize("end", ["2024-07-02", "2024-07-05"])  # Tuesday, Friday
def test_weights_of_a_few_trading_days(end):
    """The calendar is that of the series of fit, also where the series handed in is too short to show it."""
    y = pd.Series(values(), TRADING_DAYS)
    model = attentive().fit(y, fh=[1, 2])
    days = pd.DatetimeIndex(pd.bdate_range(end=end, periods=5).to_numpy())  # without a frequency
    weights = model.attention_weights(pd.Series(values(5), days), kind="state")
    assert_array_equal(weights.index, pd.bdate_range(pd.Timestamp(end) + pd.Timedelta(days=1), periods=2))


def test_weights_after_an_update():
    """What the forecast looks at moves on with it, and is that of the window it is made from."""
    y = series(N + AFTER)
    model = attentive().fit(y[:N], fh=[1]).update(y[N:], update_params=False)
    weights = model.attention_weights()
    assert_array_equal(weights.columns, y.index[-5:])
    assert_array_equal(weights.index, model.predict().index)


def test_weights_of_a_series_shorter_than_the_window():
    """The steps that there are not have no weight, and the columns are lags."""
    model = attentive(window_length=7).fit(series(), fh=[1])
    weights = model.attention_weights(series(3), kind="state")
    assert weights.columns.tolist() == [-6, -5, -4, -3, -2, -1, 0]
    assert weights.columns.name == "lag"
    assert (weights.iloc[0, :4] == 0).all()
    assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_weights_of_missing_values(looking):
    """What is missing has exactly no weight."""
    y = many()
    y.iloc[-2] = y.iloc[-4, 1] = np.nan
    weights = looking.attention_weights(y, kind="joint")
    assert_array_equal(weights.to_numpy().reshape(5, 3) == 0, y[-5:].isna())
    assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_weights_of_a_panel():
    """Each series has rows of its own, whose columns are lags, for their days differ."""
    model = attentive(num_heads=2).fit(panel(), fh=[1, 2])
    weights = model.attention_weights(kind="state")
    assert weights.index.names == ["shop", "day"]
    expected = [("north", "2021-04-11"), ("north", "2021-04-12"), ("south", "2021-05-02"), ("south", "2021-05-03")]
    assert [(shop, str(day.date())) for shop, day in weights.index] == expected
    assert weights.columns.tolist() == [-4, -3, -2, -1, 0]
    heads = model.attention_weights(kind="state", per_head=True)
    assert heads.index.names == ["shop", "head", "day"]
    assert_allclose(heads.groupby(level=["shop", "day"]).mean(), weights, rtol=1e-5)
    joint = model.attention_weights(kind="joint")
    assert joint.columns.names == ["lag", "channel"]
    assert joint.columns.tolist() == [(lag, name) for lag in range(-4, 1) for name in ("in", "out")]


def test_weights_of_a_hierarchy():
    """All levels come back."""
    weights = attentive().fit(hierarchy(), fh=[2]).attention_weights()
    assert weights.index.names == ["region", "shop", "day"]
    assert [place[:2] for place in weights.index] == [("east", "north"), ("east", "south"), ("west", "south")]


def test_weights_of_a_panel_are_those_of_its_series():
    """A series of a panel, handed in alone or as a panel of one, is looked at as within the panel."""
    y = panel()
    model = attentive().fit(y, fh=[1, 2])
    among = model.attention_weights(y, kind="state")
    pd.testing.assert_frame_equal(model.attention_weights(kind="state"), among)
    alone = model.attention_weights(y.loc["south"], kind="state")
    assert_array_equal(alone.columns, y.loc["south"].index[-5:])
    assert_allclose(alone, among.loc["south"], rtol=1e-5)
    one = model.attention_weights(y.loc[["south"]], kind="state")
    pd.testing.assert_frame_equal(one, among.loc[["south"]])


def test_weights_of_a_panel_with_drivers():
    """Drivers are channels beside those that are forecast, for each series its own."""
    y, X = panel(), shops()
    model = attentive().fit(y, X=X, fh=[1])
    weights = model.attention_weights(kind="channel")
    assert weights.columns.tolist() == ["in", "out", "sun"]
    pd.testing.assert_frame_equal(model.attention_weights(y, X, kind="channel"), weights)
    other = X.copy()
    other.loc["south", "sun"] = X.loc["north", "sun"].to_numpy()[: len(X.loc["south"])]
    changed = model.attention_weights(y, other, kind="channel")
    assert_array_equal(changed.loc["north"], weights.loc["north"])
    assert (abs(changed.loc["south"] - weights.loc["south"]) > 1e-5).any(axis=None)


def test_weights_of_a_series_with_drivers():
    """Drivers may come in another order and reach beyond the series; a name that both have is told apart."""
    y, X = series(), drivers()
    model = attentive().fit(y, X=X[:N], fh=[1])
    weights = model.attention_weights(kind="channel")
    assert weights.columns.tolist() == ["level", "sun", "wind"]
    pd.testing.assert_frame_equal(model.attention_weights(y, X[["wind", "sun"]], kind="channel"), weights)
    twins = attentive().fit(y.rename("sun"), X=X[:N], fh=[1]).attention_weights(kind="channel")
    assert twins.columns.tolist() == ["sun", "sun_X", "wind"]


def test_state_weights_are_those_of_the_forecast():
    """The weights shown are those that the network forecasts with, whatever is known of the steps ahead."""
    model = attentive(attention_position="state").fit(series(), X=drivers()[:N], fh=[1, 2])
    used = []
    model.regressor_.network_.register_forward_hook(lambda network, args, output: used.append(output.state))
    model.predict(X=10 * drivers())
    ahead = model.attention_weights(X=10 * drivers(), kind="state")
    assert_allclose(ahead, used[0].mean(1)[0], rtol=1e-4)
    handed = model.attention_weights(series(), pd.concat([drivers()[:N], 10 * drivers()[N:]]), kind="state")
    pd.testing.assert_frame_equal(handed, ahead)
    assert (abs(ahead - model.attention_weights(kind="state")) > 1e-3).any(axis=None)  # with nothing known ahead


def test_other_series_than_those_of_fit(with_drivers):
    """What differs from the series of fit is named: columns of y, X itself, its columns and its rows."""
    y, X = series(), drivers()
    for what in (with_drivers.attention_weights, with_drivers.windows):
        for args, message in (
            ((y.rename("depth"), X), r"y has columns \['depth'\] but fit was given \['level'\]\. Pass the same"),
            ((y,), r"X is None in this call but fit was given 2 exogenous columns\. Pass X for the steps"),
            ((y, X[["sun"]]), r"X lacks column 'wind' in this call"),
            ((y, X[: N - 2]), r"X lacks row 2021-04-09 00:00:00 in this call, and 1 more that are needed\. Pass X"),
            ((y, X[:N] * np.inf), r"Input X contains infinity in this call\. Mark missing values as NaN"),
            ((y * np.nan, X), r"Input y contains NaN only: none of its 41 values was observed\."),
            ((y.replace(y.iloc[3], np.inf), X), "Input y contains infinity"),
        ):
            with pytest.raises(ValueError, match=message):
                what(*args)


@pytest.mark.parametrize(
    ("params", "kind", "message"),
    [
        (
            dict(attention=None, channel_attention="dot"),
            "temporal",
            "without temporal attention.*Fit with other",
        ),
        (dict(attention_position="input"), "state", "without state attention"),
        (dict(channel_attention=None), "channel", "without channel attention.*Fit with other channel_attention"),
        (dict(), "abracadabra", "kind='abracadabra' is unknown"),
    ],
)
def test_weights_that_there_are_not(params, kind, message):
    """The error is that of the regressor, which was fitted."""
    with pytest.raises(ValueError, match=message):
        attentive(**params).fit(series(), fh=[1]).attention_weights(kind=kind)


# ------------------------------------------------------------------------------------------------------ windows


@pytest.mark.parametrize(
    ("y", "X"),
    [(series, None), (many, None), (panel, None), (hierarchy, None), (series, drivers), (panel, shops)],
    ids=["series", "columns", "panel", "hierarchy", "drivers", "panel with drivers"],
)
def test_windows_are_those_of_the_training(y, X, monkeypatch):
    """Of the series of fit they are what the network was trained on, array by array."""
    calls = record(monkeypatch, "fit_windows")
    y, X = y(), None if X is None else X()
    model = forecaster().fit(y, X=X if X is None or len(X) == len(y) else X[:N], fh=[1, 2, 3])
    (trained,), windows = calls, model.windows(y, X)
    assert windows.arrays.keys() == trained.arrays.keys()
    for name, array in trained.arrays.items():
        assert_array_equal(windows.arrays[name], array)
    assert_array_equal(windows.index, trained.index)
    assert (windows.gap, windows.autoregressive) == (trained.gap, True)
    assert len(model.regressor_.attend_windows(windows)) == len(model.regressor_.loss_windows(windows)) == len(windows)


def test_windows_of_another_series():
    """A window for every step that has a past and a future, also of a series in another of sktime's formats."""
    model = forecaster().fit(panel(), fh=[1, 2])
    y = panel(lengths=(11, 13))
    assert len(model.windows(y)) == (11 - 6) + (13 - 6)
    nested = convert_to(y, "df-list")
    assert len(model.windows(nested)) == (11 - 6) + (13 - 6)
    with pytest.raises(ValueError, match=r"y has 6 rows but window_length \+ horizon = 5 \+ 2 = 7 are needed"):
        model.windows(y.loc["north"][:6])


# ------------------------------------------------------------------------------------------------- dual stage


def dual(**params):
    """A forecaster by the network of Qin et al. (2017)."""
    return forecaster(regressor=small(encoder="dual_stage", lr=0.05, max_epochs=5, **params))


def test_dual_stage_weighs_drivers():
    """Weights over channels, and the cells of both, are those of the drivers; the series looked at has none."""
    model = dual().fit(series(), X=drivers()[:N], fh=[1, 2])
    assert model.attention_weights(kind="channel").columns.tolist() == ["sun", "wind"]
    joint = model.attention_weights(kind="joint")
    assert joint.columns.tolist() == [(day, name) for day in series().index[-5:] for name in ("sun", "wind")]
    time = model.attention_weights()
    assert_allclose(joint.T.groupby(level="day").sum().T, time, rtol=1e-4)
    for weights in (joint, time, model.attention_weights(kind="channel")):
        assert weights.shape[0] == 1
        assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert np.isfinite(model.predict(fh=range(1, 6), X=drivers())).all()  # beyond the horizon too


def test_dual_stage_without_drivers():
    """Where there are none, the series that are forecast are weighed."""
    model = dual().fit(many(), fh=[1, 2])
    assert model.attention_weights(kind="channel").columns.tolist() == ["z", "a", "m"]
    assert dual().fit(series(), fh=[1]).attention_weights(kind="channel").to_numpy() == [[1.0]]
    assert model.predict().shape == (2, 3)


def test_dual_stage_of_a_panel():
    """A panel with drivers shares the two stages."""
    model = dual().fit(panel(), X=shops(), fh=[1])
    weights = model.attention_weights(panel(), shops(), kind="joint")
    assert weights.columns.tolist() == [(lag, "sun") for lag in range(-4, 1)]
    assert_allclose(weights.groupby(level="shop").sum().sum(axis=1), 1, rtol=1e-5)


def test_dual_stage_asks_by_its_own_history():
    """The first own value of a window, which the decoder alone reads, moves where it looks, not what drivers weigh."""
    model = dual().fit(series(), X=drivers()[:N], fh=[1])
    y = series()
    y.iloc[-5] += 10
    one, other = (
        [model.attention_weights(past, drivers(), kind=kind).to_numpy() for kind in ("state", "channel")]
        for past in (series(), y)
    )
    assert (abs(one[0] - other[0]) > 1e-6).any()
    assert_array_equal(one[1], other[1])


def test_dual_stage_is_a_forecaster():
    """It is updated, copied and seeded like every other network."""
    y, X = series(N + AFTER), drivers(N + AFTER + 2)
    model = dual(attention_noise=0.5).fit(y[:N], X=X[:N], fh=[1, 2])
    copy = pickle.loads(pickle.dumps(model))
    again = model.clone().fit(y[:N], X=X[:N], fh=[1, 2])
    for other in (copy, again):
        assert_array_equal(other.predict(X=X), model.predict(X=X))
        pd.testing.assert_frame_equal(other.attention_weights(kind="joint"), model.attention_weights(kind="joint"))
    before = weights(model)
    model.update(y[N:], X=X[N : N + AFTER], update_params=True)
    assert not np.allclose(weights(model), before)
    assert model.predict(X=X).index[0] == X.index[N + AFTER]


def test_dual_stage_learns_from_drivers():
    """A series that follows one driver two days later is forecast from its drivers, without a linear model."""
    X = drivers(300)
    y = X["wind"].shift(2).fillna(0).rename("power")
    regressor = small(encoder="dual_stage", hidden_size=16, linear_skip=False, lr=0.02, max_epochs=20)
    model = forecaster(regressor=regressor).fit(y, X=X, fh=[1, 2])
    windows = model.windows(y, X)
    forecasts, truth = model.regressor_.predict_windows(windows), windows.arrays["target"]
    assert np.corrcoef(forecasts.ravel(), truth.ravel())[0, 1] > 0.8


# --------------------------------------------------------------------------------------------------- ensembles


def test_ensemble_is_a_forecaster():
    """It has weights over steps and channels, and is updated, copied and seeded like every other network."""
    y, X = series(N + AFTER), drivers(N + AFTER + 2)
    regressor = small(n_members=3, attention_position="both", channel_attention="dot", dropout=0.2, lr=0.05)
    model = forecaster(regressor=regressor).fit(y[:N], X=X[:N], fh=[1, 2])
    for kind in ("temporal", "channel", "joint", "input", "state"):
        assert_allclose(model.attention_weights(kind=kind).sum(axis=1), 1, rtol=1e-5)
    for other in (pickle.loads(pickle.dumps(model)), model.clone().fit(y[:N], X=X[:N], fh=[1, 2])):
        assert_array_equal(other.predict(X=X), model.predict(X=X))
        pd.testing.assert_frame_equal(other.attention_weights(kind="joint"), model.attention_weights(kind="joint"))
    before = weights(model)
    model.update(y[N:], X=X[N : N + AFTER], update_params=True)
    assert not np.allclose(weights(model), before)
    assert np.isfinite(model.predict(fh=range(1, 6), X=drivers(N + AFTER + 5))).all()  # beyond the horizon too


def test_ensemble_chooses_one_level():
    """Held-out windows choose the level and the gate for all members: a random walk is forecast by its last value."""
    noise = pd.Series(np.random.default_rng(0).normal(size=300))
    model = forecaster(12, regressor=small(n_members=3)).fit(noise, fh=[1, 2])
    network = model.regressor_.network_
    assert network.config["normalization"] != "last"
    assert all(other.normalization is network.normalization for other in network.others)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(), model.predict())
    walk = pd.Series(values(400))
    model = forecaster(12, regressor=small(n_members=3)).fit(walk, fh=[1, 2])
    assert model.regressor_.components_["gate"] == 0
    assert_array_equal(model.predict(), np.float32(walk.iloc[-1]))  # exactly the last value


# ----------------------------------------------------------------------------------------------------- sensors

MAP = pd.DataFrame([[0.0, 3.0, 0.0], [0.5, 0.0, 1.0], [0.0, 2.0, 0.0]], ["z", "a", "m"], ["z", "a", "m"])
every_role = pytest.mark.parametrize("role", ["bias", "mask", "both"])
CYCLES = {
    "subtract": dict(periods=[7]),
    "embed": dict(periods=[7, 14], periods_role="embed"),
    "both": dict(periods=[7], periods_role="both"),
}
every_role_of_cycles = pytest.mark.parametrize("cycles", CYCLES.values(), ids=CYCLES)


def listener(**params):
    """A forecaster of sensors, whose weights differ to the eye."""
    regressor = small(spatial_attention="general", num_heads=2, attention=None, lr=0.05, max_epochs=5)
    return forecaster(regressor=regressor.set_params(**params))


@pytest.fixture(scope="module")
def listening():
    """A forecaster of three columns, four steps ahead, that listens to all of them."""
    return listener().fit(many(), fh=[1, 4])


@pytest.fixture(scope="module")
def planted():
    """Five sensors of which some hear others, the edges between them, and how far forecasts of them are off."""
    X, delays, _ = make_sensor_network(1200, 5, memory=0.1, coupling=0.9, random_state=0)
    y = pd.DataFrame(X, columns=["dub", "ork", "gwy", "bel", "sli"])
    width = {"hidden_size": 16, "embedding_dim": 16, "attention_dim": 16, "num_heads": 4}
    options = {"attention": None, "encoder": "gru", "channel_mode": "independent", "linear_skip": False}
    models, errors = {}, {}
    for choice in ("additive", None):
        regressor = AttentionLSTMRegressor(
            spatial_attention=choice, lr=0.01, max_epochs=20, early_stopping=False, **width, **options
        )
        models[choice] = forecaster(regressor=regressor, horizon=1).fit(y[:-200])
        windows = models[choice].windows(y[-205:])
        errors[choice] = np.square(models[choice].regressor_.predict_windows(windows) - windows.arrays["target"]).mean()
    return models["additive"], delays, errors


def test_graph_of_sensors_has_the_planted_edges(planted):
    """A row per sensor that is heard, a column per listener; edges there are weigh more than those that there are not.

    Listeners listen to themselves too, which is no edge.
    """
    model, delays, _ = planted
    graph = model.sensor_graph_
    names = ["dub", "ork", "gwy", "bel", "sli"]
    assert (graph.index.tolist(), graph.columns.tolist()) == (names, names)
    assert (graph.index.name, graph.columns.name) == ("sensor", "listener")
    assert_allclose(graph.sum(), 1, rtol=1e-5)
    others = ~np.eye(5, dtype=bool)
    assert average_precision_score(delays[others] > 0, graph.to_numpy()[others]) >= 0.9
    assert average_precision_score(delays.T[others] > 0, graph.to_numpy()[others]) < 0.7  # the way back is none


def test_listening_forecasts_better(planted):
    """What is heard from others is not in a sensor's own past: the error without is a sixth larger at least."""
    _, _, errors = planted
    assert errors[None] > errors["additive"] * 7 / 6


def test_graph_is_the_mean_over_windows(listening):
    """Of the weights of training, turned: there is one only with spatial_attention."""
    windows = listening.windows(many())
    expected = listening.regressor_.attend_windows(windows, "spatial").mean(0).T
    assert_allclose(listening.sensor_graph_, expected, rtol=1e-5)
    assert (abs(expected - expected.T) > 1e-4).any()
    again = deepcopy(listening).set_params(regressor__spatial_attention=None).fit(many(), fh=[1])
    assert not hasattr(again, "sensor_graph_")


def test_graph_of_many_windows_is_of_a_sample(monkeypatch):
    """At most so many windows are looked at, spread over all of the series."""
    monkeypatch.setattr("skattn.forecaster.MOST_GRAPHS", 10)
    calls = []
    original = AttentionLSTMRegressor.attend_windows
    monkeypatch.setattr(
        AttentionLSTMRegressor,
        "attend_windows",
        lambda self, windows, kind: calls.append(windows) or original(self, windows, kind),
    )
    listener().fit(many(), fh=[1, 2])
    assert_array_equal(calls[0].index, np.arange(0, N - 6, 4))


def test_graph_of_a_series_with_a_long_gap():
    """Windows in which nothing at all was observed have no say: columns sum to one nonetheless."""
    y = many()
    y.iloc[10:25] = np.nan
    assert_allclose(listener().fit(y, fh=[1]).sensor_graph_.sum(), 1, rtol=1e-5)


def test_labels_do_not_matter_where_nobody_listens():
    """A map is not looked at without attention over sensors."""
    strange = pd.DataFrame(np.ones((2, 2)), ["x", "y"], ["x", "y"])
    model = listener(spatial_attention=None, adjacency=strange, channel_mode="independent").fit(many(), fh=[1])
    assert not hasattr(model, "sensor_graph_")


def test_spatial_weights_of_a_series(listening):
    """A row per listener and a column per sensor, for all dates, of the last window."""
    weights = listening.attention_weights(kind="spatial")
    assert (weights.index.tolist(), weights.columns.tolist()) == (["z", "a", "m"], ["z", "a", "m"])
    assert (weights.index.name, weights.columns.name) == ("listener", "sensor")
    assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    past = many().to_numpy(dtype=np.float32)[None, -5:]
    by_hand = listening.regressor_.attend_windows(WindowDataset({"past": past}), "spatial")
    assert_array_equal(weights, by_hand[0])
    pd.testing.assert_frame_equal(listening.attention_weights(kind="spatial", per_horizon=False), weights)
    other = listening.attention_weights(many()[:20], kind="spatial")
    assert (abs(other - weights) > 1e-5).any(axis=None)


def test_spatial_weights_per_head(listening):
    """Heads have rows of their own, whose mean is shown without them."""
    heads = listening.attention_weights(kind="spatial", per_head=True)
    assert heads.index.names == ["head", "listener"]
    assert heads.index.tolist() == [(head, name) for head in (0, 1) for name in ("z", "a", "m")]
    assert_allclose(heads.sum(axis=1), 1, rtol=1e-5)
    assert (heads.loc[0] != heads.loc[1]).any(axis=None)
    assert_allclose(listening.attention_weights(kind="spatial"), (heads.loc[0] + heads.loc[1]) / 2, rtol=1e-5)


def test_spatial_weights_of_a_panel():
    """Each series has rows of its own, and all share one graph."""
    model = listener().fit(panel(), fh=[1, 2])
    weights = model.attention_weights(kind="spatial")
    assert weights.index.names == ["shop", "listener"]
    assert weights.index.tolist() == [(shop, name) for shop in ("north", "south") for name in ("in", "out")]
    assert weights.columns.tolist() == ["in", "out"]
    assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert (weights.loc["north"] != weights.loc["south"]).any(axis=None)
    heads = model.attention_weights(kind="spatial", per_head=True)
    assert heads.index.names == ["shop", "head", "listener"]
    assert_allclose(heads.groupby(level=["shop", "listener"]).mean(), weights, rtol=1e-5)
    assert model.sensor_graph_.shape == (2, 2)
    assert_allclose(model.sensor_graph_.sum(), 1, rtol=1e-5)


@every_role_of_cycles
def test_sensors_beside_drivers_and_cycles(cycles):
    """Drivers are heard by all and are no sensors; other kinds of weights are as ever."""
    X = drivers(N + AFTER)
    options = dict(attention="additive", channel_attention="dot", attention_position="both", n_members=2)
    model = listener(**options).set_params(**cycles).fit(many(), X=X[:N], fh=[1, 3])
    assert model.sensor_graph_.columns.tolist() == ["z", "a", "m"]
    assert model.attention_weights(kind="spatial").shape == (3, 3)
    assert model.attention_weights(kind="channel").shape == (1, 5)
    assert model.attention_weights(kind="state").shape == (3, 5)
    y_pred = model.predict(X=X)
    changed = X.copy()
    changed.iloc[N + 2] += 1
    assert (model.predict(X=changed) != y_pred).any(axis=1).tolist() == [False, True]


def test_spatial_weights_that_there_are_not():
    """Without spatial_attention there are none, as the error says."""
    message = r"was fitted without spatial attention, .* Fit with other spatial_attention, or ask for another kind"
    with pytest.raises(ValueError, match=message):
        attentive().fit(many(), fh=[1]).attention_weights(kind="spatial")


@every_role
def test_labels_of_a_map_are_matched_with_columns(role):
    """A labelled map in another order, or of more sensors, is the same as a plain one in the order of the columns."""
    more = MAP.reindex(index=["x", *MAP.index], columns=["x", *MAP.index], fill_value=9.0)
    maps = [
        MAP.to_numpy(),
        MAP,
        MAP.loc[["m", "z", "a"], ["a", "m", "z"]],
        more,
        pd.DataFrame(MAP.to_numpy()),
        csr_array(MAP),
    ]
    models = [listener(adjacency=adjacency, adjacency_role=role).fit(many(), fh=[1, 2]) for adjacency in maps]
    for model in models[1:]:
        assert_array_equal(weights(model), weights(models[0]))
        pd.testing.assert_frame_equal(model.sensor_graph_, models[0].sensor_graph_)
    wrong = listener(adjacency=MAP.to_numpy()[[2, 0, 1]][:, [1, 2, 0]], adjacency_role=role).fit(many(), fh=[1, 2])
    assert (wrong.sensor_graph_ != models[0].sensor_graph_).any(axis=None)
    graph = models[0].sensor_graph_.to_numpy()
    assert_array_equal(graph > 0, np.ones((3, 3)) if role == "bias" else (MAP > 0) | np.eye(3, dtype=bool))


def test_map_of_other_sensors():
    """A map that lacks a column, or is of another size, is refused, with the name or both sizes."""
    with pytest.raises(ValueError, match=r"adjacency lacks sensor 'm', and 0 more .*\. Name its rows and columns like"):
        listener(adjacency=MAP.iloc[:2, :2]).fit(many(), fh=[1])
    with pytest.raises(ValueError, match=r"adjacency has shape \(2, 2\) but 3 sensors need \(3, 3\)\. Pass a row"):
        listener(adjacency=np.ones((2, 2))).fit(many(), fh=[1])


PLACES = pd.DataFrame({"lat": [53.3, 51.9, 53.2], "lon": [-6.3, -8.5, -6.1]}, ["z", "a", "m"])  # the last is near "z"


@every_role
@pytest.mark.parametrize("y", [many, lambda: stations()], ids=["columns", "two levels"])
def test_coordinates_in_place_of_a_map(role, y):
    """Coordinates, labelled in any order or plain in that of the columns, are the map that they make by default."""
    a_map = adjacency_from_coordinates(PLACES)
    more = pd.concat([pd.DataFrame([[0.0, 0.0]], ["x"], PLACES.columns), PLACES.iloc[::-1]])
    by_map = listener(adjacency=a_map, adjacency_role=role).fit(y(), fh=[1, 2])
    for places in (PLACES, more, PLACES.to_numpy(), PLACES.to_numpy().tolist(), PLACES.reset_index(drop=True)):
        model = listener(coordinates=places, adjacency_role=role).fit(y(), fh=[1, 2])
        assert_array_equal(weights(model), weights(by_map))
        pd.testing.assert_frame_equal(model.sensor_graph_, by_map.sensor_graph_)
        pd.testing.assert_frame_equal(model.predict(), by_map.predict())
        assert model.regressor.coordinates is places
    edges = [[True, False, True], [False, True, False], [True, False, True]]
    assert_array_equal(by_map.sensor_graph_ > 0, np.ones((3, 3)) if role == "bias" else edges)
    turned = listener(coordinates=PLACES.to_numpy()[::-1], adjacency_role=role).fit(y(), fh=[1, 2])
    wrong = listener(coordinates=PLACES.to_numpy()[[1, 0, 2]], adjacency_role=role).fit(y(), fh=[1, 2])
    assert_allclose(turned.sensor_graph_, by_map.sensor_graph_, rtol=1e-4)  # the same distances between them
    assert not np.allclose(wrong.sensor_graph_, by_map.sensor_graph_, rtol=1e-2)


def test_coordinates_of_other_sensors():
    """Those that lack a column, are of another number, or come with a map are refused, where somebody listens."""
    for wrong, message in (
        (
            dict(coordinates=PLACES[:2]),
            r"coordinates lacks sensor 'm', and 0 more .*\. Name its rows like these, or pass",
        ),
        (
            dict(coordinates=PLACES.to_numpy()[:2]),
            r"coordinates has 2 rows but there are 3 sensors\. Pass a row for each",
        ),
        (dict(coordinates=PLACES.T), r"coordinates lacks sensor 'a', and 2 more"),
        (dict(coordinates=PLACES.to_numpy().T), r"coordinates has 3 columns but 2 are needed\. Pass latitude and"),
        (
            dict(coordinates=PLACES, adjacency=MAP),
            r"adjacency and coordinates are both given, but one map is used\. Pass",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            listener(**wrong).fit(many(), fh=[1])
        alone = dict(spatial_attention=None, channel_mode="independent")
        plain, model = (listener(**alone, **given).fit(many(), fh=[1]) for given in ({}, wrong))
        assert_array_equal(weights(model), weights(plain))


def test_forecaster_with_coordinates_is_a_forecaster():
    """It is cloned, copied, updated and trained on like every other, with coordinates as a parameter."""
    y = many(N + AFTER)
    model = listener(coordinates=PLACES, adjacency_role="mask", n_members=2)
    assert model.get_params()["regressor__coordinates"] is PLACES
    repr(clone(model))
    model.fit(y[:N], fh=[1, 2])
    for other in (pickle.loads(pickle.dumps(model)), deepcopy(model), model.clone().fit(y[:N], fh=[1, 2])):
        assert_array_equal(other.predict(), model.predict())
        pd.testing.assert_frame_equal(other.sensor_graph_, model.sensor_graph_)
        other.update(y[N:], update_params=True)
        assert np.isfinite(other.predict(fh=range(1, 6))).all(axis=None)


@every_role
@pytest.mark.parametrize("sensor_identity", [True, False])
def test_sensor_that_fell_silent(role, sensor_identity):
    """A sensor without a value in the last window is forecast, and nobody listens to it any more."""
    y = many()
    y.loc[y.index[-5:], "a"] = np.nan
    model = listener(adjacency=MAP, adjacency_role=role, sensor_identity=sensor_identity).fit(y, fh=[1, 2])
    assert np.isfinite(model.predict()).all(axis=None)
    assert (model.attention_weights(kind="spatial")["a"] == 0).all()
    assert model.sensor_graph_.loc["a", "z"] > 0  # it was heard once


@every_role
def test_sensor_that_was_always_silent(role):
    """So is one without any value, that has no say in the graph, of which columns sum to one."""
    y = many().assign(a=np.nan)
    model = listener(adjacency=MAP, adjacency_role=role).fit(y, fh=[1, 2])
    assert np.isfinite(model.predict()).all(axis=None)
    assert (model.sensor_graph_.loc["a"] == 0).all()
    assert_allclose(model.sensor_graph_.sum(), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "how", [dict(channel_mode="independent"), dict(spatial_attention="general", sensor_identity=False)], ids=str
)
def test_sensor_that_is_heard_of_later(how):
    """One that had no value in training and then has some is forecast as those are that it is alike: a wave at 50.

    A scale and a level of its own it has not, and those that are not of the others would be far off.
    """
    step, names = np.arange(432), ["z", "a", "m", "q", "s"]
    rng = np.random.default_rng(0)
    waves = {name: 50 + number + 10 * np.sin((step - number) / 24 * 2 * np.pi) for number, name in enumerate(names)}
    y = pd.DataFrame(waves) + rng.normal(size=(432, 5))
    regressor = small(**how, normalization="global", hidden_size=16, max_epochs=10, lr=0.01)
    model = forecaster(36, regressor=regressor).fit(y[:384].assign(m=np.nan), fh=range(1, 13))
    model.update(y[384:420], update_params=False)
    errors = (model.predict() - y[420:]).abs().mean()
    naive = (y[420:] - y.iloc[419]).abs().mean().mean()
    assert errors["m"] < 1.5 * errors.drop("m").mean()
    assert errors["m"] < 0.5 * naive


def test_scales_of_variables_that_are_heard_of_later():
    """They are the means over the sensors that have the variable, of columns of two levels each."""
    y = stations().add([0.0, 100, 10, 120, 20, 140])
    y[[("a", "t"), ("m", "rh")]] = np.nan
    for how in ROWS_OF_SENSORS.values():
        normalization = listener(**how).fit(y, fh=[1]).regressor_.network_.normalization
        for values, of in ((normalization.loc, "mean"), (normalization.scale, "std")):
            seen = getattr(y[:-1], of)(**({"ddof": 0} if of == "std" else {})).unstack(sort=False)
            assert_allclose(values.reshape(3, 2), seen.fillna(seen.mean()), rtol=1e-4)
    mixed = forecaster(regressor=small()).fit(y, fh=[1]).regressor_.network_.normalization
    assert (mixed.loc[[2, 5]], mixed.scale[[2, 5]]) == (pytest.approx([0, 0]), pytest.approx([1, 1]))


@pytest.mark.parametrize("adjacency", [None, MAP, csr_array(MAP)], ids=["none", "frame", "sparse"])
def test_listener_is_a_forecaster(adjacency):
    """It is cloned, copied, updated and seeded like every other, with a map as a parameter."""
    y = many(N + AFTER)
    model = listener(adjacency=adjacency, adjacency_role="both", attention_noise=0.5, dropout=0.2, n_members=2)
    assert model.get_params()["regressor__adjacency"] is adjacency
    for copy in (clone(model), model.clone()):
        assert type(copy.get_params()["regressor__adjacency"]) is type(adjacency)
        repr(copy)
    model.fit(y[:N], fh=[1, 2])
    assert model.regressor.adjacency is adjacency
    for other in (pickle.loads(pickle.dumps(model)), deepcopy(model), model.clone().fit(y[:N], fh=[1, 2])):
        assert_array_equal(other.predict(), model.predict())
        pd.testing.assert_frame_equal(other.sensor_graph_, model.sensor_graph_)
        one, same = (m.attention_weights(kind="spatial", per_head=True) for m in (other, model))
        pd.testing.assert_frame_equal(one, same)
    before = weights(model)
    model.update(y[N:], update_params=True)
    assert not np.allclose(weights(model), before)
    assert np.isfinite(model.predict(fh=range(1, 6))).all(axis=None)


def test_a_series_alone():
    """It listens to itself."""
    model = listener().fit(series(), fh=[1])
    assert model.sensor_graph_.to_numpy() == 1
    assert model.sensor_graph_.columns.tolist() == ["level"]


# ------------------------------------------------------------------------------------ sensors of several variables

TWO_LEVELS = pd.MultiIndex.from_product([["z", "a", "m"], ["t", "rh"]], names=["station", "variable"])
IRREGULAR = {
    "lacks one": TWO_LEVELS[:-1],
    "another order": TWO_LEVELS[[0, 1, 3, 2, 4, 5]],
    "by variable": TWO_LEVELS[[0, 2, 4, 1, 3, 5]],
    "three levels": pd.MultiIndex.from_product([["z", "a", "m"], ["t"], ["low", "high"]]),
}
ROWS_OF_SENSORS = {
    "listening": {},
    "independent": {"spatial_attention": None, "attention": "additive", "channel_mode": "independent"},
}


def stations(n=N, columns=TWO_LEVELS):
    """Two variables of three sensors, in days."""
    return pd.DataFrame(values(len(columns) * n).reshape(n, -1), series(n).index, columns)


def shops_of_stations():
    """A panel of two such frames, that end on different days."""
    return pd.concat({"north": stations(), "south": stations().iloc[:-3] - 5}, names=["shop"])


def flat(y):
    """The frame with columns of one level."""
    return y.set_axis(["/".join(names) for names in y.columns], axis=1)


@pytest.fixture(scope="module")
def measuring():
    """A forecaster of three sensors of two variables, four steps ahead, with attention over time too."""
    return listener(attention="additive", attention_position="both").fit(stations(), fh=[1, 4])


def test_columns_of_two_levels_come_back(measuring):
    """A column per sensor and variable, with the names of both levels, on the dates that were asked for."""
    y_pred = measuring.predict()
    pd.testing.assert_index_equal(y_pred.columns, TWO_LEVELS)
    assert y_pred.index.tolist() == [pd.Timestamp("2021-04-11"), pd.Timestamp("2021-04-14")]
    assert np.isfinite(y_pred).all(axis=None)
    network = measuring.regressor_.network_
    assert (network.config["n_targets"], network.config["n_variables"]) == (6, 2)
    assert len(network.identity) == 3


def test_graph_and_spatial_weights_are_of_sensors(measuring):
    """A row and a column per sensor, not per variable; attention over time is that of a series."""
    graph, spatial = measuring.sensor_graph_, measuring.attention_weights(kind="spatial")
    for table, names in ((graph, ("sensor", "listener")), (spatial.T, ("sensor", "listener"))):
        assert (table.index.tolist(), table.columns.tolist()) == (["z", "a", "m"], ["z", "a", "m"])
        assert (table.index.name, table.columns.name) == names
        assert_allclose(table.sum(), 1, rtol=1e-5)
    expected = measuring.regressor_.attend_windows(measuring.windows(stations()), "spatial").mean(0).T
    assert_allclose(graph, expected, rtol=1e-5)
    past = stations().to_numpy(dtype=np.float32)[None, -5:]
    by_hand = measuring.regressor_.attend_windows(WindowDataset({"past": past}), "spatial")
    assert_array_equal(spatial, by_hand[0])
    heads = measuring.attention_weights(kind="spatial", per_head=True)
    assert heads.index.tolist() == [(head, name) for head in (0, 1) for name in ("z", "a", "m")]
    for kind, n_rows in (("temporal", 1), ("input", 1), ("state", 4)):
        weights = measuring.attention_weights(kind=kind)
        assert weights.shape == (n_rows, 5)
        assert weights.columns.tolist() == stations().index[-5:].tolist()
        assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_channels_of_two_levels_are_named():
    """Weights of channels and pairs of a lag and a channel are called by both levels, as there are so many channels."""
    model = attentive().fit(stations(), fh=[1])
    assert model.attention_weights(kind="channel").columns.tolist() == TWO_LEVELS.tolist()
    expected = [(day, channel) for day in stations().index[-5:] for channel in TWO_LEVELS]
    assert model.attention_weights(kind="joint").columns.tolist() == expected


def test_variables_are_those_of_their_sensor():
    """A sensor that fell silent in both variables is heard by none; with one of them left it is."""
    model = listener().fit(stations(), fh=[1, 2])
    for silent, heard in ((["t", "rh"], False), (["rh"], True)):
        y = stations()
        y.loc[y.index[-5:], pd.MultiIndex.from_product([["a"], silent])] = np.nan
        spatial = model.attention_weights(y, kind="spatial")
        assert (spatial["a"] > 0).all() == heard
        assert (spatial[["z", "m"]] > 0).all(axis=None)


@pytest.mark.parametrize("how", ROWS_OF_SENSORS.values(), ids=ROWS_OF_SENSORS)
@pytest.mark.parametrize("sensor", ["z", "a", "m"])
def test_variables_read_their_sensor(how, sensor):
    """What one variable of a sensor did last changes the forecasts of all its variables, and of who listens to it."""
    model = listener(linear_skip=False, **how).fit(stations(), fh=[1, 3])
    y_pred = model.predict()
    y = stations(N + 1)
    moved = []
    for extra in (0.0, 1.0):
        y.loc[y.index[-1], (sensor, "rh")] += extra
        moved.append(deepcopy(model).update(y[N:], update_params=False).predict(fh=[1, 3]))
    changed = (moved[0] != moved[1]).any().groupby(level=0, sort=False).agg(["all", "any"])
    assert y_pred.shape == moved[0].shape
    expected = [name == sensor or how == {} for name in ("z", "a", "m")]
    assert changed["all"].tolist() == changed["any"].tolist() == expected


@every_role
def test_map_is_of_sensors(role):
    """A map has a row per sensor, and labels in another order are matched; one of all columns is refused."""
    y = stations()
    maps = [MAP.to_numpy(), MAP, MAP.loc[["m", "z", "a"], ["a", "m", "z"]], csr_array(MAP)]
    models = [listener(adjacency=adjacency, adjacency_role=role).fit(y, fh=[1, 2]) for adjacency in maps]
    for model in models[1:]:
        assert_array_equal(weights(model), weights(models[0]))
        pd.testing.assert_frame_equal(model.sensor_graph_, models[0].sensor_graph_)
        pd.testing.assert_frame_equal(model.predict(), models[0].predict())
    graph = models[0].sensor_graph_.to_numpy()
    assert_array_equal(graph > 0, np.ones((3, 3)) if role == "bias" else (MAP > 0) | np.eye(3, dtype=bool))
    with pytest.raises(ValueError, match=r"adjacency has shape \(6, 6\) but 3 sensors need \(3, 3\)\. Pass a row"):
        listener(adjacency=np.ones((6, 6)), adjacency_role=role).fit(y, fh=[1])
    with pytest.raises(ValueError, match=r"adjacency lacks sensor 'm', and 0 more .*\. Name its rows and columns like"):
        listener(adjacency=MAP.iloc[:2, :2], adjacency_role=role).fit(y, fh=[1])


@pytest.mark.parametrize("columns", IRREGULAR.values(), ids=IRREGULAR)
def test_columns_that_are_no_product(columns):
    """Sensors must have the same variables to be listened to, as the error says with a way out, which works."""
    y = stations(columns=columns)
    message = (
        rf"y has {len(columns)} columns of {columns.nlevels} levels, but spatial_attention needs two, \(sensor, "
        r"variable\), .* Reindex the columns with pandas\.MultiIndex\.from_product\(\[sensors, variables\]\); NaN"
    )
    with pytest.raises(ValueError, match=message):
        listener().fit(y, fh=[1])
    if columns.nlevels == 2:
        model = listener().fit(y.reindex(columns=TWO_LEVELS), fh=[1, 2])
        assert np.isfinite(model.predict()).all(axis=None)
        assert model.sensor_graph_.shape == (3, 3)


def test_variable_that_a_sensor_lacks():
    """Its column of NaN is forecast as anything finite, and changes nothing of who is heard."""
    y = stations()
    y[("a", "rh")] = np.nan
    model = listener().fit(y, fh=[1, 2])
    assert np.isfinite(model.predict()).all(axis=None)
    assert (model.sensor_graph_ > 0).all(axis=None)


@pytest.mark.parametrize("mode", ["mixed", "independent"])
@pytest.mark.parametrize("columns", IRREGULAR.values(), ids=IRREGULAR)
def test_columns_that_are_no_product_are_read_one_by_one(columns, mode):
    """Where nobody listens they are forecast as those of one level are, in either mode."""
    y = stations(columns=columns)
    many_levels, one_level = (
        forecaster(regressor=small(channel_mode=mode)).fit(table, fh=[1, 2]).predict() for table in (y, flat(y))
    )
    pd.testing.assert_index_equal(many_levels.columns, columns)
    assert_array_equal(many_levels, one_level)


def test_levels_do_not_matter_where_all_is_read_at_once():
    """In mixed mode a product of columns is forecast as those of one level; if sensors have their own rows it is not.

    Nor is it if a level has a single variable.
    """
    y = stations()
    single = stations(columns=pd.MultiIndex.from_product([["z", "a", "m"], ["t"]]))
    for table, mode, same in ((y, "mixed", True), (y, "independent", False), (single, "independent", True)):
        models = [forecaster(regressor=small(channel_mode=mode)).fit(one, fh=[1, 2]) for one in (table, flat(table))]
        assert np.array_equal(*(model.predict().to_numpy() for model in models)) == same


@pytest.mark.parametrize("how", ROWS_OF_SENSORS.values(), ids=ROWS_OF_SENSORS)
@pytest.mark.parametrize("cycles", [{}, *CYCLES.values()], ids=["none", *CYCLES])
def test_panel_of_sensors_with_variables(how, cycles):
    """Fit, forecast, weights and update of a panel, with cycles and without."""
    y = shops_of_stations()
    model = listener(**how).set_params(**cycles).fit(y, fh=[1, 2])
    y_pred = model.predict()
    pd.testing.assert_index_equal(y_pred.columns, TWO_LEVELS)
    assert y_pred.index.tolist() == [
        ("north", pd.Timestamp("2021-04-11")),
        ("north", pd.Timestamp("2021-04-12")),
        ("south", pd.Timestamp("2021-04-08")),
        ("south", pd.Timestamp("2021-04-09")),
    ]
    if how == {}:
        spatial = model.attention_weights(kind="spatial")
        assert spatial.index.tolist() == [(shop, name) for shop in ("north", "south") for name in ("z", "a", "m")]
        assert spatial.columns.tolist() == ["z", "a", "m"]
        assert model.sensor_graph_.shape == (3, 3)
    before = weights(model)
    after = {"north": stations(N + AFTER).iloc[N:], "south": stations(N + AFTER).iloc[N - 3 : N] - 5}
    model.update(pd.concat(after, names=["shop"]))
    assert not np.allclose(weights(model), before)
    later = model.predict(fh=[1, 2])
    pd.testing.assert_index_equal(later.columns, TWO_LEVELS)
    assert later.index.get_level_values("day")[[0, 2]].tolist() == [
        pd.Timestamp("2021-04-18"),
        pd.Timestamp("2021-04-11"),
    ]
    assert np.isfinite(later).all(axis=None)


def test_cycles_of_variables():
    """A cycle of a week in one variable goes on in the forecasts of that variable, of each sensor its own."""
    y = 0.01 * stations(140)
    week = np.tile([0.0, 30.0, -10.0, -40.0, 20.0, 10.0, -10.0], 20)
    y[("a", "t")] += week
    model = listener().set_params(periods=[7]).fit(y, fh=range(1, 8))
    y_pred = model.predict()
    assert_allclose(y_pred[("a", "t")] - y_pred[("a", "t")].mean(), week[:7], atol=3)
    assert abs(y_pred.drop(columns=[("a", "t")]) - 0.01 * stations(140).iloc[-1]).max(axis=None) < 5


def test_drivers_beside_two_levels():
    """Drivers of two levels are heard by all sensors, and are none."""
    X = drivers().set_axis(pd.MultiIndex.from_tuples([("sky", "sun"), ("sky", "wind")]), axis=1)
    model = listener().fit(stations(), X=X[:N], fh=[1, 3])
    assert model.sensor_graph_.columns.tolist() == ["z", "a", "m"]
    network = model.regressor_.network_.config
    assert (network["n_channels"], network["n_targets"], network["n_variables"], network["n_future"]) == (8, 6, 2, 2)
    y_pred = model.predict(X=X)
    changed = X.copy()
    changed.iloc[N + 2] += 1
    moved = model.predict(X=changed)
    pd.testing.assert_index_equal(moved.columns, TWO_LEVELS)
    assert (moved != y_pred).any(axis=1).tolist() == [False, True]
    model.update(stations(N + 2)[N:], X=X)
    assert np.isfinite(model.predict(fh=[1, 2], X=X)).all(axis=None)


def test_drivers_of_one_level_beside_two_levels():
    """Drivers may have fewer levels than the sensors: they are the same as with two."""
    X = drivers()
    two = X.set_axis(pd.MultiIndex.from_product([["sky"], X.columns]), axis=1)
    expected, found = (listener().fit(stations(), X=one[:N], fh=[1, 3]).predict(X=one) for one in (two, X))
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("how", ROWS_OF_SENSORS.values(), ids=ROWS_OF_SENSORS)
def test_sensors_with_variables_are_a_forecaster(how):
    """It is pickled, copied, cloned and updated like every other, and recursion goes beyond the horizon."""
    y = stations(N + AFTER)
    model = listener(attention_noise=0.5, dropout=0.2, n_members=2, **how).fit(y[:N], fh=[1, 2])
    for other in (pickle.loads(pickle.dumps(model)), deepcopy(model), model.clone().fit(y[:N], fh=[1, 2])):
        pd.testing.assert_frame_equal(other.predict(), model.predict())
        if how == {}:
            pd.testing.assert_frame_equal(other.sensor_graph_, model.sensor_graph_)
            one, same = (m.attention_weights(kind="spatial", per_head=True) for m in (other, model))
            pd.testing.assert_frame_equal(one, same)
    before = weights(model)
    model.update(y[N:], update_params=True)
    assert not np.allclose(weights(model), before)
    y_pred = model.predict(fh=FULL)
    assert y_pred.shape == (AFTER, 6)
    assert np.isfinite(y_pred).all(axis=None)
    with pytest.raises(ValueError, match=r"y has columns .* but fit was given .* Pass the same ones"):
        model.update(y.iloc[-1:, ::-1])


def test_columns_of_two_levels_in_a_pipeline():
    """sktime's pipelines hand the frames through as they are."""
    twice = FunctionTransformer(lambda y: 2 * y, lambda y: y / 2)
    pipeline = TransformedTargetForecaster([("twice", twice), ("forecaster", listener())])
    y_pred = pipeline.fit(stations(), fh=[1, 2]).predict()
    assert_allclose(y_pred, listener().fit(stations(), fh=[1, 2]).predict(), rtol=1e-5)
    assert y_pred.columns.tolist() == TWO_LEVELS.tolist()


def test_weights_of_columns_that_are_no_sensors():
    """Columns of two levels that are no product, and of three, have weights over time and channels as any others."""
    values = np.random.default_rng(0).normal(size=(41, 3))
    for columns in ([("a", "t"), ("a", "rh"), ("b", "t")], [("a", "t", 1), ("a", "t", 2), ("b", "t", 1)]):
        y = pd.DataFrame(values, columns=pd.MultiIndex.from_tuples(columns))
        model = AttentionLSTMForecaster(AttentionLSTMRegressor(max_epochs=1), window_length=5).fit(y, fh=[1])
        weights = model.attention_weights()
        assert weights.shape == (1, 5)
        assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
