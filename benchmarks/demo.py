"""What skattn does, on real series that come with sktime: train, tune, compare, look. Run by `make demo`.

Prints one table (errors on months that no model saw) and leaves two pictures in docs/_demo/.
"""

import logging
import time
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sktime.datasets import load_airline
from sktime.forecasting.arima import StatsModelsARIMA
from sktime.forecasting.ets import AutoETS
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.forecasting.naive import NaiveForecaster
from sktime.performance_metrics.forecasting import MeanAbsolutePercentageError
from sktime.split import ExpandingWindowSplitter
from sktime.transformations.boxcox import LogTransformer

from skattn import AttentionLSTMForecaster
from skattn.forecaster import default_regressor
from skattn.inspection import AttentionDisplay, ForecastDisplay

HORIZON = np.arange(1, 13)  # months ahead
PICTURES = Path(__file__).parents[1] / "docs" / "_demo"


def models(y):
    """The attention network, as it comes and tuned on `y`, and what it should be measured against, by name."""
    arima = StatsModelsARIMA(order=(0, 1, 1), seasonal_order=(0, 1, 1, 12))
    return {
        "attention-LSTM": AttentionLSTMForecaster(random_state=0),
        "tuned": tuned(y),
        "plain LSTM": AttentionLSTMForecaster(default_regressor(attention=None), random_state=0),
        "ARIMA on logs": LogTransformer() * arima,
        "exponential smoothing": AutoETS(auto=True, sp=12),
        "seasonal naive": NaiveForecaster(sp=12),
    }


def tuned(y):
    """A grid search over the attention, scored on the last years of `y`."""
    cv = ExpandingWindowSplitter(fh=HORIZON, initial_window=len(y) - 24, step_length=12)
    grid = {"regressor__attention": ["additive", "multihead"], "regressor__attention_position": ["input", "state"]}
    return ForecastingGridSearchCV(
        AttentionLSTMForecaster(default_regressor(), random_state=0),
        cv=cv,
        param_grid=grid,
        scoring=MeanAbsolutePercentageError(),
        backend=None,
    )


def compare(y_train, y_test):
    """Forecasts by model, and a table of error, skill against the seasonal naive forecast, and seconds."""
    forecasts, rows = {}, {}
    for name, model in models(y_train).items():
        start = time.perf_counter()
        forecasts[name] = model.fit(y_train, fh=HORIZON).predict()
        error = np.abs(forecasts[name] - y_test)
        rows[name] = {
            "MAPE %": 100 * (error / y_test).mean(),
            "MAE": error.mean(),
            "seconds": time.perf_counter() - start,
        }
        if name == "tuned":
            print("Best of the search:", model.best_params_)
    table = pd.DataFrame(rows).T
    table.insert(2, "skill", 1 - table["MAE"] / table.loc["seasonal naive", "MAE"])
    return forecasts, table


def draw(forecasts, y_train, y_test):
    """A picture of the forecasts, with what the first looked at, and one of the attention of each month ahead."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    shown = {name: forecasts[name] for name in ("attention-LSTM", "exponential smoothing", "seasonal naive")}
    weights = AttentionLSTMForecaster(random_state=0).fit(y_train, fh=HORIZON).attention_weights()
    figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    ForecastDisplay(y_train, shown, truth=y_test, weights=weights).plot(ax=ax)
    figure.savefig(PICTURES / "forecast.png", dpi=150)
    network = default_regressor(attention_position="state")  # one query for each month ahead
    forecaster = AttentionLSTMForecaster(network, random_state=0).fit(y_train, fh=HORIZON)
    figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    AttentionDisplay.from_estimator(forecaster).plot(ax=ax)
    ax.set_title("Which past months each forecast looked at")
    figure.savefig(PICTURES / "attention.png", dpi=150)


def main():
    logging.captureWarnings(True)  # those of the peers; what skattn has to say, its tests make an error
    y = load_airline()
    y_train, y_test = y[: -len(HORIZON)], y[-len(HORIZON) :]
    forecasts, table = compare(y_train, y_test)
    print(f"\nAirline passengers, {y_test.index[0]} to {y_test.index[-1]}, forecast from {y_train.index[-1]}:\n")
    print(table.round(2).to_string())
    draw(forecasts, y_train, y_test)
    print(f"\nPictures: forecast.png and attention.png in {PICTURES}")


if __name__ == "__main__":
    main()
