"""Tests of the ensemble: what members share, that each trains as alone, and what is averaged."""

import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from skattn.nn import AttentionLSTM, Ensemble
from skattn.nn.ensemble import SHARED, make_network
from skattn.nn.random import DrawFrom

# members, windows, steps, channels, targets, steps ahead, channels known ahead
E, B, L, C, M, H, K = 3, 13, 5, 7, 2, 11, 17
SMALL = dict(window_length=L, n_channels=C, horizon=H, n_targets=M, embedding_dim=6, hidden_size=6, attention_dim=6)
CONFIGS = {
    "rows": {},
    "series": dict(autoregressive=True, n_future=K),
    "without_skip": dict(linear_skip=False, autoregressive=True),
    "everywhere": dict(attention_position="both", channel_attention="dot", num_heads=2, channel_mode="independent"),
    "sensors": dict(
        autoregressive=True,
        attention=None,
        spatial_attention="general",
        adjacency=[[0.0, 3.0], [1.0, 0.0]],
        adjacency_role="both",
        num_heads=2,
    ),
    "dual_stage": dict(encoder="dual_stage"),
    "calendar": dict(autoregressive=True, periods=[3, 6]),
    "nowhere": dict(attention=None),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def make(n_members=E, seed=0, **config):
    """Make a network in float64, where nothing that starts from zero is zero any more."""
    generator = torch.Generator().manual_seed(seed)
    with DrawFrom(generator):
        network = make_network(n_members, **{**SMALL, **config}).double()
        for parameter in network.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape, dtype=torch.float64)
    return network


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(n_future=0, periods=(), **_):
    """Draw what the network takes, with a missing value."""
    past = draw(B, L, C)
    past[2, 3, 1] = torch.nan
    future = {"future": draw(B, H, n_future, seed=1)} if n_future else {}
    return {"past": past, **future, **({"place": torch.arange(B)} if periods else {})}


def alone(ensemble):
    """Make each member a network of its own, with its own copy of what is shared."""
    networks = []
    for member in (ensemble, *ensemble.others):
        config = {name: value for name, value in ensemble.config.items() if name != "n_members"}
        networks.append(AttentionLSTM(**config).double())
        shared = {key: value for key, value in ensemble.state_dict().items() if key.partition(".")[0] in SHARED}
        own = {key: value for key, value in member.state_dict().items() if not key.startswith("others")}
        networks[-1].load_state_dict(own | shared)
    return networks


def is_shared(ensemble):
    shared = [name for name in SHARED if getattr(ensemble, name) is not None]
    return all(getattr(other, name) is getattr(ensemble, name) for other in ensemble.others for name in shared)


def through_state(ensemble):
    other = Ensemble(**ensemble.config).double()
    other.load_state_dict(ensemble.state_dict())
    return other


# ------------------------------------------------------------------------------------------------------ what is shared


@pytest.mark.parametrize(
    "way",
    [
        lambda ensemble: ensemble,
        lambda ensemble: ensemble.set_level("trailing", 0.5) or ensemble,
        lambda ensemble: ensemble.to(torch.float32).double(),
        lambda ensemble: deepcopy(ensemble),
        lambda ensemble: pickle.loads(pickle.dumps(ensemble)),
        through_state,
    ],
    ids=["made", "set_level", "to", "deepcopy", "pickle", "load_state_dict"],
)
def test_shared_modules_stay_shared(way):
    """Level, scales, skip and gate are the same for all, whatever was done to the ensemble, and change for all."""
    ensemble = way(make(**CONFIGS["series"])).eval()
    assert is_shared(ensemble)
    window = inputs(K)
    ensemble.skip.fill(draw(M, L + 1, H))
    ensemble.gate.share.fill_(0)
    ensemble.normalization.loc.fill_(3)
    ensemble.normalization.scale.fill_(2)
    for other in ensemble.others:
        output = other(**window)
        assert_close(output.params, ensemble(**window).skip)
        assert_close(output.loc_scale, ensemble(**window).loc_scale)


def test_state_has_what_is_shared_once():
    """The state, its parameters and its modules name what is shared at the first member only."""
    ensemble = make(**CONFIGS["series"])
    lead = make(1, **CONFIGS["series"])
    own = [name for name in lead.state_dict() if name.partition(".")[0] not in SHARED]
    expected = [*lead.state_dict(), *(f"others.{member}.{name}" for member in range(E - 1) for name in own)]
    assert sorted(ensemble.state_dict()) == sorted(expected)
    assert sum("gate" in name for name, _ in ensemble.named_modules()) == 1


def test_level_is_that_of_all():
    """Another level moves the forecasts of all members."""
    ensemble = make(autoregressive=True).eval()
    ensemble.set_level("last")
    past = draw(B, L, C)
    moved = past.clone()
    moved[..., :M] += 50
    assert ensemble.config["normalization"] == "last"
    for member in (ensemble, *ensemble.others):
        assert_close(member.predict(moved), member.predict(past) + 50)


# -------------------------------------------------------------------------------------------------------- one network


