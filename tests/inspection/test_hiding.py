"""Hiding puts the right thing in the right places of the right windows, and asks the network that was fitted."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state
from sktime.exceptions import NotFittedError as SktimeNotFittedError

from skattn import AttentionLSTMClassifier, AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.inspection.hiding import REMOVALS, Subject
from skattn.nn import NORMALIZATIONS
from skattn.preprocessing import SlidingWindow

N, L, C = 97, 5, 3
T, H, K = 61, 7, 2  # of series
SMALL = dict(hidden_size=2, embedding_dim=2, attention_dim=2, max_epochs=1, random_state=0)


def subject(estimator, X=None, y=None, removal="level", max_samples=None, seed=0):
    """A subject with what the report asks for by default, but for its size."""
    return Subject(estimator, X, y, removal, max_samples, check_random_state(seed))


@pytest.fixture(scope="module")
def X():
    """Windows with level and scale of their own in every channel, some of whose values are missing."""
    X = np.random.default_rng(0).normal([7, -2, 0.5], [3, 1, 0.1], size=(N, L, C)).astype(np.float32)
    X[3, 1, 0] = X[5, -1, 2] = X[11, 2] = np.nan
    return X


@pytest.fixture(scope="module")
def y(X):
    """A target for each window."""
    return np.nan_to_num(X[:, 2, 1])


@pytest.fixture(scope="module")
def model(X, y):
    """A regressor with every attention."""
    params = dict(SMALL, num_heads=2, attention_position="both", channel_attention="additive")
    return AttentionLSTMRegressor(**params).fit(X, y)


@pytest.fixture(scope="module")
def series():
    """A series and two drivers beside it."""
    rng = np.random.default_rng(1)
    index = pd.period_range("2020-01", periods=T, freq="M")
    y = pd.Series(np.sin(np.arange(T)) + 7, index, name="load")
    return y, pd.DataFrame(rng.normal([3, -5], size=(T, K)), index, columns=["sun", "wind"])


@pytest.fixture(scope="module")
def forecaster(series):
    """A forecaster, dual-stage, of which only the drivers are attended to."""
    y, drivers = series
    regressor = AttentionLSTMRegressor(**SMALL, encoder="dual_stage")
    return AttentionLSTMForecaster(regressor, window_length=L).fit(y, X=drivers, fh=range(1, H + 1))


# ------------------------------------------------------------------------------------------------------------ parts


@pytest.mark.parametrize(
    ("kind", "size"), [("temporal", L), ("input", L), ("state", L), ("channel", C), ("joint", L * C)]
)
def test_number_of_parts(model, X, kind, size):
    """There are as many parts as steps, channels or pairs of them."""
    assert subject(model, X).n_parts(kind) == size


@pytest.mark.parametrize(
    ("kind", "part", "place"), [("temporal", 3, (3,)), ("channel", 1, (slice(None), 1)), ("joint", 3 * C + 1, (3, 1))]
)
def test_spread(model, X, kind, part, place):
    """A part is a step of all channels, a channel at all steps, or one value; of all windows or of one."""
    asked = subject(model, X)
    one = np.arange(asked.n_parts(kind)) == part
    expected = np.zeros((L, C), bool)
    expected[place] = True
    assert_array_equal(np.broadcast_to(asked.spread(one, kind), (L, C)), expected)
    each = np.outer(np.arange(N) == 13, one)  # (n, J)
    assert_array_equal(np.broadcast_to(asked.spread(each, kind), (N, L, C))[13], expected)
    assert not asked.spread(each, kind)[12].any()


def test_spread_of_drivers(forecaster, series):
    """Where only drivers are attended to, their parts are the last channels, and the target is never hidden."""
    y, drivers = series
    asked = subject(forecaster, drivers, y)
    channel = asked.spread(np.array([False, True]), "channel")
    assert_array_equal(np.broadcast_to(channel, (L, 1 + K)), [[False, False, True]] * L)
    joint = asked.spread(np.arange(L * K) == 3 * K, "joint")
    expected = np.zeros((L, 1 + K), bool)
    expected[3, 1] = True
    assert_array_equal(joint, expected)


def test_unknown_kind(model, X):
    """A kind that does not exist is refused with those that do."""
    messages = {
        "step": r"kind='step' is unknown\. Use one of 'temporal', 'channel', 'joint', 'spatial', 'input',",
        "spatial": r"kind='spatial' has weights for each sensor .* Use kind='channel' of occlusion,",
    }
    for kind, message in messages.items():
        for method in (subject(model, X).n_parts, subject(model, X).weights):
            with pytest.raises(ValueError, match=message):
                method(kind)


# ---------------------------------------------------------------------------------------------------------- removals


def hide(model, X, removal, **params):
    """Windows of which step 2 of channel 0 and all of channel 1 are hidden, and what hid them."""
    hidden = np.zeros((L, C), bool)
    hidden[2, 0] = hidden[:, 1] = True
    return subject(model, X, removal=removal, **params).windows(hidden).arrays["past"], hidden


@pytest.mark.parametrize("removal", REMOVALS)
def test_the_rest_is_left(model, X, removal):
    """What is not hidden stays, what is missing stays missing, and the windows of the user are not written to."""
    before = X.copy()
    past, hidden = hide(model, X, removal)
    assert_array_equal(past[:, ~hidden], X[:, ~hidden])
    assert np.isnan(past[np.isnan(X)]).all()
    assert_array_equal(X, before)
    assert_array_equal(subject(model, X, removal=removal).windows().arrays["past"], X)


def test_level_is_put_in_place(model, X):
    """'level' is the mean of the training data, where the network standardises by it."""
    past, hidden = hide(model, X, "level")
    level = np.nanmean(X, (0, 1))
    there = hidden & ~np.isnan(X)
    assert_allclose(past[there], np.broadcast_to(level, X.shape)[there], rtol=1e-5)


def test_mask_is_put_in_place(model, X):
    """'mask' is NaN."""
    past, hidden = hide(model, X, "mask")
    assert np.isnan(past[:, hidden]).all()
    assert past.dtype == X.dtype


def test_other_windows_are_put_in_place(model, X):
    """'permute' takes all that is hidden of a window from one other window, and every window once."""
    X = np.nan_to_num(X)
    past, hidden = hide(model, X, "permute")
    donors = (past[:, None, hidden] == X[None, :, hidden]).all(-1)  # (n, n)
    assert_array_equal(donors.sum(0), np.ones(N))
    assert_array_equal(donors.sum(1), np.ones(N))
    assert donors.diagonal().sum() < 5
    assert_array_equal(hide(model, X, "permute")[0], past)
    assert (hide(model, X, "permute", seed=1)[0] != past).any()


def test_windows_are_permuted_anew(model, X):
    """Every call draws other windows."""
    asked = subject(model, X, removal="permute")
    first, second = (asked.windows(np.True_).arrays["past"] for _ in range(2))
    assert not np.array_equal(first, second, equal_nan=True)


def test_unknown_removal(model, X):
    """A removal that does not exist is refused with those that do."""
    with pytest.raises(ValueError, match=r"removal='zero' is unknown\. Use one of 'level', 'permute', 'mask'\."):
        subject(model, X, removal="zero")


# ------------------------------------------------------------------------------------------------------------ level

LEVELS = {
    "global": lambda X: np.nanmean(X, (0, 1)),
    "last": lambda X: pd.DataFrame(X).ffill().iloc[-1],
    "trailing": lambda X: np.nanmean(X[-round(L / 2) :], 0),
    "mean": lambda X: np.nanmean(X, 0),
    "window": lambda X: np.nanmean(X, 0),
    "identity": lambda X: np.zeros(C),
}


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_level(X, y, normalization):
    """The level is the mean, the last observed value, the window's mean, or zero; the mean where all is missing."""
    gone = X.copy()
    gone[17, :, 2] = np.nan
    fitted = AttentionLSTMRegressor(**SMALL, normalization=normalization).fit(gone, y)
    level = subject(fitted, gone).level()
    assert level.shape == (N, 1, C)
    for window in (0, 3, 5, 11):
        expected = LEVELS[normalization](gone if normalization == "global" else gone[window])
        assert_allclose(level[window, 0], expected, rtol=1e-5)
    mean = 0 if normalization == "identity" else np.nanmean(gone[..., 2])
    assert_allclose(level[17, 0, 2], mean, rtol=1e-5)


