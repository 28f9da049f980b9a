"""Tests of work on several cores: chunks and gradients by hand, the same bits for any number of threads, their end."""

import pickle
import platform
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, Checkpoint, Freezer
from torch import nn
from torch.testing import assert_close

from skattn import AttentionLSTMClassifier, AttentionLSTMForecaster, AttentionLSTMRegressor, linear
from skattn.nn.encoder import LSTMEncoder
from skattn.parallel import Workers, n_chunks, share
from skattn.windows import WindowDataset, cut

N, L, C, S = 61, 5, 3, 7
SMALL = dict(
    hidden_size=7, embedding_dim=2, attention_dim=11, batch_size=16, max_epochs=2, early_stopping=False, random_state=0
)

KINDS = [AttentionLSTMRegressor, AttentionLSTMClassifier]
both = pytest.mark.parametrize("kind", KINDS, ids=["regressor", "classifier"])


def windows(n=N, seed=0):
    return np.random.default_rng(seed).normal(size=(n, L, C)).astype(np.float32)


def target_of(kind, X):
    """Make targets that depend on one value of each window."""
    return X[:, 2, 1].astype(float) if kind is AttentionLSTMRegressor else np.where(X[:, 2, 1] > 0.3, "up", "down")


def make(kind=AttentionLSTMRegressor, **parameters):
    return kind(**{**SMALL, **parameters})


def fitted(kind=AttentionLSTMRegressor, weight=None, **parameters):
    X = windows()
    return make(kind, **parameters).fit(X, target_of(kind, X), **({} if weight is None else {"sample_weight": weight}))


def output(model, X=None):
    """Predictions as numbers."""
    X = windows() if X is None else X
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


def bits(model):
    return torch.cat([value.flatten() for value in model.network_.state_dict().values()])


def learned(model):
    """What training changes: the gate is chosen afterwards."""
    state = model.network_.state_dict().items()
    return torch.cat([value.flatten() for name, value in state if name != "gate.share"])


def ours():
    """Threads of the package that are alive."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("skattn")]


@pytest.fixture(autouse=True)
def three_threads():
    """Let torch have three threads. Without `n_threads` so many share chunks, and all other work is for one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def steps(monkeypatch):
    """Have threads share batches of a few windows of a tiny network; each step leaves the number of its chunks here.

    A layer's states of 16 windows of SMALL are 16 * 5 * 7 = 560 numbers, and so 4 chunks of at most 150.
    """
    monkeypatch.setattr("skattn.parallel.SMALL", 50)
    monkeypatch.setattr("skattn.parallel.LARGE", 150)
    counts, gradients = [], Workers.gradients

    def counting(self, losses, parameters):
        counts.append(len(losses))
        return gradients(self, losses, parameters)

    monkeypatch.setattr(Workers, "gradients", counting)
    return counts


# ---------------------------------------------------------------------------------------------------- chunks


@pytest.mark.parametrize(
    ("size", "n_windows", "expected"),
    [
        (0, 64, 1),
        (79_999, 64, 1),  # less than 40 000 for each of two threads
        (80_000, 64, 2),
        (800_000, 64, 2),  # 400 000 each
        (800_001, 64, 4),
        (1_600_000, 64, 4),
        (10_000_000, 64, 32),  # 25 times 400 000
        (10_000_000, 31, 16),  # but never more than windows
        (10_000_000, 8, 8),
        (10_000_000, 3, 2),
        (10_000_000, 1, 1),
        (80_000, 1, 1),
    ],
)
def test_chunks_by_hand(size, n_windows, expected):
    """One below a border, then two, then as many as keep each below another."""
    assert n_chunks(size, n_windows) == expected


def test_chunks_are_powers_of_two():
    """And at most as many as windows, and no fewer for a larger size."""
    for n_windows in range(1, 70):
        counts = [n_chunks(size, n_windows) for size in range(0, 20_000_000, 39_979)]
        assert {*counts} <= {1, 2, 4, 8, 16, 32, 64}
        assert max(counts) <= n_windows
        assert counts == sorted(counts)


