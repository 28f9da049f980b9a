"""Random numbers from a generator of one's own, so that fits in threads neither disturb each other nor the caller.

``torch.manual_seed`` and ``torch.random.fork_rng`` are process-wide: concurrent fits race on them.
"""

import threading
from abc import ABC
from contextlib import contextmanager

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_IN_PLACE = ("uniform_", "normal_", "bernoulli_", "exponential_", "log_normal_", "cauchy_", "geometric_", "random_")
_NEW = ("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "rand_like", "randn_like")
_DRAWS = {getattr(torch.Tensor, name) for name in _IN_PLACE} | {getattr(torch, name) for name in _NEW}


class DrawFrom(TorchFunctionMode):
    """Within this context initial weights are drawn from `generator`.

    Modules keep their own initialisation, torch's and yours alike: the functions of ``torch.nn.init`` and the draws
    of tensors are handed the generator. The context belongs to the thread that entered it.

    Parameters
    ----------
    generator : torch.Generator
        Where the numbers come from.
    """

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if (func in _DRAWS or "generator" in kwargs) and kwargs.get("generator") is None:
            kwargs["generator"] = self.generator
        return func(*args, **kwargs)


_own = threading.local()


@contextmanager
def noise_from(generator):
    """Within this context, and in this thread alone, noise is drawn from a `generator` of the thread's own."""
    _own.generator = generator
    try:
        yield
    finally:
        del _own.generator


class Noisy(nn.Module, ABC):
    """Something random that is done in training only, with numbers from `generator`, set before training, or that of
    :func:`noise_from`.

    Parameters
    ----------
    amount : float
        How much of it; with none, nothing is drawn.
    """

    def __init__(self, amount):
        super().__init__()
        self.amount = amount
        self.generator = None

    @property
    def active(self):
        """Whether anything is done."""
        return self.training and self.amount > 0

    @property
    def source(self):
        """The generator that numbers come from."""
        return getattr(_own, "generator", self.generator)


class Dropout(Noisy):
    """Dropout, Srivastava et al. (2014): zeros with the probability `amount`."""

    def forward(self, x):
        if not self.active:
            return x
        keep = torch.empty_like(x).bernoulli_(1 - self.amount, generator=self.source)
        return x * keep / (1 - self.amount)


class Noise(Noisy):
    """Gaussian noise, whose deviation is `amount` times the root mean square of what it is measured against."""

    def forward(self, x, reference):
        if not self.active:
            return x
        scale = self.amount * reference.detach().square().mean().sqrt()
        return x + scale * torch.empty_like(x).normal_(generator=self.source)
