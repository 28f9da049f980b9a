"""Long horizons: 96 to 720 steps of many channels, beside a ridge, DLinear and a plain LSTM. Hours; see --help.

Run: python -m benchmarks.accuracy.long_horizon

Letters: ``n`` windows, ``L`` window_length, ``H`` horizon, ``C`` channels, ``T`` rows.
"""

import argparse
import time
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib.util import find_spec
from statistics import mean, stdev

import numpy as np
import pandas as pd
import torch

from benchmarks.accuracy import peers
from benchmarks.data import etth1, ettm1, exchange, weather
from benchmarks.record import save
from skattn import AttentionLSTMForecaster
from skattn.forecaster import default_regressor
from skattn.windows import WindowDataset, steps

HORIZONS, SEEDS, LOOK_BACK, MAX_TIME = (96, 192, 336, 720), (0, 1, 2), 720, 80.0
CHUNK = 256  # windows at a time: all of them at once would be tens of gigabytes
PENALTIES = np.logspace(-8, 0, 17)  # of the ridge, in mean eigenvalues of its Gram matrix
LOADERS = {"ETTh1": etth1, "ETTm1": ettm1, "Weather": weather, "Exchange": exchange}
DAY = {"ETTh1": 24, "ETTm1": 96, "Weather": 144, "Exchange": 1}  # rows
# What is changed from the forecaster's defaults.
PARAMS = {
    "patch_length": 48,
    "channel_mode": "independent",
    "encoder": "gru",
    "attention_position": "state",
    "hidden_size": 64,
    "embedding_dim": 64,
    "dropout": 0.5,
    "lr": 0.001,
    "batch_size": 64,
    "max_epochs": 8,
    "n_iter_no_change": 3,
    "early_stopping": True,
    "max_time": MAX_TIME,
}


@dataclass(frozen=True)
class Task:
    """A series and the rows at which its training, validation and test part end."""

    name: str
    values: np.ndarray  # (T, C) of float32, in mean and deviation of the training rows
    dates: pd.Index
    train_end: int
    valid_end: int
    test_end: int


def load(name):
    """Months of 30 days, 12 to train, 4 to validate and 4 to test, for ETT; elsewhere 70, 10 and 20 %."""
    frame, month = LOADERS[name](), 30 * DAY[name]
    ends = len(frame) * 7 // 10, len(frame) - len(frame) // 5, len(frame)
    if name.startswith("ETT"):
        ends = 12 * month, 16 * month, 20 * month
    values = frame.to_numpy(float)
    train = values[: ends[0]]
    return Task(name, ((values - train.mean(0)) / train.std(0)).astype(np.float32), frame.index, *ends)


def windows(task, part, window_length, horizon):
    """Views of all pasts (n, L, C) and what followed (n, H, C), where what followed lies in a part; pasts may not."""
    start, end = {
        "train": (window_length, task.train_end),
        "valid": (task.train_end, task.valid_end),
        "test": (task.valid_end, task.test_end),
    }[part]
    past = steps(task.values[start - window_length : end - horizon], window_length)
    return past, steps(task.values[start:end], horizon)


def chunks(past, ahead):
    for start in range(0, len(past), CHUNK):
        yield past[start : start + CHUNK].copy(), ahead[start : start + CHUNK]


def errors(forecast, past, ahead):
    """MSE and MAE over all windows, steps and channels."""
    squared = absolute = 0.0
    for window, wanted in chunks(past, ahead):
        error = forecast(window) - wanted
        squared += np.square(error).sum(dtype=float)
        absolute += np.abs(error).sum(dtype=float)
    return float(squared / ahead.size), float(absolute / ahead.size)


# ---------------------------------------------------------------------------------------------------------- models
# Each takes a task, a window_length, a horizon and a seed, and gives a function from windows (n, L, C) to forecasts
# (n, H, C), or None where it has nothing to say.


def persistence(task, window_length, horizon, seed):
    return lambda past: np.repeat(past[:, -1:], horizon, axis=1)


def seasonal_naive(task, window_length, horizon, seed):
    day = DAY[task.name]
    if not 1 < day <= window_length:
        return None
    return lambda past: past[:, np.arange(horizon) % day - day]


def ridge(task, window_length, horizon, seed, refit=False):
    """One linear map from past to future for all channels, the window's mean removed, in closed form.

    With `refit` it is solved once more with the validation rows, at the penalty that they chose.
    """
    gram, cross = moments(*windows(task, "train", window_length, horizon))
    gram_valid, cross_valid = moments(*windows(task, "valid", window_length, horizon))
    scales, axes = np.linalg.eigh(gram)
    turned = axes.T @ cross  # (L, H)
    maps = {penalty: axes @ (turned / (scales + penalty * scales.mean())[:, None]) for penalty in PENALTIES}
    errors = {penalty: np.sum(map * (gram_valid @ map - 2 * cross_valid)) for penalty, map in maps.items()}  # but a sum
    penalty = min(errors, key=errors.get)
    best = maps[penalty].T.astype(np.float32)  # (H, L)
    if refit:
        both = gram + gram_valid
        both += penalty * np.trace(both) / len(both) * np.eye(len(both))
        best = np.linalg.solve(both, cross + cross_valid).T.astype(np.float32)  # (H, L)

    def forecast(past):
        level = past.mean(1, keepdims=True)
        return level + best @ (past - level)

    return forecast


