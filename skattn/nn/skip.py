"""Linear skips: a linear forecast beside the network, which is left to learn what is not linear.

Letters: ``B`` windows, ``L`` steps, ``C`` channels, ``H`` horizon, ``M`` targets, ``P`` parameters per target,
``K`` channels known ahead, ``S`` sensors, ``V`` channels of each, ``G`` maps, ``F`` features, ``O`` outputs.

Both start from zero, so that the first forecast is the level that the normalisation puts back.
"""

from math import prod

import torch
from torch import nn


class WindowSkip(nn.Module):
    """Every value of the window counts for every output: for targets that are not channels of the window."""

    def __init__(self, window_length, n_channels, horizon, n_targets, n_params, n_future):
        super().__init__()
        self.shape, self.n_rows = (horizon, n_targets, n_params), 1
        self.linear = _zero_linear(window_length * n_channels + horizon * n_future, horizon * n_targets * n_params)

    def forward(self, x, future=None):
        """Linear forecast of shape (B, H, M, P) from `x` (B, L, C) and `future` (B, H, K)."""
        x = x.flatten(1) if future is None else torch.cat([x.flatten(1), future.flatten(1)], 1)  # (B, L * C + H * K)
        return self.linear(x).unflatten(1, self.shape)  # (B, H, M, P)

    @staticmethod
    def rows(x, future, target, weight):
        """The same as rows of a linear regression: features (B, L * C + H * K), outputs (B, H * M), weights (B, 1)."""
        features = x.flatten(1) if future is None else torch.cat([x.flatten(1), future.flatten(1)], 1)
        return features, target.flatten(1), weight[:, 0, :1]

    def fill(self, solution):
        """Take the `solution` (1, F + 1, O) of the regression, whose last row is the intercept."""
        with torch.no_grad():
            self.linear.weight.copy_(solution[0, :-1].T)
            self.linear.bias.copy_(solution[0, -1])


class ChannelSkip(nn.Module):
    """One map from past to future shared by all targets, or one each, reading their own past: for targets that are
    channels of the window. Zeng et al. (2023), "Are transformers effective for time series forecasting?"."""

    def __init__(self, window_length, n_channels, horizon, n_targets, n_params, n_future):
        super().__init__()
        self.n_targets, self.n_rows, self.n_params = n_targets, n_targets, n_params
        self.linear = Maps(window_length, horizon * n_params)
        self.future = _zero_linear(n_future, n_targets * n_params) if n_future else None

    def forward(self, x, future=None):
        """Linear forecast of shape (B, H, M, P) from `x` (B, L, C) and `future` (B, H, K)."""
        own = self.linear(x[..., : self.n_targets].permute(2, 0, 1))  # (M, B, H * P)
        forecast = own.unflatten(2, (-1, self.n_params)).permute(1, 2, 0, 3)  # (B, H, M, P)
        return forecast if future is None else forecast + self.ahead(future)  # (B, H, M, P)

    def ahead(self, future):
        """What is known of each step ahead (B, H, K) in its own forecast (B, H, M, P)."""
        return self.future(future).unflatten(2, (self.n_targets, self.n_params))  # (B, H, M, P)

    @staticmethod
    def rows(x, future, target, weight):
        """The map from past to future as rows of a linear regression: features (B * M, L), outputs (B * M, H), weights
        (B * M, 1). What is known ahead is left to training."""
        own = x[..., : target.shape[2]].transpose(1, 2)  # (B, M, L)
        return own.flatten(0, 1), target.transpose(1, 2).flatten(0, 1), weight.flatten()[:, None]

    def fill(self, solution):
        """Take the `solution` (1 or M, F + 1, O) of the regression, whose last row is the intercept."""
        self.linear.fill(solution)


class SensorSkip(nn.Module):
    """One map shared by all sensors, from a sensor's channels to its targets: for targets that are not channels of the
    window. What is known ahead is not read."""

    def __init__(self, window_length, n_channels, horizon, n_targets, n_params, n_sensors):
        super().__init__()
        self.n_rows, self.shape = n_sensors, (horizon, n_targets // n_sensors, n_params)
        self.linear = Maps(window_length * n_channels // n_sensors, prod(self.shape))

    def forward(self, x, future=None):
        """Linear forecast of shape (B, H, M, P) from `x` (B, L, C)."""
        params = self.linear(self._own(x).transpose(0, 1)).unflatten(2, self.shape)  # (S, B, H, M / S, P)
        return params.permute(1, 2, 0, 3, 4).flatten(2, 3)  # (B, H, M, P)

    def rows(self, x, future, target, weight):
        """The map as rows of a linear regression: features (B * S, L * V), outputs (B * S, H * M / S), weights
        (B * S, 1)."""
        target, weight = (one.unflatten(2, (self.n_rows, -1)).transpose(1, 2) for one in (target, weight))
        return self._own(x).flatten(0, 1), target.flatten(2).flatten(0, 1), weight[..., :1, 0].reshape(-1, 1)

    def fill(self, solution):
        """Take the `solution` (1 or S, F + 1, O) of the regression, whose last row is the intercept."""
        self.linear.fill(solution)

    def _own(self, x):
        """The windows `x` (B, L, C) of each sensor, (B, S, L * V)."""
        return x.unflatten(2, (self.n_rows, -1)).transpose(1, 2).flatten(2)


class Maps(nn.Module):
    """Linear maps of features (M, B, F) to outputs (M, B, O): one that all M share (G = 1), or one each (G = M)."""

    def __init__(self, in_features, out_features):
        super().__init__()
        self.in_features = in_features
        self.weight = nn.Parameter(torch.zeros(1, out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(1, out_features))

    def forward(self, x):
        """Outputs of features."""
        return x @ self.weight.transpose(1, 2) + self.bias[:, None]

    def resize(self, n_maps):
        """Have room for so many maps, which are zero."""
        for parameter in (self.weight, self.bias):
            parameter.data = parameter.new_zeros(n_maps, *parameter.shape[1:])

    def fill(self, solution):
        """Take maps (G, F + 1, O), whose last row is the intercept."""
        self.resize(len(solution))
        with torch.no_grad():
            self.weight.copy_(solution[:, :-1].transpose(1, 2))
            self.bias.copy_(solution[:, -1])

    def _load_from_state_dict(self, state_dict, prefix, *args):
        self.resize(len(state_dict[prefix + "bias"]))
        super()._load_from_state_dict(state_dict, prefix, *args)


class Gate(nn.Module):
    """The share, from 0 to 1, of what the network adds to the linear skip that is used."""

    def __init__(self):
        super().__init__()
        self.register_buffer("share", torch.ones(()))

    def forward(self, params):
        """Parameters of the forecast, times the share."""
        return self.share * params


def _zero_linear(in_features, out_features):
    linear = nn.Linear(in_features, out_features)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
