"""Seconds until the validation loss that a plain LSTM reaches, on ETTh1: window 336, horizon 96.

Run: SKATTN_PEERS=/path/to/environments python -m benchmarks.speed.target
"""

import json
import logging
import subprocess
import sys
import time
import warnings

import numpy as np
import torch

from benchmarks.data import etth1
from benchmarks.record import save
from benchmarks.speed.adapters import BATCH, HIDDEN, LIGHTNING, LR, block_rnn
from benchmarks.speed.peers import ENVIRONMENT, interpreter

WINDOW, HORIZON = 336, 96
TRAIN, VALID = 8640, 2880  # rows: twelve months and four
LIMIT, CHECKED = 60.0, 32  # seconds of training, and steps between validations
SEEDS = (0, 1, 2)


def series():
    """Rows to train on and to validate on (T, C), standardised by the first."""
    values = etth1().to_numpy(np.float32)[: TRAIN + VALID]
    return (values - values[:TRAIN].mean(0)) / values[:TRAIN].std(0)


def windows(values):
    view = np.lib.stride_tricks.sliding_window_view(values, WINDOW + HORIZON, 0).swapaxes(1, 2)  # (n, L + H, C)
    return view[:, :WINDOW], view[:, WINDOW:]


@torch.inference_mode()
def validation_loss(forecast, values):
    """Mean squared error of all validation windows of a function from windows to forecasts."""
    past, ahead = windows(values[TRAIN - WINDOW :])
    errors = [
        ((forecast(torch.tensor(past[rows : rows + 128])) - torch.tensor(ahead[rows : rows + 128])) ** 2).mean((1, 2))
        for rows in range(0, len(past), 128)
    ]
    return float(torch.cat(errors).mean())


class Clock:
    """Time of training, without that of validation, until a loss is reached."""

    def __init__(self, target):
        self.target, self.curve = target, []

    def begin(self):
        """Start, when all is imported."""
        self.start, self.paused = time.perf_counter(), 0.0

    def reached(self, loss_of):
        """Whether to stop, since the loss is low enough or the time is up."""
        now = time.perf_counter()
        loss = loss_of()
        self.curve.append((now - self.start - self.paused, loss))
        self.paused += time.perf_counter() - now
        return loss <= self.target or self.curve[-1][0] > LIMIT


