"""Tests of the windows: cut against a naive loop, views that share memory, batches, and the split of the newest."""

import tracemalloc
from copy import copy
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch.utils.data import DataLoader

from skattn.net import Batches, HoldoutLast
from skattn.windows import WindowDataset, _as_tensor, cut, distinct_steps, make_resident, row_gap, steps

T, L, H, C, M, K = 31, 5, 3, 7, 2, 11
LENGTHS = (17, 8, 3, 23)  # of the series of a panel; with L + H = 8 steps the third is too short for a window


def series(length=T, n_channels=C, start=0):
    """Number the values, so that each is unique: step s of channel c is 100 s + c."""
    rows = np.arange(start, start + length, dtype=np.float32)
    return rows[:, None] * 100 + np.arange(n_channels, dtype=np.float32)


def panel(lengths=LENGTHS, n_channels=C):
    """Make series that share no value."""
    starts = np.cumsum([0, *lengths[:-1]]) + 1000
    return [series(length, n_channels, start) for length, start in zip(lengths, starts, strict=True)]


def naive(values, future=None, n_targets=None, place=None):
    """List the windows of one series, one by one, as dicts."""
    windows = []
    for first in range(len(values) - L - H + 1):
        now = first + L
        window = {"past": values[first:now], "target": values[now : now + H, :n_targets]}
        if future is not None:
            window["future"] = future[now : now + H]
        if place is not None:
            window["place"] = place[now - 1]
        windows.append(window)
    return windows


def gathered(dataset):
    """All windows of a dataset in one batch, by name."""
    batch, (target, _) = dataset.__getitems__(np.arange(len(dataset)))
    return {name: value.numpy() for name, value in {**batch, "target": target}.items()}


def assert_windows_equal(dataset, expected):
    """Compare a dataset with a list of windows, in order."""
    found = gathered(dataset)
    assert set(found) == set(expected[0])
    for name, values in found.items():
        assert_array_equal(values, np.stack([window[name] for window in expected]))


# ---------------------------------------------------------------------------------------------------- cutting


@pytest.mark.parametrize("n_targets", [None, M])
@pytest.mark.parametrize("n_future", [0, K])
def test_cut_series_against_loop(n_targets, n_future):
    """Past, target and what is known ahead are those of a loop over the series."""
    values = series()
    future = -series(n_channels=n_future) if n_future else None
    windows = cut(values, L, H, n_targets=n_targets, future=future)
    assert len(windows) == T - L - H + 1
    assert_windows_equal(windows, naive(values, future, n_targets))


@pytest.mark.parametrize("n_targets", [None, M])
@pytest.mark.parametrize("n_future", [0, K])
def test_cut_panel_against_loop(n_targets, n_future):
    """A panel is its series cut one by one: no window reaches from one series into the next."""
    values = panel()
    futures = [-one[:, :1].repeat(n_future, 1) for one in values] if n_future else None
    windows = cut(values, L, H, n_targets=n_targets, future=futures)
    expected = [
        window
        for one, known in zip(values, futures or [None] * len(values), strict=True)
        for window in naive(one, known, n_targets)
    ]
    assert len(windows) == len(expected) == 10 + 1 + 0 + 16
    assert_windows_equal(windows, expected)


@pytest.mark.parametrize("horizon", [1, H])
def test_place_is_that_of_the_last_step(horizon):
    """A window of the steps 1000 to 1004 has the place 1004, as an integer; targets come after that of the last."""
    place = np.arange(1000, 1000 + T)
    windows = cut(series(), L, horizon, place=place, periods=[7])
    assert_array_equal(windows.arrays["place"], np.arange(1004, 1000 + T - horizon))
    assert np.shares_memory(windows.arrays["place"], place)
    batch, _ = windows.__getitems__(np.array([2, 0]))
    assert batch["place"].tolist() == [1006, 1004]
    assert batch["place"].dtype == torch.int64


