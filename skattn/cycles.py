"""Cycles of known length: the mean course of a day or a week, taken out of a series and put back into its forecasts.

Letters: ``T`` steps, ``M`` targets.
"""

from numbers import Integral

import numpy as np

from skattn.horizon import index_offset, places
from skattn.panel import join, split


class Cycles:
    """Cycles of each series of a panel, by the name of its instance; Lin et al. (2024), "CycleNet".

    A course is the mean of each place in the cycle, after a moving mean over one cycle was taken out, so that a trend
    leaves no trace. It is shrunk by the share of its variance that the cycles' own differences explain (James and
    Stein, 1961): what is as large in a series without a cycle goes to zero.

    Parameters
    ----------
    periods : sequence of int
        Lengths of the cycles, in steps.
    """

    def __init__(self, periods):
        self.periods = check_periods(periods)
        self.courses, self.offsets = {}, {}

    def fit(self, y):
        """Learn the cycles of a frame of one series (T, M), or of a panel of them, shorter cycles first.

        A series shorter than two cycles is taken to have none.
        """
        for name, frame in split(y).items() if self.periods else ():
            self.courses[name], self.offsets[name] = [], index_offset(frame.index)
            rest, place = frame.reset_index(drop=True).astype(float), places(frame.index, self.offsets[name])
            for period in self.periods:
                course = _course(rest, place, period)  # (period, M)
                rest = rest - course[place % period]
                self.courses[name].append(course)
        return self

    def at(self, name, index):
        """Cycles of a series at the steps of an index, (T, M), or zero if none are known of it."""
        if not self.courses.get(name):
            return 0.0
        place = places(index, self.offsets[name])
        return sum(course[place % len(course)] for course in self.courses[name])

    def without(self, y):
        """The frame `y` without the cycles of its series."""
        if not self.periods:
            return y
        rest = {name: frame - self.at(name, frame.index) for name, frame in split(y).items()}
        return join(rest, y.index.names[:-1])


def check_periods(periods):
    """Lengths of cycles, each once and in ascending order."""
    for period in periods:
        if not isinstance(period, Integral) or period < 2:
            raise ValueError(
                f"periods={periods!r} holds {period!r}, which is no number of steps of a cycle. Use integers from "
                "2 on, such as periods=[24, 168] for the hours of a day and of a week."
            )
    return sorted({int(period) for period in periods})


def _course(frame, place, period):
    """The mean course of one cycle, (period, M)."""
    detrended = frame - frame.rolling(period, center=True, min_periods=1).mean()
    detrended.iloc[: period // 2] = detrended.iloc[-(period // 2) :] = np.nan  # where no whole cycle lies around
    groups = detrended.groupby(place % period)
    course = groups.mean().reindex(range(period))  # (period, M)
    course = course - course.mean()
    noise, variance = (groups.var() / groups.count()).mean(), course.var(ddof=0)
    share = (1 - noise / variance).clip(lower=0).fillna(0.0)  # of the course that is not chance
    return (course * share).fillna(0.0).to_numpy()