def test_one_member_is_a_plain_network():
    """Nothing changes for it: the class, the config, and the numbers that are drawn."""
    network = make(1)
    assert type(network) is AttentionLSTM
    assert "n_members" not in network.config
    with DrawFrom(torch.Generator().manual_seed(0)):
        plain = AttentionLSTM(**SMALL)
    with DrawFrom(torch.Generator().manual_seed(0)):
        one = make_network(**SMALL)
    with DrawFrom(torch.Generator().manual_seed(0)):
        lead = make_network(E, **SMALL)
    assert_close(one.state_dict(), plain.state_dict(), rtol=0, atol=0)
    state = {name: value for name, value in lead.state_dict().items() if not name.startswith("others")}
    assert_close(state, plain.state_dict(), rtol=0, atol=0)  # the first member of several starts as it does alone


@every_config
def test_config_rebuilds(config):
    """The config makes the same ensemble again."""
    ensemble = make(**config).eval()
    assert ensemble.config["n_members"] == E
    rebuilt = make_network(**ensemble.config).double().eval()
    rebuilt.load_state_dict(ensemble.state_dict())
    assert rebuilt.config == ensemble.config
    window = inputs(**config)
    assert torch.equal(rebuilt.predict(**window), ensemble.predict(**window))


# --------------------------------------------------------------------------------------------------- what is averaged


@every_config
def test_forecast_is_the_mean_of_the_members(config):
    """Of what each says, of its weights, and of what its linear skip has of it; the gate is that of all."""
    ensemble = make(**config).eval()
    ensemble.gate.share.fill_(0.3)
    window = inputs(**config)
    output, outputs = ensemble(**window), [network.eval()(**window) for network in alone(ensemble)]
    assert not torch.equal(outputs[0].params, outputs[1].params)
    assert_close(output.params, sum(one.params for one in outputs) / E)
    assert_close(output.skip, sum(one.skip for one in outputs) / E)
    assert_close((output.loc_scale, output.observed), outputs[0][1:3])
    for kind in ("channel", "spatial", "input", "state"):
        weights = [getattr(one, kind) for one in outputs]
        assert (getattr(output, kind) is None) == (weights[0] is None) == (kind not in ensemble.kinds)
        if weights[0] is not None:
            assert_close(getattr(output, kind), sum(weights) / E)
            assert (weights[0] != weights[1]).any()
    ensemble.gate.share.fill_(1)
    whole = ensemble(**window)
    assert_close(output.params - output.skip, 0.3 * (whole.params - whole.skip))


# ------------------------------------------------------------------------------------------------- each trains as alone


@every_config
def test_training_returns_each_member(config):
    """Their parameters are stacked, and their loss is the mean of that of each."""
    ensemble, window, target = make(**config), inputs(**config), draw(B, H, M, seed=2)
    output, networks = ensemble(**window), alone(ensemble)
    assert output.params.shape == (E, B, H, M, 1)
    assert_close(output.params, torch.stack([network(**window).params for network in networks]))
    losses = [network.loss(network(**window), target) for network in networks]
    assert_close(ensemble.loss(output, target), sum(losses) / E)
    ensemble.eval()
    mean_forecast = ensemble.loss(ensemble(**window), target)
    assert mean_forecast.mean() < sum(losses).mean() / E  # Jensen's inequality


@every_config
def test_gradient_is_that_of_a_member_alone(config):
    """Divided by their number; the skip has the mean of all gradients."""
    ensemble, window, target = make(**config), inputs(**config), draw(B, H, M, seed=2)
    ensemble.loss(ensemble(**window), target).mean().backward()
    networks = alone(ensemble)
    for network, member in zip(networks, (ensemble, *ensemble.others), strict=True):
        network.loss(network(**window), target).mean().backward()
        ours = dict(member.named_parameters())
        for name, parameter in network.named_parameters():
            if name.partition(".")[0] not in SHARED and parameter.grad is not None:
                assert_close(ours[name].grad, parameter.grad / E)
    for name, parameter in ensemble.named_parameters():
        if name.startswith("skip"):
            assert_close(parameter.grad, sum(network.get_parameter(name).grad for network in networks) / E)


def test_loss_that_is_a_single_number():
    """That of a user's own module is averaged over the members too."""

    class Summed(nn.Module):
        def forward(self, prediction, target):
            return ((prediction - target) ** 2).mean()

    ensemble, window, target = make(loss=Summed), inputs(), draw(B, H, M, seed=2)
    loss = ensemble.loss(ensemble(**window), target)
    assert loss.shape == ()
    assert_close(loss, sum(network.loss(network(**window), target) for network in alone(ensemble)) / E)


def test_members_drop_out_by_themselves():
    """In training each draws its own zeros, from the generator that all have."""
    ensemble = make(dropout=0.5)
    ensemble.others[0].load_state_dict(
        {name: value for name, value in ensemble.state_dict().items() if name in ensemble.others[0].state_dict()}
    )
    generator = torch.Generator().manual_seed(0)
    for member in (ensemble, *ensemble.others):
        member.dropout.generator = generator
    params = ensemble(**inputs()).params
    assert not torch.equal(params[0], params[1])
    ensemble.eval()
    assert_close(ensemble.others[0](**inputs()).params, alone(ensemble)[0].eval()(**inputs()).params)
