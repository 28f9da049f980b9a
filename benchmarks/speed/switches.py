"""What single parameters do to the time of training, forecasting and searching.

Run: python -m benchmarks.speed.switches
"""

import argparse
import json
import subprocess
import sys
from statistics import median

from benchmarks.record import save
from benchmarks.speed.runs import interleaved, over

RUNS = 5
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
forecasts = time.perf_counter() - start
print(json.dumps({"epoch": training, "forecasts": forecasts, "waited": model.history_["dur"].sum() - 3 * training}))
"""
SEARCH = """
import sys, time
import numpy as np
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from skattn import AttentionLSTMRegressor
from skattn.preprocessing import SlidingWindow

series = np.random.default_rng(0).normal(size=(3000, 1)).astype(np.float32)
X, y = SlidingWindow(36).fit_transform(series)[35:-1], series[36:, 0]
model = AttentionLSTMRegressor(max_epochs=12, early_stopping=False, random_state=0)
search = GridSearchCV(model, {"attention_dim": [8, 16, 32], "num_heads": [1, 2]}, cv=3, refit=False)
start = time.perf_counter()
with parallel_config(backend=sys.argv[1], n_jobs=int(sys.argv[2])):
    search.fit(X, y)
print('{"epoch":', time.perf_counter() - start, "}")
"""
JOBS = {"n_jobs=1": ("threading", "1"), "n_jobs=2": ("loky", "2"), "n_jobs=2, threads": ("threading", "2")}


def run(code, *arguments):
    """What a process of its own prints, read as JSON."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def fits():
    found = interleaved(SWITCHES, RUNS, lambda name: run(FIT, json.dumps(BASE | SWITCHES[name])))
    base = found["as it is"]
    return [
        {
            "switch": name,
            "s": median(one["epoch"] for one in results),
            "ratio": over(results, base, "epoch"),
            "forecasts, s": median(one["forecasts"] for one in results),
            "ratio of forecasts": over(results, base, "forecasts"),
            "first epochs longer by, s": median(one["waited"] for one in results),
        }
        for name, results in found.items()
    ]


def searches():
    found = interleaved(JOBS, RUNS, lambda name: run(SEARCH, *JOBS[name]))
    return [
        {
            "switch": f"a grid search, {name}",
            "s": median(one["epoch"] for one in results),
            "ratio": over(results, found["n_jobs=1"], "epoch"),
        }
        for name, results in found.items()
    ]


MEASURES = {"fits": fits, "searches": searches}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=list(MEASURES))
    notes = (
        "An epoch of 10 000 windows of 96 steps, 24 ahead, one channel; hidden_size=64, batch_size=256, the default "
        "attention, no linear part. The faster of the second and third epoch, and forecasts of all windows, over those "
        f"as it is; medians of {RUNS} interleaved runs with their range, each in a process of its own. Searches, of 18 "
        "fits of default networks with windows of 36 steps, are over that with n_jobs=1; as many interleaved runs."
    )
    for measure in parser.parse_args().measures:
        save(__file__, MEASURES[measure](), notes, keys=("switch",))


if __name__ == "__main__":
    main()
