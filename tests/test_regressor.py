"""Tests of the regressor: targets, windows of sensors, weights, losses, optimizers and schedules."""

import inspect
import pickle
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback

from skattn import AttentionLSTMRegressor
from skattn.graph import adjacency_from_coordinates
from skattn.nn import ATTENTIONS, LOSSES
from skattn.parameters import LR_SCHEDULES, OPTIMIZERS

N, L, C = 61, 5, 3
SMALL = dict(
    hidden_size=7, embedding_dim=2, attention_dim=11, batch_size=16, max_epochs=3, early_stopping=False, random_state=0
)
FULL_BATCH = dict(dtype="float64", batch_size=2 * N)


@pytest.fixture
def data():
    """Make windows and targets that depend on one of their values, in other units."""
    X = np.random.default_rng(0).normal(size=(N, L, C)).astype(np.float32)
    return X, X[:, 2, 1].astype(float) * 100 + 5000


def make(**parameters):
    return AttentionLSTMRegressor(**{**SMALL, **parameters})


def bits(model):
    return torch.cat([value.flatten() for value in model.network_.state_dict().values()])


# ---------------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("attention", [None, *ATTENTIONS])
def test_learns(attention):
    """100 times the size of one value, plus 5000, which no linear model can tell, is found with every attention."""
    X = np.random.default_rng(0).normal(size=(300, L, 2)).astype(np.float32)
    y = 100 * np.abs(X[:, 3, 0]) + 5000
    options = dict(hidden_size=16, embedding_dim=8, max_epochs=20, lr=0.02, early_stopping=False, random_state=0)
    model = AttentionLSTMRegressor(attention=attention, **options).fit(X[:250], y[:250])
    assert model.score(X[250:], y[250:]) > 0.5


def test_linear_skip_learns_a_linear_target():
    """A linear target is learned by the skip to the last tenth of a percent, and not by a small network without it."""
    X = np.random.default_rng(0).normal(size=(200, L, C)).astype(np.float32)
    y = X.reshape(200, -1) @ np.arange(L * C)
    options = dict(hidden_size=1, embedding_dim=1, max_epochs=10, lr=0.03, early_stopping=False, random_state=0)
    scores = [AttentionLSTMRegressor(linear_skip=skip, **options).fit(X, y).score(X, y) for skip in (True, False)]
    assert scores[0] > 0.999
    assert scores[1] < 0.95


# ---------------------------------------------------------------------------------------------------- y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n_outputs", "shape"), [(None, (N,)), (1, (N, 1)), (3, (N, 3))])
def test_shape_and_dtype_of_predictions(data, dtype, n_outputs, shape):
    """One-dimensional y is predicted in the network's dtype, two-dimensional y in float64, in the shape of y."""
    X, y = data
    y = y if n_outputs is None else np.stack([y * (i + 1) for i in range(n_outputs)], 1)
    predicted = make(dtype=dtype).fit(X, y).predict(X)
    assert predicted.shape == shape
    assert predicted.dtype == (dtype if n_outputs is None else "float64")


def test_column_of_targets_is_the_vector(data):
    """y of shape (n, 1) is learned as y of shape (n,)."""
    X, y = data
    one, other = make().fit(X, y), make().fit(X, y[:, None])
    assert torch.equal(bits(one), bits(other))
    assert_allclose(other.predict(X)[:, 0], one.predict(X), rtol=1e-6)


@pytest.mark.parametrize(
    "convert", [list, pd.Series, lambda y: y.astype(np.float32), lambda y: y.astype(int), pd.DataFrame]
)
def test_kinds_of_y(data, convert):
    """Lists, series, frames, integers and single precision are targets."""
    X, y = data
    y = np.round(y)
    assert_allclose(make().fit(X, convert(y)).predict(X).ravel(), make().fit(X, y).predict(X), rtol=1e-6)