# ---------------------------------------------------------------------------------------------------- workers


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_map_by_hand(n_threads):
    """Results are in the order of the items, whoever is done first, from as many threads at a time as asked for."""
    barrier, names = threading.Barrier(n_threads), set()

    def square(item):
        names.add(threading.current_thread().name)
        barrier.wait(30)
        return item**2

    with Workers(n_threads) as workers:
        assert workers.map(square, range(6)) == [0, 1, 4, 9, 16, 25]
    assert len(names) == n_threads
    assert not ours()


def test_order_does_not_depend_on_who_is_done_first():
    """The first item waits for the second."""
    done = threading.Event()

    def number(item):
        assert done.wait(30) if item == 0 else done.set() is None
        return item

    with Workers(2) as workers:
        assert workers.map(number, [0, 1]) == [0, 1]
        assert workers.map(number, []) == []


def test_shared_by_the_workers_of_the_context():
    """Results come one by one in the order of the items; without workers, or with one, this thread does them."""
    names = set()

    def square(item):
        names.add(threading.current_thread().name)
        return item**2

    assert list(share(square, range(7))) == [0, 1, 4, 9, 16, 25, 36]
    with Workers(1):
        assert list(share(square, range(7))) == [0, 1, 4, 9, 16, 25, 36]
    assert names == {threading.current_thread().name}
    with Workers(3):
        with Workers(2):
            pass
        names.clear()
        assert list(share(square, range(7))) == [0, 1, 4, 9, 16, 25, 36]
        assert list(share(square, [])) == []
    assert names <= {f"skattn_{number}" for number in range(3)}
    assert names
    names.clear()
    assert next(share(square, [3])) == 9
    assert names == {threading.current_thread().name}


def test_few_results_wait():
    """No more items are begun than threads, and one, are ahead of what was taken."""
    begun = []
    with Workers(2):
        results = share(begun.append, range(100))
        assert not begun
        for taken in range(1, 5):
            next(results)
            assert len(begun) <= taken + 2
        results.close()


def test_linear_part_is_the_same_with_any_number_of_threads(monkeypatch):
    """Sums over chunks are added in their order, and so are the errors that choose between penalties."""
    monkeypatch.setattr("skattn.linear.CHUNK", 500)
    y = np.random.default_rng(0).normal(size=(400, 2)).cumsum(0).astype(np.float32)
    y[50:60, 1] = np.nan
    seen, sums_up = set(), linear.sum_up

    def summing(*arguments):
        seen.add(threading.active_count())
        return sums_up(*arguments)

    monkeypatch.setattr("skattn.parts.sum_up", summing)
    models = [
        AttentionLSTMRegressor(**SMALL | {"early_stopping": True}, n_threads=n_threads).fit_windows(cut(y, 24, 5))
        for n_threads in (1, 2, 3)
    ]
    assert len(seen) > 1
    assert same(models)


def test_threads_do_not_share_out_further():
    """An operation of a thread is done by it alone; how many threads the caller has is as it was, within and after."""
    with Workers(2) as workers:
        assert workers.map(lambda _: torch.get_num_threads(), range(4)) == [1] * 4
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 3


def test_gradients_by_hand():
    """w0 + 2 w1 and w0^2 + w1^2 at 2 and 3: 8 + 13, by w 1 + 2 * 2 and 2 + 2 * 3; none is added to what was there."""
    w = nn.Parameter(torch.tensor([2.0, 3.0]))
    losses = [lambda: (w * torch.tensor([1.0, 2.0])).sum(), lambda: (w**2).sum()]
    with Workers(2) as workers:
        for _ in range(2):
            assert workers.gradients(losses, [w]).item() == 21
            assert w.grad.tolist() == [5, 8]
        assert not workers.gradients(losses, [w]).requires_grad


