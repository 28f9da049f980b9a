"""`SensorDisplay`: which sensors listen to which, on a map or as a matrix."""

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from skattn.inspection.attention import AttentionDisplay
from skattn.inspection.drawing import CMAP, COLOURS, FAINT, INK, lighten, make_axes

MOST_ARROWS = 150
MOST_NAMES = 40


class SensorDisplay:
    """Sensors and which of them listen to which: where they lie, or as a matrix with those that are near side by side.

    Parameters
    ----------
    graph : pandas.DataFrame of shape (n_sensors, n_sensors)
        How much the sensor of a column listens to that of a row, as `sensor_graph_` of a forecaster.
    coordinates : array-like of shape (n_sensors, 2), default=None
        Latitude and longitude in degrees, or for ``metric='euclidean'`` places in a plane, in the order of the graph. A
        DataFrame is matched by its index.
    metric : {'haversine', 'euclidean'}, default='haversine'
        As in :func:`skattn.graph.adjacency_from_coordinates`.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn. After `plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    edges_ : pandas.DataFrame
        Edges that a map shows: 'sensor', 'listener' and 'weight', the strongest first.

    Examples
    --------
    >>> from skattn import AttentionLSTMForecaster, AttentionLSTMRegressor
    >>> from skattn.datasets import make_sensor_network
    >>> from skattn.inspection import SensorDisplay
    >>> y, _, coordinates = make_sensor_network(200, 4, random_state=0)
    >>> regressor = AttentionLSTMRegressor(spatial_attention="dot", max_epochs=2)
    >>> forecaster = AttentionLSTMForecaster(regressor, window_length=6, random_state=0).fit(y, fh=[1])
    >>> SensorDisplay(forecaster.sensor_graph_, coordinates, metric="euclidean").graph.shape
    (4, 4)
    """

    def __init__(self, graph, coordinates=None, metric="haversine"):
        self.graph = graph
        self.coordinates = coordinates
        self.metric = metric

    @classmethod
    def from_estimator(cls, estimator, y=None, X=None, *, coordinates=None, metric="haversine"):
        """Take what one forecast looked at.

        Parameters
        ----------
        estimator : AttentionLSTMForecaster or AttentionLSTMRegressor
            Fitted, with `spatial_attention`.
        y, X : pandas.DataFrame, default=None
            Series up to where the forecast starts, and what is known ahead; None means those of `fit` and `update`. Of
            a regressor, X are windows, whose mean is shown.
        coordinates : array-like of shape (n_sensors, 2), default=None
            As in the constructor.
        metric : {'haversine', 'euclidean'}, default='haversine'
            As in the constructor.

        Returns
        -------
        display : SensorDisplay
            Not drawn yet.
        """
        if hasattr(estimator, "regressor_"):
            return cls(estimator.attention_weights(y, X, kind="spatial").T, coordinates, metric)
        weights = estimator.attention_weights(X, kind="spatial").mean(0)  # (S, S)
        return cls(pd.DataFrame(weights.T), coordinates, metric)

    def plot(self, ax=None, style=None, *, most_edges=None, cmap=CMAP):
        """Draw the sensors.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        style : {'map', 'matrix'}, default=None
            'map' draws an arrow to each listener from the sensors that it gives more than an even weight, the wider the
            larger the weight. 'matrix' is :class:`AttentionDisplay`'s, a row per listener, in an order that puts
            sensors together which are near each other or, without coordinates, listen to each other. None takes the map
            if there are coordinates.
        most_edges : int, default=None
            Arrows of the map at most; None means two per sensor, and 150 at most.
        cmap : str or matplotlib.colors.Colormap, default='Blues'
            Colours of the matrix.

        Returns
        -------
        display : SensorDisplay
            Itself.
        """
        style = style or ("matrix" if self.coordinates is None else "map")
        if style not in ("map", "matrix") or (style == "map" and self.coordinates is None):
            raise ValueError(
                f"style={style!r} with coordinates={'none' if self.coordinates is None else 'given'} cannot be drawn: "
                "'map', which needs coordinates, or 'matrix' is needed. Use None to have it chosen."
            )
        if style == "matrix":
            order = self._order()
            display = AttentionDisplay(self.graph.iloc[order, order].T).plot(ax, "matrix", cmap=cmap)
            self.ax_, self.figure_ = display.ax_, display.figure_
            return self
        self.ax_ = make_axes(ax, 5.0)
        self.figure_ = self.ax_.figure
        self._map(most_edges)
        return self

    def _places(self):
        """Where the sensors are on paper, (S, 2)."""
        places = self.coordinates.loc[self.graph.index] if hasattr(self.coordinates, "loc") else self.coordinates
        places = np.asarray(places, dtype=float)
        if places.shape != (len(self.graph), 2):
            raise ValueError(
                f"coordinates has shape {places.shape} but {len(self.graph)} sensors need {(len(self.graph), 2)}. "
                "Pass latitude and longitude, or x and y, of each."
            )
        return places[:, ::-1] if self.metric == "haversine" else places

    def _order(self):
        """An order of the sensors that puts those together which belong together."""
        if len(self.graph) < 3:
            return np.arange(len(self.graph))
        if self.coordinates is not None:
            return leaves_list(linkage(self._places(), "average", optimal_ordering=True))
        weights = self.graph.to_numpy()
        distance = 1 - (weights + weights.T) / 2
        return leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True))

    def _map(self, most_edges):
        places = self._places()
        self.edges_ = self._strongest(most_edges or min(2 * len(places), MOST_ARROWS))
        for sensor, listener, weight in self.edges_.itertuples(index=False):
            ends = {
                "xy": places[self.graph.columns.get_loc(listener)],
                "xytext": places[self.graph.index.get_loc(sensor)],
            }
            size = weight / self.edges_["weight"].iloc[0]
            arrow = {"arrowstyle": "-|>", "connectionstyle": "arc3,rad=0.15", "shrinkA": 4, "shrinkB": 4}
            arrow |= {"linewidth": 0.4 + 2 * size, "alpha": 0.25 + 0.6 * size, "color": COLOURS[0]}
            self.ax_.annotate("", **ends, arrowprops=arrow)
        self.ax_.scatter(*places.T, s=18, color=INK, zorder=3)
        for name, place in zip(self.graph.index, places, strict=True) if len(places) <= MOST_NAMES else ():
            self.ax_.annotate(str(name), place, (4, 4), textcoords="offset points", color=INK)
        on_earth = self.metric == "haversine"
        self.ax_.set_aspect(1 / max(0.1, np.cos(np.radians(places[:, 1].mean()))) if on_earth else "equal")
        self.ax_.set(xlabel="longitude" if on_earth else "", ylabel="latitude" if on_earth else "")
        self.ax_.margins(0.1)
        lighten(self.ax_, ("left", "bottom", "top", "right"))
        self.ax_.grid(color=FAINT, linewidth=0.4)
        self.ax_.set_axisbelow(True)

    def _strongest(self, most):
        """Edges between different sensors of more than an even weight, the strongest first."""
        weights = self.graph.to_numpy().copy()
        np.fill_diagonal(weights, 0)
        order = np.argsort(-weights, axis=None, kind="stable")[:most]
        rows, columns = np.unravel_index(order, weights.shape)
        there = weights[rows, columns] > 1 / len(weights)
        names = self.graph.index[rows[there]], self.graph.columns[columns[there]]
        return pd.DataFrame({"sensor": names[0], "listener": names[1], "weight": weights[rows, columns][there]})
