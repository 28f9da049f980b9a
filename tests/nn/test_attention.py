"""Tests of the attention mechanisms: each score by hand, then what every mechanism in ATTENTIONS must do."""

from math import log

import pytest
import torch
from torch.testing import assert_close

from skattn.nn.activation import ACTIVATIONS
from skattn.nn.attention import ATTENTIONS, Attention, gain

B, Q, L, WIDTH, DIM = 2, 3, 5, 7, 11
LN2, LN3 = log(2), log(3)
HALF = log(3) / 2  # tanh(HALF) = 0.5


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def assign(**values):
    """Make the dictionary of weights that load_state_dict takes, with dots for double underscores."""
    return {name.replace("__", "."): tensor(value) for name, value in values.items()}


def make(name, num_heads=1, seed=0, activation="softmax", noise=0.0):
    """Make an attention in float64 whose query and memory are equally wide."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        attention = ATTENTIONS[name](WIDTH * num_heads, WIDTH * num_heads, DIM * num_heads, num_heads)
    attention.configure(ACTIVATIONS[activation], noise).noise.generator = torch.Generator().manual_seed(seed)
    return attention.double()


def inputs(num_heads=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    shapes = (B, Q, WIDTH * num_heads), (B, L, WIDTH * num_heads)
    query, memory = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    mask = torch.tensor([[True, False, True, True, False], [False, True, True, True, True]])
    return query, memory, mask


every_attention = pytest.mark.parametrize("name", ATTENTIONS)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
one_and_two_heads = pytest.mark.parametrize("num_heads", [1, 2])


# ---------------------------------------------------------------------------------------------------- by hand


def test_additive_by_hand():
    """v . tanh(W q + U k + b), with arguments of tanh that are 0 or HALF."""
    attention = ATTENTIONS["additive"](1, 2, attention_dim=2).double()
    attention.load_state_dict(
        assign(
            query__weight=[[HALF], [0.0]],
            key__weight=[[1.0, 0.0], [0.0, 1.0]],
            key__bias=[-HALF, 0.0],
            v=[[[2 * LN2], [4 * LN2]]],
        )
    )
    query = tensor([[[2.0]]])  # W q = (2 HALF, 0); with the bias (HALF, 0)
    memory = tensor([[[0.0, 0.0], [-HALF, 0.0], [-HALF, HALF]]])
    # tanh:   (0.5, 0)        (0, 0)     (0, 0.5)
    # score:  2 ln2 / 2 = ln2    0       4 ln2 / 2 = 2 ln2        exp: 2, 1, 4, sum 7
    context, weights = attention(query, memory)
    assert_close(weights, tensor([[[[2 / 7, 1 / 7, 4 / 7]]]]))
    # context: (0 - HALF - 4 HALF, 4 HALF) / 7
    assert_close(context, tensor([[[-5 * HALF / 7, 4 * HALF / 7]]]))


def test_dot_by_hand():
    """Scores are q . k = (ln2, 0, 2 ln2)."""
    attention = ATTENTIONS["dot"](2, 2)
    query = tensor([[[1.0, 2.0]]])
    memory = tensor([[[LN2, 0.0], [0.0, 0.0], [0.0, LN2]]])
    context, weights = attention(query, memory)
    assert_close(weights, tensor([[[[2 / 7, 1 / 7, 4 / 7]]]]))
    assert_close(context, tensor([[[2 * LN2 / 7, 4 * LN2 / 7]]]))


def test_dot_by_hand_with_two_heads():
    """Head 1 sees the first half of query and memory, head 2 the second."""
    attention = ATTENTIONS["dot"](2, 2, num_heads=2)
    query = tensor([[[LN2, LN3]]])
    memory = tensor([[[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]])
    # head 1: ln2 * (1, 0, 2) -> exp 2, 1, 4;  head 2: ln3 * (0, 1, 0) -> exp 1, 3, 1
    context, weights = attention(query, memory)
    assert_close(weights, tensor([[[[2 / 7, 1 / 7, 4 / 7]], [[1 / 5, 3 / 5, 1 / 5]]]]))
    assert_close(context, tensor([[[(2 + 8) / 7, 3 / 5]]]))


def test_general_by_hand():
    """Scores are k . W q with W q = (1, 2), then as in dot."""
    attention = ATTENTIONS["general"](3, 2).double()
    attention.load_state_dict(assign(query__weight=[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))
    query = tensor([[[1.0, 1.0, 1.0]]])
    memory = tensor([[[LN2, 0.0], [0.0, 0.0], [0.0, LN2]]])
    context, weights = attention(query, memory)
    assert_close(weights, tensor([[[[2 / 7, 1 / 7, 4 / 7]]]]))
    assert_close(context, tensor([[[2 * LN2 / 7, 4 * LN2 / 7]]]))


def test_multihead_by_hand():
    """Two heads of width 4: scores q . k / sqrt(4), a value projection and an output projection."""
    attention = ATTENTIONS["multihead"](1, 2, attention_dim=8, num_heads=2).double()
    attention.load_state_dict(
        assign(
            query__weight=[[1.0]] * 8,
            key__weight=[[LN2 / 2, 0.0]] * 4 + [[0.0, LN3 / 2]] * 4,
            key__bias=[0.0] * 8,
            value__weight=[[0.0, 1.0], [1.0, 0.0]],
            value__bias=[10.0, 20.0],
            out__weight=[[1.0, 1.0], [1.0, -1.0]],
            out__bias=[0.0, 1.0],
        )
    )
    query = tensor([[[1.0]]])
    memory = tensor([[[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]])
    # head 1: 4 ln2/2 m_1 / sqrt(4) = ln2 * (1, 0, 2) -> exp 2, 1, 4
    # head 2: 4 ln3/2 m_2 / sqrt(4) = ln3 * (0, 1, 0) -> exp 1, 3, 1
    context, weights = attention(query, memory)
    assert_close(weights, tensor([[[[2 / 7, 1 / 7, 4 / 7]], [[1 / 5, 3 / 5, 1 / 5]]]]))
    # values: (10, 21), (11, 20), (10, 22); head 1 takes the first: 10 + 1/7, head 2 the second: (21 + 60 + 22) / 5
    first, second = 10 + 1 / 7, 103 / 5
    assert_close(context, tensor([[[first + second, first - second + 1]]]))


def test_gain_by_hand():
    """Weights times the number of steps that share them: three without a mask, two with it."""
    weights = tensor([[[[1 / 4, 3 / 4, 0.0]]]])
    assert_close(gain(weights), tensor([[[[3 / 4, 9 / 4, 0.0]]]]))
    assert_close(gain(weights, torch.tensor([[True, True, False]])), tensor([[[[1 / 2, 3 / 2, 0.0]]]]))


def test_weigh_by_hand():
    """Each step times its weight times the number of steps; a masked step becomes zero and does not count."""
    attention = ATTENTIONS["dot"](2, 2)
    query = tensor([[[1.0, 2.0]]])
    memory = tensor([[[LN2, 1.0], [0.0, 0.0], [0.0, LN2], [7.0, 7.0]]])
    mask = torch.tensor([[True, True, True, False]])
    # scores: ln2 + 2, 0, 2 ln2
    total = 2 * torch.e**2 + 1 + 4
    w = [2 * torch.e**2 / total, 1 / total, 4 / total, 0.0]
    weighed, weights = attention.weigh(query, memory, mask)
    assert_close(weights, tensor([[[w]]]))
    assert_close(weighed, tensor([[[3 * w[0] * LN2, 3 * w[0]], [0.0, 0.0], [0.0, 3 * w[2] * LN2], [0.0, 0.0]]]))


def test_weigh_by_hand_with_two_heads():
    """Head 1 weighs the first half of each step, head 2 the second."""
    attention = ATTENTIONS["dot"](2, 2, num_heads=2)
    memory = tensor([[[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]])
    weighed, weights = attention.weigh(tensor([[[LN2, LN3]]]), memory)
    assert_close(weights, tensor([[[[2 / 7, 1 / 7, 4 / 7]], [[1 / 5, 3 / 5, 1 / 5]]]]))
    assert_close(weighed, tensor([[[3 * 2 / 7, 0.0], [0.0, 3 * 3 / 5], [3 * 8 / 7, 0.0]]]))


def test_sparse_attention_by_hand():
    """Scores of (0.5, 0, -1) are weights of (3/4, 1/4, 0) under sparsemax."""
    attention = ATTENTIONS["dot"](1, 1).configure(ACTIVATIONS["sparsemax"])
    context, weights = attention(tensor([[[1.0]]]), tensor([[[0.5], [0.0], [-1.0]]]))
    assert_close(weights, tensor([[[[0.75, 0.25, 0.0]]]]))
    assert_close(context, tensor([[[0.375]]]))


def test_noise_by_hand():
    """Half the root mean square of the memory, 5, times numbers drawn for each step; even weights are gains of one."""
    attention = ATTENTIONS["dot"](2, 2).configure(ACTIVATIONS["softmax"], 0.5)
    attention.noise.generator = torch.Generator().manual_seed(0)
    memory = tensor([[[7.0, 1.0], [5.0, -5.0]]])  # squares 49, 1, 25, 25
    drawn = torch.empty(1, 1, 2, 2).double().normal_(generator=torch.Generator().manual_seed(0))[:, 0]
    weighed, weights = attention.weigh(tensor([[[0.0, 0.0]]]), memory)
    assert_close(weights, tensor([[[[0.5, 0.5]]]]))
    assert_close(weighed, memory + 0.5 * 5 * drawn)


# ---------------------------------------------------------------------------------------------------- contract


@every_attention
@one_and_two_heads
def test_shapes(name, num_heads):
    """Contexts are as wide as the memory, weights are heads x queries x steps."""
    query, memory, mask = inputs(num_heads)
    context, weights = make(name, num_heads)(query, memory, mask)
    assert context.shape == (B, Q, WIDTH * num_heads)
    assert weights.shape == (B, num_heads, Q, L)


@pytest.mark.parametrize("name", sorted(set(ATTENTIONS) - {"dot"}))
def test_query_and_memory_may_differ_in_width(name):
    """A query has a width of its own, except for dot."""
    query, memory, mask = inputs()
    attention = ATTENTIONS[name](13, WIDTH, DIM).double()
    query = torch.cat([query, query], -1)[..., :13]
    assert attention(query, memory, mask)[0].shape == (B, Q, WIDTH)


@every_attention
@one_and_two_heads
@every_activation
def test_rows_sum_to_one_and_masked_steps_are_zero(name, num_heads, activation):
    """Weights are positive, or may be zero if sparse, where the mask is, exactly zero elsewhere, and sum to one."""
    query, memory, mask = inputs(num_heads)
    weights = make(name, num_heads, activation=activation).weights(query, memory, mask)
    where = mask[:, None, None].expand_as(weights)
    assert (weights[~where] == 0).all()
    assert (weights >= 0).all()
    assert (weights[where] > 0).all() or activation in ("sparsemax", "entmax15")
    assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


@every_attention
def test_no_mask_is_a_full_mask(name):
    """Leaving the mask out looks at all steps."""
    query, memory, mask = inputs()
    attention = make(name)
    assert_close(attention(query, memory), attention(query, memory, torch.ones_like(mask)))


@every_attention
@one_and_two_heads
def test_masked_steps_do_not_matter(name, num_heads):
    """What stands in a masked step changes neither context nor weights; leaving it out gives the same."""
    query, memory, mask = inputs(num_heads)
    attention = make(name, num_heads)
    context, weights = attention(query, memory, mask)
    other = torch.where(mask[..., None], memory, 1e6)
    assert_close(attention(query, other, mask), (context, weights))
    kept = memory[:1, mask[0]]
    assert_close(attention(query[:1], kept), (context[:1], weights[:1, ..., mask[0]]))


@every_attention
@one_and_two_heads
def test_weights_change_with_query_and_memory(name, num_heads):
    """Neither the query nor the memory cancels in the softmax."""
    query, memory, mask = inputs(num_heads)
    attention = make(name, num_heads)
    weights = attention.weights(query, memory, mask)
    for other in (attention.weights(query + 1, memory, mask), attention.weights(query, memory.flip(2), mask)):
        assert (weights - other).abs().amax() > 1e-3
    assert (weights[:, :, 0] - weights[:, :, 1]).abs().amax() > 1e-3


@every_attention
def test_weights_are_read_from_the_weights_of_the_module(name):
    """A module with other parameters scores differently, wherever the mechanism has any."""
    query, memory, mask = inputs()
    one, other = (make(name, seed=seed).weights(query, memory, mask) for seed in (2, 3))
    assert torch.equal(one, other) == (name == "dot")


@every_attention
def test_order_of_steps_does_not_matter(name):
    """Attention has no sense of order: permuted steps have permuted weights and the same context."""
    query, memory, mask = inputs()
    attention = make(name)
    context, weights = attention(query, memory, mask)
    order = [3, 0, 4, 2, 1]
    assert_close(attention(query, memory[:, order], mask[:, order]), (context, weights[..., order]))


@every_attention
@one_and_two_heads
def test_queries_and_windows_are_independent(name, num_heads):
    """A query alone, of a window alone, is answered as among others."""
    query, memory, mask = inputs(num_heads)
    attention = make(name, num_heads)
    context, weights = attention(query, memory, mask)
    alone = attention(query[1:, 2:], memory[1:], mask[1:])
    assert_close(alone, (context[1:, 2:], weights[1:, :, 2:]))


@every_attention
@one_and_two_heads
@every_activation
def test_nothing_observed(name, num_heads, activation):
    """A window without any step has weights of zero, a finite context and finite gradients."""
    query, memory, mask = inputs(num_heads)
    mask = torch.stack([mask[0], torch.zeros_like(mask[0])])
    query.requires_grad_()
    memory.requires_grad_()
    attention = make(name, num_heads, activation=activation)
    for context, weights in (attention(query, memory, mask), attention.weigh(query[:, :1], memory, mask)):
        assert (weights[1] == 0).all()
        assert (weights[0].sum(-1) > 0.99).all()
        if name != "multihead":
            assert (context[1] == 0).all()  # what is left of multihead's is the bias of its output
        (context**2).sum().backward()
        for one in (query, memory, *attention.parameters()):
            assert torch.isfinite(one.grad).all()


@every_attention
@one_and_two_heads
def test_weigh_sums_to_forward(name, num_heads):
    """What weigh returns, averaged over the steps looked at, is what forward returns."""
    query, memory, _ = inputs(num_heads)
    attention = make(name, num_heads)
    context, weights = attention(query[:, :1], memory)
    weighed, same = attention.weigh(query[:, :1], memory)
    assert weighed.shape == memory.shape
    assert_close(same, weights)
    assert_close(weighed.mean(1, keepdim=True), context)


def test_equal_weights_change_nothing():
    """A query of zeros weighs every step of a dot attention alike, so that weigh returns the memory itself."""
    _, memory, mask = inputs()
    weighed, _ = ATTENTIONS["dot"](WIDTH, WIDTH).weigh(torch.zeros_like(memory[:, :1]), memory, mask)
    assert_close(weighed, memory * mask[..., None])


@every_attention
def test_parts_of_forward(name):
    """Keys and values of a memory that is asked more than once are worked out once, and answer as forward does."""
    query, memory, mask = inputs(2)
    attention = make(name, 2)
    keys, values = attention.keys(memory), attention.values(memory)
    assert values.shape == (B, 2, L, WIDTH)
    for one in query.split(1, 1):
        weights = attention.attend(one, keys, mask)
        assert_close((attention.read(weights, values), weights), attention(one, memory, mask))


@every_attention
@every_activation
def test_gradient(name, activation):
    """Analytical gradients equal numerical ones, with a mask and two heads."""
    query, memory, mask = inputs(2)
    attention = make(name, 2, activation=activation)
    query, memory = query[:, :1].requires_grad_(), memory.requires_grad_()
    assert torch.autograd.gradcheck(lambda q, m: attention(q, m, mask), (query, memory))


# ---------------------------------------------------------------------------------------------------- configured


def test_configure_returns_the_attention():
    """It is changed in place, and handed back."""
    attention = ATTENTIONS["dot"](WIDTH, WIDTH)
    assert attention.configure(ACTIVATIONS["sparsemax"], 0.5) is attention
    assert isinstance(attention.activation, ACTIVATIONS["sparsemax"])
    assert attention.noise.amount == 0.5


@every_attention
def test_each_attention_has_an_activation_of_its_own(name):
    """A temperature is a parameter of the attention that it belongs to, and gets a gradient there."""
    one, other = (make(name, activation="temperature") for _ in range(2))
    query, memory, mask = inputs()
    (one.weights(query, memory, mask) ** 2).sum().backward()
    assert one.activation.log_temperature.grad.abs() > 1e-6
    assert other.activation.log_temperature.grad is None


@every_attention
def test_noise_is_on_what_is_weighed_in_training(name):
    """Neither weights nor sums over the memory are noisy, nor is anything after training; each call draws anew."""
    query, memory, mask = inputs(2)
    query = query[:, :1]
    noisy, silent = make(name, 2, noise=0.5), make(name, 2)
    expected, weights = silent.weigh(query, memory, mask)
    one, other = noisy.weigh(query, memory, mask), noisy.weigh(query, memory, mask)
    assert_close((one[1], other[1]), (weights, weights))
    assert (one[0] != expected).all()
    assert (one[0] != other[0]).all()
    assert_close(noisy(query, memory, mask), silent(query, memory, mask))
    assert_close(noisy.eval().weigh(query, memory, mask), (expected, weights))


@pytest.mark.parametrize("name", sorted(set(ATTENTIONS) - {"multihead"}))
@one_and_two_heads
def test_size_of_the_noise(name, num_heads):
    """It is a share of the memory's root mean square, whatever the weights are and whatever the memory's units."""
    memory = 1000 * torch.randn(97, L, WIDTH * num_heads, generator=torch.Generator().manual_seed(1)).double()
    noisy, silent = (make(name, num_heads, noise=noise) for noise in (0.5, 0.0))
    added = noisy.weigh(memory[:, :1], memory)[0] - silent.weigh(memory[:, :1], memory)[0]
    assert_close(added.std(), 0.5 * memory.square().mean().sqrt(), rtol=0.05, atol=0)


# ---------------------------------------------------------------------------------------------------- errors, newcomers


@every_attention
def test_heads_must_divide(name):
    """The error names both widths and the way out."""
    message = r"num_heads must divide memory_dim: got num_heads = 5 and memory_dim = 7. Use a multiple of 5"
    with pytest.raises(ValueError, match=message):
        ATTENTIONS[name](7, 7, 10, 5)


@pytest.mark.parametrize("name", ["additive", "multihead"])
def test_heads_must_divide_attention_dim(name):
    """Mechanisms with projections split them too."""
    with pytest.raises(
        ValueError, match=r"num_heads must divide attention_dim: got num_heads = 5 and attention_dim = 7"
    ):
        ATTENTIONS[name](10, 10, 7, 5)


def test_dot_wants_equal_widths():
    """The error gives both widths and what else there is."""
    with pytest.raises(ValueError, match=r"query_dim = 3 and memory_dim = 2. Use attention='general' or 'additive'"):
        ATTENTIONS["dot"](3, 2)


def test_abstract():
    """An attention without a score cannot be made."""
    with pytest.raises(TypeError, match="abstract"):
        Attention(WIDTH, WIDTH)


def test_newcomer_writes_only_a_score():
    """A mechanism of one's own is a class with one method: here, minus the squared distance."""

    class Nearest(Attention):
        def score(self, query, key):
            return -(torch.cdist(query, key) ** 2)

    query, memory, mask = inputs(2)
    attention = Nearest(2 * WIDTH, 2 * WIDTH, 2 * DIM, 2).double()
    context, weights = attention(query, memory, mask)
    assert context.shape == (B, Q, 2 * WIDTH)
    assert_close(weights.sum(-1), torch.ones(B, 2, Q, dtype=torch.float64))
    assert (weights[~mask[:, None, None].expand_as(weights)] == 0).all()
