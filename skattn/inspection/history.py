"""`HistoryDisplay`: how training went."""

import numpy as np

from skattn.inspection.drawing import COLOURS, DASHES, lighten, make_axes, nice_ticks, top_legend

WIDE = 30  # times the smallest loss, from which a linear axis shows one end only


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
        return cls(getattr(estimator, "regressor_", getattr(estimator, "classifier_", estimator)).history_)

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
        self.ax_ = make_axes(ax, 3.0)
        self.figure_ = self.ax_.figure
        epochs = np.arange(1, len(self.history) + 1)
        losses = self.history[[name for name in ("train_loss", "valid_loss") if name in self.history]]
        self.ax_.plot(epochs, losses["train_loss"], color=COLOURS[0], label="training")
        if "valid_loss" in losses:
            self.ax_.plot(epochs, losses["valid_loss"], color=COLOURS[1], linestyle=DASHES[1], label="held out")
            best = np.nanargmin(losses["valid_loss"])
            label = f"best, epoch {epochs[best]}"
            self.ax_.plot(epochs[best], losses["valid_loss"].iloc[best], "o", color=COLOURS[1], label=label)
        self.ax_.set(xlabel="epoch", ylabel="loss" if "valid_loss" in losses else "training loss")
        self._scale(losses.to_numpy())
        self.ax_.xaxis.set_major_locator(nice_ticks(8, integer=True))
        lighten(self.ax_)
        if "valid_loss" in losses:
            top_legend(self.ax_)
        return self

    def _scale(self, losses):
        """Logarithmic where losses span a wide range, else from zero; a loss may also be negative."""
        low, high = np.nanmin(losses), np.nanmax(losses)
        if low > 0 and high > WIDE * low:
            self.ax_.set_yscale("log")
        elif low >= 0:
            self.ax_.set_ylim(bottom=0)