def test_targets_keep_their_column():
    """Two targets that depend on different channels are not mixed up."""
    X = np.random.default_rng(0).normal(size=(200, L, C)).astype(np.float32)
    y = np.stack([X[:, 0, 0], 100 * X[:, 4, 2] + 7], 1)
    predicted = AttentionLSTMRegressor(random_state=0, max_epochs=15).fit(X, y).predict(X)
    assert np.corrcoef(np.hstack([predicted, y]).T)[:2, 2:].round(1).tolist() == pytest.approx(np.eye(2), abs=0.2)


def test_units_of_y_do_not_matter(data):
    """The prediction of 1000 y - 7 is 1000 times that of y, minus 7."""
    X, y = data
    one, other = (make(dtype="float64").fit(X, target).predict(X) for target in (y, 1000 * y - 7))
    assert_allclose(other, 1000 * one - 7, rtol=1e-9)


def test_scales_by_hand():
    """y is 1, 2, 3 with weights 1, 1, 2: mean 9/4, variance (25 + 1 + 2 * 9) / 16 / 4; a constant has scale 1."""
    X = np.ones((3, L, C))
    y = np.array([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]])
    model = make(max_epochs=1).fit(X, y, sample_weight=[1, 1, 2])
    assert_allclose(model.y_mean_, [9 / 4, 7])
    assert_allclose(model.y_scale_, [np.sqrt(44 / 64), 1])


def test_targets_reach_the_network_standardised(data):
    """The dataset holds (y - mean) / scale, one step ahead."""

    class Targets(Callback):
        def on_train_begin(self, net, X=None, **kwargs):
            self.target_ = X.arrays["target"]

    X, y = data
    targets = Targets()
    make(callbacks=[targets], dtype="float64").fit(X, y)
    assert_allclose(targets.target_, ((y - y.mean()) / y.std())[:, None, None])


def test_missing_targets_are_refused(data):
    """y must be finite: a row without a target has nothing to teach."""
    X, y = data
    y[3] = np.nan
    with pytest.raises(ValueError, match="Input y contains NaN"):
        make().fit(X, y)


@pytest.mark.parametrize(("first", "second"), [((N,), (N, 3)), ((N, 3), (N,)), ((N, 3), (N, 2)), ((N, 2), (N, 1))])
@pytest.mark.parametrize("method", ["partial_fit", "fit"])
def test_going_on_with_another_number_of_targets(data, first, second, method):
    """Going on, y must have as many columns as in the first call, and the error is about y: nothing is broadcast."""
    X, _ = data
    rng = np.random.default_rng(1)
    model = make(warm_start=True).fit(X, rng.normal(size=first))
    with pytest.raises(ValueError, match=r"\by\b"):
        getattr(model, method)(X, rng.normal(size=second))


def test_early_stopping_with_many_steps_ahead():
    """Targets that are many steps ahead leave nothing to train on before the held-out ones: 'auto' holds none out."""
    rng = np.random.default_rng(0)
    model = make(early_stopping="auto").fit(rng.normal(size=(110, L)), rng.normal(size=(110, 100)))
    assert "valid_loss" not in model.history_


def test_partial_fit_keeps_the_scales_of_y(data):
    """Scales are those of the first call."""
    X, y = data
    model = make().partial_fit(X, y)
    mean, scale = model.y_mean_, model.y_scale_
    model.partial_fit(X, 3 * y)
    assert model.y_mean_ is mean
    assert model.y_scale_ is scale


# ------------------------------------------------------------------------------------------------ windows of sensors

S, V = 7, 2  # sensors, and the channels of each
ROWS_OF_SENSORS = {
    "independent": dict(channel_mode="independent"),
    "listening": dict(spatial_attention="general"),
    "heads": dict(spatial_attention="multihead", num_heads=2, embedding_dim=2, hidden_size=6, attention_dim=12),
}
every_way = pytest.mark.parametrize("how", ROWS_OF_SENSORS.values(), ids=ROWS_OF_SENSORS)
LEARNS = dict(attention=None, linear_skip=False, hidden_size=8, embedding_dim=8, lr=0.03, max_epochs=15)


