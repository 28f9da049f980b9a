"""Series of the benchmarks: bundled with sktime and statsmodels, or found in SKATTN_DATA, or downloaded and checked."""

import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from sklearn.datasets import fetch_file
from sktime.datasets import load_airline, load_lynx, load_uschange

ETTH1 = {
    "url": "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/1d16c8f4f943005d613b5bc962e9eeb06058cf07/ETT-small/ETTh1.csv",
    "sha256": "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
}


def etth1():
    """ETTh1, hourly, as a frame: from SKATTN_DATA/ett/ETTh1.csv.xz, or downloaded."""
    if folder := os.environ.get("SKATTN_DATA"):
        return pd.read_csv(Path(folder) / "ett" / "ETTh1.csv.xz", index_col="date", parse_dates=True)
    path = Path(fetch_file(ETTH1["url"], sha256=ETTH1["sha256"]))
    return pd.read_csv(path, index_col="date", parse_dates=True)


def tables():
    """Three real tables of three variables, the target first."""
    macro = sm.datasets.macrodata.load_pandas().data[["unemp", "infl", "tbilrate"]]
    consumption, others = load_uschange("Consumption")
    change = pd.concat([consumption, others], axis=1)[["Consumption", "Income", "Unemployment"]]
    return {
        "US macro: unemployment": macro.to_numpy(float),
        "uschange: consumption": change.to_numpy(float),
        "ETTh1, first 2000 h: oil temperature": etth1()[["OT", "HUFL", "MUFL"]].to_numpy(float)[:2000],
    }


def classics():
    """Short series with their season and the number of last steps to hold out."""
    monthly_co2 = sm.datasets.co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
    series = {
        "airline": (load_airline(), 12, 12),
        "CO2": (monthly_co2, 12, 12),
        "El Niño": (sm.datasets.elnino.load_pandas().data.set_index("YEAR").to_numpy().ravel(), 12, 12),
        "sunspots": (sm.datasets.sunspots.load_pandas().data["SUNACTIVITY"], 1, 12),
        "lynx": (load_lynx(), 1, 12),
        "Nile": (sm.datasets.nile.load_pandas().data["volume"], 1, 12),
    }
    return {name: (pd.Series(np.asarray(y, float)), sp, h) for name, (y, sp, h) in series.items()}


def digest(path):
    """sha256 of a file, to be written above when a source changes."""
    return sha256(Path(path).read_bytes()).hexdigest()
