"""How far attention can be trusted: what hiding the attended does to the forecasts, beside random and occlusion.

Letters: ``n`` windows, ``L`` steps, ``C`` channels, ``J`` parts that attention weighs.
"""

from warnings import warn

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.utils import check_random_state

from skattn.inspection.attribution import occlude, permute
from skattn.inspection.drawing import COLOURS, DASHES, lighten, make_axes
from skattn.inspection.hiding import Subject

FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75)
ENOUGH = 3.0  # times the damage of random hiding from which attention is said to explain the forecast
SHARE = 0.5  # of the damage that occlusion's own order does, from which it is
PARTS = {"channel": "channels", "joint": "values"}  # and steps for all others


class AttentionWarning(UserWarning):
    """Attention weights do not explain the forecasts that they belong to."""


def attention_report(
    estimator, X=None, y=None, *, kind="temporal", removal="level", max_samples=500, n_repeats=5, random_state=None
):
    """Test whether attention weights say what the forecasts rest on.

    Steps (or channels, or single values) of every window are hidden, the most attended first, and the loss is compared
    with that of hiding as many at random, and as many in the order of occlusion, which asks the forecast itself.

    Parameters
    ----------
    estimator : AttentionLSTMRegressor, AttentionLSTMClassifier, AttentionLSTMForecaster or Pipeline
        Fitted.
    X : array-like, default=None
        Windows, better not those of `fit`; for a forecaster the exogenous values on the steps of `y`, where it was
        given any.
    y : array-like
        Targets; for a forecaster the series, all of whose windows are asked about.
    kind : {'temporal', 'channel', 'joint', 'input', 'state'}, default='temporal'
        Which weights, as in the estimator's `attention_weights`.
    removal : {'level', 'permute', 'mask'}, default='level'
        What is put where something is hidden, as in :func:`occlusion`.
    max_samples : int or None, default=500
        Windows that are asked about, drawn at random where there are more. None takes all.
    n_repeats : int, default=5
        Random orders that the attended is compared with.
    random_state : int, RandomState instance or None, default=None
        Draws windows and orders.

    Returns
    -------
    report : AttentionReport
        Its `verdict` is a sentence.

    Warns
    -----
    AttentionWarning
        If the weights do not explain the forecasts.

    References
    ----------
    Petsiuk, Das and Saenko (2018), "RISE: randomized input sampling for explanation of black-box models", for
    deletion and insertion. Jain and Wallace (2019), "Attention is not explanation", for the agreement of ranks.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn import AttentionLSTMRegressor
    >>> from skattn.inspection import attention_report
    >>> X = np.random.default_rng(0).normal(size=(600, 11))
    >>> y = abs(X[:, 7])
    >>> model = AttentionLSTMRegressor(linear_skip=False, attention_noise=0.7, random_state=0).fit(X[:500], y[:500])
    >>> report = attention_report(model, X[500:], y[500:], random_state=0)
    >>> report.explains, bool(report.damage["attention"] > 3 * report.damage["random"])
    (True, True)
    """
    rng = check_random_state(random_state)
    if y is None:
        raise ValueError("y is None, but the loss of the forecasts is needed. Pass the targets of X, or the series.")
    subject = Subject(estimator, X, y, removal, max_samples, rng)
    report = AttentionReport(subject, kind, n_repeats, rng)
    if not report.explains:
        warn(report.verdict, AttentionWarning, stacklevel=2)
    return report


