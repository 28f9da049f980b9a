"""Tests of the embedding: values beside their observed mask."""

import pytest
import torch
from torch.testing import assert_close

from skattn.nn.embedding import Embedding

B, L, C, D = 2, 5, 3, 7


def test_by_hand():
    """W [x; observed] + b with two channels and one number: 2 x_1 + 3 x_2 + 10 o_1 + 100 o_2 + 1000."""
    embedding = Embedding(2, 1)
    weights = {"linear.weight": torch.tensor([[2.0, 3.0, 10.0, 100.0]]), "linear.bias": torch.tensor([1000.0])}
    embedding.load_state_dict(weights)
    x = torch.tensor([[[5.0, 7.0], [5.0, 0.0], [0.0, 0.0]]])
    observed = torch.tensor([[[True, True], [True, False], [False, False]]])
    # 10 + 21 + 10 + 100 + 1000 = 1141;  10 + 0 + 10 + 0 + 1000 = 1020;  nothing seen: 1000
    assert_close(embedding(x, observed), torch.tensor([[[1141.0], [1020.0], [1000.0]]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype(dtype):
    """Each step becomes a vector of embedding_dim, in the dtype of the values."""
    x = torch.ones(B, L, C, dtype=dtype)
    z = Embedding(C, D).to(dtype)(x, x > 0)
    assert z.shape == (B, L, D)
    assert z.dtype == dtype


def test_zero_and_missing_differ():
    """A value of zero that was observed is not a missing one."""
    x = torch.zeros(B, L, C)
    embedding = Embedding(C, D)
    assert (embedding(x, x == 0) - embedding(x, x != 0)).abs().amin() > 0


def test_steps_are_independent():
    """A step is embedded without looking at its neighbours."""
    x = torch.randn(B, L, C, generator=torch.Generator().manual_seed(0))
    embedding = Embedding(C, D)
    assert_close(embedding(x, x > 0)[:, 2:3], embedding(x[:, 2:3], x[:, 2:3] > 0))
