"""A network of sensors that pass on what they measure, after delays that are known."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params


@validate_params(
    {
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "n_sensors": [Interval(Integral, 2, None, closed="left")],
        "max_delay": [Interval(Integral, 1, None, closed="left")],
        "n_parents": [Interval(Integral, 1, None, closed="left")],
        "memory": [Interval(Real, 0, 1, closed="left")],
        "coupling": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_sensor_network(
    n_steps=2000, n_sensors=12, *, max_delay=5, n_parents=2, memory=0.4, coupling=0.6, random_state=None
):
    """Make a series of sensors that hear their western neighbours, the later the farther away they are.

    Sensors lie anywhere in the unit square. Each has as parents the `n_parents` nearest of the sensors to its west,
    or as many as there are, so there is no way back and the series is stable. With ``d[i, j]`` the delay from `i` to
    `j`, a whole number of steps that is proportional to their distance and rounded up, sensor `j` measures::

        x[t, j] = memory * x[t - 1, j] + coupling * mean(x[t - d[i, j], i] for each parent i) + e[t, j]

    with `e` independent and standard normal.

    Parameters
    ----------
    n_steps : int, default=2000
        Number of steps.

    n_sensors : int, default=12
        Number of sensors, at least 2.

    max_delay : int, default=5
        Delay of the longest edge.

    n_parents : int, default=2
        Most parents of a sensor.

    memory : float, default=0.4
        What remains of a sensor's own value after a step: from 0, and less than 1.

    coupling : float, default=0.6
        Weight of the mean of the parents. Above ``1 - memory``, slow swings may grow from sensor to sensor.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same data in every call.

    Returns
    -------
    X : ndarray of shape (n_steps, n_sensors)
        The series, oldest step first.

    delays : ndarray of int, of shape (n_sensors, n_sensors)
        ``delays[i, j]`` is the delay from sensor `i` to sensor `j` in steps; 0 means that `i` is no parent of `j`.

    coordinates : ndarray of shape (n_sensors, 2)
        Where the sensors are: west to east, south to north.

    See Also
    --------
    skattn.preprocessing.SlidingWindow : Cut the series into windows.

    Examples
    --------
    >>> from skattn.datasets import make_sensor_network
    >>> X, delays, coordinates = make_sensor_network(n_sensors=4, random_state=0)
    >>> X.shape, coordinates.shape
    ((2000, 4), (4, 2))
    >>> delays
    array([[0, 4, 0, 0],
           [0, 0, 0, 0],
           [3, 5, 0, 5],
           [5, 0, 0, 0]])
    """
    random_state = check_random_state(random_state)
    coordinates = random_state.uniform(size=(n_sensors, 2))
    delays = _delays(coordinates, n_parents, max_delay)
    parents, children = np.nonzero(delays)
    lags = delays[parents, children]
    weights = coupling / np.bincount(children, minlength=n_sensors)[children]
    # Thrown away, so that the network does not start at rest: the longest way through it, and the longest memory.
    n_before = max_delay * n_sensors + (int(np.log(1e-3) / np.log(memory)) if memory else 0)
    X = random_state.normal(size=(n_before + n_steps, n_sensors))
    for t in range(max_delay, len(X)):
        heard = weights * X[t - lags, parents]
        X[t] += memory * X[t - 1] + np.bincount(children, heard, minlength=n_sensors)
    return X[n_before:].copy(), delays, coordinates


def _delays(coordinates, n_parents, max_delay):
    """Whole delays (n_sensors, n_sensors) of the edges to each sensor from the nearest ones to its west."""
    distance = np.linalg.norm(coordinates[:, None] - coordinates, axis=2)
    west = coordinates[:, None, 0] < coordinates[:, 0]
    distance = np.where(west, distance, np.inf)
    nearest = distance.argsort(axis=0).argsort(axis=0) < n_parents
    distance = np.where(west & nearest, distance, 0.0)
    return np.ceil(max_delay * (distance / distance.max())).astype(int)
