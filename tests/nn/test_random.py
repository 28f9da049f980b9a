"""Tests of randomness from private generators: initial weights, dropout, noise, threads."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from threading import Barrier

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from skattn.nn.random import DrawFrom, Dropout, Noise, noise_from

MODULES = {
    "linear": lambda: nn.Linear(3, 5),
    "lstm": lambda: nn.LSTM(3, 5),
    "gru": lambda: nn.GRU(3, 5),
    "conv": lambda: nn.Conv1d(3, 5, 2),
    "embedding": lambda: nn.Embedding(3, 5),
    "bilinear": lambda: nn.Bilinear(3, 5, 7),
    "attention": lambda: nn.MultiheadAttention(6, 2),
    "transformer": lambda: nn.TransformerEncoderLayer(6, 2, 5),
    "xavier_uniform_": lambda: nn.init.xavier_uniform_(torch.empty(3, 5)),
    "xavier_normal_": lambda: nn.init.xavier_normal_(torch.empty(3, 5)),
    "kaiming_uniform_": lambda: nn.init.kaiming_uniform_(torch.empty(3, 5)),
    "kaiming_normal_": lambda: nn.init.kaiming_normal_(torch.empty(3, 5)),
    "trunc_normal_": lambda: nn.init.trunc_normal_(torch.empty(3, 5)),
    "orthogonal_": lambda: nn.init.orthogonal_(torch.empty(3, 5)),
    "sparse_": lambda: nn.init.sparse_(torch.empty(30, 5), 0.5),
    "uniform_": lambda: torch.empty(3, 5).uniform_(),
    "normal_": lambda: torch.empty(3, 5).normal_(),
    "rand": lambda: torch.rand(3, 5),
    "randn": lambda: torch.randn(3, 5),
    "bernoulli_": lambda: torch.empty(30, 5).bernoulli_(0.5),
    "parameter": lambda: nn.Parameter(torch.randn(3, 5) * 0.1),
    # draws that a component of one's own may make
    "rand_like": lambda: torch.rand_like(torch.empty(3, 5)),
    "randn_like": lambda: torch.randn_like(torch.empty(3, 5)),
    "torch.normal": lambda: torch.normal(0.0, 1.0, (3, 5)),
    "exponential_": lambda: torch.empty(3, 5).exponential_(),
    "randperm": lambda: torch.randperm(50),
    "randint": lambda: torch.randint(1000, (3, 5)),
}

every_module = pytest.mark.parametrize("name", MODULES)


def numbers(name, seed):
    """Make one of MODULES with numbers drawn from a seed, as one flat tensor."""
    with DrawFrom(torch.Generator().manual_seed(seed)):
        made = MODULES[name]()
    tensors = [p.detach() for p in made.parameters()] if isinstance(made, nn.Module) else [made.detach()]
    return torch.cat([one.flatten() for one in tensors])


@every_module
def test_numbers_come_from_the_generator(name):
    """Equal seeds give equal bits, others do not, and torch's global random state is neither read nor changed."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = numbers(name, 3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(numbers(name, 3), one)
    assert not torch.equal(numbers(name, 4), one)


def test_numbers_are_those_of_a_global_seed():
    """A module is initialised as under torch.manual_seed: distribution and order are torch's own."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected = torch.cat([p.detach().flatten() for p in MODULES["lstm"]().parameters()])
    assert torch.equal(numbers("lstm", 3), expected)


def test_generator_given_by_hand_is_kept():
    """A draw that names its own generator is left alone."""
    with DrawFrom(torch.Generator().manual_seed(3)):
        drawn = torch.rand(5, generator=torch.Generator().manual_seed(4))
    assert torch.equal(drawn, torch.rand(5, generator=torch.Generator().manual_seed(4)))


def test_context_ends():
    """Outside, draws come from the global random state again."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = torch.rand(5)
        torch.manual_seed(0)
        with DrawFrom(torch.Generator().manual_seed(3)):
            torch.rand(5)
        assert torch.equal(torch.rand(5), expected)


def test_threads_do_not_mix():
    """Four threads that draw in turns get the numbers that each would get alone."""
    barrier = Barrier(4)

    def draw(seed):
        drawn = []
        with DrawFrom(torch.Generator().manual_seed(seed)):
            for _ in range(5):
                barrier.wait(30)
                drawn.append(nn.Linear(3, 5).weight.detach())
        return torch.stack(drawn)

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, range(4)))
    barrier = Barrier(1)
    for seed in range(4):
        assert torch.equal(together[seed], draw(seed))


# ---------------------------------------------------------------------------------------------------- dropout


def test_dropout_by_hand():
    """Kept numbers are divided by the probability of being kept; which are kept is drawn from the generator."""
    x = torch.arange(1.0, 11.0)
    dropout = Dropout(0.2)
    dropout.generator = torch.Generator().manual_seed(0)
    keep = torch.empty(10).bernoulli_(0.8, generator=torch.Generator().manual_seed(0))
    assert 0 < keep.sum() < 10
    assert_close(dropout(x), x * keep / 0.8)


def test_dropout_keeps_the_mean():
    """A fifth of many numbers is zero, and their mean is what it was."""
    dropout = Dropout(0.2)
    dropout.generator = torch.Generator().manual_seed(0)
    dropped = dropout(torch.ones(100, 1000))
    assert_close((dropped == 0).double().mean().item(), 0.2, rtol=0, atol=0.01)
    assert_close(dropped.mean().item(), 1.0, rtol=0, atol=0.01)