def measured(n=N, seed=0):
    """Make windows of sensors, and a target for each: 10 times the size of one value, plus 5."""
    X = np.random.default_rng(seed).normal(size=(n, L, S, V)).astype(np.float32)
    return X, 10 * np.abs(X[:, 3, :, 0]) + 5


def test_outputs_are_sensor_by_sensor():
    """From 100 windows, what each sensor does is learned by the network that all share, two outputs each, in order.

    A network that reads all at once does not learn it from so few.
    """
    X, size = measured(200)
    y = np.stack([size, -X[:, 1, :, 1]], -1).reshape(200, 2 * S)
    scores = {}
    for mode in ("independent", "mixed"):
        model = make(channel_mode=mode, **LEARNS).fit(X[:100], y[:100])
        predicted = model.predict(X[100:])
        assert predicted.shape == (100, 2 * S)
        scores[mode] = np.corrcoef(predicted.T, y[100:].T)[: 2 * S, 2 * S :]
    diagonal = np.eye(2 * S, dtype=bool)
    assert scores["independent"][diagonal].min() > 0.9
    assert scores["independent"][~diagonal].max() < 0.5
    assert scores["mixed"][diagonal].max() < 0.5


def test_sensors_listen_to_each_other():
    """A target that is another sensor's value is learned with spatial_attention only, whose weights name the sensor."""
    X, _ = measured(200)
    y = np.roll(X[:, -1, :, 0], 1, axis=1)  # that of the sensor before
    alone, listening = (make(**LEARNS, **how).fit(X[:150], y[:150]) for how in list(ROWS_OF_SENSORS.values())[:2])
    assert alone.score(X[150:], y[150:]) < 0.1
    assert listening.score(X[150:], y[150:]) > 0.9
    weights = listening.attention_weights(X[150:], kind="spatial").mean(0)  # a row per listener
    assert_array_equal(weights.argmax(1), [6, 0, 1, 2, 3, 4, 5])
    assert weights.max(1).min() > 0.7


@pytest.mark.parametrize(
    ("how", "finds"),
    [
        (dict(channel_mode="independent"), False),
        (dict(spatial_attention="general"), True),
        (dict(channel_mode="mixed"), True),
    ],
    ids=["independent", "listening", "mixed"],
)
def test_linear_skip_does_not_tell_what_sensors_may_not_know(how, finds):
    """A target that is another sensor's value is out of reach of independent sensors, of their linear skip too."""
    X, _ = measured(200)
    y = np.roll(X[:, -1, :, 0], 1, axis=1)  # that of the sensor before
    options = LEARNS | dict(linear_skip=True, early_stopping=True, validation_fraction=0.2)
    score = make(**options, **how).fit(X[:150], y[:150]).score(X[150:], y[150:])
    assert score > 0.9 if finds else score < 0.1


@pytest.mark.parametrize("early_stopping", [True, False])
def test_linear_skip_of_sensors_solves_what_is_their_own(early_stopping):
    """Two targets of each sensor that are linear in its own channels are solved by a map that all share."""
    X, _ = measured(300)
    slopes = np.random.default_rng(1).normal(size=(L * V, 2))
    y = (X.transpose(0, 2, 1, 3).reshape(300, S, L * V) @ slopes + [3, 500]).reshape(300, S * 2)
    options = dict(channel_mode="independent", early_stopping=early_stopping, max_epochs=1)
    model = make(**options).fit(X[:250], y[:250])
    assert len(model.network_.skip.linear.bias) == 1
    assert model.score(X[250:], y[250:]) > 0.98


@pytest.mark.parametrize("n_outputs", [None, 1, S, 5])
def test_windows_read_at_once_are_flattened(n_outputs):
    """Without rows of their own, sensors are channels, sensor by sensor, and y is anything."""
    X, _ = measured()
    y = np.random.default_rng(1).normal(size=N if n_outputs is None else (N, n_outputs))
    flat = X.reshape(N, L, S * V)
    one, other = make().fit(X, y), make().fit(flat, y)
    assert torch.equal(bits(one), bits(other))
    assert_array_equal(one.predict(X), other.predict(flat))
    assert one.n_channels_in_ == S * V
    assert one.n_features_in_ == L


