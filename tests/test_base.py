"""Tests of what the regressor and the classifier share: input, training, randomness, persistence, manners."""

import copy
import gc
import os
import pickle
import re
import threading
import tracemalloc
import weakref

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback

from skattn import AttentionLSTMClassifier, AttentionLSTMRegressor
from skattn.datasets import make_planted_lags
from skattn.graph import adjacency_from_coordinates
from skattn.nn import ACTIVATIONS, ATTENTIONS, ENCODERS, NORMALIZATIONS, Activation, AttentionLSTM, Ensemble
from skattn.windows import WindowDataset, cut

N, L, C = 61, 5, 3
SMALL = dict(
    hidden_size=7,
    embedding_dim=2,
    attention_dim=11,
    batch_size=16,
    max_epochs=3,
    early_stopping=False,
    random_state=0,
)
STOPPING = dict(early_stopping=True, validation_fraction=0.3, n_iter_no_change=99, tol=0.0)
NOISY = dict(dropout=0.5, num_layers=2, attention_noise=0.5)

KINDS = [AttentionLSTMRegressor, AttentionLSTMClassifier]
both = pytest.mark.parametrize("kind", KINDS, ids=["regressor", "classifier"])


def windows(n=N, length=L, channels=C, seed=0):
    """Draw windows, in float32, which are not copied on their way to the network."""
    return np.random.default_rng(seed).normal(size=(n, length, channels)).astype(np.float32)


def target_of(kind, X):
    """Make targets that depend on one value of each window."""
    value = np.nan_to_num(X.reshape(len(X), -1)[:, 7])
    return value.astype(float) if kind is AttentionLSTMRegressor else np.where(value > 0.3, "up", "down")


def make(kind=AttentionLSTMRegressor, **parameters):
    return kind(**{**SMALL, **parameters})


def fitted(kind=AttentionLSTMRegressor, **parameters):
    X = windows()
    return make(kind, **parameters).fit(X, target_of(kind, X))


def output(model, X=None):
    """Predictions as numbers."""
    X = windows() if X is None else X
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


def bits(model):
    return torch.cat([value.flatten() for value in model.network_.state_dict().values()])


class Datasets(Callback):
    """Keep the datasets that training and validation iterate over."""

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.train_, self.valid_ = dataset_train, dataset_valid


# ---------------------------------------------------------------------------------------------------- X


@both
@pytest.mark.parametrize("fit_2d", [False, True])
def test_flattened_windows(kind, fit_2d):
    """Windows flattened step by step are the windows, given n_channels, in fit and in predict."""
    X = windows()
    flat = X.reshape(N, -1)
    expected = fitted(kind)
    model = make(kind, n_channels=C).fit(flat if fit_2d else X, target_of(kind, X))
    assert_array_equal(bits(model), bits(expected))
    assert_array_equal(output(model, flat if fit_2d else X), output(expected))
    assert model.n_features_in_ == (L * C if fit_2d else L)
    assert model.n_channels_in_ == C


@both
def test_flat_windows_have_one_channel(kind):
    """A table is windows of one channel, with as many steps as columns."""
    X = windows(channels=1, length=L * C)
    one, other = (make(kind).fit(x, target_of(kind, X)) for x in (X, X[..., 0]))
    assert_array_equal(bits(one), bits(other))
    assert other.n_channels_in_ == 1
    assert other.network_.config["window_length"] == L * C


@both
@pytest.mark.parametrize("flat", [False, True])
def test_channels_first_is_the_transposed(kind, flat):
    """layout="channels_first" takes (n, channels, steps), or channel after channel, and learns the same."""
    X = windows()
    turned = X.transpose(0, 2, 1)
    model = make(kind, layout="channels_first", n_channels=C)
    turned = np.ascontiguousarray(turned).reshape(N, -1) if flat else turned
    model.fit(turned, target_of(kind, X))
    expected = fitted(kind)
    assert_array_equal(bits(model), bits(expected))
    assert_allclose(output(model, turned), output(expected), rtol=1e-6)
    assert model.n_channels_in_ == C


@both
def test_anything_like_an_array(kind):
    """Nested lists, float64, integers, read-only and Fortran-ordered arrays are all one."""
    X = np.random.default_rng(0).integers(-9, 9, size=(N, L, C))
    y = target_of(kind, X)
    read_only = X.astype(np.float32)
    read_only.flags.writeable = False
    expected = output(make(kind).fit(X, y), X)
    for other in (X.tolist(), X.astype(float), X.astype(np.float32), read_only, np.asfortranarray(X, dtype=np.float32)):
        assert_array_equal(output(make(kind).fit(other, list(y)), other), expected)


@both
def test_data_frame(kind):
    """A table with names is learned as an array, its names are kept and compared."""
    X = windows(channels=1)[..., 0]
    X = np.hstack([X, X[:, ::-1]])
    y = target_of(kind, X)
    frame = pd.DataFrame(X, columns=[f"lag {i}" for i in range(2 * L)])
    model = make(kind).fit(frame, pd.Series(y, index=range(100, 100 + N)))
    assert_array_equal(model.feature_names_in_, frame.columns)
    assert_array_equal(output(model, frame), output(make(kind).fit(X, y), X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"lag 3": "lag three"}))


@both
def test_other_columns_in_predict(kind):
    """A table of another width than in fit is refused, with both numbers."""
    X = windows(channels=1)[..., 0]
    with pytest.raises(ValueError, match=r"X has 4 features, but .* is expecting 5 features"):
        make(kind).fit(X, target_of(kind, np.hstack([X, X]))).predict(X[:, :4])


@both
def test_series_of_other_index_is_taken_by_position(kind):
    """The index of y does not matter: rows belong together by position."""
    X = windows()
    y = pd.Series(target_of(kind, X), index=np.arange(N)[::-1])
    assert_array_equal(bits(make(kind).fit(X, y)), bits(fitted(kind)))


def test_windows_are_not_copied():
    """A float32 array reaches the batches as it is; so does a view of overlapping windows."""
    for X in (windows(), np.lib.stride_tricks.sliding_window_view(windows(N, 1, 1).ravel(), L)[..., None]):
        datasets = Datasets()
        make(callbacks=[datasets]).fit(X, np.arange(len(X)))
        assert np.shares_memory(datasets.train_.arrays["past"], X)


@both
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((N, L + 2, C), r"X has windows of 7 steps, but AttentionLSTM\w+ is expecting 5 steps, as seen in fit. Pass"),
        ((N, L, C + 1), r"X has windows of 4 channels, but AttentionLSTM\w+ is expecting 3 channels, as seen in fit"),
        ((N, L), r"X has 2 dimensions, which stands for n_channels = 1 channels, but 3 were seen in fit. Pass X of"),
        (
            (N, L, C, 1),
            r"X has windows of 3 sensors with 1 channels each, but channels without sensors were seen in fit. Pass X",
        ),
        ((N, L, 1, C), r"X has windows of 1 sensors with 3 channels each, but channels without sensors were seen in"),
        ((N, 1, L, C, 1), r"X has 5 dimensions but at most 4 are allowed|is expecting"),
        ((N,), "Reshape your data"),
    ],
)
def test_other_shapes_in_predict(kind, shape, message):
    """Windows of other sizes than in fit are refused, with both numbers and the way out."""
    with pytest.raises(ValueError, match=message):
        fitted(kind).predict(np.ones(shape, np.float32))


@both
def test_shapes_that_cannot_be_fitted(kind):
    """Five dimensions, or columns that n_channels does not divide."""
    y = target_of(kind, windows())
    with pytest.raises(ValueError, match=r"X has 5 dimensions but at most 4 are allowed: .* Reshape your data"):
        make(kind).fit(np.ones((N, 1, L, C, 2)), y)
    with pytest.raises(ValueError, match=r"X has 7 columns, which n_channels = 3 channels of equal length cannot fill"):
        make(kind, n_channels=3).fit(np.ones((N, 7)), y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make(kind).fit(windows(), y[:-1])


@both
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (N, L, 7, 3),
            r"X has windows of 21 channels, but AttentionLSTM\w+ is expecting 14 channels, as seen in fit. P",
        ),
        (
            (N, L, 3, 2),
            r"X has windows of 6 channels, but AttentionLSTM\w+ is expecting 14 channels, as seen in fit. Pa",
        ),
        (
            (N, L, 2, 7),
            r"X has windows of 2 sensors with 7 channels each, but 7 sensors with 2 channels each were seen",
        ),
        (
            (N, L, 14),
            r"X has windows of channels without sensors, but 7 sensors with 2 channels each were seen in fit. P",
        ),
        (
            (N, L + 2, 7, 2),
            r"X has windows of 7 steps, but AttentionLSTM\w+ is expecting 5 steps, as seen in fit. Pass",
        ),
        (
            (N, L, 7, 2, 1),
            r"X has 5 dimensions but at most 4 are allowed: \(n_samples, n_steps, n_sensors, n_channels\)",
        ),
        ((N, L * 14), r"X has 2 dimensions, which stands for n_channels = 1 channels, but 14 were seen in fit. Pass X"),
        (
            (N, L, 7, 0),
            r"X has windows of 0 channels, but AttentionLSTM\w+ is expecting 14 channels, as seen in fit. P",
        ),
    ],
)
def test_other_shapes_after_windows_of_sensors(kind, shape, message):
    """Windows of other sensors than in fit are refused, with both numbers and the way out, and fit takes them again."""
    X = windows(channels=14).reshape(N, L, 7, 2)
    y = target_of(kind, X)
    model = make(kind).fit(X, y)
    expected = output(model, X)
    for call in (model.predict, lambda X: model.attention_weights(X), lambda X: model.partial_fit(X, y)):
        with pytest.raises(ValueError, match=message):
            call(np.ones(shape, np.float32))
    assert_array_equal(output(model, X), expected)
    assert_array_equal(output(model.fit(windows(), y)), output(make(kind).fit(windows(), y)))


@both
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
@pytest.mark.parametrize("shape", [(7, 2), (14, 1), (1, 14)])
def test_steps_of_windows_of_sensors(kind, layout, shape):
    """Steps are counted where the layout has them, and more or fewer than in fit are refused."""

    def laid_out(X):
        return np.ascontiguousarray(X.transpose(0, 2, 3, 1)) if layout == "channels_first" else X

    X = windows(channels=14).reshape(N, L, *shape)
    model = make(kind, layout=layout).fit(laid_out(X), target_of(kind, X))
    for n_steps in (7, 2, 1):
        message = (
            rf"^X has windows of {n_steps} steps, but {kind.__name__} is expecting 5 steps, as seen in fit\. "
            r"Pass windows of 5 steps, or fit again\.$"
        )
        other = laid_out(np.ones((N, n_steps, *shape), np.float32))
        for call in (model.predict, model.attention_weights):
            with pytest.raises(ValueError, match=message):
                call(other)


