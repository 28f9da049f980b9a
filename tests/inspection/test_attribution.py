"""Importance from outside is exact where the answer is known: on linear maps, and by the axioms elsewhere."""

import pickle
import random
import re
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.inspection import permutation_importance
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state

from skattn import AttentionLSTMClassifier, AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.inspection import integrated_gradients, occlusion
from skattn.inspection.attribution import _integrate, permute
from skattn.inspection.hiding import Subject
from skattn.nn import NORMALIZATIONS
from skattn.preprocessing import SlidingWindow

N, L, C = 67, 5, 3
T, H = 61, 7  # of series
SMALL = dict(hidden_size=2, embedding_dim=2, attention_dim=2, max_epochs=1, random_state=0, dtype="float64")
AXES = {"joint": (), "temporal": (2,), "channel": (1,)}  # of (n, L, C), that each kind leaves out


@pytest.fixture(scope="module")
def X():
    """Windows with level and scale of their own in every channel."""
    return np.random.default_rng(0).normal([7, -2, 0.5], [3, 1, 0.1], size=(N, L, C))


@pytest.fixture(scope="module")
def coef():
    """Coefficients of each value of a window, for two targets."""
    return np.random.default_rng(1).normal(size=(2, L, C))


def set_skip(network, weight, bias=0.0):
    """Make a network its linear skip, with a weight for each normalised value of the window."""
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.zero_()
        network.skip.linear.weight.copy_(torch.as_tensor(weight).reshape(network.skip.linear.weight.shape))
        network.skip.linear.bias.fill_(bias)


def linear(X, coef, **params):
    """A regressor whose forecast is the sum of `coef` times X; `coef` is (L, C), or (M, L, C) for M targets."""
    y = np.einsum("nlc,...lc->n...", X, coef)
    model = AttentionLSTMRegressor(**SMALL, **params).fit(X, y)
    loc, scale = (s[0, 0].numpy() for s in model.network_.normalization(torch.from_numpy(X[:1]))[1])
    y_scale = model.y_scale_.reshape(-1, 1, 1)
    set_skip(model.network_, coef * scale / y_scale)
    bias = ((coef * loc).sum((-2, -1)) - model.y_mean_) / model.y_scale_
    with torch.no_grad():
        model.network_.skip.linear.bias.copy_(torch.as_tensor(bias))
    assert_allclose(model.predict(X), y)
    return model


def forecaster_of(y, weight, **params):
    """A forecaster of the last value plus `weight`, (H, L), times the distance of each value from it."""
    forecaster = AttentionLSTMForecaster(AttentionLSTMRegressor(**SMALL, **params), window_length=weight.shape[1])
    forecaster.fit(y, fh=range(1, len(weight) + 1))
    set_skip(forecaster.regressor_.network_, weight)
    return forecaster


# ------------------------------------------------------------------------------------------------------- occlusion


@pytest.mark.parametrize("normalization", ["global", "identity"])
@pytest.mark.parametrize("kind", AXES)
def test_occlusion_of_a_linear_map(X, coef, kind, normalization):
    """Hiding changes the forecast by coefficient times distance from the level, in standard deviations of forecasts."""
    model = linear(X, coef[0], attention=None, normalization=normalization)
    level = X.mean((0, 1)) if normalization == "global" else 0
    change = abs((coef[0] * (X - level)).sum(AXES[kind])) / model.predict(X).std()
    assert_allclose(occlusion(model, X, kind=kind), change, rtol=1e-9)


@pytest.mark.parametrize("kind", AXES)
def test_occlusion_of_each_output(X, coef, kind):
    """Each output changes in units of its own; what is returned else is their mean."""
    model = linear(X, coef * [[[1]], [[1000]]])
    terms = (coef * (X - X.mean((0, 1)))[:, None]).sum(tuple(axis + 1 for axis in AXES[kind]))
    deviations = (coef * X[:, None]).sum((2, 3)).std(0).reshape(-1, *[1] * (terms.ndim - 2))
    each = occlusion(model, X, kind=kind, per_output=True)
    assert_allclose(each, abs(terms) / deviations, rtol=1e-9)
    assert_allclose(occlusion(model, X, kind=kind), each.mean(1))


def test_occlusion_by_hand():
    """A forecast of twice the older value deviates by 2; hiding a value 1 from the level changes it by one of them."""
    X = np.array([[[5.0], [0.0]], [[7.0], [0.0]]])
    X[:, 1] = [[6.0], [8.0]]
    model = linear(X, np.array([[2.0], [0.0]]))
    assert_allclose(occlusion(model, X, kind="temporal"), [[1.5, 0], [0.5, 0]])  # the level is 6.5


