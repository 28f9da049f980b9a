"""Dual-stage attention: over the driving series at each step of an encoder, then over its states at each step of a
decoder.

Letters: ``B`` windows, ``L`` window_length, ``C`` channels, ``K`` drivers, ``M`` own channels, ``Y`` width of what the
decoder reads, ``E`` hidden_size, ``N`` heads.

Qin et al. (2017), "A dual-stage attention-based recurrent neural network for time series prediction",
arXiv:1704.02971. Numbers of equations are theirs.
"""

from typing import NamedTuple

import torch
from torch import nn

from skattn.nn.activation import Softmax
from skattn.nn.attention import check_heads


class Stages(NamedTuple):
    """What dual-stage attention returns: what the forecast is made of, and the weights of either stage."""

    z: torch.Tensor  # (B, 1, E)
    channel: torch.Tensor | None  # (B, N, L, K)
    state: torch.Tensor | None  # (B, N, L + 1, L)


class DualStage(nn.Module):
    """The network of Qin et al. (2017) up to its last layer: input attention, then temporal attention.

    The paper reads drivers 1 to T and own values 1 to T - 1, and predicts the own value of T. Here the forecast starts
    at T = L + 1, a step whose drivers are not in the window: both stages read steps 1 to L, and the last state of the
    decoder is that of L + 1. Scores have the bias that the paper leaves out "to be succinct", and the width
    `attention_dim` where the paper takes L in the first stage and the hidden size in the second.

    Parameters
    ----------
    window_length, n_channels : int
        Sizes ``L`` and ``C``.
    n_own : int
        Number ``M`` of leading channels that are the target's own history. The others are the drivers; if there are no
        others, the own channels are.
    hidden_size : int
        Size ``E`` of the states of the encoder and of the decoder.
    attention : type or None
        An :class:`~skattn.nn.attention.Attention` over the encoder's states. With None there is no decoder, and ``z``
        is a linear map of the encoder's last state: the paper's Input-Attn-RNN.
    channel_attention : type or None
        An :class:`~skattn.nn.attention.Attention` over the drivers, of which only the weights are used. With None the
        encoder reads the drivers as they are: the paper's attention RNN.
    attention_dim : int, default=32
        Width that queries and keys are projected to.
    num_heads : int, default=1
        Number of heads ``N``. It must divide `window_length` for the first stage and `hidden_size` for the second.
    activation : type, default=Softmax
        An :class:`~skattn.nn.activation.Activation`, one for each stage.
    noise : float, default=0.0
        Noise in training on the weighed drivers, as a share of their size under even weights.

    Raises
    ------
    ValueError
        If `num_heads` does not divide a width, or an attention refuses its widths: a query of either stage is
        ``2 * hidden_size`` wide, a driver `window_length` and a state of the encoder `hidden_size`.

    Examples
    --------
    >>> import torch
    >>> from skattn.nn.attention import AdditiveAttention
    >>> stages = DualStage(5, 3, 1, 7, AdditiveAttention, AdditiveAttention)
    >>> x = torch.zeros(2, 5, 3)
    >>> z, channel, state = stages(x, torch.ones_like(x, dtype=torch.bool))
    >>> z.shape, channel.shape, state.shape
    (torch.Size([2, 1, 7]), torch.Size([2, 1, 5, 2]), torch.Size([2, 1, 6, 5]))
    """

    def __init__(
        self,
        window_length,
        n_channels,
        n_own,
        hidden_size,
        attention,
        channel_attention,
        attention_dim=32,
        num_heads=1,
        activation=Softmax,
        noise=0.0,
    ):
        super().__init__()
        self.n_own = n_own
        self.first_driver = n_own if n_own < n_channels else 0
        n_drivers = n_channels - self.first_driver
        sizes = attention_dim, num_heads, activation
        self.encoder = DriverEncoder(channel_attention, window_length, n_drivers, hidden_size, *sizes, noise)
        self.decoder = self.out = None
        if attention is None:
            self.out = nn.Linear(hidden_size, hidden_size)
        else:
            self.decoder = HistoryDecoder(attention, n_own, hidden_size, *sizes)

    @property
    def kinds(self):
        """Which attentions there are, of 'channel' and 'state'."""
        places = {"channel": self.encoder.attention, "state": self.decoder}
        return {kind for kind, place in places.items() if place is not None}

    def forward(self, x, observed):
        """Read windows.

        Parameters
        ----------
        x : Tensor of shape (B, L, C)
            Values, 0 where missing.
        observed : bool Tensor of shape (B, L, C)
            False where missing: a driver has no weight at a step where it is missing, and a step no weight if all of
            its channels are.

        Returns
        -------
        stages : Stages
            ``z`` (B, 1, E); the weights of the first stage (B, N, L, K), the row of a step being what the encoder
            multiplied the drivers of that step by, averaged over the heads; those of the second (B, N, L + 1, L), the
            row of a step being how its context looks at the states. Weights are None where there is no attention.
        """
        drivers = slice(self.first_driver, None)
        states, channel = self.encoder(x[..., drivers], observed[..., drivers])  # (B, L, E), (B, N, L, K)
        if self.decoder is None:
            return Stages(self.out(states[:, -1:]), channel, None)  # (B, 1, E)
        z, state = self.decoder(x[..., : self.n_own], states, observed.any(-1))  # (B, 1, E), (B, N, L + 1, L)
        return Stages(z, channel, state)


