"""Tests of the training loop: the loss and one step by hand, alone and shared, shuffling, what the history keeps."""

import threading
import time
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback
from torch import nn

from skattn.net import Batches, HoldoutLast, WindowNet, _ahead
from skattn.nn.random import Dropout
from skattn.parallel import SMALL, Workers
from skattn.windows import WindowDataset

NAN = float("nan")


def wait(condition, seconds=10):
    """Until a condition holds that threads bring about; it fails if none does."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)
    assert condition()


class Shift(nn.Module):
    """The smallest network: the last step plus one number, with the squared error or a loss of one's own."""

    def __init__(self, elementwise=None):
        super().__init__()
        self.b = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.elementwise = elementwise

    def forward(self, past):
        return past[:, -1:] + self.b

    def loss(self, output, target):
        return (output - target) ** 2 if self.elementwise is None else self.elementwise(output, target)


def dataset(past, target, weight=None):
    """Make windows of one step and one channel, in float64."""
    arrays = {"past": past, "target": target, **({} if weight is None else {"weight": weight})}
    return WindowDataset({name: np.array(a, dtype=np.float64).reshape(-1, 1, 1) for name, a in arrays.items()})


def make(module=None, seed=0, **options):
    options = {"optimizer": torch.optim.SGD, "lr": 0.25, "train_split": None, "verbose": 0, "max_epochs": 1, **options}
    net = WindowNet(module or Shift(), torch.Generator().manual_seed(seed), device="cpu", **options)
    return net.initialize()


# ---------------------------------------------------------------------------------------------------- loss


def loss_of(module, output, target, weight=()):
    output, target, weight = (torch.tensor(values, dtype=torch.float64) for values in (output, target, weight))
    return make(module).get_loss(output, (target, weight)).item()


def test_mean_loss_by_hand():
    """Errors of 1 and 3 in one window, 2 and 0 in another: (1 + 9 + 4 + 0) / 4."""
    output, target = [[[1.0], [3.0]], [[2.0], [0.0]]], [[[0.0], [0.0]], [[0.0], [0.0]]]
    assert_allclose(loss_of(Shift(), output, target), 14 / 4)


def test_weighted_mean_loss_by_hand():
    """Windows weigh 2 and 3: (2 * (1 + 9) + 3 * (4 + 0)) / (2 * 2 + 3 * 2)."""
    output, target = [[[1.0], [3.0]], [[2.0], [0.0]]], [[[0.0], [0.0]], [[0.0], [0.0]]]
    assert_allclose(loss_of(Shift(), output, target, [[[2.0]], [[3.0]]]), 32 / 10)


def test_missing_targets_by_hand():
    """A target that is missing has no loss and no weight: (1 + 4 + 0) / 3, or (2 * 1 + 3 * 4) / (2 + 3 * 2)."""
    output, target = [[[1.0], [3.0]], [[2.0], [0.0]]], [[[0.0], [NAN]], [[0.0], [0.0]]]
    assert_allclose(loss_of(Shift(), output, target), 5 / 3)
    assert_allclose(loss_of(Shift(), output, target, [[[2.0]], [[3.0]]]), 14 / 8)


@pytest.mark.parametrize("weight", [(), [[[2.0]], [[0.0]]]])
def test_no_target_at_all(weight):
    """Without anything to compare with, the loss is zero and so is its gradient."""
    net = make()
    past = torch.ones(2, 1, 1, dtype=torch.float64)
    target = torch.tensor([[[NAN]], [[0.0]]]).double() if len(weight) else torch.full((2, 1, 1), NAN).double()
    loss = net.get_loss(net.module_(past), (target, torch.tensor(weight).double()))
    loss.backward()
    assert loss.item() == 0
    assert net.module_.b.grad.item() == 0


def test_loss_that_is_one_number():
    """A loss that averages by itself is taken as it is, as long as there is nothing to weigh."""
    module = Shift(lambda output, target: (output - target).abs().max())
    output, target = [[[1.0], [3.0]], [[2.0], [0.0]]], [[[0.0], [0.0]], [[0.0], [0.0]]]
    assert loss_of(module, output, target) == 3
    assert loss_of(module, output, target, [[[2.0]], [[2.0]]]) == 3
    for missing, weight in ((target, [[[2.0]], [[3.0]]]), ([[[0.0], [NAN]], [[0.0], [0.0]]], ())):
        with pytest.raises(ValueError, match=r"loss returned a single number, but .* Use a loss with an attribute"):
            loss_of(module, output, missing, weight)


