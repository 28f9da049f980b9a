"""Attention: which steps, or which channels, a query looks at.

Letters: ``B`` windows, ``Q`` queries, ``L`` steps (or channels) of the memory, ``A`` attention_dim, ``E`` width of the
memory, ``N`` heads.
"""

from abc import ABC, abstractmethod

import torch
from torch import nn

from skattn.nn.activation import Softmax
from skattn.nn.random import Noise


class Attention(nn.Module, ABC):
    """Queries look at a memory: scores, weights over the memory, and the weighted sum.

    A mechanism writes :meth:`score` and nothing else; it may replace the projections in its constructor. Every
    mechanism can have several heads: projections and values are split into ``num_heads`` equal parts, each with
    weights of its own. Scores become weights by a softmax unless :meth:`configure` says otherwise.

    Parameters
    ----------
    query_dim : int
        Width of a query.
    memory_dim : int
        Width ``E`` of a step of the memory.
    attention_dim : int, default=32
        Width ``A`` that queries and keys are projected to.
    num_heads : int, default=1
        Number of heads ``N``. It must divide `attention_dim` and `memory_dim`.
    """

    def __init__(self, query_dim, memory_dim, attention_dim=32, num_heads=1):
        super().__init__()
        check_heads(num_heads, memory_dim=memory_dim, attention_dim=attention_dim)
        self.num_heads = num_heads
        self.query = nn.Linear(query_dim, attention_dim, bias=False)
        self.key = nn.Linear(memory_dim, attention_dim)
        self.value = nn.Identity()
        self.out = nn.Identity()
        self.activation = Softmax()
        self.noise = Noise(0.0)

    def configure(self, activation, noise=0.0):
        """Replace what every mechanism shares, which its constructor therefore need not know; returns itself.

        Parameters
        ----------
        activation : type
            An :class:`~skattn.nn.Activation`: how scores become weights.
        noise : float, default=0.0
            Noise that training adds to what was weighed, as a share of its size under even weights.
        """
        self.activation, self.noise = activation(), Noise(noise)
        return self

    @abstractmethod
    def score(self, query, key):
        """Score each step of the memory for each query.

        Parameters
        ----------
        query : Tensor of shape (B, N, Q, A / N)
        key : Tensor of shape (B, N, L, A / N)

        Returns
        -------
        scores : Tensor of shape (B, N, Q, L)
        """

    def weights(self, query, memory, mask=None):
        """Weights of shape (B, N, Q, L); each row sums to one over the steps that `mask` (B, L) leaves."""
        return self.attend(query, self.keys(memory), mask)  # (B, N, Q, L)

    def keys(self, memory):
        """Keys (B, N, L, A / N) of a memory, for those who ask it more than once."""
        return self._split(self.key(memory))  # (B, N, L, A / N)

    def attend(self, query, keys, mask=None, bias=0.0):
        """Weights (B, N, Q, L) of what :meth:`keys` made of a memory, with a `bias` added to the scores."""
        return self.activation(self.score(self._split(self.query(query)), keys) + bias, mask)  # (B, N, Q, L)

    def values(self, memory):
        """Values (B, N, L, E / N) of a memory."""
        return self._split(self.value(memory))  # (B, N, L, E / N)

    def read(self, weights, values):
        """Weighted sums (B, Q, E) of `values` (B, N, L, E / N)."""
        return self.out(_merge(weights @ values))  # (B, Q, E)

    def forward(self, query, memory, mask=None):
        """Weighted sums of the memory.

        Parameters
        ----------
        query : Tensor of shape (B, Q, query_dim)
        memory : Tensor of shape (B, L, E)
        mask : bool Tensor of shape (B, L), default=None
            True where a step may be looked at.

        Returns
        -------
        context : Tensor of shape (B, Q, E)
        weights : Tensor of shape (B, N, Q, L)
        """
        weights = self.weights(query, memory, mask)  # (B, N, Q, L)
        return self.read(weights, self.values(memory)), weights  # (B, Q, E)

    def weigh(self, query, memory, mask=None):
        """Steps of the memory, each times its weight: what `forward` sums, before the sum, for a single query.

        The weights are multiplied by the number of steps looked at, so that equal weights change nothing and a long
        window does not shrink its own input.

        Returns
        -------
        weighed : Tensor of shape (B, L, E)
        weights : Tensor of shape (B, N, 1, L)
        """
        weights = self.weights(query, memory, mask)  # (B, N, 1, L)
        values = self.values(memory)  # (B, N, L, E / N)
        weighed = self.noise(gain(weights, mask).transpose(2, 3) * values, values)  # (B, N, L, E / N)
        return self.out(_merge(weighed)), weights  # (B, L, E)

    def _split(self, x):
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, N, L, E / N)


