"""Tests of the activations: weights by hand and by bisection, then what every activation in ACTIVATIONS must do."""

from math import log

import pytest
import torch
from torch.testing import assert_close

from skattn.nn.activation import ACTIVATIONS, Activation

B, N, Q, L = 2, 3, 5, 11
LN2 = log(2)
# The sum of relu(share * score - threshold) ** power is one: what sparsemax and entmax15 solve.
EQUATIONS = {"sparsemax": (1.0, 1), "entmax15": (0.5, 2)}
MASK = torch.tensor([[True] * L, [True, False, True, True, False, True, True, True, False, True, True]])

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def weigh(name, scores, mask=None, dtype=torch.float64):
    """Weights of one row of scores, as a flat tensor."""
    mask = None if mask is None else torch.tensor([mask])
    return ACTIVATIONS[name]().to(dtype)(torch.tensor(scores, dtype=dtype).reshape(1, 1, 1, -1), mask).flatten()


def draw(spread=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(B, N, Q, L, generator=generator, dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------- by hand


def test_softmax_by_hand():
    """exp of ln2, 0, 2 ln2 is 2, 1, 4; without the second, 2 and 4 sixths."""
    assert_close(weigh("softmax", [LN2, 0.0, 2 * LN2]), torch.tensor([2.0, 1.0, 4.0]).double() / 7)
    assert_close(weigh("softmax", [LN2, 9.0, 2 * LN2], [True, False, True]), torch.tensor([1.0, 0.0, 2.0]).double() / 3)


def test_temperature_by_hand():
    """At the temperature 2, scores of 2 ln2, 0, 4 ln2 weigh as ln2, 0, 2 ln2."""
    activation = ACTIVATIONS["temperature"]().double()
    activation.log_temperature.data.fill_(LN2)
    scores = torch.tensor([[[[2 * LN2, 0.0, 4 * LN2]]]], dtype=torch.float64)
    assert_close(activation(scores), torch.tensor([[[[2.0, 1.0, 4.0]]]]).double() / 7)


def test_sparsemax_by_hand():
    """(0.5, 0, -1) less the threshold -1/4 is (3/4, 1/4, below zero); without the second, the first has all."""
    assert_close(weigh("sparsemax", [0.5, 0.0, -1.0]), torch.tensor([0.75, 0.25, 0.0]).double())
    assert_close(weigh("sparsemax", [0.5, 0.0, -1.0], [True, False, True]), torch.tensor([1.0, 0.0, 0.0]).double())
    # (3, 5, 4, 5) / 6 less the threshold (17/6 - 1) / 4 = 11/24 is (1, 9, 5, 9) / 24
    assert_close(weigh("sparsemax", [3 / 6, 5 / 6, 4 / 6, 5 / 6]), torch.tensor([1.0, 9.0, 5.0, 9.0]).double() / 24)


def test_entmax15_by_hand():
    """Halves of (1.6, 1.2, -0.2) with the threshold 0: the squares of 0.8 and 0.6, and nothing of the third."""
    assert_close(weigh("entmax15", [1.6, 1.2, -0.2]), torch.tensor([0.64, 0.36, 0.0]).double())
    # three of four: halves 2/3, 1/3, 2/3 with the threshold 0
    assert_close(weigh("entmax15", [4 / 3, 2 / 3, -1.0, 4 / 3]), torch.tensor([4.0, 1.0, 0.0, 4.0]).double() / 9)


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("spread", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("mask", [None, MASK])
def test_weights_solve_their_equation(name, spread, mask):
    """The weights are those that bisection finds, between the largest score, where all are 0, and one below it."""
    share, power = EQUATIONS[name]
    scores = draw(spread)
    seen = share * (scores if mask is None else scores.masked_fill(~mask[:, None, None], -torch.inf))
    high = seen.amax(-1, keepdim=True)
    low = high - 1
    for _ in range(60):
        middle = (low + high) / 2
        too_low = (seen - middle).relu().pow(power).sum(-1, keepdim=True) > 1
        low, high = torch.where(too_low, middle, low), torch.where(too_low, high, middle)
    assert_close(ACTIVATIONS[name]()(scores, mask), (seen - low).relu().pow(power), rtol=0, atol=1e-12)


# ---------------------------------------------------------------------------------------------------- contract


@every_activation
@every_dtype
@pytest.mark.parametrize("spread", [0.0, 1e-6, 1.0, 50.0])
def test_rows_sum_to_one_and_masked_steps_are_zero(name, dtype, spread):
    """Weights are not negative, exactly zero where the mask is False, and sum to one."""
    weights = ACTIVATIONS[name]().to(dtype)(draw(spread).to(dtype), MASK)
    assert weights.shape == (B, N, Q, L)
    assert weights.dtype == dtype
    assert (weights >= 0).all()
    assert (weights[1][..., ~MASK[1]] == 0).all()
    assert_close(weights.sum(-1), torch.ones(B, N, Q, dtype=dtype))


@pytest.mark.parametrize("temperature", [1e-4, 1.0, 1e4])
def test_rows_sum_to_one_at_any_temperature(temperature):
    """However hot, what is masked takes no share of the weight of the others."""
    activation = ACTIVATIONS["temperature"]().double()
    activation.log_temperature.data.fill_(log(temperature))
    assert_close(activation(draw(), MASK).sum(-1), torch.ones(B, N, Q).double())


@every_activation
@pytest.mark.parametrize("number", [0.0, 1e30, torch.inf, torch.nan])
def test_masked_scores_do_not_matter(name, number):
    """Whatever stands in a masked place, weights are those without it, and so are gradients."""
    scores = draw()
    other = torch.where(MASK[:, None, None], scores, number).requires_grad_()
    activation = ACTIVATIONS[name]()
    weights = activation(other, MASK)
    assert_close(weights[1][..., MASK[1]], activation(scores[1:, ..., MASK[1]])[0])
    (weights**2).sum().backward()
    assert (other.grad[1][..., ~MASK[1]] == 0).all()
    assert torch.isfinite(other.grad).all()


@every_activation
def test_no_mask_is_a_full_mask(name):
    """Leaving the mask out looks at all steps."""
    activation = ACTIVATIONS[name]()
    assert_close(activation(draw()), activation(draw(), torch.ones(B, L, dtype=torch.bool)))


@every_activation
def test_nothing_observed(name):
    """A window without any step has weights of exactly zero and no gradient; the other is not disturbed."""
    mask = MASK & torch.tensor([[True], [False]])
    scores, activation = draw().requires_grad_(), ACTIVATIONS[name]().double()
    weights = activation(scores, mask)
    assert (weights[1] == 0).all()
    assert_close(weights[:1], activation(scores[:1], mask[:1]))
    (weights**2).sum().backward()
    assert (scores.grad[1] == 0).all()
    assert all(torch.isfinite(one.grad).all() for one in (scores, *activation.parameters()))


@every_activation
def test_single_step(name):
    """The only step there is, or the only one that was observed, has all the weight, to the bit."""
    assert weigh(name, [-3.7]).tolist() == [1.0]
    assert weigh(name, [5.0, -3.7, 2.0], [False, True, False]).tolist() == [0.0, 1.0, 0.0]


@every_activation
@every_dtype
@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1e4, -1e4, 0.0], [1.0, 0.0, 0.0]),
        ([0.0, 1e30, -1e30], [0.0, 1.0, 0.0]),
        ([3e38, -3e38, 0.0], [1.0, 0.0, 0.0]),
        ([1e30, 1e30, -1e30], [0.5, 0.5, 0.0]),
        ([-1e30, -1e30, -1e30], [1 / 3, 1 / 3, 1 / 3]),
    ],
)
@pytest.mark.parametrize("mask", [None, [True, True, True, False]])
def test_huge_scores(name, dtype, scores, expected, mask):
    """Scores near the end of the numbers give the weights they should, and finite gradients."""
    scores = torch.tensor([*scores, 0.0] if mask else scores, dtype=dtype).reshape(1, 1, 1, -1).requires_grad_()
    activation = ACTIVATIONS[name]().to(dtype)
    weights = activation(scores, None if mask is None else torch.tensor([mask]))
    assert_close(weights.flatten()[:3], torch.tensor(expected, dtype=dtype))
    (weights**2).sum().backward()
    assert all(torch.isfinite(one.grad).all() for one in (scores, *activation.parameters()))


