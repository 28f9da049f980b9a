"""What single parameters do to the time of training, forecasting and searching.

Run: python -m benchmarks.speed.switches
"""

import json
import subprocess
import sys
from statistics import median

from benchmarks.record import save

RUNS, SEARCHES = 5, 5
BASE = {"hidden_size": 64, "batch_size": 256}
SWITCHES = {
    "as it is": {},
    "attention=None": {"attention": None},
    "patch_length=12": {"patch_length": 12},
    "encoder='gru'": {"encoder": "gru"},
    "encoder='transformer'": {"encoder": "transformer"},
    "encoder='transformer', patch_length=12": {"encoder": "transformer", "patch_length": 12},
    "encoder='mlp', patch_length=96": {"encoder": "mlp", "patch_length": 96},
    "batch_size=32": {"batch_size": 32},
    "n_threads=1": {"n_threads": 1},
    "mixed_precision=True": {"mixed_precision": True},
    "compile=True": {"compile": True},
}
FIT = """
import json, sys, time
import numpy as np
from skattn import AttentionLSTMRegressor
from skattn.windows import cut

series = np.random.default_rng(0).normal(size=(10_119, 1)).astype(np.float32)
windows = cut(series, 96, 24)
model = AttentionLSTMRegressor(**json.loads(sys.argv[1]), linear_skip=False, early_stopping=False, max_epochs=3)
model.set_params(normalization="global", random_state=0).fit_windows(windows)
training = model.history_["dur"].iloc[1:].min()
model.predict_windows(windows.take(np.arange(1000)))
start = time.perf_counter()
model.predict_windows(windows)
print(json.dumps([training, time.perf_counter() - start, model.history_["dur"].sum()]))
"""
SEARCH = """
import sys, time
import numpy as np
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from skattn import AttentionLSTMRegressor
from skattn.preprocessing import SlidingWindow

series = np.random.default_rng(0).normal(size=(3000, 1)).astype(np.float32)
X, y = SlidingWindow(36).fit_transform(series)[:-1], series[36:, 0]
model = AttentionLSTMRegressor(max_epochs=10, early_stopping=False, random_state=0)
search = GridSearchCV(model, {"attention_dim": [8, 16, 32], "num_heads": [1, 2]}, cv=3, refit=False)
start = time.perf_counter()
with parallel_config(backend=sys.argv[1], n_jobs=int(sys.argv[2])):
    search.fit(X, y)
print(time.perf_counter() - start)
"""
JOBS = {"n_jobs=1": ("threading", "1"), "n_jobs=2": ("loky", "2"), "n_jobs=2, threads": ("threading", "2")}


def run(code, *arguments):
    """What a process of its own prints, read as JSON."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def interleaved(choices, runs, measure):
    """Results by choice, a list of runs each, in an order that turns round."""
    names, found = list(choices), {name: [] for name in choices}
    for turn in range(runs):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            found[name].append(measure(choices[name]))
    return found


def _over(results, baseline):
    ratios = [one / other for one, other in zip(results, baseline, strict=True)]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main():
    rows = []
    found = interleaved(SWITCHES, RUNS, lambda switch: run(FIT, json.dumps(BASE | switch)))
    columns = {name: list(zip(*results, strict=True)) for name, results in found.items()}
    base = columns["as it is"]
    for name, (training, forecasts, all_epochs) in columns.items():
        waited = median(whole - 3 * one for whole, one in zip(all_epochs, training, strict=True))
        rows.append(
            {
                "switch": name,
                "an epoch, s": median(training),
                "over the first row": _over(training, base[0]),
                "its forecasts, s": median(forecasts),
                "forecasts over the first row": _over(forecasts, base[1]),
                "first epoch longer by, s": waited,
            }
        )
    searches = interleaved(JOBS, SEARCHES, lambda jobs: run(SEARCH, *jobs))
    for name, seconds in searches.items():
        row = {"switch": f"a grid search, {name}", "an epoch, s": median(seconds)}
        rows.append({**row, "over the first row": _over(seconds, searches["n_jobs=1"])})
    notes = (
        "10 000 windows of 96 steps, 24 ahead, one channel; hidden_size=64, batch_size=256, the default attention, no "
        f"linear part. The faster of the second and third epoch, and the forecasts of all windows; medians of {RUNS} "
        "interleaved runs with their range, each in a process of its own. The searches are of 18 default networks with "
        f"windows of 36 steps, in all, over n_jobs=1; {SEARCHES} interleaved runs."
    )
    save(__file__, rows, notes)


if __name__ == "__main__":
    main()
