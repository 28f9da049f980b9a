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

DATA, HORIZONS = "ETTh1", (96, 336)
CHANGES = {
    "all parts": {},
    "the linear part alone": {"parts": "linear"},
    "no linear part": {"linear_skip": False},
    "the last value as level": {"normalization": "last"},
    "the training mean as level": {"normalization": "global"},
    "patches of 12 steps": {"patch_length": 12},
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
        found = [measure(data, name, model, LOOK_BACK, horizon, SEEDS) for horizon in HORIZONS]
        errors = {f"MSE, {row['horizon']} steps": f"{row['MSE']:.4f} ± {row['± MSE']:.4f}" for row in found}
        rows.append({"setting": name, **errors, "seconds a fit": max(row["seconds a fit"] for row in found)})
        save(__file__, rows, f"{DATA}, {LOOK_BACK} steps of the past, protocol and settings of the long horizons.")


if __name__ == "__main__":
    main()
