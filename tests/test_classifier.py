"""Tests of the classifier: labels, probabilities, weights of classes and windows."""

import inspect

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.utils.class_weight import compute_sample_weight

from skattn import AttentionLSTMClassifier
from skattn.nn import ATTENTIONS

N, L, C, P = 61, 5, 3, 4
SMALL = dict(
    hidden_size=7, embedding_dim=2, attention_dim=11, batch_size=16, max_epochs=3, early_stopping=False, random_state=0
)


@pytest.fixture
def data():
    """Make windows and one of four codes for each, of unequal frequency."""
    X = np.random.default_rng(0).normal(size=(N, L, C)).astype(np.float32)
    return X, np.digitize(X[:, 2, 1], [-1.0, 0.0, 0.7])


def make(**parameters):
    return AttentionLSTMClassifier(**{**SMALL, **parameters})


def bits(model):
    return torch.cat([value.flatten() for value in model.network_.state_dict().values()])


# ---------------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("attention", [None, *ATTENTIONS])
def test_learns(attention):
    """Whether one value is large, up or down, which no linear model can tell, is found with every attention."""
    X = np.random.default_rng(0).normal(size=(300, L, 2)).astype(np.float32)
    y = np.abs(X[:, 3, 0]) > 0.7
    options = dict(hidden_size=16, embedding_dim=8, max_epochs=20, lr=0.02, early_stopping=False, random_state=0)
    model = AttentionLSTMClassifier(attention=attention, **options).fit(X[:250], y[:250])
    assert model.score(X[250:], y[250:]) > 0.75


# ---------------------------------------------------------------------------------------------------- labels


LABELS = {
    "int": np.array([7, -3, 0, 100]),
    "float": np.array([2.0, 1.0, 0.0, -1.0]),
    "str": np.array(["north", "east", "south", "west"]),
    "object": np.array(["north", "east", "south", "west"], dtype=object),
    "bool": np.array([False, True, True, False]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels(data, kind):
    """Labels of any type come back as they went in; classes_ are sorted, and columns follow them."""
    X, codes = data
    y = LABELS[kind][codes]
    model = make(max_epochs=9, lr=0.05).fit(X, y)
    assert_array_equal(model.classes_, np.unique(y))
    assert model.classes_.dtype == y.dtype
    probabilities, predicted = model.predict_proba(X), model.predict(X)
    assert probabilities.shape == (N, len(model.classes_))
    assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert predicted.dtype == y.dtype
    assert_array_equal(predicted, model.classes_[probabilities.argmax(1)])
    assert model.score(X, y) > 0.5


@pytest.mark.parametrize("convert", [list, pd.Series, lambda y: y[:, None]])
def test_kinds_of_y(data, convert):
    """Lists and series are labels; so is a column, with scikit-learn's warning."""
    X, y = data
    expected = make().fit(X, y)
    given = convert(y)
    if getattr(given, "ndim", 1) == 2:
        with pytest.warns(UserWarning, match="column-vector y was passed"):
            model = make().fit(X, given)
    else:
        model = make().fit(X, given)
    assert torch.equal(bits(model), bits(expected))


def test_order_of_labels_does_not_matter(data):
    """Names that sort otherwise permute the columns and nothing else: the head starts from the same numbers."""
    X, y = data
    names = np.array(["b", "d", "a", "c"])
    model = make(linear_skip=False).fit(X, names[y])
    assert_array_equal(model.classes_, ["a", "b", "c", "d"])
    assert model.network_.config["n_params"] == P
    assert set(model.predict(X)) <= set(names)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities(data, dtype):
    """Rows of positive numbers that sum to one, in the network's dtype: softmax of the network's scores."""
    X, y = data
    model = make(dtype=dtype).fit(X, y)
    probabilities = model.predict_proba(X)
    assert probabilities.dtype == dtype
    assert (probabilities > 0).all()
    with torch.no_grad():
        scores = model.network_(torch.from_numpy(X.astype(dtype))).params[:, 0, 0]
    assert_allclose(probabilities, scores.softmax(-1), rtol=1e-5)


@pytest.mark.parametrize("mode", ["mixed", "independent"])
def test_windows_of_sensors_are_flattened(data, mode):
    """Four dimensions are read at once, in either mode, for a window has one label whatever the sensors."""
    X, y = data
    X = np.stack([X, -np.sin(X)], -1)  # (n, L, S, V)
    flat = X.reshape(N, L, 2 * C)
    one, other = make(channel_mode=mode).fit(X, y), make().fit(flat, y)
    assert torch.equal(bits(one), bits(other))
    assert_array_equal(one.predict_proba(X), other.predict_proba(flat))
    assert one.score(X, y) == other.score(flat, y)
    message = (
        r"spatial_attention='dot' lets each sensor .* there are none: n_variables = None, .*, or channel_attention\."
    )
    with pytest.raises(ValueError, match=message):
        make(spatial_attention="dot", channel_mode=mode).fit(X, y)


def test_one_class(data):
    """One class alone is certain."""
    X, _ = data
    model = make().fit(X, ["only"] * N)
    assert_array_equal(model.predict(X), ["only"] * N)
    assert_array_equal(model.predict_proba(X), np.ones((N, 1)))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.linspace(0, 1, N), "Unknown label type"),
        (np.ones((N, 2)), "y should be a 1d array"),
        ([None, *range(N - 1)], "Unknown label type|not supported|NoneType"),
        (np.where(np.arange(N) == 3, np.nan, 1.0), "NaN"),
    ],
)
def test_labels_that_are_refused(data, y, message):
    """Numbers on a scale, several columns and missing labels are no classes."""
    with pytest.raises((ValueError, TypeError), match=message):
        make().fit(data[0], y)


