"""Cross-validation for rows that are overlapping windows of one series."""

from copy import copy
from numbers import Integral, Real

import numpy as np
from sklearn.model_selection import BaseCrossValidator, TimeSeriesSplit
from sklearn.utils._param_validation import Interval, validate_parameter_constraints
from sklearn.utils.validation import _num_samples

__all__ = ["ChronologicalSplit", "WindowGapSplit"]


class WindowGapSplit(TimeSeriesSplit):
    """Forward-chaining cross-validation whose training windows share no step with any test window.

    Rows are windows, consecutive in time, such as :class:`~skattn.preprocessing.SlidingWindow` returns: row ``i``
    reads steps ``i - window_length + 1`` to ``i``, and its targets lie at most ``horizon`` steps later. Each test
    fold follows its training rows after a gap of ``window_length - 1 + horizon`` rows, the fewest that keep the two
    apart (see Notes).

    Parameters
    ----------
    n_splits : int, default=5
        Number of splits, at least 2.

    window_length : int
        Number of steps in a window.

    horizon : int, default=1
        Number of steps from the end of a window to its farthest target; 0 if the target belongs to the last step of
        the window itself.

    max_train_size : int or None, default=None
        Most rows of a training set; the newest are kept. None keeps all.

    test_size : int or None, default=None
        Rows of a test fold. None shares the rows equally once the gap is set aside:
        ``(n_samples - gap) // (n_splits + 1)``.

    Attributes
    ----------
    gap : int
        Rows left out between training and test: ``window_length - 1 + horizon``.

    See Also
    --------
    skattn.preprocessing.SlidingWindow : Cut a time-ordered table into such windows.
    sklearn.model_selection.TimeSeriesSplit : The same folds for rows that do not overlap.

    Notes
    -----
    The last training row ``i`` touches steps up to ``i + horizon`` and the first test row ``j`` touches steps from
    ``j - window_length + 1``. They are apart when ``j - i >= window_length + horizon``, which leaves
    ``window_length + horizon - 1`` rows between them. With windows (x) of 3 steps and targets (y) of 2::

        step                     0 1 2 3 4 5 6 7 8 9
        last training row, 2     x x x y y
        first test row, 7                  x x x y y        rows 3, 4, 5 and 6 are the gap: 3 - 1 + 2 = 4

    :class:`~sklearn.model_selection.TimeSeriesSplit` has no gap by default, and two things leak. Of these,

    * ``horizon - 1`` rows of the gap keep the targets apart: without them, training targets reach over steps that
      the test rows are asked to predict, so a part of the answer is seen in training;
    * ``window_length`` further rows keep the inputs apart: without them, the first test windows are almost copies of
      training windows, and their scores speak of memory rather than of the days to come.

    The gap is exact for windows that were cut **before** cross-validation. Where `SlidingWindow` is a step of the
    cross-validated pipeline, the rows are single steps: windows are cut inside a fold and cannot overlap another,
    ``window_length=1`` is right, and the first windows of each test fold are padded. That form also saves memory,
    since scikit-learn copies the rows of each fold, and rows that are windows are ``window_length`` times larger.

    The default `test_size` differs from that of `TimeSeriesSplit`, which takes ``n_samples // (n_splits + 1)`` and
    lets the gap eat up the first training set.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn.model_selection import WindowGapSplit
    >>> cv = WindowGapSplit(n_splits=2, window_length=3, horizon=2)
    >>> cv.gap
    4
    >>> for train, test in cv.split(np.zeros((13, 3))):
    ...     print(train, test)
    [0 1 2] [7 8 9]
    [0 1 2 3 4 5] [10 11 12]
    """

    _parameter_constraints: dict = {
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "window_length": [Interval(Integral, 1, None, closed="left")],
        "horizon": [Interval(Integral, 0, None, closed="left")],
        "max_train_size": [Interval(Integral, 1, None, closed="left"), None],
        "test_size": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(self, n_splits=5, *, window_length, horizon=1, max_train_size=None, test_size=None):
        params = {
            "n_splits": n_splits,
            "window_length": window_length,
            "horizon": horizon,
            "max_train_size": max_train_size,
            "test_size": test_size,
        }
        # Here and not later: like all splitters of scikit-learn, it has neither fit nor set_params.
        validate_parameter_constraints(self._parameter_constraints, params, caller_name=type(self).__name__)
        gap = window_length - 1 + horizon
        super().__init__(n_splits, max_train_size=max_train_size, test_size=test_size, gap=gap)
        self.window_length = window_length
        self.horizon = horizon

    def split(self, X, y=None, groups=None):
        """Generate the row numbers of training and test sets.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Windows, consecutive in time, oldest first.

        y : object, default=None
            Ignored, present for API consistency.

        groups : object, default=None
            Ignored, present for API consistency.

        Returns
        -------
        splits : iterator of (train, test)
            Pairs of ndarrays of row numbers.

        Raises
        ------
        ValueError
            If `X` has too few rows for one training row, the gap and all test folds.
        """
        n_samples = _num_samples(X)
        self._check_n_samples(n_samples)
        folds = copy(self)
        if self.test_size is None:
            folds.test_size = (n_samples - self.gap) // (self.n_splits + 1)
        return super(WindowGapSplit, folds).split(X, y, groups)

    def _check_n_samples(self, n_samples):
        test_size = self.test_size or 1
        needed = 1 + self.gap + self.n_splits * test_size
        if n_samples < needed:
            raise ValueError(
                f"X has {n_samples} rows but 1 + gap + n_splits * test_size = "
                f"1 + {self.gap} + {self.n_splits} * {test_size} = {needed} are needed, "
                f"where gap = window_length - 1 + horizon = {self.window_length} - 1 + {self.horizon}. "
                "Use a shorter window_length or horizon, fewer n_splits or a smaller test_size."
            )


class ChronologicalSplit(BaseCrossValidator):
    """One split: the oldest rows to train on and the newest to test on, in fixed shares.

    The defaults are the protocol of traffic benchmarks, 70/10/20: windows first, then shares of the windows, as in Li
    et al. (2018), "Diffusion convolutional recurrent neural network". The training set holds the validation tenth too;
    an estimator with ``early_stopping=True`` and ``validation_fraction=0.125`` holds it out by itself.

    Parameters
    ----------
    train_size : float, default=0.8
        Share of the rows to train on, the oldest.

    test_size : float, default=0.2
        Share of the rows to test on, the newest.

    gap : int, default=0
        Rows left out at the end of the training set. The protocol has none: the first test windows and the last
        training ones then ask for the same steps. With the horizon less one they do not.

    See Also
    --------
    WindowGapSplit : Several splits, whose windows share no step.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn.model_selection import ChronologicalSplit
    >>> for train, test in ChronologicalSplit(gap=1).split(np.zeros((10, 3))):
    ...     print(train, test)
    [0 1 2 3 4 5 6] [8 9]
    """

    _parameter_constraints: dict = {
        "train_size": [Interval(Real, 0, 1, closed="neither")],
        "test_size": [Interval(Real, 0, 1, closed="neither")],
        "gap": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(self, train_size=0.8, test_size=0.2, *, gap=0):
        params = {"train_size": train_size, "test_size": test_size, "gap": gap}
        validate_parameter_constraints(self._parameter_constraints, params, caller_name=type(self).__name__)
        if train_size + test_size > 1 + 1e-9:
            raise ValueError(
                f"train_size + test_size = {train_size} + {test_size} is above 1, but no row is in both sets. Use "
                "smaller shares."
            )
        self.train_size = train_size
        self.test_size = test_size
        self.gap = gap

    def get_n_splits(self, X=None, y=None, groups=None):
        """Number of splits, 1, whatever the arguments."""
        return 1

    def split(self, X, y=None, groups=None):
        """Generate the row numbers of the one training and test set.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Windows, consecutive in time, oldest first.

        y : object, default=None
            Ignored, present for API consistency.

        groups : object, default=None
            Ignored, present for API consistency.

        Yields
        ------
        train, test : ndarray
            Row numbers.

        Raises
        ------
        ValueError
            If one of the two would be empty.
        """
        n_samples = _num_samples(X)
        n_test = round(n_samples * self.test_size)
        n_train = min(round(n_samples * self.train_size), n_samples - n_test) - self.gap
        if n_train < 1 or n_test < 1:
            raise ValueError(
                f"X has {n_samples} rows, of which train_size = {self.train_size} less a gap of {self.gap} are "
                f"{n_train} and test_size = {self.test_size} are {n_test}, but one of each is needed. Use larger "
                "shares, a smaller gap or more rows."
            )
        rows = np.arange(n_samples)
        yield rows[:n_train], rows[n_samples - n_test :]
