"""The report says of planted attention what is true of it, and counts what it says it counts."""

import pickle
from warnings import catch_warnings, simplefilter

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state

from skattn import AttentionLSTMClassifier, AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.inspection import AttentionWarning, attention_report, occlusion
from skattn.nn import Attention
from skattn.preprocessing import SlidingWindow

N, L, C = 97, 11, 3
T, H = 61, 7  # of series
TRUE, WRONG = 7, 2  # steps
SHARES = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75]
COUNTS = [1, 1, 2, 3, 6, 8]  # so many of 11 steps are each of them
ORDERS = ["attention", "occlusion", "random", "swapped"]
SMALL = dict(hidden_size=2, embedding_dim=2, attention_dim=2, max_epochs=1, random_state=0, dtype="float64")


@pytest.fixture(scope="module")
def X():
    """Windows of one channel, away from zero."""
    return np.random.default_rng(0).normal(7, 2, size=(N, L, 1))


def ranked(scores):
    """An attention that gives step (or channel) l the score `scores[l]`, whatever is in it."""

    def score(self, query, key):
        return query.new_tensor(scores).expand(*query.shape[:3], -1)

    return type("Ranked", (Attention,), {"score": score})


def near(place, size=L):
    """Scores that are the highest at `place`, and lower the farther from it."""
    return ranked((-abs(np.arange(size) - place - 0.25)).tolist())


class Even(Attention):
    """Looks everywhere alike."""

    def score(self, query, key):
        return (query @ key.transpose(-1, -2)) * 0


def linear(X, coef, attention, y=None, **params):
    """A regressor whose forecast is the sum of `coef`, (L, C) or (L,), times X, past the attention; fitted to `y`."""
    coef = np.reshape(coef, X.shape[1:])
    y = (X * coef).sum((1, 2)) if y is None else y
    model = AttentionLSTMRegressor(**SMALL, attention=attention, **params).fit(X, y)
    network = model.network_
    loc, scale = network.normalization.loc.numpy(), network.normalization.scale.numpy()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.zero_()
        network.skip.linear.weight.copy_(torch.as_tensor(coef * scale / model.y_scale_).reshape(1, -1))
        network.skip.linear.bias.fill_(((coef * loc).sum() - model.y_mean_[0]) / model.y_scale_[0])
    return model


def one_step(X, attention, place=TRUE, **params):
    """A model of which only one step matters, and its targets."""
    model = linear(X, np.where(np.arange(L) == place, 3.0, 0.0), attention, **params)
    return model, 3 * X[:, place, 0]


def quiet(*args, **kwargs):
    """A report, whatever it warns of."""
    with catch_warnings():
        simplefilter("ignore", AttentionWarning)
        return attention_report(*args, **{"random_state": 0} | kwargs)


def usual_loss(report):
    """The loss of whole windows."""
    losses = report.curves["deletion"].loc[0.1] - report.damage
    assert_allclose(losses, losses.iloc[0])
    return losses.iloc[0]


# --------------------------------------------------------------------------------------------------------- verdicts


@pytest.fixture(scope="module")
def trained():
    """Windows of which one step matters, and a model that has to attend to it."""
    X = np.random.default_rng(0).normal(size=(600, L))
    params = dict(hidden_size=8, embedding_dim=8, attention_dim=8, max_epochs=31, early_stopping=False, random_state=0)
    model = AttentionLSTMRegressor(**params, linear_skip=False, attention_noise=2).fit(X[:500], X[:500, TRUE])
    return model, X[500:], X[500:, TRUE]


def test_attention_that_was_learned(trained):
    """A network that hears only what it attends to is explained by its attention, without a warning."""
    assert trained[0].score(*trained[1:]) > 0.8
    report = attention_report(*trained, random_state=0)
    assert report.explains
    assert report.ratio > 3
    assert report.agreement["occlusion"] > 0.2
    assert report.verdict.startswith("Attention explains these forecasts: hiding the most attended tenth of the steps")


