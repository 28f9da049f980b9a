"""Embedding: the values of a step, and whether they were observed, as one vector.

Letters: ``B`` windows, ``L`` steps, ``C`` channels, ``D`` embedding.
"""

import torch
from torch import nn


class Embedding(nn.Module):
    """A linear map of each step's values beside their observed mask.

    Parameters
    ----------
    n_channels : int
        Number of channels ``C``.
    embedding_dim : int
        Width ``D`` of the embedding.
    """

    def __init__(self, n_channels, embedding_dim):
        super().__init__()
        self.linear = nn.Linear(2 * n_channels, embedding_dim)

    def forward(self, x, observed):
        """Embed values `x` (B, L, C), zero where `observed` (B, L, C) is zero, as (B, L, D)."""
        return self.linear(torch.cat([x, observed], -1))  # (B, L, D)