class DriverEncoder(nn.Module):
    """The first stage: at each step, weigh the drivers as the states before it ask for, and encode them.

    Parameters
    ----------
    attention : type or None
        An :class:`~skattn.nn.attention.Attention`, or None for drivers as they are.
    window_length, n_drivers, hidden_size, attention_dim, num_heads : int
        Sizes.
    activation : type, default=Softmax
        An :class:`~skattn.nn.activation.Activation`.
    noise : float, default=0.0
        Noise in training on the weighed drivers, as a share of their size under even weights.
    """

    def __init__(
        self, attention, window_length, n_drivers, hidden_size, attention_dim, num_heads, activation=Softmax, noise=0.0
    ):
        super().__init__()
        self.cell = nn.LSTMCell(n_drivers, hidden_size)
        self.attention = None
        if attention is not None:
            check_heads(num_heads, window_length=window_length)
            self.attention = attention(2 * hidden_size, window_length, attention_dim, num_heads)
            self.attention.configure(activation, noise)
            self.attention.value = self.attention.out = nn.Identity()  # only its weights are used

    def forward(self, x, observed):
        """Encode `x` (B, L, K); returns states (B, L, E) and weights (B, N, L, K), None without attention."""
        h = s = x.new_zeros(len(x), self.cell.hidden_size)  # (B, E)
        states, weights = [], []
        keys = None if self.attention is None else self.attention.keys(x.transpose(1, 2))  # (B, N, K, A / N)
        for now, mask in zip(x.unbind(1), observed.unbind(1), strict=True):  # (B, K), (B, K)
            if keys is not None:
                alpha = self.attention.attend(_query(h, s), keys, mask)  # (B, N, 1, K), equations 8 and 9
                now = self.attention.noise(alpha.mean(1).squeeze(1) * now, now / now.shape[-1])  # (B, K), equation 10
                weights.append(alpha)
            h, s = self.cell(now, (h, s))  # (B, E), equation 11
            states.append(h)
        return torch.stack(states, 1), torch.cat(weights, 2) if weights else None  # (B, L, E), (B, N, L, K)


class HistoryDecoder(nn.Module):
    """The second stage: read the own history, and at each step the encoder's states as the states before it ask for.

    Step t = 2 to L + 1 of the decoder reads own value t - 1 and context t - 1; the context of t is asked for by the
    decoder's state of t - 1. There is no own value 0, so that the decoder starts at step 2 with the states of steps 0
    and 1 both zero, and the contexts of steps 1 and 2 are the same. Equation 15 makes one number of one own value and
    a context; here it makes as many as there are own channels, lest several targets share one number, and one of the
    context alone if there are none.

    Parameters
    ----------
    attention : type
        An :class:`~skattn.nn.attention.Attention`.
    n_own, hidden_size, attention_dim, num_heads : int
        Sizes.
    activation : type, default=Softmax
        An :class:`~skattn.nn.activation.Activation`.
    """

    def __init__(self, attention, n_own, hidden_size, attention_dim, num_heads, activation=Softmax):
        super().__init__()
        check_heads(num_heads, hidden_size=hidden_size)
        width = max(n_own, 1)
        self.attention = attention(2 * hidden_size, hidden_size, attention_dim, num_heads).configure(activation)
        self.mix = nn.Linear(n_own + hidden_size, width)
        self.cell = nn.LSTMCell(width, hidden_size)
        self.out = nn.Linear(2 * hidden_size, hidden_size)

    def forward(self, own, states, mask):
        """Decode `own` (B, L, M) and `states` (B, L, E), of which `mask` (B, L) leaves some to look at.

        Returns
        -------
        z : Tensor of shape (B, 1, E)
        weights : Tensor of shape (B, N, L + 1, L)
        """
        d = s = states.new_zeros(len(states), self.cell.hidden_size)  # (B, E)
        keys, values = self.attention.keys(states), self.attention.values(states)  # (B, N, L, A / N), (B, N, L, E / N)
        beta = self.attention.attend(_query(d, s), keys, mask)  # (B, N, 1, L)
        context = self.attention.read(beta, values).squeeze(1)  # (B, E)
        weights = [beta]
        for past in own.unbind(1):  # (B, M)
            beta = self.attention.attend(_query(d, s), keys, mask)  # (B, N, 1, L), equations 12 and 13
            mixed = self.mix(torch.cat([past, context], -1))  # (B, Y), equation 15
            d, s = self.cell(mixed, (d, s))  # (B, E), equation 16
            context = self.attention.read(beta, values).squeeze(1)  # (B, E), equation 14
            weights.append(beta)
        z = self.out(torch.cat([d, context], -1))  # (B, E), equation 22 without its head
        return z.unsqueeze(1), torch.cat(weights, 2)  # (B, 1, E), (B, N, L + 1, L)


def _query(hidden, cell):
    return torch.cat([hidden, cell], -1).unsqueeze(1)  # (B, 1, 2 * E)
