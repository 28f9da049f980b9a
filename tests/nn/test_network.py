"""Tests of the whole network: the diagram, every combination of parts, missing values, units, reproducibility."""

from copy import deepcopy
from inspect import signature
from itertools import product
from math import nan

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from skattn.nn import ACTIVATIONS, ATTENTIONS, ENCODERS, NORMALIZATIONS, Activation, Attention, AttentionLSTM, Ensemble
from skattn.nn.patching import patch, spread
from skattn.nn.random import DrawFrom, Noisy

# windows, steps, channels, targets, steps ahead, channels known ahead; embedding, encoder and attention are wider
B, L, C, M, H, K = 13, 5, 3, 2, 7, 11
SIZES = dict(window_length=L, n_channels=C, horizon=H, n_targets=M)
WIDTHS = dict(embedding_dim=17, hidden_size=19, attention_dim=23)
TWO_HEADS = dict(embedding_dim=34, hidden_size=38, attention_dim=46, num_heads=2)
SENSORS = dict(autoregressive=True, spatial_attention="general", channel_attention="dot", **TWO_HEADS)
S, V = 3, 5  # sensors and the variables of each, where the window is longer and there are drivers
VARIABLES = dict(n_targets=S * V, n_variables=V, n_channels=37, window_length=17)
CHAIN = [[0.0, 3.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]  # a map: each listens to the sensor before it
PERIODS = [3, 6]  # cycles, of three steps, and of two times three
LISTENS = [
    dict(channel_mode="independent", spatial_attention=None),
    dict(spatial_attention="additive"),
    dict(spatial_attention="general", adjacency=CHAIN, adjacency_role="both"),
]

every_encoder = pytest.mark.parametrize("encoder", ENCODERS)
every_attention = pytest.mark.parametrize("attention", [None, *ATTENTIONS])
every_position = pytest.mark.parametrize("position", ["input", "state", "both"])
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_normalization = pytest.mark.parametrize("normalization", NORMALIZATIONS)
with_and_without_future = pytest.mark.parametrize("n_future", [0, K])
autoregressive_or_not = pytest.mark.parametrize("autoregressive", [False, True])


def make(seed=0, **config):
    """Make a network in float64 from a generator, with sizes and widths that are primes."""
    with DrawFrom(torch.Generator().manual_seed(seed)):
        network = AttentionLSTM(**{**SIZES, **WIDTHS, **config}).double()
    for module in network.modules():
        if isinstance(module, Noisy):
            module.generator = torch.Generator().manual_seed(seed)
    return network


def stir(network):
    """Give the skips, and whatever else starts from zero, numbers to work with."""
    generator = torch.Generator().manual_seed(9)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return network


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(n_future=0, window_length=L, n_channels=C, horizon=H, periods=()):
    """Draw what the network takes, by name."""
    future = {"future": draw(B, horizon, n_future, seed=1)} if n_future else {}
    place = {"place": 7 * torch.arange(B) - 11} if periods else {}
    return {"past": draw(B, window_length, n_channels), **future, **place}


def with_holes(x):
    """Take a value, a step, a channel and a whole window out of `x` (B, L, C)."""
    x = x.clone()
    x[0, 1, 2] = x[1, 3] = x[2, -1] = x[3, :, 1] = x[4, :-1] = x[5] = nan
    return x


# ---------------------------------------------------------------------------------------------------- the diagram


def test_diagram():
    """Forward is its parts, one after the other: every part once, in the order of the diagram."""
    network = stir(
        make(
            autoregressive=True,
            n_future=K,
            normalization="window",
            channel_attention="dot",
            attention_position="both",
            dropout=0.5,
        )
    ).eval()
    past, future = inputs(K).values()
    past, future = with_holes(past), with_holes(future)
    output = network(past, future)

    normalised, loc_scale = network.normalization(past)
    observed = ~torch.isnan(past)
    x = normalised.nan_to_num()
    weighed, channel = network.channel_attention(x, observed)
    mask = observed.any(2)
    z, input_ = network.input_attention(network.embedding(weighed, observed), mask)
    states, summary = network.encoder(z, mask)
    known = network.future_normalization(future)[0].nan_to_num()
    query = summary + network.future_embedding(known, ~torch.isnan(future))
    z, state = network.state_attention(query, states, mask)
    params = network.head(z) + network.skip(x, known)
    assert_close(tuple(output), (params, loc_scale, observed, channel, input_, state, network.skip(x), None))
    network.gate.share.fill_(0.5)  # what is known ahead is learned, and passes through the gate
    half = 0.5 * (network.head(z) + network.skip.ahead(known)) + network.skip(x)
    assert_close(network(past, future).params, half)


def test_diagram_of_dual_stage():
    """With encoder="dual_stage" two stages read the normalised window, and stand for all between it and the head."""
    network = stir(make(encoder="dual_stage", autoregressive=True, n_future=K, dropout=0.5, attention_noise=0.5)).eval()
    past, future = (with_holes(one) for one in inputs(K).values())
    normalised, loc_scale = network.normalization(past)
    x, observed = normalised.nan_to_num(), ~torch.isnan(past)
    z, channel, state = network.dual_stage(x, observed)
    known = network.future_normalization(future)[0].nan_to_num()
    params = network.head(z + network.future_embedding(known, ~torch.isnan(future))) + network.skip(x, known)
    assert_close(tuple(network(past, future))[:4], (params, loc_scale, observed, channel))
    assert network(past, future).input is None
    assert_close(network(past, future).state, state[:, :, -1:])  # what the forecast is made of
    assert not hasattr(network, "embedding")
    assert not hasattr(network, "encoder")


@pytest.mark.parametrize("several", [{}, VARIABLES], ids=["one_variable", "five_variables"])
def test_diagram_of_sensors(several):
    """With spatial_attention each sensor is read by itself: its window, the drivers, and what each head mixed for it.

    Steps that only others observed are read too.
    """
    network = stir(make(**SENSORS | several, attention_position="both", n_future=K, normalization="window")).eval()
    sizes = network.config
    n_targets, n_variables = sizes["n_targets"], network.n_variables
    past, future = (with_holes(one) for one in inputs(K, sizes["window_length"], sizes["n_channels"]).values())
    past[6, 2, :n_variables] = past[6, 2, n_targets:] = nan
    output = network(past, future)
    normalised, observed = network.normalization(past)[0].nan_to_num(), ~torch.isnan(past)
    x, channel = network.channel_attention(normalised, observed)
    own = [slice(first, first + n_variables) for first in range(0, n_targets, n_variables)]
    windows = (torch.stack([one[..., place].flatten(1) for place in own], 1) for one in (x, observed))  # (B, S, L * V)
    mixed, there, spatial = network.spatial_attention(*windows)  # two of (B, S, L * V, N)
    known = network.future_normalization(future)[0].nan_to_num()
    params, asked, masks = [], [], []
    for sensor, place in enumerate(own):
        heard = [one[:, sensor].reshape(B, sizes["window_length"], -1) for one in (mixed, there)]  # (B, L, V * N)
        read = torch.cat([x[..., place], x[..., n_targets:], heard[0]], -1)  # (B, L, V + C - M + V * N)
        seen = torch.cat([observed[..., place], observed[..., n_targets:], heard[1]], -1)
        masks.append(seen.any(-1))
        embedded = network.embedding(read, seen) + network.identity[sensor]
        z, input_ = network.input_attention(embedded, masks[-1])
        states, summary = network.encoder(z, masks[-1])
        query = summary + network.future_embedding(known, ~torch.isnan(future))
        params.append(network.head(network.state_attention(query, states, masks[-1])[0]))  # (B, H, V, 1)
        asked.append(input_)
    assert masks[0][6, 2]
    assert_close(output.params, torch.cat(params, 2) + network.skip(normalised, known))
    assert_close((output.channel, output.spatial), (channel, spatial))
    total = sum(asked)
    assert_close(output.input, total / total.sum(-1, keepdim=True).clamp(min=1e-9))


def test_plain_lstm_by_hand():
    """Without attention and skip, the last state of torch's LSTM on the embedding goes into each step's map."""
    network = make(attention=None, linear_skip=False, normalization="identity")
    past = draw(B, L, C)
    embedded = network.embedding.linear(torch.cat([past, torch.ones_like(past)], -1))
    last = network.encoder.layers[0](embedded)[0][:, -1]  # (B, E)
    expected = torch.stack([last @ w + b for w, b in zip(network.head.weight, network.head.bias, strict=True)], 1)
    output = network(past)
    assert_close(output.params.squeeze(-1), expected)
    assert_close(network.predict(past), expected)
    assert output.channel is None
    assert output.input is None
    assert output.state is None


def test_skip_is_added():
    """With a skip, the forecast is the network's plus the skip's."""
    network = stir(make())
    without = make(linear_skip=False)
    without.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("skip")})
    past = draw(B, L, C)
    assert_close(network(past).params, without(past).params + network.skip(past))