def test_places_of_a_panel_against_loop():
    """Each series has places of its own, and no window has that of another series."""
    values = panel()
    places = [np.arange(len(one)) * 3 + 1000 * number for number, one in enumerate(values)]
    windows = cut(values, L, H, place=places, periods=[7])
    pairs = zip(values, places, strict=True)
    assert_windows_equal(windows, [window for one, place in pairs for window in naive(one, place=place)])
    assert_windows_equal(cut(values[:1], L, H, place=places[:1], periods=[7]), naive(values[0], place=places[0]))


def test_panel_of_one_is_a_series():
    """A list of one series is that series, and is not copied either."""
    values = series()
    windows = cut([values], L, H)
    assert_windows_equal(windows, naive(values))
    assert np.shares_memory(windows.arrays["past"], values)


def test_smallest_series():
    """A series of window_length + horizon steps is one window."""
    windows = cut(series(L + H), L, H)
    assert len(windows) == 1
    assert_windows_equal(windows, naive(series(L + H)))


def test_sizes():
    """The sizes of the network that fits, by the names of its constructor."""
    expected = dict(window_length=L, n_channels=C, horizon=H, n_targets=M, n_future=0)
    expected |= dict(autoregressive=True, n_variables=1, periods=())
    assert cut(series(), L, H, n_targets=M).sizes == expected
    assert cut(series(), L, H, n_targets=M, future=series(n_channels=K)).sizes == {**expected, "n_future": K}
    arrays = {"past": np.zeros((4, L, C)), "target": np.zeros((4, H, M))}
    assert WindowDataset(arrays).sizes == {**expected, "autoregressive": False, "n_variables": None}


def test_cycles_are_sizes():
    """How long the cycles are is in the sizes of a series, a panel, their parts and other arrays."""
    values = panel()
    place = [np.arange(len(one)) for one in values]
    arrays = {"past": np.zeros((4, L, C)), "target": np.zeros((4, H, M)), "place": np.arange(4)}
    for windows in (
        cut(series(), L, H, place=np.arange(T), periods=[7, 13]),
        cut(values, L, H, place=place, periods=[7, 13]),
        WindowDataset(arrays, periods=[7, 13]),
    ):
        for part in (windows, windows.take(np.array([1, 0, 2])), *HoldoutLast(0.3)(windows)):
            assert part.sizes["periods"] == [7, 13]
            assert "place" in part.__getitems__(np.array([0]))[0]
    assert "place" not in cut(series(), L, H).arrays


def test_variables_of_a_sensor():
    """How many targets belong to one sensor is in the sizes of a series, a panel, their parts and other arrays."""
    datasets = [cut(values, L, H, n_targets=6, n_variables=3) for values in (series(), panel())]
    arrays = {"past": np.zeros((4, L, C)), "target": np.zeros((4, H, 6))}
    assert WindowDataset(arrays).sizes["n_variables"] is None
    for windows in (*datasets, WindowDataset(arrays, n_variables=3)):
        for part in (windows, windows.take(np.array([1, 0, 2])), *HoldoutLast(0.3)(windows)):
            assert (part.sizes["n_targets"], part.sizes["n_variables"]) == (6, 3)


@pytest.mark.parametrize(
    ("length", "message"),
    [
        # 7 rows, of which 3 are asked for, leave 4 to look at
        (
            7,
            r"y has 7 rows but window_length \+ horizon = 5 \+ 3 = 8 are needed. Use a window_length of at most 4 or a",
        ),
        (
            4,
            r"y has 4 rows but window_length \+ horizon = 5 \+ 3 = 8 are needed. Use a window_length of at most 1 or a",
        ),
        (3, r"y has 3 rows but .* = 8 are needed. Use a longer series, or a shorter fh: it must be below 3"),
    ],
)
def test_too_short(length, message):
    """The error says what there is, what is needed, and the largest window that fits."""
    with pytest.raises(ValueError, match=message):
        cut(series(length), L, H)
    with pytest.raises(ValueError, match=message):
        cut(panel((2, length, 1)), L, H)


