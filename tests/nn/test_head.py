"""Tests of the heads and losses: maps, losses and units by hand."""

from math import log

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from skattn.nn.head import HEADS, LOSSES, Head

B, H, E, M, P = 2, 3, 5, 7, 11
LN2 = log(2)

every_head = pytest.mark.parametrize("name", HEADS)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def point(loss="squared_error", horizon=H, n_targets=M):
    return HEADS["point"](E, horizon, n_targets, 1, loss).double()


def classes(loss="cross_entropy", n_params=3):
    return HEADS["class"](E, 1, 1, n_params, loss).double()


# ---------------------------------------------------------------------------------------------------- the map


@every_head
def test_map_by_hand(name):
    """Each step ahead has a map of its own; with two targets, outputs are grouped target by target."""
    loss = "squared_error" if name == "point" else "cross_entropy"
    head = HEADS[name](2, 2, 2, 2, loss).double()
    weight = tensor([[[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0, 0.0], [1.0, -1.0, 2.0, 0.0]]])
    bias = tensor([[[0.0, 0.0, 0.0, 0.5]], [[10.0, 20.0, 30.0, 40.0]]])
    head.load_state_dict({"weight": weight, "bias": bias})
    z = tensor([[[5.0, 9.0], [9.0, 7.0]]])  # step 1 reads 5, step 2 reads 7
    # step 1: 5 * (1, 2, 3, 4) + (0, 0, 0, 0.5);  step 2: 7 * (1, -1, 2, 0) + (10, 20, 30, 40)
    expected = tensor([[[[5.0, 10.0], [15.0, 20.5]], [[17.0, 13.0], [44.0, 40.0]]]])
    assert_close(head(z), expected)


def test_blocks_by_hand():
    """Of three steps ahead in blocks of two, the first two read one state, the third the other."""
    head = HEADS["point"](1, 3, 2, 1, "squared_error", block=2).double()
    weight = tensor([[[1.0, 2.0, 3.0, 4.0]], [[5.0, 6.0, 7.0, 8.0]]])
    head.load_state_dict({"weight": weight, "bias": torch.zeros(2, 1, 4)})
    z = tensor([[[10.0], [100.0]]])
    # a block's outputs are those of its first step, target by target, then those of its second, cut off at the end
    assert_close(head(z), tensor([[[[10.0], [20.0]], [[30.0], [40.0]], [[500.0], [600.0]]]]))


@every_head
@pytest.mark.parametrize("n_params", [1, P])
def test_shape(name, n_params):
    """(B, H, E) becomes (B, H, M, P)."""
    head = HEADS[name](E, H, M, n_params, nn.Identity()).double()
    assert head(draw(B, H, E)).shape == (B, H, M, n_params)


# ---------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("squared_error", [0.25, 9.0, 0.0]),  # 0.5^2, 3^2
        ("absolute_error", [0.5, 3.0, 0.0]),
        ("huber", [0.125, 2.5, 0.0]),  # 0.5^2 / 2 within one, 3 - 1/2 beyond it
    ],
)
def test_point_losses_by_hand(loss, expected):
    """Prediction minus target is 0.5, -3 and 0; each element has a loss of its own."""
    params = tensor([2.5, -1.0, 4.0]).reshape(1, 3, 1, 1)
    target = tensor([2.0, 2.0, 4.0]).reshape(1, 3, 1)
    assert_close(point(loss).loss(params, target), tensor(expected).reshape(1, 3, 1))


def test_cross_entropy_by_hand():
    """Logits (0, ln2, 0) are probabilities of 1/4, 1/2, 1/4: losses ln4, ln2, ln4."""
    head = classes()
    params = tensor([0.0, LN2, 0.0]).expand(3, 1, 1, 3)
    target = tensor([0.0, 1.0, 2.0]).reshape(3, 1, 1)
    assert_close(head.loss(params, target), tensor([2 * LN2, LN2, 2 * LN2]).reshape(3, 1, 1))
    assert_close(head.predict(params), tensor([0.25, 0.5, 0.25]).expand(3, 1, 1, 3))


def test_every_loss_is_tested_by_hand():
    """A newcomer in LOSSES gets a hand-worked example above."""
    assert sorted(LOSSES) == ["absolute_error", "cross_entropy", "huber", "squared_error"]


