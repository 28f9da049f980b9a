"""Displays compute apart from drawing, and draw what they computed."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose
from skorch.callbacks import Freezer

from skattn import AttentionLSTMClassifier, AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.inspection import AttentionDisplay, ForecastDisplay, HistoryDisplay

matplotlib.use("Agg")
N, L, C, H = 67, 5, 3, 7
SMALL = dict(hidden_size=4, embedding_dim=4, attention_dim=4, max_epochs=2, random_state=0)


@pytest.fixture(autouse=True)
def closed():
    """Leave no figure open."""
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def windows():
    """Windows and a target."""
    X = np.random.default_rng(0).normal(size=(N, L, C)).astype(np.float32)
    return X, X[:, 2, 1]


@pytest.fixture(scope="module")
def series():
    """A monthly series of two years."""
    index = pd.period_range("2020-01", periods=29, freq="M", name="month")
    return pd.Series(np.sin(np.arange(29.0)), index, name="load")


@pytest.fixture(scope="module")
def forecaster(series):
    """Fitted, with one query per step ahead."""
    regressor = AttentionLSTMRegressor(**SMALL, attention_position="state", num_heads=2, channel_attention="dot")
    return AttentionLSTMForecaster(regressor, window_length=L).fit(series, fh=range(1, H + 1))


def test_attention_of_windows(windows):
    """A row per window and a column per lag; those of missing steps are zero."""
    X, y = windows
    model = AttentionLSTMRegressor(**SMALL, num_heads=2, channel_attention="additive").fit(X, y)
    holed = X.copy()
    holed[3, 1] = np.nan
    display = AttentionDisplay.from_estimator(model, holed)
    assert display.weights.shape == (N, L)
    assert display.weights.columns.tolist() == [-4, -3, -2, -1, 0]
    assert_allclose(display.weights.sum(axis=1), 1, rtol=1e-5)
    assert display.weights.iloc[3, 1] == 0
    assert_allclose(display.weights, model.attention_weights(holed, per_head=True).mean(1), rtol=1e-6)
    channels = AttentionDisplay.from_estimator(model, X, kind="channel").plot()
    assert channels.weights.shape == (N, C)
    assert channels.ax_.get_xlabel() == "channel"


def test_attention_of_a_frame():
    """Weights of a frame carry its index."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(N, L)), index=pd.date_range("2024-01-01", periods=N))
    y = np.arange(N) % 2
    weights = AttentionLSTMClassifier(**SMALL).fit(X.to_numpy(), y).attention_weights(X)
    assert weights.index.equals(X.index)
    assert weights.columns.name == "lag"


@pytest.mark.parametrize("seed", [0, 1])
def test_a_planted_lag_is_found(seed):
    """Where one step of independent values matters, attention on the inputs finds it, by the places alone."""
    X = np.random.default_rng(seed).normal(size=(600, 11, C)).astype(np.float32)
    options = dict(attention_position="both", linear_skip=False, max_epochs=40, random_state=seed)
    model = AttentionLSTMRegressor(**options).fit(X, X[:, 7, 0])
    assert model.attention_weights(X, kind="input").mean(0)[7] > 0.9
    model.set_params(callbacks=[Freezer("embedding.place")]).fit(X, X[:, 7, 0])
    assert_allclose(model.attention_weights(X, kind="input").mean(0), 1 / 11, atol=0.03)


@pytest.mark.parametrize(("kind", "said"), [("state", "without state attention"), ("foo", "kind='foo' is unknown")])
def test_attention_that_is_not_there(windows, kind, said):
    """The error says which kinds there are, or what to fit."""
    model = AttentionLSTMRegressor(**SMALL).fit(*windows)
    with pytest.raises(ValueError, match=said):
        model.attention_weights(windows[0], kind=kind)


def test_profile_draws_mean_and_spread(windows):
    """The line is the mean over the windows, the band the middle 80 % of them."""
    weights = pd.DataFrame(np.random.default_rng(0).dirichlet(np.ones(L), size=N))
    display = AttentionDisplay(weights).plot()
    assert display.figure_ is display.ax_.figure
    assert_allclose(display.ax_.lines[0].get_ydata(), weights.mean())
    band = display.ax_.collections[0].get_paths()[0].vertices[:, 1]
    assert_allclose([band.min(), band.max()], [weights.quantile(0.1).min(), weights.quantile(0.9).max()])


def test_map_draws_every_row(forecaster):
    """A forecast's map has a row per date ahead and a column per past date, as named."""
    display = AttentionDisplay.from_estimator(forecaster)
    ax = plt.figure().add_subplot()
    assert display.plot(ax=ax).ax_ is ax
    assert_allclose(ax.images[0].get_array(), display.weights)
    assert [label.get_text() for label in ax.get_yticklabels()] == [f"2022-{month:02}" for month in range(6, 13)]
    assert [label.get_text() for label in ax.get_xticklabels()][-1] == "2022-05"


def test_attention_of_a_forecaster(forecaster, series):
    """Rows are the forecast's dates, columns the dates of the last window; heads and channels have names."""
    weights = forecaster.attention_weights()
    assert weights.index.equals(pd.period_range("2022-06", periods=H, freq="M"))
    assert weights.columns.equals(series.index[-L:])
    heads = forecaster.attention_weights(per_head=True)
    assert heads.index.names == ["head", "month"]
    assert_allclose((heads.loc[0] + heads.loc[1]) / 2, weights, rtol=1e-6)
    assert forecaster.attention_weights(kind="channel").columns.tolist() == ["load"]


def test_attention_of_a_panel_with_drivers(series):
    """Each series has rows under its name, over lags; drivers are channels."""
    names = ["north", "south", "west"]
    y = pd.concat([series * k for k in (1, 2, 3)], keys=names, names=["site"]).to_frame()
    X = y.rename(columns={"load": "wind"}) + 1
    regressor = AttentionLSTMRegressor(**SMALL, channel_attention="dot")
    model = AttentionLSTMForecaster(regressor, window_length=L).fit(y, X=X, fh=[1, 2])
    weights = model.attention_weights()
    assert weights.index.get_level_values("site").tolist() == names
    assert weights.columns.tolist() == [-4, -3, -2, -1, 0]
    assert model.attention_weights(kind="channel").columns.tolist() == ["load", "wind"]


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


@pytest.mark.parametrize("early_stopping", [False, True])
def test_history_display(windows, early_stopping):
    """The losses of the history, and the best epoch where windows were held out."""
    model = AttentionLSTMRegressor(**SMALL | {"max_epochs": 5}, early_stopping=early_stopping).fit(*windows)
    display = HistoryDisplay.from_estimator(model).plot()
    assert_allclose(display.ax_.lines[0].get_ydata(), model.history_["train_loss"])
    assert len(display.ax_.lines) == (3 if early_stopping else 1)
    if early_stopping:
        assert display.ax_.lines[2].get_xdata()[0] == model.history_["valid_loss"].argmin() + 1
