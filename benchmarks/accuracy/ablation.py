"""What each part is worth: the network of the long horizons without one of its parts, or with another.

Run: python -m benchmarks.accuracy.ablation
"""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np
import pandas as pd

from benchmarks.accuracy.long_horizon import DAY, LOOK_BACK, SEEDS, attention_lstm, load, measure, persistence
from benchmarks.record import save
from skattn.cycles import Cycles
from skattn.parts import solve_linear

HORIZON, DATA = 96, "ETTh1"  # for the parts of the network
LINEAR_DATA = ("ETTh1", "ETTm1", "Weather")
CHANGES = {
    "all parts": {},
    "no linear part": {"linear_skip": False},
    "the last value as level": {"normalization": "last"},
    "channels mixed": {"channel_mode": "mixed"},
    "no attention": {"attention": None},
    "three members": {"n_members": 3},
}
# Of the linear part alone; none of these can be asked for by a parameter.
LINEAR = {
    "the linear part alone": nullcontext(),
    "the same, chosen on the held-out windows alone": patch("skattn.parts._blocks", lambda windows: []),
    "the same, one map for all": patch("skattn.parts.MOST_PRODUCTS", 0),
    "the same, not solved again": patch("skattn.base.solve_linear", lambda *given: (solve_linear(*given)[0], None)),
}


def without_days(task):
    """The task without its daily cycle, which leaves errors as they are."""
    frame = pd.DataFrame(task.values)
    days = Cycles([DAY[task.name]]).fit(frame[: task.valid_end]).at(None, frame.index)
    return replace(task, values=(task.values - days).astype(np.float32))


def tell(task, setting, model, seeds):
    """Measure a row and save it."""
    row = measure(task, setting, model, LOOK_BACK, HORIZON, seeds)
    columns = ("MSE", "± MSE", "MAE", "seeds", "seconds a fit")
    notes = (
        f"{HORIZON} steps ahead from {LOOK_BACK}; protocol, settings and seeds of the long horizons. Each row changes "
        "one thing. The linear part alone does not depend on a seed; its seconds are with one epoch of the network."
    )
    row = {"data": task.name, "setting": setting} | {column: row[column] for column in columns}
    save(__file__, [row], notes, keys=("data", "setting"))


def main():
    task = load(DATA)
    tell(task, "the level alone", persistence, SEEDS[:1])
    for setting, changes in CHANGES.items():
        tell(task, setting, partial(attention_lstm, **changes), SEEDS)
    tell(without_days(task), "a daily cycle", attention_lstm, SEEDS)
    for task in map(load, LINEAR_DATA):
        for setting, context in LINEAR.items():
            with context:
                tell(task, setting, partial(attention_lstm, parts="linear", max_epochs=1, max_time=1.0), SEEDS[:1])


if __name__ == "__main__":
    main()
