"""The same LSTM in skattn and in other libraries: training, forecasts, memory, import, the first fit.

Run: SKATTN_PEERS=/path/to/environments python -m benchmarks.speed.peers

Each library that is not installed here lives in a virtual environment of its own, SKATTN_PEERS/<name>, which
``--install`` makes; those that are lacking are left out. Runs are interleaved, each in a process of its own.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from statistics import median

from benchmarks.record import save
from benchmarks.speed.adapters import ADAPTERS, DOORS, IMPORTS, SERIES
from benchmarks.speed.runs import interleaved, over

INSTALLED = {"darts": "darts[torch]==0.48.1", "neuralforecast": "neuralforecast==3.3.0"}
INSTALLED["pytorch-forecasting"] = "pytorch-forecasting==1.8.0"
RUNS, STEPS = 5, 40
# Threads wait as they do by default: passive ones would make small operations of the other libraries up to 30 times
# slower, and steps of training 1.7 times.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_"))}


def interpreter(name):
    """The Python that a library lives in, or None if it is not there."""
    if name not in INSTALLED:
        return sys.executable
    path = Path(os.environ.get("SKATTN_PEERS", "")) / name / "bin" / "python"
    return str(path) if path.exists() else None


def install():
    """Make the environments, with the torch of this one."""
    for name, requirement in INSTALLED.items():
        folder = Path(os.environ["SKATTN_PEERS"]) / name
        venv.create(folder, with_pip=True)
        packages = next(folder.glob("lib/python*/site-packages"))
        own = Path(sys.executable).parent.parent / packages.relative_to(folder)
        (packages / "own.pth").write_text(f"{own}\n")  # else each would bring a torch of its own
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", requirement], check=True)


def run(name, task, kind, number):
    """What an adapter measures of a task, in a process of its own; None if it cannot do it."""
    command = [interpreter(name), "-m", "benchmarks.speed.adapters", name, task, kind, str(number)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode:
        print(f"{name}, {task}, {kind}: {done.stderr[-200:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def training(names, kinds=tuple(SERIES)):
    rows = []
    for kind in kinds:
        found = interleaved(names, RUNS, run, "train", kind, STEPS)
        for name, results in found.items():
            baseline = found["torch, attention" if "attention" in name else "torch"]
            rows.append(
                {
                    "measure": f"training, {kind}",
                    "library": name,
                    "value": f"{1000 * median(one['wall'] for one in results):.1f} ms a step; "
                    f"CPU {1000 * median(one['cpu'] for one in results):.1f}",
                    "over plain torch": over(results, baseline, "wall"),
                }
            )
    return rows


def forecasts(names):
    rows, found = [], interleaved(names, RUNS, run, "predict", "1 channel", 10_000)
    for name, results in found.items():
        values = [f"one in {median(one['one'] for one in results):.2f} ms"]
        if "cpu" in results[0]:
            wall, cpu = (median(one[key] for one in results) for key in ("wall", "cpu"))
            values.append(f"10 000 at {wall:.0f} a second, {cpu:.0f} a CPU second")
        ratio = ""
        if "cpu" in results[0]:
            baseline = found["torch, attention" if "attention" in name else "torch"]
            ratio = over(results, baseline, "cpu") + " a CPU second"
        rows.append({"measure": "forecasts", "library": name, "value": "; ".join(values), "over plain torch": ratio})
    return rows


def memory(names):
    rows = []
    small, large = (interleaved(names, 3, run, "memory", "1 channel", length) for length in (100_000, 1_000_000))
    for name in small:
        low, high = (median(one["peak"] for one in found[name]) for found in (small, large))
        value = f"{low:.0f} MB for 1e5 steps, {high - low:.0f} MB more for 1e6"
        rows.append({"measure": "peak memory", "library": name, "value": value, "over plain torch": ""})
    return rows


def first(names):
    known = [name for name in names if name in IMPORTS]
    rows, found = [], interleaved(known, RUNS, run, "first", "1 channel", 5)
    for name, results in found.items():
        value = "; ".join(
            f"{what} {median(one[wall] for one in results):.2f} s, CPU {median(one[cpu] for one in results):.2f}"
            for what, wall, cpu in (("import", "import wall", "import cpu"), ("then fit", "wall", "cpu"))
        )
        rows.append({"measure": "first fit of five steps", "library": name, "value": value, "over plain torch": ""})
    return rows


def imports(names):
    rows = []

    def seconds_of(name):
        code = f"import time; {IMPORTS[name]}; print(time.process_time())"
        done = subprocess.run(
            [interpreter(name), "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
        )
        return float(done.stdout.splitlines()[-1])

    for name, seconds in interleaved(filter(interpreter, IMPORTS), RUNS, seconds_of).items():
        listed = subprocess.run([interpreter(name), "-m", "pip", "list"], capture_output=True, text=True).stdout
        value = f"{median(seconds):.2f} CPU s"
        if name in INSTALLED:
            value += f"; {len(listed.splitlines()) - 2} packages installed"
        rows.append({"measure": "import", "library": name, "value": value, "over plain torch": ""})
    return rows


MEASURES = {"training": training, "forecasts": forecasts, "memory": memory, "first": first, "imports": imports}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--install", action="store_true", help="make the environments and end")
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--kinds", nargs="+", choices=SERIES, default=list(SERIES), help="of series to train on")
    parser.add_argument("--libraries", nargs="+", choices=ADAPTERS, default=list(ADAPTERS), help="torch among them")
    chosen = parser.parse_args()
    if chosen.install:
        install()
        return
    there = [name for name in chosen.libraries if interpreter(name)]
    notes = (
        "The same work everywhere: an LSTM of 64 over 96 raw steps, 24 ahead, batches of 256 windows, Adam; "
        f"{STEPS} optimiser steps, which are counted. Medians of {RUNS} interleaved runs (memory: 3), each in a "
        "process of its own, with their range. Ratios are to the plain loop of the same run: wall time of a step, or "
        "forecasts per CPU second, where more is better. neuralforecast and pytorch-forecasting forecast channels as "
        "series of their own; darts and neuralforecast have one linear map for all steps ahead, pytorch-forecasting a "
        "second LSTM that decodes. skattn embeds each step before its LSTM. 'attention' is skattn's default network, "
        "and the same network in the plain loop. The imports before a first fit are those beside torch and numpy."
    )
    for measure in chosen.measures:
        arguments = [chosen.kinds] if measure == "training" else []
        names = there if measure == "forecasts" else [name for name in there if name not in DOORS]
        save(__file__, MEASURES[measure](names, *arguments), notes, keys=("measure", "library"))


if __name__ == "__main__":
    main()