# ---------------------------------------------------------------------------------------------------- combinations


def places(network, seen):
    """What each kind of weights should be: whether it is there, its shape and where something was observed."""
    config = network.config
    n, length, channels = seen.shape
    heads, horizon, attention = config["num_heads"], config["horizon"], config["attention"]
    over_time, over_channels = seen.any(2)[:, None, None], seen.any(1)[:, None, None]  # (n, 1, 1, L), (n, 1, 1, C)
    n_sensors = network.n_sensors
    over_sensors = over_channels[..., : network.n_own].unflatten(3, (n_sensors, -1)).any(4) if n_sensors else None
    if config["encoder"] == "dual_stage":
        own = config["n_targets"] if config["autoregressive"] else 0
        return {
            "channel": (
                attention or config["channel_attention"],
                (n, heads, length, channels - own),
                seen[:, None, :, own:],
            ),
            "input": (False, None, None),
            "state": (attention, (n, heads, 1, length), over_time),
        }
    position = None if attention is None else config["attention_position"]
    return {
        "channel": (config["channel_attention"], (n, heads, 1, channels), over_channels),
        "spatial": (config["spatial_attention"], (n, heads, n_sensors, n_sensors), over_sensors),
        "input": (position in ("input", "both"), (n, heads, 1, length), over_time),
        "state": (position in ("state", "both"), (n, heads, horizon, length), over_time),
    }


def check(network, window, target):
    """Check shapes, weights, loss and the gradient of every parameter."""
    seen = ~torch.isnan(window["past"])
    output = network(**window)
    assert output.params.shape == (*target.shape, 1)
    assert torch.equal(output.observed, seen)
    expected = places(network, seen)
    assert network.kinds == {kind for kind, (there, _, _) in expected.items() if there}
    for kind, (there, shape, where) in expected.items():
        weights = getattr(output, kind)
        if not there:
            assert weights is None
            continue
        weights = network.spatial_attention.spread(weights) if kind == "spatial" else weights
        assert weights.shape == shape
        where = where.expand_as(weights)
        assert (weights[~where] == 0).all()
        assert_close(weights.sum(-1), where.any(-1).double())
    losses = network.loss(output, target)
    assert losses.shape == target.shape
    assert torch.isfinite(losses).all()
    losses.mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert cancels(network, name) or parameter.grad.abs().amax() > 1e-12, f"{name} gets no gradient"


def cancels(network, name):
    """Whether softmax cancels a parameter: q . (k + b) is q . k plus a number that is the same for all k."""
    if name.endswith("attention.key.bias"):
        return not hasattr(network.get_submodule(name.removesuffix(".key.bias")), "v")
    return name == "channel_attention.embedding.linear.bias" and not hasattr(network.channel_attention.attention, "v")


MECHANISMS = [None, *sorted(set(ATTENTIONS) - {"dot"})]  # of a dual stage, whose queries are wider than its memory
DUAL = dict(encoder="dual_stage", n_channels=29)
TWO_WAYS = [[0.0, 3.0], [1.0, 0.0]]  # a map of two sensors, as lists, which can be compared


@every_attention
@every_position
@every_encoder
@pytest.mark.parametrize("widths", [WIDTHS, TWO_HEADS], ids=["one_head", "two_heads"])
def test_every_parameter_learns(attention, position, encoder, widths):
    """Every attention at every position with every encoder, one head and two: with values missing, all learn."""
    network = stir(make(attention=attention, attention_position=position, encoder=encoder, **widths))
    check(network, {"past": with_holes(draw(B, L, C))}, draw(B, H, M, seed=2))


@every_normalization
@pytest.mark.parametrize("channel_attention", [None, *ATTENTIONS])
@with_and_without_future
@autoregressive_or_not
def test_every_parameter_learns_at_the_borders(normalization, channel_attention, n_future, autoregressive):
    """So do all normalisations, channel attentions and known channels, whether targets are channels or not."""
    network = make(
        normalization=normalization,
        channel_attention=channel_attention,
        n_future=n_future,
        autoregressive=autoregressive,
        attention_position="both",
    )
    window = {name: with_holes(values) for name, values in inputs(n_future).items()}
    check(stir(network), window, draw(B, H, M, seed=2))


@every_encoder
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_every_parameter_learns_in_every_layer(encoder, num_layers, dropout):
    """So do all layers, with dropout and without."""
    network = stir(make(encoder=encoder, num_layers=num_layers, dropout=dropout))
    check(network, {"past": draw(B, L, C)}, draw(B, H, M, seed=2))


@pytest.mark.parametrize("attention", MECHANISMS)
@pytest.mark.parametrize("channel_attention", MECHANISMS)
@with_and_without_future
@autoregressive_or_not
def test_every_parameter_of_dual_stage_learns(attention, channel_attention, n_future, autoregressive):
    """So do both stages, each alone and neither, with values missing and targets that are channels or not."""
    network = make(
        attention=attention,
        channel_attention=channel_attention,
        n_future=n_future,
        autoregressive=autoregressive,
        **DUAL,
    )
    window = {name: with_holes(values) for name, values in inputs(n_future, n_channels=29).items()}
    check(stir(network), window, draw(B, H, M, seed=2))


@pytest.mark.parametrize("spatial_attention", ATTENTIONS)
@every_attention
@with_and_without_future
@pytest.mark.parametrize("adjacency_role", [None, "bias", "both"])
def test_every_parameter_learns_with_sensors(spatial_attention, attention, n_future, adjacency_role):
    """So do the attention over sensors and the identity of each, beside drivers, with a map and without."""
    a_map = {} if adjacency_role is None else dict(adjacency=TWO_WAYS, adjacency_role=adjacency_role)
    options = dict(spatial_attention=spatial_attention, attention=attention, attention_position="both")
    network = stir(make(**SENSORS | options | a_map, n_future=n_future))
    check(network, {name: with_holes(values) for name, values in inputs(n_future).items()}, draw(B, H, M, seed=2))


@pytest.mark.parametrize(
    "how",
    [
        *(dict(spatial_attention=name) for name in ATTENTIONS),
        dict(adjacency=[[0.0, 3.0, 1.0], [2.0, 0.0, 1.0], [1.0, 0.5, 0.0]], adjacency_role="both"),
        dict(spatial_attention=None, channel_mode="independent"),
    ],
    ids=[*ATTENTIONS, "map", "independent"],
)
@with_and_without_future
@pytest.mark.parametrize("patch_length", [1, 2])
def test_every_parameter_learns_with_variables(how, n_future, patch_length):
    """So do those of sensors of several variables, that listen to each other or not, one of them silent."""
    options = dict(attention_position="both", n_future=n_future, patch_length=patch_length)
    network = stir(make(**SENSORS | VARIABLES | options | how))
    window = {name: with_holes(values) for name, values in inputs(n_future, 17, 37).items()}
    window["past"][7, :, V : 2 * V] = nan
    check(network, window, draw(B, H, S * V, seed=2))


