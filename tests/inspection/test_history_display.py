"""The losses of training, as they were."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose
from sktime.datasets import load_airline

from skattn import AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.inspection import HistoryDisplay

SMALL = dict(hidden_size=4, embedding_dim=4, attention_dim=4, max_epochs=5, random_state=0)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_history_display(early_stopping):
    """The losses of the history, and the best epoch where windows were held out."""
    X = np.random.default_rng(0).normal(size=(67, 5, 3)).astype(np.float32)
    model = AttentionLSTMRegressor(**SMALL, early_stopping=early_stopping).fit(X, X[:, 2, 1])
    display = HistoryDisplay.from_estimator(model).plot()
    assert_allclose(display.ax_.lines[0].get_ydata(), model.history_["train_loss"])
    assert len(display.ax_.lines) == (3 if early_stopping else 1)
    if early_stopping:
        assert display.ax_.lines[2].get_xdata()[0] == model.history_["valid_loss"].argmin() + 1
        assert display.ax_.lines[2].get_ydata()[0] == model.history_["valid_loss"].min()


def test_history_of_a_forecaster():
    """The history is that of the regressor inside."""
    forecaster = AttentionLSTMForecaster(AttentionLSTMRegressor(**SMALL)).fit(load_airline(), fh=[1])
    history = HistoryDisplay.from_estimator(forecaster).history
    pd.testing.assert_frame_equal(history, forecaster.regressor_.history_)


@pytest.mark.parametrize(
    ("losses", "scale", "from_zero"),
    [([0.9, 0.3, 0.1], "linear", True), ([0.9, 0.03, 0.01], "log", False), ([0.9, 0.0, -1.3], "linear", False)],
)
def test_scale(losses, scale, from_zero):
    """Losses that span decades are on a logarithmic axis, others start from zero unless they are below it."""
    ax = HistoryDisplay(pd.DataFrame({"train_loss": losses})).plot().ax_
    assert ax.get_yscale() == scale
    assert (ax.get_ylim()[0] == 0) == from_zero
    assert ax.get_ylim()[0] <= min(losses)


def test_axes_of_the_user():
    """A display draws on the axes it is given."""
    figure, (left, right) = plt.subplots(1, 2)
    display = HistoryDisplay(pd.DataFrame({"train_loss": [3.0, 2.0], "valid_loss": [5.0, 7.0]})).plot(ax=right)
    assert display.ax_ is right
    assert display.figure_ is figure
    assert not left.has_data()
    assert plt.get_fignums() == [figure.number]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["training", "held out", "best, epoch 1"]