@pytest.mark.parametrize("normalization", ["global", "last", "identity"])  # the others move as values go
def test_level_is_seen_as_zero(X, y, normalization):
    """What is hidden by its level is zero after the normalisation of the window that it is put into."""
    fitted = AttentionLSTMRegressor(**SMALL, normalization=normalization).fit(X, y)
    seen, hidden = [], np.zeros((L, C), bool)
    hidden[1] = True
    fitted.network_.normalization.register_forward_hook(lambda module, args, output: seen.append(output[0]))
    subject(fitted, X).predict(hidden)
    values = seen[-1].numpy()[:, 1]
    assert_allclose(values[~np.isnan(values)], 0, atol=1e-5)


def test_level_of_drivers(forecaster, series):
    """The level of the target is its last value in each window, that of drivers their mean in training."""
    y, drivers = series
    level = subject(forecaster, drivers, y).level()
    assert_allclose(level[:, 0, 0], y[L - 1 : T - H], rtol=1e-6)
    assert_allclose(level[:, 0, 1:], np.broadcast_to(drivers[:-H].mean(), (T - L - H + 1, K)), rtol=1e-5)


# ------------------------------------------------------------------------------------------- the network that is asked


def test_forecasts_and_loss_of_a_regressor(model, X, y):
    """Forecasts and loss are those of the estimator, on standardised targets."""
    asked = subject(model, X, y)
    forecast = asked.predict()
    assert forecast.shape == (N, 1)
    assert_allclose(forecast[:, 0] * model.y_scale_ + model.y_mean_, model.predict(X), rtol=1e-5)
    assert_allclose(asked.loss(), np.mean((model.predict(X) - y) ** 2) / model.y_scale_**2, rtol=1e-4)
    hidden = np.arange(C) == 1
    changed = np.where(hidden & ~np.isnan(X), np.nanmean(X, (0, 1)), X)
    assert_allclose(asked.predict(hidden)[:, 0] * model.y_scale_ + model.y_mean_, model.predict(changed), rtol=1e-4)