def test_largest_window_of_the_message_fits():
    """The window_length that the error names is the largest that can be cut."""
    windows = cut(series(7), 4, H)
    assert len(windows) == 1


# ---------------------------------------------------------------------------------------------------- no copies


@pytest.mark.parametrize("order", ["C", "F"])
def test_views_share_memory_with_the_series(order):
    """Past, target and what is known ahead are views of what was given."""
    values, future = np.asarray(series(), order=order), np.asarray(series(n_channels=K), order=order)
    arrays = cut(values, L, H, n_targets=M, future=future).arrays
    assert np.shares_memory(arrays["past"], values)
    assert np.shares_memory(arrays["target"], values)
    assert np.shares_memory(arrays["future"], future)


def test_panel_is_joined_once():
    """The windows of a panel are views of one joined copy, not copies."""
    arrays = cut(panel(), L, H).arrays
    assert np.shares_memory(arrays["past"], arrays["target"])
    assert arrays["past"].base is not None


def test_take_shares_arrays_and_only_indexes():
    """A part of a dataset holds the same arrays, and knows what its parent knows."""
    windows = cut(panel(), L, H)
    part = windows.take(np.array([4, 1, 12])).take(np.array([2, 0]))
    assert part.arrays is windows.arrays
    assert part.age is windows.age
    assert (part.gap, part.autoregressive) == (H - 1, True)
    assert_array_equal(gathered(part)["past"], gathered(windows)["past"][[12, 4]])
    odd = windows.take(np.arange(len(windows)) % 2 == 1)
    assert_array_equal(gathered(odd)["target"], gathered(windows)["target"][1::2])


def traced_peak(function):
    """Return what `function` returns and how many bytes it held more at its height, as numpy and Python count."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    try:
        result = function()
        return result, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def all_batches(make):
    total = 0
    for batch, (target, _) in make():
        total += len(batch["past"]) + len(target)
    return total


@pytest.mark.parametrize("kind", ["in order", "shuffled", "split"])
def test_nothing_is_materialised(kind):
    """Cutting and iterating 20 000 windows of 101 steps (24 MB as copies) holds less than a tenth of that."""
    n, length, batch_size = 20_000, 101, 64
    values = np.zeros((n, 3), np.float32)

    def run():
        windows = cut(values, length, H)
        if kind == "split":
            windows, _ = HoldoutLast(0.1)(windows)
        generator = None if kind == "in order" else torch.Generator().manual_seed(0)
        return all_batches(lambda: Batches(windows, batch_size, generator))

    seen, peak = traced_peak(run)
    n_windows = n - length - H + 1
    expected = n_windows if kind != "split" else n_windows - round(0.1 * n_windows) - (H - 1)
    assert seen == 2 * expected
    copies = n_windows * length * 3 * values.itemsize
    assert copies > 20e6
    assert peak < copies / 10


def test_memory_does_not_grow_with_the_window():
    """Cutting alone takes a few integers per window, however long the windows are."""
    values = np.zeros((20_000, 3), np.float32)
    peaks = [traced_peak(partial(cut, values, length, H))[1] for length in (11, 1009)]
    assert max(peaks) < 1.1 * min(peaks)
    assert max(peaks) < 20_000 * 8 * 5


def test_a_batch_is_a_copy():
    """What a batch is changed to does not reach the series."""
    values = series()
    batch, (target, _) = cut(values, L, H).__getitems__(np.array([0, 1]))
    batch["past"][:] = -1
    target[:] = -1
    assert_array_equal(values, series())
    batch, _ = next(cut(values, L, H).batches(4))  # by a slice, which numpy gives as a view
    batch["past"][:] = -1
    assert_array_equal(values, series())


# ---------------------------------------------------------------------------------------------------- batches


def test_batches_in_order():
    """Batches of 4 cover 24 windows once and in order; the last of a batch size of 7 is incomplete."""
    windows = cut(series(), L, H)
    for batch_size in (4, 7, 100):
        parts = [batch["past"][:, 0, 0] for batch, _ in windows.batches(batch_size)]
        assert [len(part) for part in parts[:-1]] == [batch_size] * (len(parts) - 1)
        assert_array_equal(torch.cat(parts), np.arange(24) * 100)


def test_batch_has_what_the_arrays_have():
    """Weights go with the target, not into the network; without target or weight there are empty tensors."""
    past = np.ones((5, L, C), np.float32)
    batch, (target, weight) = WindowDataset({"past": past}).__getitems__(np.array([1, 2]))
    assert list(batch) == ["past"]
    assert (len(target), len(weight)) == (0, 0)
    arrays = {"past": past, "future": past[:, :H], "target": past[:, :H, :M], "weight": past[:, :1, :1]}
    batch, (target, weight) = WindowDataset(arrays).__getitems__(np.array([1, 2]))
    assert {name: value.shape for name, value in batch.items()} == {"past": (2, L, C), "future": (2, H, C)}
    assert (target.shape, weight.shape) == ((2, H, M), (2, 1, 1))


def test_one_item_is_a_batch_of_one():
    """Indexing gives one window, as a batch."""
    windows = cut(series(), L, H)
    batch, (target, _) = windows[3]
    assert_array_equal(batch["past"], series()[None, 3 : 3 + L])
    assert_array_equal(target, series()[None, 3 + L : 3 + L + H])


def test_data_loader_of_torch():
    """torch's own loader asks for whole batches through __getitems__."""
    windows = cut(series(), L, H)
    loader = DataLoader(windows, batch_size=7, collate_fn=lambda batch: batch)
    assert_array_equal(torch.cat([batch["past"] for batch, _ in loader]), gathered(windows)["past"])


