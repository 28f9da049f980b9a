"""Activations of attention: how scores become weights over a memory.

Letters: ``B`` windows, ``Q`` queries, ``L`` steps (or channels) of the memory, ``N`` heads.

Scores may leave a mechanism in any range. What is not observed gets no weight, whatever its score.
"""

from abc import ABC, abstractmethod

import torch
from torch import nn


class Activation(nn.Module, ABC):
    """Scores become weights: not negative, and with the sum one over the steps that may be looked at.

    An activation writes :meth:`weigh` and nothing else. It is built without arguments.
    """

    @abstractmethod
    def weigh(self, scores):
        """Weights of `scores` (B, N, Q, L), which are the lowest number there is where nothing was observed."""

    def forward(self, scores, mask=None):
        """Weights over the last axis of `scores`.

        Parameters
        ----------
        scores : Tensor of shape (B, N, Q, L)
        mask : bool Tensor of shape (B, L), default=None
            True where a step may be looked at.

        Returns
        -------
        weights : Tensor of shape (B, N, Q, L)
            Exactly zero where `mask` is False.
        """
        if mask is None:
            return self.weigh(scores)  # (B, N, Q, L)
        mask = mask[:, None, None, :]  # (B, 1, 1, L)
        return self.weigh(scores.masked_fill(~mask, torch.finfo(scores.dtype).min)) * mask  # (B, N, Q, L)


class Softmax(Activation):
    """``exp(s) / sum(exp(s))``: every step has some weight."""

    def weigh(self, scores):
        return scores.softmax(-1)  # (B, N, Q, L)


class ScaledSoftmax(Activation):
    """Softmax of ``s / t`` with a temperature ``t`` that is learned, Hinton, Vinyals and Dean (2015), "Distilling the
    knowledge in a neural network", equation 1. It starts at one, and stays positive."""

    def __init__(self):
        super().__init__()
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def weigh(self, scores):
        temperature = torch.exp(self.log_temperature)
        return (_from_zero(scores, -1e4 * temperature.detach()) / temperature).softmax(-1)  # (B, N, Q, L)


class Sparsemax(Activation):
    """The point of the simplex nearest to the scores, Martins and Astudillo (2016), "From softmax to sparsemax",
    algorithm 1: most steps have exactly no weight."""

    def weigh(self, scores):
        scores = _from_zero(scores)  # (B, N, Q, L)
        ordered = scores.sort(-1, descending=True).values  # (B, N, Q, L)
        excess = ordered.cumsum(-1) - 1  # (B, N, Q, L)
        size = _ranks(scores)  # (L,)
        threshold = _last(excess / size, ordered * size > excess)  # (B, N, Q, 1)
        return (scores - threshold).relu()  # (B, N, Q, L)


class Entmax15(Activation):
    """Entmax with alpha 1.5, half way from softmax to sparsemax, Peters, Niculae and Martins (2019), "Sparse
    sequence-to-sequence models", algorithm 2."""

    def weigh(self, scores):
        scores = _from_zero(scores) / 2  # (B, N, Q, L)
        ordered = scores.sort(-1, descending=True).values  # (B, N, Q, L)
        size = _ranks(scores)  # (L,)
        mean = ordered.cumsum(-1) / size  # (B, N, Q, L)
        spread = (ordered**2).cumsum(-1) - size * mean**2  # (B, N, Q, L)
        inside = ((1 - spread) / size).clamp(min=torch.finfo(scores.dtype).tiny)  # (B, N, Q, L)
        thresholds = mean - inside.sqrt()  # (B, N, Q, L)
        threshold = _last(thresholds, thresholds <= ordered)  # (B, N, Q, 1)
        return (scores - threshold).relu() ** 2  # (B, N, Q, L)


def _from_zero(scores, lowest=-1e4):
    """Scores less the largest of their row, cut off where none of the activations sees a difference any more."""
    return (scores - scores.amax(-1, keepdim=True).detach()).clamp(min=lowest)  # (B, N, Q, L)


def _ranks(scores):
    return torch.arange(1, scores.shape[-1] + 1, device=scores.device, dtype=scores.dtype)  # (L,)


def _last(thresholds, supported):
    """The threshold of the largest support that is one: `supported` is True up to there."""
    return thresholds.gather(-1, supported.sum(-1, keepdim=True) - 1)  # (B, N, Q, 1)


ACTIVATIONS = {"softmax": Softmax, "sparsemax": Sparsemax, "entmax15": Entmax15, "temperature": ScaledSoftmax}
