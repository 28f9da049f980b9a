"""Tests of the transformers: hand-worked windows, no copies, round trips, and scikit-learn's conformance suite."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.lib.array_utils import byte_bounds
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils.estimator_checks import check_param_validation, parametrize_with_checks

from skattn.preprocessing import SequenceScaler, SlidingWindow

N_SAMPLES, WINDOW_LENGTH, N_CHANNELS = 23, 5, 3

# A window holds the rows before its own, so rows depend on their neighbours; with windows of one step they do not,
# and SlidingWindow(1) passes every check.
ORDER_MATTERS = {
    "check_methods_sample_order_invariance": "rows are ordered in time: a shuffled table has other windows",
    "check_methods_subset_invariance": "the first windows of a table are padded, so a part of it has other padding",
}


@pytest.fixture
def table():
    """Make a table of normal numbers, in float64."""
    return np.random.default_rng(7).normal(size=(N_SAMPLES, N_CHANNELS))


@pytest.fixture
def windows():
    """Make windows with channels of different mean and spread, in float64."""
    noise = np.random.default_rng(11).normal(size=(N_SAMPLES, WINDOW_LENGTH, N_CHANNELS))
    return noise * [1.0, 20.0, 300.0] + [0.0, -5.0, 1000.0]


def expected_failed_checks(estimator):
    """Name the checks that contradict the purpose of an estimator."""
    return ORDER_MATTERS if isinstance(estimator, SlidingWindow) and estimator.window_length > 1 else {}


@parametrize_with_checks(
    [
        SlidingWindow(),
        SlidingWindow(dtype="float64"),
        SlidingWindow(window_length=1),
        SequenceScaler(),
        SequenceScaler(RobustScaler()),
        SequenceScaler(Normalizer()),
    ],
    expected_failed_checks=expected_failed_checks,
    xfail_strict=True,
)
def test_sklearn_checks(estimator, check):
    """The conformance suite of scikit-learn passes, but for the checks that deny time an order."""
    check(estimator)


@pytest.mark.parametrize("estimator", [SlidingWindow(), SequenceScaler()], ids=repr)
def test_param_validation(estimator):
    """Every parameter has a constraint, and every bad value the generated message."""
    check_param_validation(type(estimator).__name__, estimator)


# SlidingWindow


def test_windows_by_hand():
    """Four rows and windows of three steps, worked by hand."""
    X = np.array([[1, 10], [2, 20], [3, 30], [4, 40]])
    nan = np.nan
    expected = [
        [[nan, nan], [nan, nan], [1, 10]],
        [[nan, nan], [1, 10], [2, 20]],
        [[1, 10], [2, 20], [3, 30]],
        [[2, 20], [3, 30], [4, 40]],
    ]
    assert_array_equal(SlidingWindow(window_length=3).fit_transform(X), expected)


@pytest.mark.parametrize("window_length", [1, 2, 7, N_SAMPLES, 31])
def test_windows_against_loop(table, window_length):
    """Each window holds the rows up to its own, also when it is longer than the table."""
    windows = SlidingWindow(window_length, dtype="float64").fit_transform(table)
    assert windows.shape == (N_SAMPLES, window_length, N_CHANNELS)
    for i, window in enumerate(windows):
        n_padding = max(0, window_length - 1 - i)
        assert np.isnan(window[:n_padding]).all()
        assert_array_equal(window[n_padding:], table[max(0, i - window_length + 1) : i + 1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_windows_are_a_view(table, dtype):
    """All windows lie in the bytes of one padded table: a step in time is one row, along both axes."""
    windows = SlidingWindow(WINDOW_LENGTH, dtype=dtype).fit_transform(table)
    itemsize = np.dtype(dtype).itemsize
    row = N_CHANNELS * itemsize
    assert windows.dtype == dtype
    assert windows.strides == (row, row, itemsize)
    first_byte, end_byte = byte_bounds(windows)
    assert end_byte - first_byte == (N_SAMPLES + WINDOW_LENGTH - 1) * row
    assert np.shares_memory(windows[2], windows[3])
    assert not windows.flags.writeable


def test_windows_do_not_alias_the_input(table):
    """A later change of the table leaves the windows alone."""
    X = table.astype(np.float32)
    windows = SlidingWindow(WINDOW_LENGTH).fit_transform(X)
    assert not np.shares_memory(windows, X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory(dtype):
    """Windows of 97 steps take less than 4 times the memory of the table, not 97 times."""
    X = np.random.default_rng(0).normal(size=(10007, 3)).astype(dtype)
    transformer = SlidingWindow(97, dtype=dtype).fit(X)
    tracemalloc.start()
    windows = transformer.transform(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert windows.nbytes == 97 * X.nbytes
    assert peak < 4 * X.nbytes


def test_inverse_memory():
    """Going back costs tables, not windows: the infinite are sought in the last steps only."""
    X = np.random.default_rng(0).normal(size=(10007, 3)).astype("float32")
    transformer = SlidingWindow(97)
    windows = transformer.fit_transform(X)
    tracemalloc.start()
    transformer.inverse_transform(windows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * X.nbytes


def test_missing_values_stay(table):
    """A NaN of the table appears in each window that covers its row."""
    table[11, 1] = np.nan
    missing = np.isnan(SlidingWindow(WINDOW_LENGTH).fit_transform(table)[WINDOW_LENGTH - 1 :])
    samples, steps, channels = np.nonzero(missing)
    assert_array_equal(samples + steps, np.full(WINDOW_LENGTH, 11))
    assert_array_equal(channels, np.full(WINDOW_LENGTH, 1))


def test_infinite_is_refused(table):
    """Infinity is an error in fit, transform and inverse_transform, and so is a number too large for float32."""
    transformer = SlidingWindow(WINDOW_LENGTH).fit(table)
    windows = np.array(transformer.transform(table))
    table[11, 1] = windows[11, -1, 1] = np.inf
    with pytest.raises(ValueError, match="Input X contains infinity"):
        SlidingWindow(WINDOW_LENGTH).fit(table)
    with pytest.raises(ValueError, match="Input X contains infinity"):
        transformer.transform(table)
    with pytest.raises(ValueError, match="Input X contains infinity"):
        transformer.inverse_transform(windows)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_too_large_for_float32():
    """A number beyond float32 is refused there and kept in float64."""
    X = np.array([[1.0], [1e300]])
    with pytest.raises(ValueError, match="too large for dtype\\('float32'\\)"):
        SlidingWindow(2).fit(X)
    assert SlidingWindow(2, dtype="float64").fit_transform(X)[1, 1, 0] == 1e300


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inverse_round_trip(table, dtype):
    """The last steps of the windows are the table, in a new and writeable array."""
    table[11, 1] = np.nan
    transformer = SlidingWindow(WINDOW_LENGTH, dtype=dtype)
    windows = transformer.fit_transform(table)
    back = transformer.inverse_transform(windows)
    assert_array_equal(back, table.astype(dtype))
    assert back.dtype == dtype
    assert back.flags.writeable
    assert not np.shares_memory(back, windows)


def test_inverse_errors(table):
    """Wrong numbers of axes or channels say what was wanted, what came, and the way out."""
    transformer = SlidingWindow(WINDOW_LENGTH).fit(table)
    with pytest.raises(ValueError, match=r"X has 2 dimensions but 3, .* are needed\. Use the windows"):
        transformer.inverse_transform(table)
    with pytest.raises(ValueError, match=r"X has 2 channels but SlidingWindow was fitted on 3\. Give the channels"):
        transformer.inverse_transform(np.zeros((7, WINDOW_LENGTH, 2)))


def test_transform_errors(table):
    """Unfitted, three-dimensional and narrower input are refused."""
    with pytest.raises(NotFittedError):
        SlidingWindow().transform(table)
    transformer = SlidingWindow(WINDOW_LENGTH).fit(table)
    with pytest.raises(ValueError, match="dim <= 2 is required by SlidingWindow"):
        transformer.transform(np.zeros((7, WINDOW_LENGTH, N_CHANNELS)))
    with pytest.raises(ValueError, match="X has 2 features, but SlidingWindow is expecting 3"):
        transformer.transform(table[:, :2])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"window_length": 0}, r"'window_length' parameter of SlidingWindow must be an int in the range \[1, inf\)"),
        ({"window_length": 2.0}, "'window_length' parameter of SlidingWindow must be an int .* Got 2.0 instead"),
        ({"dtype": "int32"}, "'dtype' parameter of SlidingWindow must be a str among .* Got 'int32' instead"),
    ],
)
def test_bad_params(table, params, message):
    """Bad parameters are refused in fit by a generated sentence."""
    with pytest.raises(ValueError, match=message):
        SlidingWindow(**params).fit(table)


def test_data_frame(table):
    """A data frame gives its column names, and an array comes back whatever output scikit-learn is set to."""
    X = pd.DataFrame(table, columns=["load", "wind", "sun"])
    transformer = SlidingWindow(WINDOW_LENGTH).fit(X)
    assert_array_equal(transformer.feature_names_in_, ["load", "wind", "sun"])
    with pytest.raises(ValueError, match="feature names"):
        transformer.transform(X[["wind", "load", "sun"]])
    with config_context(transform_output="pandas"):
        windows = make_pipeline(StandardScaler(), SlidingWindow(WINDOW_LENGTH)).fit_transform(X)
    assert isinstance(windows, np.ndarray)
    assert windows.shape == (N_SAMPLES, WINDOW_LENGTH, N_CHANNELS)


def test_clone_and_set_params():
    """Parameters survive clone, and set_params changes the windows."""
    transformer = clone(SlidingWindow(13, dtype="float64"))
    assert transformer.get_params() == {"window_length": 13, "dtype": "float64"}
    X = np.zeros((N_SAMPLES, N_CHANNELS))
    transformer.set_params(window_length=7, dtype="float32")
    assert transformer.fit_transform(X).shape == (N_SAMPLES, 7, N_CHANNELS)
    assert repr(transformer) == "SlidingWindow(window_length=7)"


def make_ridge_pipeline():
    """Scale, cut, flatten and regress, as a user would without skattn's estimators."""
    return Pipeline(
        [
            ("scale", StandardScaler()),
            ("window", SlidingWindow(WINDOW_LENGTH)),
            ("flatten", FunctionTransformer(lambda X: X.reshape(len(X), -1))),
            ("impute", SimpleImputer()),
            ("ridge", Ridge(alpha=1e-6)),
        ]
    )