@pytest.mark.parametrize("how", [dict(channel_mode="mixed"), *LISTENS[:2]], ids=["mixed", "independent", "sensors"])
@pytest.mark.parametrize("autoregressive", [False, True])
@every_encoder
def test_every_parameter_learns_with_a_calendar(how, autoregressive, encoder):
    """So do the vectors of all cycles, whoever is read by whom, of rows of sensors too."""
    sizes = dict(autoregressive=autoregressive, n_variables=1, n_targets=M if autoregressive else C)
    network = stir(make(**how, **sizes, encoder=encoder, periods=PERIODS))
    window = inputs(periods=PERIODS)
    check(network, window | {"past": with_holes(window["past"])}, draw(B, H, sizes["n_targets"], seed=2))
    assert len(network.calendar.vectors) == 2


@pytest.mark.parametrize("how", LISTENS, ids=["independent", "sensors", "map"])
@pytest.mark.parametrize("n_each", [1, 2])
@pytest.mark.parametrize("patch_length", [1, 2])
def test_every_parameter_learns_with_rows_of_sensors(how, n_each, patch_length):
    """So do all where targets are no channels of the window but each sensor has some of both, one of them silent."""
    sizes = dict(n_variables=V, n_channels=S * V, n_targets=S * n_each, window_length=17, patch_length=patch_length)
    network = stir(make(attention_position="both", channel_attention="dot", **TWO_HEADS | sizes | how))
    past = with_holes(draw(B, 17, S * V))
    past[7, :, V : 2 * V] = nan
    check(network, {"past": past}, draw(B, H, S * n_each, seed=2))


@pytest.mark.parametrize(
    "config", [dict(attention_position="both", channel_attention="additive", **TWO_HEADS), DUAL, SENSORS]
)
@every_activation
def test_every_parameter_learns_with_every_activation(config, activation):
    """So do all of them with every activation everywhere, a temperature included."""
    network = stir(make(attention_activation=activation, **config))
    check(network, {"past": with_holes(draw(B, L, network.config["n_channels"]))}, draw(B, H, M, seed=2))
    temperatures = [name for name, _ in network.named_parameters() if "log_temperature" in name]
    assert len(temperatures) == len(network.kinds) * (activation == "temperature")


def test_dual_stage_with_two_heads():
    """Heads divide the window and the states, and each has weights of its own."""
    config = DUAL | TWO_HEADS | dict(window_length=2 * L)
    network = stir(make(**config))
    output = network(draw(B, 2 * L, 29))
    assert output.channel.shape == (B, 2, 2 * L, 29)
    assert output.state.shape == (B, 2, 1, 2 * L)
    for weights in (output.channel, output.state):
        assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
        assert (weights[:, 0] - weights[:, 1]).abs().amax() > 1e-4


@pytest.mark.parametrize(("window_length", "n_channels", "horizon"), [(1, 1, 1), (1, C, H), (L, 1, 1), (L, 1, H)])
@autoregressive_or_not
def test_sizes_of_one_in_dual_stage(window_length, n_channels, horizon, autoregressive):
    """Two stages read a step and a channel too; the only channel is its own driver."""
    sizes = dict(window_length=window_length, n_channels=n_channels, horizon=horizon, n_targets=1)
    network = make(encoder="dual_stage", autoregressive=autoregressive, **sizes)
    output = network(draw(B, window_length, n_channels))
    n_drivers = n_channels - (autoregressive and n_channels > 1)
    assert output.params.shape == (B, horizon, 1, 1)
    assert output.channel.shape == (B, 1, window_length, n_drivers)
    assert output.state.shape == (B, 1, 1, window_length)


@pytest.mark.parametrize(("window_length", "n_channels", "horizon"), [(1, 1, 1), (1, C, H), (L, 1, 1), (L, 1, H)])
@every_encoder
@autoregressive_or_not
def test_sizes_of_one(window_length, n_channels, horizon, encoder, autoregressive):
    """A window of one step, one channel, one step ahead: nothing is squeezed away."""
    network = make(
        window_length=window_length,
        n_channels=n_channels,
        horizon=horizon,
        n_targets=1,
        encoder=encoder,
        autoregressive=autoregressive,
        attention_position="both",
        channel_attention="general",
    )
    output = network(draw(B, window_length, n_channels))
    assert output.params.shape == (B, horizon, 1, 1)
    assert output.channel.shape == (B, 1, 1, n_channels)
    assert output.input.shape == (B, 1, 1, window_length)
    assert output.state.shape == (B, 1, horizon, window_length)
    assert network.predict(draw(1, window_length, n_channels)).shape == (1, horizon, 1)


@pytest.mark.parametrize("encoder", ["lstm", "dual_stage"])
def test_class_head(encoder):
    """The head "class" has a logit per class, its own loss, and predicts probabilities."""
    network = make(encoder=encoder, horizon=1, n_targets=1, n_params=29, head="class", loss="cross_entropy")
    past, target = draw(B, L, C), torch.arange(B, dtype=torch.float64).reshape(B, 1, 1)
    output = network(past)
    assert output.params.shape == (B, 1, 1, 29)
    assert_close(network.predict(past), output.params.softmax(-1))
    assert_close(network.loss(output, target)[3], -output.params.log_softmax(-1)[3, ..., 3])


# ---------------------------------------------------------------------------------------------------- missing values


@every_normalization
@autoregressive_or_not
@pytest.mark.parametrize("encoder", ["lstm", "dual_stage"])
def test_windows_with_holes_leave_the_others_alone(normalization, autoregressive, encoder):
    """A window whose batch has missing values elsewhere is forecast to the same number, and all are finite."""
    options = dict(normalization=normalization, autoregressive=autoregressive, encoder=encoder)
    if autoregressive and encoder != "dual_stage":
        options["spatial_attention"] = "additive"
    network = stir(make(channel_attention="additive", **options))
    past = draw(B, L, C)
    forecast, holed = network.predict(past), network.predict(with_holes(past))
    assert torch.isfinite(holed).all()
    assert_close(holed[6:], forecast[6:])
    assert (holed[:6] - forecast[:6]).abs().amax(2).amin() > 1e-4


@every_normalization
@every_activation
@pytest.mark.parametrize("parts", [{}, dict(encoder="dual_stage"), SENSORS], ids=["lstm", "dual_stage", "sensors"])
def test_everything_missing(normalization, activation, parts):
    """Windows and known channels without one observed value have a finite loss and finite gradients."""
    options = parts | dict(normalization=normalization, attention_activation=activation)
    network = stir(make(**options | dict(autoregressive=True, n_future=K, attention_position="both")))
    output = network(torch.full((B, L, C), nan).double(), torch.full((B, H, K), nan).double())
    network.loss(output, draw(B, H, M)).mean().backward()
    assert torch.isfinite(output.params).all()
    assert not output.observed.any()
    assert all((getattr(output, kind) == 0).all() for kind in network.kinds)
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)


def test_padding_on_the_left_is_not_looked_at():
    """Steps that are missing altogether have no weight, and a shorter window of a state attention none of theirs."""
    past = draw(B, L, C)
    past[:, :2] = nan
    output = stir(make(attention_position="both", channel_attention="additive"))(past)
    assert (output.input[..., :2] == 0).all()
    assert (output.state[..., :2] == 0).all()
    assert (output.state[..., 2:] > 0).all()


