"""Tests of the parts of a forecast: which levels are chosen, when there is a linear part, how much of the network."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skattn import AttentionLSTMClassifier, AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.linear import sum_up
from skattn.net import HoldoutLast
from skattn.parts import GATES, PRIOR, _blocks, _folds, _thinned, is_better, overlap, part_losses
from skattn.windows import WindowDataset, cut

L, C, H = 7, 2, 3
SMALL = {"hidden_size": 4, "embedding_dim": 4, "attention_dim": 4, "max_epochs": 3, "random_state": 0}


def regressor(**params):
    return AttentionLSTMRegressor(**SMALL | params)


def walk(seed, n=400):
    return np.random.default_rng(seed).normal(size=(n, 1)).cumsum(0).astype(np.float32)


def wave(n=400, noise=0.1, period=12):
    """Make a seasonal series, with a level that is easily forecast."""
    rng = np.random.default_rng(0)
    return (np.sin(2 * np.pi * np.arange(n) / period)[:, None] + noise * rng.normal(size=(n, 1))).astype(np.float32)


def table(n=400, seed=0):
    return np.random.default_rng(seed).normal(size=(n, L, C)).astype(np.float32)


# ----------------------------------------------------------------------------------------------------------- linear


def test_linear_target_is_solved():
    """What is linear is the skip's before training: nothing is left for the network."""
    X = table()
    y = 3 * X[:, 4, 0] - X[:, 2, 1] + 100
    model = regressor(max_epochs=1).fit(X, y)
    assert model.components_["linear"] < 1e-6 * model.components_["level"]
    weight = model.network_.skip.linear.weight.detach().numpy().reshape(L, C) * model.y_scale_[0]
    expected = np.zeros((L, C))
    expected[4, 0], expected[2, 1] = 3, -1
    assert_allclose(weight / X.std((0, 1)), expected, atol=0.05)


def test_solved_skip_is_left_alone():
    """Training changes the network, not the skip, also after pickling."""
    X = table()
    model = regressor().fit(X, X[:, 4, 0] + abs(X[:, 2, 1]))
    solved = model.network_.skip.linear.weight.clone()
    for later in (model, pickle.loads(pickle.dumps(model))):
        network = later.network_.head.weight.clone()
        later.partial_fit(X, X[:, 4, 0] + abs(X[:, 2, 1]))
        assert torch.equal(later.network_.skip.linear.weight, solved)
        assert not torch.equal(later.network_.head.weight, network)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", torch.nn.L1Loss])
def test_other_losses_start_from_the_solution(loss):
    """For a loss that is no square, the intercept goes on learning, and all of the network may be used."""
    X = table()
    y = X[:, 4, 0] + np.random.default_rng(1).exponential(size=len(X))
    model = regressor(loss=loss, lr=1e-30, optimizer="sgd").fit(X, y)
    assert model.score(X, y) > 0.3
    assert model._prior == 1
    before = copy.deepcopy(model.network_.skip.linear)
    for later in (model, pickle.loads(pickle.dumps(model))):
        later.set_params(lr=0.1, warm_start=True).fit(X, y)
        assert torch.equal(later.network_.skip.linear.weight, before.weight)
        assert not torch.equal(later.network_.skip.linear.bias, before.bias)


def opposites(n=600):
    """Make two channels, of which the one goes on and the other turns round at every step."""
    rng, values = np.random.default_rng(0), np.zeros((n, 2), np.float32)
    for step in range(1, n):
        values[step] = [0.8, -0.8] * values[step - 1] + rng.normal(size=2)
    return values


def test_targets_have_maps_of_their_own():
    """Channels that differ have linear maps that differ; those of the same kind share one. Copies keep them."""
    values = opposites()
    twins = np.repeat(values[:, :1], 2, axis=1)
    for series, n_maps in ((values, 2), (twins, 1)):
        model = regressor(normalization="last").fit_windows(cut(series, L, 1))
        assert len(model.network_.skip.linear.bias) == n_maps
        assert_array_equal(
            pickle.loads(pickle.dumps(model)).predict_windows(cut(series, L, 1)),
            model.predict_windows(cut(series, L, 1)),
        )
    model = regressor(normalization="last").fit_windows(cut(values, L, 1))
    assert model.components_["linear"] < 1.2 * values.var(0).mean() ** -1  # of a noise of one, in training deviations


