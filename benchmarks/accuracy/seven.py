"""Seven well-known series, monthly and daily, the last 12 steps held out, as in `classics`: skattn's defaults.

Run: python -m benchmarks.accuracy.seven
"""

from benchmarks.accuracy.classics import NOTES, measure
from benchmarks.data import seven
from benchmarks.record import save


def main():
    notes = f"{NOTES} Of daily series the season is the week, which all methods are given but the networks."
    save(__file__, measure(seven()), notes)


if __name__ == "__main__":
    main()
