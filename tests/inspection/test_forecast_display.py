"""Forecasts are drawn from where they join the history, with the attention under it."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose

from skattn import AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.inspection import ForecastDisplay

L, H = 5, 7
SMALL = dict(hidden_size=4, embedding_dim=4, attention_dim=4, max_epochs=2, random_state=0)
INDICES = {
    "periods": pd.period_range("2020-01", periods=36, freq="M", name="month"),
    "dates": pd.date_range("2024-03-09", periods=36, freq="h", tz="Asia/Tokyo"),
    "trading days": pd.bdate_range("2024-03-09", periods=36),
    "numbers": pd.RangeIndex(36),
}


@pytest.fixture(scope="module")
def series():
    """A monthly series of two years."""
    return pd.Series(np.sin(np.arange(29.0)), INDICES["periods"][:29], name="load")


@pytest.fixture(scope="module")
def forecaster(series):
    """Fitted, with one query per step ahead."""
    regressor = AttentionLSTMRegressor(**SMALL, attention_position="state")
    return AttentionLSTMForecaster(regressor, window_length=L).fit(series, fh=range(1, H + 1))


def example(index, n_rows=H):
    """A display of 29 steps, a forecast of 7 and attention on the last 5."""
    history = pd.Series(np.arange(29.0), index[:29])
    weights = np.random.default_rng(0).dirichlet(np.ones(L), size=n_rows)
    rows = index[29:36] if n_rows == H else None
    weights = pd.DataFrame(weights, rows, columns=history.index[-L:])
    return ForecastDisplay(history, {"net": pd.Series(np.ones(H), index[29:36])}, weights=weights)


def test_forecast_display(forecaster, series):
    """History, truth and forecast are drawn from where they join."""
    truth = pd.Series(np.arange(3.0), pd.period_range("2022-06", periods=3, freq="M"))
    display = ForecastDisplay.from_estimator(forecaster, series, truth=truth).plot(n_history=11)
    history, drawn_truth, forecast, _ = display.ax_.lines
    assert_allclose(history.get_ydata(), series[-11:])
    assert_allclose(drawn_truth.get_ydata(), [series.iloc[-1], 0, 1, 2])
    assert_allclose(forecast.get_ydata(), [series.iloc[-1], *forecaster.predict()])
    assert display.ax_.get_ylabel() == "load"
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()][-1] == "AttentionLSTMForecaster"
    assert display.strip_ax_ is None
    assert list(display.lines_) == ["history", "truth", "AttentionLSTMForecaster"]


def test_attention_of_the_forecaster(forecaster, series):
    """Attention is computed where it is asked for, and shown under the dates that were looked at."""
    assert ForecastDisplay.from_estimator(forecaster, series).weights is None
    display = ForecastDisplay.from_estimator(forecaster, series, attention="temporal").plot()
    assert_allclose(display.weights, forecaster.attention_weights())
    assert display.strip_ax_.has_data()


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_strip_lies_under_the_dates(index):
    """Each cell is around the date in the history above; dates that were not looked at have none."""
    display = example(index).plot(n_history=13)
    mesh = display.strip_ax_.collections[0]
    drawn = mesh.get_array()
    assert drawn.shape == (H, 13)
    assert drawn[:, :8].mask.all()
    assert_allclose(drawn[:, 8:], display.weights)
    edges = mesh.get_coordinates()[0, :, 0]
    places = display.lines_["history"].get_xdata(orig=False)
    assert (edges[:-1] < places).all()
    assert (places < edges[1:]).all()
    assert display.strip_ax_.get_xlim() == display.ax_.get_xlim()
    assert display.strip_ax_.yaxis_inverted()


def test_long_horizons_show_the_mean():
    """Of more than 12 rows, the strip is the mean."""
    display = example(INDICES["numbers"], n_rows=13).plot(n_history=L)
    assert_allclose(display.strip_ax_.collections[0].get_array(), display.weights.mean().to_frame().T)


def test_history_is_as_long_as_what_was_looked_at():
    """Unless told otherwise, all of what was looked at is shown."""
    index = INDICES["numbers"]
    history = pd.Series(np.arange(29.0), index[:29])
    weights = pd.DataFrame(np.full((1, 27), 1 / 27), columns=index[2:29])
    display = ForecastDisplay(history, {"net": pd.Series(1.0, index[29:30])}, weights=weights).plot()
    assert_allclose(display.lines_["history"].get_xdata(), index[2:29])


def test_one_step_of_history():
    """One step is enough for a cell."""
    display = example(INDICES["numbers"]).plot(n_history=1)
    assert_allclose(display.strip_ax_.collections[0].get_coordinates()[0, :, 0], [27.5, 28.5])


@pytest.mark.parametrize("kind", ["subplot", "constrained", "free"])
def test_axes_of_the_user(kind):
    """The strip takes the lower part of the place of the axes that are given, and no other's."""
    figure = plt.figure(layout="constrained" if kind == "constrained" else None)
    ax = figure.add_axes([0.2, 0.1, 0.5, 0.6]) if kind == "free" else figure.subplots(1, 2)[1]
    figure.canvas.draw()
    before = ax.get_position()
    display = example(INDICES["periods"]).plot(ax=ax)
    figure.canvas.draw()
    upper, lower = ax.get_position(), display.strip_ax_.get_position()
    assert display.ax_ is ax
    assert plt.get_fignums() == [figure.number]
    assert lower.y1 < upper.y0
    assert_allclose([lower.x0, lower.x1], [upper.x0, upper.x1])
    if kind != "constrained":  # which also makes room for names
        assert_allclose([lower.x0, lower.y0, upper.x1, upper.y1], before.extents)


def test_attention_on_other_dates_is_an_error():
    """Weights over lags or channels fit under no history, and no figure is left behind."""
    display = example(INDICES["periods"])
    display.weights.columns = range(L)
    said = r"weights has 5 columns, such as 0, that are no dates of the history, but each of its 5 must be one. Pass"
    with pytest.raises(ValueError, match=said):
        display.plot()
    assert not plt.get_fignums()


def test_legend_covers_no_line():
    """The legend has room of its own above what is drawn."""
    display = example(INDICES["periods"]).plot()
    display.figure_.canvas.draw()
    legend = display.ax_.get_legend().get_window_extent()
    highest = display.ax_.transData.transform((0, 28))[1]
    assert highest < legend.y0