def test_pipeline_learns_the_past():
    """A target four steps back is within reach of windows of five steps, and out of reach of windows of four."""
    X = np.random.default_rng(19).normal(size=(211, N_CHANNELS))
    y = np.r_[np.zeros(4), X[:-4, 1]]
    pipeline = make_ridge_pipeline()
    assert pipeline.fit(X, y).score(X, y) > 0.99
    assert pipeline.set_params(window__window_length=4).fit(X, y).score(X, y) < 0.2


def test_pipeline_inverse(table):
    """Scaler and windows undo each other in a pipeline."""
    pipeline = make_pipeline(StandardScaler(), SlidingWindow(WINDOW_LENGTH, dtype="float64"))
    assert_allclose(pipeline.inverse_transform(pipeline.fit_transform(table)), table, rtol=1e-12)


def test_grid_search_over_window_length():
    """The search finds the window that reaches back to the lag of the target."""
    X = np.random.default_rng(3).normal(size=(401, 1))
    y = np.r_[np.zeros(2), X[:-2, 0]]
    search = GridSearchCV(make_ridge_pipeline(), {"window__window_length": [1, 2, 3]}, cv=TimeSeriesSplit(3))
    assert search.fit(X, y).best_params_ == {"window__window_length": 3}


def test_history_replaces_padding(table):
    """With the advised rows of history, new rows get the windows they have in the whole table."""
    transformer = SlidingWindow(WINDOW_LENGTH).fit(table)
    newest = transformer.transform(table[-7 - (WINDOW_LENGTH - 1) :])[WINDOW_LENGTH - 1 :]
    assert_array_equal(newest, transformer.transform(table)[-7:])


