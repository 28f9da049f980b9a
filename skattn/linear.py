"""The linear part of a forecast in closed form: ridge regression from sums over windows that are never held at once.

Letters: ``R`` rows, ``F`` features, ``O`` outputs of a row.
"""

from typing import NamedTuple

import numpy as np
import torch

PENALTIES = np.logspace(-5, 3, 33)  # as shares of the mean variance of a feature
MOST_FEATURES = 1024  # of more, tables of products take more memory than the series and training do
CHUNK = 1 << 19  # numbers of a chunk of windows


class Sums(NamedTuple):
    """Weighted sums over rows of products of features, beside a one, and outputs."""

    gram: torch.Tensor  # (F + 1, F + 1)
    cross: torch.Tensor  # (F + 1, O)
    square: float  # of outputs

    @property
    def weight(self):
        """Sum of the weights."""
        return float(self.gram[-1, -1])

    def loss(self, solution):
        """Mean squared error of a solution (F + 1, O), whose last row is the intercept."""
        explained = (solution * (self.gram @ solution - 2 * self.cross)).sum()
        return (self.square + float(explained)) / (self.weight * self.cross.shape[1])


@torch.inference_mode()
def sum_up(network, windows):
    """Sums over the rows that `network.skip` makes of windows; None if no row has all of its targets, or if values are
    too large to be multiplied."""
    gram, cross, square = None, None, 0.0
    for rows, outputs, weights in _chunks(network, windows):  # (R, F + 1), (R, O), (R, 1)
        weighed = rows * weights  # (R, F + 1)
        products = (weighed.T @ rows).double().cpu(), (weighed.T @ outputs).double().cpu()
        gram, cross = products if gram is None else (gram + products[0], cross + products[1])
        square += float((outputs.double() ** 2 * weights).sum())
    there = float(gram[-1, -1]) > 0 and bool(torch.isfinite(gram).all()) and bool(torch.isfinite(cross).all())
    return Sums(gram, cross, square) if there else None


def solve(train, valid=None, overlap=1, penalties=PENALTIES):
    """The ridge regression with the penalty that forecasts best, and its error; Hoerl and Kennard (1970).

    Parameters
    ----------
    train : Sums
        Of the rows to fit.
    valid : Sums, default=None
        Of rows that are held out. None takes the generalised cross-validation of Golub, Heath and Wahba (1979), for the
        number of rows divided by the square root of `overlap`: rows that share targets tell less than their number.
    overlap : int, default=1
        How many rows share a target.
    penalties : ndarray, default=PENALTIES
        What to choose from, as shares of the mean variance of a feature.

    Returns
    -------
    solution : Tensor of shape (F + 1, O)
        Zeros where nothing beats the forecast of zero, which is the level.
    error : float
        Mean squared error, on held-out rows or as cross-validation estimates it.
    """
    mean, mean_output = train.gram[-1:, :-1] / train.weight, train.cross[-1:] / train.weight  # (1, F), (1, O)
    covariance = train.gram[:-1, :-1] / train.weight - mean.T @ mean  # (F, F)
    covariances = train.cross[:-1] / train.weight - mean.T @ mean_output  # (F, O)
    variances, axes = torch.linalg.eigh(covariance)  # (F,), (F, F)
    variances = variances.clamp(min=0)  # (F,)
    turned = axes.T @ covariances  # (F, O)
    level = torch.zeros_like(train.cross)  # (F + 1, O)
    best = level, (valid or train).loss(level)
    for penalty in penalties * float(variances.mean()):
        if penalty == 0:
            continue
        shrunk = 1 / (variances + penalty)  # (F,)
        slope = axes @ (shrunk[:, None] * turned)  # (F, O)
        solution = torch.cat([slope, mean_output - mean @ slope])  # (F + 1, O)
        freedom = 1 + float((variances * shrunk).sum())
        error = valid.loss(solution) if valid else _cross_validated(train, solution, freedom, overlap)
        if error < best[1]:
            best = solution, error
    return best


@torch.inference_mode()
def window_errors(network, windows, solution=None):
    """Squared error of each window (n,), in units of the training data, of a solution or of the level."""
    found = []
    for rows, outputs, weights in _chunks(network, windows):
        forecast = 0.0 if solution is None else rows @ solution.to(rows)  # (R, O)
        errors = ((outputs - forecast) ** 2 * weights).mean(1)  # (R,)
        found.append(errors.unflatten(0, (-1, network.skip.n_rows)).mean(1).cpu())  # (B,)
    return torch.cat(found).numpy()


def blocked_errors(network, windows, overlap, n_blocks=5):
    """Squared error of each window (n,) of a linear forecast from the windows of other blocks of time.

    Windows that share a target with the block are left out too; Racine (2000), hv-block cross-validation.
    """
    place, found = np.arange(len(windows)), []
    for block in np.array_split(place, n_blocks):
        far = (place < block[0] - overlap + 1) | (place > block[-1] + overlap - 1)
        sums = sum_up(network, windows.take(far)) if far.any() else None
        solution = None if sums is None else solve(sums, overlap=overlap)[0]
        found.append(window_errors(network, windows.take(block), solution))
    return np.concatenate(found)


def _chunks(network, windows):
    """Rows of windows, chunk by chunk, on the device of the network."""
    device, width = network.head.bias.device, sum(array[0].size for array in windows.arrays.values())
    for batch, (target, weight) in windows.batches(max(1, CHUNK // width)):
        batch |= {"target": target, "weight": weight}
        yield network.linear_rows(**{name: values.to(device) for name, values in batch.items()})


def _cross_validated(sums, solution, freedom, overlap):
    left = 1 - freedom * overlap**0.5 / sums.weight
    return sums.loss(solution) / left**2 if left > 0 else np.inf
