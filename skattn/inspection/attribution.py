"""Importance of steps and channels from outside the attention: occlusion, permutation, integrated gradients."""

import numpy as np
import torch
from sklearn.utils import check_random_state

from skattn.inspection.hiding import Subject


def occlusion(estimator, X=None, y=None, *, kind="joint", removal="level", per_output=False, random_state=None):
    """How much each forecast changes when a step, a channel or one value is hidden.

    Parameters
    ----------
    estimator : AttentionLSTMRegressor, AttentionLSTMClassifier, AttentionLSTMForecaster or Pipeline
        Fitted.
    X : array-like, default=None
        Windows, as in `predict`; for a forecaster the exogenous values on the steps of `y`, where it was given any.
    y : array-like, default=None
        For a forecaster, the series; all of its windows are explained.
    kind : {'temporal', 'channel', 'joint'}, default='joint'
        Whether steps, channels or single values are hidden.
    removal : {'level', 'permute', 'mask'}, default='level'
        What is put in their place: the level that the network's normalisation takes out of the window, and that it
        sees as zero; the values of another window at the same place; or NaN, which attention masks but a network that
        was trained without missing values has not learned to read.
    per_output : bool, default=False
        Whether each output (step ahead and target, or class) is kept apart, or their mean is returned.
    random_state : int, RandomState instance or None, default=None
        Draws the other windows of 'permute'.

    Returns
    -------
    importance : ndarray of shape (n_samples, n_steps), (n_samples, n_channels) or (n_samples, n_steps, n_channels)
        Absolute change of the forecast, in units of its standard deviation over the windows. With `per_output`,
        (n_samples, n_outputs, ...).

    See Also
    --------
    attention_report : Whether attention agrees with it.

    References
    ----------
    Zeiler and Fergus (2014), "Visualizing and understanding convolutional networks", section 4.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn import AttentionLSTMRegressor
    >>> from skattn.inspection import occlusion
    >>> X = np.random.default_rng(0).normal(size=(400, 7))
    >>> model = AttentionLSTMRegressor(random_state=0).fit(X, X[:, 4])
    >>> int(occlusion(model, X, kind="temporal").mean(0).argmax())
    4
    """
    subject = Subject(estimator, X, y, removal, None, check_random_state(random_state))
    changes = occlude(subject, kind)  # (n, outputs, J)
    changes = changes if per_output else changes.mean(1)
    return changes.reshape(*changes.shape[:-1], *subject.past.shape[1:]) if kind == "joint" else changes


def occlude(subject, kind):
    """Absolute changes of the forecasts (n, outputs, J) when each part of a `kind` is hidden."""
    usual = subject.predict()  # (n, outputs)
    scale = usual.std(0)
    scale = np.where(scale > 0, scale, 1)
    changes = [np.abs(subject.predict(hidden) - usual) / scale for hidden in _one_by_one(subject, kind)]
    return np.stack(changes, -1)


def permute(subject, kind):
    """Mean rise of the loss (J,) when each part of a `kind` is taken from other windows: Breiman (2001)."""
    usual, removal = subject.loss(), subject.removal
    subject.removal = "permute"
    rises = np.array([subject.loss(hidden) - usual for hidden in _one_by_one(subject, kind)])
    subject.removal = removal
    return rises


def integrated_gradients(estimator, X=None, y=None, *, kind="joint", n_steps=50):
    """Gradients of the forecast, integrated from the level of the window to its values. Needs captum.

    Parameters
    ----------
    estimator : AttentionLSTMRegressor, AttentionLSTMClassifier, AttentionLSTMForecaster or Pipeline
        Fitted.
    X : array-like, default=None
        Windows, as in `predict`; for a forecaster the exogenous values on the steps of `y`, where it was given any.
    y : array-like, default=None
        For a forecaster, the series; all of its windows are explained.
    kind : {'temporal', 'channel', 'joint'}, default='joint'
        Whether the attributions of a step, of a channel or of single values are given.
    n_steps : int, default=50
        Points of the integral.

    Returns
    -------
    importance : ndarray of shape (n_samples, n_steps), (n_samples, n_channels) or (n_samples, n_steps, n_channels)
        Absolute attributions of the mean over the outputs, or of the probability of the predicted class, summed over
        what `kind` leaves out. Missing values have none.

    Raises
    ------
    ImportError
        If captum is not installed.

    References
    ----------
    Sundararajan, Taly and Yan (2017), "Axiomatic attribution for deep networks". Computed by
    :class:`captum.attr.IntegratedGradients`.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn import AttentionLSTMRegressor
    >>> from skattn.inspection import integrated_gradients
    >>> X = np.random.default_rng(0).normal(size=(400, 7))
    >>> model = AttentionLSTMRegressor(random_state=0).fit(X, X[:, 4])
    >>> int(integrated_gradients(model, X, kind="temporal").mean(0).argmax())  # doctest: +SKIP
    4
    """
    subject = Subject(estimator, X, y, "level", None, check_random_state(0))
    subject.n_parts(kind)
    importance = np.abs(_integrate(subject, n_steps))  # (n, L, C)
    return importance if kind == "joint" else importance.sum(1 if kind == "channel" else 2)


def _integrate(subject, n_steps):
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        raise ImportError("integrated_gradients needs captum. Install it with `pip install skattn[explain]`.") from None
    core, level, found = subject.core, subject.level(), []
    others = {name: values for name, values in subject.arrays.items() if name in ("future", "place")}
    method = IntegratedGradients(
        lambda past, chosen, *rest: _outcome(core.network_, past, chosen, dict(zip(others, rest, strict=True)))
    )
    chosen = subject.predict().argmax(1)  # (n,), of a classifier the class
    arrays = [subject.past, level, chosen, *others.values()]
    with core._limit_threads(), torch.backends.cudnn.flags(enabled=False):  # cuDNN has no gradients when it predicts
        core.network_.eval()
        for start in range(0, len(subject.past), 32):
            device = core.network_.head.bias.device
            past, base, *rest = (torch.tensor(values[start : start + 32], device=device) for values in arrays)
            one = method.attribute(past, base.expand_as(past), additional_forward_args=(*rest,), n_steps=n_steps)
            found.append(torch.nan_to_num(one).cpu().numpy())
    return np.concatenate(found)


def _outcome(network, past, chosen, others):
    """What is explained, (B,): the mean of the outputs, or the probability of the `chosen` class."""
    outputs = network.predict(past, **others).flatten(1)  # (B, outputs)
    return outputs.gather(1, chosen[:, None])[:, 0] if network.config["head"] == "class" else outputs.mean(1)


def _one_by_one(subject, kind):
    """What hides each part of a `kind`, one after the other."""
    for part in np.eye(subject.n_parts(kind), dtype=bool):
        yield subject.spread(part, kind)
