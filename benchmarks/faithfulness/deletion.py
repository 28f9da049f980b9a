"""Hiding what was attended, beside random hiding and occlusion, on two real data sets.

Run: python -m benchmarks.faithfulness.deletion
"""

import warnings

import numpy as np

from benchmarks.data import etth1, metr_la
from benchmarks.record import save, spread
from skattn import AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.inspection import AttentionWarning, attention_report

SEEDS = range(5)
COMMON = {"batch_size": 128, "max_epochs": 8, "n_iter_no_change": 3}
READABLE = {"encoder": "gru", "lr": 0.003, "linear_skip": False, "attention_noise": 0.7}
SETTINGS = {
    "the defaults": {},
    "linear_skip=False": {"linear_skip": False},
    "to be read": READABLE,
    "to be read, entmax15": {**READABLE, "attention_activation": "entmax15"},
    "to be read, normalization='window'": {**READABLE, "normalization": "window"},
}


def series():
    """Series with window, horizon and the rows that are for training and for test."""
    hours = etth1().astype(np.float32).reset_index(drop=True)
    speed = metr_la()[0].astype(np.float32).reset_index(drop=True)
    return {
        "ETTh1": (hours, 96, 24, slice(4320, 8640), slice(11520, 14400)),
        "METR-LA, 29 sensors": (speed, 12, 12, slice(20000, 27417), slice(-6855, None)),
    }


def main():
    warnings.simplefilter("ignore", AttentionWarning)
    rows = []
    for data, (y, window, horizon, train, test) in series().items():
        for name, params in SETTINGS.items():
            reports = []
            for seed in SEEDS:
                regressor = AttentionLSTMRegressor(**COMMON, **params)
                forecaster = AttentionLSTMForecaster(regressor, window_length=window, random_state=seed)
                forecaster.fit(y[train], fh=np.arange(1, horizon + 1))
                reports.append(attention_report(forecaster, y=y[test], max_samples=300, random_state=seed))
            usual = [report.curves["deletion"].loc[0.1, "random"] - report.damage["random"] for report in reports]
            row = {"data": data, "setting": name, "loss": spread(usual)}
            for order in ("attention", "swapped", "occlusion"):
                ratios = [report.damage[order] / report.damage["random"] for report in reports]
                row[f"{order} / random"] = spread(ratios)
            row["rank correlation with occlusion"] = spread([report.agreement["occlusion"] for report in reports])
            row["entropy"] = spread([report.entropy for report in reports])
            row["verdict: explains"] = f"{sum(report.explains for report in reports)} of {len(reports)}"
            rows.append(row)
            print(row, reports[0].verdict, flush=True)
    notes = (
        "Rise of the loss when the most attended tenth of the steps of a window is hidden (96 steps: 10, 12 steps: 1), "
        "over that of a random tenth, on 300 windows of the test part; seeds 0 to 4, mean ± standard deviation. All "
        f"networks are forecasters of all channels, trained for at most {COMMON['max_epochs']} epochs, whose losses "
        "are no records."
    )
    save(__file__, rows, notes)


if __name__ == "__main__":
    main()
