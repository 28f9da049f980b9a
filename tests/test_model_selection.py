"""Tests of the splits: steps and shares counted one by one, errors, and life inside scikit-learn's searches."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_predict, cross_val_score

from skattn.model_selection import ChronologicalSplit, WindowGapSplit

# Pairs of window_length and horizon; NO_OVERLAP is the one pair that needs no gap.
NO_OVERLAP = (1, 0)
SIZES = [(1, 1), (2, 1), (1, 3), (3, 2), (7, 0), (5, 1), (2, 7), (11, 5)]


def steps_of(rows, window_length, horizon):
    """List the steps that rows touch, windows and targets, one by one."""
    return {step for row in rows for step in range(row - window_length + 1, row + horizon + 1)}


def test_split_by_hand():
    """Windows of 3 steps, targets of 2, 13 rows: gap 3 - 1 + 2 = 4, test folds of (13 - 4) // 3 = 3 rows."""
    cv = WindowGapSplit(n_splits=2, window_length=3, horizon=2)
    (train_1, test_1), (train_2, test_2) = cv.split(np.zeros((13, 3)))
    assert cv.gap == 4
    assert_array_equal(train_1, [0, 1, 2])
    assert_array_equal(test_1, [7, 8, 9])
    assert_array_equal(train_2, [0, 1, 2, 3, 4, 5])
    assert_array_equal(test_2, [10, 11, 12])


@pytest.mark.parametrize(("window_length", "horizon"), [NO_OVERLAP, *SIZES])
@pytest.mark.parametrize("n_splits", [2, 3, 5])
@pytest.mark.parametrize("test_size", [None, 1, 7])
@pytest.mark.parametrize("max_train_size", [None, 2])
def test_no_step_is_shared(window_length, horizon, n_splits, test_size, max_train_size):
    """No step is touched by both training and test rows, for any number of rows from the fewest upwards."""
    cv = WindowGapSplit(
        n_splits, window_length=window_length, horizon=horizon, max_train_size=max_train_size, test_size=test_size
    )
    fewest = 1 + window_length - 1 + horizon + n_splits * (test_size or 1)
    for n_samples in range(fewest, fewest + 29):
        splits = list(cv.split(np.zeros((n_samples, window_length))))
        assert len(splits) == cv.get_n_splits() == n_splits
        for train, test in splits:
            assert len(train) >= 1
            assert len(test) >= 1
            assert max_train_size is None or len(train) <= max_train_size
            assert not steps_of(train, window_length, horizon) & steps_of(test, window_length, horizon)
        assert splits[-1][1][-1] == n_samples - 1
    with pytest.raises(ValueError, match=f"X has {fewest - 1} rows but .* = {fewest} are needed"):
        list(cv.split(np.zeros((fewest - 1, window_length))))


@pytest.mark.parametrize(("window_length", "horizon"), SIZES)
def test_gap_is_the_smallest(window_length, horizon):
    """One row less between training and test and exactly one step is shared."""
    n_samples = 97
    gap = WindowGapSplit(3, window_length=window_length, horizon=horizon).gap
    for train, test in TimeSeriesSplit(3, gap=gap - 1).split(np.zeros(n_samples)):
        assert len(steps_of(train, window_length, horizon) & steps_of(test, window_length, horizon)) == 1


@pytest.mark.parametrize(("window_length", "horizon"), SIZES)
def test_plain_time_series_split_shares(window_length, horizon):
    """TimeSeriesSplit shares window_length - 1 + horizon steps in every split."""
    for train, test in TimeSeriesSplit(3).split(np.zeros(97)):
        shared = steps_of(train, window_length, horizon) & steps_of(test, window_length, horizon)
        assert len(shared) == window_length - 1 + horizon


def test_same_folds_as_time_series_split():
    """With a test_size, the folds are those of TimeSeriesSplit with the gap."""
    X = np.zeros((101, 5))
    ours = WindowGapSplit(3, window_length=5, horizon=2, test_size=13, max_train_size=17).split(X)
    theirs = TimeSeriesSplit(3, gap=6, test_size=13, max_train_size=17).split(X)
    for (our_train, our_test), (their_train, their_test) in zip(ours, theirs, strict=True):
        assert_array_equal(our_train, their_train)
        assert_array_equal(our_test, their_test)