class AdditiveAttention(Attention):
    """``v . tanh(W q + U k)``, Bahdanau, Cho and Bengio (2015), "Neural machine translation by jointly learning to
    align and translate", equation A.1.2.

    Holds B x N x Q x L x A numbers at once: for long windows and horizons prefer a dot product.
    """

    def __init__(self, query_dim, memory_dim, attention_dim=32, num_heads=1):
        super().__init__(query_dim, memory_dim, attention_dim, num_heads)
        self.v = nn.Parameter(torch.empty(num_heads, attention_dim // num_heads, 1))
        nn.init.xavier_uniform_(self.v)

    def score(self, query, key):
        energy = torch.tanh(query.unsqueeze(3) + key.unsqueeze(2))  # (B, N, Q, L, A / N)
        return torch.einsum("bnqla, nao -> bnql", energy, self.v)  # (B, N, Q, L)


class DotAttention(Attention):
    """``q . k``, Luong, Pham and Manning (2015), "Effective approaches to attention-based neural machine
    translation", the score they call dot. It has no weights: `attention_dim` is not used."""

    def __init__(self, query_dim, memory_dim, attention_dim=32, num_heads=1):
        if query_dim != memory_dim:
            raise ValueError(
                f"attention='dot' compares query and memory directly, but query_dim = {query_dim} and memory_dim = "
                f"{memory_dim}. Use attention='general' or 'additive'."
            )
        super().__init__(query_dim, memory_dim, memory_dim, num_heads)
        self.query, self.key = nn.Identity(), nn.Identity()

    def score(self, query, key):
        return query @ key.transpose(-1, -2)  # (B, N, Q, L)


class GeneralAttention(Attention):
    """``q W k``, Luong, Pham and Manning (2015), the score they call general. `attention_dim` is not used."""

    def __init__(self, query_dim, memory_dim, attention_dim=32, num_heads=1):
        super().__init__(query_dim, memory_dim, memory_dim, num_heads)
        self.key = nn.Identity()

    def score(self, query, key):
        return query @ key.transpose(-1, -2)  # (B, N, Q, L)


class MultiheadAttention(Attention):
    """Scaled dot products of projected queries, keys and values, Vaswani et al. (2017), "Attention is all you need",
    section 3.2."""

    def __init__(self, query_dim, memory_dim, attention_dim=32, num_heads=1):
        super().__init__(query_dim, memory_dim, attention_dim, num_heads)
        self.value = nn.Linear(memory_dim, memory_dim)
        self.out = nn.Linear(memory_dim, memory_dim)

    def score(self, query, key):
        return query @ key.transpose(-1, -2) / key.shape[-1] ** 0.5  # (B, N, Q, L)


def gain(weights, mask=None):
    """`weights` (B, N, Q, L) times the number of steps they are shared among, so that equal weights become ones."""
    if mask is None:
        return weights * weights.shape[-1]
    return weights * mask.sum(-1)[:, None, None, None]


def _merge(x):
    return x.transpose(1, 2).flatten(2)  # (B, L, E)


def check_heads(num_heads, **widths):
    """Refuse widths, given by name, that cannot be split into heads."""
    for name, width in widths.items():
        if width % num_heads:
            raise ValueError(
                f"num_heads must divide {name}: got num_heads = {num_heads} and {name} = {width}. "
                f"Use a multiple of {num_heads} for {name}, or fewer heads."
            )


ATTENTIONS = {
    "additive": AdditiveAttention,
    "dot": DotAttention,
    "general": GeneralAttention,
    "multihead": MultiheadAttention,
}
