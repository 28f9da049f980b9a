"""What attention weights are called and how the kinds of them are read from the network's output.

Letters: ``B`` windows, ``N`` heads, ``Q`` queries, ``L`` steps, ``C`` channels.
"""

KINDS = ("temporal", "channel", "joint", "spatial", "input", "state")


def check_kind(network, kind, owner):
    """Refuse a kind of weights that does not exist, or that the `network` of the class `owner` does not have."""
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown. Use one of {', '.join(map(repr, KINDS))}.")
    time = network.kinds & {"input", "state"}
    there = {
        "temporal": time,
        "joint": time and ("channel" in network.kinds or network.config["n_channels"] == 1),
    }
    if not there.get(kind, kind in network.kinds):
        wanted = {
            "channel": "channel_attention",
            "joint": "channel_attention beside attention over time",
            "spatial": "spatial_attention",
        }.get(kind, "attention and attention_position")
        raise ValueError(
            f"{owner} was fitted without {kind} attention, so it has no weights of that kind. "
            f"Fit with other {wanted}, or ask for another kind."
        )


def read_weights(output, kind):
    """Weights of a `kind` from an :class:`~skattn.nn.network.Output`, (B, N, Q, size); 'joint' has size L * C."""
    temporal = output.state if output.input is None else output.input  # (B, N, Q, L)
    if kind == "temporal":
        return temporal
    if kind == "channel":
        return _share(output.channel.sum(2, keepdim=True))  # (B, N, 1, C)
    if kind == "joint":
        if output.channel is None:  # there is one channel
            return temporal
        joint = temporal.unsqueeze(-1) * output.channel.unsqueeze(2)  # (B, N, Q, L, C)
        return _share((joint * output.observed[:, None, None, :, -joint.shape[-1] :]).flatten(3))  # (B, N, Q, L * C)
    return getattr(output, kind)


def lags(size):
    """Lags of `size` steps, 0 for the newest, as a pandas.Index."""
    import pandas as pd

    return pd.RangeIndex(1 - size, 1, name="lag")


def weight_columns(kind, steps, channels, size):
    """Names of weights, as a pandas.Index.

    Parameters
    ----------
    kind : str
        The kind of weights.
    steps, channels : sequence
        Names of all steps and channels.
    size : int
        Number of weights: those of channels may be fewer than the channels, and are then of the last ones.
    """
    import pandas as pd

    if kind == "channel":
        return pd.Index(channels[-size:], name="channel")
    if kind == "joint":
        named = pd.Index(channels[-(size // len(steps)) :], name="channel")
        return pd.MultiIndex.from_product([steps, named], names=[steps.name or "step", "channel"])
    return steps[-size:]


def _share(weights):
    """Weights over the last axis that sum to one, or to zero where there are none."""
    total = weights.sum(-1, keepdim=True)
    return weights / total.clamp(min=1e-30)
