"""Tests of the optimisers: torch's own to the last bit, and that nothing loads torch's compiler."""

import copy
import os
import pickle
import subprocess
import sys
from inspect import signature

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, ReduceLROnPlateau

from skattn import optim
from skattn.parameters import OPTIMIZERS

PAIRS = {kind.__name__: (kind, getattr(torch.optim, kind.__name__)) for kind in OPTIMIZERS.values()}
every_pair = pytest.mark.parametrize(("ours", "theirs"), PAIRS.values(), ids=PAIRS)

# options of some optimisers; what others do not know is left out
OPTIONS = {
    "plain": {},
    "weight decay": dict(weight_decay=0.1),
    "upwards": dict(maximize=True),
    "one by one": dict(foreach=False),
    "all at once": dict(foreach=True),
    "momentum": dict(momentum=0.9, weight_decay=0.1),
    "nesterov": dict(momentum=0.9, nesterov=True),
    "amsgrad": dict(amsgrad=True, betas=(0.7, 0.8)),
    "centered": dict(centered=True, alpha=0.7),
}
SCHEDULES = {
    "cosine": lambda one: CosineAnnealingLR(one, 5),
    "exponential": lambda one: ExponentialLR(one, 0.7),
    "plateau": lambda one: ReduceLROnPlateau(one, patience=0),
}


class Run:
    """A small network, whose last map gets no gradient, and what an optimiser makes of it."""

    def __init__(self, kind, **options):
        generator = torch.Generator().manual_seed(0)
        self.net = nn.ModuleList([nn.Linear(3, 5), nn.Linear(5, 2), nn.Linear(2, 7)])
        for parameter in self.net.parameters():
            nn.init.normal_(parameter, generator=generator)
        self.x = torch.randn(11, 3, generator=generator)
        self.optimizer = kind(self.net.parameters(), **{"lr": 0.05, **options})

    def loss(self):
        return self.net[1](self.net[0](self.x).tanh()).square().mean()

    def closure(self):
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        return loss

    def go(self, n_steps=7, schedule=None):
        for _ in range(n_steps):
            self.optimizer.step(self.closure)
            if schedule is not None:
                schedule.step(*([1.0] if isinstance(schedule, ReduceLROnPlateau) else []))
        return self

    @property
    def bits(self):
        return torch.cat([parameter.detach().flatten() for parameter in self.net.parameters()])


def knows(kind, options):
    """Whether an optimiser has all these options."""
    return set(options) <= set(signature(kind).parameters)


CASES = {f"{name}, {how}": (*pair, OPTIONS[how]) for name, pair in PAIRS.items() for how in OPTIONS}
CASES = {name: case for name, case in CASES.items() if knows(*case[1:])}


@pytest.mark.parametrize(("ours", "theirs", "options"), CASES.values(), ids=CASES)
def test_same_steps(ours, theirs, options):
    """After some steps of a closure the weights have the same bits, and those without a gradient are what they were."""
    start, one, other = Run(ours, **options), Run(ours, **options).go(), Run(theirs, **options).go()
    assert torch.equal(one.bits, other.bits)
    assert not torch.equal(one.bits, start.bits)
    assert torch.equal(one.net[2].weight, start.net[2].weight)
    assert one.net[2].weight.grad is None


@every_pair
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_same_steps_with_a_schedule(ours, theirs, schedule):
    """A schedule changes the steps of both alike, and has nothing to warn of."""
    runs = [Run(kind) for kind in (ours, theirs)]
    one, other = (run.go(7, schedule(run.optimizer)) for run in runs)
    assert torch.equal(one.bits, other.bits)
    assert one.optimizer.param_groups[0]["lr"] == other.optimizer.param_groups[0]["lr"] < 0.05
    assert not torch.equal(one.bits, Run(ours).go().bits)


@every_pair
@pytest.mark.parametrize("first", [0, 1], ids=["from ours", "from torch's"])
@pytest.mark.parametrize("second", [0, 1], ids=["to ours", "to torch's"])
def test_state_goes_from_one_to_the_other(ours, theirs, first, second):
    """What one has saved the other goes on from, with its options, as if it had not been interrupted."""
    kinds, options = (ours, theirs), {"weight_decay": 0.1} | ({"momentum": 0.9} if knows(ours, ["momentum"]) else {})
    expected = Run(theirs, **options).go(7)
    run = Run(kinds[first], **options).go(3)
    other = Run(kinds[second], lr=0.7)
    other.net.load_state_dict(run.net.state_dict())
    other.optimizer.load_state_dict(copy.deepcopy(run.optimizer.state_dict()))
    assert other.optimizer.state_dict().keys() == {"state", "param_groups"}
    assert torch.equal(other.go(4).bits, expected.bits)


