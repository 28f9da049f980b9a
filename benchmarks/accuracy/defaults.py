"""The defaults of the forecaster beside their neighbours, on origins before the years that `classics` reports.

Run: python -m benchmarks.accuracy.defaults
"""

import numpy as np

from benchmarks.data import classics
from benchmarks.record import save
from skattn import AttentionLSTMForecaster
from skattn.forecaster import default_regressor

ORIGINS, SEEDS = (1, 2, 3), range(3)  # origins in horizons before the last one
CANDIDATES = {
    "the defaults": {},
    "normalization='window'": {"normalization": "window"},
    "normalization='global'": {"normalization": "global"},
    "attention_position='state'": {"attention_position": "state"},
    "attention_position='both'": {"attention_position": "both"},
    "attention=None": {"attention": None},
    "linear_skip=False": {"linear_skip": False},
    "dropout=0": {"dropout": 0.0},
    "lr=0.01": {"lr": 0.01},
}


def error(params, y, sp, h):
    """Mean absolute scaled error over origins and seeds."""
    found = []
    for origin in ORIGINS:
        y_train, y_test = y[: len(y) - h * (origin + 1)], y[len(y) - h * (origin + 1) : len(y) - h * origin]
        for seed in SEEDS:
            forecaster = AttentionLSTMForecaster(default_regressor(**params), random_state=seed)
            y_pred = forecaster.fit(y_train, fh=np.arange(1, h + 1)).predict()
            found.append(np.abs(y_pred - y_test).mean() / np.abs(y_train.diff(sp)).mean())
    return float(np.mean(found))


def main():
    rows = []
    for name, params in CANDIDATES.items():
        errors = {series: error(params, *arguments) for series, arguments in classics().items()}
        rows.append(
            {"setting": name, **errors, "geometric mean": float(np.exp(np.mean(np.log(list(errors.values())))))}
        )
    notes = (
        "Mean absolute scaled error of 12 steps ahead from three origins, the last of which forecasts the 12 steps "
        "before those that `classics` reports; seeds 0 to 2. Each row changes one default."
    )
    save(__file__, rows, notes)


if __name__ == "__main__":
    main()