# ---------------------------------------------------------------------------------------------------- noise


def test_noise_by_hand():
    """Half the root mean square of the reference, 5, times what is drawn from the generator."""
    noise = Noise(0.5)
    noise.generator = torch.Generator().manual_seed(0)
    drawn = torch.empty(3).normal_(generator=torch.Generator().manual_seed(0))
    assert_close(
        noise(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[1.0, 7.0], [-5.0, 5.0]])),
        torch.tensor([1.0, 2.0, 3.0]) + 2.5 * drawn,
    )


def test_size_of_noise():
    """Its mean is zero, its deviation the share of the reference's root mean square, of any amount above one too."""
    noise = Noise(3.0)
    noise.generator = torch.Generator().manual_seed(0)
    added = noise(torch.zeros(100, 1000), torch.full((7,), -2.0))
    assert_close(added.mean().item(), 0.0, rtol=0, atol=0.06)
    assert_close(added.std().item(), 6.0, rtol=0.01, atol=0)


def test_noise_of_nothing_is_nothing():
    """Where the reference is zero, so is the noise."""
    x = torch.arange(5.0)
    assert torch.equal(Noise(2.0)(x, torch.zeros(7)), x)


def test_gradient_passes_noise():
    """The gradient is that without noise: what it is measured against is not pushed to be small."""
    x = torch.arange(5.0, requires_grad=True)
    Noise(2.0)(x, x).sum().backward()
    assert torch.equal(x.grad, torch.ones(5))


# ---------------------------------------------------------------------------------------------------- both

NOISY = {"dropout": (Dropout, lambda x: (x,)), "noise": (Noise, lambda x: (x, x))}
both = pytest.mark.parametrize(("kind", "args"), NOISY.values(), ids=NOISY)


@both
@pytest.mark.parametrize(("amount", "training"), [(0.0, True), (0.5, False)])
def test_nothing_is_done(kind, args, amount, training):
    """Without training, or without an amount, it passes on what it got and draws nothing."""
    x = torch.ones(5)
    module = kind(amount).train(training)
    module.generator = torch.Generator().manual_seed(0)
    before, everywhere = module.generator.get_state(), torch.get_rng_state()
    assert module(*args(x)) is x
    assert torch.equal(module.generator.get_state(), before)
    assert torch.equal(torch.get_rng_state(), everywhere)


@both
def test_global_random_state_is_left_alone(kind, args):
    """Nothing is drawn from torch's own generator, and calls differ from each other."""
    module = kind(0.5)
    module.generator = torch.Generator().manual_seed(0)
    before = torch.get_rng_state()
    one, other = module(*args(torch.ones(100))), module(*args(torch.ones(100)))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(one, other)


@both
def test_modules_in_threads_do_not_mix(kind, args):
    """Four threads that call their modules in turns get what each would get alone."""

    def draw(seed, barrier):
        module, drawn = kind(0.5), []
        module.generator = torch.Generator().manual_seed(seed)
        for _ in range(5):
            barrier.wait(30)
            drawn.append(module(*args(torch.ones(100))))
        return torch.stack(drawn)

    barrier = Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, range(4), [barrier] * 4))
    for seed in range(4):
        assert torch.equal(together[seed], draw(seed, Barrier(1)))


@both
def test_noise_from_a_generator_of_ones_own(kind, args):
    """Within the context numbers come from its generator, and afterwards from the module's again."""
    module, other = kind(0.5), kind(0.5)
    module.generator, other.generator = (torch.Generator().manual_seed(seed) for seed in (3, 4))
    x, before = torch.ones(100), module.generator.get_state()
    with noise_from(torch.Generator().manual_seed(4)):
        drawn = module(*args(x))
        assert module.eval()(*args(x)) is x
    assert torch.equal(drawn, other(*args(x)))
    assert torch.equal(module.generator.get_state(), before)
    other.generator.manual_seed(3)
    assert torch.equal(module.train()(*args(x)), other(*args(x)))


@both
def test_noise_from_ends_with_an_error(kind, args):
    """An error ends the context like its end, and another one can be entered."""
    module = kind(0.5)
    module.generator = torch.Generator().manual_seed(3)
    with pytest.raises(RuntimeError, match="on purpose"), noise_from(torch.Generator().manual_seed(4)):
        raise RuntimeError("on purpose")
    assert module.source is module.generator
    with noise_from(own := torch.Generator()):
        assert module.source is own
    assert module.source is module.generator


@both
def test_noise_from_is_for_one_thread(kind, args):
    """Three threads that call one module in turns draw from their own generators, and a fourth from the module's."""
    module = kind(0.5)

    def draw(seed, barrier):
        with noise_from(torch.Generator().manual_seed(seed)) if seed else nullcontext():
            drawn = []
            for _ in range(5):
                barrier.wait(30)
                drawn.append(module(*args(torch.ones(100))))
        return torch.stack(drawn)

    module.generator, barrier = torch.Generator().manual_seed(7), Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, range(4), [barrier] * 4))
    module.generator.manual_seed(7)
    for seed in range(4):
        assert torch.equal(together[seed], draw(seed, Barrier(1)))
