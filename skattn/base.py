"""The core that the estimators share: every parameter with its constraint, and windows in, forecasts out."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from warnings import warn

import numpy as np
import torch
from skorch.callbacks import EarlyStopping, GradientNormClipping, LRScheduler
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import ThreadpoolController

from skattn.callbacks import FiniteLoss, SklearnBridge, TimeLimit
from skattn.net import HoldoutLast, WindowNet
from skattn.nn import ATTENTIONS, ENCODERS, NORMALIZATIONS, AttentionLSTM
from skattn.nn.random import DrawFrom, Dropout
from skattn.windows import distinct_steps

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}

# What skorch's LRScheduler is given for each schedule, for a training of `epochs` epochs.
LR_SCHEDULES = {
    "cosine": lambda epochs, monitor: {"policy": "CosineAnnealingLR", "T_max": epochs},
    "exponential": lambda epochs, monitor: {"policy": "ExponentialLR", "gamma": 0.01 ** (1 / epochs)},
    "step": lambda epochs, monitor: {"policy": "StepLR", "step_size": max(1, epochs // 3), "gamma": 0.1},
    "plateau": lambda epochs, monitor: {"policy": "ReduceLROnPlateau", "monitor": monitor, "patience": 5},
}

MIN_HELD_OUT = 10  # early_stopping="auto" wants at least so many windows to validate on
PREDICT_BATCH = 128  # chunks of 64 to 128 windows are the fastest on a CPU
LARGE_STEP = 1 << 16  # batch_size * hidden_size from which a second thread pays

PARAMETERS = """Parameters
    ----------
    attention : {'additive', 'dot', 'general', 'multihead'}, type or None, default='additive'
        How a step is scored: additive (Bahdanau et al., 2015), dot or general (Luong et al., 2015), scaled dot with
        projected values (Vaswani et al., 2017), a subclass of :class:`skattn.nn.Attention`, or None for no
        attention over time, which leaves a plain LSTM.
    attention_position : {'input', 'state', 'both'}, default='state'
        What is attended to: the embedded inputs, each multiplied by its weight before the encoder reads them; the
        states of the encoder, with one query per step ahead; or both. Only used when `attention` is not None.
    channel_attention : {'additive', 'dot', 'general', 'multihead'}, type or None, default=None
        Attention over the channels, by the same mechanisms: each channel's whole window is scored, and the channel
        multiplied by its weight.
    attention_dim : int, default=32
        Width that queries and keys are projected to. Only used by additive and multihead attention.
    num_heads : int, default=1
        Heads of every attention, and of the transformer encoder. It must divide `attention_dim`, `embedding_dim`
        and `hidden_size`.
    encoder : {'lstm', 'gru', 'transformer'} or type, default='lstm'
        What turns the embedded window into states.
    hidden_size : int, default=32
        Width of the encoder's states.
    num_layers : int, default=1
        Layers of the encoder.
    embedding_dim : int, default=32
        Width that the values of a step, beside their observed mask, are embedded to.
    dropout : float, default=0.0
        Probability of a zero between layers of the encoder and before the head.
    normalization : {'auto', 'global', 'last', 'window', 'identity'} or type, default='auto'
        Level and scale taken out of every window: mean and deviation of the training data, the window's last value,
        the window's own mean and deviation, or nothing. 'auto' is 'window' where the targets are channels of the
        window, as in a forecaster, and 'global' elsewhere.
    linear_skip : bool, default=True
        Whether a linear forecast from the window is added to the network's.
    loss : {loss_names}, torch.nn.Module or type, default={loss_default!r}
        What training minimises, on standardised targets.
    optimizer : {'adam', 'adamw', 'sgd', 'rmsprop'} or type, default='adam'
        A name or a class of torch's kind.
    lr : float, default=0.01
        Learning rate.
    weight_decay : float, default=0.0
        Weight decay of the optimizer.
    gradient_clip : float or None, default=1.0
        Largest norm of a gradient step; None means any.
    lr_schedule : {'cosine', 'exponential', 'step', 'plateau'} or None, default=None
        How the learning rate falls: along half a cosine to zero, to a hundredth, to a tenth at each third of
        `max_epochs`, or to a tenth when the loss has not improved for five epochs.
    batch_size : int, default=32
        Windows per gradient step.
    max_epochs : int, default=100
        Passes over the training windows at most.
    max_time : float or None, default=None
        Seconds of training at most.
    early_stopping : bool or 'auto', default='auto'
        Whether the newest windows are held out, training stops when the loss on them no longer falls, and the best
        weights are restored. 'auto' does so wherever at least ten windows would be held out.
    validation_fraction : float, default=0.1
        Share of the windows held out. Only used with early stopping.
    n_iter_no_change : int, default=10
        Epochs without improvement before training stops. Only used with early stopping.
    tol : float, default=1e-4
        Relative improvement of the validation loss that counts. Only used with early stopping.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last call.
    random_state : int, RandomState instance or None, default=None
        Seeds initial weights, shuffling and dropout. The global random states are neither read nor changed.
    device : str, default='auto'
        Device of torch, such as 'cpu', 'cuda' or 'cuda:1'. 'auto' takes cuda, else mps, else cpu.
    dtype : {'float32', 'float64'}, default='float32'
        Precision of the network.
    n_threads : int or None, default=None
        Threads of torch within `fit` and `predict`. None means one for a small network, which a second thread would
        slow down, and as many as torch is set to for a large one.
    callbacks : list or None, default=None
        Callbacks of skorch: instances, or pairs of a name and an instance. They are not pickled with the estimator's
        state. Callbacks of scikit-learn are set by `set_callbacks`.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar, 2 a line per epoch.
    n_channels : int, default=1
        Channels of a flattened, two-dimensional X. Three-dimensional X says so itself.
    layout : {'channels_last', 'channels_first'}, default='channels_last'
        Order of X: (n_samples, n_steps, n_channels), flattened step by step, or (n_samples, n_channels, n_steps),
        flattened channel by channel."""

ATTRIBUTES = """network_ : skattn.nn.AttentionLSTM
        The trained network.
    net_ : skattn.net.WindowNet
        skorch's net that trained it last; absent after unpickling.
    history_ : pandas.DataFrame
        A row per epoch: train_loss, valid_loss with early stopping, dur in seconds.
    n_features_in_ : int
        Length of axis 1 of X.
    n_channels_in_ : int
        Number of channels.
    feature_names_in_ : ndarray of str
        Names of the columns of X. Only where X is a DataFrame with string names."""


@dataclass(kw_only=True, eq=False, repr=False)
class BaseAttentionLSTM(CallbackSupportMixin, BaseEstimator):
    """Every parameter once; `fit_windows` and `predict_windows`, which the doors to the package call."""

    attention: object = "additive"
    attention_position: str = "state"
    channel_attention: object = None
    attention_dim: int = 32
    num_heads: int = 1
    encoder: object = "lstm"
    hidden_size: int = 32
    num_layers: int = 1
    embedding_dim: int = 32
    dropout: float = 0.0
    normalization: object = "auto"
    linear_skip: bool = True
    optimizer: object = "adam"
    lr: float = 0.01
    weight_decay: float = 0.0
    gradient_clip: float = 1.0
    lr_schedule: str = None
    batch_size: int = 32
    max_epochs: int = 100
    max_time: float = None
    early_stopping: object = "auto"
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    tol: float = 1e-4
    warm_start: bool = False
    random_state: object = None
    device: str = "auto"
    dtype: str = "float32"
    n_threads: int = None
    callbacks: list = None
    verbose: int = 0
    n_channels: int = 1
    layout: str = "channels_last"

    _parameter_constraints = {
        "attention": [StrOptions(set(ATTENTIONS)), HasMethods(["forward", "score"]), None],
        "attention_position": [StrOptions({"input", "state", "both"})],
        "channel_attention": [StrOptions(set(ATTENTIONS)), HasMethods(["forward", "score"]), None],
        "attention_dim": [Interval(Integral, 1, None, closed="left")],
        "num_heads": [Interval(Integral, 1, None, closed="left")],
        "encoder": [StrOptions(set(ENCODERS)), HasMethods("forward")],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "num_layers": [Interval(Integral, 1, None, closed="left")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "normalization": [StrOptions({"auto", *NORMALIZATIONS}), HasMethods(["forward", "statistics"])],
        "linear_skip": ["boolean"],
        "optimizer": [StrOptions(set(OPTIMIZERS)), HasMethods(["step", "zero_grad"])],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
        "lr_schedule": [StrOptions(set(LR_SCHEDULES)), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "device": [str],
        "dtype": [StrOptions({"float32", "float64"})],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "callbacks": [list, None],
        "verbose": [Interval(Integral, 0, None, closed="left")],
        "n_channels": [Interval(Integral, 1, None, closed="left")],
        "layout": [StrOptions({"channels_last", "channels_first"})],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        return tags

    # ------------------------------------------------------------------ windows in, forecasts out

    def fit_windows(self, windows, *, n_params=1, callbacks=()):
        """Train on windows: what every door to the package ends in.

        Parameters
        ----------
        windows : WindowDataset
            Windows with targets.
        n_params : int, default=1
            Numbers that the head gives per target.
        callbacks : sequence of skorch callbacks, default=()
            Added to the user's.

        Returns
        -------
        self : object
        """
        if not (self.warm_start and hasattr(self, "network_")):
            self._start(windows, n_params)
        return self._train(windows, self.max_epochs, self._holdout(windows), callbacks)

    def partial_fit_windows(self, windows, *, n_params=1, epochs=1):
        """Train some more on windows, without holding any out; what is learned of scales stays as it was."""
        if not hasattr(self, "network_"):
            self._start(windows, n_params)
        return self._train(windows, epochs, None)

    def predict_windows(self, windows):
        """Forecasts of shape (n, H, M), or (n, H, M, P) for classes, in the units of the targets."""
        return np.concatenate([self.network_.predict(**batch).cpu().numpy() for batch in self._batches(windows)])

    def _batches(self, windows):
        """Inputs of the network, batch by batch, in a state fit for predicting."""
        device = find_device(self.device)
        self.network_.to(device).eval()
        with torch.inference_mode(), self._limit_threads():
            for batch, _ in windows.batches(PREDICT_BATCH):
                yield {name: values.to(device) for name, values in batch.items()}

    # ------------------------------------------------------------------ training

    def _start(self, windows, n_params):
        """A new network, with weights drawn from `random_state` and scales taken from the windows."""
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        self._generator = torch.Generator().manual_seed(int(seed))
        self._history = []
        self.__dict__.pop("net_", None)
        self.network_ = self._make_network(windows.sizes, n_params)
        self._standardise(self.network_.normalization, windows, "past")
        if "future" in windows.arrays:
            self._standardise(self.network_.future_normalization, windows, "future")

    def _make_network(self, sizes, n_params):
        """The place where the estimator's parameters become a network."""
        normalization = self.normalization
        if normalization == "auto":
            normalization = "window" if sizes["autoregressive"] else "global"
        with DrawFrom(self._generator):
            network = AttentionLSTM(
                **sizes,
                n_params=n_params,
                head=self._head,
                loss=self.loss,
                attention=self.attention,
                attention_position=self.attention_position,
                channel_attention=self.channel_attention,
                attention_dim=self.attention_dim,
                num_heads=self.num_heads,
                encoder=self.encoder,
                hidden_size=self.hidden_size,
                num_layers=self.num_layers,
                embedding_dim=self.embedding_dim,
                dropout=self.dropout,
                normalization=normalization,
                linear_skip=self.linear_skip,
            )
        return network.to(getattr(torch, self.dtype))

    @staticmethod
    def _standardise(normalization, windows, name):
        """Give a normalisation the statistics of the training data, chunk by chunk."""
        values, weight = windows.arrays[name], windows.arrays.get("weight")
        if len(windows) < len(values) or weight is not None:
            values = values[windows.index]
        scaler = StandardScaler()
        table = distinct_steps(values)
        weights = None if weight is None else np.repeat(weight.ravel()[windows.index], values.shape[1])
        for rows in gen_batches(len(table), 1 << 18):
            scaler.partial_fit(table[rows], sample_weight=None if weights is None else weights[rows])
        normalization.loc.copy_(torch.from_numpy(np.nan_to_num(scaler.mean_)))
        normalization.scale.copy_(torch.from_numpy(np.nan_to_num(scaler.scale_, nan=1.0)))

    def _holdout(self, windows):
        """The split that early stopping validates on, or None."""
        enough = self.validation_fraction * len(windows) >= MIN_HELD_OUT
        if self.early_stopping is False or (self.early_stopping == "auto" and not enough):
            return None
        return HoldoutLast(self.validation_fraction)

    def _train(self, windows, epochs, train_split, callbacks=()):
        finite = FiniteLoss()
        net = self._make_net(epochs, train_split, [("finite_loss", finite), *callbacks])
        previous, self.net_ = self.__dict__.get("net_"), net
        with self._limit_threads():
            net.initialize()
            if previous is not None and isinstance(previous.optimizer_, type(net.optimizer_)):
                net.optimizer_.state.update(previous.optimizer_.state)
            net.partial_fit(windows)
        self._history += [{k: v for k, v in epoch.items() if k in _HISTORY} for epoch in net.history]
        self._check_finite_loss(finite)
        return self

    def _make_net(self, epochs, train_split, callbacks):
        """skorch's net around the network, for one training."""
        device = find_device(self.device)
        dropout_generator = torch.Generator(device).manual_seed(self._generator.initial_seed())
        for module in self.network_.modules():
            if isinstance(module, Dropout):
                module.generator = dropout_generator
        monitor = "train_loss" if train_split is None else "valid_loss"
        if self.gradient_clip is not None:
            callbacks.append(("gradient_clip", GradientNormClipping(self.gradient_clip)))
        if self.lr_schedule is not None:
            callbacks.append(("lr_schedule", LRScheduler(**LR_SCHEDULES[self.lr_schedule](epochs, monitor))))
        if self.max_time is not None:
            callbacks.append(("max_time", TimeLimit(self.max_time)))
        if train_split is not None:
            stopping = EarlyStopping(monitor, self.n_iter_no_change, self.tol, load_best=True, sink=_silent)
            callbacks.append(("early_stopping", stopping))
        return WindowNet(
            self.network_.to(device),
            generator=self._generator,
            optimizer=OPTIMIZERS[self.optimizer] if isinstance(self.optimizer, str) else self.optimizer,
            optimizer__weight_decay=self.weight_decay,
            lr=self.lr,
            max_epochs=epochs,
            batch_size=self.batch_size,
            train_split=train_split,
            callbacks=callbacks + list(self.callbacks or ()),
            device=device,
            verbose=self.verbose,
        )

    def _check_finite_loss(self, finite):
        if finite.failed_epoch_ is None:
            return
        message = (
            f"The loss was not finite in epoch {finite.failed_epoch_} with lr={self.lr}. {{}} "
            "Use a smaller lr or a gradient_clip, or look for extreme values in X and y."
        )
        if finite.good_ is None:
            self.__dict__.pop("network_")
            self.__dict__.pop("net_")
            raise ValueError(message.format("No epoch was finished before."))
        restored = f"Training stopped and the weights of epoch {finite.failed_epoch_ - 1} were restored."
        warn(message.format(restored), ConvergenceWarning, stacklevel=5)

    def _limit_threads(self):
        n_threads = self.n_threads
        if n_threads is None:
            if self.batch_size * self.hidden_size >= LARGE_STEP:
                return nullcontext()
            n_threads = 1
        return _thread_controller().limit(limits=n_threads)

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

    # ------------------------------------------------------------------ X to windows

    def _check_X(self, X, y="no_validation", *, reset=False, **y_checks):
        """Validated past of shape (n, L, C), a view of X wherever dtype and layout allow; with `y` the pair."""
        shape = getattr(X, "shape", ())
        if not reset and len(shape) == 3:
            self._check_shape(shape if self.layout == "channels_last" else (shape[0], shape[2], shape[1]))
        checks = {"dtype": self.dtype, "allow_nd": True, "ensure_all_finite": False, "reset": reset}
        if isinstance(y, str):
            X = validate_data(self, X, **checks)
        else:
            X, y = validate_data(self, X, y, **checks, **y_checks)
        past = self._unflatten(X)
        check_observed(past)
        if reset:
            self.n_channels_in_ = past.shape[2]
        else:
            self._check_shape(past.shape)
        return past if isinstance(y, str) else (past, y)

    def _unflatten(self, X):
        if X.ndim > 3:
            raise ValueError(
                f"X has {X.ndim} dimensions but at most 3 are allowed: (n_samples, n_steps, n_channels). Reshape your "
                "data, for example with X.reshape(len(X), n_steps, -1)."
            )
        first = self.layout == "channels_first"
        if X.ndim == 2:
            if X.shape[1] % self.n_channels:
                raise ValueError(
                    f"X has {X.shape[1]} columns, which n_channels = {self.n_channels} channels of equal length cannot "
                    "fill. Use a divisor for n_channels, or pass X of shape (n_samples, n_steps, n_channels)."
                )
            shape = (self.n_channels, -1) if first else (-1, self.n_channels)
            X = X.reshape(len(X), *shape)
        return X.transpose(0, 2, 1) if first else X

    def _check_shape(self, shape):
        config = self.network_.config
        for axis, unit, size in ((1, "steps", "window_length"), (2, "channels", "n_channels")):
            if shape[axis] != config[size]:
                raise ValueError(
                    f"X has windows of {shape[axis]} {unit}, but {type(self).__name__} is expecting {config[size]} "
                    f"{unit}, as seen in fit. Pass windows of {config[size]} {unit}, or fit again."
                )

    # ------------------------------------------------------------------ plain state

    def __getstate__(self):
        state = dict(super().__getstate__())
        state.pop("net_", None)
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
            network = AttentionLSTM(**saved["config"])
        weights = {name: torch.from_numpy(value.copy()) for name, value in saved["weights"].items()}
        self.network_ = network.to(next(iter(weights.values())).dtype)
        self.network_.load_state_dict(weights)
        self._generator = torch.Generator().manual_seed(generator_state[0])
        self._generator.set_state(torch.from_numpy(generator_state[1].copy()))


_HISTORY = ("epoch", "train_loss", "valid_loss", "dur")


def check_observed(past):
    """Refuse windows (n, L, C) that hold infinity, or nothing but missing values."""
    table = distinct_steps(past)
    seen = False
    for rows in gen_batches(len(table), 1 << 18):
        if np.isinf(table[rows]).any():
            raise ValueError(
                f"Input X contains infinity or a value too large for {past.dtype}. "
                "Mark missing values as NaN, and scale or clip the rest."
            )
        seen = seen or not np.isnan(table[rows]).all()
    if not seen:
        raise ValueError(
            f"Input X contains NaN only: none of its {table.size} values was observed. Pass windows in which at least "
            "one value is a number."
        )


def find_device(device):
    """The device of torch that a name stands for."""
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        first_line = str(error).partition("\n")[0]
        raise ValueError(f"device={device!r} cannot be used here: {first_line}. Use device='auto' or 'cpu'.") from None
    return device


@lru_cache
def _thread_controller():
    return ThreadpoolController()


def _silent(message):
    pass
