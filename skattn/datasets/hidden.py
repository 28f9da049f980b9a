"""Windows of which a hidden state decides which channel enters the target: two data sets of the literature."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

_STATES = {
    "n_samples": [Interval(Integral, 1, None, closed="left")],
    "n_steps": [Interval(Integral, 1, None, closed="left")],
    "slope": [Interval(Real, 0, None, closed="left")],
    "target": [StrOptions({"label", "probability", "logit"})],
    "random_state": ["random_state"],
}


@validate_params(_STATES | {"gamma": [Interval(Real, 0, None, closed="neither")]}, prefer_skip_nested_validation=True)
def make_switching_drivers(n_samples=1000, n_steps=24, *, slope=3.0, gamma=0.2, target="label", random_state=None):
    """Make windows of three channels, of which a hidden state of long spells lets one drive the label.

    The "Switch-Feature" data of [1]_. The state ``s`` is a Markov chain that starts anywhere and stays with a chance
    of 0.95. A value is ``x[t, c] = mean[s[t], c] + g[t, c]``, with `g` a Gaussian process of covariance
    ``0.1 * exp(-gamma * (t - u) ** 2)``, one for each window and channel. The label of the last step ``t`` is 1 with
    probability ``1 / (1 + exp(-slope * x[t, s[t]]))``.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of windows.

    n_steps : int, default=24
        Number of steps of a window.

    slope : float, default=3.0
        Steepness of the probability. The larger, the less is left to chance.

    gamma : float, default=0.2
        How fast the channels forget: neighbouring steps have a correlation of ``exp(-gamma)``.

    target : {"label", "probability", "logit"}, default="label"
        What `y` holds: the label that was drawn, its probability, or ``slope * x[t, s[t]]``. `X` is the same.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same data in every call.

    Returns
    -------
    X : ndarray of shape (n_samples, n_steps, 3)
        Windows, oldest step first.

    y : ndarray of shape (n_samples,)
        Target of the last step: int 0 or 1, or float if it is no label.

    truth : ndarray of bool, of shape (n_samples, n_steps, 3)
        True for one value of each window: at the last step, the channel that has the number of the state.

    See Also
    --------
    make_hidden_state : The same with two states and other channels.

    Notes
    -----
    Earlier steps enter no label. They do help to guess the state, so a good model uses them all the same.

    Means, chain, variance and slope are those of the code published with [1]_. There the length scale of the process
    is 0.2 steps, which is ``gamma=12.5`` and next to white noise, each spell has a process of its own, and the chain
    starts in the first or the second state only.

    References
    ----------
    .. [1] S. Tonekaboni, S. Joshi, K. Campbell, D. Duvenaud and A. Goldenberg, "What went wrong and when?
       Instance-wise feature importance for time-series black-box models", NeurIPS 2020.

    Examples
    --------
    >>> from skattn.datasets import make_switching_drivers
    >>> X, y, truth = make_switching_drivers(n_samples=500, n_steps=7, random_state=0)
    >>> X.shape, sorted(set(y.tolist()))
    ((500, 7, 3), [0, 1])
    >>> bool((truth.sum(axis=(1, 2)) == 1).all())
    True
    """
    random_state = check_random_state(random_state)
    means = np.array([[0.8, -0.5, -0.2], [0.0, -1.0, 0.0], [-0.2, -0.2, 0.8]])
    transition = np.array([[0.95, 0.02, 0.03], [0.02, 0.95, 0.03], [0.03, 0.02, 0.95]])
    states = _draw_states(n_samples, n_steps, np.full(3, 1 / 3), transition, random_state)
    step = np.arange(n_steps)
    covariance = np.exp(-gamma * np.subtract.outer(step, step) ** 2.0)
    # The diagonal is raised, since a smooth process has a covariance that rounding makes indefinite.
    root = np.linalg.cholesky(0.1 * (covariance + 1e-8 * np.eye(n_steps)))
    X = means[states] + root @ random_state.normal(size=(n_samples, n_steps, 3))
    return X, *_label_last_step(X, states[:, -1], slope, target, random_state)


@validate_params(_STATES | {"transition": ["array-like"]}, prefer_skip_nested_validation=True)
def make_hidden_state(
    n_samples=1000,
    n_steps=24,
    *,
    transition=((0.95, 0.05), (0.05, 0.95)),
    slope=2.0,
    target="label",
    random_state=None,
):
    """Make windows of three channels, of which a hidden state lets the second or the third drive the label.

    The "State" data of [1]_ in the form that [2]_ gave it, a hidden Markov model of two states ``s`` that start with
    equal chances. Steps are independent given the state, and normal, with means ``(0.1, 1.6, 0.5)`` in state 0 and
    ``(-0.1, -0.4, -1.5)`` in state 1. All variances are 0.801, and the first channel has a covariance of 0.01 with the
    one that drives. The label of the last step ``t`` is 1 with probability
    ``1 / (1 + exp(-slope * x[t, 1 + s[t]]))``.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of windows.

    n_steps : int, default=24
        Number of steps of a window.

    transition : array-like of shape (2, 2), default=((0.95, 0.05), (0.05, 0.95))
        Chance of each state (column) after each state (row).

    slope : float, default=2.0
        Steepness of the probability. The larger, the less is left to chance.

    target : {"label", "probability", "logit"}, default="label"
        What `y` holds: the label that was drawn, its probability, or ``slope * x[t, 1 + s[t]]``. `X` is the same.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same data in every call.

    Returns
    -------
    X : ndarray of shape (n_samples, n_steps, 3)
        Windows, oldest step first.

    y : ndarray of shape (n_samples,)
        Target of the last step: int 0 or 1, or float if it is no label.

    truth : ndarray of bool, of shape (n_samples, n_steps, 3)
        True for one value of each window: at the last step, the second channel in state 0, the third in state 1.

    Raises
    ------
    ValueError
        If `transition` is no table of 2 x 2 chances of which each row sums to one.

    See Also
    --------
    make_switching_drivers : The same with three states and channels that remember.

    Notes
    -----
    Means, covariances and slope are those of the code published with [2]_. It names a table of transitions
    ``((0.1, 0.9), (0.1, 0.9))``, with which a state says nothing about the next, but draws from another: the default
    here. There the chance to stay in state 1 also falls by 1/500 with each step spent in it, which is left out.

    Earlier steps enter no label. They do help to guess the state, so a good model uses them all the same.

    References
    ----------
    .. [1] S. Tonekaboni, S. Joshi, K. Campbell, D. Duvenaud and A. Goldenberg, "What went wrong and when?
       Instance-wise feature importance for time-series black-box models", NeurIPS 2020.

    .. [2] J. Crabbé and M. van der Schaar, "Explaining time series predictions with dynamic masks", ICML 2021.

    Examples
    --------
    >>> from skattn.datasets import make_hidden_state
    >>> X, y, truth = make_hidden_state(n_samples=500, n_steps=7, target="logit", random_state=0)
    >>> bool((y == 2 * X[truth]).all())
    True
    """
    transition = _check_transition(transition)
    random_state = check_random_state(random_state)
    means = np.array([[0.1, 1.6, 0.5], [-0.1, -0.4, -1.5]])
    states = _draw_states(n_samples, n_steps, np.full(2, 0.5), transition, random_state)
    X = means[states]
    noise = random_state.normal(size=X.shape)
    for state in (0, 1):
        covariance = 0.801 * np.eye(3)
        covariance[0, 1 + state] = covariance[1 + state, 0] = 0.01
        X[states == state] += noise[states == state] @ np.linalg.cholesky(covariance).T
    return X, *_label_last_step(X, 1 + states[:, -1], slope, target, random_state)


def _draw_states(n_samples, n_steps, initial, transition, random_state):
    """Markov chains, (n_samples, n_steps), from the chances of the first state and those of the next (columns)."""
    # A uniform number lies above as many of the inner borders of the cumulated chances as the number of its state.
    initial, borders = np.cumsum(initial)[:-1], np.cumsum(transition, axis=1)[:, :-1]
    uniform = random_state.random_sample((n_samples, n_steps, 1))
    states = np.empty((n_samples, n_steps), dtype=int)
    states[:, 0] = (uniform[:, 0] >= initial).sum(axis=1)
    for step in range(1, n_steps):
        states[:, step] = (uniform[:, step] >= borders[states[:, step - 1]]).sum(axis=1)
    return states


def _label_last_step(X, active, slope, target, random_state):
    """Target and truth where the channel `active` (n_samples,) drives the label of the last step."""
    truth = np.zeros(X.shape, dtype=bool)
    truth[np.arange(len(X)), -1, active] = True
    logit = slope * X[truth]
    # With tanh, since exp overflows for large logits.
    probability = (1 + np.tanh(logit / 2)) / 2
    label = (random_state.random_sample(len(X)) < probability).astype(int)
    return {"label": label, "probability": probability, "logit": logit}[target], truth


def _check_transition(transition):
    transition = np.asarray(transition, dtype=float)
    if transition.shape != (2, 2) or not (transition >= 0).all() or not np.allclose(transition.sum(axis=1), 1):
        raise ValueError(
            f"transition must be a table of 2 x 2 chances of which each row sums to 1, got {transition.tolist()}. "
            "Use for example ((0.9, 0.1), (0.2, 0.8))."
        )
    return transition
