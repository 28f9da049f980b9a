"""Forecasting horizons as steps and steps as dates, on any pandas index, regular or not.

The values of a series are positions; its index is only carried along. What follows an irregular index is taken from
the calendar that it shows: days of the week that occur in it, or its usual distance.
"""

import numpy as np
import pandas as pd

_DAYS, _MONTHS = {"D": 1, "W": 7}, {"M": 1, "Q": 3, "Y": 12}


def next_dates(index, steps, offset=None):
    """The index values that lie `steps` (ints, from 1) after the end of a pandas `index`.

    `offset` is the distance of the steps of dates, by default that which `index_offset` finds.
    """
    last = index[-1]
    if not isinstance(index, pd.DatetimeIndex):
        values = [last + int(step) for step in steps]
        return pd.PeriodIndex(values) if isinstance(index, pd.PeriodIndex) else pd.Index(values)
    offset = offset or index_offset(index)
    dates = _calendar(last, offset, max(steps))[np.asarray(steps) - 1]
    if isinstance(offset, pd.offsets.BaseOffset) and np.all(np.diff(steps) == 1):
        dates = pd.DatetimeIndex(dates, freq=offset)
    return dates


def steps_ahead(fh, index, offset=None):
    """Steps (ints, from 1) after the end of a pandas `index` that sktime's `fh` stands for."""
    values = fh.to_pandas()
    if fh.is_relative:
        if isinstance(values, pd.TimedeltaIndex):
            values = index[-1] + values
        else:
            return values.to_numpy(dtype=int)
    if not isinstance(index, pd.DatetimeIndex):
        if isinstance(index, pd.PeriodIndex):
            return np.array([(value - index[-1]).n // index.freq.n for value in values], dtype=int)
        return np.array([value - index[-1] for value in values], dtype=int)
    if isinstance(values, pd.PeriodIndex):
        values = values.to_timestamp()
    offset = offset or index_offset(index)
    n_steps = 1
    while (dates := _calendar(index[-1], offset, n_steps))[-1] < values.max():
        n_steps *= 2
    positions = dates.get_indexer(values)
    if (positions < 0).any():
        missing = values[positions < 0][0]
        raise ValueError(
            f"fh holds {missing}, which is no step of the series: its next ones are {dates[0]}, "
            f"{_calendar(index[-1], offset, 2)[1]}, ... Use dates of its calendar, or steps ahead such as fh=[1, 2, 3]."
        )
    return positions + 1


def places(index, offset):
    """Numbers that count the steps of a pandas `index`, the same for the same date wherever an index starts.

    `offset` is the distance of the steps of dates, that which `index_offset` finds. Hours are those of the clock on the
    wall, also where an index has a time zone.
    """
    if isinstance(index, pd.PeriodIndex):
        return index.astype("int64").to_numpy() // index.freq.n
    if not isinstance(index, pd.DatetimeIndex):
        return index.to_numpy().astype(np.int64)
    dates, days = index.tz_localize(None), index.tz_localize(None).to_numpy().astype("M8[D]")
    if isinstance(offset, (pd.Timedelta, pd.offsets.Tick)):
        return np.round((dates - pd.Timestamp(0)) / pd.Timedelta(offset)).astype(int).to_numpy()
    if isinstance(offset, (pd.offsets.CustomBusinessDay, pd.offsets.BusinessDay)):
        weekmask = offset.weekmask if isinstance(offset, pd.offsets.CustomBusinessDay) else "1111100"
        return np.busday_count("1970-01-01", days, weekmask=weekmask) // offset.n
    kind = offset.name.removeprefix("B")[0]  # of day, week, month, quarter, year
    if kind in _MONTHS:
        return (dates.year * 12 + dates.month - 1).to_numpy() // (_MONTHS[kind] * offset.n)
    if kind not in _DAYS:
        raise ValueError(
            f"periods cannot be counted along an index with the frequency {offset.freqstr!r}. "
            "Give y an index of integers, or forecast without periods."
        )
    return days.astype(int) // (_DAYS[kind] * offset.n)


def index_offset(index):
    """Distance of the steps of a DatetimeIndex: its frequency, a business calendar, or its usual distance.

    A calendar is read off a week of days at least. Indices of other kinds have no offset: None.
    """
    if not isinstance(index, pd.DatetimeIndex):
        return None
    freq = index.freq or (pd.infer_freq(index) if len(index) > 2 else None)
    if freq is not None:
        return pd.tseries.frequencies.to_offset(freq)
    distance = pd.Series(index).diff().median() if len(index) > 1 else pd.Timedelta(days=1)
    is_week = index[-1] - index[0] >= pd.Timedelta(days=6)
    if is_week and distance == pd.Timedelta(days=1) and (index == index.normalize()).all():
        days = sorted(set(index.dayofweek))
        return pd.offsets.CustomBusinessDay(weekmask="".join("1" if day in days else "0" for day in range(7)))
    return distance


def _calendar(last, offset, n_steps):
    return pd.DatetimeIndex([last + step * offset for step in range(1, n_steps + 1)])
