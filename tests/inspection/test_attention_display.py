"""Attention is computed apart from drawing, and what is drawn are the weights."""

import pickle
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose
from skorch.callbacks import Freezer

from skattn import AttentionLSTMClassifier, AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.inspection import AttentionDisplay

N, L, C, H = 67, 5, 3, 7
SMALL = dict(hidden_size=4, embedding_dim=4, attention_dim=4, max_epochs=2, random_state=0)


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


def table(n_rows, columns, index=None):
    """Weights of as many rows as said."""
    weights = np.random.default_rng(0).dirichlet(np.ones(len(columns)), size=n_rows)
    return pd.DataFrame(weights, index, columns)


def named(size):
    """Names of channels."""
    return pd.Index([f"c{number}" for number in range(size)], name="channel")


def texts(labels):
    """What labels say, but for empty ones."""
    return [label.get_text() for label in labels if label.get_text()]


# ------------------------------------------------------------------------------------------------------ computing


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
    assert channels.ax_.get_ylabel() == "channel"


def test_weights_of_sensors_are_for_another_display():
    """A regressor has a table of sensors for each window: the error names the display that draws their mean."""
    X = np.random.default_rng(0).normal(size=(N, L, C, 2)).astype(np.float32)
    model = AttentionLSTMRegressor(**SMALL, spatial_attention="general").fit(X, X[:, 0, :, 0])
    message = r"kind='spatial' has a table .* one table is drawn\. Use SensorDisplay\.from_estimator\(estimator, X=X\)"
    with pytest.raises(ValueError, match=message):
        AttentionDisplay.from_estimator(model, X=X, kind="spatial")
    assert AttentionDisplay.from_estimator(model, X=X).weights.shape == (N, L)


def test_names_of_channels(windows):
    """The channels of an array are given names, one for each."""
    model = AttentionLSTMRegressor(**SMALL, channel_attention="dot").fit(*windows)
    display = AttentionDisplay.from_estimator(model, windows[0], kind="channel", names=["wind", "sun", "rain"])
    assert display.weights.columns.equals(pd.Index(["wind", "sun", "rain"], name="channel"))
    assert_allclose(display.weights, model.attention_weights(windows[0], kind="channel"))
    with pytest.raises(ValueError, match=r"names has 2 entries but the weights are of 3 channels. Name each of them."):
        AttentionDisplay.from_estimator(model, windows[0], kind="channel", names=["wind", "sun"])


