"""
Many sensors
============

A network of sensors, each of which feels what its neighbours felt some steps ago: traffic that backs up, weather that
drifts, a pressure wave in a pipe. Forecasting each sensor by itself leaves that unused. Here it is used, and then
looked at. The truth is known, since the data are generated; nothing is downloaded. Pictures need matplotlib:
``pip install 'skattn[plot]'``.
"""

# %%
# Sensors that hear each other
# ----------------------------
#
# Twelve sensors lie in a square. Each hears its two nearest neighbours to the west, the later the farther away they
# are. ``delays[i, j]`` says after how many steps sensor j hears sensor i; zero means never.

import numpy as np
import pandas as pd

from skattn import AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.datasets import make_sensor_network
from skattn.inspection import SensorDisplay
from skattn.windows import WindowDataset

values, delays, coordinates = make_sensor_network(n_steps=2000, n_sensors=12, random_state=0)
names = pd.Index([f"s{i}" for i in range(12)])
y = pd.DataFrame(values, columns=names)
places = pd.DataFrame(coordinates, index=names)
y_train, y_test = y[:1600], y[1600:]

# %%
# Alone, together, and with a map
# -------------------------------
#
# With ``channel_mode="independent"`` one network forecasts each sensor from its own past. With ``spatial_attention``
# every sensor also looks at the windows of the others, and each head mixes what it looked at into one more channel. The
# third forecaster is told where there are edges, and may look along these only. All else is the same.
#
# Four heads, since neighbours matter after different delays: what one head mixes is read at one lag.

params = {"encoder": "gru", "attention": None, "num_heads": 4, "normalization": "global"}
training = {"lr": 0.003, "batch_size": 64, "max_epochs": 30, "n_iter_no_change": 4}
edges = pd.DataFrame((delays > 0).astype(float), names, names)
kinds = {
    "alone": {"channel_mode": "independent"},
    "together": {"spatial_attention": "multihead"},
    "along the map": {"spatial_attention": "multihead", "adjacency": edges, "adjacency_role": "mask"},
}

fitted, errors = {}, {"persistence": float((y.diff()[1600:] ** 2).to_numpy().mean())}
for kind, changes in kinds.items():
    regressor = AttentionLSTMRegressor(**params, **training, **changes)
    fitted[kind] = AttentionLSTMForecaster(regressor, window_length=12, random_state=0).fit(y_train, fh=[1])
    windows = fitted[kind].windows(y[1600 - 12 :])  # one for each row of the test part
    forecasts = fitted[kind].regressor_.predict_windows(windows)
    errors[kind] = float(((forecasts - windows.arrays["target"]) ** 2).mean())
pd.Series(errors, name="mean squared error").round(2)

# %%
# What cannot be forecast has a variance of one. Most of what a sensor alone cannot know is known to its neighbours.
#
# Who listens to whom
# -------------------
#
# ``sensor_graph_`` is the mean weight over the windows of training, of the sensor of a column to that of a row. Drawn
# are the arrows of more than an even weight. Nothing but the values was given to this network: that
# nearly all of its arrows point from west to east it found by itself.

display = SensorDisplay(fitted["together"].sensor_graph_, places, metric="euclidean").plot()

# %%
# Of the twenty strongest arrows, these are edges of the network that made the data:

strongest = display.edges_.head(20)
true = [edges.loc[sensor, listener] > 0 for sensor, listener, _ in strongest.itertuples(index=False)]
print(f"{sum(true)} of {len(true)}; the network has {int(edges.to_numpy().sum())} edges")

# %%
# One forecast
# ------------
#
# Weights are made anew for every window. Here are those of the forecast for the step after the training part, a row per
# listener:

fitted["together"].attention_weights(kind="spatial").round(2).iloc[:4, :8]

# %%
# As a picture, with sensors side by side that lie near each other:

display = SensorDisplay.from_estimator(fitted["together"], coordinates=places, metric="euclidean")
display = display.plot(style="matrix")

# %%
# A sensor falls silent
# ---------------------
#
# What was not measured is missing, and what is missing is masked. Suppose that the last six values of a sensor are lost
# in every window of the test part. Its own window tells little then, but its neighbours' windows are there:

past = windows.arrays["past"].copy()
past[:, -6:, 0] = np.nan
lost = WindowDataset({"past": past})
errors = {}
for kind in kinds:
    misses = fitted[kind].regressor_.predict_windows(lost)[:, 0, 0] - y_test["s0"]
    errors[kind] = float((misses**2).mean())
pd.Series(errors, name="mean squared error of s0").round(2)

# %%
# On your own data
# ----------------
#
# * A table with a column per sensor is all that is needed; two levels of columns, (sensor, variable), where each sensor
#   measures several things. :doc:`/how-to/forecast-many-sensors` has the recipes.
# * :func:`skattn.graph.adjacency_from_coordinates` makes a map of latitudes and longitudes.
# * Compare with ``channel_mode="independent"``. Attention over sensors does not always help: it did for wind and not
#   for the flu (``benchmarks/accuracy``).
