"""Tests of attention over sensors: mixtures by hand, missing values, maps as masks and biases, and no identity."""

from math import log

import pytest
import torch
from torch.testing import assert_close

from skattn.nn.activation import ACTIVATIONS
from skattn.nn.attention import ATTENTIONS, Attention
from skattn.nn.random import DrawFrom
from skattn.nn.spatial import FAR, SpatialAttention, _map

B, L, S, D, A = 2, 5, 7, 11, 13  # windows, steps, sensors; embedding and attention are so wide for each head

every_attention = pytest.mark.parametrize("name", ATTENTIONS)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
one_and_three_heads = pytest.mark.parametrize("num_heads", [1, 3])
both_maps_of_edges = pytest.mark.parametrize("role", ["mask", "both"])

# Edges from the sensor of a row to that of a column: sensor 5 has none, sensor 6 has two, sensor 0 listens to three.
GRAPH = torch.zeros(S, S)
GRAPH[1, 0], GRAPH[2, 0], GRAPH[3, 0], GRAPH[0, 1], GRAPH[4, 2], GRAPH[0, 3] = 3.0, 0.5, 1.5, 2.0, 1.0, 0.3
GRAPH[2, 4], GRAPH[6, 4], GRAPH[4, 6], GRAPH[1, 6] = 2.5, 0.7, 1.2, 0.001


class Even(Attention):
    """Scores of zero, so that weights are those of pairs and map alone."""

    def score(self, query, key):
        return 0 * (query @ key.transpose(-1, -2))


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def make(attention, num_heads=1, activation="softmax", window_length=L, n_sensors=S, seed=0, **options):
    """Make the attention in float64, where nothing that starts from zero and may learn is zero any more."""
    attention = ATTENTIONS.get(attention, attention)
    sizes = window_length, n_sensors, D * num_heads, A * num_heads, num_heads, ACTIVATIONS[activation]
    with DrawFrom(torch.Generator().manual_seed(seed)):
        module = SpatialAttention(attention, *sizes, **options).double()
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.data += 0.5 * torch.randn(parameter.shape, dtype=torch.float64)
    return module


def by_hand(n_sensors, window_length, **options):
    """Make an attention of even scores, whose pairs are zero and whose trust is one."""
    module = make(Even, n_sensors=n_sensors, window_length=window_length, **options)
    if module.pairs is not None:
        module.pairs.data.zero_()
    if module.trust is not None:
        module.trust.data.fill_(1)
    return module


def with_holes():
    """Two windows with values, a step and a sensor missing, zero there, and where they were observed."""
    observed = torch.ones(B, S, L, dtype=torch.bool)
    observed[0, 2, 1] = observed[0, :3, 4] = observed[1, :, 3] = observed[1, 1] = False
    return draw(B, S, L) * observed, observed


def everywhere(seed=0):
    x = draw(B, S, L, seed=seed)
    return x, torch.ones_like(x, dtype=torch.bool)


# ---------------------------------------------------------------------------------------------------- mixtures


def test_even_mixture_by_hand():
    """With even weights, each sensor reads the mean of those that were observed at each step, itself included."""
    x = tensor([[[1.0, 3.0], [2.0, 0.0], [6.0, 5.0]]])  # two steps of three sensors
    observed = torch.tensor([[[True, True], [True, False], [True, True]]])
    mixed, there, weights = by_hand(3, 2)(x, observed)
    assert_close(weights, torch.full((1, 1, 3, 3), 1 / 3).double())
    assert_close(mixed, tensor([3.0, 4.0])[None, None, :, None].expand(1, 3, 2, 1))  # 9 / 3 and 8 / 2
    assert_close(there, tensor([1.0, 2 / 3])[None, None, :, None].expand(1, 3, 2, 1))


def test_weighted_mixture_by_hand():
    """Weights of 2, 1 and 4 sevenths; where the third was missing, what is left is 2 and 1 thirds."""
    module = by_hand(3, 2)
    module.pairs.data[0, 1] = tensor([log(2), 0.0, log(4)])  # of the second sensor only
    x = tensor([[[7.0, 3.0], [14.0, 9.0], [21.0, 0.0]]])
    observed = torch.tensor([[[True, True], [True, True], [True, False]]])
    mixed, there, weights = module(x, observed)
    assert_close(weights[0, 0], tensor([[1 / 3, 1 / 3, 1 / 3], [2 / 7, 1 / 7, 4 / 7], [1 / 3, 1 / 3, 1 / 3]]))
    assert_close(mixed[0, 1, :, 0], tensor([2 + 2 + 12, 2 + 3]))
    assert_close(there[0, 1, :, 0], tensor([1.0, 3 / 7]))
    assert_close(mixed[0, 2, :, 0], tensor([14.0, 6.0]))


