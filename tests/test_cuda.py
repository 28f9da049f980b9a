"""Tests on a GPU, where there is one: what is trained there is the same as here, and goes back and forth."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose

from skattn import AttentionLSTMClassifier, AttentionLSTMForecaster, AttentionLSTMRegressor

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

SMALL = {"hidden_size": 8, "embedding_dim": 8, "attention_dim": 8, "max_epochs": 3, "random_state": 0}
X = np.random.default_rng(0).normal(size=(300, 12, 3)).astype(np.float32)
Y = X[:, 5, 0] + np.abs(X[:, 2, 1])
CHOICES = {
    "lstm": {},
    "gru, both": {"encoder": "gru", "attention_position": "both", "attention": "multihead", "num_heads": 2},
    "transformer": {"encoder": "transformer", "num_heads": 2, "num_layers": 2, "dropout": 0.1},
    "dual stage": {"encoder": "dual_stage", "channel_attention": "additive"},
    "channels": {"channel_attention": "dot", "attention_activation": "entmax15", "attention_noise": 0.5},
    "patches": {"patch_length": 4, "attention": "general", "attention_position": "state"},
    "plain, trained skip": {"attention": None, "loss": "absolute_error"},
}


def wave(n=300):
    noise = np.random.default_rng(0).normal(size=(n, 2))
    values = np.sin(2 * np.pi * np.arange(n) / 12)[:, None] + 0.1 * noise
    return pd.DataFrame(values, pd.date_range("2024-01-01", periods=n, freq="h"), ["a", "b"])


@pytest.mark.parametrize("params", CHOICES.values(), ids=CHOICES)
def test_predictions_and_weights_are_those_of_a_cpu(params):
    """A network that was trained on the GPU says the same on both devices, also after pickling."""
    model = AttentionLSTMRegressor(**SMALL | params, device="cuda").fit(X, Y)
    assert model.network_.head.bias.is_cuda
    y_pred, copy = model.predict(X), pickle.loads(pickle.dumps(model)).set_params(device="cpu")
    assert_allclose(copy.predict(X), y_pred, atol=1e-4)
    assert not copy.network_.head.bias.is_cuda
    if params.get("attention", "additive") is not None:
        assert_allclose(copy.attention_weights(X), model.attention_weights(X), atol=1e-4)
    assert np.isfinite(model.partial_fit(X, Y).predict(X)).all()


def test_default_device_is_the_gpu():
    """'auto' takes the GPU, and the first epoch there is about that of a CPU: the same weights, the same batches."""
    models = [AttentionLSTMRegressor(**SMALL, device=device).fit(X, Y) for device in ("auto", "cpu")]
    assert models[0].network_.head.bias.is_cuda
    losses = [model.history_["train_loss"].iloc[0] for model in models]
    assert_allclose(*losses, rtol=1e-3)
    assert_allclose(*(model.components_["linear"] for model in models), rtol=1e-3)


@pytest.mark.parametrize("params", [{}, {"patch_length": 6, "channel_mode": "independent", "encoder": "gru"}])
def test_forecaster(params):
    """The level, the linear part in closed form and the network forecast alike on both devices."""
    forecasts = []
    for device in ("cuda", "cpu"):
        regressor = AttentionLSTMRegressor(**SMALL | params, device=device, lr=1e-30, optimizer="sgd")
        forecaster = AttentionLSTMForecaster(regressor, window_length=24, periods=[24])
        forecasts.append(forecaster.fit(wave(), wave()[["a"]].rename(columns=str.upper), fh=range(1, 13)))
    ahead = pd.DataFrame({"A": np.zeros(12)}, pd.date_range(wave().index[-1], periods=13, freq="h")[1:])
    assert_allclose(*(one.predict(X=ahead) for one in forecasts), atol=1e-3)
    assert_allclose(*(one.attention_weights(X=ahead) for one in forecasts), atol=1e-3)


def test_classifier():
    """Classes and their probabilities."""
    model = AttentionLSTMClassifier(**SMALL, device="cuda").fit(X, Y > 1)
    probabilities = model.predict_proba(X)
    assert_allclose(model.set_params(device="cpu").predict_proba(X), probabilities, atol=1e-4)
    assert model.score(X, Y > 1) > 0.7


def test_same_seed_gives_the_same_network():
    """Two fits of the same seed agree, but for the order in which a GPU sums up."""
    first, second = (AttentionLSTMRegressor(**SMALL, dropout=0.2, device="cuda").fit(X, Y).predict(X) for _ in range(2))
    assert_allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("free", [1, 1 << 40])
def test_data_in_the_gpu_or_sent_ahead(free, monkeypatch):
    """Windows that are gathered on the GPU, and batches that are sent there ahead, train the same network."""
    expected = AttentionLSTMRegressor(**SMALL, device="cuda").fit(X, Y).predict(X)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 0))
    model = AttentionLSTMRegressor(**SMALL, device="cuda").fit(X, Y)
    assert_allclose(model.predict(X), expected, atol=1e-3)
    many = np.concatenate([X] * 10)
    assert_allclose(model.predict(many), np.concatenate([expected] * 10), atol=1e-3)


@pytest.mark.parametrize("switch", ["mixed_precision", "compile"])
def test_switches(switch):
    """Both learn about what is learned without them."""
    plain, other = (AttentionLSTMRegressor(**SMALL, **{switch: on}, device="cuda").fit(X, Y) for on in (False, True))
    assert_allclose(other.predict(X), plain.predict(X), atol=0.1)
    assert_allclose(other.attention_weights(X), plain.attention_weights(X), atol=0.1)