MODULES = {
    "lstm": lambda: nn.LSTM(3, 5, num_layers=2, batch_first=True),
    "gru": lambda: nn.GRU(3, 5, batch_first=True),
    "linear": lambda: nn.Linear(3, 5),
}


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("n_losses", [2, 5])
@pytest.mark.parametrize("name", MODULES)
def test_gradients_are_those_of_the_sum(name, n_losses, n_threads):
    """As torch finds them from the sum, and each in memory of its own: both biases of an LSTM can be scaled."""
    module = MODULES[name]().double()
    chunks = torch.randn(n_losses, 11, 7, 3, dtype=torch.float64)

    def loss_of(chunk):
        output = module(chunk)
        return (output[0] if isinstance(output, tuple) else output).square().sum()

    expected = sum(loss_of(chunk) for chunk in chunks)
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(expected, parameters)
    with Workers(n_threads) as workers:
        loss = workers.gradients([lambda chunk=chunk: loss_of(chunk) for chunk in chunks], parameters)
    assert_close(loss, expected.detach(), rtol=1e-12, atol=0)
    for parameter in parameters:
        parameter.grad.mul_(3)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        assert_close(parameter.grad, 3 * gradient, rtol=1e-10, atol=1e-14)


def test_parameter_that_no_loss_uses():
    """It has no gradient, also where it had one."""
    used, unused = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(5))
    unused.grad = torch.ones(5)
    with Workers(2) as workers:
        workers.gradients([lambda: used.sum(), lambda: used.prod()], [used, unused])
    assert used.grad.tolist() == [2] * 3
    assert unused.grad is None


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("place", [0, 2])
def test_error_in_a_loss(place, error):
    """It is raised, no gradient is set, and the threads end."""
    w = nn.Parameter(torch.ones(3))

    def fail():
        raise error("on purpose")

    losses = [lambda: w.sum()] * 3
    losses[place] = fail
    with pytest.raises(error, match="on purpose"), Workers(2) as workers:
        workers.gradients(losses, [w])
    assert w.grad is None
    assert not ours()


# ---------------------------------------------------------------------------------------------------- training