class RepeatNewest(RegressorMixin, BaseEstimator):
    """Predict the newest target of the training set."""

    def fit(self, X, y):
        self.newest_ = y[-1]
        return self

    def predict(self, X):
        return np.full(len(X), self.newest_)


def test_multi_step_targets_leak_without_gap():
    """Means of 10 steps of noise cannot be predicted, but repeating an overlapping one seems to.

    Neighbouring targets share 9 of 10 steps: their squared difference is 2 / 10**2 against a variance of 1 / 10, an
    R2 of 1 - 0.2 = 0.8. Targets that share nothing differ by twice the variance, an R2 of 1 - 2 = -1.
    """
    horizon, n_tests = 10, 1009
    noise = np.random.default_rng(5).normal(size=1511)
    y = np.lib.stride_tricks.sliding_window_view(noise[1:], horizon).mean(axis=1)
    X = noise[: len(y), np.newaxis]
    target = y[-n_tests:]

    def r2(cv):
        predictions = np.array(
            [RepeatNewest().fit(X[train], y[train]).predict(X[test])[0] for train, test in cv.split(X)]
        )
        return 1 - np.mean((target - predictions) ** 2) / np.var(target)

    assert r2(TimeSeriesSplit(n_tests, test_size=1)) == pytest.approx(0.8, abs=0.1)
    assert r2(WindowGapSplit(n_tests, test_size=1, window_length=1, horizon=horizon)) == pytest.approx(-1, abs=0.5)


def test_too_few_rows():
    """The error counts what is there, what is needed, and names the ways out."""
    cv = WindowGapSplit(5, window_length=24, horizon=12, test_size=2)
    message = (
        r"X has 31 rows but 1 \+ gap \+ n_splits \* test_size = 1 \+ 35 \+ 5 \* 2 = 46 are needed, "
        r"where gap = window_length - 1 \+ horizon = 24 - 1 \+ 12\. Use a shorter window_length or horizon"
    )
    with pytest.raises(ValueError, match=message):
        cv.split(np.zeros((31, 24)))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_splits": 1}, r"'n_splits' parameter of WindowGapSplit must be an int in the range \[2, inf\)"),
        ({"window_length": 0}, r"'window_length' parameter of WindowGapSplit must be an int in the range \[1, inf\)"),
        ({"window_length": "5"}, "'window_length' parameter of WindowGapSplit must be an int .* Got '5' instead"),
        ({"horizon": -1}, r"'horizon' parameter of WindowGapSplit must be an int in the range \[0, inf\)"),
        ({"horizon": 1.5}, "'horizon' parameter of WindowGapSplit must be an int .* Got 1.5 instead"),
        ({"max_train_size": 0}, r"'max_train_size' parameter .* in the range \[1, inf\) or None"),
        ({"test_size": 0}, r"'test_size' parameter .* in the range \[1, inf\) or None"),
    ],
)
def test_bad_params(params, message):
    """Bad parameters are refused by a generated sentence when the splitter is made."""
    with pytest.raises(ValueError, match=message):
        WindowGapSplit(**({"window_length": 3} | params))


def test_window_length_is_required():
    """There is no window_length to guess."""
    with pytest.raises(TypeError, match="window_length"):
        WindowGapSplit(5)


def test_repr():
    """The repr names the parameters in the order of the alphabet, as scikit-learn's splitters do."""
    expected = "WindowGapSplit(horizon=2, max_train_size=None, n_splits=3, test_size=None,\n        window_length=7)"
    assert repr(WindowGapSplit(3, window_length=7, horizon=2)) == expected


def test_split_leaves_the_splitter_alone():
    """Splitting twice, with different numbers of rows, gives what each alone gives."""
    cv = WindowGapSplit(2, window_length=3, horizon=2)
    list(cv.split(np.zeros(31)))
    assert cv.test_size is None
    assert [len(test) for _, test in cv.split(np.zeros(13))] == [3, 3]


