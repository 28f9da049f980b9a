"""Kernel attention: a mechanism of one's own, in one file."""

import torch

from skattn.nn import Attention


class KernelAttention(Attention):
    """``-|q - k|^2 / 2``: the nearer a key, the more it counts. After the softmax this is kernel regression, Nadaraya
    (1964), "On estimating regression", with distances between learned projections.

    Examples
    --------
    By hand, with a query at the origin and three keys at squared distances of 0, 2 ln 2 and 2 ln 4:

    >>> from math import log
    >>> attention = KernelAttention(query_dim=2, memory_dim=2, attention_dim=2)
    >>> query = torch.tensor([[[[0.0, 0.0]]]])
    >>> key = torch.tensor([[[[0.0, 0.0], [(2 * log(2)) ** 0.5, 0.0], [0.0, (2 * log(4)) ** 0.5]]]])
    >>> scores = attention.score(query, key)  # 0, -ln 2, -ln 4
    >>> scores.softmax(-1) * 7  # 1, 1/2 and 1/4 of 7/4
    tensor([[[[4.0, 2.0, 1.0]]]])
    """

    def score(self, query, key):
        return -(torch.cdist(query, key) ** 2) / 2  # (B, N, Q, L)