def test_occlusion_of_classes(X, coef):
    """The outputs of a classifier are its probabilities, each in units of its own."""
    labels = np.digitize(X[:, 2, 1], [-2.4, -1.6])
    model = AttentionLSTMClassifier(**SMALL).fit(X, labels)
    set_skip(model.network_, np.stack([coef[0], coef[1], -coef[0]]))
    hidden = X.copy()
    hidden[:, 2, 1] = X[..., 1].mean()
    usual = model.predict_proba(X)
    expected = abs(model.predict_proba(hidden) - usual) / usual.std(0)
    assert_allclose(occlusion(model, X, per_output=True)[:, :, 2, 1], expected, rtol=1e-9)


def test_occlusion_of_forecasts():
    """All windows of a series are explained, for each step ahead, from the level that was last observed."""
    rng = np.random.default_rng(2)
    y = pd.Series(rng.normal(10, 3, T), pd.period_range("2020-01", periods=T, freq="M"))
    weight = rng.normal(size=(H, L))
    past = np.lib.stride_tricks.sliding_window_view(y, L)[: T - L - H + 1]  # (n, L)
    forecasts = past[:, -1:] + (past - past[:, -1:]) @ weight.T  # (n, H)
    change = abs(weight * (past - past[:, -1:])[:, None]) / forecasts.std(0)[:, None]  # (n, H, L)
    found = occlusion(forecaster_of(y, weight), y=y, kind="temporal", per_output=True)
    assert_allclose(found[..., :-1], change[..., :-1], rtol=1e-4)


@pytest.mark.parametrize("function", [occlusion, integrated_gradients])
def test_importance_knows_the_place_in_a_cycle(function):
    """A series a whole cycle later has the same importances, and at another place others."""
    y = pd.Series(np.random.default_rng(2).normal(10, 3, 31))
    regressor = AttentionLSTMRegressor(**SMALL | dict(hidden_size=5, linear_skip=False, lr=0.3))
    forecaster = AttentionLSTMForecaster(regressor, window_length=L, periods=[5], periods_role="embed").fit(y, fh=[1])
    found = [function(forecaster, y=y.set_axis(y.index + steps)) for steps in (0, 5, 1)]
    assert_array_equal(found[1], found[0])
    assert np.abs(found[2] - found[0]).max() > 1e-3 * found[0].max()


@pytest.mark.parametrize("removal", ["level", "permute", "mask"])
def test_what_is_missing_has_no_importance(X, coef, removal):
    """Hiding what is missing changes nothing, and does not change what is missing into something."""
    holed = X.copy()
    holed[3, 1, 0] = holed[11, 2] = np.nan
    model = linear(X, coef[0])
    importance = occlusion(model, holed, removal=removal, random_state=0)
    assert_array_equal(importance[np.isnan(holed)], 0)
    assert (importance[~np.isnan(holed)] > 0).mean() > 0.9  # all but those that are their own other window
    assert occlusion(model, holed, kind="temporal", removal=removal, random_state=0)[11, 2] == 0


def test_occlusion_by_a_mask(X, coef):
    """To a linear map, in which what is missing counts as the level, a mask is the level."""
    model = linear(X, coef[0])
    assert_allclose(occlusion(model, X, removal="mask"), occlusion(model, X), rtol=1e-9)


def test_occlusion_by_other_windows(X, coef):
    """With 'permute' a value is replaced by one of another window, at the same place."""
    model = linear(X, coef[0])
    change = occlusion(model, X, removal="permute", random_state=0)[:, 2, 1] * model.predict(X).std() / coef[0, 2, 1]
    column = X[:, 2, 1]
    candidates = column[:, None] + np.outer(change, [1, -1])  # (n, 2)
    assert_allclose(abs(candidates[..., None] - column).min((1, 2)), 0, atol=1e-8)
    again, other = (occlusion(model, X, removal="permute", random_state=seed)[:, 2, 1] for seed in (0, 1))
    assert_allclose(again * model.predict(X).std() / coef[0, 2, 1], change)
    assert not np.allclose(again, other)


def test_constant_forecasts(X):
    """Nothing matters to a forecast that never changes."""
    assert_array_equal(occlusion(linear(X, np.zeros((L, C))), X), 0)


def test_pipelines(X, coef):
    """Of a pipeline, the windows are explained, and none of what padded them."""
    table = X.reshape(-1, C)[:N]
    pipeline = make_pipeline(SlidingWindow(L), linear(X, coef[0]))
    pipeline[0].set_params(dtype="float64").fit(table)
    importance = occlusion(pipeline, table)
    assert_allclose(importance, occlusion(pipeline[-1], pipeline[:-1].transform(table)))
    assert_array_equal(importance[0, : L - 1], 0)


