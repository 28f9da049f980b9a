"""Errors over what was observed: of each step ahead, and as metrics for scorers."""

from functools import wraps

import numpy as np
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, root_mean_squared_error
from sklearn.utils import check_consistent_length

BY_STEP = {
    "MAE": mean_absolute_error,
    "RMSE": root_mean_squared_error,
    "MAPE %": lambda y_true, y_pred: 100 * mean_absolute_percentage_error(y_true, y_pred),
}


def masked(metric):
    """Let a metric of scikit-learn leave out what was not observed.

    Parameters
    ----------
    metric : callable
        Called as ``metric(y_true, y_pred, **kwargs)`` with one-dimensional arrays without missing values.

    Returns
    -------
    masked_metric : callable
        Called with arrays of one shape, whatever it is. Elements of which `y_true` is NaN are left out, and all others
        count the same: sensors that are often missing count less. NaN where nothing was observed.

    See Also
    --------
    errors_by_step : A table of errors for each step ahead.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.metrics import make_scorer, mean_absolute_error
    >>> from skattn.metrics import masked
    >>> masked(mean_absolute_error)([[1.0, np.nan], [3.0, 4.0]], [[2.0, 9.0], [3.0, 2.0]])
    1.0
    >>> scorer = make_scorer(masked(mean_absolute_error), greater_is_better=False)
    """

    @wraps(metric)
    def masked_metric(y_true, y_pred, **kwargs):
        y_true, y_pred = _check(y_true, y_pred)
        observed = ~np.isnan(y_true)
        return metric(y_true[observed], y_pred[observed], **kwargs) if observed.any() else np.nan

    return masked_metric


def errors_by_step(y_true, y_pred):
    """Mean absolute error, root mean squared error and mean absolute percentage error of each step ahead.

    Parameters
    ----------
    y_true : array-like of shape (n_samples, horizon) or (n_samples, horizon, n_targets)
        What followed, NaN where it was not observed. Where a file says zero for missing, replace it before, as the
        percentage error asks for too.
    y_pred : array-like of the same shape
        Forecasts.

    Returns
    -------
    errors : pandas.DataFrame
        A row per step ahead, from 1, and the columns 'MAE', 'RMSE' and 'MAPE %': over all samples and targets that were
        observed.

    Examples
    --------
    >>> from skattn.metrics import errors_by_step
    >>> errors_by_step([[10.0, 20.0], [20.0, float("nan")]], [[11.0, 15.0], [17.0, 18.0]])
          MAE      RMSE  MAPE %
    step
    1     2.0  2.236068    12.5
    2     5.0  5.000000    25.0
    """
    import pandas as pd

    y_true, y_pred = _check(y_true, y_pred)
    if y_true.ndim < 2:
        raise ValueError(
            f"y_true has {y_true.ndim} dimension but 2 or 3 are needed: (n_samples, horizon) or (n_samples, horizon, "
            "n_targets). For one step ahead, pass y_true[:, None]."
        )
    steps = pd.RangeIndex(1, y_true.shape[1] + 1, name="step")
    columns = {
        name: [masked(metric)(y_true[:, step], y_pred[:, step]) for step in range(len(steps))]
        for name, metric in BY_STEP.items()
    }
    return pd.DataFrame(columns, steps)


def _check(y_true, y_pred):
    y_true, y_pred = np.asarray(y_true, dtype=float), np.asarray(y_pred, dtype=float)
    check_consistent_length(y_true, y_pred)
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"y_true has shape {y_true.shape} but y_pred has {y_pred.shape}. Pass forecasts of what was observed, in "
            "its order."
        )
    return y_true, y_pred
