"""The linear part of a forecast in closed form: ridge regression from sums over windows that are never held at once.

Letters: ``R`` rows, ``G`` groups of rows, ``F`` features, ``O`` outputs of a row.
"""

from functools import reduce
from typing import NamedTuple

import numpy as np
import torch

from skattn.parallel import share

PENALTIES = np.logspace(-5, 3, 33)  # as shares of the mean variance of a feature
MOST_FEATURES = 1024  # of more, tables of products take more memory than the series and training do
MOST_PRODUCTS = 1 << 28  # of more, groups share a table: two gigabytes
CHUNK = 1 << 19  # numbers of a chunk of windows


class Sums(NamedTuple):
    """Weighted sums over rows of products of features, beside a one, and outputs, for each group of rows."""

    gram: torch.Tensor  # (G, F + 1, F + 1)
    cross: torch.Tensor  # (G, F + 1, O)
    square: torch.Tensor  # of outputs, (G,)

    def plus(self, other):
        """Sums over the rows of both."""
        return Sums(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))

    def minus(self, other):
        """Sums over the rows that the other does not have."""
        return Sums(*(ours - theirs for ours, theirs in zip(self, other, strict=True)))

    def joined(self):
        """Sums over all rows, as one group."""
        return Sums(*(values.sum(0, keepdim=True) for values in self))

    def groups(self):
        """Sums of each group by itself."""
        return [Sums(*(values[group : group + 1] for values in self)) for group in range(len(self.square))]

    def loss(self, solution):
        """Mean squared error of a solution (G or 1, F + 1, O), whose last row is the intercept."""
        explained = (solution * (self.gram @ solution - 2 * self.cross)).sum()
        return float(self.square.sum() + explained) / float(self.gram[:, -1, -1].sum() * self.cross.shape[2])

    def means(self):
        """Of features (F,) and outputs (O,) of the first group."""
        return self.gram[0, -1, :-1] / self.gram[0, -1, -1], self.cross[0, -1] / self.gram[0, -1, -1]

    def moments(self, mean, mean_output):
        """Second moments of the first group about a point: of features (F, F), with outputs (F, O), of outputs."""
        weight, total, total_output = self.gram[0, -1, -1], self.gram[0, -1, :-1], self.cross[0, -1]
        gram = self.gram[0, :-1, :-1] - torch.outer(total, mean) - torch.outer(mean, total - weight * mean)
        cross = self.cross[0, :-1] - torch.outer(total, mean_output)
        cross = cross - torch.outer(mean, total_output - weight * mean_output)
        square = self.square[0] - (mean_output * (2 * total_output - weight * mean_output)).sum()
        return gram / weight, cross / weight, square / weight


def sum_up(network, windows, by_target=False):
    """Sums over the rows that `network.skip` makes of windows, in a group for each target if asked for and the skip has
    rows for each; None if no row has all of its targets, or if values are too large to be multiplied."""
    n_groups = network.skip.n_rows if by_target else 1

    def sums_of(*parts):  # (R, F + 1), (R, O), (R, 1)
        rows, outputs, weights = (part.unflatten(0, (-1, n_groups)).transpose(0, 1) for part in parts)
        weighed = (rows * weights).transpose(1, 2)  # (G, F + 1, R)
        square = (outputs.double() ** 2 * weights).sum((1, 2))  # (G,)
        return Sums((weighed @ rows).double().cpu(), (weighed @ outputs).double().cpu(), square.cpu())

    size = n_groups * network.skip.linear.in_features**2  # of the tables
    sums = reduce(Sums.plus, _by_chunk(sums_of, network, windows, size))
    there = bool((sums.gram[:, -1, -1] > 0).all()) and all(bool(torch.isfinite(one).all()) for one in sums)
    return sums if there else None


class Choice(NamedTuple):
    """What :func:`choose` chooses. A penalty of None leaves what it shrinks toward: the level, or the slope of all."""

    intercept: bool
    penalty: float | None = None  # as a share of the mean variance of a feature
    own: tuple = ()  # penalties of the groups