def test_groups_are_ignored_with_a_warning():
    """Groups warn under this splitter's own name."""
    cv = WindowGapSplit(2, window_length=3)
    with pytest.warns(UserWarning, match="ignored by WindowGapSplit"):
        cv.split(np.zeros(31), groups=np.zeros(31))


def test_in_scikit_learn():
    """It serves cross_val_score and GridSearchCV, on three-dimensional windows too."""
    rng = np.random.default_rng(17)
    series = rng.normal(size=211).cumsum()
    X = np.lib.stride_tricks.sliding_window_view(series, 7)[:-1]
    y = series[7:]
    cv = WindowGapSplit(3, window_length=7)
    scores = cross_val_score(Ridge(), X, y, cv=cv)
    assert scores.shape == (3,)
    for score, (train, test) in zip(scores, cv.split(X), strict=True):
        assert score == pytest.approx(Ridge().fit(X[train], y[train]).score(X[test], y[test]))
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 1e7]}, cv=cv).fit(X, y)
    assert search.n_splits_ == 3
    assert search.best_params_ == {"alpha": 0.1}
    assert repr(clone(search).cv) == repr(cv)
    assert cross_val_score(RepeatNewest(), X[:, :, np.newaxis], y, cv=cv).shape == (3,)
    with pytest.raises(ValueError, match="only works for partitions"):
        cross_val_predict(Ridge(), X, y, cv=cv)


# ---------------------------------------------------------------------------------------------- ChronologicalSplit


@pytest.mark.parametrize(
    ("n_samples", "params", "n_train", "n_test"),
    [
        (10, {}, 8, 2),
        (17, {}, 14, 3),  # of 13.6 and 3.4
        (101, {}, 81, 20),
        (101, dict(gap=11), 70, 20),
        (101, dict(train_size=0.7), 71, 20),  # 10 rows between the two are for validation
        (101, dict(train_size=0.7, gap=3), 68, 20),
        (101, dict(train_size=0.6, test_size=0.3), 61, 30),
        (2, dict(train_size=0.5, test_size=0.5), 1, 1),
        (7, dict(train_size=0.5, test_size=0.5), 3, 4),  # of 3.5 each: the training set gives way
        (3, dict(train_size=0.5, test_size=0.5), 1, 2),
        (7, dict(train_size=0.5, test_size=0.5, gap=2), 1, 4),
    ],
)
def test_shares_by_hand(n_samples, params, n_train, n_test):
    """The oldest rows train and the newest test; a gap is taken from the training set, which starts with the first."""
    ((train, test),) = ChronologicalSplit(**params).split(np.zeros((n_samples, 3)))
    assert_array_equal(train, np.arange(n_train))
    assert_array_equal(test, np.arange(n_samples - n_test, n_samples))


@pytest.mark.parametrize("n_samples", [34272 - 23, 52116 - 23])  # windows of METR-LA and of PEMS-BAY
def test_protocol_of_traffic_benchmarks(n_samples):
    """Training and validation of 70 and 10 percent together, and as many windows to test as in Li et al. (2018).

    The validation windows of that protocol are those that are left, and an eighth of what is trained on.
    """
    n_test, n_train = round(n_samples * 0.2), round(n_samples * 0.7)
    ((train, test),) = ChronologicalSplit().split(np.zeros(n_samples))
    assert_array_equal(test, np.arange(n_samples)[-n_test:])
    assert len(train) == n_samples - n_test
    assert abs(0.125 * len(train) - (n_samples - n_test - n_train)) < 1


@pytest.mark.parametrize("horizon", [1, 5])
def test_gap_parts_the_targets(horizon):
    """With the horizon less one as a gap, no step is asked for by both sets, and with one row less one step is."""
    for gap, shared in ((horizon - 1, 0), (horizon - 2, 1)):
        if gap >= 0:
            ((train, test),) = ChronologicalSplit(gap=gap).split(np.zeros(101))
            asked = [{row + step for row in rows for step in range(horizon)} for rows in (train, test)]
            assert len(asked[0] & asked[1]) == shared


