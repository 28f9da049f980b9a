"""
Reading attention
=================

Which past steps, and which sensors, did this forecast look at? And is that what the forecast rests on?

Every estimator of skattn answers the first question: ``attention_weights`` is a table, and a picture is one line more.
The second question is another one, and has to be asked of every fitted model anew. This lesson asks it of data whose
truth is known, of sensors worn on a wrist, and of a monthly series. Nothing is downloaded. Pictures need matplotlib:
``pip install 'skattn[plot]'``.
"""

# %%
# Where the truth is known
# ------------------------
#
# First, windows of 24 independent random values. The target is the sum of two of them, 3 and 11 steps before the
# newest, and some noise. ``truth`` marks the two.
#
# Two kinds of regressor learn it: as it comes by default, and one that is fitted to be read. The second differs in
# four parameters:
#
# * ``linear_skip=False``, since the linear skip reads the window past the attention;
# * ``attention_noise=0.7``: training adds noise to every step after it was multiplied by its weight, so that what
#   matters has to be given weight to be heard;
# * ``encoder="gru"`` and ``lr=0.003``, which learn more steadily under noise.
#
# Three data sets and seeds, since one is no evidence. The networks are small and train briefly, to be quick.

import warnings

import numpy as np
import pandas as pd

from skattn import AttentionLSTMRegressor
from skattn.datasets import make_planted_lags
from skattn.inspection import AttentionWarning, attention_report, truth_scores

warnings.simplefilter("ignore", AttentionWarning)  # a report warns of a bad verdict, and here verdicts are shown

to_be_read = {"linear_skip": False, "attention_noise": 0.7, "encoder": "gru", "lr": 0.003}
small = {"hidden_size": 16, "embedding_dim": 16, "max_epochs": 30}

rows = {}
for seed in range(3):
    X, y, truth = make_planted_lags(n_samples=1200, n_steps=24, lags=(3, 11), random_state=seed)
    X_test, y_test = X[1000:], y[1000:]
    for name, params in {"default": {}, "to be read": to_be_read}.items():
        model = AttentionLSTMRegressor(**params, **small, random_state=seed).fit(X[:1000], y[:1000])
        weights = model.attention_weights(X_test)  # a row per window, a column per step
        scores = truth_scores(truth[1000:, :, 0], weights, random_state=0)
        report = attention_report(model, X_test, y_test, random_state=0)
        rows[name, seed] = {"R2": model.score(X_test, y_test), "AUPRC": scores["AUPRC"], "explains": report.explains}
pd.DataFrame.from_dict(rows, orient="index").rename_axis(["fit", "seed"]).sort_index().round(2)

# %%
# All of them solve the task. AUPRC says how well the two steps are found by their weights: 1 is perfect, and 0.08, the
# share of the two among 24 steps, is what weights get that know nothing. By default they know nothing here: the task is
# linear, the linear skip solves it before training, and nothing is left that the attention would be needed for.
#
# The last column does not know the truth. It is the answer of :func:`~skattn.inspection.attention_report`, which asks
# the forecast itself: it hides the steps with the most weight, and looks whether the loss rises. It is a coarser judge,
# of that tenth of the steps alone, and where it says no there is something to it. In words, for the last of the models:

print(report.verdict)

# %%
# Its profile is the mean weight of each lag over the test windows, shaded the middle 80 % of them, and dotted what even
# weights would be.

from matplotlib import pyplot as plt

from skattn.inspection import AttentionDisplay

fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
AttentionDisplay.from_estimator(model, X_test).plot(ax=ax, style="profile")
plt.show()

# %%
# Sensors on a wrist
# ------------------
#
# BasicMotions, of the UEA archive, holds ten seconds of badminton, running, standing or walking in each recording: six
# channels of a smart watch, the axes of its accelerometer and of its gyroscope, ten times a second. The task is to
# predict the first axis a fifth of a second ahead, from the last two seconds of all six.
#
# Windows are cut within each recording. The test recordings are others than those of training.

from sktime.datasets import load_basic_motions

from skattn.preprocessing import SlidingWindow

