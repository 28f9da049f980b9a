"""Scores of an explanation against the truth: whether it gives weight to the values that enter the target.

In the manner of :mod:`sklearn.metrics`, truth first. The truth is known for data that were made, such as those of
:mod:`skattn.datasets`.
"""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions, validate_params

__all__ = ["area_under_precision", "area_under_recall", "truth_scores"]

_SCORES = {"truth": ["array-like"], "importance": ["array-like"], "scale": [StrOptions({"window", "all"})]}


@validate_params(_SCORES, prefer_skip_nested_validation=True)
def area_under_precision(truth, importance, *, scale="window"):
    """Area under the precision as a function of the threshold: how much of what is called important is true.

    With `s` the importance scaled to [0, 1], it is the integral over thresholds ``t`` from 0 to 1 of the share of true
    values among those with ``s >= t``. Precision is a step function of the threshold, and is integrated exactly.

    Parameters
    ----------
    truth : array-like of bool, of shape (n_samples, n_steps, n_channels)
        True for the values that enter the target. Any other shape of two axes or more will do, windows first.

    importance : array-like of the shape of `truth`
        Importance of each value, not negative. No value may be missing: what an explanation leaves out has to be
        given as 0.

    scale : {"window", "all"}, default="window"
        Over what the importance is scaled, so that its smallest value becomes 0 and its largest 1: each window, as in
        the code published with [1]_, or all windows at once. A window of equal values becomes 0 throughout.

    Returns
    -------
    score : float
        From 0 to 1; more is better. The share of true values is what unrelated importances get, or a little more or
        less, as thresholds that few values reach count as much as the others.

    Raises
    ------
    ValueError
        If `truth` is no mask, or is the same everywhere; if `importance` has another shape, is negative, infinite or
        NaN somewhere, or is constant wherever it is scaled.

    See Also
    --------
    area_under_recall : How much of what is true is called important.
    truth_scores : Several scores and their controls.

    Notes
    -----
    The published code joins precisions of neighbouring importances by straight lines, from the smallest importance
    on: the two agree when importances are many and differ.

    References
    ----------
    .. [1] J. Crabbé and M. van der Schaar, "Explaining time series predictions with dynamic masks", ICML 2021.

    Examples
    --------
    Of the three values above a threshold up to 0.25 two are true, and all of those above a higher one:
    ``0.25 * 2 / 3 + 0.75``.

    >>> from skattn.inspection.scores import area_under_precision
    >>> area_under_precision([[False, True, True, False]], [[0.0, 0.5, 1.0, 0.25]])
    0.91666...
    """
    truth, scaled = _check(truth, importance, scale)
    return _area_under_precision(truth, scaled)


@validate_params(_SCORES, prefer_skip_nested_validation=True)
def area_under_recall(truth, importance, *, scale="window"):
    """Area under the recall as a function of the threshold: how much of what is true is called important.

    With `s` the importance scaled to [0, 1], it is the integral over thresholds ``t`` from 0 to 1 of the share of true
    values that have ``s >= t``. That is the mean of ``s`` over the true values, exactly.

    Parameters
    ----------
    truth : array-like of bool, of shape (n_samples, n_steps, n_channels)
        True for the values that enter the target. Any other shape of two axes or more will do, windows first.

    importance : array-like of the shape of `truth`
        Importance of each value, not negative. No value may be missing: what an explanation leaves out has to be
        given as 0.

    scale : {"window", "all"}, default="window"
        Over what the importance is scaled, so that its smallest value becomes 0 and its largest 1: each window, as in
        the code published with [1]_, or all windows at once. A window of equal values becomes 0 throughout.

    Returns
    -------
    score : float
        From 0 to 1; more is better. See the notes for what unrelated importances get.

    Raises
    ------
    ValueError
        If `truth` is no mask, or is the same everywhere; if `importance` has another shape, is negative, infinite or
        NaN somewhere, or is constant wherever it is scaled.

    See Also
    --------
    area_under_precision : How much of what is called important is true.
    truth_scores : Several scores and their controls.

    Notes
    -----
    Importances that have nothing to do with the truth score the mean of ``s`` over all values. That is 0.5 only where
    ``s`` is spread evenly, so 0.5 is no mark of chance: an explanation of even, large weights gets much more without
    knowing anything, and one of a few large weights much less while it may be right. Compare with the shuffled control
    of :func:`truth_scores`, and read it together with the precision.

    References
    ----------
    .. [1] J. Crabbé and M. van der Schaar, "Explaining time series predictions with dynamic masks", ICML 2021.

    Examples
    --------
    >>> from skattn.inspection.scores import area_under_recall
    >>> area_under_recall([[False, True, True, False]], [[0.0, 0.5, 1.0, 0.25]])
    0.75
    """
    truth, scaled = _check(truth, importance, scale)
    return float(scaled[truth].mean())


