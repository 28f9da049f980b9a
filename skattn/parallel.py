"""Work on several cores: chunks of windows, each done by one thread, and in training their gradients summed in order.

What is computed depends on the chunks, and these on the sizes of the network and the batch alone: any number of threads
gives the same bits.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import lru_cache
from math import ceil, log2

import torch
from threadpoolctl import ThreadpoolController

# Numbers in the states of a layer. Where there are more, the C library hands the memory back after each step, and
# fetching it again costs up to half of the time; where there are fewer, a thread is not worth waking.
LARGE, SMALL = 400_000, 40_000
_CURRENT = ContextVar("workers", default=None)


def n_chunks(size, n_windows):
    """How many chunks, a power of two, for a batch of windows with so many numbers in the states of a layer."""
    if size < 2 * SMALL or n_windows < 2:
        return 1
    return 2 ** min(max(1, ceil(log2(size / LARGE))), int(log2(n_windows)))


class Workers:
    """Threads that torch's operations do not share out further, for as long as the context lasts.

    Parameters
    ----------
    n_threads : int
        How many.
    """

    def __init__(self, n_threads):
        self.n_threads = n_threads

    def __getstate__(self):
        """Copies, of a net that is saved while it trains, have no threads."""
        return {"n_threads": self.n_threads}

    def __enter__(self):
        _keep_memory()
        self._pool = ThreadPoolExecutor(self.n_threads, "skattn", _alone)
        self._token = _CURRENT.set(self)
        return self

    def __exit__(self, *error):
        _CURRENT.reset(self._token)
        self._pool.shutdown(cancel_futures=True)

    def map(self, function, items):
        """What a function makes of items, as a list in their order."""
        return list(self._pool.map(function, items))

    def stream(self, function, items):
        """The same one by one, with no more than one result waiting for each thread."""
        waiting = deque()
        for item in items:
            waiting.append(self._pool.submit(function, item))
            if len(waiting) > self.n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def gradients(self, losses, parameters):
        """Sum of the losses that functions return, and its gradients by the parameters, which are set.

        Parameters
        ----------
        losses : list of callable
            Each returns a scalar; their sum is what is minimised.
        parameters : list of Parameter
            Those that are trained.

        Returns
        -------
        loss : Tensor
            The sum, a scalar.
        """

        def both(loss_of):
            loss = loss_of()
            return loss.detach(), torch.autograd.grad(loss, parameters, allow_unused=True)

        found, gradients = zip(*self.map(both, losses), strict=True)
        for parameter, parts in zip(parameters, zip(*gradients, strict=True), strict=True):
            there = [part for part in parts if part is not None]
            # Not in place: the gradients of an LSTM's two biases are one tensor.
            parameter.grad = sum(there[1:], there[0]) if there else None
        return sum(found)


def share(function, items):
    """What a function makes of items, one by one in their order: by the `Workers` of the context, or by this thread."""
    workers = _CURRENT.get()
    return map(function, items) if workers is None or workers.n_threads == 1 else workers.stream(function, items)


def _alone():
    """Have operations that this thread asks for run in it alone; it has limits of its own, and ends with them."""
    torch.get_num_threads()  # a new thread asks torch for its number first, which would undo the limit later
    thread_controller().select(internal_api="openmp").limit(limits=1)


@lru_cache(maxsize=1)
def _keep_memory():
    """Have the C library of Linux keep what a chunk gives back for the next one.

    Its limit follows the largest block that a process has released, and never goes beyond 32 MiB.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


@lru_cache(maxsize=1)
def thread_controller():
    """threadpoolctl's controller, made once, since it looks through all libraries of the process."""
    return ThreadpoolController()
