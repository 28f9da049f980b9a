"""Tests of the data makers: the truth is true, the numbers are those that are said, bad parameters say the way out."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skattn import datasets
from skattn.datasets import (
    make_hidden_state,
    make_planted_drivers,
    make_planted_lags,
    make_sensor_network,
    make_switching_drivers,
)
from skattn.datasets.hidden import _draw_states

N_SAMPLES, N_STEPS, N_CHANNELS = 101, 13, 7
PLANTED = [make_planted_lags, make_planted_drivers]
HIDDEN = [make_hidden_state, make_switching_drivers]
SHORT = {make_planted_lags: {"lags": (1, 4)}, make_planted_drivers: {}}


def least_squares(table, y):
    """Coefficients of a linear regression without intercept."""
    return np.linalg.lstsq(table, y, rcond=None)[0]


# ------------------------------------------------------------------------------------------------------ all of them


@pytest.mark.parametrize("make", [getattr(datasets, name) for name in datasets.__all__])
def test_random_state(make):
    """One random state gives one data set, another another; a RandomState will do."""
    first, again, other, same = (make(random_state=state) for state in (3, 3, 5, np.random.RandomState(3)))
    for parts in zip(first, again, same, strict=True):
        assert_array_equal(parts[0], parts[1])
        assert_array_equal(parts[0], parts[2])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("make", [*PLANTED, *HIDDEN])
def test_shapes(make):
    """Windows, targets and truth have the shapes and types that are said."""
    n_channels = 3 if make in HIDDEN else N_CHANNELS
    extra = {} if make in HIDDEN else {"n_channels": n_channels}
    X, y, truth = make(n_samples=N_SAMPLES, n_steps=N_STEPS, random_state=0, **extra)
    assert X.shape == truth.shape == (N_SAMPLES, N_STEPS, n_channels)
    assert y.shape == (N_SAMPLES,)
    assert (X.dtype, truth.dtype) == (np.float64, bool)
    assert y.dtype == (int if make in HIDDEN else float)
    assert not np.shares_memory(truth[0], truth[1])


# ---------------------------------------------------------------------------------------------------------- planted


def test_planted_lags_by_hand():
    """Without noise the target is the sum of the lags, counted from the newest step, by their coefficients."""
    X, y, truth = make_planted_lags(
        N_SAMPLES, N_STEPS, N_CHANNELS, lags=(2, 0, 5), channel=3, coef=(1.5, -2.0, 0.5), noise=0, random_state=0
    )
    assert_allclose(y, 1.5 * X[:, -3, 3] - 2.0 * X[:, -1, 3] + 0.5 * X[:, -6, 3])
    assert np.argwhere(truth[0]).tolist() == [[7, 3], [10, 3], [12, 3]]
    assert (truth == truth[:1]).all()


def test_planted_drivers_by_hand():
    """Without noise the target is the scaled sum of the newest steps of the drivers, by their coefficients."""
    X, y, truth = make_planted_drivers(
        N_SAMPLES, N_STEPS, N_CHANNELS, n_drivers=2, n_relevant_steps=5, coef=(3.0, -1.0), noise=0, random_state=0
    )
    first, second = np.flatnonzero(truth[0, -1])
    assert_allclose(y, (3.0 * X[:, -5:, first] - X[:, -5:, second]).sum(axis=1) / np.sqrt(5))
    assert_array_equal(truth.any(axis=2)[0], [False] * 8 + [True] * 5)
    assert truth[0].sum() == 2 * 5


@pytest.mark.parametrize("make", PLANTED)
@pytest.mark.parametrize("effect", ["linear", "absolute"])
def test_regression_finds_what_was_planted(make, effect):
    """On the effects of all values, a regression gives weight to the true ones only, and leaves the noise."""
    X, y, truth = make(3001, 7, 3, effect=effect, noise=0.2, random_state=0, **SHORT[make])
    table = (np.abs(X) if effect == "absolute" else X).reshape(len(X), -1)
    weights = least_squares(table, y)
    expected = np.where(truth[0].ravel(), 1.0 if make is make_planted_lags else 7**-0.5, 0.0)
    assert_allclose(weights, expected, atol=0.03)
    assert_allclose((y - table @ weights).std(), 0.2, rtol=0.05)


@pytest.mark.parametrize("make", PLANTED)
def test_absolute_effect_is_hidden_from_linear_models(make):
    """No value is correlated with the target, though a few decide it."""
    X, y, _ = make(10_007, 7, 3, effect="absolute", noise=0, random_state=0, **SHORT[make])
    correlation = (X - X.mean(axis=0)).reshape(len(X), -1).T @ (y - y.mean()) / (len(X) * y.std())
    assert np.abs(correlation).max() < 0.05


def test_values_are_independent():
    """Values are standard normal and say nothing about their neighbours in time or in another channel."""
    X, _, _ = make_planted_drivers(10_007, 5, 3, random_state=0)
    table = X.reshape(len(X), -1)
    assert_allclose(np.cov(table.T), np.eye(15), atol=0.06)
    assert_allclose(table.mean(axis=0), 0, atol=0.05)


def test_drivers_are_drawn():
    """Every channel is a driver of some draw, all are if so many are asked for, and steps default to all."""
    masks = np.array([make_planted_drivers(1, 2, 5, random_state=seed)[2][0] for seed in range(31)])
    assert (masks[:, 0].sum(axis=1) == 2).all()
    assert_array_equal(masks[:, 0], masks[:, 1])
    assert masks[:, 0].any(axis=0).all()
    assert make_planted_drivers(3, 2, 5, n_drivers=5, random_state=0)[2].all()


def test_zero_coefficient_does_not_enter():
    """What counts for nothing is not called true."""
    _, _, truth = make_planted_lags(n_steps=5, lags=(0, 1), coef=(0.0, 1.0), random_state=0)
    assert np.argwhere(truth[0]).tolist() == [[3, 0]]


# ----------------------------------------------------------------------------------------------------- hidden states


@pytest.mark.parametrize("make", HIDDEN)
@pytest.mark.parametrize("slope", [0.5, 3.0])
def test_target_by_hand(make, slope):
    """The logit is the slope times the one true value, which is of the last step; `X` is the same for any target."""
    (X, label, truth), (X_2, probability, _), (X_3, logit, _) = (
        make(N_SAMPLES, N_STEPS, slope=slope, target=target, random_state=0)
        for target in ("label", "probability", "logit")
    )
    assert_array_equal(X, X_2)
    assert_array_equal(X, X_3)
    assert (truth.sum(axis=(1, 2)) == 1).all()
    assert (truth[:, -1].sum(axis=1) == 1).all()
    assert_allclose(logit, slope * (X[:, -1] * truth[:, -1]).sum(axis=1))
    assert_allclose(probability, 1 / (1 + np.exp(-logit)))
    assert set(label) == {0, 1}


@pytest.mark.parametrize("make", HIDDEN)
def test_label_is_drawn_by_its_probability(make):
    """Among windows of like probability, labels are 1 as often as it says."""
    label, probability = (make(20_011, 2, target=target, random_state=0)[1] for target in ("label", "probability"))
    for low in (0.0, 0.25, 0.5, 0.75):
        among = (probability >= low) & (probability < low + 0.25)
        assert_allclose(label[among].mean(), probability[among].mean(), atol=0.03)


@pytest.mark.parametrize("make", HIDDEN)
def test_extreme_slope(make):
    """With a steep slope nothing is left to chance and nothing overflows; with slope 0 all is chance."""
    _, label, _ = make(N_SAMPLES, 2, slope=1e6, random_state=0)
    _, logit, _ = make(N_SAMPLES, 2, slope=1e6, target="logit", random_state=0)
    assert_array_equal(label, logit > 0)
    assert (make(N_SAMPLES, 2, slope=0, target="probability", random_state=0)[1] == 0.5).all()


def test_chain_follows_its_chances():
    """Shares of the first states and of every transition are those asked for, at any step."""
    transition = np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3], [0.0, 1.0, 0.0]])
    states = _draw_states(20_011, 5, [0.2, 0.5, 0.3], transition, np.random.RandomState(0))
    assert_allclose(np.bincount(states[:, 0]) / len(states), [0.2, 0.5, 0.3], atol=0.015)
    for step in (1, 4):
        for state in range(3):
            after = states[states[:, step - 1] == state, step]
            assert_allclose(np.bincount(after, minlength=3) / len(after), transition[state], atol=0.02)


def test_occupancy_of_the_last_step():
    """The state of the last step, told by the truth, has the share that its chain gives it."""
    chain = np.linalg.matrix_power([[0.7, 0.3], [0.1, 0.9]], 3)
    _, _, truth = make_hidden_state(20_011, 4, transition=[[0.7, 0.3], [0.1, 0.9]], random_state=0)
    assert_allclose(truth[:, -1].mean(axis=0), [0, *([0.5, 0.5] @ chain)], atol=0.015)
    chain = np.linalg.matrix_power([[0.95, 0.02, 0.03], [0.02, 0.95, 0.03], [0.03, 0.02, 0.95]], 96)
    _, _, truth = make_switching_drivers(10_007, 97, random_state=0)
    assert_allclose(truth[:, -1].mean(axis=0), np.full(3, 1 / 3) @ chain, atol=0.02)


def test_states_stay():
    """By default either state stays with a chance of 0.95: both are as frequent, and means of the step before tell."""
    X, _, truth = make_hidden_state(50_021, 2, random_state=0)
    assert_allclose(truth[:, -1].mean(axis=0), [0, 0.5, 0.5], atol=0.01)
    mean = X[truth[:, -1, 1], 0].mean(axis=0)
    assert_allclose(mean, 0.95 * np.array([0.1, 1.6, 0.5]) + 0.05 * np.array([-0.1, -0.4, -1.5]), atol=0.03)


@pytest.mark.parametrize(("state", "mean"), [(0, [0.1, 1.6, 0.5]), (1, [-0.1, -0.4, -1.5])])
def test_emissions_of_hidden_state(state, mean):
    """In each state, means and covariances are the published ones."""
    X, _, truth = make_hidden_state(200_003, 1, random_state=0)
    values = X[truth[:, -1, 1 + state], -1]
    covariance = 0.801 * np.eye(3)
    covariance[0, 1 + state] = covariance[1 + state, 0] = 0.01
    assert_allclose(values.mean(axis=0), mean, atol=0.01)
    assert_allclose(np.cov(values.T), covariance, atol=0.009)


@pytest.mark.parametrize(("state", "mean"), [(0, [0.8, -0.5, -0.2]), (1, [0.0, -1.0, 0.0]), (2, [-0.2, -0.2, 0.8])])
def test_emissions_of_switching_drivers(state, mean):
    """In each state, means and variances are the published ones."""
    X, _, truth = make_switching_drivers(20_011, 3, random_state=0)
    values = X[truth[:, -1, state], -1]
    assert_allclose(values.mean(axis=0), mean, atol=0.02)
    assert_allclose(np.cov(values.T), 0.1 * np.eye(3), atol=0.005)


@pytest.mark.parametrize("gamma", [0.05, 0.2, 12.5])
def test_covariance_over_time(gamma):
    """A channel forgets as its kernel says."""
    X, _, truth = make_switching_drivers(50_021, 3, gamma=gamma, random_state=0)
    # In one state at the last step, what that step adds to its mean is the process alone, whatever came before.
    within = X[truth[:, -1, 0]]
    within = within - within.mean(axis=0)
    assert_allclose((within[:, -1] * within[:, -2]).mean(axis=0), 0.1 * np.exp(-gamma), atol=0.004)
    assert_allclose((within[:, -1] * within[:, -3]).mean(axis=0), 0.1 * np.exp(-4 * gamma), atol=0.004)


def test_smooth_channels():
    """Channels that hardly change have a covariance of nearly no rank, and are drawn all the same."""
    X, _, _ = make_switching_drivers(3, 211, gamma=1e-6, random_state=0)
    assert np.isfinite(X).all()


# ---------------------------------------------------------------------------------------------------------- sensors


def test_sensor_network_shapes():
    """Series, delays and coordinates have the shapes and types that are said."""
    X, delays, coordinates = make_sensor_network(N_SAMPLES, N_CHANNELS, random_state=0)
    assert (X.shape, X.dtype) == ((N_SAMPLES, N_CHANNELS), np.float64)
    assert (delays.shape, delays.dtype) == ((N_CHANNELS, N_CHANNELS), int)
    assert coordinates.shape == (N_CHANNELS, 2)
    assert coordinates.min() >= 0
    assert coordinates.max() <= 1


@pytest.mark.parametrize("n_parents", [1, 2, 5, 30])
def test_edges(n_parents):
    """A sensor has the nearest sensors to its west as parents, as many as there are, at delays by distance."""
    _, delays, coordinates = make_sensor_network(3, 11, max_delay=7, n_parents=n_parents, random_state=0)
    order = coordinates[:, 0].argsort()
    distance = np.linalg.norm(coordinates[:, None] - coordinates, axis=2)
    for place, child in enumerate(order):
        parents = np.flatnonzero(delays[:, child])
        assert set(parents) == set(sorted(order[:place], key=lambda i: distance[i, child])[:n_parents])
    edges = delays > 0
    assert_array_equal(delays[edges], np.ceil(7 * distance[edges] / distance[edges].max()))
    assert delays.max() == 7


@pytest.mark.parametrize("memory", [0.0, 0.4])
def test_series_follows_its_equation(memory):
    """A regression on a sensor's own past and on its parents at their delays gives memory, coupling and pure noise."""
    X, delays, _ = make_sensor_network(20_011, 5, memory=memory, coupling=0.7, random_state=1)
    for child in range(5):
        parents = np.flatnonzero(delays[:, child])
        table = [X[4:-1, child], *(X[5 - delays[i, child] : len(X) - delays[i, child], i] for i in parents)]
        weights = least_squares(np.transpose(table), X[5:, child])
        assert_allclose(weights[0], memory, atol=0.03)
        assert_allclose(weights[1:], 0.7 / max(len(parents), 1), atol=0.03)
        assert_allclose((X[5:, child] - weights @ table).std(), 1.0, atol=0.02)


