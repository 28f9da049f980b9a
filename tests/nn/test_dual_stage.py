"""Tests of dual-stage attention: its equations by hand, its recurrence against numpy, what its weights depend on."""

from copy import deepcopy
from math import atanh, log, sqrt

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from skattn.nn.activation import ACTIVATIONS
from skattn.nn.attention import ATTENTIONS, AdditiveAttention, Attention, DotAttention
from skattn.nn.dual_stage import DriverEncoder, DualStage, HistoryDecoder
from skattn.nn.random import DrawFrom

B, L, C, OWN, E, A = 3, 5, 13, 2, 7, 17
K = C - OWN  # 11
LN2 = log(2)
HALF = log(3) / 2  # tanh(HALF) = 0.5, tanh(2 HALF) = 0.8, tanh(HALF / 2) = 2 - sqrt(3)
OPEN = 40.0  # a gate of exactly one in float64

fitting = pytest.mark.parametrize("name", sorted(set(ATTENTIONS) - {"dot"}))
one_and_two_heads = pytest.mark.parametrize("num_heads", [1, 2])


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def assign(**values):
    """Make the dictionary of weights that load_state_dict takes, with dots for double underscores."""
    return {name.replace("__", "."): tensor(value) for name, value in values.items()}


def spread(module, seed=0):
    """Give a module weights large enough that every mechanism shows."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.7, generator=generator)
    return module


def make(attention=AdditiveAttention, channel_attention=AdditiveAttention, n_own=OWN, num_heads=1, **changes):
    """Make the two stages in float64; sizes that are split into heads are multiplied by their number."""
    sizes = L * num_heads, C, n_own, E * num_heads, attention, channel_attention, A * num_heads, num_heads
    return spread(DualStage(*sizes, **changes).double())


def windows(num_heads=1, holes=False, seed=1):
    """Make windows, zero where they are not observed: with holes a value, a driver, a step, a step's drivers
    and the whole last window."""
    x = torch.randn(B, L * num_heads, C, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    observed = torch.ones_like(x, dtype=torch.bool)
    if holes:
        observed[0, 3, 0] = observed[0, 2, 4] = False
        observed[0, :, 6] = observed[1, 1] = observed[1, 3, OWN:] = observed[2] = False
    return x * observed, observed


def lstm(weight):
    """Make the weights of a cell with one state: s' = s / 2 + tanh(weight . x) and h' = tanh(s')."""
    nothing = [0.0] * len(weight)
    return dict(
        cell__weight_ih=[nothing, nothing, weight, nothing],
        cell__weight_hh=[[0.0]] * 4,
        cell__bias_ih=[OPEN, 0.0, 0.0, OPEN],
        cell__bias_hh=[0.0] * 4,
    )


# ---------------------------------------------------------------------------------------------------- by hand


def test_driver_encoder_by_hand():
    """Equations 8 to 11 over two steps of two drivers: the second step is asked for by both states of the first."""
    encoder = DriverEncoder(AdditiveAttention, 2, 2, 1, attention_dim=1, num_heads=1).double()
    scale = atanh(HALF)
    encoder.load_state_dict(
        assign(
            attention__query__weight=[[HALF, 0.5]],
            attention__key__weight=[[HALF / 33, HALF / 17]],
            attention__key__bias=[-HALF],
            attention__v=[[[5 * LN2]]],
            **lstm([scale / 48, scale / 6]),
        )
    )
    x = tensor([[[33.0, 66.0], [17.0, -34.0]]])
    # U x^k + b: drivers (33, 17) and (66, -34) become HALF (1 + 1 - 1) = HALF and HALF (2 - 2 - 1) = -HALF
    # step 1: W [0; 0] = 0; tanh 1/2, -1/2; times 5 ln2 and exp: 32 to 1
    # x~ = (32/33 33, 1/33 66) = (32, 2); scale (32/48 + 2/6) = scale; s = tanh(scale) = HALF; h = tanh(HALF) = 1/2
    # step 2: W [h; s] = HALF / 2 + HALF / 2; tanh(2 HALF) = 0.8, tanh(0) = 0; times 5 ln2 and exp: 16 to 1
    # x~ = (16/17 17, 1/17 -34) = (16, -2); scale (16/48 - 2/6) = 0; s = HALF / 2; h = 2 - sqrt(3)
    states, weights = encoder(x, torch.ones(1, 2, 2, dtype=torch.bool))
    assert_close(weights, tensor([[[[32 / 33, 1 / 33], [16 / 17, 1 / 17]]]]))
    assert_close(states, tensor([[[1 / 2], [2 - sqrt(3)]]]))


def test_driver_encoder_without_attention_by_hand():
    """The cell reads the drivers as they are, not a K-th of them."""
    encoder = DriverEncoder(None, 2, 2, 1, attention_dim=1, num_heads=1).double()
    scale = atanh(HALF)
    encoder.load_state_dict(assign(**lstm([scale / 48, scale / 6])))
    states, weights = encoder(tensor([[[32.0, 2.0], [16.0, -2.0]]]), torch.ones(1, 2, 2, dtype=torch.bool))
    assert weights is None
    assert_close(states, tensor([[[1 / 2], [2 - sqrt(3)]]]))


def test_heads_are_averaged_by_hand():
    """Heads of weights (1/4, 3/4) and (1/2, 1/2) multiply the drivers by (3/8, 5/8)."""

    class Fixed(Attention):
        def score(self, query, key):
            return tensor([[0.0, log(3)], [0.0, 0.0]])[None, :, None]

    encoder = DriverEncoder(Fixed, 2, 2, 1, attention_dim=2, num_heads=2).double()
    encoder.load_state_dict(assign(**lstm([atanh(HALF) / 8] * 2)), strict=False)
    states, weights = encoder(tensor([[[8.0, 8.0], [16.0, -48 / 5]]]), torch.ones(1, 2, 2, dtype=torch.bool))
    assert_close(weights, tensor([[[[1 / 4, 3 / 4]] * 2, [[1 / 2, 1 / 2]] * 2]]))
    # step 1: x~ = (3, 5); step 2: x~ = (6, -6)
    assert_close(states, tensor([[[1 / 2], [2 - sqrt(3)]]]))


def decoder(n_own, mix):
    """Make a decoder of one state whose weights are numbers for the hand."""
    module = HistoryDecoder(AdditiveAttention, n_own, 1, attention_dim=1, num_heads=1).double()
    module.load_state_dict(
        assign(
            attention__query__weight=[[HALF, 0.5]],
            attention__key__weight=[[-2 * HALF / 33]],
            attention__key__bias=[3 * HALF],
            attention__v=[[[5 * LN2]]],
            mix__weight=[mix],
            mix__bias=[1.0],
            out__weight=[[5.0, 17.0]],
            out__bias=[7.0],
            **lstm([atanh(HALF) / 24]),
        )
    )
    return module


def test_history_decoder_by_hand():
    """Equations 12 to 16 and 22 over two steps: value t - 1 meets context t - 1, context t is asked for by t - 1."""
    states, mask = tensor([[[33.0], [66.0]]]), torch.tensor([[True, True]])
    # U h + b: HALF (-2 + 3) = HALF and HALF (-4 + 3) = -HALF, so that zero states look 32 to 1: c_1 = c_2 = 34
    # t = 2: y~ = 3 y_1 + c_1 / 2 + 1 = 24; s = tanh(atanh(HALF)) = HALF, d = 1/2
    # t = 3: asked for by d_2: W [d; s] = HALF; tanh 0.8, 0: 16 to 1; c_3 = (16 33 + 66) / 17 = 594 / 17
    #        y~ = 3 y_2 + c_2 / 2 + 1 = 0; s = HALF / 2, d = 2 - sqrt(3);   z = 5 d_3 + 17 c_3 + 7
    z, weights = decoder(1, [3.0, 0.5])(tensor([[[2.0], [-6.0]]]), states, mask)
    first = [32 / 33, 1 / 33]
    assert_close(weights, tensor([[[first, first, [16 / 17, 1 / 17]]]]))
    assert_close(z, tensor([[[5 * (2 - sqrt(3)) + 594 + 7]]]))


def test_history_decoder_without_history_by_hand():
    """Equation 15 without own values: y~ = 23/34 c + 1 = 24 in either step."""
    states, mask = tensor([[[33.0], [66.0]]]), torch.tensor([[True, True]])
    z, weights = decoder(0, [23 / 34])(torch.empty(1, 2, 0, dtype=torch.float64), states, mask)
    first = [32 / 33, 1 / 33]
    assert_close(weights, tensor([[[first, first, [16 / 17, 1 / 17]]]]))
    # s_2 = HALF, s_3 = HALF / 2 + HALF; tanh(3 HALF / 2) = (3^1.5 - 1) / (3^1.5 + 1)
    assert_close(z, tensor([[[5 * (3**1.5 - 1) / (3**1.5 + 1) + 594 + 7]]]))


def test_history_decoder_masks_steps_by_hand():
    """Of two states one may be looked at: it has all the weight at every step."""
    states, mask = tensor([[[33.0], [66.0]]]), torch.tensor([[False, True]])
    # y~ = 3 y_t + 66 / 2 + 1 = 24, then 0, as above
    z, weights = decoder(1, [3.0, 0.5])(tensor([[[-10 / 3], [-34 / 3]]]), states, mask)
    assert_close(weights, tensor([[[[0.0, 1.0]] * 3]]))
    assert_close(z, tensor([[[5 * (2 - sqrt(3)) + 17 * 66 + 7]]]))


# ---------------------------------------------------------------------------------------------------- against numpy


def numpy_lstm(w, name, x, h, s):
    """One step of a cell for one window, its four gates in torch's order."""
    gates = w[f"{name}.cell.weight_ih"] @ x + w[f"{name}.cell.bias_ih"]
    gates = gates + w[f"{name}.cell.weight_hh"] @ h + w[f"{name}.cell.bias_hh"]
    i, f, g, o = np.split(gates, 4)
    i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
    s = f * s + i * np.tanh(g)
    return o * np.tanh(s), s


def numpy_weights(w, name, state, memory, mask, num_heads):
    """Weights (N, len(memory)) of additive attention for one query, one score at a time."""
    weights = np.zeros((num_heads, len(memory)))
    units = np.split(np.arange(A * num_heads), num_heads)
    for n in range(num_heads):
        for k in np.flatnonzero(mask):
            asked = w[f"{name}.attention.query.weight"] @ state
            held = w[f"{name}.attention.key.weight"] @ memory[k] + w[f"{name}.attention.key.bias"]
            weights[n, k] = np.exp(w[f"{name}.attention.v"][n, :, 0] @ np.tanh(asked + held)[units[n]])
    return weights / np.maximum(weights.sum(1, keepdims=True), 1e-300)


def numpy_stages(w, x, observed, n_own, num_heads):
    """Both stages for one window (L, C), step by step as the paper numbers them: row t - 1 of an array is step t."""
    steps, width = len(x), E * num_heads
    first = n_own if n_own < x.shape[1] else 0
    drivers, seen = x[:, first:], observed[:, first:]
    h, s, memory, alphas = np.zeros(width), np.zeros(width), [], []
    for t in range(1, steps + 1):
        alpha = numpy_weights(w, "encoder", np.concatenate([h, s]), drivers.T, seen[t - 1], num_heads)  # 8, 9
        h, s = numpy_lstm(w, "encoder", alpha.mean(0) * drivers[t - 1], h, s)  # 10, 11
        memory.append(h)
        alphas.append(alpha)
    memory, parts = np.array(memory), np.split(np.arange(width), num_heads)
    d, cell, betas, c = {0: np.zeros(width), 1: np.zeros(width)}, {0: np.zeros(width), 1: np.zeros(width)}, {}, {}
    for t in range(1, steps + 2):
        state = np.concatenate([d[t - 1], cell[t - 1]])
        betas[t] = numpy_weights(w, "decoder", state, memory, observed.any(1), num_heads)  # 12, 13
        c[t] = np.concatenate([betas[t][n] @ memory[:, parts[n]] for n in range(num_heads)])  # 14
        if t >= 2:
            last = np.concatenate([x[t - 2, :n_own], c[t - 1]])
            mixed = w["decoder.mix.weight"] @ last + w["decoder.mix.bias"]  # 15
            d[t], cell[t] = numpy_lstm(w, "decoder", mixed, d[t - 1], cell[t - 1])  # 16
    end = steps + 1
    z = w["decoder.out.weight"] @ np.concatenate([d[end], c[end]]) + w["decoder.out.bias"]  # 22
    return z[None], np.stack(alphas, 1), np.stack([betas[t] for t in range(1, end + 1)], 1)


@one_and_two_heads
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("n_own", [0, 1, OWN, C])
def test_stages_against_numpy(n_own, holes, num_heads):
    """Forecast and weights are those of the equations, one window, step and score at a time."""
    module = make(n_own=n_own, num_heads=num_heads)
    x, observed = windows(num_heads, holes)
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    expected = [
        numpy_stages(weights, *window, n_own, num_heads) for window in zip(x.numpy(), observed.numpy(), strict=True)
    ]
    for result, parts in zip(module(x, observed), zip(*expected, strict=True), strict=True):
        assert_close(result, tensor(np.stack(parts)))


# ------------------------------------------------------------------------------------- what the weights depend on


class Cancelling(Attention):
    """One linear layer over [h; s; x^k] and no tanh, as in popular ports: softmax cancels what the states add."""

    def __init__(self, query_dim, memory_dim, attention_dim, num_heads):
        super().__init__(query_dim, memory_dim, num_heads, num_heads)

    def score(self, query, key):
        return query + key.transpose(-1, -2)  # (B, N, 1, L)


def differ(one, other):
    """Whether each row of the weights of each window is another."""
    return ((one - other).abs().amax(-1) > 1e-6).all()


def check_input_moves(kind):
    """Check that the weights of both stages change with the window, once a state that is not zero asks."""
    module = make(kind, kind)
    (x, observed), (other, _) = windows(), windows(seed=2)
    one, two = module(x, observed), module(other, observed)
    assert differ(one.channel[:, :, 1:], two.channel[:, :, 1:])
    assert differ(one.state[:, :, 2:], two.state[:, :, 2:])


def check_states_move_first_stage(kind):
    """Check that with the same keys a driver's first value leaves row 1 of the first stage and moves all others."""
    module = make(channel_attention=kind)
    x, observed = windows()
    other = x.clone()
    other[:, 0, -1] += 1
    keys = module.encoder.attention.keys(x[..., OWN:].transpose(1, 2))
    module.encoder.attention.keys = lambda memory: keys
    one, two = module(x, observed).channel, module(other, observed).channel
    assert torch.equal(one[:, :, 0], two[:, :, 0])
    assert differ(one[:, :, 1:], two[:, :, 1:])


def check_history_moves_second_stage(kind):
    """Check that the first own value, which no encoder's state holds, moves rows 3 on of the second stage alone."""
    module = make(attention=kind)
    x, observed = windows()
    other = x.clone()
    other[:, 0, 0] += 1
    one, two = module(x, observed), module(other, observed)
    assert torch.equal(one.channel, two.channel)
    assert torch.equal(one.state[:, :, :2], two.state[:, :, :2])
    assert differ(one.state[:, :, 2:], two.state[:, :, 2:])


def check_steps_differ(kind):
    """Check that each row differs from the one before, but for rows 1 and 2 of the second stage."""
    _, channel, state = make(kind, kind)(*windows())
    assert differ(channel[:, :, 1:], channel[:, :, :-1])
    assert torch.equal(state[:, :, 0], state[:, :, 1])
    assert differ(state[:, :, 2:], state[:, :, 1:-1])


STATE_CHECKS = [check_states_move_first_stage, check_history_moves_second_stage, check_steps_differ]


@fitting
@pytest.mark.parametrize("check", [check_input_moves, *STATE_CHECKS])
def test_weights_follow_window_and_states(name, check):
    """Weights change with the window, with the recurrent state that asks, and between the steps of a window."""
    check(ATTENTIONS[name])


@pytest.mark.parametrize("check", STATE_CHECKS)
def test_the_checks_can_fail(check):
    """A score that adds the state outside any tanh passes the check of the window and fails those of the states."""
    check_input_moves(Cancelling)
    with pytest.raises(AssertionError):
        check(Cancelling)


# ---------------------------------------------------------------------------------------------------- missing values


@fitting
@one_and_two_heads
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_rows_sum_to_one_where_something_was_observed(name, num_heads, activation):
    """Weights are zero where nothing was observed, not negative, and sum to one in each row that has any."""
    module = make(ATTENTIONS[name], ATTENTIONS[name], num_heads=num_heads, activation=ACTIVATIONS[activation])
    x, observed = windows(num_heads, holes=True)
    z, channel, state = module(x, observed)
    assert z.shape == (B, 1, E * num_heads)
    assert channel.shape == (B, num_heads, L * num_heads, K)
    assert state.shape == (B, num_heads, L * num_heads + 1, L * num_heads)
    for weights, seen in ((channel, observed[:, None, :, OWN:]), (state, observed.any(-1)[:, None, None])):
        seen = seen.expand_as(weights)
        assert (weights[~seen] == 0).all()
        assert (weights >= 0).all()
        assert_close(weights.sum(-1), seen.any(-1).double())
    assert (state[2] == 0).all() and (channel[2] == 0).all()
    assert torch.isfinite(z).all()


@fitting
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_finite(name, activation):
    """Missing values and a window without any leave every gradient finite."""
    module = make(ATTENTIONS[name], ATTENTIONS[name], activation=ACTIVATIONS[activation])
    x, observed = windows(holes=True)
    z, channel, state = module(x.requires_grad_(), observed)
    ((z**2).sum() + (channel**2).sum() + (state**2).sum()).backward()
    for one in (x, *module.parameters()):
        assert torch.isfinite(one.grad).all()


@fitting
def test_every_parameter_learns(name):
    """No parameter is beside the way to the forecast, whichever projections the attention has."""
    module = make(ATTENTIONS[name], ATTENTIONS[name])
    (module(*windows()).z ** 2).sum().backward()
    for key, parameter in module.named_parameters():
        # a bias that all keys share moves every dot product alike, and so no weight
        if not (name == "multihead" and key.endswith("attention.key.bias")):
            assert parameter.grad.abs().amax() > 0, key


@one_and_two_heads
def test_gradient(num_heads):
    """Analytical gradients equal numerical ones through both stages, with missing values."""
    module = make(num_heads=num_heads)
    x, observed = windows(num_heads, holes=True)
    assert torch.autograd.gradcheck(lambda x: tuple(module(x, observed)), x.requires_grad_(), fast_mode=True)


def test_windows_are_independent():
    """A window alone is read as among others."""
    module = make()
    x, observed = windows(holes=True)
    together = module(x, observed)
    for i in range(B):
        for alone, among in zip(module(x[i : i + 1], observed[i : i + 1]), together, strict=True):
            assert_close(alone, among[i : i + 1])


# ---------------------------------------------------------------------------------------------- own, drivers, ablations


@pytest.mark.parametrize(("n_own", "n_drivers"), [(0, C), (1, C - 1), (OWN, K), (C, C)])
def test_drivers_are_the_channels_that_are_not_own(n_own, n_drivers):
    """The first stage weighs the channels behind the own ones, or the own ones where there are no others."""
    module = make(n_own=n_own)
    assert module(*windows()).channel.shape == (B, 1, L, n_drivers)


@pytest.mark.parametrize("n_own", [0, 1, OWN, C])
def test_every_value_counts(n_own):
    """Each value of the window moves the forecast."""
    x, observed = windows()
    make(n_own=n_own)(x.requires_grad_(), observed).z.sum().backward()
    assert (x.grad != 0).all()


@pytest.mark.parametrize(("n_own", "width"), [(0, 1), (1, 1), (OWN, OWN)])
def test_width_of_equation_15(n_own, width):
    """The decoder's cell reads one number as in the paper, or as many as there are own channels."""
    assert make(n_own=n_own).decoder.cell.input_size == width


def test_own_history_is_read_by_the_decoder_alone():
    """With other drivers there, own values move neither the first stage nor, without a decoder, the forecast."""
    x, observed = windows()
    other = x.clone()
    other[..., :OWN] += 1
    assert torch.equal(make()(x, observed).channel, make()(other, observed).channel)
    assert (make()(x, observed).z != make()(other, observed).z).all()
    assert torch.equal(make(attention=None)(x, observed).z, make(attention=None)(other, observed).z)


def test_without_second_stage():
    """The forecast is a linear map of the last state of the encoder, whose weights are as ever."""
    module = make(attention=None)
    x, observed = windows(holes=True)
    z, channel, state = module(x, observed)
    states, weights = module.encoder(x[..., OWN:], observed[..., OWN:])
    assert state is None
    assert_close(channel, weights)
    assert_close(z, states[:, -1:] @ module.out.weight.T + module.out.bias)


def test_without_first_stage():
    """The encoder is torch's LSTM on the drivers as they are, and its states are what the decoder looks at."""
    module = make(channel_attention=None)
    x, observed = windows(holes=True)
    z, channel, state = module(x, observed)
    layer = torch.nn.LSTM(K, E, batch_first=True).double()
    layer.load_state_dict({f"{name}_l0": value for name, value in module.encoder.cell.state_dict().items()})
    assert channel is None
    assert_close((z, state), module.decoder(x[..., :OWN], layer(x[..., OWN:])[0], observed.any(-1)))


# ---------------------------------------------------------------------------------------------------- as a module


def test_each_stage_has_an_activation_of_its_own():
    """A temperature is learned by each stage for itself; sparsemax leaves out steps and drivers where softmax none."""
    assert sum("temperature" in name for name in make(activation=ACTIVATIONS["temperature"]).state_dict()) == 2
    for name, some in (("softmax", False), ("sparsemax", True)):
        for weights in make(activation=ACTIVATIONS[name])(*windows())[1:]:
            assert (weights == 0).any() == some


def test_copies_and_state_dict():
    """A deep copy and a module loaded from the weights read windows alike."""
    module = make()
    other = make()
    spread(other, seed=3)
    x, observed = windows(holes=True)
    expected = module(x, observed)
    assert not torch.equal(other(x, observed).z, expected.z)
    other.load_state_dict(module.state_dict())
    for copy in (other, deepcopy(module)):
        assert all(torch.equal(one, two) for one, two in zip(copy(x, observed), expected, strict=True))


def test_initial_weights_come_from_the_generator():
    """Within DrawFrom two modules of one seed are equal, and the global random state is left alone."""

    def build(seed):
        with DrawFrom(torch.Generator().manual_seed(seed)):
            return torch.cat([p.flatten() for p in DualStage(L, C, OWN, E, *[AdditiveAttention] * 2).parameters()])

    before = torch.get_rng_state()
    assert torch.equal(build(0), build(0))
    assert not torch.equal(build(0), build(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_is_on_the_weighed_drivers():
    """In training, each step's weighed drivers have noise: half of their root mean square over their number."""
    module, silent = make(noise=0.5), make()
    x, observed = windows(holes=True)
    encoder, noise = module.encoder, torch.Generator().manual_seed(0)
    encoder.attention.noise.generator = torch.Generator().manual_seed(0)
    states, weights = encoder(x[..., OWN:], observed[..., OWN:])
    h = s = torch.zeros(B, E).double()
    keys = encoder.attention.keys(x[..., OWN:].transpose(1, 2))
    for t in range(L):
        now = x[:, t, OWN:]
        alpha = encoder.attention.attend(torch.cat([h, s], -1)[:, None], keys, observed[:, t, OWN:])
        drawn = torch.empty(B, K).double().normal_(generator=noise)
        h, s = encoder.cell(alpha[:, 0, 0] * now + 0.5 * now.square().mean().sqrt() / K * drawn, (h, s))
        assert_close((states[:, t], weights[:, :, t]), (h, alpha[:, :, 0]))
    assert (module(x, observed).z != silent(x, observed).z)[:2].all()
    for one, other in zip(module.eval()(x, observed), silent(x, observed), strict=True):
        assert torch.equal(one, other)


def test_own_history_has_no_noise():
    """Without a first stage nothing is weighed, and the second stage draws nothing."""
    module = make(channel_attention=None, noise=0.5)
    for one, other in zip(module(*windows()), make(channel_attention=None)(*windows()), strict=True):
        assert one is other is None or torch.equal(one, other)
    assert make(noise=0.5).decoder.attention.noise.amount == 0


@pytest.mark.parametrize(
    ("attention", "channel_attention", "kinds"),
    [
        (AdditiveAttention, AdditiveAttention, {"channel", "state"}),
        (AdditiveAttention, None, {"state"}),
        (None, AdditiveAttention, {"channel"}),
        (None, None, set()),
    ],
)
def test_kinds(attention, channel_attention, kinds):
    """The module says which weights it gives."""
    module = make(attention, channel_attention)
    assert module.kinds == kinds
    stages = module(*windows())
    assert {kind for kind in ("channel", "state") if getattr(stages, kind) is not None} == kinds


# ---------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("kinds", "num_heads", "message"),
    [
        ((AdditiveAttention, None), 2, r"num_heads must divide hidden_size: got num_heads = 2 and hidden_size = 7"),
        ((None, AdditiveAttention), 2, r"num_heads must divide window_length: got num_heads = 2 and window_length = 5"),
        (
            (AdditiveAttention, None),
            7,
            r"num_heads must divide attention_dim: got num_heads = 7 and attention_dim = 17",
        ),
    ],
)
def test_heads_must_divide(kinds, num_heads, message):
    """The error names the size that the user gave, and the way out."""
    with pytest.raises(ValueError, match=message):
        DualStage(L, C, OWN, E, *kinds, A, num_heads)


def test_dot_wants_equal_widths():
    """A query of two states is never as wide as one; it is as wide as a driver if the window is twice a state."""
    with pytest.raises(ValueError, match=r"query_dim = 14 and memory_dim = 7. Use attention='general' or 'additive'"):
        DualStage(L, C, OWN, E, DotAttention, None)
    with pytest.raises(ValueError, match=r"query_dim = 14 and memory_dim = 5"):
        DualStage(L, C, OWN, E, None, DotAttention)
    stages = DualStage(2 * E, C, OWN, E, None, DotAttention)
    x = torch.ones(B, 2 * E, C)
    assert_close(stages(x, x > 0).channel.sum(-1), torch.ones(B, 1, 2 * E))