@pytest.mark.parametrize("how", [{}, *ROWS_OF_SENSORS.values()], ids=["mixed", *ROWS_OF_SENSORS])
def test_sensors_first(how):
    """layout="channels_first" takes (n_samples, n_sensors, n_channels, n_steps), and learns the same."""
    X, y = measured()
    turned = np.ascontiguousarray(X.transpose(0, 2, 3, 1))
    one, other = make(**how).fit(X, y), make(layout="channels_first", **how).fit(turned, y)
    assert torch.equal(bits(one), bits(other))
    assert_array_equal(other.predict(turned), one.predict(X))
    with pytest.raises(ValueError, match="X"):
        other.predict(X)


@every_way
def test_rows_of_sensors_are_an_estimator(how):
    """It is pickled, copied, cloned, trained on and scored like every other, with X of four dimensions."""
    X, y = measured()
    model = make(**how, n_members=2, dropout=0.2).fit(X, y)
    assert model.predict(X).shape == (N, S)
    assert (model.network_.n_sensors, model.network_.n_variables, model.network_.by_sensor) == (S, V, True)
    for other in (pickle.loads(pickle.dumps(model)), deepcopy(model), clone(model).fit(X, y)):
        assert_array_equal(other.predict(X), model.predict(X))
        with pytest.raises(ValueError, match="were seen in fit"):
            other.predict(X.reshape(N, L, S * V))
    calls = make(**how)
    for _ in range(3):
        calls.partial_fit(X, y)
    assert torch.equal(bits(calls), bits(make(**how).fit(X, y)))
    assert cross_val_score(make(**how, max_epochs=1), X, y, cv=2, error_score="raise").shape == (2,)


@every_way
def test_rows_of_sensors_with_missing_values(how):
    """Values, steps, channels, sensors and windows may be missing, and one channel in all of them."""
    X, y = measured()
    X[0, 1, 2, 0] = X[1, 3] = X[2, :, 1, 1] = X[3, :, 4] = X[4] = X[:, :, 5, 0] = np.nan
    model = make(attention_position="both", channel_attention="additive", **{**how, "embedding_dim": 2}).fit(X, y)
    assert np.isfinite(model.history_["train_loss"]).all()
    assert np.isfinite(model.predict(X)).all()
    assert_allclose(model.predict(X)[5:], model.predict(X[5:]), rtol=1e-6)


@every_way
def test_weights_of_rows_of_sensors(how):
    """Weights over time and channels are as ever; those of sensors are a table for each window, or head of it."""
    X, y = measured()
    model = make(**{"embedding_dim": 2, **how}, channel_attention="dot").fit(X, y)
    heads = model.num_heads
    assert model.attention_weights(X).shape == (N, L)
    assert model.attention_weights(X, kind="channel").shape == (N, S * V)
    assert model.attention_weights(X, kind="joint").shape == (N, L, S * V)
    if model.spatial_attention is None:
        with pytest.raises(ValueError, match="was fitted without spatial attention"):
            model.attention_weights(X, kind="spatial")
        return
    weights = model.attention_weights(X, kind="spatial")
    per_head = model.attention_weights(X, kind="spatial", per_head=True)
    assert weights.shape == (N, S, S)
    assert per_head.shape == (N, heads, S, S)
    assert_allclose(per_head.mean(1), weights, rtol=1e-5)
    assert_allclose(per_head.sum(-1), 1, rtol=1e-5)
    assert (np.ptp(weights, 0) > 0).all()  # from window to window
    with torch.no_grad():
        assert_allclose(per_head, model.network_(torch.from_numpy(X).flatten(2)).spatial, rtol=1e-4)


PLACES = np.random.default_rng(0).uniform([51, -10], [55, -6], size=(S, 2))


