"""Windows: the waist of the package. Rows, a series and a panel of series all become one `WindowDataset`.

Letters: ``n`` windows, ``T`` steps of a series, ``L`` window_length, ``C`` channels, ``H`` horizon, ``M`` targets,
``K`` channels known ahead.
"""

from copy import copy

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch.utils.data import Dataset


class WindowDataset(Dataset):
    """Windows as views of arrays; only a batch is ever copied, by one fancy index.

    Parameters
    ----------
    arrays : dict of ndarray
        Arrays that agree on axis 0: ``past`` of shape (n, L, C), and if there are any ``future`` of shape (n, H, K),
        ``place`` of shape (n,), the count along the calendar of the step that a window ends with, ``target`` of shape
        (n, H, M) and ``weight`` of shape (n, 1, 1). Missing values are NaN.
    index : ndarray of int, default=None
        Which windows of the arrays belong to the dataset, oldest first; None means all.
    age : ndarray of int of shape (n,), default=None
        How many windows of the same series are newer; None means that the arrays hold one series, oldest first.
    gap : int, default=0
        How many windows before a held-out one must be dropped because they see what it is asked for.
    autoregressive : bool, default=False
        Whether the targets are the first M channels of the past.
    n_variables : int, default=None
        How many channels that follow one another belong to one sensor: of the targets in autoregressive windows, and of
        all in others. None means that others have no sensors.
    periods : sequence of int, default=()
        Lengths of the cycles that a ``place`` is told by, in ascending order.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn.windows import cut
    >>> windows = cut(np.arange(10.0)[:, None], window_length=3, horizon=2)
    >>> len(windows)
    6
    >>> (inputs, (target, weight)) = windows.__getitems__([5])
    >>> inputs["past"].flatten().tolist(), target.flatten().tolist()
    ([5.0, 6.0, 7.0], [8.0, 9.0])
    """

    resident = None  # the arrays as tensors on a device, where batches are then gathered

    def __init__(self, arrays, index=None, age=None, gap=0, autoregressive=False, n_variables=None, periods=()):
        self.arrays = arrays
        self._index, self._age = index, age
        self.gap = gap
        self.autoregressive = autoregressive
        self.n_variables = n_variables
        self.periods = periods

    @property
    def index(self):
        """Which windows of the arrays there are."""
        return _numbers(len(self)) if self._index is None else self._index

    @property
    def age(self):
        """How many windows of the same series are newer than each of the arrays."""
        return _numbers(len(self.arrays["past"]))[::-1] if self._age is None else self._age

    def __len__(self):
        return len(self.arrays["past"] if self._index is None else self._index)

    def __getitem__(self, position):
        return self.__getitems__([position])

    def __getitems__(self, positions):
        """One batch: inputs of the network, and a tuple of target and weight (empty tensors where there is none)."""
        rows = self._rows(positions)
        if self.resident is None:
            batch = {name: torch.from_numpy(array[rows]) for name, array in self.arrays.items()}
        else:
            rows = torch.from_numpy(rows).to(self.resident["past"].device)
            batch = {name: array[rows] for name, array in self.resident.items()}
        target = batch.pop("target", torch.empty(0))
        return batch, (target, batch.pop("weight", torch.empty(0)))

    def take(self, positions):
        """The windows at `positions` (an index array or a mask), as a dataset over the same arrays."""
        taken = copy(self)
        taken._index = self.index[positions]
        return taken

    def _rows(self, positions):
        """Rows of the arrays that the windows at `positions` (a slice or integers) are."""
        if self._index is not None:
            return self._index[positions]
        return np.arange(*positions.indices(len(self))) if isinstance(positions, slice) else np.asarray(positions)

    def batches(self, batch_size):
        """Batches in order, as :meth:`__getitems__` makes them."""
        for start in range(0, len(self), batch_size):
            yield self.__getitems__(slice(start, start + batch_size))

    def tables(self, name, size=1 << 18):
        """Steps of an array as tables (at most about `size`, C) with their weights, to compute statistics from.

        Where all windows of a series count the same, each of its steps comes once.
        """
        values, weight = self.arrays[name], self.arrays.get("weight")
        if weight is None and (self.autoregressive or len(self) == len(values)):
            steps = distinct_steps(values)
            for start in range(0, len(steps), size):
                yield steps[start : start + size], None
            return
        chunk = max(1, size // 8 // values.shape[1])
        for start in range(0, len(self), chunk):
            rows = self._rows(slice(start, start + chunk))
            weights = None if weight is None else np.repeat(weight[rows].ravel(), values.shape[1])
            yield values[rows].reshape(-1, values.shape[2]), weights

    @property
    def sizes(self):
        """Sizes of the network that fits these windows, by the names of its constructor."""
        past, target = self.arrays["past"], self.arrays["target"]
        return {
            "window_length": past.shape[1],
            "n_channels": past.shape[2],
            "horizon": target.shape[1],
            "n_targets": target.shape[2],
            "n_future": self.arrays["future"].shape[2] if "future" in self.arrays else 0,
            "autoregressive": self.autoregressive,
            "n_variables": self.n_variables,
            "periods": self.periods,
        }


def cut(series, window_length, horizon, *, n_targets=None, future=None, n_variables=1, place=None, periods=()):
    """Cut a series, or a panel of them, into all its windows, without copying them.

    Parameters
    ----------
    series : ndarray of shape (T, C), or list of such arrays
        The values, oldest first; a list is a panel, whose windows never reach from one series into the next.
    window_length : int
        Number of steps ``L`` of the past that a window sees.
    horizon : int
        Number of steps ``H`` ahead that it is asked for.
    n_targets : int, default=None
        The first `n_targets` channels are what it is asked for; None means all.
    future : ndarray of shape (T, K), or list of such arrays, default=None
        Values known ahead, on the steps of `series`.
    n_variables : int, default=1
        How many targets that follow one another belong to one sensor.
    place : ndarray of shape (T,), or list of such arrays, default=None
        Counts of the steps of `series` along the calendar.
    periods : sequence of int, default=()
        Lengths of the cycles that a `place` is told by, in ascending order.

    Returns
    -------
    windows : WindowDataset
        Autoregressive: the targets are channels of the past.
    """
    panel = series if isinstance(series, list) else [series]
    span = window_length + horizon
    longest = max(len(one) for one in panel)
    if longest < span:
        raise ValueError(
            f"y has {longest} rows but window_length + horizon = {window_length} + {horizon} = {span} are needed. "
            + (
                f"Use a window_length of at most {longest - horizon} or a shorter fh."
                if longest > horizon
                else f"Use a longer series, or a shorter fh: it must be below {longest}."
            )
        )
    values = _join(panel)
    past = steps(values[: len(values) - horizon], window_length)  # (n, L, C)
    target = steps(values[window_length:, :n_targets], horizon)  # (n, H, M)
    arrays = {"past": past, "target": target}
    if future is not None:
        arrays["future"] = steps(_join(future)[window_length:], horizon)
    if place is not None:
        arrays["place"] = _join(place)[window_length - 1 : len(values) - horizon]
    index, age = _places([len(one) for one in panel], span)
    return WindowDataset(arrays, index, age, horizon - 1, True, n_variables, periods)


def make_resident(device, *datasets):
    """Datasets over the same arrays, or None in their place, with a copy of the arrays on a GPU if they take less than
    half of the memory that is free there."""
    arrays = {name: np.asarray(array) for name, array in datasets[0].arrays.items()}
    if device.type != "cuda" or 2 * sum(map(_span, arrays.values())) >= torch.cuda.mem_get_info(device)[0]:
        return datasets
    resident = {name: _as_tensor(array, device) for name, array in arrays.items()}
    moved = [dataset and copy(dataset) for dataset in datasets]
    for dataset in filter(None, moved):
        dataset.resident = resident
    return moved


def row_gap(shape, n_outputs=1):
    """Windows to drop before held-out rows X of a `shape`, which may be overlapping windows of one series.

    Those that share a step with a held-out one, but at most a tenth of the rows; and always those whose outputs, if
    these are steps ahead, reach into the held-out ones.
    """
    return max(n_outputs - 1, min(shape[1] - 1, shape[0] // 10))


def steps(values, length):
    """All runs of `length` steps of `values` (T, C), as a view of shape (T - length + 1, length, C)."""
    return np.moveaxis(sliding_window_view(values, length, axis=0), -1, 1)


def distinct_steps(windows):
    """The steps of `windows` (n, L, C) as a view (T, C), each once where the windows are runs of one series."""
    n, length, channels = windows.shape
    if n > 1 and length > 1 and windows.strides[0] == windows.strides[1]:
        shape, strides = (n + length - 1, channels), windows.strides[1:]
        return np.lib.stride_tricks.as_strided(windows, shape, strides, writeable=False)
    return windows.reshape(-1, channels)


def _join(panel):
    """The series of a panel as one, without a copy where there is one alone."""
    if isinstance(panel, list):
        return panel[0] if len(panel) == 1 else np.concatenate(panel)
    return panel


def _places(lengths, span):
    """Index of the windows that lie within one series of a joined panel, and the age of every window there."""
    n = sum(lengths) - span + 1
    if len(lengths) == 1:
        return None, None  # all, in order: no table to keep
    age = np.concatenate([length - span - _numbers(length) for length in lengths])[:n]
    return _numbers(n)[age >= 0], age


def _numbers(n):
    """Numbers from 0 to n - 1, in half of the memory where that is enough."""
    return np.arange(n, dtype=np.int32 if n <= np.iinfo(np.int32).max else np.int64)


def _span(array):
    """Bytes from the first number of a view to behind its last."""
    return array.itemsize + sum((size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True))


def _as_tensor(array, device):
    """A tensor on a device with the shape and the strides of a view, so that windows share their steps there too."""
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):
        array = np.ascontiguousarray(array)
    flat = np.lib.stride_tricks.as_strided(array, (_span(array) // array.itemsize,), (array.itemsize,))
    strides = [stride // array.itemsize for stride in array.strides]
    return torch.tensor(flat, device=device).as_strided(array.shape, strides)