@every_attention
@one_and_three_heads
@every_activation
@pytest.mark.parametrize("role", [None, "bias", "mask", "both"])
def test_mixtures_are_those_of_the_weights(name, num_heads, activation, role):
    """Weights of each head sum to one, and mix what was observed of each step; with a map as without."""
    module = make(name, num_heads, activation, **({"graph": GRAPH, "role": role} if role else {}))
    x, observed = with_holes()
    mixed, there, weights = module(x, observed)
    assert mixed.shape == there.shape == (B, S, L, num_heads)
    weights = module.spread(weights)
    assert weights.shape == (B, num_heads, S, S)
    assert_close(weights.sum(-1), torch.ones(B, num_heads, S).double())
    share = torch.einsum("bnsj,bjl->bsln", weights, observed.double())
    assert_close(there, share)
    total = torch.einsum("bnsj,bjl->bsln", weights, x)
    heard = share > 1e-9
    assert_close(mixed[heard], (total / share)[heard])
    assert (mixed[share == 0] == 0).all()


@every_attention
def test_weights_change_with_windows_and_heads(name):
    """The weights of one window differ from those of another, of one head from another's, and are not even."""
    module = make(name, num_heads=3)
    weights = module(*everywhere())[2]
    assert (weights[0] - weights[1]).abs().amax() > 1e-3
    assert (weights[:, 0] - weights[:, 1]).abs().amax() > 1e-3
    assert (weights - 1 / S).abs().amax() > 1e-3


def test_scores_are_those_of_the_attention():
    """Without pairs and map, weights are those of the mechanism between the embeddings of the windows."""
    module = make("multihead", num_heads=3, identity=False)
    x, observed = with_holes()
    memory = module.embedding(x, observed)
    expected = module.attention.weights(memory, memory, observed.any(2))
    assert_close(module(x, observed)[2], expected)
    assert (memory[0, 0] != memory[0, 1]).any()


# ---------------------------------------------------------------------------------------------------- missing values


@every_attention
@every_activation
@pytest.mark.parametrize("role", ["bias", "mask", "both"])
def test_nobody_looks_at_a_sensor_without_a_value(name, activation, role):
    """A sensor with nothing observed has exactly no weight, for itself and others, but listens to those that it may."""
    module = make(name, 3, activation, graph=GRAPH, role=role)
    x, observed = with_holes()
    weights = module.spread(module(x, observed)[2])
    assert (weights[1, :, :, 1] == 0).all()
    assert_close(weights[1, :, 1].sum(-1), torch.ones(3).double())
    observed[0, [2, 4]] = False  # the second is the only one that the first listens to, beside itself
    mixed, there, weights = module(x * observed, observed)
    if role != "bias":
        assert (module.spread(weights)[0, :, 2] == 0).all()
        assert (mixed[0, 2] == 0).all()
        assert (there[0, 2] == 0).all()


@pytest.mark.parametrize("role", ["bias", "mask", "both"])
@every_activation
def test_gradients_are_finite(role, activation):
    """With values, a sensor and a whole window missing; and what tells sensors apart does learn."""
    module = make("additive", 3, activation, graph=GRAPH, role=role)
    x, observed = with_holes()
    x, observed = torch.cat([x, 0 * x[:1]]), torch.cat([observed, observed[:1] & False])
    mixed, there, weights = module(x, observed)
    assert (weights[2] == 0).all()
    assert (mixed[2] == 0).all()
    (mixed.square().sum() + there.square().sum()).backward()
    for name, parameter in module.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().amax() > 0, name


def test_noise_by_hand():
    """In training, half the root mean square of the windows is added to what is mixed, and nothing to the weights."""
    noisy, silent = make("additive", 3, noise=0.5), make("additive", 3)
    x, observed = with_holes()
    noisy.attention.noise.generator = torch.Generator().manual_seed(0)
    mixed, *rest = silent(x, observed)
    drawn = torch.empty_like(mixed).normal_(generator=torch.Generator().manual_seed(0))
    noised, *same = noisy(x, observed)
    assert_close(same, rest)
    assert_close(noised, mixed + 0.5 * x.square().mean().sqrt() * drawn)
    assert_close(noisy.eval()(x, observed), silent(x, observed))


# ---------------------------------------------------------------------------------------------------- maps as mask


