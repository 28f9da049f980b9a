"""What weights cost beside predictions: time and memory of 10 000 windows.

Run: python -m benchmarks.faithfulness.cost
"""

import resource
import subprocess
import sys
import time
from functools import partial
from statistics import median

import numpy as np

from benchmarks.record import save
from skattn import AttentionLSTMRegressor

N_WINDOWS, STEPS, CHANNELS, RUNS = 10_000, 96, 7, 7
SETTINGS = {
    "input": {},
    "state": {"attention_position": "state"},
    "channel": {"attention": None, "channel_attention": "additive"},
    "joint": {"channel_attention": "additive"},
}


def fitted(kind):
    """A network that has seen little, and windows."""
    X = np.random.default_rng(0).normal(size=(N_WINDOWS, STEPS, CHANNELS)).astype(np.float32)
    return AttentionLSTMRegressor(max_epochs=1, random_state=0, **SETTINGS[kind]).fit(X[:256], X[:256, 0, 0]), X


def memory(kind):
    """Peak memory, MiB, that the weights of all windows add to that of a few, beside the result itself."""
    model, X = fitted(kind)
    model.attention_weights(X[:512], kind=kind)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    weights = model.attention_weights(X, kind=kind)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, weights.nbytes / 2**20)


def main():
    rows = []
    for kind in SETTINGS:
        model, X = fitted(kind)
        works = {"predict": model.predict, "weights": partial(model.attention_weights, kind=kind)}
        ratios = []
        for run in range(RUNS):
            seconds = {}
            for name in sorted(works, reverse=bool(run % 2)):
                start = time.process_time()
                works[name](X)
                seconds[name] = time.process_time() - start
            ratios.append(seconds["weights"] / seconds["predict"])
        code = f"from benchmarks.faithfulness.cost import memory; memory({kind!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        added, result = map(float, done.stdout.split())
        rows.append(
            {
                "kind": kind,
                "weights over predict, CPU time": f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                "bar": 1.3,
                "peak memory added, MiB": added,
                "of which the result, MiB": result,
            }
        )
        print(rows[-1], flush=True)
    notes = (
        f"{N_WINDOWS} windows of {STEPS} steps and {CHANNELS} channels, default sizes; medians of {RUNS} interleaved "
        "runs with their range; memory in a fresh process, above that of 512 windows."
    )
    save(__file__, rows, notes)


if __name__ == "__main__":
    main()
