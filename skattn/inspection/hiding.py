"""What a network makes of windows of which parts are hidden: the ground that every check of attention stands on.

Letters: ``n`` windows, ``L`` steps, ``C`` channels, ``J`` parts that can be hidden.
"""

from numbers import Integral

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skattn.weights import KINDS
from skattn.windows import WindowDataset

REMOVALS = ("level", "permute", "mask")


class Subject:
    """A fitted network and the windows that it is asked about.

    Parameters
    ----------
    estimator : AttentionLSTMRegressor, AttentionLSTMClassifier, AttentionLSTMForecaster or Pipeline
        Fitted. The steps of a pipeline before the last are applied first.
    X, y : array-like or None
        Windows and targets; for a forecaster exogenous values, if it has any, and the series.
    removal : {'level', 'permute', 'mask'}
        What is put where something is hidden.
    max_samples : int or None
        Largest number of windows; more are thinned out at random.
    rng : numpy.random.RandomState
        Draws windows and permutations.
    """

    def __init__(self, estimator, X, y, removal, max_samples, rng):
        if removal not in REMOVALS:
            raise ValueError(f"removal={removal!r} is unknown. Use one of {', '.join(map(repr, REMOVALS))}.")
        if hasattr(estimator, "steps"):
            check_is_fitted(estimator)
            estimator, X = estimator[-1], X if len(estimator) == 1 else estimator[:-1].transform(X)
        if max_samples is not None and not (isinstance(max_samples, Integral) and max_samples > 0):
            raise ValueError(
                f"max_samples must be a whole number above 0, got {max_samples!r}. Use None for all windows."
            )
        if hasattr(estimator, "windows"):
            estimator.check_is_fitted()
            if y is None:
                raise ValueError("y is None, but the windows of a forecaster are those of a series. Pass it as y.")
            self.core, windows = estimator.regressor_, estimator.windows(y, X)
            places = windows.index
        else:
            check_is_fitted(estimator)
            if not hasattr(estimator, "attend_windows"):
                raise TypeError(
                    f"{type(estimator).__name__} is no estimator of skattn. Pass an AttentionLSTMRegressor, "
                    "AttentionLSTMClassifier or AttentionLSTMForecaster, or a Pipeline that ends in one."
                )
            self.core = estimator
            windows = (
                WindowDataset({"past": estimator._check_X(X)})
                if y is None
                else estimator._windows(X, y, None, reset=False)
            )
            places = np.arange(len(windows.arrays["past"]))  # those without weight in training too
        self.removal, self.rng = removal, rng
        if max_samples is not None and len(places) > max_samples:
            places = np.sort(rng.choice(places, max_samples, replace=False))
        self.arrays = {name: values[places] for name, values in windows.arrays.items()}
        self.autoregressive = windows.autoregressive
        self.past = self.arrays["past"]  # (n, L, C)
        self.observed = ~np.isnan(self.past)  # (n, L, C)
        self._level = None

    def windows(self, hidden=None):
        """The windows, without what `hidden`, a bool array that broadcasts to (n, L, C), hides."""
        arrays = dict(self.arrays)
        if hidden is not None:
            arrays["past"] = np.where(hidden & self.observed, self._substitute(), self.past)
        return WindowDataset(arrays, autoregressive=self.autoregressive)

    def predict(self, hidden=None):
        """Forecasts (n, outputs): steps ahead and targets, or probabilities of classes."""
        return self.core.predict_windows(self.windows(hidden)).reshape(len(self.past), -1)

    def losses(self, hidden=None):
        """Loss of each window (n,), NaN where it has no target."""
        return self.core.loss_windows(self.windows(hidden))

    def loss(self, hidden=None):
        """Mean over the windows of their loss."""
        return float(np.nanmean(self.losses(hidden)))

    def weights(self, kind):
        """Attention weights (n, J), averaged over heads and steps ahead."""
        _check(kind)
        return self.core.attend_windows(self.windows(), kind).mean(1)

    def spread(self, parts, kind):
        """An array over parts (..., J) as one over steps and channels that broadcasts to (..., L, C)."""
        if kind == "joint":
            parts = parts.reshape(*parts.shape[:-1], self.past.shape[1], -1)  # (..., L, K)
        else:
            parts = parts[..., None, :] if kind == "channel" else parts[..., None]  # (..., 1, K) or (..., L, 1)
        others = self.past.shape[2] - parts.shape[-1]
        if kind in ("channel", "joint") and others:  # only the last channels, the drivers, are attended to
            parts = np.concatenate([np.zeros((*parts.shape[:-1], others), parts.dtype), parts], -1)
        return parts

    def present(self, kind):
        """Whether each part (n, J) has an observed value."""
        if kind == "joint":
            return self.observed.reshape(len(self.observed), -1)  # (n, L * C)
        return self.observed.any(1 if kind == "channel" else 2)  # (n, C) or (n, L)

    def weighed(self, values, kind, size):
        """Of `values` of all parts (..., J), those (..., size) that weights are of: the last channels are drivers."""
        if kind != "joint":
            return values[..., -size:]
        table = values.reshape(*values.shape[:-1], *self.past.shape[1:])  # (..., L, C)
        return table[..., -(size // table.shape[-2]) :].reshape(*values.shape[:-1], size)

    def n_parts(self, kind):
        """How many parts J of a kind there are: steps, channels or pairs of them."""
        _check(kind)
        _, steps, channels = self.past.shape
        return {"channel": channels, "joint": steps * channels}.get(kind, steps)

    def level(self):
        """The level (n, 1, C) that the network's normalisation takes out of each window."""
        if self._level is None:
            network = self.core.network_
            with torch.inference_mode():
                past = torch.from_numpy(self.past).to(network.head.bias.device)
                level = network.normalization(past)[1][0].cpu().numpy()  # (n or 1, 1, C)
            self._level = np.broadcast_to(level, (len(self.past), 1, self.past.shape[2]))
        return self._level

    def _substitute(self):
        if self.removal == "level":
            return self.level()
        if self.removal == "permute":
            return self.past[self.rng.permutation(len(self.past))]
        return np.float32(np.nan)


def _check(kind):
    """Refuse a kind that does not exist, or of which there are no parts to hide."""
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown. Use one of {', '.join(map(repr, KINDS))}.")
    if kind == "spatial":
        raise ValueError(
            "kind='spatial' has weights for each sensor that listens, but what is hidden here is hidden from all. "
            "Use kind='channel' of occlusion, or compare with a forecaster without spatial_attention."
        )