class AttentionReport:
    """What :func:`attention_report` found.

    Parameters
    ----------
    subject : Subject
        The network and its windows.
    kind : str
        Which weights.
    n_repeats : int
        Random orders.
    rng : numpy.random.RandomState
        Draws them.

    Attributes
    ----------
    verdict : str
        A sentence.
    explains : bool
        Whether hiding the most attended tenth raises the loss by 3 times as much as a random tenth, and by half as
        much as the tenth that occlusion finds the most important.
    damage : pandas.Series
        Rise of the mean loss when a tenth is hidden: the most attended, the most attended by another window's weights,
        the most important by occlusion, and a random one.
    curves : pandas.DataFrame
        Loss by the share that is hidden ('deletion') or left ('insertion'), in each order.
    agreement : pandas.Series
        Mean rank correlation, over the windows, of weights and occlusion; of shuffled weights and occlusion, which is
        near zero; and of the mean weights and permutation importance.
    entropy : float
        Mean entropy of the weights, as a share of that of even ones: 1 looks everywhere, 0 at one place.
    kind : str
        Which weights.
    n_samples : int
        Number of windows.

    Examples
    --------
    >>> import numpy as np
    >>> from skattn import AttentionLSTMRegressor
    >>> from skattn.inspection import attention_report
    >>> X = np.random.default_rng(0).normal(size=(600, 11))
    >>> model = AttentionLSTMRegressor(linear_skip=False, attention_noise=0.7, random_state=0).fit(X, X[:, 7])
    >>> sorted(attention_report(model, X, X[:, 7], random_state=0).damage.index)
    ['attention', 'occlusion', 'random', 'swapped']
    """

    def __init__(self, subject, kind, n_repeats, rng):
        self.kind, self.n_samples = kind, len(subject.past)
        self._linear_skip = subject.core.linear_skip
        weights = subject.weights(kind)  # (n, J)
        hidable = "temporal" if kind in ("input", "state") else kind
        parts = subject.spread(np.ones_like(weights, dtype=bool), hidable)  # (n, L, C), or 1 in place of L or C
        there = (parts & subject.observed).reshape(self.n_samples, *subject.past.shape[1:])
        there = _present(there, hidable, weights.shape[1])  # (n, J)
        occluded = occlude(subject, hidable).mean(1)[:, -weights.shape[1] :]  # (n, J)
        orders = {
            "attention": [weights],
            "swapped": [weights[rng.permutation(len(weights))]],
            "occlusion": [occluded],
            "random": [rng.random_sample(weights.shape) for _ in range(n_repeats)],
        }
        self._usual = subject.loss()
        self.curves = self._hide(subject, hidable, orders, there)
        self.damage = (self.curves["deletion"].loc[0.1] - self._usual).rename("damage")
        permuted = permute(subject, hidable)[-weights.shape[1] :]  # (J,)
        self.agreement = pd.Series(
            {
                "occlusion": _rank_correlation(weights, occluded, there),
                "occlusion, shuffled": _rank_correlation(_shuffled(weights, there, rng), occluded, there),
                "permutation": _rank_correlation(weights.mean(0)[None], permuted[None], there.any(0)[None]),
            },
            name="rank correlation",
        )
        self.entropy = _entropy(weights, there)

    def _hide(self, subject, kind, orders, there):
        """Losses as parts are hidden, or left, in each order."""
        curves = {}
        for name, scores in orders.items():
            ranks = [_ranks(np.where(there, score, -np.inf)) for score in scores]  # 0 for the first to go
            for test in ("deletion", "insertion"):
                losses = []
                for fraction in FRACTIONS:
                    count = np.maximum(1, np.round(fraction * there.sum(1, keepdims=True)))  # (n, 1)
                    first = [(rank < count) == (test == "deletion") for rank in ranks]  # (n, J)
                    losses.append(np.mean([subject.loss(subject.spread(one, kind)) for one in first]))
                curves[test, name] = losses
        index = pd.Index(FRACTIONS, name="share")
        return pd.DataFrame(curves, index=index).rename_axis(columns=["test", "order"]).sort_index(axis=1)

    @property
    def ratio(self):
        """Damage of hiding the most attended tenth, over that of a random tenth."""
        attended, random = self.damage["attention"], self.damage["random"]
        if random > 0:
            return float(attended / random)
        return float("inf") if attended > 0 else 0.0

    @property
    def explains(self):
        """Whether the weights say what the forecasts rest on."""
        attended = self.damage["attention"]
        return bool(attended > 0 and self.ratio >= ENOUGH and attended >= SHARE * self.damage["occlusion"])

    @property
    def verdict(self):
        """What to make of the weights, in words."""
        parts, loss = PARTS.get(self.kind, "steps"), self.curves["deletion"].loc[0.1]
        found = (
            f"hiding the most attended tenth of the {parts} raises the loss from {self._usual:.3g} to "
            f"{loss['attention']:.3g}, a random tenth to {loss['random']:.3g}, and the tenth that occlusion finds to "
            f"{loss['occlusion']:.3g}; over all {parts}, ranks correlate with those of occlusion by "
            f"{self.agreement['occlusion']:.2f}"
        )
        if self.explains:
            return f"Attention explains these forecasts: {found}."
        change = "attention_noise=0.7"
        if self._linear_skip:
            change = f"linear_skip=False, since the skip reads the window past the attention, and {change}"
        way_out = f"Read them with skattn.inspection.occlusion instead, or fit with {change}."
        return f"Attention does not explain these forecasts: {found}. {way_out}"

    def plot(self, ax=None):
        """Draw the loss as parts are hidden, in each order.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        report : AttentionReport
            Itself, with `ax_` and `figure_`.
        """
        self.ax_ = ax = make_axes(ax, 3.2)
        self.figure_ = ax.figure
        losses = self.curves["deletion"][["occlusion", "attention", "swapped", "random"]]
        for (name, curve), colour, dashes in zip(losses.items(), COLOURS, DASHES, strict=False):
            ax.plot([0, *100 * curve.index], [self._usual, *curve], color=colour, linestyle=dashes, label=name)
        ax.set(xlabel=f"hidden {PARTS.get(self.kind, 'steps')} (%)", ylabel="loss", xlim=(0, None), ylim=(0, None))
        ax.legend(title="hidden first", frameon=False)
        lighten(ax)
        return self

    def __str__(self):
        table = pd.DataFrame({"loss": self.curves["deletion"].loc[0.1], "rise": self.damage})
        lines = (
            self.verdict,
            "",
            f"A tenth hidden, of {self.n_samples} windows with a loss of {self._usual:.4g}:",
            table.sort_values("rise", ascending=False).rename_axis("order").to_string(float_format="%.4g"),
            "",
            *(f"Rank correlation with {name}: {value:.2f}" for name, value in self.agreement.items()),
            f"Entropy, 1 if even: {self.entropy:.2f}",
        )
        return "\n".join(lines)


