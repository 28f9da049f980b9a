"""Nothing can be learned of a random walk: the forecaster's defaults beside the last value, on 20 of them per length.

Run: python -m benchmarks.accuracy.random_walks
"""

import numpy as np
import pandas as pd

from benchmarks.record import save
from skattn import AttentionLSTMForecaster

LENGTHS, WALKS, HORIZON, AFTER = (200, 400, 600, 1000, 2000), range(100, 120), 12, 100  # walks 0 to 9 were looked at


def ratio(length, seed):
    """Squared error of all forecasts of the steps after `length`, over that of the last value."""
    walk = pd.Series(np.random.default_rng(seed).normal(size=length + AFTER).cumsum())
    forecaster = AttentionLSTMForecaster(random_state=seed).fit(walk[:length], fh=np.arange(1, HORIZON + 1))
    windows = forecaster.windows(walk[length - forecaster.window_length_ :])
    past, target = (windows.arrays[name][windows.index] for name in ("past", "target"))
    forecast = forecaster.regressor_.predict_windows(windows)
    return ((forecast - target) ** 2).mean() / ((past[:, -1:] - target) ** 2).mean()


def main():
    rows = []
    for length in LENGTHS:
        ratios = np.array([ratio(length, seed) for seed in WALKS])
        rows.append(
            {
                "steps": length,
                "exactly the last value": f"{(ratios == 1).sum()} of {len(ratios)}",
                "above 1.005": f"{(ratios > 1.005).sum()} of {len(ratios)}",
                "largest ratio": f"{ratios.max():.4f}",
                "mean ratio": f"{ratios.mean():.4f}",
            }
        )
        print(rows[-1], flush=True)
    notes = (
        f"Mean squared error of {HORIZON} steps ahead from each of the {AFTER - HORIZON + 1} origins after the series "
        f"that was fitted, over that of the last value repeated; walks {WALKS[0]} to {WALKS[-1]} of independent normal "
        "steps, each with a network of its own."
    )
    save(__file__, rows, notes)


if __name__ == "__main__":
    main()