QUIET = {
    "plain": {},
    "classes": dict(kind=AttentionLSTMClassifier),
    "members": dict(n_members=2),
    "transformer": dict(encoder="transformer"),
    "gradient descent": dict(optimizer="sgd", gradient_clip=0.1, lr_schedule="cosine", weight_decay=0.1),
    "held out": dict(early_stopping=True, validation_fraction=0.3),
    "no skip": dict(linear_skip=False, normalization="window"),
}
DROPOUT, NOISE = dict(dropout=0.4), dict(attention_noise=0.5)
WAYS = {
    "plain": {},
    "classes": QUIET["classes"] | DROPOUT,
    "members": QUIET["members"] | DROPOUT | NOISE,
    "transformer": QUIET["transformer"] | DROPOUT,
    "gradient descent": QUIET["gradient descent"],
    "held out": QUIET["held out"] | DROPOUT,
    "layers": dict(num_layers=2) | DROPOUT,
    "everywhere": dict(attention_position="both", channel_attention="dot") | NOISE,
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def same(models):
    """Whether weights, losses and generators are the same to the last bit."""
    first, *others = models
    return all(
        torch.equal(bits(first), bits(other))
        and first.history_["train_loss"].equals(other.history_["train_loss"])
        and torch.equal(first._generator.get_state(), other._generator.get_state())
        for other in others
    )


@every_way
def test_same_bits_with_any_number_of_threads(way, steps):
    """Weights, losses and predictions do not depend on how many threads share the chunks; 61 windows are four steps."""
    weight = np.random.default_rng(1).uniform(0, 3, N)
    models = [fitted(weight=weight, **way, n_threads=n_threads) for n_threads in (1, None)]
    assert len(steps) == 2 * 2 * (3 if "early_stopping" in way else 4)  # of each model and epoch
    assert {*steps} == ({2, 4} if "early_stopping" in way else {4})
    assert same(models)
    assert_array_equal(output(models[0]), output(models[1]))
    assert not same([models[0], fitted(weight=weight, **{**way, "max_epochs": 1})])


@pytest.mark.parametrize("how", [dict(channel_mode="independent"), dict(spatial_attention="dot")], ids=["alone", "dot"])
def test_same_bits_of_rows_of_sensors(how, steps):
    """Where each sensor has rows of its own, there is the more to share."""
    X = np.random.default_rng(0).normal(size=(N, L, S, 2)).astype(np.float32)
    y = X[:, 3, :, 0] + np.roll(X[:, 2, :, 1], 1, axis=1)
    models = [make(**how, dropout=0.4, n_threads=n_threads).fit(X, y) for n_threads in (1, None)]
    assert same(models)
    assert {*steps} == {8, 16}  # 13 windows in the last batch


@every_way
def test_chunks_can_be_done_in_any_order(way, steps, monkeypatch):
    """One after the other from the last to the first: noise and sums are those of the chunk, not of the moment."""
    model = fitted(**way)
    monkeypatch.setattr(Workers, "map", lambda _, function, items: [function(item) for item in [*items][::-1]][::-1])
    assert same([model, fitted(**way)])


def test_chunks_have_noise_of_their_own(steps):
    """What is drawn differs from chunk to chunk and from step to step, also after validation, which has none."""
    drawn = []

    class Watch(LSTMEncoder):
        __module__ = LSTMEncoder.__module__  # else it would be a part of the user's own

        def forward(self, x, mask=None):
            if self.training:
                drawn.append(self.dropout(torch.ones(97)).tolist())
            return super().forward(x, mask)

    fitted(encoder=Watch, **WAYS["held out"])
    assert len(drawn) == sum(steps) == 2 * (4 + 4 + 2)
    assert len({tuple(one) for one in drawn}) == len(drawn)


def test_forecaster_with_everything_missing_and_known(steps):
    """A series with holes, drivers known ahead and a calendar is cut up alike, and so are the forecasts."""
    index = pd.date_range("2021-03-01", periods=N + 7, name="day")
    rng = np.random.default_rng(0)
    y = pd.DataFrame(rng.normal(size=(N + 7, 2)).cumsum(0), index, columns=["in", "out"])
    X = pd.DataFrame(rng.normal(size=(N + 7, 2)), index, columns=["sun", "wind"])
    y.iloc[5:9, 0] = y.iloc[40:, 1] = X.iloc[3] = np.nan
    models = [
        AttentionLSTMForecaster(
            make(n_members=2, dropout=0.4, attention_noise=0.5, channel_mode="independent", n_threads=n_threads),
            window_length=L,
            periods=[3],
            periods_role="embed",
            random_state=0,
        ).fit(y[:N], X[:N], fh=range(1, 8))
        for n_threads in (1, None)
    ]
    assert same([model.regressor_ for model in models])
    assert min(steps) > 1
    assert_array_equal(models[0].predict(X=X[N:]), models[1].predict(X=X[N:]))


@pytest.mark.parametrize("way", QUIET.values(), ids=QUIET)
def test_chunks_are_the_batch(way, steps, monkeypatch):
    """In float64, steps in chunks are those of whole batches, with weights too."""
    options = {**way, "dtype": "float64", "linear_skip": False}
    weight = np.random.default_rng(1).uniform(0, 3, N) * (np.arange(N) % 5 > 0)
    model = fitted(weight=weight, **options)
    n_shared = len(steps)
    monkeypatch.setattr("skattn.net.n_chunks", lambda size, n_windows: 1)
    whole = fitted(weight=weight, **options)
    assert n_shared == len(steps) > 0
    assert_close(bits(model), bits(whole), rtol=1e-6, atol=1e-9)
    assert_allclose(model.history_["train_loss"], whole.history_["train_loss"], rtol=1e-9)


@pytest.mark.parametrize("how", [{}, dict(channel_mode="independent"), dict(spatial_attention="dot")])
def test_chunks_of_a_series_are_the_batch(how, steps, monkeypatch):
    """In float64 also where targets are missing, in whole chunks and whole batches, and with drivers known ahead."""
    rng = np.random.default_rng(0)
    series, future = rng.normal(size=(131, C)).cumsum(0), rng.normal(size=(131, 2))
    series[30:90, 0], series[17:101, 1] = np.nan, np.nan
    options = dict(dtype="float64", linear_skip=False, **how)
    datasets = [cut(series, L, 2, n_targets=2, future=future, place=np.arange(131), periods=[3]) for _ in range(2)]
    model = make(**options).fit_windows(datasets[0])
    n_shared = len(steps)
    monkeypatch.setattr("skattn.net.n_chunks", lambda size, n_windows: 1)
    whole = make(**options).fit_windows(datasets[1])
    assert n_shared == len(steps) > 0
    assert_close(bits(model), bits(whole), rtol=1e-6, atol=1e-9)
    assert_allclose(model.history_["train_loss"], whole.history_["train_loss"], rtol=1e-9)


def test_large_batches_are_shared(monkeypatch):
    """64 windows of 96 steps and 64 units are 393 216 numbers, two chunks, for one thread as for three."""
    rng, counts, gradients = np.random.default_rng(0), [], Workers.gradients

    def counting(self, losses, parameters):
        counts.append((self.n_threads, len(losses)))
        return gradients(self, losses, parameters)

    monkeypatch.setattr(Workers, "gradients", counting)
    X = rng.normal(size=(128, 96, 2)).astype(np.float32)
    options = dict(hidden_size=64, embedding_dim=32, batch_size=64, max_epochs=2, dropout=0.2, linear_skip=False)
    # Without n_threads only chunks are shared, by as many threads as torch has: other work is for one thread.
    models = [make(**options, n_threads=n_threads).fit(X, X[:, 90, 0]) for n_threads in (1, None)]
    assert counts == [(1, 2)] * 4 + [(3, 2)] * 4
    assert same(models)
    assert_array_equal(models[0].predict(X), models[1].predict(X))
    counts.clear()
    make(**options | dict(batch_size=13)).fit(X[:13], X[:13, 90, 0])
    assert not counts  # 79 872 numbers


STEPS = """
import resource
import numpy as np
from skorch.callbacks import Callback
from skattn import AttentionLSTMRegressor

class Faults(Callback):
    def on_train_begin(self, net, **kwargs):
        self.seen_ = []
    def on_batch_end(self, net, **kwargs):
        self.seen_.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

faults = Faults()
X = np.random.default_rng(0).normal(size=(256 * 9, 96, 1)).astype(np.float32)
model = AttentionLSTMRegressor(hidden_size=64, batch_size=256, max_epochs=1, early_stopping=False, linear_skip=False)
model.set_params(n_threads=2, callbacks=[faults]).fit(X, X[:, 90, 0])
print(int(np.median(np.diff(faults.seen_))))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is this library that gives memory back")
def test_memory_is_kept_between_steps():
    """A step does not fetch anew the memory that the one before it released, which is 2000 pages."""
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200


class MeanAbsolute(nn.Module):
    """A loss of one's own that averages by itself."""

    def forward(self, prediction, target):
        return (prediction - target).abs().mean()


class Absolute(nn.Module):
    """A loss of one's own, one number per target."""

    def forward(self, prediction, target):
        return (prediction - target).abs()


UNSHARED = {
    "torch's": dict(loss=nn.L1Loss),
    "a module": dict(loss=Absolute()),
    "one number": dict(loss=MeanAbsolute),
    "dual stage": dict(encoder="dual_stage"),
}


@pytest.mark.parametrize("way", UNSHARED.values(), ids=UNSHARED)
def test_what_is_not_shared(way, steps, monkeypatch):
    """A loss of one's own may look at the whole batch, and a dual stage is Python's work: they train in one piece."""
    model = fitted(**way, dropout=0.4)
    assert not steps
    assert model.history_["train_loss"].iloc[-1] < model.history_["train_loss"].iloc[0]
    if "loss" in way:
        monkeypatch.setattr("skattn.net.n_chunks", lambda size, n_windows: 1)
        assert_close(bits(model), bits(fitted(loss="absolute_error", dropout=0.4)), rtol=1e-4, atol=1e-6)


class Meet(Callback):
    """Have as many threads as said meet within the forward of the network in training."""

    def __init__(self, n_threads):
        self.barrier = threading.Barrier(n_threads)

    def on_train_begin(self, net, **kwargs):
        net.module_.register_forward_hook(self.wait)

    def wait(self, network, *_):
        if network.training:
            self.barrier.wait(30)


@pytest.mark.parametrize(("n_threads", "expected"), [(2, 2), (5, 5), (None, 3)])
def test_chunks_are_trained_on_at_once(n_threads, expected, steps, monkeypatch):
    """As many threads as asked for, or as torch has, are in the network together, and the bits are those of one."""
    monkeypatch.setattr("skattn.net.n_chunks", lambda size, n_windows: expected)
    options = dict(max_epochs=1, linear_skip=False)
    model = fitted(n_threads=n_threads, callbacks=[Meet(expected)], **options)
    assert steps == [expected] * 4
    assert same([model, fitted(n_threads=1, **options)])


def test_fits_at_once_share_nothing(steps):
    """Four fits at once in threads, each with threads of its own, give what each gives alone."""
    options = [dict(random_state=seed, **DROPOUT, **NOISE) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: fitted(**one), options))
    for model, one in zip(together, options, strict=True):
        assert same([model, fitted(**one)])
    assert not same(together[:2])