def test_default_model_of_a_linear_problem():
    """Where the linear skip solves the problem, attention does not explain it."""
    X = np.random.default_rng(0).normal(size=(400, L))
    model = AttentionLSTMRegressor(random_state=0, max_epochs=13, lr=0.03).fit(X[:300], X[:300] @ np.ones(L))
    with pytest.warns(AttentionWarning, match=r"^Attention does not explain.* or fit with linear_skip=False"):
        report = attention_report(model, X[300:], X[300:] @ np.ones(L), random_state=0)
    assert report.damage["occlusion"] > 3 * report.damage["random"] > 0


def test_attention_on_the_only_step_that_matters(X):
    """The loss without it is that of its term, in units of the targets; and a random step is seldom it."""
    model, y = one_step(X, near(TRUE))
    report = attention_report(model, X, y, random_state=0)
    assert report.explains
    assert_allclose(usual_loss(report), 0, atol=1e-12)
    whole = 9 * ((X[:, TRUE] - X.mean()) ** 2).mean() / y.var()
    assert_allclose(report.damage[["attention", "swapped", "occlusion"]], whole, rtol=1e-9)
    assert_allclose(report.damage["random"], 1 / L, rtol=0.3)
    assert report.ratio == report.damage["attention"] / report.damage["random"]


@pytest.mark.parametrize(
    ("attention", "occlusion", "certain", "why"),
    [
        (4.0, 7.0, True, ""),
        (4.0, 7.0, False, "The difference from a random tenth is within chance."),
        (2.9, 5.0, True, "That is 2.9 times the damage of a random tenth, and 3.0 are asked for."),
        (4.0, 9.0, True, "That is less than half of the damage of another tenth."),
    ],
)
def test_verdict_says_why(X, attention, occlusion, certain, why):
    """What weights fall short of is said in words, and explains is the absence of it."""
    report = quiet(*one_step(X, near(TRUE))[:1], X, X[:, TRUE, 0])
    report._certain = certain
    report.damage = pd.Series({"attention": attention, "random": 1.0, "occlusion": occlusion, "swapped": 1.0})
    assert report.explains == (not why)
    assert why in report.verdict
    assert report.verdict.startswith("Attention explains" if not why else "Attention does not explain")


@pytest.mark.parametrize("linear_skip", [True, False])
def test_attention_on_another_step(X, linear_skip):
    """Attention on what does not matter does not explain; the warning is the verdict, and says what to do instead."""
    model, y = one_step(X, near(WRONG))
    model.linear_skip = linear_skip
    with pytest.warns(AttentionWarning) as caught:
        report = attention_report(model, X, y, random_state=0)
    assert not report.explains
    assert_allclose(report.damage["attention"], 0, atol=1e-12)
    assert_allclose(report.ratio, 0, atol=1e-9)
    assert [str(warning.message) for warning in caught] == [report.verdict]
    assert caught[0].filename == __file__
    assert report.verdict.startswith("Attention does not explain these forecasts: ")
    assert "Read them with skattn.inspection.occlusion instead, or fit with" in report.verdict
    assert ("linear_skip=False" in report.verdict) == linear_skip
    assert "attention_noise=" in report.verdict


@pytest.mark.parametrize("place", [WRONG, TRUE, L - 1, 0])
def test_even_attention(X, place):
    """Even weights explain nothing, wherever the step lies that matters."""
    model, y = one_step(X, Even, place)
    assert not quiet(model, X, y).explains


@pytest.mark.parametrize("size", [2, 3, 7])
def test_perfect_attention_on_few_channels(size):
    """Attention on the only channel that matters explains, however few channels there are."""
    X = np.random.default_rng(0).normal(7, 2, size=(N, 5, size))
    coef = np.outer(np.ones(5), np.arange(size) == 1)
    model = linear(X, coef, "additive", channel_attention=near(1, size))
    report = quiet(model, X, model.predict(X), kind="channel")
    assert_allclose(report.damage["attention"], report.damage["occlusion"])
    assert report.explains


def test_way_out_of_states(X):
    """Noise does not act on attention on states: it is no way out of it, unless attention is moved to the inputs."""
    model, y = one_step(X, near(WRONG), attention_position="state")
    verdict = quiet(model, X, y).verdict
    assert "attention_noise" not in verdict or "attention_position" in verdict