@both
def test_flat_windows_after_windows_of_sensors(kind):
    """As many values in two dimensions are not taken for sensors, even if n_channels says how many there are."""
    X = windows(channels=14).reshape(N, L, 7, 2)
    model = make(kind, n_channels=14).fit(X, target_of(kind, X))
    with pytest.raises(ValueError, match=r"X has 70 features|X has windows of channels without sensors, but 7 sensors"):
        model.predict(X.reshape(N, -1))


@both
def test_arrays_after_a_fit_to_windows(kind):
    """An estimator that was fitted to a dataset of windows, as within a forecaster, looks at arrays of them too."""
    X = windows()
    options = {} if kind is AttentionLSTMRegressor else {"n_params": 2}
    target = (X[:, :1, :1] > 0).astype(np.float32) if options else X[:, :1, :1]
    model = make(kind).fit_windows(WindowDataset({"past": X, "target": target}), **options)
    assert_array_equal(model.attention_weights(X), model.attend_windows(WindowDataset({"past": X}))[:, 0])
    with pytest.raises(ValueError, match="of 1 sensors with 3 channels each, but channels without sensors were seen"):
        model.attention_weights(X[:, :, None])


@both
def test_infinity_and_nothing_at_all(kind):
    """Infinity is refused in fit and predict; so are windows without one observed value."""
    X = windows()
    y = target_of(kind, X)
    holed = X.copy()
    holed[3, 2, 1] = np.inf
    for call in (lambda: make(kind).fit(holed, y), lambda: fitted(kind).predict(holed)):
        with pytest.raises(ValueError, match="Input X contains infinity or a value too large"):
            call()
    with pytest.raises(ValueError, match=r"Input X contains NaN only: none of its 915 values was observed. Pass"):
        make(kind).fit(np.full_like(X, np.nan), y)


@both
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_missing_values(kind, normalization):
    """Values, steps, channels and windows may be missing: losses, gradients and predictions stay finite."""
    X = windows()
    X[0, 1, 2] = X[1, 3] = X[2, :, 1] = X[3] = X[4, :-1] = X[5:20, 0] = np.nan

    class Gradients(Callback):
        seen = []

        def on_grad_computed(self, net, named_parameters, **kwargs):
            self.seen.append(all(torch.isfinite(p.grad).all() for _, p in named_parameters if p.requires_grad))

    options = dict(channel_attention="additive", attention_position="both")
    model = make(kind, normalization=normalization, callbacks=[Gradients()], **options)
    model.fit(X, target_of(kind, X))
    assert Gradients.seen == [True] * 12
    assert np.isfinite(model.history_["train_loss"]).all()
    assert np.isfinite(output(model, X)).all()
    before = output(model, windows())
    assert_array_equal(output(model, X)[20:], before[20:])
    assert (output(model, X)[:6] != before[:6]).any()


@both
def test_missing_is_not_zero(kind):
    """A window with a missing value is predicted otherwise than one with a zero, or the mean, in its place."""
    model = fitted(kind)
    X = windows()
    X[:, 2, 1] = np.nan
    filled = np.where(np.isnan(X), model.network_.normalization.loc[1].item(), X)
    assert (output(model, X) != output(model, filled)).all()


@both
def test_rows_are_independent(kind):
    """A row is predicted the same alone, among others, and in any order."""
    model = fitted(kind, dtype="float64", attention_position="both", channel_attention="dot")
    X = windows(300)  # more than one batch of prediction
    expected = output(model, X)
    order = np.random.default_rng(0).permutation(300)
    assert_allclose(output(model, X[order]), expected[order], rtol=1e-12)
    assert_allclose(
        np.concatenate([output(model, X[i : i + 1]) for i in (0, 127, 128, 299)]), expected[[0, 127, 128, 299]]
    )


@both
def test_prediction_has_neither_dropout_nor_noise(kind):
    """Predictions do not differ from call to call, even if the network was left in training mode."""
    model = fitted(kind, **NOISY)
    expected = output(model)
    assert_array_equal(output(model), expected)
    model.network_.train()
    assert_array_equal(output(model), expected)


# ---------------------------------------------------------------------------------------------------- parameters


WIDE = dict(embedding_dim=6, hidden_size=6, attention_dim=6)
# For each parameter: the others, a value, and another value that changes predictions, losses or their number.
CHANGES = {
    "attention": ({}, "additive", "general"),
    "attention_position": ({}, "state", "input"),
    "attention_activation": ({}, "softmax", "sparsemax"),
    "attention_noise": ({}, 0.0, 0.5),
    "channel_attention": ({}, None, "dot"),
    "attention_dim": ({}, 11, 13),
    "num_heads": (WIDE, 1, 3),
    "patch_length": ({}, 1, 2),
    "encoder": ({}, "lstm", "gru"),
    "hidden_size": ({}, 7, 13),
    "num_layers": ({}, 1, 2),
    "embedding_dim": ({}, 2, 3),
    "dropout": ({}, 0.0, 0.5),
    "normalization": ({}, "auto", "last"),
    "linear_skip": ({}, True, False),
    "n_members": ({}, 1, 2),
    "optimizer": ({}, "adam", "rmsprop"),
    "lr": ({}, 0.01, 0.02),
    "weight_decay": ({}, 0.0, 0.1),
    "gradient_clip": (dict(optimizer="sgd"), 1.0, 0.01),
    "lr_schedule": ({}, None, "exponential"),
    "batch_size": ({}, 16, 17),
    "max_epochs": ({}, 3, 4),
    "max_time": ({}, None, 1e-9),
    "early_stopping": (dict(validation_fraction=0.3), False, True),
    "validation_fraction": (STOPPING, 0.3, 0.4),
    "n_iter_no_change": ({**STOPPING, "tol": 0.9, "max_epochs": 9}, 2, 5),
    "tol": ({**STOPPING, "max_epochs": 12, "n_iter_no_change": 5, "lr": 0.003}, 0.0, 0.9),
    "warm_start": ({}, False, True),
    "random_state": ({}, 0, 1),
    "dtype": ({}, "float32", "float64"),
    "mixed_precision": ({}, False, True),
    "n_channels": ({}, 1, 3),
    "layout": (dict(n_channels=3), "channels_last", "channels_first"),
}
CHANGES_OF_ONE = {"loss": ("squared_error", "absolute_error"), "class_weight": (None, {"up": 9, "down": 1})}
# These change what happens around training, not its outcome; each has a test of its own.
CHANGES_NO_OUTCOME = {
    "channel_mode": "test_channel_mode_of_a_series",
    "spatial_attention": "test_who_listens_in_a_series",
    "adjacency": "test_every_parameter_of_sensors_changes_something",
    "coordinates": "test_every_parameter_of_sensors_changes_something",
    "adjacency_role": "test_every_parameter_of_sensors_changes_something",
    "sensor_identity": "test_every_parameter_of_sensors_changes_something",
    "device": "test_unknown_device",
    "n_threads": "test_n_threads",
    "compile": "test_compile",
    "callbacks": "test_windows_are_not_copied",
    "verbose": "test_verbose",
}


def outcome(model):
    """Fit twice, as warm_start demands, on flat windows, as n_channels does: predictions and history."""
    X = windows()
    y = target_of(type(model), X)
    X = X.reshape(N, -1)
    history = model.fit(X, y).fit(X, y).history_.drop(columns="dur", errors="ignore")
    return output(model, X), history


def same_outcome(one, other):
    (ours, our_history), (theirs, their_history) = one, other
    return np.array_equal(ours, theirs) and our_history.equals(their_history)


@both
@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_changes_something(kind, name):
    """Another value changes predictions or history; the same value changes nothing."""
    others, value, other = CHANGES[name]
    before = outcome(make(kind, **{**others, name: value}))
    assert same_outcome(before, outcome(make(kind, **{**others, name: value})))
    assert not same_outcome(before, outcome(make(kind, **{**others, name: other})))


@both
def test_parameters_of_one_estimator_change_something(kind):
    """So do the parameters that only one of the two has, or whose values differ."""
    for name, (value, other) in CHANGES_OF_ONE.items():
        if name == "class_weight" and kind is AttentionLSTMRegressor:
            continue
        if name == "loss" and kind is AttentionLSTMClassifier:
            value, other = "cross_entropy", torch.nn.CrossEntropyLoss(label_smoothing=0.5)
        before = outcome(make(kind, **{name: value}))
        assert same_outcome(before, outcome(make(kind, **{name: value})))
        assert not same_outcome(before, outcome(make(kind, **{name: other})))


@both
def test_every_parameter_is_tested(kind):
    """A new parameter is in the tables above, or names the test that shows what it does."""
    assert set(kind().get_params()) <= {*CHANGES, *CHANGES_OF_ONE, *CHANGES_NO_OUTCOME}
    assert all(test in globals() for test in CHANGES_NO_OUTCOME.values())


@both
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("attention", ATTENTIONS),
        ("attention_activation", ACTIVATIONS),
        ("channel_attention", ATTENTIONS),
        ("encoder", ENCODERS),
        ("normalization", NORMALIZATIONS),
    ],
)
def test_every_name_is_its_class(kind, name, options):
    """Each key of a dictionary, given by name or by class, trains the same network; no two keys train alike."""
    seen = []
    for key, choice in options.items():
        by_name, by_class = fitted(kind, **{name: key}), fitted(kind, **{name: choice})
        assert_array_equal(bits(by_name), bits(by_class))
        assert not any(np.array_equal(output(by_name), other) for other in seen)
        seen.append(output(by_name))


def test_normalization_auto_is_global_for_rows():
    """The targets of rows are no channels of their windows."""
    assert_array_equal(bits(fitted(normalization="auto")), bits(fitted(normalization="global")))


def test_scales_are_those_of_the_training_data():
    """The normalisation holds mean and deviation of each channel, missing values left out."""
    X = windows() * [1, 10, 100] + [0, 5, 1000]
    X[3:20, 2, 1] = np.nan
    model = make(dtype="float64").fit(X, target_of(AttentionLSTMRegressor, X))
    assert_allclose(model.network_.normalization.loc, np.nanmean(X, (0, 1)))
    assert_allclose(model.network_.normalization.scale, np.nanstd(X, (0, 1)))


@both
def test_units_of_X_do_not_matter(kind):
    """Channels in other units give the same predictions, in float64 to its rounding."""
    X = windows().astype(float)
    y = target_of(kind, X)
    scaled = X * [1e-6, 1.0, 1e6] + [0, -5, 1e7]
    one, other = (make(kind, dtype="float64").fit(x, y) for x in (X, scaled))
    assert_allclose(output(one, X), output(other, scaled), rtol=1e-6)


@both
def test_dtype(kind):
    """The network, and what it predicts, has the dtype asked for, whatever that of X."""
    for name in ("float32", "float64"):
        for X in (windows(), windows().astype(float)):
            model = make(kind, dtype=name).fit(X, target_of(kind, X))
            assert {str(p.dtype) for p in model.network_.state_dict().values()} == {f"torch.{name}"}
            assert output(model, X).dtype == name


# ---------------------------------------------------------------------------------------------------- attention


EVERYWHERE = dict(attention_position="both", channel_attention="general", **WIDE)