# ---------------------------------------------------------------------------------------------------- attention


@every_attention
@every_encoder
def test_weights_change_with_the_input(attention, encoder):
    """Weights at every place differ from window to window, and over the horizon (a query per step ahead)."""
    if attention is None:
        attention = type("Own", (ATTENTIONS["additive"],), {})  # a class of one's own
    network = stir(make(attention=attention, channel_attention=attention, attention_position="both", encoder=encoder))
    output = network(3 * draw(B, L, C))
    for weights in (output.channel, output.input, output.state):
        assert (weights[0] - weights[1]).abs().amax() > 1e-4
    assert (output.state[:, :, 0] - output.state[:, :, 1]).abs().amax() > 1e-4


@pytest.mark.parametrize("attention", MECHANISMS[1:])
def test_weights_of_dual_stage_change_with_the_input(attention):
    """So do the weights of both stages, and those of the first from step to step."""
    output = stir(make(attention=attention, **DUAL))(3 * draw(B, L, 29))
    for weights in (output.channel, output.state):
        assert (weights[0] - weights[1]).abs().amax() > 1e-4
    assert (output.channel[:, :, 1:] - output.channel[:, :, :-1]).abs().amax((1, 2, 3)).amin() > 1e-4


@every_activation
def test_activation_is_that_of_every_place(activation):
    """The one activation is given to each attention, as an instance of its own."""
    for config in (dict(attention_position="both", channel_attention="additive"), dict(encoder="dual_stage"), SENSORS):
        network = make(attention_activation=activation, **config)
        given = [module for module in network.modules() if isinstance(module, Activation)]
        assert [type(module) for module in given] == [ACTIVATIONS[activation]] * len(network.kinds)


def test_noise_is_on_inputs_and_channels():
    """What an attention on states reads has no noise, and in evaluation nothing has any.

    An embedding has 17 / 3 copies of a value, whose noise would average out, were there not so much more of it.
    """
    noisy = make(attention_position="both", channel_attention="additive", attention_noise=0.5)
    dual = make(encoder="dual_stage", attention_noise=0.5)
    assert noisy.channel_attention.attention.noise.amount == 0.5
    assert_close(noisy.input_attention.attention.noise.amount, 0.5 * (17 / 3) ** 0.5)
    assert dual.dual_stage.encoder.attention.noise.amount == 0.5
    assert noisy.state_attention.attention.noise.amount == dual.dual_stage.decoder.attention.noise.amount == 0
    past = draw(B, L, C)
    for network in (noisy, dual):
        assert (network(past).params != network(past).params).all()
        network.eval()
        assert torch.equal(network(past).params, network(past).params)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_state_weights_change_with_the_state(attention):
    """With the same states but another summary the weights differ: the state does not cancel in the softmax."""
    network = stir(make(attention=attention, attention_position="state"))
    states, mask = draw(B, L, 19), torch.ones(B, L, dtype=torch.bool)
    one, other = (network.state_attention(draw(B, 1, 19, seed=seed), states, mask)[1] for seed in (1, 2))
    assert (one - other).abs().amax() > 1e-4


@with_and_without_future
def test_known_channels_reach_their_own_step_only(n_future):
    """What is known of a step ahead changes the forecast of that step, through the network and through the skip."""
    if not n_future:
        with pytest.raises(TypeError):
            make()(draw(B, L, C), draw(B, H, K), torch.arange(B), draw(B, H, K))
        return
    for linear_skip, autoregressive in ((False, False), (False, True), (True, True)):
        network = stir(make(n_future=K, linear_skip=linear_skip, autoregressive=autoregressive))
        window = inputs(K)
        other = {**window, "future": window["future"].clone()}
        other["future"][:, 3] += 1
        changed = (network.predict(**window) - network.predict(**other)).abs().amax((0, 2)) > 1e-6
        assert changed.tolist() == [step == 3 for step in range(H)]


# ---------------------------------------------------------------------------------------------------- units


@pytest.mark.parametrize(("normalization", "factor"), [("window", 4.0), ("window", 1.0), ("last", 1.0)])
def test_forecast_follows_the_level_of_the_window(normalization, factor):
    """Where targets are channels of the window, the forecast of 4 x + 50 is 4 times that of x, plus 50."""
    network = stir(make(normalization=normalization, autoregressive=True))
    past = draw(B, L, C)
    moved = past.clone()
    moved[..., :M] = factor * past[..., :M] + 50
    assert_close(network.predict(moved), factor * network.predict(past) + 50)


@pytest.mark.parametrize("normalization", ["window", "last"])
def test_level_is_put_back_only_if_targets_are_channels(normalization):
    """Elsewhere the level of a window says nothing about its target, and the forecast does not see it."""
    network = stir(make(normalization=normalization))
    past = draw(B, L, C)
    assert_close(network.predict(past + 50), network.predict(past))


def test_loss_is_taken_in_normalised_units():
    """Level 10 and scale 2: a target of 14 is 2, and the squared error of a forecast p is (p - 2)^2."""
    network = stir(make(autoregressive=True, normalization="global"))
    network.normalization.loc.fill_(10)
    network.normalization.scale.fill_(2)
    output = network(draw(B, L, C))
    params = output.params.squeeze(-1)
    assert_close(network.loss(output, torch.full((B, H, M), 14.0).double()), (params - 2) ** 2)
    assert_close(network.rescale(output).squeeze(-1), 2 * params + 10)
    assert_close(network.predict(draw(B, L, C)), 2 * params + 10)


def test_loss_is_taken_in_the_units_of_the_target_elsewhere():
    """Where targets are no channels, they are compared as they are."""
    network = stir(make(normalization="global"))
    network.normalization.loc.fill_(10)
    output = network(draw(B, L, C))
    assert_close(network.loss(output, torch.full((B, H, M), 14.0).double()), (output.params.squeeze(-1) - 14) ** 2)


def test_first_forecast_of_a_silent_head_is_the_last_value():
    """The skip starts from zero: with a head of zeros too, normalization="last" is the naive forecast."""
    network = make(autoregressive=True, normalization="last")
    network.head.weight.data.zero_()
    past = draw(B, L, C)
    assert_close(network.predict(past), past[:, -1:, :M].expand(B, H, M))


# ---------------------------------------------------------------------------------------------------- reproducible


EVERYTHING = dict(
    n_future=K,
    channel_attention="multihead",
    attention_position="both",
    attention_activation="temperature",
    attention_noise=0.5,
    encoder="transformer",
    dropout=0.5,
    num_layers=2,
)
EVERYTHING_DUAL = EVERYTHING | dict(encoder="dual_stage", num_layers=1)
A_MAP = dict(adjacency=TWO_WAYS, adjacency_role="both")
EVERYTHING_SPATIAL = EVERYTHING | SENSORS | A_MAP


def bits(network):
    return torch.cat([value.flatten() for value in network.state_dict().values()])