# ---------------------------------------------------------------------------------------------------- training


def test_one_step_by_hand():
    """Two windows in one batch, b = 0: the gradient of ((1 - 3)^2 + (2 - 6)^2) / 2 is -6, so b becomes 0.25 * 6."""
    net = make().partial_fit(dataset([1, 2], [3, 6]))
    assert_allclose(net.module_.b.item(), 1.5)
    assert_allclose(net.history[-1, "train_loss"], 10)


def test_two_epochs_with_weights_by_hand():
    """Weights of 1 and 3: b is drawn to (2 + 3 * 4) / 4 = 3.5; a step of 2 * 0.25 goes half of the way."""
    net = make(max_epochs=2).partial_fit(dataset([1, 2], [3, 6], [1, 3]))
    assert_allclose(net.module_.b.item(), 3.5 * 3 / 4)  # 0 -> 1.75 -> 2.625
    # (1 * 4 + 3 * 16) / 4, then (1 * 0.25^2 + 3 * 2.25^2) / 4
    assert_allclose(net.history[:, "train_loss"], [13, (0.0625 + 3 * 5.0625) / 4])


def test_loss_of_an_epoch_is_the_mean_over_windows():
    """With lr = 0 in all but name, batches of 2, 2 and 1 count by their size."""
    net = make(lr=1e-300, batch_size=2).partial_fit(dataset([0] * 5, [1, 2, 3, 4, 5]))
    assert_allclose(net.history[-1, "train_loss"], (1 + 4 + 9 + 16 + 25) / 5)
    assert net.history[-1, "train_batch_count"] == 3


def test_validation_by_hand():
    """The newest two of ten windows validate, after the step, and are not learned from."""
    target = [2.0] * 8 + [10.0, 20.0]
    net = make(train_split=HoldoutLast(0.2)).partial_fit(dataset([0] * 10, target))
    assert_allclose(net.module_.b.item(), 1.0)  # half of the way from 0 to 2
    assert_allclose(net.history[-1, "valid_loss"], (81 + 361) / 2)


def test_windows_are_loaded_in_whole_batches():
    """Training and validation ask for whole batches, and validation keeps the order."""

    class Seen(Callback):
        batches = []

        def on_batch_begin(self, net, batch=None, training=None, **kwargs):
            self.batches.append((training, batch[0]["past"].flatten().tolist()))

    make(train_split=HoldoutLast(0.3), batch_size=4, callbacks=[Seen()]).partial_fit(dataset(range(20), range(20)))
    trained = [batch for training, batch in Seen.batches if training]
    assert [len(batch) for batch in trained] == [4, 4, 4, 2]
    assert sorted(chain(*trained)) == list(range(14))
    assert list(chain(*trained)) != list(range(14))
    assert [batch for training, batch in Seen.batches if not training] == [[14, 15, 16, 17], [18, 19]]


@pytest.mark.parametrize("n_epochs", [1, 5])
def test_history_holds_batches_of_one_epoch_only(n_epochs):
    """Epochs before the last have no batches, but their losses."""
    net = make(max_epochs=n_epochs, batch_size=2).partial_fit(dataset(range(10), range(10)))
    assert [len(epoch["batches"]) for epoch in net.history] == [0] * (n_epochs - 1) + [5]
    assert np.isfinite(net.history[:, "train_loss"]).all()


def test_evaluation_mode_in_validation():
    """Dropout and the like are off while validating."""
    modes = []

    class Watch(Shift):
        def forward(self, past):
            modes.append(self.training)
            return super().forward(past)

    make(Watch(), train_split=HoldoutLast(0.5)).partial_fit(dataset(range(10), range(10)))
    assert modes == [True, False]


@pytest.mark.parametrize(
    ("verbose", "expected"),
    [(0, []), (1, ["progress_bar"]), (2, ["print_log"]), (3, ["print_log"])],
)
def test_default_callbacks(verbose, expected):
    """What is timed, scored and, at a higher verbosity, shown."""
    names = [name for name, _ in make(verbose=verbose)._default_callbacks]
    assert names == ["epoch_timer", "train_loss", "valid_loss", *expected]


# ---------------------------------------------------------------------------------------------------- sharing


