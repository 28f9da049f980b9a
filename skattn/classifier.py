"""`AttentionLSTMClassifier`: labels, class weights, probabilities."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d

from skattn.base import BaseAttentionLSTM
from skattn.parameters import ATTRIBUTES, PARAMETERS, USER_LOSS
from skattn.windows import WindowDataset, row_gap


@dataclass(kw_only=True, eq=False, repr=False)
class AttentionLSTMClassifier(ClassifierMixin, BaseAttentionLSTM):
    __doc__ = f"""Classification of windows of a sequence, by a recurrent network with attention.

    A row of X is a window. Missing values are NaN and are masked.

    {PARAMETERS.replace("{loss_names}", "{'cross_entropy'}").replace("{loss_default!r}", "'cross_entropy'")}
    class_weight : dict, 'balanced' or None, default=None
        Weights of the classes, by label; 'balanced' makes every class count the same.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    {ATTRIBUTES}

    See Also
    --------
    AttentionLSTMRegressor : The same for numbers.
    AttentionLSTMTimeSeriesClassifier : The same in sktime.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn import AttentionLSTMClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 11, 2))
    >>> y = np.where(X[:, 7, 0] > 0, "up", "down")
    >>> model = AttentionLSTMClassifier(random_state=0).fit(X[:300], y[:300])
    >>> bool(model.score(X[300:], y[300:]) > 0.8)
    True
    """

    loss: object = "cross_entropy"
    class_weight: object = None

    _parameter_constraints = {
        **BaseAttentionLSTM._parameter_constraints,
        "loss": [StrOptions({"cross_entropy"}), *USER_LOSS],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _head = "class"

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train on windows X and labels y.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_steps, n_channels) or (n_samples, n_features)
            Windows, oldest first where they are ordered; two-dimensional X has `n_channels` channels.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the windows in the loss and in the scales.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        windows = self._windows(X, y, sample_weight, reset=not (self.warm_start and hasattr(self, "network_")))
        return self.fit_windows(windows, n_params=len(self.classes_), callbacks=self._bridge(X, y))

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one more epoch; scales stay those of the first call.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_steps, n_channels) or (n_samples, n_features)
            Windows.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur; read in the first call, None means those of its y.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the windows.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        windows = self._windows(X, y, sample_weight, reset=not hasattr(self, "network_"), classes=classes)
        return self.partial_fit_windows(windows, n_params=len(self.classes_))

    def predict_proba(self, X):
        """Probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_steps, n_channels) or (n_samples, n_features)
            Windows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        check_is_fitted(self)
        return self.predict_windows(WindowDataset({"past": self._check_X(X)}))[:, 0, 0]

    def predict(self, X):
        """The most probable label of each window.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_steps, n_channels) or (n_samples, n_features)
            Windows.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels.
        """
        probabilities = self.predict_proba(X)  # first, since it checks that there are classes
        return self.classes_[probabilities.argmax(1)]

    def _windows(self, X, y, sample_weight, reset, classes=None):
        past, y = self._check_X(X, y, reset=reset)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if reset:
            self.classes_ = np.unique(y if classes is None else classes)
        self._check_labels(y)
        codes = np.searchsorted(self.classes_, y)
        arrays = {"past": past, "target": codes.astype(self.dtype)[:, None, None]}  # (n, 1, 1)
        index = None
        if sample_weight is not None or self.class_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, past, ensure_non_negative=True)
            sample_weight = sample_weight * compute_sample_weight(self.class_weight, y)
            arrays["weight"] = sample_weight.astype(self.dtype)[:, None, None]
            index = np.flatnonzero(sample_weight)
        return WindowDataset(arrays, index, gap=row_gap(past.shape))

    def _check_labels(self, y):
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y holds labels unknown to the first call, {len(unknown)} such as {unknown.tolist()[0]!r}; known are "
                f"{self.classes_.tolist()}. Name all of them in the first call: partial_fit(X, y, classes=...)."
            )
