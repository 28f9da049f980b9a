"""What each part is worth: the network of the long horizons without one of its parts, or with another.

Run: python -m benchmarks.accuracy.ablation
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from benchmarks.accuracy.long_horizon import DAY, LOOK_BACK, SEEDS, attention_lstm, load, measure, persistence
from benchmarks.record import save
from skattn.cycles import Cycles

DATA, HORIZON = "ETTh1", 96
CHANGES = {
    "all parts": {},
    "the linear part alone": {"parts": "linear"},
    "no linear part": {"linear_skip": False},
    "the last value as level": {"normalization": "last"},
    "channels mixed": {"channel_mode": "mixed"},
    "no attention": {"attention": None},
    "three members": {"n_members": 3},
}


def without_days(task):
    """The task without its daily cycle, which leaves errors as they are."""
    frame = pd.DataFrame(task.values)
    days = Cycles([DAY[task.name]]).fit({None: frame[: task.valid_end]}).at(None, frame.index)
    return replace(task, values=(task.values - days).astype(np.float32))


def main():
    task, rows = load(DATA), []
    variants = {name: (task, partial(attention_lstm, **changes)) for name, changes in CHANGES.items()}
    variants |= {"a daily cycle": (without_days(task), attention_lstm), "the level alone": (task, persistence)}
    for name, (data, model) in variants.items():
        row = measure(data, name, model, LOOK_BACK, HORIZON, SEEDS)
        rows.append({"setting": name} | {column: row[column] for column in ("MSE", "± MSE", "MAE", "seconds a fit")})
    save(
        __file__,
        rows,
        f"{DATA}, {HORIZON} steps ahead from {LOOK_BACK}; protocol, settings and seeds of the long horizons. Each row "
        "changes one thing.",
    )


if __name__ == "__main__":
    main()