def test_attention_beside_what_is_learned_wrong(X):
    """A step that hardly matters does not explain, also where forecasts are so wrong that hiding what matters helps."""
    coef = np.where(np.arange(L) == TRUE, 3.0, 0) - np.where(np.arange(L) == WRONG, 0.1, 0)
    y = -3 * X[:, TRUE, 0] - 0.1 * X[:, WRONG, 0]
    report = quiet(linear(X, coef, near(WRONG), y=y), X, y)
    assert report.damage["occlusion"] < 0 < report.damage["attention"] < 0.1
    assert not report.explains


def test_forecasts_without_skill(X):
    """Attention on one of many steps that matter alike does not explain, also where losses rise and fall by chance."""
    X, explained = X - 7, []
    for seed in range(13):
        y = np.random.default_rng(seed).normal(size=N)
        explained.append(quiet(linear(X, np.full(L, 0.05), near(WRONG), y=y), X, y).explains)
    assert not any(explained)


def test_forecasts_that_never_change(X):
    """Where nothing matters, attention does not explain."""
    model = linear(X, np.zeros(L), near(TRUE), y=X[:, TRUE, 0])
    report = quiet(model, X, X[:, TRUE, 0])
    assert not report.explains
    assert report.ratio == 0


def test_ratio_of_no_damage_at_random(X):
    """Where random hiding does no damage at all, any of the attended is beyond all measure."""
    model, y = one_step(X, near(TRUE))
    report = attention_report(model, X, y, random_state=0)
    report.damage["random"] = -0.01
    assert report.ratio == np.inf
    assert report.explains


# ---------------------------------------------------------------------------------------------------------- curves


def test_curves_by_hand(X):
    """Each loss is that of windows in which a share of the steps that are there is the level, or all others are."""
    coef = np.random.default_rng(1).normal(size=L)
    scores = -np.random.default_rng(2).random(L)
    holed = X.copy()
    holed[:31, 3] = holed[:13, 8] = holed[5, 2:9] = np.nan
    y = X[:, :, 0] @ coef
    model = linear(X, coef, ranked(scores.tolist()), y=y)
    report = quiet(model, holed, y)
    there = ~np.isnan(holed[..., 0])
    count = np.maximum(1, np.round(np.outer(SHARES, there.sum(1)))).astype(int)  # (shares, n)
    for share, counts in zip(SHARES, count, strict=True):
        for test in ("deletion", "insertion"):
            hidden = holed.copy()
            for window, number in enumerate(counts):
                order = [step for step in np.argsort(-scores) if there[window, step]]
                hidden[window, order[:number] if test == "deletion" else order[number:]] = X.mean()
            loss = np.mean((model.predict(hidden) - y) ** 2) / model.y_scale_[0] ** 2
            assert_allclose(report.curves[test, "attention"][share], loss, rtol=1e-6)


def test_random_order_leaves_out_what_is_missing(X):
    """Of four steps that are there, a random one is the one that matters in a quarter of all windows."""
    holed = X.copy()
    holed[:, :TRUE] = np.nan
    model, y = one_step(X, near(TRUE))
    damage = quiet(model, holed, y, n_repeats=23).damage
    assert_allclose(damage["random"], damage["attention"] / (L - TRUE), rtol=0.1)


def test_shape_of_curves(X):
    """There is a row per share and a column per test and order."""
    model, y = one_step(X, near(TRUE))
    curves = attention_report(model, X, y, random_state=0).curves
    assert curves.index.tolist() == SHARES
    assert curves.index.name == "share"
    assert curves.columns.tolist() == [(test, order) for test in ("deletion", "insertion") for order in ORDERS]
    assert curves.columns.names == ["test", "order"]


def test_insertion_and_deletion_complement_each_other(X):
    """What keeps the first 3 of 11 hides the last 8: it is deletion in the other order."""
    coef, scores = np.arange(1.0, L + 1), np.sin(np.arange(L))
    y = X[:, :, 0] @ coef
    there, back = (quiet(linear(X, coef, ranked(list(sign * scores))), X, y).curves for sign in (1, -1))
    assert_allclose(there["insertion", "attention"][0.3], back["deletion", "attention"][0.75])
    assert_allclose(there["insertion", "attention"][0.75], back["deletion", "attention"][0.3])