def test_forecasts_and_loss_of_a_classifier(X, y):
    """Probabilities and log loss are those of the estimator; targets are not needed for the first."""
    labels = np.array(["low", "middle", "up"])[np.digitize(y, [-2.3, -1.7])]
    model = AttentionLSTMClassifier(**SMALL).fit(X, labels)
    assert_allclose(subject(model, X).predict(), model.predict_proba(X), rtol=1e-5)
    assert_allclose(subject(model, X, labels).loss(), log_loss(labels, model.predict_proba(X)), rtol=1e-5)


def test_classes_without_weight_are_asked_about(X, y):
    """Weights of classes belong to training: all windows are asked about, whatever they are."""
    labels = (y > -2).astype(int)
    model = AttentionLSTMClassifier(**SMALL, class_weight={0: 0.0, 1: 1.0}).fit(X, labels)
    assert len(subject(model, X, labels).past) == N


@pytest.mark.parametrize("kind", ["temporal", "channel", "joint", "input", "state"])
def test_weights(model, X, kind):
    """Weights are those of the estimator, averaged over heads, pairs step by step."""
    assert_allclose(subject(model, X).weights(kind), model.attention_weights(X, kind).reshape(N, -1))


def test_weights_of_a_forecaster(series):
    """Weights of several steps ahead are averaged."""
    y, _ = series
    regressor = AttentionLSTMRegressor(**SMALL, attention_position="state")
    forecaster = AttentionLSTMForecaster(regressor, window_length=L).fit(y, fh=range(1, H + 1))
    weights = subject(forecaster, None, y).weights("state")
    assert weights.shape == (T - L - H + 1, L)
    one = forecaster.attention_weights(y[: L + 11], kind="state")  # the window that ends there is the twelfth
    assert_allclose(weights[11], one.mean(), rtol=1e-5)


# ------------------------------------------------------------------------------------------------- doors


def test_pipeline(y):
    """The steps before the last are applied to X, and only those."""
    table = np.random.default_rng(2).normal(size=(N, C))
    pipeline = make_pipeline(SlidingWindow(L), AttentionLSTMRegressor(**SMALL)).fit(table, y)
    through, direct = subject(pipeline, table, y), subject(pipeline[-1], SlidingWindow(L).fit_transform(table), y)
    assert_array_equal(through.past, direct.past)
    assert np.isnan(through.past[0, : L - 1]).all()
    assert through.loss() == direct.loss()


def test_pipeline_of_one_step(model, X):
    """A pipeline of the estimator alone asks as the estimator does."""
    assert_array_equal(subject(make_pipeline(model), X).predict(), subject(model, X).predict())


def test_windows_of_a_series(forecaster, series):
    """All windows of a series are asked about, with drivers as channels and known ahead, and forecast as they were."""
    y, drivers = series
    asked = subject(forecaster, drivers, y)
    assert asked.past.shape == (T - L - H + 1, L, 1 + K)
    assert_allclose(asked.past[11, :, 0], y[11 : 11 + L], rtol=1e-6)
    assert_allclose(asked.arrays["future"][11], drivers[11 + L : 11 + L + H], rtol=1e-6)
    hidden = asked.windows(np.arange(1 + K) > 0)
    assert_array_equal(hidden.arrays["future"], asked.arrays["future"])
    assert hidden.autoregressive
    assert_allclose(asked.predict()[-1], forecaster.regressor_.predict_windows(asked.windows())[-1].ravel(), rtol=1e-6)


