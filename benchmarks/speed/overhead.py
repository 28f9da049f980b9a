"""What skattn costs beside the same work in plain torch: training, one forecast, memory, import.

Run: python -m benchmarks.speed.overhead
"""

import subprocess
import sys
import time
from statistics import median

import numpy as np
import torch

from benchmarks.record import save
from skattn import AttentionLSTMRegressor
from skattn.nn import AttentionLSTM
from skattn.windows import steps

WINDOW, CHANNELS, N_WINDOWS, BATCH, EPOCHS, RUNS = 96, 7, 20_000, 256, 1, 5
NETWORK = {"hidden_size": 64, "attention": None, "linear_skip": False}
TRAINING = {"batch_size": BATCH, "max_epochs": EPOCHS, "early_stopping": False, "gradient_clip": None, "lr": 0.001}


def windows():
    """A random walk per channel, cut into views, and the next value of the first."""
    rng = np.random.default_rng(0)
    series = rng.normal(size=(N_WINDOWS + WINDOW, CHANNELS)).cumsum(0).astype(np.float32)
    return steps(series[:-1], WINDOW), series[WINDOW:, 0]


def plain_torch(X, y):
    """The loop that one would write by hand, with the same network, batches and steps."""
    network = AttentionLSTM(WINDOW, CHANNELS, **NETWORK)
    optimizer = torch.optim.Adam(network.parameters(), lr=TRAINING["lr"])
    target = (y - y.mean()) / y.std()
    for _ in range(EPOCHS):
        order = np.random.default_rng(0).permutation(len(X))
        for start in range(0, len(X), BATCH):
            rows = order[start : start + BATCH]
            past, wanted = torch.from_numpy(X[rows]), torch.from_numpy(target[rows])
            optimizer.zero_grad()
            loss = ((network(past).params[:, 0, 0, 0] - wanted) ** 2).mean()
            loss.backward()
            optimizer.step()


def training():
    """Ratios of CPU time, skattn's `fit` over the plain loop, of interleaved runs at one thread."""
    torch.set_num_threads(1)
    X, y = windows()
    estimator = AttentionLSTMRegressor(**NETWORK, **TRAINING, n_threads=1, random_state=0)
    plain_torch(X[:BATCH], y[:BATCH])  # the first optimizer of a process imports much of torch
    found = []
    for run in range(RUNS):
        seconds = {}
        for name, work in sorted({"skattn": estimator.fit, "torch": plain_torch}.items(), reverse=bool(run % 2)):
            start = time.process_time()
            work(X, y)
            seconds[name] = time.process_time() - start
        found.append(seconds["skattn"] / seconds["torch"])
    return found


def one_window():
    """Milliseconds to predict one window through the estimator, and through the bare forward."""
    X, y = windows()
    estimator = AttentionLSTMRegressor(**NETWORK, **TRAINING, n_threads=1).fit(X[:BATCH], y[:BATCH])
    one, tensor = X[:1], torch.from_numpy(X[:1].copy())
    seconds = {"estimator": [], "forward": []}
    with torch.inference_mode():
        for _ in range(500):
            start = time.perf_counter()
            estimator.network_(tensor)
            middle = time.perf_counter()
            estimator.predict(one)
            seconds["forward"].append(middle - start)
            seconds["estimator"].append(time.perf_counter() - middle)
    return {name: 1000 * median(values) for name, values in seconds.items()}


MEMORY = """
import resource, sys
import numpy as np
from skattn import AttentionLSTMRegressor
from skattn.preprocessing import SlidingWindow
n_steps = int(sys.argv[1])
model = AttentionLSTMRegressor(hidden_size=4, embedding_dim=4, attention_dim=4, batch_size=512, max_epochs=1)
small = np.random.default_rng(0).normal(size=(2000, 8)).astype(np.float32)
model.fit(SlidingWindow(168).fit_transform(small), small[:, 0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
series = np.random.default_rng(0).standard_normal((n_steps, 8), dtype=np.float32)
made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.fit(SlidingWindow(168).fit_transform(series), series[:, 0])
print(before, made, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, series.nbytes)
"""


def memory(n_steps=1_000_000):
    """Growth of peak memory while fitting, over the size of the series, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", MEMORY, str(n_steps)], capture_output=True, text=True, check=True)
    _, made, peak, size = map(int, done.stdout.split())
    return (peak - made) * 1024 / size


def import_seconds():
    """Seconds to import skattn in a fresh process, less those of an empty one: medians."""
    seconds = {"pass": [], "import skattn": []}
    for _ in range(11):
        for command, found in seconds.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", command], check=True)
            found.append(time.perf_counter() - start)
    return median(seconds["import skattn"]) - median(seconds["pass"])


def main():
    ratios, milliseconds = training(), one_window()
    rows = [
        {
            "check": f"CPU time of fit over a plain torch loop (LSTM 64, window {WINDOW}, batch {BATCH}, "
            f"{N_WINDOWS} windows of {CHANNELS} channels)",
            "measured": f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
            "bar": "1.10",
        },
        {
            "check": "predict of one window, ms, beside the bare forward",
            "measured": f"{milliseconds['estimator']:.2f} beside {milliseconds['forward']:.2f}",
            "bar": f"{1.5 * milliseconds['forward'] + 1:.2f}",
        },
        {
            "check": "peak memory added by fit on 1 000 000 steps x 8 channels, window 168, over the float32 series",
            "measured": memory(),
            "bar": "2",
        },
        {"check": "import skattn, seconds", "measured": import_seconds(), "bar": "0.3"},
    ]
    save(__file__, rows, f"Medians of {RUNS} interleaved runs with their range, one thread; memory in a fresh process.")


if __name__ == "__main__":
    main()
