"""The same LSTM, batches and steps through each library, in a process and an environment of its own.

Run by `benchmarks.speed.peers`, with the name of an adapter, of a task and its numbers; the result is a line of JSON.

Letters: ``T`` steps of a series, ``C`` channels, ``n`` windows.
"""

import contextlib
import itertools
import json
import logging
import resource
import sys
import time
import warnings

import numpy as np
import torch

WINDOW, HORIZON, BATCH, HIDDEN, LR = 96, 24, 256, 64, 0.001
SERIES = {"1 channel": (1, 10_000, 1), "7 channels": (1, 10_000, 7), "100 series": (100, 1000, 1)}
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
LIGHTNING = {**QUIET, "accelerator": "cpu"}


def draw(kind, length=None):
    """Series as a list of float32 tables (T, C)."""
    n_series, n_steps, n_channels = SERIES[kind]
    rng = np.random.default_rng(0)
    steps = length or n_steps
    waves = np.sin(np.arange(steps)[:, None] / 7 + np.arange(n_channels))
    return [(waves + rng.normal(size=(steps, n_channels))).astype(np.float32) for _ in range(n_series)]


def windows(series):
    """All windows of series as views of one series, or copies of several: past (n, L, C) and future (n, H, C)."""
    pairs = []
    for table in series:
        view = np.lib.stride_tricks.sliding_window_view(table, WINDOW + HORIZON, 0).swapaxes(1, 2)  # (n, L + H, C)
        pairs.append((view[:, :WINDOW], view[:, WINDOW:]))
    return pairs[0] if len(pairs) == 1 else tuple(np.concatenate(parts) for parts in zip(*pairs, strict=True))


class LSTM(torch.nn.Module):
    """One layer, and a linear map from the last state to all steps ahead."""

    def __init__(self, n_channels):
        super().__init__()
        self.lstm = torch.nn.LSTM(n_channels, HIDDEN, batch_first=True)
        self.head = torch.nn.Linear(HIDDEN, HORIZON * n_channels)

    def forward(self, x):
        return self.head(self.lstm(x)[1][0][-1]).unflatten(1, (HORIZON, -1))


class Torch:
    """A plain loop."""

    def make(self, n_channels):
        return LSTM(n_channels)

    def fit(self, series, n_steps):
        past, ahead = windows(series)
        self.network = self.make(past.shape[2])
        optimizer, done = torch.optim.Adam(self.network.parameters(), LR), 0
        while done < n_steps:
            order = np.random.default_rng(0).permutation(len(past))
            for start in range(0, len(order) - BATCH + 1, BATCH):
                rows = order[start : start + BATCH]
                optimizer.zero_grad()
                loss = ((self.forward(torch.from_numpy(past[rows])) - torch.from_numpy(ahead[rows])) ** 2).mean()
                loss.backward()
                optimizer.step()
                done += 1
                if done == n_steps:
                    return

    def forward(self, x):
        return self.network(x)

    @torch.inference_mode()
    def predict(self, series):
        """Forecast from the end of a series."""
        return self.forward(torch.from_numpy(series[0][None, -WINDOW:])).numpy()

    @torch.inference_mode()
    def predict_windows(self, past):
        return self.forward(torch.from_numpy(past)).numpy()


class TorchAttention(Torch):
    """skattn's default network, in the plain loop."""

    def make(self, n_channels):
        from skattn.nn import AttentionLSTM

        sizes = {"horizon": HORIZON, "n_targets": n_channels, "autoregressive": True, "linear_skip": False}
        return AttentionLSTM(WINDOW, n_channels, **sizes, hidden_size=HIDDEN)

    def forward(self, x):
        return self.network(x).params[..., 0]


