"""Tests of the faces for sktime's panels: their layout, what trains behind them, and what it looks at."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sktime.datatypes import convert_to
from sktime.exceptions import NotFittedError

from skattn import (
    AttentionLSTMClassifier,
    AttentionLSTMRegressor,
    AttentionLSTMTimeSeriesClassifier,
    AttentionLSTMTimeSeriesRegressor,
)

N, L, C = 61, 11, 3
SMALL = dict(hidden_size=6, embedding_dim=6, attention_dim=6, max_epochs=3, random_state=0)
EVERYWHERE = dict(attention_position="both", channel_attention="general")

FACES = {
    "regressor": (AttentionLSTMTimeSeriesRegressor, AttentionLSTMRegressor),
    "classifier": (AttentionLSTMTimeSeriesClassifier, AttentionLSTMClassifier),
}
both = pytest.mark.parametrize("name", FACES)


def panel(n=N, seed=0):
    """Series as sktime has them: (n, channels, steps)."""
    return np.random.default_rng(seed).normal(size=(n, C, L)).astype(np.float32)


def target_of(name, X):
    return X[:, 1, 7].astype(float) if name == "regressor" else np.where(X[:, 1, 7] > 0, "up", "down")


def fitted(name, **params):
    """A face that was fitted, and beside it the estimator that should be behind it, on windows of steps."""
    face, inner = FACES[name]
    X, inner = panel(), inner(**SMALL | params)
    face = face(inner).fit(X, target_of(name, X))
    return face, clone(inner).set_params(layout="channels_last").fit(X.transpose(0, 2, 1), target_of(name, X))


# ---------------------------------------------------------------------------------------------------- layout


@both
@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_layout(name, layout):
    """The faces know the layout of their panels, whatever the layout of the estimator inside."""
    face, _ = fitted(name, layout=layout)
    sizes = getattr(face, f"{name}_").network_.config
    assert (sizes["window_length"], sizes["n_channels"]) == (L, C)


@both
@pytest.mark.parametrize("encoder", ["lstm", "dual_stage"])
def test_a_face_is_the_estimator_on_turned_panels(name, encoder):
    """Predictions are those of the estimator behind it, number by number, and of layout="channels_first"."""
    face, inner = fitted(name, encoder=encoder)
    X = panel(seed=1)
    assert_array_equal(face.predict(X), inner.predict(X.transpose(0, 2, 1)))
    first = clone(inner).set_params(layout="channels_first").fit(panel(), target_of(name, panel()))
    assert_array_equal(face.predict(X), first.predict(X))
    if name == "classifier":
        assert_array_equal(face.predict_proba(X), inner.predict_proba(X.transpose(0, 2, 1)))


@both
def test_estimator_is_not_touched(name):
    """What is given is cloned, neither fitted nor seeded nor turned; a seed of the face is that of its estimator."""
    face, inner = FACES[name]
    given = inner(**SMALL | dict(random_state=None, layout="channels_first"))
    face = face(given, random_state=3).fit(panel(), target_of(name, panel()))
    assert not hasattr(given, "network_")
    assert (given.random_state, given.layout) == (None, "channels_first")
    assert getattr(face, f"{name}_").random_state == 3


# ---------------------------------------------------------------------------------------------------- attention


@both
@pytest.mark.parametrize("params", [EVERYWHERE, dict(encoder="dual_stage")], ids=["everywhere", "dual_stage"])
@pytest.mark.parametrize(("kind", "shape"), [("temporal", (L,)), ("state", (L,)), ("channel", (C,)), ("joint", (L, C))])
def test_attention_weights(name, params, kind, shape):
    """A row for each series, by step, then by channel: what the estimator behind the face looks at."""
    face, inner = fitted(name, **params)
    X = panel(seed=1)
    weights = face.attention_weights(X, kind=kind)
    assert isinstance(weights, np.ndarray)
    assert weights.shape == (N, *shape)
    assert_array_equal(weights, inner.attention_weights(X.transpose(0, 2, 1), kind))
    assert_allclose(weights.reshape(N, -1).sum(1), 1, rtol=1e-5)


@both
@pytest.mark.parametrize("mtype", ["nested_univ", "pd-multiindex", "df-list"])
def test_attention_weights_of_other_panels(name, mtype):
    """sktime's other formats of the same panel have the same weights."""
    face, _ = fitted(name, **EVERYWHERE)
    X = panel(seed=1)
    other = convert_to(X, mtype)
    assert isinstance(other, list if mtype == "df-list" else pd.DataFrame)
    assert_array_equal(face.attention_weights(other, "joint"), face.attention_weights(X, "joint"))


@both
def test_attention_weights_per_head_and_per_horizon(name):
    """Heads are an axis of their own; there is one step to predict, so that the mean over them changes nothing."""
    face, inner = fitted(name, num_heads=2, **EVERYWHERE)
    X = panel()
    for kind, shape in (("state", (L,)), ("joint", (L, C))):
        heads = face.attention_weights(X, kind, per_head=True)
        assert heads.shape == (N, 2, *shape)
        assert_array_equal(heads, inner.attention_weights(X.transpose(0, 2, 1), kind, per_head=True))
        mean = face.attention_weights(X, kind, per_horizon=False)
        assert_allclose(mean, heads.mean(1), rtol=1e-5)
        assert_array_equal(mean, face.attention_weights(X, kind))


@both
def test_attention_weights_of_missing_values(name):
    """What is missing has exactly no weight."""
    face, _ = fitted(name, **EVERYWHERE)
    X = panel()
    X[:, :, 4] = X[:, 2, 6] = np.nan
    assert_array_equal(face.attention_weights(X, "joint") == 0, np.isnan(X).transpose(0, 2, 1))


@both
def test_attention_weights_that_there_are_not(name):
    """Before fit, of another kind, or of other series than those of fit: an error says so."""
    face, inner = FACES[name]
    with pytest.raises(NotFittedError, match="has not been fitted"):
        face(inner(**SMALL)).attention_weights(panel())
    face, _ = fitted(name)
    with pytest.raises(ValueError, match=r"fitted without channel attention, .* Fit with other channel_attention"):
        face.attention_weights(panel(), "channel")
    with pytest.raises(ValueError, match=r"windows of 2 channels, but .* is expecting 3 channels"):
        face.attention_weights(panel()[:, :2])
    with pytest.raises(ValueError, match=r"windows of 7 steps, but .* is expecting 11 steps"):
        face.attention_weights(panel()[..., :7])