@pytest.mark.parametrize(
    ("encoder", "attention"),
    [*product(ENCODERS, [None, *ATTENTIONS]), *product(["dual_stage"], MECHANISMS)],
)
def test_same_generator_same_bits(encoder, attention):
    """The same seed gives the same network bit for bit, another seed another; the global state is left alone."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    config = {**EVERYTHING, "encoder": encoder, "attention": attention, "channel_attention": attention}
    one = make(3, **config)
    torch.rand(1)
    torch.set_rng_state(before)
    same, other = make(3, **config), make(4, **config)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(bits(one), bits(same))
    assert not torch.equal(bits(one), bits(other))
    window = inputs(K)
    assert torch.equal(one(**window).params, same(**window).params)  # in training, dropout and noise included
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "config",
    [
        {},
        EVERYTHING,
        EVERYTHING_DUAL,
        EVERYTHING_SPATIAL,
        EVERYTHING_SPATIAL | VARIABLES | dict(adjacency=CHAIN, window_length=L),
        dict(
            attention=ATTENTIONS["dot"],
            attention_activation=ACTIVATIONS["entmax15"],
            encoder=ENCODERS["gru"],
            normalization=NORMALIZATIONS["last"],
            autoregressive=True,
        ),
        dict(attention=None, loss=nn.HuberLoss, linear_skip=False, **TWO_HEADS),
        dict(horizon=1, n_targets=1, n_params=5, head="class", loss="cross_entropy"),
        EVERYTHING_SPATIAL | dict(periods=PERIODS),
        dict(n_variables=1, n_targets=2 * C, spatial_attention="dot"),
    ],
    ids=[
        "default",
        "everything",
        "dual_stage",
        "sensors",
        "variables",
        "classes",
        "plain",
        "class_head",
        "calendar",
        "rows_of_sensors",
    ],
)
def test_config_rebuilds(config):
    """AttentionLSTM(**network.config) takes the weights and gives the same forecasts; so does a copy."""
    network = stir(make(**config)).eval()
    rebuilt = AttentionLSTM(**network.config).double().eval()
    rebuilt.load_state_dict(network.state_dict())
    assert rebuilt.config == network.config
    sizes = network.config
    window = inputs(sizes["n_future"], L, sizes["n_channels"], sizes["horizon"], sizes["periods"])
    for other in (rebuilt, deepcopy(network)):
        assert torch.equal(other.predict(**window), network.predict(**window))


def test_config_names_every_argument():
    """What was left to its default is in the config too."""
    config = make(hidden_size=29).config
    assert config["hidden_size"] == 29
    assert config["encoder"] == "lstm"
    assert list(config) == list(signature(AttentionLSTM).parameters)


@pytest.mark.parametrize(
    "config", [EVERYTHING, EVERYTHING_DUAL, EVERYTHING_SPATIAL], ids=["everything", "dual_stage", "sensors"]
)
def test_forward_keeps_nothing(config):
    """Attention weights are returned and never stored: a network that ran can be copied and holds no new tensor."""
    network = make(**config)
    before = {name: sorted(vars(module)) for name, module in network.named_modules()}
    network(**inputs(K)).params.sum().backward()
    assert {name: sorted(vars(module)) for name, module in network.named_modules()} == before
    assert not [n for m in network.modules() for n, v in vars(m).items() if isinstance(v, torch.Tensor)]
    assert torch.equal(bits(deepcopy(network)), bits(network))


def test_dropout_reaches_the_head():
    """With one recurrent layer, dropout acts before the head; in evaluation it does not act at all."""
    network = make(dropout=0.5, linear_skip=False)
    past = draw(B, L, C)
    one, other = network(past).params, network(past).params
    assert not torch.equal(one, other)
    network.eval()
    assert torch.equal(network(past).params, network(past).params)


# ---------------------------------------------------------------------------------------------------- newcomers


def test_parts_of_ones_own():
    """An attention, an activation, an encoder and a normalisation of one's own are classes in place of a name."""

    class Even(Attention):
        def score(self, query, key):
            return 0 * (query @ key.transpose(-1, -2))

    class Last(Activation):
        def weigh(self, scores):
            return torch.nn.functional.one_hot(torch.full(scores.shape[:-1], scores.shape[-1] - 1)).to(scores.dtype)

    class Mean(nn.Module):
        def __init__(self, input_size, hidden_size, num_layers, num_heads, dropout):
            super().__init__()
            self.linear = nn.Linear(input_size, hidden_size)

        def forward(self, x, mask=None):
            states = self.linear(x)
            return states, states.mean(1, keepdim=True)

    class Tens(NORMALIZATIONS["identity"]):
        def statistics(self, x):
            loc, scale = super().statistics(x)
            return loc, scale * 10

    network = make(attention=Even, channel_attention=Even, encoder=Mean, normalization=Tens, attention_position="both")
    output = network(draw(B, L, C))
    assert_close(output.input, torch.full((B, 1, 1, L), 1 / L).double())
    assert_close(output.channel, torch.full((B, 1, 1, C), 1 / C).double())
    assert_close(output.state, torch.full((B, 1, H, L), 1 / L).double())
    assert_close(output.loc_scale[1], torch.full((B, 1, C), 10.0).double())
    assert isinstance(network.encoder, Mean)
    for config in (dict(channel_attention="additive", attention_position="both"), dict(encoder="dual_stage")):
        network = make(attention_activation=Last, **config)
        output = network(draw(B, L, C))
        assert all((getattr(output, kind)[..., -1] == 1).all() for kind in network.kinds)


@pytest.mark.parametrize(
    "part",
    [
        "attention",
        "attention_activation",
        "channel_attention",
        "spatial_attention",
        "encoder",
        "normalization",
        "head",
        "loss",
    ],
)
def test_unknown_names(part):
    """A name that is not in the dictionary is refused."""
    with pytest.raises(KeyError, match="abracadabra"):
        make(**{part: "abracadabra", "autoregressive": True})


# ------------------------------------------------------------------------------------------------ patches, channels

PATCHED = dict(autoregressive=True, attention_position="both", channel_attention="additive", **TWO_HEADS)
every_mode = pytest.mark.parametrize("mode", ["mixed", "independent"])


@every_mode
@every_encoder
@with_and_without_future
@pytest.mark.parametrize("patch_length", [1, 2, 3, 11])
def test_patches_and_modes_have_the_same_shapes(mode, encoder, n_future, patch_length):
    """Forecasts and weights are of steps and of targets, whatever is joined or taken apart inside."""
    network = stir(
        make(encoder=encoder, n_future=n_future, patch_length=patch_length, channel_mode=mode, **PATCHED)
    ).eval()
    given = inputs(n_future)
    given["past"] = with_holes(given["past"])
    output = network(**given)
    assert output.params.shape == (B, H, M, 1)
    assert torch.isfinite(output.params).all()
    observed = ~torch.isnan(given["past"])
    for weights, n_queries in ((output.input, 1), (output.state, H)):
        assert weights.shape == (B, 2, n_queries, L)
        there = observed.any(-1).double()  # window 5 has nothing
        assert_close(weights.sum(-1), there.amax(1)[:, None, None].expand(B, 2, n_queries))
        assert (weights * (1 - there)[:, None, None] == 0).all()


def test_patched_diagram():
    """Patches are embedded, and every block of steps ahead asks once."""
    network = stir(make(patch_length=2, attention_position="both", normalization="identity", linear_skip=False)).eval()
    past = draw(B, L, C)
    ones = torch.ones_like(past)
    z = network.embedding(patch(past, 2), patch(ones, 2))
    z, input_ = network.input_attention(z, torch.ones(B, 3, dtype=torch.bool))
    states, summary = network.encoder(z)
    z, state = network.state_attention(summary, states, torch.ones(B, 3, dtype=torch.bool))
    assert z.shape[1] == 4  # blocks of seven steps ahead
    output = network(past)
    assert_close(output.params, network.head(z))
    assert_close(output.input, spread(input_, ones.any(-1), 2))
    assert_close(output.state, spread(state, ones.any(-1), 2).repeat_interleave(2, 2)[:, :, :H])


@every_mode
def test_who_reads_whom(mode):
    """A target is forecast from its own past and the drivers; in mixed mode from the other targets too."""
    network = stir(make(channel_mode=mode, autoregressive=True, linear_skip=False)).eval()
    past = draw(B, L, C)
    before = network(past).params
    for changed in range(C):
        other = past.clone()
        other[..., changed] += draw(B, L, seed=3)
        moved = (network(other).params != before).any(dim=(0, 1, 3))
        expected = [changed >= M or changed == target or mode == "mixed" for target in range(M)]
        assert moved.tolist() == expected


