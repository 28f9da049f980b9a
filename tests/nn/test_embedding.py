"""Tests of the embedding: values beside their observed mask, and a vector for the place in the window."""

import pytest
import torch
from torch.testing import assert_close

from skattn.nn.embedding import Embedding

B, L, C, D = 2, 5, 3, 7


def test_by_hand():
    """W [x; observed] + b + place, of two channels: 2 x_1 + 3 x_2 + 10 o_1 + 100 o_2 + 1000 + place."""
    embedding = Embedding(2, 1, 3)
    weights = {"linear.weight": torch.tensor([[2.0, 3.0, 10.0, 100.0]]), "linear.bias": torch.tensor([1000.0])}
    embedding.load_state_dict({**weights, "place": torch.tensor([[0.1], [0.2], [0.3]])})
    x = torch.tensor([[[5.0, 7.0], [5.0, 0.0], [0.0, 0.0]]])
    observed = torch.tensor([[[True, True], [True, False], [False, False]]])
    # 10 + 21 + 10 + 100 + 1000 = 1141;  10 + 0 + 10 + 0 + 1000 = 1020;  nothing seen: 1000
    assert_close(embedding(x, observed), torch.tensor([[[1141.1], [1020.2], [1000.3]]]))


def test_places_start_from_zero():
    """At first equal values are embedded alike at every step; each place has a vector of its own to learn."""
    embedding = Embedding(C, D, L)
    x = torch.ones(B, L, C)
    z = embedding(x, x > 0)
    assert_close(z, z[:, :1].expand_as(z))
    z[:, 3].sum().backward()
    assert (embedding.place.grad.abs().sum(1) > 0).tolist() == [step == 3 for step in range(L)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype(dtype):
    """Each step becomes a vector of embedding_dim, in the dtype of the values."""
    x = torch.ones(B, L, C, dtype=dtype)
    z = Embedding(C, D, L).to(dtype)(x, x > 0)
    assert z.shape == (B, L, D)
    assert z.dtype == dtype


def test_zero_and_missing_differ():
    """A value of zero that was observed is not a missing one."""
    x = torch.zeros(B, L, C)
    embedding = Embedding(C, D, L)
    assert (embedding(x, x == 0) - embedding(x, x != 0)).abs().amin() > 0


def test_steps_are_independent():
    """A step is embedded without looking at its neighbours."""
    x = torch.randn(B, L, C, generator=torch.Generator().manual_seed(0))
    embedding = Embedding(C, D, L)
    other = x.clone()
    other[:, 2] += 1
    changed = (embedding(x, x == x) != embedding(other, x == x)).any(2).any(0)
    assert changed.tolist() == [step == 2 for step in range(L)]