# ---------------------------------------------------------------------------------------------------- predicting


@pytest.fixture
def many():
    """More windows than are forecast at a time, of sensors, and a target that depends on them."""
    X = np.random.default_rng(0).normal(size=(2 * 128 + N, L, S, 2)).astype(np.float32)
    return X, X[:, 3, :, 0]


@both
def test_same_predictions_with_any_number_of_threads(kind):
    """In the order of the windows, as each chunk has them by itself; no gradient is kept."""
    X, model = windows(2 * 128 + N), fitted(kind, max_epochs=1)
    expected = np.concatenate([output(model, chunk) for chunk in np.split(X, [128, 256])])
    for n_threads in (1, 2, 3, None):
        assert_array_equal(output(model.set_params(n_threads=n_threads), X), expected)
    assert not ours()


@pytest.mark.parametrize("kind", ["temporal", "channel", "spatial", "state", "input"])
@pytest.mark.parametrize("per_head", [False, True])
def test_same_weights_with_any_number_of_threads(many, kind, per_head):
    """Attention weights too, of every kind."""
    options = dict(channel_attention="dot", spatial_attention="dot", attention_position="both", max_epochs=1)
    model = make(**options, num_heads=2, attention_dim=12, hidden_size=6).fit(many[0][:N], many[1][:N])
    one, two = (
        model.set_params(n_threads=n_threads).attention_weights(many[0], kind=kind, per_head=per_head)
        for n_threads in (1, 2)
    )
    assert_array_equal(one, two)
    assert len(one) == len(many[0])


