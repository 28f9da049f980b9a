"""One table of mistakes, and what a user reads after each: what is wrong, the numbers, and the way out.

A traceback never ends within torch, where nobody would look for the reason.
"""

import traceback
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sktime.exceptions import NotFittedError as SktimeNotFittedError

import skattn
from skattn import (
    AttentionLSTMClassifier,
    AttentionLSTMForecaster,
    AttentionLSTMRegressor,
    AttentionLSTMTimeSeriesClassifier,
    AttentionLSTMTimeSeriesRegressor,
)

THEIRS = ""  # a part that the message of scikit-learn or sktime does not have
NOT_FITTED = (NotFittedError, SktimeNotFittedError)

X = np.random.default_rng(0).normal(size=(30, 7, 2))
FLAT = X.reshape(30, -1)
Y = X[:, 3, 0]
LABELS = np.where(Y > 0, "up", "down")
SERIES = pd.Series(np.random.default_rng(1).normal(size=30).cumsum(), pd.date_range("2024-01-01", periods=30))
DRIVERS = pd.DataFrame({"sun": np.arange(35.0)}, pd.date_range("2024-01-01", periods=35))
TINY = {"hidden_size": 4, "embedding_dim": 4, "attention_dim": 4, "max_epochs": 1, "random_state": 0}


def regressor(**params):
    """A regressor that fits in a blink."""
    return AttentionLSTMRegressor(**(TINY | params))


def classifier(**params):
    """A classifier that fits in a blink."""
    return AttentionLSTMClassifier(**(TINY | params))


def forecaster(window_length=5, **params):
    """A forecaster that fits in a blink."""
    return AttentionLSTMForecaster(regressor(**params), window_length=window_length)


def shops():
    """A panel of two series, with drivers that reach five steps further."""
    y = pd.concat({name: SERIES.rename_axis("day").to_frame("sold") for name in ("north", "south")}, names=["shop"])
    drivers = pd.concat({name: DRIVERS.rename_axis("day") for name in ("north", "south")}, names=["shop"])
    return y, drivers


class Empty:
    """A component that has no method at all."""


class NoForward(torch.nn.Module):
    """A module without a forward of its own."""

    def __init__(self, *sizes):
        super().__init__()


class NoScore(skattn.nn.Attention):
    """An attention that does not say how a step is scored."""


class NoWeigh(skattn.nn.Activation):
    """An activation that does not say how scores become weights."""


class NoStatistics(skattn.nn.Normalization):
    """A normalisation without a level and a scale."""


class ScalarLoss(torch.nn.Module):
    """A loss that has summed already."""

    def forward(self, prediction, target):
        return ((prediction - target) ** 2).mean()


class FlatLoss(torch.nn.Module):
    """A loss that forgets the axes of steps and of targets."""

    def forward(self, prediction, target):
        return ((prediction - target) ** 2).flatten()


# What the constraint of a parameter says when a value is refused: a sentence that scikit-learn generates.
COMPONENTS = {
    "attention": "'additive'",
    "attention_position": "'state'",
    "attention_activation": "'softmax'",
    "channel_attention": "'additive'",
    "encoder": "'lstm'",
    "normalization": "'last'",
    "optimizer": "'adam'",
    "lr_schedule": "'cosine'",
    "dtype": "'float32'",
    "layout": "'channels_last'",
}
CLASSES = ["attention", "attention_activation", "channel_attention", "encoder", "normalization", "optimizer", "loss"]


def generated(name, got, options="must be"):
    """The parts of a generated message."""
    return f"The '{name}' parameter of AttentionLSTM", f"Got {got} instead", options