@both
@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize(("kind_of_weights", "size"), [("temporal", L), ("input", L), ("state", L), ("channel", C)])
def test_attention_weights(kind, kind_of_weights, size, num_heads):
    """A row for each window, or one per head, that sums to one: what the network returns."""
    model = fitted(kind, num_heads=num_heads, **EVERYWHERE)
    X = windows(150, seed=1)  # more than one batch
    weights = model.attention_weights(X, kind_of_weights)
    per_head = model.attention_weights(X, kind_of_weights, per_head=True)
    assert weights.shape == (150, size)
    assert per_head.shape == (150, num_heads, size)
    assert_allclose(weights, per_head.mean(1), rtol=1e-6)
    assert_allclose(per_head.sum(2), 1, rtol=1e-5)
    assert (weights[0] != weights[1]).any()
    with torch.no_grad():
        returned = model.network_(torch.from_numpy(X))
    name = "input" if kind_of_weights == "temporal" else kind_of_weights
    assert_allclose(per_head, getattr(returned, name)[:, :, 0], rtol=1e-5)


@pytest.mark.parametrize(("position", "read"), [("input", "input"), ("state", "state"), ("both", "input")])
def test_temporal_weights_are_those_that_there_are(position, read):
    """'temporal' is the attention on the inputs, or on the states where there is none on the inputs."""
    model = fitted(attention_position=position)
    X = windows()
    assert_array_equal(model.attention_weights(X), model.attention_weights(X, read))


@both
@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("position", ["input", "state"])
def test_joint_weights(kind, position, num_heads):
    """Each head's weight of a step and channel is the product of both, and they sum to one over the window."""
    model = fitted(kind, num_heads=num_heads, **EVERYWHERE | dict(attention_position=position))
    X = windows(150, seed=1)  # more than one batch
    time, channel, joint = (
        model.attention_weights(X, name, per_head=True) for name in ("temporal", "channel", "joint")
    )
    assert joint.shape == (150, num_heads, L, C)
    assert_allclose(joint, time[..., None] * channel[..., None, :], rtol=1e-4)
    assert_allclose(joint.sum((2, 3)), 1, rtol=1e-5)
    assert_allclose(model.attention_weights(X, "joint"), joint.mean(1), rtol=1e-5)


def test_joint_weights_of_one_channel():
    """Where there is one channel, no attention over channels is needed: it is the attention over time."""
    X = windows(channels=1, length=L * C)
    model = make().fit(X, X[:, 7, 0])
    joint = model.attention_weights(X, "joint")
    assert joint.shape == (N, L * C, 1)
    assert_array_equal(joint[..., 0], model.attention_weights(X))


def test_weights_of_a_single_step_ahead():
    """A window asks for one step, so that the mean over the horizon is what it is."""
    model, X = fitted(**EVERYWHERE), windows()
    for kind in ("temporal", "state", "channel", "joint"):
        assert_array_equal(model.attention_weights(X, kind, per_horizon=False), model.attention_weights(X, kind))


@pytest.mark.parametrize("mechanism", ATTENTIONS)
@pytest.mark.parametrize("kind", ["input", "state", "channel", "joint"])
def test_weights_change_with_the_input(mechanism, kind):
    """Each mechanism weighs each window its own way, at every place."""
    model = fitted(**EVERYWHERE | dict(attention=mechanism, channel_attention=mechanism))
    weights = model.attention_weights(windows(), kind).reshape(N, -1)
    assert len(np.unique(weights.round(5), axis=0)) == N


def test_attention_weights_of_missing_values():
    """Steps and channels that are missing altogether have no weight at all, nor has a single missing value."""
    X = windows()
    X[:, 1] = X[:, :, 2] = np.nan
    model = fitted(**EVERYWHERE)
    for kind, missing in (("input", 1), ("state", 1), ("channel", 2)):
        weights = model.attention_weights(X, kind)
        assert (weights[:, missing] == 0).all()
        assert_allclose(weights.sum(1), 1, rtol=1e-5)
    X[:, 3, 0] = np.nan
    joint = model.attention_weights(X, "joint")
    assert_array_equal(joint == 0, np.isnan(X))
    assert_allclose(joint.sum((1, 2)), 1, rtol=1e-5)


def test_attention_weights_of_a_data_frame():
    """A frame gives a frame on its index, with a column per lag, 0 for the newest step, or per channel."""
    X = windows().reshape(N, -1)
    frame = pd.DataFrame(X, index=pd.date_range("2020", periods=N))
    model = make(n_channels=C, **EVERYWHERE).fit(X, X[:, 7])
    for kind, name, columns in (("temporal", "lag", [-4, -3, -2, -1, 0]), ("channel", "channel", [0, 1, 2])):
        weights = model.attention_weights(frame, kind)
        assert weights.index.equals(frame.index)
        assert weights.columns.name == name
        assert_array_equal(weights.columns, columns)
        assert_array_equal(weights, model.attention_weights(X, kind))
        assert isinstance(model.attention_weights(frame, kind, per_head=True), np.ndarray)
    joint = model.attention_weights(frame, "joint")
    assert joint.index.equals(frame.index)
    assert joint.columns.names == ["lag", "channel"]
    assert_array_equal(joint.to_numpy().reshape(N, L, C), model.attention_weights(X, "joint"))
    assert_array_equal(joint[-3], model.attention_weights(X, "joint")[:, 1])
    assert model.attention_weights(frame, "joint", per_head=True).shape == (N, 1, L, C)


@pytest.mark.parametrize(
    ("parameters", "kind", "message"),
    [
        (dict(attention=None), "temporal", "fitted without temporal attention, .* Fit with other attention and"),
        (dict(attention_position="input"), "state", "fitted without state attention"),
        (dict(attention_position="state"), "input", "fitted without input attention"),
        ({}, "channel", "fitted without channel attention, .* Fit with other channel_attention"),
        ({}, "joint", "fitted without joint attention, .* Fit with other channel_attention beside attention over time"),
        (dict(attention=None, channel_attention="dot"), "joint", "without joint attention, .* beside attention over"),
        (dict(encoder="dual_stage", attention=None), "state", "fitted without state attention"),
        (
            dict(encoder="dual_stage", attention=None),
            "channel",
            "without channel attention, .* Fit with other channel_",
        ),
        ({}, "abracadabra", "kind='abracadabra' is unknown. Use one of 'temporal', 'channel', 'joint',"),
    ],
)
def test_attention_weights_that_there_are_not(parameters, kind, message):
    """The error says what was not fitted, and with what it would be."""
    with pytest.raises(ValueError, match=message):
        fitted(**parameters).attention_weights(windows(), kind)
    with pytest.raises(NotFittedError):
        make(**parameters).attention_weights(windows(), kind)


def test_attention_finds_what_matters():
    """Where the target is the value at the step that a second channel marks, that step has most of the weight."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, L, 2)).astype(np.float32)
    marked = rng.integers(0, L, 400)
    X[..., 1] = np.arange(L) == marked[:, None]
    y = X[np.arange(400), marked, 0]
    options = dict(linear_skip=False, hidden_size=16, embedding_dim=8, attention_dim=8, lr=0.02, max_epochs=25)
    model = make(attention_position="state", **options).fit(X[:300], y[:300])
    assert model.score(X[300:], y[300:]) > 0.8
    weights = make(attention_position="input", **options).fit(X[:300], y[:300]).attention_weights(X[300:])
    assert (weights.argmax(1) == marked[300:]).mean() > 0.8


# ---------------------------------------------------------------------------------------- activations and noise


class Sharp(Activation):
    """An activation of one's own: softmax of three times the scores."""

    def weigh(self, scores):
        return (3 * scores).softmax(-1)


@both
def test_activation_of_ones_own(kind):
    """A class trains by its own weights, in every attention, and is pickled by its name."""
    X = windows()
    own, softmax = (fitted(kind, attention_activation=one, **EVERYWHERE) for one in (Sharp, "softmax"))
    assert not torch.equal(bits(own), bits(softmax))
    assert sum(isinstance(module, Sharp) for module in own.network_.modules()) == 3
    assert_array_equal(output(pickle.loads(pickle.dumps(own))), output(own))
    assert_array_equal(bits(clone(own).fit(X, target_of(kind, X))), bits(own))