@pytest.mark.parametrize("loss", [nn.L1Loss, nn.L1Loss(), nn.L1Loss(reduction="sum"), nn.L1Loss(reduction="none")])
def test_losses_of_torch_are_asked_for_each_element(loss):
    """A class or an instance of torch's, whatever its reduction, is the loss of that name; it is not changed."""
    before = getattr(loss, "reduction", None)
    params, target = draw(B, H, M, 1), draw(B, H, M, seed=1)
    assert_close(point(loss).loss(params, target), point("absolute_error").loss(params, target))
    assert getattr(loss, "reduction", None) == before


def test_classification_losses_of_torch():
    """Label smoothing, an option of torch's loss, is kept: half of the weight goes to the mean over three classes."""
    head = classes(nn.CrossEntropyLoss(label_smoothing=0.5))
    params = tensor([0.0, LN2, 0.0]).expand(1, 1, 1, 3)
    # 0.5 * ln2 + 0.5 * (ln4 + ln2 + ln4) / 3
    expected = 0.5 * LN2 + 0.5 * 5 * LN2 / 3
    assert_close(head.loss(params, tensor([[[1.0]]])), tensor([[[expected]]]))


def test_losses_that_are_of_each_element_by_themselves():
    """Those with a name are; of a module nobody knows, not even of torch's, whose mean may be over classes' weights."""
    for name in set(LOSSES) - {"cross_entropy"}:
        assert point(name).by_element is True
        assert point(name).loss(draw(B, H, M, 1), draw(B, H, M, seed=1)).shape == (B, H, M)
    assert classes().by_element is True
    for loss in (nn.MSELoss, nn.MSELoss(), nn.L1Loss(reduction="sum"), nn.Identity):
        assert point(loss).by_element is False
    assert classes(nn.CrossEntropyLoss).by_element is False


@pytest.mark.parametrize("make", [point, classes])
def test_loss_without_reduction_may_return_a_number(make):
    """A loss of one's own that averages by itself is passed on as it is."""

    class Mean(nn.Module):
        def forward(self, prediction, target):
            return prediction.mean()

    head = make(Mean())
    params = draw(B, 1, 1, head.shape[-1])
    assert_close(head.loss(params, torch.zeros(B, 1, 1, dtype=torch.float64)), params.mean())


def test_loss_sees_prediction_then_target():
    """The order of arguments is torch's."""

    class Signed(nn.Module):
        def forward(self, prediction, target):
            return prediction - target

    loss = point(Signed()).loss(torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1), 1.0))
    assert loss.item() == 2.0


@pytest.mark.parametrize("block", [1, 2])
def test_one_state_for_all_blocks(block):
    """The one map that is used where all blocks have the same state does what the maps of each do."""
    head = HEADS["point"](E, H, M, 1, "squared_error", block).double()
    state = draw(B, 1, E)
    expanded = state.expand(-1, head.n_blocks, -1)
    assert_close(head(expanded), head(expanded.clone()))
    grads = []
    for z in (expanded, expanded.clone()):
        grads.append(torch.autograd.grad(head(z).pow(2).sum(), list(head.parameters())))
    assert_close(*grads)


# ---------------------------------------------------------------------------------------------------- reading


def test_point_rescale_by_hand():
    """2 z + 10 for the first target and 3 z + 20 for the second; a third channel is a driver."""
    head = point(n_targets=2)
    loc_scale = tensor([[[10.0, 20.0, 30.0]]]), tensor([[[2.0, 3.0, 4.0]]])
    params = tensor([[[[1.0], [1.0]], [[-1.0], [0.5]]]])
    assert_close(head.rescale(params, loc_scale), tensor([[[[12.0], [23.0]], [[8.0], [21.5]]]]))
    assert_close(head.predict(params), tensor([[[1.0, 1.0], [-1.0, 0.5]]]))


def test_classes_have_no_units():
    """Logits are not rescaled."""
    params = draw(B, 1, 1, 3)
    assert classes().rescale(params, (torch.ones(B, 1, 1), torch.ones(B, 1, 1))) is params


def test_abstract():
    """A head without loss and predict cannot be made."""
    with pytest.raises(TypeError, match="abstract"):
        Head(E, H, M, P, "huber")
