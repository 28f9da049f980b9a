"""Encoders: an embedded window becomes a state per step and a summary.

Letters: ``B`` windows, ``L`` steps, ``D`` width of the input, ``E`` hidden_size.

Every encoder is built as ``Encoder(input_size, hidden_size, num_layers, num_heads, dropout)`` and called as
``encoder(x, mask) -> states (B, L, E), summary (B, 1, E)``.
"""

from abc import ABC

import torch
from torch import nn

from skattn.nn.attention import MultiheadAttention, check_heads
from skattn.nn.choice import component
from skattn.nn.random import Dropout


class RecurrentEncoder(nn.Module, ABC):
    """Layers of a recurrent `cell`, each reading the states of the one below. `num_heads` is not used."""

    cell = None

    def __init__(self, input_size, hidden_size, num_layers=1, num_heads=1, dropout=0.0):
        super().__init__()
        # One module a layer, since torch's own dropout between layers draws from the global random state.
        widths = [input_size] + [hidden_size] * (num_layers - 1)
        self.layers = nn.ModuleList(self.cell(width, hidden_size, batch_first=True) for width in widths)
        self.dropout = Dropout(dropout)

    def forward(self, x, mask=None):
        for i, layer in enumerate(self.layers):
            x, last = layer(self.dropout(x) if i else x)  # (B, L, E), (1, B, E)
        last = last[0] if isinstance(last, tuple) else last  # the gradient of x[:, -1:] would fill a whole x with zeros
        return x, last.transpose(0, 1)  # (B, L, E), (B, 1, E)


class LSTMEncoder(RecurrentEncoder):
    """Long short-term memory, Hochreiter and Schmidhuber (1997)."""

    cell = nn.LSTM


class GRUEncoder(RecurrentEncoder):
    """Gated recurrent unit, Cho et al. (2014)."""

    cell = nn.GRU


class TransformerEncoder(nn.Module):
    """Pre-norm Transformer encoder with sinusoidal positions, Vaswani et al. (2017), Xiong et al. (2020)."""

    def __init__(self, input_size, hidden_size, num_layers=1, num_heads=1, dropout=0.0):
        super().__init__()
        check_heads(num_heads, hidden_size=hidden_size)
        self.project = nn.Linear(input_size, hidden_size)
        self.layers = nn.ModuleList(TransformerLayer(hidden_size, num_heads, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, x, mask=None):
        x = self.project(x)  # (B, L, E)
        x = x + positions(x)  # (B, L, E)
        for layer in self.layers:
            x = layer(x, mask)  # (B, L, E)
        x = self.norm(x)  # (B, L, E)
        return x, x[:, -1:]  # (B, L, E), (B, 1, E)


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward block, each behind a layer norm and around a residual."""

    def __init__(self, hidden_size, num_heads, dropout):
        super().__init__()
        self.attention_norm, self.forward_norm = nn.LayerNorm(hidden_size), nn.LayerNorm(hidden_size)
        self.attention = MultiheadAttention(hidden_size, hidden_size, hidden_size, num_heads)
        self.feed_forward = nn.Sequential(
            nn.Linear(hidden_size, 2 * hidden_size), nn.GELU(), nn.Linear(2 * hidden_size, hidden_size)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x, mask=None):
        normed = self.attention_norm(x)  # (B, L, E)
        x = x + self.dropout(self.attention(normed, normed, mask)[0])  # (B, L, E)
        return x + self.dropout(self.feed_forward(self.forward_norm(x)))  # (B, L, E)


class MLPEncoder(nn.Module):
    """Residual blocks that read each step by itself, as in STID, Shao et al. (2022), "Spatial-temporal identity".

    The summary is that of the last step: with one patch for the whole window, or attention over steps, it knows them
    all. `num_heads` is not used.
    """

    def __init__(self, input_size, hidden_size, num_layers=1, num_heads=1, dropout=0.0):
        super().__init__()
        self.project = nn.Identity() if input_size == hidden_size else nn.Linear(input_size, hidden_size)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(hidden_size, hidden_size), nn.ReLU(), Dropout(dropout), nn.Linear(hidden_size, hidden_size)
            )
            for _ in range(num_layers)
        )

    def forward(self, x, mask=None):
        x = self.project(x)  # (B, L, E)
        for layer in self.layers:
            x = x + layer(x)  # (B, L, E)
        return x, x[:, -1:]  # (B, L, E), (B, 1, E)


def positions(x):
    """Sinusoidal positions of the steps of `x` (B, L, E), as (L, E): sine in even places, cosine in odd ones."""
    steps, width = x.shape[1:]
    place = torch.arange(width, device=x.device)  # (E,)
    rate = 10_000.0 ** (-(place - place % 2).to(x.dtype) / width)  # (E,)
    angle = torch.arange(steps, device=x.device, dtype=x.dtype)[:, None] * rate  # (L, E)
    return torch.where(place % 2 == 0, angle.sin(), angle.cos())  # (L, E)


ENCODERS = {"lstm": LSTMEncoder, "gru": GRUEncoder, "transformer": TransformerEncoder, "mlp": MLPEncoder}


def make_encoder(choice, *sizes):
    """An encoder of a name or class, and of (input_size, hidden_size, num_layers, num_heads, dropout)."""
    try:
        return component(ENCODERS, choice)(*sizes)
    except TypeError as error:
        raise TypeError(
            f"encoder={choice!r} cannot be built with (input_size, hidden_size, num_layers, num_heads, dropout) = "
            f"{sizes}: {error}. Wrap it in a module with this signature, as in skattn.nn.encoder."
        ) from None