@pytest.mark.parametrize("role", ["bias", "mask", "both"])
def test_map_of_rows_of_sensors(role):
    """Sensors have a map, or coordinates that make one; with a mask nobody looks where there is no edge."""
    X, y = measured()
    a_map = adjacency_from_coordinates(PLACES)
    options = dict(spatial_attention="general", adjacency_role=role, linear_skip=False)
    by_map, by_place = (make(**options, **how).fit(X, y) for how in (dict(adjacency=a_map), dict(coordinates=PLACES)))
    assert torch.equal(bits(by_map), bits(by_place))
    weights = by_place.attention_weights(X, kind="spatial")
    assert_array_equal(by_map.attention_weights(X, kind="spatial"), weights)
    edges = a_map.to_numpy().T > 0
    assert 0.2 < edges.mean() < 0.8
    assert_array_equal(weights.min(0) > 0, edges | (role == "bias"))
    for wrong, message in (
        (dict(adjacency=np.ones((S * V, S * V))), r"adjacency has shape \(14, 14\) but 7 sensors need \(7, 7\)"),
        (dict(coordinates=PLACES[:5]), r"coordinates has 5 rows but there are 7 sensors\. Pass a row for each"),
        (dict(coordinates=PLACES, adjacency=a_map), r"adjacency and coordinates are both given"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**options, **wrong).fit(X, y)


@every_way
def test_targets_that_sensors_cannot_share(how):
    """y has an output for each sensor, or so many each; otherwise the error says both numbers and the ways out."""
    X, y = measured()
    for wrong in (y[:, 0], y[:, :1], y[:, :6], np.concatenate([y, y[:, :1]], 1)):
        n_outputs = wrong.reshape(N, -1).shape[1]
        message = (
            rf"y has {n_outputs} outputs but 7 sensors need as many each\. Pass y of shape \(n_samples, 7\), or use "
            r"channel_mode='mixed' without spatial_attention\."
        )
        with pytest.raises(ValueError, match=message):
            make(**how).fit(X, wrong)
    model = make(**how).fit(X, np.repeat(y, 3, axis=1))
    assert model.predict(X).shape == (N, 3 * S)
    one = make(**how).fit(X[:, :, :1], y[:, 0])
    assert one.predict(X[:, :, :1]).shape == (N,)


@every_way
@pytest.mark.parametrize(("n_each", "gap"), [(1, 4), (3, 4), (11, 10)])
def test_rows_dropped_before_those_held_out(how, n_each, gap):
    """Windows of 5 steps share steps with the 4 before, and 11 steps ahead of each sensor reach into the next 10 rows.

    What is seen by other sensors is seen in the same steps.
    """

    class Datasets(Callback):
        def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
            self.train_, self.valid_ = dataset_train, dataset_valid

    X, y = measured()
    datasets = Datasets()
    stopping = dict(early_stopping=True, validation_fraction=0.2, max_epochs=1)
    make(**how, **stopping, callbacks=[datasets]).fit(X, np.repeat(y, n_each, axis=1))
    assert datasets.train_.gap == gap
    assert_array_equal(datasets.valid_.index, np.arange(49, 61))  # a fifth of 61
    assert_array_equal(datasets.train_.index, np.arange(49 - gap))


def test_rows_without_sensors_have_none():
    """Three dimensions are channels, which channel_mode="independent" does not tell apart."""
    X, y = measured()
    flat = X.reshape(N, L, S * V)
    assert torch.equal(bits(make(channel_mode="independent").fit(flat, y)), bits(make().fit(flat, y)))


# ---------------------------------------------------------------------------------------------------- weights


def test_weight_of_zero_is_removal(data):
    """In float64, windows of weight zero might as well not be there: scales, shuffling and losses agree."""
    X, y = data
    weight = np.tile([1.0, 0.0, 2.0], N)[:N]
    kept = weight > 0
    X[~kept] *= 1e3
    one = make(dtype="float64").fit(X, y, sample_weight=weight)
    other = make(dtype="float64").fit(X[kept], y[kept], sample_weight=weight[kept])
    assert_allclose(one.predict(X), other.predict(X), rtol=1e-9)
    assert_allclose(one.history_["train_loss"], other.history_["train_loss"])


def test_weight_is_repetition(data):
    """In float64 and one batch, a window of weight 2 is the window twice."""
    X, y = data
    weight = np.arange(N) % 3 + 1
    one = make(**FULL_BATCH).fit(X, y, sample_weight=weight)
    other = make(**FULL_BATCH).fit(np.repeat(X, weight, 0), np.repeat(y, weight))
    assert_allclose(one.predict(X), other.predict(X), rtol=1e-6)
    assert_allclose(one.network_.normalization.loc, other.network_.normalization.loc)


def test_weights_are_relative(data):
    """Seven times the weights are the same weights, and equal ones are none."""
    X, y = data
    weight = np.random.default_rng(1).uniform(0.1, 9, N)
    one, other = (make(dtype="float64").fit(X, y, sample_weight=w).predict(X) for w in (weight, 7 * weight))
    assert_allclose(one, other, rtol=1e-7)
    one, other = (make(dtype="float64").fit(X, y, sample_weight=w).predict(X) for w in (None, np.full(N, 3.0)))
    assert_allclose(one, other, rtol=1e-7)


def test_weights_count(data):
    """A model that sees two contradicting halves follows the heavier one."""
    X, y = data
    X, y = np.concatenate([X, X]), np.concatenate([y, y + 1000])
    weight = np.repeat([1.0, 99.0], N)
    light, heavy = (make(max_epochs=9).fit(X, y, sample_weight=w).predict(X).mean() for w in (weight[::-1], weight))
    assert light < y.mean() - 300
    assert heavy > y.mean() + 300


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_weights_that_are_refused(data, method):
    """All zero, negative, or of another number than the windows."""
    X, y = data
    for weight, message in (
        (np.zeros(N), "zero"),
        (-np.ones(N), "[Nn]egative"),
        (np.ones(N - 1), "sample_weight.shape"),
    ):
        with pytest.raises(ValueError, match=message):
            getattr(make(), method)(X, y, sample_weight=weight)


def test_weights_with_early_stopping(data):
    """Held-out windows are the newest of those that count."""

    class Datasets(Callback):
        def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
            self.train_, self.valid_ = dataset_train.index, dataset_valid.index

    X, y = data
    weight = np.ones(N)
    weight[-7:] = 0
    seen = Datasets()
    options = dict(early_stopping=True, validation_fraction=0.2, callbacks=[seen])
    make(**options).fit(X, y, sample_weight=weight)
    assert_array_equal(seen.valid_, np.arange(43, 54))  # a fifth of 54
    assert_array_equal(seen.train_, np.arange(39))


# ---------------------------------------------------------------------------------------------------- losses


CLASSES = {"squared_error": torch.nn.MSELoss, "absolute_error": torch.nn.L1Loss, "huber": torch.nn.HuberLoss}


@pytest.mark.parametrize("loss", CLASSES)
def test_losses_by_name_class_and_instance(data, loss):
    """The name, torch's class and an instance of any reduction train the same network; the instance is not changed."""
    instance = CLASSES[loss](reduction="sum")
    by_name, by_class, by_instance = (make(loss=x).fit(*data) for x in (loss, CLASSES[loss], instance))
    assert_allclose(bits(by_class), bits(by_name), rtol=1e-5, atol=1e-7)
    assert_allclose(bits(by_instance), bits(by_name), rtol=1e-5, atol=1e-7)
    assert instance.reduction == "sum"


def test_losses_differ(data):
    """No two losses train alike, and every loss for numbers is tried."""
    assert set(CLASSES) == set(LOSSES) - {"cross_entropy"}
    X, y = data
    predicted = [make(loss=loss).fit(X, y).predict(X) for loss in CLASSES]
    assert not any(np.allclose(predicted[i], predicted[j]) for i in range(3) for j in range(i))


def test_loss_decides_what_is_predicted():
    """Of targets 0, 0, 0, 0 and 10 the squared error learns the mean, 2, and the absolute error the median, 0."""
    X = np.zeros((60, L, C), np.float32)
    y = np.tile([0.0, 0.0, 0.0, 0.0, 10.0], 12)
    options = dict(max_epochs=150, batch_size=60, lr=0.03, lr_schedule="cosine")
    mean, median = (
        make(loss=loss, **options).fit(X, y).predict(X[:1])[0] for loss in ("squared_error", "absolute_error")
    )
    assert mean == pytest.approx(2, abs=0.2)
    assert median == pytest.approx(0, abs=0.2)


class Pinball(torch.nn.Module):
    """A loss of one's own, without a reduction: one number per target."""

    def forward(self, prediction, target):
        error = target - prediction
        return torch.maximum(0.9 * error, -0.1 * error)


class MeanAbsolute(torch.nn.Module):
    """A loss of one's own that averages by itself."""

    def forward(self, prediction, target):
        return (prediction - target).abs().mean()


def test_loss_of_ones_own(data):
    """A module is called with prediction and target; weights work where it does not average."""
    X, y = data
    weight = np.linspace(1, 2, N)
    high = make(loss=Pinball, max_epochs=40).fit(X, y, sample_weight=weight).predict(X)
    assert 0.7 < np.mean(y < high) <= 1
    mean = make(loss=MeanAbsolute()).fit(X, y)
    assert_allclose(bits(mean), bits(make(loss="absolute_error").fit(X, y)), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="loss returned a single number, but sample weights"):
        make(loss=MeanAbsolute).fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("loss", ["abracadabra", "cross_entropy", 3])
def test_losses_that_are_refused(data, loss):
    """Anything else is refused by scikit-learn's sentence."""
    with pytest.raises(ValueError, match="The 'loss' parameter of AttentionLSTMRegressor must be"):
        make(loss=loss).fit(*data)


# ---------------------------------------------------------------------------------------------------- optimizers


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_by_name_and_class(data, optimizer):
    """The name and both classes train the same network, with lr and weight_decay, that of torch but for rounding."""
    options = dict(lr=0.02, weight_decay=0.1)
    kind = OPTIMIZERS[optimizer]
    others = kind, getattr(torch.optim, kind.__name__)
    by_name, by_class, by_torch = (make(optimizer=x, **options).fit(*data) for x in (optimizer, *others))
    assert torch.equal(bits(by_name), bits(by_class))
    torch.testing.assert_close(bits(by_name), bits(by_torch), rtol=0, atol=1e-5)
    assert type(by_torch.net_.optimizer_) is others[1]
    group = by_name.net_.optimizer_.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.02, 0.1)
    assert type(by_name.net_.optimizer_) is OPTIMIZERS[optimizer]
    plain = make(optimizer=optimizer, lr=0.02).fit(*data)
    assert not torch.equal(bits(plain), bits(by_name))