def test_activations_are_as_sparse_as_they_are_called():
    """Of an attention that looks for one step, softmax leaves none out, entmax15 some and sparsemax more."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, L, 2)).astype(np.float32)
    marked = rng.integers(0, L, 400)
    X[..., 1] = np.arange(L) == marked[:, None]
    y = X[np.arange(400), marked, 0]
    left_out = []
    for name in ("softmax", "entmax15", "sparsemax"):
        options = dict(linear_skip=False, embedding_dim=8, lr=0.02, max_epochs=15, attention_activation=name)
        weights = make(**options).fit(X, y).attention_weights(X)
        assert_allclose(weights.sum(1), 1, rtol=1e-5)
        left_out.append((weights == 0).mean())
    assert left_out[0] == 0 < left_out[1] < left_out[2]


@both
def test_temperature_is_learned(kind):
    """It starts as softmax and is changed by training, at every place of its own accord."""
    still = dict(lr=1e-30, optimizer="sgd", max_epochs=1)
    softmax, start = (fitted(kind, attention_activation=one, **still) for one in ("softmax", "temperature"))
    assert_allclose(output(start), output(softmax), rtol=1e-5)
    model = fitted(kind, attention_activation="temperature", **EVERYWHERE)
    learned = [value.item() for name, value in model.network_.named_parameters() if name.endswith("log_temperature")]
    assert len({*learned, 0.0}) == 4


@pytest.mark.parametrize("parameters", [dict(attention_position="state"), dict(attention=None)], ids=["state", "none"])
def test_noise_does_not_act_on_states(parameters):
    """Without an attention on inputs or channels, noise changes nothing, not even the order of the windows."""
    assert torch.equal(bits(fitted(attention_noise=0.5, **parameters)), bits(fitted(**parameters)))


@both
@pytest.mark.parametrize(
    "parameters",
    [dict(attention_position="both"), dict(attention=None, channel_attention="additive"), dict(encoder="dual_stage")],
    ids=["input", "channel", "dual_stage"],
)
def test_noise_is_reproducible(kind, parameters):
    """Wherever it acts, the same seed gives the same bits, and more noise others."""
    one, same, more = (fitted(kind, attention_noise=noise, **parameters) for noise in (0.5, 0.5, 0.6))
    assert torch.equal(bits(one), bits(same))
    assert not torch.equal(bits(one), bits(more))
    assert_array_equal(output(one), output(one))


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_makes_weights_say_what_matters(seed):
    """A lag that alone enters the target gets nearly all weight with noise; without, the encoder can do without it."""
    X, y, truth = make_planted_lags(1500, lags=(3,), random_state=seed)
    sizes = dict(hidden_size=16, embedding_dim=16, attention_dim=16, batch_size=128, early_stopping=False)
    given = {}
    for noise in (0.0, 0.7):
        model = AttentionLSTMRegressor(
            attention_noise=noise, linear_skip=False, encoder="gru", max_epochs=30, random_state=seed, **sizes
        ).fit(X, y)
        given[noise] = model.attention_weights(X)[truth[..., 0]].mean()
    assert given[0.7] > 0.8
    assert given[0.0] < 0.4


# ---------------------------------------------------------------------------------------------------- dual stage


DUAL = dict(encoder="dual_stage")
MECHANISMS = sorted(set(ATTENTIONS) - {"dot"})


@both
def test_dual_stage_learns(kind):
    """The network of Qin et al. finds the value of the window that matters, without a linear model beside it."""
    X = windows(400)
    y = target_of(kind, X)
    model = make(kind, **DUAL, linear_skip=False, hidden_size=16, lr=0.03, max_epochs=15).fit(X[:300], y[:300])
    assert model.score(X[300:], y[300:]) > 0.8


@both
def test_dual_stage_is_an_estimator(kind, tmp_path):
    """It can be copied, cloned, trained on and flattened like every other network."""
    X = windows()
    y = target_of(kind, X)
    model = fitted(kind, **DUAL, attention_noise=0.5, dropout=0.5)
    for way in COPIES:
        copied = COPIES[way](model, tmp_path)
        assert_array_equal(output(copied), output(model))
        assert_array_equal(copied.attention_weights(X, "joint"), model.attention_weights(X, "joint"))
    assert torch.equal(bits(clone(model).fit(X, y)), bits(model))
    calls = clone(model).set_params(attention_noise=0.0, dropout=0.0)
    for _ in range(3):
        calls.partial_fit(X, y)
    assert torch.equal(bits(calls), bits(fitted(kind, **DUAL)))
    flat = X.reshape(N, -1)
    assert_array_equal(output(clone(model).set_params(n_channels=C).fit(flat, y), flat), output(model))


@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_weights_of_dual_stage(mechanism, num_heads):
    """Weights of the decoder, the mean over the steps of those of the drivers, and for each cell their product."""
    X = windows(150, length=6, seed=1)
    options = dict(attention=mechanism, num_heads=num_heads, **WIDE, **DUAL)
    model = make(**options).fit(windows(length=6), windows(length=6)[:, 2, 1])
    with torch.no_grad():
        returned = model.network_(torch.from_numpy(X))
    time, channel, joint = (
        model.attention_weights(X, kind, per_head=True) for kind in ("temporal", "channel", "joint")
    )
    assert_allclose(time, returned.state[:, :, 0], rtol=1e-5)
    assert_allclose(channel, returned.channel.mean(2), rtol=1e-5)
    assert_allclose(joint, returned.channel.numpy() * time[..., None], rtol=1e-4)
    assert joint.shape == (150, num_heads, 6, C)
    for weights in (time, channel, joint.reshape(150, num_heads, -1)):
        assert_allclose(weights.sum(2), 1, rtol=1e-5)
        assert len(np.unique(weights.mean(1).round(5), axis=0)) == 150


def test_weights_of_dual_stage_with_missing_values():
    """A missing value has exactly no weight, and a channel's weight is the mean over the steps with any."""
    X = windows()
    X[:, 1] = X[:, 3, 0] = X[:, :, 2] = np.nan
    model = fitted(**DUAL)
    joint, channel = model.attention_weights(X, "joint"), model.attention_weights(X, "channel")
    assert_array_equal(joint == 0, np.isnan(X))
    with torch.no_grad():
        returned = model.network_(torch.from_numpy(X)).channel[:, 0].numpy()
    assert_allclose(channel, np.delete(returned, 1, axis=1).mean(1), rtol=1e-5)
    for weights in (joint.reshape(N, -1), channel, model.attention_weights(X)):
        assert_allclose(weights.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_drivers_are_weighed_as_the_state_asks_for(mechanism):
    """All steps of a window ask the same drivers, each series as a whole; that they get other answers is the state."""
    model, X = fitted(attention=mechanism, dtype="float64", **DUAL), windows()
    alpha = model.attention_weights(X, "joint") / model.attention_weights(X)[..., None]
    assert_allclose(alpha.sum(2), 1)
    assert (np.abs(np.diff(alpha, axis=1)).max(2) > 1e-6).all()


def test_stages_can_be_left_out():
    """attention=None leaves the attention over drivers, by channel_attention, and a forecast from the last state."""
    X = windows()
    model = fitted(attention=None, channel_attention="general", **DUAL)
    assert model.network_.kinds == {"channel"}
    assert_allclose(model.attention_weights(X, "channel").sum(1), 1, rtol=1e-5)
    for kind in ("temporal", "joint", "state", "input"):
        with pytest.raises(ValueError, match=f"fitted without {kind} attention"):
            model.attention_weights(X, kind)


def test_channel_attention_of_dual_stage_is_attention_unless_given():
    """None means the mechanism of `attention`, and another name another network."""
    none, same, other = (
        bits(fitted(attention="general", channel_attention=one, **DUAL)) for one in (None, "general", "additive")
    )
    assert torch.equal(none, same)
    assert none.shape != other.shape


def test_parameters_that_dual_stage_has_no_use_for():
    """attention_position, embedding_dim and num_layers change nothing, as the docstring says."""
    expected = bits(fitted(**DUAL))
    for parameters in (dict(attention_position="state"), dict(embedding_dim=3), dict(num_layers=2)):
        assert torch.equal(bits(fitted(**DUAL, **parameters)), expected)


@both
def test_dual_stage_and_missing_values(kind):
    """Values, steps, channels and windows may be missing in training and after."""
    X = windows()
    X[0, 1, 2] = X[1, 3] = X[2, :, 1] = X[3] = X[4, :-1] = X[5:20, 0] = np.nan
    for name in ACTIVATIONS:
        model = make(kind, attention_activation=name, **DUAL).fit(X, target_of(kind, X))
        assert np.isfinite(model.history_["train_loss"]).all()
        assert np.isfinite(output(model, X)).all()


# ---------------------------------------------------------------------------------------------------- ensembles


@both
def test_one_member_is_the_network_alone(kind):
    """Unless more are asked for, the network is what it was; several are an ensemble, as its state says."""
    assert type(fitted(kind).network_) is type(fitted(kind, n_members=1).network_) is AttentionLSTM
    ensemble = fitted(kind, n_members=np.int64(3)).network_
    assert type(ensemble) is Ensemble
    assert len(ensemble.others) == 2
    assert type(ensemble.config["n_members"]) is int


@both
def test_ensemble_is_an_estimator(kind, tmp_path):
    """It can be copied, cloned, trained on and explained like every other network."""
    X = windows()
    y = target_of(kind, X)
    model = fitted(kind, n_members=3, **NOISY, **EVERYWHERE)
    for way in COPIES:
        copied = COPIES[way](model, tmp_path)
        assert_array_equal(output(copied), output(model))
        assert torch.equal(bits(copied), bits(model))
        assert all(other.skip is copied.network_.skip for other in copied.network_.others)
        copied.partial_fit(X, y)
        assert (output(copied) != output(model)).any()
    assert torch.equal(bits(clone(model).fit(X, y)), bits(model))
    for read in ("temporal", "channel", "joint", "input", "state"):
        assert_allclose(model.attention_weights(X, read).reshape(N, -1).sum(1), 1, rtol=1e-5)


@both
def test_training_of_an_ensemble_goes_on(kind):
    """Three calls of partial_fit, two fits that go on and one fit of three epochs are the same training."""
    X = windows()
    y = target_of(kind, X)
    whole, calls = fitted(kind, n_members=3), make(kind, n_members=3)
    for _ in range(3):
        calls.partial_fit(X, y)
    warm = make(kind, n_members=3, max_epochs=2, warm_start=True).fit(X, y).set_params(max_epochs=1).fit(X, y)
    for model in (calls, warm):
        assert torch.equal(bits(model), bits(whole))
        assert_array_equal(model.history_["train_loss"], whole.history_["train_loss"])
    pickled = pickle.loads(pickle.dumps(model.set_params(optimizer="sgd")))
    assert torch.equal(bits(pickled.partial_fit(X, y)), bits(model.partial_fit(X, y)))


@both
def test_every_member_learns(kind):
    """Each from other weights to others, beside a skip that all have."""
    start, end = (fitted(kind, n_members=3, lr=lr, optimizer="sgd") for lr in (1e-30, 0.1))
    before, after = (
        torch.stack([member.head.weight.detach() for member in (model.network_, *model.network_.others)])
        for model in (start, end)
    )
    assert ((after - before).abs().amax((1, 2, 3)) > 1e-4).all()
    assert ((before[0] - before[1:]).abs().amax((1, 2, 3)) > 1e-2).all()


def test_ensemble_stops_by_its_mean_forecast():
    """The loss of validation is that of the mean forecast, the loss of training the mean of the members'."""
    datasets = Datasets()
    options = dict(n_members=3, linear_skip=False, callbacks=[datasets], **STOPPING)
    model = fitted(**options, lr=0.3)
    assert_allclose(model.loss_windows(datasets.valid_).mean(), model.history_["valid_loss"].min(), rtol=1e-5)
    still = fitted(**options, lr=1e-30, optimizer="sgd")
    assert still.history_["train_loss"][0] > 1.001 * still.loss_windows(datasets.train_).mean()


def test_parts_of_an_ensemble():
    """The parts are those of the mean forecast, with one gate for all members."""
    X = windows()
    dataset = WindowDataset({"past": X, "target": X[:, 2:3, 1:2] ** 2})
    model = make(n_members=3).fit_windows(dataset)
    assert model.components_["gate"] == 0.5
    for gate, part in ((0, "linear"), (0.5, "forecast"), (1, "network")):
        model.network_.gate.share.fill_(gate)
        assert_allclose(model.loss_windows(dataset).mean(), model.components_[part], rtol=1e-5)


def test_ensembles_vary_less_than_networks():
    """Trained on noise, means of four differ from seed to seed about half as much as single networks do."""
    rng = np.random.default_rng(0)
    X, y = windows(), rng.normal(size=N)
    deviations = []
    for n_members in (1, 4):
        models = (make(n_members=n_members, linear_skip=False, random_state=seed).fit(X, y) for seed in range(8))
        deviations.append(np.std([model.predict(windows(seed=1)) for model in models], 0).mean())
    assert deviations[1] < 0.75 * deviations[0]


@both
def test_ensemble_with_a_loss_of_a_single_number(kind):
    """It trains and stops as with any other loss, and has no parts to tell."""

    class Summed(torch.nn.Module):
        def forward(self, prediction, target):
            if prediction.dim() > target.dim():
                return torch.nn.functional.cross_entropy(prediction, target)
            return ((prediction - target) ** 2).mean()

    model = fitted(kind, loss=Summed, n_members=3, **STOPPING)
    assert np.isfinite(model.history_[["train_loss", "valid_loss"]]).all(axis=None)
    assert model.components_.empty


# ---------------------------------------------------------------------------------------------------- windows


def test_fit_windows_with_channels_known_ahead():
    """A series with a driver known ahead: its scales are learned, and its future changes the forecast."""
    rng = np.random.default_rng(0)
    driver = (rng.normal(size=(97, 1)) * 10 + 50).astype(np.float32)
    values = (np.roll(driver, -1) + rng.normal(size=(97, 1))).astype(np.float32)
    dataset = cut(values, L, 3, future=driver)
    model = make(normalization="window").fit_windows(dataset)
    assert_allclose(model.network_.future_normalization.loc, [driver[L:].mean()], rtol=1e-5)
    assert_allclose(model.network_.future_normalization.scale, [driver[L:].std()], rtol=1e-4)
    forecasts = model.predict_windows(dataset)
    assert forecasts.shape == (len(dataset), 3, 1)
    assert (forecasts != model.predict_windows(cut(values, L, 3, future=driver + 1))).all()
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict_windows(dataset), forecasts)
    assert model.attend_windows(dataset).shape == (len(dataset), 1, L)  # on the inputs, whatever the step ahead
    both_ways = make(attention_position="both").fit_windows(dataset)
    assert both_ways.attend_windows(dataset, "state").shape == (len(dataset), 3, L)
    assert both_ways.attend_windows(dataset, "state", per_head=True).shape == (len(dataset), 1, 3, L)
    everywhere = make(attention_position="state", channel_attention="additive").fit_windows(dataset)
    assert everywhere.attend_windows(dataset, "joint").shape == (len(dataset), 3, L)  # of one channel
    assert_allclose(everywhere.attend_windows(dataset, "joint"), everywhere.attend_windows(dataset), rtol=1e-5)


