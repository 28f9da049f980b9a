"""How time and memory of a fit grow with the length of a series, the window, the channels and the number of series.

Run: python -m benchmarks.speed.growth
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.record import save

# Each axis is varied alone; the others stay at these.
MIDDLE = {"length": 20_000, "window": 96, "channels": 7, "series": 1}
AXES = {
    "length": (10_000, 100_000, 1_000_000, 10_000_000),
    "window": (24, 96, 336, 1024, 2048),
    "channels": (1, 8, 64, 512),
    "series": (1, 10, 100, 1000, 10_000),
}
LENGTH_OF_MANY = 200  # rows of each of many series
RUNS = 3
# More rows than there is memory for, of so many channels, and seconds of training.
LARGER = {"length": 0, "window": 96, "channels": 512, "series": 1, "max_time": 60}
FIT = """
import json, sys, tempfile, threading, time
import numpy as np
from skattn import AttentionLSTMRegressor
from skattn.windows import cut

def anonymous():  # memory of this process that is no mapped file, MB
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

peak = 0
def watch():
    global peak
    while True:
        peak = max(peak, anonymous())
        time.sleep(0.05)

size = json.loads(sys.argv[1])
shape = size["length"], size["channels"]
with tempfile.NamedTemporaryFile(dir=".") as file:
    series = np.memmap(file, np.float32, "w+", shape=shape)
    block = np.random.default_rng(0).normal(size=(min(1 << 16, len(series)), shape[1])).astype(np.float32)
    for start in range(0, len(series), len(block)):
        series[start : start + len(block)] = block[: len(series) - start]
    panel = series if size["series"] == 1 else np.split(series, size["series"])
    model = AttentionLSTMRegressor(
        attention="additive", linear_skip=False, normalization="global", batch_size=256, max_epochs=1, random_state=0,
        early_stopping=False, max_time=size.get("max_time"),
    )
    windows = cut(panel, size["window"], 1, n_targets=1)
    start, before = time.perf_counter(), anonymous()
    threading.Thread(target=watch, daemon=True).start()
    model.fit_windows(windows)
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, max(0, peak - before), len(windows)]))
"""


def fit(size):
    """Seconds of one epoch, memory added in MB, and the number of windows."""
    done = subprocess.run([sys.executable, "-c", FIT, json.dumps(size)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def exponent(sizes, seconds):
    """Slope of the logarithms: 1 is in proportion."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def measure(axis):
    """A row for each size along an axis."""
    rows = []
    for value in AXES[axis]:
        size = MIDDLE | {axis: value}
        if axis == "series":
            size["length"] = value * LENGTH_OF_MANY
        runs = [fit(size) for _ in range(RUNS if value < max(AXES[axis]) else 1)]
        seconds, megabytes = (median(values) for values in list(zip(*runs, strict=True))[:2])
        print(axis, value, seconds, megabytes, flush=True)
        rows.append({"axis": axis, "size": value, "windows": runs[0][2], "s an epoch": seconds, "MB added": megabytes})
    return rows


def larger():
    """A row for a series that is larger than the memory of the machine, trained for a while."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = LARGER | {"length": int(1.2 * memory) // (4 * LARGER["channels"])}
    seconds, megabytes, n_windows = fit(size)
    gigabytes = size["length"] * size["channels"] * 4 / 1e9
    row = {"axis": f"{gigabytes:.0f} GB of {memory / 1e9:.0f} GB of memory", "size": size["length"]}
    return {**row, "windows": n_windows, "s an epoch": seconds, "MB added": megabytes, "exponent of the axis": ""}


def draw(rows, path):
    """A picture of all rows, with the fitted exponents."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis in sorted(AXES.keys() & {row["axis"] for row in rows}):
        mine = [row for row in rows if row["axis"] == axis]
        sizes, seconds, megabytes = ([row[key] for row in mine] for key in ("size", "s an epoch", "MB added"))
        axes[0].loglog(sizes, seconds, "o-", label=f"{axis}: exponent {exponent(sizes, seconds):.2f}")
        axes[1].loglog(sizes, np.maximum(megabytes, 1), "o-", label=axis)
    axes[0].set(xlabel="size", ylabel="seconds an epoch")
    axes[1].set(xlabel="size", ylabel="MB added")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--larger", action="store_true", help="only a series that is larger than memory")
    chosen, rows = parser.parse_args(), []
    if chosen.larger:
        rows.append(larger())
    for axis in [] if chosen.larger else chosen.axes:
        found = measure(axis)
        slope = exponent([row["size"] for row in found], [row["s an epoch"] for row in found])
        rows += [{**row, "exponent of the axis": slope} for row in found]
    notes = (
        f"One epoch of the default network (batches of 256, no linear part) on a memory-mapped series of {MIDDLE}; "
        f"many series have {LENGTH_OF_MANY} rows each. Medians of {RUNS} runs, the largest size once, each in a "
        "process of its own. The exponent is the slope of log time over log size. Memory is that of the process "
        "without mapped files, while it fits. The row of a series larger than memory, of "
        f"{LARGER['channels']} channels, is a fit of {LARGER['max_time']} s after its scales were computed, no epoch."
    )
    save(__file__, rows, notes, keys=("axis", "size"))
    result = json.loads((Path(__file__).parent / "results" / "growth.json").read_text())
    draw(result["rows"], Path(__file__).parent / "results" / "growth.png")


if __name__ == "__main__":
    main()