def test_everything_is_hidden():
    """Three quarters of two steps are both: the loss is that of the level, in every order."""
    X = np.random.default_rng(0).normal(7, 2, size=(N, 2, 1))
    coef = np.array([1.0, 3.0])
    model, y = linear(X, coef, near(1, 2)), X[:, :, 0] @ coef
    loss = np.mean((model.predict(np.full_like(X, X.mean())) - y) ** 2) / model.y_scale_[0] ** 2
    curves = quiet(model, X, y).curves
    assert_allclose(curves["deletion"].loc[0.75], loss)
    assert_allclose(curves["insertion"].loc[0.75], 0, atol=1e-12)


def test_random_lies_between(X):
    """Random hiding does less damage than occlusion's order and more than the order from what matters least."""
    coef = 2.0 ** np.arange(L)
    curves = quiet(linear(X, coef, ranked(list(-np.arange(float(L))))), X, X[:, :, 0] @ coef).curves
    deletion, insertion = curves["deletion"], curves["insertion"]
    assert (deletion["occlusion"] > deletion["random"]).all()
    assert (deletion["random"] > deletion["attention"]).all()
    assert (insertion["occlusion"] < insertion["random"]).all()
    assert (insertion["random"] < insertion["attention"]).all()


def test_swapped_weights(X):
    """Weights of other windows do as much damage as a random step, where each window has its own step that matters."""
    X = X - 7
    X[np.arange(N), np.arange(N) % L] += 40  # even weights but for a peak that wanders

    class Largest(Attention):
        """Looks at the largest value."""

        def score(self, query, key):
            return key[..., :1].transpose(-1, -2).expand(-1, -1, query.shape[2], -1)

    model = linear(X, np.ones(L), Largest)
    with torch.no_grad():  # the key of a step is its value
        model.network_.embedding.place.zero_()
        model.network_.embedding.linear.weight.fill_(1.0)
        model.network_.input_attention.attention.key.weight.fill_(1.0)
    report = quiet(model, X, X[:, :, 0].sum(1))
    assert_allclose(report.damage["attention"], report.damage["occlusion"], rtol=1e-6)
    assert report.damage["swapped"] < 0.5 * report.damage["attention"]


# ------------------------------------------------------------------------------------------- agreement and entropy


