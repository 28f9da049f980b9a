"""Heads: decoded states become the parameters of a forecast; a head owns its loss and how it is read.

Letters: ``B`` windows, ``H`` horizon, ``E`` encoder width, ``M`` targets, ``P`` parameters per target.
"""

import copy
from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.nn import functional as F

from skattn.nn.normalization import Normalization


class Head(nn.Module, ABC):
    """One linear map for each block of steps ahead: ``z (B, H / block, E) -> params (B, H, M, P)``.

    Parameters
    ----------
    in_features, horizon, n_targets, n_params : int
        Sizes ``E``, ``H``, ``M``, ``P``.
    loss : str, torch.nn.Module or type
        A key of `LOSSES`, or a loss of torch's kind, called as ``loss(prediction, target)``. One with an attribute
        `reduction` is copied and set to ``"none"``, so that weights and missing targets count.
    block : int, default=1
        Steps ahead that share a state.
    """

    def __init__(self, in_features, horizon, n_targets, n_params, loss, block=1):
        super().__init__()
        self.horizon, self.block, self.shape = horizon, block, (block, n_targets, n_params)
        self.n_blocks = -(-horizon // block)
        self.weight = nn.Parameter(torch.empty(self.n_blocks, in_features, block * n_targets * n_params))
        self.bias = nn.Parameter(torch.zeros(self.n_blocks, 1, block * n_targets * n_params))
        nn.init.uniform_(self.weight, -(in_features**-0.5), in_features**-0.5)
        self.criterion = LOSSES[loss] if isinstance(loss, str) else _unreduced(loss)

    def forward(self, z):
        if z.stride(1) == 0:  # the same state for all blocks: one map instead of many
            weight = self.weight.transpose(0, 1).flatten(1)  # (E, H / block * block * M * P)
            params = torch.addmm(self.bias.flatten(), z[:, 0], weight).unflatten(1, (self.n_blocks, -1))
        else:
            params = torch.baddbmm(self.bias, z.transpose(0, 1), self.weight).transpose(0, 1)
        params = params.unflatten(2, self.shape).flatten(1, 2)  # (B, at least H, M, P)
        return params[:, : self.horizon]  # (B, H, M, P)

    @property
    def by_element(self):
        """Whether the loss is known to be one of each element, by itself."""
        return self.criterion in LOSSES.values()

    @property
    def squares(self):
        """Whether the loss is the squared error."""
        return self.criterion is _squared_error or type(self.criterion) is nn.MSELoss

    def elementwise(self, prediction, target):
        """Loss of each element of `target`, or a scalar if the user's loss returns one."""
        if not isinstance(self.criterion, nn.Module):
            return self.criterion(prediction, target)
        try:
            losses = self.criterion(prediction, target)
            reason = f"it returned shape {tuple(losses.shape)}"
        except (RuntimeError, ValueError, TypeError, UserWarning) as error:
            losses, reason = None, str(error).partition("\n")[0]
        if losses is None or losses.shape not in (target.shape, ()):
            raise ValueError(
                f"loss={self.criterion!r} does not fit predictions of shape {tuple(prediction.shape)} and targets of "
                f"shape {tuple(target.shape)}: {reason}. Use a loss that returns the shape of its target, or a number."
            ) from None
        return losses

    @abstractmethod
    def loss(self, params, target):
        """Loss of each element, (B, H, M), or a scalar if the user's loss returns one."""

    @abstractmethod
    def predict(self, params):
        """What the estimator returns, from `params` (B, H, M, P)."""

    def rescale(self, params, loc_scale):
        """Parameters in the units of the window, for targets that are channels of it."""
        return params


class PointHead(Head):
    """One number per target."""

    def loss(self, params, target):
        return self.elementwise(params.squeeze(-1), target)

    def predict(self, params):
        return params.squeeze(-1)  # (B, H, M)

    def rescale(self, params, loc_scale):
        return Normalization.inverse(params.squeeze(-1), loc_scale).unsqueeze(-1)  # (B, H, M, 1)


class ClassHead(Head):
    """A score (logit) per class; `n_params` is the number of classes."""

    def loss(self, params, target):
        losses = self.elementwise(params.flatten(0, 2), target.flatten().long())  # (B * H * M,) or ()
        return losses.view_as(target) if losses.dim() else losses

    def predict(self, params):
        return params.softmax(-1)  # (B, H, M, P)


def _unreduced(loss):
    """A module of the user's own, that returns a loss per element if it can."""
    loss = loss() if isinstance(loss, type) else copy.deepcopy(loss)
    if hasattr(loss, "reduction"):
        loss.reduction = "none"
    return loss


def _squared_error(prediction, target):
    return (prediction - target) ** 2


def _absolute_error(prediction, target):
    return (prediction - target).abs()


def _huber(prediction, target):
    return F.huber_loss(prediction, target, reduction="none")


def _cross_entropy(logits, target):
    return F.cross_entropy(logits, target, reduction="none")


LOSSES = {
    "squared_error": _squared_error,
    "absolute_error": _absolute_error,
    "huber": _huber,
    "cross_entropy": _cross_entropy,
}
HEADS = {"point": PointHead, "class": ClassHead}