@pytest.mark.parametrize("optimizer", [torch.optim.NAdam, torch.optim.RAdam, torch.optim.Adagrad, torch.optim.Rprop])
def test_optimizers_of_torch(data, optimizer):
    """Other optimizers of torch train too, whether they know weight_decay or not."""
    assert "params" in inspect.signature(optimizer).parameters
    model = make(optimizer=optimizer, max_epochs=5).fit(*data)
    assert model.history_["train_loss"].iloc[-1] < model.history_["train_loss"].iloc[0]


def test_gradient_clip(data):
    """No step of plain gradient descent is longer than lr times gradient_clip; without a clip some are."""

    class Steps(Callback):
        def __init__(self):
            self.lengths_ = []

        def on_batch_begin(self, net, training=None, **kwargs):
            self.before_ = torch.cat([p.detach().flatten() for p in net.module_.parameters()]).clone()

        def on_batch_end(self, net, **kwargs):
            after = torch.cat([p.detach().flatten() for p in net.module_.parameters()])
            self.lengths_.append((after - self.before_).norm().item())

    lengths = []
    for clip in (0.01, None):
        steps = Steps()
        make(optimizer="sgd", lr=0.5, gradient_clip=clip, callbacks=[steps]).fit(*data)
        lengths.append(max(steps.lengths_))
    assert lengths[0] == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert lengths[1] > 0.05


