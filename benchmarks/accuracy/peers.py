"""Networks of others for the long horizons: DLinear and the plain LSTM in plain torch, and those of neuralforecast.

Letters: ``B`` windows, ``L`` window_length, ``H`` horizon, ``C`` channels.
"""

import time
from copy import deepcopy

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import avg_pool1d, mse_loss, pad

CHUNK = 256  # windows at a time in validation


class DLinear(nn.Module):
    """A moving average and what it leaves, a linear map each, shared by all channels (Zeng et al., 2023)."""

    def __init__(self, window_length, horizon, n_channels, span=25):
        super().__init__()
        self.span = span
        self.trend = nn.Linear(window_length, horizon)
        self.rest = nn.Linear(window_length, horizon)

    def forward(self, x):
        x = x.transpose(1, 2)  # (B, C, L)
        half = self.span // 2
        trend = avg_pool1d(pad(x, (half, half), "replicate"), self.span, stride=1)  # (B, C, L)
        return (self.trend(trend) + self.rest(x - trend)).transpose(1, 2)  # (B, H, C)


class PlainLSTM(nn.Module):
    """Raw steps in, all channels together, all steps ahead from the last state; the last value is the level."""

    def __init__(self, window_length, horizon, n_channels, hidden_size=64):
        super().__init__()
        self.shape = horizon, n_channels
        self.lstm = nn.LSTM(n_channels, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, horizon * n_channels)

    def forward(self, x):
        level = x[:, -1:]  # (B, 1, C)
        _, (state, _) = self.lstm(x - level)  # (1, B, E)
        return level + self.head(state[-1]).unflatten(1, self.shape)  # (B, H, C)


def train(network, windows, valid, seed, *, lr, decay, batch_size=32, max_epochs=10, patience=3, max_time=180.0):
    """Train with Adam for at most `max_time` seconds, and go back to the weights that validation found best.

    `windows` and `valid` are pairs of views: past (n, L, C) and what followed, (n, H, C). After each epoch `lr` is
    multiplied by `decay`.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
    rng, end = np.random.default_rng(seed), time.monotonic() + max_time
    best, best_epoch, weights = np.inf, 0, network.state_dict()
    for epoch in range(max_epochs):
        order = rng.permutation(len(windows[0]))
        for start in range(0, len(order), batch_size):
            past, ahead = (torch.from_numpy(view[order[start : start + batch_size]]) for view in windows)
            optimizer.zero_grad()
            mse_loss(network(past), ahead).backward()
            optimizer.step()
            if time.monotonic() > end:
                break
        loss = validation_loss(network, *valid)
        if loss < best:
            best, best_epoch, weights = loss, epoch, deepcopy(network.state_dict())
        if epoch - best_epoch >= patience or time.monotonic() > end:
            break
        schedule.step()
    network.load_state_dict(weights)
    return network


@torch.inference_mode()
def validation_loss(network, past, ahead):
    """Summed squared error, chunk by chunk."""
    total = 0.0
    for start in range(0, len(past), CHUNK):
        inputs, wanted = (torch.tensor(view[start : start + CHUNK]) for view in (past, ahead))
        total += mse_loss(network(inputs), wanted, reduction="sum").item()
    return total


@torch.inference_mode()
def predict(network, past):
    """Forecasts (n, H, C) of windows (n, L, C)."""
    return network(torch.from_numpy(past)).numpy()


def neural(kind, window_length, horizon, values, n_valid, seed, max_time):
    """A network of neuralforecast, trained by it on `values` (T, C), the channels as so many series.

    The last `n_valid` rows are held out: training stops when their error has not fallen for five looks, or after
    `max_time` seconds. What is not given is the package's default, but for the squared error as loss and for batches
    that fit the memory. Returns a function from windows (n, L, C) to forecasts (n, H, C).
    """
    from neuralforecast import NeuralForecast, models
    from neuralforecast.losses.pytorch import MSE

    n_rows, n_channels = values.shape
    places = {"unique_id": np.repeat(np.arange(n_channels), n_rows), "ds": np.tile(np.arange(n_rows), n_channels)}
    network = getattr(models, kind)(
        h=horizon,
        input_size=window_length,
        loss=MSE(),
        valid_loss=MSE(),
        max_steps=1000,
        val_check_steps=50,
        early_stop_patience_steps=5,
        batch_size=n_channels,
        windows_batch_size=256,
        inference_windows_batch_size=CHUNK,
        random_seed=seed,
        max_time={"seconds": max_time},
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    fitted = NeuralForecast(models=[network], freq=1)
    fitted.fit(pd.DataFrame({**places, "y": values.T.ravel()}), val_size=n_valid)
    network = fitted.models[0].eval()
    unknown = dict.fromkeys(("futr_exog", "hist_exog", "stat_exog"))

    @torch.inference_mode()
    def forecast(past):
        series = torch.from_numpy(past).transpose(1, 2).flatten(0, 1)[..., None]  # (n * C, L, 1)
        found = network({"insample_y": series, "insample_mask": torch.ones_like(series), **unknown})  # (n * C, H, 1)
        return found.unflatten(0, (-1, n_channels))[..., 0].transpose(1, 2).numpy()

    return forecast
