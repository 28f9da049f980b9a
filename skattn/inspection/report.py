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
    >>> y = X[:, 7]
    >>> model = AttentionLSTMRegressor(linear_skip=False, attention_noise=0.7, random_state=0).fit(X[:500], y[:500])
    >>> report = attention_report(model, X[500:], y[500:], random_state=0)
    >>> report.explains, bool(report.damage["attention"] > 3 * report.damage["random"])
    (True, True)
    """
    rng = check_random_state(random_state)
    if n_repeats < 1:
        raise ValueError(f"n_repeats must be at least 1, got {n_repeats}. Use a few random orders to compare with.")
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
        Whether hiding the most attended tenth raises the loss by 3 times as much as a random tenth (three quarters of
        what is attainable, where a tenth of few parts is one of them), beyond chance, and by half as much as the tenth
        that occlusion finds the most important.
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
        network = subject.core.network_
        self._linear_skip = subject.core.linear_skip
        self._on_states = kind in ("temporal", "state") and "input" not in network.kinds and network.dual_stage is None
        weights = subject.weights(kind)  # (n, J)
        hidable = "temporal" if kind in ("input", "state") else kind
        size = weights.shape[1]
        there = subject.weighed(subject.present(hidable), hidable, size)  # (n, J)
        occluded = subject.weighed(occlude(subject, hidable).mean(1), hidable, size)  # (n, J)
        orders = {
            "attention": [weights],
            "swapped": [weights[rng.permutation(len(weights))]],
            "occlusion": [occluded],
            "random": [rng.random_sample(weights.shape) for _ in range(n_repeats)],
        }
        self._usual = subject.loss()
        self.curves, excess = self._hide(subject, hidable, orders, there, rng)
        self._certain = float(excess.mean()) > 3 * float(excess.std() / len(excess) ** 0.5)
        self._attainable = float((there.sum(1) / _count(0.1, there)[:, 0]).mean())
        self.damage = (self.curves["deletion"].loc[0.1] - self._usual).rename("damage")
        permuted = subject.weighed(permute(subject, hidable), hidable, size)  # (J,)
        self.agreement = pd.Series(
            {
                "occlusion": _rank_correlation(weights, occluded, there),
                "occlusion, shuffled": _rank_correlation(_shuffled(weights, there, rng), occluded, there),
                "permutation": _rank_correlation(weights.mean(0)[None], permuted[None], there.any(0)[None]),
            },
            name="rank correlation",
        )
        self.entropy = _entropy(weights, there)

    def _hide(self, subject, kind, orders, there, rng):
        """Losses as parts are hidden, or left, in each order, and what hiding the attended tenth of each window adds to
        hiding a random one."""
        curves, tenth = {}, {}
        for name, scores in orders.items():
            ranks = [_ranks(np.where(there, score, -np.inf), rng) for score in scores]  # 0 for the first to go
            for test in ("deletion", "insertion"):
                losses = []
                for fraction in FRACTIONS:
                    first = [(rank < _count(fraction, there)) == (test == "deletion") for rank in ranks]  # (n, J)
                    found = np.mean([subject.losses(subject.spread(one, kind)) for one in first], 0)  # (n,)
                    losses.append(float(np.nanmean(found)))
                    if test == "deletion" and fraction == 0.1:
                        tenth[name] = found
                curves[test, name] = losses
        excess = tenth["attention"] - tenth["random"]
        index = pd.Index(FRACTIONS, name="share")
        table = pd.DataFrame(curves, index=index).rename_axis(columns=["test", "order"]).sort_index(axis=1)
        return table, excess[~np.isnan(excess)]

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
        return not self._shortcoming

    @property
    def _shortcoming(self):
        """Why the weights do not say what the forecasts rest on, in words; nothing if they do."""
        enough = min(ENOUGH, 0.75 * self._attainable)
        if not self._certain:
            return "The difference from a random tenth is within chance."
        if self.ratio < enough:
            return f"That is {self.ratio:.1f} times the damage of a random tenth, and {enough:.1f} are asked for."
        if self.damage["attention"] < SHARE * self.damage.abs().max():
            return "That is less than half of the damage of another tenth."
        return ""

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
        if self._on_states:
            change = f"attention_position='input', since states remember earlier steps, and {change}"
        if self._linear_skip:
            change = f"linear_skip=False, since the skip reads the window past the attention, and {change}"
        way_out = f"Read them with skattn.inspection.occlusion instead, or fit with {change}."
        return f"Attention does not explain these forecasts: {found}. {self._shortcoming} {way_out}"

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


def _count(fraction, there):
    """How many parts of each window (n, 1) a fraction of them is: one at least."""
    return np.maximum(1, np.round(fraction * there.sum(1, keepdims=True)))


def _ranks(scores, rng):
    """Place of each score in its row, 0 for the largest; ties are broken at random, in each row anew."""
    return np.lexsort((rng.random_sample(scores.shape), -scores), axis=1).argsort(1)


def _rank_correlation(one, other, there):
    """Mean over the rows of Spearman's correlation of two arrays (n, J), where `there`, of rows that have one."""
    size = np.maximum(there.sum(1, keepdims=True), 1)
    ranks = [np.where(there, rankdata(np.where(there, values, np.inf), axis=1), 0) for values in (one, other)]
    one, other = (np.where(there, rank - rank.sum(1, keepdims=True) / size, 0) for rank in ranks)
    size = np.sqrt((one**2).sum(1) * (other**2).sum(1))
    return float(np.mean((one * other).sum(1)[size > 0] / size[size > 0])) if (size > 0).any() else float("nan")


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
