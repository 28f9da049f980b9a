"""Every parameter of the estimators: its name, default, constraint and description, each written once."""

from dataclasses import dataclass
from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from skattn import optim
from skattn.nn import ACTIVATIONS, ATTENTIONS, ENCODERS, NORMALIZATIONS, Activation, Attention, Normalization


class SubclassOf(HasMethods):
    """Constraint: a subclass of `base`, which has a forward if it is a module."""

    def __init__(self, base):
        self.base = base
        super().__init__("forward" if issubclass(base, torch.nn.Module) else "step")

    def is_satisfied_by(self, val):
        unwritten = torch.nn.Module.forward
        return isinstance(val, type) and issubclass(val, self.base) and getattr(val, "forward", None) is not unwritten

    def __str__(self):
        return f"a subclass of {self.base.__module__}.{self.base.__qualname__} with a method {self.methods[0]!r}"


USER_LOSS = [SubclassOf(torch.nn.Module), torch.nn.Module]
OPTIMIZERS = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": optim.SGD,
    "rmsprop": optim.RMSprop,
}

# What skorch's LRScheduler is given for each schedule, for a training of `epochs` epochs.
LR_SCHEDULES = {
    "cosine": lambda epochs, monitor: {"policy": "CosineAnnealingLR", "T_max": epochs},
    "exponential": lambda epochs, monitor: {"policy": "ExponentialLR", "gamma": 0.01 ** (1 / epochs)},
    "step": lambda epochs, monitor: {"policy": "StepLR", "step_size": max(1, epochs // 3), "gamma": 0.1},
    "plateau": lambda epochs, monitor: {"policy": "ReduceLROnPlateau", "monitor": monitor, "patience": 5},
}

NETWORK_PARAMETERS = (
    "attention",
    "attention_position",
    "attention_activation",
    "attention_noise",
    "channel_attention",
    "spatial_attention",
    "adjacency",
    "adjacency_role",
    "sensor_identity",
    "attention_dim",
    "num_heads",
    "patch_length",
    "channel_mode",
    "encoder",
    "hidden_size",
    "num_layers",
    "embedding_dim",
    "dropout",
    "normalization",
    "linear_skip",
    "mixed_precision",
    "n_members",
    "loss",
)

PARAMETERS = """Parameters
    ----------
    attention : {'additive', 'dot', 'general', 'multihead'}, type or None, default='additive'
        How a step is scored: additive (Bahdanau et al., 2015), dot or general (Luong et al., 2015), scaled dot with
        projected values (Vaswani et al., 2017), a subclass of :class:`skattn.nn.Attention`, or None for no
        attention over time, which leaves a plain LSTM.
    attention_position : {'input', 'state', 'both'}, default='input'
        What is attended to: the embedded inputs, each multiplied by its weight before the encoder reads them; the
        states of the encoder, with one query per step ahead; or both. Only used when `attention` is not None.
    attention_activation : {'softmax', 'sparsemax', 'entmax15', 'temperature'} or type, default='softmax'
        How scores become weights, over time and over channels: softmax, which leaves every step some weight;
        sparsemax (Martins and Astudillo, 2016), which leaves most steps none; entmax with alpha 1.5 (Peters et al.,
        2019), which lies between; softmax with a learned temperature; or a subclass of
        :class:`skattn.nn.Activation`.
    attention_noise : float, default=0.0
        Noise that training adds to every input after it was multiplied by its weight, as a share of the inputs' root
        mean square. What matters must then be given weight to be heard above the noise, so that weights say what a
        forecast rests on; 0.7 is a good value for reading them, beside `linear_skip=False`. It does not act on the
        attention on states.
    channel_attention : {'additive', 'dot', 'general', 'multihead'}, type or None, default=None
        Attention over the channels, by the same mechanisms: each channel's whole window is scored, and the channel
        multiplied by its weight.
    spatial_attention : {'additive', 'dot', 'general', 'multihead'}, type or None, default=None
        Attention over sensors, by the same mechanisms: each series that is forecast asks the windows of all of them,
        and reads what each head mixes from them beside its own window. One network then reads every series by
        itself, as with ``channel_mode='independent'``. Several heads tell apart neighbours that matter at different
        lags. Only where targets are channels of the window, or X has sensors.
    adjacency : array-like or sparse matrix of shape (n_sensors, n_sensors), default=None
        Map for `spatial_attention`: the strength of the edge from the sensor of a row to that of a column, 0 where
        there is none; :func:`skattn.graph.adjacency_from_coordinates` makes one. The labels of a DataFrame are matched
        with the columns of a series. None leaves all to be learned.
    coordinates : array-like of shape (n_sensors, 2), default=None
        Latitude and longitude of the sensors in degrees, in place of a map: the nearer, the stronger the edge, as
        :func:`skattn.graph.adjacency_from_coordinates` makes it by default.
    adjacency_role : {'bias', 'mask', 'both'}, default='bias'
        Whether the map makes strong edges the more likely ones; lets a sensor look only where there is an edge, which
        for many sensors is also cheaper; or both.
    sensor_identity : bool, default=True
        Whether series with rows of their own (`spatial_attention`, or ``channel_mode='independent'``) are told apart by
        learned vectors. Without, only their windows and the map count, and the map can be another one later.
    attention_dim : int, default=32
        Width that queries and keys are projected to. Only used by additive and multihead attention.
    num_heads : int, default=1
        Heads of every attention, and of the transformer encoder. It must divide `attention_dim`, `embedding_dim`
        and `hidden_size`.
    patch_length : int, default=1
        Steps that are joined to one before attention and encoder, and steps ahead that are decoded together, each
        block from a query of its own. Weights of a patch are shared by its steps. For long windows, which are that
        many times shorter to the encoder.
    channel_mode : {'mixed', 'independent'}, default='mixed'
        Whether the network reads all channels at once, or each target by itself, beside the drivers and an embedding of
        its name, with the same weights for all. Only used where targets are channels of the window, or X has sensors.
    encoder : {'lstm', 'gru', 'transformer', 'mlp', 'dual_stage'} or type, default='lstm'
        What turns the embedded window into states. 'mlp' reads each step by itself, in residual blocks: for windows
        that are one patch, as in STID. 'dual_stage' is the network of Qin et al. (2017), DA-RNN: each
        step's drivers are weighed as the encoder's state asks for, by `channel_attention` or else `attention`, and
        the encoder's states as the state of a decoder asks for, by `attention`. In a forecaster the drivers are the
        channels that are not forecast, if there are any, and the decoder reads the series that are. It has no use
        for `attention_position`, `embedding_dim` and `num_layers`.
    hidden_size : int, default=32
        Width of the encoder's states.
    num_layers : int, default=1
        Layers of the encoder.
    embedding_dim : int, default=32
        Width that the values of a step, beside their observed mask, are embedded to.
    dropout : float, default=0.0
        Probability of a zero between layers of the encoder and before the head.
    normalization : {'auto', 'global', 'last', 'trailing', 'mean', 'window', 'identity'} or type, default='auto'
        Level and scale taken out of every window: mean and deviation of the training data; the window's last value,
        the mean of its newest part or its mean, in deviations of the training data; the window's own mean and
        deviation; or nothing. Where the targets are channels of the window, as in a forecaster, and windows are held
        out, 'auto' lets these choose among 'last', 'trailing', 'mean' and 'window', and 'trailing' how large its part
        is. Without them 'auto' is 'last' there, and 'trailing' half of the window. Elsewhere 'auto' is 'global'.
    linear_skip : bool, default=True
        Whether a linear forecast from the window carries what is linear. For the squared error it is solved before
        training, as a ridge regression over all windows, and the network learns what is left; held-out windows say how
        much of the network is then used, which can be nothing (`components_`). Without it, all passes through the
        attention.
    n_members : int, default=1
        Networks that are trained side by side on the same batches and whose forecasts and attention weights are
        averaged: a forecast then hangs less on `random_state`, for as many times the work. They differ by their initial
        weights and dropout, and share the level and the linear skip. `gradient_clip` acts on all together, and 'sgd',
        which minimises their mean loss, takes steps that many times smaller.
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
        weights are restored. 'auto' does so wherever at least ten windows would be held out and half of all would
        still be trained on.
    validation_fraction : float, default=0.1
        Share of the windows held out. Only used with early stopping.
    n_iter_no_change : int, default=10
        Epochs without improvement before training stops. Only used with early stopping.
    tol : float, default=1e-4
        Relative improvement of the validation loss that counts. Only used with early stopping.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last call.
    random_state : int, RandomState instance or None, default=None
        Seeds initial weights, shuffling and dropout. torch's global random state is neither read nor
        changed.
    device : str, default='auto'
        Device of torch, such as 'cpu', 'cuda' or 'cuda:1'. 'auto' takes cuda, else mps, else cpu.
    dtype : {'float32', 'float64'}, default='float32'
        Precision of the network.
    mixed_precision : bool, default=False
        Whether attention and encoder compute in bfloat16, beside weights, a head and a linear part in full precision
        (Micikevicius et al., 2018). For GPUs, and for CPUs that have instructions for it; elsewhere it is slower. It
        changes nothing with ``dtype='float64'``.
    compile : bool, default=False
        Whether training runs through `torch.compile`, which makes fewer and larger operations, but not of an LSTM or
        GRU. For long training on a GPU: it takes a compiler of C++ and up to a minute to begin, and on a CPU large
        batches are then not shared by threads.
    n_threads : int or None, default=None
        Threads within `fit` and `predict`, None for as many as torch is set to. On a CPU they share large batches, and
        many windows to predict, in chunks that do not depend on their number: neither does what is learned. Single
        operations are shared out for a large network only, ``batch_size * hidden_size`` of 65,536 or more.
    callbacks : list or None, default=None
        Callbacks of skorch: instances, or pairs of a name and an instance. They are used as they are,
        and pickled with the estimator. Callbacks of scikit-learn are set by `set_callbacks`.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar, 2 a line per epoch.
    n_channels : int, default=1
        Channels of a flattened, two-dimensional X. Three-dimensional X says so itself.
    layout : {'channels_last', 'channels_first'}, default='channels_last'
        Order of X: (n_samples, n_steps, n_channels), flattened step by step, or (n_samples, n_channels, n_steps),
        flattened channel by channel."""

ATTRIBUTES = """network_ : skattn.nn.AttentionLSTM
        The trained network, or a :class:`skattn.nn.Ensemble` of `n_members`.
    net_ : skattn.net.WindowNet
        skorch's net that trained it last; absent after unpickling.
    components_ : pandas.Series
        Which part carries the forecast, on the windows held out or else on those of training: the mean loss of the
        'level' alone, with the 'linear' forecast, with all of the 'network', and of the 'forecast', which uses the
        share 'gate' of the network. In units of the training data.
    history_ : pandas.DataFrame
        A row per epoch: train_loss, valid_loss with early stopping, dur in seconds.
    n_features_in_ : int
        Length of axis 1 of X.
    n_channels_in_ : int
        Number of channels.
    feature_names_in_ : ndarray of str
        Names of the columns of X. Only where X is a DataFrame with string names."""


@dataclass(kw_only=True, eq=False, repr=False)
class Parameters:
    """Every parameter once: its name, its default and its constraint."""

    attention: object = "additive"
    attention_position: str = "input"
    attention_activation: object = "softmax"
    attention_noise: float = 0.0
    channel_attention: object = None
    spatial_attention: object = None
    adjacency: object = None
    coordinates: object = None
    adjacency_role: str = "bias"
    sensor_identity: bool = True
    attention_dim: int = 32
    num_heads: int = 1
    patch_length: int = 1
    channel_mode: str = "mixed"
    encoder: object = "lstm"
    hidden_size: int = 32
    num_layers: int = 1
    embedding_dim: int = 32
    dropout: float = 0.0
    normalization: object = "auto"
    linear_skip: bool = True
    n_members: int = 1
    loss: object = "squared_error"
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
    mixed_precision: bool = False
    compile: bool = False
    n_threads: int = None
    callbacks: list = None
    verbose: int = 0
    n_channels: int = 1
    layout: str = "channels_last"

    _parameter_constraints = {
        "attention": [StrOptions(set(ATTENTIONS)), SubclassOf(Attention), None],
        "attention_position": [StrOptions({"input", "state", "both"})],
        "attention_activation": [StrOptions(set(ACTIVATIONS)), SubclassOf(Activation)],
        "attention_noise": [Interval(Real, 0, None, closed="left")],
        "channel_attention": [StrOptions(set(ATTENTIONS)), SubclassOf(Attention), None],
        "spatial_attention": [StrOptions(set(ATTENTIONS)), SubclassOf(Attention), None],
        "adjacency": ["array-like", "sparse matrix", None],
        "coordinates": ["array-like", None],
        "adjacency_role": [StrOptions({"bias", "mask", "both"})],
        "sensor_identity": ["boolean"],
        "attention_dim": [Interval(Integral, 1, None, closed="left")],
        "num_heads": [Interval(Integral, 1, None, closed="left")],
        "patch_length": [Interval(Integral, 1, None, closed="left")],
        "channel_mode": [StrOptions({"mixed", "independent"})],
        "encoder": [StrOptions({*ENCODERS, "dual_stage"}), SubclassOf(torch.nn.Module)],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "num_layers": [Interval(Integral, 1, None, closed="left")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "normalization": [StrOptions({"auto", *NORMALIZATIONS}), SubclassOf(Normalization)],
        "linear_skip": ["boolean"],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), SubclassOf(torch.optim.Optimizer)],
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
        "mixed_precision": ["boolean"],
        "compile": ["boolean"],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "callbacks": [list, None],
        "verbose": [Interval(Integral, 0, None, closed="left")],
        "n_channels": [Interval(Integral, 1, None, closed="left")],
        "layout": [StrOptions({"channels_last", "channels_first"})],
    }