def test_joint_weights_of_several_steps_ahead():
    """Each step ahead has weights of its own for the cells of the window, flattened step by step."""
    dataset = cut(windows(97, 1, C)[:, 0], L, 3)
    model = make(attention_position="state", channel_attention="additive").fit_windows(dataset)
    joint, time, channel = (model.attend_windows(dataset, kind) for kind in ("joint", "temporal", "channel"))
    assert joint.shape == (len(dataset), 3, L * C)
    assert_allclose(joint.reshape(-1, 3, L, C), time[..., None] * channel[:, :, None], rtol=1e-4)
    assert (joint[:, 0] != joint[:, 1]).any()


def test_normalization_auto_of_a_series():
    """Where targets are channels of the window, 'auto' is 'last': a series on another level is forecast there."""
    values = np.random.default_rng(0).normal(size=(97, 1)).astype(np.float32)
    auto, last = (make(normalization=name).fit_windows(cut(values, L, 3)) for name in ("auto", "last"))
    assert torch.equal(bits(auto), bits(last))
    moved = auto.predict_windows(cut(values + 50, L, 3))
    assert_allclose(moved, auto.predict_windows(cut(values, L, 3)) + 50, rtol=1e-5)


def test_channel_mode_of_a_series():
    """Where targets are channels of the window, each can be forecast by itself; rows know no such targets."""
    values = np.random.default_rng(0).normal(size=(97, 3)).astype(np.float32).cumsum(0)
    mixed, independent = (
        make(channel_mode=mode, linear_skip=False).fit_windows(cut(values, L, 3)) for mode in ("mixed", "independent")
    )
    other = values.copy()
    other[:, 2] += np.random.default_rng(1).normal(size=97)
    for model, reads in ((mixed, True), (independent, False)):
        before, after = (model.predict_windows(cut(table, L, 3)) for table in (values, other))
        assert (before[..., :2] != after[..., :2]).any() == reads
    assert_array_equal(bits(fitted(channel_mode="mixed")), bits(fitted(channel_mode="independent")))


# For each parameter of sensors: the others, a value, and another value that changes forecasts.
RING = [[0.0, 3.0, 0.0], [0.0, 0.0, 2.0], [1.0, 0.0, 0.0]]  # each sensor listens to the one before it
CITIES = [[53.3, -6.3], [51.9, -8.5], [53.2, -6.1]]  # Dublin, Cork, which is far away, and Bray, which is near
CHANGES_OF_SENSORS = {
    "spatial_attention": ({}, "general", "additive"),
    "adjacency": ({}, None, RING),
    "coordinates": ({}, None, CITIES),
    "adjacency_role": (dict(adjacency=RING), "bias", "mask"),
    "sensor_identity": ({}, True, False),
}


def sensors(seed=0):
    """Draw three random walks."""
    return np.random.default_rng(seed).normal(size=(97, 3)).astype(np.float32).cumsum(0)


def listening(**parameters):
    """Fit to the windows of three sensors."""
    options = dict(spatial_attention="general", linear_skip=False)
    return make(**options | parameters).fit_windows(cut(sensors(), L, 3))


@pytest.mark.parametrize("name", CHANGES_OF_SENSORS)
def test_every_parameter_of_sensors_changes_something(name):
    """Where targets are channels of the window, another value changes forecasts, and the same value changes nothing."""
    others, value, other = CHANGES_OF_SENSORS[name]
    windows_ = cut(sensors(), L, 3)
    before, same, after = (
        listening(**others, **{name: choice}).predict_windows(windows_) for choice in (value, value, other)
    )
    assert_array_equal(before, same)
    assert (before != after).any()


def test_identity_of_independent_channels():
    """It tells apart the targets of channel_mode="independent" too, and is nothing to mixed ones."""
    windows_ = cut(sensors(), L, 3)
    for mode, told_apart in (("independent", True), ("mixed", False)):
        options = dict(channel_mode=mode, spatial_attention=None)
        one, other = (listening(sensor_identity=identity, **options) for identity in (True, False))
        assert (one.predict_windows(windows_) != other.predict_windows(windows_)).any() == told_apart


@both
def test_parameters_of_sensors_are_nothing_to_rows(kind):
    """A map and identities are not used without the attention that they belong to."""
    plain = fitted(kind)
    for parameters in (
        dict(adjacency=RING),
        dict(coordinates=CITIES),
        dict(adjacency=RING, coordinates=CITIES),
        dict(adjacency_role="both"),
        dict(sensor_identity=False),
    ):
        assert_array_equal(bits(fitted(kind, **parameters)), bits(plain))


def test_who_listens_in_a_series():
    """Independent targets are forecast from their own past; with spatial_attention they hear the others."""
    other = sensors()
    other[:, 2] += np.random.default_rng(1).normal(size=97)
    for parameters, hears in (
        (dict(spatial_attention=None, channel_mode="independent"), [False, False, True]),
        (dict(), [True, True, True]),
        (dict(adjacency=RING), [True, True, True]),
        (dict(adjacency=RING, adjacency_role="mask"), [True, False, True]),
        (dict(adjacency=RING, adjacency_role="both"), [True, False, True]),
        (dict(coordinates=CITIES), [True, True, True]),
        (dict(coordinates=CITIES, adjacency_role="mask"), [True, False, True]),
    ):
        model = listening(**parameters)
        before, after = (model.predict_windows(cut(table, L, 3)) for table in (sensors(), other))
        assert (before != after).any((0, 1)).tolist() == hears


def test_every_name_of_spatial_attention_is_its_class():
    """Each key, given by name or by class, trains the same network; no two keys train alike."""
    seen = []
    for key, choice in ATTENTIONS.items():
        by_name, by_class = listening(spatial_attention=key), listening(spatial_attention=choice)
        assert_array_equal(bits(by_name), bits(by_class))
        forecasts = by_name.predict_windows(cut(sensors(), L, 3))
        assert not any(np.array_equal(forecasts, other) for other in seen)
        seen.append(forecasts)


@both
@pytest.mark.parametrize("attention", ["additive", ATTENTIONS["dot"]])
def test_spatial_attention_of_rows(kind, attention):
    """Rows of three dimensions have channels but no sensors, as the error says, with what to do instead."""
    X = windows()
    message = (
        r"spatial_attention=.* lets each sensor look at the windows of others, but there are none: n_variables = None, "
        r".* Use AttentionLSTMForecaster, or X of shape \(n_samples, n_steps, n_sensors, n_channels\), with an .*, or "
        r"channel_attention\."
    )
    for adjacency in (None, np.ones((3, 3))):
        with pytest.raises(ValueError, match=message):
            make(kind, spatial_attention=attention, adjacency=adjacency).fit(X, target_of(kind, X))


def test_weights_of_sensors():
    """Each sensor is a query, with a map as a mask too, where what there is no edge from has no weight."""
    dataset = cut(sensors(), L, 3)
    options = dict(embedding_dim=4, hidden_size=8, attention_dim=12, num_heads=2, adjacency=RING)
    for role in ("bias", "mask", "both"):
        model = listening(adjacency_role=role, **options)
        heads = model.attend_windows(dataset, "spatial", per_head=True)
        assert heads.shape == (len(dataset), 2, 3, 3)
        assert_allclose(heads.sum(-1), 1, rtol=1e-5)
        assert_allclose(model.attend_windows(dataset, "spatial"), heads.mean(1), rtol=1e-5)
        edges = np.transpose(RING) + np.eye(3) > 0
        assert (heads[..., edges] > 0).all()
        assert (heads[..., ~edges] > 0).all() == (role == "bias")
        assert (heads[..., ~edges] == 0).all() == (role != "bias")
        assert model.attend_windows(dataset, "input").shape == (len(dataset), 1, L)
    with pytest.raises(ValueError, match=r"was fitted without spatial attention.*Fit with other spatial_attention, "):
        listening(spatial_attention=None).attend_windows(dataset, "spatial")


@pytest.mark.parametrize("role", ["bias", "mask", "both"])
def test_coordinates_are_the_map_that_they_make(role):
    """Where sensors are trains the same network as the map of it, which is no parameter that was given."""
    a_map = adjacency_from_coordinates(CITIES)
    by_map = listening(adjacency=a_map, adjacency_role=role)
    for places in (CITIES, np.array(CITIES), pd.DataFrame(CITIES, columns=["lat", "lon"])):
        by_place = listening(coordinates=places, adjacency_role=role)
        assert_array_equal(bits(by_place), bits(by_map))
        assert_array_equal(by_place.network_.config["adjacency"], by_map.network_.config["adjacency"])
        assert by_place.get_params()["coordinates"] is places
        assert by_place.adjacency is None


def test_map_of_sensors_that_does_not_fit():
    """It is refused where it is used, with both sizes; so are coordinates, and both at once."""
    with pytest.raises(ValueError, match=r"adjacency has shape \(2, 2\) but 3 sensors need \(3, 3\)\. Pass a row and"):
        listening(adjacency=np.ones((2, 2)))
    with pytest.raises(
        ValueError, match=r"coordinates has 2 rows but there are 3 sensors\. Pass a row for each sensor"
    ):
        listening(coordinates=CITIES[:2])
    with pytest.raises(
        ValueError, match=r"adjacency and coordinates are both given, but one map is used\. Pass one of"
    ):
        listening(coordinates=CITIES, adjacency=RING)
    listening(adjacency=np.ones((2, 2)), coordinates=CITIES[:2], spatial_attention=None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_copies_of_sensors_forecast_alike(dtype):
    """A pickle and a copy have the map, which is no part of the state."""
    dataset = cut(sensors(), L, 3)
    model = listening(adjacency=RING, adjacency_role="both", dtype=dtype)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), clone(model).fit_windows(dataset)):
        assert_array_equal(other.predict_windows(dataset), model.predict_windows(dataset))
        assert_array_equal(other.attend_windows(dataset, "spatial"), model.attend_windows(dataset, "spatial"))