def test_targets_share_a_network_but_not_an_identity():
    """Two targets of the same past have the same forecast until their identities differ."""
    network = make(channel_mode="independent", autoregressive=True, linear_skip=False, normalization="identity").eval()
    past = draw(B, L, 1).expand(B, L, C)
    params = network(past).params
    assert_close(params[:, :, 0], params[:, :, 1])
    network.identity.data[1] += 0.5
    params = network(past).params
    assert (params[:, :, 0] - params[:, :, 1]).abs().max() > 1e-3


def test_modes_are_the_same_for_a_single_target():
    """Alone with its drivers, a target is independent anyway."""
    networks = [make(n_targets=1, channel_mode=mode, autoregressive=True) for mode in ("mixed", "independent")]
    networks[1].load_state_dict(networks[0].state_dict(), strict=False)
    past = with_holes(draw(B, L, C))
    assert_close(networks[0].eval()(past).params, networks[1].eval()(past).params)


@pytest.mark.parametrize("identity", [True, False])
@pytest.mark.parametrize("how", [dict(channel_mode="independent"), dict(spatial_attention="additive")])
def test_identity_can_be_left_out(identity, how):
    """Without, targets that are read by themselves can change places, and their forecasts do so with them."""
    network = stir(make(autoregressive=True, linear_skip=False, sensor_identity=identity, **how)).eval()
    assert (network.identity is not None) == identity
    network.normalization.loc[:M] = network.normalization.loc[0]
    past = draw(B, L, C)
    turned = network(past[..., [1, 0, 2]]).params[:, :, [1, 0]]
    assert torch.allclose(turned, network(past).params) == (not identity)


@every_mode
def test_mode_does_not_matter_to_sensors(mode):
    """Sensors are read by themselves in either mode, by the same network."""
    one, other = make(**SENSORS, channel_mode=mode), make(**SENSORS)
    assert torch.equal(bits(one), bits(other))
    past = with_holes(draw(B, L, C))
    assert_close(one(past).params, other(past).params)


@pytest.mark.parametrize(("adjacency_role", "looks"), [("bias", True), ("mask", False), ("both", False)])
def test_who_listens_to_whom(adjacency_role, looks):
    """Every target hears every other; with a mask, with an edge from the first to the second, this one only."""
    a_map = dict(adjacency=[[0.0, 1.0], [0.0, 0.0]], adjacency_role=adjacency_role)
    network = stir(make(autoregressive=True, spatial_attention="additive", linear_skip=False, **a_map)).eval()
    past = draw(B, L, C)
    before = network(past).params
    for changed, expected in ((0, [True, True]), (1, [looks, True]), (2, [True, True])):
        other = past.clone()
        other[..., changed] += draw(B, L, seed=3)
        assert (network(other).params != before).any(dim=(0, 1, 3)).tolist() == expected


@every_encoder
@with_and_without_future
@pytest.mark.parametrize("patch_length", [1, 2, 11])
@pytest.mark.parametrize("adjacency_role", ["bias", "mask", "both"])
def test_sensors_have_the_same_shapes(encoder, n_future, patch_length, adjacency_role):
    """Forecasts and weights are of steps, targets and sensors, with patches, drivers, known channels and a map."""
    sizes = dict(n_channels=7, n_targets=5, n_future=n_future, encoder=encoder, patch_length=patch_length)
    adjacency = torch.diag(torch.ones(4), 1)  # a chain: each listens to the one before it
    options = dict(attention_position="both", adjacency=adjacency, adjacency_role=adjacency_role)
    network = stir(make(**SENSORS, **sizes, **options)).eval()
    given = inputs(n_future, n_channels=7)
    given["past"] = with_holes(given["past"])
    output = network(**given)
    assert output.params.shape == (B, H, 5, 1)
    assert torch.isfinite(output.params).all()
    assert output.spatial.shape == (B, 2, 5, 5 if adjacency_role == "bias" else 2)
    assert output.channel.shape == (B, 2, 1, 7)
    there = (~torch.isnan(given["past"])).any(-1).double()
    for weights, n_queries in ((output.input, 1), (output.state, H)):
        assert weights.shape == (B, 2, n_queries, L)
        assert_close(weights.sum(-1), there.amax(1)[:, None, None].expand(B, 2, n_queries))
        assert (weights * (1 - there)[:, None, None] == 0).all()


def test_one_sensor():
    """A target alone looks at itself, with and without a map of itself."""
    for options in ({}, dict(adjacency=[[1.0]], adjacency_role="both")):
        network = stir(make(autoregressive=True, spatial_attention="multihead", n_targets=1, n_channels=1, **options))
        output = network(draw(B, L, 1))
        assert output.params.shape == (B, H, 1, 1)
        assert (output.spatial == 1).all()
        assert output.spatial.shape == (B, 1, 1, 1)


@pytest.mark.parametrize(
    ("options", "n_variables", "encoder"),
    [
        ({}, None, "lstm"),
        (dict(autoregressive=True), None, "dual_stage"),
        (dict(n_variables=1), 1, "dual_stage"),
    ],
)
def test_sensors_are_channels_of_the_window(options, n_variables, encoder):
    """Elsewhere there is nothing that sensors could look at, as the error says, with what to do instead."""
    message = (
        rf"spatial_attention='dot' lets each sensor look at the windows of others, but there are none: n_variables = "
        rf"{n_variables}, encoder = '{encoder}'\. Use AttentionLSTMForecaster, or X of shape \(n_samples, n_steps, "
        r"n_sensors, n_channels\), with an encoder other than 'dual_stage', or channel_attention\."
    )
    with pytest.raises(ValueError, match=message):
        make(spatial_attention="dot", encoder=encoder, **options)


@every_encoder
@with_and_without_future
@pytest.mark.parametrize("patch_length", [1, 2])
@pytest.mark.parametrize("how", LISTENS)
def test_sensors_of_several_variables_have_the_same_shapes(encoder, n_future, patch_length, how):
    """Forecasts are of all targets, weights of sensors, and what tells sensors apart has a row for each."""
    options = dict(attention_position="both", n_future=n_future, encoder=encoder, patch_length=patch_length)
    network = stir(make(**SENSORS | VARIABLES | options | how)).eval()
    given = inputs(n_future, 17, 37)
    given["past"] = with_holes(given["past"])
    output = network(**given)
    assert output.params.shape == (B, H, S * V, 1)
    assert torch.isfinite(output.params).all()
    assert network.identity.shape == (S, 1, 34)
    if network.spatial_attention is None:
        assert output.spatial is None
    else:
        n_near = 2 if "adjacency" in how else S
        assert output.spatial.shape == (B, 2, S, n_near)
        assert network.spatial_attention.pairs.shape == (2, S, n_near)
    assert output.channel.shape == (B, 2, 1, 37)
    there = (~torch.isnan(given["past"])).any(-1).double()
    for weights, n_queries in ((output.input, 1), (output.state, H)):
        assert weights.shape == (B, 2, n_queries, 17)
        assert_close(weights.sum(-1), there.amax(1)[:, None, None].expand(B, 2, n_queries))
        assert (weights * (1 - there)[:, None, None] == 0).all()