@both
def test_same_losses_with_any_number_of_threads(kind):
    """The loss of each window too, and an error within a thread is raised as it is."""
    X = windows(2 * 128 + N)
    y = target_of(kind, X)
    target = y if kind is AttentionLSTMRegressor else np.unique(y, return_inverse=True)[1]
    dataset = WindowDataset({"past": X, "target": target.astype(np.float32)[:, None, None]})
    model = fitted(kind, max_epochs=1)
    one, two = (model.set_params(n_threads=n_threads).loss_windows(dataset) for n_threads in (1, 2))
    assert_array_equal(one, two)
    assert one.shape == (len(X),)
    if kind is AttentionLSTMRegressor:
        with pytest.raises(ValueError, match="loss returned a single number, but that of each window is wanted"):
            fitted(loss=MeanAbsolute).loss_windows(dataset)
    assert not ours()


@pytest.mark.parametrize(
    ("n_threads", "n_windows", "names"),
    [
        (1, 3 * 128, {"MainThread"}),
        (3, 128, {"MainThread"}),  # one chunk
        (2, 128 + 1, {"skattn_0", "skattn_1"}),
        (3, 3 * 128, {"skattn_0", "skattn_1", "skattn_2"}),
        (None, 3 * 128, {"skattn_0", "skattn_1", "skattn_2"}),
    ],
)
def test_who_predicts(n_threads, n_windows, names):
    """Chunks are forecast at once by threads that do not share out further, or one after the other by the caller."""
    model = fitted(max_epochs=1).set_params(n_threads=n_threads)
    seen, barrier = set(), threading.Barrier(len(names))

    def note(*_):
        barrier.wait(30)
        alone = torch.get_num_threads() == 1 or threading.current_thread() is threading.main_thread()
        seen.add((threading.current_thread().name, alone, torch.is_inference_mode_enabled()))

    model.network_.register_forward_hook(note)
    model.predict(windows(n_windows))
    assert seen == {(name, True, True) for name in names}
    assert torch.get_num_threads() == 3


