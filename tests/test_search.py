"""Tests of the company that the estimators keep: searches, pipelines, meta-estimators, reductions, parallel workers.

Each combination is shown to work on a problem that it has to learn: the target is one step of the window.
"""

import inspect

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    TimeSeriesSplit,
    cross_val_predict,
    cross_val_score,
    learning_curve,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from skorch.callbacks import Callback
from sktime.forecasting.compose import TransformedTargetForecaster, make_reduction
from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.performance_metrics.forecasting import MeanAbsoluteError
from sktime.split import ExpandingWindowSplitter
from sktime.transformations.series.boxcox import LogTransformer
from sktime.transformations.series.detrend import Detrender

from skattn import (
    AttentionLSTMClassifier,
    AttentionLSTMForecaster,
    AttentionLSTMRegressor,
    AttentionLSTMTimeSeriesRegressor,
)
from skattn.model_selection import WindowGapSplit
from skattn.nn import ACTIVATIONS, ATTENTIONS, ENCODERS
from skattn.preprocessing import SlidingWindow

TINY = {"hidden_size": 4, "embedding_dim": 4, "attention_dim": 4, "random_state": 0}
QUICK = {**TINY, "lr": 0.05, "max_epochs": 10}  # learns the problem below


def windows(n=120):
    """Windows of 7 steps of 2 channels, and a target that is the step 4 of the first channel, far from zero."""
    X = np.random.default_rng(0).normal(size=(n, 7, 2)).astype(np.float32)
    return X, 3 * X[:, 4, 0] + 100


def steps(n=120):
    """The same with one channel, in two dimensions."""
    X = np.random.default_rng(0).normal(size=(n, 7))
    return X, 3 * X[:, 4] + 100


def table(n=160):
    """A time-ordered table on a scale of its own, and a target that is its first column three rows ago."""
    X = np.random.default_rng(1).normal(size=(n, 2)) * [1000, 0.001]
    return X, np.roll(X[:, 0], 3)


def season(n=72):
    """A positive series with a trend and a season of 12 months."""
    t = np.arange(n)
    y = 50 + 0.3 * t + 10 * np.sin(2 * np.pi * t / 12)
    return pd.Series(y, pd.period_range("2015-01", periods=n, freq="M"), name="sales")


def forecaster(**params):
    """A forecaster that fits in a blink."""
    return AttentionLSTMForecaster(AttentionLSTMRegressor(**(QUICK | params)), window_length=12, random_state=0)


# -------------------------------------------------------------------------------------- searches of scikit-learn


