"""Thin faces of the regressor and the classifier for sktime's panels of series."""

from sktime.classification.base import BaseClassifier
from sktime.datatypes import convert_to
from sktime.regression.base import BaseRegressor

from skattn.classifier import AttentionLSTMClassifier
from skattn.forecaster import SHARED_TAGS, compose
from skattn.regressor import AttentionLSTMRegressor


class AttentionLSTMTimeSeriesRegressor(BaseRegressor):
    """`AttentionLSTMRegressor` for sktime, whose panels are (n_instances, n_channels, n_steps).

    Parameters
    ----------
    regressor : AttentionLSTMRegressor, default=None
        The network and its training. None stands for ``AttentionLSTMRegressor()``.
    random_state : int, RandomState instance or None, default=None
        Seeds the regressor; None leaves that to the regressor's own `random_state`.

    Attributes
    ----------
    regressor_ : AttentionLSTMRegressor
        The trained network.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn import AttentionLSTMTimeSeriesRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 2, 11))  # 200 series of 2 channels of 11 steps
    >>> model = AttentionLSTMTimeSeriesRegressor(random_state=0).fit(X, X[:, 0, 7])
    >>> bool(model.score(X, X[:, 0, 7]) > 0.9)
    True
    """

    _tags = {**SHARED_TAGS, "X_inner_mtype": "numpy3D"}

    def __init__(self, regressor=None, random_state=None):
        self.regressor = regressor
        self.random_state = random_state
        super().__init__()

    def _fit(self, X, y):
        constraints = {"regressor": [AttentionLSTMRegressor, None], "random_state": ["random_state"]}
        self.regressor_ = compose(self, self.regressor or AttentionLSTMRegressor(), constraints)
        self.regressor_.set_params(layout="channels_last").fit(X.transpose(0, 2, 1), y)
        return self

    def _predict(self, X):
        return self.regressor_.predict(X.transpose(0, 2, 1))

    def attention_weights(self, X, kind="temporal", per_head=False, per_horizon=True):
        """What the prediction for each series looked at, as :meth:`AttentionLSTMRegressor.attention_weights`.

        Parameters
        ----------
        X : panel of sktime's
            Series, in any of sktime's formats.
        kind : {'temporal', 'channel', 'joint', 'input', 'state'}, default='temporal'
            Past steps, channels or both.
        per_head : bool, default=False
            Whether each head is shown, or the mean over the heads.
        per_horizon : bool, default=True
            Without effect: there is one step to predict.

        Returns
        -------
        weights : ndarray of shape (n_instances, n_steps or n_channels) or (n_instances, n_steps, n_channels)
            With `per_head`, (n_instances, num_heads, ...).
        """
        self.check_is_fitted()
        X = convert_to(X, "numpy3D").transpose(0, 2, 1)
        return self.regressor_.attention_weights(X, kind, per_head, per_horizon)

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """Small settings for sktime's checks."""
        return _face_test_params("regressor", AttentionLSTMRegressor)


class AttentionLSTMTimeSeriesClassifier(BaseClassifier):
    """`AttentionLSTMClassifier` for sktime, whose panels are (n_instances, n_channels, n_steps).

    Parameters
    ----------
    classifier : AttentionLSTMClassifier, default=None
        The network and its training. None stands for ``AttentionLSTMClassifier()``.
    random_state : int, RandomState instance or None, default=None
        Seeds the classifier; None leaves that to the classifier's own `random_state`.

    Attributes
    ----------
    classifier_ : AttentionLSTMClassifier
        The trained network.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn import AttentionLSTMTimeSeriesClassifier
    >>> X = np.random.default_rng(0).normal(size=(200, 2, 11))  # 200 series of 2 channels of 11 steps
    >>> model = AttentionLSTMTimeSeriesClassifier(random_state=0).fit(X, X[:, 0, 7] > 0)
    >>> bool(model.score(X, X[:, 0, 7] > 0) > 0.9)
    True
    """

    _tags = {**SHARED_TAGS, "X_inner_mtype": "numpy3D", "capability:predict_proba": True}

    def __init__(self, classifier=None, random_state=None):
        self.classifier = classifier
        self.random_state = random_state
        super().__init__()

    def _fit(self, X, y):
        constraints = {"classifier": [AttentionLSTMClassifier, None], "random_state": ["random_state"]}
        self.classifier_ = compose(self, self.classifier or AttentionLSTMClassifier(), constraints)
        self.classifier_.set_params(layout="channels_last").fit(X.transpose(0, 2, 1), y)
        return self

    def _predict(self, X):
        return self.classifier_.predict(X.transpose(0, 2, 1))

    def _predict_proba(self, X):
        return self.classifier_.predict_proba(X.transpose(0, 2, 1))

    def attention_weights(self, X, kind="temporal", per_head=False, per_horizon=True):
        """What the prediction for each series looked at, as :meth:`AttentionLSTMClassifier.attention_weights`.

        Parameters
        ----------
        X : panel of sktime's
            Series, in any of sktime's formats.
        kind : {'temporal', 'channel', 'joint', 'input', 'state'}, default='temporal'
            Past steps, channels or both.
        per_head : bool, default=False
            Whether each head is shown, or the mean over the heads.
        per_horizon : bool, default=True
            Without effect: there is one step to predict.

        Returns
        -------
        weights : ndarray of shape (n_instances, n_steps or n_channels) or (n_instances, n_steps, n_channels)
            With `per_head`, (n_instances, num_heads, ...).
        """
        self.check_is_fitted()
        X = convert_to(X, "numpy3D").transpose(0, 2, 1)
        return self.classifier_.attention_weights(X, kind, per_head, per_horizon)

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """Small settings for sktime's checks."""
        return _face_test_params("classifier", AttentionLSTMClassifier)


def _face_test_params(name, kind):
    small = {"hidden_size": 4, "embedding_dim": 4, "attention_dim": 4, "max_epochs": 5}
    return [
        {name: kind(**small), "random_state": 0},
        {name: kind(**small, attention="dot", encoder="gru"), "random_state": 1},
    ]
