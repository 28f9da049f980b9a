"""Made-up sequence data of which the truth is known: what enters the target, and which sensor leads which.

Each function returns a tuple, like those of :mod:`sklearn.datasets`. Those that make windows return
``(X, y, truth)``, where `truth` has the shape of `X` and is True where a value enters the target, so that an
explanation of a fitted model can be scored with :func:`skattn.inspection.scores.truth_scores`.
"""

from skattn.datasets.hidden import make_hidden_state, make_switching_drivers
from skattn.datasets.planted import make_planted_drivers, make_planted_lags
from skattn.datasets.sensors import make_sensor_network

__all__ = [
    "make_hidden_state",
    "make_planted_drivers",
    "make_planted_lags",
    "make_sensor_network",
    "make_switching_drivers",
]