@pytest.mark.parametrize("function", [occlusion, integrated_gradients])
def test_unknown_kind(X, coef, function):
    """A kind that does not exist is refused with those that do."""
    message = r"kind='step' is unknown\. Use one of 'temporal', 'channel', 'joint'"
    with pytest.raises(ValueError, match=message):
        function(linear(X, coef[0]), X, kind="step")


def test_unknown_removal(X, coef):
    """A removal that does not exist is refused with those that do."""
    with pytest.raises(ValueError, match="removal='zero' is unknown"):
        occlusion(linear(X, coef[0]), X, removal="zero")


# ------------------------------------------------------------------------------------------------------ permutation


@pytest.mark.parametrize("kind", ["temporal", "channel"])
def test_permutation_importance(coef, kind):
    """The rise of the loss is that which scikit-learn finds, where parts are columns, within chance."""
    n = 1009
    shape = (n, L, 1) if kind == "temporal" else (n, 1, C)
    X = np.random.default_rng(3).normal(7, 2, size=shape)
    truth = coef[0, :, :1] if kind == "temporal" else coef[0, :1]
    model = linear(X, truth)
    y = model.predict(X) + np.random.default_rng(4).normal(size=n)
    subject = Subject(model, X, y, "mask", None, check_random_state(0))
    rises = np.mean([permute(subject, kind) for _ in range(5)], 0) * model.y_scale_**2
    flat = make_pipeline(_Unflatten(shape[1:]), model)
    expected = permutation_importance(
        flat, X.reshape(n, -1), y, scoring="neg_mean_squared_error", n_repeats=5, random_state=0
    ).importances_mean
    assert_allclose(rises, expected, rtol=0.1)
    assert_allclose(rises, 2 * (truth.ravel() * 2) ** 2, rtol=0.2)  # twice the variance of what is added
    assert subject.removal == "mask"


class _Unflatten:
    """Rows to windows."""

    def __init__(self, shape):
        self.shape = shape

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X.reshape(-1, *self.shape)

    def __sklearn_is_fitted__(self):
        return True


# --------------------------------------------------------------------------------------------- integrated gradients


@pytest.mark.parametrize("normalization", ["global", "identity"])
@pytest.mark.parametrize("kind", AXES)
def test_gradients_of_a_linear_map(X, coef, kind, normalization):
    """Of a linear map, coefficient times distance from the level, summed without its sign over what is left out."""
    model = linear(X, coef[0], normalization=normalization)
    level = X.mean((0, 1)) if normalization == "global" else 0
    found = integrated_gradients(model, X, kind=kind, n_steps=3)
    assert_allclose(found, abs(coef[0] * (X - level)).sum(AXES[kind]) / model.y_scale_, rtol=1e-6)


def test_gradients_of_the_mean_output(X, coef):
    """Several outputs are explained by their mean."""
    model = linear(X, coef)
    mean = (coef / model.y_scale_.reshape(-1, 1, 1)).mean(0)
    assert_allclose(integrated_gradients(model, X, n_steps=3), abs(mean * (X - X.mean((0, 1)))), rtol=1e-6)


