"""Pictures of an estimator, in the manner of scikit-learn's displays: computing here, drawing in `plot`.

matplotlib is imported when something is drawn.
"""

import numpy as np
import pandas as pd

from skattn.base import weight_columns


class AttentionDisplay:
    """Attention weights: which past steps, or which channels, forecasts looked at.

    Parameters
    ----------
    weights : pandas.DataFrame
        A row per forecast, a column per past step or channel. Each row sums to one.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn. After `plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.

    See Also
    --------
    ForecastDisplay : The forecast itself.

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
    def from_estimator(cls, estimator, X=None, kind="temporal"):
        """Compute the weights of a fitted estimator.

        Parameters
        ----------
        estimator : AttentionLSTMRegressor, AttentionLSTMClassifier or AttentionLSTMForecaster
            Fitted.
        X : array-like, default=None
            Windows to predict. None for a forecaster, which looks at the end of its series.
        kind : {'temporal', 'channel', 'input', 'state'}, default='temporal'
            As in the estimator's `attention_weights`.

        Returns
        -------
        display : AttentionDisplay
            Not drawn yet.
        """
        if X is None:
            return cls(estimator.attention_weights(kind=kind))
        weights = estimator.attention_weights(X, kind=kind)
        if not isinstance(weights, pd.DataFrame):
            weights = pd.DataFrame(weights, columns=weight_columns(kind, weights.shape[1]))
        return cls(weights)

    def plot(self, ax=None, style=None, cmap="viridis"):
        """Draw the weights.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        style : {'map', 'profile'}, default=None
            'map' shows every row as a strip of colour. 'profile' shows the mean over the rows and, shaded, the middle
            80 % of them. None takes the map for up to 60 rows.
        cmap : str, default='viridis'
            Colours of the map.

        Returns
        -------
        display : AttentionDisplay
            Itself.
        """
        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        if (style or ("map" if 1 < len(self.weights) <= 60 else "profile")) == "map":
            self._plot_map(cmap)
        else:
            self._plot_profile()
        _label(self.ax_.xaxis, self.weights.columns)
        self.ax_.set_xlabel(self._column_title())
        return self

    def _plot_map(self, cmap):
        image = self.ax_.imshow(self.weights, aspect="auto", cmap=cmap, vmin=0, interpolation="nearest")
        self.figure_.colorbar(image, ax=self.ax_, label="weight", pad=0.02)
        _label(self.ax_.yaxis, self.weights.index)
        self.ax_.set_ylabel("forecast for")

    def _plot_profile(self):
        weights = self.weights.to_numpy()
        place = np.arange(weights.shape[1])
        if len(weights) > 1:
            low, high = np.quantile(weights, [0.1, 0.9], axis=0)
            self.ax_.fill_between(place, low, high, color="C0", alpha=0.25, linewidth=0, label="middle 80 %")
        self.ax_.plot(
            place,
            weights.mean(0),
            color="C0",
            marker="o",
            markersize=3,
            label="mean" if len(weights) > 1 else "weights",
        )
        self.ax_.axhline(1 / weights.shape[1], color="0.5", linewidth=1, linestyle=":", label="even")
        self.ax_.set_ylim(bottom=0)
        self.ax_.set_ylabel("weight")
        self.ax_.legend(frameon=False)

    def _column_title(self):
        name = self.weights.columns.name
        return {"lag": "lag (0 is the newest step)", "channel": "channel"}.get(name, "looked at")


class ForecastDisplay:
    """Forecasts beside the history they continue and, where known, the truth.

    Parameters
    ----------
    history : pandas.Series
        The series up to the forecast.
    forecasts : dict of pandas.Series
        Forecasts by the name of their model.
    truth : pandas.Series, default=None
        What came.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn. After `plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.

    Examples
    --------
    >>> import pandas as pd
    >>> from skattn.inspection import ForecastDisplay
    >>> history = pd.Series([1.0, 2.0, 3.0])
    >>> display = ForecastDisplay(history, {"naive": pd.Series([3.0, 3.0], index=[3, 4])})
    >>> display.forecasts["naive"].index.tolist()
    [3, 4]
    """

    def __init__(self, history, forecasts, truth=None):
        self.history, self.forecasts, self.truth = history, forecasts, truth

    @classmethod
    def from_estimator(cls, forecaster, y, *, fh=None, X=None, truth=None):
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

        Returns
        -------
        display : ForecastDisplay
            Not drawn yet.
        """
        return cls(y, {type(forecaster).__name__: forecaster.predict(fh=fh, X=X)}, truth)

    def plot(self, ax=None, n_history=None):
        """Draw history, truth and forecasts.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        n_history : int, default=None
            Steps of the history to show; None means three times the longest forecast, and 24 at least.

        Returns
        -------
        display : ForecastDisplay
            Itself.
        """
        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        longest = max(len(forecast) for forecast in self.forecasts.values())
        history = self.history.iloc[-(n_history or max(24, 3 * longest)) :]
        self.ax_.plot(_points(history.index), history.to_numpy(), color="0.2", label="history")
        if self.truth is not None:
            joined = pd.concat([history.iloc[-1:], self.truth])
            self.ax_.plot(_points(joined.index), joined.to_numpy(), color="0.2", linestyle=":", zorder=3, label="truth")
        for number, (name, forecast) in enumerate(self.forecasts.items()):
            forecast = pd.concat([history.iloc[-1:], forecast])
            style = {"linewidth": 2.0 if number == 0 else 1.2, "alpha": 1.0 if number == 0 else 0.8}
            self.ax_.plot(_points(forecast.index), forecast.to_numpy(), color=f"C{number}", label=name, **style)
        self.ax_.axvline(_points(history.index[-1:])[0], color="0.7", linewidth=1)
        if self.history.name is not None:
            self.ax_.set_ylabel(str(self.history.name))
        self.ax_.legend(frameon=False)
        return self


class HistoryDisplay:
    """Losses of the epochs of training.

    Parameters
    ----------
    history : pandas.DataFrame
        The `history_` of an estimator.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Where it was drawn. After `plot`.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn import AttentionLSTMRegressor
    >>> from skattn.inspection import HistoryDisplay
    >>> X = np.random.default_rng(0).normal(size=(50, 7))
    >>> model = AttentionLSTMRegressor(max_epochs=3, random_state=0).fit(X, X[:, 2])
    >>> HistoryDisplay.from_estimator(model).history["epoch"].tolist()
    [1, 2, 3]
    """

    def __init__(self, history):
        self.history = history

    @classmethod
    def from_estimator(cls, estimator):
        """Take the history of a fitted estimator.

        Parameters
        ----------
        estimator : AttentionLSTMRegressor, AttentionLSTMClassifier or AttentionLSTMForecaster
            Fitted.

        Returns
        -------
        display : HistoryDisplay
            Not drawn yet.
        """
        return cls(getattr(estimator, "regressor_", estimator).history_)

    def plot(self, ax=None):
        """Draw the losses.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : HistoryDisplay
            Itself.
        """
        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        epochs = np.arange(1, len(self.history) + 1)
        self.ax_.plot(epochs, self.history["train_loss"], label="training")
        if "valid_loss" in self.history:
            self.ax_.plot(epochs, self.history["valid_loss"], label="held out")
            best = int(self.history["valid_loss"].argmin())
            self.ax_.axvline(epochs[best], color="0.7", linewidth=1, label=f"best (epoch {epochs[best]})")
            self.ax_.legend(frameon=False)
        self.ax_.set(xlabel="epoch", ylabel="training loss" if "valid_loss" not in self.history else "loss")
        self.ax_.set_ylim(bottom=0)
        return self


def _axes(ax):
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(layout="constrained")[1]


def _points(index):
    return index.to_timestamp() if isinstance(index, pd.PeriodIndex) else index


def _label(axis, index, most=12):
    """Name up to `most` of the places of an axis, evenly."""
    places = np.arange(0, len(index), max(1, -(-len(index) // most)))
    dates = isinstance(index, pd.DatetimeIndex) and (index == index.normalize()).all()
    axis.set_ticks(places, [str(index[place].date() if dates else index[place]) for place in places])
    if axis.axis_name == "x" and sum(len(str(index[place])) for place in places) > 60:
        for label in axis.get_ticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