def choose(folds, *, intercept=True, overlap=1, penalties=PENALTIES):
    """Penalties of the ridge regression of Hoerl and Kennard (1970) that forecast best.

    Without an intercept it is also chosen whether a group has a slope of its own, shrunk toward that of all.

    Parameters
    ----------
    folds : sequence of pairs of Sums
        Of rows to fit, and of rows that are held out, in the same groups; what is chosen has the least error over the
        held-out rows of all folds. None instead of the latter takes the generalised cross-validation of Golub, Heath
        and Wahba (1979), for the number of rows divided by the square root of `overlap`: rows that share targets tell
        less than their number.
    intercept : bool, default=True
        Whether there is one. The level stands for it otherwise: a drift of the rows to fit seldom lasts.
    overlap : int, default=1
        How many rows share a target.
    penalties : ndarray, default=PENALTIES
        What to choose from, as shares of the mean variance of a feature.

    Returns
    -------
    choice : Choice
    error : float
        Mean squared error of what all groups share, on held-out rows or as cross-validation estimates it.
    """
    every = [(train.joined(), valid and valid.joined()) for train, valid in folds]
    choice, level = Choice(intercept), [torch.zeros_like(train.cross) for train, _ in every]  # (1, F + 1, O) each
    penalty, error = _best_penalty(every, level, choice, overlap, penalties)
    choice = choice._replace(penalty=penalty)
    if intercept or len(folds[0][0].square) == 1:
        return choice, error
    shared = [fit(train, choice) for train, _ in every]
    groups = zip(*(zip(train.groups(), valid.groups(), strict=True) for train, valid in folds), strict=True)
    own = [_best_penalty(pairs, shared, choice, overlap, penalties)[0] for pairs in groups]
    return choice._replace(own=tuple(own)), error


def fit(sums, choice):
    """The ridge regression of a :class:`Choice`.

    Returns
    -------
    solution : Tensor of shape (G or 1, F + 1, O)
        Slopes, and in the last row the intercept. Zeros for the forecast of zero, which is the level.
    """
    every = sums.joined()
    level = torch.zeros_like(every.cross)  # (1, F + 1, O)
    shared = level if choice.penalty is None else _ridge(every, level[0, :-1], choice)
    if all(penalty is None for penalty in choice.own):
        return shared
    choices = (choice._replace(penalty=penalty) for penalty in choice.own)
    own = zip(sums.groups(), choices, strict=True)
    return torch.cat([_ridge(rows, shared[0, :-1], one) if one.penalty else shared for rows, one in own])


def _ridge(sums, slope, choice):
    """Solution (1, F + 1, O) for one group, shrunk toward a `slope` (F, O)."""
    means = _point(sums, choice)
    covariance, covariances, _ = sums.moments(*means)  # (F, F), (F, O)
    shrunk = covariance.clone()
    shrunk.diagonal().add_(choice.penalty * shrunk.diagonal().mean())
    slope = slope + torch.linalg.solve(shrunk, covariances - covariance @ slope)  # (F, O)
    return torch.cat([slope, (means[1] - means[0] @ slope)[None]])[None]


def _best_penalty(folds, starts, choice, overlap, penalties):
    """Of the penalties that shrink toward `starts`, a solution (1, F + 1, O) for each fold, the one that is best over
    all folds, or None if the starts are better; and the mean squared error."""
    judges = [train if valid is None else valid for train, valid in folds]
    shares = [float(judge.gram[0, -1, -1]) for judge in judges]
    least = np.average([judge.loss(start) for judge, start in zip(judges, starts, strict=True)], weights=shares)

    def errors_of(pair):
        return _errors(*pair[0], pair[1][0, :-1], choice, overlap, penalties)

    errors = np.average(list(share(errors_of, zip(folds, starts, strict=True))), 0, weights=shares)  # (penalties,)
    best = int(errors.argmin())
    return (float(penalties[best]), float(errors[best])) if errors[best] < least else (None, float(least))