class Large(Shift):
    """The smallest network, said to be so much work that any two windows are shared by threads."""

    work = SMALL

    def __init__(self, by_element=True, dropout=0.0):
        super().__init__()
        self.head, self.dropout, self.chunks = SimpleNamespace(by_element=by_element), Dropout(dropout), []

    def forward(self, past):
        if self.training:
            self.chunks.append(past.flatten().tolist())
        return super().forward(self.dropout(past))


def shared(module, windows, n_threads=2, **options):
    """Train with threads that share large batches."""
    net = make(module, **options)
    with Workers(n_threads) as workers, net.sharing(workers):
        return net.partial_fit(windows)


def test_shared_step_by_hand():
    """As of one batch: the gradient of ((1 - 3)^2 + (2 - 6)^2) / 2 is -6, so b becomes 0.25 * 6."""
    net = shared(Large(), dataset([1, 2], [3, 6]))
    assert sorted(net.module_.chunks) == [[1], [2]]
    assert_allclose(net.module_.b.item(), 1.5)
    assert_allclose(net.history[-1, "train_loss"], 10)


def test_shared_steps_with_weights_by_hand():
    """Weights of 1 and 3: b is drawn to (2 + 3 * 4) / 4 = 3.5; a step of 2 * 0.25 goes half of the way."""
    net = shared(Large(), dataset([1, 2], [3, 6], [1, 3]), max_epochs=2)
    assert_allclose(net.module_.b.item(), 3.5 * 3 / 4)  # 0 -> 1.75 -> 2.625
    assert_allclose(net.history[:, "train_loss"], [13, (0.0625 + 3 * 5.0625) / 4])


@pytest.mark.parametrize(
    ("target", "loss", "gradient"),
    [
        ([2.0, NAN, 2.0, 6.0], 44 / 3, -2 * 10 / 3),
        ([NAN, NAN, 2.0, 6.0], 20.0, -8.0),  # nothing in the first of two chunks
        ([2.0, 6.0, NAN, NAN], 20.0, -8.0),
        ([NAN, NAN, NAN, NAN], 0.0, 0.0),
    ],
)
def test_shared_step_with_missing_targets_by_hand(target, loss, gradient):
    """The mean of t^2 and of -2 t over those that are there, whichever chunk they are in."""
    net = make(Large())
    with Workers(2) as workers, net.sharing(workers):
        step = net.train_step_single(dataset([0] * 4, target).__getitems__(np.arange(4)))
    assert sorted(map(len, net.module_.chunks)) == [2, 2]
    assert_allclose(step["loss"].item(), loss)
    assert_allclose(net.module_.b.grad.item(), gradient)


@pytest.mark.parametrize("n_windows", [3, 5, 16, 17])
def test_chunks_are_the_batch_in_order(n_windows):
    """A batch is cut into a power of two of chunks of about the same size, whose windows follow one another."""
    module = Large()
    module.work = 10**9
    batch, (target, weight) = numbered(n_windows).__getitems__(np.arange(n_windows))
    net = make(module)
    with Workers(1) as workers, net.sharing(workers):
        step = net.train_step_single((batch, (target, weight)))
    assert list(chain(*module.chunks)) == list(range(n_windows))
    sizes = [len(one) for one in module.chunks]
    assert len(sizes) == {3: 2, 5: 4, 16: 16, 17: 16}[n_windows]
    assert max(sizes) - min(sizes) <= 1
    expected = net.get_loss(net.module_.eval()(batch["past"]), (target, weight))
    assert_allclose(step["loss"].item(), expected.item())
    assert step["y_pred"] is None


def test_what_is_done_in_one_piece():
    """Outside of the context, with a loss that may look at the batch, or with little to do."""
    windows = dataset([1, 2], [3, 6])
    small = Large()
    small.work = SMALL - 1
    for net in (make(Large()).partial_fit(windows), shared(Large(by_element=False), windows), shared(small, windows)):
        assert [sorted(one) for one in net.module_.chunks] == [[1, 2]]
        assert_allclose(net.module_.b.item(), 1.5)


def test_workers_are_for_the_context_only():
    """They are there on a CPU, and gone at its end, with the generator of noise, also after an error."""
    net = make(Large(dropout=0.5))
    net.module_.dropout.generator = torch.Generator()
    workers = Workers(2)
    with pytest.raises(RuntimeError, match="on purpose"), net.sharing(workers):
        assert (net.workers, net.noise) == (workers, net.module_.dropout.generator)
        raise RuntimeError("on purpose")
    assert (net.workers, net.noise) == (None, None)
    still = make(Large())
    with still.sharing(workers):
        assert (still.workers, still.noise) == (workers, None)
    still.device = "cuda"
    with still.sharing(workers):
        assert still.workers is None


