"""The series at hand, one or a panel of them, as named frames that become windows."""

import numpy as np
import pandas as pd

from skattn.horizon import index_offset, next_dates, places, steps_ahead
from skattn.validation import check_observed
from skattn.windows import cut


class Panel:
    """One series, or each series of a panel, by the name of its instance (None for a single series).

    Parameters
    ----------
    y : pandas.DataFrame
        The series, as sktime's mtypes ``pd.DataFrame``, ``pd-multiindex`` or ``pd_multiindex_hier``.
    X : pandas.DataFrame, default=None
        Exogenous values on the same index, or beyond it.
    periods : sequence of int, default=()
        Lengths of the cycles that a window's place in is told, in ascending order.
    """

    def __init__(self, y, X=None, periods=()):
        self.periods = periods
        self.columns, self.levels = y.columns, list(y.index.names[:-1])
        self.sensors = sensors(y.columns)
        self.y, self.X = split(y), None if X is None else split(X)
        self.X_columns = None if X is None else X.columns
        self.offsets = {name: index_offset(frame.index) for name, frame in self.y.items()}

    def __len__(self):
        """Rows of the longest series."""
        return max(len(frame) for frame in self.y.values())

    def check(self):
        """Refuse infinite values, and series of which nothing was observed."""
        for name, frames in {"y": self.y, "X": self.X}.items():
            if frames is not None:
                check_observed(values(pd.concat(frames.values()))[:, None], name)

    def append(self, y, X=None):
        """Add rows, in place of those that there are already."""
        if not y.columns.equals(self.columns):
            raise ValueError(
                f"y has columns {y.columns.tolist()} but fit was given {self.columns.tolist()}. Pass the same ones."
            )
        new = split(y)
        if self.X is not None:
            self.X = _appended(self.X, self.given(X, "update", {name: frame.index for name, frame in new.items()}))
        self.y = _appended(self.y, new)
        for name, frame in new.items():
            self.offsets.setdefault(name, index_offset(frame.index))

    def trim(self, size):
        """Keep the last `size` rows."""
        for name, frame in self.y.items():
            tail = frame.iloc[-size:].copy()
            tail.index = tail.index.copy(deep=True)  # a slice would keep the whole index alive
            self.y[name] = tail
            if self.X is not None:
                self.X[name] = self.X[name].reindex(tail.index)

    def steps_ahead(self, fh):
        """Steps (ints, from 1) that a horizon means, by series."""
        return {name: steps_ahead(fh, frame.index, self.offsets[name]) for name, frame in self.y.items()}

    def dates(self, name, steps):
        """Index values that lie `steps` after the end of a series."""
        index = self.y[name].index
        return next_dates(index, steps, self.offsets[name]).rename(index.name)

    def joined(self, name):
        """A series and, beside it, its exogenous channels."""
        if self.X is None:
            return self.y[name]
        frames = self.y[name], self.X[name]
        if frames[0].columns.nlevels != frames[1].columns.nlevels:  # which pandas does not join
            frames = [frame.set_axis(frame.columns.to_flat_index(), axis=1) for frame in frames]
        return frames[0].join(frames[1], rsuffix="_X")

    def cut(self, window_length, horizon):
        """All windows, as a WindowDataset."""
        series = [values(self.joined(name)) for name in self.y]
        n_targets = len(self.columns)
        future = None if self.X is None else [one[:, n_targets:] for one in series]
        kept = {"n_targets": n_targets, "n_variables": n_targets // len(self.sensors), "periods": self.periods}
        place = [places(frame.index, self.offsets[name]) for name, frame in self.y.items()] if self.periods else None
        return cut(series, window_length, horizon, future=future, place=place, **kept)

    def last(self, size):
        """The last `size` rows of each series, (n, size, C), padded in front with NaN if there are fewer; and if there
        are periods, the place of the last one."""
        tails = [values(self.joined(name))[-size:] for name in self.y]
        past = np.full((len(tails), size, tails[0].shape[1]), np.nan, np.float32)
        for window, tail in zip(past, tails, strict=True):
            window[size - len(tail) :] = tail
        arrays = {"past": past}
        if self.periods:
            ends = [places(frame.index[-1:], self.offsets[name]) for name, frame in self.y.items()]
            arrays["place"] = np.concatenate(ends)  # (n,)
        return arrays

    def given(self, X, method, rows):
        """Exogenous frames by series, checked to have the columns of fit and the `rows` (an index by series)."""
        if X is None:
            raise ValueError(
                f"X is None in {method} but fit was given {len(self.X_columns)} exogenous columns. "
                f"Pass X for the steps of {method}, or fit without X."
            )
        lacking = [f"column {column!r}" for column in self.X_columns.difference(X.columns)]
        given = split(X)
        for name, index in rows.items():
            of = "" if name is None else f" of {name!r}"
            there = given[name].index if name in given else index[:0]
            lacking += [f"row {row}{of}" for row in index.difference(there)]
        if lacking:
            raise ValueError(
                f"X lacks {lacking[0]} in {method}, and {len(lacking) - 1} more that are needed. Pass X with the "
                f"columns of fit and all steps of {method}, NaN where a value is unknown."
            )
        if np.isinf(values(X[self.X_columns])).any():
            raise ValueError(f"Input X contains infinity in {method}. Mark missing values as NaN, and clip the rest.")
        return {name: frame[self.X_columns] for name, frame in given.items()}

    def known(self, X, n_steps):
        """Exogenous values of the next `n_steps` steps, (n, n_steps, K), NaN where `X`, by series, has none."""
        steps = np.arange(1, n_steps + 1)
        return np.stack([values(X[name].reindex(self.dates(name, steps))) for name in self.y])

    def join(self, frames):
        """Frames by series as one, with an outer index of the names of a panel; undoes `split`."""
        return join(frames, self.levels)


def sensors(columns):
    """Names of the sensors that the columns of a series belong to: the first of two levels, where each sensor has the
    same variables in the same order, and else the columns themselves."""
    if columns.nlevels != 2:
        return columns
    names, variables = (columns.get_level_values(level).unique() for level in range(2))
    return names if columns.equals(pd.MultiIndex.from_product([names, variables])) else columns


def split(frame):
    """The series of a frame by the name of their instance."""
    if frame.index.nlevels == 1:
        return {None: frame}
    levels = list(range(frame.index.nlevels - 1))
    groups = frame.groupby(level=levels[0] if len(levels) == 1 else levels, sort=False)
    return {name: group.droplevel(levels) for name, group in groups}


def join(frames, names):
    """Frames by key as one, whose outer index levels are called `names`."""
    if not names:
        return frames[None]
    inner = next(iter(frames.values())).index.names
    return pd.concat(frames.values(), keys=frames.keys(), names=[*names, *inner])


def values(frame):
    """The values of a frame, as a contiguous table of float32: the one conversion from pandas."""
    return np.ascontiguousarray(frame.to_numpy(dtype=np.float32))


def _appended(old, new):
    joined = dict(old)
    for name, rows in new.items():
        if name in old:
            rows = pd.concat([old[name][~old[name].index.isin(rows.index)], rows]).sort_index()
        joined[name] = rows
    return joined
