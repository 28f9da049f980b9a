"""Transformers that prepare time-ordered tables and windows for scikit-learn pipelines."""

from numbers import Integral

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = ["SequenceScaler", "SlidingWindow"]

# How SequenceScaler checks windows. Of missing values, the scaler inside is the judge.
_WINDOWS = {"dtype": [np.float64, np.float32], "allow_nd": True, "ensure_all_finite": "allow-nan"}


class SlidingWindow(TransformerMixin, BaseEstimator):
    """Turn every row of a time-ordered table into the window that ends at it.

    Row ``i`` of the result holds rows ``i - window_length + 1`` to ``i`` of the table, so there are as many windows
    as rows and ``y`` stays aligned. The first ``window_length - 1`` windows reach back before the table begins: they
    are padded on the left with NaN, which the estimators of skattn mask.

    The result is a read-only view on one padded copy of the table: windows cost no memory, whatever their length.

    Parameters
    ----------
    window_length : int, default=24
        Number of steps (rows of the table) in a window.

    dtype : {"float32", "float64"}, default="float32"
        Type of the windows. The table is converted before it is cut, since a later conversion would copy every
        window. "float64" keeps 15 significant digits instead of 7.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of the table seen in :meth:`fit`: the channels of the windows.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns seen in :meth:`fit`. Defined only when they are all strings.

    See Also
    --------
    SequenceScaler : Scale windows that are cut already, channel by channel.
    skattn.model_selection.WindowGapSplit : Cross-validate windows without steps shared by train and test.

    Notes
    -----
    The table is one series, oldest row first and equally spaced. Cut each of several series on its own and
    concatenate the windows, lest a window straddle two series.

    Nothing is remembered from one call to the next: rows at the top of a new table are padded again. To predict
    newer rows, hand over ``window_length - 1`` rows of history ahead of them, and drop as many predictions.

    Scale the table before this step: to scale the windows costs ``window_length`` times as much.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn.preprocessing import SlidingWindow
    >>> table = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> windows = SlidingWindow(window_length=3).fit_transform(table)
    >>> windows.shape
    (4, 3, 1)
    >>> windows[:, :, 0]
    array([[nan, nan,  0.],
           [nan,  0.,  1.],
           [ 0.,  1.,  2.],
           [ 1.,  2.,  3.]], dtype=float32)
    """

    _parameter_constraints: dict = {
        "window_length": [Interval(Integral, 1, None, closed="left")],
        "dtype": [StrOptions({"float32", "float64"})],
    }

    def __init__(self, window_length=24, *, dtype="float32"):
        self.window_length = window_length
        self.dtype = dtype

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters and remember the columns; nothing is estimated.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels)
            Time-ordered table, oldest row first. NaN marks a missing value.

        y : None
            Ignored, present for API consistency.

        Returns
        -------
        self : SlidingWindow
            The fitted transformer.
        """
        validate_data(self, X, dtype=self.dtype, ensure_all_finite="allow-nan")
        return self

    def transform(self, X):
        """Cut the table into windows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_channels)
            Time-ordered table, oldest row first. NaN marks a missing value.

        Returns
        -------
        X_windows : ndarray of shape (n_samples, window_length, n_channels)
            One window per row, oldest step first: a read-only view, its first rows padded on the left with NaN.

        Raises
        ------
        ValueError
            If `X` is not two-dimensional, is infinite somewhere, or has other columns than in :meth:`fit`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=self.dtype, ensure_all_finite="allow-nan", reset=False)
        n_padding = self.window_length - 1
        padded = np.full((n_padding + X.shape[0], X.shape[1]), np.nan, dtype=self.dtype)
        padded[n_padding:] = X
        return np.moveaxis(sliding_window_view(padded, self.window_length, axis=0), -1, 1)

    def inverse_transform(self, X):
        """Rebuild the table from the last step of each window.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_steps, n_channels)
            Windows, oldest step first.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_channels)
            The table, in the type of `X`.

        Raises
        ------
        ValueError
            If `X` is not three-dimensional, is infinite somewhere, or has other channels than in :meth:`fit`.
        """
        check_is_fitted(self)
        # Only the last steps are searched for infinity: the search would make a mask as large as all windows.
        X = check_array(X, allow_nd=True, ensure_all_finite=False, input_name="X", estimator=self)
        if X.ndim != 3:
            raise ValueError(
                f"X has {X.ndim} dimensions but 3, (n_samples, n_steps, n_channels), are needed. "
                "Use the windows that transform returned, or add the missing axis with X.reshape."
            )
        _check_n_channels(self, X.shape[2], self.n_features_in_)
        return check_array(X[:, -1], ensure_all_finite="allow-nan", copy=True, input_name="X", estimator=self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _scaler_has_inverse(sequence_scaler):
    return sequence_scaler.scaler is None or hasattr(sequence_scaler.scaler, "inverse_transform")


class SequenceScaler(TransformerMixin, BaseEstimator):
    """Scale windows channel by channel with any scaler of scikit-learn.

    The scaler is fitted on the table of all steps of all windows, of shape (n_samples * n_steps, n_channels): each
    channel is scaled by one and the same formula at every step, so the shape of a window survives.

    Parameters
    ----------
    scaler : transformer or None, default=None
        Scaler of two-dimensional tables, for example :class:`~sklearn.preprocessing.RobustScaler`. It is cloned and
        never changed. None stands for :class:`~sklearn.preprocessing.StandardScaler`.

    Attributes
    ----------
    scaler_ : transformer
        The fitted clone of `scaler`.

    n_channels_in_ : int
        Number of channels seen in :meth:`fit`.

    n_features_in_ : int
        Number of steps (second axis of `X`) seen in :meth:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the steps seen in :meth:`fit`. Defined only when `X` is a table whose column names are all strings.

    See Also
    --------
    SlidingWindow : Cut a time-ordered table into windows, without copying.

    Notes
    -----
    A time-ordered table is better scaled before it is cut, ``make_pipeline(StandardScaler(), SlidingWindow(24))``:
    overlapping windows hold each value up to ``n_steps`` times, and this transformer makes true copies of them all,
    so it takes at least ``n_steps`` times the memory of the table. It is meant for windows that never were one
    table, such as one recording per row.

    Missing values (NaN) are handed to the scaler. Those that allow them, `StandardScaler` among them, leave them out
    of their statistics and pass them through.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn.preprocessing import SequenceScaler
    >>> X = np.array([[[1.0, 10.0], [3.0, 10.0]], [[1.0, 30.0], [3.0, 30.0]]])
    >>> SequenceScaler().fit_transform(X)[1]
    array([[-1.,  1.],
           [ 1.,  1.]])
    """

    _parameter_constraints: dict = {"scaler": [HasMethods(["fit", "transform"]), None]}

    def __init__(self, scaler=None):
        self.scaler = scaler

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Fit a clone of the scaler on all steps of all windows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_steps, n_channels) or (n_samples, n_steps)
            Windows; two-dimensional ones have a single channel.

        y : None
            Ignored, present for API consistency.

        Returns
        -------
        self : SequenceScaler
            The fitted transformer.
        """
        X = validate_data(self, X, **_WINDOWS)
        table = _as_table(X)
        self.n_channels_in_ = table.shape[1]
        self.scaler_ = self._make_scaler().fit(table)
        return self

    def transform(self, X):
        """Scale windows with the statistics of :meth:`fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_steps, n_channels) or (n_samples, n_steps)
            Windows; two-dimensional ones have a single channel.

        Returns
        -------
        X_scaled : ndarray of the shape of `X`
            Scaled windows.

        Raises
        ------
        ValueError
            If the number of steps or of channels differs from that of :meth:`fit`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **_WINDOWS)
        return self._apply(self.scaler_.transform, X)

    @available_if(_scaler_has_inverse)
    def inverse_transform(self, X):
        """Undo the scaling. Available only where the scaler has an `inverse_transform`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_steps, n_channels) or (n_samples, n_steps)
            Scaled windows, of any number of steps.

        Returns
        -------
        X_original : ndarray of the shape of `X`
            Windows in the original units.

        Raises
        ------
        ValueError
            If the number of channels differs from that of :meth:`fit`.
        """
        check_is_fitted(self)
        X = check_array(X, input_name="X", estimator=self, **_WINDOWS)
        return self._apply(self.scaler_.inverse_transform, X)

    def _apply(self, function, X):
        table = _as_table(X)
        _check_n_channels(self, table.shape[1], self.n_channels_in_)
        # asarray, since scalers answer with data frames under sklearn.set_config(transform_output="pandas").
        return np.asarray(function(table)).reshape(X.shape)

    def _make_scaler(self):
        return StandardScaler() if self.scaler is None else clone(self.scaler)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        scaler_tags = get_tags(self._make_scaler())
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = scaler_tags.input_tags.allow_nan
        if scaler_tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = scaler_tags.transformer_tags.preserves_dtype
        return tags


def _as_table(X):
    """Stack the steps of all windows into a table (n_samples * n_steps, n_channels)."""
    if X.ndim > 3:
        raise ValueError(
            f"X has {X.ndim} dimensions but 3, (n_samples, n_steps, n_channels), or 2 for one channel, are needed. "
            "Merge the last axes with X.reshape(X.shape[0], X.shape[1], -1)."
        )
    return X.reshape(-1, X.shape[2] if X.ndim == 3 else 1)


def _check_n_channels(estimator, n_channels, n_channels_in):
    if n_channels != n_channels_in:
        name = type(estimator).__name__
        raise ValueError(
            f"X has {n_channels} channels but {name} was fitted on {n_channels_in}. "
            f"Give the channels seen in fit, in the same order, or fit {name} again."
        )