class Own(nn.Module):
    """An encoder of the user's own, with dropout that draws from torch's global state."""

    def __init__(self, input_size, hidden_size, num_layers, num_heads, dropout):
        super().__init__()
        self.lstm, self.dropout = nn.LSTM(input_size, hidden_size, batch_first=True), nn.Dropout(0.5)

    def forward(self, x, mask=None):
        states = self.lstm(self.dropout(x))[0]
        return states, states[:, -1:]


def test_parts_of_the_users_own_are_not_shared(steps):
    """What they draw or remember would depend on the moment: equal fits from an equal state are equal."""
    found = []
    for n_threads in (2, 2, 1):
        torch.manual_seed(0)
        model = fitted(encoder=Own, n_threads=n_threads)
        assert model.network_.work == 0
        found.append(model)
    assert same(found)
    assert not steps


def test_net_is_saved_while_it_trains(tmp_path, steps):
    """Copies that a callback makes have no threads, and the weights of the moment."""
    model = fitted(callbacks=[Checkpoint(monitor=None, f_pickle="net.pkl", dirname=tmp_path)])
    assert steps
    saved = pickle.loads((tmp_path / "net.pkl").read_bytes())
    for one, other in zip(saved.module_.encoder.parameters(), model.network_.encoder.parameters(), strict=True):
        assert torch.equal(one, other)


def test_parameter_that_some_chunks_use():
    """Its gradient is the sum over those that do."""
    p, q = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    with Workers(2) as workers:
        workers.gradients([lambda: p.sum(), lambda: (2 * p * q).sum(), lambda: q.sum()], [p, q])
    assert_array_equal(p.grad, torch.full((3,), 3.0))
    assert_array_equal(q.grad, torch.full((3,), 3.0))


def test_dual_stage_predicts_by_itself():
    """It is Python's work, which threads cannot share."""
    model, names = fitted(encoder="dual_stage", max_epochs=1), set()
    model.network_.register_forward_hook(lambda *_: names.add(threading.current_thread().name))
    model.predict(windows(2 * 128 + N))
    assert names == {"MainThread"}


# ---------------------------------------------------------------------------------------------------- manners


class Fail(Callback):
    """Raise an error at the end of the third batch of training."""

    def __init__(self, error):
        self.error, self.left = error, 3

    def on_batch_end(self, net, training=None, **kwargs):
        self.left -= bool(training)
        if not self.left:
            raise self.error("on purpose")


