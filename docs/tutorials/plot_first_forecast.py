"""
A first forecast
================

Forecast a year of airline passengers, compare the forecast with the simplest one there is, and look at what the
network looked at.

The series holds the passengers of an airline, in thousands a month, from 1949 to 1960. It grows, and it has a season
that grows with it. sktime brings it along, so nothing is downloaded. Pictures need matplotlib:
``pip install 'skattn[plot]'``.
"""

# %%
# The series
# ----------
#
# The last twelve months are put aside: the forecast is judged on them, and nothing before that point may see them.

from sktime.datasets import load_airline

y = load_airline()
y_train, y_test = y[:-12], y[-12:]
y_train.tail(3)

# %%
# Fit
# ---
#
# Each forecast sees the last ``window_length`` months, here three years. ``random_state`` fixes the initial weights and
# the shuffling, so that the same line gives the same numbers again. ``fh`` is the forecasting horizon: all of the next
# twelve months at once.
#
# Inside, the series is cut into every window of 36 months and the 12 months that follow, and a network with attention
# learns to answer the one with the other. The series needs no scaling before: the network sees each window relative to
# its last value.

from skattn import AttentionLSTMForecaster

forecaster = AttentionLSTMForecaster(window_length=36, random_state=0)
forecaster = forecaster.fit(y_train, fh=range(1, 13))

# %%
# Predict
# -------
#
# The forecast is a series like the one that went in: the same units, and the months that follow.

y_pred = forecaster.predict()
y_pred.head(3)

# %%
# Judge
# -----
#
# A forecast is worth what it adds to a naive one. The seasonal naive forecast says: the same as in the same month of
# last year. A plain LSTM is the same network with ``attention=None``. All parameters of the network are set in the same
# place, on the regressor inside the forecaster; ``cautious`` is what the forecaster takes if it is given none.

import pandas as pd
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error

from skattn import AttentionLSTMRegressor

cautious = {"lr": 0.003, "dropout": 0.2}
lstm = AttentionLSTMRegressor(attention=None, **cautious)
plain = AttentionLSTMForecaster(lstm, window_length=36, random_state=0)

forecasts = {
    "attention LSTM": y_pred,
    "plain LSTM": plain.fit(y_train, fh=range(1, 13)).predict(),
    "seasonal naive": y.shift(12)[y_test.index],
}

# %%
# MAPE is the mean error in percent of the truth. Skill is the share of the naive forecast's error that a model saves: 0
# is as good as naive, 1 is perfect, below 0 is worse.

naive_error = mean_absolute_error(y_test, forecasts["seasonal naive"])
errors = {
    name: {
        "MAPE in %": 100 * mean_absolute_percentage_error(y_test, forecast),
        "skill": 1 - mean_absolute_error(y_test, forecast) / naive_error,
    }
    for name, forecast in forecasts.items()
}
pd.DataFrame(errors).T.round(2)

# %%
# This is one year and one seed. Before choosing between two models, repeat the comparison from several points in time:
# :doc:`/how-to/search` shows how.

# %%
# See the forecast
# ----------------
#
# :class:`~skattn.inspection.ForecastDisplay` draws the end of the history, the truth and the forecasts.

from matplotlib import pyplot as plt

from skattn.inspection import ForecastDisplay

fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
shown = {name: forecasts[name] for name in ("attention LSTM", "seasonal naive")}
ForecastDisplay(y_train, shown, truth=y_test).plot(ax=ax)
ax.set_ylabel("passengers (thousands)")
plt.show()

# %%
# See the attention
# -----------------
#
# By default, attention weighs the months of the past before the LSTM reads them. The weights share out a total of one:
# a month above the dotted line counts for more than an even share, one below it for less.
# :meth:`~skattn.AttentionLSTMForecaster.attention_weights` gives the same numbers as a table.

from skattn.inspection import AttentionDisplay

fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
AttentionDisplay.from_estimator(forecaster).plot(ax=ax)
ax.set_xlabel("month of the past")
plt.show()

# %%
# With ``attention_position="state"`` the LSTM reads first, and then each month of the forecast has its own question
# for the states that the LSTM went through. There is one row of weights for each month of the forecast, and the display
# becomes a map.

lstm = AttentionLSTMRegressor(attention_position="state", **cautious)
on_states = AttentionLSTMForecaster(lstm, window_length=36, random_state=0)
on_states = on_states.fit(y_train, fh=range(1, 13))

fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
AttentionDisplay.from_estimator(on_states).plot(ax=ax)
ax.set(xlabel="month of the past", ylabel="month of the forecast")
plt.show()

# %%
# The months that the first row weighs most:

weights = on_states.attention_weights()
weights.iloc[0].nlargest(3).round(3)

# %%
# Weights say what was read, not why the forecast is what it is. :doc:`/explanation/limits` says how far they may be
# trusted.

# %%
# See the training
# ----------------
#
# The loss of every pass over the windows, on normalised values. Had the series been longer, the newest windows would
# have been held out, their loss would be a second line, and training would have stopped at its lowest point. Here a
# tenth of the windows is fewer than ten, so none is held out.

from skattn.inspection import HistoryDisplay

fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
HistoryDisplay.from_estimator(forecaster).plot(ax=ax)
plt.show()

# %%
# Where to go on
# --------------
#
# * :doc:`/how-to/forecast-with-exogenous` for known influences, updates and several series.
# * :doc:`/how-to/search` to choose parameters.
# * :doc:`/explanation/all-of-skattn` for what happens inside.
