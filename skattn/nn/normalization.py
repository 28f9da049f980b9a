"""Normalisation of windows: a level and a scale taken out of the input, and put back into the forecast.

Letters: ``B`` windows, ``L`` steps, ``C`` channels, ``M`` targets, ``H`` horizon.
"""

from abc import ABC, abstractmethod

import torch
from torch import nn


class Normalization(nn.Module, ABC):
    """``(x - loc) / scale`` with a level and a scale for each window and channel; no memory between calls.

    A normalisation writes :meth:`statistics` and nothing else. Channels from `n_local` on (drivers of a forecast) are
    always standardised with the statistics of the training data, whose buffers `loc` and `scale` are set at fit and
    saved with the weights.

    Parameters
    ----------
    n_channels : int
        Number of channels ``C``.
    n_local : int, default=None
        Number of leading channels that follow the rule of the class; None means all of them.
    """

    def __init__(self, n_channels, n_local=None):
        super().__init__()
        self.register_buffer("loc", torch.zeros(n_channels))
        self.register_buffer("scale", torch.ones(n_channels))
        self.n_local = n_channels if n_local is None else n_local

    @abstractmethod
    def statistics(self, x):
        """Level and scale of each window `x` (B, L, C), each of a shape that broadcasts to (B, 1, C)."""

    def forward(self, x):
        """Normalise windows of shape (B, L, C); missing values are NaN and stay so.

        Returns
        -------
        x : Tensor of shape (B, L, C)
        loc_scale : tuple of two Tensors of shape (B, 1, C)
            What :meth:`inverse` takes.
        """
        loc, scale = self.statistics(x[..., : self.n_local])  # (B, 1, n_local)
        loc = torch.cat([loc, self.loc[self.n_local :].expand(*loc.shape[:2], -1)], -1)  # (B, 1, C)
        scale = torch.cat([scale, self.scale[self.n_local :].expand(*scale.shape[:2], -1)], -1)  # (B, 1, C)
        return (x - loc) / scale, (loc, scale)

    @staticmethod
    def inverse(z, loc_scale):
        """Put level and scale of the first M channels back into forecasts `z` of shape (B, H, M)."""
        loc, scale = (s[..., : z.shape[-1]] for s in loc_scale)  # (B, 1, M)
        return z * scale + loc


class GlobalNormalization(Normalization):
    """Mean and standard deviation of the training data, the same for every window."""

    def statistics(self, x):
        shape = (x.shape[0], 1, self.n_local)
        return self.loc[: self.n_local].expand(shape), self.scale[: self.n_local].expand(shape)


class LastNormalization(Normalization):
    """The last observed value of each window, in units of the standard deviation of the training data.

    A forecast of zero is then the naive forecast. Lin et al. (2023), "SegRNN".
    """

    def statistics(self, x):
        loc, scale = (s[: self.n_local].expand(x.shape[0], 1, -1) for s in (self.loc, self.scale))
        observed = ~torch.isnan(x)  # (B, L, n_local)
        steps = torch.arange(x.shape[1], device=x.device)[:, None]  # (L, 1)
        last = x.gather(1, (observed * steps).amax(1, keepdim=True))  # (B, 1, n_local)
        return torch.where(torch.isnan(last), loc, last), scale


class MeanNormalization(Normalization):
    """The mean of each window, in units of the standard deviation of the training data."""

    def statistics(self, x):
        loc, scale = (s[: self.n_local].expand(x.shape[0], 1, -1) for s in (self.loc, self.scale))
        mean = x.nanmean(1, keepdim=True)  # (B, 1, n_local)
        return torch.where(torch.isnan(mean), loc, mean), scale


class TrailingNormalization(MeanNormalization):
    """The mean of the newest part of each window, a share that is chosen at fit and saved with the weights.

    Between the last value and the mean of the window. SearchCast (2026).
    """

    def __init__(self, n_channels, n_local=None):
        super().__init__(n_channels, n_local)
        self.register_buffer("share", torch.tensor(0.5))

    def statistics(self, x):
        return super().statistics(x[:, -max(1, round(float(self.share) * x.shape[1])) :])


class WindowNormalization(Normalization):
    """Mean and standard deviation of each window itself. Kim et al. (2022), "Reversible instance normalization".

    A window that hardly varies is divided by a hundredth of the training data's standard deviation at least.
    """

    def statistics(self, x):
        loc = x.nanmean(1, keepdim=True)  # (B, 1, n_local)
        scale = ((x - loc) ** 2).nanmean(1, keepdim=True).sqrt()  # (B, 1, n_local)
        loc = torch.where(torch.isnan(loc), self.loc[: self.n_local], loc)
        scale = torch.where(torch.isnan(scale), self.scale[: self.n_local], scale)
        return loc, torch.maximum(scale, 0.01 * self.scale[: self.n_local])


class IdentityNormalization(Normalization):
    """The values as they are, for data that is scaled already."""

    def statistics(self, x):
        zeros = x.new_zeros(x.shape[0], 1, self.n_local)
        return zeros, zeros + 1


NORMALIZATIONS = {
    "global": GlobalNormalization,
    "last": LastNormalization,
    "trailing": TrailingNormalization,
    "mean": MeanNormalization,
    "window": WindowNormalization,
    "identity": IdentityNormalization,
}