# ---------------------------------------------------------------------------------------------------- steps


def test_steps():
    """Each run of three rows, as a view."""
    values = series(5, 2)
    runs = steps(values, 3)
    assert_array_equal(runs, np.stack([values[i : i + 3] for i in range(3)]))
    assert np.shares_memory(runs, values)


@pytest.mark.parametrize("length", [1, 2, L])
@pytest.mark.parametrize("order", ["C", "F"])
def test_distinct_steps_of_a_cut_series(length, order):
    """Each step once, as a view that cannot be written to."""
    values = np.asarray(series(), order=order)
    table = distinct_steps(steps(values, length))
    assert_array_equal(table, values)
    assert np.shares_memory(table, values)


def test_distinct_steps_of_other_arrays():
    """Windows that are no runs of one series have all their steps: rows, every second run, runs in reverse."""
    rows = series(6 * L).reshape(6, L, C)
    runs = steps(series(), L)
    for windows in (rows, runs[::2], runs[::-1], runs[:1], np.broadcast_to(series(L), (3, L, C)), rows[:, :, ::2]):
        assert_array_equal(distinct_steps(windows), np.reshape(windows, (-1, windows.shape[2])))


def test_distinct_steps_of_a_part_of_a_series():
    """The first windows of a series have its first steps, and channels may be left out."""
    runs = steps(series(), L)
    assert_array_equal(distinct_steps(runs[:4]), series()[: 4 + L - 1])
    assert_array_equal(distinct_steps(runs[3:9, :, 1:3]), series()[3 : 9 + L - 1, 1:3])


def tables_of(dataset, name, size):
    """The steps that tables() gives, and their weights, each as one array."""
    tables, weights = zip(*dataset.tables(name, size), strict=True)
    assert all(len(table) <= max(size, L) for table in tables)
    return np.concatenate(tables), None if weights[0] is None else np.concatenate(weights)