@every_activation
def test_level_of_the_scores_does_not_matter(name):
    """Only differences of scores count."""
    activation = ACTIVATIONS[name]().double()
    assert_close(activation(draw() + 1234, MASK), activation(draw(), MASK))


@every_activation
def test_order_is_kept(name):
    """A higher score never has less weight, and permuted scores have permuted weights."""
    scores, activation = draw(), ACTIVATIONS[name]().double()
    weights = activation(scores)
    order = scores.argsort(-1)
    assert (weights.gather(-1, order).diff(dim=-1) >= 0).all()
    assert_close(activation(scores.gather(-1, order)), weights.gather(-1, order))


def test_sparser_as_named():
    """Softmax leaves no step out, entmax15 some, sparsemax more; all three look most at the same."""
    scores = draw()
    softmax, entmax, sparsemax = (ACTIVATIONS[name]()(scores) for name in ("softmax", "entmax15", "sparsemax"))
    out = [(weights == 0).double().mean().item() for weights in (softmax, entmax, sparsemax)]
    assert out[0] == 0
    assert 0.1 < out[1] < out[2] - 0.1 < 0.9
    assert (sparsemax[entmax == 0] == 0).all()
    assert (softmax.amax(-1) < entmax.amax(-1)).all()
    assert (entmax.amax(-1) <= sparsemax.amax(-1)).all()


