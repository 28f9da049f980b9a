"""Where attention is applied: over the channels, over the embedded inputs, over the encoder's states.

Letters: ``B`` windows, ``L`` steps, ``C`` channels, ``D`` embedding, ``E`` encoder width, ``H`` horizon, ``N`` heads.
"""

import torch
from torch import nn

from skattn.nn.activation import Softmax
from skattn.nn.attention import check_heads, gain
from skattn.nn.embedding import Embedding


class ChannelAttention(nn.Module):
    """Attention over time turned by ninety degrees: each channel's whole window is one step of the memory.

    Every channel is multiplied by its weight, averaged over the heads.

    Parameters
    ----------
    attention : type
        An :class:`~skattn.nn.attention.Attention`.
    window_length, n_channels, embedding_dim, attention_dim, num_heads : int
        Sizes; the embedding reads a channel's ``window_length`` values.
    activation : type, default=Softmax
        An :class:`~skattn.nn.activation.Activation`.
    noise : float, default=0.0
        Noise in training on the weighed channels, as a share of their size under even weights.
    """

    def __init__(
        self,
        attention,
        window_length,
        n_channels,
        embedding_dim,
        attention_dim,
        num_heads,
        activation=Softmax,
        noise=0.0,
    ):
        super().__init__()
        check_heads(num_heads, embedding_dim=embedding_dim)
        self.embedding = Embedding(window_length, embedding_dim, n_channels)
        self.query = _parameter(1, embedding_dim)
        self.attention = attention(embedding_dim, embedding_dim, attention_dim, num_heads).configure(activation, noise)
        self.attention.value = self.attention.out = nn.Identity()  # only its weights are used

    def forward(self, x, observed):
        """Weigh the channels of `x` (B, L, C); returns them and weights of shape (B, N, 1, C)."""
        memory = self.embedding(x.transpose(1, 2), observed.transpose(1, 2))  # (B, C, D)
        mask = observed.any(1)  # (B, C)
        weights = self.attention.weights(self.query.expand(len(x), -1, -1), memory, mask)  # (B, N, 1, C)
        return self.attention.noise(x * gain(weights, mask).mean(1), x), weights  # (B, L, C)


class InputAttention(nn.Module):
    """Attention on the embedded inputs: score each step, softmax over time, weigh, and leave the rest to the encoder.

    Parameters
    ----------
    attention : type
        An :class:`~skattn.nn.attention.Attention`.
    embedding_dim, attention_dim, num_heads : int
        Sizes.
    activation : type, default=Softmax
        An :class:`~skattn.nn.activation.Activation`.
    noise : float, default=0.0
        Noise in training on the weighed steps, as a share of their size under even weights.
    """

    def __init__(self, attention, embedding_dim, attention_dim, num_heads, activation=Softmax, noise=0.0):
        super().__init__()
        check_heads(num_heads, embedding_dim=embedding_dim)
        self.query = _parameter(1, embedding_dim)
        self.attention = attention(embedding_dim, embedding_dim, attention_dim, num_heads).configure(activation, noise)

    def forward(self, x, mask):
        """Weigh the steps of `x` (B, L, D); returns them and weights of shape (B, N, 1, L)."""
        return self.attention.weigh(self.query.expand(len(x), -1, -1), x, mask)


class StateAttention(nn.Module):
    """Attention over the encoder's states, one query per step ahead: Luong et al. (2015), equations 5 and 7.

    Parameters
    ----------
    attention : type
        An :class:`~skattn.nn.attention.Attention`.
    hidden_size, horizon, attention_dim, num_heads : int
        Sizes.
    activation : type, default=Softmax
        An :class:`~skattn.nn.activation.Activation`.
    """

    def __init__(self, attention, hidden_size, horizon, attention_dim, num_heads, activation=Softmax):
        super().__init__()
        check_heads(num_heads, hidden_size=hidden_size)
        self.steps = _parameter(horizon, hidden_size)
        self.attention = attention(hidden_size, hidden_size, attention_dim, num_heads).configure(activation)
        self.combine = nn.Linear(2 * hidden_size, hidden_size)

    def forward(self, query, states, mask):
        """Answer queries (B, H or 1, E) from states (B, L, E); returns (B, H, E) and weights of (B, N, H, L)."""
        query = query + self.steps  # (B, H, E)
        context, weights = self.attention(query, states, mask)  # (B, H, E), (B, N, H, L)
        return torch.tanh(self.combine(torch.cat([context, query], -1))), weights  # (B, H, E)


def _parameter(*shape):
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(*shape)))