# ---------------------------------------------------------------------------------------------------- schedules


class Constant(torch.nn.Module):
    """A loss that nothing can lower."""

    def forward(self, prediction, target):
        return 0 * prediction + 1


SCHEDULES = {
    # epochs, and the learning rate of each, relative to lr
    "cosine": (4, [(1 + np.cos(np.pi * t / 4)) / 2 for t in range(4)]),
    "exponential": (4, [0.01 ** (t / 4) for t in range(4)]),
    "step": (6, [1, 1, 0.1, 0.1, 0.01, 0.01]),
    "plateau": (9, [1] * 7 + [0.1] * 2),  # the first epoch is the best; the seventh is the sixth without improvement
}


@pytest.mark.parametrize("name", LR_SCHEDULES)
def test_schedules_by_hand(data, name):
    """The learning rate of each epoch."""

    class Rates(Callback):
        def __init__(self):
            self.rates_ = []

        def on_epoch_begin(self, net, **kwargs):
            self.rates_.append(net.optimizer_.param_groups[0]["lr"])

    rates = Rates()
    epochs, expected = SCHEDULES[name]
    loss = Constant if name == "plateau" else "squared_error"
    make(lr=0.5, lr_schedule=name, max_epochs=epochs, loss=loss, callbacks=[rates]).fit(*data)
    assert_allclose(rates.rates_, 0.5 * np.array(expected))


