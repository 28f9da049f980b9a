"""Tests of the linear forecast in closed form: by hand, beside scikit-learn's ridge, with gaps and weights."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from skattn.linear import PENALTIES, Sums, blocked_errors, choose, fit, sum_up, window_errors
from skattn.nn import AttentionLSTM
from skattn.windows import WindowDataset, cut

L, C, H, M, K = 5, 3, 2, 2, 1


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def network(**params):
    small = {"hidden_size": 2, "embedding_dim": 2, "attention_dim": 2, "normalization": "identity"}
    return AttentionLSTM(L, C, **{"horizon": H, "n_targets": M, **small, **params}).double().eval()


def rows(n=61, weight=None):
    """Windows whose targets are no channels of them."""
    arrays = {"past": draw(n, L, C), "target": draw(n, H, M, seed=1)}
    return WindowDataset(arrays if weight is None else arrays | {"weight": weight})


def series(n=61, **options):
    return cut(draw(n, C).cumsum(0), L, H, n_targets=M, **options)


def sums_of(X, Y, weight=None):
    """Sums of plain tables."""
    X = np.column_stack([X, np.ones(len(X))])
    weight = np.ones(len(X)) if weight is None else weight
    sums = (X.T * weight) @ X, (X.T * weight) @ Y, (Y**2 * weight[:, None]).sum()
    return Sums(*(torch.from_numpy(np.asarray(one)[None]) for one in sums))


def solve(train, valid=None, **options):
    choice, error = choose([(train, valid)], **options)
    return fit(train, choice), error


def ridge(X, Y, penalty, weight=None):
    """The same by scikit-learn, whose penalty is on the sum of squares."""
    mean, total = np.average(X, axis=0, weights=weight), len(X) if weight is None else weight.sum()
    scale = np.average((X - mean) ** 2, axis=0, weights=weight).mean() * total
    model = Ridge(penalty * scale, solver="cholesky").fit(X, Y, sample_weight=weight)
    return np.vstack([np.atleast_2d(model.coef_).T, model.intercept_])


# ------------------------------------------------------------------------------------------------------------- sums


def test_sums_by_hand():
    """Two windows of two steps, one step ahead: features beside a one, and targets."""
    net = AttentionLSTM(2, 1, normalization="identity").double()
    past, target = np.array([[[1.0], [2.0]], [[3.0], [5.0]]]), np.array([[[10.0]], [[20.0]]])
    sums = sum_up(net, WindowDataset({"past": past, "target": target}))
    # 1 + 9, 2 + 15, 4 + 25; sums 4, 7, 2; with the targets 10 + 60, 20 + 100, 30
    assert_array_equal(sums.gram[0], [[10, 17, 4], [17, 29, 7], [4, 7, 2]])
    assert_array_equal(sums.cross[0], [[70], [120], [30]])
    assert_array_equal(sums.square, [500])


@pytest.mark.parametrize("windows", [rows(), rows(weight=draw(61, 1, 1, seed=2) ** 2)], ids=["even", "weighted"])
def test_sums_of_rows_are_those_of_a_table(windows):
    """For targets that are no channels, every value of the window is a feature of a row per window."""
    arrays = windows.arrays
    weight = arrays.get("weight", np.ones((61, 1, 1))).ravel()
    expected = sums_of(arrays["past"].reshape(61, -1), arrays["target"].reshape(61, -1), weight)
    for ours, theirs in zip(sum_up(network(), windows), expected, strict=True):
        assert_allclose(ours, theirs, rtol=1e-10)


def test_sums_of_a_series_are_shared_by_its_targets():
    """For targets that are channels, a row is the own past of one target of one window."""
    windows = series()
    past, target = windows.arrays["past"], windows.arrays["target"]
    tables = [(past[:, :, m], target[:, :, m]) for m in range(M)]
    net = network(autoregressive=True)
    joined, by_target = sum_up(net, windows), sum_up(net, windows, by_target=True)
    for ours, theirs in zip(joined, sums_of(*map(np.concatenate, zip(*tables, strict=True))), strict=True):
        assert_allclose(ours, theirs, rtol=1e-10)
    for group, table in zip(by_target.groups(), tables, strict=True):
        for ours, theirs in zip(group, sums_of(*table), strict=True):
            assert_allclose(ours, theirs, rtol=1e-10)
    for ours, theirs in zip(by_target.joined(), joined, strict=True):
        assert_allclose(ours, theirs, rtol=1e-10)


def test_chunks_do_not_matter(monkeypatch):
    """Sums are the same window by window."""
    windows, net = series(200), network(autoregressive=True)
    whole = sum_up(net, windows, by_target=True)
    monkeypatch.setattr("skattn.linear.CHUNK", 1)  # so that there is a window or a few in a chunk
    for ours, theirs in zip(sum_up(net, windows, by_target=True), whole, strict=True):
        assert_allclose(ours, theirs, rtol=1e-10)


def test_missing_targets_leave_their_row_out():
    """A window and target of which a step ahead is missing counts nothing; without any other there are no sums."""
    windows, net = series(), network(autoregressive=True)
    target = windows.arrays["target"].copy()
    target[3:20, 1, 0] = np.nan
    past = windows.arrays["past"]
    X = np.concatenate([np.delete(past[..., 0], np.s_[3:20], 0), past[..., 1]])
    Y = np.concatenate([np.delete(target[..., 0], np.s_[3:20], 0), target[..., 1]])
    holed = WindowDataset({"past": past, "target": target}, autoregressive=True)
    for ours, theirs in zip(sum_up(net, holed), sums_of(X, Y), strict=True):
        assert_allclose(ours, theirs, rtol=1e-10)
    none = WindowDataset({"past": past, "target": np.full_like(target, np.nan)}, autoregressive=True)
    assert sum_up(net, none) is None


def test_values_that_are_too_large():
    """Products that overflow give no sums: the skip is left to training."""
    windows = rows()
    windows.arrays["past"] = windows.arrays["past"] * 1e200
    assert sum_up(network(), windows) is None


def test_rows_weigh_as_much_as_their_scale():
    """With a scale of each window's own, errors still are those of the units of the training data."""
    net = network(autoregressive=True, normalization="window")
    net.normalization.scale.fill_(2.0)
    windows = series()
    past, target = windows.arrays["past"][..., :M], windows.arrays["target"]
    expected = ((target - past.mean(1, keepdims=True)) / 2) ** 2
    assert_allclose(window_errors(net, windows), expected.mean((1, 2)), rtol=1e-10)