def test_loss_of_each_window_of_a_regressor():
    """The squared error in units of the standardised target, whose mean is the loss of training."""
    X = windows(150)  # more than one batch
    y = 3 * target_of(AttentionLSTMRegressor, X) + 100
    model = make(lr=1e-30, optimizer="sgd", max_epochs=1, linear_skip=False).fit(X, y)
    dataset = WindowDataset({"past": X, "target": ((y - y.mean()) / y.std()).astype(np.float32)[:, None, None]})
    losses = model.loss_windows(dataset)
    assert_allclose(losses, ((model.predict(X) - y) / y.std()) ** 2, rtol=1e-3, atol=1e-6)
    assert_allclose(losses.mean(), model.history_["train_loss"][0], rtol=1e-5)


def test_loss_of_each_window_of_a_classifier():
    """Minus the logarithm of the probability of what it was."""
    X = windows(150)
    y = target_of(AttentionLSTMClassifier, X)
    model = make(AttentionLSTMClassifier).fit(X, y)
    codes = np.searchsorted(model.classes_, y)
    losses = model.loss_windows(WindowDataset({"past": X, "target": codes.astype(np.float32)[:, None, None]}))
    assert_allclose(losses, -np.log(model.predict_proba(X)[np.arange(150), codes]), rtol=1e-4, atol=1e-6)


def test_loss_of_windows_with_missing_targets():
    """The mean over the targets that were observed, in normalised units; NaN where there was none."""
    values = windows(97, 1, C)[:, 0] * 10
    values[[20, 21, 22, 40], 0] = values[[20, 21, 22, 50], 1] = np.nan
    dataset = cut(values, L, 3, n_targets=2)
    model = make(normalization="global").fit_windows(dataset)
    losses = model.loss_windows(dataset)
    scale = model.network_.normalization.scale[:2].numpy()
    errors = ((model.predict_windows(dataset) - dataset.arrays["target"]) / scale).reshape(len(dataset), -1) ** 2
    empty = np.isnan(errors).all(1)
    assert empty.sum() == 1
    assert_array_equal(np.isnan(losses), empty)
    assert_allclose(losses[~empty], np.nanmean(errors[~empty], 1), rtol=1e-4)


def test_loss_of_each_window_needs_a_loss_of_each_target():
    """A loss that has summed already cannot be told apart by window, and says so as training does."""

    class Summed(torch.nn.Module):
        def forward(self, prediction, target):
            return ((prediction - target) ** 2).mean()

    X = windows()
    model = make(loss=Summed).fit(X, X[:, 2, 1])
    with pytest.raises(ValueError, match="loss returned a single number"):
        model.loss_windows(WindowDataset({"past": X, "target": X[:, 2:3, 1:2]}))


# ------------------------------------------------------------------------------------- channels that never were there


def unheard(n_sensors, n_variables, silent):
    """Random walks of sensors, `silent` pairs of a sensor and a variable of which were never observed."""
    walks = np.random.default_rng(0).normal(size=(97, n_sensors, n_variables)).cumsum(0)
    walks = walks * np.arange(1, 1 + n_variables) + 10 * np.arange(n_sensors * n_variables).reshape(n_sensors, -1)
    for sensor, variable in silent:
        walks[:, sensor, variable] = np.nan
    return walks.astype(np.float32)


SILENT = {
    "one": [(1, 0)],
    "two of a variable": [(0, 0), (2, 0)],
    "a sensor": [(1, 0), (1, 1)],
    "a variable": [(0, 1), (1, 1), (2, 1)],
}
OF_THEIR_OWN = [dict(channel_mode="independent"), dict(spatial_attention="general")]


@pytest.mark.parametrize("how", OF_THEIR_OWN, ids=["independent", "sensors"])
@pytest.mark.parametrize("silent", SILENT.values(), ids=SILENT)
@pytest.mark.parametrize("rows", [False, True])
def test_scales_of_what_was_never_observed(how, silent, rows):
    """They are the means of those of the same variable at the other sensors; of a variable that no sensor has, 0 and 1.

    A driver that was never observed has no others either.
    """
    walks = unheard(3, 2, silent)
    table = np.concatenate([walks.reshape(97, 6), np.full((97, 1), np.nan, np.float32)], 1)
    model = make(**how, max_epochs=1, dtype="float64", normalization="global")
    if rows:
        past = np.stack([walks[start : start + L] for start in range(61)])  # (n, L, S, V)
        model.fit(past, np.zeros((61, 3)) + np.arange(61)[:, None])
        seen = walks[: 61 + L - 1]
    else:
        model.fit_windows(cut(table.astype(float), L, 3, n_targets=6, n_variables=2))
        seen = walks[:-3]
    expected = []
    for of in (np.mean, np.std):
        # each step of a row counts once for each row that it is in
        steps = np.lib.stride_tricks.sliding_window_view(seen, L, 0).transpose(0, 3, 1, 2) if rows else seen[None]
        values = of(steps.astype(float), (0, 1))  # (S, V), NaN where silent
        there = ~np.isnan(values)
        default = 0.0 if of is np.mean else 1.0
        means = [values[there[:, v], v].mean() if there[:, v].any() else default for v in (0, 1)]
        expected.append(np.where(there, values, means).ravel())
    normalization = model.network_.normalization
    assert_allclose(normalization.loc[:6], expected[0], rtol=1e-5)
    assert_allclose(normalization.scale[:6], expected[1], rtol=1e-5)
    if not rows:
        assert (normalization.loc[6], normalization.scale[6]) == (0, 1)


def test_scales_of_mixed_channels_are_not_shared():
    """Where a window is read at once, what was never observed has the level 0 and the scale 1, as ever."""
    walks = unheard(3, 2, SILENT["a sensor"])
    model = make(max_epochs=1, normalization="global").fit_windows(cut(walks.reshape(97, 6), L, 3, n_variables=2))
    assert_array_equal(model.network_.normalization.loc[2:4], [0, 0])
    assert_array_equal(model.network_.normalization.scale[2:4], [1, 1])
    assert (model.network_.normalization.loc[[0, 1, 4, 5]] != 0).all()


# ---------------------------------------------------------------------------------------------------- early stopping


@both
@pytest.mark.parametrize(("n", "fraction", "held_out"), [(99, 0.1, 0), (100, 0.1, 10), (39, 0.25, 0), (40, 0.25, 10)])
def test_early_stopping_auto(kind, n, fraction, held_out):
    """'auto' holds windows out as soon as they are at least ten."""
    X = windows(n)
    datasets = Datasets()
    options = dict(early_stopping="auto", validation_fraction=fraction, max_epochs=1, callbacks=[datasets])
    model = make(kind, **options).fit(X, target_of(kind, X))
    assert ("valid_loss" in model.history_) == bool(held_out)
    assert len(datasets.valid_ or ()) == held_out


@pytest.mark.parametrize(("n_outputs", "held_out"), [(19, 10), (20, 0)])
def test_early_stopping_auto_leaves_half_to_train_on(n_outputs, held_out):
    """Of 58 windows 10.44 are held out; with 18 dropped before them half of all is left, and with 19 it is not."""
    X = windows(58)
    options = dict(early_stopping="auto", validation_fraction=0.18, max_epochs=1)
    model = make(**options).fit(X, np.random.default_rng(1).normal(size=(58, n_outputs)))
    assert ("valid_loss" in model.history_) == bool(held_out)


@both
def test_early_stopping_with_windows_longer_than_the_data(kind):
    """150 windows of 200 steps: 15 validate, and no more than a tenth, 15 too, is dropped before them."""
    X = windows(150, 200, 1)
    datasets = Datasets()
    make(kind, early_stopping="auto", max_epochs=1, callbacks=[datasets]).fit(X, target_of(kind, X))
    assert_array_equal(datasets.valid_.index, np.arange(135, 150))
    assert_array_equal(datasets.train_.index, np.arange(120))


@both
def test_early_stopping_that_is_asked_for_fails(kind):
    """Of one window nothing is left to train on: an error, with the numbers and the way out."""
    X = windows(1)
    message = r"holds out the newest 1 of 1 windows and drops 0 before them, .* Use early_stopping=False"
    with pytest.raises(ValueError, match=message):
        make(kind, early_stopping=True).fit(X, target_of(kind, X))


@both
def test_newest_windows_are_held_out(kind):
    """18 of 61 windows validate, the newest; 4 before them share steps with them and are left out."""
    datasets = Datasets()
    fitted(kind, **STOPPING, callbacks=[datasets])
    assert_array_equal(datasets.valid_.index, np.arange(43, 61))
    assert_array_equal(datasets.train_.index, np.arange(39))


@both
def test_best_weights_are_restored(kind):
    """The validation loss of what is returned is the smallest of the history."""
    datasets = Datasets()
    model = fitted(kind, **STOPPING, callbacks=[datasets], linear_skip=False)  # which would be solved once more
    model.set_params(max_epochs=50, lr=0.3, n_iter_no_change=3)
    X = windows()
    model.fit(X, target_of(kind, X))
    losses = model.history_["valid_loss"]
    assert losses.argmin() < len(losses) - 1  # there was something to restore
    batch, target = datasets.valid_.__getitems__(np.arange(18))
    model.network_.eval()
    with torch.no_grad(), model.network_.ungated():
        loss = model.net_.get_loss(model.network_(**batch), target)
    assert_allclose(loss.item(), losses.min(), rtol=1e-6)


@both
def test_early_stopping_stops(kind):
    """After n_iter_no_change epochs without improvement by tol, training ends."""
    X = windows()
    options = dict(early_stopping=True, validation_fraction=0.3, max_epochs=50, lr=0.1)
    model = make(kind, n_iter_no_change=4, tol=0.0, **options).fit(X, target_of(kind, X))
    losses = model.history_["valid_loss"]
    assert len(losses) < 50
    assert len(losses) == losses.argmin() + 1 + 4
    # no loss improves by 99.9 %: the first epoch is the best
    model = make(kind, n_iter_no_change=4, tol=0.999, **options).fit(X, target_of(kind, X))
    assert len(model.history_) == 1 + 4


# ---------------------------------------------------------------------------------------------------- going on


@both
def test_warm_start_goes_on(kind):
    """Two fits of two epochs and one are one fit of three: weights, shuffling, optimizer and history go on."""
    X = windows()
    y = target_of(kind, X)
    whole = make(kind, max_epochs=3).fit(X, y)
    model = make(kind, max_epochs=2, warm_start=True).fit(X, y)
    after_two = bits(model)
    model.set_params(max_epochs=1).fit(X, y)
    assert not torch.equal(bits(model), after_two)
    assert torch.equal(bits(model), bits(whole))
    assert_array_equal(model.history_["train_loss"], whole.history_["train_loss"])
    assert_array_equal(model.history_["epoch"], [1, 2, 3])


