"""Tests of the regressor: targets, weights, losses, optimizers and schedules."""

import inspect

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback

from skattn import AttentionLSTMRegressor
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
    """The name and torch's class train the same network, with lr and weight_decay."""
    options = dict(lr=0.02, weight_decay=0.1)
    by_name, by_class = (make(optimizer=x, **options).fit(*data) for x in (optimizer, OPTIMIZERS[optimizer]))
    assert torch.equal(bits(by_name), bits(by_class))
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