def test_windows_of_a_panel(series):
    """No window reaches from one series of a panel into the next, and a sample of them neither."""
    y, _ = series
    panel = pd.concat([y[:29], y[:31] + 1000], keys=["a", "b"], names=["name", "month"]).to_frame()
    forecaster = AttentionLSTMForecaster(AttentionLSTMRegressor(**SMALL), window_length=L)
    forecaster.fit(panel, fh=range(1, H + 1))
    n_windows = 29 - L - H + 1 + 31 - L - H + 1
    asked = subject(forecaster, None, panel)
    assert len(asked.past) == n_windows
    for one in (asked, subject(forecaster, None, panel, max_samples=23)):
        large = np.concatenate([one.past, one.arrays["target"]], 1) > 500
        assert_array_equal(large.any((1, 2)), large.all((1, 2)))


def test_missing_targets_do_not_count(forecaster, series):
    """The loss is that of what was observed, and windows of which no target was are left out."""
    y, drivers = series
    holed = y.copy()
    holed.iloc[31 : 31 + H] = np.nan
    asked = subject(forecaster, drivers, holed)
    past, target = asked.arrays["past"], asked.arrays["target"]
    assert np.isnan(target).all((1, 2)).sum() == 1
    scale = forecaster.regressor_.network_.normalization.scale[0].numpy()
    errors = ((asked.predict()[..., None] - target) / scale) ** 2
    losses = [np.nanmean(error) for error in errors if not np.isnan(error).all()]
    assert len(losses) == len(past) - 1
    assert_allclose(asked.loss(), np.mean(losses), rtol=1e-4)


def test_windows_keep_their_place():
    """Windows that were drawn, and of which something is hidden, have the places that they ended at."""
    y = pd.Series(np.arange(100.0, 100 + T), pd.RangeIndex(1000, 1000 + T))
    regressor = AttentionLSTMRegressor(**SMALL)
    forecaster = AttentionLSTMForecaster(regressor, window_length=L, periods=[5], periods_role="embed").fit(y, fh=[1])
    for removal in REMOVALS:
        asked = subject(forecaster, y=y, max_samples=17, removal=removal)
        assert_array_equal(asked.arrays["place"], asked.past[:, -1, 0] + 900)
        assert_array_equal(asked.windows(np.True_).arrays["place"], asked.arrays["place"])
        assert asked.predict(np.True_).shape == (17, 1)


@pytest.mark.parametrize("max_samples", [13, N, None])
def test_max_samples(model, X, y, max_samples):
    """A sample keeps its order, and each window its target; a limit that is not reached changes nothing."""
    number = np.arange(N, dtype=float)  # of the window, as its target
    asked = subject(model, X, number, max_samples=max_samples)
    drawn = np.round(asked.arrays["target"].ravel() * model.y_scale_ + model.y_mean_).astype(int)
    assert len(drawn) == (max_samples or N)
    assert (np.diff(drawn) > 0).all()
    assert_array_equal(asked.past, X[drawn])


def test_samples_are_drawn_at_random(model, X):
    """Another random state draws other windows, the same one the same."""
    draws = [subject(model, X, max_samples=13, seed=seed).past for seed in (0, 0, 1)]
    assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2], equal_nan=True)


@pytest.mark.parametrize("max_samples", [0, -1, 0.5])
def test_bad_max_samples(model, X, max_samples):
    """A sample of no windows is refused by its name."""
    with pytest.raises(ValueError, match="max_samples"):
        subject(model, X, max_samples=max_samples)


def test_what_is_not_fitted(X, series):
    """An estimator that was not fitted is refused as `predict` refuses it."""
    unfitted = AttentionLSTMRegressor(**SMALL)
    for estimator in (unfitted, make_pipeline(SlidingWindow(L), unfitted)):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            subject(estimator, X)
    with pytest.raises(SktimeNotFittedError, match="not been fitted yet"):
        subject(AttentionLSTMForecaster(), None, series[0])


def test_a_forecaster_needs_a_series(forecaster):
    """Without a series there are no windows, which is said."""
    with pytest.raises(ValueError, match="y is None"):
        subject(forecaster)


def test_foreign_estimators(X, y):
    """What has no windows of this package is refused by its name."""
    with pytest.raises((TypeError, ValueError), match="LinearRegression"):
        subject(LinearRegression().fit(np.nan_to_num(X[:, :, 0]), y), X[:, :, 0])
