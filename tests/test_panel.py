"""Tests of the panel: which columns belong to the same sensor, and that its windows know."""

import numpy as np
import pandas as pd
import pytest

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