def test_maps_are_shared_where_there_is_no_memory(monkeypatch):
    """Tables of products that would be too large are those of all targets together."""
    monkeypatch.setattr("skattn.parts.MOST_PRODUCTS", 10 * 2 * (L + 1) * (L + 2) - 1)
    model = regressor(normalization="last").fit_windows(cut(opposites(), L, 1))
    assert len(model.network_.skip.linear.bias) == 1


def test_last_solution_knows_the_newest_windows():
    """Held-out windows choose the penalty, and are then among the windows of the regression."""
    X = table(600)
    y = X[:, 4, 0].copy()
    y[-60:] = 3 * X[-60:, 4, 0]  # the windows held out
    model = regressor(lr=1e-30, optimizer="sgd").fit(X, y)
    weight = model.network_.skip.linear.weight.detach().numpy().reshape(L, C) * model.y_scale_[0]
    expected = np.linalg.lstsq(X.reshape(600, -1) - X.mean(0).ravel(), y - y.mean(), rcond=None)[0].reshape(L, C)
    assert_allclose(weight / X.std((0, 1)), expected, atol=0.1)
    assert expected[4, 0] > 1.1  # what the first 540 windows alone do not say
    assert model.components_["linear"] > 2  # which was measured before, with the first solution


def test_sums_of_some_windows_are_enough(monkeypatch):
    """Where all windows are too much work, every other gives nearly the same map."""
    windows = cut(wave(2000), 24, H)
    whole = regressor(normalization="last").fit_windows(windows).network_.skip.linear.weight
    monkeypatch.setattr("skattn.parts.MOST_WORK", 2 * 25 * (25 + H) * len(windows) // 3)
    part = regressor(normalization="last").fit_windows(windows).network_.skip.linear.weight
    assert not torch.equal(part, whole)
    assert_allclose(part.detach(), whole.detach(), atol=0.1)


def test_blocks_share_no_target_with_each_other():
    """Blocks are all windows; what is held out of one shares no target with another. A short series has none."""
    values = walk(0, 200)
    windows = cut(values, L, H)
    blocks = _blocks(windows)
    assert_array_equal(np.concatenate([block.index for block, _ in blocks]), windows.index)
    assert len(blocks) == 4
    for block, inner in blocks:
        others = np.setdiff1d(windows.index, block.index)
        assert (np.abs(inner.index[:, None] - others).min(1) >= H).all()
        assert len(inner) >= len(block) - 2 * (H - 1)
    assert _blocks(windows.take(np.arange(6 * H - 1))) == []
    assert len(_blocks(windows.take(np.arange(6 * H)))) == 2


def test_folds_fit_what_they_do_not_hold_out():
    """Sums of every fold are those of the windows outside of its block."""
    windows = cut(walk(0, 200), L, H)
    train, valid = HoldoutLast(0.2)(windows)
    network = regressor(normalization="identity").fit_windows(windows).network_
    folds, blocks = _folds(network, train, valid), _blocks(train)
    assert len(folds) == 1 + len(blocks)
    expected = [(train.index, valid.index)]
    expected += [
        (np.r_[np.setdiff1d(train.index, block.index), valid.index], inner.index) for block, inner in blocks[::-1]
    ]
    for fold, indices in zip(folds, expected, strict=True):
        for sums, index in zip(fold, indices, strict=True):
            for ours, theirs in zip(sums, sum_up(network, windows.take(index), by_target=True), strict=True):
                assert_allclose(ours, theirs, rtol=1e-4)


def test_targets_that_are_missing():
    """Without a window that has all of its targets nothing is solved, and the skip is trained."""
    values = wave(60)
    values[::3] = np.nan
    model = regressor(early_stopping=False).fit_windows(cut(values, L, H))
    assert model.network_.skip.linear.weight.requires_grad
    assert (model.network_.skip.linear.weight != 0).any()
    assert np.isfinite(model.predict_windows(cut(values, L, H))).all()


def test_too_many_features_are_left_to_training(monkeypatch):
    """The sums of products of very many values would not fit."""
    monkeypatch.setattr("skattn.parts.MOST_FEATURES", L * C - 1)
    X = table(60)
    assert regressor().fit(X, X[:, 0, 0]).network_.skip.linear.weight.requires_grad


# ------------------------------------------------------------------------------------------------------ never worse


@pytest.mark.parametrize("seed", range(10))
def test_random_walks_are_not_forecast(seed):
    """Where nothing can be learned the forecast is exactly the last value."""
    values = walk(seed)
    model = regressor(lr=0.003).fit_windows(cut(values[:300], 36, 12))
    assert model.components_["gate"] == 0
    windows = cut(values[264:], 36, 12)
    last = windows.arrays["past"][:, -1:]
    assert_array_equal(model.predict_windows(windows), np.broadcast_to(last, (len(last), 12, 1)))


@pytest.mark.parametrize("make", [walk, lambda seed: wave(), lambda seed: wave(noise=2.0)])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("normalization", ["auto", "last", "window"])
def test_never_worse_on_what_is_held_out(make, seed, normalization):
    """The forecast is no worse than the linear one there, and that no worse than the last value."""
    model = regressor(normalization=normalization, random_state=seed)
    parts = model.fit_windows(cut(make(seed), 24, H)).components_
    assert parts["forecast"] <= parts["linear"] * (1 + 1e-5)
    assert parts["linear"] <= parts["level"] * (1 + 1e-5)


def test_never_worse_with_values_known_ahead():
    """What is known ahead is learned with the network, and is behind its gate."""
    rng = np.random.default_rng(0)
    y, X = pd.Series(rng.normal(size=400).cumsum()), pd.DataFrame({"noise": rng.normal(size=400)})
    parts = AttentionLSTMForecaster(regressor(lr=0.1)).fit(y, X=X, fh=[1, 2, 3]).regressor_.components_
    assert parts["forecast"] <= parts["linear"] * (1 + 1e-5)
    assert parts["linear"] <= parts["level"] * (1 + 1e-5)
    assert parts["network"] != parts["linear"]


def test_wave_is_linear():
    """What can be forecast is, and the parts say by whom."""
    parts = regressor().fit_windows(cut(wave(), 24, H)).components_
    assert parts["linear"] < 0.1 * parts["level"]
    assert list(parts.index) == ["level", "linear", "network", "forecast", "gate"]


def test_network_is_used_where_it_helps():
    """Of a target that no linear model sees, all or nearly all of the network is used."""
    X = table(800)
    model = regressor(hidden_size=16, embedding_dim=16, max_epochs=40).fit(X, abs(X[:, 4, 0]))
    parts = model.components_
    assert parts["gate"] > 0.8
    assert parts["forecast"] < 0.3 * parts["linear"]


def test_prior_without_windows_to_choose_on():
    """Where none are held out, half of the network is used."""
    X = table(60)
    model = regressor().fit(X, X[:, 4, 0])
    assert float(model.network_.gate.share) == model.components_["gate"] == PRIOR


@pytest.mark.parametrize("kind", [AttentionLSTMRegressor, AttentionLSTMClassifier])
def test_without_a_skip_all_of_the_network_is_used(kind):
    """A network to be read is used as it is; so is a classifier."""
    X = table()
    y = X[:, 4, 0] > 0 if kind is AttentionLSTMClassifier else X[:, 4, 0]
    model = kind(**SMALL, linear_skip=kind is AttentionLSTMClassifier).fit(X, y)
    assert model.components_["gate"] == 1
    assert model.components_["forecast"] == model.components_["network"] < model.components_["level"]


def test_parts_of_a_single_number():
    """Of a loss that has summed already there are no parts to tell."""

    class Summed(torch.nn.Module):
        def forward(self, prediction, target):
            return ((prediction - target) ** 2).mean()

    X = table(60)
    assert regressor(loss=Summed).fit(X, X[:, 0, 0]).components_.empty


def test_parts_after_partial_fit_alone():
    """Nothing has been compared yet."""
    X = table(60)
    assert regressor().partial_fit(X, X[:, 0, 0]).components_.empty


def test_parts_need_a_fit():
    """As every attribute of a fitted estimator."""
    with pytest.raises(AttributeError, match="not fitted"):
        regressor().components_  # noqa: B018


def test_losses_of_parts_by_hand():
    """Level, linear and whole forecasts, and what lies between, in units of the training data."""
    values = wave(100)
    model = regressor(normalization="window", early_stopping=False).fit_windows(cut(values, 24, H))
    windows = cut(values, 24, H)
    network = model.network_
    network.gate.share.fill_(1)
    losses = part_losses(network, windows)
    past, target = windows.arrays["past"], windows.arrays["target"]
    scale = float(network.normalization.scale)
    level = ((target - past.mean(1, keepdims=True)) / scale) ** 2
    assert_allclose(losses["level"], level.mean((1, 2)), rtol=1e-4)
    for gate, name in ((0.0, "linear"), (1.0, "network")):
        network.gate.share.fill_(gate)
        expected = ((model.predict_windows(windows) - target) / scale) ** 2
        ours = losses[name] if name == "linear" else losses["network"][:, -1]
        assert_allclose(ours, expected.mean((1, 2)), rtol=1e-3, atol=1e-6)
    assert losses["network"].shape == (len(windows), len(GATES))


# ----------------------------------------------------------------------------------------------------------- levels


def test_level_is_chosen_on_what_is_held_out():
    """Noise about a fixed mean is forecast by a mean; a walk with a season by its last value."""
    noise = np.random.default_rng(0).normal(size=(600, 1)).astype(np.float32) + wave(600)
    model = regressor().fit_windows(cut(noise, 36, 6))
    assert model.network_.config["normalization"] in ("trailing", "mean", "window")
    seasonal = walk(0, 600) + 10 * wave(600)
    assert regressor().fit_windows(cut(seasonal, 36, 6)).network_.config["normalization"] == "last"


def test_chosen_level_is_kept(tmp_path):
    """A copy and a pickle forecast with the level that was chosen."""
    noise = pd.Series(np.random.default_rng(0).normal(size=600))
    model = AttentionLSTMForecaster(regressor(), window_length=36).fit(noise, fh=[1, 2])
    assert model.regressor_.network_.config["normalization"] != "last"
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(), model.predict())