def mistakes():
    """Rows: what is done (a name and a function), the type of the error, the parts of its message."""
    yield (
        "y too short",
        lambda: forecaster(24).fit(SERIES, fh=range(1, 13)),
        ValueError,
        ("y has 30 rows but window_length", r"24 \+ 12 = 36 are needed", "Use a window_length of at most 18"),
    )
    yield (
        "fh as long as y",
        lambda: forecaster().fit(SERIES, fh=range(1, 31)),
        ValueError,
        ("y has 30 rows but window_length", r"5 \+ 30 = 35 are needed", "Use a longer series, or a shorter fh"),
    )

    # Shapes of X
    yield (
        "steps, 3-D",
        lambda: regressor().fit(X, Y).predict(X[:, :5]),
        ValueError,
        ("X has windows of 5 steps", "AttentionLSTMRegressor is expecting 7 steps", "Pass windows of 7 steps, or fit"),
    )
    yield (
        "channels, 3-D",
        lambda: regressor().fit(X, Y).predict(X[:, :, :1]),
        ValueError,
        ("X has windows of 1 channels", "is expecting 2 channels", "Pass windows of 2 channels, or fit again"),
    )
    yield (
        "steps, classifier",
        lambda: classifier().fit(X, LABELS).predict_proba(X[:, :5]),
        ValueError,
        ("X has windows of 5 steps", "AttentionLSTMClassifier is expecting 7 steps", "Pass windows of 7 steps"),
    )
    yield (
        "steps, channels first",
        lambda: regressor(layout="channels_first").fit(X, Y).predict(X[:, :, :1]),
        ValueError,
        ("X has windows of 1 steps", "is expecting 2 steps", "Pass windows of 2 steps"),
    )
    yield (
        "channels, first",
        lambda: regressor(layout="channels_first").fit(X, Y).predict(X[:, :5]),
        ValueError,
        ("X has windows of 5 channels", "is expecting 7 channels", "Pass windows of 7 channels"),
    )
    yield (
        "steps, 2-D",
        lambda: regressor(n_channels=2).fit(FLAT, Y).predict(FLAT[:, :10]),
        ValueError,
        ("X has 10 features", "AttentionLSTMRegressor is expecting 14 features", THEIRS),
    )
    yield (
        "channels, 2-D",
        lambda: regressor().fit(X, Y).predict(X[:, :, 0]),
        ValueError,
        ("X has 2 dimensions", "2 were seen in fit", "Pass X of shape"),
    )
    yield (
        "steps, partial_fit",
        lambda: regressor().partial_fit(X, Y).partial_fit(X[:, :5], Y),
        ValueError,
        ("X has windows of 5 steps", "is expecting 7 steps", "Pass windows of 7 steps, or fit again"),
    )
    yield (
        "steps, warm start",
        lambda: regressor(warm_start=True).fit(X, Y).fit(X[:, :5], Y),
        ValueError,
        ("X has windows of 5 steps", "is expecting 7 steps", "Pass windows of 7 steps, or fit again"),
    )
    yield (
        "n_channels does not divide",
        lambda: regressor(n_channels=3).fit(FLAT, Y),
        ValueError,
        ("X has 14 columns", "n_channels = 3", "Use a divisor for n_channels, or pass X of shape"),
    )
    yield (
        "5-D",
        lambda: regressor().fit(X[..., None, None], Y),
        ValueError,
        ("X has 5 dimensions", "at most 4 are allowed", r"Reshape your data, for example with X.reshape"),
    )
    yield (
        "5-D, predict",
        lambda: regressor().fit(X, Y).predict(X[..., None, None]),
        ValueError,
        ("X has 5 dimensions", "at most 4 are allowed", "Reshape your data"),
    )
    sensors = X[:, :, :, None].repeat(3, 3)  # of two sensors with three channels each
    independent = {"channel_mode": "independent"}
    for how in (independent, {"spatial_attention": "dot"}):
        yield (
            f"sensors without targets of their own, {how}",
            lambda how=how: regressor(**how).fit(sensors, Y),
            ValueError,
            (
                "y has 1 outputs",
                "2 sensors need as many each",
                r"Pass y of shape \(n_samples, 2\), or use channel_mode",
            ),
        )
    yield (
        "sensors and channels in another order",
        lambda: regressor(**independent).fit(sensors, np.c_[Y, Y]).predict(sensors.transpose(0, 1, 3, 2)),
        ValueError,
        ("X has windows of 3 sensors with 2 channels each", "2 sensors with 3 channels each were seen", "fit again"),
    )
    yield (
        "no sensors after sensors",
        lambda: regressor(**independent).fit(sensors, np.c_[Y, Y]).predict(sensors.reshape(30, 7, 6)),
        ValueError,
        ("X has windows of channels without sensors", "2 sensors with 3 channels each were seen", "Pass X of the same"),
    )
    yield (
        "sensors after none",
        lambda: regressor().fit(X, Y).predict(X[:, :, None]),
        ValueError,
        ("X has windows of 1 sensors with 2 channels each", "channels without sensors were seen", "Pass X of the same"),
    )
    for kind, windows, y in ((regressor, X, Y), (classifier, X, LABELS), (classifier, sensors, LABELS)):
        yield (
            f"attention over no sensors, {kind.__name__}, {windows.ndim}-D",
            lambda kind=kind, windows=windows, y=y: kind(spatial_attention="general").fit(windows, y),
            ValueError,
            (
                "spatial_attention='general' lets each sensor",
                "there are none: n_variables = None",
                "Use AttentionLSTMFor",
            ),
        )
    yield (
        "a map and coordinates",
        lambda: regressor(spatial_attention="dot", adjacency=np.eye(2), coordinates=np.eye(2)).fit(
            sensors, np.c_[Y, Y]
        ),
        ValueError,
        ("adjacency and coordinates are both given", "one map is used", "Pass one of them"),
    )
    yield (
        "coordinates of others",
        lambda: regressor(spatial_attention="dot", coordinates=np.ones((5, 2))).fit(sensors, np.c_[Y, Y]),
        ValueError,
        ("coordinates has 5 rows", "there are 2 sensors", "Pass a row for each sensor"),
    )
    yield (
        "coordinates that are none",
        lambda: regressor(coordinates=3).fit(X, Y),
        ValueError,
        generated("coordinates", "3", "array-like or None"),
    )
    yield (
        "1-D",
        lambda: regressor().fit(X[:, 0, 0], Y),
        ValueError,
        ("Expected 2D array", "got 1D array", "Reshape your data"),
    )
    yield (
        "empty",
        lambda: regressor().fit(X[:0], Y[:0]),
        ValueError,
        (r"Found array with 0 sample\(s\)", "minimum of 1 is required", THEIRS),
    )
    yield "no steps", lambda: regressor().fit(X[:, :0], Y), ValueError, ("X", "0", "Pass windows")
    yield (
        "empty series",
        lambda: forecaster().fit(SERIES[:0], fh=[1]),
        ValueError,
        ("y has 0 rows", r"5 \+ 1 = 6 are needed", "Use a longer series"),
    )

    # Values of X and y
    yield (
        "all NaN",
        lambda: regressor().fit(X * np.nan, Y),
        ValueError,
        ("X contains NaN only", "none of its 420 values", "Pass windows in which at least one value is a number"),
    )
    yield (
        "all NaN, predict",
        lambda: regressor().fit(X, Y).predict(X * np.nan),
        ValueError,
        ("X contains NaN only", "none of its 420 values", "Pass windows"),
    )
    yield (
        "all NaN, series",
        lambda: forecaster().fit(SERIES * np.nan, fh=[1]),
        ValueError,
        ("NaN only", "none of its 30 values", "(Pass|Use)"),
    )
    yield (
        "infinite",
        lambda: regressor().fit(np.where(X[3, 1, 1] == X, np.inf, X), Y),
        ValueError,
        ("X contains infinity", "float32", "Mark missing values as NaN, and scale or clip the rest"),
    )
    yield (
        "infinite, predict",
        lambda: regressor().fit(X, Y).predict(np.where(X > 1, np.inf, X)),
        ValueError,
        ("X contains infinity", "float32", "Mark missing values as NaN"),
    )

    def too_large():
        with np.errstate(over="ignore"):  # numpy warns as well
            regressor().fit(np.where(X > 1, 1e300, X), Y)

    yield (
        "too large for float32",
        too_large,
        ValueError,
        ("X contains infinity or a value too large", "float32", "scale or clip"),
    )
    yield (
        "infinite series",
        lambda: forecaster().fit(SERIES.replace(SERIES.iloc[3], np.inf), fh=[1]),
        ValueError,
        ("y contains infinity", "float32", "Mark missing values as NaN, and scale or clip the rest"),
    )
    yield (
        "objects",
        lambda: regressor().fit(np.full((30, 7), "high", dtype=object), Y),
        ValueError,
        ("could not convert string to float", "high", THEIRS),
    )
    yield (
        "sparse",
        lambda: regressor().fit(scipy.sparse.csr_matrix(FLAT), Y),
        TypeError,
        ("Sparse data was passed for X", "dense data is required", "Use '.toarray"),
    )
    yield (
        "y with NaN",
        lambda: regressor().fit(X, np.where(Y > 1, np.nan, Y)),
        ValueError,
        ("Input y contains NaN", THEIRS, THEIRS),
    )
    yield (
        "labels with NaN",
        lambda: classifier().fit(X, np.where(Y > 0, np.nan, 1.0)),
        ValueError,
        ("Input y contains NaN", THEIRS, THEIRS),
    )
    yield (
        "numbers as labels",
        lambda: classifier().fit(X, Y),
        ValueError,
        ("Unknown label type", "continuous", "expects discrete classes"),
    )
    yield (
        "lengths of X and y",
        lambda: regressor().fit(X, Y[:20]),
        ValueError,
        ("inconsistent numbers of samples", r"\[30, 20\]", THEIRS),
    )
    yield (
        "lengths of X and labels",
        lambda: classifier().fit(X, LABELS[:20]),
        ValueError,
        ("inconsistent numbers of samples", r"\[30, 20\]", THEIRS),
    )
    yield (
        "lengths in sktime",
        lambda: AttentionLSTMTimeSeriesRegressor(regressor()).fit(X.transpose(0, 2, 1), Y[:20]),
        ValueError,
        ("Mismatch in number of cases", "X = 30 nos in y = 20", THEIRS),
    )
    yield (
        "length of sample_weight",
        lambda: regressor().fit(X, Y, sample_weight=np.ones(3)),
        ValueError,
        ("sample_weight.shape", r"\(3,\), expected \(30,\)", THEIRS),
    )
    yield (
        "another number of outputs",
        lambda: regressor().partial_fit(X, Y).partial_fit(X, np.column_stack([Y, Y])),
        ValueError,
        ("y has 2", "1", "fit again"),
    )
    yield (
        "fewer outputs",
        lambda: regressor().partial_fit(X, np.column_stack([Y, Y])).partial_fit(X, Y),
        ValueError,
        ("y has 1", "2", "fit again"),
    )
    yield (
        "unknown labels",
        lambda: classifier().partial_fit(X, LABELS).partial_fit(X, np.where(Y > 0, "up", "sideways")),
        ValueError,
        (
            "y holds labels unknown to the first call, 1 such as 'sideways'",
            r"known are \['down', 'up'\]",
            r"partial_fit\(X, y, classes=...\)",
        ),
    )
    yield (
        "labels that are not among the classes",
        lambda: classifier().partial_fit(X, LABELS, classes=["up", "sideways"]),
        ValueError,
        ("y holds labels unknown", "known are", "Name all of them in the first call"),
    )

    # Components
    for name, option in COMPONENTS.items():
        yield (
            f"{name}='nonsense'",
            lambda name=name: regressor(**{name: "nonsense"}).fit(X, Y),
            ValueError,
            (generated(name, "'nonsense'", option)),
        )
        yield (
            f"{name}='nonsense', forecaster",
            lambda name=name: forecaster(**{name: "nonsense"}).fit(SERIES, fh=[1]),
            ValueError,
            generated(name, "'nonsense'", option),
        )
    for name, loss, kind, y in (
        ("regressor", "'squared_error'", regressor, Y),
        ("classifier", "'cross_entropy'", classifier, LABELS),
    ):
        yield (
            f"loss, {name}",
            lambda kind=kind, y=y: kind(loss="nonsense").fit(X, y),
            ValueError,
            (generated("loss", "'nonsense'", loss)),
        )
    for name in CLASSES:
        yield (
            f"{name} without methods",
            lambda name=name: regressor(**{name: Empty}).fit(X, Y),
            ValueError,
            (generated(name, "<class .*Empty'>", "object implementing|type|class")),
        )
    yield (
        "encoder without forward",
        lambda: regressor(encoder=NoForward).fit(X, Y),
        (ValueError, TypeError),
        ("encoder|NoForward", "forward", THEIRS),
    )
    yield (
        "loss without forward",
        lambda: regressor(loss=NoForward).fit(X, Y),
        (ValueError, TypeError),
        ("loss|NoForward", "forward", THEIRS),
    )
    yield (
        "attention without score",
        lambda: regressor(attention=NoScore).fit(X, Y),
        (ValueError, TypeError),
        ("attention|NoScore", "score", THEIRS),
    )
    yield (
        "activation without weigh",
        lambda: regressor(attention_activation=NoWeigh).fit(X, Y),
        (ValueError, TypeError),
        ("attention_activation|NoWeigh", "weigh", THEIRS),
    )
    yield (
        "normalization without statistics",
        lambda: regressor(normalization=NoStatistics).fit(X, Y),
        (ValueError, TypeError),
        ("normalization|NoStatistics", "statistics", THEIRS),
    )
    yield (
        "loss for numbers, classifier",
        lambda: classifier(loss=torch.nn.MSELoss).fit(X, LABELS),
        (ValueError, TypeError),
        ("loss", "MSELoss", THEIRS),
    )
    yield (
        "encoder of torch's",
        lambda: regressor(encoder=torch.nn.LSTM).fit(X, Y),
        (ValueError, TypeError),
        ("encoder", "LSTM", THEIRS),
    )
    for name, instance in (
        ("attention", skattn.nn.ATTENTIONS["additive"](4, 4, 4)),
        ("attention_activation", skattn.nn.ACTIVATIONS["sparsemax"]()),
        ("encoder", skattn.nn.ENCODERS["gru"](4, 4)),
        ("normalization", skattn.nn.NORMALIZATIONS["last"](2)),
        ("optimizer", torch.optim.Adam([torch.zeros(1, requires_grad=True)])),
    ):
        yield (
            f"{name} as an instance",
            lambda name=name, instance=instance: regressor(**{name: instance}).fit(X, Y),
            (ValueError, TypeError),
            (name, "Got|got", THEIRS),
        )

    for params, wanted in (
        ({"attention": "dot"}, "query_dim = 8 and memory_dim = 7"),  # of the drivers, which are seven steps long
        ({"attention": "dot", "channel_attention": "additive"}, "query_dim = 8 and memory_dim = 4"),
        ({"channel_attention": "dot"}, "query_dim = 8 and memory_dim = 7"),
    ):
        yield (
            f"dual stage, {params}",
            lambda params=params: regressor(encoder="dual_stage", **params).fit(X, Y),
            ValueError,
            ("attention='dot' compares", wanted, "Use attention='general' or 'additive'"),
        )

    # Numbers
    for noise in (-0.5, np.nan, "loud", None):
        yield (
            f"attention_noise={noise}",
            lambda noise=noise: regressor(attention_noise=noise).fit(X, Y),
            ValueError,
            generated("attention_noise", repr(noise), r"\[0, inf\)|\[0.0, inf\)"),
        )
    for params, wrong in (
        ({"attention_dim": 4, "embedding_dim": 6, "hidden_size": 6, "attention": "additive"}, "attention_dim"),
        ({"attention_dim": 6, "embedding_dim": 4, "attention_position": "input"}, "embedding_dim"),
        ({"attention_dim": 6, "hidden_size": 4, "embedding_dim": 6, "attention_position": "state"}, "hidden_size"),
        ({"attention": None, "embedding_dim": 4, "channel_attention": "dot"}, "embedding_dim"),
        ({"attention": None, "hidden_size": 4, "encoder": "transformer"}, "hidden_size"),
    ):
        yield (
            f"num_heads and {params}",
            lambda params=params: regressor(num_heads=3, **params).fit(X, Y),
            ValueError,
            (
                f"num_heads must divide {wrong}",
                f"num_heads = 3 and {wrong} = 4",
                f"Use a multiple of 3 for {wrong}, or",
            ),
        )
    yield (
        "num_heads and the window, dual stage",
        lambda: regressor(num_heads=2, encoder="dual_stage").fit(X, Y),
        ValueError,
        (
            "num_heads must divide window_length",
            "num_heads = 2 and window_length = 7",
            "Use a multiple of 2 for window",
        ),
    )
    runs_away = {"lr": 1e30, "optimizer": "sgd", "gradient_clip": None, "batch_size": 8}
    for kind, y in ((regressor, Y), (classifier, LABELS)):
        yield (
            f"loss not finite, {kind.__name__}",
            lambda kind=kind, y=y: kind(**runs_away).fit(X, y),
            ValueError,
            ("The loss was not finite in epoch 1", r"lr=1e\+30", "Use a smaller lr or a gradient_clip"),
        )
    yield (
        "loss not finite, forecaster",
        lambda: forecaster(**runs_away).fit(SERIES, fh=[1]),
        ValueError,
        ("The loss was not finite in epoch 1", r"lr=1e\+30", "Use a smaller lr or a gradient_clip"),
    )
    yield (
        "early stopping with one window",
        lambda: regressor(early_stopping=True).fit(X[:1], Y[:1]),
        ValueError,
        ("early stopping holds out", "newest 1 of 1 windows and drops 0", "Use early_stopping=False, a smaller"),
    )
    yield (
        "early stopping on nearly all windows",
        lambda: regressor(early_stopping=True, validation_fraction=0.95).fit(X, Y),
        ValueError,
        ("early stopping holds out", "newest 28 of 30 windows and drops 3", "Use early_stopping=False, a smaller"),
    )
    yield (
        "early stopping of a short series",
        lambda: forecaster(early_stopping=True).fit(SERIES[:10], fh=range(1, 5)),
        ValueError,
        ("early stopping holds out", "newest 1 of 2 windows and drops 3", "Use early_stopping=False"),
    )
    yield (
        "device",
        lambda: regressor(device="quantum").fit(X, Y),
        ValueError,
        ("device='quantum' cannot be used here", "cpu, cuda", "Use device='auto' or 'cpu'"),
    )
    yield (
        "device without hardware",
        lambda: regressor(device="cuda:77").fit(X, Y),
        ValueError,
        ("device='cuda:77' cannot be used here", THEIRS, "Use device='auto' or 'cpu'"),
    )
    yield (
        "device at predict",
        lambda: regressor().fit(X, Y).set_params(device="quantum").predict(X),
        ValueError,
        ("device='quantum' cannot be used here", "cpu, cuda", "Use device='auto' or 'cpu'"),
    )
    yield (
        "scalar loss with weights",
        lambda: regressor(loss=ScalarLoss).fit(X, Y, sample_weight=np.arange(30.0)),
        ValueError,
        ("loss returned a single number", "one number per target", "Use a loss with an attribute `reduction`"),
    )
    yield (
        "loss of another shape",
        lambda: regressor(loss=FlatLoss).fit(X, Y),
        ValueError,
        ("loss", "30", "shape of its target"),
    )
    for value, got in ((0, "0"), (-5, "-5"), (2.5, "2.5"), ("day", "'day'")):
        yield (
            f"window_length={value}",
            lambda value=value: forecaster(value).fit(SERIES, fh=[1]),
            ValueError,
            (generated("window_length", got, r"\[1, inf\)")),
        )
        yield (
            f"horizon={value}",
            lambda value=value: AttentionLSTMForecaster(regressor(), 5, horizon=value).fit(SERIES, fh=[1]),
            ValueError,
            generated("horizon", got, r"\[1, inf\)"),
        )
    for role in ("add", None, ["embed"]):
        yield (
            f"periods_role={role}",
            lambda role=role: AttentionLSTMForecaster(regressor(), 5, periods=[7], periods_role=role).fit(
                SERIES, fh=[1]
            ),
            ValueError,
            generated(
                "periods_role", repr(role).replace("[", r"\["), "'both', 'embed', 'subtract'|must be a str among"
            ),
        )
    for role in ("embed", "both"):
        yield (
            f"dual stage that is told of cycles, {role}",
            lambda role=role: AttentionLSTMForecaster(
                regressor(encoder="dual_stage"), 5, periods=[7], periods_role=role
            ).fit(SERIES, fh=[1]),
            ValueError,
            (
                "encoder='dual_stage' cannot be told the place",
                THEIRS,
                "Use periods_role='subtract', or another encoder",
            ),
        )
        yield (
            f"no cycle, {role}",
            lambda role=role: AttentionLSTMForecaster(regressor(), 5, periods=[7, 1], periods_role=role).fit(
                SERIES, fh=[1]
            ),
            ValueError,
            (r"periods=\[7, 1\] holds 1", "no number of steps", "Use integers from 2 on"),
        )
    yield "lr, forecaster", lambda: forecaster(lr=-1.0).fit(SERIES, fh=[1]), ValueError, generated("lr", "-1.0")
    for other in (Ridge(), classifier(), "lstm"):
        yield (
            f"regressor={other.__class__.__name__}",
            lambda other=other: AttentionLSTMForecaster(other, 5).fit(SERIES, fh=[1]),
            (ValueError, TypeError),
            ("regressor", other.__class__.__name__ if other != "lstm" else "lstm", THEIRS),
        )

    # Before fit
    for kind in (regressor(), classifier(), AttentionLSTMTimeSeriesRegressor(), AttentionLSTMTimeSeriesClassifier()):
        yield (
            f"predict before fit, {type(kind).__name__}",
            lambda kind=kind: kind.predict(X),
            NOT_FITTED,
            (type(kind).__name__, "(not|not been) fitted", "[Cc]all ['`]fit['`]"),
        )
    for kind in (classifier(), AttentionLSTMTimeSeriesClassifier()):
        yield (
            f"predict_proba before fit, {type(kind).__name__}",
            lambda kind=kind: kind.predict_proba(X),
            NOT_FITTED,
            (type(kind).__name__, "(not|not been) fitted", "[Cc]all ['`]fit['`]"),
        )
    for what, call in {
        "predict": lambda: forecaster().predict(fh=[1]),
        "update": lambda: forecaster().update(SERIES),
        "attention_weights": lambda: forecaster().attention_weights(),
    }.items():
        yield (
            f"{what} before fit, forecaster",
            call,
            NOT_FITTED,
            ("AttentionLSTMForecaster", "not been fitted", "call `fit`"),
        )
    yield (
        "history before fit",
        lambda: regressor().history_,
        NOT_FITTED,
        ("AttentionLSTMRegressor", "not fitted yet", "Call 'fit'"),
    )

    # Weights that there are not
    for params, kind, way_out in (
        ({"attention": None}, "temporal", "Fit with other attention and attention_position"),
        ({"attention_position": "input"}, "state", "Fit with other attention and attention_position"),
        ({"attention_position": "state"}, "input", "Fit with other attention and attention_position"),
        ({}, "channel", "Fit with other channel_attention"),
        ({}, "joint", "Fit with other channel_attention beside attention over time"),
        ({"encoder": "dual_stage", "attention": None}, "channel", "Fit with other channel_attention"),
        ({"encoder": "dual_stage", "attention": None}, "state", "Fit with other attention"),
    ):
        yield (
            f"{kind} weights with {params}",
            lambda params=params, kind=kind: regressor(**params).fit(X, Y).attention_weights(X, kind),
            ValueError,
            (f"AttentionLSTMRegressor was fitted without {kind} attention", "no weights of that kind", way_out),
        )
    yield (
        "unknown kind of weights",
        lambda: regressor().fit(X, Y).attention_weights(X, "time"),
        ValueError,
        ("kind='time' is unknown", "Use one of 'temporal', 'channel'", THEIRS),
    )
    yield (
        "weights of other windows",
        lambda: regressor().fit(X, Y).attention_weights(X[:, :5]),
        ValueError,
        ("X has windows of 5 steps", "is expecting 7 steps", "Pass windows of 7 steps"),
    )
    for method in ("attention_weights", "windows"):
        yield (
            f"another column, {method}",
            lambda method=method: getattr(forecaster().fit(SERIES.rename("a"), fh=[1]), method)(SERIES.rename("b")),
            ValueError,
            (r"y has columns \['b'\]", r"fit was given \['a'\]", "Pass the same ones"),
        )
        yield (
            f"X missing, {method}",
            lambda method=method: getattr(forecaster().fit(SERIES, X=DRIVERS[:30], fh=[1]), method)(SERIES),
            ValueError,
            ("X is None in this call", "1 exogenous columns", "Pass X for the steps of this call, or fit without X"),
        )
    yield (
        "windows of a short series",
        lambda: forecaster().fit(SERIES, fh=[1]).windows(SERIES[:5]),
        ValueError,
        ("y has 5 rows", r"5 \+ 1 = 6 are needed", "Use"),
    )
    yield (
        "weights of an empty series",
        lambda: forecaster().fit(SERIES, fh=[1]).attention_weights(SERIES[:0]),
        ValueError,
        ("y has 0 rows|y is empty|y contains NaN only", THEIRS, "Pass|Use"),
    )

    # Dates and exogenous data
    for past in ([0], [-3, 2], pd.DatetimeIndex(["2024-01-05"])):
        yield (
            f"fh in the past, {past}",
            lambda past=past: forecaster().fit(SERIES).predict(fh=past),
            NotImplementedError,
            ("can not perform in-sample prediction", "in.sample", THEIRS),
        )
    yield (
        "no fh at all",
        lambda: forecaster().fit(SERIES).predict(),
        ValueError,
        ("forecasting horizon `fh` must be passed", "found in neither call", THEIRS),
    )
    yield (
        "X too short",
        lambda: forecaster().fit(SERIES, X=DRIVERS[:20], fh=[1]),
        ValueError,
        ("indices of series", "2024-01-21", THEIRS),
    )
    yield (
        "X missing in predict",
        lambda: forecaster().fit(SERIES, X=DRIVERS[:30], fh=[1]).predict(),
        ValueError,
        ("X is None in predict", "1 exogenous columns", "Pass X for the steps of predict, or fit without X"),
    )
    yield (
        "X missing in update",
        lambda: forecaster().fit(SERIES[:-1], X=DRIVERS[:29], fh=[1]).update(SERIES[-1:]),
        ValueError,
        ("X is None in update", "1 exogenous columns", "Pass X for the steps of update, or fit without X"),
    )

    def x_of_one_shop():
        y, drivers = shops()
        past = drivers.groupby("shop", group_keys=False).head(30)
        return forecaster().fit(y, X=past, fh=[1]).predict(X=drivers.loc[["north"]])

    yield "X of one series of two", x_of_one_shop, ValueError, ("X", "south", "Pass|Give")
    yield (
        "update with another column",
        lambda: forecaster().fit(SERIES.to_frame("a"), fh=[1]).update(pd.DataFrame({"b": [1.0]}, DRIVERS.index[30:31])),
        ValueError,
        ("y", "'?b'?", "'?a'?"),
    )


