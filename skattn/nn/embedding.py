"""Embedding: the values of a step, whether they were observed, and its place in the window, as one vector.

Letters: ``B`` windows, ``L`` steps, ``C`` channels, ``D`` embedding.
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