# ------------------------------------------------------------------------------------------------------------ solve


def test_loss_by_hand():
    """Of y = 2 x + 1 at x = 1 and 3, targets 4 and 6: errors 1 and -1."""
    sums = sums_of(np.array([[1.0], [3.0]]), np.array([[4.0], [6.0]]))
    assert sums.loss(torch.tensor([[2.0], [1.0]]).double()) == pytest.approx(1)


@pytest.mark.parametrize("weight", [None, draw(61, seed=3) ** 2], ids=["even", "weighted"])
def test_solution_is_that_of_scikit_learn(weight):
    """Held-out rows choose the penalty, and the solution is the ridge regression of that penalty."""
    X, Y = draw(61, L), draw(61, M, seed=1) + draw(61, L)[:, :M]
    X_valid, Y_valid = draw(31, L, seed=4), draw(31, M, seed=5) + draw(31, L, seed=4)[:, :M]
    valid = sums_of(X_valid, Y_valid)
    candidates = [ridge(X, Y, penalty, weight) for penalty in PENALTIES]
    errors = [float(((X_valid @ one[:-1] + one[-1] - Y_valid) ** 2).mean()) for one in candidates]
    solution, error = solve(sums_of(X, Y, weight), valid)
    assert_allclose(solution[0], candidates[int(np.argmin(errors))], rtol=1e-6, atol=1e-9)
    assert error == pytest.approx(min(errors))


@pytest.mark.parametrize("overlap", [1, 4])
def test_cross_validation_is_generalised(overlap):
    """Without held-out rows: the error over the square of one minus the degrees of freedom per independent row."""
    X, Y = draw(61, L), draw(61, 1, seed=1) + draw(61, L)[:, :1]
    centred, found = X - X.mean(0), []
    for penalty in PENALTIES:
        one = ridge(X, Y, penalty)
        alpha = penalty * centred.var(0).mean() * 61
        hat = centred @ np.linalg.solve(centred.T @ centred + alpha * np.eye(L), centred.T)
        left = 1 - (1 + np.trace(hat)) * overlap**0.5 / 61
        found.append(float(((X @ one[:-1] + one[-1] - Y) ** 2).mean()) / left**2)
    solution, error = solve(sums_of(X, Y), overlap=overlap)
    assert error == pytest.approx(min(found))
    assert_allclose(solution[0], ridge(X, Y, PENALTIES[int(np.argmin(found))]), rtol=1e-6, atol=1e-9)


def test_level_where_nothing_can_be_learned():
    """Of targets that have nothing to do with held-out ones, the solution is exactly zero."""
    X, Y = draw(61, L), draw(61, 1, seed=1) + 5
    solution, error = solve(sums_of(X, Y), sums_of(draw(31, L), -Y[:31]))
    assert (solution == 0).all()
    assert error == pytest.approx(float((Y[:31] ** 2).mean()))


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_rows_than_features(n):
    """A row or two give a finite answer, and constant features no division by zero."""
    for X in (draw(n, L), np.ones((n, L))):
        solution, error = solve(sums_of(X, draw(n, 1, seed=1)))
        assert torch.isfinite(solution).all()
        assert np.isfinite(error)