def test_delays_are_where_the_correlation_peaks():
    """Without memory and with one parent each, a sensor resembles its parent most at the delay of their edge."""
    X, delays, _ = make_sensor_network(5003, 7, max_delay=11, n_parents=1, memory=0, coupling=1, random_state=0)
    X = X - X.mean(axis=0)
    assert np.count_nonzero(delays) == 6
    for parent, child in np.argwhere(delays):
        resemblance = [np.corrcoef(X[13 - lag : len(X) - lag, parent], X[13:, child])[0, 1] for lag in range(14)]
        assert np.argmax(resemblance) == delays[parent, child]


def test_series_starts_in_full_swing():
    """Over many draws, the first value of the westernmost sensor has the spread of a process that has long run."""
    draws = [make_sensor_network(1, 5, memory=0.9, random_state=seed) for seed in range(401)]
    first = [X[0, coordinates[:, 0].argmin()] for X, _, coordinates in draws]
    assert_allclose(np.std(first), (1 - 0.9**2) ** -0.5, rtol=0.1)


# ------------------------------------------------------------------------------------------------------ bad parameters


@pytest.mark.parametrize(
    ("make", "parameters", "message"),
    [
        (make_planted_lags, {"lags": (3, 24)}, "lags reach from 3 to 24 but with n_steps=24 they may be 0 (the newest"),
        (make_planted_lags, {"lags": (-1, 3)}, "lags reach from -1 to 3 but with n_steps=24"),
        (make_planted_lags, {"lags": (3, 3)}, "lags holds 2 values of which 1 differ. Name each lag once"),
        (make_planted_lags, {"lags": ()}, "lags must be a list of one int or more, got []. Use for example"),
        (make_planted_lags, {"lags": (0.5,)}, "lags must be a list of one int or more, got [0.5]."),
        (make_planted_lags, {"n_channels": 5, "channel": 5}, "n_channels=5 it may be 0 to 4. Use a smaller channel"),
        (
            make_planted_lags,
            {"coef": (1, 2, 3)},
            "coef has shape (3,) but 2 values are needed, one for each of the lag",
        ),
        (make_planted_lags, {"effect": "square"}, "The 'effect' parameter of make_planted_lags must be a str among"),
        (make_planted_lags, {"noise": -0.1}, "The 'noise' parameter of make_planted_lags must be a float in the range"),
        (
            make_planted_drivers,
            {"n_drivers": 11},
            "n_drivers=11 but n_channels=10 is the most. Use a smaller n_drivers",
        ),
        (make_planted_drivers, {"n_relevant_steps": 25}, "n_relevant_steps=25 but n_steps=24 is the most. Use"),
        (make_planted_drivers, {"coef": 1.0}, "The 'coef' parameter of make_planted_drivers must be an array-like"),
        (make_planted_drivers, {"coef": [1.0]}, "coef has shape (1,) but 2 values are needed, one for each of the dri"),
        (make_hidden_state, {"transition": [[0.9, 0.2], [0.1, 0.9]]}, "each row sums to 1, got [[0.9, 0.2], [0.1, 0.9"),
        (make_hidden_state, {"transition": [[1.5, -0.5], [0, 1]]}, "must be a table of 2 x 2 chances"),
        (make_hidden_state, {"transition": np.eye(3)}, "must be a table of 2 x 2 chances"),
        (make_hidden_state, {"target": "state"}, "The 'target' parameter of make_hidden_state must be a str among"),
        (
            make_switching_drivers,
            {"gamma": 0},
            "The 'gamma' parameter of make_switching_drivers must be a float in the",
        ),
        (make_switching_drivers, {"n_steps": 0}, "The 'n_steps' parameter of make_switching_drivers must be an int in"),
        (make_sensor_network, {"n_sensors": 1}, "The 'n_sensors' parameter of make_sensor_network must be an int in"),
        (make_sensor_network, {"memory": 1.0}, "The 'memory' parameter of make_sensor_network must be a float in the"),
    ],
)
def test_bad_parameters(make, parameters, message):
    """What cannot be made is refused, with the way out."""
    with pytest.raises(ValueError, match=re.escape(message)):
        make(**parameters)