class Skattn:
    """This package, without attention; the LSTM reads as many numbers a step as there are channels."""

    params = {"attention": None}

    def fit(self, series, n_steps):
        from skattn import AttentionLSTMRegressor
        from skattn.windows import cut

        dataset = cut(series, WINDOW, HORIZON)
        params = {"embedding_dim": series[0].shape[1], **self.params}
        rest = {"normalization": "global", "linear_skip": False, "gradient_clip": None, "early_stopping": False}
        epochs = -(-n_steps // -(-len(dataset) // BATCH))
        self.model = AttentionLSTMRegressor(
            **params,
            **rest,
            hidden_size=HIDDEN,
            lr=LR,
            batch_size=BATCH,
            max_epochs=epochs,
            callbacks=[Stop(n_steps)],
            random_state=0,
        )
        self.model.fit_windows(dataset)

    def predict(self, series):
        from skattn.windows import WindowDataset

        return self.model.predict_windows(WindowDataset({"past": series[0][None, -WINDOW:]}))

    def predict_windows(self, past):
        from skattn.windows import WindowDataset

        return self.model.predict_windows(WindowDataset({"past": past}))


class SkattnAttention(Skattn):
    """This package with its default attention and embedding."""

    params = {"embedding_dim": 32}


class SkattnSklearn(Skattn):
    """This package by scikit-learn's door, for windows that the user has made."""

    def fit(self, series, n_steps):
        from skattn import AttentionLSTMRegressor

        past, ahead = windows(series)
        rest = {"normalization": "global", "linear_skip": False, "early_stopping": False, "random_state": 0}
        self.model = AttentionLSTMRegressor(
            embedding_dim=past.shape[2], **self.params, **rest, hidden_size=HIDDEN, max_epochs=1
        )
        rows = slice(n_steps * self.model.batch_size)
        self.model.fit(past[rows], ahead[rows].reshape(len(ahead[rows]), -1))

    def predict(self, series):
        return self.model.predict(series[0][None, -WINDOW:])

    def predict_windows(self, past):
        return self.model.predict(past)


class SkattnSktime(Skattn):
    """This package by sktime's door."""

    def fit(self, series, n_steps):
        import pandas as pd

        from skattn import AttentionLSTMForecaster, AttentionLSTMRegressor

        rest = {"linear_skip": False, "early_stopping": False, "embedding_dim": series[0].shape[1]}
        regressor = AttentionLSTMRegressor(**self.params, **rest, hidden_size=HIDDEN, max_epochs=1, random_state=0)
        self.model = AttentionLSTMForecaster(regressor, WINDOW, HORIZON)
        self.model.fit(pd.DataFrame(series[0][: WINDOW + HORIZON + 32 * n_steps]), fh=range(1, HORIZON + 1))

    def predict(self, series):
        return self.model.predict()

    predict_windows = None


class Skorch:
    """skorch on windows that the user has made."""

    def fit(self, series, n_steps):
        from skorch import NeuralNetRegressor

        past, ahead = (np.ascontiguousarray(part) for part in windows(series))
        epochs = -(-n_steps // -(-len(past) // BATCH))
        self.net = NeuralNetRegressor(
            LSTM(past.shape[2]),
            optimizer=torch.optim.Adam,
            lr=LR,
            batch_size=BATCH,
            max_epochs=epochs,
            train_split=None,
            iterator_train__shuffle=True,
            verbose=0,
            callbacks=[Stop(n_steps)],
        )
        self.net.fit(past, ahead)

    def predict(self, series):
        return self.net.predict(series[0][None, -WINDOW:])

    def predict_windows(self, past):
        return self.net.predict(np.ascontiguousarray(past))


def block_rnn(window, horizon, seed, **trainer):
    """darts' LSTM."""
    from darts.models import BlockRNNModel

    return BlockRNNModel(
        window,
        horizon,
        model="LSTM",
        hidden_dim=HIDDEN,
        batch_size=BATCH,
        n_epochs=10_000,
        optimizer_kwargs={"lr": LR},
        random_state=seed,
        pl_trainer_kwargs={**LIGHTNING, **trainer},
    )


class Darts:
    """darts' BlockRNNModel, in float32."""

    def fit(self, series, n_steps):
        from darts import TimeSeries

        self.series = TimeSeries.from_values
        self.model = block_rnn(WINDOW, HORIZON, 0, max_steps=n_steps)
        self.model.fit([self.series(table) for table in series], verbose=False)

    def predict(self, series):
        past = self.series(series[0][-WINDOW:])
        return self.model.predict(HORIZON, past, verbose=False, show_warnings=False).values()

    def predict_windows(self, past):
        made = [self.series(window) for window in past]
        return self.model.predict(HORIZON, made, verbose=False, show_warnings=False)


class NeuralForecast:
    """neuralforecast's LSTM, with a single linear map as its decoder; channels are series of their own."""

    def fit(self, series, n_steps):
        from neuralforecast import NeuralForecast as Forecaster
        from neuralforecast.losses.pytorch import MSE
        from neuralforecast.models import LSTM as Network

        frame = self.frame(series)
        network = Network(
            h=HORIZON,
            input_size=WINDOW,
            loss=MSE(),
            encoder_n_layers=1,
            encoder_hidden_size=HIDDEN,
            encoder_dropout=0.0,
            decoder_layers=1,
            recurrent=False,
            max_steps=n_steps,
            learning_rate=LR,
            batch_size=frame["unique_id"].nunique(),
            windows_batch_size=BATCH,
            inference_windows_batch_size=1024,
            val_check_steps=10_000,
            **LIGHTNING,
        )
        self.model = Forecaster([network], freq=1)
        self.model.fit(frame)

    def frame(self, series):
        import pandas as pd

        columns = np.concatenate([table.T for table in series])  # (series, T)
        names, dates = np.indices(columns.shape)
        return pd.DataFrame({"unique_id": names.ravel(), "ds": dates.ravel(), "y": columns.ravel()})

    def predict(self, series):
        return self.model.predict(self.frame([series[0][-WINDOW:]]))

    def predict_windows(self, past):
        import pandas as pd

        n, length = past.shape[:2]
        names = {"unique_id": np.repeat(np.arange(n), length), "ds": np.tile(np.arange(length), n)}
        return self.model.predict(pd.DataFrame({**names, "y": past[..., 0].ravel()}))


class PytorchForecasting:
    """pytorch-forecasting's RecurrentNetwork: an LSTM that encodes and one that decodes."""

    def fit(self, series, n_steps):
        from lightning.pytorch import Trainer
        from pytorch_forecasting import RecurrentNetwork, TimeSeriesDataSet
        from pytorch_forecasting.metrics import MAE
        from torch import nn

        frame = self.frame(series)
        self.data = TimeSeriesDataSet(
            frame,
            time_idx="time",
            target="y",
            group_ids=["series"],
            max_encoder_length=WINDOW,
            min_encoder_length=WINDOW,
            max_prediction_length=HORIZON,
            min_prediction_length=HORIZON,
            time_varying_unknown_reals=["y"],
        )
        self.model = RecurrentNetwork.from_dataset(
            self.data,
            cell_type="LSTM",
            hidden_size=HIDDEN,
            rnn_layers=1,
            dropout=0.0,
            learning_rate=LR,
            loss=MAE(),
            logging_metrics=nn.ModuleList([]),
            log_interval=-1,
            optimizer="adam",
        )
        loader = self.data.to_dataloader(train=True, batch_size=BATCH, num_workers=0)
        trainer = Trainer(**LIGHTNING, max_steps=n_steps, max_epochs=10_000)
        trainer.fit(self.model, loader)

    def frame(self, series):
        import pandas as pd

        columns = np.concatenate([table.T for table in series])
        names, dates = np.indices(columns.shape)
        values = {"series": names.ravel().astype(str), "time": dates.ravel(), "y": columns.ravel()}
        return pd.DataFrame(values)

    def predict(self, series):
        from pytorch_forecasting import TimeSeriesDataSet

        frame = self.frame([np.pad(series[0][-WINDOW:], ((0, HORIZON), (0, 0)))])
        data = TimeSeriesDataSet.from_dataset(self.data, frame, predict=True, stop_randomization=True)
        loader = data.to_dataloader(train=False, batch_size=1, num_workers=0)
        return self.model.predict(loader, trainer_kwargs=dict(LIGHTNING))

    predict_windows = None


class Sktime:
    """The same LSTM in sktime's base class for networks of torch."""

    def fit(self, series, n_steps):
        import pandas as pd
        from sktime.forecasting.base.adapters._pytorch import BaseDeepNetworkPyTorch

        class Forecaster(BaseDeepNetworkPyTorch):
            _tags = {"capability:multivariate": True, "y_inner_mtype": "pd.DataFrame"}

            def __init__(self, epochs):
                self.seq_len, self.pred_len, self.epochs = WINDOW, HORIZON, epochs
                self.criterion = self.custom_dataset_train = self.custom_dataset_pred = None
                self.optimizers = {"Adam": torch.optim.Adam}
                super().__init__(num_epochs=epochs, batch_size=BATCH, lr=LR, optimizer="Adam")

            def _build_network(self, fh):
                network = LSTM(self._y.shape[1])
                network.seq_len, network.pred_len = WINDOW, HORIZON
                return network

        n = len(series[0]) - WINDOW - HORIZON + 1
        self.model = Forecaster(-(-n_steps // -(-n // BATCH)))
        self.model.fit(pd.DataFrame(series[0]), fh=range(1, HORIZON + 1))

    def predict(self, series):
        return self.model.predict()

    predict_windows = None


ADAPTERS = {
    "torch": Torch,
    "torch, attention": TorchAttention,
    "skattn": Skattn,
    "skattn, attention": SkattnAttention,
    "skattn by scikit-learn": SkattnSklearn,
    "skattn by sktime": SkattnSktime,
    "skorch": Skorch,
    "sktime": Sktime,
    "darts": Darts,
    "neuralforecast": NeuralForecast,
    "pytorch-forecasting": PytorchForecasting,
}

DOORS = "skattn by scikit-learn", "skattn by sktime"  # the same network, for forecasts alone
IMPORTS = {
    "torch": "import torch",
    "skattn": "from skattn import AttentionLSTMRegressor",
    "skattn by sktime": "from skattn import AttentionLSTMForecaster",
    "skorch": "import skorch",
    "sktime": "from sktime.forecasting.base.adapters._pytorch import BaseDeepNetworkPyTorch",
    "darts": "from darts.models import BlockRNNModel",
    "neuralforecast": "from neuralforecast.models import LSTM",
    "pytorch-forecasting": "from pytorch_forecasting import RecurrentNetwork",
}

# ------------------------------------------------------------------------------------------------------------- tasks


class Stop:
    """A callback of skorch that ends training after so many steps."""

    def __new__(cls, n_steps):
        from skorch.callbacks import Callback

        class Counter(Callback):
            left = n_steps

            def on_batch_end(self, net, training=False, **kwargs):
                self.left -= training
                if self.left == 0:
                    raise KeyboardInterrupt

        return Counter()


def train(adapter, kind, n_steps):
    """Seconds between optimiser steps, wall and CPU: medians, without the first ones; and how many steps were made."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    clocks = []
    register_optimizer_step_post_hook(lambda *args: clocks.append((time.perf_counter(), time.process_time())))
    adapter.fit(draw(kind), n_steps)
    wall, cpu = np.median(np.diff(np.array(clocks), axis=0)[5:], 0)
    return {"steps": len(clocks), "wall": wall, "cpu": cpu}


def predict(adapter, kind, n_windows):
    """Milliseconds for one forecast, and windows per second, wall and CPU, for many."""
    series = draw(kind)
    adapter.fit(series, 5)
    one = []
    for _ in range(30):
        start = time.perf_counter()
        adapter.predict(series)
        one.append(time.perf_counter() - start)
    found = {"one": 1000 * float(np.median(one))}
    if adapter.predict_windows is not None:
        past = windows(draw(kind, n_windows + WINDOW + HORIZON - 1))[0]
        adapter.predict_windows(past[:256])
        wall, cpu = time.perf_counter(), time.process_time()
        adapter.predict_windows(past)
        found |= {"wall": n_windows / (time.perf_counter() - wall), "cpu": n_windows / (time.process_time() - cpu)}
    return found


def memory(adapter, kind, length):
    """Peak memory of a process that trains 20 steps on a series of this length, MB."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    steps = itertools.count(1)

    def stop(*args):
        if next(steps) == 20:
            raise KeyboardInterrupt

    register_optimizer_step_post_hook(stop)  # sktime cannot be told where to end
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        adapter.fit(draw(kind, length), 20)
    return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def first(adapter, kind, n_steps):
    """Seconds of the imports that a library needs beside torch and numpy, and of a first short fit after them."""
    series, clocks = draw(kind, 1000), [(time.perf_counter(), time.process_time())]
    exec(IMPORTS[next(name for name, made in ADAPTERS.items() if made is type(adapter))])
    clocks.append((time.perf_counter(), time.process_time()))
    adapter.fit(series, n_steps)
    clocks.append((time.perf_counter(), time.process_time()))
    (import_wall, import_cpu), (wall, cpu) = np.diff(clocks, axis=0)
    return {"import wall": import_wall, "import cpu": import_cpu, "wall": wall, "cpu": cpu}


TASKS = {"train": train, "predict": predict, "memory": memory, "first": first}


def main():
    name, task, kind, number = sys.argv[1:]
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print(json.dumps(TASKS[task](ADAPTERS[name](), kind, int(number))))


if __name__ == "__main__":
    main()
