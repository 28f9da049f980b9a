"""Attention over sensors: which other sensors each one listens to.

Letters: ``B`` windows, ``L`` values of a sensor's window, ``S`` sensors, ``D`` embedding, ``N`` heads, ``J`` neighbours
of a sensor.
"""

import torch
from torch import nn

from skattn.nn.attention import check_heads
from skattn.nn.embedding import Embedding

FAR = 0.01  # what stands for no edge where a map is a bias only, as a share of the strongest edge


class SpatialAttention(nn.Module):
    """Attention over time turned by ninety degrees: the windows of the sensors are the memory, and each of them asks.

    Every head mixes the windows of those that a sensor looks at into one more channel beside its own, step by step, so
    that what reads them finds the lag at which a neighbour matters.

    Scores are those of the mechanism, plus one learned for each pair of sensors, as the adaptive graph of Wu et al.
    (2019), "Graph WaveNet", plus the logarithm of the map, times a trust in it that is learned.

    Parameters
    ----------
    attention : type
        An :class:`~skattn.nn.Attention`.
    window_length, n_sensors, embedding_dim, attention_dim, num_heads : int
        Sizes; the embedding reads a sensor's ``window_length`` values, of all its variables.
    activation : type
        An :class:`~skattn.nn.Activation`.
    noise : float, default=0.0
        Noise in training on the mixed windows, as a share of the size of the windows.
    identity : bool, default=True
        Whether sensors are told apart by more than their windows and the map.
    graph : ndarray of shape (S, S), default=None
        Map: strength of the edge from the sensor of a row to that of a column, zero where there is none.
    role : {'bias', 'mask', 'both'}, default='bias'
        Whether edges with more strength start with more weight, a sensor looks at itself and where there are edges
        only, or both. With a mask, work and memory grow with the most edges that a sensor has, not with ``S``.
    """

    def __init__(
        self,
        attention,
        window_length,
        n_sensors,
        embedding_dim,
        attention_dim,
        num_heads,
        activation,
        noise=0.0,
        identity=True,
        graph=None,
        role="bias",
    ):
        super().__init__()
        check_heads(num_heads, embedding_dim=embedding_dim)
        self.embedding = Embedding(window_length, embedding_dim, n_sensors)
        self.attention = attention(embedding_dim, embedding_dim, attention_dim, num_heads).configure(activation, noise)
        self.attention.value = self.attention.out = nn.Identity()  # only its weights are used
        self.trust = self.pairs = None
        for name, values in _map(graph, role).items():
            self.register_buffer(name, values, persistent=False)
        if self.bias is not None:
            self.trust = nn.Parameter(torch.ones(()))
        if identity:
            n_near = n_sensors if self.neighbours is None else self.neighbours.shape[1]
            self.pairs = nn.Parameter(torch.zeros(num_heads, n_sensors, n_near))
        else:
            self.embedding.place.requires_grad_(False)  # and stays zero

    def forward(self, x, observed):
        """Mix the windows of sensors.

        Parameters
        ----------
        x : Tensor of shape (B, S, L)
            Windows, zero where missing.
        observed : bool Tensor of shape (B, S, L)

        Returns
        -------
        mixed : Tensor of shape (B, S, L, N)
            Mean over those that were observed at a step, zero where none was.
        there : Tensor of shape (B, S, L, N)
            Weight of those that were observed.
        weights : Tensor of shape (B, N, S, J)
            J is S where every sensor is looked at, else that of :attr:`neighbours`.
        """
        weights = self.weights(self.embedding(x, observed), observed.any(2))  # (B, N, S, J)
        mixed, there = (self.mix(weights, one) for one in (x, observed.to(x)))  # (B, S, L, N)
        mixed = mixed / there.clamp(min=torch.finfo(x.dtype).eps)  # (B, S, L, N)
        return self.attention.noise(mixed, x), there, weights

    def weights(self, memory, mask):
        """Weights (B, N, S, J) of an embedding `memory` (B, S, D) of sensors, of which `mask` (B, S) can be seen."""
        if self.neighbours is None:
            keys = self.attention.keys(memory)  # (B, N, S, A / N)
            return self.attention.attend(memory, keys, mask, self._extra())  # (B, N, S, S)
        near = memory[:, self.neighbours].flatten(0, 1)  # (B * S, J, D)
        mask = (mask[:, self.neighbours] & self.listed).flatten(0, 1)  # (B * S, J)
        keys = self.attention.keys(near)  # (B * S, N, J, A / N)
        query = memory.flatten(0, 1).unsqueeze(1)  # (B * S, 1, D)
        extra = self._extra()  # (N, S, J)
        if torch.is_tensor(extra):
            extra = extra.transpose(0, 1).unsqueeze(2).repeat(len(memory), 1, 1, 1)  # (B * S, N, 1, J)
        weights = self.attention.attend(query, keys, mask, extra)  # (B * S, N, 1, J)
        return weights.squeeze(2).unflatten(0, (len(memory), -1)).transpose(1, 2)  # (B, N, S, J)

    def _extra(self):
        """What is added to the scores, (N or 1, S, J), or zero."""
        pairs = 0.0 if self.pairs is None else self.pairs  # (N, S, J)
        return pairs if self.trust is None else pairs + self.trust * self.bias.unsqueeze(0)  # (N or 1, S, J)

    def mix(self, weights, x):
        """Windows `x` (B, S, L) in the mixtures that `weights` (B, N, S, J) say, (B, S, L, N)."""
        if self.neighbours is None:
            return (weights @ x.unsqueeze(1)).permute(0, 2, 3, 1)  # (B, S, L, N)
        return (weights.transpose(1, 2) @ x[:, self.neighbours]).transpose(2, 3)  # (B, S, L, N)

    def spread(self, weights):
        """Weights (B, N, S, J) as those of all sensors, (B, N, S, S)."""
        if self.neighbours is None:
            return weights
        size = *weights.shape[:3], weights.shape[2]
        return weights.new_zeros(size).scatter_add_(3, self.neighbours.expand_as(weights), weights)  # (B, N, S, S)


def _map(graph, role):
    """A map as tensors: 'neighbours' are the places of the sensors that each may look at, itself first, (S, J), of
    which some are 'listed', (S, J); 'bias' is added to their scores, (S, J). Each is None if there is none."""
    neighbours = listed = bias = None
    if graph is not None:
        graph = torch.as_tensor(graph, dtype=torch.float32).T.clone().fill_diagonal_(0)  # (S, S), a row per listener
        if role != "mask":
            bias = (graph / graph.max().clamp(min=1e-30)).fill_diagonal_(1).clamp(min=FAR).log()  # (S, S)
        if role != "bias":
            listed = (graph > 0).to(torch.int8).fill_diagonal_(2)  # (S, S)
            most = int((listed > 0).sum(1).max())
            neighbours = listed.argsort(dim=1, descending=True, stable=True)[:, :most]  # (S, J)
            listed = listed.gather(1, neighbours) > 0  # (S, J)
            bias = None if bias is None else bias.gather(1, neighbours)  # (S, J)
    return {"neighbours": neighbours, "listed": listed, "bias": bias}
