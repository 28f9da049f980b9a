"""Tests of where attention is applied: the equations of input, state and channel attention by hand."""

from math import log, tanh

import pytest
import torch
from torch.testing import assert_close

from skattn.nn.activation import ACTIVATIONS
from skattn.nn.attention import ATTENTIONS, gain
from skattn.nn.placement import ChannelAttention, InputAttention, StateAttention
from skattn.nn.random import DrawFrom

B, L, C, D, E, A, H = 2, 5, 3, 7, 11, 13, 17
LN2 = log(2)
HALF = log(3) / 2  # tanh(HALF) = 0.5

every_attention = pytest.mark.parametrize("name", ATTENTIONS)
one_and_two_heads = pytest.mark.parametrize("num_heads", [1, 2])
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def assign(**values):
    """Make the dictionary of weights that load_state_dict takes, with dots for double underscores."""
    return {name.replace("__", "."): tensor(value) for name, value in values.items()}


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------- inputs


def test_input_attention_by_hand():
    """Score each step through a layer of attention_dim, softmax over time, weigh: 3 weights of three steps."""
    place = InputAttention(ATTENTIONS["additive"], embedding_dim=2, attention_dim=2, num_heads=1).double()
    place.load_state_dict(
        assign(
            query=[[1.0, 1.0]],
            attention__query__weight=[[HALF, 0.0], [0.0, 0.0]],
            attention__key__weight=[[1.0, 0.0], [0.0, 1.0]],
            attention__key__bias=[0.0, 0.0],
            attention__v=[[[2 * LN2], [4 * LN2]]],
        )
    )
    x = tensor([[[0.0, 0.0], [-HALF, 0.0], [-HALF, HALF]]])
    # W q = (HALF, 0); tanh(W q + x) = (0.5, 0), (0, 0), (0, 0.5); scores ln2, 0, 2 ln2; weights 2, 1, 4 sevenths
    weighed, weights = place(x, torch.tensor([[True, True, True]]))
    assert_close(weights, tensor([[[[2 / 7, 1 / 7, 4 / 7]]]]))
    assert_close(weighed, tensor([[[0.0, 0.0], [-3 * HALF / 7, 0.0], [-12 * HALF / 7, 12 * HALF / 7]]]))
    # without the second step: 2 weights, of 2 and 4 sixths
    weighed, weights = place(x, torch.tensor([[True, False, True]]))
    assert_close(weights, tensor([[[[1 / 3, 0.0, 2 / 3]]]]))
    assert_close(weighed, tensor([[[0.0, 0.0], [0.0, 0.0], [-4 * HALF / 3, 4 * HALF / 3]]]))


@every_attention
@one_and_two_heads
def test_input_attention_shapes(name, num_heads):
    """Steps keep their shape, weights are one row per head and sum to one."""
    place = InputAttention(ATTENTIONS[name], D * num_heads, A * num_heads, num_heads).double()
    x = draw(B, L, D * num_heads)
    weighed, weights = place(x, torch.ones(B, L, dtype=torch.bool))
    assert weighed.shape == x.shape
    assert weights.shape == (B, num_heads, 1, L)
    assert_close(weights.sum(-1), torch.ones(B, num_heads, 1, dtype=torch.float64))


@every_attention
def test_input_attention_weights_change_with_the_input(name):
    """The weights of one window differ from those of another, and are not even."""
    place = InputAttention(ATTENTIONS[name], D, A, 1).double()
    _, weights = place(3 * draw(B, L, D), torch.ones(B, L, dtype=torch.bool))
    assert (weights[0] - weights[1]).abs().amax() > 1e-3
    assert (weights - 1 / L).abs().amax() > 1e-3


# ---------------------------------------------------------------------------------------------------- states


def test_state_attention_by_hand():
    """Two queries: the summary plus an embedding of the step; then tanh(W [c; q] + b)."""
    place = StateAttention(ATTENTIONS["dot"], hidden_size=1, horizon=2, attention_dim=5, num_heads=1).double()
    place.load_state_dict(assign(steps=[[-0.5], [0.5]], combine__weight=[[0.2, 0.3]], combine__bias=[0.1]))
    summary, states = tensor([[[1.5]]]), tensor([[[0.0], [LN2]]])
    # queries: 1.5 - 0.5 = 1 and 1.5 + 0.5 = 2;  scores: (0, ln2) and (0, 2 ln2);  weights (1, 2)/3 and (1, 4)/5
    answer, weights = place(summary, states, torch.tensor([[True, True]]))
    assert_close(weights, tensor([[[[1 / 3, 2 / 3], [1 / 5, 4 / 5]]]]))
    # contexts: 2/3 ln2 and 4/5 ln2
    first = tanh(0.2 * 2 / 3 * LN2 + 0.3 * 1 + 0.1)
    second = tanh(0.2 * 4 / 5 * LN2 + 0.3 * 2 + 0.1)
    assert_close(answer, tensor([[[first], [second]]]))


