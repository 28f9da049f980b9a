"""The training loop: skorch's, with whole batches gathered at once and the loss asked of the network's head."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import EpochTimer, PassthroughScoring, PrintLog, ProgressBar
from skorch.utils import to_tensor

from skattn.nn.random import Noisy, noise_from
from skattn.parallel import n_chunks


class WindowNet(NeuralNet):
    """skorch's net for an :class:`~skattn.nn.AttentionLSTM` and a :class:`~skattn.windows.WindowDataset`.

    Parameters
    ----------
    module : AttentionLSTM
        The network, made and initialised.
    generator : torch.Generator
        Shuffles the windows of each epoch.
    device : torch.device or str, default='cpu'
        Where the network is.
    **kwargs
        As for :class:`skorch.NeuralNet`.
    """

    workers = noise = None

    def __init__(self, module, generator, device="cpu", **kwargs):
        super().__init__(
            module,
            criterion=torch.nn.Identity,  # skorch refuses None; get_loss asks the head instead
            iterator_train=Batches,
            iterator_train__generator=generator,
            iterator_train__device=device,
            iterator_valid=Batches,
            iterator_valid__device=device,
            device=device,
            **kwargs,
        )

    @property
    def _default_callbacks(self):
        listed = [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
        ]
        if self.verbose == 1:
            listed.append(("progress_bar", ProgressBar()))
        elif self.verbose > 1:
            listed.append(("print_log", PrintLog()))
        return listed

    def on_epoch_begin(self, net, **kwargs):
        super().on_epoch_begin(net, **kwargs)
        if len(self.history) > 1:
            self.history[-2]["batches"] = []  # else the history grows with every batch of every epoch

    def on_train_end(self, net, **kwargs):
        super().on_train_end(net, **kwargs)
        if self.history and "dur" not in self.history[-1] and self.history[-1]["batches"]:
            for name, callback in self.callbacks_:  # an epoch that was cut short has a loss and a duration too
                if name in ("epoch_timer", "train_loss"):
                    callback.on_epoch_end(self)

    @contextmanager
    def sharing(self, workers):
        """Within this context threads share large batches, on a CPU. Callbacks are told no `y_pred` of such a step."""
        if torch.device(self.device).type == "cpu" and not self.compile:
            noisy = (module for module in self.module_.modules() if isinstance(module, Noisy) and module.amount)
            self.workers, self.noise = workers, getattr(next(noisy, None), "generator", None)
        try:
            yield
        finally:
            self.workers = self.noise = None

    def train_step_single(self, batch, **fit_params):
        """skorch's step of training, or the same in chunks that threads share."""
        inputs, (target, weight) = batch
        n_parts = 1
        if self.workers is not None and self.module_.head.by_element:
            n_parts = n_chunks(len(target) * self.module_.work, len(target))
        if n_parts == 1:
            return super().train_step_single(batch, **fit_params)
        self._set_training(True)
        weight = _weights(target, weight)  # (B, H, M)
        weight = weight / weight.sum().clamp_min(torch.finfo(target.dtype).tiny)
        seeds = [None] * n_parts
        if self.noise is not None:
            seeds = torch.randint(1 << 62, (n_parts,), generator=self.noise).tolist()
        chunks = zip(*(one.tensor_split(n_parts) for one in (target, weight, *inputs.values())), strict=True)
        losses = [
            partial(self._chunk_loss, seed, dict(zip(inputs, arrays, strict=True)), target, weight)
            for seed, (target, weight, *arrays) in zip(seeds, chunks, strict=True)
        ]
        parameters = [one for one in self.module_.parameters() if one.requires_grad]
        return {"loss": self.workers.gradients(losses, parameters), "y_pred": None}

    def _chunk_loss(self, seed, inputs, target, weight):
        """What a chunk of a batch, with noise of its own, has of the loss of the batch."""
        with nullcontext() if seed is None else noise_from(torch.Generator().manual_seed(seed)):
            output = self.module_(**inputs)
        losses = self.module_.loss(output, torch.nan_to_num(target))  # (b, H, M)
        return (losses * weight).sum()

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Weighted mean of the loss over the targets that were observed."""
        target, weight = to_tensor(y_true, device=self.device)
        weight = _weights(target, weight)
        losses = self.module_.loss(y_pred, torch.nan_to_num(target))
        if losses.dim() == 0 and weight.min() == weight.max():
            return losses
        if losses.dim() == 0:
            raise ValueError(
                "loss returned a single number, but sample weights or missing targets need one number per target. "
                "Use a loss with an attribute `reduction`, or one that returns the shape of its target."
            )
        return (losses * weight).sum() / weight.sum().clamp_min(torch.finfo(target.dtype).tiny)


def _weights(target, weight):
    """Weight of each target (B, H, M), zero where it was not observed; `weight` is (B, 1, 1), or empty."""
    observed = ~torch.isnan(target)
    return observed * weight if len(weight) else observed.to(target.dtype)


class Batches:
    """Batches of a dataset, each gathered by one fancy index.

    Parameters
    ----------
    dataset : WindowDataset
        What to iterate over.
    batch_size : int
        Number of windows of a batch.
    generator : torch.Generator, default=None
        Shuffles anew at each iteration; None keeps the order.
    device : torch.device or str, default='cpu'
        Where the batches are wanted; to a GPU they are sent ahead, unless they are gathered there.
    """

    def __init__(self, dataset, batch_size, generator=None, device="cpu"):
        self.dataset, self.batch_size, self.generator, self.device = dataset, batch_size, generator, device

    def __iter__(self):
        batches = self._gathered()
        if torch.device(self.device).type != "cuda" or self.dataset.resident is not None:
            return batches
        return _ahead(batches, self.device)

    def _gathered(self):
        if self.generator is None:
            yield from self.dataset.batches(self.batch_size)
            return
        n = len(self.dataset)
        kind = torch.int32 if n <= torch.iinfo(torch.int32).max else torch.int64  # in half of the memory
        order = torch.randperm(n, generator=self.generator, dtype=kind).numpy()
        for start in range(0, n, self.batch_size):
            yield self.dataset.__getitems__(order[start : start + self.batch_size])


def _ahead(batches, device):
    """Batches on a device, each gathered and sent, from pinned memory, while the one before it is worked on."""

    def sent(tensor):
        return tensor.pin_memory().to(device, non_blocking=True)

    def fetch():
        inputs, pair = next(batches, (None, None))
        return inputs and ({name: sent(one) for name, one in inputs.items()}, tuple(map(sent, pair)))

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(fetch)
        while (batch := waiting.result()) is not None:
            waiting = pool.submit(fetch)
            yield batch


class HoldoutLast:
    """Split that holds out the newest windows of each series and drops those that straddle the border.

    skorch's own default would validate on the oldest fifth, or at random among windows that overlap.

    Parameters
    ----------
    fraction : float
        Share of the windows to hold out.
    """

    def __init__(self, fraction):
        self.fraction = fraction

    def __call__(self, windows, y=None):
        """Split `windows` into a training and a validation dataset."""
        age = windows.age[windows.index]
        n_valid = max(1, round(self.fraction * len(windows)))
        border = np.partition(age, n_valid - 1)[n_valid - 1] + 1
        train, valid = windows.take(age >= border + windows.gap), windows.take(age < border)
        if not len(train):
            raise ValueError(
                f"early stopping holds out the newest {len(valid)} of {len(windows)} windows and drops {windows.gap} "
                "before them, which leaves none to train on. Use early_stopping=False, a smaller validation_fraction "
                "or more data."
            )
        return train, valid
