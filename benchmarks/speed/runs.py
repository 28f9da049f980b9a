"""Runs of several things in turns, so that what a machine does meanwhile meets them all alike."""

from statistics import median


def interleaved(names, runs, measure, *arguments):
    """What `measure(name, *arguments)` returns, a list of so many runs by name, in an order that turns round.

    None is left out.
    """
    names = list(names)
    found = {name: [] for name in names}
    for turn in range(runs):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if (result := measure(name, *arguments)) is not None:
                found[name].append(result)
    return {name: results for name, results in found.items() if results}


def over(results, baseline, key):
    """Ratio of what is under a key to that of the baseline in the same turn, as text: median and range."""
    ratios = [one[key] / other[key] for one, other in zip(results, baseline, strict=False)]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