@validate_params(_SCORES | {"random_state": ["random_state"]}, prefer_skip_nested_validation=True)
def truth_scores(truth, importance, *, scale="window", random_state=None):
    """Score an explanation against the truth in four ways, each with a control.

    The control is the score of the same importances, shuffled within each window: what the explanation would get if
    it had the same weights, but at places drawn by lot.

    Parameters
    ----------
    truth : array-like of bool, of shape (n_samples, n_steps, n_channels)
        True for the values that enter the target. Any other shape of two axes or more will do, windows first.

    importance : array-like of the shape of `truth`
        Importance of each value, not negative. No value may be missing: what an explanation leaves out has to be
        given as 0.

    scale : {"window", "all"}, default="window"
        Over what the importance is scaled, so that its smallest value becomes 0 and its largest 1: each window, or all
        windows at once. All four scores are of the scaled importances of all windows together.

    random_state : int, RandomState instance or None, default=None
        Draws the places of the control. Pass an int for the same in every call.

    Returns
    -------
    scores : dict of str to float
        "AUP" and "AUR", the areas under precision and recall as functions of the threshold; "AUPRC", the average
        precision; "AUROC", the chance that a true value is more important than another; and the controls
        "shuffled_AUP", "shuffled_AUR", "shuffled_AUPRC" and "shuffled_AUROC".

    Raises
    ------
    ValueError
        If `truth` is no mask, or is the same everywhere; if `importance` has another shape, is negative, infinite or
        NaN somewhere, or is constant wherever it is scaled.

    See Also
    --------
    area_under_precision, area_under_recall : The first two.
    sklearn.metrics.average_precision_score, sklearn.metrics.roc_auc_score : The other two.

    Notes
    -----
    Where all windows have equally many true values, shuffled AUROC is near 0.5 and shuffled AUPRC near the share of
    true values, whatever the importances are like. Shuffled AUP and AUR have no such fixed mark: shuffled AUR is near
    the mean of the scaled importances, and it is the score above the control that says something. If shuffled AUROC is
    away from 0.5, windows differ in their number of true values or there are too few of them.

    Examples
    --------
    A linear model is explained by what each value adds to its prediction.

    >>> from sklearn.linear_model import LinearRegression
    >>> from skattn.datasets import make_planted_lags
    >>> from skattn.inspection.scores import truth_scores
    >>> X, y, truth = make_planted_lags(random_state=0)
    >>> model = LinearRegression().fit(X[:, :, 0], y)
    >>> scores = truth_scores(truth, abs(X * model.coef_[:, None]), random_state=0)
    >>> {name: round(score, 2) for name, score in scores.items()}
    {'AUP': 0.99, 'AUR': 0.72, 'AUPRC': 0.99, 'AUROC': 1.0,
     'shuffled_AUP': 0.08, 'shuffled_AUR': 0.06, 'shuffled_AUPRC': 0.08, 'shuffled_AUROC': 0.49}
    """
    truth, scaled = _check(truth, importance, scale)
    places = check_random_state(random_state).random_sample(scaled.shape).argsort(axis=1)
    shuffled = np.take_along_axis(scaled, places, axis=1)
    controls = {f"shuffled_{name}": score for name, score in _all_scores(truth, shuffled).items()}
    return _all_scores(truth, scaled) | controls


def _all_scores(truth, scaled):
    return {
        "AUP": _area_under_precision(truth, scaled),
        "AUR": float(scaled[truth].mean()),
        "AUPRC": float(average_precision_score(truth.ravel(), scaled.ravel())),
        "AUROC": float(roc_auc_score(truth.ravel(), scaled.ravel())),
    }


def _area_under_precision(truth, scaled):
    order = scaled.argsort(axis=None)
    # Up to each importance from the one below: where two are equal the step has no width, so ties need no care.
    widths = np.diff(scaled.ravel()[order], prepend=0.0)
    n_true = truth.ravel()[order][::-1].cumsum()[::-1]
    return float(widths @ (n_true / np.arange(truth.size, 0, -1)))


def _check(truth, importance, scale):
    """Truth and importance of windows, both (n_samples, values of a window), the importance scaled to [0, 1]."""
    truth, importance = np.asarray(truth), np.asarray(importance, dtype=float)
    if truth.shape != importance.shape or truth.ndim < 2:
        raise ValueError(
            f"truth and importance must have the same shape and two axes or more, got {truth.shape} and "
            f"{importance.shape}. Give one importance for each value of the windows; a single window is window[None]."
        )
    truth, importance = _check_truth(truth), _check_importance(importance)
    axis = 1 if scale == "window" else None
    low, high = importance.min(axis=axis, keepdims=True), importance.max(axis=axis, keepdims=True)
    if (low == high).all():
        raise ValueError(
            f"importance is constant {'within each window' if scale == 'window' else 'over all windows'}, but two "
            "different values are needed to draw a threshold between. Take it for an explanation that knows nothing."
        )
    return truth, (importance - low) / np.where(low == high, 1.0, high - low)


def _check_truth(truth):
    n_true = np.count_nonzero(truth)
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("truth must hold True and False only, or 1 and 0. Use a mask, such as truth > 0.")
    if n_true in (0, truth.size):
        raise ValueError(
            f"truth is True for {n_true} of {truth.size} values, but at least one True and one False are needed. "
            "Score windows of which some values enter the target and others do not."
        )
    return truth.astype(bool).reshape(len(truth), -1)


def _check_importance(importance):
    if not np.isfinite(importance).all():
        raise ValueError(
            f"importance is NaN or infinite for {np.count_nonzero(~np.isfinite(importance))} of {importance.size} "
            "values. Give 0 to what the explanation leaves out, for example with np.nan_to_num."
        )
    if (importance < 0).any():
        raise ValueError(
            f"importance is negative somewhere: its smallest value is {importance.min()}, and 0 or more is needed. "
            "Use np.abs(importance) if its sign is the direction of an effect."
        )
    return importance.reshape(len(importance), -1)
