"""Tests of the kinds of weights: which there are, how they are read from the network's output, what they are called."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from skattn.nn import AttentionLSTM
from skattn.nn.network import Output
from skattn.weights import KINDS, check_kind, lags, read_weights, weight_columns

B, N, H, L, C, K = 2, 3, 5, 7, 11, 4


def shares(*shape, seed=0):
    """Weights that sum to one over the last axis."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(-1)


def output(observed=None, **weights):
    """What a network returns, as far as weights are read from it."""
    observed = torch.ones(B, L, C, dtype=torch.bool) if observed is None else observed
    places = {kind: weights.get(kind) for kind in ("channel", "input", "state", "spatial")}
    return Output(None, None, observed, **places)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------- which there are


def network(kinds, n_channels=C):
    return SimpleNamespace(kinds=set(kinds), config={"n_channels": n_channels})


def there(kinds, n_channels):
    """The kinds that can be asked for, by their definition."""
    time = {"input", "state"} & kinds
    both = time and (n_channels == 1 or "channel" in kinds)
    return kinds | ({"temporal"} if time else set()) | ({"joint"} if both else set())


@pytest.mark.parametrize("kinds", list(product(["", "channel"], ["", "input"], ["", "state"], ["", "spatial"])))
@pytest.mark.parametrize("n_channels", [1, C])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_that_there_are(kinds, n_channels, kind):
    """A kind is refused exactly where it is not there, with what to fit and the name of who was asked."""
    kinds = set(kinds) - {""}
    if kind in there(kinds, n_channels):
        check_kind(network(kinds, n_channels), kind, "Owner")
        return
    way_out = {
        "channel": "channel_attention",
        "joint": "channel_attention beside attention over time",
        "spatial": "spatial_attention",
    }
    way_out = way_out.get(kind, "attention and attention_position")
    message = rf"Owner was fitted without {kind} attention, .*Fit with other {way_out}, or ask for another kind\."
    with pytest.raises(ValueError, match=message):
        check_kind(network(kinds, n_channels), kind, "Owner")


def test_unknown_kind():
    """The error lists all there are, also to a network that has them all."""
    with pytest.raises(ValueError, match=r"kind='time' is unknown\. Use one of " + ", ".join(map(repr, KINDS))):
        check_kind(network({"channel", "spatial", "input", "state"}), "time", "Owner")


# ---------------------------------------------------------------------------------------------------- how they are read


@pytest.mark.parametrize("kind", ["channel", "input", "state", "spatial"])
def test_one_place(kind):
    """A kind that is a place is what the network returns there."""
    sizes = {"channel": (1, C), "input": (1, L), "state": (H, L), "spatial": (C, K)}
    weights = {place: shares(B, N, *size) for place, size in sizes.items()}
    assert_close(read_weights(output(**weights), kind), weights[kind])


def test_temporal_is_input_before_state():
    """Over time, the attention on inputs is meant where there is one, else that on states."""
    input_, state = shares(B, N, 1, L), shares(B, N, H, L)
    assert read_weights(output(input=input_, state=state), "temporal") is input_
    assert read_weights(output(input=input_), "temporal") is input_
    assert read_weights(output(state=state), "temporal") is state


def test_joint_by_hand():
    """Steps of 1/4, 3/4 and channels of 1/3, 2/3 are cells of 1, 2, 3, 6 twelfths, step by step."""
    observed = torch.ones(1, 2, 2, dtype=torch.bool)
    weights = {"input": tensor([[[[1 / 4, 3 / 4]]]]), "channel": tensor([[[[1 / 3, 2 / 3]]]])}
    assert_close(read_weights(output(observed, **weights), "joint"), tensor([[[[1, 2, 3, 6]]]]) / 12)
    # without the last cell its 6 twelfths go to the others, by their shares
    observed[0, 1, 1] = False
    assert_close(read_weights(output(observed, **weights), "joint"), tensor([[[[1, 2, 3, 0]]]]) / 6)


@pytest.mark.parametrize(("over_time", "n_queries"), [("input", 1), ("state", H)])
def test_joint_is_the_outer_product(over_time, n_queries):
    """Each head and query weighs each cell by its step times its channel, and all sum to one."""
    time, channel = shares(B, N, n_queries, L), shares(B, N, 1, C, seed=1)
    joint = read_weights(output(**{over_time: time, "channel": channel}), "joint")
    assert joint.shape == (B, N, n_queries, L * C)
    assert_close(joint.unflatten(-1, (L, C)), torch.einsum("bnql,bnoc->bnqlc", time, channel))
    assert_close(joint.sum(-1), torch.ones(B, N, n_queries).double())


def test_joint_of_missing_cells():
    """What was not observed has exactly no weight, the rest keep their proportions, and all sum to one."""
    observed = torch.rand(B, L, C, generator=torch.Generator().manual_seed(0)) > 0.4
    time, channel = shares(B, N, H, L), shares(B, N, 1, C, seed=1)
    joint = read_weights(output(observed, state=time, channel=channel), "joint").unflatten(-1, (L, C))
    seen = observed[:, None, None].expand_as(joint)
    assert (joint[~seen] == 0).all()
    assert_close(joint.sum((-1, -2)), torch.ones(B, N, H).double())
    ratio = joint / torch.einsum("bnql,bnoc->bnqlc", time, channel)
    assert_close(ratio[seen], ratio.amax((-1, -2), keepdim=True).expand_as(ratio)[seen])


def test_joint_of_nothing():
    """A window in which nothing was observed has weights of zero, not of NaN."""
    observed = torch.ones(B, L, C, dtype=torch.bool)
    observed[1] = False
    mask = observed.any(2)[:, None, None]
    weights = {"input": shares(B, N, 1, L) * mask, "channel": shares(B, N, 1, C) * mask[..., :1]}
    joint = read_weights(output(observed, **weights), "joint")
    assert (joint[1] == 0).all()
    assert_close(joint[0].sum(-1), torch.ones(N, 1).double())