@every_pair
@pytest.mark.parametrize("way", [copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run))], ids=["copy", "pickle"])
def test_copies_go_on_alike(ours, theirs, way):
    """A copy of an optimiser with its network goes its own way, which is the same."""
    run = Run(ours).go(3)
    before, other = run.bits, way(run)
    assert type(other.optimizer) is ours
    assert torch.equal(other.go(4).bits, Run(theirs).go(7).bits)
    assert torch.equal(run.bits, before)


@every_pair
def test_step_is_outside_of_autograd(ours, theirs):
    """Weights stay leaves, a closure is called once a step with gradients, and its loss is returned; hooks run once."""
    run, calls, hooks = Run(ours), [], []
    run.optimizer.register_step_pre_hook(lambda *_: hooks.append("before"))
    run.optimizer.register_step_post_hook(lambda *_: hooks.append("after"))

    def closure():
        calls.append(torch.is_grad_enabled())
        return run.closure()

    Run(theirs).go(1)  # torch wraps the step of a class when it makes the first of it
    expected = run.loss()
    assert torch.equal(run.optimizer.step(closure), expected)
    assert run.optimizer.step() is None
    assert calls == [True]
    assert hooks == ["before", "after"] * 2
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in run.net.parameters())
    assert torch.is_grad_enabled()


@every_pair
def test_gradients_are_forgotten(ours, theirs):
    """They are None after zero_grad, or zeros where that is asked for."""
    for kind in (ours, theirs):
        run = Run(kind)
        run.loss().backward()
        run.optimizer.zero_grad(set_to_none=False)
        assert not run.net[0].weight.grad.any()
        run.optimizer.zero_grad()
        assert run.net[0].weight.grad is None


@every_pair
def test_groups_of_parameters(ours, theirs):
    """A group that is added has a learning rate of its own, and a parameter that is in another is refused."""
    bits = []
    for kind in (ours, theirs):
        run = Run(kind)
        run.optimizer = kind(run.net[0].parameters(), lr=0.05)
        run.optimizer.add_param_group({"params": list(run.net[1].parameters()), "lr": 0.5})
        with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
            run.optimizer.add_param_group({"params": list(run.net[0].parameters())})
        bits.append(run.go().bits)
    assert torch.equal(*bits)
    assert not torch.equal(bits[0], Run(ours).go().bits)


def test_every_optimiser_is_torch_s():
    """Each that a name stands for is one of the file, made of torch's of the same name, and nothing else is in it."""
    assert all(issubclass(ours, theirs) and ours is not theirs for ours, theirs in PAIRS.values())
    named = {name for name, kind in vars(optim).items() if isinstance(kind, type) and issubclass(kind, optim.Eager)}
    assert named == {*PAIRS, "Eager"}


FITS = """
import sys
import numpy as np
from skattn import AttentionLSTMClassifier, AttentionLSTMForecaster, AttentionLSTMRegressor
from skattn.parameters import LR_SCHEDULES, OPTIMIZERS

X = np.random.default_rng(0).normal(size=(61, 5, 3)).astype(np.float32)
small = dict(hidden_size=7, embedding_dim=2, attention_dim=11, batch_size=16, max_epochs=2, random_state=0)
ways = [dict(optimizer=name, weight_decay=0.1) for name in OPTIMIZERS]
ways += [dict(lr_schedule=name) for name in LR_SCHEDULES] + [dict(gradient_clip=0.1), dict(early_stopping=True)]
ways += [dict(n_members=2, dropout=0.2, attention_noise=0.2), dict(encoder="dual_stage"), dict(spatial_attention="dot")]

def seen(*what):
    if "torch._dynamo" in sys.modules:
        raise SystemExit(f"torch._dynamo is loaded by {what}")

for way in ways:
    model = AttentionLSTMRegressor(**small, **way)
    windows = X[:, :, :, None] if "spatial_attention" in way else X
    model.fit(windows, X[:, 0]).predict(windows)
    seen(way)
model.partial_fit(windows, X[:, 0])
seen("partial_fit")
optimizer = model.net_.optimizer_
optimizer.load_state_dict(optimizer.state_dict())
seen("state")
AttentionLSTMClassifier(**small).fit(X, X[:, 0, 0] > 0).predict_proba(X)
seen("classifier")
AttentionLSTMForecaster(AttentionLSTMRegressor(**small), window_length=5).fit(X[:, 0, 0], fh=[1, 2]).predict()
seen("forecaster")
print("end")
"""


def test_no_fit_loads_the_compiler():
    """In a fresh process, no optimiser, schedule or clip makes anybody wait for torch._dynamo."""
    code = [sys.executable, "-W", "ignore", "-c", FITS]
    done = subprocess.run(code, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert (done.stdout.split(), done.stderr) == (["end"], "")
