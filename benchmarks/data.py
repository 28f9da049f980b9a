"""Series of the benchmarks: bundled with sktime and statsmodels, or found in SKATTN_DATA, or downloaded and checked."""

import json
import lzma
import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from sklearn.datasets import fetch_file
from sktime.datasets import load_airline, load_lynx, load_uschange

ETT = {
    "url": "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/1d16c8f4f943005d613b5bc962e9eeb06058cf07/ETT-small/{}.csv",
    "sha256": {
        "ETTh1": "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
        "ETTm1": "6ce1759b1a18e3328421d5d75fadcb316c449fcd7cec32820c8dafda71986c9e",
    },
}

SML2010 = {
    "url": "https://raw.githubusercontent.com/KurochkinAlexey/DA-RNN/4ddcf22a7964b239712d2cf218db28a081347665/SML2010/NEW-DATA-{}.T15.txt",
    "sha256": (
        "bd5a4c4f1f6a0652258179c9963fb5c90885eedee4a981617898c18d6b5c4541",
        "1c008643381903a51557a0599cbd7706ae71b07f2d449d165b17f13b6e12a97e",
    ),
}

# File, season, digest.
SEVEN = {
    "airline": ("airline-passengers", 12, "8cb51be753a718d9be5d76d7e238cc224792754676adc21faa59e954b0201621"),
    "sunspots": ("monthly-sunspots", 12, "c4ec8cc57d9f6fb6ecdb3e1f37f25b6f4badd5124c55931052b0cd2fc3bc71f3"),
    "temperatures": ("daily-min-temperatures", 7, "8b9de63ed6789492bf497625e7f9beb96a63d367b4b0a21754006f749fa5e5da"),
    "births": ("daily-total-female-births", 7, "7a0c1bdb32d68f7fa359e561a4f7e1fe8fb2fc26a1ea624a434a97a63735dd72"),
    "car sales": ("monthly-car-sales", 12, "a4194226eb1d0eba5fd503e829b1279f1a10683d8009f2871aca05e7fb648f70"),
    "shampoo": ("monthly-shampoo-sales", 12, "f709eaa344b2d07039a49e2193cbff5e56206354f3a8203c0e02471beb39a451"),
    "champagne": ("monthly_champagne_sales", 12, "bf2179f9c4df80a355146ce80da5c29d5cd5f36918d98f8b07cb04cda59e59eb"),
}
SEVEN_URL = "https://raw.githubusercontent.com/jbrownlee/Datasets/d20fcb6402ae34e653d4513b00f39257bb37ed7f/{}.csv"


def etth1():
    """ETTh1, hourly, as a frame: from SKATTN_DATA/ett/ETTh1.csv.xz, or downloaded."""
    return _ett("ETTh1")


def ettm1():
    """ETTm1, the same transformer as ETTh1 every 15 minutes: from SKATTN_DATA/ett/ETTm1.csv.xz, or downloaded."""
    return _ett("ETTm1")


def _ett(name):
    if folder := os.environ.get("SKATTN_DATA"):
        path = Path(folder) / "ett" / f"{name}.csv.xz"
    else:
        path = Path(fetch_file(ETT["url"].format(name), sha256=ETT["sha256"][name]))
    return pd.read_csv(path, index_col="date", parse_dates=True)


def weather():
    """Weather at Jena in 2020, 21 variables every 10 minutes: from SKATTN_DATA only.

    Its 81 cells of -9999 stand for missing values; they stay, because published figures count them.
    """
    path = _only_here("weather_jena2020/weather.csv.xz")
    return pd.read_csv(path, encoding="latin1", index_col="date", parse_dates=True)


def exchange():
    """Exchange rates of 8 currencies, daily, under the nominal dates of the published table: from SKATTN_DATA only."""
    frame = pd.read_csv(_only_here("exchange_rate/exchange_rate.txt.gz"), header=None)
    return frame.set_index(pd.date_range("1990-01-01", periods=len(frame), freq="D", name="date"))


def _only_here(path):
    if not (folder := os.environ.get("SKATTN_DATA")):
        raise FileNotFoundError(f"{path} is not downloaded. Name the folder that holds it: SKATTN_DATA=...")
    return Path(folder) / path