def test_map_by_hand():
    """Each sensor may look at itself, then at those with an edge to it; what is short is filled up, not listed."""
    chain = [[0.0, 2.0, 0.0, 1.0], [0.0, 0.0, 4.0, 3.0], [0.0] * 4, [0.0] * 4]  # 0 to 1 and 3, 1 to 2 and 3
    made = _map(chain, "both")
    assert made["neighbours"].tolist() == [[0, 1, 2], [1, 0, 2], [2, 1, 0], [3, 0, 1]]
    assert made["listed"].tolist() == [[True, False, False], [True, True, False], [True, True, False], [True] * 3]
    expected = torch.tensor([[1, FAR, FAR], [1, 0.5, FAR], [1, 1, FAR], [1, 0.25, 0.75]]).log()
    assert_close(made["bias"], expected)
    assert _map(chain, "mask")["bias"] is None
    assert _map(chain, "mask")["neighbours"].tolist() == made["neighbours"].tolist()
    bias = _map(chain, "bias")
    assert bias["neighbours"] is bias["listed"] is None
    assert_close(bias["bias"].exp()[3], torch.tensor([0.25, 0.75, FAR, 1]))
    assert set(_map(None, "both").values()) == {None}


def test_edges_have_a_direction():
    """With an edge from sensor 0 to 1 only, the second may look at the first, and not the other way."""
    graph = torch.zeros(S, S)
    graph[0, 1] = 1
    module = make("general", 3, graph=graph, role="mask")
    x, observed = everywhere()
    mixed, _, weights = module(x, observed)
    weights = module.spread(weights)
    assert (weights[:, :, 1, 0] > 0).all()
    assert (weights[:, :, 1, 1] > 0).all()
    assert_close(weights[:, :, 0, 0], torch.ones(B, 3).double())
    assert_close(mixed[:, 0], x[:, 0, :, None].expand(B, L, 3))
    louder = x.clone()
    louder[:, 0] += draw(B, L, seed=1)
    moved = (module(louder, observed)[0] != mixed).any(dim=(0, 2, 3))
    assert moved.tolist() == [True, True, *[False] * (S - 2)]


def test_itself_is_always_allowed():
    """A sensor without edges reads itself, whatever the diagonal of the map says."""
    for diagonal in (0.0, 5.0):
        module = make("general", graph=GRAPH.clone().fill_diagonal_(diagonal), role="mask")
        x, observed = everywhere()
        mixed, there, weights = module(x, observed)
        assert module.neighbours.shape == (S, 4)
        assert_close(module.spread(weights)[:, 0, 5], torch.eye(S)[5].double().expand(B, S))
        assert_close(mixed[:, 5, :, 0], x[:, 5])
        assert (there[:, 5] == 1).all()


@every_attention
@every_activation
@one_and_three_heads
@both_maps_of_edges
def test_neighbours_only_are_all_without_the_absent_edges(name, activation, num_heads, role):
    """The form that reads neighbours only has the weights and mixtures of the one that reads all, with the rest cut."""
    near = make(name, num_heads, activation, graph=GRAPH, role=role)
    far = make(name, num_heads, activation, graph=None if role == "mask" else GRAPH, role="bias")
    state = {key: value for key, value in near.state_dict().items() if key != "pairs"}
    edges = (GRAPH.T > 0).fill_diagonal_(True)
    pairs = torch.zeros(num_heads, S, S).double()
    places = near.neighbours.expand(num_heads, S, -1)
    pairs.scatter_add_(2, places, near.pairs.data * near.listed)
    far.load_state_dict(state | {"pairs": pairs.masked_fill(~edges, -1e9)})
    x, observed = with_holes()
    mixed, there, weights = near(x, observed)
    assert weights.shape == (B, num_heads, S, 4)
    dense = far(x, observed)
    assert_close((mixed, there, near.spread(weights)), dense)
    assert (near.spread(weights)[:, :, ~edges] == 0).all()
    assert far.spread(dense[2]) is dense[2]


@both_maps_of_edges
def test_what_fills_up_has_no_weight(role):
    """A sensor with fewer edges than another has exactly no weight in the places that are left, whatever its pairs."""
    module = make("additive", 3, graph=GRAPH, role=role)
    module.pairs.data[:, ~module.listed] = 1e3
    mixed, _, weights = module(*everywhere())
    assert module.listed.sum(1).tolist() == [4, 2, 2, 2, 3, 1, 3]
    assert (weights[:, :, ~module.listed] == 0).all()
    assert (weights[:, :, module.listed] > 0).all()
    assert torch.isfinite(mixed).all()


# ---------------------------------------------------------------------------------------------------- maps as bias