@both
def test_without_warm_start_fit_starts_anew(kind):
    """A second fit gives what the first gave, even after others on other data."""
    X = windows()
    model = fitted(kind)
    first = bits(model)
    other = windows(17, 7, 2, seed=1)
    model.fit(other, target_of(kind, other))
    assert model.n_channels_in_ == 2
    model.fit(X, target_of(kind, X))
    assert torch.equal(bits(model), first)
    assert len(model.history_) == 3


@both
def test_warm_start_keeps_sizes_and_scales(kind):
    """Going on, windows must fit the network, whose scales stay those of the first fit."""
    X = windows()
    y = target_of(kind, X)
    model = make(kind, warm_start=True).fit(X, y)
    loc = model.network_.normalization.loc.clone()
    model.fit(X + 5, y)
    assert torch.equal(model.network_.normalization.loc, loc)
    with pytest.raises(ValueError, match="is expecting 3 channels"):
        model.fit(X[..., :2], y)


@both
def test_partial_fit_is_fit(kind):
    """Three calls of partial_fit are a fit of three epochs; the history has a row for each."""
    X = windows()
    y = target_of(kind, X)
    model = make(kind)
    for _ in range(3):
        model.partial_fit(X, y)
    assert torch.equal(bits(model), bits(make(kind, max_epochs=3).fit(X, y)))
    assert len(model.history_) == 3
    assert_allclose(model.history_["train_loss"], fitted(kind).history_["train_loss"])


@both
def test_partial_fit_goes_on_from_fit(kind):
    """After a fit with early stopping it trains on all windows that it is given, and holds none out."""
    datasets = Datasets()
    model = fitted(kind, **STOPPING, callbacks=[datasets])
    X = windows(23, seed=1)
    before = bits(model)
    model.partial_fit(X, target_of(kind, X))
    assert (len(datasets.train_), datasets.valid_) == (23, None)
    assert not torch.equal(bits(model), before)


@both
@pytest.mark.parametrize("parameters", [dict(dropout=0.5), dict(attention_noise=0.5)], ids=["dropout", "noise"])
def test_noise_differs_from_call_to_call(kind, parameters):
    """Each call of partial_fit draws its own dropout or noise: with weights that stand still, losses differ."""
    X = windows(1)
    y = target_of(kind, X)
    model = make(kind, hidden_size=31, lr=1e-30, optimizer="sgd", **parameters)
    if kind is AttentionLSTMClassifier:
        model.partial_fit(X, y, classes=["up", "down"])
    for _ in range(5):
        model.partial_fit(X, y)
    assert model.history_["train_loss"][1:].nunique() > 1


@both
def test_copies_go_their_own_way(kind):
    """What a shallow copy learns is neither in the weights nor in the history of the original."""
    X = windows()
    model = fitted(kind)
    before, other = bits(model), copy.copy(model)
    other.partial_fit(X, target_of(kind, X))
    assert torch.equal(bits(model), before)
    assert len(other.history_) == 4
    assert len(model.history_) == 3


# ---------------------------------------------------------------------------------------------------- randomness


@both
def test_same_seed_same_bits(kind):
    """The same random_state gives the same bits, another gives others, with dropout, noise and shuffling."""
    one, same, other = (fitted(kind, **NOISY, random_state=seed) for seed in (3, 3, 4))
    assert torch.equal(bits(one), bits(same))
    assert_array_equal(output(one), output(same))
    assert not torch.equal(bits(one), bits(other))


@both
def test_random_state_instance(kind):
    """A RandomState is drawn from: two equal ones agree, and a second fit with the same one differs."""
    one, other = (fitted(kind, random_state=np.random.RandomState(3)) for _ in range(2))
    assert torch.equal(bits(one), bits(other))
    X = windows()
    assert not torch.equal(bits(one.fit(X, target_of(kind, X))), bits(other))


@both
def test_global_random_states_are_neither_read_nor_changed(kind):
    """Whatever the global seeds are, fits agree; afterwards the states are what they were."""
    outputs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        model = fitted(kind, **NOISY)
        X = windows()
        model.partial_fit(X, target_of(kind, X))
        outputs.append(output(pickle.loads(pickle.dumps(clone(model).fit(X, target_of(kind, X))))))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert_array_equal(*outputs)


@both
def test_torch_is_left_alone_without_a_seed(kind):
    """Without random_state fits differ, and still torch's global state is neither read nor changed."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = fitted(kind, random_state=None, **NOISY)
    torch.manual_seed(0)
    other = fitted(kind, random_state=None, **NOISY)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(bits(one), bits(other))


@both
def test_same_bits_in_threads(kind):
    """Four fits at once in threads, in lockstep batch by batch, give what each gives alone."""
    X = windows()
    y = target_of(kind, X)
    barrier = threading.Barrier(4)

    class Lockstep(Callback):
        def on_batch_begin(self, net, **kwargs):
            barrier.wait(60)

    def fit(seed, callbacks):
        return bits(make(kind, random_state=seed, callbacks=callbacks, **NOISY).fit(X, y))

    jobs = (joblib.delayed(fit)(seed, [Lockstep()]) for seed in range(4))
    together = joblib.Parallel(n_jobs=4, backend="threading")(jobs)
    for seed, one in enumerate(together):
        assert torch.equal(one, fit(seed, None))


def test_same_bits_in_processes():
    """Fits in a process of loky's give what they give here; what comes back predicts as before."""
    X = windows()
    y = target_of(AttentionLSTMRegressor, X)
    models = [make(random_state=seed, **NOISY) for seed in range(2)]
    with joblib.externals.loky.ProcessPoolExecutor(max_workers=1) as pool:
        there = [pool.submit(model.fit, X, y).result() for model in models]
    for model, back in zip(models, there, strict=True):
        assert not hasattr(model, "network_")
        model.fit(X, y)
        assert torch.equal(bits(back), bits(model))
        assert_array_equal(output(back), output(model))


# ---------------------------------------------------------------------------------------------------- persistence


