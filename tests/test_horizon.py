"""Tests of next_dates and steps_ahead: every kind of index, with dates written by hand."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sktime.forecasting.base import ForecastingHorizon

from skattn.horizon import index_offset, next_dates, steps_ahead


def without_freq(index):
    """The same dates, which no longer say how far they are apart."""
    return pd.DatetimeIndex(list(index))


NEW_YORK = "America/New_York"
# 2024-05-27 and 2024-06-19 are holidays that it has seen; 2024-07-04, a Thursday, is one that it cannot know.
TRADING_DAYS = pd.bdate_range("2024-05-20", "2024-07-03").drop(["2024-05-27", "2024-06-19"])
SUNDAY_TO_THURSDAY = pd.date_range("2024-06-02", "2024-06-20").difference(
    pd.DatetimeIndex(["2024-06-07", "2024-06-08", "2024-06-14", "2024-06-15", "2024-06-11"])
)
# Steps of 1 h, but one of 5 h: their median is 1 h.
ONE_GAP = pd.DatetimeIndex(["2024-01-01 06:00", "2024-01-01 07:00", "2024-01-01 12:00", "2024-01-01 13:00"])

# name: index, steps, the dates they stand for
CASES = {
    "range": (pd.RangeIndex(5), [1, 2, 7], [5, 6, 11]),
    "range from 3": (pd.RangeIndex(3, 10), [2], [11]),
    "int": (pd.Index([4, 5, 6]), [1, 3], [7, 9]),
    "one int": (pd.RangeIndex(1), [1, 2], [1, 2]),
    "days": (pd.date_range("2024-02-26", periods=2), [1, 2, 3], ["2024-02-28", "2024-02-29", "2024-03-01"]),
    "days, no freq": (without_freq(pd.date_range("2024-02-25", periods=3)), [1, 3], ["2024-02-28", "2024-03-01"]),
    "two days, no freq": (without_freq(pd.date_range("2024-02-26", periods=2)), [1, 2], ["2024-02-28", "2024-02-29"]),
    "one day, no freq": (pd.DatetimeIndex(["2024-02-28"]), [1, 2], ["2024-02-29", "2024-03-01"]),
    "every third day": (pd.date_range("2024-02-20", periods=4, freq="3D"), [1, 2], ["2024-03-03", "2024-03-06"]),
    "hours": (pd.date_range("2024-02-28 20:00", periods=4, freq="h"), [1, 2], ["2024-02-29 00:00", "2024-02-29 01:00"]),
    "hours with a gap": (ONE_GAP, [1, 2], ["2024-01-01 14:00", "2024-01-01 15:00"]),
    "month ends": (pd.date_range("2023-11-30", periods=3, freq="ME"), [1, 2], ["2024-02-29", "2024-03-31"]),
    "month ends, no freq": (
        without_freq(pd.date_range("2023-11-30", periods=3, freq="ME")),
        [1, 2, 3],
        ["2024-02-29", "2024-03-31", "2024-04-30"],
    ),
    "month starts": (pd.date_range("2023-11-01", periods=3, freq="MS"), [1, 2], ["2024-02-01", "2024-03-01"]),
    "quarter ends": (pd.date_range("2023-03-31", periods=3, freq="QE"), [1, 2], ["2023-12-31", "2024-03-31"]),
    "years": (pd.date_range("2021-12-31", periods=3, freq="YE"), [1, 2], ["2024-12-31", "2025-12-31"]),
    "Fridays": (pd.date_range("2024-06-21", periods=2, freq="W-FRI"), [1, 2], ["2024-07-05", "2024-07-12"]),
    "business days": (pd.bdate_range("2024-06-27", periods=2), [1, 2, 6], ["2024-07-01", "2024-07-02", "2024-07-08"]),
    "trading days": (TRADING_DAYS, [1, 2, 3, 4], ["2024-07-04", "2024-07-05", "2024-07-08", "2024-07-09"]),
    "Sunday to Thursday": (SUNDAY_TO_THURSDAY, [1, 2, 5, 6], ["2024-06-23", "2024-06-24", "2024-06-27", "2024-06-30"]),
    "days in New York": (
        pd.date_range("2024-03-07", periods=3, tz=NEW_YORK),  # the clocks go forward on 10 March
        [1, 2, 3],
        ["2024-03-10 00:00-05:00", "2024-03-11 00:00-04:00", "2024-03-12 00:00-04:00"],
    ),
    "hours in New York": (
        pd.date_range("2024-03-09 23:00", periods=3, freq="h", tz=NEW_YORK),
        [1, 2],
        ["2024-03-10 03:00-04:00", "2024-03-10 04:00-04:00"],
    ),
    "trading days in New York": (
        TRADING_DAYS.tz_localize(NEW_YORK),
        [2, 3],
        ["2024-07-05 04:00Z", "2024-07-08 04:00Z"],
    ),
    "months": (pd.period_range("2023-10", periods=2, freq="M"), [1, 2], ["2023-12", "2024-01"]),
    "quarters": (pd.period_range("2023Q2", periods=2, freq="Q"), [1, 2], ["2023Q4", "2024Q1"]),
    "two months": (pd.period_range("2023-09", periods=2, freq="2M"), [1, 2], ["2024-01", "2024-03"]),
    "hours as periods": (
        pd.period_range("2024-02-28 22:00", periods=2, freq="h"),
        [1, 3],
        ["2024-02-29 00:00", "2024-02-29 02:00"],
    ),
}


def as_index(labels, like):
    """Labels written by hand, as an index of the kind of another."""
    if isinstance(like, pd.PeriodIndex):
        return pd.PeriodIndex(labels, dtype=like.dtype)
    if isinstance(like, pd.DatetimeIndex):
        return pd.DatetimeIndex(labels) if like.tz is None else pd.to_datetime(labels, utc=True).tz_convert(like.tz)
    return pd.Index(labels)


@pytest.mark.parametrize(("index", "steps", "dates"), CASES.values(), ids=CASES)
def test_next_dates(index, steps, dates):
    """Steps become the dates written by hand."""
    result = next_dates(index, steps)
    expected = as_index(dates, index)
    assert_array_equal(result, expected)
    assert type(result) is type(expected)
    assert getattr(result, "tz", None) == getattr(index, "tz", None)


@pytest.mark.parametrize(("index", "steps", "dates"), CASES.values(), ids=CASES)
def test_steps_ahead_of_dates(index, steps, dates):
    """The dates written by hand become steps again."""
    result = steps_ahead(ForecastingHorizon(as_index(dates, index), is_relative=False), index)
    assert_array_equal(result, steps)
    assert result.dtype.kind == "i"


@pytest.mark.parametrize("index", [case[0] for case in CASES.values()], ids=CASES)
def test_steps_ahead_of_steps(index):
    """Steps stay steps, whatever the index."""
    assert_array_equal(steps_ahead(ForecastingHorizon([1, 2, 12], is_relative=True), index), [1, 2, 12])


@pytest.mark.parametrize(
    ("index", "distance", "expected"),
    [
        (pd.date_range("2024-02-26", periods=2), pd.Timedelta(days=3), 3),
        (pd.date_range("2024-02-26", periods=4, freq="6h"), pd.Timedelta(days=1), 4),
        (TRADING_DAYS, pd.Timedelta(days=5), 3),  # from Wednesday 3 July to Monday 8 July
    ],
)
def test_steps_ahead_of_timedeltas(index, distance, expected):
    """A span of time is counted in steps of the index."""
    fh = ForecastingHorizon(pd.TimedeltaIndex([distance]), is_relative=True)
    assert_array_equal(steps_ahead(fh, index), [expected])


@pytest.mark.parametrize("n", [1, 2, 3, 100])
def test_dates_and_steps_are_each_other_s_inverse(n):
    """From steps to dates and back, on trading days, near and far."""
    dates = next_dates(TRADING_DAYS, np.arange(1, n + 1))
    assert len(dates) == n
    assert_array_equal(steps_ahead(ForecastingHorizon(dates, is_relative=False), TRADING_DAYS), np.arange(1, n + 1))
    assert dates.dayofweek.max() <= 4


def test_periods_of_dates():
    """Months named as periods are found on an index of month starts."""
    fh = ForecastingHorizon(pd.PeriodIndex(["2024-02", "2024-04"], freq="M"), is_relative=False)
    assert_array_equal(steps_ahead(fh, pd.date_range("2023-11-01", periods=3, freq="MS")), [1, 3])


@pytest.mark.parametrize(
    ("index", "date"),
    [
        (TRADING_DAYS, "2024-07-06"),  # a Saturday
        (pd.bdate_range("2024-06-27", periods=5), "2024-07-06"),
        (pd.date_range("2024-06-21", periods=5, freq="W-FRI"), "2024-07-27"),
        (pd.date_range("2023-11-30", periods=3, freq="ME"), "2024-02-28"),
    ],
)
def test_a_date_that_is_no_step(index, date):
    """The message names the date, the dates that would be right, and the way out."""
    fh = ForecastingHorizon(pd.DatetimeIndex([date]), is_relative=False)
    first, second = (str(day.date()) for day in next_dates(index, [1, 2]))
    message = rf"fh holds {date}.* no step of the series: its next ones are {first}.*{second}.*Use .*fh=\[1, 2, 3\]"
    with pytest.raises(ValueError, match=message):
        steps_ahead(fh, index)


def test_one_wrong_date_among_right_ones():
    """All dates are checked, not just the last."""
    fh = ForecastingHorizon(pd.DatetimeIndex(["2024-07-05", "2024-07-06", "2024-07-08"]), is_relative=False)
    with pytest.raises(ValueError, match="2024-07-06"):
        steps_ahead(fh, TRADING_DAYS)


def test_regular_dates_keep_their_frequency():
    """A run of dates has the frequency of the index, so that sktime can go on from it; single dates need none."""
    index = pd.date_range("2024-01-31", periods=3, freq="ME")
    assert next_dates(index, [1, 2, 3]).freq == index.freq
    assert next_dates(index, [1]).freq == index.freq
    assert next_dates(index, [1, 3]).freq is None


def test_offset_by_the_days_that_occur():
    """A calendar has the days of the week that occur in the index, and those alone."""
    assert index_offset(TRADING_DAYS).weekmask == "1111100"
    assert index_offset(SUNDAY_TO_THURSDAY).weekmask == "1111001"
    assert index_offset(ONE_GAP) == pd.Timedelta(hours=1)
