"""The linear part of a forecast in closed form: ridge regression from sums over windows that are never held at once.

Letters: ``R`` rows, ``G`` groups of rows, ``F`` features, ``O`` outputs of a row.
"""

from typing import NamedTuple

import numpy as np
import torch

PENALTIES = np.logspace(-5, 3, 33)  # as shares of the mean variance of a feature
DECAYS = (0.0, 1.0)  # powers of its lag that the penalty of a feature grows with
MOST_FEATURES = 1024  # of more, tables of products take more memory than the series and training do
MOST_PRODUCTS = 1 << 26  # of more, groups share a table: half a gigabyte
CHUNK = 1 << 19  # numbers of a chunk of windows


class Sums(NamedTuple):
    """Weighted sums over rows of products of features, beside a one, and outputs, for each group of rows."""

    gram: torch.Tensor  # (G, F + 1, F + 1)
    cross: torch.Tensor  # (G, F + 1, O)
    square: torch.Tensor  # of outputs, (G,)

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


@torch.inference_mode()
def sum_up(network, windows, by_target=False):
    """Sums over the rows that `network.skip` makes of windows, in a group for each target if asked for and the skip has
    rows for each; None if no row has all of its targets, or if values are too large to be multiplied."""
    n_groups, sums = network.skip.n_rows if by_target else 1, None
    for parts in _chunks(network, windows, n_groups * network.skip.linear.in_features**2):  # (R, F + 1), (R, O), (R, 1)
        rows, outputs, weights = (part.unflatten(0, (-1, n_groups)).transpose(0, 1) for part in parts)
        weighed = (rows * weights).transpose(1, 2)  # (G, F + 1, R)
        square = (outputs.double() ** 2 * weights).sum((1, 2))  # (G,)
        new = ((weighed @ rows).double().cpu(), (weighed @ outputs).double().cpu(), square.cpu())
        sums = Sums(*new) if sums is None else Sums(*(old + one for old, one in zip(sums, new, strict=True)))
    there = bool((sums.gram[:, -1, -1] > 0).all()) and all(bool(torch.isfinite(one).all()) for one in sums)
    return sums if there else None


def solve(train, valid=None, lags=None, overlap=1, decays=DECAYS, penalties=PENALTIES):
    """Ridge regression with the penalty that forecasts best; Hoerl and Kennard (1970).

    Where features are lags of the targets, held-out rows also tell whether the penalty grows with the lag, as in the
    prior of Litterman (1986), and whether a group has a slope of its own, shrunk toward that of all. The level stands
    for the intercept then: a drift of the training rows seldom lasts.

    Parameters
    ----------
    train : Sums
        Of the rows to fit.
    valid : Sums, default=None
        Of rows that are held out, in the same groups. None takes the generalised cross-validation of Golub, Heath and
        Wahba (1979), for the number of rows divided by the square root of `overlap`: rows that share targets tell less
        than their number.
    lags : Tensor of shape (F,), default=None
        How many steps before the first step ahead a feature lies. None if it is no value of a target.
    overlap : int, default=1
        How many rows share a target.
    decays : sequence of float, default=DECAYS
        Powers of the lag to choose from.
    penalties : ndarray, default=PENALTIES
        What to choose from, as shares of the mean variance of a feature.

    Returns
    -------
    solution : Tensor of shape (G or 1, F + 1, O)
        Zeros where nothing beats the forecast of zero, which is the level.
    error : float
        Mean squared error, on held-out rows or as cross-validation estimates it.
    """
    every, held_out = train.joined(), valid and valid.joined()
    shared = torch.zeros_like(every.cross)  # (1, F + 1, O)
    slope, origin = shared[0, :-1], (shared[0, :-1, 0], shared[0, -1])  # (F, O), ((F,), (O,))
    error, decay = (held_out or every).loss(shared), 0.0
    is_level = valid is not None and lags is not None
    means = origin if is_level else every.means()
    for power in decays if is_level else (0.0,):
        solution, loss = _shrink(every, held_out, slope, means, _scales(lags, power, slope), overlap, penalties)
        if loss < error:
            shared, error, decay = solution, loss, power
    if not is_level or len(train.square) == 1:
        return shared, error
    slope, means, own = shared[0, :-1], (origin[0], shared[0, -1]), []
    scales = _scales(lags, decay, slope)  # (F, 1)
    for rows, rows_valid in zip(train.groups(), valid.groups(), strict=True):
        solution, loss = _shrink(rows, rows_valid, slope, means, scales, overlap, penalties)
        own.append(solution if loss < rows_valid.loss(shared) else shared)
    if all(solution is shared for solution in own):
        return shared, error
    own = torch.cat(own)  # (G, F + 1, O)
    return own, valid.loss(own)


