"""Tests of what training listens to: the clock, losses that are not finite, scikit-learn's and skorch's callbacks."""

import warnings
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EpochScoring,
    EpochTimer,
    Freezer,
    Initializer,
    LRScheduler,
    ParamMapper,
)

from skattn import AttentionLSTMClassifier, AttentionLSTMRegressor

N, L, C = 61, 5, 3
SMALL = dict(hidden_size=7, embedding_dim=2, attention_dim=11, batch_size=16, max_epochs=3, random_state=0)


@pytest.fixture
def data():
    """Make windows and targets that depend on one of their values."""
    X = np.random.default_rng(0).normal(size=(N, L, C)).astype(np.float32)
    return X, X[:, 2, 1].astype(float)


def regressor(**parameters):
    return AttentionLSTMRegressor(**{**SMALL, "early_stopping": False, **parameters})


def weights(estimator):
    return learned(estimator.network_.state_dict())


def learned(state):
    """What training changes: the gate is chosen afterwards, and the skip solved before and after."""
    return [value.detach().clone() for name, value in state.items() if not name.startswith(("gate.", "skip."))]


def same(ours, theirs):
    return all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


class Spoil(Callback):
    """Make a weight NaN at the beginning of an epoch, counted from 1, or of one of its batches."""

    def __init__(self, epoch, batch=0, training=True):
        self.epoch, self.batch, self.training = epoch, batch, training

    def on_batch_begin(self, net, training=None, **kwargs):
        so_far = [("train_loss" if self.training else "valid_loss") in b for b in net.history[-1]["batches"][:-1]]
        if len(net.history) == self.epoch and sum(so_far) == self.batch and training == self.training:
            with torch.no_grad():
                net.module_.head.bias.fill_(float("nan"))


class Record(Callback):
    """Keep what the weights were at the end of each epoch."""

    def __init__(self):
        self.weights_ = []

    def on_epoch_end(self, net, **kwargs):
        self.weights_.append(learned(net.module_.state_dict()))


# ---------------------------------------------------------------------------------------------------- clock


