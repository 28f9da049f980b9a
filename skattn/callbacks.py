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
    """Stop when the loss is not finite, and go back to the weights of the last epoch that give a finite one.

    A finite loss proves the weights before its step, not those after it. So the last two epochs are kept, and what is
    gone back to, or left at the end, is tried on the last batch that went well.

    Attributes
    ----------
    failed_epoch_ : int or None
        Epoch, from 1, in which the loss or the weights went wrong.
    restored_epoch_ : int or None
        Epoch whose weights were restored; 0 stands for those before training, and None for no failure.
    """

    def on_train_begin(self, net, **kwargs):
        self.failed_epoch_ = self.restored_epoch_ = self.batch_ = None
        self.kept_ = [(0, deepcopy(net.module_.state_dict()))]

    def on_batch_end(self, net, batch=None, **kwargs):
        losses = net.history[-1]["batches"][-1]
        if not all(np.isfinite(losses[key]) for key in ("train_loss", "valid_loss") if key in losses):
            self.failed_epoch_ = len(net.history)
            raise KeyboardInterrupt
        self.batch_ = batch

    def on_epoch_end(self, net, **kwargs):
        start, before = self.kept_[0], self.kept_[1:][-1:]
        self.kept_ = [start, *before, (len(net.history), deepcopy(net.module_.state_dict()))]

    def on_train_end(self, net, **kwargs):
        if self.failed_epoch_ is not None or not self._is_finite(net):
            self._restore(net)
        self.batch_ = self.kept_ = None

    def _restore(self, net):
        self.failed_epoch_ = self.failed_epoch_ or len(net.history)
        net.optimizer_.state.clear()
        for epoch, weights in reversed(self.kept_):
            net.module_.load_state_dict(weights)
            self.restored_epoch_ = epoch
            if epoch == 0 or self._is_finite(net):
                return
            self.failed_epoch_ = epoch

    def _is_finite(self, net):
        return self.batch_ is None or bool(np.isfinite(net.validation_step(self.batch_)["loss"].item()))


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

    def finish(self):
        """End the task of the fit: the estimator has the weights that it keeps."""
        self.context.call_on_fit_task_end(**self._task())
        self.estimator = self.context = self.X = self.y = None  # skorch's net outlives the fit; the data need not
