"""The doors of sktime: a forecaster that composes the regressor, and two thin faces for panels of series.

This is the only file that imports sktime.
"""

import numpy as np
import pandas as pd
from sklearn.base import clone
from sktime.classification.base import BaseClassifier
from sktime.forecasting.base import BaseForecaster
from sktime.regression.base import BaseRegressor

from skattn.base import weight_columns
from skattn.classifier import AttentionLSTMClassifier
from skattn.horizon import next_dates, steps_ahead
from skattn.panel import append, join, last, split, values
from skattn.regressor import AttentionLSTMRegressor
from skattn.validation import check_observed
from skattn.windows import WindowDataset, cut

_SHARED_TAGS = {
    "authors": ["skattn"],
    "maintainers": ["skattn"],
    "python_dependencies": ["torch", "skorch"],
    "capability:random_state": True,
    "property:randomness": "derandomized",
    "capability:missing_values": True,
    "capability:multivariate": True,
}


class AttentionLSTMForecaster(BaseForecaster):
    """Forecasts of one series, many channels or a panel of series, by a recurrent network with attention.

    One network forecasts all steps up to the longest horizon at once; a longer one is reached by forecasting from
    forecasts. A panel shares one network. After `fit` only the last window of the data is kept.

    Parameters
    ----------
    regressor : AttentionLSTMRegressor, default=None
        The network and its training; its parameters are tuned as ``regressor__attention_dim`` and so on. None stands
        for ``AttentionLSTMRegressor(lr=0.003, dropout=0.2)``: slow and cautious, for series that are short.
    window_length : int, default=None
        Steps of the past that a forecast sees. None means three horizons, at least 36 steps and at most half of the
        series.
    horizon : int, default=None
        Steps ahead that the network is trained for. None means the longest step of the `fh` given to `fit`, or 1.
    random_state : int, RandomState instance or None, default=None
        Seeds the regressor; None leaves that to the regressor's own `random_state`.

    Attributes
    ----------
    regressor_ : AttentionLSTMRegressor
        The trained network.
    window_length_ : int
        Steps of the past that a forecast sees.
    horizon_ : int
        Steps ahead that the network forecasts at once.

    See Also
    --------
    AttentionLSTMRegressor : What it is made of.

    Notes
    -----
    The values of an index are carried along, never resampled: an index of trading days is as good as a regular one.
    Exogenous `X` is known ahead: `predict` needs its values for the steps that are forecast.
    Calling `update` with ``update_params=True`` trains one epoch on the windows that the new data completes;
    ``update_params=False`` only moves the last window.

    Examples
    --------
    >>> from skattn import AttentionLSTMForecaster
    >>> from sktime.datasets import load_airline
    >>> y = load_airline()
    >>> forecaster = AttentionLSTMForecaster(random_state=0).fit(y[:-12], fh=range(1, 13))
    >>> y_pred = forecaster.predict()
    >>> bool((abs(y_pred - y[-12:]) / y[-12:]).mean() < 0.06)
    True
    """

    _tags = {
        **_SHARED_TAGS,
        "y_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "X_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "capability:exogenous": True,
        "capability:categorical_in_X": False,
        "capability:insample": False,
        "capability:pred_int": False,
        "capability:non_contiguous_X": True,
        "capability:unequal_length": True,
        "capability:update": True,
        "requires-fh-in-fit": False,
    }
    _config = {"remember_data": False}

    def __init__(self, regressor=None, window_length=None, horizon=None, random_state=None):
        self.regressor = regressor
        self.window_length = window_length
        self.horizon = horizon
        self.random_state = random_state
        super().__init__()

    def __post_init__(self):
        self._y = self._X = None  # what remember_data=False leaves undefined in sktime 1.2

    def _fit(self, y, X, fh):
        series = split(y)
        self.horizon_ = self._find_horizon(fh, series)
        longest = max(len(one) for one in series.values())
        self.window_length_ = self.window_length or _default_window(longest, self.horizon_)
        self._columns, self._instance_names = y.columns, list(y.index.names[:-1])
        self._tails, self._X_tails = series, split(X) if X is not None else None
        windows = self._cut()
        check_observed(windows.arrays["target"], "y")
        check_observed(windows.arrays["past"], "y or X")
        self._trim()
        self.regressor_ = _seeded(self.regressor or default_regressor(), self.random_state)
        self.regressor_.fit_windows(windows)
        return self

    def _update(self, y, X=None, update_params=True):
        self._tails = append(self._tails, split(y))
        if self._X_tails is not None:
            self._X_tails = append(self._X_tails, split(self._needed_X(X, "update")))
        span = self.window_length_ + self.horizon_
        if update_params and max(len(tail) for tail in self._tails.values()) >= span:
            self.regressor_.partial_fit_windows(self._cut())
        self._trim()
        return self

    def _predict(self, fh, X):
        ahead = {name: steps_ahead(fh, tail.index) for name, tail in self._tails.items()}
        dates = {name: next_dates(self._tails[name].index, steps) for name, steps in ahead.items()}
        paths = self._forecast(max(steps.max() for steps in ahead.values()), X)
        frames = {
            name: pd.DataFrame(path[ahead[name] - 1], index=dates[name].rename(tail.index.name), columns=self._columns)
            for path, (name, tail) in zip(paths, self._tails.items(), strict=True)
        }
        return join(frames, self._instance_names).astype(float)

    def attention_weights(self, kind="temporal", per_head=False):
        """What the forecast from the end of the series looks at.

        Parameters
        ----------
        kind : {'temporal', 'channel', 'input', 'state'}, default='temporal'
            As in :meth:`AttentionLSTMRegressor.attention_weights`.
        per_head : bool, default=False
            Whether each head has rows of its own, or the mean over the heads is shown.

        Returns
        -------
        weights : pandas.DataFrame
            A row per date of the forecast (and per series of a panel, and per head), a column per lag of the past, 0
            for the newest, or per channel. For a single series the columns over time are its dates. Attention on
            inputs and channels is the same for all dates: it has one row. Each row sums to one.
        """
        self.check_is_fitted()
        weights = self.regressor_.attend_windows(self._last_windows(), kind)  # (n, N, Q, L)
        if not per_head:
            weights = weights.mean(1, keepdims=True)
        frames = {}
        for heads, (name, tail) in zip(weights, self._tails.items(), strict=True):
            dates = next_dates(tail.index, np.arange(1, heads.shape[1] + 1)).rename(tail.index.name)
            columns = self._weight_columns(kind, tail.index, heads.shape[2])
            tables = {number: pd.DataFrame(one, index=dates, columns=columns) for number, one in enumerate(heads)}
            frames[name] = join(tables, ["head"]) if per_head else tables[0]
        return join(frames, self._instance_names)

    def _weight_columns(self, kind, index, size):
        if kind == "channel":
            return pd.Index(self._joined(next(iter(self._tails))).columns, name="channel")
        if not self._instance_names and len(index) >= size:
            return index[-size:]
        return weight_columns(kind, size)

    def _last_windows(self):
        """The last window of each series, with nothing known ahead: attention does not read it."""
        arrays = {"past": self._last_past()}
        if self._X_tails is not None:
            arrays["future"] = np.full((len(self._tails), self.horizon_, self._n_exogenous()), np.nan, np.float32)
        return WindowDataset(arrays)

    # ------------------------------------------------------------------ series to windows and back

    def _find_horizon(self, fh, series):
        if self.horizon is not None or fh is None:
            return self.horizon or 1
        return int(max(steps_ahead(fh, one.index).max() for one in series.values()))

    def _cut(self):
        """Windows of the series at hand."""
        series = [values(self._joined(name)) for name in self._tails]
        n_targets = len(self._columns)
        future = None if self._X_tails is None else [one[:, n_targets:] for one in series]
        return cut(series, self.window_length_, self.horizon_, n_targets=n_targets, future=future)

    def _trim(self):
        """Keep the last window, and as many steps before it as the next windows to train on will need."""
        kept = self.window_length_ + self.horizon_ - 1
        self._tails = {name: tail.iloc[-kept:] for name, tail in self._tails.items()}
        if self._X_tails is not None:
            self._X_tails = {name: tail.iloc[-kept:] for name, tail in self._X_tails.items()}

    def _forecast(self, n_steps, X):
        """Forecasts of shape (n_series, at least n_steps, n_targets), block by block of the trained horizon."""
        blocks, path = -(-n_steps // self.horizon_), []
        future = None if self._X_tails is None else self._known(X, blocks * self.horizon_)  # (n, blocks * H, K)
        past = self._last_past()  # (n, L, C)
        for block in range(blocks):
            arrays = {"past": past}
            if future is not None:
                arrays["future"] = future[:, block * self.horizon_ : (block + 1) * self.horizon_]  # (n, H, K)
            path.append(self.regressor_.predict_windows(WindowDataset(arrays)))  # (n, H, M)
            step = path[-1] if future is None else np.concatenate([path[-1], arrays["future"]], -1)  # (n, H, C)
            past = np.concatenate([past, step], 1)[:, -self.window_length_ :]
        return np.concatenate(path, 1)

    def _last_past(self):
        """The last window of each series, (n, L, C)."""
        return np.stack([last(values(self._joined(name)), self.window_length_) for name in self._tails])

    def _joined(self, name):
        """Rows of a series at hand: its targets and, beside them, its exogenous channels."""
        tail = self._tails[name]
        return tail if self._X_tails is None else tail.join(self._X_tails[name], rsuffix="_X")

    def _known(self, X, n_steps):
        """Exogenous values of the next `n_steps` steps, (n, n_steps, K), NaN where there are none."""
        given, known = split(self._needed_X(X, "predict")), []
        for name, tail in self._tails.items():
            dates = next_dates(tail.index, np.arange(1, n_steps + 1))
            known.append(values(given[name].reindex(index=dates, columns=self._X_tails[name].columns)))
        return np.stack(known)

    def _needed_X(self, X, method):
        if X is None:
            raise ValueError(
                f"X is None in {method} but fit was given {self._n_exogenous()} exogenous columns. "
                f"Pass X for the steps of {method}, or fit without X."
            )
        return X

    def _n_exogenous(self):
        return next(iter(self._X_tails.values())).shape[1]

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """Small settings for sktime's checks."""
        small = {"hidden_size": 4, "embedding_dim": 4, "attention_dim": 4, "max_epochs": 2}
        return [
            {"regressor": AttentionLSTMRegressor(**small), "window_length": 3, "random_state": 0},
            {
                "regressor": AttentionLSTMRegressor(
                    **small, attention="multihead", attention_position="both", encoder="gru", normalization="last"
                ),
                "random_state": 1,
            },
            {
                "regressor": AttentionLSTMRegressor(**small, attention=None, channel_attention="dot"),
                "window_length": 2,
                "horizon": 2,
                "random_state": 2,
            },
        ]


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

    _tags = {**_SHARED_TAGS, "X_inner_mtype": "numpy3D"}

    def __init__(self, regressor=None, random_state=None):
        self.regressor = regressor
        self.random_state = random_state
        super().__init__()

    def _fit(self, X, y):
        self.regressor_ = _seeded(self.regressor or AttentionLSTMRegressor(), self.random_state)
        self.regressor_.fit(X.transpose(0, 2, 1), y)
        return self

    def _predict(self, X):
        return self.regressor_.predict(X.transpose(0, 2, 1))

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

    _tags = {**_SHARED_TAGS, "X_inner_mtype": "numpy3D", "capability:predict_proba": True}

    def __init__(self, classifier=None, random_state=None):
        self.classifier = classifier
        self.random_state = random_state
        super().__init__()

    def _fit(self, X, y):
        self.classifier_ = _seeded(self.classifier or AttentionLSTMClassifier(), self.random_state)
        self.classifier_.fit(X.transpose(0, 2, 1), y)
        return self

    def _predict(self, X):
        return self.classifier_.predict(X.transpose(0, 2, 1))

    def _predict_proba(self, X):
        return self.classifier_.predict_proba(X.transpose(0, 2, 1))

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


def default_regressor(**params):
    """What `AttentionLSTMForecaster` trains if it is given no regressor, with other `params` as they are named."""
    return AttentionLSTMRegressor(**{"lr": 0.003, "dropout": 0.2, **params})


def _seeded(estimator, random_state):
    """A fresh copy of `estimator`, seeded unless `random_state` is None."""
    estimator = clone(estimator)
    return estimator if random_state is None else estimator.set_params(random_state=random_state)


def _default_window(n_steps, horizon):
    return max(1, min(max(36, 3 * horizon), (n_steps - horizon + 1) // 2))