MISTAKES = list(mistakes())


def last_file(error):
    """The file in which an error was raised."""
    return Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()


@pytest.mark.parametrize(("do", "kind", "parts"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_mistakes(do, kind, parts):
    """The error is of the right type, says what, how many and what to do, and does not come out of torch."""
    with pytest.raises(Exception) as caught:
        do()
    error = caught.value
    assert Path(torch.__file__).resolve().parent not in last_file(error).parents, f"torch says: {error!r}"
    assert isinstance(error, kind), repr(error)
    for part in parts:
        caught.match(f"(?s){part}")


def test_numpy_scalars_in_messages_read_as_values():
    """A message shows 'up', not np.str_('up')."""
    with pytest.raises(ValueError, match="y holds") as caught:
        classifier().partial_fit(X, LABELS).partial_fit(X, np.where(Y > 0, 2, 1))
    assert "np." not in str(caught.value)


def test_a_bad_update_leaves_the_forecaster_as_it_was():
    """After an update that was refused, forecasts and further updates go on as if nothing had been."""
    model = forecaster().fit(SERIES.to_frame("a"), fh=[1, 2])
    before = model.predict()
    with pytest.raises(Exception, match="b"):  # which one, test_mistakes asks
        model.update(pd.DataFrame({"b": [1.0]}, DRIVERS.index[30:31]), update_params=False)
    pd.testing.assert_frame_equal(model.predict(), before)


def test_a_fit_that_ran_away_leaves_nothing_fitted():
    """After a loss that was not finite, there is no network that could predict."""
    model = regressor(lr=1e30, optimizer="sgd", gradient_clip=None, batch_size=8)
    with pytest.raises(ValueError, match="not finite"):
        model.fit(X, Y)
    with pytest.raises(NotFittedError):
        model.predict(X)