@every_attention
@one_and_two_heads
def test_state_attention_shapes(name, num_heads):
    """One summary becomes a query per step ahead; as many queries as steps are taken as they are."""
    place = StateAttention(ATTENTIONS[name], E * num_heads, H, A * num_heads, num_heads).double()
    states, mask = draw(B, L, E * num_heads), torch.ones(B, L, dtype=torch.bool)
    for query in (states[:, -1:], draw(B, H, E * num_heads, seed=1)):
        answer, weights = place(query, states, mask)
        assert answer.shape == (B, H, E * num_heads)
        assert weights.shape == (B, num_heads, H, L)
        assert_close(weights.sum(-1), torch.ones(B, num_heads, H, dtype=torch.float64))


@every_attention
def test_state_attention_weights_change_with_state_and_step(name):
    """The summary does not cancel in the softmax, nor does the step ahead."""
    place = StateAttention(ATTENTIONS[name], E, H, A, 1).double()
    states, mask = draw(B, L, E), torch.ones(B, L, dtype=torch.bool)
    one, other = (place(draw(B, 1, E, seed=seed), states, mask)[1] for seed in (1, 2))
    assert (one - other).abs().amax() > 1e-3
    assert (one[:, :, 0] - one[:, :, 1]).abs().amax() > 1e-3
    changed = place(draw(B, 1, E, seed=1), states.flip(2), mask)[1]
    assert (one - changed).abs().amax() > 1e-3


def test_masked_states_do_not_matter():
    """A state of a step that was not observed is not looked at."""
    place = StateAttention(ATTENTIONS["additive"], E, H, A, 1).double()
    states, mask = draw(B, L, E), torch.tensor([[False, True, True, True, True], [True, True, True, False, True]])
    answer, weights = place(states[:, -1:], states, mask)
    other = torch.where(mask[..., None], states, 1e3)
    assert_close(place(states[:, -1:], other, mask), (answer, weights))
    assert (weights[0, ..., 0] == 0).all()
    assert (weights[1, ..., 3] == 0).all()


# ---------------------------------------------------------------------------------------------------- channels


def test_channel_attention_by_hand():
    """A channel's sum over time and its identity, times the query ln2, is its score; 3 channels, 3 weights."""
    sizes = dict(window_length=2, n_channels=3, embedding_dim=1, attention_dim=5, num_heads=1)
    place = ChannelAttention(ATTENTIONS["dot"], **sizes).double()
    place.load_state_dict(
        assign(
            query=[[LN2]],
            embedding__linear__weight=[[1.0, 1.0, 0.0, 0.0]],
            embedding__linear__bias=[0.0],
            embedding__place=[[0.0], [0.0], [1.0]],
        )
    )
    x = tensor([[[3.0, 1.0, 1.0], [-2.0, -1.0, 0.0]]])  # sums over the two steps 1, 0, 1, and 1 for the last channel
    observed = torch.ones(1, 2, 3, dtype=torch.bool)
    weighed, weights = place(x, observed)
    assert_close(weights, tensor([[[[2 / 7, 1 / 7, 4 / 7]]]]))
    assert_close(weighed, tensor([[[3 * 6 / 7, 3 / 7, 12 / 7], [-3 * 4 / 7, -3 / 7, 0.0]]]))
    # the last channel was never observed: two channels share, 2 weights of 2 and 1 thirds
    observed[..., 2] = False
    weighed, weights = place(x * observed, observed)
    assert_close(weights, tensor([[[[2 / 3, 1 / 3, 0.0]]]]))
    assert_close(weighed, tensor([[[4.0, 2 / 3, 0.0], [-8 / 3, -2 / 3, 0.0]]]))


@every_attention
def test_channel_attention_is_attention_turned_by_ninety_degrees(name):
    """Its weights are those of InputAttention on the transposed window."""
    channels = ChannelAttention(ATTENTIONS[name], L, C, D, A, 1).double()
    time = InputAttention(ATTENTIONS[name], D, A, 1).double()
    time.query, time.attention = channels.query, channels.attention
    x = draw(B, L, C)
    observed = x > -0.5
    weighed, weights = channels(x, observed)
    memory = channels.embedding(x.transpose(1, 2), observed.transpose(1, 2))  # (B, C, D)
    assert_close(weights, time(memory, observed.any(1))[1])
    assert_close(weighed, x * C * weights[:, 0])


@every_attention
@one_and_two_heads
def test_channel_attention_shapes_and_mean_over_heads(name, num_heads):
    """A channel is multiplied by the mean of its weights over the heads, times the number of channels."""
    place = ChannelAttention(ATTENTIONS[name], L, C, D * num_heads, A * num_heads, num_heads).double()
    x = draw(B, L, C)
    mask = torch.tensor([[True, True, True], [True, False, True]])
    observed = mask[:, None].expand(B, L, C)
    weighed, weights = place(x, observed)
    assert weights.shape == (B, num_heads, 1, C)
    assert_close(weights.sum(-1), torch.ones(B, num_heads, 1, dtype=torch.float64))
    assert_close(weighed, x * gain(weights, mask).mean(1))
    assert (weights[1, ..., 1] == 0).all()
    assert (weighed[1, :, 1] == 0).all()