def test_plateau_watches_validation_where_there_is_one(data):
    """With early stopping the learning rate follows the validation loss."""
    options = dict(early_stopping=True, validation_fraction=0.3, n_iter_no_change=99, max_epochs=30, lr=0.3)
    model = make(lr_schedule="plateau", **options).fit(*data)
    scheduler = dict(model.net_.callbacks_)["lr_schedule"]
    assert scheduler.monitor == "valid_loss"
    assert model.net_.optimizer_.param_groups[0]["lr"] < 0.3


def test_schedule_of_partial_fit_starts_at_lr(data):
    """One more epoch is trained with lr itself, whatever the schedule did before."""
    model = make(lr_schedule="exponential").fit(*data)

    class Rate(Callback):
        def on_epoch_begin(self, net, **kwargs):
            self.rate_ = net.optimizer_.param_groups[0]["lr"]

    rate = Rate()
    model.set_params(callbacks=[rate]).partial_fit(*data)
    assert rate.rate_ == 0.01


# ---------------------------------------------------------------------------------------------------- contract


def test_attributes(data):
    """What the docstring promises is there after fit."""
    model = make().fit(*data)
    assert model.network_.config["hidden_size"] == 7
    assert model.net_.module_ is model.network_
    assert (model.n_features_in_, model.n_channels_in_) == (L, C)
    assert not hasattr(model, "feature_names_in_")
    assert not hasattr(model, "predict_proba")


def test_failed_fit_is_no_fit(data):
    """An estimator whose fit failed says so when asked to predict."""
    X, y = data
    model = make(num_heads=3)  # does not divide attention_dim
    with pytest.raises(ValueError, match="num_heads must divide"):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_fit_and_predict_do_not_change_their_input(data):
    """X, y and sample_weight are only read."""
    X, y = data
    weight = np.ones(N)
    before = X.copy(), y.copy(), weight.copy()
    make(normalization="window").fit(X, y, sample_weight=weight).predict(X)
    for given, kept in zip((X, y, weight), before, strict=True):
        assert_array_equal(given, kept)


def test_docstring_names_every_parameter():
    """Each parameter of the constructor is in the docstring, with its default, and no placeholder is left."""
    text = AttentionLSTMRegressor.__doc__
    for name, parameter in inspect.signature(AttentionLSTMRegressor).parameters.items():
        (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{name} : ")]
        assert line.endswith(f"default={parameter.default!r}") or f"default={parameter.default}" in line.replace(
            "1e-4", "0.0001"
        )
    assert "{loss" not in text