def _present(observed, kind, size):
    """Whether each part (n, J) has an observed value, from `observed` (n, L, C)."""
    if kind == "joint":
        steps = observed.shape[1]
        return observed[:, :, -(size // steps) :].reshape(len(observed), -1)
    return observed.any(1)[:, -size:] if kind == "channel" else observed.any(2)


def _ranks(scores):
    """Place of each score in its row, 0 for the largest; ties go to the newest step."""
    return np.flip(rankdata(-np.flip(scores, 1), method="ordinal", axis=1), 1) - 1


def _rank_correlation(one, other, there):
    """Mean over the rows of Spearman's correlation of two arrays (n, J), where `there`, of rows that have one."""
    one, other = (rankdata(np.where(there, a, np.nan), axis=1, nan_policy="omit") for a in (one, other))
    one, other = (a - np.nanmean(a, 1, keepdims=True) for a in (one, other))
    size = np.sqrt(np.nansum(one**2, 1) * np.nansum(other**2, 1))
    return float(np.mean((np.nansum(one * other, 1) / size)[size > 0])) if (size > 0).any() else float("nan")


def _shuffled(weights, there, rng):
    """The weights of each row, at other places that are `there`."""
    out = weights.copy()
    for row, mask in zip(out, there, strict=True):
        row[mask] = rng.permutation(row[mask])
    return out


def _entropy(weights, there):
    """Mean over the rows of the entropy, as a share of that of even weights; 0 where there is one place."""
    logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
    most = np.log(np.maximum(there.sum(1), 2))
    return float(np.mean(-(weights * logs).sum(1) / most))
