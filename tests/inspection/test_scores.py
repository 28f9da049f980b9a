"""Tests of the scores against the truth: hand-worked areas, the integral by brute force, ties, controls, bad input."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import average_precision_score, roc_auc_score

from skattn.inspection.scores import area_under_precision, area_under_recall, truth_scores

N_SAMPLES, N_STEPS, N_CHANNELS = 13, 7, 3
AREAS = [area_under_precision, area_under_recall]
TRUTH, IMPORTANCE = [[False, True, True, False]], [[0.0, 0.5, 1.0, 0.25]]


@pytest.fixture
def truth():
    """Make a mask with two true values in each window."""
    places = np.random.default_rng(5).random((N_SAMPLES, N_STEPS * N_CHANNELS)).argsort(axis=1)
    return (places < 2).reshape(N_SAMPLES, N_STEPS, N_CHANNELS)


@pytest.fixture
def importance():
    """Make importances with many ties, in windows of different size and offset."""
    rng = np.random.default_rng(11)
    steps = rng.integers(0, 9, size=(N_SAMPLES, N_STEPS, N_CHANNELS))
    return (3.0 + steps) * rng.uniform(1, 10, size=(N_SAMPLES, 1, 1))


def scaled(importance, scale):
    """Scale by the formula of the docstring."""
    parts = [slice(None)] if scale == "all" else range(len(importance))
    result = np.empty(importance.shape)
    for part in parts:
        values = importance[part]
        result[part] = (values - values.min()) / (values.max() - values.min())
    return result


def by_thresholds(truth, scores, n_thresholds=20_011):
    """Mean precision and recall over thresholds in the middle of equal parts of [0, 1]."""
    thresholds = (np.arange(n_thresholds) + 0.5) / n_thresholds
    true, rest = np.sort(scores[truth]), np.sort(scores[~truth])
    n_true, n_rest = (len(part) - np.searchsorted(part, thresholds) for part in (true, rest))
    return (n_true / (n_true + n_rest)).mean(), (n_true / len(true)).mean()


# ------------------------------------------------------------------------------------------------------ what they are


def test_areas_by_hand():
    """Precision is 2/3 up to 0.25 and then 1; recall is 1 up to 0.5 and then a half."""
    assert_allclose(area_under_precision(TRUTH, IMPORTANCE), 0.25 * 2 / 3 + 0.75)
    assert_allclose(area_under_recall(TRUTH, IMPORTANCE), 0.5 * 1 + 0.5 * 0.5)


def test_ties_by_hand():
    """Equal importances pass a threshold together: half of those above 0 are true, in whatever order they come."""
    for truth in ([[False, True, False]], [[False, False, True]]):
        assert_allclose(area_under_precision(truth, [[0.0, 2.0, 2.0]]), 0.5)
        assert_allclose(area_under_recall(truth, [[0.0, 2.0, 2.0]]), 1.0)


@pytest.mark.parametrize("scale", ["window", "all"])
def test_areas_by_brute_force(truth, importance, scale):
    """The areas are the integrals over the threshold that they are said to be."""
    precision, recall = by_thresholds(truth, scaled(importance, scale))
    assert_allclose(area_under_precision(truth, importance, scale=scale), precision, atol=1e-3)
    assert_allclose(area_under_recall(truth, importance, scale=scale), recall, atol=1e-3)


def test_area_under_recall_is_a_mean(truth, importance):
    """The area under recall is the mean scaled importance of what is true."""
    assert_allclose(area_under_recall(truth, importance), scaled(importance, "window")[truth].mean(), rtol=1e-13)


def test_scale_by_hand():
    """A window of small importances counts like any other if windows are scaled, and next to nothing if all are."""
    truth, importance = [[True, False], [True, False]], [[10.0, 0.0], [1.0, 0.0]]
    assert_allclose(area_under_recall(truth, importance), 1.0)
    assert_allclose(area_under_recall(truth, importance, scale="all"), (1.0 + 0.1) / 2)


def test_constant_window_by_hand():
    """A window of equal importances is scaled to 0, whatever their size."""
    truth, importance = [[True, False], [True, False]], [[10.0, 4.0], [7.0, 7.0]]
    assert_allclose(area_under_recall(truth, importance), 0.5)
    assert_allclose(area_under_precision(truth, importance), 1.0)


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("scale", ["window", "all"])
def test_units_do_not_matter(area, scale, truth, importance):
    """A factor or an offset of all importances changes nothing."""
    assert_allclose(area(truth, 17 * importance + 5, scale=scale), area(truth, importance, scale=scale))


def test_the_truth_scores_best(truth):
    """The truth itself gets every score in full, and its opposite no recall."""
    scores = truth_scores(truth, truth, random_state=0)
    assert [scores[name] for name in ("AUP", "AUR", "AUPRC", "AUROC")] == pytest.approx([1, 1, 1, 1])
    assert area_under_recall(truth, ~truth) == 0
    assert area_under_precision(truth, ~truth) == 0


# ------------------------------------------------------------------------------------------- together, with controls


@pytest.mark.parametrize("scale", ["window", "all"])
def test_truth_scores(truth, importance, scale):
    """The scores are the two areas and those of scikit-learn, of scaled importances."""
    scores = truth_scores(truth, importance, scale=scale, random_state=0)
    flat = truth.ravel(), scaled(importance, scale).ravel()
    assert scores["AUP"] == area_under_precision(truth, importance, scale=scale)
    assert scores["AUR"] == area_under_recall(truth, importance, scale=scale)
    assert_allclose(scores["AUPRC"], average_precision_score(*flat))
    assert_allclose(scores["AUROC"], roc_auc_score(*flat))
    assert list(scores)[4:] == [f"shuffled_{name}" for name in list(scores)[:4]]
    assert {type(score) for score in scores.values()} == {float}


@pytest.mark.parametrize("power", [0.1, 1, 10], ids=["large", "even", "small"])
def test_controls(power):
    """Shuffled AUROC is near a half and AUPRC near the share of true values; AUR is the mean, far from a half."""
    rng = np.random.default_rng(3)
    truth = np.zeros((1009, 11, 3), dtype=bool)
    truth[:, 5, 1] = True
    importance = rng.random(truth.shape) ** power
    importance[truth] = 1.0
    scores = truth_scores(truth, importance, random_state=7)
    assert scores["AUROC"] == 1.0
    assert_allclose(scores["shuffled_AUROC"], 0.5, atol=0.03)
    assert_allclose(scores["shuffled_AUPRC"], 1 / 33, atol=0.01)
    assert_allclose(scores["shuffled_AUR"], scaled(importance, "window").mean(), atol=0.03)
    assert (abs(scores["shuffled_AUR"] - 0.5) > 0.1) == (power != 1)


def test_controls_stay_in_their_window():
    """Windows exchange no importances: where all of a window is true or nothing, shuffling changes no score."""
    truth, importance = np.array([[True, True], [False, False]]), np.array([[5.0, 7.0], [1.0, 2.0]])
    scores = truth_scores(truth, importance, scale="all", random_state=0)
    assert scores["shuffled_AUROC"] == scores["AUROC"] == 1.0
    assert_allclose(scores["shuffled_AUR"], scores["AUR"])


def test_random_state(truth, importance):
    """One random state gives one control, another gives another, and the scores do not depend on it."""
    first, again, other = (truth_scores(truth, importance, random_state=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["AUP"] == other["AUP"]
    assert first["shuffled_AUROC"] != other["shuffled_AUROC"]


def test_input_is_not_changed(truth, importance):
    """Neither input is written to."""
    before = truth.copy(), importance.copy()
    truth_scores(truth, importance, random_state=0)
    assert (truth == before[0]).all()
    assert (importance == before[1]).all()


# ---------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("function", [*AREAS, truth_scores])
@pytest.mark.parametrize(
    ("truth", "importance", "message"),
    [
        (TRUTH, [[0.0, 1.0]], "the same shape and two axes or more, got (1, 4) and (1, 2). Give one importance"),
        (TRUTH[0], IMPORTANCE[0], "got (4,) and (4,). Give one importance for each value of the windows; a single"),
        ([[0, 1, 2, 1]], IMPORTANCE, "truth must hold True and False only, or 1 and 0. Use a mask"),
        ([[False] * 4], IMPORTANCE, "truth is True for 0 of 4 values, but at least one True and one False are needed."),
        ([[True] * 4], IMPORTANCE, "truth is True for 4 of 4 values, but at least one True and one False are needed."),
        (TRUTH, [[0.0, np.nan, 1.0, np.inf]], "importance is NaN or infinite for 2 of 4 values. Give 0 to what"),
        (TRUTH, [[0.0, -0.5, 1.0, 0.0]], "its smallest value is -0.5, and 0 or more is needed. Use np.abs"),
        (TRUTH, [[0.5] * 4], "importance is constant within each window, but two different values are needed"),
    ],
)
def test_bad_input(function, truth, importance, message):
    """What cannot be scored is refused, with the way out."""
    with pytest.raises(ValueError, match=re.escape(message)):
        function(truth, importance)


def test_constant_over_all_windows():
    """Constant importances are also refused where windows are scaled together."""
    with pytest.raises(ValueError, match="importance is constant over all windows"):
        area_under_recall(TRUTH, [[2.0] * 4], scale="all")


@pytest.mark.parametrize("function", [*AREAS, truth_scores])
def test_bad_scale(function):
    """A scale that does not exist is refused with those that do."""
    with pytest.raises(ValueError, match=r"The 'scale' parameter of .* must be a str among .*Got 'max' instead"):
        function(TRUTH, IMPORTANCE, scale="max")