def test_joint_of_one_channel():
    """Without an attention over channels, which may then be one only, it is the attention over time."""
    state = shares(B, N, H, L)
    assert read_weights(output(torch.ones(B, L, 1, dtype=torch.bool), state=state), "joint") is state


# ---------------------------------------------------------------------------------------------------- of a dual stage


def test_joint_of_dual_stage():
    """Each step's own weights of the drivers, the last channels, times the decoder's weight of the step."""
    state, channel = shares(B, N, 1, L), shares(B, N, L, K, seed=1)
    joint = read_weights(output(state=state, channel=channel), "joint")
    assert_close(joint, (state[:, :, 0, :, None] * channel).flatten(2)[:, :, None])


def test_joint_of_dual_stage_with_missing_drivers():
    """A driver that is missing at a step has no weight there, nor has one that a step without drivers would have."""
    observed = torch.ones(B, L, C, dtype=torch.bool)
    observed[0, 3, -1] = observed[1, 5, -K:] = False
    channel = shares(B, N, L, K, seed=1) * observed[:, None, :, -K:]
    channel = channel / channel.sum(-1, keepdim=True).clamp(min=1e-9)
    joint = read_weights(output(observed, state=shares(B, N, 1, L), channel=channel), "joint").unflatten(-1, (L, K))
    assert (joint[0, ..., 3, -1] == 0).all()
    assert (joint[1, ..., 5, :] == 0).all()
    assert_close(joint.sum((-1, -2)), torch.ones(B, N, 1).double())


def test_channels_of_dual_stage_are_the_mean_over_observed_steps():
    """Of three steps, of which one has no driver, the mean over two: (1/4 + 1/2, 3/4 + 1/2) / 2."""
    channel = tensor([[[[1 / 4, 3 / 4], [0.0, 0.0], [1 / 2, 1 / 2]]]])
    weights = read_weights(output(channel=channel), "channel")
    assert_close(weights, tensor([[[[3 / 8, 5 / 8]]]]))
    assert (read_weights(output(channel=0 * channel), "channel") == 0).all()


CASES = [
    dict(attention_position="both", channel_attention="general"),
    dict(attention_position="state", channel_attention="additive"),
    dict(attention_position="input", channel_attention="dot", num_heads=2),
    dict(encoder="dual_stage"),
    dict(encoder="dual_stage", autoregressive=True, num_heads=2),
    dict(autoregressive=True, spatial_attention="general", attention=None),
    dict(autoregressive=True, spatial_attention="dot", attention_position="both", channel_attention="dot", num_heads=2),
]


@pytest.mark.parametrize("config", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_a_network(config, kind):
    """What check_kind lets pass is read from a network with missing values: zero there, and one in all."""
    made = AttentionLSTM(2 * L, C, H, n_targets=5, embedding_dim=6, hidden_size=10, attention_dim=14, **config)
    past = torch.randn(B, 2 * L, C, generator=torch.Generator().manual_seed(0))
    past[0, 3] = past[1, :, -1] = past[1, 2, 6] = past[0, :, 2] = torch.nan
    if kind not in there(made.kinds, C):
        with pytest.raises(ValueError, match="was fitted without"):
            check_kind(made, kind, "Owner")
        return
    check_kind(made, kind, "Owner")
    weights = read_weights(made(past), kind)
    assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    seen = ~past.isnan()
    if kind in ("channel", "joint"):
        seen = seen[..., -(weights.shape[-1] // (2 * L if kind == "joint" else 1)) :]
    if kind == "spatial":
        seen = seen[..., :5]
    seen = seen.flatten(1) if kind == "joint" else seen.any(1 if kind in ("channel", "spatial") else 2)
    assert (weights[~seen[:, None, None].expand_as(weights)] == 0).all()
    assert (weights[seen[:, None, None].expand_as(weights)] > 0).all()


# ------------------------------------------------------------------------------------------------ what they are called


def test_lags():
    """The newest step is 0, the one before it -1."""
    assert lags(3).tolist() == [-2, -1, 0]
    assert lags(3).name == "lag"


DAYS = pd.date_range("2020-02-28", periods=3, name="day")


@pytest.mark.parametrize("kind", ["temporal", "input", "state"])
def test_names_of_steps(kind):
    """Weights over time are called as the steps are, the last ones if there are fewer weights."""
    pd.testing.assert_index_equal(weight_columns(kind, DAYS, ["a", "b"], 3), DAYS)
    assert weight_columns(kind, lags(5), range(2), 3).tolist() == [-2, -1, 0]


def test_names_of_channels():
    """All channels, or the last ones where the first have no weights."""
    assert weight_columns("channel", DAYS, ["a", "b", "c"], 3).tolist() == ["a", "b", "c"]
    names = weight_columns("channel", DAYS, pd.Index(["a", "b", "c"]), 2)
    assert (names.tolist(), names.name) == (["b", "c"], "channel")


@pytest.mark.parametrize(("steps", "name"), [(DAYS, "day"), (DAYS.rename(None), "step"), (lags(3), "lag")])
def test_names_of_cells(steps, name):
    """Pairs of a step and a channel, in the order of the flattened weights."""
    columns = weight_columns("joint", steps, pd.Index(["a", "b", "c"]), 6)
    assert columns.names == [name, "channel"]
    assert columns.tolist() == [(step, channel) for step in steps for channel in ("b", "c")]
    table = pd.DataFrame(np.arange(6)[None], columns=columns)
    assert table[steps[1]].iloc[0].to_dict() == {"b": 2, "c": 3}