@pytest.mark.parametrize(
    "grid",
    [
        {"attention": [*ATTENTIONS, None]},
        {"encoder": list(ENCODERS), "num_heads": [1, 4]},
        {
            "encoder": ["dual_stage"],
            "attention": ["additive", "general", "multihead", None],
            "attention_noise": [0, 0.1],
        },
        {"attention_activation": list(ACTIVATIONS), "attention_noise": np.array([0.0, 0.1])},
        {"attention": ["additive", "multihead"], "attention_dim": [4, 8]},
        {"attention_position": ["input", "state", "both"], "channel_attention": [None, "dot"]},
    ],
    ids=lambda grid: " ".join(grid),
)
def test_grid_search_in_two_processes(grid):
    """Mechanisms and widths are searched by their names, in parallel, without a single failed fit."""
    X, y = windows()
    model = AttentionLSTMRegressor(**QUICK)
    search = GridSearchCV(model, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == np.prod([len(options) for options in grid.values()])
    assert len(np.unique(search.cv_results_["mean_test_score"])) > len(search.cv_results_["params"]) / 2
    assert search.best_score_ > 0.7
    assert all(search.best_estimator_.get_params()[name] == value for name, value in search.best_params_.items())


def test_randomized_search():
    """Numbers drawn by numpy are as good as those of Python."""
    X, y = windows()
    space = {"lr": np.logspace(-3, -1, 9), "attention_dim": np.arange(2, 9), "batch_size": np.array([16, 32])}
    model = AttentionLSTMRegressor(**QUICK)
    search = RandomizedSearchCV(model, space, n_iter=5, cv=2, random_state=0, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.network_.config["attention_dim"] == search.best_params_["attention_dim"]


def test_halving_search_by_epochs():
    """Epochs are a resource: the survivors train longer."""
    X, y = windows()
    search = HalvingGridSearchCV(
        AttentionLSTMRegressor(**QUICK),
        {"attention": [*ATTENTIONS, None]},
        resource="max_epochs",
        min_resources=2,
        max_resources=10,
        factor=2,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert search.n_resources_ == [2, 4, 8]
    assert len(search.best_estimator_.history_) == 8


def test_grid_search_of_a_classifier():
    """Classes and class weights are searched; the score is accuracy."""
    X, y = windows()
    grid = {"class_weight": [None, "balanced"], "attention": ["dot", None]}
    labels = np.where(y > 100, "up", "down")
    search = GridSearchCV(AttentionLSTMClassifier(**QUICK), grid, cv=3, error_score="raise").fit(X, labels)
    assert search.best_score_ > 0.8
    assert list(search.classes_) == ["down", "up"]


# ------------------------------------------------------------------------------------------------------ pipelines


@pytest.mark.parametrize("cv", [TimeSeriesSplit(3), WindowGapSplit(3, window_length=5, horizon=0)])
def test_pipeline_of_windows(cv):
    """Scaling, windows and network in one pipeline, validated forward in time, and searched."""
    X, y = table()
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("window", SlidingWindow(5)), ("model", AttentionLSTMRegressor(**QUICK))]
    )
    grid = {"window__window_length": [2, 5], "model__attention": ["additive", None]}
    search = GridSearchCV(pipeline, grid, cv=cv, error_score="raise").fit(X, y)
    assert search.best_params_["window__window_length"] == 5  # a window of 2 does not reach three rows back
    assert search.best_score_ > 0.5
    assert search.predict(X).shape == y.shape


def test_windows_cut_before_cross_validation():
    """Windows that are rows can be split with a gap; the view is read, never written."""
    X, y = table()
    rows = SlidingWindow(5).fit_transform(StandardScaler().fit_transform(X))
    cv = WindowGapSplit(3, window_length=5, horizon=0)
    assert cross_val_score(AttentionLSTMRegressor(**QUICK), rows, y, cv=cv, error_score="raise").mean() > 0.5


# ------------------------------------------------------------------------------------------------ meta-estimators


def test_bagging():
    """Members are fitted on other rows with other seeds."""
    X, y = steps()
    model = BaggingRegressor(AttentionLSTMRegressor(**QUICK), n_estimators=3, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.7
    assert len({member.random_state for member in model.estimators_}) == 3


def test_stacking():
    """A network beside a linear model, on windows of three dimensions."""
    X, y = windows()
    flat = X.reshape(len(X), -1)
    members = [("net", AttentionLSTMRegressor(**QUICK, n_channels=2)), ("ridge", Ridge())]
    model = StackingRegressor(members, cv=KFold(3)).fit(flat, y)
    assert model.score(flat, y) > 0.9
    only_net = StackingRegressor(members[:1], cv=KFold(3)).fit(X, y)
    assert only_net.score(X, y) > 0.7


def test_transformed_target():
    """A target that was scaled before is scaled back."""
    X, y = windows()
    model = TransformedTargetRegressor(AttentionLSTMRegressor(**QUICK), transformer=MinMaxScaler()).fit(X, y)
    assert model.score(X, y) > 0.7
    assert_allclose(model.predict(X).mean(), 100, atol=2)


def test_permutation_importance():
    """The step that matters is found, by a tool that knows columns only."""
    X, y = steps()
    model = AttentionLSTMRegressor(**(QUICK | {"max_epochs": 20})).fit(X, y)
    importance = permutation_importance(model, X, y, n_repeats=3, random_state=0).importances_mean
    assert importance.argmax() == 4
    assert importance[4] > 10 * np.delete(importance, 4).max()


def test_multi_output():
    """One network per target, or one for all of them."""
    X, y = windows()
    both = np.column_stack([y, -2 * X[:, 1, 1]])
    apart = MultiOutputRegressor(AttentionLSTMRegressor(**(QUICK | {"max_epochs": 20}))).fit(X, both)
    together = AttentionLSTMRegressor(**(QUICK | {"max_epochs": 20})).fit(X, both)
    assert len(apart.estimators_) == 2
    assert min(apart.score(X, both), together.score(X, both)) > 0.7


def test_learning_curve():
    """More rows, better scores."""
    X, y = windows()
    sizes, _, scores = learning_curve(
        AttentionLSTMRegressor(**QUICK), X, y, train_sizes=[10, 80], cv=3, error_score="raise"
    )
    assert_array_equal(sizes, [10, 80])
    assert scores[1].mean() > scores[0].mean() + 0.2


def test_calibration():
    """Probabilities can be calibrated."""
    X, y = windows()
    model = CalibratedClassifierCV(AttentionLSTMClassifier(**QUICK), cv=2).fit(X, y > 100)
    assert model.score(X, y > 100) > 0.8
    assert_allclose(model.predict_proba(X).sum(1), 1)


# ---------------------------------------------------------------------------------------------------------- sktime


def test_forecasting_grid_search():
    """The parameters of the regressor inside the forecaster are searched by their nested names."""
    y = season()
    cv = ExpandingWindowSplitter(fh=[1, 2, 3], initial_window=48, step_length=12)
    grid = {"regressor__attention_dim": [2, 4], "regressor__attention": ["additive", None], "window_length": [6, 12]}
    search = ForecastingGridSearchCV(
        forecaster(), cv, grid, scoring=MeanAbsoluteError(), backend="None", error_score="raise"
    ).fit(y, fh=[1, 2, 3])
    assert len(search.cv_results_) == 8
    assert np.isfinite(search.cv_results_["mean_test_MeanAbsoluteError"]).all()
    chosen = search.best_forecaster_.regressor_
    assert chosen.attention_dim == search.best_params_["regressor__attention_dim"]
    assert search.predict().index[0] == pd.Period("2021-01")


@pytest.mark.parametrize("form", ["steps", "times"])
def test_pipelines_of_sktime(form):
    """Forecasts come back in the units of the series, through one transformation or several."""
    y = season()
    model = forecaster(max_epochs=40)
    if form == "steps":
        pipeline = TransformedTargetForecaster([("detrend", Detrender()), ("model", model)])
        pipeline.set_params(model__regressor__attention_dim=3)
    else:
        pipeline = LogTransformer() * model
    y_pred = pipeline.fit(y[:-12], fh=range(1, 13)).predict()
    assert abs(y_pred - y[-12:]).mean() < 0.5 * abs(y.iloc[-13] - y[-12:]).mean()
    assert y_pred.index.equals(y.index[-12:])


@pytest.mark.parametrize("strategy", ["refit", "update", "no-update_params"])
def test_evaluate(strategy):
    """Backtests run with every strategy, each fold scored on its own dates."""
    y = season()
    cv = ExpandingWindowSplitter(fh=[1, 2, 3], initial_window=60, step_length=3)
    results = evaluate(
        forecaster(), cv, y, strategy=strategy, scoring=MeanAbsoluteError(), error_score="raise", return_data=True
    )
    assert len(results) == 4
    assert np.isfinite(results["test_MeanAbsoluteError"]).all()
    assert [fold.index[0] for fold in results["y_pred"]] == list(y.index[[60, 63, 66, 69]])
    naive = [
        abs(fold - train.iloc[-1]).mean() for fold, train in zip(results["y_test"], results["y_train"], strict=True)
    ]
    assert results["test_MeanAbsoluteError"].mean() < np.mean(naive)


@pytest.mark.parametrize("strategy", ["recursive", "direct", "multioutput"])
@pytest.mark.parametrize("kind", ["tabular", "time series", "channels first"])
def test_reduction(kind, strategy):
    """sktime's reductions turn our regressors into forecasters, from tables and from panels."""
    estimator, scitype = {
        "tabular": (AttentionLSTMRegressor(**QUICK), "tabular-regressor"),
        "time series": (
            AttentionLSTMTimeSeriesRegressor(AttentionLSTMRegressor(**QUICK), random_state=0),
            "time-series-regressor",
        ),
        "channels first": (AttentionLSTMRegressor(**QUICK, layout="channels_first"), "time-series-regressor"),
    }[kind]
    y = season()
    past, future = y[:67], y[67:70]  # the way down of the season
    model = make_reduction(estimator, strategy=strategy, scitype=scitype, window_length=12).fit(past, fh=[1, 2, 3])
    y_pred = model.predict()
    assert y_pred.index.equals(future.index)
    assert abs(y_pred - future).mean() < 0.6 * abs(past.iloc[-1] - future).mean()


@pytest.mark.parametrize(
    ("layout", "window_length", "n_channels"), [("channels_first", 11, 3), ("channels_last", 3, 11)]
)
def test_layout_of_panels(layout, window_length, n_channels):
    """sktime's panels are (n, channels, steps): layout='channels_first' reads them so, and the docstring says so.

    The default reads the same array as (n, steps, channels). Both are possible, so that nothing can be caught.
    """
    X = np.random.default_rng(0).normal(size=(60, 3, 11))
    y = X[:, 1, 7]
    model = AttentionLSTMRegressor(**(QUICK | {"max_epochs": 2}), layout=layout).fit(X, y)
    sizes = model.network_.config
    assert (sizes["window_length"], sizes["n_channels"]) == (window_length, n_channels)
    documented = inspect.getdoc(AttentionLSTMRegressor)
    assert "(n_samples, n_channels, n_steps)" in documented.split("layout :")[1].split("Attributes")[0]


# ------------------------------------------------------------------------------------------------ parallel workers


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_change_no_score(backend):
    """Threads and processes give the scores of one process: no fit disturbs the random numbers of another."""
    X, y = windows(80)
    model = AttentionLSTMRegressor(**(TINY | {"max_epochs": 3, "dropout": 0.2}))
    grid = {"attention": [*ATTENTIONS, None]}
    alone = GridSearchCV(model, grid, cv=2, n_jobs=1, error_score="raise").fit(X, y).cv_results_
    with joblib.parallel_config(backend=backend, n_jobs=2 if backend == "loky" else 4):
        together = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y).cv_results_
    for score in ("split0_test_score", "split1_test_score"):
        assert_allclose(together[score], alone[score], rtol=1e-6)
    assert len(np.unique(alone["split0_test_score"])) == len(grid["attention"])


def test_threads_change_no_forecast():
    """The same for the forecaster, whose searches run in threads too."""
    y = season()

    def forecast(seed):
        model = AttentionLSTMForecaster(AttentionLSTMRegressor(**(TINY | {"max_epochs": 3})), 12, random_state=seed)
        return model.fit(y, fh=[1, 2, 3]).predict().to_numpy()

    together = joblib.Parallel(n_jobs=4, backend="threading")(joblib.delayed(forecast)(seed) for seed in range(4))
    assert_array_equal(together, [forecast(seed) for seed in range(4)])


@pytest.mark.parametrize("backend", ["threading", "loky", "sequential"])
def test_workers_use_one_thread_each(backend):
    """A worker whose torch is set to 3 threads fits and predicts a small network with one, and has 3 afterwards."""
    X, y = windows(40)

    # Defined here, so that joblib sends them to the workers by value.
    class Threads(Callback):
        def on_batch_begin(self, net, **kwargs):
            counted.append(torch.get_num_threads())

    counted = []

    def fit(seed):
        before = torch.get_num_threads()
        torch.set_num_threads(3)
        counted.clear()
        try:
            model = AttentionLSTMRegressor(**(TINY | {"random_state": seed}), max_epochs=2, callbacks=[Threads()])
            model.fit(X, y).predict(X)
            return set(counted), torch.get_num_threads()
        finally:
            torch.set_num_threads(before)

    jobs = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(fit)(seed) for seed in range(2))
    assert jobs == [({1}, 3), ({1}, 3)]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_number_of_threads_can_be_set(n_threads):
    """n_threads is what torch runs with in `fit` and `predict` of a large network, and nothing is left of it."""
    X, y = windows(40)
    counted, before = [], torch.get_num_threads()

    class Threads(Callback):
        def on_batch_begin(self, net, **kwargs):
            counted.append(torch.get_num_threads())

    model = AttentionLSTMRegressor(**TINY, max_epochs=1, callbacks=[Threads()], n_threads=n_threads)
    model.set_params(batch_size=1 << 16).fit(X, y)
    model.network_.register_forward_hook(lambda *args: counted.append(torch.get_num_threads()))
    model.predict(X)
    assert set(counted) == {n_threads}
    assert torch.get_num_threads() == before


def test_cross_val_predict_of_three_dimensions():
    """Predictions of rows that were held out are in the units of y."""
    X, y = windows()
    y_pred = cross_val_predict(make_pipeline(AttentionLSTMRegressor(**QUICK)), X, y, cv=3)
    assert np.corrcoef(y_pred, y)[0, 1] > 0.8
    assert_allclose(y_pred.mean(), 100, atol=2)
