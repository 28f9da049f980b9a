"""Which part carries a forecast: the level, the linear skip or the network, and how much of the network is used."""

import math
from functools import reduce

import numpy as np
import torch

from skattn.linear import (
    MOST_FEATURES,
    MOST_PRODUCTS,
    PENALTIES,
    Sums,
    blocked_errors,
    choose,
    fit,
    sum_up,
    window_errors,
)

GATES = np.linspace(0, 1, 11)
PRIOR = 0.5  # of the network is used unless held-out windows tell better
MOST_SAMPLES = 2048  # windows that levels and parts are compared on
MOST_ROWS = 1 << 14  # rows of the linear forecast that levels are compared on
MOST_BLOCKS = 4  # of training windows, that penalties are chosen on beside the held-out ones
MOST_WORK = 1 << 38  # multiplications for the tables of products: of windows that take more, not all are used
TRAILING = tuple(("trailing", share) for share in (1 / 16, 1 / 8, 1 / 4, 1 / 2))
LEVELS = (("last", None), *TRAILING, ("mean", None), ("window", None))


def solve_linear(network, train, valid=None, windows=None, levels=()):
    """Give a network its level, and solve its linear skip in closed form.

    Held-out windows choose the level and the penalty. Where blocks of all windows do not show that the linear forecast
    is better than the level alone, or the held-out ones show that it is not, it stays zero. What is solved is the
    squared error; for other losses the intercept goes on learning.

    Parameters
    ----------
    network : AttentionLSTM
        Whose normalisation is set and whose skip is filled.
    train : WindowDataset
        Windows to fit.
    valid, windows : WindowDataset, default=None
        Windows to choose on, if any are held out, and all windows.
    levels : sequence of pairs of a key of NORMALIZATIONS and a share or None, default=()
        What to choose the level from, the one to fall back to first; a share is that of the window which 'trailing'
        averages. Nothing leaves it as it is.

    Returns
    -------
    prior : float or None
        How much of the network is used unless held-out windows tell better: half for the squared error and all for
        other losses, or nothing where there is no linear forecast, since what is not linear has then the more to prove.
        None where the skip is left to training, and all of the network is used.
    last : Tensor or None
        The solution for all windows, the held-out ones among them, which the skip takes in the end.
    """
    if network.skip is None or network.config["n_params"] > 1 or network.skip.linear.in_features > MOST_FEATURES:
        return None, None
    stride = valid and _stride(windows, MOST_ROWS // network.skip.n_rows)
    sample = valid and _thinned(windows, stride)
    level = valid and (window_errors(network, sample), window_errors(network, valid).mean())
    if valid and levels:
        choose_level(network, levels, train, valid)
    folds = _folds(network, train, valid)
    if not folds:
        return None, None
    (sums, held_out), prior = folds[0], PRIOR if network.head.squares else 1.0
    choice, _ = choose(folds, intercept=not (held_out and network.autoregressive), overlap=overlap(train))
    solution, last = fit(sums, choice), None
    if valid and not _is_predictable(network, sample, valid, solution, *level, _overlap(windows, stride)):
        prior, solution = 0.0, torch.zeros_like(solution[:1])
        if levels:
            network.set_level(*levels[0])
    elif held_out and network.head.squares:
        last = fit(sums.plus(held_out), choice)
    network.skip.fill(solution)
    hold(network)
    network.gate.share.fill_(prior)
    return prior, last


def hold(network):
    """Leave a skip that was solved as it is, but for its intercept where the loss is no square."""
    network.skip.linear.weight.requires_grad_(False)
    network.skip.linear.bias.requires_grad_(not network.head.squares)


def _is_predictable(network, sample, valid, solution, level, held_out_level, n_sharing):
    """Whether the linear forecast beats the level by two standard errors, and is no worse on held-out windows."""
    if window_errors(network, valid, solution).mean() > held_out_level:
        return False
    return is_better(blocked_errors(network, sample, math.ceil(n_sharing)), level, n_sharing, n_errors=2)


def _folds(network, train, valid):
    """Pairs of sums over windows to fit and over those to choose on: first the training and the held-out windows, then
    all but a block of time, and this block. Empty if there is nothing to sum up.

    Sums are by target where held-out windows can tell targets apart and there is memory for it, and of some windows
    only where all are too much work.
    """
    features = network.skip.linear.in_features + 1
    work = network.skip.n_rows * features * (features + train.sizes["horizon"])  # of a window, and size of the tables
    blocks = _blocks(train) if valid else []
    by_target = bool(valid) and len(valid) >= 2 * overlap(valid) and work * (2 * len(blocks) + 2) <= MOST_PRODUCTS
    stride = -(-len(train) * work * (2 if blocks else 1) // MOST_WORK)

    def sum_all(windows):
        return sum_up(network, _thinned(windows, stride), by_target)

    held_out, tables = valid and sum_all(valid), [(sum_all(block), sum_all(inner)) for block, inner in blocks]
    if not tables or None in (held_out, *(one for pair in tables for one in pair)):
        sums = sum_all(train)
        return [(sums, held_out)] if sums else []
    sums = reduce(Sums.plus, (block for block, _ in tables))
    folds, rest = [(sums, held_out)], sums.plus(held_out)
    while tables:  # which are let go one by one
        block, inner = tables.pop()
        folds.append((rest.minus(block), inner))
    return folds


def _blocks(windows):
    """Blocks of windows that follow one another, each with those that share no target with other blocks: for the
    hv-block cross-validation of Racine (2000). Empty where windows are too few for two."""
    n_blocks = min(MOST_BLOCKS, len(windows) // (3 * windows.gap + 3))
    if n_blocks < 2:
        return []
    places, gap, last = np.array_split(np.arange(len(windows)), n_blocks), windows.gap, len(windows) - 1
    inner = (place[gap * (place[0] > 0) : len(place) - gap * (place[-1] < last)] for place in places)
    return [(windows.take(place), windows.take(within)) for place, within in zip(places, inner, strict=True)]


def choose_level(network, levels, train, valid):
    """Give a network the level that its linear forecast does best with on held-out windows, of which it takes a sample.

    Parameters are those of :func:`solve_linear`.
    """
    most, errors = MOST_ROWS // network.skip.n_rows, []
    train, valid = (_thinned(part, _stride(part, most)) for part in (train, valid))
    for level in levels:
        network.set_level(*level)
        sums, held_out = sum_up(network, train), sum_up(network, valid)
        known, folds = sums and held_out, [(sums, held_out)]
        errors.append(choose(folds, intercept=False, penalties=PENALTIES[::4])[1] if known else np.inf)
    network.set_level(*levels[int(np.argmin(errors))])


def shrink_network(network, train, valid, prior):
    """Choose on held-out windows how much of what the network adds to its skip is used, and tell what each part does.

    Returns
    -------
    losses : dict of str to float
        Mean loss of the 'level', of the 'linear' forecast, of that with the whole 'network' and of the 'forecast' with
        as much of it as is used, and the 'gate' that says so. Empty if the loss is one number for all windows.
    """
    network.gate.share.fill_(1)
    losses = part_losses(network, valid or train)
    if losses is None:
        return {}
    whole, gate = losses.pop("network"), 1.0 if prior is None else prior  # (n, gates)
    if valid and prior is not None:
        best = int(whole.mean(0).argmin())
        shared = _overlap(valid, _stride(valid))
        certain = is_better(whole[:, best], losses["linear"], shared, n_errors=1 if prior else 3)
        gate = float(GATES[best]) if certain else min(float(GATES[best]), prior)
    network.gate.share.fill_(gate)
    losses |= {"network": whole[:, -1], "forecast": whole[:, round(gate * (len(GATES) - 1))]}
    return {name: float(loss.mean()) for name, loss in losses.items()} | {"gate": gate}


@torch.inference_mode()
def part_losses(network, windows):
    """Loss of each window (n,) of the level and of the linear forecast, and with each gate (n, gates) of the network.

    In units of the training data, whatever the scale of a window, for a sample of windows that have targets. None where
    the user's loss is a single number.
    """
    network.eval()
    device, found = network.head.bias.device, []
    for batch, (target, weight) in _thinned(windows, _stride(windows)).batches(network.chunk):
        target, weight = target.to(device), weight.to(device)
        output = network(**{name: values.to(device) for name, values in batch.items()})
        linear = torch.zeros_like(output.params) + output.skip  # (B, H, M, P)
        added = output.params - linear  # (B, H, M, P)
        units = network.units(output.loc_scale) ** (2 if network.head.squares else 1)  # (B or 1, 1, M or 1)
        weight = units * weight if len(weight) else units
        forecasts = torch.zeros_like(linear), linear, *(linear + gate * added for gate in GATES)
        losses = [window_losses(network, output._replace(params=params), target, weight) for params in forecasts]
        if losses[0] is None:
            return None
        found.append(torch.stack(losses, 1).cpu())  # (B, 2 + gates)
    found = torch.cat(found).numpy()
    found = found[~np.isnan(found[:, 0])]
    return {"level": found[:, 0], "linear": found[:, 1], "network": found[:, 2:]}


def window_losses(network, output, target, weight=1.0):
    """Loss of each window (B,), NaN where it has no target; None where the user's loss is a single number."""
    observed = ~torch.isnan(target)  # (B, H, M)
    losses = network.loss(output, torch.where(observed, target, 0.0))
    if losses.dim() == 0:
        return None
    return (losses * observed * weight).sum((1, 2)) / observed.sum((1, 2))


def is_better(losses, others, n_sharing, n_errors=1):
    """Whether `losses` of windows are less than `others` by more than `n_errors` standard errors of the mean.

    The `n_sharing` windows that share a target count as one, and of one alone nobody knows how much it varies: two are
    needed.
    """
    gain = others - losses
    return len(gain) >= 2 * n_sharing and bool(gain.mean() > n_errors * gain.std() * (n_sharing / len(gain)) ** 0.5)


def overlap(windows):
    """How many windows share a target."""
    return windows.gap + 1 if windows.autoregressive else 1


def _stride(windows, most=MOST_SAMPLES):
    """Every which window to take for a sample of at most `most`."""
    return -(-len(windows) // max(1, min(most, MOST_SAMPLES)))


def _thinned(windows, stride):
    """One window of every `stride`, at a place that moves on by the golden ratio, since even steps can be a cycle's."""
    each = np.arange(-(-len(windows) // stride))
    place = each * stride + (each * 0.618 % 1 * stride).astype(int)
    return windows.take(place[place < len(windows)])


def _overlap(windows, stride):
    """How many windows of a sample share a target."""
    return max(1, overlap(windows) / stride)
