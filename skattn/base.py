"""The core that the estimators share: every parameter with its constraint, and windows in, forecasts out."""

import sys
from contextlib import nullcontext
from inspect import signature
from warnings import warn

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import EarlyStopping, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from skorch.utils import noop

from skattn.callbacks import FiniteLoss, SklearnBridge, TimeLimit
from skattn.graph import find_adjacency
from skattn.net import HoldoutLast, WindowNet
from skattn.nn.choice import component
from skattn.nn.ensemble import make_network
from skattn.nn.random import DrawFrom, Noisy
from skattn.parallel import Workers, thread_controller
from skattn.parameters import LR_SCHEDULES, NETWORK_PARAMETERS, OPTIMIZERS, Parameters
from skattn.parts import LEVELS, hold, shrink_network, solve_linear, window_losses
from skattn.rows import RowsAsWindows
from skattn.validation import find_device
from skattn.weights import check_kind, lags, read_weights, weight_columns
from skattn.windows import WindowDataset, make_resident

MIN_HELD_OUT = 10  # early_stopping="auto" wants at least so many windows to validate on
LARGE_STEP = 1 << 16  # batch_size * hidden_size from which a second thread pays


class BaseAttentionLSTM(RowsAsWindows, Parameters, CallbackSupportMixin, BaseEstimator):
    """Windows in, forecasts out: `fit_windows` and `predict_windows`, which every door to the package calls."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "network_")

    # ------------------------------------------------------------------ windows in, forecasts out

    def fit_windows(self, windows, *, n_params=1, callbacks=()):
        """Train on windows: what every door to the package ends in.

        Parameters
        ----------
        windows : WindowDataset
            Windows with targets.
        n_params : int, default=1
            Numbers that the head gives per target.
        callbacks : sequence of pairs of a name and a SklearnBridge, default=()
            Added to the user's; each is told when the estimator is fitted.

        Returns
        -------
        self : object
        """
        train, valid = self._split(windows)
        last = None  # solution of the linear skip
        if not (self.warm_start and hasattr(self, "network_")):
            self._start(windows, n_params)
            self._prior, last = self._solve(windows, train, valid)
        self._train(train, self.max_epochs, valid, callbacks)
        with self._limit_threads():
            self._components = shrink_network(self.network_, train, valid, self._prior)
        if last is not None:
            self.network_.skip.fill(last)
        for _, callback in callbacks:
            callback.finish()
        return self

    def partial_fit_windows(self, windows, *, n_params=1, epochs=1):
        """Train some more on windows, without holding any out; what is learned of scales stays as it was."""
        if not hasattr(self, "network_"):
            self._start(windows, n_params)
            self._prior, _ = self._solve(windows, windows)
        return self._train(windows, epochs)

    def predict_windows(self, windows):
        """Forecasts of shape (n, H, M), or (n, H, M, P) for classes, in the units of the targets."""
        return np.concatenate(self._map(windows, lambda batch, _: self.network_.predict(**batch)))

    def loss_windows(self, windows):
        """Loss of training of each window, (n,), over the targets that were observed; NaN where none was."""

        def loss_of(batch, target):
            loss = window_losses(self.network_, self.network_(**batch), target)
            if loss is None:
                raise ValueError(
                    "loss returned a single number, but that of each window is wanted. Use a loss with an attribute "
                    "`reduction`, or one that returns the shape of its target."
                )
            return loss

        return np.concatenate(self._map(windows, loss_of))

    def attend_windows(self, windows, kind="temporal", per_head=False):
        """Attention weights of shape (n, Q, size), or (n, N, Q, size) per head: Q queries, size steps or channels.

        Parameters
        ----------
        windows : WindowDataset
            Windows.
        kind : {'temporal', 'channel', 'joint', 'spatial', 'input', 'state'}, default='temporal'
            As in :meth:`attention_weights`; 'joint' is flattened, step by step. With 'spatial' each sensor is a query.
        per_head : bool, default=False
            Whether each head is given, or the mean over the heads.
        """
        check_kind(self.network_, kind, type(self).__name__)

        def weights_of(batch, _):
            weights = read_weights(self.network_(**batch), kind)  # (B, N, Q, size)
            if kind == "spatial":
                weights = self.network_.spatial_attention.spread(weights)  # (B, N, M, M)
            return weights if per_head else weights.mean(1)

        return np.concatenate(self._map(windows, weights_of))

    def attention_weights(self, X, kind="temporal", per_head=False, per_horizon=True):
        """What the prediction for each window looked at.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_steps, n_channels) or (n_samples, n_features)
            Windows.
        kind : {'temporal', 'channel', 'joint', 'input', 'state'}, default='temporal'
            'temporal' asks for past steps, 'channel' for channels, 'joint' for both: the weight of each channel at
            each step. Attention over time is that on the inputs if there is one there, else that on the encoder's
            states; 'input' and 'state' name one of the two. States remember earlier steps, so their weights say when
            the encoder was asked, not what it had read by then.
        per_head : bool, default=False
            Whether each head is shown, or the mean over the heads.
        per_horizon : bool, default=True
            Whether each step ahead is shown, or their mean. A window here asks for one step, so both are the same.

        Returns
        -------
        weights : ndarray of shape (n_samples, n_steps or n_channels), or (n_samples, n_steps, n_channels) for 'joint'
            With `per_head`, (n_samples, num_heads, ...). The weights of a window sum to one, and what is missing has
            none. A pandas.DataFrame on the index of X, with a column per lag (0 for the newest step), channel or pair
            of them, where X is one and `per_head` is False.
        """
        check_is_fitted(self)
        past = self._check_X(X)
        weights = self.attend_windows(WindowDataset({"past": past}), kind, per_head)  # (n, [N,] Q, size)
        if kind == "spatial":
            return weights
        weights = weights[..., 0, :]  # (n, [N,] size)
        if hasattr(X, "iloc") and not per_head:
            import pandas as pd

            columns = weight_columns(kind, lags(past.shape[1]), range(past.shape[2]), weights.shape[-1])
            return pd.DataFrame(weights, index=X.index, columns=columns)
        return weights.reshape(*weights.shape[:-1], past.shape[1], -1) if kind == "joint" else weights

    def _map(self, windows, function):
        """What a function makes of the inputs of the network and the targets, batch by batch, as a list of arrays."""
        device, network, n_threads = find_device(self.device), self.network_, self.n_threads or torch.get_num_threads()
        if network.training or network.head.bias.device != device:
            network.to(device).eval()  # walks through all modules: a third of the time of a single forecast

        size = network.chunk << (4 if device.type == "cuda" else 0)  # a GPU wants more at a time
        if len(windows) > size:
            (windows,) = make_resident(device, windows)

        def values(start):
            batch, (target, _) = windows.__getitems__(slice(start, start + size))
            with torch.inference_mode():
                batch = {name: array.to(device) for name, array in batch.items()}
                return function(batch, target.to(device)).cpu().numpy()

        starts = range(0, len(windows), size)
        with self._limit_threads():
            if min(n_threads, len(starts)) == 1 or device.type != "cpu" or not network.work:
                return list(map(values, starts))
            with Workers(n_threads) as workers:
                return workers.map(values, starts)

    # ------------------------------------------------------------------ training

    def _start(self, windows, n_params):
        """A new network, with weights drawn from `random_state` and scales taken from the windows."""
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        self._generator = torch.Generator().manual_seed(int(seed))
        self._history, self._components = [], {}
        for name in ("net_", "network_"):
            self.__dict__.pop(name, None)
        self.network_ = self._make_network(windows.sizes, n_params)
        network = self.network_
        sensors = (network.n_sensors, network.n_variables) if network.by_sensor else (0, 1)
        self._standardise(network.normalization, windows, "past", sensors)
        if "future" in windows.arrays:
            self._standardise(network.future_normalization, windows, "future")

    def _make_network(self, sizes, n_params):
        """The place where the estimator's parameters become a network."""
        auto = "last" if sizes["autoregressive"] else "global"
        normalization = auto if self.normalization == "auto" else self.normalization
        config = {name: getattr(self, name) for name in NETWORK_PARAMETERS} | {"normalization": normalization}
        if self.spatial_attention is not None and sizes["n_variables"]:
            n_own = sizes["n_targets" if sizes["autoregressive"] else "n_channels"]
            config["adjacency"] = find_adjacency(self.adjacency, self.coordinates, n_own // sizes["n_variables"])
        config = {name: value.item() if isinstance(value, np.generic) else value for name, value in config.items()}
        with DrawFrom(self._generator):
            network = make_network(**sizes, **config, n_params=n_params, head=self._head)
        return network.to(getattr(torch, self.dtype))

    @staticmethod
    def _standardise(normalization, windows, name, sensors=(0, 1)):
        """Give a normalisation the statistics of the training data, chunk by chunk.

        A channel that was never observed takes the mean of those of the other sensors, so many with so many each.
        """
        scaler = StandardScaler()
        for table, weight in windows.tables(name):
            with np.errstate(invalid="ignore"):  # a channel that was never observed
                scaler.partial_fit(table, sample_weight=weight)
        for buffer, values, default in ((normalization.loc, scaler.mean_, 0), (normalization.scale, scaler.scale_, 1)):
            own = values[: sensors[0] * sensors[1]].reshape(sensors)  # (M, V), a view
            mean = np.ma.masked_invalid(own).mean(0).filled(default)  # (V,)
            own[:] = np.where(np.isnan(own), mean, own)
            buffer.copy_(torch.from_numpy(np.nan_to_num(values, nan=default)))

    def _solve(self, windows, train, valid=None):
        """Let held-out windows choose the level, where the parameter leaves it open, and solve the linear skip."""
        levels = [level for level in LEVELS if train.autoregressive and self.normalization in ("auto", level[0])]
        n_threads = (self.n_threads or torch.get_num_threads()) if self.network_.own_parts else 1
        with Workers(n_threads), self._limit_threads():
            return solve_linear(self.network_, train, valid, windows, levels if len(levels) > 1 else ())

    def _split(self, windows):
        """Windows to train on, and those that are held out for early stopping, or None."""
        held_out = self.validation_fraction * len(windows)
        enough = held_out >= MIN_HELD_OUT and len(windows) - held_out - windows.gap >= len(windows) / 2
        if self.early_stopping is False or (self.early_stopping == "auto" and not enough):
            return windows, None
        return HoldoutLast(self.validation_fraction)(windows)

    def _train(self, windows, epochs, valid=None, callbacks=()):
        finite = FiniteLoss()
        windows, valid = make_resident(find_device(self.device), windows, valid)
        train_split = valid and predefined_split(valid)
        net = self._make_net(epochs, train_split, [("finite_loss", finite), *callbacks])
        previous, self.net_ = self.__dict__.get("net_"), net
        with Workers(self.n_threads or torch.get_num_threads()) as workers, self._limit_threads():
            net.initialize()
            if previous is not None and isinstance(previous.optimizer_, type(net.optimizer_)):
                net.optimizer_.state.update(previous.optimizer_.state)
            with self.network_.ungated(), net.sharing(workers):
                net.partial_fit(windows)
        net.train_split = None  # it would keep the held-out windows, and with them the series
        self._check_finite_loss(finite)
        for epoch in net.history:
            scores = {key: value for key, value in epoch.items() if isinstance(value, float)}  # a user's own too
            self._history.append({"epoch": len(self._history) + 1, **scores})
        return self

    def _make_net(self, epochs, train_split, callbacks):
        """skorch's net around the network, for one training."""
        device = find_device(self.device)
        self._seed_noise(device)
        optimizer = component(OPTIMIZERS, self.optimizer)
        known, options = signature(optimizer).parameters, {}
        if self.weight_decay or "weight_decay" in known:
            options["optimizer__weight_decay"] = self.weight_decay
        if optimizer in OPTIMIZERS.values() and "fused" in known:
            options["optimizer__fused"] = True  # a quarter of the time of a step
        return WindowNet(
            self.network_.to(device),
            generator=self._generator,
            optimizer=optimizer,
            **options,
            lr=self.lr,
            max_epochs=epochs,
            batch_size=self.batch_size,
            train_split=train_split,
            callbacks=[*callbacks, *self._make_callbacks(epochs, train_split), *(self.callbacks or ())],
            device=device,
            compile=self.compile,
            verbose=self.verbose,
        )

    def _make_callbacks(self, epochs, train_split):
        """skorch's callbacks that the parameters stand for."""
        monitor = "train_loss" if train_split is None else "valid_loss"
        callbacks = []
        if self.gradient_clip is not None:
            callbacks.append(("gradient_clip", GradientNormClipping(self.gradient_clip)))
        if self.lr_schedule is not None:
            callbacks.append(("lr_schedule", LRScheduler(**LR_SCHEDULES[self.lr_schedule](epochs, monitor))))
        if self.max_time is not None:
            callbacks.append(("max_time", TimeLimit(self.max_time)))
        if train_split is not None:
            stopping = EarlyStopping(monitor, self.n_iter_no_change, self.tol, load_best=True, sink=noop)
            callbacks.append(("early_stopping", stopping))
        return callbacks

    def _seed_noise(self, device):
        """Give the network's dropout and noise a generator on the device it runs on, seeded from the estimator's."""
        noisy = [module for module in self.network_.modules() if isinstance(module, Noisy) and module.amount]
        if noisy:
            seed = int(torch.randint(1 << 31, (), generator=self._generator))
            generator = torch.Generator(device).manual_seed(seed)
            for module in noisy:
                module.generator = generator

    def _check_finite_loss(self, finite):
        if finite.failed_epoch_ is None:
            return
        message = (
            f"The loss was not finite in epoch {finite.failed_epoch_} with lr={self.lr}. {{}} "
            "Use a smaller lr or a gradient_clip, or look for extreme values in X and y."
        )
        if finite.restored_epoch_ == 0:
            self.__dict__.pop("net_")
            if not self._history:
                self.__dict__.pop("network_")
            raise ValueError(message.format("No epoch of this training was finished before, which changed nothing."))
        stopping = dict(self.net_.callbacks_).get("early_stopping")
        epoch = finite.restored_epoch_ if stopping is None else stopping.best_epoch_
        restored = f"Training stopped and the weights of epoch {epoch} were restored."
        warn(message.format(restored), ConvergenceWarning, stacklevel=_caller_level())

    def _limit_threads(self):
        """Share operations out to one thread only, but for a large network."""
        large = self.batch_size * self.hidden_size >= LARGE_STEP
        if large and self.n_threads is None:
            return nullcontext()
        torch.get_num_threads()  # a new thread asks torch for its number first, which would undo the limit later
        return thread_controller().limit(limits=int(self.n_threads) if large else 1)

    def _bridge(self, X, y):
        """scikit-learn's callbacks as a callback of skorch."""
        context = self._init_callback_context(max_subtasks=self.max_epochs)
        return [("sklearn", SklearnBridge(self, context, X, y))]

    @property
    def history_(self):
        """A row per epoch of training, as a pandas.DataFrame."""
        import pandas as pd

        check_is_fitted(self)
        return pd.DataFrame(self._history)

    @property
    def components_(self):
        """Which part carries the forecast, as a pandas.Series."""
        import pandas as pd

        check_is_fitted(self)
        return pd.Series(self._components, dtype=float, name="loss")

    # ------------------------------------------------------------------ plain state

    def __getstate__(self):
        state = dict(super().__getstate__())
        state.pop("net_", None)
        if "_history" in state:
            state["_history"] = [dict(epoch) for epoch in state["_history"]]
        network, generator = state.pop("network_", None), state.pop("_generator", None)
        if network is not None:
            weights = {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}
            state["_network_state"] = {"config": dict(network.config), "weights": weights}
            state["_generator_state"] = generator.initial_seed(), generator.get_state().numpy()
        return state

    def __setstate__(self, state):
        state = dict(state)
        saved, generator_state = state.pop("_network_state", None), state.pop("_generator_state", None)
        super().__setstate__(state)
        if saved is None:
            return
        with DrawFrom(torch.Generator()):  # the weights drawn are replaced: only the global random state matters
            network = make_network(**saved["config"])
        weights = {name: torch.from_numpy(value.copy()) for name, value in saved["weights"].items()}
        self.network_ = network.to(next(iter(weights.values())).dtype)
        self.network_.load_state_dict(weights)
        if self._prior is not None:
            hold(self.network_)
        self._generator = torch.Generator().manual_seed(generator_state[0])
        self._generator.set_state(torch.from_numpy(generator_state[1].copy()))


def _caller_level():
    """Level of the user's line for `warnings.warn`: past our frames and those of the libraries that called us."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("skattn", "sklearn", "sktime"):
        level, frame = level + 1, frame.f_back
    return level
