"""`AttentionLSTMRegressor`: X and y become windows, y standardised and back."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.callback import with_callbacks
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from skattn.base import BaseAttentionLSTM
from skattn.parameters import ATTRIBUTES, PARAMETERS, USER_LOSS
from skattn.windows import WindowDataset, row_gap


@dataclass(kw_only=True, eq=False, repr=False)
class AttentionLSTMRegressor(RegressorMixin, BaseAttentionLSTM):
    __doc__ = f"""Regression on windows of a sequence, by a recurrent network with attention.

    A row of X is a window. Rows are independent: a time-ordered table becomes windows by
    :class:`~skattn.preprocessing.SlidingWindow`, a step of a pipeline. Missing values are NaN and are masked. Windows
    of sensors that measure the same channels have four dimensions, (n_samples, n_steps, n_sensors, n_channels); with
    `spatial_attention` or ``channel_mode='independent'`` every sensor has rows of its own, and y an output for each.

    {
        PARAMETERS.replace("{loss_names}", "{'squared_error', 'absolute_error', 'huber'}").replace(
            "{loss_default!r}", "'squared_error'"
        )
    }

    Attributes
    ----------
    {ATTRIBUTES}

    See Also
    --------
    AttentionLSTMClassifier : The same for classes.
    AttentionLSTMForecaster : The same for series, in sktime.
    skattn.preprocessing.SlidingWindow : Windows from a time-ordered table.

    Notes
    -----
    Inputs and targets are standardised inside, with statistics of the training data. Predictions for a
    one-dimensional y have the `dtype` of the network, for a two-dimensional y they are float64.

    References
    ----------
    Bahdanau, Cho and Bengio (2015), "Neural machine translation by jointly learning to align and translate".
    Luong, Pham and Manning (2015), "Effective approaches to attention-based neural machine translation".
    Vaswani et al. (2017), "Attention is all you need".

    Examples
    --------
    >>> import numpy as np
    >>> from skattn import AttentionLSTMRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 11, 2))  # 400 windows of 11 steps of 2 channels
    >>> y = 3 * X[:, 7, 0] + 100           # what matters lies four steps back
    >>> model = AttentionLSTMRegressor(random_state=0).fit(X[:300], y[:300])
    >>> bool(model.score(X[300:], y[300:]) > 0.9)
    True
    """

    _parameter_constraints = {
        **BaseAttentionLSTM._parameter_constraints,
        "loss": [StrOptions({"squared_error", "absolute_error", "huber"}), *USER_LOSS],
    }
    _head = "point"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train on windows X and targets y.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_steps, n_channels) or (n_samples, n_features)
            Windows, oldest first where they are ordered; two-dimensional X has `n_channels` channels.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the windows in the loss and in the scales.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        windows = self._windows(X, y, sample_weight, reset=not (self.warm_start and hasattr(self, "network_")))
        return self.fit_windows(windows, callbacks=self._bridge(X, y))

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one more epoch; scales stay those of the first call.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_steps, n_channels) or (n_samples, n_features)
            Windows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the windows.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        return self.partial_fit_windows(self._windows(X, y, sample_weight, reset=not hasattr(self, "network_")))

    def predict(self, X):
        """Predict the targets of windows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_steps, n_channels) or (n_samples, n_features)
            Windows.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions, in the units of the y of `fit`.
        """
        check_is_fitted(self)
        standard = self.predict_windows(WindowDataset({"past": self._check_X(X)}))[:, 0]
        y = standard * self.y_scale_ + self.y_mean_
        return y if self._multioutput else y.ravel().astype(self.dtype)

    def _windows(self, X, y, sample_weight, reset):
        past, y = self._check_X(X, y, reset=reset, multi_output=True, y_numeric=True)
        target = y.reshape(len(y), -1).astype(np.float64)
        arrays = {"past": past, "target": None}
        index = None
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, past, ensure_non_negative=True)
            arrays["weight"] = sample_weight.astype(self.dtype)[:, None, None]
            index = np.flatnonzero(sample_weight)
        if not reset and target.shape[1] != len(self.y_mean_):
            raise ValueError(
                f"y has {target.shape[1]} outputs but {len(self.y_mean_)} were seen in the first call. "
                "Pass as many, or fit again with warm_start=False."
            )
        if reset:
            scaler = StandardScaler().fit(target, sample_weight=sample_weight)
            if not np.isfinite(scaler.scale_).all():
                raise ValueError(
                    f"y is too large to be standardised: its largest absolute value is {np.abs(target).max():.3g}. "
                    "Scale it down, or predict its logarithm with TransformedTargetRegressor."
                )
            self.y_mean_, self.y_scale_, self._multioutput = scaler.mean_, scaler.scale_, y.ndim > 1
        arrays["target"] = ((target - self.y_mean_) / self.y_scale_).astype(self.dtype)[:, None]  # (n, 1, M)
        n_sensors, n_variables = self._sensors or (1, None)
        by_sensor = self.spatial_attention is not None or self.channel_mode == "independent"
        gap = row_gap(past.shape, max(1, target.shape[1] // n_sensors) if by_sensor else target.shape[1])
        return WindowDataset(arrays, index, gap=gap, n_variables=n_variables)
