"""An ensemble: networks that differ by their initial weights, trained together, whose forecasts are averaged.

Letters: ``E`` members, ``B`` windows, ``H`` horizon, ``M`` targets, ``P`` parameters per target.
"""

import torch
from torch import nn

from skattn.nn.network import AttentionLSTM

AVERAGED = ("channel", "spatial", "input", "state")
SHARED = ("normalization", "future_normalization", "skip", "gate")


class Ensemble(AttentionLSTM):
    """Networks that share level, scales and linear skip, and whose forecasts are averaged: Hansen and Salamon (1990),
    "Neural network ensembles". As in Lakshminarayanan et al. (2017), they differ by initial weights and not by data.

    It is itself the first member. Members run one after another on the same batch, since torch's LSTM has no axis for
    them: a training step takes as long as a step of each. In training they also differ by dropout and noise.

    Each has a loss of its own, and the mean of these is minimised, which divides the gradient of each by their number.
    Adam's steps are as long as before, those of plain SGD are divided likewise, and where weight decay is added to the
    gradient it weighs the more. Gradients are clipped by their norm over all members.

    Parameters
    ----------
    n_members : int
        How many networks.
    **config
        As for :class:`~skattn.nn.AttentionLSTM`.
    """

    def __init__(self, n_members, **config):
        super().__init__(**config)
        self.config["n_members"] = n_members
        alone = config | {"linear_skip": False}
        self.others = nn.ModuleList(AttentionLSTM(**alone) for _ in range(n_members - 1))
        self._share()

    def _share(self):
        for other in self.others:
            for name in SHARED:
                delattr(other, name)
                vars(other)[name] = getattr(self, name)  # not registered once more: the state has it once

    def set_level(self, name, share=None):
        """Take another normalisation, for all members."""
        super().set_level(name, share)
        self._share()

    def forward(self, past, future=None, place=None):
        """Run windows through all members, as :meth:`AttentionLSTM.forward` does.

        Parameters of the forecast and attention weights are averaged, but in training the parameters of all members are
        returned, (E, B, H, M, P).
        """
        lead = super().forward(past, future, place)
        outputs = lead, *(other(past, future, place) for other in self.others)
        params = torch.stack([output.params for output in outputs])  # (E, B, H, M, P)
        params = params if self.training else params.mean(0)  # (E, B, H, M, P) or (B, H, M, P)
        averaged = {name: _mean([getattr(output, name) for output in outputs]) for name in AVERAGED}
        return lead._replace(params=params, **averaged)

    def loss(self, output, target):
        """Loss of each element (B, H, M) of `target`: that of the mean forecast, in training the members' mean."""
        loss = super().loss
        if output.params.dim() == 4:
            return loss(output, target)
        return torch.stack([loss(output._replace(params=params), target) for params in output.params]).mean(0)


def make_network(n_members=1, **config):
    """The network of a `config`: one, or an ensemble of several."""
    return AttentionLSTM(**config) if n_members == 1 else Ensemble(n_members, **config)


def _mean(values):
    return None if values[0] is None else torch.stack(values).mean(0)
