"""What all tests share."""

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def same_draws():
    """Draws from the global random states, as torch's own initialisation of a bare layer, are the same in every run."""
    np.random.seed(0)  # noqa: NPY002, what random_state=None draws from
    torch.manual_seed(0)