def test_shares_that_make_up_all_rows():
    """Two shares that sum to one can be had of any number of rows, whatever is rounded: one row is left out at most."""
    for train_size in (0.5, 0.7, 0.75, 0.8, 0.9):
        for n_samples in range(11, 101):
            ((train, test),) = ChronologicalSplit(train_size, round(1 - train_size, 2)).split(np.zeros(n_samples))
            assert n_samples - 1 <= len({*train, *test}) == len(train) + len(test)


@pytest.mark.parametrize(
    ("n_samples", "params", "n_train", "n_test"),
    [
        (2, {}, 2, 0),
        (10, dict(gap=8), 0, 2),
        (10, dict(gap=13), -5, 2),
        (10, dict(train_size=0.04), 0, 2),
        (1, dict(train_size=0.5, test_size=0.5), 0, 0),
        (3, dict(train_size=0.5, test_size=0.5, gap=1), 0, 2),
    ],
)
def test_shares_that_leave_nothing(n_samples, params, n_train, n_test):
    """The error counts rows and both sets, and names the ways out."""
    cv = ChronologicalSplit(**params)
    message = (
        rf"X has {n_samples} rows, of which train_size = {cv.train_size} less a gap of {cv.gap} are {n_train} and "
        rf"test_size = {cv.test_size} are {n_test}, but one of each is needed\. "
        r"Use larger shares, a smaller gap or more rows\."
    )
    with pytest.raises(ValueError, match=message):
        list(cv.split(np.zeros(n_samples)))


@pytest.mark.parametrize("gap", [0, 5])
@pytest.mark.parametrize(("train_size", "test_size"), [(0.9, 0.3), (0.8, 0.21), (0.5, 0.500001)])
def test_shares_that_overlap(train_size, test_size, gap):
    """Shares of more than all rows are refused when the splitter is made, whatever the gap."""
    message = (
        rf"^train_size \+ test_size = {train_size} \+ {test_size} is above 1, but no row is in both sets\. "
        r"Use smaller shares\.$"
    )
    with pytest.raises(ValueError, match=message):
        ChronologicalSplit(train_size, test_size, gap=gap)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"train_size": 0}, r"'train_size' parameter of ChronologicalSplit must be a float in the range \(0.*, 1"),
        ({"train_size": 1.0}, r"'train_size' parameter of ChronologicalSplit must be a float .* Got 1\.0 instead"),
        ({"test_size": 1}, r"'test_size' parameter of ChronologicalSplit must be a float .* Got 1 instead"),
        ({"test_size": "0.2"}, r"'test_size' parameter of ChronologicalSplit must be a float .* Got '0\.2' instead"),
        ({"gap": -1}, r"'gap' parameter of ChronologicalSplit must be an int in the range \[0, inf\)"),
        ({"gap": 0.5}, r"'gap' parameter of ChronologicalSplit must be an int .* Got 0\.5 instead"),
    ],
)
def test_bad_params_of_shares(params, message):
    """Bad parameters are refused by a generated sentence when the splitter is made."""
    with pytest.raises(ValueError, match=message):
        ChronologicalSplit(**params)


def test_chronological_split_in_scikit_learn():
    """It is one split of scikit-learn's scores and searches, on windows of sensors too, and can be shown and cloned."""
    rng = np.random.default_rng(17)
    X, y = rng.normal(size=(101, 7)), rng.normal(size=101)
    cv = ChronologicalSplit(gap=2)
    assert cv.get_n_splits() == cv.get_n_splits(X, y) == 1
    ((train, test),) = cv.split(X, y, groups=y)
    (score,) = cross_val_score(Ridge(), X, y, cv=cv)
    assert score == pytest.approx(Ridge().fit(X[train], y[train]).score(X[test], y[test]))
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 10]}, cv=cv).fit(X, y)
    assert search.n_splits_ == 1
    assert repr(clone(search).cv) == repr(cv) == "ChronologicalSplit(gap=2, test_size=0.2, train_size=0.8)"
    assert cross_val_score(RepeatNewest(), rng.normal(size=(101, 5, 3, 2)), y, cv=cv).shape == (1,)
