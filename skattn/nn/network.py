"""The network: its forward is the diagram.

Letters: ``B`` windows, ``L`` window_length, ``C`` channels, ``D`` embedding, ``E`` encoder width, ``H`` horizon,
``M`` targets, ``V`` targets of a sensor, ``P`` parameters per target, ``N`` heads, ``K`` channels known ahead.
"""

from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import nn

from skattn.nn.activation import ACTIVATIONS
from skattn.nn.attention import ATTENTIONS
from skattn.nn.choice import component
from skattn.nn.dual_stage import DualStage
from skattn.nn.embedding import Calendar, Embedding
from skattn.nn.encoder import make_encoder
from skattn.nn.head import HEADS
from skattn.nn.normalization import NORMALIZATIONS
from skattn.nn.patching import patch, spread
from skattn.nn.placement import ChannelAttention, InputAttention, StateAttention
from skattn.nn.random import Dropout
from skattn.nn.skip import ChannelSkip, Gate, SensorSkip, WindowSkip
from skattn.nn.spatial import SpatialAttention

CHUNK = 1 << 13  # targets of the windows that are forecast at a time


class Output(NamedTuple):
    """What the network returns: parameters of the forecast, level and scale, and every attention weight."""

    params: torch.Tensor  # (B, H, M, P), in normalised units
    loc_scale: tuple  # two of (B, 1, C)
    observed: torch.Tensor  # (B, L, C)
    channel: torch.Tensor | None  # (B, N, 1, C), or (B, N, L, K) of the drivers K where each step has its own
    input: torch.Tensor | None  # (B, N, 1, L)
    state: torch.Tensor | None  # (B, N, H, L), or (B, N, 1, L) from a decoder
    skip: torch.Tensor | float = 0.0  # (B, H, M, P), what the linear skip has of the parameters
    spatial: torch.Tensor | None = None  # (B, N, M, J), of the J sensors that each target looks at