sensors = ["acceleration x", "acceleration y", "acceleration z", "rotation x", "rotation y", "rotation z"]
length, ahead = 20, 2


def windows_of(split):
    recordings, motions = load_basic_motions(split=split, return_type="numpy3D")  # (recording, sensor, step)
    windows = [SlidingWindow(length).fit_transform(one.T)[length - 1 : -ahead : 2] for one in recordings]
    targets = [one[0, length - 1 + ahead :: 2] for one in recordings]
    return np.concatenate(windows), np.concatenate(targets), np.repeat(motions, len(targets[0]))


X_train, y_train, _ = windows_of("train")
X_test, y_test, motion = windows_of("test")
X_train.shape

# %%
# ``channel_attention`` asks for weights of the sensors too. Again there is a default beside it.

to_be_read["random_state"] = 0
read = AttentionLSTMRegressor(**to_be_read, channel_attention="additive").fit(X_train, y_train)
default = AttentionLSTMRegressor(channel_attention="additive", random_state=0).fit(X_train, y_train)
print(f"R2 of the default {default.score(X_test, y_test):.2f}, of the one to be read {read.score(X_test, y_test):.2f}")

# %%
# That is the price: noise makes learning harder. What it buys are three pictures. The profile is over time and the bars
# are over sensors. The map is of both, with ``kind="joint"``: the weight of each sensor at each step.

fig, axes = plt.subplots(3, 1, figsize=(8, 8), layout="constrained")
AttentionDisplay.from_estimator(read, X_test).plot(ax=axes[0], style="profile")
AttentionDisplay.from_estimator(read, X_test, kind="channel", names=sensors).plot(ax=axes[1], style="bars")
AttentionDisplay.from_estimator(read, X_test, kind="joint", names=sensors).plot(ax=axes[2])
plt.show()

# %%
# May they be believed? Each kind of weights has a report of its own.

reports = {kind: attention_report(read, X_test, y_test, kind=kind, random_state=0) for kind in ("temporal", "channel")}
print(reports["temporal"])

# %%
print(reports["channel"].verdict)

# %%
# Read the numbers as well as the verdict, whose borders are drawn by hand: three times what random hiding does, and
# half of what occlusion does. A model can fall short of them by little.
#
# The report draws the loss as more and more is hidden, in four orders: as occlusion finds it important, as attention
# weighs it, as attention weighs it in *another* window, and at random. Attention explains the forecasts where its line
# rises with that of occlusion. Where it rises above the line of the other window's weights, they tell windows apart;
# where it does not, they are a habit of the model that all windows share.

fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for ax, found in zip(axes, reports.values(), strict=True):
    found.plot(ax=ax)
plt.show()

# %%
# The default model, asked the same:

print(attention_report(default, X_test, y_test, random_state=0).verdict)

# %%
# This forecast
# -------------
#
# Now one single forecast: of all the test windows of badminton, the one with the largest target. Beside its weights
# stands :func:`~skattn.inspection.occlusion`, which hides one value after the other and notes how far the forecast
# moves. It costs a run of the network for each value, and needs no attention.

from skattn.inspection import occlusion

badminton = np.flatnonzero(motion == "badminton")
stroke = badminton[y_test[badminton].argmax()]

attention = AttentionDisplay.from_estimator(read, X_test[[stroke]], kind="joint", names=sensors)
moved = occlusion(read, X_test)[[stroke]].reshape(1, -1)
moved = pd.DataFrame(moved / moved.sum(), columns=attention.weights.columns)

fig, axes = plt.subplots(3, 1, figsize=(8, 8), layout="constrained")
axes[0].plot(np.arange(1 - length, 1), X_test[stroke], label=sensors)
axes[0].set(xlim=(0.5 - length, 0.5), xticks=range(-18, 1, 2), title="the window")
axes[0].legend(fontsize="x-small", ncols=3, frameon=False)
attention.plot(ax=axes[1])
axes[1].set(xlabel="", ylabel="", title="attention")
AttentionDisplay(moved).plot(ax=axes[2])
axes[2].set(ylabel="", title="occlusion, as shares of all movement")
plt.show()

