"""Embedding: the values of a step, whether they were observed, and its place in the window, as one vector.

Letters: ``B`` windows, ``L`` steps, ``C`` channels, ``D`` embedding, ``P`` places in a cycle.
"""

import torch
from torch import nn


class Embedding(nn.Module):
    """A linear map of each step's values beside their observed mask, plus a learned vector for its place.

    The places start from zero. They let a score depend on the lag of a step and not on its values alone; where the
    steps are channels, they are the channels' identities.

    Parameters
    ----------
    n_channels : int
        Number of channels ``C``.
    embedding_dim : int
        Width ``D`` of the embedding.
    n_steps : int
        Number of steps ``L``.
    """

    def __init__(self, n_channels, embedding_dim, n_steps):
        super().__init__()
        self.n_channels = n_channels
        self.place = nn.Parameter(torch.zeros(n_steps, embedding_dim))
        self.linear = nn.Linear(2 * n_channels, embedding_dim)

    def forward(self, x, observed):
        """Embed values `x` (B, L, C), zero where `observed` (B, L, C) is zero, as (B, L, D)."""
        return self.linear(torch.cat([x, observed], -1)) + self.place  # (B, L, D)


class Calendar(nn.Module):
    """A learned vector for where in its cycles a window ends; Shao et al. (2022), "Spatial-temporal identity".

    A cycle that is a multiple of the next shorter one is told by the number of that one: the day of the week beside the
    hour of the day, instead of the hour of the week. All vectors start from zero.

    Parameters
    ----------
    periods : sequence of int
        Lengths of the cycles in steps, in ascending order.
    embedding_dim : int
        Width ``D`` of the vectors.
    """

    def __init__(self, periods, embedding_dim):
        super().__init__()
        shorter = (1, *periods[:-1])
        self.widths = [low if high % low == 0 else 1 for low, high in zip(shorter, periods, strict=True)]
        sizes = [period // width for period, width in zip(periods, self.widths, strict=True)]
        self.vectors = nn.ParameterList(torch.zeros(size, embedding_dim) for size in sizes)  # (P, D) each

    def forward(self, place):
        """Vectors (B, D) of windows that end at the steps `place` (B,), as they are counted along the calendar."""
        pairs = zip(self.vectors, self.widths, strict=True)
        return sum(vectors[place // width % len(vectors)] for vectors, width in pairs)  # (B, D)
