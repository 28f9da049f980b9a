"""Fits and predictions through the doors of the package."""

import subprocess
import sys

import numpy as np
import pandas as pd

from skattn import AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.windows import WindowDataset


class Regressor:
    def setup(self):
        self.X = np.random.default_rng(0).normal(size=(4096, 96, 7)).astype(np.float32)
        self.y = self.X[:, -3, 0]
        self.model = AttentionLSTMRegressor(hidden_size=64, batch_size=256, max_epochs=1, early_stopping=False)
        self.model.fit(self.X[:512], self.y[:512])

    def time_epoch(self):
        self.model.fit(self.X, self.y)

    def time_one_forecast(self):
        self.model.predict(self.X[:1])

    def time_forecasts(self):
        self.model.predict_windows(WindowDataset({"past": self.X}))

    def time_attention_weights(self):
        self.model.attention_weights(self.X)


class Forecaster:
    def setup(self):
        values = np.random.default_rng(0).normal(size=(2000, 1)).cumsum(0)
        self.y = pd.DataFrame(values, pd.date_range("2020-01-01", periods=2000, freq="h"))
        self.forecaster = AttentionLSTMForecaster(AttentionLSTMRegressor(max_epochs=1), window_length=48)
        self.forecaster.fit(self.y, fh=range(1, 13))

    def time_fit(self):
        self.forecaster.fit(self.y, fh=range(1, 13))

    def time_predict(self):
        self.forecaster.predict(fh=range(1, 13))


class Start:
    timeout = 120

    def time_import(self):
        subprocess.run([sys.executable, "-c", "import skattn"], check=True)

    def time_import_of_the_regressor(self):
        subprocess.run([sys.executable, "-c", "from skattn import AttentionLSTMRegressor"], check=True)