@pytest.mark.parametrize("activation", ["softmax", "sparsemax"])
def test_agreement(X, activation):
    """Agreement is Spearman's correlation in each window, of what was observed there, with ties."""
    coef = np.random.default_rng(1).normal(size=L)
    holed = X.copy()
    holed[:31, 3] = holed[:13, 8] = np.nan
    model = linear(X, coef, near(TRUE), attention_activation=activation)
    report = quiet(model, holed, X[:, :, 0] @ coef)
    weights, importance = model.attention_weights(holed), occlusion(model, holed, kind="temporal")
    there = ~np.isnan(holed[..., 0])
    rows = [spearmanr(*pair).statistic for pair in ((weights[i, there[i]], importance[i, there[i]]) for i in range(N))]
    assert (np.unique(weights[-1]).size < L) == (activation == "sparsemax")
    assert_allclose(report.agreement["occlusion"], np.mean(rows), rtol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_agreement_with_permutation(X, sign):
    """Weights in the order of the coefficients agree with permutation importance in full, in reverse not at all."""
    coef = 3.0 ** np.arange(L)[::-1]
    model = linear(X, coef, ranked(list(-sign * np.arange(float(L)))))
    report = quiet(model, X, X[:, :, 0] @ coef)
    assert_allclose(report.agreement["permutation"], sign)
    assert report.agreement["occlusion"] * sign > 0.5
    assert abs(report.agreement["occlusion, shuffled"]) < 0.1
    assert list(report.agreement.index) == ["occlusion", "occlusion, shuffled", "permutation"]


def test_entropy(X):
    """The entropy is 1 for even weights, also where steps are missing, 0 for a single one, and else between."""
    holed = X.copy()
    holed[:31, 3] = holed[:13, 8] = np.nan
    y = 3 * X[:, TRUE, 0]
    found = {}
    peak = ranked([9.0 * (step == TRUE) for step in range(L)])
    for name, attention in {"even": Even, "one": peak, "some": near(TRUE)}.items():
        activation = "sparsemax" if name == "one" else "softmax"
        model, _ = one_step(X, attention, attention_activation=activation)
        found[name] = quiet(model, holed, y).entropy
    weights = model.attention_weights(X)[-1]
    assert_allclose(found["even"], 1, rtol=1e-6)
    assert_allclose(found["one"], 0, atol=1e-9)
    assert_allclose(quiet(model, X, y).entropy, -(weights * np.log(weights)).sum() / np.log(L), rtol=1e-6)
    assert 0.2 < found["some"] < 0.9


def test_windows_of_one_value(X):
    """Where there is one value there is one order: such windows take no part in the agreement, and warn of nothing."""
    holed = X.copy()
    holed[3, 1:] = np.nan
    model, y = one_step(X, near(TRUE))
    report = quiet(model, holed, y)
    rest = np.arange(N) != 3
    assert_allclose(report.agreement["occlusion"], quiet(model, X[rest], y[rest]).agreement["occlusion"])


def test_windows_of_no_value(X):
    """A window of which nothing was observed changes nothing but the loss."""
    holed = X.copy()
    holed[3] = np.nan
    model, y = one_step(X, near(TRUE))
    report = quiet(model, holed, y)
    rest = np.arange(N) != 3
    assert_allclose(report.agreement["occlusion"], quiet(model, X[rest], y[rest]).agreement["occlusion"])
    assert 0 <= report.entropy < 1


# ----------------------------------------------------------------------------------------------------- kinds and doors


@pytest.mark.parametrize("kind", ["temporal", "input", "state", "channel", "joint"])
def test_kinds(kind):
    """Each kind of weights is put to the test on its own parts, by its own name."""
    X = np.random.default_rng(0).normal(7, 2, size=(N, L, C))
    coef = np.outer(np.arange(L) == TRUE, np.arange(C) == 1)
    params = dict(attention_position="both", channel_attention=near(1, C), num_heads=2)
    model = linear(X, coef, near(TRUE), **params)
    report = quiet(model, X, model.predict(X), kind=kind)  # whose skip reads channels after they were weighed
    assert report.kind == kind
    parts = {"channel": "channels", "joint": "values"}.get(kind, "steps")
    assert f"tenth of the {parts} raises" in report.verdict
    assert f"hidden {parts} (%)" == report.plot().ax_.get_xlabel()
    weights = model.attention_weights(X, kind).reshape(N, -1)
    assert_allclose(report.entropy, -(weights * np.log(weights)).sum(1).mean() / np.log(weights.shape[1]), rtol=1e-5)
    assert report.damage["attention"] > 0.9  # the one value that matters is the first to be hidden
    assert_allclose(report.damage["attention"], report.damage["occlusion"])


def test_kind_that_is_not_there(X):
    """A kind that was not fitted, or does not exist, is refused as the estimator refuses it."""
    model, y = one_step(X, near(TRUE))
    for kind in ("channel", "step"):
        with pytest.raises(ValueError) as wanted:
            model.attention_weights(X, kind)
        with pytest.raises(ValueError) as found:
            attention_report(model, X, y, kind=kind)
        assert str(found.value) == str(wanted.value)


def test_targets_are_needed(X):
    """Without targets there is no loss, and that is said."""
    with pytest.raises(
        ValueError, match=r"y is None, but the loss .* is needed\. Pass the targets of X, or the series"
    ):
        attention_report(one_step(X, near(TRUE))[0], X)


@pytest.mark.parametrize("n_repeats", [0, -1])
def test_bad_n_repeats(X, n_repeats):
    """No random order is nothing to compare with, and refused."""
    model, y = one_step(X, near(TRUE))
    with pytest.raises(ValueError, match="n_repeats"):
        quiet(model, X, y, n_repeats=n_repeats)


def test_classes(X):
    """The loss of a classifier is log loss."""
    labels = np.array(["low", "middle", "up"])[np.digitize(X[:, TRUE, 0], [6, 8])]
    model = AttentionLSTMClassifier(**SMALL).fit(X, labels)
    report = quiet(model, X, labels)
    assert_allclose(usual_loss(report), log_loss(labels, model.predict_proba(X)), rtol=1e-6)


def test_several_outputs(X):
    """The loss of several outputs is their mean, each in units of its own."""
    y = np.c_[X[:, TRUE, 0], 1000 * X[:, WRONG, 0]]
    model = AttentionLSTMRegressor(**SMALL).fit(X, y)
    errors = ((model.predict(X) - y) / y.std(0)) ** 2
    assert_allclose(usual_loss(quiet(model, X, y)), errors.mean(), rtol=1e-6)


def test_pipeline(X):
    """Windows that a pipeline pads with NaN are reported on as any others."""
    table = X[:, 0]
    pipeline = make_pipeline(SlidingWindow(L, dtype="float64"), AttentionLSTMRegressor(**SMALL)).fit(table, table[:, 0])
    report = quiet(pipeline, table, table[:, 0])
    direct = quiet(pipeline[-1], pipeline[:-1].transform(table), table[:, 0])
    assert_array_equal(report.curves, direct.curves)
    assert report.n_samples == N


def test_forecaster():
    """A series may have gaps, of which none is a target; drivers alone are asked about where they alone are weighed."""
    rng = np.random.default_rng(0)
    index = pd.period_range("2020-01", periods=T, freq="M")
    y, drivers = pd.Series(rng.normal(size=T), index), pd.DataFrame(rng.normal(size=(T, 2)), index, columns=["a", "b"])
    regressor = AttentionLSTMRegressor(**SMALL, encoder="dual_stage")
    forecaster = AttentionLSTMForecaster(regressor, window_length=5).fit(y, X=drivers, fh=range(1, H + 1))
    y.iloc[[3, *range(31, 31 + H)]] = np.nan
    for kind in ("temporal", "channel", "joint"):
        report = quiet(forecaster, drivers, y, kind=kind)
        assert np.isfinite(report.curves.to_numpy()).all()
        assert np.isfinite(report.agreement).all()
        assert report.n_samples == T - 5 - H + 1
    windows = forecaster.windows(y, drivers)
    losses = forecaster.regressor_.loss_windows(windows)
    assert np.isnan(losses).sum() == 1
    assert_allclose(usual_loss(report), np.nanmean(losses), rtol=1e-6)


def test_forecaster_that_is_told_the_place_in_a_cycle():
    """Of a series a whole cycle later the report is the same, and at another place another."""
    y = pd.Series(np.random.default_rng(0).normal(size=T))
    regressor = AttentionLSTMRegressor(**SMALL | dict(lr=0.3, linear_skip=False))
    forecaster = AttentionLSTMForecaster(regressor, window_length=5, periods=[7], periods_role="embed").fit(y, fh=[1])
    curves = [quiet(forecaster, y=y.set_axis(y.index + steps), random_state=0).curves for steps in (0, 7, 1)]
    pd.testing.assert_frame_equal(curves[1], curves[0])
    assert (curves[2] != curves[0]).any(axis=None)


@pytest.mark.parametrize("kind", ["channel", "joint"])
def test_only_drivers_are_compared(monkeypatch, kind):
    """Weights of drivers are compared with the importance of drivers, and not with that of the target's own channel."""
    rng = np.random.default_rng(0)
    index = pd.period_range("2020-01", periods=T, freq="M")
    y, drivers = pd.Series(rng.normal(size=T), index), pd.DataFrame(rng.normal(size=(T, C)), index, columns=list("abc"))
    regressor = AttentionLSTMRegressor(**SMALL, encoder="dual_stage", channel_attention=ranked([1.0, 2.0, 3.0]))
    forecaster = AttentionLSTMForecaster(regressor, window_length=5).fit(y, X=drivers, fh=range(1, H + 1))
    rises = np.r_[99.0, 1:4] if kind == "channel" else np.outer(np.arange(5) + 1, [99, 0.1, 0.2, 0.3]).ravel()
    monkeypatch.setattr("skattn.inspection.report.permute", lambda subject, kind: rises)
    report = quiet(forecaster, drivers, y, kind=kind)
    importance = occlusion(forecaster, drivers, y, kind=kind)[..., 1:].reshape(report.n_samples, -1)
    weights = forecaster.regressor_.attend_windows(forecaster.windows(y, drivers), kind).mean(1)
    rows = [spearmanr(*pair).statistic for pair in zip(weights, importance, strict=True)]
    assert_allclose(report.agreement["occlusion"], np.mean(rows), rtol=1e-5)
    own = rises[1:] if kind == "channel" else rises.reshape(5, -1)[:, 1:].ravel()
    assert_allclose(report.agreement["permutation"], spearmanr(weights.mean(0), own).statistic, rtol=1e-5)


# ----------------------------------------------------------------------------------------------- random states, effects


def test_random_state(X):
    """One random state gives one report, another another random order; a generator goes on from where it was."""
    coef = np.arange(1.0, L + 1)
    model, y = linear(X, coef, near(TRUE)), X[:, :, 0] @ coef
    first, again, other = (quiet(model, X, y, random_state=seed, max_samples=31) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.curves, again.curves)
    pd.testing.assert_series_equal(first.agreement, again.agreement)
    assert first.n_samples == 31
    assert (first.curves["deletion", "random"] != other.curves["deletion", "random"]).all()
    generator = check_random_state(1)
    runs = [quiet(model, X, y, random_state=generator, max_samples=31).curves for _ in range(2)]
    pd.testing.assert_frame_equal(runs[0], first.curves)
    assert not runs[1].equals(runs[0])


@pytest.mark.parametrize("removal", ["level", "permute", "mask"])
def test_nothing_is_changed(removal):
    """Neither estimator, windows nor any global random state is changed by a report and its picture."""
    X = np.random.default_rng(0).normal(size=(N, L, C))
    model = AttentionLSTMRegressor(**SMALL, dropout=0.5, attention_noise=2.0).fit(X, X[:, TRUE, 1])
    before, states = X.copy(), []
    for _ in range(2):
        drawn = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
        states.append((pickle.dumps(model), drawn))
        quiet(model, X, X[:, TRUE, 1], removal=removal).plot()
    assert states[0] == states[1]
    assert_array_equal(X, before)


# ---------------------------------------------------------------------------------------------------- words and picture


def test_words(X):
    """The words are the verdict, a table of losses and rises from the largest, the correlations and the entropy."""
    model, y = one_step(X, near(WRONG))
    report = quiet(model, X, y, max_samples=31)
    text = str(report)
    assert text.startswith(report.verdict + "\n\nA tenth hidden, of 31 windows with a loss of ")
    table = text.split("\n\n")[1].splitlines()
    assert table[1].split() == ["loss", "rise"]
    assert [line.split()[0] for line in table[3:5]] == ["occlusion", "random"]
    assert {line.split()[0] for line in table[5:]} == {"attention", "swapped"}
    for name, value in report.agreement.items():
        assert f"Rank correlation with {name}: {value:.2f}" in text
    assert text.endswith(f"Entropy, 1 if even: {report.entropy:.2f}")
    for name in ("attention", "random", "occlusion"):
        assert f"{report.curves['deletion', name][0.1]:.3g}" in report.verdict


@pytest.mark.parametrize("own", [True, False])
def test_picture(X, own):
    """Losses are drawn from whole windows on, in axes of the user or new ones."""
    model, y = one_step(X, near(TRUE))
    report = attention_report(model, X, y, random_state=0)
    ax = plt.figure().add_subplot() if own else None
    assert report.plot(ax=ax) is report
    assert len(plt.get_fignums()) == 1
    assert ax is None or report.ax_ is ax
    assert report.figure_ is report.ax_.figure
    assert len(report.ax_.lines) == 4
    for line in report.ax_.lines:
        assert_allclose(line.get_xdata(), [0, 5, 10, 20, 30, 50, 75])
        losses = report.curves["deletion", line.get_label()]
        assert_allclose(line.get_ydata(), [usual_loss(report), *losses], atol=1e-12)
    assert [text.get_text() for text in report.ax_.get_legend().get_texts()] == [
        "occlusion",
        "attention",
        "swapped",
        "random",
    ]
    assert report.ax_.get_ylabel() == "loss"
