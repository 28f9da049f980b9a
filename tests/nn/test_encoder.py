"""Tests of the encoders: recurrent cells by hand and against torch's own, the transformer against torch's, masks."""

from math import cos, exp, sin, tanh

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from skattn.nn.encoder import ENCODERS, TransformerEncoder, positions
from skattn.nn.random import Dropout

B, L, D, E = 2, 5, 7, 11
RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU}
KINDS = ("weight", "bias")

every_encoder = pytest.mark.parametrize("name", ENCODERS)
recurrent = pytest.mark.parametrize("name", RECURRENT)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sigmoid(x):
    return 1 / (1 + exp(-x))


# ---------------------------------------------------------------------------------------------------- by hand


def test_lstm_by_hand():
    """One unit, two steps; gates i, f, g, o read w x + u h + b."""
    encoder = ENCODERS["lstm"](1, 1).double()
    w, u, b = (0.5, -0.25, 1.0, 2.0), (0.1, 0.2, -0.3, 0.4), (0.0, 1.0, -0.5, 0.25)
    weights = {"weight_ih_l0": w, "weight_hh_l0": u, "bias_ih_l0": b, "bias_hh_l0": (0.0,) * 4}
    shapes = {name: value.shape for name, value in encoder.layers[0].state_dict().items()}
    encoder.layers[0].load_state_dict({k: torch.tensor(v).reshape(shapes[k]) for k, v in weights.items()})
    h = c = 0.0
    expected = []
    for x in (2.0, -1.0):
        i, f, g, o = (w[k] * x + u[k] * h + b[k] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        expected.append(h)
    states, summary = encoder(torch.tensor([[[2.0], [-1.0]]], dtype=torch.float64))
    assert_close(states.flatten().tolist(), expected, rtol=1e-6, atol=0)
    assert_close(summary.flatten().tolist(), expected[-1:], rtol=1e-6, atol=0)


def test_gru_by_hand():
    """One unit, two steps; gates r, z, n, and the reset gate sits inside n."""
    encoder = ENCODERS["gru"](1, 1).double()
    w, u, b, a = (0.5, -0.25, 1.0), (0.1, 0.2, -0.3), (0.0, 1.0, -0.5), (0.25, -0.5, 0.75)
    weights = {"weight_ih_l0": w, "weight_hh_l0": u, "bias_ih_l0": b, "bias_hh_l0": a}
    shapes = {name: value.shape for name, value in encoder.layers[0].state_dict().items()}
    encoder.layers[0].load_state_dict({k: torch.tensor(v).reshape(shapes[k]) for k, v in weights.items()})
    h = 0.0
    expected = []
    for x in (2.0, -1.0):
        r = sigmoid(w[0] * x + b[0] + u[0] * h + a[0])
        z = sigmoid(w[1] * x + b[1] + u[1] * h + a[1])
        n = tanh(w[2] * x + b[2] + r * (u[2] * h + a[2]))
        h = (1 - z) * n + z * h
        expected.append(h)
    states, _ = encoder(torch.tensor([[[2.0], [-1.0]]], dtype=torch.float64))
    assert_close(states.flatten().tolist(), expected, rtol=1e-6, atol=0)


def test_mlp_by_hand():
    """One unit, two steps: x -> 2 x + 1, then twice x + v relu(w x + b) + a; as wide an input is not projected."""
    encoder = ENCODERS["mlp"](1, 1, 2).double()
    assert isinstance(encoder.project, nn.Identity)
    encoder.project = nn.Linear(1, 1).double()
    numbers = {"project": (2.0, 1.0), "layers.0.0": (3.0, -5.0), "layers.0.3": (0.5, 0.25)}
    numbers |= {"layers.1.0": (-1.0, 10.0), "layers.1.3": (2.0, 0.0)}
    pairs = {
        f"{name}.{kind}": torch.tensor(x) for name, two in numbers.items() for kind, x in zip(KINDS, two, strict=True)
    }
    encoder.load_state_dict({name: x.reshape(encoder.state_dict()[name].shape) for name, x in pairs.items()})
    states, summary = encoder(torch.tensor([[[2.0], [-1.0]]], dtype=torch.float64))
    # 5 -> 5 + 0.5 * 10 + 0.25 = 10.25 -> 10.25 + 2 * 0;  -1 -> -1 + 0 + 0.25 = -0.75 -> -0.75 + 2 * 10.75 = 20.75
    assert states.flatten().tolist() == [10.25, 20.75]
    assert summary.flatten().tolist() == [20.75]


@pytest.mark.parametrize("width", [4, 5])
def test_positions_by_hand(width):
    """Step t has sin(t r), cos(t r) with rates r of 1 and 10000^(-2/width), and for an odd width one more sine."""
    slow, slower = 10_000 ** (-2 / width), 10_000 ** (-4 / width)
    expected = [[sin(t), cos(t), sin(t * slow), cos(t * slow), sin(t * slower)][:width] for t in range(3)]
    assert_close(positions(torch.zeros(B, 3, width, dtype=torch.float64)), torch.tensor(expected, dtype=torch.float64))


@recurrent
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_recurrent_is_torchs(name, num_layers):
    """Stacked layers are torch's own with num_layers, given the same weights."""
    encoder = ENCODERS[name](D, E, num_layers).double()
    peer = RECURRENT[name](D, E, num_layers, batch_first=True).double()
    layers = [layer.state_dict() for layer in encoder.layers]
    peer.load_state_dict({k.replace("_l0", f"_l{i}"): v for i, layer in enumerate(layers) for k, v in layer.items()})
    x = draw(B, L, D)
    states, summary = encoder(x)
    assert_close(states, peer(x)[0])
    assert_close(summary, states[:, -1:])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("num_heads", [1, 2])
def test_transformer_is_torchs(num_heads, masked):
    """Two layers are torch's pre-norm layers given the same weights, on the projected input plus positions."""
    width = num_heads * E
    encoder = TransformerEncoder(D, width, 2, num_heads).double()
    for parameter in encoder.parameters():  # norms start as identities: let them do something
        parameter.data += 0.1 * draw(*parameter.shape, seed=3)
    mask = torch.tensor([[False, True, True, False, True], [True, True, False, True, True]]) if masked else None
    x = draw(B, L, D)
    expected = encoder.project(x)
    expected = expected + positions(expected)
    for layer in encoder.layers:
        expected = torchs(layer, width, num_heads)(expected, src_key_padding_mask=None if mask is None else ~mask)
    expected = encoder.norm(expected)
    states, summary = encoder(x, mask)
    assert_close(states, expected)
    assert_close(summary, expected[:, -1:])


def torchs(layer, width, num_heads):
    """torch's layer with the weights of ours; its three projections of the input are stacked in one."""
    options = dict(dropout=0.0, activation="gelu", batch_first=True, norm_first=True, dtype=torch.float64)
    peer = nn.TransformerEncoderLayer(width, num_heads, 2 * width, **options)
    attention = layer.attention
    no_bias = torch.zeros(width, dtype=torch.float64)
    with torch.no_grad():
        projections = [attention.query.weight, attention.key.weight, attention.value.weight]
        peer.self_attn.in_proj_weight.copy_(torch.cat(projections))
        peer.self_attn.in_proj_bias.copy_(torch.cat([no_bias, attention.key.bias, attention.value.bias]))
    for theirs, ours in (
        (peer.self_attn.out_proj, attention.out),
        (peer.norm1, layer.attention_norm),
        (peer.norm2, layer.forward_norm),
        (peer.linear1, layer.feed_forward[0]),
        (peer.linear2, layer.feed_forward[2]),
    ):
        theirs.load_state_dict(ours.state_dict())
    return peer  # in training mode, whose path is the plain one


# ---------------------------------------------------------------------------------------------------- contract


@every_encoder
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("num_heads", [1, 2])
def test_shapes(name, num_layers, num_heads):
    """A state per step and a summary, which is the last state."""
    encoder = ENCODERS[name](D, E * num_heads, num_layers, num_heads).double()
    states, summary = encoder(draw(B, L, D), torch.ones(B, L, dtype=torch.bool))
    assert states.shape == (B, L, E * num_heads)
    assert_close(summary, states[:, -1:])


@every_encoder
def test_order_of_steps_matters(name):
    """Permuted steps do not give permuted states: an encoder knows time, unless it reads each step by itself."""
    encoder = ENCODERS[name](D, E).double()
    x, order = draw(B, L, D), [3, 0, 4, 1, 2]
    difference = (encoder(x[:, order])[0] - encoder(x)[0][:, order]).abs().amax()
    assert difference < 1e-12 if name == "mlp" else difference > 1e-3


@recurrent
def test_recurrent_states_do_not_see_ahead(name):
    """A state depends on its own step and those before."""
    encoder = ENCODERS[name](D, E, 2).double()
    x = draw(B, L, D)
    other = torch.cat([x[:, :3], draw(B, L - 3, D, seed=1)], 1)
    assert_close(encoder(x)[0][:, :3], encoder(other)[0][:, :3])
    assert (encoder(x)[0][:, 3:] - encoder(other)[0][:, 3:]).abs().amin() > 0


@pytest.mark.parametrize("num_heads", [1, 2])
def test_transformer_does_not_look_at_masked_steps(num_heads):
    """What stands in a masked step changes no other state."""
    encoder = TransformerEncoder(D, E * num_heads, 2, num_heads).double()
    mask = torch.tensor([[False, True, True, False, True], [True, True, False, True, True]])
    x = draw(B, L, D)
    states, other = (encoder(one, mask)[0] for one in (x, torch.where(mask[..., None], x, 1e3)))
    assert_close(states[mask], other[mask])
    assert (states[~mask] - other[~mask]).abs().amax() > 1e-3


@every_encoder
def test_nothing_observed(name):
    """A window without any observed step has finite states and finite gradients."""
    encoder = ENCODERS[name](D, E, 2).double()
    states, summary = encoder(torch.zeros(B, L, D, dtype=torch.float64), torch.zeros(B, L, dtype=torch.bool))
    (states.sum() + summary.sum()).backward()
    assert torch.isfinite(states).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in encoder.parameters())


@every_encoder
def test_dropout_acts_in_training_only(name):
    """Dropout changes the states of two layers while training, by its own generator, and none afterwards."""
    encoder = ENCODERS[name](D, E, 2, 1, dropout=0.5).double()
    x = draw(B, L, D)
    drops = [module for module in encoder.modules() if isinstance(module, Dropout)]
    assert drops

    def states(seed):
        generator = torch.Generator().manual_seed(seed)
        for module in drops:
            module.generator = generator
        return encoder(x)[0]

    assert torch.equal(states(0), states(0))
    assert not torch.equal(states(0), states(1))
    encoder.eval()
    assert torch.equal(states(0), states(1))


@recurrent
def test_dropout_is_between_layers_only(name):
    """One recurrent layer has nothing to drop out: neither its input nor its states."""
    encoder = ENCODERS[name](D, E, 1, 1, dropout=0.5).double()
    x = draw(B, L, D)
    trained = encoder(x)[0]
    assert torch.equal(trained, encoder.eval()(x)[0])