def test_attention_of_steps_and_channels(windows):
    """Pairs of a step and a channel are a map of their mean; profile and bars sum up one of the two."""
    model = AttentionLSTMRegressor(**SMALL, channel_attention="dot").fit(*windows)
    weights = model.attention_weights(windows[0], kind="joint")
    display = AttentionDisplay.from_estimator(model, windows[0], kind="joint", names=["wind", "sun", "rain"])
    assert display.weights.columns.names == ["lag", "channel"]
    assert_allclose(display.weights[-1, "rain"], weights[:, 3, 2])
    ax = display.plot().ax_
    assert_allclose(ax.images[0].get_array(), weights.mean(0).T, rtol=1e-6)
    assert texts(ax.get_yticklabels()) == ["wind", "sun", "rain"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("lag (0 is the newest step)", "channel")
    assert_allclose(display.plot(style="profile").ax_.lines[0].get_ydata(), weights.sum(2).mean(0), rtol=1e-6)
    bars = [bar.get_width() for bar in display.plot(style="bars").ax_.patches]
    assert_allclose(bars, np.sort(weights.sum(1).mean(0))[::-1], rtol=1e-6)


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


# -------------------------------------------------------------------------------------------------------- drawing


@pytest.mark.parametrize(
    ("weights", "style"),
    [
        (table(60, range(L)), "map"),
        (table(61, range(L)), "profile"),
        (table(1, range(L)), "profile"),
        (table(61, named(C)), "bars"),
        (table(1, ["wind", "sun"]), "bars"),
        (table(2, named(C)), "map"),
        (table(C, named(C), named(C)), "matrix"),
    ],
)
def test_style_fits_the_weights(weights, style):
    """Without a style, many rows are summed up, and channels are bars or a matrix."""
    assert AttentionDisplay(weights).plot().style_ == style


def test_unknown_style_is_an_error():
    """The error names the styles, and no figure is left behind."""
    said = r"style='pie' is unknown: one of map, profile, bars, matrix is needed. Use None to have it chosen."
    with pytest.raises(ValueError, match=said):
        AttentionDisplay(table(2, range(L))).plot(style="pie")
    assert not plt.get_fignums()


def test_matrix_of_other_shape_is_an_error():
    """A matrix has as many rows as columns."""
    said = r"weights has 7 rows and 5 columns, but style='matrix' needs as many of both. Use style='map'."
    with pytest.raises(ValueError, match=said):
        AttentionDisplay(table(7, range(L))).plot(style="matrix")
    assert not plt.get_fignums()


@pytest.mark.parametrize("style", ["map", "profile", "bars", "matrix"])
def test_axes_of_the_user(style):
    """A display draws on the axes it is given, and makes no figure of its own."""
    figure, (left, right) = plt.subplots(1, 2)
    display = AttentionDisplay(table(C, named(C), named(C))).plot(ax=right, style=style)
    assert display.ax_ is right
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    assert right.has_data()
    assert not left.has_data()


def test_profile_draws_mean_and_spread():
    """The line is the mean over the windows, the band the middle 80 % of them, the dots the even share."""
    weights = table(N, range(L))
    display = AttentionDisplay(weights).plot()
    mean, even = display.ax_.lines
    assert_allclose(mean.get_ydata(), weights.mean())
    assert_allclose(even.get_ydata(), 1 / 5)
    band = display.ax_.collections[0].get_paths()[0].vertices[:, 1]
    assert_allclose([band.min(), band.max()], [weights.quantile(0.1).min(), weights.quantile(0.9).max()])
    assert texts(display.ax_.get_legend().get_texts()) == ["middle 80 %", "mean", "even"]


def test_map_draws_every_row(forecaster):
    """A forecast's map has a row per date ahead and a column per past date, as named."""
    display = AttentionDisplay.from_estimator(forecaster)
    ax = plt.figure().add_subplot()
    assert display.plot(ax=ax).ax_ is ax
    assert_allclose(ax.images[0].get_array(), display.weights)
    assert texts(ax.get_yticklabels()) == ["2022 Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    assert texts(ax.get_xticklabels()) == ["Jan\n2022", "Feb", "Mar", "Apr", "May"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("looked at", "forecast for")


def test_map_of_channels_runs_along_time():
    """Channels lie along the y-axis, so that dates run from left to right and names are read without turning."""
    weights = table(11, named(C), pd.period_range("2001Q2", periods=11, freq="Q"))
    ax = AttentionDisplay(weights).plot(style="map").ax_
    assert_allclose(ax.images[0].get_array(), weights.T)
    assert texts(ax.get_yticklabels()) == ["c0", "c1", "c2"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("date", "channel")


def test_map_of_a_panel_names_each_series_once():
    """A name stands in the middle of its rows, and a line parts it from the next."""
    weights = pd.concat([table(7, range(L)), table(5, range(L))], keys=["north", "south"], names=["site"])
    ax = AttentionDisplay(weights).plot().ax_
    assert dict(zip(texts(ax.get_yticklabels()), ax.get_yticks(), strict=True)) == {"north": 3, "south": 9}
    assert ax.get_ylabel() == "site"
    assert_allclose(ax.lines[0].get_ydata(), 6.5)


def test_colours_start_at_zero():
    """The lightest colour is zero, the darkest the largest weight; the even share is marked."""
    weights = table(7, range(L))
    display = AttentionDisplay(weights).plot()
    assert display.ax_.images[0].get_clim() == (0, weights.max().max())
    assert_allclose(display.colorbar_.ax.lines[0].get_ydata(), 1 / 5)
    assert "even" in texts(display.colorbar_.ax.get_yticklabels())
    assert display.colorbar_.extend == "neither"


def test_one_weight_far_out_hides_no_other():
    """A single cell that no other comes near is beyond the colours, and the bar says so."""
    weights = pd.DataFrame(np.full((23, 13), 1 / 13))
    weights.iloc[5] = [1.0] + 12 * [0.0]
    display = AttentionDisplay(weights).plot()
    assert display.ax_.images[0].get_clim() == pytest.approx((0, 1 / 13))
    assert display.colorbar_.extend == "max"


def test_bars_draw_mean_and_spread():
    """The longest bar is on top; the line through it is the middle 80 % of the rows."""
    weights = pd.DataFrame([[0.1, 0.6, 0.3], [0.2, 0.7, 0.1], [0.3, 0.5, 0.2]], columns=named(3))
    ax = AttentionDisplay(weights).plot(style="bars").ax_
    assert texts(ax.get_yticklabels()) == ["c1", "c0", "c2"]
    assert_allclose([bar.get_width() for bar in ax.patches], [0.6, 0.2, 0.2])
    assert_allclose(ax.collections[0].get_segments()[0], [[0.52, 0], [0.68, 0]])  # of 0.5, 0.6 and 0.7
    assert ax.yaxis_inverted()
    assert_allclose(ax.lines[0].get_xdata(), 1 / 3)


def test_many_bars_end_in_the_mean_of_the_others():
    """Twenty channels have bars, and the others share one."""
    weights = table(7, named(37))
    ax = AttentionDisplay(weights).plot(style="bars").ax_
    assert texts(ax.get_yticklabels())[-1] == "17 others (mean)"
    widths = [bar.get_width() for bar in ax.patches]
    assert len(widths) == 21
    assert_allclose(widths[-1], weights.mean().nsmallest(17).mean())


@pytest.mark.parametrize(("size", "printed"), [(3, True), (31, False)])
def test_matrix(size, printed):
    """Cells are square and named on both sides; few hold their weight in print, many have a colour bar."""
    weights = table(size, named(size), named(size))
    display = AttentionDisplay(weights).plot()
    ax = display.ax_
    assert_allclose(ax.images[0].get_array(), weights)
    assert ax.get_aspect() == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("looked at", "channel")
    assert (display.colorbar_ is None) == printed
    assert texts(ax.texts) == ([f"{weight:.2f}" for weight in weights.to_numpy().ravel()] if printed else [])
    assert texts(ax.get_yticklabels())[0] == "c0"


def drawn_names(columns, inches=3.3):
    """Names under a profile as wide as a column of print."""
    with plt.rc_context({"font.size": 8}):
        ax = plt.figure(figsize=(inches, 2)).add_subplot()
        AttentionDisplay(table(1, columns)).plot(ax=ax, style="profile")
    return dict(zip(ax.get_xticks(), texts(ax.get_xticklabels()), strict=True))


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (pd.RangeIndex(-35, 1, name="lag"), {5: "−30", 15: "−20", 25: "−10", 35: "0"}),
        (pd.period_range("1957-03", periods=25, freq="M"), {1: "Apr\n1957", 4: "Jul", 7: "Oct", 10: "Jan\n1958"}),
        (pd.period_range("1951-03", periods=96, freq="M"), {10: "1952", 34: "1954", 58: "1956", 82: "1958"}),
        (pd.period_range("2001Q2", periods=5, freq="Q"), {0: "Q2\n2001", 1: "Q3", 2: "Q4", 3: "Q1\n2002", 4: "Q2"}),
        (pd.date_range("2024-01-30", periods=61), {6: "5\nFeb 2024", 13: "12", 34: "4\nMar 2024"}),
        (pd.date_range("2024-03-09 05:10", periods=40, freq="10min"), {5: "06:00\n9 Mar", 23: "09:00"}),
        (pd.date_range("2024-03-09 05:00", periods=72, freq="h", tz="Asia/Tokyo"), {19: "10\nMar 2024", 43: "11"}),
        (pd.Index(["wind", "sun"]), {0: "wind", 1: "sun"}),
    ],
)
def test_ticks_are_round(columns, names):
    """Ticks stand at round lags, or where a year, month, week or hour begins; the larger is named where it changes."""
    drawn = drawn_names(columns)
    assert drawn | names == drawn


@pytest.mark.parametrize("inches", [2, 3.3, 7, 14])
@pytest.mark.parametrize("columns", [pd.period_range("1957-03", periods=36, freq="M"), pd.RangeIndex(-96, 1)])
def test_names_never_touch(columns, inches):
    """Whatever the width, the boxes of neighbouring names leave a gap."""
    drawn_names(columns, inches)
    figure = plt.gcf()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert len(boxes) > 1
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_ticks_follow_the_size():
    """Axes that a layout or a user widens get more names."""
    few = drawn_names(pd.RangeIndex(-35, 1))
    figure = plt.gcf()
    figure.set_size_inches(14, 2)
    many = texts(figure.axes[0].get_xticklabels())
    assert len(many) > len(few)
    assert set(few.values()) < set(many)


def test_figures_can_be_pickled():
    """A figure comes back with its names."""
    display = AttentionDisplay(table(7, pd.RangeIndex(-4, 1, name="lag"))).plot()
    figure = pickle.loads(pickle.dumps(display.figure_))
    assert texts(figure.axes[0].get_xticklabels()) == ["−4", "−3", "−2", "−1", "0"]


def test_long_names_are_turned():
    """Names without room side by side are turned, and all are there."""
    names = named(11).map(lambda name: f"sensor {name}")
    ax = AttentionDisplay(table(11, names, names)).plot().ax_
    assert texts(ax.get_xticklabels()) == names.tolist()
    assert ax.get_xticklabels()[0].get_rotation() == 45
