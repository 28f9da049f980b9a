"""Rows of X become windows: what scikit-learn's doors hand in, checked and shaped."""

from math import prod

from sklearn.utils.validation import validate_data

from skattn.validation import check_observed


class RowsAsWindows:
    """A row of X is a window: (n_samples, n_steps, n_channels), or flattened, or (n_samples, n_steps, n_sensors,
    n_channels). For estimators with a `network_`."""

    _sensors = None  # how many sensors with how many channels each, of X with four dimensions

    def _check_X(self, X, y="no_validation", *, reset=False, **y_checks):
        """Validated past of shape (n, L, C), a view of X wherever dtype and layout allow; with `y` the pair."""
        shape = getattr(X, "shape", ())
        if not reset and len(shape) > 2:
            time, last = (1, 2) if self.layout == "channels_last" else (-1, 1)
            self._check_shape((shape[0], shape[time], prod(shape[last : last + len(shape) - 2])))
        elif not reset and len(shape) == 2 and self.n_channels_in_ != self.n_channels:
            raise ValueError(
                f"X has 2 dimensions, which stands for n_channels = {self.n_channels} channels, but "
                f"{self.n_channels_in_} were seen in fit. Pass X of shape (n_samples, n_steps, n_channels)."
            )
        checks = {"dtype": self.dtype, "allow_nd": True, "ensure_all_finite": False, "reset": reset}
        if isinstance(y, str):
            X = validate_data(self, X, **checks)
        else:
            X, y = validate_data(self, X, y, **checks, **y_checks)
        past, sensors = self._unflatten(X)
        if 0 in past.shape:
            raise ValueError(
                f"X has windows of {past.shape[1]} steps of {past.shape[2]} channels, but one of each is needed. "
                "Pass windows of shape (n_samples, n_steps, n_channels)."
            )
        check_observed(past)
        if reset:
            self.n_channels_in_, self._sensors = past.shape[2], sensors
        else:
            self._check_shape(past.shape)
        if sensors != self._sensors:
            raise ValueError(
                f"X has windows of {_named(sensors)}, but {_named(self._sensors)} were seen in fit. Pass X of the same "
                "shape, or fit again."
            )
        return past if isinstance(y, str) else (past, y)

    def _unflatten(self, X):
        """X as windows (n, L, C), and how many sensors with how many channels each there are, or None."""
        if X.ndim > 4:
            raise ValueError(
                f"X has {X.ndim} dimensions but at most 4 are allowed: (n_samples, n_steps, n_sensors, n_channels). "
                "Reshape your data, for example with X.reshape(len(X), n_steps, -1)."
            )
        first = self.layout == "channels_first"
        if X.ndim == 4:
            X = X.transpose(0, 3, 1, 2) if first else X
            return X.reshape(*X.shape[:2], -1), X.shape[2:]
        if X.ndim == 2:
            if X.shape[1] % self.n_channels:
                raise ValueError(
                    f"X has {X.shape[1]} columns, which n_channels = {self.n_channels} channels of equal length cannot "
                    "fill. Use a divisor for n_channels, or pass X of shape (n_samples, n_steps, n_channels)."
                )
            shape = (self.n_channels, -1) if first else (-1, self.n_channels)
            X = X.reshape(len(X), *shape)
        return X.transpose(0, 2, 1) if first else X, None

    def _check_shape(self, shape):
        config = self.network_.config
        for axis, unit, size in ((1, "steps", "window_length"), (2, "channels", "n_channels")):
            if shape[axis] != config[size]:
                raise ValueError(
                    f"X has windows of {shape[axis]} {unit}, but {type(self).__name__} is expecting {config[size]} "
                    f"{unit}, as seen in fit. Pass windows of {config[size]} {unit}, or fit again."
                )


def _named(sensors):
    """A pair of numbers of sensors and of their channels, or None, in words."""
    return "channels without sensors" if sensors is None else "{} sensors with {} channels each".format(*sensors)