def test_not_fitted(data):
    """predict and predict_proba say that there was no fit."""
    for method in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError, match="AttentionLSTMClassifier instance is not fitted yet"):
            getattr(make(), method)(data[0])


# ---------------------------------------------------------------------------------------------------- going on


def test_partial_fit_with_all_classes(data):
    """Labels named in the first call may come later; until then they are possible, not seen."""
    X, y = data
    model = make().partial_fit(X[y < 2], y[y < 2], classes=[3, 2, 1, 0])
    assert_array_equal(model.classes_, [0, 1, 2, 3])
    assert model.predict_proba(X).shape == (N, 4)
    for _ in range(30):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.5
    assert len(model.history_) == 31


@pytest.mark.parametrize("method", ["partial_fit", "fit"])
def test_unknown_labels(data, method):
    """Labels that the first call did not know are refused: their number, an example, the known, the way out."""
    X, y = data
    model = make(warm_start=True)
    model.partial_fit(X[y < 2], y[y < 2])
    message = r"y holds .*unknown to the first call.* such as .*2.*; known are .*0.*1.* classes=\.\.\."
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(X, y)


def test_labels_outside_of_classes_in_the_first_call(data):
    """The first call's own y must be among the classes that it names."""
    X, y = data
    with pytest.raises(ValueError, match=r"y holds .*unknown to the first call.* such as .*3"):
        make().partial_fit(X, y, classes=[0, 1, 2])


def test_warm_start_with_fewer_labels(data):
    """Going on with data that lacks a class keeps the classes, and their codes."""
    X, y = data
    model = make(warm_start=True).fit(X, y)
    model.fit(X[y != 1], y[y != 1])
    assert_array_equal(model.classes_, [0, 1, 2, 3])
    assert model.predict_proba(X).shape == (N, 4)


# ---------------------------------------------------------------------------------------------------- weights


def test_balanced_is_the_weight_of_scikit_learn(data):
    """class_weight="balanced" is n / (classes * count) for each window."""
    X, y = data
    one = make(class_weight="balanced").fit(X, y)
    other = make().fit(X, y, sample_weight=compute_sample_weight("balanced", y))
    assert torch.equal(bits(one), bits(other))
    assert not torch.equal(bits(one), bits(make().fit(X, y)))


def test_class_weight_is_keyed_by_label(data):
    """Weights go by label, and a class that is not named weighs one."""
    X, codes = data
    y = LABELS["str"][codes]
    one = make(class_weight={"east": 5.0, "west": 0.5}).fit(X, y)
    other = make().fit(X, y, sample_weight=np.array([1.0, 5.0, 1.0, 0.5])[codes])
    assert torch.equal(bits(one), bits(other))


def test_class_weight_times_sample_weight(data):
    """Both count: their product is the weight of a window."""
    X, y = data
    weight = np.random.default_rng(1).integers(1, 9, N).astype(float)
    one = make(class_weight={2: 4.0}).fit(X, y, sample_weight=weight)
    other = make().fit(X, y, sample_weight=np.where(y == 2, 4.0, 1.0) * weight)
    assert torch.equal(bits(one), bits(other))


def test_class_weight_counts(data):
    """A heavier class is predicted more often."""
    X, y = data
    counts = [(make(class_weight={2: w}, max_epochs=9).fit(X, y).predict(X) == 2).sum() for w in (0.01, 1, 100)]
    assert counts[0] == 0
    assert counts[0] < counts[1] < counts[2]