class Broken(LSTMEncoder):
    """An encoder that raises an error in the second chunk of the second step of training."""

    __module__ = LSTMEncoder.__module__  # else it would be a part of the user's own
    error = RuntimeError

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.chunks = iter([None] * 5 + [self.error])

    def forward(self, x, mask=None):
        error = next(self.chunks, None) if self.training else None
        if error:
            raise error("on purpose")
        return super().forward(x, mask)


class Interrupted(Broken):
    """The same, as if somebody had pressed a key."""

    __module__ = LSTMEncoder.__module__

    error = KeyboardInterrupt


ENDS = {
    "the end": (dict, None),
    "a callback": (lambda: dict(callbacks=[Fail(RuntimeError)]), RuntimeError),
    "a stop": (lambda: dict(callbacks=[Fail(KeyboardInterrupt)]), None),
    "a chunk": (lambda: dict(encoder=Broken), RuntimeError),
    "a stop in a chunk": (lambda: dict(encoder=Interrupted), None),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(("way", "error"), ENDS.values(), ids=ENDS)
def test_threads_end(way, error, method, steps):
    """However training ends, no thread is left, and torch has as many as before."""
    X = windows()
    model, y = make(**way()), target_of(AttentionLSTMRegressor, X)
    if error is None:
        getattr(model, method)(X, y).predict(X)
    else:
        with pytest.raises(error, match="on purpose"):
            getattr(model, method)(X, y)
    assert steps
    assert not ours()
    assert torch.get_num_threads() == 3
    assert (model.net_.workers, model.net_.noise) == (None, None)
    assert "workers" not in model.__getstate__()


@both
def test_copies_after_training_with_threads(kind, steps):
    """A fitted estimator is pickled, copied and cloned, and training goes on from there, as after any other."""
    X = windows()
    model, y = fitted(kind, **DROPOUT), target_of(kind, X)
    for other in (pickle.loads(pickle.dumps(model)), deepcopy(model), clone(model).fit(X, y)):
        assert_array_equal(output(other), output(model))
    others = pickle.loads(pickle.dumps(model)).set_params(n_threads=1), pickle.loads(pickle.dumps(model))
    assert same([other.partial_fit(X, y) for other in others])
    pickle.dumps(model.net_)


def test_global_random_state_is_left_alone(steps):
    """Dropout and noise of chunks neither read nor change torch's own generator, in whatever thread."""
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        models.append(fitted(**DROPOUT, **NOISE, num_layers=2))
        assert torch.equal(torch.get_rng_state(), before)
    assert same(models)


def test_what_callbacks_are_told(steps):
    """The loss and the gradients of a step that was shared, and no prediction; the history has what it always has."""
    told = []

    class Listen(Callback):
        def on_grad_computed(self, net, named_parameters=(), **kwargs):
            told.append({name for name, parameter in named_parameters if parameter.grad is not None})

        def on_batch_end(self, net, training=None, loss=None, y_pred=None, **kwargs):
            assert (y_pred is None) is training

    model = fitted(callbacks=[Listen(), Freezer("head*")], **WAYS["held out"])
    names = {name for name, parameter in model.network_.named_parameters() if parameter.requires_grad}
    assert told == [names] * len(steps)
    assert not any(name.startswith("head") for name in names)
    assert list(model.history_.columns) == list(fitted(**WAYS["held out"], loss=nn.MSELoss).history_.columns)


def test_loss_that_is_not_finite(steps):
    """Training in chunks stops with the same warning, and the weights of the epoch before."""

    class Spoil(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                with torch.no_grad():
                    net.module_.head.bias.fill_(float("nan"))

    with pytest.warns(ConvergenceWarning, match="The loss was not finite in epoch 3 with"):
        model = fitted(callbacks=[Spoil()], max_epochs=5)
    assert len(steps) == 2 * 4 + 1
    assert np.isfinite(output(model)).all()
    assert torch.equal(learned(model), learned(fitted(max_epochs=2)))