def test_bias_by_hand():
    """With even scores, weights are as the strengths in shares of the strongest: itself 1, no edge FAR."""
    graph = [[9.0, 2.0, 4.0], [1.0, 9.0, 0.0], [0.0, 0.02, 9.0]]  # the diagonal does not count
    shares = tensor([[1.0, 1 / 4, FAR], [2 / 4, 1.0, FAR], [4 / 4, FAR, 1.0]])  # a row per listener
    module = by_hand(3, 2, graph=graph)
    x = draw(1, 3, 2)
    weights = module(x, x == x)[2]
    assert_close(weights[0, 0], shares / shares.sum(1, keepdim=True), rtol=1e-6, atol=0)  # a map is of float32
    with torch.no_grad():
        module.trust.fill_(2)
    weights = module(x, x == x)[2]
    assert_close(weights[0, 0], shares**2 / (shares**2).sum(1, keepdim=True), rtol=1e-6, atol=0)
    with torch.no_grad():
        module.trust.fill_(0)
    assert_close(module(x, x == x)[2], torch.full((1, 1, 3, 3), 1 / 3).double())


def test_both_by_hand():
    """As a mask too, no edge is no weight, and a weak one at least FAR; as a mask only, all edges are the same."""
    graph = [[0.0, 2.0, 4.0], [1.0, 0.0, 0.0], [0.0, 0.02, 0.0]]
    x = draw(1, 3, 2)
    for role, shares in (
        ("both", tensor([[1.0, 1 / 4, 0.0], [2 / 4, 1.0, FAR], [4 / 4, 0.0, 1.0]])),
        ("mask", tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 1.0]])),
    ):
        module = by_hand(3, 2, graph=graph, role=role)
        weights = module.spread(module(x, x == x)[2])
        assert_close(weights[0, 0], shares / shares.sum(1, keepdim=True), rtol=1e-6, atol=0)
        assert (module.trust is None) == (role == "mask")


@pytest.mark.parametrize("role", ["bias", "mask", "both"])
def test_units_of_a_map_do_not_matter(role):
    """Strengths in other units are the same map."""
    x, observed = with_holes()
    one, other = (make("general", graph=graph, role=role) for graph in (GRAPH, 1000 * GRAPH))
    assert_close(one(x, observed), other(x, observed), rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------------------------------------------- identity


@every_attention
@pytest.mark.parametrize("role", [None, "bias", "mask", "both"])
def test_sensors_without_identity_can_change_places(name, role):
    """Sensors in another order, and their map likewise, are mixed the same, in that order; with identity they differ.

    No parameter that is trained has a sensor to itself.
    """
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    x, observed = with_holes()
    for identity in (False, True):
        maps = [{}, {}] if role is None else [dict(graph=g, role=role) for g in (GRAPH, GRAPH[order][:, order])]
        one, other = (make(name, 3, identity=identity, **options) for options in maps)
        mixed, there, weights = one(x, observed)
        moved, heard, looked = other(x[:, order], observed[:, order])
        same = [
            torch.allclose(moved, mixed[:, order]),
            torch.allclose(heard, there[:, order]),
            torch.allclose(other.spread(looked), one.spread(weights)[:, :, order][..., order]),
        ]
        assert same == [not identity] * 3
        trained = [parameter for parameter in one.parameters() if parameter.requires_grad]
        assert any(S in parameter.shape for parameter in trained) == identity
    assert one.embedding.place.requires_grad
    assert (make(name, identity=False).embedding.place == 0).all()


@pytest.mark.parametrize("role", ["bias", "mask", "both"])
def test_another_map_later(role):
    """The map is no part of the state: what was learned without identity is taken by a network with another map."""
    options = dict(identity=False, role=role)
    one, other = (make("general", 3, graph=g, seed=seed, **options) for seed, g in enumerate((GRAPH, GRAPH.T)))
    assert not {"neighbours", "listed", "bias"} & set(one.state_dict())
    other.load_state_dict(one.state_dict())
    x, observed = everywhere()
    weights = other.spread(other(x, observed)[2])
    assert (weights - one.spread(one(x, observed)[2])).abs().amax() > 1e-3
    assert (weights[:, :, GRAPH > 0] > 0).all()  # the listener of an edge is now where it comes from
    assert role == "bias" or (weights[:, :, (GRAPH + torch.eye(S)) == 0] == 0).all()


def test_no_dead_weights():
    """Multihead's projections of value and output, which the sensors do not use, are no parameters."""
    names = [name for name, _ in make("multihead", num_heads=3).named_parameters()]
    assert not [name for name in names if "value" in name or "out" in name]


def test_widths_that_heads_do_not_divide():
    """An embedding that cannot be split into heads is refused, with both numbers and the way out."""
    with pytest.raises(ValueError, match=r"num_heads must divide embedding_dim: got num_heads = 3 .* = 11\. Use a"):
        SpatialAttention(ATTENTIONS["dot"], L, S, 11, 12, 3, ACTIVATIONS["softmax"])
