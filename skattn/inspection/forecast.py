"""`ForecastDisplay`: forecasts beside the history that they continue, with the attention under it."""

import numpy as np
import pandas as pd

from skattn.inspection.drawing import (
    CMAP,
    COLOURS,
    DASHES,
    FAINT,
    INK,
    colour_range,
    lighten,
    make_axes,
    nice_ticks,
    split_axes,
    top_legend,
)

MOST_STRIPS = 12  # rows of attention; of more the mean is shown


class ForecastDisplay:
    """Forecasts beside the history they continue and, where known, the truth and what was looked at.

    Parameters
    ----------
    history : pandas.Series
        The series up to the forecast.
    forecasts : dict of pandas.Series
        Forecasts by the name of their model.
    truth : pandas.Series, default=None
        What came.
    weights : pandas.DataFrame, default=None
        Attention weights of the first forecast: a row per step ahead, a column per date of `history` that was looked
        at, as the `attention_weights` of a forecaster of one series gives them. Up to 12 rows are shown, the first
        step on top; of more the mean is.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn. After `plot`.
    strip_ax_ : matplotlib.axes.Axes or None
        Where the attention was drawn, under `ax_` and on its time axis.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    lines_ : dict of matplotlib.lines.Line2D
        What was drawn: 'history', 'truth' and the names of the models.

    See Also
    --------
    AttentionDisplay : Attention by itself.

    Examples
    --------
    >>> import pandas as pd
    >>> from skattn.inspection import ForecastDisplay
    >>> history = pd.Series([1.0, 2.0, 3.0])
    >>> display = ForecastDisplay(history, {"naive": pd.Series([3.0, 3.0], index=[3, 4])})
    >>> display.forecasts["naive"].index.tolist()
    [3, 4]
    """

    def __init__(self, history, forecasts, truth=None, weights=None):
        self.history, self.forecasts, self.truth, self.weights = history, forecasts, truth, weights

    @classmethod
    def from_estimator(cls, forecaster, y, *, fh=None, X=None, truth=None, attention=None):
        """Forecast with a fitted forecaster.

        Parameters
        ----------
        forecaster : sktime forecaster
            Fitted on `y`.
        y : pandas.Series
            The series it was fitted on.
        fh : as in sktime, default=None
            Horizon; None means that of `fit`.
        X : pandas.DataFrame, default=None
            Exogenous values of the steps that are forecast.
        truth : pandas.Series, default=None
            What came.
        attention : str, default=None
            The kind of attention to show, one over time, as in
            :meth:`~skattn.AttentionLSTMForecaster.attention_weights`. None shows none.

        Returns
        -------
        display : ForecastDisplay
            Not drawn yet.
        """
        forecasts = {type(forecaster).__name__: forecaster.predict(fh=fh, X=X)}
        weights = None if attention is None else forecaster.attention_weights(X=X, kind=attention)
        return cls(y, forecasts, truth, weights)

    def plot(self, ax=None, n_history=None, *, cmap=CMAP):
        """Draw history, truth and forecasts, and the attention in a strip under them.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure. The strip takes a part of its place.
        n_history : int, default=None
            Steps of the history to show; None means three times the longest forecast, 24 at least, and all that was
            looked at.
        cmap : str or matplotlib.colors.Colormap, default='Blues'
            Colours of the attention, from the lightest, which stands for 0.

        Returns
        -------
        display : ForecastDisplay
            Itself.
        """
        rows = None if self.weights is None else self._strips()
        self.ax_ = make_axes(ax, 3.2)
        self.figure_ = self.ax_.figure
        history = self.history.iloc[-(n_history or self._length()) :]
        self._draw_lines(history)
        self.ax_.axvline(points(history.index[-1:])[0], color=FAINT, linewidth=0.8)
        if self.history.name is not None:
            self.ax_.set_ylabel(str(self.history.name))
        lighten(self.ax_)
        _name_dates(self.ax_, self.history.index)
        self.strip_ax_ = None if rows is None else self._draw_strips(rows, history.index, cmap)
        top_legend(self.ax_)
        return self

    def _length(self):
        longest = max(len(forecast) for forecast in self.forecasts.values())
        return max(24, 3 * longest, 0 if self.weights is None else self.weights.shape[1])

    def _draw_lines(self, history):
        self.lines_ = {}

        def draw(name, series, **style):
            self.lines_[name] = self.ax_.plot(points(series.index), series.to_numpy(), label=name, **style)[0]

        draw("history", history, color=INK, linewidth=1.2)
        if self.truth is not None:
            truth = pd.concat([history.iloc[-1:], self.truth])
            draw("truth", truth, color=INK, linewidth=0.6, marker="o", markersize=2.5, zorder=3)
        for number, (name, forecast) in enumerate(self.forecasts.items()):
            forecast = pd.concat([history.iloc[-1:], forecast])
            style = {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}
            draw(name, forecast, **style, linewidth=2.0 if number == 0 else 1.4)

    def _strips(self):
        """Weights to show: those of each step ahead, or their mean."""
        unknown = self.weights.columns[~self.weights.columns.isin(self.history.index)]
        if len(unknown):
            raise ValueError(
                f"weights has {len(unknown)} columns, such as {unknown[0]}, that are no dates of the history, but each "
                f"of its {self.weights.shape[1]} must be one. Pass weights over time of a forecast of this one series."
            )
        return self.weights if len(self.weights) <= MOST_STRIPS else self.weights.mean().to_frame().T

    def _draw_strips(self, rows, dates, cmap):
        strip = split_axes(self.ax_, 0.08 if len(rows) == 1 else 0.2)
        table = rows.reindex(columns=dates).to_numpy()
        place = np.asarray(self.ax_.convert_xunits(points(dates)), float)
        gaps = np.diff(place) if len(place) > 1 else np.ones(1)
        edges = np.r_[place[0] - gaps[0] / 2, place[:-1] + gaps / 2, place[-1] + gaps[-1] / 2]
        mesh = strip.pcolormesh(edges, np.arange(len(rows) + 1), table, cmap=cmap, **colour_range(rows))
        strip.invert_yaxis()
        strip.set_yticks([])
        strip.set_ylabel("attention", rotation=0, ha="right", va="center")
        lighten(strip)
        self.ax_.tick_params(labelbottom=False, length=0)
        bar = self.figure_.colorbar(mesh, cax=strip.inset_axes([1.01, 0, 0.015, 1]))
        bar.set_ticks([0, mesh.norm.vmax], labels=["0", f"{mesh.norm.vmax:.2g}"])
        bar.outline.set(color=FAINT, linewidth=0.8)
        bar.ax.tick_params(length=0)
        return strip


def points(index):
    """An index as matplotlib knows it: the beginnings of periods."""
    return index.to_timestamp() if isinstance(index, pd.PeriodIndex) else index


def _name_dates(ax, index):
    """Short dates, the year under January."""
    if not isinstance(index, (pd.PeriodIndex, pd.DatetimeIndex)):
        ax.xaxis.set_major_locator(nice_ticks(8, integer=True))
        return
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=8)
    ax.xaxis.set_major_locator(locator)
    starts = ["", "%b\n%Y", "%d\n%b", "%H:%M\n%d %b", "%H:%M", "%H:%M"]  # of a year, a month, a day ...
    left_out = ["", "%Y", "%b %Y", "%d %b %Y", "%d %b %Y", "%d %b %Y"]
    formatter = ConciseDateFormatter(locator, zero_formats=starts, offset_formats=left_out)
    ax.xaxis.set_major_formatter(formatter)
