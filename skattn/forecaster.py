"""The door of sktime for forecasts: a forecaster that composes the regressor."""

from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints
from sktime.datatypes import convert_to
from sktime.forecasting.base import BaseForecaster
from sktime.utils.validation.forecasting import check_fh

from skattn.cycles import Cycles, check_periods
from skattn.graph import aligned
from skattn.panel import Panel, join, sensors, split
from skattn.regressor import AttentionLSTMRegressor
from skattn.weights import lags, weight_columns
from skattn.windows import WindowDataset

SHARED_TAGS = {
    "authors": ["skattn"],
    "maintainers": ["skattn"],
    "python_dependencies": ["torch", "skorch"],
    "capability:random_state": True,
    "property:randomness": "derandomized",
    "capability:missing_values": True,
    "capability:multivariate": True,
}

MOST_GRAPHS = 512  # windows that the mean graph of the sensors is taken over

_CONSTRAINTS = {
    "regressor": [AttentionLSTMRegressor, None],
    "window_length": [Interval(Integral, 1, None, closed="left"), None],
    "horizon": [Interval(Integral, 1, None, closed="left"), None],
    "periods": ["array-like", None],
    "periods_role": [StrOptions({"subtract", "embed", "both"})],
    "random_state": ["random_state"],
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
    periods : list of int, default=None
        Lengths of cycles in steps, such as ``[24, 168]`` for the hours of a day and of a week.
    periods_role : {'subtract', 'embed', 'both'}, default='subtract'
        What becomes of the cycles. 'subtract' learns the mean course of each one from every series, takes it out before
        the network sees it, and puts it back into the forecasts; how far it goes beyond chance decides how much of it
        is used. 'embed' tells the network where in each cycle a window ends, by a learned vector for each place; a
        cycle that is a multiple of the next shorter one is told by the number of that one, such as the day of the week.
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
    sensor_graph_ : pandas.DataFrame of shape (n_sensors, n_sensors)
        The graph that `spatial_attention` learned: how much the sensor of a column listened to that of a row, the mean
        over windows of training. Columns sum to one. Only with `spatial_attention`.

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
        **SHARED_TAGS,
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

    def __init__(
        self,
        regressor=None,
        window_length=None,
        horizon=None,
        periods=None,
        periods_role="subtract",
        random_state=None,
    ):
        self.regressor = regressor
        self.window_length = window_length
        self.horizon = horizon
        self.periods = periods
        self.periods_role = periods_role
        self.random_state = random_state
        super().__init__()

    def __post_init__(self):
        self._y = self._X = None  # what remember_data=False leaves undefined in sktime 1.2

    def _check_fh(self, fh, pred_int=False):
        """Check a horizon as sktime does, but for dates, which sktime 1.2 can only compare if they have a frequency."""
        if fh is None and self._fh is not None and self._fh.is_relative:
            return self._fh  # it was checked when it was given, which takes as long as the network's forecast
        checked = None if fh is None else check_fh(fh)
        if checked is None or checked.is_relative or not isinstance(checked.to_pandas(), pd.DatetimeIndex):
            return super()._check_fh(fh, pred_int)
        if (checked.to_pandas() <= self._cutoff[-1]).any():
            raise NotImplementedError(
                f"fh holds {checked.to_pandas().min()}, but {type(self).__name__} can not perform in-sample "
                f"prediction: the series ends with {self._cutoff[-1]}. Use later dates."
            )
        self._fh = checked
        return checked

    def _fit(self, y, X, fh):
        self.regressor_ = compose(self, self.regressor or default_regressor(), _CONSTRAINTS)
        if self.regressor_.spatial_attention is not None:
            names = _named(sensors(y.columns))
            for what in ("adjacency", "coordinates"):
                setattr(self.regressor_, what, aligned(getattr(self.regressor_, what), names, what=what))
        periods = check_periods(() if self.periods is None else self.periods)
        self._cycles = Cycles(() if self.periods_role == "embed" else periods).fit(y)
        panel = self._panel = Panel(self._cycles.without(y), X, () if self.periods_role == "subtract" else periods)
        self.horizon_ = self.horizon or (1 if fh is None else int(max(map(max, panel.steps_ahead(fh).values()))))
        self.window_length_ = self.window_length or _default_window(len(panel), self.horizon_)
        windows = panel.cut(self.window_length_, self.horizon_)
        panel.check()
        panel.trim(self.window_length_ + self.horizon_ - 1)
        self.regressor_.fit_windows(windows)
        if self.regressor_.spatial_attention is not None:
            self.sensor_graph_ = self._sensor_graph(windows)
        return self

    def _sensor_graph(self, windows):
        """Mean weight of each sensor (row) to each other (column), over a sample of windows."""
        sample = windows.take(np.arange(0, len(windows), -(-len(windows) // MOST_GRAPHS)))
        weights = self.regressor_.attend_windows(sample, "spatial").sum(0).T  # (M, M)
        weights = weights / np.maximum(weights.sum(0), 1e-30)  # of the windows in which anything was observed
        return pd.DataFrame(weights, self._panel.sensors.rename("sensor"), self._panel.sensors.rename("listener"))

    def _update(self, y, X=None, update_params=True):
        span = self.window_length_ + self.horizon_
        self._panel.append(self._cycles.without(y), X)
        if update_params and len(self._panel) >= span:
            self.regressor_.partial_fit_windows(self._panel.cut(self.window_length_, self.horizon_))
        self._panel.trim(span - 1)  # the last window, and what the next windows to train on will need before it
        return self

    def _predict(self, fh, X):
        ahead = self._panel.steps_ahead(fh)
        dates = {name: self._panel.dates(name, steps) for name, steps in ahead.items()}
        if self._panel.X is not None:
            X = self._panel.given(X, "predict", dates)
        paths = self._forecast(max(map(max, ahead.values())), X)
        frames = {}
        for path, (name, steps) in zip(paths, ahead.items(), strict=True):
            values = path[steps - 1].astype(float) + self._cycles.at(name, dates[name])
            frames[name] = pd.DataFrame(values, dates[name], self._panel.columns)
        return self._panel.join(frames)

    def _forecast(self, n_steps, X):
        """Forecasts of shape (n_series, at least n_steps, n_targets), block by block of the trained horizon."""
        blocks, path = -(-n_steps // self.horizon_), []
        future = None if self._panel.X is None else self._panel.known(X, blocks * self.horizon_)  # (n, blocks * H, K)
        arrays = self._panel.last(self.window_length_)
        for block in range(blocks):
            if future is not None:
                arrays["future"] = future[:, block * self.horizon_ : (block + 1) * self.horizon_]  # (n, H, K)
            path.append(self.regressor_.predict_windows(WindowDataset(arrays)))  # (n, H, M)
            step = path[-1] if future is None else np.concatenate([path[-1], arrays["future"]], -1)  # (n, H, C)
            arrays["past"] = np.concatenate([arrays["past"], step], 1)[:, -self.window_length_ :]  # (n, L, C)
            if "place" in arrays:
                arrays["place"] = arrays["place"] + self.horizon_  # (n,)
        return np.concatenate(path, 1)

    def attention_weights(self, y=None, X=None, kind="temporal", per_head=False, per_horizon=True):
        """What the forecast from the end of a series looks at.

        Parameters
        ----------
        y : pandas.Series, pandas.DataFrame or panel of sktime's, default=None
            Series up to where the forecast starts. None means those of `fit` and `update`.
        X : pandas.DataFrame or panel of sktime's, default=None
            Exogenous values on the steps of `y`, where `fit` was given any, and on the steps ahead: the attention on
            states depends on those, and takes them as unknown if they are not given.
        kind : {'temporal', 'channel', 'joint', 'spatial', 'input', 'state'}, default='temporal'
            As in :meth:`AttentionLSTMRegressor.attention_weights`; or 'spatial', with `spatial_attention`.
        per_head : bool, default=False
            Whether each head has rows of its own, or the mean over the heads is shown.
        per_horizon : bool, default=True
            Whether each date of the forecast has a row, or their mean is shown, on the first date.

        Returns
        -------
        weights : pandas.DataFrame
            A row per date of the forecast (and per series of a panel, and per head), a column per lag of the past, 0
            for the newest, per channel, or per pair of them. For a single series the columns over time are its dates.
            Attention on inputs and channels is the same for all dates: it has one row. With 'spatial', a row per sensor
            that listens and a column per sensor that it looks at, for all dates. Each row sums to one.
        """
        self.check_is_fitted()
        panel = self._panel if y is None else self._other_panel(y, X)
        arrays = panel.last(self.window_length_)
        if panel.X is not None:
            known = panel.X
            if y is None and X is not None:
                dates = {name: panel.dates(name, np.arange(1, self.horizon_ + 1)) for name in panel.y}
                known = panel.given(convert_to(X, self._tags["X_inner_mtype"]), "attention_weights", dates)
            arrays["future"] = panel.known(known, self.horizon_)  # (n, H, K)
        weights = self.regressor_.attend_windows(WindowDataset(arrays), kind, per_head=True)  # (n, N, Q, size)
        if not per_head:
            weights = weights.mean(1, keepdims=True)
        if not per_horizon and kind != "spatial":
            weights = weights.mean(2, keepdims=True)
        frames = {}
        for heads, name in zip(weights, panel.y, strict=True):
            dates = panel.dates(name, np.arange(1, heads.shape[1] + 1))
            rows = panel.sensors.rename("listener") if kind == "spatial" else dates
            columns = self._weight_columns(panel, kind, name, heads.shape[2])
            tables = {number: pd.DataFrame(one, index=rows, columns=columns) for number, one in enumerate(heads)}
            frames[name] = join(tables, ["head"]) if per_head else tables[0]
        return panel.join(frames)

    def windows(self, y, X=None):
        """All windows of a series or panel with what followed them, as the network is trained on.

        Parameters
        ----------
        y : pandas.Series, pandas.DataFrame or panel of sktime's
            Series with the columns of `fit`.
        X : pandas.DataFrame or panel of sktime's, default=None
            Exogenous values on the steps of `y`, where `fit` was given any.

        Returns
        -------
        windows : WindowDataset
            As :func:`skattn.windows.cut` makes them, without cycles; `regressor_` predicts and explains them.
        """
        self.check_is_fitted()
        return self._other_panel(y, X).cut(self.window_length_, self.horizon_)

    def _other_panel(self, y, X):
        """A panel other than that of `fit`, with its columns."""
        y, X = (None if table is None else convert_to(table, self._tags["y_inner_mtype"]) for table in (y, X))
        if not y.columns.equals(self._panel.columns):
            raise ValueError(
                f"y has columns {y.columns.tolist()} but fit was given {self._panel.columns.tolist()}. "
                "Pass the same ones."
            )
        if self._panel.X is not None:
            names = {name: frame.index for name, frame in split(y).items()}
            X = join(self._panel.given(X, "this call", names), y.index.names[:-1])
        panel = Panel(self._cycles.without(y), X if self._panel.X is not None else None, self._panel.periods)
        panel.check()
        panel.offsets |= {name: offset for name, offset in self._panel.offsets.items() if name in panel.y}
        return panel

    def _weight_columns(self, panel, kind, name, size):
        if kind == "spatial":
            return panel.sensors.rename("sensor")
        rows = panel.joined(name)
        steps = rows.index[-self.window_length_ :] if name is None and len(rows) >= self.window_length_ else None
        return weight_columns(kind, lags(self.window_length_) if steps is None else steps, rows.columns, size)

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
                "regressor": AttentionLSTMRegressor(
                    **small, patch_length=2, channel_mode="independent", channel_attention="dot"
                ),
                "window_length": 2,
                "horizon": 2,
                "periods": [2],
                "periods_role": "both",
                "random_state": 2,
            },
        ]


def default_regressor(**params):
    """What `AttentionLSTMForecaster` trains if it is given no regressor, with other `params` as they are named."""
    return AttentionLSTMRegressor(**{"lr": 0.003, "dropout": 0.2, **params})


def compose(door, estimator, constraints):
    """What trains behind an sktime estimator: a fresh copy with valid parameters, seeded if `random_state` is given."""
    validate_parameter_constraints(constraints, door.get_params(deep=False), caller_name=type(door).__name__)
    estimator = clone(estimator)
    if door.random_state is not None:
        estimator.set_params(random_state=door.random_state)
    estimator._validate_params()
    return estimator


def _named(names):
    """Names of sensors, which must be of one level."""
    if names.nlevels > 1:
        raise ValueError(
            f"y has {len(names)} columns of {names.nlevels} levels, but spatial_attention needs two, (sensor, "
            "variable), with the same variables in the same order for each sensor. Reindex the columns with "
            "pandas.MultiIndex.from_product([sensors, variables]); NaN stands for what a sensor does not measure."
        )
    return names


def _default_window(n_steps, horizon):
    return max(1, min(max(36, 3 * horizon), (n_steps - horizon + 1) // 2))
