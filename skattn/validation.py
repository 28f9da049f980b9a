"""Checks of what a user hands in, each with the way out."""

import numpy as np
import torch

from skattn.windows import distinct_steps


def check_observed(past, name="X"):
    """Refuse windows (n, L, C) of the input `name` that hold infinity, or nothing but missing values."""
    table = distinct_steps(past)
    seen = False
    for start in range(0, len(table), 1 << 18):
        chunk = table[start : start + (1 << 18)]
        if np.isinf(chunk).any():
            raise ValueError(
                f"Input {name} contains infinity or a value too large for {past.dtype}. "
                "Mark missing values as NaN, and scale or clip the rest."
            )
        seen = seen or not np.isnan(chunk).all()
    if not seen:
        raise ValueError(
            f"Input {name} contains NaN only: none of its {table.size} values was observed. Pass windows in "
            "which at least one value is a number."
        )


def find_device(device):
    """The device of torch that a name stands for."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, ValueError) as error:
        first_line = str(error).partition("\n")[0]
        raise ValueError(f"device={device!r} cannot be used here: {first_line}. Use device='auto' or 'cpu'.") from None