@every_activation
def test_gradient(name):
    """Analytical gradients equal numerical ones, also of a temperature and with a window that is all masked."""
    activation = ACTIVATIONS[name]().double()
    mask = torch.cat([MASK, torch.zeros_like(MASK[:1])])
    scores = torch.cat([draw(), draw()[:1]])[:, :1, :2].contiguous()
    if name in EQUATIONS:  # away from the kinks, where a step is about to enter
        share, power = EQUATIONS[name]
        weights = activation(scores, mask)
        threshold = (share * scores - weights ** (1 / power)).where(weights > 0, -torch.inf).amax(-1, keepdim=True)
        assert (share * scores - threshold)[:B].abs().amin() > 1e-4
    assert torch.autograd.gradcheck(
        lambda scores, *_: activation(scores, mask), (scores.requires_grad_(), *activation.parameters())
    )


# ---------------------------------------------------------------------------------------------------- temperature


def test_temperature_starts_as_softmax():
    """Before training the temperature is one."""
    assert_close(ACTIVATIONS["temperature"]().double()(draw(), MASK), ACTIVATIONS["softmax"]()(draw(), MASK))


@pytest.mark.parametrize(("aim", "cooler"), [(draw().argmax(-1), True), (draw().argmin(-1), False)])
def test_temperature_learns(aim, cooler):
    """It falls where the best score is wanted alone, rises where the worst is, and is never negative."""
    activation = ACTIVATIONS["temperature"]().double()
    optimizer = torch.optim.SGD(activation.parameters(), lr=1.0)
    for _ in range(5):
        optimizer.zero_grad()
        (-activation(draw()).gather(-1, aim[..., None]).log().mean()).backward()
        optimizer.step()
    temperature = activation.log_temperature.exp().item()
    assert (0 < temperature < 0.8) if cooler else (temperature > 1.2)


# ---------------------------------------------------------------------------------------------------- newcomers


def test_no_two_are_alike():
    """With a temperature that is not one, all four weigh the same scores differently."""
    activations = {name: kind().double() for name, kind in ACTIVATIONS.items()}
    activations["temperature"].log_temperature.data.fill_(1.0)
    weights = [activation(draw()) for activation in activations.values()]
    for i, one in enumerate(weights):
        assert all((one - other).abs().amax() > 0.01 for other in weights[:i])


def test_abstract():
    """An activation that does not weigh cannot be made."""
    with pytest.raises(TypeError, match=r"abstract.*weigh"):
        Activation()


def test_newcomer_writes_only_weigh():
    """An activation of one's own is a class with one method: here, all weight on the best step there is."""

    class Hardest(Activation):
        def weigh(self, scores):
            return torch.nn.functional.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)

    weights = Hardest()(draw(), MASK)
    assert (weights.sum(-1) == 1).all()
    assert (weights[1][..., ~MASK[1]] == 0).all()