class AttentionLSTM(nn.Module):
    """Normalise, attend over channels and sensors, embed, attend over inputs, encode, attend over states, predict; a
    linear skip beside it all.

    Parameters
    ----------
    window_length, n_channels, horizon, n_targets : int
        Sizes ``L``, ``C``, ``H``, ``M``.
    n_future : int, default=0
        Number ``K`` of channels known ahead.
    autoregressive : bool, default=False
        Whether the targets are the first M channels of the window: only then is the level of a window put back into
        its forecast.
    n_variables : int, default=None
        Channels ``V`` of a sensor, which follow one another: sensors have rows of their own. Of an autoregressive
        network the targets are the sensors' channels, and None stands for 1; of another all channels are, each sensor
        has as many targets, and None means that there are no sensors.
    periods : sequence of int, default=()
        Lengths of cycles in steps, in ascending order: for each place in one that a window can end at, a vector is
        learned.
    n_params : int, default=1
        Parameters per target ``P``: the number of classes for the head ``"class"``.
    head, loss, attention, attention_position, attention_activation, attention_noise, \
channel_attention, spatial_attention, adjacency, adjacency_role, sensor_identity, attention_dim, num_heads, \
patch_length, channel_mode, encoder, hidden_size, num_layers, embedding_dim, dropout, normalization, linear_skip, \
mixed_precision
        As in :class:`~skattn.AttentionLSTMRegressor`.
    """

    def __init__(
        self,
        window_length,
        n_channels,
        horizon=1,
        n_targets=1,
        n_future=0,
        autoregressive=False,
        n_variables=None,
        periods=(),
        n_params=1,
        head="point",
        loss="squared_error",
        attention="additive",
        attention_position="input",
        attention_activation="softmax",
        attention_noise=0.0,
        channel_attention=None,
        spatial_attention=None,
        adjacency=None,
        adjacency_role="bias",
        sensor_identity=True,
        attention_dim=32,
        num_heads=1,
        patch_length=1,
        channel_mode="mixed",
        encoder="lstm",
        hidden_size=32,
        num_layers=1,
        embedding_dim=32,
        dropout=0.0,
        normalization="global",
        linear_skip=True,
        mixed_precision=False,
    ):
        config = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__()
        self.config = config
        self.autoregressive = autoregressive
        self.normalization = component(NORMALIZATIONS, normalization)(n_channels, n_targets if autoregressive else None)
        self.dual_stage = self.channel_attention = self.input_attention = self.state_attention = None
        self.spatial_attention = self.identity = self.calendar = None
        over_time, over_channels = (
            None if choice is None else component(ATTENTIONS, choice) for choice in (attention, channel_attention)
        )
        self.n_own = n_targets if autoregressive else n_channels  # channels that sensors have, before the drivers
        self.n_variables = n_variables or int(autoregressive)
        apart = channel_mode == "independent" or spatial_attention is not None
        self.by_sensor = self.n_variables > 0 and apart and encoder != "dual_stage"
        sizes = attention_dim, num_heads, component(ACTIVATIONS, attention_activation)
        if spatial_attention is not None:
            self.spatial_attention = self._spatial_attention(sizes)
        if encoder == "dual_stage":
            stages = over_time, over_channels or over_time
            n_own = n_targets if autoregressive else 0
            if periods:
                raise ValueError(
                    "encoder='dual_stage' cannot be told the place in a cycle. Use periods_role='subtract', or another "
                    "encoder."
                )
            self.dual_stage = DualStage(window_length, n_channels, n_own, hidden_size, *stages, *sizes, attention_noise)
            over_time = over_channels = None
        else:
            if self.by_sensor and sensor_identity:
                self.identity = nn.Parameter(torch.zeros(self.n_sensors, 1, embedding_dim))
            width = n_channels - self.n_own + self.n_variables if self.by_sensor else n_channels
            width += num_heads * self.n_variables if self.spatial_attention else 0
            self.embedding = Embedding(patch_length * width, embedding_dim, -(-window_length // patch_length))
            self.calendar = Calendar(periods, embedding_dim) if periods else None
            self.encoder = make_encoder(encoder, embedding_dim, hidden_size, num_layers, num_heads, dropout)
        self.dropout = Dropout(dropout)
        block = min(patch_length, horizon)
        self.head = component(HEADS, head)(hidden_size, horizon, self._n_each(), n_params, loss, block)

        self._add_attentions(over_time, over_channels, sizes)
        self.future_normalization = self.future_embedding = self.skip = None
        if n_future:
            self.future_normalization = NORMALIZATIONS["global"](n_future)
            self.future_embedding = Embedding(block * n_future, hidden_size, self.head.n_blocks)
        self.gate = Gate()
        if linear_skip:
            kind, last = ChannelSkip if autoregressive else WindowSkip, n_future
            if self.by_sensor and not autoregressive:
                kind, last = SensorSkip, self.n_sensors
            self.skip = kind(window_length, n_channels, horizon, n_targets, n_params, last)
        self.own_parts = all(type(one).__module__.partition(".")[0] in ("skattn", "torch") for one in self.modules())

    def _n_each(self):
        """Targets of each row."""
        n_targets = self.config["n_targets"]
        n_each, odd = divmod(n_targets, self.n_sensors if self.by_sensor else 1)
        if odd:
            raise ValueError(
                f"y has {n_targets} outputs but {self.n_sensors} sensors need as many each. Pass y of shape "
                f"(n_samples, {self.n_sensors}), or use channel_mode='mixed' without spatial_attention."
            )
        return n_each

    def _spatial_attention(self, sizes):
        """The attention over sensors, whose windows are the targets'."""
        config = self.config
        if not self.by_sensor:
            raise ValueError(
                f"spatial_attention={config['spatial_attention']!r} lets each sensor look at the windows of others, "
                f"but there are none: n_variables = {config['n_variables']}, encoder = {config['encoder']!r}. Use "
                "AttentionLSTMForecaster, or X of shape (n_samples, n_steps, n_sensors, n_channels), with an encoder "
                "other than 'dual_stage', or channel_attention."
            )
        shape = config["window_length"] * self.n_variables, self.n_sensors, config["embedding_dim"]
        return SpatialAttention(
            component(ATTENTIONS, config["spatial_attention"]),
            *shape,
            *sizes,
            noise=config["attention_noise"],
            identity=config["sensor_identity"],
            graph=config["adjacency"],
            role=config["adjacency_role"],
        )

    def _add_attentions(self, over_time, over_channels, sizes):
        """The attentions of a single stage, of the classes `over_time` and `over_channels`, if any."""
        config = self.config
        noise, width, position = config["attention_noise"], config["embedding_dim"], config["attention_position"]
        if over_channels is not None:
            shape = config["window_length"], config["n_channels"], width
            self.channel_attention = ChannelAttention(over_channels, *shape, *sizes, noise)
        if over_time is not None and position in ("input", "both"):
            noise *= (width / self.embedding.n_channels) ** 0.5  # so many noisy copies of a value would average out
            self.input_attention = InputAttention(over_time, width, *sizes, noise)
        if over_time is not None and position in ("state", "both"):
            self.state_attention = StateAttention(over_time, config["hidden_size"], self.head.n_blocks, *sizes)

    def forward(self, past, future=None, place=None):
        """Run windows through the network.

        Parameters
        ----------
        past : Tensor of shape (B, L, C)
            Values, NaN where missing.
        future : Tensor of shape (B, H, K), default=None
            Values known ahead, NaN where missing.
        place : int Tensor of shape (B,), default=None
            Counts along the calendar of the steps that the windows end with.

        Returns
        -------
        output : Output
        """
        x, observed, loc_scale = self._normalise(past)  # (B, L, C)
        future, known = (None, None) if future is None else self._normalise_future(future)  # (B, H, K)
        half = torch.autocast(x.device.type, torch.bfloat16) if self.config["mixed_precision"] else nullcontext()
        with half:
            parts = self._attend(x, observed, future, known, place)
        z, channel, input_, state, spatial = (one if one is None else one.to(x) for one in parts)
        params = self.head(self.dropout(z.expand(-1, self.head.n_blocks, -1)))  # (R, H, M or 1, P)
        if self.by_sensor:
            params = params.unflatten(0, (len(x), -1)).transpose(1, 2).flatten(2, 3)  # (B, H, M, P)
        if isinstance(self.skip, ChannelSkip) and future is not None:
            params, future = params + self.skip.ahead(future), None  # learned, not solved, and behind the gate
        skip = 0.0 if self.skip is None else self.skip(x, future)  # (B, H, M, P)
        return Output(self.gate(params) + skip, loc_scale, observed, channel, input_, state, skip, spatial)

    def _attend(self, x, observed, future, known, place):
        """A state for each block of steps ahead, or one for all (R, H / block or 1, E), and the weights of channels, of
        inputs, of states and of sensors."""
        if self.dual_stage is None:
            rows, (states, z), mask, channel, input_, spatial = self._encode(x, observed, place)  # (R, S, E), (R, 1, E)
            state = None
        else:
            z, channel, state = self.dual_stage(x, observed)  # (B, 1, E), (B, N, L, K), (B, N, L + 1, L)
            state = state if state is None else state[:, :, -1:].clone()  # (B, N, 1, L), not a view
            input_ = spatial = None
        if self.future_embedding is not None:
            ahead = [patch(values, self.head.block, front=False) for values in (future, known.to(future))]
            z = z + self.future_embedding(*ahead).repeat_interleave(len(z) // len(x), 0)  # (R, H / block, E)
        if self.state_attention is not None:
            z, state = self.state_attention(z, states, mask)  # (R, H / block, E), (R, N, H / block, S)
            state = self._of_steps(state, rows).repeat_interleave(self.head.block, 2)[:, :, : self.head.horizon]
        if self.input_attention is not None:
            input_ = self._of_steps(input_, rows)  # (B, N, 1, L)
        return z, channel, input_, state, spatial

    def _encode(self, x, observed, place):
        """Steps of rows that were observed, states and their summary, their mask, and the weights of channels, of
        inputs and of sensors. A row is a window, or a target of it with the drivers."""
        channel = input_ = spatial = None
        if self.channel_attention is not None:
            x, channel = self.channel_attention(x, observed)  # (B, L, C), (B, N, 1, C)
        values, there = (self._fold(x), self._fold(observed)) if self.by_sensor else (x, observed)  # (R, L, width)
        if self.spatial_attention is not None:
            windows = (self._own(one).flatten(2) for one in (x, observed))  # (B, R / B, L * V)
            *mixed, spatial = self.spatial_attention(*windows)
            mixed, heard = (one.unflatten(2, (x.shape[1], -1)).flatten(3).flatten(0, 1) for one in mixed)
            values, there = torch.cat([values, mixed], -1), torch.cat([there, heard], -1)  # (R, L, width)
        values, patched = (patch(one, self.config["patch_length"]) for one in (values, there.to(x)))  # (R, S, width)
        z, mask = self.embedding(values, patched), patched.any(-1)  # (R, S, D), (R, S)
        if self.identity is not None:
            z = (z.unflatten(0, (len(x), -1)) + self.identity).flatten(0, 1)  # (R, S, D)
        if self.calendar is not None:
            z = z + self.calendar(place).repeat_interleave(len(z) // len(x), 0).unsqueeze(1)  # (R, S, D)
        if self.input_attention is not None:
            z, input_ = self.input_attention(z, mask)  # (R, S, D), (R, N, 1, S)
        return there.any(-1), self.encoder(z, mask), mask, channel, input_, spatial

    def _fold(self, x):
        """Each target, or the targets of a sensor, beside the drivers, as rows of their own (R, L, V + K)."""
        own, drivers = self._own(x), x[..., self.n_own :]  # (B, R / B, L, V), (B, L, K)
        drivers = drivers.unsqueeze(1).expand(-1, own.shape[1], -1, -1)  # (B, R / B, L, K)
        return torch.cat([own, drivers], -1).flatten(0, 1)  # (R, L, V + K)

    def _own(self, x):
        """The channels of `x` (B, L, C) by sensor, (B, R / B, L, V)."""
        return x[..., : self.n_own].unflatten(2, (-1, self.n_variables)).transpose(1, 2)  # (B, R / B, L, V)

    def _of_steps(self, weights, rows):
        """Weights of patches (R, N, Q, S) as those of steps (B, N, Q, L), the mean over the targets."""
        weights = spread(weights, rows, self.config["patch_length"])  # (R, N, Q, L)
        if not self.by_sensor:
            return weights
        weights = weights.unflatten(0, (-1, self.n_sensors)).sum(1)  # (B, N, Q, L)
        return weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)

    def set_level(self, name, share=None):
        """Take another normalisation, a key of `NORMALIZATIONS`; a share is for 'trailing'."""
        old = self.normalization
        self.normalization = NORMALIZATIONS[name](len(old.loc), old.n_local).to(old.loc.device, old.loc.dtype)
        self.normalization.loc.copy_(old.loc)
        self.normalization.scale.copy_(old.scale)
        if share is not None:
            self.normalization.share.fill_(share)
        self.config["normalization"] = name

    @contextmanager
    def ungated(self):
        """Within this context all of the network is used, whatever its gate says."""
        share = self.gate.share.clone()
        self.gate.share.fill_(1)
        try:
            yield
        finally:
            self.gate.share.copy_(share)

    @property
    def n_sensors(self):
        """Sensors that have channels of their own; 0 if channels are of none."""
        return self.n_own // self.n_variables if self.n_variables else 0

    @property
    def kinds(self):
        """Which attentions there are, of 'channel', 'spatial', 'input' and 'state'."""
        if self.dual_stage is not None:
            return self.dual_stage.kinds
        places = ("channel", "spatial", "input", "state")
        return {kind for kind in places if getattr(self, f"{kind}_attention") is not None}

    @property
    def work(self):
        """Numbers in the states of a layer, for one window; 0 where threads would not help, since Python takes the
        time, step by step, or must not, since a part of the user's own may remember or draw something."""
        if self.dual_stage is not None or not self.own_parts:
            return 0
        steps = -(-self.config["window_length"] // self.config["patch_length"])
        return (self.n_sensors if self.by_sensor else 1) * steps * self.config["hidden_size"]

    @property
    def chunk(self):
        """Windows to forecast at a time: 128, the fastest on a CPU, or fewer where each has many targets."""
        return max(1, CHUNK // max(CHUNK // 128, self.config["n_targets"]))

    def predict(self, past, future=None, place=None):
        """Forecast in the units of the targets: (B, H, M), or (B, H, M, P) for classes."""
        output = self(past, future, place)
        return self.head.predict(self.rescale(output))

    def rescale(self, output):
        """Parameters of the forecast in the units of the targets, (B, H, M, P)."""
        if not self.autoregressive:
            return output.params
        return self.head.rescale(output.params, output.loc_scale)

    def loss(self, output, target):
        """Loss of each element (B, H, M) of `target`, which is normalised as the window was."""
        return self.head.loss(output.params, self._normalise_target(target, output.loc_scale))

    def linear_rows(self, past, target, weight, future=None, place=None):
        """Windows as rows of the regression of the skip: features beside a one, outputs, and weights.

        Rows that lack a target have no weight. Errors of all rows are in units of the training data. The skip does not
        read the calendar.
        """
        x, _, (loc, scale) = self._normalise(past)  # (B, L, C), (B, 1, C)
        future = None if future is None else self._normalise_future(future)[0]  # (B, H, K)
        shape = len(x), 1, target.shape[2]
        weight = (weight if len(weight) else x.new_ones(())).expand(shape)  # (B, 1, M)
        weight = weight * self.units((loc, scale)) ** 2  # (B, 1, M)
        target = self._normalise_target(target, (loc, scale))  # (B, H, M)
        features, outputs, weight = self.skip.rows(x, future, target, weight)
        there = ~torch.isnan(outputs).any(1, keepdim=True)  # (R, 1)
        ones = x.new_ones(len(features), 1)
        return torch.cat([features, ones], 1), torch.where(there, outputs, 0.0), weight * there

    def units(self, loc_scale):
        """Scale of each target of a window (B, 1, M), over that of the training data; 1 if it is no channel."""
        if not self.autoregressive:
            return self.head.bias.new_ones(1, 1, 1)
        return (loc_scale[1] / self.normalization.scale)[..., : self.config["n_targets"]]

    def _normalise(self, past):
        x, loc_scale = self.normalization(past)  # (B, L, C)
        return *_fill(x), loc_scale  # (B, L, C), (B, L, C)

    def _normalise_future(self, future):
        return _fill(self.future_normalization(future)[0])  # (B, H, K), (B, H, K)

    def _normalise_target(self, target, loc_scale):
        if not self.autoregressive:
            return target
        loc, scale = (s[..., : target.shape[-1]] for s in loc_scale)  # (B, 1, M)
        return (target - loc) / scale  # (B, H, M)


def _fill(x):
    observed = ~torch.isnan(x)
    return torch.where(observed, x, 0.0), observed
