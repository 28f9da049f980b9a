"""A panel of series as frames by name, whether pandas calls it a frame, a panel or a hierarchy."""

import numpy as np
import pandas as pd


def split(frame):
    """A series, or each series of a panel, by the name of its instance (None for a single series)."""
    if frame.index.nlevels == 1:
        return {None: frame}
    levels = list(range(frame.index.nlevels - 1))
    groups = frame.groupby(level=levels[0] if len(levels) == 1 else levels, sort=False)
    return {name: group.droplevel(levels) for name, group in groups}


def join(frames, names):
    """Frames by the name of their instance as one, whose outer index levels are called `names`; undoes `split`."""
    if not names:
        return frames[None]
    date = next(iter(frames.values())).index.names
    return pd.concat(frames.values(), keys=frames.keys(), names=[*names, *date])


def append(old, new):
    """Series with rows of `new` added to those of `old`, which they replace where both have them."""
    joined = dict(old)
    for name, rows in new.items():
        if name in old:
            tail = old[name][~old[name].index.isin(rows.index)]
            rows = pd.concat([tail, rows])
        joined[name] = rows
    return joined


def values(frame):
    """The values of a frame, as a contiguous table of float32: the one conversion from pandas."""
    return np.ascontiguousarray(frame.to_numpy(dtype=np.float32))


def last(values, size):
    """The last `size` rows of `values`, padded in front with NaN if there are fewer."""
    values = values[-size:]
    return np.pad(values, ((size - len(values), 0), (0, 0)), constant_values=np.nan)
