"""Tests of errors over what was observed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import make_scorer, mean_absolute_error, median_absolute_error, r2_score
from sklearn.model_selection import cross_val_score

from skattn import AttentionLSTMRegressor
from skattn.metrics import errors_by_step, masked

N, H, M = 11, 3, 2


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape) + 5


def holed():
    y_true = draw(N, H, M)
    y_true[draw(N, H, M, seed=2) > 5.5] = np.nan
    return y_true, draw(N, H, M, seed=1)


@pytest.mark.parametrize("metric", [mean_absolute_error, median_absolute_error, r2_score])
def test_masked_metric_is_that_of_what_was_observed(metric):
    """Whatever the shape, what is missing does not count, and the rest counts the same."""
    y_true, y_pred = holed()
    there = ~np.isnan(y_true)
    assert 0 < there.sum() < there.size
    expected = metric(y_true[there], y_pred[there])
    assert masked(metric)(y_true, y_pred) == pytest.approx(expected)
    assert masked(metric)(y_true.ravel(), y_pred.ravel()) == pytest.approx(expected)
    assert masked(metric).__name__ == metric.__name__


def test_nothing_observed():
    """There is no error, and no exception that would end a search."""
    assert np.isnan(masked(mean_absolute_error)(np.full((N, H), np.nan), np.zeros((N, H))))


def test_keywords_reach_the_metric():
    """A metric keeps its options."""
    y_true, y_pred = holed()
    assert masked(r2_score)(y_true, y_pred, force_finite=False) == masked(r2_score)(y_true, y_pred)
    with pytest.raises(TypeError, match="strange"):
        masked(r2_score)(y_true, y_pred, strange=1)


def test_errors_by_step_by_hand():
    """A row per step, over samples and targets; percentages of what was observed."""
    y_true, y_pred = holed()
    errors = errors_by_step(y_true, y_pred)
    assert errors.index.tolist() == [1, 2, 3]
    difference = np.abs(y_true - y_pred)
    for step in range(H):
        assert errors["MAE"][step + 1] == pytest.approx(np.nanmean(difference[:, step]))
        assert errors["RMSE"][step + 1] == pytest.approx(np.nanmean(difference[:, step] ** 2) ** 0.5)
        assert errors["MAPE %"][step + 1] == pytest.approx(100 * np.nanmean((difference / np.abs(y_true))[:, step]))
    assert_allclose(errors_by_step(y_true[..., 0], y_pred[..., 0]), errors_by_step(y_true[..., :1], y_pred[..., :1]))


def test_scorer():
    """A masked metric scores a search of an estimator whose targets have gaps as a full one scores one without."""
    X = draw(60, 5, 1).astype(np.float32)
    y = X[:, 3, 0].copy()
    model = AttentionLSTMRegressor(hidden_size=3, embedding_dim=3, attention_dim=3, max_epochs=2, random_state=0)
    scorers = [
        make_scorer(metric, greater_is_better=False) for metric in (masked(mean_absolute_error), mean_absolute_error)
    ]
    ours, theirs = (cross_val_score(model, X, y, cv=2, scoring=scorer) for scorer in scorers)
    assert_allclose(ours, theirs)
    fitted = model.fit(X, y)
    y[::7] = np.nan
    assert scorers[0](fitted, X, y) == pytest.approx(-np.nanmean(np.abs(fitted.predict(X) - y)))


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), r"y_true has shape \(4, 2\) but y_pred has \(4, 3\)\. Pass forecasts"),
        (np.zeros((4, 2)), np.zeros((5, 2)), "inconsistent numbers of samples"),
        (np.zeros(4), np.zeros(4), r"y_true has 1 dimension but 2 or 3 are needed.*pass y_true\[:, None\]"),
    ],
)
def test_shapes_that_do_not_fit(y_true, y_pred, message):
    """Nothing is broadcast."""
    with pytest.raises(ValueError, match=message):
        errors_by_step(y_true, y_pred)
