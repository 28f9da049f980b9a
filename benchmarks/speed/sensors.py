"""What attention over sensors costs as they become many: all pairs of them, and eight neighbours each.

Run: python -m benchmarks.speed.sensors
"""

import json
import subprocess
import sys

from benchmarks.record import save

SENSORS = (10, 50, 200, 1000, 2000)
FIT = """
import json, resource, sys, time
import numpy as np
from scipy.sparse import diags_array
from skattn import AttentionLSTMRegressor
from skattn.windows import cut

n, kind = int(sys.argv[1]), sys.argv[2]
series = np.random.default_rng(0).normal(size=(123, n)).astype(np.float32)
circle = diags_array([1.0] * 16, offsets=[*range(1, 9), *range(-n + 1, -n + 9)], shape=(n, n))
changes = {
    "each by itself": {"channel_mode": "independent"},
    "all pairs": {"spatial_attention": "multihead"},
    "eight neighbours": {"spatial_attention": "multihead", "adjacency": circle, "adjacency_role": "mask"},
}[kind]
network = {"encoder": "gru", "attention": None, "num_heads": 4, "early_stopping": False}
model = AttentionLSTMRegressor(**network, **changes, batch_size=max(1, 8192 // n), max_epochs=1)
windows = cut(series, 12, 12)
start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.fit_windows(windows)
fitted = time.perf_counter()
model.predict_windows(windows)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([fitted - start, time.perf_counter() - fitted, (after - before) / 2**20]))
"""


def main():
    notes = (
        "100 windows of 12 steps, 12 ahead; a GRU of 32, four heads, no attention over time; batches of 8192 sensors' "
        "windows. One run each, in a process of its own, on the threads that skattn chooses."
    )
    for kind in ("eight neighbours", "each by itself", "all pairs"):
        for n in SENSORS:
            command = [sys.executable, "-c", FIT, str(n), kind]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            epoch, forecasts, gigabytes = json.loads(done.stdout)
            row = {
                "attention over": kind,
                "sensors": n,
                "fit of one epoch, s": epoch,
                "us a window and sensor": 1e4 * epoch / n,
                "100 forecasts, s": forecasts,
                "memory added, GiB": gigabytes,
            }
            save(__file__, [row], notes, keys=("attention over", "sensors"))


if __name__ == "__main__":
    main()