def test_gradients_of_forecasts():
    """Forecasts are explained in the units of the series, from the last value."""
    rng = np.random.default_rng(2)
    index = pd.period_range("2020-01", periods=T, freq="M")
    y = pd.Series(rng.normal(10, 3, T), index)
    weight = rng.normal(size=(H, L))
    past = np.lib.stride_tricks.sliding_window_view(y, L)[: T - L - H + 1]
    found = integrated_gradients(forecaster_of(y, weight), y=y, n_steps=3)
    assert_allclose(found[..., 0], abs(weight.mean(0) * (past - past[:, -1:])), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(
    "params",
    [*({"normalization": name} for name in NORMALIZATIONS if name != "window"), {"encoder": "dual_stage"}],
    ids=lambda params: "-".join(params.values()),
)
def test_completeness(X, params, gaps):
    """Attributions sum to the difference between the forecasts for the window and for its level, also with gaps."""
    holed = X[:23].copy()
    if gaps:
        holed[3, 1, 0] = holed[11, 2] = np.nan
    model = AttentionLSTMRegressor(**SMALL | {"hidden_size": 5}, **params).fit(X, X[:, 2, 1])
    subject = Subject(model, holed, None, "level", None, check_random_state(0))
    change = subject.predict() - subject.predict(np.True_)
    assert_allclose(_integrate(subject, 50).sum((1, 2)), change[:, 0], atol=0.01 * abs(change).max())


@pytest.mark.parametrize("periods", [None, [5]])
def test_completeness_with_drivers(periods):
    """Drivers are part of what is explained in the past; what is known of them ahead stays as it is, and so does the
    place in a cycle."""
    rng = np.random.default_rng(2)
    index = pd.period_range("2020-01", periods=31, freq="M")
    y, drivers = pd.Series(rng.normal(10, 3, 31), index), pd.DataFrame({"sun": rng.normal(5, 1, 31)}, index)
    regressor = AttentionLSTMRegressor(**SMALL | {"hidden_size": 5})
    forecaster = AttentionLSTMForecaster(regressor, window_length=L, periods=periods, periods_role="embed")
    forecaster.fit(y, X=drivers, fh=range(1, H + 1))
    network = forecaster.regressor_.network_
    if periods:
        network.calendar.vectors[0].data = torch.from_numpy(rng.normal(size=(5, 2)))
        network.gate.share.fill_(1)
    subject = Subject(forecaster, drivers, y, "level", None, check_random_state(0))
    change = (subject.predict() - subject.predict(np.True_)).mean(1)
    found = _integrate(subject, 50)
    assert found[..., 1].any()
    assert_allclose(found.sum((1, 2)), change, atol=0.01 * abs(change).max())


def test_the_only_value_is_the_whole_difference():
    """In a window of one value that value has all of the difference, however curved the forecast is."""
    x = np.random.default_rng(5).normal(size=(N, 1))
    params = SMALL | dict(max_epochs=13, lr=0.1, hidden_size=5)
    model = AttentionLSTMRegressor(**params).fit(x, abs(x[:, 0]))
    difference = (model.predict(x) - model.predict(np.full((1, 1), x.mean()))) / model.y_scale_
    assert_allclose(integrated_gradients(model, x)[:, 0, 0], abs(difference), atol=1e-6)
    rough = abs(integrated_gradients(model, x, n_steps=1)[:, 0, 0] - abs(difference))
    assert rough.max() > 1e-3


def test_gradients_of_the_predicted_class():
    """What is explained is the probability of the class predicted for the window, also where the level has another."""
    x = np.random.default_rng(5).normal(size=(N, 1))
    model = AttentionLSTMClassifier(**SMALL).fit(x, (x[:, 0] > -1).astype(int))
    set_skip(model.network_, [[-2.0], [2.0]])
    with torch.no_grad():
        model.network_.skip.linear.bias.copy_(torch.tensor([-1.0, 1.0]))
    usual, level = model.predict_proba(x), model.predict_proba(np.full((1, 1), x.mean()))[0]
    predicted = usual.argmax(1)
    assert 5 < predicted.sum() < N - 5
    expected = abs(usual[np.arange(N), predicted] - level[predicted])
    assert_allclose(integrated_gradients(model, x)[:, 0, 0], expected, atol=1e-4)


@pytest.mark.parametrize("normalization", sorted({*NORMALIZATIONS} - {"window"}))  # whose level has no gradients
def test_missing_values_have_no_gradients(X, normalization):
    """What is missing has no attribution, and takes none from what was observed beside it."""
    holed = X.copy()
    holed[3, 1, 0] = holed[11, 2] = np.nan
    model = AttentionLSTMRegressor(**SMALL, normalization=normalization).fit(holed, X[:, 2, 1])
    importance = integrated_gradients(model, holed)
    assert_array_equal(importance[np.isnan(holed)], 0)
    newest = np.arange(L) == L - 1  # which is the level itself, for one of them
    observed = ~np.isnan(holed) & ~newest[:, None]
    assert (importance[observed] > 0).all()


def test_without_captum(X, coef, monkeypatch):
    """Without captum, how to get it is said."""
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ImportError, match=re.escape("needs captum. Install it with `pip install skattn[explain]`.")):
        integrated_gradients(linear(X, coef[0]), X)


@pytest.mark.parametrize("function", [occlusion, integrated_gradients])
def test_nothing_is_changed(X, coef, function):
    """Neither estimator, windows nor any global random state is changed."""
    model, before = linear(X, coef[0], dropout=0.5, attention_noise=2.0), X.copy()
    model.predict(X)
    states = []
    for _ in range(2):
        drawn = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
        states.append((pickle.dumps(model), drawn))
        function(model, X)
    assert states[0] == states[1]
    assert_array_equal(X, before)
    assert not model.network_.training
