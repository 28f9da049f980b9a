"""Tests of `SensorDisplay`: what a map and a matrix show of a graph."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose, assert_array_equal

from skattn import AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.inspection import AttentionDisplay, SensorDisplay

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture
def graph():
    """Everyone listens to itself; b listens to d the most, then e to a; all else is less than even."""
    weights = np.full((5, 5), 0.05) + 0.8 * np.eye(5)
    weights[:, 1], weights[:, 4] = [0.05, 0.15, 0.05, 0.7, 0.05], [0.4, 0.05, 0.05, 0.05, 0.45]
    return pd.DataFrame(weights, pd.Index(NAMES, name="sensor"), pd.Index(NAMES, name="listener"))


PLACES = np.array([[50.0, 1], [51, 2], [52, 3], [53, 4], [54, 5.5]])


def test_map_draws_the_edges_that_are_more_than_even(graph):
    """The strongest first, never a sensor to itself, at most so many."""
    display = SensorDisplay(graph, PLACES).plot()
    assert display.edges_.to_numpy().tolist() == [["d", "b", 0.7], ["a", "e", 0.4]]
    assert SensorDisplay(graph, PLACES).plot(most_edges=1).edges_["sensor"].tolist() == ["d"]
    arrows = [text for text in display.ax_.texts if text.arrow_patch is not None]
    assert [(*text.xyann, *text.xy) for text in arrows] == [(4, 53, 2, 51), (1, 50, 5.5, 54)]
    widths = [text.arrow_patch.get_linewidth() for text in arrows]
    assert widths[0] > widths[1]


def test_map_has_its_places_on_the_earth_or_in_a_plane(graph):
    """Longitude runs along the x-axis, a degree of it as long as it is there; a plane is drawn as it is."""
    earth = SensorDisplay(graph, PLACES).plot().ax_
    assert_allclose(earth.collections[0].get_offsets(), PLACES[:, ::-1])
    assert earth.get_aspect() == pytest.approx(1 / np.cos(np.radians(52)))
    plane = SensorDisplay(graph, PLACES, metric="euclidean").plot().ax_
    assert_allclose(plane.collections[0].get_offsets(), PLACES)
    assert plane.get_aspect() == 1
    assert {text.get_text() for text in plane.texts} >= set(NAMES)


def test_coordinates_are_matched_by_name(graph):
    """The index of a frame says whose they are."""
    frame = pd.DataFrame(PLACES, NAMES)[::-1]
    assert_allclose(SensorDisplay(graph, frame).plot().ax_.collections[0].get_offsets(), PLACES[:, ::-1])


@pytest.mark.parametrize("coordinates", [None, PLACES[[0, 3, 1, 4, 2]]])
def test_matrix_puts_together_what_belongs_together(graph, coordinates):
    """Those that are near each other, or listen to each other: a row per listener."""
    display = SensorDisplay(graph, coordinates).plot(style="matrix")
    order = [label.get_text() for label in display.ax_.get_xticklabels()]
    neighbours = {frozenset(pair) for pair in pairwise(order)}
    wanted = [{"d", "b"}, {"a", "e"}] if coordinates is None else [{"a", "c"}, {"c", "e"}, {"e", "b"}, {"b", "d"}]
    assert all(frozenset(pair) in neighbours for pair in wanted)
    shown = display.ax_.images[0].get_array()
    assert_array_equal(shown, graph.loc[order, order].T)
    assert display.ax_.get_ylabel() == "listener"


def test_few_sensors():
    """Two sensors, or one, have no order."""
    for n in (1, 2):
        graph = pd.DataFrame(np.full((n, n), 1 / n), NAMES[:n], NAMES[:n])
        assert SensorDisplay(graph).plot().ax_.images[0].get_array().shape == (n, n)
        assert SensorDisplay(graph, PLACES[:n]).plot().edges_.empty


@pytest.mark.parametrize("style", ["matrix", "map"])
def test_axes_of_the_user(graph, style):
    """They are drawn on, and nothing else is."""
    ax = plt.subplots()[1]
    display = SensorDisplay(graph, PLACES).plot(ax, style)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert plt.get_fignums() == [ax.figure.number]


@pytest.mark.parametrize(
    ("coordinates", "style", "message"),
    [
        (None, "map", "style='map' with coordinates=none"),
        (PLACES, "net", "style='net' with coordinates=given"),
        (PLACES[:4], None, r"coordinates has shape \(4, 2\) but 5 sensors need \(5, 2\)"),
    ],
)
def test_what_cannot_be_drawn(graph, coordinates, style, message):
    """The error says what is needed."""
    with pytest.raises(ValueError, match=message):
        SensorDisplay(graph, coordinates).plot(style=style)


def test_one_forecast():
    """The weights of the end of a series, turned to be laid out as the graph is."""
    y = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("zam"))
    regressor = AttentionLSTMRegressor(spatial_attention="dot", hidden_size=3, embedding_dim=3, max_epochs=1)
    forecaster = AttentionLSTMForecaster(regressor, window_length=4, random_state=0).fit(y, fh=[1, 2])
    weights = forecaster.attention_weights(kind="spatial")
    pd.testing.assert_frame_equal(SensorDisplay.from_estimator(forecaster).graph, weights.T)
    pd.testing.assert_frame_equal(
        SensorDisplay.from_estimator(forecaster, y[:30]).graph, forecaster.attention_weights(y[:30], kind="spatial").T
    )
    assert AttentionDisplay(weights).plot().style_ == "matrix"


def test_mean_of_windows():
    """Of a regressor, the mean over the windows given: a row per sensor, a column per listener, drawn as a matrix."""
    X = np.random.default_rng(0).normal(size=(61, 5, 3, 2)).astype(np.float32)
    y = np.roll(X[:, -1, :, 0], 1, axis=1)  # that of the sensor before
    options = dict(attention=None, linear_skip=False, hidden_size=7, embedding_dim=8, lr=0.05, max_epochs=30)
    model = AttentionLSTMRegressor(spatial_attention="general", batch_size=16, random_state=0, **options).fit(X, y)
    display = SensorDisplay.from_estimator(model, X=X[:17], coordinates=PLACES[:3], metric="euclidean")
    weights = model.attention_weights(X[:17], kind="spatial")  # a table for each window, a row per listener
    assert weights.shape == (17, 3, 3)
    assert_allclose(display.graph, weights.mean(0).T, rtol=1e-6)
    assert_allclose(display.graph.sum(), 1, rtol=1e-5)
    assert display.graph.idxmax().tolist() == [2, 0, 1]
    edges = display.plot(most_edges=3).edges_
    assert sorted(zip(edges["sensor"], edges["listener"], strict=True)) == [(0, 1), (1, 2), (2, 0)]
    shown = SensorDisplay.from_estimator(model, X=X[:17]).plot().ax_.images[0].get_array()
    assert sorted(shown.ravel()) == sorted(display.graph.to_numpy().ravel())
