"""Short series that come with sktime and statsmodels, the last year (or 12 steps) held out, skattn's defaults.

Run: python -m benchmarks.accuracy.classics
"""

import logging
import time

import numpy as np
from sktime.forecasting.arima import StatsModelsARIMA
from sktime.forecasting.ets import AutoETS
from sktime.forecasting.naive import NaiveForecaster
from sktime.forecasting.theta import ThetaForecaster
from sktime.transformations.boxcox import LogTransformer

from benchmarks.data import classics
from benchmarks.record import save, spread
from skattn import AttentionLSTMForecaster
from skattn.forecaster import default_regressor

SEEDS = range(5)
NOTES = (
    "The last 12 steps of each series, forecast once from the steps before; seeds 0 to 4 for the networks, mean ± "
    "standard deviation. MASE: mean absolute error over that of the seasonal naive forecast within the training "
    "part. ARIMA is the airline model (0,1,1)(0,1,1) on seasonal series and (2,1,1) on the others; ETS selects "
    "its components itself. Defaults everywhere."
)


def models(sp, positive):
    """Forecasters by name, each a function of the seed."""
    orders = ((0, 1, 1), (0, 1, 1, sp)) if sp > 1 else ((2, 1, 1), (0, 0, 0, 0))
    plain = default_regressor(attention=None)
    deseasonalize_model = "multiplicative" if positive else "additive"
    return {
        "attention-LSTM": lambda seed: AttentionLSTMForecaster(random_state=seed),
        "plain LSTM": lambda seed: AttentionLSTMForecaster(plain, random_state=seed),
        "ARIMA": lambda _: StatsModelsARIMA(*orders),
        "ARIMA on logs": lambda _: LogTransformer(offset=1) * StatsModelsARIMA(*orders),
        "ETS": lambda _: AutoETS(auto=True, sp=sp),
        "Theta": lambda _: ThetaForecaster(sp=sp, deseasonalize=sp > 1, deseasonalize_model=deseasonalize_model),
        "seasonal naive": lambda _: NaiveForecaster(sp=sp),
        "naive": lambda _: NaiveForecaster(),
    }


def measure(series):
    """A row for each series and model."""
    logging.captureWarnings(True)
    rows = []
    for name, (y, sp, h) in series.items():
        y_train, y_test = y[:-h], y[-h:]
        scale = np.abs(y_train.diff(sp)).mean()  # of the mean absolute scaled error
        for model, make in models(sp, (y > 0).all()).items():
            start, scaled, relative = time.perf_counter(), [], []
            seeds = SEEDS if "LSTM" in model else [0]
            for seed in seeds:
                error = np.abs(make(seed).fit(y_train, fh=np.arange(1, h + 1)).predict() - y_test)
                scaled.append(float(error.mean() / scale))
                relative.append(float(100 * (error / y_test).mean()) if (y_test > 0).all() else np.nan)
            rows.append(
                {
                    "series": name,
                    "model": model,
                    "MASE": spread(scaled) if len(scaled) > 1 else scaled[0],
                    "MAPE %": spread(relative) if len(relative) > 1 else relative[0],
                    "seconds a fit": (time.perf_counter() - start) / len(seeds),
                }
            )
    return rows


def main():
    save(__file__, measure(classics()), NOTES)


if __name__ == "__main__":
    main()