@pytest.mark.parametrize("patch_length", [1, 2])
@pytest.mark.parametrize("how", LISTENS)
def test_variables_of_a_sensor_read_each_other(how, patch_length):
    """All variables of a sensor are forecast from all of them and the drivers, and from those of sensors it hears."""
    network = stir(make(autoregressive=True, linear_skip=False, patch_length=patch_length, **VARIABLES | how)).eval()
    heard = torch.eye(S, dtype=torch.bool)  # a row per sensor that is heard
    if how["spatial_attention"]:
        heard = heard | torch.tensor(CHAIN).bool() if "adjacency" in how else heard | True
    past = draw(B, 17, 37)
    before = network(past).params
    for changed in range(S * V + 1):
        other = past.clone()
        other[..., changed] += draw(B, 17, seed=3)
        moved = (network(other).params != before).any(dim=(0, 1, 3))  # (S * V,)
        expected = heard[changed // V] if changed < S * V else torch.ones(S, dtype=torch.bool)
        assert moved.tolist() == expected.repeat_interleave(V).tolist()


@pytest.mark.parametrize("identity", [True, False])
@pytest.mark.parametrize("how", LISTENS)
def test_sensors_of_several_variables_can_change_places(identity, how):
    """Without identity, blocks of targets in another order, and the map likewise, are forecast the same, in that order.

    Variables within a sensor cannot.
    """
    order = torch.tensor([2, 0, 1])
    turned = how | dict(adjacency=torch.tensor(CHAIN)[order][:, order]) if "adjacency" in how else how
    sizes = dict(autoregressive=True, linear_skip=False, sensor_identity=identity, **VARIABLES)
    network, other = (stir(make(**sizes | options)).eval() for options in (how, turned))
    assert (network.identity is not None) == identity
    blocks = torch.arange(S * V).unflatten(0, (S, V))
    past, rest = with_holes(draw(B, 17, 37)), torch.arange(S * V, 37)
    params, moved = network(past).params, other(past[..., torch.cat([blocks[order].flatten(), rest])]).params
    assert torch.allclose(moved, params[:, :, blocks[order].flatten()]) == (not identity)
    within = blocks[:, [1, 2, 3, 4, 0]].flatten()
    assert not torch.allclose(network(past[..., torch.cat([within, rest])]).params, params[:, :, within])


def test_a_sensor_is_heard_as_long_as_it_has_a_variable():
    """Nobody looks at a sensor without a value, but at one with a single variable left, which all then hear."""
    network = stir(make(autoregressive=True, spatial_attention="additive", linear_skip=False, **VARIABLES)).eval()
    past = draw(B, 17, 37)
    past[0, :, V : 2 * V] = past[1, :, V : 2 * V - 1] = nan
    output = network(past)
    assert (output.spatial[0, ..., 1] == 0).all()
    assert (output.spatial[1:] > 0).all()
    louder = past.clone()
    louder[1, :, 2 * V - 1] += 1
    moved = (network(louder).params != output.params).any(dim=(1, 3))  # (B, S * V)
    assert moved[1].all()
    assert not moved[[0, *range(2, B)]].any()


@with_and_without_future
@pytest.mark.parametrize("patch_length", [1, 2])
def test_modes_are_the_same_for_a_single_sensor(n_future, patch_length):
    """If all targets are variables of one sensor, they are read together in either mode."""
    sizes = dict(n_variables=M, autoregressive=True, n_future=n_future, patch_length=patch_length)
    mixed, independent = (stir(make(channel_mode=mode, **sizes)).eval() for mode in ("mixed", "independent"))
    mixed.load_state_dict({name: value for name, value in independent.state_dict().items() if name != "identity"})
    independent.identity.data.zero_()
    given = {name: with_holes(values) for name, values in inputs(n_future).items()}
    assert_close(independent(**given).params, mixed(**given).params)


@pytest.mark.parametrize(
    "config",
    [dict(autoregressive=True), dict(), dict(encoder="dual_stage", autoregressive=True), dict(encoder="dual_stage")],
    ids=["mixed", "rows", "dual_stage", "dual_stage_of_rows"],
)
def test_variables_do_not_matter_where_all_is_read_at_once(config):
    """Where rows are windows, sensors of several variables have the same network as targets."""
    several, single = (stir(make(**VARIABLES | config | dict(n_variables=n))).eval() for n in (V, 1))
    assert torch.equal(bits(several), bits(single))
    past = with_holes(draw(B, 17, 37))
    assert torch.equal(several(past).params, single(past).params)


@pytest.mark.parametrize("linear_skip", [True, False])
def test_mode_of_a_dual_stage(linear_skip):
    """Two stages read all at once in either mode: the network is the same."""
    options = dict(encoder="dual_stage", autoregressive=True, linear_skip=linear_skip)
    mixed, independent = (stir(make(channel_mode=mode, **options)) for mode in ("mixed", "independent"))
    past = draw(B, L, C)
    assert_close(independent(past).params, mixed(past).params)


def test_mode_of_targets_that_are_no_channels():
    """Without sensors there is nothing to tell apart: the network is the same."""
    mixed, independent = (make(channel_mode=mode) for mode in ("mixed", "independent"))
    assert_close(mixed.state_dict(), independent.state_dict())


# ------------------------------------------------------------------------------------------------- rows of sensors

ROWS = dict(n_variables=V, n_channels=S * V, n_targets=2 * S, window_length=17)  # two outputs for each sensor


@pytest.mark.parametrize(
    ("sizes", "n_own", "n_variables", "n_sensors"),
    [
        (dict(autoregressive=True), M, 1, M),
        (dict(autoregressive=True, **VARIABLES), S * V, V, S),
        (dict(), C, 0, 0),
        (ROWS, S * V, V, S),
        (dict(n_variables=1, n_targets=C), C, 1, C),
    ],
)
@pytest.mark.parametrize("how", [dict(channel_mode="mixed"), dict(channel_mode="independent")])
def test_whose_the_channels_are(sizes, n_own, n_variables, n_sensors, how):
    """Sensors have the targets of a series, beside drivers, but all channels of rows, where there are any at all."""
    network = make(**sizes | how)
    assert (network.n_own, network.n_variables, network.n_sensors) == (n_own, n_variables, n_sensors)
    assert network.by_sensor is (how["channel_mode"] == "independent" and n_sensors > 0)


@pytest.mark.parametrize("patch_length", [1, 2])
@pytest.mark.parametrize("how", LISTENS, ids=["independent", "sensors", "map"])
def test_rows_of_sensors_have_outputs_sensor_by_sensor(how, patch_length):
    """A sensor's outputs follow one another, and are read from its channels and from those of the sensors it hears."""
    network = stir(make(linear_skip=False, patch_length=patch_length, **ROWS | how)).eval()
    heard = torch.eye(S, dtype=torch.bool)  # a row per sensor that is heard
    if how["spatial_attention"]:
        heard = heard | torch.tensor(CHAIN).bool() if "adjacency" in how else heard | True
    past = draw(B, 17, S * V)
    before = network(past)
    assert before.params.shape == (B, H, 2 * S, 1)
    assert network.identity.shape == (S, 1, 17)
    for changed in range(S * V):
        other = past.clone()
        other[..., changed] += draw(B, 17, seed=3)
        moved = (network(other).params != before.params).any(dim=(0, 1, 3))  # (2 * S,)
        assert moved.tolist() == heard[changed // V].repeat_interleave(2).tolist()


@pytest.mark.parametrize("identity", [True, False])
@pytest.mark.parametrize("how", LISTENS, ids=["independent", "sensors", "map"])
def test_rows_of_sensors_can_change_places(identity, how):
    """Without identity, blocks of channels in another order are read the same, and outputs are in that order."""
    order = torch.tensor([2, 0, 1])
    turned = how | dict(adjacency=torch.tensor(CHAIN)[order][:, order]) if "adjacency" in how else how
    sizes = dict(linear_skip=False, sensor_identity=identity, **ROWS)
    network, other = (stir(make(**sizes | options)).eval() for options in (how, turned))
    channels, outputs = (torch.arange(S * n).unflatten(0, (S, n))[order].flatten() for n in (V, 2))
    past = with_holes(draw(B, 17, S * V))
    params, moved = network(past).params, other(past[..., channels]).params
    assert torch.allclose(moved, params[:, :, outputs]) == (not identity)


def test_outputs_that_sensors_cannot_share():
    """As many for each sensor, as the error says, with both numbers and the way out, which works."""
    message = (
        r"y has 7 outputs but 3 sensors need as many each\. Pass y of shape \(n_samples, 3\), or use "
        r"channel_mode='mixed' without spatial_attention\."
    )
    for how in LISTENS:
        with pytest.raises(ValueError, match=message):
            make(**ROWS | how | dict(n_targets=7))
        assert make(**ROWS | how | dict(n_targets=S))(draw(B, 17, S * V)).params.shape == (B, H, S, 1)
    assert make(**ROWS | dict(n_targets=7))(draw(B, 17, S * V)).params.shape == (B, H, 7, 1)


# -------------------------------------------------------------------------------------------------------- calendar


@pytest.mark.parametrize("how", [dict(channel_mode="mixed"), *LISTENS[:2]], ids=["mixed", "independent", "sensors"])
@pytest.mark.parametrize("patch_length", [1, 2])
def test_calendar_is_added_to_every_step(how, patch_length):
    """A window is read as by a network without, whose vectors of steps have that of the window's end beside them."""
    options = dict(autoregressive=True, attention_position="both", patch_length=patch_length, n_future=K, **how)
    told = stir(make(periods=PERIODS, **options)).eval()
    state = {name: value for name, value in told.state_dict().items() if not name.startswith("calendar")}
    given = inputs(K, periods=PERIODS)
    output = told(**given)
    for window, vector in enumerate(told.calendar(given["place"])):
        plain = make(**options).eval()
        plain.load_state_dict(state | {"embedding.place": state["embedding.place"] + vector})
        one = plain(**{name: given[name][window : window + 1] for name in ("past", "future")})
        assert_close(output.params[window : window + 1], one.params)
        assert_close((output.input[window], output.state[window]), (one.input[0], one.state[0]))
    assert_close(told.predict(**given), told.head.predict(told.rescale(output)))


def test_only_the_place_counts():
    """Windows of a whole round of all cycles later are forecast the same, others not."""
    network = stir(make(periods=PERIODS)).eval()
    past, place = inputs(periods=PERIODS).values()
    forecast = network.predict(past, place=place)
    assert torch.equal(network.predict(past, place=place + 6), forecast)
    for step in range(1, 6):
        assert ((network.predict(past, place=place + step) - forecast).abs().amax((1, 2)) > 1e-4).all()


@autoregressive_or_not
def test_skip_does_not_read_the_calendar(autoregressive):
    """Nor do the rows that it is solved from."""
    network = stir(make(periods=PERIODS, autoregressive=autoregressive, n_future=K)).eval()
    given = inputs(K, periods=PERIODS)
    moved = given | {"place": given["place"] + 1}
    assert torch.equal(network(**moved).skip, network(**given).skip)
    target, weight = draw(B, H, M, seed=2), torch.ones(B, 1, 1)
    rows = network.linear_rows(given["past"], target, weight, future=given["future"])
    assert_close(network.linear_rows(target=target, weight=weight, **moved), rows)


def test_dual_stage_has_no_calendar():
    """It embeds no steps, as the error says, with both ways out, which work."""
    message = (
        r"encoder='dual_stage' cannot be told the place in a cycle\. Use periods_role='subtract', or another encoder\."
    )
    with pytest.raises(ValueError, match=message):
        make(encoder="dual_stage", periods=PERIODS)
    assert make(encoder="dual_stage").calendar is None
    assert make(periods=PERIODS).calendar is not None


def test_combinations_cover_the_dictionaries():
    """A newcomer in a dictionary is in the tests above, for they iterate it."""
    names = [mark.args[1] for mark in (every_attention.mark, every_encoder.mark, every_normalization.mark)]
    assert [list(n) for n in names] == [[None, *ATTENTIONS], list(ENCODERS), list(NORMALIZATIONS)]
    assert len(list(product(*names))) == 120


# ---------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("config", "work"),
    [
        ({}, 5 * 19),
        (dict(num_layers=2, n_targets=11, embedding_dim=29), 5 * 19),  # of one layer of the encoder
        (dict(patch_length=2), 3 * 19),  # patches, of which one is cut short
        (dict(autoregressive=True), 5 * 19),
        (dict(autoregressive=True, channel_mode="independent"), 2 * 5 * 19),  # a row for each target
        (dict(VARIABLES, autoregressive=True, spatial_attention="general"), 3 * 17 * 19),  # for each sensor
        (dict(channel_mode="independent"), 5 * 19),  # channels that are none of sensors
        (dict(encoder="dual_stage"), 0),
        (dict(encoder="dual_stage", autoregressive=True, channel_mode="independent"), 0),
    ],
)
def test_work_by_hand(config, work):
    """Numbers in the states of a layer, of a window; none of a dual stage, whose steps are Python's work."""
    assert make(**config).work == work
    assert Ensemble(2, **{**SIZES, **WIDTHS, **config}).work == work


@pytest.mark.parametrize(
    ("n_targets", "chunk"), [(1, 128), (2, 128), (64, 128), (67, 122), (4099, 1), (8192, 1), (9001, 1)]
)
def test_windows_forecast_at_a_time_by_hand(n_targets, chunk):
    """128, or as many as have 8192 targets, or one."""
    assert AttentionLSTM(L, C, n_targets=n_targets, hidden_size=1, linear_skip=False).chunk == chunk


# ---------------------------------------------------------------------------------------------------- precision

LOWER = {
    "input": {},
    "multihead states": dict(attention="multihead", attention_position="both", **TWO_HEADS),
    "channels": dict(channel_attention="dot", attention_activation="entmax15"),
    "dual stage": dict(encoder="dual_stage", channel_attention="additive"),
    "transformer": dict(encoder="transformer", **TWO_HEADS),
    "patches": dict(patch_length=2, encoder="gru"),
    "none": dict(attention=None),
}


@pytest.mark.parametrize("config", LOWER.values(), ids=LOWER)
def test_mixed_precision(config):
    """Forecasts and weights are float32, near to those of full precision; gradients reach the same parameters."""
    full, half = (make(**config, n_future=K, mixed_precision=mixed).float() for mixed in (False, True))
    given = {name: values.float() for name, values in inputs(K).items()}
    one, other = full(**given), half(**given)
    assert_close(other.params, one.params, rtol=0, atol=0.05)
    assert not torch.equal(other.params, one.params)
    for name in ("channel", "input", "state"):
        assert_close(getattr(other, name), getattr(one, name), rtol=0, atol=0.02)
    for network, output in ((full, one), (half, other)):
        output.params.sum().backward()
        assert all(
            parameter.grad is None or parameter.grad.dtype is torch.float32 for parameter in network.parameters()
        )
    missing = [[p.grad is None for p in network.parameters()] for network in (full, half)]
    assert missing[0] == missing[1]


def test_mixed_precision_is_only_that_of_attention_and_encoder():
    """Level, linear part and head are not rounded: without a say of the encoder, forecasts are the same bits."""
    full, half = (stir(make(autoregressive=True, mixed_precision=mixed)).float() for mixed in (False, True))
    for network in (full, half):
        torch.nn.init.zeros_(network.head.weight)
    past = 1e4 + inputs()["past"].float()
    assert torch.equal(half.predict(past), full.predict(past))


def test_mixed_precision_of_float64():
    """There is nothing to mix in float64."""
    full, half = (make(mixed_precision=mixed) for mixed in (False, True))
    assert torch.equal(half(**inputs()).params, full(**inputs()).params)
