"""`AttentionDisplay`: which past steps, or which channels, were looked at."""

import numpy as np
import pandas as pd

from skattn.inspection.drawing import CMAP, COLOURS, GREY, INK, colour_bar, draw_cells, lighten, make_axes, top_legend
from skattn.inspection.ticks import font_size, group_starts, label_cells
from skattn.weights import lags, weight_columns

MOST_ROWS = 60  # of a map, if none was asked for
MOST_BARS = 20


class AttentionDisplay:
    """Attention weights: which past steps, or which channels, forecasts looked at.

    Parameters
    ----------
    weights : pandas.DataFrame
        A row per forecast, window or channel, a column per past step, lag or channel, or per pair of a step and a
        channel. Each row sums to one. Columns that hold names, or are named 'channel', are taken for channels.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn. After `plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    style_ : str
        The style that was drawn.
    colorbar_ : matplotlib.colorbar.Colorbar or None
        The bar beside a map.

    See Also
    --------
    ForecastDisplay : The forecast itself, with a strip of attention under it.

    Examples
    --------
    >>> from skattn import AttentionLSTMForecaster, AttentionLSTMRegressor
    >>> from skattn.inspection import AttentionDisplay
    >>> from sktime.datasets import load_airline
    >>> forecaster = AttentionLSTMForecaster(AttentionLSTMRegressor(attention_position="state"), random_state=0)
    >>> display = AttentionDisplay.from_estimator(forecaster.fit(load_airline(), fh=[1, 2, 3]))
    >>> display.weights.shape
    (3, 36)
    """

    def __init__(self, weights):
        self.weights = weights

    @classmethod
    def from_estimator(cls, estimator, X=None, *, kind="temporal", names=None):
        """Compute the weights of a fitted estimator.

        Parameters
        ----------
        estimator : AttentionLSTMRegressor, AttentionLSTMClassifier or AttentionLSTMForecaster
            Fitted.
        X : array-like, default=None
            Windows to predict. None for a forecaster, which looks at the end of its series.
        kind : str, default='temporal'
            As in the estimator's `attention_weights`.
        names : sequence of str, default=None
            Names of the channels, which an array does not have. None keeps what the estimator knows. Weights over time
            do not need them.

        Returns
        -------
        display : AttentionDisplay
            Not drawn yet.
        """
        weights = estimator.attention_weights(**({} if X is None else {"X": X}), kind=kind)
        if not isinstance(weights, pd.DataFrame):
            if kind == "spatial":
                raise ValueError(
                    "kind='spatial' has a table of sensors for each window, but one table is drawn. Use "
                    "SensorDisplay.from_estimator(estimator, X=X), which draws their mean."
                )
            sizes, flat = weights.shape[1:], weights.reshape(len(weights), -1)
            columns = weight_columns(kind, lags(sizes[0]), range(sizes[-1]), flat.shape[1])
            weights = pd.DataFrame(flat, columns=columns)
        if names is None or "channel" not in weights.columns.names:
            return cls(weights)
        channels = weights.columns.unique("channel")
        if len(names) != len(channels):
            raise ValueError(
                f"names has {len(names)} entries but the weights are of {len(channels)} channels. Name each of them."
            )
        return cls(weights.rename(columns=dict(zip(channels, names, strict=True)), level="channel"))

    def plot(self, ax=None, style=None, *, cmap=CMAP):
        """Draw the weights.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        style : {'map', 'profile', 'bars', 'matrix'}, default=None
            'map' shows each row as a strip of colour; channels are turned to run along the y-axis, so that time runs
            along the x-axis. 'profile' shows the mean over the rows, shaded the middle 80 % of them, and dotted the
            weight of each column if all were even. 'bars' does so for channels, the largest first; where there are
            more than 20, or more than there is room for, the last bar is the mean of the others. 'matrix' is for
            channels that look at channels.

            Of pairs of a step and a channel, the map shows the mean over the rows, the profile the sum over channels
            and the bars the sum over steps.

            None takes the map for pairs, the matrix if rows and columns are named 'channel', or 'listener' and
            'sensor', else the map for 2 to 60 rows, and for fewer or more the bars if columns are channels, else the
            profile.
        cmap : str or matplotlib.colors.Colormap, default='Blues'
            Colours of map and matrix, from the lightest, which stands for 0.

        Returns
        -------
        display : AttentionDisplay
            Itself.
        """
        styles = {"map": self._map, "profile": self._profile, "bars": self._bars, "matrix": self._matrix}
        if style is not None and style not in styles:
            raise ValueError(
                f"style={style!r} is unknown: one of {', '.join(styles)} is needed. Use None to have it chosen."
            )
        self.style_ = style or self._suitable_style()
        table = self._table()
        self.ax_ = make_axes(ax, self._height(table))
        self.figure_ = self.ax_.figure
        self.colorbar_ = None
        styles[self.style_](table, **({"cmap": cmap} if self.style_ in ("map", "matrix") else {}))
        return self

    def _suitable_style(self):
        rows, columns = self.weights.index, self.weights.columns
        if (rows.name, columns.name) in (("channel", "channel"), ("listener", "sensor")):
            return "matrix"
        if 1 < len(rows) <= MOST_ROWS or columns.nlevels > 1:
            return "map"
        return "bars" if _are_channels(columns) else "profile"

    def _table(self):
        """What the style shows of the weights."""
        weights = self.weights
        if self.style_ == "matrix" and weights.shape[0] != weights.shape[1]:
            raise ValueError(
                f"weights has {weights.shape[0]} rows and {weights.shape[1]} columns, but style='matrix' needs as many "
                "of both. Use style='map'."
            )
        if weights.columns.nlevels == 1:
            return weights.T if self._turned() else weights
        if self.style_ == "map":
            return weights.mean().unstack(0, sort=False)
        return weights.T.groupby(level=int(self.style_ == "bars"), sort=False).sum().T

    def _turned(self):
        """Whether it is a map of which the columns run along the y-axis."""
        columns = self.weights.columns
        return self.style_ == "map" and columns.nlevels == 1 and _are_channels(columns)

    def _height(self, table):
        """Of a new figure, in inches."""
        if self.style_ == "bars":
            return 0.9 + 0.25 * min(table.shape[1], MOST_BARS + 1)
        return {"matrix": 5.0, "profile": 3.0, "map": 3.4}[self.style_]

    # ------------------------------------------------------------------ styles

    def _map(self, table, cmap):
        image = draw_cells(self.ax_, table, "auto", cmap)
        for index, line in ((table.index, self.ax_.axhline), (table.columns, self.ax_.axvline)):
            for start in group_starts(index)[1:] if index.nlevels > 1 else ():
                line(start - 0.5, color=GREY, linewidth=0.8)
        self.colorbar_ = colour_bar(image, self.ax_, 1 / self.weights.shape[1])
        rows = self.weights if self.weights.columns.nlevels == 1 else table
        titles = [_title(rows.columns), _row_title(rows)]
        self._name_cells(table, *(titles[::-1] if self._turned() else titles))

    def _matrix(self, table, cmap):
        image = draw_cells(self.ax_, table, "equal", cmap)
        self.ax_.apply_aspect()
        if not self._print_values(table.to_numpy(), image):
            self.colorbar_ = colour_bar(image, self.ax_, 1 / len(table))
        self._name_cells(table, "looked at", table.index.name or "channel")

    def _profile(self, table):
        place, many = np.arange(table.shape[1]), len(table) > 1
        if many:
            low, high = table.quantile([0.1, 0.9]).to_numpy()
            self.ax_.fill_between(place, low, high, color=COLOURS[0], alpha=0.2, linewidth=0, label="middle 80 %")
        dots = {"marker": "o", "markersize": 3} if len(place) <= 50 else {}
        self.ax_.plot(place, table.mean(), color=COLOURS[0], label="mean" if many else "weight", **dots)
        self.ax_.axhline(1 / len(place), color=GREY, linewidth=1, linestyle=":", label="even")
        self.ax_.set(xlim=(-0.5, len(place) - 0.5), xlabel=_title(table.columns), ylabel="weight")
        self.ax_.set_ylim(bottom=0)
        lighten(self.ax_)
        label_cells(self.ax_.xaxis, table.columns)
        top_legend(self.ax_)

    def _bars(self, table):
        even, many = 1 / table.shape[1], len(table) > 1
        room = self.ax_.get_window_extent().height * 72 / self.figure_.dpi / font_size(self.ax_.yaxis) / 1.3
        table = _largest(table, min(MOST_BARS, max(3, int(room) - 2)))
        place = np.arange(table.shape[1])
        self.ax_.barh(place, table.mean(), height=0.7, color=COLOURS[0], alpha=0.55)
        if many:
            self.ax_.hlines(place, *table.quantile([0.1, 0.9]).to_numpy(), color=INK, linewidth=1)
        self.ax_.axvline(even, color=GREY, linewidth=1, linestyle=":")
        floor = len(place) + 0.3
        self.ax_.annotate("even", (even, floor), (3, 1), textcoords="offset points", va="bottom", color=GREY)
        self.ax_.set(xlim=(0, None), ylim=(floor, -0.5), ylabel=_title(table.columns))
        self.ax_.set_xlabel("weight (mean and middle 80 %)" if many else "weight")
        self.ax_.set_yticks(place, table.columns.astype(str))
        lighten(self.ax_)
        self.ax_.tick_params(axis="y", length=0)

    def _name_cells(self, table, xlabel, ylabel):
        lighten(self.ax_, ("left", "bottom", "top", "right"))
        label_cells(self.ax_.xaxis, table.columns)
        label_cells(self.ax_.yaxis, table.index)
        self.ax_.set(xlabel=xlabel, ylabel=ylabel)

    def _print_values(self, weights, image):
        """Print the weights in the cells of a matrix if they are large enough, and say whether they are."""
        size, font = len(weights), 0.85 * self.ax_.xaxis.label.get_fontsize()
        cell = self.ax_.get_window_extent().width / size * 72 / self.figure_.dpi
        if cell < 3 * font:
            return False
        for (row, column), weight in np.ndenumerate(weights):
            light = np.dot(image.cmap(image.norm(weight))[:3], (0.2126, 0.7152, 0.0722))
            style = {"color": "black" if light > 0.45 else "white", "fontsize": font}
            self.ax_.text(column, row, f"{weight:.2f}", ha="center", va="center", **style)
        borders = np.arange(0.5, size - 1)
        self.ax_.hlines(borders, -0.5, size - 0.5, color="white", linewidth=0.8)
        self.ax_.vlines(borders, -0.5, size - 0.5, color="white", linewidth=0.8)
        return True


def _are_channels(columns):
    return columns.name == "channel" or pd.api.types.is_string_dtype(columns)


def _are_dates(index):
    return isinstance(index, (pd.PeriodIndex, pd.DatetimeIndex))


def _title(index):
    """Of an axis along which steps or channels lie."""
    if _are_dates(index):
        return "looked at"
    return {"lag": "lag (0 is the newest step)"}.get(index.name, index.name or "")


def _row_title(table):
    """Of the y-axis of a map."""
    rows, columns = table.index, table.columns
    if rows.nlevels > 1:
        return rows.names[0] or ""
    if _are_dates(rows):
        return "forecast for" if _are_dates(columns) else "date"
    if pd.api.types.is_integer_dtype(rows) and rows.name is None:
        return "window"
    return "steps ahead" if rows.name == "horizon" else rows.name or ""


def _largest(weights, most):
    """Columns by their mean, the largest first; of those that are too many, one column has the mean."""
    order = weights.mean().sort_values(ascending=False, kind="stable").index
    if len(order) <= most + 1:
        return weights[order]
    rest = order[most:]
    return weights[order[:most]].assign(**{f"{len(rest)} others (mean)": weights[rest].mean(axis=1)})