def plain(values, clock, seed):
    torch.manual_seed(seed)
    lstm, head = torch.nn.LSTM(7, HIDDEN, batch_first=True), torch.nn.Linear(HIDDEN, HORIZON * 7)
    network = torch.nn.Sequential(lstm, head)

    def forecast(x):
        return head(lstm(x)[1][0][-1]).unflatten(1, (HORIZON, 7))

    past, ahead = windows(values[:TRAIN])
    clock.begin()
    optimizer, rng = torch.optim.Adam(network.parameters(), LR), np.random.default_rng(seed)
    for _ in range(10):
        for rows in np.array_split(rng.permutation(len(past)), len(past) // BATCH):
            optimizer.zero_grad()
            loss = ((forecast(torch.from_numpy(past[rows])) - torch.from_numpy(ahead[rows])) ** 2).mean()
            loss.backward()
            optimizer.step()
        if clock.reached(lambda: validation_loss(forecast, values)):
            return


def skattn(values, clock, seed):
    import pandas as pd
    from skorch.callbacks import Callback

    from skattn import AttentionLSTMForecaster
    from skattn.forecaster import default_regressor

    class Watch(Callback):
        steps = 0

        def on_epoch_begin(self, net, **kwargs):
            if self.steps == 0:
                self.check(net)

        def on_batch_end(self, net, training=False, **kwargs):
            self.steps += training
            if training and self.steps % CHECKED == 0:
                self.check(net)

        def check(self, net):
            net.module_.eval()
            if clock.reached(lambda: validation_loss(net.module_.predict, values)):
                raise KeyboardInterrupt

    clock.begin()
    regressor = default_regressor(callbacks=[Watch()])
    AttentionLSTMForecaster(regressor, WINDOW, HORIZON, random_state=seed).fit(pd.DataFrame(values[:TRAIN]))


def lightning(clock, name):
    """A callback of Lightning that watches a loss which is logged."""
    try:
        from pytorch_lightning.callbacks import Callback
    except ImportError:
        from lightning.pytorch.callbacks import Callback

    class Watch(Callback):
        def on_validation_start(self, trainer, module):
            self.start = time.perf_counter()

        def on_validation_end(self, trainer, module):
            clock.paused += time.perf_counter() - self.start
            if not trainer.sanity_checking and name in trainer.callback_metrics:
                trainer.should_stop = clock.reached(lambda: float(trainer.callback_metrics[name]))

    return Watch()


def neuralforecast(values, clock, seed):
    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MSE
    from neuralforecast.models import LSTM

    names, dates = np.indices(values.T.shape)
    frame = pd.DataFrame({"unique_id": names.ravel(), "ds": dates.ravel(), "y": values.T.ravel()})
    network = LSTM(
        h=HORIZON,
        input_size=WINDOW,
        loss=MSE(),
        valid_loss=MSE(),
        encoder_n_layers=1,
        encoder_hidden_size=HIDDEN,
        max_steps=100_000,
        learning_rate=LR,
        val_check_steps=CHECKED,
        batch_size=7,
        windows_batch_size=BATCH,
        random_seed=seed,
        callbacks=[lightning(clock, "ptl/val_loss")],
        **LIGHTNING,
    )
    clock.begin()
    NeuralForecast([network], freq=1).fit(frame, val_size=VALID)


def darts(values, clock, seed):
    from darts import TimeSeries

    checks = {"check_val_every_n_epoch": None, "val_check_interval": CHECKED}
    model = block_rnn(WINDOW, HORIZON, seed, callbacks=[lightning(clock, "val_loss")], **checks)
    clock.begin()
    train, valid = (TimeSeries.from_values(part) for part in (values[:TRAIN], values[TRAIN - WINDOW :]))
    model.fit(train, val_series=valid, verbose=False)


MODELS = {"plain": plain, "skattn": skattn, "neuralforecast": neuralforecast, "darts": darts}


def run(name, target, seed):
    """Seconds and losses while a model trains, in a process of its own."""
    command = [interpreter(name), "-m", "benchmarks.speed.target", name, str(target), str(seed)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    if len(sys.argv) > 1:
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        name, target, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
        clock = Clock(target)
        MODELS[name](series(), clock, seed)
        print(json.dumps(clock.curve))
        return
    rows = []
    for seed in SEEDS:
        curves = {"plain": run("plain", 0.0, seed), "skattn": run("skattn", np.inf, seed)}
        targets = [min(loss for _, loss in curve) for curve in curves.values()]
        curves |= {name: run(name, min(targets), seed) for name in MODELS if interpreter(name) and name not in curves}
        for name, curve in curves.items():
            seconds = [next((now for now, loss in curve if loss <= target), np.inf) for target in targets]
            rows.append({"seed": seed, "model": name, f"least loss in {LIMIT:.0f} s": min(loss for _, loss in curve)})
            rows[-1] |= {"s to the LSTM's": seconds[0], "s to skattn's first": seconds[1]}
            print(rows[-1], flush=True)
    notes = (
        f"ETTh1, standardised, {TRAIN} rows to train on and {VALID} to validate on. The LSTM is a plain loop of ten "
        f"epochs, {HIDDEN} wide, batches of {BATCH}, Adam at {LR}; darts' and neuralforecast's LSTMs have the same "
        f"sizes, skattn its defaults. All are validated every {CHECKED} steps, skattn also before the first, when its "
        "linear part is solved: it ends there. Imports and validation are not counted; inf was not reached in "
        f"{LIMIT:.0f} s."
    )
    save(__file__, rows, notes)


if __name__ == "__main__":
    main()
