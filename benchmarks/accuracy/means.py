"""Means over the horizons of what `long_horizon` measured, the figures that are published and compared.

Run: python -m benchmarks.accuracy.means
"""

import json
from pathlib import Path

import pandas as pd

from benchmarks.accuracy.long_horizon import HORIZONS
from benchmarks.record import save


def main():
    found = json.loads((Path(__file__).parent / "results" / "long_horizon.json").read_text())
    groups = pd.DataFrame(found["rows"]).groupby(["data", "look-back", "model"])
    rows = [
        {"data": data, "look-back": look_back, "model": model, "MSE": group["MSE"].mean(), "MAE": group["MAE"].mean()}
        | {"longest fit, seconds": group["seconds a fit"].max()}
        for (data, look_back, model), group in groups
        if set(group["horizon"]) == set(HORIZONS)
    ]
    save(__file__, rows, "Where all four horizons, 96 to 720, were measured.")


if __name__ == "__main__":
    main()
