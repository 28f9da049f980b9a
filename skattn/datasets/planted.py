"""Windows of independent values, a few of which enter the target."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

_COUNT = [Interval(Integral, 1, None, closed="left")]
_PLANTED = {
    "n_samples": _COUNT,
    "n_steps": _COUNT,
    "n_channels": _COUNT,
    "coef": ["array-like", None],
    "effect": [StrOptions({"linear", "absolute"})],
    "noise": [Interval(Real, 0, None, closed="left")],
    "random_state": ["random_state"],
}


@validate_params(
    _PLANTED | {"lags": ["array-like"], "channel": [Interval(Integral, 0, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def make_planted_lags(
    n_samples=1000,
    n_steps=24,
    n_channels=1,
    *,
    lags=(3, 11),
    channel=0,
    coef=None,
    effect="linear",
    noise=0.1,
    random_state=None,
):
    """Make windows of which a few lags of one channel enter the target.

    All values are independent and standard normal, so a lag cannot be read from its neighbours. With ``x[-1 - lag]``
    the value `lag` steps before the newest, the target is ``sum(coef * f(x[-1 - lag])) + noise * e``, `e` standard
    normal and ``f(x)`` either ``x`` or ``abs(x)``.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of windows.

    n_steps : int, default=24
        Number of steps of a window.

    n_channels : int, default=1
        Number of channels.

    lags : array-like of int, default=(3, 11)
        Lags that enter the target, each once; 0 is the newest step.

    channel : int, default=0
        The channel that they are lags of.

    coef : array-like of float or None, default=None
        A coefficient for each lag. None stands for ones. What has the coefficient 0 does not enter.

    effect : {"linear", "absolute"}, default="linear"
        "absolute" has no correlation with the target, so that no linear model can see it.

    noise : float, default=0.1
        Standard deviation of the noise of the target.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same data in every call.

    Returns
    -------
    X : ndarray of shape (n_samples, n_steps, n_channels)
        Windows, oldest step first.

    y : ndarray of shape (n_samples,)
        Target.

    truth : ndarray of bool, of shape (n_samples, n_steps, n_channels)
        True for the lags that enter.

    Raises
    ------
    ValueError
        If a lag or the channel lies outside the window, a lag occurs twice, or `coef` has another length.

    Examples
    --------
    >>> from skattn.datasets import make_planted_lags
    >>> X, y, truth = make_planted_lags(n_steps=5, lags=(0, 3), random_state=0)
    >>> X.shape, y.shape
    ((1000, 5, 1), (1000,))
    >>> truth[0, :, 0]
    array([False,  True, False, False,  True])
    """
    lags = _check_lags(lags, n_steps)
    if channel >= n_channels:
        raise ValueError(
            f"channel={channel} is out of range: with n_channels={n_channels} it may be 0 to {n_channels - 1}. "
            "Use a smaller channel or more n_channels."
        )
    coef = _check_coef(coef, len(lags), "lags")
    weights = np.zeros((n_steps, n_channels))
    weights[n_steps - 1 - lags, channel] = coef
    return _plant(n_samples, weights, effect, noise, check_random_state(random_state))


@validate_params(
    _PLANTED | {"n_drivers": _COUNT, "n_relevant_steps": [*_COUNT, None]},
    prefer_skip_nested_validation=True,
)
def make_planted_drivers(
    n_samples=1000,
    n_steps=24,
    n_channels=10,
    *,
    n_drivers=2,
    n_relevant_steps=None,
    coef=None,
    effect="linear",
    noise=0.1,
    random_state=None,
):
    """Make windows of which a few channels enter the target, with all or the newest of their steps.

    All values are independent and standard normal, so drivers cannot be told from the other channels by their looks.
    A driver adds ``coef * sum(f(x[-m:])) / sqrt(m)`` to the target, with ``m = n_relevant_steps``: a part of variance
    ``coef ** 2``, whatever `m`, if the effect is linear.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of windows.

    n_steps : int, default=24
        Number of steps of a window.

    n_channels : int, default=10
        Number of channels.

    n_drivers : int, default=2
        Number of channels that enter the target. `random_state` draws which.

    n_relevant_steps : int or None, default=None
        How many of the newest steps of a driver enter. None stands for all.

    coef : array-like of float or None, default=None
        A coefficient for each driver, in the order of the channels. None stands for ones. What has the
        coefficient 0 does not enter.

    effect : {"linear", "absolute"}, default="linear"
        ``f(x)`` is ``x`` or ``abs(x)``, which has no correlation with the target.

    noise : float, default=0.1
        Standard deviation of the noise of the target.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same data in every call. Split one call into train and test: another may draw other
        drivers.

    Returns
    -------
    X : ndarray of shape (n_samples, n_steps, n_channels)
        Windows, oldest step first.

    y : ndarray of shape (n_samples,)
        Target.

    truth : ndarray of bool, of shape (n_samples, n_steps, n_channels)
        True for the steps and channels that enter.

    Raises
    ------
    ValueError
        If there are more drivers than channels, more relevant steps than steps, or `coef` has another length.

    Examples
    --------
    >>> from skattn.datasets import make_planted_drivers
    >>> X, y, truth = make_planted_drivers(n_steps=5, n_channels=4, n_relevant_steps=3, random_state=0)
    >>> truth[0].sum(axis=0)  # steps of each channel
    array([0, 0, 3, 3])
    """
    m = n_steps if n_relevant_steps is None else n_relevant_steps
    for name, value, limit, whole in (
        ("n_drivers", n_drivers, "n_channels", n_channels),
        ("n_relevant_steps", m, "n_steps", n_steps),
    ):
        if value > whole:
            raise ValueError(f"{name}={value} but {limit}={whole} is the most. Use a smaller {name} or more {limit}.")
    coef = _check_coef(coef, n_drivers, "drivers")
    random_state = check_random_state(random_state)
    drivers = np.sort(random_state.permutation(n_channels)[:n_drivers])
    weights = np.zeros((n_steps, n_channels))
    weights[n_steps - m :, drivers] = coef / np.sqrt(m)
    return _plant(n_samples, weights, effect, noise, random_state)


def _plant(n_samples, weights, effect, noise, random_state):
    """Windows, target and truth, where `weights` (n_steps, n_channels) is what a value counts for."""
    X = random_state.normal(size=(n_samples, *weights.shape))
    y = np.tensordot(np.abs(X) if effect == "absolute" else X, weights, axes=2)
    y += noise * random_state.normal(size=n_samples)
    return X, y, np.repeat(weights[None] != 0, n_samples, axis=0)


def _check_lags(lags, n_steps):
    lags = np.asarray(lags)
    if lags.ndim != 1 or not len(lags) or not np.issubdtype(lags.dtype, np.integer):
        raise ValueError(
            f"lags must be a list of one int or more, got {lags.tolist()!r}. Use for example lags=(3, 11)."
        )
    if lags.min() < 0 or lags.max() >= n_steps:
        raise ValueError(
            f"lags reach from {lags.min()} to {lags.max()} but with n_steps={n_steps} they may be 0 (the newest step) "
            f"to {n_steps - 1}. Use shorter lags or more n_steps."
        )
    if len(np.unique(lags)) < len(lags):
        raise ValueError(
            f"lags holds {len(lags)} values of which {len(np.unique(lags))} differ. Name each lag once, and put its "
            "weight into coef."
        )
    return lags


def _check_coef(coef, n_needed, what):
    coef = np.ones(n_needed) if coef is None else np.asarray(coef, dtype=float)
    if coef.shape != (n_needed,):
        raise ValueError(
            f"coef has shape {coef.shape} but {n_needed} values are needed, one for each of the {what}. "
            "Give as many, or coef=None for ones."
        )
    return coef