def sml2010():
    """SML2010, a house in steps of 15 minutes: two frames with days between them, from SKATTN_DATA, or downloaded."""
    frames = []
    for part in (1, 2):
        if folder := os.environ.get("SKATTN_DATA"):
            path = Path(folder) / "sml2010" / f"NEW-DATA-{part}.T15.txt.xz"
        else:
            path = Path(fetch_file(SML2010["url"].format(part), sha256=SML2010["sha256"][part - 1]))
        frame = pd.read_csv(path, sep=r"\s+")
        columns = [name.partition(":")[2] for name in frame.columns[1:]]  # "#  1:Date 2:Time ...": one word too many
        frame = pd.read_csv(path, sep=r"\s+", skiprows=1, names=columns)
        frames.append(frame.drop(columns=["Date", "Time", "Day_Of_Week"]))
    return frames


def metr_la():
    """Speeds at 29 loop detectors of METR-LA every 5 minutes, NaN where missing, and its map: from SKATTN_DATA only."""
    with np.load(_only_here("metr_la_29/metr_la_29.npz")) as arrays:
        speed = arrays["levels"][arrays["codes_NT"]].T
        return pd.DataFrame(np.where(speed == 0, np.nan, speed)), pd.DataFrame(arrays["adj"])


def irish_wind():
    """Daily wind at 12 Irish stations from 1961 to 1978, in knots: from SKATTN_DATA only."""
    frame = pd.read_csv(_only_here("irish_wind/wind.data.xz"), sep=r"\s+")
    dates = pd.to_datetime(dict(year=1900 + frame["Yr"], month=frame["Mo"], day=frame["Dy"]))
    return frame.drop(columns=["Yr", "Mo", "Dy"]).set_index(pd.DatetimeIndex(dates, freq="D"))


# Degrees north and west, of the twelve stations in the order of the file; Haslett and Raftery (1989).
IRISH_STATIONS = [
    *((51.80, -8.25), (51.93, -10.25), (52.28, -6.35), (52.67, -7.27), (52.70, -8.92), (53.08, -7.88)),
    *((53.43, -6.25), (53.72, -8.98), (53.53, -7.37), (54.18, -7.23), (54.23, -10.00), (55.37, -7.33)),
]


def chickenpox():
    """Weekly chickenpox of 20 Hungarian counties in standard deviations, and its map: from SKATTN_DATA only."""
    with lzma.open(_only_here("pyg_temporal/chickenpox.json.xz")) as file:
        loaded = json.load(file)
    names = sorted(loaded["node_ids"], key=loaded["node_ids"].get)
    adjacency = pd.DataFrame(0.0, names, names)
    for start, end in loaded["edges"]:
        adjacency.iloc[start, end] = 1.0
    return pd.DataFrame(loaded["FX"], columns=names), adjacency


def flu():
    """Weekly cases of influenza in 49 US states, and which of them are neighbours: from SKATTN_DATA only."""
    frame = pd.read_csv(_only_here("colagnn/state360.txt.xz"), header=None)
    return frame, pd.read_csv(_only_here("colagnn/state-adj.txt"), header=None)


def los_loop():
    """Speeds at 207 detectors of Los Angeles every 5 minutes, gaps filled, and its map: from SKATTN_DATA only."""
    frame = pd.read_csv(_only_here("los_loop/los_speed.csv.xz"))
    adjacency = pd.read_csv(_only_here("los_loop/los_adj.csv.xz"), header=None)
    return frame, adjacency.set_axis(frame.columns).set_axis(frame.columns, axis=1)


def beijing_air():
    """Fine dust at 36 stations of Beijing every hour, with gaps, and where they are: from SKATTN_DATA only."""
    frame = pd.read_csv(_only_here("aqi36/pm25_ground.txt.xz"), index_col=0, parse_dates=True)
    return frame, pd.read_csv(_only_here("aqi36/pm25_latlng.txt"), index_col=0, dtype={"sensor_id": str})


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


def seven():
    """Seven short series as `classics` gives them: from SKATTN_DATA/classics, plain or as .xz, or downloaded."""
    series = {}
    for name, (file, sp, sha256_) in SEVEN.items():
        if folder := os.environ.get("SKATTN_DATA"):
            path = next((Path(folder) / "classics").glob(f"{file}.csv*"))
        else:
            path = Path(fetch_file(SEVEN_URL.format(file), sha256=sha256_))
        series[name] = pd.Series(pd.read_csv(path).iloc[:, 1].to_numpy(float)), sp, 12
    return series


def digest(path):
    """sha256 of a file, to be written above when a source changes."""
    return sha256(Path(path).read_bytes()).hexdigest()
