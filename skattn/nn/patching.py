"""Patches: runs of steps become one step, so that a long window is short for the encoder.

Letters: ``B`` windows, ``L`` steps, ``C`` channels, ``S`` patches, ``N`` heads, ``Q`` queries.

Nie et al. (2023), "A time series is worth 64 words". Lin et al. (2023), "SegRNN", for recurrent encoders.
"""

from torch.nn import functional as F


def patch(x, length, front=True):
    """Join each run of `length` steps of `x` (B, L, C), padded with zeros in front or behind, as (B, S, length * C)."""
    if length == 1:
        return x
    pad = -x.shape[1] % length
    x = F.pad(x, (0, 0, pad, 0) if front else (0, 0, 0, pad))  # (B, S * length, C)
    return x.unflatten(1, (-1, length)).flatten(2)  # (B, S, length * C)


def spread(weights, observed, length):
    """Weights of patches (B, N, Q, S) as those of steps (B, N, Q, L), even among the `observed` (B, L) of a patch."""
    if length == 1:
        return weights
    there = patch(observed.to(weights).unsqueeze(-1), length)  # (B, S, length)
    share = there / there.sum(-1, keepdim=True).clamp(min=1)  # (B, S, length)
    return (weights.unsqueeze(-1) * share[:, None, None]).flatten(3)[..., -observed.shape[1] :]  # (B, N, Q, L)