# ---------------------------------------------------------------------------------------------------- shuffling


def order_of(batches):
    """The windows of each batch, by their number."""
    return [batch["past"].flatten().long().tolist() for batch, _ in batches]


def numbered(n):
    return dataset(range(n), range(n))


def test_no_generator_keeps_the_order():
    """Batches in order, the last one incomplete."""
    assert order_of(Batches(numbered(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10])
def test_shuffled_batches_cover_each_window_once(batch_size):
    """A shuffled epoch has every window once, in another order each time; its last batch is incomplete."""
    batches = Batches(numbered(10), batch_size, torch.Generator().manual_seed(0))
    first, second = order_of(batches), order_of(batches)
    assert [len(one) for one in first] == [batch_size] * (10 // batch_size) + [10 % batch_size] * (10 % batch_size > 0)
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(10))
    assert list(chain(*first)) != list(chain(*second))


def test_shuffling_comes_from_the_generator():
    """Equal seeds give equal epochs; the global random states are neither read nor changed."""
    torch.manual_seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one = order_of(Batches(numbered(50), 8, torch.Generator().manual_seed(3)))
    torch.manual_seed(1)
    same, other = (order_of(Batches(numbered(50), 8, torch.Generator().manual_seed(seed))) for seed in (3, 4))
    assert one == same
    assert one != other
    torch.manual_seed(0)
    order_of(Batches(numbered(50), 8, torch.Generator().manual_seed(3)))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_targets_stay_with_their_windows():
    """Shuffling moves past, target and weight together."""
    windows = dataset(range(50), [10 * i for i in range(50)], [100 * i for i in range(50)])
    for batch, (target, weight) in Batches(windows, 8, torch.Generator().manual_seed(0)):
        assert_array_equal(target, 10 * batch["past"])
        assert_array_equal(weight, 100 * batch["past"])


def test_part_of_a_dataset_is_shuffled_within_itself():
    """Batches of a part hold its windows only."""
    part = numbered(20).take(np.arange(3, 17, 2))
    assert sorted(chain(*order_of(Batches(part, 4, torch.Generator().manual_seed(0))))) == list(range(3, 17, 2))


# ---------------------------------------------------------------------------------------------------- sent ahead


@pytest.fixture
def unpinned(monkeypatch):
    """Pinned memory needs a GPU."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)


def test_batches_sent_ahead(unpinned):
    """All batches in their order, each gathered while the one before it is worked on, by a thread that ends."""
    gathered, all_threads = [], threading.active_count()

    def batches():
        for batch in Batches(numbered(7), 3):
            gathered.append(threading.current_thread())
            yield batch

    sent = _ahead(batches(), torch.device("cpu"))
    first = next(sent)
    wait(lambda: len(gathered) == 2)
    assert order_of([first, *sent]) == [[0, 1, 2], [3, 4, 5], [6]]
    assert threading.main_thread() not in gathered
    wait(lambda: threading.active_count() == all_threads)


def test_error_while_gathering(unpinned):
    """What goes wrong in the thread is raised where the batch is asked for."""

    def batches():
        yield next(iter(Batches(numbered(3), 3)))
        raise OSError("the disk is gone")

    sent = _ahead(batches(), torch.device("cpu"))
    next(sent)
    with pytest.raises(OSError, match="the disk is gone"):
        next(sent)


def test_training_that_stops_early_ends_the_thread(unpinned):
    """A training that needs no more batches leaves no thread behind."""
    all_threads = threading.active_count()
    sent = _ahead(iter(Batches(numbered(70), 3)), torch.device("cpu"))
    next(sent)
    sent.close()
    wait(lambda: threading.active_count() == all_threads)


def test_who_sends_ahead(monkeypatch):
    """Only batches for a GPU, of a dataset that is not there already."""
    monkeypatch.setattr("skattn.net._ahead", lambda batches, device: iter(["ahead"]))
    windows = numbered(3)
    assert list(Batches(windows, 2, device="cuda")) == ["ahead"]
    assert order_of(Batches(windows, 2)) == [[0, 1], [2]]
    windows.resident = {name: torch.tensor(array) for name, array in windows.arrays.items()}
    assert order_of(Batches(windows, 2, device="cuda")) == [[0, 1], [2]]