# %%
# The two are not the same picture, and each has its blind spot. A map of weights is a product, of what a step was given
# and what a sensor was given; where one of the two did not pass its test, compare along that axis first. Occlusion
# hides one value at a time: of two that say the same, neither seems to matter.

# %%
# A forecaster
# ------------
#
# A forecaster looks at the end of its series, and its weights bear dates. ``attention_position="both"`` weighs the
# months before the encoder reads them, and lets each month of the forecast ask for its states afterwards. Here are
# three forecasters of the same airline.

from sktime.datasets import load_airline

from skattn import AttentionLSTMForecaster

y = load_airline()
y_train, y_test = y[:-12], y[-12:]

regressors = {
    "default": None,
    "to be read": AttentionLSTMRegressor(**to_be_read),
    "to be read, both": AttentionLSTMRegressor(**to_be_read, attention_position="both"),
}
forecasters, rows = {}, {}
for name, regressor in regressors.items():
    forecaster = AttentionLSTMForecaster(regressor, window_length=36, random_state=0)
    forecasters[name] = forecaster.fit(y_train, fh=range(1, 13))
    report = attention_report(forecaster, y=y, random_state=0)
    rows[name] = {
        "MAPE in %": 100 * abs(forecaster.predict() / y_test - 1).mean(),
        **report.damage[["attention", "random", "occlusion"]],
        "rank correlation": report.agreement["occlusion"],
        "explains": report.explains,
    }
pd.DataFrame.from_dict(rows, orient="index").round(3)

# %%
# A report on a forecaster wants a series and asks about all windows in it. Here most of them are those of training:
# of a longer series, take the part that came after.
#
# The three columns in the middle are what it does to the loss if a tenth of the months is hidden. The rank correlation
# is that of weights and occlusion over all months, not over the uppermost tenth alone. Models of one series give
# different answers, which their forecasts did not foretell. And a verdict is not the whole story: the model that fails
# falls short by little, and its ranks agree with those of occlusion more than the others' do.
#
# One thing cannot be tested here. A forecaster takes the last value out of each window and puts it back into the
# forecast (``normalization="last"``), so the newest month is zero to the network, whether it is hidden or not.

# %%
# What the last of the three asked for, for each month of its forecast:

both = forecasters["to be read, both"]
fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
AttentionDisplay.from_estimator(both, kind="state").plot(ax=ax)
plt.show()

# %%
# These are weights of *states*, and a state remembers the months before it. They say when the network was asked, and
# not what it had read by then. The weights of the inputs, which ``kind="temporal"`` names, are shared by all months
# ahead. :class:`~skattn.inspection.ForecastDisplay` draws them as a strip under the forecast.

from skattn.inspection import ForecastDisplay

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ForecastDisplay.from_estimator(both, y_train, truth=y_test, attention="temporal").plot(ax=ax)
plt.show()

# %%
# For forecasts from other origins nothing is fitted again. ``attention_weights`` takes the series up to each, and the
# map shows whether the look stays at a lag, which would be a vertical line, or moves along with the season.

origins = y_train.index[60:]
weights = pd.concat([both.attention_weights(y[:origin]).set_axis(range(-35, 1), axis=1) for origin in origins])
fig, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
AttentionDisplay(weights.rename_axis("lag", axis=1)).plot(ax=ax, style="map")
ax.set_ylabel("first month of the forecast")
plt.show()

# %%
# What a verdict means
# --------------------
#
# *Explains*: hiding the most attended tenth raises the loss at least three times as much as hiding a random tenth, and
# at least half as much as the tenth that occlusion picks. The weights may be shown as what the model rests on, for
# windows like those that were asked about.
#
# *Does not explain*: a picture of the weights is a picture of the weights, and of nothing else. Use occlusion, or fit a
# model to be read.
#
# Either verdict is of this fitted model, and none is of the world. That a model rests on last July does not say what
# July causes; and weights of a model that predicts badly explain bad predictions.

# %%
# Where to go on
# --------------
#
# * :doc:`/how-to/trust-attention` for the recipes alone.
# * :doc:`/explanation/attention` for why a network need not use its weights, and what the noise does.