@pytest.mark.parametrize("size", [1, 4, 7, 1000])
@pytest.mark.parametrize("kind", ["series", "panel"])
def test_tables_of_series_have_each_step_once(kind, size):
    """Statistics of a series or a panel are taken of its steps, chunk by chunk."""
    values = series() if kind == "series" else panel()
    table, weights = tables_of(cut(values, L, H), "past", size)
    assert weights is None
    joined = values if kind == "series" else np.concatenate(values)
    assert_array_equal(table, joined[: len(joined) - H])  # the last steps are in no window's past


@pytest.mark.parametrize("size", [1, 4, 7, 1000])
def test_tables_of_rows_have_each_step_of_each_row(size):
    """Statistics of rows are taken of those in the dataset, each step with the weight of its row."""
    rows = series(6 * L).reshape(6, L, C)
    index = np.array([4, 0, 3])
    table, weights = tables_of(WindowDataset({"past": rows}, index), "past", size)
    assert weights is None
    assert_array_equal(table, rows[index].reshape(-1, C))
    weight = np.arange(6.0)[:, None, None]
    table, weights = tables_of(WindowDataset({"past": rows, "weight": weight}, index), "past", size)
    assert_array_equal(table, rows[index].reshape(-1, C))
    assert_array_equal(weights, np.repeat([4.0, 0.0, 3.0], L))


# ---------------------------------------------------------------------------------------------------- age and gap


def test_age_counts_newer_windows_of_the_same_series():
    """The newest window of each series has age 0, whatever the lengths."""
    windows = cut(panel(), L, H)
    expected = [*range(9, -1, -1), 0, *range(15, -1, -1)]  # 10, 1, 0 and 16 windows
    assert_array_equal(windows.age[windows.index], expected)
    assert_array_equal(cut(series(), L, H).age, np.arange(23, -1, -1))
    assert_array_equal(WindowDataset({"past": np.zeros((4, L, C))}).age, [3, 2, 1, 0])


def target_steps(dataset):
    """The targets of a dataset as a set of values, which are unique to series and step."""
    return set(gathered(dataset)["target"][:, :, 0].ravel().tolist())


@pytest.mark.parametrize("horizon", [1, 2, 3, 7])
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.3])
def test_holdout_of_a_series(horizon, fraction):
    """The newest windows validate, horizon - 1 before them are dropped, and no target is in both parts."""
    windows = cut(series(97), L, horizon)
    train, valid = HoldoutLast(fraction)(windows)
    n_valid = max(1, round(fraction * len(windows)))
    everything = gathered(windows)["past"]
    assert_array_equal(gathered(valid)["past"], everything[len(windows) - n_valid :])
    assert_array_equal(gathered(train)["past"], everything[: len(windows) - n_valid - (horizon - 1)])
    assert not target_steps(train) & target_steps(valid)
    # and no more than needed is dropped: the newest target of training is the step before the oldest held out
    assert max(target_steps(train)) == min(target_steps(valid)) - 100


def test_holdout_of_a_panel():
    """Each series gives its newest windows; of 27 windows, 6 are the two newest of each of three series, or so."""
    windows = cut(panel(), L, H)
    train, valid = HoldoutLast(5 / 27)(windows)
    # newest by age: 0, 0, 0, 1, 1 are five windows, of which the short series has one
    assert_array_equal(np.sort(windows.age[valid.index]), [0, 0, 0, 1, 1])
    # two windows before them are dropped: ages 2 and 3 of the first and of the last series
    assert_array_equal(np.sort(windows.age[train.index]), sorted([*range(4, 10), *range(4, 16)]))
    assert not target_steps(train) & target_steps(valid)


def test_holdout_of_rows():
    """Rows have the gap that they are given, and rows left out beforehand are in neither part."""
    arrays = {"past": np.zeros((20, L, C)), "target": np.zeros((20, 1, 1))}
    index = np.array([0, 1, 2, 5, 6, 7, 8, 9, 12, 13, 14, 15, 18, 19])
    train, valid = HoldoutLast(0.2)(WindowDataset(arrays, index, gap=4))
    assert_array_equal(valid.index, [15, 18, 19])  # the newest three of fourteen
    assert_array_equal(train.index, [0, 1, 2, 5, 6, 7, 8, 9])  # 12, 13 and 14 are within four of 15


