"""What training listens to beyond skorch's own callbacks: the clock, a loss that runs away, scikit-learn's protocol."""

import time
from copy import deepcopy

import numpy as np
from skorch.callbacks import Callback


class TimeLimit(Callback):
    """Stop after `max_time` seconds, at the end of a batch."""

    def __init__(self, max_time):
        self.max_time = max_time

    def on_train_begin(self, net, **kwargs):
        self.end_ = time.monotonic() + self.max_time

    def on_batch_end(self, net, training=False, **kwargs):
        if training and time.monotonic() > self.end_:
            raise KeyboardInterrupt  # skorch's way to end training; what was learned is kept


class FiniteLoss(Callback):
    """Stop when the loss is not finite, with the weights of the last epoch whose losses all were.

    Attributes
    ----------
    failed_epoch_ : int or None
        Epoch, from 1, whose loss was not finite.
    """

    def on_train_begin(self, net, **kwargs):
        self.failed_epoch_ = self.good_ = None

    def on_batch_end(self, net, **kwargs):
        batch = net.history[-1]["batches"][-1]
        if not all(np.isfinite(batch[key]) for key in ("train_loss", "valid_loss") if key in batch):
            self.failed_epoch_ = len(net.history)
            raise KeyboardInterrupt

    def on_epoch_end(self, net, **kwargs):
        self.good_ = deepcopy(net.module_.state_dict())

    def on_train_end(self, net, **kwargs):
        if self.failed_epoch_ is not None and self.good_ is not None:
            net.module_.load_state_dict(self.good_)


class SklearnBridge(Callback):
    """Each epoch is a task of scikit-learn's callback protocol (``estimator.set_callbacks``, scikit-learn 1.9).

    Parameters
    ----------
    estimator : estimator
        Passed on; what a callback evaluates is a copy with the weights of the moment.
    context : sklearn.callback.CallbackContext
        Context of the fit.
    X, y : array-like
        Training data, as given to `fit`.
    """

    def __init__(self, estimator, context, X, y):
        self.estimator, self.context, self.X, self.y = estimator, context, X, y

    def _task(self):
        # A copy of the estimator holds plain weights of its own, so there is nothing to reconstruct.
        return {"estimator": self.estimator, "X": self.X, "y": self.y, "reconstruction_attributes": dict}

    def on_train_begin(self, net, **kwargs):
        self.context.call_on_fit_task_begin(**self._task())

    def on_epoch_begin(self, net, **kwargs):
        self.epoch_ = self.context.subcontext(task_name="epoch").call_on_fit_task_begin(**self._task())

    def on_epoch_end(self, net, **kwargs):
        if self.epoch_.call_on_fit_task_end(**self._task()):
            raise KeyboardInterrupt

    def on_train_end(self, net, **kwargs):
        self.context.call_on_fit_task_end(**self._task())