def test_weight_of_zero_is_removal(data):
    """In float64, windows of weight zero might as well not be there; their class stays known."""
    X, y = data
    kept = y != 3
    one = make(dtype="float64").fit(X, y, sample_weight=kept.astype(float))
    other = make(dtype="float64").partial_fit(X[kept], y[kept], classes=range(4))
    for _ in range(2):
        other.partial_fit(X[kept], y[kept])
    assert_array_equal(one.classes_, [0, 1, 2, 3])
    assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-7)


def test_weights_in_partial_fit(data):
    """partial_fit weighs as fit does."""
    X, y = data
    weight = np.linspace(1, 5, N)
    one = make(max_epochs=1, class_weight="balanced").fit(X, y, sample_weight=weight)
    other = make(class_weight="balanced").partial_fit(X, y, sample_weight=weight)
    assert torch.equal(bits(one), bits(other))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_weights_that_are_refused(data, method):
    """All zero, negative, of another number than the windows, or for a class that does not exist."""
    X, y = data
    for weight, message in (
        (np.zeros(N), "zero"),
        (-np.ones(N), "[Nn]egative"),
        (np.ones(N - 1), "sample_weight.shape"),
    ):
        with pytest.raises(ValueError, match=message):
            getattr(make(), method)(X, y, sample_weight=weight)
    with pytest.raises(ValueError, match="The 'class_weight' parameter"):
        make(class_weight="abracadabra").fit(X, y)


# ---------------------------------------------------------------------------------------------------- losses


def test_cross_entropy_by_name_class_and_instance(data):
    """The name and torch's loss train the same network, and the history is its mean over the windows."""
    X, y = data
    losses = "cross_entropy", torch.nn.CrossEntropyLoss, torch.nn.CrossEntropyLoss(reduction="sum")
    models = [make(loss=loss).fit(X, y) for loss in losses]
    assert torch.equal(bits(models[0]), bits(models[1]))
    assert torch.equal(bits(models[0]), bits(models[2]))
    # standing still, in one batch, the loss of the epoch is that of the probabilities
    still = make(lr=1e-30, optimizer="sgd", max_epochs=1, batch_size=N).fit(X, y)
    expected = -np.log(still.predict_proba(X)[np.arange(N), y]).mean()
    assert_allclose(still.history_["train_loss"], [expected], rtol=1e-5)


class Brier(torch.nn.Module):
    """A loss of one's own: one number per window, from scores and codes."""

    def forward(self, scores, codes):
        truth = torch.nn.functional.one_hot(codes, scores.shape[-1])
        return ((scores.softmax(-1) - truth) ** 2).sum(-1)


def test_loss_of_ones_own(data):
    """A module sees scores of shape (windows, classes) and codes; weights count."""
    X, y = data
    model = make(loss=Brier, max_epochs=9, class_weight="balanced", lr=0.03).fit(X, y)
    assert model.history_["train_loss"].iloc[-1] < model.history_["train_loss"].iloc[0]
    assert model.score(X, y) > 0.4


@pytest.mark.parametrize("loss", ["squared_error", "abracadabra"])
def test_losses_that_are_refused(data, loss):
    """A loss for numbers is none for classes."""
    with pytest.raises(ValueError, match="The 'loss' parameter of AttentionLSTMClassifier must be"):
        make(loss=loss).fit(*data)


# ---------------------------------------------------------------------------------------------------- contract


def test_early_stopping_with_classes_that_are_sorted(data):
    """Rows sorted by class: the newest validate, and every class stays known."""
    X, y = data
    order = np.argsort(y, kind="stable")
    model = make(early_stopping=True, validation_fraction=0.2).fit(X[order], y[order])
    assert_array_equal(model.classes_, [0, 1, 2, 3])
    assert model.predict_proba(X).shape == (N, 4)


def test_calibration(data):
    """scikit-learn's calibration takes windows of three dimensions."""
    X, y = data
    calibrated = CalibratedClassifierCV(make(max_epochs=1), cv=2).fit(X, y)
    assert_allclose(calibrated.predict_proba(X).sum(1), 1)


def test_docstring_names_every_parameter():
    """Each parameter of the constructor is in the docstring, and no placeholder is left."""
    text = AttentionLSTMClassifier.__doc__
    for name in inspect.signature(AttentionLSTMClassifier).parameters:
        assert len([line for line in text.splitlines() if line.strip().startswith(f"{name} : ")]) == 1, name
    assert "{loss" not in text