@pytest.mark.parametrize(
    ("shape", "n_outputs", "gap"),
    [
        ((61, 5), 1, 4),  # windows of 5 steps share steps with the 4 before
        ((61, 53), 1, 6),  # but no more than a tenth of 61 is dropped
        ((61, 5), 11, 10),  # 11 steps ahead reach into the next 10 rows, always
        ((61, 1), 1, 0),
    ],
)
def test_gap_of_rows_by_hand(shape, n_outputs, gap):
    """How many rows before held-out ones are dropped."""
    assert row_gap(shape, n_outputs) == gap


def test_holdout_leaves_nothing():
    """The error counts what was held out and dropped, and says what to do."""
    arrays = {"past": np.zeros((11, L, C)), "target": np.zeros((11, 1, 1))}
    message = r"holds out the newest 4 of 11 windows and drops 7 before them, which leaves none .* early_stopping=False"
    with pytest.raises(ValueError, match=message):
        HoldoutLast(0.4)(WindowDataset(arrays, gap=7))
    train, valid = HoldoutLast(0.4)(WindowDataset(arrays, gap=6))
    assert (len(train), len(valid)) == (1, 4)


def test_holdout_keeps_the_arrays():
    """Both parts are views of the same arrays."""
    windows = cut(series(), L, H)
    assert all(part.arrays is windows.arrays for part in HoldoutLast(0.1)(windows))


# ---------------------------------------------------------------------------------------------------- on a device


def strided():
    """Views of all kinds, by name."""
    table = series(29)
    return {
        "windows": steps(table, L),
        "some channels": steps(table[:, 2:5], L),
        "one channel": table[:, :1],
        "turned": table.T,
        "backwards": table[::-1],
        "every second": table[::2],
        "copied": table.copy(),
        "one number": table[:1, :1],
    }


@pytest.mark.parametrize("name", strided())
def test_tensor_of_a_view(name):
    """A tensor has the numbers of a view, and takes the memory of the steps that it spans, not that of the windows."""
    view = strided()[name]
    tensor = _as_tensor(view, torch.device("cpu"))
    assert_array_equal(tensor, view)
    assert tensor.untyped_storage().nbytes() <= 29 * C * 4
    assert not np.shares_memory(tensor.numpy(), view)


def test_batches_of_resident_windows():
    """Batches gathered from tensors are those gathered from arrays, also of a part of the windows."""
    windows = cut(panel(), L, H, future=panel(n_channels=K), place=[np.arange(n) for n in LENGTHS], periods=(7,))
    moved = copy(windows.take(np.arange(1, len(windows), 3)))
    plain = gathered(moved)
    moved.resident = {name: _as_tensor(array, torch.device("cpu")) for name, array in windows.arrays.items()}
    assert_array_equal(moved.take([0]).__getitems__([0])[0]["past"], plain["past"][:1])
    for name, values in gathered(moved).items():
        assert_array_equal(values, plain[name])


@pytest.mark.parametrize(("free", "fits"), [(2, False), (2.1, True)])
def test_what_fits_is_resident(free, fits, monkeypatch):
    """Arrays go to a GPU, once for all parts, if their steps, not windows, take less than half of what is free."""
    windows = cut(series(), L, H)
    size = 4 * C * (T - H) + 4 * C * (T - L)  # past and target
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free * size), 0))
    monkeypatch.setattr("skattn.windows._as_tensor", lambda array, device: torch.tensor(array))
    part = windows.take(np.arange(3))
    train, valid, none = make_resident(torch.device("cuda"), windows, part, None)
    assert none is None
    assert (train.resident is not None) == fits
    assert train.resident is valid.resident
    assert windows.resident is None is part.resident
    assert make_resident(torch.device("cpu"), windows, None) == (windows, None)