def _errors(train, valid, slope, choice, overlap, penalties):
    """Mean squared error with each of the penalties that shrink toward a `slope` (F, O).

    All come from one decomposition: a penalty shrinks the coordinates along the axes each by a factor, and the error
    is a quadratic form of these factors.
    """
    means = _point(train, choice)
    covariance, covariances, square = train.moments(*means)  # (F, F), (F, O)
    variances, axes = torch.linalg.eigh(covariance)  # (F,), (F, F)
    variances = variances.clamp(min=0)  # (F,)
    turned = axes.T @ (covariances - covariance @ slope)  # (F, O)
    if valid is not None:
        covariance, covariances, square = valid.moments(*means)
    gradient = covariance @ slope - covariances  # (F, O)
    start = square + (slope * (gradient - covariances)).sum()
    linear = (turned * (axes.T @ gradient)).sum(1)  # (F,)
    quadratic = (axes.T @ covariance @ axes) * (turned @ turned.T)  # (F, F)
    errors = np.full(len(penalties), np.inf)
    for place, penalty in enumerate(penalties) if float(variances.mean()) else ():
        factors = 1 / (variances + penalty * variances.mean())  # (F,)
        errors[place] = float(start + factors @ (2 * linear + quadratic @ factors)) / slope.shape[1]
        if valid is None:
            freedom = 1 + float((variances * factors).sum())
            left = 1 - freedom * overlap**0.5 / float(train.gram[0, -1, -1])
            errors[place] = errors[place] / left**2 if left > 0 else np.inf
    return errors


def _point(sums, choice):
    """Features (F,) and outputs (O,) that the regression goes through: the means, or zero without an intercept."""
    means = sums.means()
    return means if choice.intercept else tuple(torch.zeros_like(mean) for mean in means)


def window_errors(network, windows, solution=None):
    """Squared error of each window (n,), in units of the training data, of a solution or of the level."""
    n_rows = network.skip.n_rows

    def errors_of(rows, outputs, weights):
        if solution is not None:
            rows = rows.unflatten(0, (-1, n_rows)).transpose(0, 1)  # (M, B, F + 1)
            forecast = rows @ solution.to(rows)  # (M, B, O)
            outputs = outputs - forecast.transpose(0, 1).flatten(0, 1)  # (R, O)
        errors = (outputs**2 * weights).mean(1)  # (R,)
        return errors.unflatten(0, (-1, n_rows)).mean(1).cpu()  # (B,)

    return torch.cat(list(_by_chunk(errors_of, network, windows))).numpy()


def blocked_errors(network, windows, overlap, n_blocks=5):
    """Squared error of each window (n,) of a linear forecast from the windows of other blocks of time.

    Windows that share a target with the block are left out too; Racine (2000), hv-block cross-validation.
    """
    place, found = np.arange(len(windows)), []
    for block in np.array_split(place, n_blocks):
        far = (place < block[0] - overlap + 1) | (place > block[-1] + overlap - 1)
        sums = sum_up(network, windows.take(far)) if far.any() else None
        solution = None if sums is None else fit(sums, choose([(sums, None)], overlap=overlap)[0])
        found.append(window_errors(network, windows.take(block), solution))
    return np.concatenate(found)


def _by_chunk(function, network, windows, size=0):
    """What a function makes of rows, outputs and weights of windows, in chunks of about `size` numbers or a few, on the
    device of the network."""
    device, width = network.head.bias.device, sum(array[0].size for array in windows.arrays.values())
    n = max(1, max(size, CHUNK) // width)

    @torch.inference_mode()
    def of_chunk(start):
        batch, (target, weight) = windows.__getitems__(slice(start, start + n))
        batch |= {"target": target, "weight": weight}
        return function(*network.linear_rows(**{name: values.to(device) for name, values in batch.items()}))

    return share(of_chunk, range(0, len(windows), n))