def _scales(lags, decay, slope):
    """Scales of features (F, 1) at which an even penalty grows with a power of their lags."""
    growth = torch.ones_like(slope[:, :1])
    if decay:
        growth = lags.to(slope)[:, None] ** decay  # (F, 1)
    return (growth.mean() / growth) ** 0.5


def _shrink(train, valid, slope, means, scales, overlap, penalties):
    """Of ridge regressions through a point that shrink toward a `slope` (F, O), the best (1, F + 1, O) and its error.

    All come from one decomposition, and so do their errors: of the coordinates along the axes, which a penalty shrinks
    each by a factor, the error is a quadratic form.
    """
    covariance, covariances, square = train.moments(*means)  # (F, F), (F, O)
    variances, axes = torch.linalg.eigh(covariance * scales * scales.T)  # (F,), (F, F)
    variances, axes = variances.clamp(min=0), scales * axes  # (F,), (F, F)
    turned = axes.T @ (covariances - covariance @ slope)  # (F, O)
    tested, cross, square = (covariance, covariances, square) if valid is None else valid.moments(*means)
    gradient = tested @ slope - cross  # (F, O)
    start = square + (slope * (gradient - cross)).sum()
    linear = (turned * (axes.T @ gradient)).sum(1)  # (F,)
    quadratic = (axes.T @ tested @ axes) * (turned @ turned.T)  # (F, F)
    best, error = None, np.inf
    for penalty in penalties * float(variances.mean()):
        if penalty == 0:
            continue
        shrunk = 1 / (variances + penalty)  # (F,)
        loss = float(start + shrunk @ (2 * linear + quadratic @ shrunk)) / slope.shape[1]
        if valid is None:
            freedom = 1 + float((variances * shrunk).sum())
            left = 1 - freedom * overlap**0.5 / float(train.gram[0, -1, -1])
            loss = loss / left**2 if left > 0 else np.inf
        if loss < error:
            best, error = shrunk, loss
    if best is not None:
        slope = slope + axes @ (best[:, None] * turned)  # (F, O)
    return torch.cat([slope, (means[1] - means[0] @ slope)[None]])[None], error


@torch.inference_mode()
def window_errors(network, windows, solution=None):
    """Squared error of each window (n,), in units of the training data, of a solution or of the level."""
    found, n_rows = [], network.skip.n_rows
    for rows, outputs, weights in _chunks(network, windows):
        if solution is not None:
            rows = rows.unflatten(0, (-1, n_rows)).transpose(0, 1)  # (M, B, F + 1)
            forecast = rows @ solution.to(rows)  # (M, B, O)
            outputs = outputs - forecast.transpose(0, 1).flatten(0, 1)  # (R, O)
        errors = (outputs**2 * weights).mean(1)  # (R,)
        found.append(errors.unflatten(0, (-1, n_rows)).mean(1).cpu())  # (B,)
    return torch.cat(found).numpy()


def blocked_errors(network, windows, overlap, n_blocks=5):
    """Squared error of each window (n,) of a linear forecast from the windows of other blocks of time.

    Windows that share a target with the block are left out too; Racine (2000), hv-block cross-validation.
    """
    place, found = np.arange(len(windows)), []
    for block in np.array_split(place, n_blocks):
        far = (place < block[0] - overlap + 1) | (place > block[-1] + overlap - 1)
        sums = sum_up(network, windows.take(far)) if far.any() else None
        solution = None if sums is None else solve(sums, lags=network.skip.lags, overlap=overlap)[0]
        found.append(window_errors(network, windows.take(block), solution))
    return np.concatenate(found)


def _chunks(network, windows, size=0):
    """Rows of windows, in chunks of about `size` numbers or a few, on the device of the network."""
    device, width = network.head.bias.device, sum(array[0].size for array in windows.arrays.values())
    for batch, (target, weight) in windows.batches(max(1, max(size, CHUNK) // width)):
        batch |= {"target": target, "weight": weight}
        yield network.linear_rows(**{name: values.to(device) for name, values in batch.items()})