def moments(past, ahead):
    """Past by past (L, L) and past by future (L, H), summed over windows and channels."""
    length = past.shape[1]
    total = np.zeros((length, length + ahead.shape[1]))
    for window, wanted in chunks(past, ahead):
        both = np.concatenate([window, wanted], 1, dtype=float)
        both -= both[:, :length].mean(1, keepdims=True)
        both = np.moveaxis(both, 1, 0).reshape(both.shape[1], -1)  # (L + H, n * C)
        total += both[:length] @ both.T
    return np.split(total, [length], axis=1)


def peer(kind, **training):
    """A network of `peers` as a model."""

    def model(task, window_length, horizon, seed):
        torch.manual_seed(seed)
        network = kind(window_length, horizon, task.values.shape[1])
        parts = (windows(task, part, window_length, horizon) for part in ("train", "valid"))
        peers.train(network, *parts, seed, max_time=MAX_TIME, **training)
        return lambda past: peers.predict(network, past)

    return model


def neural(kind):
    """A network of neuralforecast as a model."""

    def model(task, window_length, horizon, seed):
        values, n_valid = task.values[: task.valid_end], task.valid_end - task.train_end
        return peers.neural(kind, window_length, horizon, values, n_valid, seed, MAX_TIME)

    return model


def attention_lstm(task, window_length, horizon, seed, parts="all", **changes):
    """skattn on all rows before the test, of which it holds out the windows that the others validate on.

    `changes` are those of PARAMS; `parts` can be "linear", which leaves the network out.
    """
    n_valid = task.valid_end - task.train_end - horizon + 1
    fraction = n_valid / (task.valid_end - window_length - horizon + 1)
    regressor = default_regressor(**{"validation_fraction": fraction, **PARAMS, **changes})
    forecaster = AttentionLSTMForecaster(regressor, window_length, horizon, random_state=seed)
    forecaster.fit(pd.DataFrame(task.values[: task.valid_end]))
    if parts == "linear":
        forecaster.regressor_.network_.gate.share.fill_(0)
    return lambda past: forecaster.regressor_.predict_windows(WindowDataset({"past": past}))


MODELS = {
    "persistence": persistence,
    "seasonal naive": seasonal_naive,
    "ridge": ridge,
    "ridge, refit": partial(ridge, refit=True),
    "DLinear": peer(peers.DLinear, lr=0.005, decay=0.5),  # of five, the best on the validation rows of ETTh1
    "plain LSTM": peer(peers.PlainLSTM, lr=0.003, decay=0.7),  # of four
    "attention-LSTM": attention_lstm,
    "attention-LSTM, L1": partial(attention_lstm, loss="absolute_error"),
}
if find_spec("neuralforecast"):
    MODELS |= {"NHITS": neural("NHITS"), "PatchTST": neural("PatchTST")}
DETERMINISTIC = ("persistence", "seasonal naive", "ridge", "ridge, refit")

# ---------------------------------------------------------------------------------------------------------- running


def measure(task, name, model, window_length, horizon, seeds):
    """A row of the table, or None where the model has nothing to say."""
    found = []
    for seed in seeds[:1] if name in DETERMINISTIC else seeds:
        start, start_cpu = time.perf_counter(), time.process_time()
        forecast = model(task, window_length, horizon, seed)
        seconds = time.perf_counter() - start, time.process_time() - start_cpu
        if forecast is None:
            return None
        found.append([*errors(forecast, *windows(task, "test", window_length, horizon)), *seconds])
    mse, mae, wall, cpu = map(list, zip(*found, strict=True))
    return {
        "data": task.name,
        "horizon": horizon,
        "look-back": window_length,
        "model": name,
        "MSE": mean(mse),
        "± MSE": stdev(mse) if len(mse) > 1 else 0.0,
        "MAE": mean(mae),
        "± MAE": stdev(mae) if len(mae) > 1 else 0.0,
        "seeds": len(found),
        "seconds a fit": mean(wall),
        "CPU seconds": mean(cpu),
        "date": date.today().isoformat(),
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", nargs="+", choices=LOADERS, default=list(LOADERS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--horizons", nargs="+", type=int, default=HORIZONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--look-back", type=int, default=LOOK_BACK)
    return parser.parse_args()


def main():
    chosen = arguments()
    notes = (
        "Errors on standardised values, mean over every test window, step and channel; nothing was selected on the "
        "test. The attention-LSTM and the ridge with refit solve their linear maps once more with the validation rows, "
        "the others learn from the training rows alone. ETT: 12, 4 and 4 months of 30 days; the others 70, 10 and 20 "
        f"%. At most {MAX_TIME:g} seconds of "
        "training a fit, on one thread; ± is the standard deviation over seeds. Each row was measured on its own date."
    )
    for name in chosen.data:
        task = load(name)
        for horizon in chosen.horizons:
            for model in chosen.models:
                if row := measure(task, model, MODELS[model], chosen.look_back, horizon, chosen.seeds):
                    save(__file__, [row], notes, keys=("data", "horizon", "look-back", "model"))


if __name__ == "__main__":
    main()