# SequenceScaler


def test_scaling_by_hand():
    """Two windows, two steps, two channels: means 2 and 20, standard deviations 1 and 10."""
    X = np.array([[[1.0, 10.0], [3.0, 10.0]], [[1.0, 30.0], [3.0, 30.0]]])
    scaler = SequenceScaler().fit(X)
    assert_array_equal(scaler.scaler_.mean_, [2.0, 20.0])
    assert_array_equal(scaler.scaler_.scale_, [1.0, 10.0])
    assert_array_equal(scaler.transform(X), [[[-1, -1], [1, -1]], [[-1, 1], [1, 1]]])
    # 5 is (5 - 2) / 1 = 3 standard deviations away, 50 is (50 - 20) / 10 = 3 as well.
    assert_array_equal(scaler.transform(np.full((1, 2, 2), [5.0, 50.0])), np.full((1, 2, 2), 3.0))


def test_two_dimensions_are_one_channel():
    """A 2-D X is windows of one channel: all its steps share mean 3 and standard deviation 2."""
    X = np.array([[1.0, 1.0, 5.0], [5.0, 1.0, 5.0]])
    scaler = SequenceScaler().fit(X)
    assert scaler.n_channels_in_ == 1
    assert scaler.n_features_in_ == 3
    assert_array_equal(scaler.transform(X), [[-1, -1, 1], [1, -1, 1]])
    assert_array_equal(scaler.transform(X[:, :, np.newaxis])[:, :, 0], scaler.transform(X))
    assert_array_equal(scaler.inverse_transform(scaler.transform(X)), X)


