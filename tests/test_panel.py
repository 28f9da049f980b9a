"""Tests of the panel: which columns belong to the same sensor, where a window ends, and that its windows know."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skattn.horizon import places
from skattn.panel import Panel, sensors

PRODUCT = pd.MultiIndex.from_product([["z", "a", "m"], ["t", "rh"]], names=["station", "variable"])
OTHERS = {
    "one level": pd.Index(["z", "a", "m"], name="station"),
    "tuples": pd.Index([("z", "t"), ("z", "rh")], tupleize_cols=False),
    "numbers": pd.RangeIndex(3),
    "lacks one": PRODUCT[[0, 1, 2, 3, 4]],
    "other variables": pd.MultiIndex.from_tuples([("z", "t"), ("z", "rh"), ("a", "t"), ("a", "p")]),
    "another order": PRODUCT[[0, 1, 3, 2, 4, 5]],
    "by variable": PRODUCT[[0, 2, 4, 1, 3, 5]],
    "a sensor in two places": PRODUCT[[0, 2, 3, 1, 4, 5]],
    "twice": PRODUCT[[0, 1, 2, 3, 4, 5, 4, 5]],
    "three levels": pd.MultiIndex.from_product([["z", "a"], ["t", "rh"], ["low", "high", "mean"]]),
}


def frame(columns, n=13):
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(n, len(columns))), pd.RangeIndex(n), columns)


def test_sensors_of_a_product():
    """Columns in the order of their product belong to the sensors of the first level, in this order."""
    pd.testing.assert_index_equal(sensors(PRODUCT), pd.Index(["z", "a", "m"], name="station"))
    assert sensors(PRODUCT[2:4]).tolist() == ["a"]  # levels that nothing is left of do not count
    assert sensors(PRODUCT[[1, 0, 3, 2, 5, 4]]).tolist() == ["z", "a", "m"]
    assert sensors(PRODUCT[::2]).tolist() == ["z", "a", "m"]
    assert sensors(PRODUCT[[4, 5, 0, 1]]).tolist() == ["m", "z"]


@pytest.mark.parametrize("columns", OTHERS.values(), ids=OTHERS)
def test_other_columns_are_sensors_themselves(columns):
    """Columns of one level, of three, or of sensors that differ in their variables."""
    assert sensors(columns) is columns


@pytest.mark.parametrize(
    ("columns", "n_variables"), [(PRODUCT, 2), (PRODUCT[::2], 1), (PRODUCT[:2], 2), (PRODUCT[:5], 1)]
)
@pytest.mark.parametrize("n_series", [1, 3])
def test_windows_know_the_variables_of_a_sensor(columns, n_variables, n_series):
    """A series and a panel have the sensors of their columns, and windows with so many targets for each."""
    y = frame(columns)
    if n_series > 1:
        y = pd.concat({name: y + name for name in range(n_series)}, names=["shop"])
    panel = Panel(y)
    pd.testing.assert_index_equal(panel.sensors, sensors(columns))
    sizes = panel.cut(5, 3).sizes
    assert (sizes["n_targets"], sizes["n_variables"]) == (len(columns), n_variables)


def test_drivers_are_no_variables():
    """Exogenous channels are beside the targets, whatever their number."""
    X = frame(pd.MultiIndex.from_product([["sky"], ["sun", "wind", "rain", "snow", "fog"]]))
    sizes = Panel(frame(PRODUCT), X).cut(5, 3).sizes
    assert (sizes["n_channels"], sizes["n_targets"], sizes["n_future"], sizes["n_variables"]) == (11, 6, 5, 2)


# ------------------------------------------------------------------------------------------------------------- places

DAYS = pd.date_range("2024-01-03", periods=13)  # a Wednesday; so many days after the first of 1970:
FIRST = 19725
CALENDARS = {
    "days": (DAYS, FIRST),
    "days, no frequency": (pd.DatetimeIndex(DAYS.to_numpy()), FIRST),
    "hours": (pd.date_range("1970-01-02 03:00", periods=13, freq="h"), 27),
    "before 1970": (pd.date_range("1969-12-25", periods=13), -7),
    "months": (pd.period_range("1971-03", periods=13, freq="M"), 14),
    "first days of months": (pd.date_range("1971-03-01", periods=13, freq="MS"), 1971 * 12 + 2),
    "numbers": (pd.RangeIndex(5, 18), 5),
}


def dated(index, name=0):
    """Three columns of the numbers of their rows."""
    return pd.DataFrame(np.add.outer(np.arange(len(index)), [0.0, 100, 200]) + 1000 * name, index)


@pytest.mark.parametrize(("index", "first"), CALENDARS.values(), ids=CALENDARS)
def test_place_of_a_window_is_that_of_its_last_step(index, first):
    """Windows of 5 steps, of which 3 follow, end 4 steps after the first; the last window of all ends 12 after it."""
    panel = Panel(dated(index), periods=[7])
    windows = panel.cut(5, 3)
    assert_array_equal(windows.arrays["place"], first + np.arange(4, 10))
    assert windows.sizes["periods"] == [7]
    last = panel.last(5)
    assert_array_equal(last["place"], [first + 12])
    assert_array_equal(last["past"][0], dated(index)[-5:])


@pytest.mark.parametrize(("index", "first"), CALENDARS.values(), ids=CALENDARS)
def test_place_does_not_depend_on_where_a_series_starts(index, first):
    """Of the end of a series, and of one that was cut off or added to, the places are those of the dates."""
    y = dated(index)
    later, moving = Panel(y[4:], periods=[7]), Panel(y[:10], periods=[7])
    assert_array_equal(later.cut(5, 3).arrays["place"], first + np.arange(8, 10))
    assert_array_equal(moving.last(5)["place"], [first + 9])
    moving.trim(7)
    assert_array_equal(moving.cut(5, 1).arrays["place"], first + np.arange(7, 9))
    moving.append(y[10:])
    assert_array_equal(moving.last(5)["place"], [first + 12])
    assert_array_equal(moving.cut(5, 3).arrays["place"], first + np.arange(7, 10))


def test_places_of_a_panel():
    """Each series ends at a day of its own, also where it is shorter than a window."""
    series = {"north": dated(DAYS), "south": dated(DAYS[:11] - pd.Timedelta(days=100), 1), "new": dated(DAYS[8:11], 2)}
    panel = Panel(pd.concat(series, names=["shop", "day"]), periods=[7])
    last = panel.last(5)
    assert_array_equal(last["place"], FIRST + np.array([12, -90, 10]))
    assert_array_equal(last["past"][2, :, 0], [np.nan, np.nan, 2000, 2001, 2002])
    windows = panel.cut(5, 3)
    batch, _ = windows.__getitems__(np.arange(len(windows)))
    assert batch["past"][:, -1, 0].tolist() == [*range(4, 10), *range(1004, 1008)]
    assert batch["place"].tolist() == [*range(FIRST + 4, FIRST + 10), *range(FIRST - 96, FIRST - 92)]


def test_place_on_trading_days():
    """Days without trade are counted, weekends are not, by the calendar of the whole series, whatever is left of it."""
    index = pd.bdate_range("2024-05-20", "2024-06-14").drop(["2024-05-27", "2024-06-03"])
    panel = Panel(dated(index), periods=[5])
    assert_array_equal(panel.cut(1, 1).arrays["place"] % 5, (index[:-1].dayofweek + 2) % 5)  # 1970 began on a Thursday
    before = panel.last(3)["place"]
    panel.trim(3)
    assert_array_equal(panel.last(3)["place"], before)
    assert_array_equal(before, places(index, panel.offsets[None])[-1:])


def test_no_places_without_cycles():
    """A panel that is told of no cycles does not count."""
    panel = Panel(dated(DAYS), dated(DAYS))
    assert panel.last(5).keys() == {"past"}
    assert panel.last(5)["past"].shape == (1, 5, 6)
    windows = panel.cut(5, 3)
    assert windows.arrays.keys() == {"past", "target", "future"}
    assert windows.sizes["periods"] == ()