def through_origin(X, Y, penalty, slope=0.0):
    """The same with no intercept, and a penalty on the distance from a slope."""
    alpha = penalty * (X**2).mean() * len(X)
    left = Ridge(alpha, fit_intercept=False, solver="cholesky").fit(X, Y - X @ (slope * np.ones((L, 1))))
    return slope + np.atleast_2d(left.coef_).T


def test_folds_through_the_origin():
    """The penalty is that with the least error over the held-out rows of all folds; the level is the only intercept."""
    tables = [(X, X[:, :1] + 3 * draw(len(X), 1, seed=9)) for X in (draw(n, L, seed=n) for n in (40, 31, 50, 17))]
    errors = []
    for penalty in PENALTIES:
        found = [
            ((X_valid @ through_origin(*train, penalty) - Y_valid) ** 2).sum()
            for train, (X_valid, Y_valid) in (tables[:2], tables[2:])
        ]
        errors.append(sum(found) / (31 + 17))
    folds = [tuple(sums_of(*table) for table in pair) for pair in (tables[:2], tables[2:])]
    choice, error = choose(folds, intercept=False)
    assert error == pytest.approx(min(errors))
    assert choice.penalty == PENALTIES[int(np.argmin(errors))]
    solution = fit(folds[0][0], choice)
    assert_allclose(solution[0, :-1], through_origin(*tables[0], choice.penalty), rtol=1e-6, atol=1e-9)
    assert (solution[0, -1] == 0).all()


def join(*groups):
    return Sums(*(torch.cat(parts) for parts in zip(*groups, strict=True)))


def test_a_group_has_a_map_of_its_own_where_that_pays():
    """Of three groups, the third is another: its slope is its own, shrunk toward that of all; the twins share one."""
    slopes = [np.ones(L), np.ones(L), -np.ones(L)]
    tables = [(draw(n, L, seed=seed), draw(n, 1, seed=seed + 9)) for n in (100, 1000) for seed in range(3)]
    tables = [(X, X @ slope[:, None] + Y) for (X, Y), slope in zip(tables, 2 * slopes, strict=True)]
    train, valid = (join(*(sums_of(*table) for table in part)) for part in (tables[:3], tables[3:]))
    solution, error = solve(train, valid, intercept=False)
    assert solution.shape == (3, L + 1, 1)
    assert valid.loss(solution) < 1.2 < error  # of a noise of one
    assert_allclose(solution[2, :-1, 0], slopes[2], atol=0.3)
    shared = solve(train.joined(), valid.joined(), intercept=False)[0].numpy()
    for group, table in enumerate(tables[:3]):
        own = [through_origin(*table, penalty, shared[0, :-1]) for penalty in PENALTIES]
        assert min(np.abs(one - solution[group, :-1].numpy()).max() for one in own) < 1e-6


def test_groups_share_a_map_where_none_of_their_own_pays():
    """Where held-out rows say the opposite of the training rows, what is shared by all is kept."""
    X, Y = draw(100, L), draw(100, 1, seed=1)
    groups = [sums_of(X, X[:, :1] + 0.3 * sign * Y) for sign in (1, -1)]
    solution, _ = solve(join(*groups), join(*groups[::-1]), intercept=False)
    assert len(solution) == 1


# ----------------------------------------------------------------------------------------------------------- blocks


def test_blocks_do_not_see_what_they_are_asked_for():
    """The windows of a block are forecast from those that share no target with it."""
    net, windows = network(autoregressive=True, normalization="last"), series(121)
    errors = blocked_errors(net, windows, overlap=H, n_blocks=3)
    n = len(windows)
    first, second, third = np.array_split(np.arange(n), 3)
    for block, far in (
        (first, np.arange(first[-1] + H, n)),
        (second, np.r_[: second[0] - H + 1, second[-1] + H : n]),
        (third, np.arange(third[0] - H + 1)),
    ):
        solution, _ = solve(sum_up(net, windows.take(far)), overlap=H)
        assert_allclose(errors[block], window_errors(net, windows.take(block), solution), rtol=1e-10)


def test_errors_of_windows():
    """The error of a window is the mean over its targets and steps ahead."""
    net, windows = network(autoregressive=True), series()
    past, target = windows.arrays["past"][..., :M], windows.arrays["target"]
    for n_maps in (1, M):
        solution = draw(n_maps, L + 1, H, seed=7)
        maps = np.broadcast_to(solution, (M, L + 1, H))
        forecast = np.einsum("nlm,mlh->nhm", past, maps[:, :-1]) + maps[:, -1].T
        errors = window_errors(net, windows, torch.from_numpy(solution))
        assert_allclose(errors, ((target - forecast) ** 2).mean((1, 2)), rtol=1e-10)
