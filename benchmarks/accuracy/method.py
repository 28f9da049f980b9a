"""The method's own case: 100 steps of 3 variables, standardised, LSTM 50, attention 20, one step ahead.

Run: python -m benchmarks.accuracy.method
"""

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks.data import tables
from benchmarks.record import save, spread
from skattn import AttentionLSTMRegressor
from skattn.windows import steps

WINDOW, SEEDS, TEST = 100, range(5), 0.2
# As the method is described: no skip, one level and scale for the whole series.
METHOD = {"hidden_size": 50, "attention_dim": 20, "embedding_dim": 50, "attention_position": "input"}
MODELS = {
    "attention-LSTM": {**METHOD, "linear_skip": False},
    "plain LSTM": {**METHOD, "linear_skip": False, "attention": None},
    "attention-LSTM + skip": METHOD,
    "plain LSTM + skip": {**METHOD, "attention": None},
}


def split(table):
    """Windows and next values of the first variable, standardised by the training part: train and test, in order."""
    n_windows = len(table) - WINDOW
    n_train = n_windows - round(TEST * n_windows)
    z = StandardScaler().fit(table[: WINDOW + n_train]).transform(table).astype(np.float32)
    X, y = steps(z[:-1], WINDOW), z[WINDOW:, 0]
    return X[:n_train], y[:n_train], X[n_train:], y[n_train:]


def errors(table):
    """Test MSE by model; a list over seeds for the networks."""
    X, y, X_test, y_test = split(table)
    flat = FunctionTransformer(lambda windows: windows.reshape(len(windows), -1))
    ridge = make_pipeline(flat, RidgeCV(np.logspace(-2, 4, 13))).fit(X, y)
    found = {"persistence": X_test[:, -1, 0], "ridge": ridge.predict(X_test)}
    found = {name: [float(np.mean((forecast - y_test) ** 2))] for name, forecast in found.items()}
    for name, params in MODELS.items():
        networks = (AttentionLSTMRegressor(**params, early_stopping=True, random_state=seed) for seed in SEEDS)
        found[name] = [float(np.mean((network.fit(X, y).predict(X_test) - y_test) ** 2)) for network in networks]
    return found


def main():
    rows = []
    for name, table in tables().items():
        found = errors(table)
        row = {"series": name, "test windows": len(split(table)[3])}
        row |= {model: spread(mse) if len(mse) > 1 else mse[0] for model, mse in found.items()}
        row["attention / plain"] = float(np.mean(found["attention-LSTM"]) / np.mean(found["plain LSTM"]))
        row["with skip"] = float(np.mean(found["attention-LSTM + skip"]) / np.mean(found["plain LSTM + skip"]))
        rows.append(row)
    notes = (
        "Test MSE on standardised values, one step ahead, every one of the last 20 % of the windows; seeds 0 to 4, "
        "mean ± standard deviation. The newest tenth of the training windows is held out to stop on; nothing was "
        "selected on the test. The last two columns are ratios of the means, below 1 where attention helps."
    )
    save(__file__, rows, notes)


if __name__ == "__main__":
    main()