def through_joblib(model, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib")


COPIES = {
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "joblib": through_joblib,
    "cloudpickle": lambda model, _: pickle.loads(cloudpickle.dumps(model)),
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "copy": lambda model, _: copy.copy(model),
}
every_copy = pytest.mark.parametrize("way", COPIES)


@both
@every_copy
def test_copies_of_fitted_estimators(kind, way, tmp_path):
    """A copy has the same parameters, weights, history and predictions, and can be copied again."""
    model = fitted(kind, **STOPPING, dtype="float64")
    other = COPIES[way](COPIES[way](model, tmp_path), tmp_path)
    assert other.get_params() == model.get_params()
    assert torch.equal(bits(other), bits(model))
    assert_array_equal(output(other), output(model))
    assert other.history_.equals(model.history_)
    assert other.n_features_in_ == L
    assert not hasattr(other, "net_")


@both
@every_copy
def test_copies_of_unfitted_estimators(kind, way, tmp_path):
    """A copy of an unfitted estimator fits as the original does."""
    X = windows()
    other = COPIES[way](make(kind), tmp_path)
    with pytest.raises(NotFittedError):
        other.predict(X)
    assert torch.equal(bits(other.fit(X, target_of(kind, X))), bits(fitted(kind)))


@both
def test_clone(kind):
    """A clone has the parameters and nothing that was learned."""
    model = fitted(kind, encoder="gru")
    other = clone(model)
    assert other.get_params() == model.get_params()
    assert set(vars(other)) == set(model.get_params())


@both
def test_training_goes_on_after_pickling(kind):
    """Shuffling goes on where it was: a pickled copy learns on as the original does."""
    X = windows()
    y = target_of(kind, X)
    model = fitted(kind, optimizer="sgd")
    other = pickle.loads(pickle.dumps(model))
    assert torch.equal(bits(model.partial_fit(X, y)), bits(other.partial_fit(X, y)))


def walk(value):
    """Everything that a state holds, at any depth."""
    yield value
    children = value.items() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for child in children:
        yield from walk(child)


@both
@pytest.mark.parametrize("parameters", [{}, {**STOPPING, **NOISY, "lr_schedule": "plateau", "max_time": 99}])
def test_state_is_plain(kind, parameters):
    """The state of a fitted estimator is arrays, numbers and strings: nothing of torch, skorch or scikit-learn."""
    state = fitted(kind, **parameters).__getstate__()
    plain = (np.ndarray, np.generic, dict, list, tuple, str, int, float, type(None))
    assert {type(value).__name__ for value in walk(state) if not isinstance(value, plain)} == set()
    names = set(re.findall(rb"c(torch|skorch|skattn)[.\w]*", pickle.dumps(state, protocol=0)))
    assert names == set()


@both
def test_state_is_not_shared(kind):
    """Training after the state was taken does not change it."""
    model = fitted(kind)
    state = model.__getstate__()
    before = copy.deepcopy(state)
    model.partial_fit(windows(), target_of(kind, windows()))
    for name, value in state["_network_state"]["weights"].items():
        assert_array_equal(value, before["_network_state"]["weights"][name])
    assert_array_equal(state["_generator_state"][1], before["_generator_state"][1])


@both
def test_size_of_a_pickle_does_not_grow_with_the_data(kind):
    """Fitted on fifty times as many windows, an estimator is as large, within a few numbers of the history."""
    sizes = []
    for n in (40, 2000):
        X = windows(n)
        sizes.append(len(pickle.dumps(make(kind, max_epochs=1, batch_size=n).fit(X, target_of(kind, X)))))
    assert abs(sizes[1] - sizes[0]) < 64


@both
def test_fitted_estimator_lets_the_data_go(kind):
    """No part of a fitted estimator, skorch's net included, keeps the training data alive."""
    X = windows()
    model = make(kind)
    model.fit(X, target_of(kind, X))
    reference = weakref.ref(X)
    del X
    gc.collect()
    assert reference() is None
    assert model.net_ is not None


# ---------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("kind_of_series", ["series", "panel", "weighted"])
def test_training_windows_are_never_materialised(kind_of_series):
    """Training on 20 000 windows of 101 steps (24 MB as copies) takes less than a quarter of that at once."""
    n, length = 20_000, 101
    values = windows(n, 1, C)[:, 0]
    dataset = cut([values[: n // 2], values[n // 2 :]] if kind_of_series == "panel" else values, length, 1)
    if kind_of_series == "weighted":
        dataset.arrays["weight"] = np.ones((len(dataset), 1, 1), np.float32)
    fitted(max_epochs=1)  # torch imports a good deal when it is first asked for an optimizer
    model = make(max_time=1e-9, normalization="global")
    tracemalloc.start()
    try:
        model.fit_windows(dataset)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < n * length * C * 4 / 4


MANY = [
    (dict(attention_position="both", channel_attention="additive"), ["input", "state", "channel", "joint"]),
    (DUAL, ["state", "channel", "joint"]),
]


@pytest.mark.parametrize(("parameters", "kind"), [(one, kind) for one, kinds in MANY for kind in kinds])
@pytest.mark.parametrize("per_head", [False, True])
def test_weights_of_many_windows_hold_no_more_than_themselves(parameters, kind, per_head):
    """While ten batches are read, no weights of the network's stay alive but those that are returned."""
    X = windows(1280, length=31)
    model = make(max_epochs=1, **parameters).fit(X[:N], X[:N, 7, 0])
    seen, alive = [], []

    def count(network, args, returned):
        alive.append(sum(size for size, storage in seen if storage() is not None))
        for weights in (returned.channel, returned.input, returned.state):
            if weights is not None:
                storage = weights.untyped_storage()
                seen.append((storage.nbytes(), weakref.ref(storage)))

    model.network_.register_forward_hook(count)
    result = model.attend_windows(WindowDataset({"past": X}), kind, per_head)
    assert len(alive) == 10
    one_batch = sum(size for size, _ in seen) / 10
    assert alive[-1] <= result.nbytes + one_batch


# ---------------------------------------------------------------------------------------------------- threads, devices


@pytest.fixture
def three_threads():
    """Let torch have three threads within this test."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class Threads(Callback):
    """Note how many threads torch has while training."""

    def __init__(self):
        self.seen_ = set()

    def on_batch_begin(self, net, **kwargs):
        self.seen_.add(torch.get_num_threads())


@both
@pytest.mark.parametrize(("n_threads", "expected"), [(1, 1), (2, 1), (None, 1)])
def test_n_threads(kind, n_threads, expected, three_threads):
    """Within fit and predict of a small network operations are not shared out; afterwards torch has what it had."""
    threads = Threads()
    model = fitted(kind, n_threads=n_threads, callbacks=[threads], max_epochs=1)
    assert threads.seen_ == {expected}
    assert torch.get_num_threads() == 3
    seen = set()
    model.network_.register_forward_hook(lambda *_: seen.add(torch.get_num_threads()))
    model.predict(windows())
    assert seen == {expected}
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("n_threads", "expected"), [(None, 3), (2, 2)])
def test_n_threads_of_a_large_network(n_threads, expected, three_threads):
    """For 512 windows and 128 units at a time, torch keeps the threads that it has, or has n_threads."""
    threads = Threads()
    fitted(hidden_size=128, batch_size=512, max_epochs=1, callbacks=[threads], n_threads=n_threads)
    assert threads.seen_ == {expected}


def test_n_threads_are_given_back_after_an_error(three_threads):
    """An error within training leaves torch's threads as they were."""

    class Fail(Callback):
        def on_batch_begin(self, net, **kwargs):
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fitted(n_threads=2, callbacks=[Fail()])
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("n_threads", [1, 2])
def test_n_threads_in_a_thread(n_threads, three_threads):
    """A fit in a thread of its own, as joblib's threading backend runs it, has n_threads too."""
    threads, large = Threads(), dict(hidden_size=128, batch_size=512, max_epochs=1)
    worker = threading.Thread(target=fitted, kwargs=dict(**large, n_threads=n_threads, callbacks=[threads]))
    worker.start()
    worker.join()
    assert threads.seen_ == {n_threads}


class Modules(Callback):
    """Which module trains."""

    def on_train_begin(self, net, **kwargs):
        self.seen_ = type(net.module_).__name__


@both
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's compiler looks at tensors where a graph breaks
def test_compile(kind, monkeypatch):
    """Training goes through torch.compile, to the same network; what is kept, and predicts, is the plain one."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module: compile_(module, backend="eager"))
    modules = Modules()
    model, plain = fitted(kind, compile=True, callbacks=[modules]), fitted(kind)
    assert modules.seen_ == "OptimizedModule"
    assert type(model.network_) is AttentionLSTM
    assert_allclose(bits(model), bits(plain), atol=1e-5)
    assert_allclose(output(pickle.loads(pickle.dumps(model))), output(plain), atol=1e-5)


@both
def test_fused_steps_are_those_of_torch(kind):
    """An optimiser that is named makes its steps in one operation, one that is passed as it is made; both agree."""
    for name, optimizer in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
        model, plain = (fitted(kind, optimizer=one, weight_decay=0.1) for one in (name, optimizer))
        assert model.net_.optimizer_.defaults["fused"]
        assert not plain.net_.optimizer_.defaults["fused"]
        assert_allclose(bits(model), bits(plain), atol=1e-5)


@both
@pytest.mark.parametrize("device", ["abracadabra", "cuda:99"])
def test_unknown_device(kind, device):
    """The error names the device and what can be used instead, in fit and in predict."""
    message = f"device='{device}' cannot be used here: .*Use device='auto' or 'cpu'"
    with pytest.raises(ValueError, match=message):
        fitted(kind, device=device)
    with pytest.raises(ValueError, match=message):
        fitted(kind).set_params(device=device).predict(windows())


@both
def test_device_cpu(kind):
    """A device can be named."""
    model = fitted(kind, device="cpu")
    assert {parameter.device.type for parameter in model.network_.parameters()} == {"cpu"}


# ---------------------------------------------------------------------------------------------------- manners


@both
def test_silent_and_without_files(kind, capfd, tmp_path, monkeypatch):
    """By default nothing is printed and no file is written, whatever happens in training."""
    monkeypatch.chdir(tmp_path)
    X = windows()
    model = fitted(kind, **{**STOPPING, "n_iter_no_change": 2, "max_epochs": 9, "lr": 0.3}, lr_schedule="plateau")
    model.partial_fit(X, target_of(kind, X))
    pickle.loads(pickle.dumps(model)).predict(X)
    fitted(kind, max_time=1e-9)
    assert capfd.readouterr() == ("", "")
    assert os.listdir(tmp_path) == []


@both
def test_verbose(kind, capfd):
    """1 shows a progress bar on the standard error, 2 a line per epoch on the standard output."""
    fitted(kind, verbose=1)
    out, err = capfd.readouterr()
    assert re.search(r"\d%\|.*\d/\d", err)
    assert out == ""
    fitted(kind, verbose=2, **STOPPING)
    out, err = capfd.readouterr()
    assert len(re.findall(r"^ +[123] +\S*\d", out, re.MULTILINE)) == 3
    assert all(word in out for word in ("epoch", "train_loss", "valid_loss", "dur"))


@both
def test_history(kind):
    """A row per epoch: number, losses, seconds; the losses fall."""
    history = fitted(kind, max_epochs=9).history_
    assert isinstance(history, pd.DataFrame)
    assert set(history.columns) == {"epoch", "train_loss", "dur"}
    assert_array_equal(history["epoch"], np.arange(1, 10))
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    assert (history["dur"] > 0).all()
    stopped = fitted(kind, **STOPPING).history_
    assert set(stopped.columns) == {"epoch", "train_loss", "valid_loss", "dur"}
    assert stopped["valid_loss"].notna().all()


@both
def test_history_is_a_copy(kind):
    """What is done to the table does not change the estimator."""
    model = fitted(kind)
    history = model.history_
    history["train_loss"] = -1
    assert (model.history_["train_loss"] > 0).all()


@both
def test_not_fitted(kind):
    """Before fit there is nothing to predict with, and no history."""
    model = make(kind)
    for call in (lambda: model.predict(windows()), lambda: output(model), lambda: model.history_):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            call()
    assert not hasattr(model, "history_")


@both
@pytest.mark.parametrize("fit", [False, True])
def test_representations(kind, fit):
    """repr names what differs from the default, and the diagram for notebooks is made, fitted or not."""
    model = fitted(kind) if fit else make(kind)
    assert re.match(rf"{kind.__name__}\(attention_dim=11, batch_size=16", repr(model))
    assert "max_time" not in repr(model)
    html = model._repr_html_()
    assert kind.__name__ in html
    assert "attention_dim" in html
    assert ("Not fitted" in html) != fit


@both
def test_constructor_errors_are_generated(kind):
    """Values that are out of range are refused in fit, by scikit-learn's sentence."""
    for parameters, message in (
        (dict(dropout=1.0), r"The 'dropout' parameter of AttentionLSTM\w+ must be a float in the range \[0.*, 1.*\)"),
        (dict(attention="abracadabra"), r"The 'attention' parameter of AttentionLSTM\w+ must be a str among"),
        (
            dict(hidden_size=0),
            r"The 'hidden_size' parameter of AttentionLSTM\w+ must be an int in the range \[1, inf\)",
        ),
        (dict(n_members=0), r"The 'n_members' parameter of AttentionLSTM\w+ must be an int in the range \[1, inf\)"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted(kind, **parameters)


@both
def test_heads_must_divide(kind):
    """The error names the parameter of the estimator that does not fit, with both numbers."""
    for wrong in ("attention_dim", "hidden_size", "embedding_dim"):
        with pytest.raises(ValueError, match=rf"num_heads must divide {wrong}: got num_heads = 3 and {wrong} = 7"):
            fitted(kind, **{**WIDE, wrong: 7}, num_heads=3, attention_position="both")


def test_numpy_numbers_as_parameters():
    """Searches hand out numpy's numbers, which are taken for Python's."""
    parameters = dict(hidden_size=np.int64(7), lr=np.float64(0.01), linear_skip=np.bool_(True), dropout=np.float32(0))
    assert torch.equal(bits(fitted(**parameters)), bits(fitted()))
    pickle.loads(pickle.dumps(fitted(**parameters)))


# ---------------------------------------------------------------------------------------------------- searches


@both
def test_grid_search_of_windows(kind):
    """scikit-learn's searches take three-dimensional X and refit the best."""
    X = windows()
    y = target_of(kind, X)
    search = GridSearchCV(make(kind, max_epochs=1), {"hidden_size": [2, 5], "attention": ["dot", None]}, cv=2)
    search.set_params(param_grid={"hidden_size": [2], "attention": ["dot", None]}).fit(X, y)
    assert search.best_estimator_.network_.config["hidden_size"] == 2
    assert_array_equal(search.predict(X), search.best_estimator_.predict(X))
    assert cross_val_score(make(kind, max_epochs=1), X, y, cv=2, error_score="raise").shape == (2,)


@both
def test_metadata_routing(kind):
    """A search routes sample_weight to fit, where it counts."""
    X = windows()
    y = target_of(kind, X)
    weight = np.random.default_rng(1).uniform(0.1, 9, N)
    with config_context(enable_metadata_routing=True):
        model = make(kind, max_epochs=1).set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        search = GridSearchCV(model, {"hidden_size": [5]}, cv=2, error_score="raise").fit(X, y, sample_weight=weight)
    weighted = make(kind, max_epochs=1, hidden_size=5).fit(X, y, sample_weight=weight)
    assert torch.equal(bits(search.best_estimator_), bits(weighted))
    assert not torch.equal(bits(weighted), bits(fitted(kind, max_epochs=1, hidden_size=5)))
