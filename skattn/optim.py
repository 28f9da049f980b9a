"""torch's optimisers without its compiler, which they load to be told that there is nothing to compile."""

from inspect import unwrap

import torch


class Eager:
    """Mixin for an optimiser of torch: the same steps, but a first one that need not wait a second for an import."""

    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)

    def step(self, closure=None):
        """One step of what the other class says."""
        with torch.no_grad():
            return unwrap(super().step.__func__)(self, closure)


class Adam(Eager, torch.optim.Adam):
    """Kingma and Ba (2015), "Adam"."""


class AdamW(Eager, torch.optim.AdamW):
    """Loshchilov and Hutter (2019), "Decoupled weight decay regularization"."""


class SGD(Eager, torch.optim.SGD):
    """Stochastic gradient descent, plain unless weight decay is added."""


class RMSprop(Eager, torch.optim.RMSprop):
    """Tieleman and Hinton (2012), lecture 6.5 of "Neural networks for machine learning"."""