@pytest.mark.parametrize(
    "scaler",
    [
        None,
        StandardScaler(with_mean=False),
        RobustScaler(),
        MinMaxScaler(),
        MaxAbsScaler(),
        QuantileTransformer(n_quantiles=17),
        make_pipeline(RobustScaler(), MinMaxScaler()),
    ],
    ids=repr,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scalers(windows, scaler, dtype):
    """Any scaler acts on each channel as on that channel's steps in one column, and is undone."""
    X = windows.astype(dtype)
    sequence_scaler = SequenceScaler(scaler)
    X_scaled = sequence_scaler.fit_transform(X)
    for channel in range(N_CHANNELS):
        column = X[:, :, channel].reshape(-1, 1)
        expected = clone(StandardScaler() if scaler is None else scaler).fit_transform(column)
        assert_allclose(X_scaled[:, :, channel].reshape(-1, 1), expected, rtol=1e-4, atol=1e-5)
    assert X_scaled.shape == X.shape
    assert X_scaled.dtype == dtype
    assert_allclose(sequence_scaler.inverse_transform(X_scaled), X, rtol=1e-3, atol=1e-3)


def test_scaler_is_cloned(windows):
    """The scaler given stays unfitted, and nested parameters can be set."""
    scaler = RobustScaler()
    sequence_scaler = SequenceScaler(scaler).fit(windows)
    assert not hasattr(scaler, "center_")
    assert hasattr(sequence_scaler.scaler_, "center_")
    clone(sequence_scaler).set_params(scaler__with_centering=False)
    assert scaler.with_centering


def test_missing_values_pass(windows):
    """NaN stays where it is and leaves the scaling of the other values as it was without it."""
    holes = np.random.default_rng(13).random(windows.shape) < 0.2
    X = np.where(holes, np.nan, windows)
    scaler = SequenceScaler().fit(X)
    for channel in range(N_CHANNELS):
        observed = windows[:, :, channel][~holes[:, :, channel]]
        assert_allclose(scaler.scaler_.mean_[channel], observed.mean(), rtol=1e-12)
        assert_allclose(scaler.scaler_.scale_[channel], observed.std(), rtol=1e-12)
    assert_array_equal(np.isnan(scaler.transform(X)), holes)
    assert_allclose(scaler.inverse_transform(scaler.transform(X)), X, rtol=1e-12, atol=1e-12)


def test_padded_windows(table):
    """The padding of SlidingWindow is no value: it stays NaN and has no part in the mean."""
    X = SlidingWindow(WINDOW_LENGTH, dtype="float64").fit_transform(table)
    scaler = SequenceScaler().fit(X)
    assert_allclose(scaler.scaler_.mean_, np.nanmean(X, axis=(0, 1)), rtol=1e-12)
    assert_array_equal(np.isnan(scaler.transform(X)), np.isnan(X))


def test_scaler_judges_missing_values(windows):
    """A scaler that refuses NaN says so itself."""
    windows[2, 3, 1] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        SequenceScaler(Normalizer()).fit(windows)


def test_channel_errors(windows):
    """Another number of channels is refused by transform and inverse_transform, in three parts."""
    scaler = SequenceScaler().fit(windows)
    message = r"X has 2 channels but SequenceScaler was fitted on 3\. Give the channels seen in fit, .* or fit"
    for method in (scaler.transform, scaler.inverse_transform):
        with pytest.raises(ValueError, match=message):
            method(windows[:, :, :2])
    with pytest.raises(ValueError, match="X has 1 channels but SequenceScaler was fitted on 3"):
        scaler.transform(windows[:, :, 0])


def test_other_scaler_errors(windows):
    """Four axes, infinity, other steps, and use before fit are refused."""
    with pytest.raises(ValueError, match=r"X has 4 dimensions but 3, .* are needed\. Merge"):
        SequenceScaler().fit(windows[:, :, :, np.newaxis])
    with pytest.raises(NotFittedError):
        SequenceScaler().transform(windows)
    scaler = SequenceScaler().fit(windows)
    with pytest.raises(ValueError, match="X has 4 features, but SequenceScaler is expecting 5"):
        scaler.transform(windows[:, :4])
    windows[2, 3, 1] = np.inf
    with pytest.raises(ValueError, match="Input X contains infinity"):
        scaler.transform(windows)


def test_inverse_only_where_the_scaler_has_one():
    """A scaler that cannot be undone takes inverse_transform away."""
    assert hasattr(SequenceScaler(), "inverse_transform")
    assert hasattr(SequenceScaler(RobustScaler()), "inverse_transform")
    assert not hasattr(SequenceScaler(Normalizer()), "inverse_transform")


def test_scaler_under_pandas_output(windows):
    """Scaled windows are arrays even where scikit-learn is told to answer with data frames."""
    expected = SequenceScaler().fit_transform(windows)
    with config_context(transform_output="pandas"):
        X_scaled = SequenceScaler().fit_transform(windows)
    assert isinstance(X_scaled, np.ndarray)
    assert_array_equal(X_scaled, expected)


def test_scaler_takes_data_frames(windows):
    """A data frame of windows with one channel gives the names of its steps, and its way back makes no warning."""
    X = pd.DataFrame(windows[:, :, 1], columns=[f"lag{lag}" for lag in range(WINDOW_LENGTH)])
    scaler = SequenceScaler().fit(X)
    assert_array_equal(scaler.feature_names_in_, X.columns)
    assert_allclose(scaler.inverse_transform(scaler.transform(X)), X, rtol=1e-12)
