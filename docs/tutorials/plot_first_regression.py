"""
A first regression on windows
=============================

Predict next quarter's change in unemployment from two years of seven series, without letting the future leak in.

Here the target is no channel of the window, so this is regression and not forecasting: scikit-learn's ``fit(X, y)``,
its pipelines and its cross-validation. The table is the macroeconomic one of statsmodels, quarters of the United
States from 1959 to 2009. statsmodels brings it along, so nothing is downloaded.
"""

# %%
# The table
# ---------
#
# A row is a quarter. Amounts become growth in percent, since their level only says how late it is. Rates stay as they
# are.

import numpy as np
import pandas as pd
from statsmodels.datasets import macrodata

raw = macrodata.load_pandas().data
year, quarter = raw["year"].astype(int), raw["quarter"].astype(int)
raw.index = pd.PeriodIndex.from_fields(year=year, quarter=quarter, freq="Q")

growth = 100 * np.log(raw[["realgdp", "realcons", "realinv", "m1"]]).diff()
growth.columns = ["GDP", "consumption", "investment", "money"]
rates = raw[["unemp", "infl", "tbilrate"]]
rates.columns = ["unemployment", "inflation", "interest"]
table = growth.join(rates).iloc[1:]
table.tail(3).round(2)

# %%
# The target
# ----------
#
# A row may use what is known at the end of its quarter, and its target is what happens in the next one: ``shift(-1)``
# brings that one up. The last row has no next quarter and goes. The target is the change, and not the level: a model of
# the level looks good by repeating the last value.

y = table["unemployment"].diff().shift(-1).iloc[:-1].rename("change in unemployment")
X = table.iloc[:-1]
pd.concat([X["unemployment"], y], axis=1).tail(3).round(2)

# %%
# A pipeline
# ----------
#
# Three steps, each of which keeps the number of rows, so that y stays aligned:
#
# * ``StandardScaler`` scales the columns, with statistics of the training rows alone.
# * :class:`~skattn.preprocessing.SlidingWindow` turns each row into the window of eight quarters that ends there.
# * :class:`~skattn.AttentionLSTMRegressor` learns to map a window to its target.
#
# Two hundred rows teach little, so the regressor is to learn with caution: slowly and with dropout, as the forecaster
# does by default, and without the linear skip, which has a weight for each of the 8 x 7 = 56 values of a window.
# Training stops by itself, when the loss on the newest tenth of the rows, held out, no longer falls.

from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skattn import AttentionLSTMRegressor
from skattn.preprocessing import SlidingWindow

cautious = {"lr": 0.003, "dropout": 0.2, "linear_skip": False, "random_state": 0}
pipeline = Pipeline(
    [
        ("scale", StandardScaler()),
        ("window", SlidingWindow(window_length=8)),
        ("model", AttentionLSTMRegressor(**cautious)),
    ]
)

# %%
# Train on the first rows, and predict the last forty. One thing needs care: windows are cut anew in every call, and the
# first ones reach back before the rows that they were given. So hand over seven rows of history in front, and drop as
# many predictions.

n_train, n_history = len(X) - 40, 8 - 1
pipeline.fit(X.iloc[:n_train], y.iloc[:n_train])
y_pred = pipeline.predict(X.iloc[n_train - n_history :])[n_history:]

# %%
# Persistence says that the unemployment rate stays as it is: its change is 0. A target is drawn in the quarter in which
# it happens, one after that of its row.

from matplotlib import pyplot as plt

y_test = y.iloc[n_train:]
dates = (y_test.index + 1).to_timestamp()
fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
ax.plot(dates, y_test, color="0.2", label="truth")
ax.plot(dates, y_pred, color="C0", linewidth=2, label="prediction")
ax.axhline(0, color="C1", linewidth=1.2, label="persistence")
ax.set_ylabel("change in unemployment (points)")
ax.legend(frameon=False)
plt.show()

# %%
# Cross-validate
# --------------
#
# One period is one look. Cross-validation for time trains on the past and tests on what follows, again and again. With
# a pipeline that cuts windows, the plain ``TimeSeriesSplit`` leaks nothing: the rows of a fold are single quarters, and
# windows are cut inside the fold. Its price is that the first seven windows of each fold are padded.

from sklearn.model_selection import TimeSeriesSplit, cross_val_score

judge = {"scoring": "neg_mean_absolute_error", "error_score": "raise"}
cv = TimeSeriesSplit(4, test_size=20)
scores = cross_val_score(pipeline, X, y, cv=cv, **judge)
(-scores).round(3)

# %%
# To have whole windows everywhere, cut them once, before cross-validation. Now neighbouring rows share seven quarters,
# and :class:`~skattn.model_selection.WindowGapSplit` leaves out the rows between training and test that would share one
# with both.

from skattn.model_selection import WindowGapSplit

windows = SlidingWindow(window_length=8).fit_transform(X)
cv = WindowGapSplit(4, window_length=8, horizon=1, test_size=20)
windows.shape, cv.gap

# %%
# The regressor scales its input itself, with statistics of the training windows, so nothing else is needed. The same
# folds judge the network without attention, the network as it comes, and persistence, which is scikit-learn's dummy.

from sklearn.dummy import DummyRegressor

models = {
    "attention": AttentionLSTMRegressor(**cautious),
    "no attention": AttentionLSTMRegressor(**cautious, attention=None),
    "all defaults": AttentionLSTMRegressor(random_state=0),
    "persistence": DummyRegressor(strategy="constant", constant=0),
}
newest = [X.index[test[-1]] + 1 for _, test in cv.split(windows)]
errors = pd.DataFrame(index=[f"20 quarters to {quarter}" for quarter in newest])
for name, model in models.items():
    errors[name] = -cross_val_score(model, windows, y, cv=cv, **judge)
errors.loc["mean"] = errors.mean()
errors.round(3)

# %%
# Read such a table row by row first: periods may differ more than models do, and a model that is better on the
# whole should be better in most of them. To choose between close models, repeat it with several values of
# ``random_state``.

# %%
# See the attention over time
# ---------------------------
#
# With many windows, the display shows the mean weight of each lag and how far windows differ. The dotted line is what
# even weights would be.

from skattn.inspection import AttentionDisplay

model = AttentionLSTMRegressor(**cautious, channel_attention="additive")
model.fit(windows[:n_train], y.iloc[:n_train])

fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
display = AttentionDisplay.from_estimator(model, windows[n_train:])
display.plot(ax=ax, style="profile")
ax.set_xlabel("lag in quarters (0 is the newest)")
plt.show()

# %%
# See the attention over channels
# -------------------------------
#
# ``channel_attention`` weighs whole columns before anything else reads them. Windows are plain arrays without names, so
# the table is given those of the columns, and the dates of its rows.

weights = model.attention_weights(windows[n_train:], kind="channel")
weights = pd.DataFrame(weights, index=X.index[n_train:], columns=X.columns)
fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
AttentionDisplay(weights).plot(ax=ax)
ax.set(xlabel="", ylabel="")
plt.show()

# %%
# Where to go on
# --------------
#
# * :doc:`/how-to/windows-without-leaks` for every way to cut and to split.
# * :doc:`/how-to/search` to choose parameters with these splits.
# * :doc:`/explanation/all-of-skattn` for the mathematics.