def test_time_limit_by_hand(data, monkeypatch):
    """A clock that ticks once a look: the start is 1, the end 6.5; an epoch is 4 batches, and the sixth is over."""
    ticks = iter(range(1, 1000))
    monkeypatch.setattr("skattn.callbacks.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    model = regressor(max_time=5.5).fit(*data)
    assert len(model.net_.history) == 2
    assert len(model.net_.history[-1]["batches"]) == 2
    assert np.isfinite(model.predict(data[0])).all()


def test_time_limit_keeps_what_was_learned(data, monkeypatch):
    """Stopped after one epoch of four batches and two more, the weights are those of six batches."""
    ticks = iter(range(1, 1000))
    monkeypatch.setattr("skattn.callbacks.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    record = Record()
    model = regressor(max_time=5.5, callbacks=[record]).fit(*data)
    assert len(record.weights_) == 1
    assert not same(weights(model), record.weights_[0])


def test_time_limit_of_a_moment(data):
    """The first batch is always learned from; the history has the columns that it always has."""
    model = regressor(max_time=1e-9).fit(*data)
    assert len(model.net_.history[-1]["batches"]) == 1
    assert np.isfinite(model.predict(data[0])).all()
    assert {"epoch", "train_loss", "dur"} <= set(model.history_.columns)


def test_time_limit_does_not_look_at_validation(data, monkeypatch):
    """Validation is not interrupted: the clock is looked at after each training batch only."""
    looks = []
    monkeypatch.setattr("skattn.callbacks.time", SimpleNamespace(monotonic=lambda: looks.append(1) or 0))
    regressor(max_time=5, early_stopping=True, validation_fraction=0.3, n_iter_no_change=99).fit(*data)
    # 61 windows: 18 validate, 4 are dropped, 39 are 3 batches; 3 epochs and the start
    assert len(looks) == 1 + 3 * 3


# ---------------------------------------------------------------------------------------------------- finite loss


@pytest.mark.parametrize(("batch", "training"), [(0, True), (2, True), (0, False)])
def test_loss_that_is_not_finite(data, batch, training):
    """Training stops with a warning that names epoch and lr; the weights are those of the epoch before."""
    record = Record()
    split = {} if training else dict(early_stopping=True, validation_fraction=0.3, n_iter_no_change=99)
    model = regressor(max_epochs=5, lr=0.0123, callbacks=[Spoil(3, batch, training), record], **split)
    message = r"loss was not finite in epoch 3 with lr=0.0123. .* Use a smaller lr or a gradient_clip"
    with pytest.warns(ConvergenceWarning, match=message):
        model.fit(*data)
    assert len(record.weights_) == 2
    if training:
        assert same(weights(model), record.weights_[1])
    assert np.isfinite(model.predict(data[0])).all()


def test_warning_names_the_epoch_that_was_restored(data):
    """Without validation that is the epoch before."""
    with pytest.warns(ConvergenceWarning, match="the weights of epoch 2 were restored"):
        regressor(max_epochs=5, callbacks=[Spoil(3)]).fit(*data)


def test_warning_names_the_best_epoch_with_early_stopping(data):
    """With validation the weights are those of the best epoch, and the warning says so."""
    record = Record()
    options = dict(early_stopping=True, validation_fraction=0.3, n_iter_no_change=99)
    model = regressor(max_epochs=9, tol=0.99, callbacks=[Spoil(4), record], **options)
    with pytest.warns(ConvergenceWarning, match="the weights of epoch 1 were restored"):
        model.fit(*data)  # no loss falls by 99 %, so the first epoch stays the best
    assert len(record.weights_) == 3
    assert same(weights(model), record.weights_[0])


def test_warning_points_at_the_caller(data):
    """The warning names the line that called fit."""
    with pytest.warns(ConvergenceWarning) as caught:
        regressor(callbacks=[Spoil(2)]).fit(*data)
    assert caught[0].filename == __file__


def test_loss_that_is_not_finite_in_the_first_epoch(data):
    """There is nothing to go back to: an error, and the estimator is not fitted."""
    model = regressor(callbacks=[Spoil(1)])
    with pytest.raises(ValueError, match=r"loss was not finite in epoch 1 with lr=0.01. .* Use a smaller lr"):
        model.fit(*data)
    with pytest.raises(ValueError, match="not fitted"):
        model.predict(data[0])


@pytest.mark.parametrize("batch_size", [16, 100])
def test_huge_lr_leaves_a_network_that_predicts(data, batch_size):
    """Whether an epoch is one batch or several, what is restored gives finite predictions."""
    model = regressor(lr=1e30, batch_size=batch_size, max_epochs=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            model.fit(*data)
        except ValueError as error:
            assert "loss was not finite in epoch 1" in str(error)
            return
    assert np.isfinite(model.predict(data[0])).all()


def test_bad_data_in_partial_fit_leaves_the_model_as_it_was(data):
    """A batch that cannot be learned from is an error, but what was learned before is not lost."""
    X, y = data
    model = regressor().fit(X, y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="loss was not finite"):
        model.partial_fit(1e30 * X, y)
    assert_array_equal(model.predict(X), before)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_goes_on_after_a_loss_that_was_not_finite(data, optimizer):
    """After weights were restored, further training starts from them, with no NaN left in the optimizer."""
    model = regressor(optimizer=optimizer, gradient_clip=None, callbacks=[Spoil(3)])
    with pytest.warns(ConvergenceWarning):
        model.fit(*data)
    model.set_params(callbacks=None)
    restored = weights(model)
    for _ in range(2):
        model.partial_fit(*data)
    assert np.isfinite(model.predict(data[0])).all()
    assert not same(weights(model), restored)


def test_finite_losses_are_left_alone(data):
    """Ordinary training neither warns nor changes by being watched: the weights are those of the last epoch."""
    record = Record()
    model = regressor(callbacks=[record]).fit(*data)
    assert same(weights(model), record.weights_[-1])


# ---------------------------------------------------------------------------------------------------- scikit-learn's


class Stop:
    """A callback of scikit-learn's protocol that notes its calls and stops after some epochs."""

    def __init__(self, epochs=None):
        self.epochs, self.calls = epochs, []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(f"{context.task_name} begins")

    def on_fit_task_end(self, estimator, context):
        self.calls.append(f"{context.task_name} ends")
        return self.calls.count("epoch ends") == self.epochs


def test_scoring_monitor_scores_each_epoch(data):
    """A monitor gives the score after each epoch, and that of the fitted estimator at the end."""
    X, y = data

    class Score(Callback):
        scores = []

        def on_epoch_end(self, net, **kwargs):
            copy = deepcopy(model)
            self.scores.append(copy.score(X, y))

    monitor = ScoringMonitor(scoring="r2")
    model = regressor(callbacks=[Score()]).set_callbacks(monitor)
    model.fit(X, y)
    log = monitor.get_logs().data_as_pandas
    assert_allclose(log.loc[log["task_name"] == "epoch", "r2"], Score.scores)
    assert_allclose(log.loc[log["task_name"] == "fit", "r2"], [model.score(X, y)])
    assert len(set(Score.scores)) == 3


def test_scoring_monitor_with_early_stopping(data):
    """The score of the fit is that of the estimator that is returned, whose weights are those of the best epoch."""
    monitor = ScoringMonitor(scoring="r2")
    options = dict(early_stopping=True, validation_fraction=0.3, n_iter_no_change=3, tol=0)
    model = regressor(max_epochs=30, lr=0.3, **options).set_callbacks(monitor).fit(*data)
    assert int(model.history_["valid_loss"].argmin()) < len(model.history_) - 1
    log = monitor.get_logs().data_as_pandas
    assert (log["task_name"] == "epoch").sum() == len(model.history_)
    assert_allclose(log.loc[log["task_name"] == "fit", "r2"], [model.score(*data)])


def test_scoring_monitor_of_a_classifier(data):
    """Classifiers are monitored in the same way."""
    X, y = data
    monitor = ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    model = AttentionLSTMClassifier(**SMALL).set_callbacks(monitor).fit(X, y > 0)
    log = monitor.get_logs().data_as_pandas
    assert_allclose(log.loc[log["task_name"] == "fit", "accuracy"], [model.score(X, y > 0)])
    assert log["neg_log_loss"].notna().all()


def test_monitoring_changes_nothing(data):
    """A monitored estimator learns the same weights, with dropout too."""
    watched = regressor(dropout=0.5).set_callbacks(ScoringMonitor(scoring="r2")).fit(*data)
    assert same(weights(watched), weights(regressor(dropout=0.5).fit(*data)))


@pytest.mark.parametrize("epochs", [1, 2, None])
def test_callback_of_scikit_learn_stops_training(data, epochs):
    """A callback that answers True at the end of an epoch ends training; hooks come in pairs."""
    stop = Stop(epochs)
    model = regressor().set_callbacks(stop).fit(*data)
    n_epochs = epochs or SMALL["max_epochs"]
    assert len(model.history_) == n_epochs
    task = ["fit begins", *["epoch begins", "epoch ends"] * n_epochs, "fit ends"]
    assert stop.calls == ["setup", *task, "teardown"]


def test_callbacks_of_scikit_learn_are_torn_down_after_an_error(data):
    """Teardown comes, whatever happened in between."""
    stop = Stop()
    with pytest.raises(ValueError, match="not finite"):
        regressor(callbacks=[Spoil(1)]).set_callbacks(stop).fit(*data)
    assert stop.calls[-1] == "teardown"


def test_scoring_monitor_in_grid_search(data):
    """Set on the estimator of a search, a monitor sees the epochs of each candidate, fold and the refit."""
    monitor = ScoringMonitor(scoring="r2")
    search = GridSearchCV(regressor(max_epochs=2).set_callbacks(monitor), {"lr": [0.01, 0.1]}, cv=2).fit(*data)
    log = monitor.get_logs().data_as_pandas
    assert (log["task_name"] == "epoch").sum() == (2 * 2 + 1) * 2
    refit = log.loc[(log["task_name"] == "fit") & (log["parent_task_id_path"] == (0,)), "r2"]
    assert_allclose(refit, [search.best_estimator_.score(*data)])


def test_clone_keeps_callbacks_of_scikit_learn(data):
    """A clone is monitored by the same callback."""
    stop = Stop(1)
    model = clone(regressor().set_callbacks(stop)).fit(*data)
    assert len(model.history_) == 1


# ---------------------------------------------------------------------------------------------------- skorch's


def test_epoch_timer_of_ones_own(data):
    """A callback that skorch has by default may be added under a name."""
    model = regressor(callbacks=[("mine", EpochTimer())]).fit(*data)
    assert len(model.net_.history) == 3
    assert "mine" in dict(model.net_.callbacks_)


def test_lr_scheduler_of_ones_own(data):
    """skorch's scheduler: a tenth after each epoch."""
    model = regressor(callbacks=[LRScheduler("StepLR", step_size=1, gamma=0.1)]).fit(*data)
    assert_allclose(model.net_.history[:, "event_lr"], [0.01, 0.001, 0.0001])
    assert not np.array_equal(model.predict(data[0]), regressor().fit(*data).predict(data[0]))


def test_checkpoint(data, tmp_path):
    """Weights of the best epoch go to files, and can be loaded."""
    options = dict(early_stopping=True, validation_fraction=0.3, n_iter_no_change=99, tol=0, max_epochs=6)
    model = regressor(callbacks=[Checkpoint(dirname=tmp_path)], **options).fit(*data)
    saved = torch.load(tmp_path / "params.pt", weights_only=True)
    assert same(learned(saved), weights(model))  # what early stopping restored
    assert (tmp_path / "history.json").exists()


def test_freezer(data):
    """Frozen weights stay as they were drawn, the others learn."""
    model = regressor(callbacks=[Freezer("encoder.*")]).fit(*data)
    drawn = regressor(max_epochs=1, lr=1e-30).fit(*data).network_.state_dict()
    frozen = {name: torch.equal(value, drawn[name]) for name, value in model.network_.state_dict().items()}
    assert {name for name, stayed in frozen.items() if stayed} >= {name for name in frozen if "encoder" in name}
    assert not frozen["head.weight"]
    assert not frozen["embedding.linear.weight"]


def test_param_mapper_and_initializer(data):
    """Weights are set before the first step, by the pattern of their names."""
    ones = regressor(lr=1e-30, callbacks=[Initializer("head.bias", torch.nn.init.ones_)]).fit(*data)
    assert (ones.network_.head.bias == 1).all()

    def double(parameter):
        parameter.data.mul_(2)

    mapped = regressor(lr=1e-30, callbacks=[ParamMapper("head.weight", double, at=1)]).fit(*data)
    assert_allclose(mapped.network_.head.weight.detach(), 2 * ones.network_.head.weight.detach())


def test_scoring_of_ones_own(data):
    """A score on the validation windows is in the history of skorch's net."""

    def largest(net, X, y=None):
        return max(target.abs().max().item() for _, (target, _) in X.batches(7))

    options = dict(early_stopping=True, validation_fraction=0.3)
    scoring = EpochScoring(largest, name="largest", use_caching=False)
    model = regressor(callbacks=[scoring], **options).fit(*data)
    X, y = data
    scaled = (y - model.y_mean_) / model.y_scale_
    assert_allclose(model.net_.history[:, "largest"], [np.abs(scaled[-18:]).max()] * 3, rtol=1e-6)


def test_callback_of_ones_own_sees_training(data):
    """A user's callback is called at every hook, and may end training as skorch's own do."""

    class Mine(Callback):
        def __init__(self):
            self.calls = []

        def on_train_begin(self, net, X=None, y=None, **kwargs):
            self.calls.append(len(X))

        def on_grad_computed(self, net, named_parameters, **kwargs):
            self.calls.append(all(torch.isfinite(p.grad).all() for _, p in named_parameters if p.grad is not None))

        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

        def on_train_end(self, net, **kwargs):
            self.calls.append("end")

    mine = Mine()
    model = regressor(callbacks=[mine]).fit(*data)
    assert mine.calls == [N, *[True] * 8, "end"]
    assert len(model.history_) == 2


def test_callbacks_are_cloned_with_the_estimator(data):
    """A clone has callbacks of its own, and the list given is never added to."""
    given = [Record()]
    model = regressor(callbacks=given)
    other = clone(model)
    model.fit(*data)
    assert model.callbacks is given
    assert len(given) == 1
    assert len(given[0].weights_) == 3
    assert len(other.callbacks[0].weights_) == 0