def test_named_level_is_taken():
    """A level by name is not replaced; of 'trailing' the share is chosen."""
    for name in ("last", "mean", "trailing", "window", "global"):
        model = regressor(normalization=name).fit_windows(cut(wave(), 24, H))
        assert model.network_.config["normalization"] == name
    assert float(regressor(normalization="trailing").fit_windows(cut(wave(), 24, H)).network_.normalization.share) < 1


# --------------------------------------------------------------------------------------------------------- evidence


def test_better_by_hand():
    """A mean gain of 2 of four windows that vary by 2: the standard error is 1, and twice that if four share."""
    others, losses = np.array([4.0, 0.0, 4.0, 0.0]), np.zeros(4)
    assert is_better(losses, others, 1)
    assert not is_better(losses, others, 1, n_errors=2)
    assert is_better(np.zeros(8), np.tile(others, 2), 4)  # 2 beside 2 / sqrt(2)
    assert not is_better(np.zeros(8), np.tile(others, 2), 4, n_errors=2)
    assert not is_better(losses, np.full(4, 9.0), 3)  # less than two independent windows
    assert not is_better(others, losses, 1)


def test_sample_sees_every_place_of_a_cycle():
    """Windows of a sample are spread evenly, are as many as asked for, and start at all hours of a day."""
    windows = cut(walk(0, 5000), L, H)
    for stride in (1, 2, 24, 48):
        sample = _thinned(windows, stride).index
        assert abs(len(sample) - len(windows) / stride) <= 1
        assert (np.diff(sample) > 0).all()
        assert len(set(sample % 24)) == 24


def test_overlap():
    """Windows of a series share as many targets as it has steps ahead; those of rows none."""
    assert overlap(cut(wave(), L, 5)) == 5
    assert overlap(WindowDataset({"past": table(), "target": table()[:, :1]}, gap=4)) == 1