@every_attention
def test_channel_attention_weights_change_with_the_input(name):
    """The weights of one window differ from those of another."""
    place = ChannelAttention(ATTENTIONS[name], L, C, D, A, 1).double()
    x = 3 * draw(B, L, C)
    weights = place(x, x == x)[1]
    assert (weights[0] - weights[1]).abs().amax() > 1e-3


@every_attention
def test_channel_attention_can_learn_which_channel_matters(name):
    """Channels with the same values get other weights once their identities differ."""
    place = ChannelAttention(ATTENTIONS[name], L, C, D, A, 1).double()
    x = draw(B, L, 1).expand(B, L, C)
    assert_close(place(x, x == x)[1], torch.full((B, 1, 1, C), 1 / C, dtype=torch.float64))
    place.embedding.place.data[1] = place.query.data[0]
    weights = place(x, x == x)[1]
    assert (weights - 1 / C).abs().amin() > 1e-3


def test_channel_attention_has_no_dead_weights():
    """Multihead's projections of value and output, which the channels do not use, are no parameters."""
    names = [name for name, _ in ChannelAttention(ATTENTIONS["multihead"], L, C, D, A, 1).named_parameters()]
    assert not [name for name in names if "value" in name or "out" in name]


# ---------------------------------------------------------------------------------------------------- all three


def place(where, num_heads=1, name="additive", **options):
    """One of the three places, with what it is called with: inputs, states or channels of two windows with holes."""
    wide = D * num_heads, A * num_heads, num_heads
    x, mask = draw(B, L, D * num_heads), torch.tensor([[True, False, True, True, True], [True] * 5])
    with DrawFrom(torch.Generator().manual_seed(0)):
        if where == "input":
            return InputAttention(ATTENTIONS[name], *wide, **options).double(), (x, mask)
        if where == "state":
            module = StateAttention(ATTENTIONS[name], D * num_heads, H, *wide[1:], **options)
            return module.double(), (x[:, -1:], x, mask)
        observed = torch.ones(B, L, C, dtype=torch.bool)
        observed[0, :, 1] = observed[1, 2] = False
        return ChannelAttention(ATTENTIONS[name], L, C, *wide, **options).double(), (draw(B, L, C) * observed, observed)


@pytest.mark.parametrize("where", ["input", "state", "channel"])
@every_attention
@one_and_two_heads
@every_activation
def test_every_activation_at_every_place(where, name, num_heads, activation):
    """Each place weighs by the activation it is given: what its attention makes of the same scores."""
    module, args = place(where, num_heads, name, activation=ACTIVATIONS[activation])
    assert isinstance(module.attention.activation, ACTIVATIONS[activation])
    weights = module(*args)[1]
    observed = args[-1].any(1) if where == "channel" else args[-1]
    observed = observed[:, None, None].expand_as(weights)
    assert (weights[~observed] == 0).all()
    assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    softmax, _ = place(where, num_heads, name)
    assert (softmax(*args)[1] - weights).abs().amax() > 1e-3 or activation in ("softmax", "temperature")


def test_noise_on_inputs_by_hand():
    """Half the root mean square of the embedded inputs, whatever their weights."""
    module, (x, mask) = place("input", noise=0.5)
    silent, _ = place("input")
    module.attention.noise.generator = torch.Generator().manual_seed(0)
    drawn = torch.empty(B, 1, L, D).double().normal_(generator=torch.Generator().manual_seed(0))[:, 0]
    noisy, weights = module(x, mask)
    weighed, same = silent(x, mask)
    assert_close(weights, same)
    assert_close(noisy, weighed + 0.5 * x.square().mean().sqrt() * drawn)


def test_noise_on_channels_by_hand():
    """Half the root mean square of the channels, missing values counting as zero."""
    module, (x, observed) = place("channel", noise=0.5)
    silent, _ = place("channel")
    module.attention.noise.generator = torch.Generator().manual_seed(0)
    drawn = torch.empty(B, L, C).double().normal_(generator=torch.Generator().manual_seed(0))
    noisy, weights = module(x, observed)
    weighed, same = silent(x, observed)
    assert_close(weights, same)
    assert_close(noisy, weighed + 0.5 * x.square().mean().sqrt() * drawn)


@pytest.mark.parametrize("where", ["input", "channel"])
def test_noise_ends_with_training(where):
    """In evaluation a place with noise is one without."""
    (noisy, args), (silent, _) = place(where, noise=0.5), place(where)
    assert (noisy(*args)[0] - silent(*args)[0]).abs().amin() > 0
    assert_close(noisy.eval()(*args), silent(*args))


def test_states_have_no_noise():
    """The attention on states is made without: nothing is drawn in training."""
    module, args = place("state")
    assert module.attention.noise.amount == 0
    assert_close(module(*args), module.eval()(*args))
