"""Tests of the embedding: values beside their observed mask, a vector for the place in the window, and in a cycle."""

import pytest
import torch
from torch.testing import assert_close

from skattn.nn.embedding import Calendar, Embedding

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


# ------------------------------------------------------------------------------------------------------------ calendar

# Lengths of cycles, and how many places each is told by.
CYCLES = {
    "one": ([7], [7]),
    "hours of a day, days of a week": ([24, 168], [24, 7]),
    "five minutes of a day, days of a week": ([288, 2016], [288, 7]),
    "no multiple": ([7, 24], [7, 24]),
    "a multiple of the shortest, but not of the next shorter": ([3, 5, 9], [3, 5, 9]),
    "a multiple of a multiple": ([5, 15, 45], [5, 3, 3]),
    "a multiple after one that is none": ([4, 6, 12], [4, 6, 2]),
}


@pytest.mark.parametrize(("periods", "sizes"), CYCLES.values(), ids=CYCLES)
def test_places_of_a_cycle(periods, sizes):
    """A multiple of the next shorter cycle has a vector for each of those, any other for each step."""
    calendar = Calendar(periods, D)
    assert [vectors.shape for vectors in calendar.vectors] == [(size, D) for size in sizes]


def test_calendar_by_hand():
    """Step 43 is 3 in cycles of 5, in number 2 of 3 (43 = 2 * 15 + 2 * 5 + 3), and 9 in cycles of 17: 3 + 20 + 900."""
    calendar = Calendar([5, 15, 17], 1)
    for vectors, unit in zip(calendar.vectors, (1.0, 10.0, 100.0), strict=True):
        vectors.data = unit * torch.arange(len(vectors))[:, None]
    # the step before that of zero is the last of all cycles: 4 + 20 + 1600; 255 = 5 * 51 = 15 * 17 is the first of all
    assert_close(calendar(torch.tensor([43, 0, -1, 255, 14])), torch.tensor([[923.0], [0], [1624], [0], [1424]]))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_places_repeat_after_all_cycles(dtype):
    """No two steps of 105 have the same three places, and the next 105 have those of the first."""
    calendar = Calendar([5, 15, 7], D)
    generator = torch.Generator().manual_seed(0)
    for vectors in calendar.vectors:
        vectors.data = torch.randn(vectors.shape, generator=generator)
    found = calendar(torch.arange(-105, 105, dtype=dtype))
    assert found.shape == (210, D)
    assert_close(found[:105], found[105:])
    assert len(torch.unique(found[105:].round(decimals=4), dim=0)) == 105


def test_vectors_of_a_calendar_start_from_zero():
    """At first all places are alike; each then learns from the windows that end there, and from no others."""
    calendar = Calendar([5, 15], D)
    found = calendar(torch.tensor([6, 21, 16]))  # 1 in number 1 of 3, the same again, and 1 in number 0
    assert (found == 0).all()
    found.sum().backward()
    assert calendar.vectors[0].grad[:, 0].tolist() == [0, 3, 0, 0, 0]
    assert calendar.vectors[1].grad[:, 0].tolist() == [1, 2, 0]
